//! `stockade policy`: the organisation's document, checked, tried and explained.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;
use stockade_host::{Granted, GrantsReport};
use stockade_package::Explain;
use stockade_policy::{
    Attempt, Decision, Grant, Grants, PluginType, Policy, Profile, Request, Rule, Scope, Source, Standard,
    Subject, decide, weigh,
};

use crate::args::{PolicyArguments, PolicyCommand, Weighing};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format, SCHEMA, safe};
use crate::{file, grants, signing};

/// What the document is called in a state folder.
const FILE: &str = "policy.toml";

/// The policy that is to hold: the one that is named, or that of the state folder, or the built-in one.
pub(crate) fn read(named: Option<&Path>, state: &Path) -> Result<Policy, Failure> {
    let usual = state.join(FILE);
    let path = match named {
        Some(path) => path,
        None if usual.exists() => &usual,
        None => {
            signing::policy_may_hold(None, state)?;
            return Ok(Policy::built_in().clone());
        }
    };
    let text = bytes(path)?;
    signing::policy_may_hold(Some((path, &text)), state)?;
    parse(path, &text)
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| bad_file(path, &error.to_string()))
}

fn bad_file(path: &Path, why: &str) -> Failure {
    let message = format!("{}: {why}", path.display());
    Failure::usage("bad-file", "--policy", message, "name a TOML file that you can read")
}

fn read_file(path: &Path) -> Result<Policy, Failure> {
    parse(path, &bytes(path)?)
}

/// What a document says. What is wrong with it is told with its line and column.
pub(crate) fn parse(path: &Path, text: &[u8]) -> Result<Policy, Failure> {
    let text = std::str::from_utf8(text).map_err(|error| bad_file(path, &error.to_string()))?;
    Policy::parse(text).map_err(|error| {
        let mut failure = Failure::of(&error);
        failure.exit = Exit::Usage;
        failure.problem.field = format!("{}:{}:{}", path.display(), error.line, error.column);
        failure
    })
}

pub(crate) fn run(arguments: PolicyArguments) -> Result<Exit, Failure> {
    match arguments.command {
        PolicyCommand::Check { file, output } => check(&file, output.format),
        PolicyCommand::Test { file, output } => test(&file, output.format),
        PolicyCommand::Explain { weighing, operation, resource } => explain(&weighing, &operation, &resource),
    }
}

fn check(path: &Path, format: Format) -> Result<Exit, Failure> {
    let policy = read_file(path)?;
    match format {
        Format::Json => output::document(&json!({
            "schema": SCHEMA, "version": policy.version, "rules": policy.rules.len(),
            "approvals": {
                "people": policy.approvals.people, "needed": policy.approvals.needed,
                "command_line": policy.approvals.command_line, "longest_seconds": policy.approvals.longest,
            },
        })),
        Format::Text => {
            let approvals = &policy.approvals;
            let who = match approvals.people.is_empty() {
                true => "whoever may control the host".to_owned(),
                false => format!("{} of {}", approvals.needed, approvals.people.join(", ")),
            };
            let by_hand =
                if approvals.command_line { "are approvals" } else { "are wishes, and wait for an approval" };
            output::line(&format!("version {}, {} rules", policy.version, policy.rules.len()));
            output::line(&format!("approved by: {}", safe(&who)));
            output::line(&format!("grants on the command line and in plugins' files {by_hand}"));
        }
    }
    Ok(Exit::Ok)
}

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    /// As seen from the file's folder.
    policy: PathBuf,
    cases: Vec<Case>,
}

/// This plugin, asking for this, gets that.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    plugin: String,
    #[serde(rename = "type")]
    plugin_type: PluginType,
    /// What its manifest asks for.
    #[serde(default)]
    asks: Vec<String>,
    /// What was approved for it.
    #[serde(default)]
    approved: Vec<String>,
    /// What it gets, besides what its profile gives everybody.
    #[serde(default)]
    gets: Vec<String>,
    /// What it may do: OPERATION RESOURCE.
    #[serde(default)]
    may: Vec<String>,
    /// What it may not.
    #[serde(default)]
    may_not: Vec<String>,
}

fn test(path: &Path, format: Format) -> Result<Exit, Failure> {
    let cases: Cases = file::read(path, "FILE")?;
    let policy = read_file(&path.parent().unwrap_or(Path::new("")).join(&cases.policy))?;
    let mut results = Vec::new();
    for case in &cases.cases {
        let wrong = try_case(&policy, case).map_err(|failure| failure.of_file(path))?;
        results.push((case.name.as_str(), wrong));
    }
    let failed = results.iter().filter(|(_, wrong)| !wrong.is_empty()).count();
    match format {
        Format::Json => {
            let results = results.iter().map(|(name, wrong)| json!({ "case": name, "wrong": wrong }));
            let results: Vec<_> = results.collect();
            output::document(&json!({ "schema": SCHEMA, "failed": failed, "cases": results }));
        }
        Format::Text => {
            for (name, wrong) in &results {
                output::line(&format!("{} {}", if wrong.is_empty() { "ok  " } else { "FAIL" }, safe(name)));
                wrong.iter().for_each(|line| output::line(&format!("     {}", safe(line))));
            }
            output::line(&format!("{} cases, {failed} came out otherwise", results.len()));
        }
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::ToolError })
}

fn scope(text: &str) -> Result<Scope, Failure> {
    text.parse().map_err(|error: stockade_policy::ScopeError| {
        Failure::usage(
            "bad-scope",
            "scope",
            error.to_string(),
            "write a capability and its resource, as http:api.example.org",
        )
    })
}

fn attempt(operation: &str, resource: &str) -> Result<Attempt, Failure> {
    Attempt::parse(operation, resource).map_err(|error| {
        Failure::usage(
            "bad-attempt",
            "OPERATION RESOURCE",
            error.to_string(),
            "docs/policy.md has the resource of each operation",
        )
    })
}

/// What came out otherwise.
fn try_case(policy: &Policy, case: &Case) -> Result<Vec<String>, Failure> {
    let profile = Profile::of(case.plugin_type);
    let standard = Standard::of(profile, policy, &case.plugin);
    let version = semver::Version::new(0, 0, 0);
    let subject = Subject { plugin: &case.plugin, version: &version, component: "", signed_by: &[] };
    let mut requests = Vec::new();
    for text in &case.asks {
        let scope = scope(text)?;
        let approved = case.approved.contains(text);
        let by = Source::Approval { number: 0, by: "the case".to_owned() };
        requests.push(Request { scope, approved_by: approved.then_some(by) });
    }
    let resolution = weigh(&standard, &subject, requests, &[], 0);
    let mut wrong = Vec::new();
    let mut expected = Vec::new();
    for text in &case.gets {
        expected.push(scope(text)?.to_string());
    }
    let given = |scope: &Scope| profile.always.contains(&scope.capability());
    let got: Vec<String> = resolution
        .grants
        .iter()
        .filter(|grant| !given(&grant.scope))
        .map(|grant| grant.scope.to_string())
        .collect();
    wrong
        .extend(got.iter().filter(|scope| !expected.contains(scope)).map(|scope| format!("it gets {scope}")));
    for missing in expected.iter().filter(|scope| !got.contains(scope)) {
        let why = resolution.unresolved.iter().find(|left| left.scope().to_string() == **missing);
        let why = why.map_or("nobody asks for it".to_owned(), grants::why);
        wrong.push(format!("it does not get {missing}: {why}"));
    }
    for (texts, may) in [(&case.may, true), (&case.may_not, false)] {
        for text in texts {
            let (operation, resource) = text.split_once(' ').unwrap_or((text, ""));
            let attempt = attempt(operation, resource)?;
            match decide(&resolution.grants, &attempt.ask()) {
                Decision::Allow(rule) if !may => wrong.push(format!("it may {text}: {rule}")),
                Decision::Deny(denial) if may => {
                    wrong.push(format!("it may not {text}: {} ({})", denial.why, denial.rule));
                }
                Decision::Allow(_) | Decision::Deny(_) => {}
            }
        }
    }
    Ok(wrong)
}

fn explain(weighing: &Weighing, operation: &str, resource: &str) -> Result<Exit, Failure> {
    let attempt = attempt(operation, resource)?;
    if let Some(report) = grants::running(&weighing.setup.plugin, &weighing.asking)? {
        return explain_running(&report, &attempt, weighing.output.format);
    }
    let weighed = grants::weighed(weighing)?;
    // What cannot be loaded tries nothing.
    if let Some(error) = weighed.refusal() {
        let problem = error.problem();
        return told(weighing.output.format, false, ("load", problem.message, problem.next_step));
    }
    let wanted = weighed.resolution.unresolved.iter().find(|left| {
        let asked: Grants =
            [Grant { scope: left.scope().clone(), rule: Rule::built_in("asked") }].into_iter().collect();
        decide(&asked, &attempt.ask()).is_allowed()
    });
    match decide(&weighed.resolution.grants, &attempt.ask()) {
        Decision::Allow(rule) => told(
            weighing.output.format,
            true,
            (&rule.id, format!("allowed by {}", rule.source), String::new()),
        ),
        Decision::Deny(denial) => {
            let mut why = format!("{} ({})", denial.why, denial.rule.source);
            if let Some(left) = wanted {
                why = format!("{why}; it asks for {}: {}", left.scope(), grants::why(left));
            }
            told(weighing.output.format, false, (&denial.rule.id, why, denial.why.next_step().to_owned()))
        }
    }
}

/// By what a running host has granted.
fn explain_running(report: &GrantsReport, attempt: &Attempt, format: Format) -> Result<Exit, Failure> {
    let mut grants: Grants = report.granted.iter().filter_map(Granted::grant).collect();
    for mut forbidden in report.forbidden.iter().filter_map(Granted::grant) {
        forbidden.rule.id = format!("forbid:{}", forbidden.rule.id);
        grants.forbid(forbidden);
    }
    let by = |list: &[Granted], scope: &str| {
        list.iter()
            .find(|granted| granted.scope == scope)
            .map_or("built-in".to_owned(), |granted| granted.by.clone())
    };
    match decide(&grants, &attempt.ask()) {
        Decision::Allow(rule) => {
            let why = format!("allowed by {}", by(&report.granted, &rule.id));
            told(format, true, (&rule.id, why, String::new()))
        }
        Decision::Deny(denial) => {
            let scope = denial.rule.id.trim_start_matches("forbid:");
            let why = format!("{} ({})", denial.why, by(&report.forbidden, scope));
            told(format, false, (&denial.rule.id, why, denial.why.next_step().to_owned()))
        }
    }
}

fn told(format: Format, allowed: bool, (rule, why, next): (&str, String, String)) -> Result<Exit, Failure> {
    match format {
        Format::Json => output::document(&json!({
            "schema": SCHEMA, "allowed": allowed, "rule": rule, "why": why, "next_step": next,
        })),
        Format::Text => {
            output::line(&format!("{}: {}", if allowed { "allowed" } else { "refused" }, safe(&why)));
            output::line(&format!("  rule: {}", safe(rule)));
            if !next.is_empty() {
                output::line(&format!("  next: {}", safe(&next)));
            }
        }
    }
    Ok(if allowed { Exit::Ok } else { Exit::Refused })
}

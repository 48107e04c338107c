//! `stockade run`, and everything of this program that drives a host.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use stockade_control::{ControlError, Running};
use stockade_host::{CallOptions, Host, HostBuilder, Lacking, Namespaces, Outcome, Plugin, Status};
use stockade_package::Problem;
use stockade_policy::Policy;

use crate::args::{self, Loading, Places, Run};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, safe};
use crate::progress::Progress;
use crate::{models, policy, setup, value};

pub(crate) fn run(arguments: Run) -> Result<Exit, Failure> {
    let deadline =
        arguments.deadline.as_deref().map(|text| value::duration("--deadline", text)).transpose()?;
    let json = value::arguments(&arguments.arguments)?;
    let (host, plugins) = load(&arguments.loading, &arguments.places, arguments.observe)?;
    let outcome =
        plugins[0].call_blocking(&arguments.tool, &json, CallOptions { deadline, ..CallOptions::default() });
    host.stop_blocking();
    if arguments.observe {
        let name = safe(plugins[0].name());
        output::note(&format!(
            "note: what would have been enough: stockade grants suggest {name} --observed{}",
            elsewhere(&arguments.places)
        ));
    }
    finish(outcome.into(), arguments.output.format, &arguments.places)
}

/// Builds a host and loads the plugin that the command line describes, and those that go with it, which stay as
/// long as they are held.
pub(crate) fn load(
    loading: &Loading,
    places: &Places,
    observe: bool,
) -> Result<(Host, Vec<Plugin>), Failure> {
    let home = Home::find(places)?;
    let request = setup::request(&loading.setup, &home)
        .map(|request| if observe { request.observe() } else { request });
    let requests = std::iter::once(request).chain(loading.with.iter().map(|path| setup::with(path)));
    let requests = requests.collect::<Result<Vec<_>, _>>()?;
    nobody_runs(&home)?;
    let builder = Built {
        policy: policy::read(loading.policy.as_deref(), &home.state)?,
        programs: loading.programs.as_deref(),
        models: loading.models.as_deref(),
        trust: &loading.trust,
        namespaces: loading.namespaces,
    };
    let host = builder.host(&home, Ok)?;
    let progress = Progress::start("compiling and confining");
    let loaded =
        requests.into_iter().map(|request| host.load_blocking(request)).collect::<Result<Vec<_>, _>>();
    drop(progress);
    match loaded {
        Ok(plugins) => {
            for plugin in &plugins {
                for Lacking { scope, approvable, by, .. } in plugin.lacking() {
                    let (name, scope) = (safe(plugin.name()), safe(scope));
                    output::note(&match approvable {
                        true => format!("note: {name} asks for {scope} and was not granted it"),
                        false => format!("note: {name} asks for {scope}, which is forbidden ({})", safe(by)),
                    });
                }
            }
            Ok((host, plugins))
        }
        Err(error) => {
            host.stop_blocking();
            Err(Failure::of(&error))
        }
    }
}

/// Refuses where a host runs already with this state.
pub(crate) fn nobody_runs(home: &Home) -> Result<(), Failure> {
    let Ok(Some(running)) = Running::find(&home.state) else { return Ok(()) };
    let mut failure = Failure::of(&ControlError::Taken { state: home.state.clone(), running });
    failure.problem.next_step =
        "call the plugin there (stockade call PLUGIN TOOL), or name another --state folder".to_owned();
    Err(failure)
}

/// What a host is built with, besides its places.
pub(crate) struct Built<'a> {
    pub(crate) policy: Policy,
    pub(crate) programs: Option<&'a Path>,
    pub(crate) models: Option<&'a Path>,
    pub(crate) trust: &'a [PathBuf],
    pub(crate) namespaces: args::Namespaces,
}

impl Built<'_> {
    /// Builds it, with what else is to be set.
    pub(crate) fn host(
        self,
        home: &Home,
        more: impl FnOnce(HostBuilder) -> Result<HostBuilder, Failure>,
    ) -> Result<Host, Failure> {
        let models = self.models.map(models::read).transpose()?.unwrap_or_default();
        let mut builder =
            Host::builder().policy(self.policy).state_dir(&home.state).audit_dir(&home.audit).namespaces(
                match self.namespaces {
                    args::Namespaces::Auto => Namespaces::Cheap,
                    args::Namespaces::All => Namespaces::All,
                    args::Namespaces::Off => Namespaces::Off,
                },
            );
        if let Some(folder) = self.programs {
            builder = builder.programs_dir(folder);
        }
        for (name, model) in models {
            builder = builder.model(name, model);
        }
        for path in self.trust {
            builder = builder.trust(certificates(path)?);
        }
        more(builder)?.build().map_err(|error| Failure::of(&error))
    }
}

/// A file with certificate authorities.
pub(crate) fn certificates(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        Failure::usage("not-a-certificate", "--trust", message, "name a file in PEM form that you can read")
    })
}

/// What came of a call, here or in a host elsewhere.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: Status,
    pub(crate) value: Option<String>,
    pub(crate) reason: Option<Problem>,
    pub(crate) denials: Vec<u64>,
    pub(crate) elapsed: Duration,
    pub(crate) call: Option<String>,
}

impl From<Outcome> for Finished {
    fn from(outcome: Outcome) -> Self {
        let Outcome { status, value, reason, denials, elapsed, call } = outcome;
        Self { status, value, reason, denials, elapsed, call: call.map(|call| call.to_string()) }
    }
}

/// What was recorded during the call, for the JSON document.
fn facts(
    status: Status,
    denials: &[u64],
    elapsed: Duration,
    call: Option<&str>,
) -> Vec<(&'static str, Value)> {
    // Milliseconds with three digits; a call is far shorter than what f64 carries exactly.
    let milliseconds = elapsed.as_micros() as f64 / 1000.0;
    vec![
        ("status", json!(status)),
        ("denials", json!(denials)),
        ("elapsed_ms", json!(milliseconds)),
        ("call", json!(call)),
    ]
}

/// Tells what came of a call, and says how the program ends.
pub(crate) fn finish(finished: Finished, format: Format, places: &Places) -> Result<Exit, Failure> {
    let Finished { status, value, reason, denials, elapsed, call } = finished;
    let call = call.as_deref();
    if format == Format::Text && !denials.is_empty() {
        let numbers: Vec<String> = denials.iter().take(10).map(u64::to_string).collect();
        let more = if denials.len() > 10 { ", ..." } else { "" };
        output::note(&format!(
            "note: {} of this call in the audit log: {}{more} (stockade audit show {}{})",
            if denials.len() == 1 { "1 record".to_owned() } else { format!("{} records", denials.len()) },
            numbers.join(", "),
            denials[0],
            elsewhere(places),
        ));
    }
    match value {
        Some(value) if output::is_json(&value) => {
            match format {
                Format::Text => output::line(&output::json(&value)),
                Format::Json => output::line(&success(&value, &denials, elapsed, call)),
            }
            Ok(Exit::Ok)
        }
        Some(_) => {
            let problem = Problem {
                code: "result-not-json",
                field: "result".to_owned(),
                message: "the tool's result is not JSON".to_owned(),
                next_step: "tell the plugin's author".to_owned(),
            };
            let extra = facts(Status::ToolError, &denials, elapsed, call);
            Err(Failure { exit: Exit::ToolError, problem, extra })
        }
        None => {
            let problem = reason.unwrap_or_else(|| Problem {
                code: "no-reason",
                field: String::new(),
                message: "the call failed, and nobody said why".to_owned(),
                next_step: "report this; it is a bug".to_owned(),
            });
            let exit = exit(status, problem.code);
            Err(Failure { exit, problem, extra: facts(status, &denials, elapsed, call) })
        }
    }
}

/// What `stockade audit` must be told to find a log that is not in its usual place.
fn elsewhere(places: &Places) -> String {
    let option = |name: &str, path: &Path| format!(" {name} {}", safe(&path.display().to_string()));
    match places {
        Places { audit: Some(audit), .. } => option("--audit", audit),
        Places { state: Some(state), .. } => option("--state", state),
        Places { .. } => String::new(),
    }
}

/// The document of a call that worked. The value goes in as it came, so that no number loses a digit.
fn success(value: &str, denials: &[u64], elapsed: Duration, call: Option<&str>) -> String {
    let mut head = json!({ "schema": SCHEMA });
    for (key, fact) in facts(Status::Ok, denials, elapsed, call) {
        head[key] = fact;
    }
    let head = head.to_string();
    output::json(&format!("{},\"value\":{value}}}", head.trim_end_matches('}')))
}

fn exit(status: Status, code: &str) -> Exit {
    match (status, Exit::of_code(code)) {
        (Status::Ok, _) => Exit::Ok,
        // Refusals to go on without a log, and the rest of what is not the plugin's doing.
        (Status::Killed | Status::Failed, exit @ (Exit::Audit | Exit::UnsupportedHost | Exit::Usage)) => exit,
        (Status::Denied | Status::Killed | Status::Failed, _) => Exit::Refused,
        (Status::ToolError | Status::Trapped, _) => Exit::ToolError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_of_a_success_is_json_and_keeps_every_digit() {
        let text =
            success("{\"n\":12345678901234567890123}", &[3, 4], Duration::from_micros(1500), Some("1.2"));
        assert!(text.ends_with(",\"value\":{\"n\":12345678901234567890123}}"), "{text}");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(document["schema"], SCHEMA);
        assert_eq!(document["status"], "ok");
        assert_eq!(document["denials"], json!([3, 4]));
        assert_eq!(document["elapsed_ms"], 1.5);
    }

    #[test]
    fn exits_follow_status_and_code() {
        assert_eq!(exit(Status::Killed, "deadline"), Exit::Refused);
        assert_eq!(exit(Status::Killed, "audit-log"), Exit::Audit);
        assert_eq!(exit(Status::Denied, "denied"), Exit::Refused);
        assert_eq!(exit(Status::ToolError, "failed"), Exit::ToolError);
        assert_eq!(exit(Status::ToolError, "unknown-tool"), Exit::ToolError);
        assert_eq!(exit(Status::Trapped, "trapped"), Exit::ToolError);
        assert_eq!(exit(Status::Failed, "unknown-tool"), Exit::Usage);
        assert_eq!(exit(Status::Failed, "bad-arguments"), Exit::Usage);
        assert_eq!(exit(Status::Failed, "not-attested"), Exit::UnsupportedHost);
    }
}

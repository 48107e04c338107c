//! How much a plugin could do: a number, what it is made of, and what would make it less.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use stockade_audit::{Decision, Reader};
use stockade_host::{Granted, GrantsReport};
use stockade_policy::{Attempt, Capability, Decision as Decided, Grants, Scope, decide};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::args::Show;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, safe};
use crate::table::Table;
use crate::{audit, grants, value};

/// One thing that a plugin could do, in tenths of a point.
#[derive(Debug, PartialEq, Eq)]
struct Exposed {
    scope: String,
    tenths: u32,
    why: &'static str,
    narrower: Option<String>,
}

/// What a grant costs, in tenths of a point. The weights are an order, not a measurement: what leaves the machine or
/// destroys costs more than what is read, and what is open costs more than what is named.
fn weight(scope: &Scope) -> (u32, &'static str) {
    match scope {
        Scope::Http { to } => {
            let open = to.host().starts_with("*.");
            let clear = to.as_str().contains("http://");
            match (open, clear) {
                (true, true) => (30, "sends to every host of a domain, in the clear"),
                (true, false) => (20, "sends to every host of a domain"),
                (false, true) => (15, "sends to a host in the clear"),
                (false, false) if to.as_str().contains(' ') && to.as_str().contains('/') => {
                    (5, "sends some requests to a host")
                }
                (false, false) => (8, "sends to a host"),
            }
        }
        Scope::Secret { secret } if secret.to().host().starts_with("*.") => {
            (25, "has a secret sent to every host of a domain")
        }
        Scope::Secret { .. } => (10, "has a secret sent to a host"),
        Scope::FsRead { root } if root.is_root() => (15, "reads all of its view"),
        Scope::FsRead { .. } => (8, "reads a directory"),
        Scope::FsWrite { .. } => (12, "changes files"),
        Scope::FsCreate { .. } => (8, "makes files"),
        Scope::FsDelete { .. } => (15, "removes files"),
        Scope::Tool { .. } => (6, "calls another plugin"),
        Scope::Model { .. } => (8, "asks a model, which others may have told what to answer"),
        Scope::Kv => (3, "keeps what it learns"),
        Scope::Config { .. } => (1, "reads a configuration value"),
        Scope::Log | Scope::Clock | Scope::Random => (0, "has what every plugin of its type has"),
    }
}

/// When each of a plugin's grants was used last, and for what, as far as the log has it.
#[derive(Debug, Default)]
struct Uses(BTreeMap<String, (u64, Vec<Attempt>)>);

impl Uses {
    fn read(home: &Home, report: &GrantsReport) -> Result<Uses, Failure> {
        let mut uses = Uses::default();
        let grants: Grants = report.granted.iter().filter_map(Granted::grant).collect();
        let Ok(entries) = Reader::open(&home.audit) else { return Ok(uses) };
        for entry in entries {
            let entry = entry.map_err(|error| audit::failed(&error))?;
            let record = &entry.record;
            let ours = record.plugin.as_ref().is_some_and(|of| of.name == report.plugin);
            if !ours || record.decision != Decision::Allowed {
                continue;
            }
            let Ok(attempt) = Attempt::parse(&record.operation, &record.resource) else { continue };
            let Decided::Allow(rule) = decide(&grants, &attempt.ask()) else { continue };
            let at = OffsetDateTime::parse(&entry.time, &Rfc3339).map_or(0, OffsetDateTime::unix_timestamp);
            let (last, what) = uses.0.entry(rule.id.clone()).or_default();
            *last = (*last).max(u64::try_from(at).unwrap_or(0));
            if !what.contains(&attempt) {
                what.push(attempt);
            }
        }
        Ok(uses)
    }

    /// What would do instead of a grant, as far as the log shows what it is used for. Reading leaves no record.
    fn narrower(&self, scope: &Scope, unused_for: Duration) -> Option<String> {
        let leaves_records = matches!(
            scope.capability(),
            Capability::Http
                | Capability::FsWrite
                | Capability::FsCreate
                | Capability::FsDelete
                | Capability::Tool
                | Capability::Model
        );
        if !leaves_records {
            return None;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let Some((last, what)) = self.0.get(&scope.to_string()) else {
            return Some("the log shows no use of it so far".to_owned());
        };
        let idle = now.saturating_sub(*last);
        if idle > unused_for.as_secs() {
            return Some(format!("not used for {} days: remove it", idle / 86_400));
        }
        let mut used: Vec<String> =
            what.iter().filter_map(Attempt::smallest).map(|scope| scope.to_string()).collect();
        used.sort_unstable();
        used.dedup();
        let narrower = used.len() <= 3 && !used.contains(&scope.to_string());
        narrower.then(|| format!("used for {}", used.join(", ")))
    }
}

/// From tenths of points, of which there is no end, to a number of which 10 is: the first grants tell most.
fn score(tenths: u32) -> f64 {
    let points = f64::from(tenths) / 10.0;
    10.0 * (1.0 - (-points / 6.0).exp())
}

const fn word(score: f64) -> &'static str {
    match score {
        score if score < 1.0 => "minimal",
        score if score < 4.0 => "low",
        score if score < 7.0 => "medium",
        score if score < 9.0 => "high",
        _ => "wide open",
    }
}

fn exposed(report: &GrantsReport, uses: &Uses, unused_for: Duration) -> Vec<Exposed> {
    let scopes: Vec<Scope> = report.granted.iter().filter_map(|granted| granted.scope.parse().ok()).collect();
    let mut exposed: Vec<Exposed> = scopes
        .iter()
        .map(|scope| {
            let (tenths, why) = weight(scope);
            Exposed { scope: scope.to_string(), tenths, why, narrower: uses.narrower(scope, unused_for) }
        })
        .collect();
    let any = |capability: Capability| scopes.iter().any(|scope| scope.capability() == capability);
    let together = [
        (Capability::FsRead, Capability::Http, 20, "can send what it reads"),
        (Capability::Model, Capability::Http, 20, "can send what a model tells it to"),
        (Capability::Model, Capability::FsWrite, 15, "can write what a model tells it to"),
        (Capability::Tool, Capability::Http, 10, "can send what other plugins answer"),
    ];
    for (one, other, tenths, why) in together {
        if any(one) && any(other) {
            exposed.push(Exposed { scope: format!("{one} and {other}"), tenths, why, narrower: None });
        }
    }
    exposed.sort_by(|a, b| b.tenths.cmp(&a.tenths).then_with(|| a.scope.cmp(&b.scope)));
    exposed
}

/// `stockade show`.
pub(crate) fn show(arguments: &Show) -> Result<Exit, Failure> {
    let report = grants::report(&arguments.weighing)?;
    let format = arguments.weighing.output.format;
    let home = Home::find(&arguments.weighing.asking.places)?;
    let exposure = if arguments.exposure {
        let unused_for = value::duration("--unused-for", &arguments.unused_for)?;
        let uses = Uses::read(&home, &report)?;
        Some(exposed(&report, &uses, unused_for))
    } else {
        None
    };
    let score = exposure.as_ref().map(|all| score(all.iter().map(|one| one.tenths).sum()));
    if format == Format::Json {
        let exposure = exposure.map(|all| {
            all.into_iter()
                .map(|Exposed { scope, tenths, why, narrower }| {
                    json!({ "scope": scope, "points": f64::from(tenths) / 10.0, "why": why, "narrower": narrower })
                })
                .collect::<Vec<_>>()
        });
        output::document(
            &json!({ "schema": SCHEMA, "grants": report, "exposure": exposure, "score": score }),
        );
        return Ok(Exit::Ok);
    }
    let GrantsReport { plugin, version, plugin_type, component, .. } = &report;
    output::line(&format!("{} {}, of type {}", safe(plugin), safe(version), safe(plugin_type)));
    output::line(&format!("component sha256:{component}"));
    match exposure {
        None => grants::table(&report).lines().for_each(|line| output::line(&line)),
        Some(all) => {
            let mut table = Table::new(&["POINTS>", "WHAT", "WHY", "NARROWER"]);
            for Exposed { scope, tenths, why, narrower } in all.iter().filter(|one| one.tenths > 0) {
                let points = format!("{:.1}", f64::from(*tenths) / 10.0);
                table.row([points.as_str(), scope, why, narrower.as_deref().unwrap_or_default()]);
            }
            table.lines().for_each(|line| output::line(&line));
            let score = score.unwrap_or_default();
            output::line(&format!("exposure: {score:.1} of 10, {}", word(score)));
        }
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(scopes: &[&str]) -> GrantsReport {
        let granted = scopes.iter().map(|scope| Granted { scope: (*scope).to_owned(), by: String::new() });
        GrantsReport {
            plugin: "a/b".to_owned(),
            version: "1.0.0".to_owned(),
            plugin_type: "agent".to_owned(),
            signed_by: Vec::new(),
            component: String::new(),
            granted: granted.collect(),
            forbidden: Vec::new(),
            lacking: Vec::new(),
        }
    }

    fn points(scopes: &[&str]) -> u32 {
        exposed(&report(scopes), &Uses::default(), Duration::ZERO).iter().map(|one| one.tenths).sum()
    }

    #[test]
    fn more_open_grants_cost_more_and_some_together_more_than_each() {
        assert_eq!(points(&["log", "clock", "random"]), 0);
        assert!(points(&["http:*.example.org"]) > points(&["http:api.example.org"]));
        assert!(points(&["http:http://api.example.org"]) > points(&["http:api.example.org"]));
        assert!(points(&["http:api.example.org"]) > points(&["http:GET api.example.org/v1"]));
        assert!(
            points(&["fs.read:/src", "http:a.example"])
                > points(&["fs.read:/src"]) + points(&["http:a.example"])
        );
        assert!(score(0) == 0.0 && score(10) > score(5) && score(10_000) <= 10.0);
        assert_eq!((word(0.0), word(5.0), word(9.9)), ("minimal", "medium", "wide open"));
    }
}

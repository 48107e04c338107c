//! From what a plugin was denied to the smallest grants that would have allowed it. A proposal, for a person to read:
//! nothing here grants anything.

use std::collections::BTreeMap;

use serde_json::json;
use stockade_audit::{Decision, Entry, Reader};
use stockade_policy::{Attempt, Capability, PluginType, Profile, Scope};

use crate::audit;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, safe};

/// Scopes of one host before they are drawn together into one for all of its paths.
const PATHS: usize = 8;

/// One proposal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) scope: Scope,
    /// How many denials it would have allowed.
    pub(crate) denials: u64,
    /// Why nobody should grant it.
    pub(crate) warning: Option<&'static str>,
    /// Whether the plugin's profile can have it.
    pub(crate) in_profile: bool,
}

/// Why a scope is one that nobody should grant, where it is.
pub(crate) fn warning(scope: &Scope) -> Option<&'static str> {
    const METADATA: [&str; 5] = [
        "169.254.169.254",
        "[fd00:ec2::254]",
        "metadata.google.internal",
        "100.100.100.200",
        "metadata.azure.internal",
    ];
    match scope {
        Scope::Http { to } if METADATA.contains(&to.host()) => {
            Some("the address of a cloud's metadata: whoever reaches it has the machine's own credentials")
        }
        Scope::Secret { secret } if METADATA.contains(&secret.to().host()) => {
            Some("a secret, sent to the address of a cloud's metadata")
        }
        Scope::FsRead { root }
        | Scope::FsWrite { root }
        | Scope::FsCreate { root }
        | Scope::FsDelete { root } => {
            let parts: Vec<&str> = root.as_str().split('/').filter(|part| !part.is_empty()).collect();
            match parts[..] {
                [] => Some("the whole of the plugin's view"),
                ["root"] | ["home"] | ["home", _] | ["Users"] | ["Users", _] => Some("a whole home folder"),
                ["etc", ..] | ["proc", ..] | ["sys", ..] | ["dev", ..] => Some("a folder of the system"),
                _ if parts.iter().any(|part| [".ssh", ".aws", ".gnupg", ".kube"].contains(part)) => {
                    Some("a folder of keys")
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// The denials of a plugin, as attempts, and how often each.
fn denied(
    entries: impl Iterator<Item = Entry>,
    plugin: &str,
    observed: bool,
) -> (Vec<(Attempt, u64)>, Option<PluginType>) {
    let (mut attempts, mut plugin_type) = (Vec::<(Attempt, u64)>::new(), None);
    for Entry { record, .. } in entries {
        let Some(of) = record.plugin.as_ref().filter(|of| of.name == plugin) else { continue };
        plugin_type = of.kind.parse().ok().or(plugin_type);
        let looked_for = !observed || record.detail.text("mode") == Some("observe");
        if record.decision != Decision::Denied || !looked_for {
            continue;
        }
        let Ok(attempt) = Attempt::parse(&record.operation, &record.resource) else { continue };
        match attempts.iter_mut().find(|(other, _)| *other == attempt) {
            Some((_, times)) => *times += 1,
            None => attempts.push((attempt, 1)),
        }
    }
    (attempts, plugin_type)
}

/// The fewest scopes that open these attempts and little else.
fn proposals(attempts: &[(Attempt, u64)], plugin_type: Option<PluginType>) -> Vec<Proposal> {
    let mut scopes: BTreeMap<String, (Scope, u64)> = BTreeMap::new();
    for (attempt, times) in attempts {
        if let Some(scope) = attempt.smallest() {
            let entry = scopes.entry(scope.to_string()).or_insert((scope, 0));
            entry.1 += times;
        }
    }
    // Many paths of one host are one need.
    let mut by_host: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (text, (scope, _)) in &scopes {
        if let Scope::Http { to } = scope {
            by_host.entry(to.host().to_owned()).or_default().push(text.clone());
        }
    }
    for (host, texts) in by_host.into_iter().filter(|(_, texts)| texts.len() > PATHS) {
        let denials = texts.iter().filter_map(|text| Some(scopes.remove(text)?.1)).sum();
        if let Ok(scope) = Scope::of(Capability::Http, Some(&host)) {
            scopes.insert(scope.to_string(), (scope, denials));
        }
    }
    // What another one opens already is not said twice.
    let all: Vec<Scope> = scopes.values().map(|(scope, _)| scope.clone()).collect();
    scopes.retain(|_, (scope, _)| !all.iter().any(|other| other != scope && other.contains(scope)));
    let has = |scope: &Scope| {
        plugin_type.is_none_or(|of| {
            let (profile, capability) = (Profile::of(of), scope.capability());
            profile.always.contains(&capability)
                || profile.on_request.contains(&capability)
                || profile.ceiling.contains_key(&capability)
        })
    };
    let proposed = scopes.into_values().map(|(scope, denials)| {
        let (warning, in_profile) = (warning(&scope), has(&scope));
        Proposal { scope, denials, warning, in_profile }
    });
    proposed.collect()
}

pub(crate) fn run(plugin: &str, observed: bool, home: &Home, format: Format) -> Result<Exit, Failure> {
    let mut broken = None;
    let entries = Reader::open(&home.audit).map_err(|error| audit::failed(&error))?;
    let entries = entries.map_while(|entry| entry.map_err(|error| broken = Some(error)).ok());
    let (attempts, plugin_type) = denied(entries, plugin, observed);
    if let Some(error) = broken {
        return Err(audit::failed(&error));
    }
    let proposals = proposals(&attempts, plugin_type);
    match format {
        Format::Json => {
            let proposals: Vec<_> = proposals
                .iter()
                .map(|Proposal { scope, denials, warning, in_profile }| {
                    json!({
                        "scope": scope.to_string(), "denials": denials, "warning": warning, "in_profile": in_profile,
                        "capability": scope.capability(), "resource": scope.resource(),
                    })
                })
                .collect();
            output::document(&json!({ "schema": SCHEMA, "plugin": plugin, "suggested": proposals }));
        }
        Format::Text if proposals.is_empty() => {
            output::note(&format!(
                "note: the log has no denial of {} that a grant would have allowed",
                safe(plugin)
            ));
        }
        Format::Text => {
            for Proposal { scope, denials, warning, in_profile } in &proposals {
                let scope = safe(&scope.to_string());
                let times = if *denials == 1 { "1 denial".to_owned() } else { format!("{denials} denials") };
                match (warning, in_profile) {
                    (Some(warning), _) => {
                        output::line(&format!("! {scope}  ({times}): do not grant this: {warning}"))
                    }
                    (None, false) => {
                        output::line(&format!("! {scope}  ({times}): above the ceiling of its profile"))
                    }
                    (None, true) => output::line(&format!("+ {scope}  ({times})")),
                }
            }
            output::note("note: nothing was granted; each + can be asked for in the manifest, and approved");
        }
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(operation: &str, resource: &str) -> (Attempt, u64) {
        (Attempt::parse(operation, resource).unwrap(), 1)
    }

    fn shown(attempts: &[(Attempt, u64)], plugin_type: PluginType) -> Vec<String> {
        let shown = |proposal: &Proposal| {
            let sign = if proposal.warning.is_some() || !proposal.in_profile { "!" } else { "+" };
            format!("{sign} {} {}", proposal.scope, proposal.denials)
        };
        proposals(attempts, Some(plugin_type)).iter().map(shown).collect()
    }

    #[test]
    fn denials_become_the_smallest_scopes() {
        let attempts = [
            attempt("http", "GET https://api.example.org/v1"),
            attempt("http", "GET https://api.example.org/v1?q=1"),
            attempt("http", "GET http://169.254.169.254/latest"),
            attempt("fs.read", "/src/a"),
            attempt("secret", "token@POST https://api.example.org/v1"),
            attempt("socket", ""),
        ];
        assert_eq!(
            shown(&attempts, PluginType::Integration),
            [
                "! fs.read:/src 1",
                "+ http:GET api.example.org/v1 2",
                "! http:GET http://169.254.169.254/latest 1",
                "+ secret:token@POST api.example.org/v1 1"
            ]
        );
        let home = [
            attempt("fs.read", "/home/ann/notes.txt"),
            attempt("fs.read", "/src/a/x"),
            attempt("fs.read", "/src/y"),
        ];
        assert_eq!(shown(&home, PluginType::QualityGate), ["! fs.read:/home/ann 1", "+ fs.read:/src 1"]);
    }

    #[test]
    fn many_paths_of_one_host_are_one_scope() {
        let many: Vec<_> = (0..20)
            .map(|number| attempt("http", &format!("GET https://api.example.org/item/{number}")))
            .collect();
        assert_eq!(shown(&many, PluginType::Integration), ["+ http:api.example.org 20"]);
    }
}

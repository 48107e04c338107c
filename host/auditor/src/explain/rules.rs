//! What rules say, and where they come from: as data.

/// Rules that stand in no document, by their id.
const BUILT_IN: &[(&str, &str)] = &[
    ("guest-path", "a path has one form, and no honest worker sends another"),
    ("phase-table", "which message may come when; there is one table, and whoever breaks it is ended"),
    ("http.target", "a request has one form, and no honest worker sends another"),
    ("http.requests", "a request that is on its way has a number, and no honest worker names another"),
    (
        "http.address",
        "a name may be granted and still lead to an address that is closed to plugins: loopback, private, \
     link-local, and the like",
    ),
    ("http.certificate", "a server has to prove that it is the one that was meant"),
    ("fs.open-files", "an open file has a number, and no honest worker names another"),
    ("fs.beneath", "a granted path has to be reached without leaving the granted tree"),
    ("tool.depth", "a chain of plugins that call each other has a greatest length"),
    ("tool.cycle", "a plugin that waits for this one is not called by it"),
];

/// Rules of limits, by their id.
const LIMITS: &[(&str, &str)] = &[
    ("deadline", "a call has so much time, and no more"),
    ("log_lines_per_second", "a plugin may write so many log lines a second"),
    ("breaker", "a plugin whose calls fail is left alone for a while"),
    ("control.uids", "who may control the host stands in its configuration"),
    ("default", "what the filter does not allow by name it refuses"),
    ("ends-the-program", "a filter under which the host itself was started ends who makes this call"),
    ("deny-all", "the Landlock ruleset of a worker allows nothing, whatever the path"),
];

/// What a rule says, in words, where it is known by its id.
pub(super) fn meaning(id: &str) -> Option<String> {
    if id.starts_with("default-deny:") {
        return Some("what is not granted is refused, and nothing that was granted covers it".to_owned());
    }
    if let Some(number) = id.strip_prefix("approval:") {
        return Some(format!("it is approval {number} in the book of approvals"));
    }
    for (prefix, of) in [("per_call.", "one call"), ("per_day.", "one day")] {
        if let Some(unit) = id.strip_prefix(prefix) {
            return Some(format!("the budget of {of} in {}", unit.replace('_', " ")));
        }
    }
    let known = BUILT_IN.iter().chain(LIMITS).find(|(known, _)| *known == id);
    known.map(|(_, meaning)| (*meaning).to_owned())
}

/// Whether nothing can make this rule say yes: it is about what honest workers do, or about what nobody grants.
pub(super) fn is_final(id: &str) -> bool {
    matches!(id, "guest-path" | "phase-table" | "http.target" | "http.requests" | "fs.open-files")
        || id == "default-deny:socket"
}

/// Where a rule comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin<'a> {
    /// `profile TYPE vN`
    Profile { of: &'a str, version: &'a str },
    /// `policy vN, rule ID, line L`
    Policy { version: &'a str, rule: &'a str, line: &'a str },
    /// `approval N by WHO`
    Approval { number: i64, by: &'a str },
    /// One of a few fixed words, with what it means.
    Known(&'static str),
    /// Anything else: shown as it is.
    Other,
}

/// The sources that are one fixed text.
const SOURCES: &[(&str, &str)] = &[
    ("command line", "an operator said so on the command line"),
    ("embedding program", "the program that Stockade is built into said so"),
    ("built-in", "it is built into Stockade and stands in no document"),
    (
        "seccomp filter",
        "it stands in the filter of the plugin's profile (worker/seal/filters), which the kernel holds \
     the worker to",
    ),
    ("call", "whoever made the call said how much time it has"),
    ("profile", "the profile of the plugin's type says so"),
    ("profile or operator", "the profile of the plugin's type says so, or the operator who gave less"),
    ("supervision", "the host's supervision does so by itself"),
    ("configuration", "the configuration of the host says so"),
    ("book of approvals", "it is a line of the book of approvals"),
];

pub(super) fn origin(source: &str) -> Origin<'_> {
    let profile = || {
        let (of, version) = source.strip_prefix("profile ")?.rsplit_once(" v")?;
        Some(Origin::Profile { of, version })
    };
    let policy = || {
        let (version, rest) = source.strip_prefix("policy v")?.split_once(", rule ")?;
        let (rule, line) = rest.rsplit_once(", line ")?;
        Some(Origin::Policy { version, rule, line })
    };
    let approval = || {
        let (number, by) = source.strip_prefix("approval ")?.split_once(" by ")?;
        Some(Origin::Approval { number: number.parse().ok()?, by })
    };
    let known = SOURCES.iter().find(|(known, _)| *known == source).map(|(_, words)| Origin::Known(words));
    known.or_else(profile).or_else(policy).or_else(approval).unwrap_or(Origin::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_source_is_read() {
        assert_eq!(origin("profile quality_gate v4"), Origin::Profile { of: "quality_gate", version: "4" });
        assert_eq!(
            origin("policy v4, rule no-trackers, line 12"),
            Origin::Policy { version: "4", rule: "no-trackers", line: "12" }
        );
        assert_eq!(origin("approval 7 by ann, bob"), Origin::Approval { number: 7, by: "ann, bob" });
        assert!(matches!(origin("command line"), Origin::Known(_)));
        assert_eq!(origin("profile x"), Origin::Other);
        assert_eq!(origin("approval x by y"), Origin::Other);
    }

    #[test]
    fn rules_of_every_kind_have_a_meaning() {
        for id in ["default-deny:fs.read", "approval:3", "per_day.http_bytes", "fs.beneath", "deadline"] {
            assert!(meaning(id).is_some(), "{id}");
        }
        assert_eq!(meaning("fs.read:/src"), None);
    }
}

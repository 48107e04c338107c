use std::process::ExitCode;

/// How the program ends. The numbers are a promise: scripts branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It worked.
    Ok = 0,
    /// The tool ran and reported an error, or trapped.
    ToolError = 1,
    /// The command line, or what it names, is wrong.
    Usage = 2,
    /// A grant was refused, or the worker was ended: for a forbidden call, at a limit, at its deadline.
    Refused = 3,
    /// The plugin is not one that can run here.
    BadPlugin = 4,
    /// This machine, or this installation, cannot confine plugins.
    UnsupportedHost = 5,
    /// The audit log cannot be written or read, or does not verify.
    Audit = 6,
    /// An attack did what must not be possible, or left no evidence.
    Attack = 7,
    /// No host runs here, or it cannot do its work now.
    NotReady = 8,
}

/// The table for `--help`.
pub(crate) const TABLE: &str = "\
Exit codes:
  0  it worked
  1  the tool ran and reported an error, or trapped
  2  the command line, or what it names, is wrong (also arguments that do not fit the tool)
  3  a grant was refused, or the worker was ended: for a forbidden call, at a limit, at its deadline
  4  the plugin is not one that can run here
  5  this machine, or this installation, cannot confine plugins
  6  the audit log cannot be written or read, or does not verify
  7  an attack case is broken: it did what must not be possible, or left no evidence
  8  no host runs here, or it cannot do its work now";

/// The codes of problems that are not the plugin's fault; every other code that comes up while a plugin
/// is read and loaded is.
const CODES: &[(&str, Exit)] = &[
    ("key-file", Exit::Usage),
    ("key-exposed", Exit::Usage),
    ("bad-key", Exit::Usage),
    ("unwritable", Exit::Usage),
    ("bad-reference", Exit::Usage),
    ("bad-target-version", Exit::Usage),
    ("host-decides", Exit::Usage),
    ("index-needed", Exit::Usage),
    ("index-name-needed", Exit::Usage),
    ("source-needed", Exit::Usage),
    ("not-in-index", Exit::Usage),
    ("no-version-fits", Exit::Usage),
    ("resolution-too-hard", Exit::Usage),
    ("not-locked", Exit::Refused),
    ("lock-drift", Exit::Refused),
    ("installed-drift", Exit::Refused),
    ("other-version", Exit::Refused),
    ("index-not-signed", Exit::Refused),
    ("index-other-signer", Exit::Refused),
    ("index-not-trusted", Exit::Refused),
    ("index-rolled-back", Exit::Refused),
    ("index-forked", Exit::Refused),
    ("index-expired", Exit::Refused),
    ("index-ahead", Exit::Refused),
    ("index-of-another-name", Exit::Refused),
    ("not-installed", Exit::Usage),
    ("installed-already", Exit::Usage),
    ("other-plugin", Exit::Usage),
    ("manifest-needed", Exit::Usage),
    ("up-to-date", Exit::Ok),
    ("nothing-before", Exit::Usage),
    ("still-needed", Exit::Refused),
    ("waits-for-approval", Exit::Refused),
    ("not-signed", Exit::Refused),
    ("other-signer", Exit::Refused),
    ("older-version", Exit::Refused),
    ("version-republished", Exit::Refused),
    ("digest-mismatch", Exit::Refused),
    ("download-failed", Exit::Usage),
    ("package-changed", Exit::Audit),
    ("inventory-exchanged", Exit::Audit),
    ("inventory-broken", Exit::UnsupportedHost),
    ("install-file", Exit::UnsupportedHost),
    ("install-busy", Exit::NotReady),
    ("tag-needed", Exit::Usage),
    ("registry-credentials", Exit::Usage),
    ("registry-unreachable", Exit::Usage),
    ("registry-unauthorized", Exit::Usage),
    ("registry-refused", Exit::Usage),
    ("not-in-registry", Exit::Usage),
    ("type-needed", Exit::Usage),
    ("type-conflict", Exit::Usage),
    ("plugin-not-found", Exit::Usage),
    ("plugin-unreadable", Exit::Usage),
    ("unknown-tool", Exit::Usage),
    ("bad-arguments", Exit::Usage),
    ("arguments-not-json", Exit::Usage),
    ("arguments-too-long", Exit::Usage),
    ("grant-missing", Exit::Usage),
    ("grant-not-a-directory", Exit::Usage),
    ("grant-unreadable", Exit::Usage),
    ("grant-conflict", Exit::Usage),
    ("config-mismatch", Exit::Usage),
    ("secret-unavailable", Exit::Usage),
    ("not-a-certificate", Exit::Usage),
    ("bad-store", Exit::Usage),
    ("store-taken", Exit::Usage),
    ("store-broken", Exit::UnsupportedHost),
    ("limit-above-maximum", Exit::Usage),
    ("config-too-large", Exit::Usage),
    ("above-ceiling", Exit::Refused),
    ("forbidden-by-policy", Exit::Refused),
    ("above-policy", Exit::Refused),
    ("addresses-not-allowed", Exit::Refused),
    ("approval-ended", Exit::Refused),
    ("not-an-approver", Exit::Refused),
    ("approved-already", Exit::Refused),
    ("grants-changed", Exit::Refused),
    ("approvals-file", Exit::UnsupportedHost),
    ("approvals-unsound", Exit::Audit),
    ("approvals-rolled-back", Exit::Audit),
    ("unknown-approval", Exit::Usage),
    ("bad-approval", Exit::Usage),
    ("too-many-grants", Exit::Refused),
    ("compile-cap", Exit::Refused),
    ("forbidden-call", Exit::Refused),
    ("foreign-filter", Exit::Refused),
    ("protocol-fault", Exit::Refused),
    ("deadline", Exit::Refused),
    ("worker-died", Exit::Refused),
    ("memory-limit", Exit::Refused),
    ("backing-off", Exit::Refused),
    ("unsupported-host", Exit::UnsupportedHost),
    ("program-missing", Exit::UnsupportedHost),
    ("state-folder", Exit::UnsupportedHost),
    ("launch-failed", Exit::UnsupportedHost),
    ("not-attested", Exit::UnsupportedHost),
    ("memory", Exit::UnsupportedHost),
    ("threads", Exit::UnsupportedHost),
    ("host-resources", Exit::UnsupportedHost),
    ("stopped", Exit::UnsupportedHost),
    ("attack-fixtures", Exit::UnsupportedHost),
    ("attack-catalogue", Exit::UnsupportedHost),
    ("unknown-case", Exit::Usage),
    ("audit-log", Exit::Audit),
    ("no-host", Exit::NotReady),
    ("control-broken", Exit::NotReady),
    ("control-version", Exit::NotReady),
    ("control-socket", Exit::UnsupportedHost),
    ("busy", Exit::NotReady),
    ("not-permitted", Exit::Refused),
    ("unknown-plugin", Exit::Usage),
    ("too-long", Exit::Usage),
    ("bad-level", Exit::Usage),
    ("bad-supervision", Exit::Usage),
    ("reload-refused", Exit::BadPlugin),
    ("restart-needed", Exit::Usage),
    ("bad-file", Exit::Usage),
    ("bad-collector", Exit::Usage),
    ("otel-missing", Exit::Usage),
    ("plugin-twice", Exit::Usage),
    ("too-many-plugins", Exit::Usage),
    ("state-in-use", Exit::UnsupportedHost),
    ("history-broken", Exit::UnsupportedHost),
    ("plugin-stopped", Exit::Refused),
    ("breaker-open", Exit::Refused),
    ("queue-full", Exit::Refused),
    ("timed-out", Exit::Refused),
];

impl Exit {
    /// The exit that a problem's code stands for.
    pub(crate) fn of_code(code: &str) -> Self {
        // Of the policy document, which the operator wrote.
        if code.starts_with("policy-") {
            return Self::Usage;
        }
        CODES.iter().find(|(known, _)| *known == code).map_or(Self::BadPlugin, |(_, exit)| *exit)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_stands_in_the_help() {
        for exit in [
            Exit::Ok,
            Exit::ToolError,
            Exit::Usage,
            Exit::Refused,
            Exit::BadPlugin,
            Exit::UnsupportedHost,
            Exit::Audit,
            Exit::Attack,
            Exit::NotReady,
        ] {
            assert!(TABLE.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }

    #[test]
    fn a_code_that_nobody_listed_is_the_plugins_fault() {
        assert_eq!(Exit::of_code("unknown-import"), Exit::BadPlugin);
        assert_eq!(Exit::of_code("audit-log"), Exit::Audit);
    }
}

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{PluginType, Scope};

/// Which document a rule stands in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Source {
    /// A default of the profile.
    Profile {
        /// Whose profile.
        plugin_type: PluginType,
        /// The profile document's version.
        version: u32,
    },
    /// The operator's command line.
    CommandLine,
    /// The embedding program.
    Embedder,
    /// Nothing was written down; the built-in answer is no.
    BuiltIn,
    /// A rule of the organisation's policy.
    Policy {
        /// The policy document's version.
        version: u32,
        /// The rule.
        id: String,
        /// Where it stands.
        line: u32,
    },
    /// An approval.
    Approval {
        /// Its number in the book of approvals.
        number: u64,
        /// Who gave it: users of the machine.
        by: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile { plugin_type, version } => write!(f, "profile {plugin_type} v{version}"),
            Self::CommandLine => f.write_str("command line"),
            Self::Embedder => f.write_str("embedding program"),
            Self::BuiltIn => f.write_str("built-in"),
            Self::Policy { version, id, line } => write!(f, "policy v{version}, rule {id}, line {line}"),
            Self::Approval { number, by } => write!(f, "approval {number} by {by}"),
        }
    }
}

/// A rule and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// Stable within its source: `fs.read:/src`, `default-deny`.
    pub id: String,
    /// The document.
    pub source: Source,
}

impl Rule {
    /// A rule that stands in no document.
    pub fn built_in(id: impl Into<String>) -> Rule {
        Rule { id: id.into(), source: Source::BuiltIn }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id, self.source)
    }
}

/// One thing a plugin may do, and which rule says so.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// What it opens.
    pub scope: Scope,
    /// Which rule says so.
    pub rule: Rule,
}

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The four kinds of plugin. Each runs under the profile of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginType {
    /// Pure computation.
    Node,
    /// Talks to listed https services.
    Integration,
    /// Uses tools and models under caps.
    Agent,
    /// Reads a tree and reports on it.
    QualityGate,
}

/// A plugin type that is none of the four.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown plugin type {0:?}; the types are node, integration, agent, quality_gate")]
pub struct UnknownPluginType(pub String);

impl PluginType {
    /// All four, in the order of the documents.
    pub const ALL: [PluginType; 4] = [Self::Node, Self::Integration, Self::Agent, Self::QualityGate];

    /// The name used in manifests, profiles, filter files and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Integration => "integration",
            Self::Agent => "agent",
            Self::QualityGate => "quality_gate",
        }
    }
}

impl fmt::Display for PluginType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PluginType {
    type Err = UnknownPluginType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|t| t.as_str() == text).ok_or_else(|| UnknownPluginType(text.to_owned()))
    }
}

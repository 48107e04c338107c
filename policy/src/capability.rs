use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What can be granted. One capability has one name everywhere: grant, ask, record, broker arm, test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Capability {
    /// Read files and directories below a guest path.
    #[serde(rename = "fs.read")]
    FsRead,
    /// Change files that are there, below a guest path: content, size, times.
    #[serde(rename = "fs.write")]
    FsWrite,
    /// Make files and directories below a guest path, and write what was made through the descriptor that made it.
    #[serde(rename = "fs.create")]
    FsCreate,
    /// Remove files and directories below a guest path, or move them away.
    #[serde(rename = "fs.delete")]
    FsDelete,
    /// Outgoing requests that the host sends.
    #[serde(rename = "http")]
    Http,
    /// A named secret, filled in by the host.
    #[serde(rename = "secret")]
    Secret,
    /// The plugin's own key-value store.
    #[serde(rename = "kv")]
    Kv,
    /// A configuration value that the operator set.
    #[serde(rename = "config")]
    Config,
    /// Lines for the operator; stdout and stderr too.
    #[serde(rename = "log")]
    Log,
    /// Wall and monotonic time.
    #[serde(rename = "clock")]
    Clock,
    /// Random bytes from the kernel.
    #[serde(rename = "random")]
    Random,
    /// A tool of another plugin.
    #[serde(rename = "tool")]
    Tool,
    /// A language model that the operator configured.
    #[serde(rename = "model")]
    Model,
}

/// A capability name that does not exist.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown capability {0:?}")]
pub struct UnknownCapability(pub String);

impl Capability {
    /// Every capability.
    pub const ALL: [Capability; 13] = [
        Self::FsRead,
        Self::FsWrite,
        Self::FsCreate,
        Self::FsDelete,
        Self::Http,
        Self::Secret,
        Self::Kv,
        Self::Config,
        Self::Log,
        Self::Clock,
        Self::Random,
        Self::Tool,
        Self::Model,
    ];

    /// Its one name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FsRead => "fs.read",
            Self::FsWrite => "fs.write",
            Self::FsCreate => "fs.create",
            Self::FsDelete => "fs.delete",
            Self::Http => "http",
            Self::Secret => "secret",
            Self::Kv => "kv",
            Self::Config => "config",
            Self::Log => "log",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Tool => "tool",
            Self::Model => "model",
        }
    }

    /// Whether a grant of it names a resource (a path, a host, a key); the others are all or nothing.
    pub const fn takes_resource(self) -> bool {
        !matches!(self, Self::Log | Self::Clock | Self::Random | Self::Kv)
    }

    /// What its resources look like.
    pub const fn expects(self) -> &'static str {
        match self {
            Self::FsRead | Self::FsWrite | Self::FsCreate | Self::FsDelete => {
                "an absolute path in the plugin's view, as \"/src\""
            }
            Self::Http => {
                "[METHODS ][SCHEME://]HOST[:PORT][/PATH] in lower case, as \"api.example.org\" or \"GET *.example.org/v1\""
            }
            Self::Config => "a key, as \"region\", or a prefix, as \"db.*\"",
            Self::Secret => "a name and the requests it is for, as \"token@api.example.org\"",
            Self::Model => "a name of letters, digits, -, _ and .",
            Self::Tool => "publisher/plugin#tool",
            Self::Log | Self::Clock | Self::Random | Self::Kv => "nothing",
        }
    }

    /// Whether a grant of it opens a directory of the host.
    pub const fn is_fs(self) -> bool {
        matches!(self, Self::FsRead | Self::FsWrite | Self::FsCreate | Self::FsDelete)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Capability {
    type Err = UnknownCapability;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|c| c.as_str() == text).ok_or_else(|| UnknownCapability(text.to_owned()))
    }
}

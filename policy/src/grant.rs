use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Capability, GuestPath, HttpScope, PluginType, SecretScope};

/// What one grant opens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Reading `root` and everything below it.
    FsRead {
        /// Where the tree stands in the guest's view.
        root: GuestPath,
    },
    /// Changing what is below `root`.
    FsWrite {
        /// Where the tree stands in the guest's view.
        root: GuestPath,
    },
    /// Making files and directories below `root`.
    FsCreate {
        /// Where the tree stands in the guest's view.
        root: GuestPath,
    },
    /// Removing what is below `root`.
    FsDelete {
        /// Where the tree stands in the guest's view.
        root: GuestPath,
    },
    /// Outgoing requests.
    Http {
        /// Which ones.
        to: HttpScope,
    },
    /// One named secret, filled into requests.
    Secret {
        /// Which, and into which requests.
        secret: SecretScope,
    },
    /// The plugin's own store.
    Kv,
    /// One configuration key.
    Config {
        /// The key; a trailing `*` covers every key with the prefix before it.
        key: String,
    },
    /// Lines for the operator.
    Log,
    /// Wall and monotonic time.
    Clock,
    /// Random bytes.
    Random,
    /// One tool of another plugin.
    Tool {
        /// `publisher/plugin#tool`.
        name: String,
    },
    /// One model.
    Model {
        /// The operator's name for it.
        name: String,
    },
}

impl Scope {
    /// The capability that this scope belongs to.
    pub const fn capability(&self) -> Capability {
        match self {
            Self::FsRead { .. } => Capability::FsRead,
            Self::FsWrite { .. } => Capability::FsWrite,
            Self::FsCreate { .. } => Capability::FsCreate,
            Self::FsDelete { .. } => Capability::FsDelete,
            Self::Http { .. } => Capability::Http,
            Self::Secret { .. } => Capability::Secret,
            Self::Kv => Capability::Kv,
            Self::Config { .. } => Capability::Config,
            Self::Log => Capability::Log,
            Self::Clock => Capability::Clock,
            Self::Random => Capability::Random,
            Self::Tool { .. } => Capability::Tool,
            Self::Model { .. } => Capability::Model,
        }
    }

    /// The resource it names, if it names one.
    pub fn resource(&self) -> Option<&str> {
        match self {
            Self::FsRead { root }
            | Self::FsWrite { root }
            | Self::FsCreate { root }
            | Self::FsDelete { root } => Some(root.as_str()),
            Self::Http { to } => Some(to.as_str()),
            Self::Secret { secret } => Some(secret.as_str()),
            Self::Tool { name } | Self::Model { name } => Some(name),
            Self::Config { key } => Some(key),
            Self::Kv | Self::Log | Self::Clock | Self::Random => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.resource() {
            Some(resource) => write!(f, "{}:{resource}", self.capability()),
            None => write!(f, "{}", self.capability()),
        }
    }
}

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
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile { plugin_type, version } => write!(f, "profile {plugin_type} v{version}"),
            Self::CommandLine => f.write_str("command line"),
            Self::Embedder => f.write_str("embedding program"),
            Self::BuiltIn => f.write_str("built-in"),
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

/// Everything that a plugin may do. Empty means: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// The grants of a plugin that may do nothing.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Adds one. The first that covers an ask is the one that a decision names.
    pub fn add(&mut self, grant: Grant) {
        self.0.push(grant);
    }

    /// All of them, in the order they were added.
    pub fn iter(&self) -> std::slice::Iter<'_, Grant> {
        self.0.iter()
    }

    /// Whether any grant of `capability` is there.
    pub fn has(&self, capability: Capability) -> bool {
        self.0.iter().any(|g| g.scope.capability() == capability)
    }

    /// The names of the tools that may be called, in order.
    pub fn tools(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|grant| match &grant.scope {
            Scope::Tool { name } => Some(name.as_str()),
            _ => None,
        })
    }

    /// The names of the models that may be asked, in order.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|grant| match &grant.scope {
            Scope::Model { name } => Some(name.as_str()),
            _ => None,
        })
    }

    /// The roots of the trees that anything is granted in, each once, in order.
    pub fn roots(&self) -> Vec<&GuestPath> {
        let mut roots = Vec::new();
        for grant in &self.0 {
            if let Scope::FsRead { root }
            | Scope::FsWrite { root }
            | Scope::FsCreate { root }
            | Scope::FsDelete { root } = &grant.scope
                && !roots.contains(&root)
            {
                roots.push(root);
            }
        }
        roots
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Capability, GuestPath, HttpScope, SecretScope, is_name, is_plugin_name, is_tool_name};

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

/// Why a text names nothing that could be granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// No such capability.
    #[error("there is no capability {0:?}")]
    Capability(String),
    /// The capability is granted for a resource, and none is named.
    #[error("{0} is granted for a resource, and none is named")]
    Missing(Capability),
    /// The capability is granted as a whole.
    #[error("{0} is granted as a whole, and takes no resource")]
    Superfluous(Capability),
    /// The resource is none of the capability.
    #[error("{resource:?} is no resource of {capability}: {expected}", expected = .capability.expects())]
    Resource {
        /// Whose.
        capability: Capability,
        /// What was written.
        resource: String,
    },
}

impl Scope {
    /// The scope of a capability and a resource, if the capability takes one.
    pub fn of(capability: Capability, resource: Option<&str>) -> Result<Scope, ScopeError> {
        match resource {
            None if capability.takes_resource() => Err(ScopeError::Missing(capability)),
            Some(_) if !capability.takes_resource() => Err(ScopeError::Superfluous(capability)),
            resource => {
                let resource = resource.unwrap_or_default();
                Scope::of_resource(capability, resource)
                    .ok_or_else(|| ScopeError::Resource { capability, resource: resource.to_owned() })
            }
        }
    }

    fn of_resource(capability: Capability, resource: &str) -> Option<Scope> {
        let named = || is_name(resource).then(|| resource.to_owned());
        let root = || GuestPath::parse(resource).ok();
        Some(match capability {
            Capability::FsRead => Scope::FsRead { root: root()? },
            Capability::FsWrite => Scope::FsWrite { root: root()? },
            Capability::FsCreate => Scope::FsCreate { root: root()? },
            Capability::FsDelete => Scope::FsDelete { root: root()? },
            Capability::Http => Scope::Http { to: resource.parse().ok()? },
            Capability::Secret => Scope::Secret { secret: resource.parse().ok()? },
            Capability::Model => Scope::Model { name: named()? },
            Capability::Config => {
                let key = resource.strip_suffix('*').unwrap_or(resource);
                (is_name(key) || resource == "*").then(|| Scope::Config { key: resource.to_owned() })?
            }
            Capability::Tool => {
                let (plugin, tool) = resource.split_once('#')?;
                (is_plugin_name(plugin) && is_tool_name(tool))
                    .then(|| Scope::Tool { name: resource.to_owned() })?
            }
            Capability::Kv => Scope::Kv,
            Capability::Log => Scope::Log,
            Capability::Clock => Scope::Clock,
            Capability::Random => Scope::Random,
        })
    }

    /// Whether everything that `other` opens is opened by this one too.
    pub fn contains(&self, other: &Scope) -> bool {
        match (self, other) {
            (Self::FsRead { root }, Self::FsRead { root: inner })
            | (Self::FsWrite { root }, Self::FsWrite { root: inner })
            | (Self::FsCreate { root }, Self::FsCreate { root: inner })
            | (Self::FsDelete { root }, Self::FsDelete { root: inner }) => inner.below(root).is_some(),
            (Self::Http { to }, Self::Http { to: inner }) => to.contains(inner),
            (Self::Secret { secret }, Self::Secret { secret: inner }) => {
                secret.name() == inner.name() && secret.to().contains(inner.to())
            }
            (Self::Config { key }, Self::Config { key: inner }) => match key.strip_suffix('*') {
                Some(prefix) => inner.strip_suffix('*').unwrap_or(inner).starts_with(prefix),
                None => key == inner,
            },
            (one, other) => one == other,
        }
    }

    /// Whether something is opened by both.
    pub fn overlaps(&self, other: &Scope) -> bool {
        match (self, other) {
            (Self::FsRead { root }, Self::FsRead { root: inner })
            | (Self::FsWrite { root }, Self::FsWrite { root: inner })
            | (Self::FsCreate { root }, Self::FsCreate { root: inner })
            | (Self::FsDelete { root }, Self::FsDelete { root: inner }) => {
                inner.below(root).is_some() || root.below(inner).is_some()
            }
            (Self::Http { to }, Self::Http { to: inner }) => to.overlaps(inner),
            (Self::Secret { secret }, Self::Secret { secret: inner }) => {
                secret.name() == inner.name() && secret.to().overlaps(inner.to())
            }
            (one, other) => one.contains(other) || other.contains(one),
        }
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    /// `http:api.example.org`, `kv`: as it is shown.
    fn from_str(text: &str) -> Result<Scope, ScopeError> {
        let (capability, resource) = match text.split_once(':') {
            Some((capability, resource)) => (capability, Some(resource)),
            None => (text, None),
        };
        let capability = capability.parse().map_err(|_| ScopeError::Capability(capability.to_owned()))?;
        Scope::of(capability, resource)
    }
}

/// What of one capability is meant: all of it, or what a scope opens. As a text: `http`, `http:*.example.org`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Everything.
    All(Capability),
    /// What the scope opens.
    Some(Scope),
}

impl Pattern {
    /// Whether all that the scope opens is meant.
    pub fn contains(&self, scope: &Scope) -> bool {
        match self {
            Self::All(capability) => scope.capability() == *capability,
            Self::Some(meant) => meant.contains(scope),
        }
    }

    /// Whether something that the scope opens is meant.
    pub fn overlaps(&self, scope: &Scope) -> bool {
        match self {
            Self::All(capability) => scope.capability() == *capability,
            Self::Some(meant) => meant.overlaps(scope),
        }
    }
}

impl FromStr for Pattern {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Pattern, ScopeError> {
        match text.parse::<Capability>() {
            Ok(capability) if capability.takes_resource() => Ok(Self::All(capability)),
            _ => text.parse().map(Self::Some),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(capability) => capability.fmt(f),
            Self::Some(scope) => scope.fmt(f),
        }
    }
}

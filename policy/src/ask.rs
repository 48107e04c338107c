use std::borrow::Cow;

use crate::{Capability, GuestPath, HttpTarget};

/// One thing that a plugin tries. Every attempt that reaches a resource is one of these, on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// Open, stat or list `path`.
    FsRead {
        /// The whole path in the guest's view.
        path: &'a GuestPath,
    },
    /// Change the file at `path`.
    FsWrite {
        /// The whole path in the guest's view.
        path: &'a GuestPath,
    },
    /// Make `path`, which is not there.
    FsCreate {
        /// The whole path in the guest's view.
        path: &'a GuestPath,
    },
    /// Remove `path`.
    FsDelete {
        /// The whole path in the guest's view.
        path: &'a GuestPath,
    },
    /// Send a request.
    Http {
        /// Where it goes, in canonical form.
        target: &'a HttpTarget,
    },
    /// Fill the secret `name` into a request.
    Secret {
        /// Its name.
        name: &'a str,
        /// Where the request goes.
        target: &'a HttpTarget,
    },
    /// Use the plugin's store.
    Kv,
    /// Read the configuration value `key`.
    Config {
        /// The key.
        key: &'a str,
    },
    /// Write a line for the operator.
    Log,
    /// Read a clock or wait.
    Clock,
    /// Read random bytes.
    Random,
    /// Call a tool of another plugin.
    Tool {
        /// `publisher/plugin#tool`.
        name: &'a str,
    },
    /// Ask a model.
    Model {
        /// The operator's name for it.
        name: &'a str,
    },
    /// Use a socket in any way. Nothing grants it: network access is `http`, done by the host.
    Socket,
}

impl<'a> Ask<'a> {
    /// What has to be granted for it; none where nothing can be.
    pub const fn capability(&self) -> Option<Capability> {
        Some(match self {
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
            Self::Socket => return None,
        })
    }

    /// The operation's name in records: the capability's, or `socket`.
    pub const fn operation(&self) -> &'static str {
        match self.capability() {
            Some(capability) => capability.as_str(),
            None => "socket",
        }
    }

    /// What it is aimed at, as [`Attempt::parse`](crate::Attempt::parse) reads it; empty where the operation has no
    /// resource.
    pub fn resource(&self) -> Cow<'a, str> {
        let text = match *self {
            Self::FsRead { path }
            | Self::FsWrite { path }
            | Self::FsCreate { path }
            | Self::FsDelete { path } => path.as_str(),
            Self::Http { target } => target.as_str(),
            Self::Secret { name, target } => return Cow::Owned(format!("{name}@{}", target.as_str())),
            Self::Tool { name } | Self::Model { name } => name,
            Self::Config { key } => key,
            Self::Kv | Self::Log | Self::Clock | Self::Random | Self::Socket => "",
        };
        Cow::Borrowed(text)
    }
}

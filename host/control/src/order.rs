//! Changes of what is installed, as somebody asks for them. Paths are absolute: a host stands elsewhere.

use std::path::PathBuf;

use semver::Version;
use serde::{Deserialize, Serialize};
use stockade_host::install::{Allow, Done};

use crate::message::{Reloaded, RemoteProblem};

/// A change of what is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// A plugin that is not there.
    Install {
        /// Where its package is.
        place: Place,
        /// What it gets, as it is written down.
        setup: String,
        /// The digest that its package has to have.
        digest: Option<String>,
        /// What is let pass.
        allow: Allow,
        /// Whether hosts run it from here on.
        enable: bool,
    },
    /// Another package of one that is. Without a place, the one that waits for an approval.
    Update {
        /// `publisher/name`.
        plugin: String,
        /// Where the package is.
        place: Option<Place>,
        /// What it gets; what it got before, if not said.
        setup: Option<String>,
        /// The digest that the package has to have.
        digest: Option<String>,
        /// What is let pass.
        allow: Allow,
    },
    /// Back to a version before.
    Rollback {
        /// `publisher/name`.
        plugin: String,
        /// To which; the last one, if not said.
        to: Option<Version>,
    },
    /// It is to be gone.
    Uninstall {
        /// `publisher/name`.
        plugin: String,
        /// Even if others need it.
        even_if_needed: bool,
    },
    /// Whether hosts run it.
    Enable {
        /// `publisher/name`.
        plugin: String,
        /// They do, or do not.
        enabled: bool,
    },
}

/// Where a package is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Place {
    /// A file, a plugin's folder, an address, or a registry.
    At(String),
    /// Wherever an index says.
    Listed {
        /// `publisher/name`, or `publisher/name@RANGE`.
        wanted: String,
        /// A file, or an address.
        index: String,
        /// The lock file.
        lock: Option<PathBuf>,
        /// Only what is in it is taken, and it stays as it is.
        locked: bool,
    },
}

/// Changes that were made, and what the host has made of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The last is what was asked for, and those before are what that needs.
    pub done: Vec<Done>,
    /// Which plugins that has changed in the host; or why they run on as before.
    pub reloaded: Result<Reloaded, RemoteProblem>,
}

/// A change that was not made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotChanged {
    /// Why.
    pub problem: RemoteProblem,
    /// How far it came: what a program reads besides.
    pub more: serde_json::Map<String, serde_json::Value>,
}

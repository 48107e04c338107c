use std::path::PathBuf;

use stockade_package::Package;
use stockade_policy::{GuestPath, Source};

use crate::host::Config;

/// What to load, and what it may do.
#[derive(Debug)]
#[must_use]
pub struct LoadRequest {
    pub(crate) package: Package,
    pub(crate) grants: Vec<GrantRequest>,
    pub(crate) config: Config,
    pub(crate) memory_bytes: Option<u64>,
}

/// An operator's yes to one resource of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRequest {
    pub(crate) root: GuestPath,
    pub(crate) directory: PathBuf,
    pub(crate) source: Source,
}

impl GrantRequest {
    /// Reading `directory` of the host and everything below it; the plugin sees it as `root`.
    pub fn read_tree(directory: impl Into<PathBuf>, root: GuestPath) -> GrantRequest {
        GrantRequest { root, directory: directory.into(), source: Source::Embedder }
    }

    /// Says where the grant comes from; records name it.
    #[must_use]
    pub fn from_source(mut self, source: Source) -> GrantRequest {
        self.source = source;
        self
    }
}

impl LoadRequest {
    /// Loads a package with what its profile gives every plugin of the type.
    pub fn new(package: Package) -> LoadRequest {
        LoadRequest { package, grants: Vec::new(), config: Config::new(), memory_bytes: None }
    }

    /// Grants one resource more.
    pub fn grant(mut self, grant: GrantRequest) -> Self {
        self.grants.push(grant);
        self
    }

    /// Sets a configuration value, a JSON text, which the plugin may read.
    pub fn config(mut self, key: impl Into<String>, json: impl Into<String>) -> Self {
        self.config.insert(key.into(), json.into());
        self
    }

    /// The memory that the worker may commit, instead of the profile's default.
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = Some(bytes);
        self
    }
}

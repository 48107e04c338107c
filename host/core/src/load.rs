use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;
use stockade_package::Package;
use stockade_policy::{Budget, GuestPath, HttpScope, Scope, SecretScope, Source};

use crate::host::Config;
use crate::secret::SecretSource;
use crate::supervise::Supervision;

/// What to load, and what it may do.
#[derive(Debug)]
#[must_use]
pub struct LoadRequest {
    pub(crate) package: Package,
    pub(crate) grants: Vec<GrantRequest>,
    pub(crate) config: Config,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) scratch: bool,
    pub(crate) means: Box<Means>,
}

/// What goes with the grants.
#[derive(Debug, Default)]
pub(crate) struct Means {
    pub(crate) quota: Option<(u64, u32)>,
    pub(crate) addresses: Vec<IpNet>,
    pub(crate) secrets: BTreeMap<String, SecretSource>,
    pub(crate) store: Option<String>,
    pub(crate) requests_per_second: Option<u32>,
    pub(crate) per_call: Option<Budget>,
    pub(crate) per_day: Option<Budget>,
    pub(crate) supervision: Supervision,
    pub(crate) aside: bool,
    pub(crate) observe: bool,
    /// Who set configuration and store; the embedding program if not said.
    pub(crate) by: Option<Source>,
}

/// An operator's yes to one resource of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRequest {
    pub(crate) scope: Scope,
    pub(crate) directory: PathBuf,
    pub(crate) source: Source,
}

impl GrantRequest {
    /// Reading `directory` of the host and everything below it; the plugin sees it as `root`.
    pub fn read_tree(directory: impl Into<PathBuf>, root: GuestPath) -> GrantRequest {
        GrantRequest::of(Scope::FsRead { root }, directory)
    }

    /// Changing what is in `directory` of the host and everything below it: content, size, times.
    pub fn write_tree(directory: impl Into<PathBuf>, root: GuestPath) -> GrantRequest {
        GrantRequest::of(Scope::FsWrite { root }, directory)
    }

    /// Making files and directories in `directory` of the host and below it.
    pub fn create_in_tree(directory: impl Into<PathBuf>, root: GuestPath) -> GrantRequest {
        GrantRequest::of(Scope::FsCreate { root }, directory)
    }

    /// Removing what is in `directory` of the host and below it.
    pub fn delete_in_tree(directory: impl Into<PathBuf>, root: GuestPath) -> GrantRequest {
        GrantRequest::of(Scope::FsDelete { root }, directory)
    }

    /// Sending requests.
    pub fn http(to: HttpScope) -> GrantRequest {
        GrantRequest::of(Scope::Http { to }, PathBuf::new())
    }

    /// Filling a secret into requests.
    pub fn secret(secret: SecretScope) -> GrantRequest {
        GrantRequest::of(Scope::Secret { secret }, PathBuf::new())
    }

    /// Calling a tool of another plugin: `publisher/plugin#tool`.
    pub fn tool(name: impl Into<String>) -> GrantRequest {
        GrantRequest::of(Scope::Tool { name: name.into() }, PathBuf::new())
    }

    /// Asking a model that the host was built with.
    pub fn model(name: impl Into<String>) -> GrantRequest {
        GrantRequest::of(Scope::Model { name: name.into() }, PathBuf::new())
    }

    fn of(scope: Scope, directory: impl Into<PathBuf>) -> GrantRequest {
        GrantRequest { scope, directory: directory.into(), source: Source::Embedder }
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
        LoadRequest {
            package,
            grants: Vec::new(),
            config: Config::new(),
            memory_bytes: None,
            scratch: false,
            means: Box::default(),
        }
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

    /// By how many bytes the plugin may make the granted directories grow, and how many files and directories
    /// it may make there, instead of the profile's numbers. What it removes is given back.
    pub fn write_quota(mut self, bytes: u64, files: u32) -> Self {
        self.means.quota = Some((bytes, files));
        self
    }

    /// Gives the plugin a directory of its own, `/scratch`, to read, write, create and delete in. What is in it
    /// goes with every worker, and the directory with the plugin.
    pub fn scratch(mut self) -> Self {
        self.scratch = true;
        self
    }

    /// Lets granted requests reach a range of addresses that is closed to plugins: loopback, private networks,
    /// link-local and the like. A range of one version of IP opens nothing of the other.
    pub fn allow_addresses(mut self, range: IpNet) -> Self {
        self.means.addresses.push(range);
        self
    }

    /// Where a secret is read from when the plugin is loaded. It takes a grant to use it.
    pub fn secret(mut self, name: impl Into<String>, source: SecretSource) -> Self {
        self.means.secrets.insert(name.into(), source);
        self
    }

    /// Gives the plugin a store of keys and values, kept under this name in the state folder. It belongs to the
    /// plugin for which it is named first, whatever its version.
    pub fn store(mut self, name: impl Into<String>) -> Self {
        self.means.store = Some(name.into());
        self
    }

    /// How many requests the plugin may send in a second, instead of the profile's number.
    pub fn requests_per_second(mut self, most: u32) -> Self {
        self.means.requests_per_second = Some(most);
        self
    }

    /// What the plugin may have others do in one call, instead of the profile's numbers.
    pub fn budget_per_call(mut self, most: Budget) -> Self {
        self.means.per_call = Some(most);
        self
    }

    /// Likewise in a day, which begins with what it does first and outlives this host. All loads of one plugin
    /// in one state folder, whatever their version, draw on the same day.
    pub fn budget_per_day(mut self, most: Budget) -> Self {
        self.means.per_day = Some(most);
        self
    }

    /// How the plugin is kept; [`Supervision::default`] if not said.
    pub fn supervision(mut self, how: Supervision) -> Self {
        self.means.supervision = how;
        self
    }

    /// Loads it without having it found by its name, until [`Plugin::enter`](crate::Plugin::enter).
    pub fn aside(mut self) -> Self {
        self.means.aside = true;
        self
    }

    /// Says who sets the configuration and names the store; records name it.
    pub fn set_by(mut self, source: Source) -> Self {
        self.means.by = Some(source);
        self
    }

    /// Marks the plugin's denials in the audit log as observed, for whoever looks for what it needs. It gets nothing
    /// more by it.
    pub fn observe(mut self) -> Self {
        self.means.observe = true;
        self
    }

    /// The memory that the worker may commit, instead of the profile's default.
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = Some(bytes);
        self
    }
}

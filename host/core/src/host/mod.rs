//! A host: what it has, and how a plugin comes to be loaded.

mod builder;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use stockade_audit::{Log, Plugin as AuditPlugin};
use stockade_ipc::bounds::{CONFIG_VALUE, NAME};
use stockade_ipc::{Load, World};
use stockade_package::{InstanceMode, Package, Tool, check_imports};
use stockade_policy::{Capability, Grants, Policy, Profile, Scope, Standard, stands};

use crate::approvals::Book;
use crate::broker::{Broker, Delegation, Growth, Http, Tree};
use crate::cache::Cache;
use crate::call_id::CallId;
use crate::compile::{Compiling, compile};
use crate::egress::{Egress, Reach};
use crate::error::{HostError, memory_limit};
use crate::flush::Flusher;
use crate::history::History;
use crate::kernel::Kernel;
use crate::launch::Launcher;
use crate::ledger::{Ledger, Page};
use crate::load::{GrantRequest, LoadRequest, Means};
use crate::memfd::{SealedFile, Use, hex};
use crate::meter::Meter;
use crate::model::{Model, ModelError, Ready};
use crate::plugin::{Made, Plugin};
use crate::programs::Programs;
use crate::registry::Registry;
use crate::scratch::{self, Scratch};
use crate::secret::{SecretError, SecretSource, Secrets};
use crate::sentinel::Sentinel;
use crate::store::Store;
use crate::supervise::{Brake, Keeper, Start};
use crate::trail::Trail;
use crate::weigh::{self, Weighed};

pub use builder::HostBuilder;

/// Runs plugins. Cheap to clone; the workers end with the last of the host and its plugins.
#[derive(Clone, Debug)]
pub struct Host(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) launcher: Arc<Launcher>,
    pub(crate) kernel: Kernel,
    pub(crate) sentinel: Arc<Sentinel>,
    pub(crate) programs: Programs,
    pub(crate) log: Arc<Log>,
    pub(crate) egress: Arc<Egress>,
    pub(crate) registry: Arc<Registry>,
    /// By the operator's names.
    models: BTreeMap<String, Model>,
    pub(crate) policy: RwLock<Arc<Policy>>,
    pub(crate) book: Mutex<Book>,
    /// There from the first plugin on that has a budget.
    ledger: Mutex<Option<Arc<Ledger>>>,
    /// There from the first time on that it was kept.
    history: Mutex<Option<Arc<History>>>,
    pub(crate) flusher: Flusher,
    cache: Cache,
    compiling: Compiling,
    /// The state folder.
    pub(crate) state: PathBuf,
    /// The audit log's folder.
    pub(crate) audit: PathBuf,
    /// Workers that one plugin may use up.
    pub(crate) restarts_per_second: NonZeroU32,
    /// Random, so that launches of different hosts on one log differ.
    tag: u32,
    launches: AtomicU64,
    calls: AtomicU64,
    pub(crate) brake: Brake,
    pub(crate) keeper: Arc<Keeper>,
}

impl Host {
    /// Starts with the defaults: state below the current folder's `.stockade`, the log in it, programs
    /// beside the own executable.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// Compiles (or finds) the component, weighs its grants, starts a worker, and proves it confined.
    pub async fn load(&self, request: LoadRequest) -> Result<Plugin, HostError> {
        let host = self.clone();
        tokio::task::spawn_blocking(move || host.load_blocking(request))
            .await
            .map_err(|_| HostError::Stopped)?
    }

    /// [`load`](Self::load) on this thread.
    pub fn load_blocking(&self, request: LoadRequest) -> Result<Plugin, HostError> {
        // Its document is read once, which takes the deepest stack of all: not below everything else.
        Profile::of(request.package.identity.plugin_type);
        self.load_read(request)
    }

    fn load_read(&self, request: LoadRequest) -> Result<Plugin, HostError> {
        let LoadRequest { package, mut grants, config, memory_bytes, scratch, means } = request;
        let (component, identity) = identify(&package)?;
        let meter: Arc<Meter> = Arc::default();
        let trail = self.0.trail(&identity, &meter);

        let set = weigh::set(&config);
        let config = match package.configure(config) {
            Ok(config) => config,
            Err(error) => {
                trail.not_loaded("config", &error.key, &error.expected)?;
                return Err(error.into());
            }
        };
        let mut keys = config.iter().enumerate();
        if let Some((_, (key, _))) = keys.find(|(number, (key, json))| {
            *number >= MAX_CONFIG || key.len() > NAME || json.len() > CONFIG_VALUE
        }) {
            return Err(HostError::Config { key: key.clone() });
        }
        let scratch = match scratch.then(|| Scratch::make(&self.0.state)).transpose() {
            Ok(scratch) => scratch,
            Err(source) => return Err(HostError::State { path: self.0.state.clone(), source }),
        };
        if let Some(scratch) = &scratch {
            grants.extend(scratch::grants(scratch.path()));
        }
        let requests = weigh::requests(&package, &grants, &set, &means);
        let digest = hex(&component.digest());
        self.look_at_approvals()?;
        let weighed = self.0.weigh(&package, digest, requests);
        weigh::refuse(&weighed, &trail)?;
        weigh::within_policy(&weighed.standard, &means)?;
        if means.observe || weighed.standard.observed.is_some() {
            meter.observe();
        }
        let trees = trees(&grants)?;
        let memory_bytes = memory_limit(memory_bytes, &weighed.standard.profile.limits)?;

        let seen = self.look(&package, &component, &trail)?;
        trail.granted(&weighed.resolution.grants, &weighed.signed_by, &self.0.book())?;
        let aside = means.aside;
        let bringing =
            Bringing { package: &package, identity, weighed: &weighed, memory_bytes, scratch, meter };
        let made = self.made(bringing, seen, Provided { trees, config, means })?;
        let plugin = Plugin::of(self, made)?;
        if !aside {
            plugin.enter();
        }
        Ok(plugin)
    }

    /// All that a plugin takes to run.
    fn made(&self, bringing: Bringing<'_>, seen: Seen, provided: Provided) -> Result<Made, HostError> {
        let Bringing { package, identity, weighed, memory_bytes, scratch, meter } = bringing;
        let Seen { artifact, world, tools } = seen;
        let load = Load {
            grants: weighed.resolution.grants.clone(),
            tool_interface: world.tool_interface,
            reuse_instance: package.instance == InstanceMode::Reused,
            memory_bytes,
        };
        let supervision = provided.means.supervision;
        Ok(Made {
            broker: self.broker(&weighed.standard, &identity.name, &load.grants, provided)?,
            profile: Arc::new(weighed.standard.profile.clone()),
            identity,
            artifact,
            load,
            scratch,
            tools,
            hooks: package.hooks.clone(),
            lacking: weighed.lacking.clone(),
            signed_by: weighed.signed_by.clone(),
            signers: package.signed_by.clone(),
            package: package.digest.clone(),
            trusted_until: weighed.trusted_until,
            meter,
            supervision,
        })
    }

    /// What a plugin's component imports and exports, and which tools those are. The confined compiler says so; nothing of
    /// the plugin runs.
    ///
    /// # Errors
    ///
    /// It does not compile, wants what nobody provides, or is not what its manifest says.
    pub fn world_blocking(&self, package: &Package) -> Result<(World, Vec<Tool>), HostError> {
        let (component, identity) = identify(package)?;
        let Seen { world, tools, .. } =
            self.look(package, &component, &self.0.trail(&identity, &Arc::default()))?;
        Ok((world, tools))
    }

    /// Compiles or finds a component, and holds it against what there is and what its manifest says.
    fn look(&self, package: &Package, component: &SealedFile, trail: &Trail) -> Result<Seen, HostError> {
        let (artifact, world) = self.compiled(component, trail)?;
        if let Err(error) = check_imports(&world)
            && stands("load.imports")
        {
            let unknown =
                world.imports.iter().find(|import| stockade_policy::interface(&import.name).is_none());
            let name = unknown.map_or("", |import| import.name.as_str());
            trail.not_loaded("import", name, "the component imports what nobody provides")?;
            return Err(error.into());
        }
        match package.tools(&world) {
            Ok(tools) => Ok(Seen { artifact, world, tools }),
            Err(error) => {
                trail.not_loaded("tool", "", &error.to_string())?;
                Err(error.into())
            }
        }
    }

    /// A plugin with what its profile gives to every plugin of the type, and with nothing that it asks for: to see whether
    /// it comes up, and to be let go of.
    pub(crate) fn on_trial(
        &self,
        package: &Package,
        identity: Arc<AuditPlugin>,
        seen: Seen,
    ) -> Result<Plugin, HostError> {
        let weighed = self.0.weigh(package, identity.digest.to_string(), Vec::new());
        let memory_bytes = memory_limit(None, &weighed.standard.profile.limits)?;
        let meter: Arc<Meter> = Arc::default();
        let bringing = Bringing { package, identity, weighed: &weighed, memory_bytes, scratch: None, meter };
        let mut means: Box<Means> = Box::default();
        means.supervision.start = Start::OnCall;
        let provided = Provided { trees: Vec::new(), config: Config::new(), means };
        Plugin::of(self, self.made(bringing, seen, provided)?)
    }

    /// Finds what came of compiling a component; compiles it, unless another load has by now, and keeps what came of it.
    pub(crate) fn compiled(
        &self,
        component: &SealedFile,
        trail: &Trail,
    ) -> Result<(SealedFile, World), HostError> {
        let host = &self.0;
        if let Some(found) = host.cache.get(component.digest()) {
            return Ok(found);
        }
        let _turn = host.compiling.enter(component.digest());
        if let Some(found) = host.cache.get(component.digest()) {
            return Ok(found);
        }
        let made = compile(&host.launcher, &host.kernel, &host.programs.compiler, component, trail)?;
        if let Err(error) = host.cache.put(component.digest(), &made.0, &made.1) {
            tracing::warn!(target: "stockade::host", %error, "the artifact was not kept");
        }
        Ok(made)
    }

    /// What does for the plugin what only the host can.
    fn broker(
        &self,
        standard: &Standard,
        plugin: &str,
        grants: &Grants,
        provided: Provided,
    ) -> Result<Arc<Broker>, HostError> {
        let Provided { trees, config, means } = provided;
        let profile = &standard.profile;
        let mut limits = profile.limits;
        limits.http_requests_per_second =
            means.requests_per_second.unwrap_or(limits.http_requests_per_second);
        let secrets = read_secrets(grants, &means.secrets)?;
        let store = means.store.map(|name| Store::open(&self.0.state, &name, plugin, limits.kv_bytes));
        let store = store.transpose().map_err(HostError::Store)?;
        let (bytes, files) = means.quota.unwrap_or((limits.written_bytes, limits.written_files));
        let reach = Reach {
            opened: weigh::addresses(standard, means.addresses)?.into(),
            request_bytes: limits.http_request_bytes,
            response_bytes: limits.http_response_bytes,
        };
        let budgets = [means.per_call.unwrap_or(profile.per_call), means.per_day.unwrap_or(profile.per_day)];
        let counted = [Capability::Tool, Capability::Model, Capability::Http];
        let page = if counted.into_iter().any(|capability| grants.has(capability)) {
            Some(Page::new(self.0.ledger()?, plugin, budgets))
        } else {
            None
        };
        let delegation = Delegation {
            registry: Arc::clone(&self.0.registry),
            number: self.0.registry.number(),
            egress: Arc::clone(&self.0.egress),
            models: ready_models(grants, &self.0.models)?,
            page: page.clone(),
        };
        let http = Http::new(Arc::clone(&self.0.egress), reach, limits, secrets, page);
        let broker = Broker::new(grants.clone(), trees, config, Growth::up_to(bytes, files), http);
        Ok(Arc::new(broker.with_store(store).with_delegation(delegation)))
    }

    /// The loaded plugin of this name; of several the one that was loaded last.
    pub fn plugin(&self, name: &str) -> Option<Plugin> {
        self.0.registry.find(name)
    }

    /// Every loaded plugin that somebody holds, by name.
    pub fn plugins(&self) -> Vec<Plugin> {
        self.0.registry.all()
    }

    /// Signs the audit log with a new key from here on, which the one before vouches for. The new public key, as C2SP's
    /// signed notes write it.
    pub fn change_audit_key(&self) -> Result<String, HostError> {
        self.0.log.change_key().map(|key| key.to_string()).map_err(HostError::Audit)
    }

    /// Ends every worker and closes the log. Plugins that are still held answer with failures.
    pub async fn stop(&self) {
        let host = self.clone();
        let _ = tokio::task::spawn_blocking(move || host.stop_blocking()).await;
    }

    /// [`stop`](Self::stop) on this thread.
    pub fn stop_blocking(&self) {
        self.0.keeper.stop();
        self.0.sentinel.stop();
        self.0.kernel.stop();
        self.0.flusher.stop();
        // Closed already where another handle to this host was faster.
        if let Err(error) = self.0.log.close()
            && !matches!(error, stockade_audit::AuditError::Closed)
        {
            tracing::error!(target: "stockade::host", %error, "the audit log did not close");
        }
    }
}

/// Reads the keys of the models that are granted.
fn ready_models(
    grants: &Grants,
    models: &BTreeMap<String, Model>,
) -> Result<BTreeMap<String, Ready>, HostError> {
    grants
        .models()
        .map(|name| {
            let ready = models.get(name).ok_or(ModelError::Missing).and_then(Model::ready);
            let ready = ready.map_err(|source| HostError::Model { name: name.to_owned(), source })?;
            Ok((name.to_owned(), ready))
        })
        .collect()
}

/// What the operator gives a plugin to use its grants on.
struct Provided {
    trees: Vec<Tree>,
    config: Config,
    means: Box<Means>,
}

/// Reads the secrets that are granted.
fn read_secrets(grants: &Grants, sources: &BTreeMap<String, SecretSource>) -> Result<Secrets, HostError> {
    let mut values = BTreeMap::new();
    for grant in grants.iter() {
        if let Scope::Secret { secret } = &grant.scope
            && !values.contains_key(secret.name())
        {
            let name = secret.name().to_owned();
            let source = sources.get(&name).ok_or(SecretError::Missing);
            match source.and_then(SecretSource::read) {
                Ok(value) => drop(values.insert(name, value)),
                Err(source) => return Err(HostError::Secret { name, source }),
            }
        }
    }
    Ok(Secrets::new(grants.clone(), values))
}

/// What the confined compiler has seen of a component.
pub(crate) struct Seen {
    pub(crate) artifact: SealedFile,
    pub(crate) world: World,
    pub(crate) tools: Vec<Tool>,
}

/// A plugin on its way to be run.
struct Bringing<'a> {
    package: &'a Package,
    identity: Arc<AuditPlugin>,
    weighed: &'a Weighed,
    memory_bytes: u64,
    scratch: Option<Scratch>,
    meter: Arc<Meter>,
}

/// A plugin's component, as nobody can change it any more, and what records call the plugin.
pub(crate) fn identify(package: &Package) -> Result<(SealedFile, Arc<AuditPlugin>), HostError> {
    let component = SealedFile::of("component", Use::Data, &package.component).map_err(HostError::Memory)?;
    let identity = &package.identity;
    let version = identity.version.to_string();
    let digest = hex(&component.digest());
    let plugin = AuditPlugin::new(&identity.name, version, digest, identity.plugin_type.as_str());
    Ok((component, plugin.shared()))
}

/// The granted directories, each once. Two at one place in the plugin's view would leave it open which is meant.
fn trees(grants: &[GrantRequest]) -> Result<Vec<Tree>, HostError> {
    let mut places: BTreeMap<&str, &Path> = BTreeMap::new();
    let mut trees = Vec::new();
    for GrantRequest { scope, directory, .. } in grants {
        let (Scope::FsRead { root }
        | Scope::FsWrite { root }
        | Scope::FsCreate { root }
        | Scope::FsDelete { root }) = scope
        else {
            continue;
        };
        match places.insert(root.as_str(), directory) {
            None => trees.push(
                Tree::open(root.clone(), directory)
                    .map_err(|source| HostError::GrantDirectory { path: directory.clone(), source })?,
            ),
            Some(other) if other == directory => {}
            Some(_) => return Err(HostError::GrantConflict { root: root.clone() }),
        }
    }
    Ok(trees)
}

impl Inner {
    /// The books of the state folder.
    fn ledger(&self) -> Result<Arc<Ledger>, HostError> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        match &*ledger {
            Some(open) => Ok(Arc::clone(open)),
            None => {
                let open = Arc::new(Ledger::open(&self.state).map_err(HostError::Ledger)?);
                Ok(Arc::clone(ledger.insert(open)))
            }
        }
    }

    /// What happened, of the state folder.
    pub(crate) fn history(&self) -> Result<Arc<History>, HostError> {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        match &*history {
            Some(open) => Ok(Arc::clone(open)),
            None => {
                let open = Arc::new(History::open(&self.state).map_err(HostError::History)?);
                Ok(Arc::clone(history.insert(open)))
            }
        }
    }

    /// The trail of a new launch.
    pub(crate) fn trail(&self, identity: &Arc<AuditPlugin>, meter: &Arc<Meter>) -> Trail {
        let launch = self.launches.fetch_add(1, Ordering::Relaxed);
        let launch = format!("{:08x}-{launch}", self.tag);
        Trail::new(Arc::clone(&self.log), Arc::clone(identity), launch.into()).counted_by(meter)
    }

    /// A new call.
    pub(crate) fn call_id(&self) -> CallId {
        CallId { host: self.tag, number: 1 + self.calls.fetch_add(1, Ordering::Relaxed) }
    }
}

/// Configuration values of one plugin: each is a grant, and all grants fit into one frame.
const MAX_CONFIG: usize = 128;

/// Configuration values by key, each a JSON text.
pub(crate) type Config = BTreeMap<String, String>;

//! A loaded plugin: what it is, how it is called, and how its workers are kept.

mod call;
mod keep;
mod launch;
mod status;

use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use stockade_audit::Plugin as AuditPlugin;
use stockade_ipc::Load;
use stockade_package::{Hook, Tool};
use stockade_policy::{Distrust, Grants, Profile, PublicKey, Signed};

use crate::broker::Broker;
use crate::error::{HostError, deadline};
use crate::host::Host;
use crate::memfd::SealedFile;
use crate::meter::Meter;
use crate::outcome::Outcome;
use crate::registry::{Caller, Number};
use crate::scratch::Scratch;
use crate::sentinel::Watch;
use crate::session::Session;
use crate::supervise::{Breaker, Line, Restarts, Start, Supervision};
use crate::weigh::Lacking;

pub(crate) use keep::Withdrawal;
pub use status::{PluginState, PluginStatus};

/// Everything that loading made of a package.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) identity: Arc<AuditPlugin>,
    pub(crate) profile: Arc<Profile>,
    pub(crate) artifact: SealedFile,
    pub(crate) load: Load,
    pub(crate) broker: Arc<Broker>,
    pub(crate) scratch: Option<Scratch>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) lacking: Vec<Lacking>,
    pub(crate) signed_by: Vec<PublicKey>,
    /// All whose signatures it has, whether they count or not.
    pub(crate) signers: Vec<PublicKey>,
    /// The digest of its package, where it came as one.
    pub(crate) package: Option<String>,
    pub(crate) trusted_until: Option<u64>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) supervision: Supervision,
}

/// A loaded plugin. Cheap to clone. As many of its calls run at a time as it has workers, one if nobody said more; the
/// others wait, first come, first served.
#[derive(Clone, Debug)]
pub struct Plugin(Arc<Inner>);

/// A plugin that others may have let go of.
#[derive(Clone, Debug)]
pub(crate) struct WeakPlugin(Weak<Inner>);

impl WeakPlugin {
    pub(crate) fn upgrade(&self) -> Option<Plugin> {
        self.0.upgrade().map(Plugin)
    }
}

#[derive(Debug)]
struct Inner {
    host: Host,
    /// Itself, for those who are to find it as long as it is there.
    me: WeakPlugin,
    identity: Arc<AuditPlugin>,
    profile: Arc<Profile>,
    artifact: SealedFile,
    load: Load,
    tools: Vec<Tool>,
    hooks: Vec<Hook>,
    lacking: Vec<Lacking>,
    signed_by: Vec<PublicKey>,
    signers: Vec<PublicKey>,
    package: Option<String>,
    scratch: Option<Scratch>,
    broker: Arc<Broker>,
    meter: Arc<Meter>,
    supervision: Supervision,
    /// Its turn has who may take a worker, or start one.
    line: Line,
    /// Workers without a call, and since when; the last used is the first to be used again.
    free: Mutex<Vec<(Instant, Session)>>,
    /// All that were started and may be there still.
    workers: Mutex<Vec<Weak<Watch>>>,
    restarts: Mutex<Restarts>,
    breaker: Mutex<Option<Breaker>>,
    /// Whether somebody wants it to have a worker: not after its workers were idle.
    wanted: AtomicBool,
    /// One of its sessions may keep the memory of a large message, and the keeper knows.
    large: AtomicBool,
    /// An operator has stopped it.
    held: AtomicBool,
    /// Why it never runs again.
    withdrawn: OnceLock<Withdrawal>,
    /// When the first of the approvals ends that it was loaded by, or it is not believed any more: in seconds since 1970.
    until: Option<u64>,
}

/// How a single call differs from the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// Wall clock, from the call on: waiting for a worker, its start, and its work. The plugin's default if not said.
    pub deadline: Option<Duration>,
    /// In whose name, in numbers of the program's own: callers that wait for the same plugin are served in turns, and the one
    /// with the most calls that wait is the first to be refused. All calls are the same caller's, if not said.
    pub caller: u64,
}

impl CallOptions {
    /// With a deadline.
    pub const fn within(deadline: Duration) -> CallOptions {
        CallOptions { deadline: Some(deadline), caller: 0 }
    }
}

impl Plugin {
    pub(crate) fn of(host: &Host, made: Made) -> Result<Plugin, HostError> {
        let supervision = made.supervision;
        supervision.check(made.scratch.is_some())?;
        deadline(supervision.deadline, &made.profile.limits)?;
        made.meter.has_tools(made.tools.iter().map(|tool| tool.name.as_str()));
        let now = Instant::now();
        let plugin = Plugin(Arc::new_cyclic(|me| Inner {
            host: host.clone(),
            me: WeakPlugin(Weak::clone(me)),
            line: Line::new(supervision.workers, supervision.queue),
            free: Mutex::default(),
            workers: Mutex::default(),
            restarts: Mutex::new(Restarts::up_to(host.0.restarts_per_second, now)),
            breaker: Mutex::new(supervision.breaker.map(Breaker::new)),
            wanted: AtomicBool::new(supervision.start != Start::OnCall),
            large: AtomicBool::new(false),
            held: AtomicBool::new(false),
            withdrawn: OnceLock::new(),
            until: [host.approved_until(&made.load.grants), made.trusted_until].into_iter().flatten().min(),
            identity: made.identity,
            profile: made.profile,
            artifact: made.artifact,
            load: made.load,
            tools: made.tools,
            hooks: made.hooks,
            lacking: made.lacking,
            signed_by: made.signed_by,
            signers: made.signers,
            package: made.package,
            scratch: made.scratch,
            broker: made.broker,
            meter: made.meter,
            supervision,
        }));
        host.0.registry.loaded(&plugin);
        // One that was revoked while it was weighed is seen here, and every later one by whoever revokes it.
        host.end_withdrawn(std::slice::from_ref(&plugin));
        if plugin.0.supervision.start != Start::OnCall {
            plugin.0.refuse_withdrawn()?;
            let session = plugin.0.launch()?;
            plugin.0.free().push((now, session));
        }
        Ok(plugin)
    }

    /// From here on the host finds it by its name, instead of any other of that name.
    pub fn enter(&self) {
        self.0.host.0.registry.enter(self);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.identity.name
    }

    /// What it can be asked to do.
    pub fn tools(&self) -> &[Tool] {
        &self.0.tools
    }

    /// The events that it wants to be told of.
    pub fn hooks(&self) -> &[Hook] {
        &self.0.hooks
    }

    /// What was asked for and is not granted: it runs without.
    pub fn lacking(&self) -> &[Lacking] {
        &self.0.lacking
    }

    /// The keys that have signed it; of those of its publisher's, where the policy names them.
    pub fn signed_by(&self) -> &[PublicKey] {
        &self.0.signed_by
    }

    /// What it may do, and by which rules.
    pub fn grants(&self) -> &Grants {
        &self.0.load.grants
    }

    /// Whether it has ended for good: an approval that it was loaded by has ended, or the policy does not believe in it any
    /// more.
    pub fn is_withdrawn(&self) -> bool {
        self.0.withdrawn.get().is_some()
    }

    /// What there is to be judged of its signatures.
    pub(crate) fn signed(&self) -> Signed<'_> {
        Signed {
            plugin: &self.0.identity.name,
            component: &self.0.identity.digest,
            package: self.0.package.as_deref(),
            by: &self.0.signers,
        }
    }

    /// When it is to be looked at again whether it may run, in seconds since 1970.
    pub(crate) fn until(&self) -> Option<u64> {
        self.0.until
    }

    /// Records that it was ended because nobody believes in it any more.
    pub(crate) fn record_distrust(&self, why: &Distrust) -> Result<(), HostError> {
        let trail = self.0.host.0.trail(&self.0.identity, &self.0.meter);
        Ok(trail.not_loaded("signature", self.name(), &format!("it {why}"))?)
    }

    /// Its version, by its own word.
    pub fn version(&self) -> &str {
        &self.0.identity.version
    }

    /// Its type, and so its profile.
    pub fn plugin_type(&self) -> &str {
        &self.0.identity.kind
    }

    /// SHA-256 of its component, in hexadecimal.
    pub fn component(&self) -> &str {
        &self.0.identity.digest
    }

    pub(crate) fn downgrade(&self) -> WeakPlugin {
        self.0.me.clone()
    }

    /// Which of the host's plugins it is.
    pub(crate) fn number(&self) -> Number {
        self.0.broker.number()
    }

    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.0.meter
    }

    /// A process that runs it now, if there is one.
    pub fn worker_pid(&self) -> Option<u32> {
        self.0.watches().first().map(|watch| watch.pid())
    }

    /// Runs a tool. `arguments` is one JSON text. Every call ends: in a result, in what the plugin said was wrong, or
    /// in a reason with a code, at its deadline at the latest.
    ///
    /// Dropped before it is over, it takes the worker with it.
    pub async fn call(&self, tool: &str, arguments: &str, options: CallOptions) -> Outcome {
        self.0.call(tool, arguments, options, None).await
    }

    /// Runs a tool for another plugin, and no longer than that one's own call.
    ///
    /// A boxed future: a plugin that is called may call others.
    pub(crate) fn call_from<'a>(
        &'a self,
        tool: &'a str,
        arguments: &'a str,
        caller: Caller,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        Box::pin(self.0.call(tool, arguments, CallOptions::default(), Some(caller)))
    }

    /// Whether a worker can make an instance of it. Runs what a component does by itself when it is brought up, and none
    /// of its tools.
    pub(crate) fn instantiate(&self) -> Result<Outcome, HostError> {
        self.0.instantiate()
    }

    /// [`call`](Self::call) on this thread. Must not be used inside an async runtime. The start of a worker, where one
    /// has to be started, is not cut short: it waits for a disk.
    pub fn call_blocking(&self, tool: &str, arguments: &str, options: CallOptions) -> Outcome {
        self.0.call_blocking(tool, arguments, options)
    }
}

impl Inner {
    fn free(&self) -> MutexGuard<'_, Vec<(Instant, Session)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn restarts(&self) -> MutexGuard<'_, Restarts> {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn breaker(&self) -> MutexGuard<'_, Option<Breaker>> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One worker more; those that have ended are forgotten.
    fn has_worker(&self, watch: &Arc<Watch>) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|watch| watch.upgrade().is_some_and(|watch| watch.fate.now().1.is_none()));
        workers.push(Arc::downgrade(watch));
    }

    /// The workers that are there.
    fn watches(&self) -> Vec<Arc<Watch>> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.iter().filter_map(Weak::upgrade).filter(|watch| watch.fate.now().1.is_none()).collect()
    }
}

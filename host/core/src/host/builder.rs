//! What a host is built with.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};
use std::thread::available_parallelism;
use std::time::Instant;

use stockade_audit::{Log, Options as AuditOptions};
use stockade_policy::{Policy, stands};

use super::{Host, Inner};
use crate::approvals::Book;
use crate::cache::Cache;
use crate::compile::Compiling;
use crate::egress::{Egress, Post};
use crate::error::HostError;
use crate::flush::Flusher;
use crate::install;
use crate::kernel::Kernel;
use crate::launch::{Launcher, Namespaces};
use crate::model::Model;
use crate::programs::Programs;
use crate::scratch::Scratch;
use crate::sentinel::Sentinel;
use crate::supervise::{Brake, Keeper};
use crate::support::Support;

/// Settings of a [`Host`].
#[derive(Debug)]
#[must_use]
pub struct HostBuilder {
    audit: Option<PathBuf>,
    log: AuditOptions,
    checkpoint_urls: Vec<String>,
    state: Option<PathBuf>,
    programs: Option<PathBuf>,
    namespaces: Namespaces,
    restarts_per_second: NonZeroU32,
    restarts_of_all: NonZeroU32,
    authorities: Vec<Vec<u8>>,
    models: BTreeMap<String, Model>,
    policy: Policy,
}

/// Workers of one plugin that may die a second before it has to wait. Starting one takes a processor 0.5 to
/// 0.8 ms: at this rate fewer than one of a hundred calls of another plugin have it in their way.
const RESTARTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Workers of all plugins together that may be started a second after others died, for each processor. At twice as many
/// the slowest hundredth of a quiet plugin's calls takes more than three times as long (docs/decisions/0015).
const RESTARTS_A_PROCESSOR: u32 = 25;

fn restarts_of_all() -> NonZeroU32 {
    let processors =
        available_parallelism().map_or(1, |number| u32::try_from(number.get()).unwrap_or(u32::MAX));
    NonZeroU32::new(RESTARTS_A_PROCESSOR.saturating_mul(processors)).unwrap_or(NonZeroU32::MIN)
}

impl Default for HostBuilder {
    fn default() -> HostBuilder {
        HostBuilder {
            audit: None,
            log: AuditOptions::default(),
            checkpoint_urls: Vec::new(),
            state: None,
            programs: None,
            namespaces: Namespaces::default(),
            restarts_per_second: RESTARTS_PER_SECOND,
            restarts_of_all: restarts_of_all(),
            authorities: Vec::new(),
            models: BTreeMap::new(),
            policy: Policy::built_in().clone(),
        }
    }
}

impl HostBuilder {
    /// Where the audit log lies; `audit` in the state folder if not said.
    pub fn audit_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.audit = Some(folder.into());
        self
    }

    /// How the audit log is kept: when checkpoints are signed and who is handed them, when a file of it is closed, and which
    /// are removed.
    pub fn audit_options(mut self, options: AuditOptions) -> Self {
        self.log = options;
        self
    }

    /// Sends the log's checkpoints to this address as well, each as the body of a POST.
    pub fn checkpoint_url(mut self, url: impl Into<String>) -> Self {
        self.checkpoint_urls.push(url.into());
        self
    }

    /// Where compiled components and their key lie.
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state = Some(folder.into());
        self
    }

    /// Where `stockade-worker` and `stockade-compiler` are, and `stockade-kernel-log` if it is installed; beside the
    /// own executable if not said.
    pub fn programs_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.programs = Some(folder.into());
        self
    }

    /// Which namespaces workers get. No choice takes another layer away.
    pub fn namespaces(mut self, namespaces: Namespaces) -> Self {
        self.namespaces = namespaces;
        self
    }

    /// How many workers of one plugin may die a second, on average over more than a second, before its next
    /// one has to wait; 10 if not said. Below it, what dies after an answer is started again at once.
    pub fn restarts_per_second(mut self, most: NonZeroU32) -> Self {
        self.restarts_per_second = most;
        self
    }

    /// How many workers of all plugins together may be started a second after others died; 25 for each processor if
    /// not said. Those beyond it wait, each a little longer than the one before.
    pub fn restarts_of_all(mut self, most: NonZeroU32) -> Self {
        self.restarts_of_all = most;
        self
    }

    /// Trusts the certificate authorities in this PEM text as well as the system's when plugins send requests
    /// over TLS.
    pub fn trust(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(pem.into());
        self
    }

    /// Sets up a language model, under a name that agents can be granted.
    pub fn model(mut self, name: impl Into<String>, model: Model) -> Self {
        self.models.insert(name.into(), model);
        self
    }

    /// Sets the organisation's policy; the built-in one if not said, which leaves the profiles as they are.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Checks the machine, takes in the programs, opens the log. Fails where any layer is missing.
    pub fn build(self) -> Result<Host, HostError> {
        if stands("host.every-layer") {
            Support::probe().required().map_err(HostError::Unsupported)?;
        }
        let state = self.state.unwrap_or_else(|| PathBuf::from(".stockade"));
        let broken_state = |source| HostError::State { path: state.clone(), source };
        let folder = match self.programs {
            Some(folder) => folder,
            None => Programs::folder().map_err(broken_state)?,
        };
        let programs = Programs::load(&folder)?;
        let kernel_log = Programs::kernel_log(&folder);
        let cache = Cache::open(&state, programs.compiler.digest(), programs.worker.digest())
            .map_err(broken_state)?;
        let audit = self.audit.unwrap_or_else(|| state.join("audit"));
        let egress = Arc::new(Egress::new(&self.authorities)?);
        let mut options = self.log;
        for url in self.checkpoint_urls {
            let post = Post::to(&url, &egress).ok_or(HostError::CheckpointUrl { url })?;
            options.sinks.push(Box::new(post));
        }
        let log = Arc::new(Log::open_with(&audit, options).map_err(HostError::Audit)?);
        let book = Book::open(&state, &audit).map_err(HostError::Approvals)?;
        install::recover(&state, &audit);
        Scratch::remove_left(&state).map_err(broken_state)?;
        let launcher = Arc::new(Launcher::new(self.namespaces).map_err(HostError::Launch)?);
        Ok(Host(Arc::new(Inner {
            kernel: Kernel::start(&log, &launcher, kernel_log).map_err(HostError::Sentinel)?,
            launcher,
            sentinel: Arc::new(Sentinel::start().map_err(HostError::Sentinel)?),
            programs,
            flusher: Flusher::start(Arc::clone(&log)).map_err(HostError::Sentinel)?,
            log,
            egress,
            registry: Arc::default(),
            models: self.models,
            policy: RwLock::new(Arc::new(self.policy)),
            book: Mutex::new(book),
            ledger: Mutex::default(),
            history: Mutex::default(),
            cache,
            compiling: Compiling::default(),
            state: state.clone(),
            audit,
            restarts_per_second: self.restarts_per_second,
            tag: getrandom::u32().map_err(|e| broken_state(std::io::Error::other(e)))?,
            launches: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            brake: Brake::up_to(self.restarts_of_all, Instant::now()),
            keeper: Arc::new(Keeper::start().map_err(HostError::Sentinel)?),
        })))
    }
}

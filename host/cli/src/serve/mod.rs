//! `stockade serve`: a host that runs the plugins of a configuration until it is told to stop.

mod audit;
mod config;
mod plugins;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use stockade_control::{
    Changed, Changing, Lines, Operations, Order, Reloaded, Reloading, RemoteProblem, Running, Server,
    StateLock, Tell, Waiting, serve_metrics,
};
use stockade_host::install::{Allow, Changing as HowToChange, Done, Loaded, Step};
use stockade_host::{Host, HostError, Plugin, PluginStatus};
use stockade_package::{Explain, Problem};
use stockade_policy::Person;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::level_filters::LevelFilter;

use crate::args::Serve;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::logging::Level;
use crate::run::Built;
use crate::{install, logging, otel, policy, value};
use config::Configuration;
pub(crate) use config::{SupervisionFile, Wanted, wanted_of};
use plugins::Plugins;

/// How long running calls have to end when the host is stopped, if nobody said.
const DRAIN: Duration = Duration::from_secs(30);
/// How often what happened is written down.
const HISTORY: Duration = Duration::from_secs(10);

/// When plugins that could not be loaded for a passing reason are tried again first; doubled with each time.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest time between two of those.
const AGAIN_LATEST: Duration = Duration::from_secs(300);

/// A host at work.
struct Service {
    host: Host,
    plugins: Plugins,
    lines: Arc<Lines>,
    level: Level,
    path: PathBuf,
    home: Home,
    /// What the host itself was started with: it cannot be changed while it runs.
    configuration: Configuration,
    /// One at a time.
    reloading: tokio::sync::Mutex<()>,
    starting: AtomicBool,
    stopping: AtomicBool,
}

pub(crate) fn run(arguments: Serve, log: LevelFilter) -> Result<Exit, Failure> {
    let home = Home::find(&arguments.places)?;
    let read = config::read(&arguments.path, &home)?;
    // Dropped after everything else here: then no span is to come any more.
    let (spans, _exporter) = read.host.tracing.otlp.as_deref().map(otel::start).transpose()?.unzip();
    let (lines, level) = logging::start_for_long(log, spans);
    let socket = read.host.control.socket.clone().unwrap_or_else(|| home.state.join("control.sock"));
    let running = Running::here(socket.clone());
    let _lock = StateLock::take(&home.state, &running).map_err(|error| Failure::of(&error))?;
    raise_open_files();
    let drain = read.host.drain.as_deref().map(|text| value::duration("drain", text)).transpose()?;
    let policy = policy::read(read.host.policy.as_deref(), &home.state)?;
    let built = Built {
        policy,
        programs: arguments.programs.as_deref(),
        models: read.host.models.as_deref(),
        trust: &read.host.trust,
        namespaces: read.host.namespaces,
    };
    let rates = read.host.restarts.clone();
    let host = built.host(&home, |builder| {
        let mut builder = read.host.audit.apply(builder)?;
        if let Some(most) = rates.per_second {
            builder = builder.restarts_per_second(most);
        }
        Ok(match rates.of_all_per_second {
            Some(most) => builder.restarts_of_all(most),
            None => builder,
        })
    })?;
    // After a storm its threads are not needed any more.
    let keep = Duration::from_secs(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_keep_alive(keep).build();
    let runtime = runtime.map_err(|error| {
        let message = format!("the runtime cannot be started: {error}");
        Failure::usage("threads", "host", message, "allow this process more threads")
    })?;
    let service = Arc::new(Service {
        host,
        plugins: Plugins::default(),
        lines,
        level,
        path: arguments.path,
        home,
        configuration: read.host,
        reloading: tokio::sync::Mutex::new(()),
        starting: AtomicBool::new(true),
        stopping: AtomicBool::new(false),
    });
    let broken = read.broken.iter().map(|(generation, problem)| {
        plugins::told(&generation.plugin, problem);
        let version = generation.version.to_string();
        Loaded::now(&generation.plugin, &version, Some(&generation.package), Some(problem))
    });
    service.host.note_loads(&broken.collect::<Vec<_>>());
    if read.disabled > 0 {
        let left = match read.disabled {
            1 => "1 plugin is not enabled, and is left alone".to_owned(),
            many => format!("{many} plugins are not enabled, and are left alone"),
        };
        tracing::info!(target: "stockade::host", "{left}");
    }
    let done = runtime.block_on(service.serve(&socket, read.plugins, drain.unwrap_or(DRAIN)));
    service.plugins.clear();
    service.host.stop_blocking();
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// A thousand plugins have some thousand descriptors: as many as this process may have, it takes.
fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // What it may raise it may; otherwise the old limit holds, and plugins beyond it say so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Tells the service manager, where there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(target: "stockade::host", %error, "the service manager was not told");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    /// Until it is to stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Service {
    async fn serve(
        self: &Arc<Self>,
        socket: &std::path::Path,
        wanted: std::collections::BTreeMap<String, config::Wanted>,
        drain: Duration,
    ) -> Result<Exit, Failure> {
        // Before anything is loaded: who stops the host while it starts does not wait for it to have started.
        let mut signals = Signals::new().map_err(|error| {
            let message = format!("signals cannot be handled: {error}");
            Failure::usage("threads", "host", message, "report this; it is a bug")
        })?;
        let server =
            Server::bind(socket, &self.configuration.control.uids).map_err(|error| Failure::of(&error))?;
        let (stop, stopped) = watch::channel(());
        let ended = |mut stopped: watch::Receiver<()>| async move {
            let _ = stopped.changed().await;
        };
        let mut serving = tokio::task::JoinSet::new();
        if let Some(address) = self.configuration.metrics.listen {
            let bound = serve_metrics(address, Arc::clone(self), ended(stopped.clone())).await;
            let (address, metrics) = bound.map_err(|error| {
                let message = format!("metrics cannot be served on {address}: {error}");
                Failure::usage(
                    "metrics-address",
                    "metrics.listen",
                    message,
                    "name a free port of the loopback device",
                )
            })?;
            tracing::info!(target: "stockade::host", "metrics are at http://{address}/metrics");
            serving.spawn(async move { drop(metrics.await) });
        }
        let path = server.path().display().to_string();
        serving.spawn(server.run(Arc::clone(self)));
        let starting = {
            let service = Arc::clone(self);
            tokio::task::spawn_blocking(move || service.plugins.start(&service.host, wanted))
        };
        tokio::select! {
            _ = starting => {}
            () = signals.stop() => return self.stop(&mut signals, Duration::ZERO).await,
        }
        self.starting.store(false, Ordering::Release);
        let (loaded, failed) = self.plugins.count();
        let run = match loaded {
            1 => "1 plugin runs".to_owned(),
            many => format!("{many} plugins run"),
        };
        tracing::info!(
            target: "stockade::host", "{run}{}; the control socket is {path}",
            if failed == 0 { String::new() } else { format!(", {failed} could not be loaded") },
        );
        serving.spawn(Arc::clone(self).keep_history(stopped.clone()));
        serving.spawn(Arc::clone(self).keep_trying(stopped.clone()));
        if let Some(every) = sd_notify::watchdog_enabled() {
            serving.spawn(Arc::clone(self).keep_watchdog(every / 2));
        }
        notify(&[NotifyState::Ready, NotifyState::Status(&run)]);
        loop {
            tokio::select! {
                _ = signals.reload.recv() => self.reload_for_signal().await,
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
            }
        }
        notify(&[NotifyState::Stopping]);
        // No new clients; those that wait for a call get their answer or its reason.
        let exit = self.stop(&mut signals, drain).await;
        drop(stop);
        serving.shutdown().await;
        exit
    }

    /// Lets running calls end, for so long, or until it is told again.
    async fn stop(&self, signals: &mut Signals, drain: Duration) -> Result<Exit, Failure> {
        self.stopping.store(true, Ordering::Release);
        let plugins = self.host.plugins();
        let running: u32 = plugins.iter().map(Plugin::running).sum();
        if running > 0 && !drain.is_zero() {
            tracing::info!(
                target: "stockade::host",
                "stopping: {running} calls have up to {drain:?} to end; a second signal ends them at once"
            );
        }
        let mut stops = tokio::task::JoinSet::new();
        for plugin in plugins {
            stops.spawn(async move { plugin.stop(drain).await });
        }
        tokio::select! {
            () = async { while stops.join_next().await.is_some() {} } => {}
            () = signals.stop() => tracing::warn!(target: "stockade::host", "ended at once"),
        }
        tracing::info!(target: "stockade::host", "stopped");
        Ok(Exit::Ok)
    }

    async fn reload_for_signal(self: &Arc<Self>) {
        let now = NotifyState::monotonic_usec_now();
        match now {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(_) => notify(&[NotifyState::Reloading]),
        }
        // Both ways of it are told where it is done.
        let _ = self.reload_now().await;
        notify(&[NotifyState::Ready]);
    }

    async fn reload_now(&self) -> Result<Reloaded, Problem> {
        let _one = self.reloading.lock().await;
        let done = tokio::task::block_in_place(|| {
            let read = config::read(&self.path, &self.home).map_err(|failure| failure.problem)?;
            if read.host != self.configuration {
                return Err(Problem {
                    code: "restart-needed",
                    field: self.path.display().to_string(),
                    message: "what it says of the host itself has changed, and holds only from a start on"
                        .to_owned(),
                    next_step: "start the host anew, or change only the plugins' files; nothing was changed"
                        .to_owned(),
                });
            }
            let policy = policy::read(read.host.policy.as_deref(), &self.home.state)
                .map_err(|failure| failure.problem)?;
            let before = self.host.policy();
            self.host.set_policy(policy).map_err(|error| error.problem())?;
            let changed = self.plugins.change(&self.host, read.plugins);
            if changed.is_err() {
                self.host.set_policy(before.as_ref().clone()).map_err(|error| error.problem())?;
            }
            changed
        });
        match &done {
            Ok(what) => tracing::info!(
                target: "stockade::host", "the configuration was read again: {} plugins added, {} changed, {} removed, {} as before",
                what.added.len(), what.changed.len(), what.removed.len(), what.unchanged
            ),
            Err(problem) => tracing::error!(
                target: "stockade::host",
                "the new configuration is refused, and the old one stays ({}): {}. Next: {}",
                problem.code, problem.message, problem.next_step
            ),
        }
        done
    }

    /// Has the plugins run as they are installed now. What else the configuration says is left to a reload.
    fn take_in(&self, done: &[Done]) -> Result<Reloaded, Problem> {
        let mut read = config::read(&self.path, &self.home).map_err(|failure| failure.problem)?;
        let mut reloaded = Reloaded::default();
        for Done { plugin, .. } in done {
            if let Some((_, problem)) =
                read.broken.iter().find(|(generation, _)| generation.plugin == *plugin)
            {
                return Err(problem.clone());
            }
            self.plugins.take_in(&self.host, plugin, read.plugins.remove(plugin), &mut reloaded)?;
        }
        Ok(reloaded)
    }

    async fn keep_history(self: Arc<Self>, mut stopped: watch::Receiver<()>) {
        let mut told = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(HISTORY) => {}
                _ = stopped.changed() => return,
            }
            let host = self.host.clone();
            let kept = tokio::task::spawn_blocking(move || host.keep_history()).await;
            if let Ok(Err(error)) = &kept
                && !told
            {
                tracing::warn!(target: "stockade::host", %error, "what happened is not written down");
            }
            told = matches!(kept, Ok(Err(_)));
        }
    }

    /// Loads what the machine had no room for at first.
    async fn keep_trying(self: Arc<Self>, mut stopped: watch::Receiver<()>) {
        let mut pause = AGAIN;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopped.changed() => return,
            }
            if let Err(error) = tokio::task::block_in_place(|| self.host.look_at_approvals()) {
                tracing::error!(target: "stockade::host", %error, "approvals that are over have not ended");
            }
            if self.plugins.has_withdrawn() {
                // Why not, is told where it is done.
                let _ = self.reload_now().await;
            }
            if !self.plugins.may_pass() {
                pause = AGAIN;
                continue;
            }
            pause = (pause * 2).min(AGAIN_LATEST);
            let _one = self.reloading.lock().await;
            // A configuration that is broken by now is told when somebody reloads it.
            tokio::task::block_in_place(|| {
                if let Ok(read) = config::read(&self.path, &self.home) {
                    self.plugins.try_again(&self.host, read.plugins);
                }
            });
        }
    }

    /// Says that it lives, as long as its threads do.
    async fn keep_watchdog(self: Arc<Self>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            if self.host.is_live() {
                notify(&[NotifyState::Watchdog]);
            }
        }
    }
}

impl Operations for Service {
    fn host(&self) -> &Host {
        &self.host
    }

    fn not_ready(&self) -> Option<Problem> {
        let (code, message, next_step) = if self.stopping.load(Ordering::Acquire) {
            ("stopping", "the host is being stopped", "start it again")
        } else if self.starting.load(Ordering::Acquire) {
            ("starting", "the host has not loaded all of its plugins yet", "wait a moment")
        } else {
            return None;
        };
        Some(Problem::new(code, "host", message, next_step))
    }

    fn failed(&self) -> Vec<PluginStatus> {
        self.plugins.failed()
    }

    fn reload(&self) -> Reloading<'_> {
        Box::pin(self.reload_now())
    }

    fn change(&self, order: Order, by: Person, patience: Duration, tell: Tell) -> Changing<'_> {
        let (host, home) = (self.host.clone(), self.home.clone());
        let changing = tokio::task::spawn_blocking(move || {
            // Whoever asked may have gone.
            let tell = |step: &Step| drop(tell.send(step.clone()));
            let request = &install::request;
            let changing =
                HowToChange { by, allow: Allow::default(), patience, turn: None, request, tell: &tell };
            install::carry_out(&host, &home, &order, changing).map_err(install::not_changed)
        });
        Box::pin(async move {
            let done = match changing.await {
                Ok(done) => done?,
                Err(_) => return Err(install::not_changed(Failure::of(&HostError::Stopped))),
            };
            let _one = self.reloading.lock().await;
            let reloaded = tokio::task::block_in_place(|| self.take_in(&done));
            match &reloaded {
                Ok(_) => {
                    tracing::info!(target: "stockade::host", "what is installed was changed, and is taken in")
                }
                Err(problem) => tracing::error!(
                    target: "stockade::host",
                    "what is installed was changed, and not taken in ({}): {}. Next: {}",
                    problem.code, problem.message, problem.next_step
                ),
            }
            Ok(Changed { done, reloaded: reloaded.map_err(RemoteProblem::from) })
        })
    }

    fn waiting(&self) -> Vec<Waiting> {
        self.plugins.waiting(&self.host)
    }

    fn lines(&self) -> &Lines {
        &self.lines
    }

    fn set_level(&self, level: &str) -> Result<(), Problem> {
        let parsed = level.parse().map_err(|_| Problem {
            code: "bad-level",
            field: "level".to_owned(),
            message: format!("{level:?} is no level"),
            next_step: "use off, error, warn, info, debug or trace".to_owned(),
        })?;
        self.level.set(parsed);
        tracing::info!(target: "stockade::host", "from here on what is told is {parsed} and worse");
        Ok(())
    }
}

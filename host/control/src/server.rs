//! The host's end of the control socket. Who is on the other end is asked of the kernel; what it sends is bounded
//! before it is looked at; and whoever is slow, silent or wrong holds up nobody else.

use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use interprocess::local_socket::tokio::Listener;
use interprocess::local_socket::traits::StreamCommon;
use interprocess::local_socket::traits::tokio::Listener as _;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, ToFsName};
use interprocess::os::unix::local_socket::ListenerOptionsExt;
use stockade_host::install::Step;
use stockade_host::{
    ApprovalStatus, CallOptions, EmitOptions, GrantsReport, Host, HostError, Plugin, PluginStatus, person,
};
use stockade_package::{Explain, Problem};
use stockade_policy::{Person, stands};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, broadcast};

use crate::error::ControlError;
use crate::frame::{MAX_REPLY, MAX_REQUEST, receive, send};
use crate::lines::{Line, Lines};
use crate::message::{
    CallResult, EmitResult, HealthReply, PluginTools, Reloaded, RemoteProblem, Reply, Request, ToolInfo,
    Waiting,
};
use crate::order::{Changed, NotChanged, Order};
use crate::search::{Found, Search};

/// Clients at a time. Each may have a request of [`MAX_REQUEST`] on its way.
const CLIENTS: usize = 128;
/// How long a client may be silent between two requests.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest time that a client may give running calls to end.
const GRACE: Duration = Duration::from_secs(600);

/// A configuration that is being read again.
pub type Reloading<'a> = Pin<Box<dyn Future<Output = Result<Reloaded, Problem>> + Send + 'a>>;

/// A change of what is installed, on its way.
pub type Changing<'a> = Pin<Box<dyn Future<Output = Result<Changed, NotChanged>> + Send + 'a>>;
/// Is told how far one is.
pub type Tell = UnboundedSender<Step>;

/// What a host does that is not on [`Host`] itself: its configuration and its log are its program's.
pub trait Operations: Send + Sync + 'static {
    /// The host.
    fn host(&self) -> &Host;
    /// Why it is not ready, besides what [`Host::health`] says.
    fn not_ready(&self) -> Option<Problem>;
    /// Plugins that are wanted and could not be loaded.
    fn failed(&self) -> Vec<PluginStatus>;
    /// Reads the configuration again.
    fn reload(&self) -> Reloading<'_>;
    /// Changes what is installed, in the name of this person, and waits so long for whoever does that already. It is done
    /// whether or not somebody waits for it.
    fn change(&self, order: Order, by: Person, patience: Duration, tell: Tell) -> Changing<'_>;
    /// New versions of plugins that wait for an approval.
    fn waiting(&self) -> Vec<Waiting>;
    /// What is being told.
    fn lines(&self) -> &Lines;
    /// How much is told from here on.
    fn set_level(&self, level: &str) -> Result<(), Problem>;
}

/// A control socket.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    path: PathBuf,
    uids: Vec<u32>,
}

impl Server {
    /// Listens at `path`, for the users in `uids` and this process's own. A socket that a host has left there is
    /// replaced.
    pub fn bind(path: &Path, uids: &[u32]) -> Result<Server, ControlError> {
        let broken = |source| ControlError::Socket { path: path.to_owned(), source };
        let own = nix::unistd::geteuid().as_raw();
        let mut allowed = vec![own];
        allowed.extend(uids);
        // Whoever may not even connect cannot ask; for others it is for the credentials to say.
        let mode = if allowed.iter().all(|uid| *uid == own) { 0o600 } else { 0o666 };
        let name = path.to_fs_name::<GenericFilePath>().map_err(broken)?;
        let options = ListenerOptions::new().name(name).try_overwrite(true).mode(0o600);
        let listener = options.create_tokio().map_err(broken)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(broken)?;
        Ok(Server { listener, path: path.to_owned(), uids: allowed })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves clients for as long as it is polled. What clients have on its way ends with it.
    pub async fn run<O: Operations>(self, operations: Arc<O>) {
        let Server { listener, path, uids } = self;
        let (places, leaving) = (Arc::new(Semaphore::new(CLIENTS)), Arc::new(Semaphore::new(CLIENTS)));
        let mut clients = tokio::task::JoinSet::new();
        let mut refused = Refused::default();
        loop {
            // Those that have gone are let go of.
            while clients.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = tokio::time::sleep(EACH), if refused.unwritten > 0 => {
                    operations.host().refused_clients(&path, std::mem::take(&mut refused.unwritten));
                    continue;
                }
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    // Out of descriptors: others have to end before it can go on.
                    tracing::warn!(target: "stockade::host", %error, "a client could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let peer = stream.peer_creds();
            let (uid, pid) = peer.map_or((None, None), |peer| (peer.euid(), peer.pid()));
            let refusal = match (uid, Arc::clone(&places).try_acquire_owned()) {
                (Some(uid), Ok(place)) if uids.contains(&uid) || !stands("control.uid") => {
                    let operations = Arc::clone(&operations);
                    clients.spawn(async move {
                        let _place = place;
                        let (from, to) = tokio::io::split(stream);
                        serve(from, to, &*operations, uid).await;
                    });
                    continue;
                }
                (Some(uid), Err(_)) if uids.contains(&uid) => busy(),
                _ => {
                    let uid = uid.map_or_else(|| "unknown".to_owned(), |uid| uid.to_string());
                    if refused.is_one_to_write() {
                        operations.host().refused_client(&path, &uid, pid.map(|pid| pid as u32));
                    }
                    not_permitted(&uid)
                }
            };
            // As many at a time as there are clients: who does not listen is not waited for by others.
            if let Ok(place) = Arc::clone(&leaving).try_acquire_owned() {
                clients.spawn(async move {
                    let _place = place;
                    let (_, mut to) = tokio::io::split(stream);
                    let _ = send(&mut to, &Reply::Refused(refusal.into()), MAX_REPLY).await;
                });
            }
        }
    }
}

/// Users who may not control the host can ask it as often as they like: so many of their attempts have a record each,
/// and the rest one with their number.
#[derive(Debug, Default)]
struct Refused {
    since: Option<Instant>,
    written: u32,
    unwritten: u64,
}

/// The time for [`WRITTEN`] records.
const EACH: Duration = Duration::from_secs(1);
/// Records of refused clients in that time.
const WRITTEN: u32 = 10;

impl Refused {
    fn is_one_to_write(&mut self) -> bool {
        if self.since.is_none_or(|since| since.elapsed() >= EACH) {
            (self.since, self.written) = (Some(Instant::now()), 0);
        }
        self.written += 1;
        let is_one = self.written <= WRITTEN || !stands("control.refused");
        self.unwritten += u64::from(!is_one);
        is_one
    }
}

fn busy() -> Problem {
    let message = format!("{CLIENTS} clients are connected already, as many as may");
    Problem::new("busy", "socket", message, "end one of them, or try again")
}

fn not_permitted(uid: &str) -> Problem {
    let message = format!("user {uid} may not control this host");
    Problem::new(
        "not-permitted",
        "control.uids",
        message,
        "have the operator name the user in the host's configuration",
    )
}

/// One client, to its end.
async fn serve<O: Operations>(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    operations: &O,
    uid: u32,
) {
    loop {
        let request = match tokio::time::timeout(SILENCE, receive(&mut from, MAX_REQUEST)).await {
            Ok(Ok(Some(request))) => request,
            Ok(Ok(None)) | Err(_) => return,
            Ok(Err(error)) => {
                // It is told once, where it still listens, and not listened to any more.
                let _ = send(&mut to, &Reply::Refused(error.problem().into()), MAX_REPLY).await;
                return;
            }
        };
        if let Request::Logs { plugin, last, follow } = request {
            if logs(&mut from, &mut to, operations.lines(), plugin, last, follow).await.is_err() {
                return;
            }
            continue;
        }
        if let Request::Change { order, wait_ms } = request {
            let patience = milliseconds(wait_ms).min(GRACE);
            if change(&mut to, operations, (order, patience), uid).await.is_err() {
                return;
            }
            continue;
        }
        let reply = tokio::select! {
            biased;
            reply = answer(request, operations, uid) => reply,
            // Nobody waits for the answer, or somebody sends what nobody has asked for: what was begun is ended.
            _ = from.read_u8() => return,
        };
        let sent = match send(&mut to, &reply, MAX_REPLY).await {
            Err(ControlError::TooLong(length)) => {
                let error = ControlError::TooLong(length).problem();
                send(&mut to, &Reply::Refused(error.into()), MAX_REPLY).await
            }
            sent => sent,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The host reads files with the rights of its user: whoever else may control it is not to have it read theirs.
fn only_owner(host: &Host, uid: u32, what: &str) -> Result<(), Problem> {
    if uid == nix::unistd::geteuid().as_raw() || !stands("control.change") {
        return Ok(());
    }
    host.refused_client(Path::new("installed.sqlite"), &uid.to_string(), None);
    let message = format!("user {uid} may not {what}");
    Err(Problem::new("not-permitted", "control.uids", message, "have the user do it whose host it is"))
}

/// A change of what is installed, to its end, whoever still listens.
async fn change<O: Operations>(
    to: &mut (impl AsyncWrite + Unpin),
    operations: &O,
    (order, patience): (Order, Duration),
    uid: u32,
) -> Result<(), ControlError> {
    if let Err(problem) = only_owner(operations.host(), uid, "change what is installed") {
        return send(to, &Reply::Refused(problem.into()), MAX_REPLY).await;
    }
    let (tell, mut steps) = unbounded_channel();
    let mut changing = operations.change(order, person(uid), patience, tell);
    let changed = loop {
        tokio::select! {
            biased;
            Some(step) = steps.recv() => {
                let _ = send(to, &Reply::Step(step), MAX_REPLY).await;
            }
            changed = &mut changing => break changed,
        }
    };
    let reply = match changed {
        Ok(changed) => Reply::Changed(changed),
        Err(not_changed) => Reply::NotChanged(not_changed),
    };
    send(to, &reply, MAX_REPLY).await
}

async fn logs(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    lines: &Lines,
    plugin: Option<String>,
    last: u32,
    follow: bool,
) -> Result<(), ControlError> {
    let wanted = |line: &Line| plugin.is_none() || line.plugin == plugin;
    let (last, mut new) = lines.follow(last as usize, wanted);
    for line in last {
        send(to, &Reply::Line(line), MAX_REPLY).await?;
    }
    if !follow {
        return send(to, &Reply::NoMore, MAX_REPLY).await;
    }
    loop {
        let line = tokio::select! {
            line = new.recv() => line,
            _ = from.read_u8() => return Err(ControlError::Ended),
        };
        let line = match line {
            Ok(line) if wanted(&line) => line,
            Ok(_) => continue,
            Err(broadcast::error::RecvError::Lagged(skipped)) => Line {
                at_ms: 0,
                level: "warn".to_owned(),
                plugin: None,
                call: None,
                own: false,
                text: format!("{skipped} lines came faster than they were read, and are skipped here"),
            },
            Err(broadcast::error::RecvError::Closed) => return send(to, &Reply::NoMore, MAX_REPLY).await,
        };
        send(to, &Reply::Line(line), MAX_REPLY).await?;
    }
}

async fn answer<O: Operations>(request: Request, operations: &O, uid: u32) -> Reply {
    match answered(request, operations, uid).await {
        Ok(reply) => reply,
        Err(problem) => Reply::Refused(RemoteProblem::from(problem)),
    }
}

fn milliseconds(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn find(host: &Host, name: &str) -> Result<Plugin, Problem> {
    host.plugin(name).ok_or_else(|| {
        let message = format!("the host has no plugin {name:?}");
        Problem::new("unknown-plugin", "plugin", message, "see `stockade ps` for those it has")
    })
}

/// What has become of an approval, and what that makes of the plugins.
async fn approval<O: Operations>(
    operations: &O,
    change: impl FnOnce(&Host) -> Result<ApprovalStatus, HostError> + Send + 'static,
) -> Result<Reply, Problem> {
    // It is done, whether or not its client waits for it.
    let status = apart(operations.host(), change).await.map_err(|error| error.problem())?;
    let reloaded = operations.reload().await.map_err(RemoteProblem::from);
    Ok(Reply::Approval(status, reloaded))
}

async fn answered<O: Operations>(request: Request, operations: &O, uid: u32) -> Result<Reply, Problem> {
    let host = operations.host();
    let explained = |error: HostError| error.problem();
    Ok(match request {
        Request::Plugins { plugin } => {
            let mut plugins =
                apart(host, |host| host.plugins().iter().map(Plugin::status).collect::<Vec<_>>()).await;
            plugins.extend(operations.failed());
            plugins.sort_by(|a, b| a.name.cmp(&b.name));
            if let Some(name) = plugin {
                plugins.retain(|status| status.name == name);
                if plugins.is_empty() {
                    find(host, &name)?;
                }
            }
            Reply::Plugins(plugins)
        }
        Request::Tools { plugin } => {
            let found = find(host, &plugin)?;
            let tools = found.tools().iter().map(ToolInfo::from);
            Reply::Tools(PluginTools { plugin, tools: tools.collect() })
        }
        Request::Call { plugin, tool, arguments, deadline_ms } => {
            let options = CallOptions { deadline: deadline_ms.map(milliseconds), caller: u64::from(uid) };
            let found = find(host, &plugin)?;
            Reply::Called(CallResult::from(found.call(&tool, &arguments, options).await))
        }
        Request::Emit { event, payload, fail_fast, deadline_ms } => {
            let deadline = deadline_ms.map(milliseconds);
            let options = EmitOptions { fail_fast, deadline, caller: u64::from(uid) };
            let told = host.emit(&event, &payload, options).await;
            Reply::Emitted(told.into_iter().map(EmitResult::from).collect())
        }
        Request::Stop { plugin, grace_ms } => {
            find(host, &plugin)?.stop(milliseconds(grace_ms).min(GRACE)).await;
            Reply::Done
        }
        Request::Start { plugin } => {
            find(host, &plugin)?.start().await.map_err(explained)?;
            Reply::Done
        }
        Request::Restart { plugin, grace_ms } => {
            let grace = milliseconds(grace_ms).min(GRACE);
            find(host, &plugin)?.restart(grace).await.map_err(explained)?;
            Reply::Done
        }
        Request::History { plugin, seconds } => {
            let history = apart(host, move |host| host.history(&plugin, seconds)).await;
            let (step, moments) = history.map_err(explained)?;
            Reply::History(step, moments)
        }
        Request::Level { level } => {
            operations.set_level(&level)?;
            Reply::Done
        }
        Request::Grants { plugin } => Reply::Grants(GrantsReport::of_plugin(&find(host, &plugin)?)),
        Request::Approvals => Reply::Approvals(apart(host, Host::approvals).await, operations.waiting()),
        Request::Approve(request) => {
            approval(operations, move |host| host.approve(&request, &person(uid))).await?
        }
        Request::Deny(request) => approval(operations, move |host| host.deny(&request, &person(uid))).await?,
        Request::Revoke { number, why } => {
            approval(operations, move |host| host.revoke(number, &person(uid), &why)).await?
        }
        Request::ChangeAuditKey => {
            Reply::AuditKey(apart(host, Host::change_audit_key).await.map_err(explained)?)
        }
        Request::Search(Search { at, allow, words }) => {
            only_owner(host, uid, "have it read an index")?;
            let index = apart(host, move |host| host.index_blocking(&at, &allow)).await;
            Reply::Found(Found::in_index(&index.map_err(|error| error.problem())?, &words))
        }
        Request::Reload => Reply::Reloaded(operations.reload().await?),
        Request::Health => Reply::Health(health(operations).await),
        Request::Metrics => Reply::Metrics(apart(host, |host| host.metrics()).await),
        // They have many replies, and were answered before.
        Request::Logs { .. } | Request::Change { .. } => Reply::NoMore,
    })
}

/// How the host does, and what is wrong with single plugins.
pub(crate) async fn health<O: Operations>(operations: &O) -> HealthReply {
    let (health, mut plugins) = apart(operations.host(), |host| {
        (host.health(), host.plugins().iter().map(Plugin::status).collect::<Vec<_>>())
    })
    .await;
    plugins.extend(operations.failed());
    let problems: Vec<RemoteProblem> =
        health.problems.into_iter().chain(operations.not_ready()).map(RemoteProblem::from).collect();
    HealthReply {
        ready: problems.is_empty(),
        problems,
        degraded: plugins.iter().filter_map(degraded).collect(),
    }
}

fn degraded(plugin: &PluginStatus) -> Option<RemoteProblem> {
    use stockade_host::PluginState::{BackingOff, Failed, HalfOpen, Idle, Open, Ready, Running, Stopped};
    let (code, next_step) = match plugin.state {
        Ready | Running | Idle | Stopped => return None,
        BackingOff => ("backing-off", "see the audit log for what ended its workers"),
        Open | HalfOpen => ("breaker-open", "see why its calls failed (stockade logs, stockade audit tail)"),
        Failed => ("plugin-failed", "see its reason, and reload the configuration once that is seen to"),
    };
    let message = format!("{} is {}: {}", plugin.name, plugin.state.as_str(), plugin.reason);
    Some(Problem::new(code, &plugin.name, message, next_step).into())
}

/// Looks at processes, disks and the like on a thread that may wait for them.
pub(crate) async fn apart<T: Send + 'static>(
    host: &Host,
    look: impl FnOnce(&Host) -> T + Send + 'static,
) -> T {
    let host = host.clone();
    match tokio::task::spawn_blocking(move || look(&host)).await {
        Ok(seen) => seen,
        // The runtime is ending, and this task with it; a panic goes on in here.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_and_what_next() {
        let told = |problem: Problem| format!("{}: {}; {}", problem.code, problem.message, problem.next_step);
        assert_eq!(
            told(not_permitted("1000")),
            "not-permitted: user 1000 may not control this host; have the operator name the user in the host's configuration"
        );
        assert_eq!(
            told(busy()),
            "busy: 128 clients are connected already, as many as may; end one of them, or try again"
        );
    }

    #[test]
    fn so_many_refusals_are_written_and_the_rest_is_counted() {
        let mut refused = Refused::default();
        let written = (0..25).filter(|_| refused.is_one_to_write()).count();
        assert_eq!((written, refused.unwritten), (10, 15));
    }
}

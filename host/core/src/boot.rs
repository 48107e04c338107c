//! From a started process to one that has been proved confined and was given its work.
//!
//! [`Booting`] → [`Attested`] → [`Loaded`]; the artifact leaves the host only from the second.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use stockade_ipc::{Fault, Phase, ToHost, ToWorker};
use stockade_policy::stands;

use crate::connection::{Connection, Progress};
use crate::kernel::Followed;
use crate::launch::{Namespaces, Started};
use crate::notify::{Listener, Notification};
use crate::process::Process;

/// Why a started program was not trusted with its work.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The program ended.
    #[error("the program ended while it started")]
    Ended,
    /// It took too long.
    #[error("the program was not ready after {0:?}")]
    TimedOut(Duration),
    /// It broke the protocol.
    #[error("protocol fault")]
    Fault(#[from] Fault),
    /// What came with the Hello is no notification listener.
    #[error("the first message did not bring a notification listener")]
    NoListener,
    /// The filter is not the one that the program was started with.
    #[error("the program put up filter {got:?} instead of {expected:?}")]
    WrongFilter {
        /// What was asked for.
        expected: String,
        /// What came.
        got: String,
    },
    /// A canary did not arrive, or another call in its place.
    #[error("canary {expected} did not arrive; the program tried {got}")]
    Canary {
        /// The canary.
        expected: &'static str,
        /// What came instead.
        got: String,
    },
    /// The kernel's account of the process is not that of a confined one.
    #[error("the kernel says {field} is {got:?}, and it must be {expected}")]
    Status {
        /// A line of `/proc/PID/status`.
        field: &'static str,
        /// What it says.
        got: String,
        /// What it has to say.
        expected: String,
    },
    /// It tried a forbidden call before it was ready.
    #[error("the program tried {0}")]
    Forbidden(String, [u64; 6]),
    /// An operating system call of the host failed.
    #[error("{0}")]
    Os(&'static str, #[source] io::Error),
}

/// How long a program may take to seal itself: a hundred times what it takes on a busy machine.
const SEAL_TIME: Duration = Duration::from_secs(5);

/// What must arrive, in this order, between the Hello and the end of phase Boot.
const CANARIES: [(&str, libc::c_long); 4] = [
    ("openat", libc::SYS_openat),
    ("socket", libc::SYS_socket),
    ("execve", libc::SYS_execve),
    ("kill", libc::SYS_kill),
];

/// The calls that loading takes and that are forbidden ever after, with how often each may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadingCalls {
    recvmsg: u8,
    openat: u8,
    statx: u8,
    read_mapping: u8,
    exec_mapping: u8,
}

impl LoadingCalls {
    /// Receiving the artifact, opening it through its descriptor, making its mapping read-only and the code
    /// in it executable.
    pub(crate) const WORKER: LoadingCalls =
        LoadingCalls { recvmsg: 1, openat: 1, statx: 1, read_mapping: 1, exec_mapping: 1 };
    /// Receiving the component and the file for the artifact. The engine publishes what it compiled before
    /// it tells of it, in the same two steps; nothing ever jumps there.
    pub(crate) const COMPILER: LoadingCalls =
        LoadingCalls { recvmsg: 1, openat: 0, statx: 0, read_mapping: 1, exec_mapping: 1 };

    /// Whether one more such call may happen. Looks at the number and at register arguments alone;
    /// which file an openat names is Landlock's to judge, and it refuses every path there is.
    fn take(&mut self, tried: &Notification) -> bool {
        const READ_EXEC: u64 = (libc::PROT_READ | libc::PROT_EXEC) as u64;
        const READ_ONLY: u64 = (libc::O_RDONLY | libc::O_CLOEXEC) as u64;
        let Some(call) = tried.call() else { return false };
        let left = match call {
            libc::SYS_recvmsg if tried.args[0] == 3 || !stands("loading.recvmsg-socket") => &mut self.recvmsg,
            libc::SYS_openat if tried.args[2] == READ_ONLY || !stands("loading.openat-flags") => {
                &mut self.openat
            }
            libc::SYS_statx => &mut self.statx,
            libc::SYS_mprotect if tried.args[2] == libc::PROT_READ as u64 => &mut self.read_mapping,
            libc::SYS_mprotect if tried.args[2] == READ_EXEC || !stands("loading.mprotect-prot") => {
                &mut self.exec_mapping
            }
            _ => return !stands("loading.calls"),
        };
        let allowed = *left > 0 || !stands("loading.once");
        *left = left.saturating_sub(1);
        allowed
    }
}

/// A started process, not yet proved.
#[derive(Debug)]
pub(crate) struct Booting {
    process: Arc<Process>,
    connection: Connection,
    uid: u32,
}

/// A process that the kernel vouches for.
#[derive(Debug)]
pub(crate) struct Attested {
    process: Arc<Process>,
    connection: Connection,
    listener: Listener,
    pub(crate) evidence: BTreeMap<&'static str, String>,
}

/// A process that has its work.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) process: Arc<Process>,
    pub(crate) connection: Connection,
    pub(crate) listener: Listener,
    /// `Loaded`, `Compiled` or `Rejected`.
    pub(crate) answer: ToHost,
}

enum Event {
    Readable,
    Tried(Notification),
}

/// Waits for the next thing to happen, whatever it is.
fn wait(
    process: &Process,
    connection: &Connection,
    listener: Option<&Listener>,
    until: Instant,
    allowance: Duration,
) -> Result<Event, BootError> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() && stands("boot.time") {
            return Err(BootError::TimedOut(allowance));
        }
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let mut watched = vec![
            PollFd::new(connection.as_fd(), PollFlags::POLLIN),
            PollFd::new(process.as_fd(), PollFlags::POLLIN),
        ];
        watched.extend(listener.map(|l| PollFd::new(l.as_fd(), PollFlags::POLLIN)));
        match poll(&mut watched, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(e) => return Err(BootError::Os("poll", e.into())),
        }
        let ready = |index: usize| {
            watched.get(index).and_then(PollFd::revents).is_some_and(|r| r.contains(PollFlags::POLLIN))
        };
        // What it tried comes first: it explains what follows.
        if ready(2)
            && let Some(Ok(tried)) = listener.map(Listener::receive)
        {
            return Ok(Event::Tried(tried));
        }
        if ready(0) {
            return Ok(Event::Readable);
        }
        if ready(1) || watched[0].revents().is_some_and(|r| r.contains(PollFlags::POLLHUP)) {
            return Err(BootError::Ended);
        }
    }
}

impl Booting {
    pub(crate) fn new(started: Started, followed: Option<Followed>) -> Booting {
        Booting {
            process: Arc::new(Process::new(started.pid, started.pidfd).followed_by(followed)),
            connection: Connection::new(started.socket),
            uid: started.uid,
        }
    }

    /// The process, for whoever has to say how it ended.
    pub(crate) fn process(&self) -> Arc<Process> {
        Arc::clone(&self.process)
    }

    /// Proves the confinement: the filter's listener, the four canaries, the kernel's own account.
    pub(crate) fn attest(mut self, filter: &str, namespaces: Namespaces) -> Result<Attested, BootError> {
        let until = Instant::now() + SEAL_TIME;
        let (hello, listener) = self.hello(until)?;
        if hello.filter != filter && stands("attest.filter") {
            return Err(BootError::WrongFilter { expected: filter.to_owned(), got: hello.filter });
        }
        let rights_refused = self.connection.refuse_descriptors();
        self.canaries(&listener, until)?;
        let mut evidence = kernel_account(self.process.pid(), self.uid, namespaces)?;
        evidence.insert("filter", hello.filter);
        evidence.insert("filter_sha256", crate::memfd::hex(&hello.filter_digest));
        evidence.insert("canaries", CANARIES.map(|(name, _)| name).join(" "));
        evidence.insert("namespaces", format!("{namespaces:?}").to_lowercase());
        evidence.insert("descriptors_refused_by_kernel", rights_refused.to_string());
        Ok(Attested { process: self.process, connection: self.connection, listener, evidence })
    }

    fn hello(&mut self, until: Instant) -> Result<(stockade_ipc::Hello, Listener), BootError> {
        wait(&self.process, &self.connection, None, until, SEAL_TIME)?;
        let (progress, mut files) =
            self.connection.receive_hello().map_err(|e| BootError::Os("recvmsg", e))?;
        if progress == Progress::End {
            return Err(BootError::Ended);
        }
        let Some(ToHost::Hello(hello)) = self.connection.take()? else {
            return Err(Fault::Torn.into());
        };
        let more = files.len() > 1 && stands("attest.one-descriptor");
        let (Some(file), false) = (files.pop(), more) else {
            return Err(Fault::Descriptors.into());
        };
        Ok((hello, Listener::adopt(file).ok_or(BootError::NoListener)?))
    }

    fn canaries(&mut self, listener: &Listener, until: Instant) -> Result<(), BootError> {
        for (name, number) in CANARIES {
            if !stands("attest.canaries") {
                break;
            }
            let error = |got: String| BootError::Canary { expected: name, got };
            match wait(&self.process, &self.connection, Some(listener), until, SEAL_TIME)? {
                Event::Tried(tried)
                    if tried.call() == Some(number) && tried.pid == self.process.pid()
                        || !stands("attest.canary-process") =>
                {
                    listener.refuse(&tried).map_err(|e| BootError::Os("answering", e.into()))?;
                }
                Event::Tried(other) => {
                    self.process.kill();
                    return Err(error(other.name()));
                }
                // Hung up, or said something: it was to do neither.
                Event::Readable => {
                    let read = self.connection.read_more(false);
                    return Err(match read.map_err(|e| BootError::Os("reading", e))? {
                        Progress::End => BootError::Ended,
                        Progress::Some | Progress::Nothing => error("to speak".to_owned()),
                    });
                }
            }
        }
        while self.connection.phase() == Phase::Boot {
            if self.connection.take()?.is_some() {
                continue;
            }
            // Not the listener: the program may already wait to receive its work, which is for `load`.
            wait(&self.process, &self.connection, None, until, SEAL_TIME)?;
            self.connection.read_boot()?;
        }
        Ok(())
    }
}

/// Reads the kernel's account of a process, which any user may read, and holds it against what a confined one looks
/// like.
pub(crate) fn kernel_account(
    pid: u32,
    uid: u32,
    namespaces: Namespaces,
) -> Result<BTreeMap<&'static str, String>, BootError> {
    let failed = |e| BootError::Os("reading /proc/PID/status", e);
    let mut file = File::open(format!("/proc/{pid}/status")).map_err(failed)?;
    let owner = file.metadata().map_err(failed)?.uid();
    let mut status = String::new();
    file.read_to_string(&mut status).map_err(failed)?;
    let own = std::fs::read_to_string("/proc/self/status")
        .map_err(|e| BootError::Os("reading /proc/self/status", e))?;
    // proc(5): the files in /proc of a process that is not dumpable belong to root, or to the overflow user
    // where root has no number here. No worker is root.
    if owner == uid && stands("attest.dumpable") {
        let (got, expected) = ("its own user".to_owned(), "root: the program is dumpable".to_owned());
        return Err(BootError::Status { field: "the owner of /proc/PID", got, expected });
    }
    // An ordinary user without namespaces cannot empty the bounding set; no_new_privs makes it moot.
    let bounded = namespaces != Namespaces::Off || nix::unistd::geteuid().is_root();
    let mut evidence = account(&status, &own, uid, bounded)?;
    evidence.insert("dumpable", "no".to_owned());
    Ok(evidence)
}

/// Holds the kernel's account of a process against what a confined one looks like.
fn account(
    status: &str,
    own: &str,
    uid: u32,
    bounded: bool,
) -> Result<BTreeMap<&'static str, String>, BootError> {
    let filters = field(own, "Seccomp_filters").parse::<u32>().unwrap_or(0) + 1;
    let no_capability = "0000000000000000";
    let mut expected = vec![
        ("NoNewPrivs", "1".to_owned()),
        ("Seccomp", "2".to_owned()),
        ("Seccomp_filters", filters.to_string()),
        ("Threads", "1".to_owned()),
        ("Uid", [uid; 4].map(|uid| uid.to_string()).join("\t")),
        ("CapInh", no_capability.to_owned()),
        ("CapPrm", no_capability.to_owned()),
        ("CapEff", no_capability.to_owned()),
        ("CapAmb", no_capability.to_owned()),
    ];
    if bounded {
        expected.push(("CapBnd", no_capability.to_owned()));
    }
    let mut evidence = BTreeMap::new();
    for (name, wanted) in expected {
        let got = field(status, name);
        let wrong = got != wanted || (name == "Uid" && uid == 0);
        if wrong && stands(&format!("attest.{name}")) {
            return Err(BootError::Status { field: name, got: got.to_owned(), expected: wanted });
        }
        evidence.insert(name, wanted.replace('\t', " "));
    }
    Ok(evidence)
}

impl Connection {
    fn read_boot(&mut self) -> Result<(), BootError> {
        match self.read_more(false).map_err(|e| BootError::Os("recv", e))? {
            Progress::End => Err(BootError::Ended),
            Progress::Some | Progress::Nothing => Ok(()),
        }
    }
}

/// The value of a line of a status file; empty where the kernel has no such line.
pub(crate) fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map_or("", str::trim)
}

impl Attested {
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Hands over the work and stays with the process until it has taken it in. The only stretch of its
    /// life in which the host lets calls pass, each once.
    pub(crate) fn load(
        mut self,
        message: &ToWorker,
        files: &[BorrowedFd<'_>],
        mut calls: LoadingCalls,
        allowance: Duration,
        refused: &mut dyn FnMut(stockade_ipc::Refused),
    ) -> Result<Loaded, BootError> {
        let until = Instant::now() + allowance;
        self.connection.send_with_files(message, files)?;
        loop {
            match self.connection.take()? {
                Some(ToHost::Refused(claim)) => {
                    refused(claim);
                    continue;
                }
                Some(answer) => {
                    let Attested { process, connection, listener, .. } = self;
                    return Ok(Loaded { process, connection, listener, answer });
                }
                None => {}
            }
            match wait(&self.process, &self.connection, Some(&self.listener), until, allowance)? {
                Event::Tried(tried) if calls.take(&tried) => {
                    // A program that was killed meanwhile needs no answer.
                    let _ = self.listener.pass(&tried);
                }
                Event::Tried(tried) => {
                    // Before the listener goes: without one the call would only fail, and the program run on.
                    self.process.kill();
                    return Err(BootError::Forbidden(tried.name(), tried.args));
                }
                Event::Readable => self.connection.read_boot()?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFINED: &str = "Uid:\t7\t7\t7\t7\nThreads:\t1\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
        CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n\
        Seccomp:\t2\nSeccomp_filters:\t2\n";
    const HOST: &str = "Seccomp_filters:\t1\n";

    /// The account of a confined process in which one line says something else, or is missing.
    fn refused_for(name: &str, value: Option<&str>) {
        let lines = CONFINED.lines().filter_map(|line| match line.split_once(":\t") {
            Some((found, _)) if found == name => value.map(|value| format!("{name}:\t{value}\n")),
            _ => Some(format!("{line}\n")),
        });
        match account(&lines.collect::<String>(), HOST, 7, true) {
            Err(BootError::Status { field, .. }) => assert_eq!(field, name),
            other => panic!("{name} {value:?}: {other:?}"),
        }
    }

    fn each_of(name: &str, values: &[&str]) {
        account(CONFINED, HOST, 7, true).expect("as it should be");
        refused_for(name, None);
        values.iter().for_each(|value| refused_for(name, Some(value)));
    }

    #[test]
    fn b14_privileges_that_could_come_back_are_refused() {
        each_of("NoNewPrivs", &["0", ""]);
    }

    #[test]
    fn b14_a_program_without_its_filter_is_refused() {
        each_of("Seccomp", &["0", "1"]);
    }

    #[test]
    fn b14_a_filter_more_or_less_than_our_own_and_one_is_refused() {
        each_of("Seccomp_filters", &["0", "1", "3"]);
    }

    #[test]
    fn b14_a42_a_second_thread_is_refused() {
        each_of("Threads", &["2", "0"]);
    }

    #[test]
    fn b14_another_user_is_refused_and_root_always() {
        each_of("Uid", &["0\t0\t0\t0", "7\t0\t7\t7", "7\t7\t0\t7", "7\t7\t7\t0"]);
        assert!(account(&CONFINED.replace("7\t7\t7\t7", "0\t0\t0\t0"), HOST, 0, true).is_err());
    }

    #[test]
    fn b14_capabilities_of_any_set_are_refused() {
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"] {
            each_of(set, &["0000000000000001", "000001ffffffffff"]);
        }
    }

    #[test]
    fn every_line_that_counts_is_in_the_mutation_list() {
        const PROTECTIONS: &str = include_str!("../../../tests/protections.toml");
        for name in account(CONFINED, HOST, 7, true).expect("as it should be").keys() {
            assert!(PROTECTIONS.contains(&format!("\nname = \"attest.{name}\"\n")), "{name}");
        }
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let status = "Seccomp:\t2\nSeccomp_filters:\t3\n";
        assert_eq!(field(status, "Seccomp"), "2");
        assert_eq!(field(status, "Seccomp_filters"), "3");
        assert_eq!(field(status, "Threads"), "");
    }
}

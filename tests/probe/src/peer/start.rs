//! A program's start, step by step, each of which can be left out, changed, or done twice.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use stockade_ipc::Hello;
use stockade_seal::{Bare, Filter, SealError};

use super::descriptors::send;
use super::wire::{Peer, SOCKET, end, message, sleep};
use crate::sealed::raw;

/// One step of a program's start.
#[derive(Clone)]
pub(super) enum Step {
    /// Nobody may look into this process.
    NotDumpable,
    /// The filter of the command line.
    Filter,
    /// A filter that stops nothing but the canaries.
    LaxFilter,
    /// A filter that stops nothing and has no listener.
    IdleFilter,
    /// The first message, with this for the listener.
    Hello(With),
    /// The first message of these bytes, with the listener.
    HelloOf(Vec<u8>),
    /// Any bytes.
    Say(Vec<u8>),
    /// The same bytes over and over.
    SayForEver(Vec<u8>),
    /// A system call by its number, refused or not.
    Try(i64),
    /// The same with these arguments.
    TryWith(i64, [u64; 3]),
    /// A call of the i386 ABI by its number, with a third argument.
    TryForeign(i64, u64),
    /// Another process does this; it was there before any filter.
    Elsewhere(Vec<Step>),
    /// A mapping made executable.
    MakeExecutable,
    /// The host's message with what comes with it.
    Take,
    /// Reads the host's message and leaves the descriptors behind.
    Read,
    /// Returns what it is given, for ever.
    Serve,
    /// Leaves.
    Exit,
    /// A crash.
    Crash,
    /// For ever.
    Sleep,
    /// For ever, without a system call: the compiler may not sleep.
    Spin,
    /// These bytes, so often, into the last descriptor that came.
    Write(Vec<u8>, usize),
    /// A second thread, or the end where there can be none.
    Thread,
    /// A second process, or the end where there can be none.
    Fork,
}

/// What comes with the first message.
#[derive(Clone, Copy)]
pub(super) enum With {
    Listener,
    Nothing,
    Null,
    Socket,
    /// An end of a pair of its own.
    Pair,
    Eventfd,
    Epoll,
    Memory,
    ListenerTwice,
    NullThenListener,
    Three,
}

/// What an honest program tries, in this order, to show that it cannot.
pub(super) const CANARIES: [i64; 4] = [libc::SYS_openat, libc::SYS_socket, libc::SYS_execve, libc::SYS_kill];

/// Goes through the steps.
pub(super) fn run(steps: &[Step]) -> Result<(), SealError> {
    // For the signal mask; what else it knows is taken from the command line again.
    let _ = Bare::enter()?;
    let name = std::env::args().nth(1).unwrap_or_default();
    let mut start =
        Start { filter: Filter::named(&name)?, listener: None, peer: Peer::new(0), held: Vec::new() };
    for step in steps {
        start.take(step)?;
    }
    sleep()
}

struct Start {
    filter: &'static Filter,
    listener: Option<OwnedFd>,
    peer: Peer,
    /// What came with the host's message.
    held: Vec<OwnedFd>,
}

impl Start {
    fn take(&mut self, step: &Step) -> Result<(), SealError> {
        match step {
            Step::NotDumpable => drop(raw(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as u64])),
            Step::Filter => self.listener = Some(self.filter.install()?),
            Step::LaxFilter => self.listener = own_filter(&CANARIES, true),
            Step::IdleFilter => drop(own_filter(&[], false)),
            Step::Hello(with) => {
                let hello = Hello { filter: self.filter.name.to_owned(), filter_digest: self.filter.digest };
                send(&message(hello), &self.files(*with));
                // An honest program keeps no copy of its listener.
                self.listener = None;
            }
            Step::HelloOf(bytes) => {
                send(bytes, &self.files(With::Listener));
                self.listener = None;
            }
            Step::Say(bytes) => self.peer.write(bytes),
            Step::SayForEver(bytes) => loop {
                self.peer.write(bytes);
            },
            Step::Try(call) => drop(raw(*call, &arguments(*call))),
            Step::TryWith(call, arguments) => drop(raw(*call, arguments)),
            Step::TryForeign(call, third) => {
                let _ = crate::attacks::interrupt(*call as u32, [0, 0, *third as u32, 0, 0, 0]);
            }
            Step::Elsewhere(steps) => {
                if fork() {
                    for step in steps {
                        self.take(step)?;
                    }
                    sleep();
                }
            }
            Step::MakeExecutable => super::loading::make_executable(),
            Step::Take => {
                let mut bytes = [0; 16 * 1024];
                // SAFETY: none is needed; the socket was there at start and nothing closes it.
                // JUSTIFICATION: a descriptor that is there at start has only its number.
                let socket = unsafe { BorrowedFd::borrow_raw(SOCKET) };
                match stockade_ipc::fds::receive(socket, &mut bytes) {
                    Ok((1.., files)) => self.held.extend(files),
                    _ => end(0),
                }
            }
            Step::Read => drop(self.peer.read()),
            Step::Serve => self.peer.serve(),
            Step::Exit => end(0),
            Step::Crash => super::calls::crash(),
            Step::Sleep => sleep(),
            Step::Spin => loop {
                std::hint::spin_loop();
            },
            Step::Write(bytes, times) => {
                let file = self.held.last().map_or(-1, AsRawFd::as_raw_fd) as u64;
                for _ in 0..*times {
                    raw(libc::SYS_write, &[file, bytes.as_ptr() as u64, bytes.len() as u64]);
                }
            }
            Step::Thread => thread(),
            Step::Fork if fork() => sleep(),
            Step::Fork => {}
        }
        Ok(())
    }

    fn files(&self, with: With) -> Vec<i32> {
        let listener = self.listener.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let made = |call, args: &[u64]| vec![raw(call, args) as i32];
        match with {
            With::Listener => vec![listener],
            With::Nothing => Vec::new(),
            With::Null => vec![0],
            With::Socket => vec![SOCKET],
            With::Pair => {
                let mut pair = [-1_i32; 2];
                let kind = [libc::AF_UNIX as u64, libc::SOCK_STREAM as u64, 0, pair.as_mut_ptr() as u64];
                raw(libc::SYS_socketpair, &kind);
                vec![pair[0]]
            }
            With::Eventfd => made(libc::SYS_eventfd2, &[0, 0]),
            With::Epoll => made(libc::SYS_epoll_create1, &[0]),
            With::Memory => made(libc::SYS_memfd_create, &[c"listener".as_ptr() as u64, 0]),
            With::ListenerTwice => vec![listener, listener],
            With::NullThenListener => vec![0, listener],
            With::Three => vec![listener, 0, 1],
        }
    }
}

impl With {
    pub(super) fn is_made(self) -> bool {
        matches!(self, Self::Pair | Self::Eventfd | Self::Epoll | Self::Memory)
    }
}

/// Arguments under which a call, should it ever get through, does nothing.
fn arguments(call: i64) -> Vec<u64> {
    let (nowhere, read_only) = (c"/".as_ptr() as u64, (libc::O_RDONLY | libc::O_CLOEXEC) as u64);
    let here = libc::AT_FDCWD as u64;
    match call {
        libc::SYS_openat => vec![here, nowhere, read_only],
        libc::SYS_statx => vec![here, nowhere, 0, 0, 0],
        libc::SYS_socket => vec![libc::AF_INET as u64, libc::SOCK_STREAM as u64],
        libc::SYS_execve => vec![nowhere],
        libc::SYS_kill => vec![1, 0],
        // No operation, on nothing.
        libc::SYS_seccomp | libc::SYS_ptrace => vec![u64::MAX, 0, 0],
        libc::SYS_recvmsg => vec![SOCKET as u64, 0, 0],
        _ => Vec::new(),
    }
}

/// A filter that has the host told of these calls, or is not even heard of, and lets everything else be.
fn own_filter(told: &[i64], listens: bool) -> Option<OwnedFd> {
    const NEW_LISTENER: u64 = 1 << 3;
    const USER_NOTIF: u32 = 0x7fc0_0000;
    const ALLOW: u32 = 0x7fff_0000;
    let ins = |code: u16, jt: u8, k: u32| libc::sock_filter { code, jt, jf: 0, k };
    // Loads the number; for each call, jumps to the last instruction; else allows.
    let mut program = vec![ins(0x20, 0, 0)];
    for (at, &call) in told.iter().enumerate() {
        program.push(ins(0x15, (told.len() - at) as u8, call as u32));
    }
    program.extend([ins(0x06, 0, ALLOW), ins(0x06, 0, USER_NOTIF)]);
    let whole = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let flags = if listens { NEW_LISTENER } else { 0 };
    let made = raw(libc::SYS_seccomp, &[1, flags, (&raw const whole) as u64]);
    if made < 0 {
        end(3);
    }
    // SAFETY: the kernel has just made it for us. JUSTIFICATION: it comes as a number.
    listens.then(|| unsafe { OwnedFd::from_raw_fd(made as i32) })
}

fn thread() {
    let idle = || -> () { sleep() };
    if std::thread::Builder::new().stack_size(64 * 1024).spawn(idle).is_err() {
        end(3);
    }
}

/// True in the child.
fn fork() -> bool {
    // SAFETY: there is one thread, so the child may do what it likes. JUSTIFICATION: no wrapper forks.
    match unsafe { libc::fork() } {
        0 => true,
        1.. => false,
        _ => end(3),
    }
}

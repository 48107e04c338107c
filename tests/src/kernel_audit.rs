//! The kernel's audit, as a test sets it: switched on, with a backlog of so many records, and put back afterwards.
//! There is one for the whole machine, so tests take turns.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

const GET: u16 = 1000;
const SET: u16 = 1001;
const ADD_RULE: u16 = 1011;
const DELETE_RULE: u16 = 1012;
const ERROR: u16 = 2;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const ASKED: u16 = 1 | 4;
const ENABLED: u32 = 1 << 0;
const RATE_LIMIT: u32 = 1 << 3;
const BACKLOG_LIMIT: u32 = 1 << 4;
/// Numbers of `struct audit_status`, all of them 32 bits wide.
const NUMBERS: usize = 11;

/// Audit that is on, until this is dropped.
#[derive(Debug)]
pub struct KernelAudit {
    socket: OwnedFd,
    before: [u32; NUMBERS],
    /// The kind that a rule of ours mutes.
    muted: Option<u32>,
    _turn: Flock<File>,
}

impl KernelAudit {
    /// Switches it on; the reason where this user may not.
    pub fn on(backlog: u32) -> Result<KernelAudit, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("switching the kernel's audit on takes root".to_owned());
        }
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(libc::O_NOFOLLOW)
            .open("/tmp/stockade-kernel-audit.lock")
            .map_err(|error| format!("tests of the kernel's audit cannot take turns: {error}"))?;
        let turn = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error.to_string())?;
        let socket =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkAudit)
                .map_err(|error| format!("no audit socket: {error}"))?;
        let before = get(&socket).map_err(|error| format!("audit does not answer: {error}"))?;
        if before[1] == 2 {
            return Err("audit is locked until the machine starts again".to_owned());
        }
        let audit = KernelAudit { socket, before, muted: None, _turn: turn };
        let set = audit.set(1, backlog).and_then(|()| audit.at_most(0));
        set.map_err(|error| format!("audit cannot be switched on: {error}"))?;
        Ok(audit)
    }

    /// Switches it on or off, with another backlog.
    pub fn set(&self, enabled: u32, backlog: u32) -> nix::Result<()> {
        let mut status = [0_u32; NUMBERS];
        (status[0], status[1], status[5]) = (ENABLED | BACKLOG_LIMIT, enabled, backlog);
        ask(&self.socket, SET, &status.map(u32::to_ne_bytes).concat()).map(drop)
    }

    /// Has the kernel throw away what is more than so many records a second; 0 for none.
    pub fn at_most(&self, records_a_second: u32) -> nix::Result<()> {
        let mut status = [0_u32; NUMBERS];
        (status[0], status[4]) = (RATE_LIMIT, records_a_second);
        ask(&self.socket, SET, &status.map(u32::to_ne_bytes).concat()).map(drop)
    }

    /// Has the kernel make no records of this number.
    pub fn mute(&mut self, kind: u32) -> nix::Result<()> {
        ask(&self.socket, ADD_RULE, &rule(kind))?;
        self.muted = Some(kind);
        Ok(())
    }

    fn unmute(&mut self) {
        if let Some(kind) = self.muted.take() {
            let _ = ask(&self.socket, DELETE_RULE, &rule(kind));
        }
    }
}

/// `AUDIT_LANDLOCK_ACCESS`.
pub const LANDLOCK_ACCESS: u32 = 1423;
/// `AUDIT_LANDLOCK_DOMAIN`.
pub const LANDLOCK_DOMAIN: u32 = 1424;

impl Drop for KernelAudit {
    fn drop(&mut self) {
        self.unmute();
        let _ = self.at_most(self.before[4]);
        let _ = self.set(self.before[1], self.before[5]);
    }
}

/// `struct audit_rule_data`: exclude (5), never (0), where the type of the record (12) is equal.
fn rule(kind: u32) -> Vec<u8> {
    const ALL: [u32; 64] = [u32::MAX; 64];
    let only = |value: u32| {
        let mut of_each = [0; 64];
        of_each[0] = value;
        of_each
    };
    let numbers = [&[5, 0, 1][..], &ALL, &only(12), &only(kind), &only(0x4000_0000), &[0]].concat();
    numbers.into_iter().flat_map(u32::to_ne_bytes).collect()
}

fn get(socket: &OwnedFd) -> nix::Result<[u32; NUMBERS]> {
    let answer = ask(socket, GET, &[])?;
    let mut numbers = [0; NUMBERS];
    for (number, bytes) in numbers.iter_mut().zip(answer.as_chunks::<4>().0) {
        *number = u32::from_ne_bytes(*bytes);
    }
    Ok(numbers)
}

/// Asks, and returns what came with an answer of the same number, once the kernel says that it is done.
fn ask(socket: &OwnedFd, kind: u16, body: &[u8]) -> nix::Result<Vec<u8>> {
    let length = u32::try_from(16 + body.len()).expect("short");
    let mut datagram =
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &ASKED.to_ne_bytes(), &[0; 8]].concat();
    datagram.extend(body);
    sendto(socket.as_raw_fd(), &datagram, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let (began, mut answer, mut buffer) = (Instant::now(), Vec::new(), vec![0; 16 * 1024]);
    loop {
        match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(count) if count >= 20 => {
                match u16::from_ne_bytes([buffer[4], buffer[5]]) {
                    ERROR => {
                        let code = i32::from_ne_bytes([buffer[16], buffer[17], buffer[18], buffer[19]]);
                        if code != 0 {
                            return Err(Errno::from_raw(-code));
                        }
                        // The answer to a question comes by a thread of the kernel's, later than this.
                        if kind != GET {
                            return Ok(answer);
                        }
                    }
                    found if found == kind => answer = buffer[16..count].to_vec(),
                    _ => {}
                }
            }
            Ok(_) => {}
            Err(Errno::EAGAIN) if began.elapsed() < Duration::from_secs(5) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
        if kind == GET && !answer.is_empty() {
            return Ok(answer);
        }
    }
}

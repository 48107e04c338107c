//! A16, A17, B11: what can be attached to bytes on a socket.

use serde_json::{Value, json};
use stockade_ipc::{Log, LogLevel};

use super::Entry;
use super::wire::{SOCKET, done, end, message};

/// The kernel's answer to a worker's descriptors once it is attested (`SO_PASSRIGHTS`, Linux 6.16).
fn kernel_refuses(entry: Entry) -> Entry {
    entry.value(json!({ "outcome": "refused", "errno": "EPERM" })).why(
        "the kernel refuses them (SO_PASSRIGHTS, Linux 6.16); an older one drops them where the host reads",
    )
}

pub(super) fn entries() -> Vec<Entry> {
    let rights = |id: &str, tries: &str, files: Vec<i32>| {
        kernel_refuses(Entry::act(id, tries, move |_| attach(&line(), &[Part::Rights(files.clone())], 0)))
    };
    vec![
        rights("A16.null", "a log line with /dev/null attached", vec![0]),
        rights("A16.null-253", "a log line with /dev/null attached 253 times", vec![0; 253]),
        rights("A16.own-socket", "a log line with its own end of the socket", vec![SOCKET]),
        kernel_refuses(Entry::act("B11.half-a-frame", "half a frame with a descriptor", |_| {
            attach(&line()[..10], &[Part::Rights(vec![0])], 0)
        })),
        kernel_refuses(Entry::act("B11.two-parts", "two lists of descriptors at once", |_| {
            attach(&line(), &[Part::Rights(vec![0]), Part::Rights(vec![1, 2])], 0)
        })),
        kernel_refuses(Entry::act("B11.again-and-again", "descriptors 1,000 times", |_| {
            let again = || attach(&line(), &[Part::Rights(vec![0; 3])], 0);
            (1..1_000).for_each(|_| drop(again()));
            again()
        })),
        Entry::act("B11.bad-descriptor", "a descriptor that is not open", |_| {
            attach(&line(), &[Part::Rights(vec![4095])], 0)
        })
        .value(json!({ "outcome": "refused", "errno": "EBADF" })),
        Entry::act("B11.torn-control", "control data that is longer than it is", |_| {
            attach(&line(), &[Part::Torn], 0)
        })
        .value(json!({ "outcome": "refused", "errno": "EINVAL" })),
        Entry::act(
            "A17.false-process",
            "credentials of process 1",
            |_| json!({ "outcome": attach(&line(), &[Part::Credentials(1, 0)], 0)["outcome"] }),
        )
        .value(json!({ "outcome": "refused" }))
        .why("EPERM, or EINVAL where the worker's user namespace has no such user; the host asks for none"),
        Entry::act("B11.urgent-byte", "an out-of-band byte between two log lines", |peer| {
            peer.write(&line());
            let sent = attach(b"!", &[], libc::MSG_OOB);
            peer.write(&line());
            sent
        })
        .stopped_at("sendmsg")
        .why("the filter lets sendmsg have MSG_DONTWAIT and MSG_NOSIGNAL, and no other flag"),
        Entry::act("B11.empty-write", "1,000 empty writes", |_| {
            for _ in 0..1_000 {
                attach(b"", &[], 0);
            }
            done()
        }),
    ]
}

fn line() -> Vec<u8> {
    message(Log { level: LogLevel::Info, line: "attached".to_owned(), fields: Vec::new() })
}

/// One piece of control data.
enum Part {
    Rights(Vec<i32>),
    Credentials(i32, u32),
    /// A header whose length goes beyond the buffer.
    Torn,
}

impl Part {
    fn append(&self, control: &mut Vec<u8>) {
        let (kind, data) = match self {
            Self::Rights(files) => {
                (libc::SCM_RIGHTS, files.iter().flat_map(|file| file.to_ne_bytes()).collect::<Vec<u8>>())
            }
            Self::Credentials(pid, uid) => {
                let fields = [pid.to_ne_bytes(), uid.to_ne_bytes(), uid.to_ne_bytes()];
                (libc::SCM_CREDENTIALS, fields.concat())
            }
            Self::Torn => (libc::SCM_RIGHTS, vec![0; 4]),
        };
        let claimed = 16 + data.len() + if matches!(self, Self::Torn) { 4096 } else { 0 };
        control.extend(claimed.to_ne_bytes());
        control.extend(libc::SOL_SOCKET.to_ne_bytes());
        control.extend(kind.to_ne_bytes());
        control.extend(data);
        // Parts begin at multiples of the machine's word.
        control.resize(control.len().next_multiple_of(8), 0);
    }
}

/// `sendmsg(2)`, which the filter lets pass on this socket.
fn attach(bytes: &[u8], parts: &[Part], flags: i32) -> Value {
    let mut control = Vec::new();
    parts.iter().for_each(|part| part.append(&mut control));
    let mut iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: a message header is plain data, for which zeroes are the empty value. JUSTIFICATION: it has
    // private padding on some C libraries, so it cannot be written out.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut iov;
    header.msg_iovlen = 1;
    if !control.is_empty() {
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = control.len() as _;
    }
    let sent = crate::sealed::raw(
        libc::SYS_sendmsg,
        &[SOCKET as u64, (&raw const header) as u64, flags as u64 | libc::MSG_NOSIGNAL as u64],
    );
    let named = |error: i32| match error {
        libc::EPERM => "EPERM",
        libc::EBADF => "EBADF",
        libc::EINVAL => "EINVAL",
        libc::ETOOMANYREFS => "ETOOMANYREFS",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::EPIPE => "EPIPE",
        _ => "another error",
    };
    match sent {
        0.. => done(),
        failed => json!({ "outcome": "refused", "errno": named(-failed as i32) }),
    }
}

/// Sends bytes with descriptors at boot, while the host still takes one.
pub(super) fn send(bytes: &[u8], files: &[i32]) {
    let parts = if files.is_empty() { Vec::new() } else { vec![Part::Rights(files.to_vec())] };
    if attach(bytes, &parts, 0) != done() {
        end(3);
    }
}

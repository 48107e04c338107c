//! B13, B14, A42: a program that does not seal itself as it should, or does not prove it. Each is the
//! honest list of steps with something changed.

use stockade_ipc::phase::{Sender, TABLE};
use stockade_ipc::{Kind, Loaded, Log, LogLevel};

use super::Entry;
use super::start::{CANARIES, Step, With};
use super::wire::{frame, message, text};

/// How long the host waits for a program that seals itself or loads: five seconds, and a bit.
pub(super) const SILENT_MS: u64 = 6_000;

pub(super) fn confined() -> Step {
    Step::Say(frame(Kind::Confined, &[]))
}

pub(super) fn loaded() -> Step {
    Step::Say(message(Loaded))
}

/// As far as the proof: the filter, its listener, the canaries.
pub(super) fn honest() -> Vec<Step> {
    [vec![Step::NotDumpable, Step::Filter, Step::Hello(With::Listener)], canaries(), vec![confined()]]
        .concat()
}

fn canaries() -> Vec<Step> {
    CANARIES.map(Step::Try).to_vec()
}

/// From the proof to serving.
fn rest() -> Vec<Step> {
    vec![Step::Take, loaded(), Step::Serve]
}

/// The honest start with something before it.
fn first(step: Step) -> Vec<Step> {
    [vec![step], honest(), rest()].concat()
}

/// A first message that is changed, and everything else as it should be.
fn hello(step: Step) -> Vec<Step> {
    [vec![Step::NotDumpable, Step::Filter, step], canaries(), vec![confined()], rest()].concat()
}

/// Canaries that are changed, and everything else as it should be.
fn sung(canaries: &[i64]) -> Vec<Step> {
    let canaries = canaries.iter().copied().map(Step::Try).collect();
    let start = vec![Step::NotDumpable, Step::Filter, Step::Hello(With::Listener)];
    [start, canaries, vec![confined()], rest()].concat()
}

fn log() -> Vec<u8> {
    message(Log { level: LogLevel::Info, line: "too early".to_owned(), fields: Vec::new() })
}

/// A first message with this name of a filter and a digest of zeroes.
fn named(filter: &[u8]) -> Vec<u8> {
    frame(Kind::Hello, &[text(filter), vec![0; 32]].concat())
}

pub(super) fn entries() -> Vec<Entry> {
    let mut all = firsts();
    all.extend(hellos());
    all.extend(proofs());
    all.extend(ends());
    all
}

/// Every message that is not the first one, as the first one.
fn firsts() -> Vec<Entry> {
    let others = TABLE.iter().filter(|row| row.kind != Kind::Hello);
    others
        .map(|row| {
            let kind = row.kind;
            let name = format!("{kind:?}").to_lowercase();
            let body = if row.sender == Sender::Host { vec![0; 16] } else { Vec::new() };
            let said = format!("a {kind:?} as the first message");
            Entry::boot(format!("B13.{name}-first"), said, first(Step::Say(frame(kind, &body))))
        })
        .collect()
}

fn hellos() -> Vec<Entry> {
    let mut all = Vec::new();
    let with = [
        ("nothing", "no descriptor", With::Nothing),
        ("null", "/dev/null for the listener", With::Null),
        ("own-socket", "its own socket for the listener", With::Socket),
        ("pair", "a socket pair's end for the listener", With::Pair),
        ("eventfd", "an eventfd for the listener", With::Eventfd),
        ("epoll", "an epoll for the listener", With::Epoll),
        ("memory", "a memfd for the listener", With::Memory),
        ("listener-twice", "the listener twice", With::ListenerTwice),
        ("null-and-listener", "/dev/null before the listener", With::NullThenListener),
        ("three", "three descriptors, one over the bound", With::Three),
    ];
    for (short, said, with) in with {
        // Making a descriptor is no longer possible once the filter stands.
        let steps = if with.is_made() {
            vec![Step::NotDumpable, Step::Hello(with), Step::Sleep]
        } else {
            hello(Step::Hello(with))
        };
        all.push(Entry::boot(format!("B13.hello-with-{short}"), format!("a Hello with {said}"), steps));
    }
    let of = |short: &str, said: &str, bytes: Vec<u8>| {
        Entry::boot(format!("B13.hello-{short}"), format!("a Hello {said}"), hello(Step::HelloOf(bytes)))
    };
    let whole = named(b"node");
    all.extend([
        of("another-filter", "that names another filter", named(b"compiler")),
        of("no-filter", "that names no filter", named(b"")),
        of("unknown-filter", "that names an unknown filter", named(b"none")),
        of("longer-name", "whose filter only begins as it should", named(b"node\0")),
        of("name-too-long", "with a name of 257 bytes", named(&[b'n'; 257])),
        of("not-utf8", "with a name that is no text", named(b"\xffode")),
        of("name-claims-2-64", "with a name that claims 2^64 - 1 bytes", {
            frame(Kind::Hello, &[&u64::MAX.to_le_bytes(), b"node".as_slice(), &[0; 32]].concat())
        }),
        of("huge", "of 1025 bytes, one too many", frame(Kind::Hello, &[0; 1025])),
        of("claims-4-gib", "whose header claims 4 GiB", super::wire::header(u32::MAX, 1).to_vec()),
        of("empty", "without a body", frame(Kind::Hello, &[])),
        of("trailing", "with a byte behind it", frame(Kind::Hello, &[&whole[8..], &[0]].concat())),
        of("cut", "of which only the first half comes at first", whole[..20].to_vec()),
        of("one-byte", "of which only one byte comes at first", whole[..1].to_vec()),
        of("twice-in-one-write", "twice at once", whole.repeat(2)),
    ]);
    all.push(Entry::boot("B13.hello-twice", "a second Hello, with its listener", {
        let twice = vec![Step::NotDumpable, Step::Filter, Step::Hello(With::Listener)];
        [twice, vec![Step::Hello(With::Listener)], canaries(), vec![confined()], rest()].concat()
    }));
    all.push(
        Entry::boot("B13.hello-false-digest", "a Hello with another digest of the filter", {
            hello(Step::HelloOf(whole))
        })
        .expect(&["value"])
        .unrecorded()
        .why("the digest is the program's word and recorded as such; the program's own digest is the host's"),
    );
    all
}

/// B14: what the host and the kernel see of the confinement.
fn proofs() -> Vec<Entry> {
    let [open, socket, exec, kill] = CANARIES;
    let mut all = vec![
        Entry::boot("B14.no-canaries", "says that it is confined, no canary", sung(&[])),
        Entry::boot(
            "B14.canaries-in-another-order",
            "the canaries backwards",
            sung(&[kill, exec, socket, open]),
        ),
        Entry::boot("B14.first-canary-missing", "no openat among the canaries", sung(&[socket, exec, kill])),
        Entry::boot("B14.last-canary-missing", "no kill among the canaries", sung(&[open, socket, exec])),
        Entry::boot("B14.canary-twice", "openat twice", sung(&[open, open, socket, exec, kill])),
        Entry::boot("B14.another-call-first", "getpid before the canaries", {
            sung(&[libc::SYS_getpid, open, socket, exec, kill])
        }),
        Entry::boot("B14.another-call-between", "ptrace among the canaries", {
            sung(&[open, libc::SYS_ptrace, socket, exec, kill])
        }),
        Entry::boot(
            "B14.a-fifth-canary",
            "a second kill after the canaries",
            sung(&[open, socket, exec, kill, kill]),
        )
        .within(SILENT_MS)
        .why("phase Boot waits for the message alone; what is tried meanwhile is never answered"),
        Entry::boot("B14.speaks-between-canaries", "a log line among the canaries", {
            let start = vec![Step::NotDumpable, Step::Filter, Step::Hello(With::Listener)];
            [start, vec![Step::Try(open), Step::Say(log())], rest()].concat()
        }),
        Entry::boot("B14.speaks-after-canaries", "a log line before it says Confined", {
            let start = vec![Step::NotDumpable, Step::Filter, Step::Hello(With::Listener)];
            [start, canaries(), vec![Step::Say(log()), confined()], rest()].concat()
        }),
        Entry::boot("B14.confined-with-a-body", "a Confined with a body", {
            let start = vec![Step::NotDumpable, Step::Filter, Step::Hello(With::Listener)];
            [start, canaries(), vec![Step::Say(frame(Kind::Confined, &[0]))], rest()].concat()
        }),
        Entry::boot("B14.confined-twice", "Confined twice", {
            [honest(), vec![confined()], rest()].concat()
        }),
        Entry::boot("B14.filter-below", "an idle filter below the real one", first(Step::IdleFilter))
            .why("the kernel counts one filter more than the host's own and the program's"),
        Entry::boot("B14.filter-on-top", "a second filter after the first", {
            let start = vec![Step::NotDumpable, Step::Filter, Step::Hello(With::Listener)];
            [start, vec![Step::Try(libc::SYS_seccomp)], canaries(), vec![confined()], rest()].concat()
        }),
        Entry::boot("B14.no-filter-at-all", "a Hello without any filter", {
            let start = vec![Step::NotDumpable, Step::Hello(With::Null)];
            [start, canaries(), vec![confined()], rest()].concat()
        }),
        Entry::boot("A42.thread-before-the-seal", "a thread from before the seal", first(Step::Thread))
            .why("RLIMIT_NPROC is 0, and the kernel's count of threads must be 1"),
        Entry::boot("A42.process-before-the-seal", "a process from before the seal", first(Step::Fork))
            .why("RLIMIT_NPROC is 0: so there is no other process either whose listener it could show"),
    ];
    all.push(
        Entry::boot("B14.canaries-of-another", "another process is sealed in its place", {
            let sealed =
                [vec![Step::Filter, Step::Hello(With::Listener)], canaries(), vec![confined()]].concat();
            [vec![Step::NotDumpable, Step::Elsewhere(sealed), Step::IdleFilter], rest()].concat()
        })
        .why("RLIMIT_NPROC is 0; and the host looks who it is that tries the canaries"),
    );
    let lax = [vec![Step::NotDumpable, Step::LaxFilter, Step::Hello(With::Listener)], canaries()].concat();
    all.push(
        Entry::boot("B14.lax-filter", "a filter that stops the canaries alone", {
            [lax, vec![confined()], rest()].concat()
        })
        .expect(&["value"])
        .unrecorded()
        .why(
            "documented: four canaries cannot tell a lax filter from the real one. The program's digest, \
             which the host takes itself, is what names the filter",
        ),
    );
    all.push(
        Entry::boot("B14.dumpable", "stays dumpable", honest().into_iter().skip(1).chain(rest()).collect())
            .why("whose files below /proc are root's, its own user cannot look into"),
    );
    all
}

/// How a start can end early, or not at all.
fn ends() -> Vec<Entry> {
    let till = |count: usize, last: Step| {
        honest().into_iter().chain(rest()).take(count).chain([last]).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    let places = [
        (0, "at-once", "its first instruction"),
        (2, "sealed", "its filter stands"),
        (3, "hello", "the Hello"),
        (5, "two-canaries", "two canaries"),
        (7, "canaries", "the canaries"),
        (8, "confined", "it said Confined"),
        (9, "load", "it took its work"),
    ];
    for (count, short, said) in places {
        let steps = till(count, Step::Exit);
        all.push(Entry::boot(
            format!("B13.exits-after-{short}"),
            format!("exits once {said} is done"),
            steps,
        ));
    }
    all.push(Entry::boot("B13.crashes-after-load", "crashes once it took its work", till(9, Step::Crash)));
    all.push(
        Entry::boot("B13.exits-after-loaded", "exits once it said Loaded", till(10, Step::Exit))
            .expect(&["worker-died"]),
    );
    for (count, short, said) in
        [(0, "at-once", "says nothing at all"), (3, "hello", "falls silent after its Hello")]
    {
        all.push(
            Entry::boot(format!("B13.silent-{short}"), said, till(count, Step::Sleep)).within(SILENT_MS),
        );
    }
    all.push(
        Entry::boot("B13.silent-load", "takes its work and falls silent", till(9, Step::Sleep))
            .within(SILENT_MS),
    );
    all
}

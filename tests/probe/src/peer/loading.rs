//! B13 and the loading calls: a program that was proved and misbehaves while it is given its work.

use stockade_ipc::phase::{Phase, Sender, TABLE};
use stockade_ipc::{CompileFault, Kind, Refused, Rejected};
use stockade_policy::Rule;

use super::Entry;
use super::boot::{SILENT_MS, honest, loaded};
use super::start::Step;
use super::wire::{frame, header, message, text};
use crate::sealed::raw;

/// Proved and with its work in hand, then this.
fn then(steps: Vec<Step>) -> Vec<Step> {
    [honest(), vec![Step::Take], steps].concat()
}

/// These bytes where Loaded is due.
fn says(bytes: Vec<u8>) -> Vec<Step> {
    then(vec![Step::Say(bytes), Step::Sleep])
}

fn claim() -> Vec<u8> {
    message(Refused {
        operation: "socket".to_owned(),
        resource: "while it loads".to_owned(),
        rule: Rule::built_in("probe"),
        reason: "probe".to_owned(),
    })
}

pub(super) fn entries() -> Vec<Entry> {
    let mut all = messages();
    all.extend(calls());
    all
}

fn messages() -> Vec<Entry> {
    let mut all = Vec::new();
    let foreign =
        |row: &&stockade_ipc::phase::Row| row.sender == Sender::Host || !row.phases.contains(&Phase::Loading);
    for row in TABLE.iter().filter(foreign) {
        let kind = row.kind;
        let id = format!("B13.{}-while-loading", format!("{kind:?}").to_lowercase());
        all.push(Entry::boot(id, format!("a {kind:?} where Loaded is due"), says(frame(kind, &[]))));
    }
    for (kind, max) in [(Kind::Loaded, 64 * 1024), (Kind::Rejected, 64 * 1024), (Kind::Compiled, 1 << 20)] {
        let name = format!("{kind:?}").to_lowercase();
        let said = format!("a {kind:?} whose header says one byte over the most");
        let bytes = header(max + 1, kind as u8).to_vec();
        all.push(Entry::boot(format!("B1.{name}-length-max-and-one"), said, says(bytes)));
    }
    let rejected = |number: u32, words: &[u8]| {
        frame(Kind::Rejected, &[&number.to_le_bytes(), text(words).as_slice()].concat())
    };
    all.extend([
        Entry::boot("B4.loaded-trailing", "a Loaded with a body", says(frame(Kind::Loaded, &[0]))),
        Entry::boot("B4.rejected-fault-next", "a fault number that there is not", says(rejected(7, b"x"))),
        Entry::boot("B4.rejected-not-utf8", "a Rejected whose words are no text", says(rejected(0, b"\xff"))),
        Entry::boot(
            "B1.rejected-one-over",
            "a Rejected with 4097 bytes of words",
            says(rejected(0, &[b'x'; 4097])),
        ),
        Entry::boot("B13.rejects-what-is-sound", "a Rejected with hostile words for a sound artifact", {
            let message = "no\n{\"seq\":1}\u{1b}[2J\u{202e}".to_owned();
            says(super::wire::message(Rejected { fault: CompileFault::Artifact, message }))
        })
        .expect(&["artifact-rejected"])
        .record("package", "compile"),
        Entry::boot("B13.compiled-in-a-worker", "a compiler's report where Loaded is due", {
            says(frame(Kind::Compiled, &[0; 8 + 8 + 1 + 8]))
        }),
        Entry::boot("B13.loaded-twice", "Loaded twice at once", {
            let Step::Say(once) = loaded() else { return all };
            then(vec![Step::Say(once.repeat(2)), Step::Serve])
        })
        .faulty(),
        Entry::boot("B13.loaded-before-load", "Loaded before it was given anything, then serves", {
            [honest(), vec![loaded(), Step::Read, Step::Serve]].concat()
        })
        .expect(&["value"])
        .unrecorded()
        .why("a worker that leaves its artifact unread cheats nobody but its own plugin"),
        Entry::boot("B13.claims-while-loading", "a refusal of its own while it loads", {
            then(vec![Step::Say(claim()), loaded(), Step::Serve])
        })
        .expect(&["value"])
        .record("worker", "socket"),
        Entry::boot("B2.claims-instead-of-loading", "refusals of its own until its time is up", {
            then(vec![Step::SayForEver(claim().repeat(50))])
        })
        .within(SILENT_MS),
    ]);
    all
}

/// Arguments of an openat of nothing, which is not read-only.
const WRITE: [u64; 3] = [libc::AT_FDCWD as u64, 0, (libc::O_RDWR | libc::O_CLOEXEC) as u64];

/// What the host lets pass once, tried twice; and what it never lets pass.
fn calls() -> Vec<Entry> {
    let tried = |short: &str, said: &str, steps: Vec<Step>, call: &str| {
        Entry::boot(format!("B14.loading-{short}"), said, then(steps)).stopped_at(call)
    };
    let twice = |step: Step| vec![step.clone(), step];
    vec![
        tried("openat-twice", "a second openat", twice(Step::Try(libc::SYS_openat)), "openat"),
        tried("statx-twice", "a second statx", twice(Step::Try(libc::SYS_statx)), "statx"),
        tried("recvmsg-twice", "a second recvmsg", vec![Step::Try(libc::SYS_recvmsg)], "recvmsg"),
        tried("code-twice", "a second mapping made executable", twice(Step::MakeExecutable), "mprotect"),
        tried(
            "openat-write",
            "an openat for writing",
            vec![Step::TryWith(libc::SYS_openat, WRITE)],
            "openat",
        ),
        // 257, with which everybody else opens files.
        tried(
            "foreign-openat",
            "the call of i386 that has the number of the one openat",
            vec![Step::TryForeign(libc::SYS_openat, (libc::O_RDONLY | libc::O_CLOEXEC) as u64)],
            "i386.remap_file_pages",
        ),
        Entry::boot(
            "B14.loading-recvmsg-elsewhere",
            "a recvmsg on another descriptor than the socket",
            [honest(), vec![Step::TryWith(libc::SYS_recvmsg, [0, 0, 0])]].concat(),
        )
        .stopped_at("recvmsg"),
        tried(
            "writable-code",
            "mprotect(PROT_READ | PROT_WRITE | PROT_EXEC)",
            vec![Step::TryWith(libc::SYS_mprotect, [0x10000, 4096, 7])],
            "mprotect",
        ),
        tried("socket", "the socket canary once more", vec![Step::Try(libc::SYS_socket)], "socket"),
        tried("execve", "the execve canary once more", vec![Step::Try(libc::SYS_execve)], "execve"),
        tried("kill", "the kill canary once more", vec![Step::Try(libc::SYS_kill)], "kill"),
        tried("ptrace", "ptrace", vec![Step::Try(libc::SYS_ptrace)], "ptrace"),
        tried("seccomp", "a second filter", vec![Step::Try(libc::SYS_seccomp)], "seccomp"),
        tried(
            "openat-once-loaded",
            "an openat after Loaded, when its one was used",
            vec![Step::Try(libc::SYS_openat), loaded(), Step::Try(libc::SYS_openat), Step::Serve],
            "openat",
        ),
    ]
}

/// Asks for the one mapping that may become executable; a page of its own.
pub(super) fn make_executable() {
    let none = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    let page =
        raw(libc::SYS_mmap, &[0, 4096, (libc::PROT_READ | libc::PROT_WRITE) as u64, none, u64::MAX, 0]);
    raw(libc::SYS_mprotect, &[page as u64, 4096, (libc::PROT_READ | libc::PROT_EXEC) as u64]);
}

//! B4, B13, B14, B17 for the compiler: a program that handles hostile bytes just as a worker does, and could be
//! taken over by them. What it leaves behind is an artifact and a report.

use stockade_ipc::phase::{Phase, Sender, TABLE};
use stockade_ipc::{CompileFault, Compiled, Export, Import, Param, Rejected, WitType, World};

use super::Entry;
use super::boot::honest;
use super::start::{Step, With};
use super::wire::{frame, message};

/// Proved and with a component in hand, then this.
fn then(steps: Vec<Step>) -> Vec<Step> {
    [honest(), vec![Step::Take], steps].concat()
}

/// A report of a component like any other: one tool, text to text.
fn plausible() -> World {
    let arguments = Param { name: "arguments".to_owned(), ty: 0 };
    let echo = Export { name: "echo".to_owned(), params: vec![arguments], result: Some(0) };
    World { exports: vec![echo], types: vec![WitType::String], ..World::default() }
}

fn compiled(world: World) -> Step {
    Step::Say(message(Compiled { world }))
}

pub(super) fn entries() -> Vec<Entry> {
    let mut all = Vec::new();
    for row in TABLE.iter().filter(|row| row.sender == Sender::Host || !row.phases.contains(&Phase::Loading))
    {
        let kind = row.kind;
        let id = format!("B13.compiler-says-{}", format!("{kind:?}").to_lowercase());
        let said = format!("a compiler that says {kind:?} when it has compiled");
        all.push(Entry::compile(id, said, then(vec![Step::Say(frame(kind, &[])), Step::Spin])));
    }
    all.extend([
        Entry::compile("B13.compiler-says-loaded", "a compiler that says Loaded, like a worker", {
            then(vec![super::boot::loaded(), Step::Spin])
        }),
        Entry::compile("B14.compiler-without-canaries", "a compiler that shows no canaries", {
            let start = vec![Step::NotDumpable, Step::Filter, Step::Hello(With::Listener)];
            [start, vec![super::boot::confined(), Step::Spin]].concat()
        })
        .record("launch", "launch"),
        Entry::compile(
            "B13.compiler-exits",
            "a compiler that exits without an answer",
            then(vec![Step::Exit]),
        )
        .expect(&["compile-cap"]),
        Entry::compile("B13.compiler-crashes", "a compiler that crashes", then(vec![Step::Crash]))
            .expect(&["compile-cap"]),
        Entry::compile("B17.compiler-writes-nothing", "a sound report, and an artifact of nothing", {
            then(vec![compiled(plausible()), Step::Spin])
        })
        .expect(&["artifact-rejected"])
        .record("package", "compile"),
        Entry::compile("B17.compiler-writes-junk", "a sound report, and an artifact of junk", {
            then(vec![Step::Write(vec![0xa5; 4096], 16), compiled(plausible()), Step::Spin])
        })
        .expect(&["artifact-rejected"])
        .record("package", "compile"),
        Entry::compile("B17.compiler-writes-a-program", "an ELF header for an artifact", {
            let elf = [b"\x7fELF\x02\x01\x01".as_slice(), &[0xff; 4089]].concat();
            then(vec![Step::Write(elf, 16), compiled(plausible()), Step::Spin])
        })
        .expect(&["artifact-rejected"])
        .record("package", "compile"),
        Entry::compile("B17.compiler-writes-too-much", "an artifact of more than 256 MiB", {
            then(vec![Step::Write(vec![0; 1 << 20], 257), compiled(plausible()), Step::Spin])
        })
        .expect(&["compile-cap", "artifact-rejected"])
        .unrecorded()
        .within(30_000)
        .why("RLIMIT_FSIZE ends it, or, where the host's parent ignores that signal, cuts what it writes"),
        Entry::compile("B13.compiler-reports-nothing", "a report of a component without tools", {
            then(vec![compiled(World::default()), Step::Spin])
        })
        .expect(&["nothing-exported"])
        .record("policy", "tool"),
        Entry::compile("B13.compiler-reports-an-import", "a report of an import that nobody knows", {
            let imports = vec![Import { name: "acme:telemetry/upload@1.0.0".to_owned() }];
            then(vec![compiled(World { imports, ..plausible() }), Step::Spin])
        })
        .expect(&["unknown-import"])
        .record("policy", "import"),
        Entry::compile("B13.compiler-rejects-what-is-sound", "a Rejected with hostile words", {
            let words = "no\n{\"seq\":1}\u{1b}[2J\u{202e}".to_owned();
            then(vec![
                Step::Say(message(Rejected { fault: CompileFault::Invalid, message: words })),
                Step::Spin,
            ])
        })
        .expect(&["invalid-component"])
        .record("package", "compile"),
    ]);
    let tried = [
        ("openat", libc::SYS_openat),
        ("statx", libc::SYS_statx),
        ("socket", libc::SYS_socket),
        ("execve", libc::SYS_execve),
        ("kill", libc::SYS_kill),
        ("ptrace", libc::SYS_ptrace),
        ("recvmsg", libc::SYS_recvmsg),
    ];
    for (name, call) in tried {
        let said = format!("a compiler that tries {name} as it compiles");
        let steps = then(vec![Step::Try(call), Step::Spin]);
        all.push(Entry::compile(format!("B14.compiler-tries-{name}"), said, steps).stopped_at(name));
    }
    all.push(
        Entry::compile("B14.compiler-makes-code-twice", "a second mapping made executable", {
            then(vec![Step::MakeExecutable, Step::MakeExecutable, Step::Spin])
        })
        .stopped_at("mprotect"),
    );
    all
}

//! Group G: what a host is started in. Ignored signals, a hostile environment, closed or spare descriptors,
//! privileges of its own: none of it reaches a worker, or changes what becomes of one.
#![expect(unsafe_code, reason = "JUSTIFICATION: a process is put into states that no safe wrapper offers")]

use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use serde_json::json;
use stockade_audit::{Decision, Layer};
use stockade_host::{CallOptions, LoadRequest, Namespaces, Status};
use stockade_package::{Explain as _, Package};
use stockade_policy::PluginType;
use stockade_tests::accounts::{Account, parent, status, workers};
use stockade_tests::around::{Answered, is_confined_and_serves, looks_confined, put_up};
use stockade_tests::{
    Bench, call, code, cycles, dist, example, guest, probe_package, probe_programs, scene, skipped, value,
};

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn set_action(signal: Signal, action: &SigAction) {
    // SAFETY: the handlers that are set do nothing, or are the kernel's own.
    unsafe { sigaction(signal, action) }.expect("a signal that can be handled");
}

/// Signals that a process may ignore or handle.
fn handled() -> impl Iterator<Item = Signal> {
    Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP))
}

#[test]
fn g13_a_host_that_ignores_or_blocks_signals_confines_and_ends_workers_all_the_same() {
    const TEST: &str = "g13_a_host_that_ignores_or_blocks_signals_confines_and_ends_workers_all_the_same";
    scene::each(TEST, &["ignored", "blocked", "both"], |part| {
        if part != "blocked" {
            let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
            handled()
                .filter(|&signal| signal != Signal::SIGCHLD)
                .for_each(|signal| set_action(signal, &ignore));
        }
        if part != "ignored" {
            nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)
                .expect("a mask");
        }
        for namespaces in [Namespaces::Cheap, Namespaces::Off] {
            is_confined_and_serves(&Bench::with_probe(namespaces));
        }
        // A fault of the guest is a trap still, and not the end of the worker.
        let bench = Bench::new();
        let package = Package::open(example("hostile"), None).expect("an example");
        let plugin = bench.host.load_blocking(LoadRequest::new(package)).expect("it loads");
        let pid = plugin.worker_pid().expect("it runs");
        assert_eq!(status(pid, "SigBlk"), "0000000000000000");
        for tool in ["trap", "deep_recursion"] {
            let outcome = call(&plugin, tool, json!({}));
            assert_eq!(outcome.status, Status::Trapped, "{tool}: {outcome:?}");
        }
        assert_eq!(plugin.worker_pid(), Some(pid));
    });
}

/// The kernel sends SIGXCPU first and SIGKILL later; where both limits are one, only the second counts.
#[test]
fn a49_g13_the_processor_limit_ends_a_worker_whose_host_ignores_its_signal() {
    const TEST: &str = "a49_g13_the_processor_limit_ends_a_worker_whose_host_ignores_its_signal";
    if is_root() {
        skipped(
            TEST,
            "the real limit is an hour, and to shorten it takes the worker's own user or more than root",
        );
        return;
    }
    scene::alone(TEST, || {
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        set_action(Signal::SIGXCPU, &ignore);
        let bench = Bench::with_probe(Namespaces::Cheap);
        let plugin = bench.probe(PluginType::Node, &[]);
        let pid = plugin.worker_pid().expect("it runs").cast_signed();
        let second = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
        // SAFETY: the limit is only read, and nothing is asked to be written.
        let set = unsafe { libc::prlimit(pid, libc::RLIMIT_CPU, &raw const second, std::ptr::null_mut()) };
        assert_eq!(set, 0, "{}", Errno::last());
        let outcome = plugin.call_blocking("spin", "{}", CallOptions::within(Duration::from_secs(20)));
        assert_eq!(code(&outcome), "worker-died", "{outcome:?}");
        assert_eq!(bench.found(Layer::Limits, "launch", Decision::Killed).len(), 1);
    });
}

extern "C" fn nothing(_: libc::c_int) {}

/// How a program may treat the ends of its children, and so take the news of ours away.
#[test]
fn g13_a_host_that_waits_for_every_child_itself_still_learns_how_workers_end() {
    const TEST: &str = "g13_a_host_that_waits_for_every_child_itself_still_learns_how_workers_end";
    scene::each(TEST, &["ignored", "not-kept", "handled", "waited-for"], |part| {
        let (handler, flags) = match part {
            "ignored" => (SigHandler::SigIgn, SaFlags::empty()),
            "not-kept" => (SigHandler::SigDfl, SaFlags::SA_NOCLDWAIT),
            _ => (SigHandler::Handler(nothing), SaFlags::empty()),
        };
        set_action(Signal::SIGCHLD, &SigAction::new(handler, flags, SigSet::empty()));
        if part == "waited-for" {
            std::thread::spawn(|| {
                loop {
                    if nix::sys::wait::wait().is_err() {
                        std::thread::sleep(Duration::from_micros(50));
                    }
                }
            });
        }
        is_confined_and_serves(&Bench::with_probe(Namespaces::Cheap));
    });
}

/// Interrupted and stopped at every moment.
#[test]
fn g4_a_storm_of_signals_loses_no_call() {
    const TEST: &str = "g4_a_storm_of_signals_loses_no_call";
    if scene::part(TEST).is_some() {
        // Without SA_RESTART: whatever waits, returns.
        let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        handled().for_each(|signal| set_action(signal, &action));
        let bench = Bench::with_probe(Namespaces::Cheap);
        let plugin = bench.probe(PluginType::Node, &[]);
        scene::tell("ready");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let began = Instant::now();
        let mut calls = 0;
        while began.elapsed() < Duration::from_millis(cycles(1_000, 8_000) as u64) {
            let text = "x".repeat(calls % 7 * 40_000);
            assert_eq!(value(&call(&plugin, "echo", json!(text))), json!(text));
            let outcome = runtime.block_on(plugin.call("echo", "2", CallOptions::default()));
            assert_eq!(value(&outcome), json!(2));
            let other = bench.probe(PluginType::Node, &[]);
            assert_eq!(code(&call(&other, "exit", json!({ "code": 1 }))), "worker-died");
            calls += 1;
        }
        drop(plugin);
        bench.host.stop_blocking();
        bench.records();
        scene::tell(&format!("{calls} rounds"));
        return;
    }
    let host = scene::start(TEST, "host");
    assert_eq!(host.hear(), "ready");
    let storm = [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGALRM,
        Signal::SIGCHLD,
        Signal::SIGWINCH,
        Signal::SIGPIPE,
        Signal::SIGSTOP,
        Signal::SIGCONT,
    ];
    let (mut sent, mut last) = (0, None);
    let pid = nix::unistd::Pid::from_raw(host.pid().cast_signed());
    while last.is_none() {
        for signal in storm {
            // It is our child, and nobody has waited for it: the number is its own.
            let _ = nix::sys::signal::kill(pid, signal);
            sent += 1;
            last = host.hear_within(Duration::from_micros(200)).or(last);
        }
    }
    host.finish();
    println!("g4: {} under {sent} signals", last.expect("a message"));
}

/// The installed program, ended in every usual way in the middle of a call.
#[test]
fn g1_the_program_ended_by_a_signal_takes_its_worker_with_it() {
    let programs = probe_programs();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGKILL] {
        let state = tempfile::tempdir().expect("a temporary folder");
        let package = state.path().join("probe");
        probe_package(&package, PluginType::Node);
        let run = |tool: &str| {
            // Whoever runs the tests may ignore some: a job in the background does.
            let mut command = Command::new("env");
            command
                .args(["--default-signal=TERM,INT,HUP,QUIT"])
                .arg(dist().join("stockade"))
                .arg("run")
                .arg(&package)
                .arg("--programs")
                .arg(programs.path())
                .arg("--state")
                .arg(state.path().join("state"))
                .args(["--tool", tool, "--args", "{}", "--deadline", "60s"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            command
        };
        // So that nothing is compiled later: the one child is the worker.
        assert!(run("echo").output().expect("it starts").status.success());
        let mut host = run("spin").spawn().expect("it starts");
        let began = Instant::now();
        let worker = loop {
            let mut spinning = stockade_tests::accounts::workers(host.id());
            spinning.retain(|&pid| processor_time(pid) > 0);
            match spinning.pop_first() {
                Some(worker) => break worker,
                None => assert!(began.elapsed() < Duration::from_secs(20), "no worker spins"),
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let pid = nix::unistd::Pid::from_raw(host.id().cast_signed());
        nix::sys::signal::kill(pid, signal).expect("it runs");
        let ended = host.wait().expect("it is ours");
        assert_eq!(ended.signal(), Some(signal as i32), "{ended:?}");
        let began = Instant::now();
        while processor_time(worker) > 0 {
            assert!(began.elapsed() < Duration::from_secs(1), "{signal}: worker {worker} lives on");
            std::thread::sleep(Duration::from_millis(1));
        }
        // The next run finds the log as it should be, and serves.
        let again = run("echo").output().expect("it starts");
        assert!(again.status.success(), "{again:?}");
        let log = state.path().join("state/audit");
        assert!(stockade_audit::verify(&log, None).expect("a log").is_sound());
    }
}

/// Ticks that a process has used; none for one that has ended, waited for or not.
fn processor_time(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(')') else { return 0 };
    let fields: Vec<_> = rest.split_whitespace().collect();
    match fields[0] {
        "Z" | "X" => 0,
        _ => fields[11].parse().unwrap_or(0),
    }
}

/// Values that steer loaders, allocators, engines and logs, and places that are none.
const HOSTILE: [(&str, &str); 18] = [
    ("LD_PRELOAD", "/nonexistent/preloaded.so"),
    ("LD_LIBRARY_PATH", "/nonexistent:."),
    ("LD_AUDIT", "/nonexistent/audit.so"),
    ("LD_BIND_NOT", "1"),
    ("GLIBC_TUNABLES", "glibc.malloc.check=3:glibc.malloc.perturb=170:glibc.rtld.nns=1"),
    ("MALLOC_PERTURB_", "85"),
    ("MALLOC_ARENA_MAX", "1"),
    ("RUST_BACKTRACE", "full"),
    ("RUST_LOG", "trace"),
    ("RUST_MIN_STACK", "65536"),
    ("WASMTIME_LOG", "trace"),
    ("WASMTIME_BACKTRACE_DETAILS", "1"),
    ("TMPDIR", "/nonexistent"),
    ("HOME", "/dev/null"),
    ("XDG_STATE_HOME", "../relative"),
    ("PATH", ""),
    ("LANG", "\u{202e}\n"),
    ("STOCKADE_REMOVED_PROTECTIONS", "seccomp+landlock.domain+environment.empty+limit.nproc"),
];

#[test]
fn g18_a_hostile_environment_changes_nothing_for_the_program() {
    let state = tempfile::tempdir().expect("a temporary folder");
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new(dist().join("stockade"));
        command
            .arg("run")
            .arg(guest("greet-rust.wasm"))
            .args(["--type", "node", "--tool", "greet", "--args", r#"{"name":"Ada"}"#, "--state"])
            .arg(state.path().join("state"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        command.output().expect("it starts")
    };
    let usual = run(&[]);
    assert!(usual.status.success(), "{usual:?}");
    for variable in HOSTILE {
        let hostile = run(&[variable]);
        assert_eq!(hostile.stdout, usual.stdout, "{variable:?}");
        assert!(hostile.status.success(), "{variable:?}: {hostile:?}");
    }
    let all = run(&HOSTILE);
    assert_eq!(all.stdout, usual.stdout);
    assert!(stockade_audit::verify(state.path().join("state/audit"), None).expect("a log").is_sound());
}

#[test]
fn g18_a_hostile_environment_does_not_reach_a_worker() {
    const TEST: &str = "g18_a_hostile_environment_does_not_reach_a_worker";
    if scene::part(TEST).is_some() {
        is_confined_and_serves(&Bench::with_probe(Namespaces::Cheap));
        return;
    }
    // The folder for temporary files is this test's own, too.
    let usable = HOSTILE.iter().filter(|(name, _)| *name != "TMPDIR").copied();
    let mut command = scene::command(TEST, "hostile");
    command.envs(usable);
    scene::Actor::start(TEST, command).finish();

    let mut command = scene::command(TEST, "huge");
    command.envs((0..1_500).map(|number| (format!("SECRET_{number}"), "s".repeat(1_000))));
    scene::Actor::start(TEST, command).finish();
}

#[test]
fn g18_a_usual_place_that_cannot_be_is_a_typed_error() {
    if is_root() {
        skipped("g18_a_usual_place_that_cannot_be_is_a_typed_error", "root's place does not depend on HOME");
        return;
    }
    for home in ["/dev/null", "/proc/self", "/nonexistent"] {
        let output = Command::new(dist().join("stockade"))
            .arg("run")
            .arg(guest("greet-rust.wasm"))
            .args(["--type", "node", "--tool", "greet", "--args", r#"{"name":"Ada"}"#, "--format", "json"])
            .env("HOME", home)
            .env_remove("XDG_STATE_HOME")
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(document["error"]["code"], "state-folder", "{home}: {document}");
        assert!(!document["error"]["next_step"].as_str().unwrap_or_default().is_empty());
        assert!(output.status.code().is_some_and(|code| code != 0));
    }
}

#[test]
fn g13_a_host_with_no_new_privs_or_filters_of_its_own_serves() {
    const TEST: &str = "g13_a_host_with_no_new_privs_or_filters_of_its_own_serves";
    scene::each(TEST, &["no-new-privs", "one", "three"], |part| {
        nix::sys::prctl::set_no_new_privs().expect("every process may");
        let filters = match part {
            "one" => 1,
            "three" => 3,
            _ => 0,
        };
        for _ in 0..filters {
            put_up(Answered::with(libc::SYS_acct, Errno::EACCES));
        }
        assert_eq!(status(std::process::id(), "Seccomp_filters"), filters.to_string());
        for namespaces in [Namespaces::Cheap, Namespaces::Off] {
            is_confined_and_serves(&Bench::with_probe(namespaces));
        }
    });
}

#[test]
fn g13_descriptors_of_the_host_neither_reach_a_worker_nor_get_in_its_way() {
    const TEST: &str = "g13_descriptors_of_the_host_neither_reach_a_worker_nor_get_in_its_way";
    scene::each(TEST, &["closed", "many"], |part| {
        let mut kept = Vec::new();
        if part == "closed" {
            // What the test itself says comes back to its place in the end.
            for standard in 0..3 {
                // SAFETY: nothing uses them until they are put back.
                kept.push(unsafe { libc::fcntl(standard, libc::F_DUPFD_CLOEXEC, 700) });
                // SAFETY: likewise.
                unsafe { libc::close(standard) };
            }
        } else {
            let folder: OwnedFd = std::fs::File::open("/").expect("a folder").into();
            for _ in 0..400 {
                // Without CLOEXEC: every child would inherit it.
                // SAFETY: a duplicate of a descriptor that is open; nobody else owns the number.
                let number = unsafe { libc::dup(folder.as_raw_fd()) };
                assert!(number >= 0);
                kept.push(number);
            }
        }
        let result = std::panic::catch_unwind(|| {
            is_confined_and_serves(&Bench::with_probe(Namespaces::Cheap));
            is_confined_and_serves(&Bench::with_probe(Namespaces::Off));
        });
        if part == "closed" {
            for (standard, kept) in (0..).zip(kept) {
                // SAFETY: puts back what was there; whatever has the place now belongs to a host that is gone.
                unsafe { libc::dup2(kept, standard) };
            }
        } else {
            // SAFETY: made above, and owned by nobody.
            kept.into_iter().for_each(|number| drop(unsafe { OwnedFd::from_raw_fd(number) }));
        }
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn g13_a_host_in_a_folder_that_is_gone_serves() {
    const TEST: &str = "g13_a_host_in_a_folder_that_is_gone_serves";
    scene::alone(TEST, || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::env::set_current_dir(folder.path()).expect("it is there");
        drop(folder);
        assert!(std::env::current_dir().is_err());
        is_confined_and_serves(&Bench::with_probe(Namespaces::Cheap));
        // A place below that folder can be no place for state.
        let error =
            stockade_host::Host::builder().programs_dir(dist()).build().expect_err("nowhere to write");
        assert_eq!(error.problem().code, "state-folder", "{error:?}");
    });
}

/// A process that is not dumpable cannot be looked into by its own user: its own maps neither.
#[test]
fn g13_a_host_that_is_not_dumpable_serves_or_says_why_not() {
    const TEST: &str = "g13_a_host_that_is_not_dumpable_serves_or_says_why_not";
    scene::alone(TEST, || {
        nix::sys::prctl::set_dumpable(false).expect("every process may");
        let bench = Bench::with_probe(Namespaces::Cheap);
        let package = probe_package(&bench.state.path().join("probe"), PluginType::Node);
        match bench.host.load_blocking(LoadRequest::new(package)) {
            Ok(plugin) => looks_confined(&plugin),
            Err(error) => {
                assert!(!is_root(), "{error:?}");
                assert_eq!(error.problem().code, "launch-failed", "{error:?}");
            }
        }
        is_confined_and_serves(&Bench::with_probe(Namespaces::Off));
    });
}

/// As a service manager may start it: another user, and capabilities that outlive an exec.
#[test]
fn g13_capabilities_of_the_host_do_not_reach_a_worker() {
    const TEST: &str = "g13_capabilities_of_the_host_do_not_reach_a_worker";
    if !is_root() && scene::part(TEST).is_none() {
        skipped(TEST, "only root has capabilities to hand on");
        return;
    }
    if scene::part(TEST).is_some() {
        let own = status(std::process::id(), "CapAmb");
        assert_ne!(own, "0000000000000000", "the test has no ambient capabilities to lose");
        for namespaces in [Namespaces::Cheap, Namespaces::Off] {
            is_confined_and_serves(&Bench::with_probe(namespaces));
        }
        return;
    }
    let stage = for_nobody();
    let mut command = scene::command(TEST, "ambient");
    stage.prepare(&mut command);
    // SAFETY: system calls alone between fork and exec.
    unsafe { command.pre_exec(become_nobody_with_capabilities) };
    scene::Actor::start(TEST, command).finish();
}

/// CAP_KILL, CAP_NET_BIND_SERVICE, CAP_SYS_PTRACE, CAP_SYS_ADMIN.
const HANDED_ON: [u32; 4] = [5, 10, 19, 21];

fn become_nobody_with_capabilities() -> std::io::Result<()> {
    nix::sys::prctl::set_keepcaps(true)?;
    nix::unistd::setgroups(&[])?;
    nix::unistd::setresgid(NOBODY.into(), NOBODY.into(), NOBODY.into())?;
    nix::unistd::setresuid(NOBODY.into(), NOBODY.into(), NOBODY.into())?;
    let mask = HANDED_ON.iter().fold(0, |mask, capability| mask | 1_u32 << capability);
    set_capabilities([mask, mask, mask, 0, 0, 0])?;
    for capability in HANDED_ON {
        // SAFETY: numbers alone.
        let raised =
            unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, capability, 0, 0) };
        check(raised.into())?;
    }
    Ok(())
}

/// Effective, permitted and inheritable capabilities of this thread, the lower halves and then the upper ones.
fn set_capabilities(sets: [u32; 6]) -> std::io::Result<()> {
    let header = [0x2008_0522_u32, 0];
    // SAFETY: both point to what the call takes.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) })
}

const NOBODY: u32 = 65_534;

fn check(result: libc::c_long) -> std::io::Result<()> {
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// Everything that a test needs, where every user may read it.
struct ForNobody {
    folder: tempfile::TempDir,
}

fn for_nobody() -> ForNobody {
    let folder = tempfile::Builder::new().prefix("stockade-nobody").tempdir_in("/tmp").expect("a folder");
    let copy = |from: &Path, to: &str| {
        std::fs::create_dir_all(folder.path().join(to)).expect("writable");
        std::fs::copy(from, folder.path().join(to).join(from.file_name().expect("a name"))).expect("a file");
    };
    for program in ["stockade-probe", "stockade-compiler", "stockade-worker", "stockade-kernel-log"] {
        copy(&dist().join(program), "dist");
    }
    copy(&example("text-stats").join("text_stats.wasm"), "examples/text-stats");
    copy(&std::env::current_exe().expect("this program has a path"), "tests");
    std::fs::create_dir(folder.path().join("tmp")).expect("writable");
    let all = "a+rX";
    let done = Command::new("chmod").args(["-R", all]).arg(folder.path()).status().expect("chmod");
    assert!(done.success());
    std::os::unix::fs::chown(folder.path().join("tmp"), Some(NOBODY), Some(NOBODY)).expect("root may");
    ForNobody { folder }
}

impl ForNobody {
    /// Changes a command of a scene so that it runs from there.
    fn prepare(&self, command: &mut Command) {
        let at = |name: &str| self.folder.path().join(name);
        let own = std::env::current_exe().expect("this program has a path");
        let mut there = Command::new(at("tests").join(own.file_name().expect("a name")));
        there.args(command.get_args());
        for (name, value) in command.get_envs() {
            there.env(name, value.expect("only set ones"));
        }
        there
            .current_dir(at("tmp"))
            .env("TMPDIR", at("tmp"))
            .env("STOCKADE_DIST", at("dist"))
            .env("STOCKADE_EXAMPLES", at("examples"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        *command = there;
    }
}

/// A program that was started by root and works as somebody else for now.
#[test]
fn g13_a_host_whose_real_user_is_root_gives_no_worker_that_user() {
    const TEST: &str = "g13_a_host_whose_real_user_is_root_gives_no_worker_that_user";
    if !is_root() {
        skipped(TEST, "only root can become somebody else");
        return;
    }
    scene::alone(TEST, || {
        let state = tempfile::tempdir().expect("a temporary folder");
        std::os::unix::fs::chown(state.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
        let programs = probe_programs();
        let package = probe_package(&state.path().join("probe"), PluginType::Node);
        nix::unistd::setresgid(0.into(), NOBODY.into(), 0.into()).expect("root may");
        nix::unistd::setresuid(0.into(), NOBODY.into(), 0.into()).expect("root may");
        for namespaces in [Namespaces::Cheap, Namespaces::Off] {
            let host = stockade_host::Host::builder()
                .state_dir(state.path().join(format!("state-{namespaces:?}")))
                .programs_dir(programs.path())
                .namespaces(namespaces)
                .build();
            let host = match host {
                Ok(host) => host,
                Err(error) => {
                    assert!(["program-missing", "state-folder"].contains(&error.problem().code), "{error:?}");
                    continue;
                }
            };
            let package = package.clone();
            match host.load_blocking(LoadRequest::new(package)) {
                Ok(plugin) => looks_confined(&plugin),
                Err(error) => {
                    assert!(["not-attested", "launch-failed", "compile-cap"].contains(&error.problem().code));
                }
            }
        }
    });
}

/// Root in a container is often root without this or that.
#[test]
fn g13_root_without_the_capabilities_that_confining_takes_starts_nothing() {
    const TEST: &str = "g13_root_without_the_capabilities_that_confining_takes_starts_nothing";
    if !is_root() {
        skipped(TEST, "only root can do without its capabilities");
        return;
    }
    // CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP; what a host cannot end, it must not start.
    scene::each(TEST, &["5", "6", "7", "8"], |part| {
        let without: u32 = part.parse().expect("a capability");
        let own = u64::from_str_radix(&status(std::process::id(), "CapPrm"), 16).expect("hexadecimal");
        let left = own & !(1 << without);
        let (low, high) = (left as u32, (left >> 32) as u32);
        // Of this thread; the host's are made after it.
        set_capabilities([low, low, 0, high, high, 0]).expect("fewer are allowed");
        let state = tempfile::tempdir().expect("a temporary folder");
        let package = probe_package(&state.path().join("probe"), PluginType::Node);
        let host = stockade_host::Host::builder()
            .state_dir(state.path().join("state"))
            .programs_dir(probe_programs().path())
            .namespaces(Namespaces::Off)
            .build()
            .expect("nothing is started yet");
        let before = Account::quiet();
        let error =
            host.load_blocking(LoadRequest::new(package)).expect_err("it cannot be confined or ended");
        assert_eq!(error.problem().code, "launch-failed", "{error:?}");
        Account::settle(&before);
    });
}

/// A share of the processor that a host was given is not a worker's.
#[test]
fn a49_a_worker_inherits_no_priority() {
    const TEST: &str = "a49_a_worker_inherits_no_priority";
    if !is_root() {
        skipped(TEST, "only root can raise its priority");
        return;
    }
    scene::each(TEST, &["nice", "realtime"], |part| {
        let set = if part == "nice" {
            // SAFETY: changes the calling thread's priority.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -10) }
        } else {
            let real_time = libc::sched_param { sched_priority: 1 };
            // SAFETY: changes the calling thread's class; the parameter is only read.
            unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const real_time) }
        };
        assert_eq!(set, 0, "{}", Errno::last());
        let bench = Bench::with_probe(Namespaces::Cheap);
        let plugin = bench.probe(PluginType::Node, &[]);
        let pid = plugin.worker_pid().expect("it runs").cast_signed();
        // SAFETY: asks, and changes nothing.
        let policy = unsafe { libc::sched_getscheduler(pid) };
        // SAFETY: likewise.
        let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, pid.cast_unsigned()) };
        assert_eq!((policy, nice), (libc::SCHED_OTHER, 0));
    });
}

#[test]
fn g4_a49_a_worker_gives_way_to_others() {
    for namespaces in [Namespaces::Cheap, Namespaces::Off] {
        let bench = Bench::with_probe(namespaces);
        let plugin = bench.probe(PluginType::Node, &[]);
        let pid = plugin.worker_pid().expect("it runs");
        // Where memory is gone it is the first that the kernel ends.
        let score =
            std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("readable by anybody");
        assert_eq!(score.trim(), "1000");
        // Who is woken does not wait long for it: `sched_runtime` of `struct sched_attr`, in nanoseconds.
        let mut attributes = [0_u64; 6];
        // SAFETY: the structure is of 48 bytes, which the kernel is told and fills in.
        let got = unsafe { libc::syscall(libc::SYS_sched_getattr, pid, attributes.as_mut_ptr(), 48, 0) };
        assert_eq!(got, 0, "{}", Errno::last());
        assert_eq!(attributes[3], 100_000);
    }
}

#[test]
fn a49_starting_keeps_to_half_of_the_processors_and_a_worker_that_has_started_does_not() {
    const TEST: &str = "a49_starting_keeps_to_half_of_the_processors_and_a_worker_that_has_started_does_not";
    scene::alone(TEST, || {
        let bench = Bench::with_probe(Namespaces::Cheap);
        let plugin = bench.probe(PluginType::Node, &[]);
        let ours = status(std::process::id(), "Cpus_allowed");
        assert_eq!(status(plugin.worker_pid().expect("it runs"), "Cpus_allowed"), ours);
        let launcher = std::fs::read_dir("/proc/self/task").expect("threads").find_map(|thread| {
            let thread = thread.expect("a thread");
            let name = std::fs::read_to_string(thread.path().join("comm")).ok()?;
            (name.trim_end() == "stockade-launch")
                .then(|| thread.file_name().into_string().ok()?.parse().ok())?
        });
        let launchers = status(launcher.expect("it waits for orders"), "Cpus_allowed");
        match std::thread::available_parallelism().expect("a number").get() {
            1 => assert_eq!(launchers, ours),
            _ => assert_ne!(launchers, ours),
        }
    });
}

/// The first thread of a process is the one that others look at, and keeps to one processor while it starts a worker.
#[test]
fn a49_a_worker_that_the_first_thread_started_may_use_what_the_host_may() {
    let state = tempfile::tempdir().expect("a temporary folder");
    let mut host = Command::new(dist().join("stockade"));
    host.arg("run").arg(example("hostile")).args(["--tool", "endless_loop", "--deadline", "5s", "--state"]);
    let mut host = host
        .arg(state.path().join("state"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let ours = format!("Cpus_allowed:\t{}\n", status(std::process::id(), "Cpus_allowed"));
    let is_free = |pid| {
        std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains(&ours))
    };
    let mut freed = false;
    while !freed && host.try_wait().expect("a child").is_none() {
        // Its compiler, if there is one, keeps to half of them, where there are two.
        freed = workers(host.id()).into_iter().any(is_free);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(host.wait().expect("a child").code(), Some(3), "the deadline ends it");
    assert!(freed, "it kept to what its start kept to");
}

#[test]
fn g13_output_that_nobody_reads_does_not_end_a_host() {
    const TEST: &str = "g13_output_that_nobody_reads_does_not_end_a_host";
    scene::alone(TEST, || {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        set_action(Signal::SIGPIPE, &default);
        let bench = Bench::with_probe(Namespaces::Cheap);
        let plugin = bench.probe(PluginType::Node, &[]);
        // Its connection is gone when the next call is sent: an error to see, not a signal to die of.
        let pid = plugin.worker_pid().expect("it runs");
        let outcome = plugin.call_blocking("hang_up", "{}", CallOptions::within(Duration::from_secs(5)));
        assert_eq!(code(&outcome), "protocol-fault", "{outcome:?}");
        assert_eq!(parent(pid), None);
        is_confined_and_serves(&bench);
        // Whatever the harness writes from here on may meet a closed pipe, too.
        set_action(Signal::SIGPIPE, &SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty()));
        let _ = std::io::stdout().flush();
    });
}

//! Group G: processes that end when nobody expects it. Whatever is killed, and whenever: no worker is left
//! without its host, nothing leaks, every caller gets an answer, and the log stays whole.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use serde_json::{Value as Json, json};
use stockade_audit::{Decision, Layer, Reader, verify};
use stockade_host::{CallOptions, Host, LoadRequest, Namespaces, Plugin, Status};
use stockade_policy::PluginType;
use stockade_tests::accounts::{Account, children, files, parent, reads_kernel_records, status};
use stockade_tests::chance::Chance;
use stockade_tests::{
    Bench, call, code, cycles, guest, probe_package, probe_programs, scene, skipped, unbraked, value,
};

/// How long anything of a host may outlive it.
const GONE: Duration = Duration::from_secs(1);

const LONG: CallOptions = CallOptions::within(Duration::from_secs(60));

/// From here on, what loses its parent below this process becomes its child: it can be counted, and how
/// it ended can be seen.
fn adopt_orphans() {
    nix::sys::prctl::set_child_subreaper(true).expect("every process may");
}

/// Waits until every orphan has ended; says how each did. What outlives its time is killed and a failure.
fn ends_of_orphans() -> Vec<WaitStatus> {
    let began = Instant::now();
    let mut ends = Vec::new();
    loop {
        match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if began.elapsed() < GONE => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(WaitStatus::StillAlive) => {
                let left = children(std::process::id());
                for &pid in &left {
                    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), Signal::SIGKILL);
                }
                panic!("{} processes lived for {GONE:?} without their host: {left:?}", left.len());
            }
            Ok(end) => ends.push(end),
            Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return ends,
            Err(error) => panic!("{error}"),
        }
    }
}

/// What reads the kernel's records for a host: it has to end with the host as well, and is no worker.
fn readers_of(host: u32) -> Vec<u32> {
    children(host).into_iter().filter(|&child| reads_kernel_records(child)).collect()
}

fn is_of(end: &WaitStatus, pids: &[u32]) -> bool {
    end.pid().is_some_and(|pid| pids.contains(&pid.as_raw().unsigned_abs()))
}

/// A host in this process over a state that outlives it.
fn host_on(state: &Path, programs: &Path, namespaces: Namespaces) -> Host {
    Host::builder()
        .state_dir(state.join("state"))
        .programs_dir(programs)
        .namespaces(namespaces)
        .build()
        .expect("this machine can confine plugins")
}

fn probe_on(host: &Host, state: &Path) -> Plugin {
    let package = probe_package(&state.join("probe"), PluginType::Node);
    host.load_blocking(LoadRequest::new(package)).expect("the probe loads")
}

/// The head of a log line of 60,000 bytes, and the first two of them.
fn half_a_frame() -> Json {
    json!({ "bytes": [0x60, 0xea, 0, 0, 12, 1, 0, 0, 0x68, 0x61] })
}

/// A host with something of everything under way, until it is killed.
fn busy_host(state: &Path) -> ! {
    let host = host_on(state, &state.join("programs"), Namespaces::Cheap);
    let load = || probe_on(&host, state);
    let half = half_a_frame();
    std::thread::scope(|threads| {
        let (spinning, waiting, echoing, dying, trying, telling) =
            (load(), load(), load(), load(), load(), load());
        threads.spawn(move || spinning.call_blocking("spin", "{}", LONG));
        threads.spawn(move || waiting.call_blocking("bytes", &half.to_string(), LONG));
        let repeat = |plugin: Plugin, tool: &'static str, arguments: Json| {
            threads.spawn(move || {
                loop {
                    call(&plugin, tool, arguments.clone());
                    // A success in between, or the pauses after deaths would leave nothing to do.
                    call(&plugin, "echo", json!(1));
                }
            });
        };
        repeat(echoing, "echo", json!("x".repeat(100_000)));
        repeat(dying, "exit", json!({ "code": 1 }));
        repeat(trying, "syscall", json!({ "nr": libc::SYS_openat, "args": [] }));
        repeat(telling, "claim", json!({ "times": 50, "operation": "socket", "resource": "x" }));
        scene::tell("busy");
        loop {
            drop(load());
        }
    })
}

/// Where the log ends, if that is not the end of a record: empty, or torn.
fn torn_end(log: &Path) -> Option<u64> {
    let length = fs::metadata(log.join("audit.jsonl")).ok()?.len();
    let torn = length == 0 || !verify(log, None).expect("a log").is_sound();
    torn.then_some(length)
}

/// What is true of a state folder after its host was killed and another one has opened it.
fn is_consistent(state: &Path, hosts: usize, torn: u64) {
    let log = state.join("state/audit");
    let report = verify(&log, None).expect("the log can be read");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.summary.recoveries, torn, "each torn end has a record of its repair, and nothing else");
    let opened = Reader::open(&log)
        .expect("the log is there")
        .filter(|entry| {
            let record = &entry.as_ref().expect("a record").record;
            record.layer == Layer::Log && record.event == "open"
        })
        .count();
    assert!(opened <= hosts, "{opened} hosts of {hosts} opened the log");
    let artifacts = files(&state.join("state/artifacts"));
    let half_written: Vec<_> = artifacts.iter().filter(|name| name.starts_with('.')).collect();
    assert!(half_written.is_empty(), "{half_written:?}");
}

#[test]
fn g1_a_host_killed_at_any_moment_leaves_no_worker_and_a_sound_log() {
    const TEST: &str = "g1_a_host_killed_at_any_moment_leaves_no_worker_and_a_sound_log";
    if let Some(state) = scene::part(TEST).and_then(|part| part.strip_prefix("host ").map(PathBuf::from)) {
        busy_host(&state);
    }
    scene::alone(TEST, || {
        adopt_orphans();
        let mut chance = Chance::new(TEST);
        let state = tempfile::tempdir().expect("a temporary folder");
        fs::rename(probe_programs().keep(), state.path().join("programs")).expect("one file system");
        let part = format!("host {}", state.path().display());
        let (kills, mut torn, mut orphans) = (cycles(12, 150), 0, 0);
        let (mut by_signal, mut last_torn) = (0, None);
        for kill in 0..kills {
            let host = scene::start(TEST, &part);
            // Every third dies while it starts, compiles, launches; the others under load.
            if kill % 3 > 0 {
                assert_eq!(host.hear(), "busy");
                std::thread::sleep(chance.micros(40_000));
            } else {
                // What it compiled is gone, so that it compiles again.
                let _ = fs::remove_dir_all(state.path().join("state/artifacts"));
                std::thread::sleep(chance.micros(300_000));
            }
            let readers = readers_of(host.pid());
            host.kill();
            let ends = ends_of_orphans();
            orphans += ends.iter().filter(|end| !is_of(end, &readers)).count();
            for end in ends {
                match end {
                    WaitStatus::Signaled(_, Signal::SIGKILL, _) => by_signal += 1,
                    WaitStatus::Exited(..) => {}
                    other => panic!("an orphan ended as {other:?}"),
                }
            }
            // Once for each end that the next host will find, however many die before they look.
            let end = torn_end(&state.path().join("state/audit"));
            torn += u64::from(end.is_some() && end != last_torn);
            last_torn = end;
        }
        assert!(orphans > kills, "{orphans} orphans of {kills} hosts: they were not busy");
        assert!(by_signal > 0, "no orphan was ended by the signal");
        // Another host on the same state serves.
        let host = host_on(state.path(), &state.path().join("programs"), Namespaces::Cheap);
        let plugin = probe_on(&host, state.path());
        assert_eq!(value(&call(&plugin, "echo", json!("again"))), json!("again"));
        drop(plugin);
        host.stop_blocking();
        is_consistent(state.path(), kills + 1, torn);
        scene::show(&format!(
            "g1: {kills} hosts killed, {orphans} orphans ended ({by_signal} by the signal), {torn} torn ends"
        ));
    });
}

/// The signal alone: a worker that computes for ever never looks at its connection. As root this is also
/// the proof that becoming another user has not cleared it.
#[test]
fn g1_g3_a_spinning_worker_is_ended_by_the_signal_when_its_host_is_killed() {
    const TEST: &str = "g1_g3_a_spinning_worker_is_ended_by_the_signal_when_its_host_is_killed";
    let namespaces = match scene::part(TEST).as_deref() {
        Some("host cheap") => Some(Namespaces::Cheap),
        Some("host all") => Some(Namespaces::All),
        Some("host off") => Some(Namespaces::Off),
        _ => None,
    };
    if let Some(namespaces) = namespaces {
        let bench = Bench::with_probe(namespaces);
        let plugin = bench.probe(PluginType::Node, &[]);
        let pid = plugin.worker_pid().expect("it runs");
        std::thread::spawn(move || plugin.call_blocking("spin", "{}", LONG));
        while status(pid, "State").starts_with('S') {
            std::thread::yield_now();
        }
        scene::tell(&pid.to_string());
        loop {
            std::thread::park();
        }
    }
    scene::alone(TEST, || {
        adopt_orphans();
        for part in ["host cheap", "host all", "host off"] {
            let host = scene::start(TEST, part);
            let worker: i32 = host.hear().parse().expect("a process number");
            let readers = readers_of(host.pid());
            host.kill();
            let mut ends = ends_of_orphans();
            ends.retain(|end| !is_of(end, &readers));
            match ends[..] {
                [WaitStatus::Signaled(pid, Signal::SIGKILL, false)] => assert_eq!(pid.as_raw(), worker),
                ref other => panic!("{part}: {other:?}"),
            }
        }
    });
}

/// The end of the connection alone: the host lives on, so no signal comes.
#[test]
#[expect(
    unsafe_code,
    reason = "JUSTIFICATION: the host's end of the connection is known by its number alone"
)]
fn g1_a_waiting_worker_ends_with_its_connection() {
    const TEST: &str = "g1_a_waiting_worker_ends_with_its_connection";
    scene::each(TEST, &["cheap", "off"], |part| {
        let namespaces = if part == "off" { Namespaces::Off } else { Namespaces::Cheap };
        let bench = Bench::with(&stockade_tests::dist(), namespaces);
        let plugin = bench.component(&guest("greet-rust.wasm"), PluginType::Node);
        let pid = plugin.worker_pid().expect("it runs");
        for entry in fs::read_dir("/proc/self/fd").expect("the own descriptors").flatten() {
            let link = fs::read_link(entry.path()).unwrap_or_default();
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let (true, Some(number)) = (link.to_string_lossy().starts_with("socket:"), number) {
                // SAFETY: the socket stays open and its owner's; the worker sees its end, as if the host had
                // closed it.
                unsafe { libc::shutdown(number, libc::SHUT_WR) };
            }
        }
        let began = Instant::now();
        while parent(pid).is_some() {
            assert!(began.elapsed() < GONE, "the worker waits on a connection that has ended");
            std::thread::sleep(Duration::from_millis(1));
        }
        // It went by itself, and the host says so.
        let ends: Vec<_> =
            bench.records().into_iter().filter(|entry| entry.record.event == "ended").collect();
        let last = ends.last().expect("its end is recorded");
        assert_eq!(last.record.detail.number("exit_code"), Some(0), "{last:?}");
        assert_eq!(
            value(&call(&plugin, "greet", json!({ "name": "Ada" }))).as_str().map(|s| s.contains("Ada")),
            Some(true)
        );
    });
}

/// Kills children of this process, whatever they are doing, until told to stop.
fn kill_children(stop: &AtomicBool, mut chance: Chance, killed: &AtomicUsize) {
    let own = std::process::id();
    // One that was killed is there until it is waited for, and counts once.
    let mut recent = VecDeque::from([0; 16]);
    while !stop.load(Ordering::Relaxed) {
        // Now and then long enough for a worker to be at work on a machine that has more to do.
        let longest = if chance.below(16) == 0 { 100_000 } else { 3_000 };
        std::thread::sleep(chance.micros(longest));
        let mut alive = listed_children();
        alive.retain(|pid| !recent.contains(pid));
        if alive.is_empty() {
            continue;
        }
        let pid = alive[chance.below(alive.len() as u64) as usize];
        let Some(raw) = rustix_pid(pid) else { continue };
        // By pidfd, looked at again once it is held: a number can be somebody else's by now.
        let Ok(pidfd) = rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty()) else {
            continue;
        };
        if parent(pid) == Some(own)
            && rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL).is_ok()
        {
            killed.fetch_add(1, Ordering::Relaxed);
            recent.pop_front();
            recent.push_back(pid);
        }
    }
}

/// The children of this process as its threads' files list them: faster than a look at every process, and no
/// more exact than it has to be here.
fn listed_children() -> Vec<u32> {
    let threads = fs::read_dir("/proc/self/task").expect("the own threads").flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect()
}

fn rustix_pid(pid: u32) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(pid.cast_signed())
}

#[test]
fn g2_workers_killed_at_any_moment_are_typed_errors_and_leak_nothing() {
    const TEST: &str = "g2_workers_killed_at_any_moment_are_typed_errors_and_leak_nothing";
    scene::alone(TEST, || {
        let chance = Chance::new(TEST);
        let bench =
            Bench::build(probe_programs().path(), |host| unbraked(host.namespaces(Namespaces::Cheap)));
        // Compiled once before anything is killed: a killed compiler is another case.
        drop(bench.probe(PluginType::Node, &[]));
        let wanted = cycles(150, 10_000);
        let (stop, killed) = (AtomicBool::new(false), AtomicUsize::new(0));
        let temporary = files(&std::env::temp_dir()).len();
        let before = Account::quiet();
        let began = Instant::now();
        let codes = std::thread::scope(|threads| {
            threads.spawn(|| kill_children(&stop, chance, &killed));
            let callers: Vec<_> =
                (0..2).map(|_| threads.spawn(|| call_until(&bench, &killed, wanted))).collect();
            let mut codes = BTreeMap::<String, usize>::new();
            for caller in callers {
                for (code, count) in caller.join().expect("callers only get answers") {
                    *codes.entry(code).or_default() += count;
                }
            }
            stop.store(true, Ordering::Relaxed);
            codes
        });
        let took = began.elapsed();
        Account::settle(&before);
        let temporary_after = files(&std::env::temp_dir()).len();
        assert_eq!(temporary, temporary_after, "temporary files");
        for code in codes.keys() {
            let known = ["ok", "worker-died", "not-attested", "protocol-fault", "backing-off"];
            assert!(known.contains(&code.as_str()), "{codes:?}");
        }
        assert!(
            codes.get("worker-died").is_some_and(|&count| count > 0),
            "{codes:?}: none was killed at work"
        );
        let plugin = bench.probe(PluginType::Node, &[]);
        assert_eq!(value(&call(&plugin, "echo", json!("after"))), json!("after"));
        drop(plugin);
        bench.host.stop_blocking();
        // Every launch that was attested and loaded has its end; `records` has verified the chain.
        let counted =
            |event: &str| bench.records().iter().filter(|entry| entry.record.event == event).count();
        assert!(counted("attested") > 0 && counted("ended") > 0);
        scene::show(&format!(
            "g2: {} workers killed in {took:.1?}, callers got {codes:?}",
            killed.load(Ordering::Relaxed)
        ));
    });
}

/// Calls plugins until so many workers were killed; says what came back how often.
fn call_until(bench: &Bench, killed: &AtomicUsize, wanted: usize) -> BTreeMap<String, usize> {
    let mut codes = BTreeMap::new();
    while killed.load(Ordering::Relaxed) < wanted {
        let package = probe_package(&bench.state.path().join("probe-node"), PluginType::Node);
        let plugin = match bench.host.load_blocking(LoadRequest::new(package)) {
            Ok(plugin) => plugin,
            Err(error) => {
                *codes.entry(error_code(&error).to_owned()).or_default() += 1;
                continue;
            }
        };
        // Two deaths in a row make the third start wait, so this plugin is given up then.
        let mut deaths = 0;
        while deaths < 2 && killed.load(Ordering::Relaxed) < wanted {
            let outcome = call(&plugin, "echo", json!("x".repeat(50_000)));
            let code = outcome.reason.map_or("ok", |reason| {
                assert!(!reason.next_step.is_empty() && !reason.message.is_empty(), "{reason:?}");
                reason.code
            });
            deaths = if code == "ok" { 0 } else { deaths + 1 };
            *codes.entry(code.to_owned()).or_default() += 1;
        }
    }
    codes
}

fn error_code(error: &stockade_host::HostError) -> &'static str {
    use stockade_package::Explain as _;
    error.problem().code
}

#[test]
fn a53_a_worker_killed_within_a_frame_is_a_typed_error_and_the_host_serves() {
    let bench = Bench::with_probe(Namespaces::Cheap);
    let plugin = bench.probe(PluginType::Node, &[]);
    let other = bench.probe(PluginType::Node, &[]);
    let pid = plugin.worker_pid().expect("it runs");
    let caller = {
        let plugin = plugin.clone();
        let half = half_a_frame();
        std::thread::spawn(move || plugin.call_blocking("bytes", &half.to_string(), LONG))
    };
    std::thread::sleep(Duration::from_millis(50));
    let pidfd =
        rustix::process::pidfd_open(rustix_pid(pid).expect("a number"), rustix::process::PidfdFlags::empty())
            .expect("it runs");
    rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL).expect("it is ours");
    let outcome = caller.join().expect("an answer");
    assert_eq!(outcome.status, Status::Killed, "{outcome:?}");
    assert!(["protocol-fault", "worker-died"].contains(&code(&outcome)), "{outcome:?}");
    assert_eq!(parent(pid), None, "it was not reaped");
    assert_eq!(value(&call(&other, "echo", json!(1))), json!(1));
    assert_eq!(value(&call(&plugin, "echo", json!(2))), json!(2));
    assert!(!bench.found(Layer::Host, "ipc", Decision::Killed).is_empty() || code(&outcome) == "worker-died");
}

#[test]
fn g3_a_thread_that_loads_a_plugin_and_ends_takes_no_worker_with_it() {
    let bench = Bench::with_probe(Namespaces::Cheap);
    let plugins: Vec<_> = std::thread::scope(|threads| {
        let load = || bench.probe(PluginType::Node, &[]);
        let loading: Vec<_> = (0..4).map(|_| threads.spawn(load)).collect();
        loading.into_iter().map(|thread| thread.join().expect("it loads")).collect()
    });
    let pids: Vec<_> = plugins.iter().map(|plugin| plugin.worker_pid().expect("it runs")).collect();
    std::thread::sleep(Duration::from_millis(100));
    for (plugin, pid) in plugins.iter().zip(pids) {
        assert_eq!(value(&call(plugin, "echo", json!(1))), json!(1));
        assert_eq!(plugin.worker_pid(), Some(pid), "the worker is not the one that the thread started");
    }
}

#[test]
fn g4_panics_of_threads_and_tasks_end_no_worker_that_they_do_not_hold() {
    let bench = Bench::with_probe(Namespaces::Cheap);
    let (held, other) = (bench.probe(PluginType::Node, &[]), bench.probe(PluginType::Node, &[]));
    let other_pid = other.worker_pid();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    for round in 0..3 {
        let clone = held.clone();
        let thread = std::thread::spawn(move || {
            assert_eq!(value(&call(&clone, "echo", json!(1))), json!(1));
            panic!("on purpose, {round}");
        });
        assert!(thread.join().is_err());
        // In the middle of a call: the call is given up, and its worker with it, since nobody would read
        // its answer.
        let clone = held.clone();
        let task = runtime.spawn(async move {
            let spinning = clone.call("spin", "{}", LONG);
            let panicking = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                panic!("on purpose, too");
            };
            tokio::join!(spinning, panicking)
        });
        assert!(runtime.block_on(task).expect_err("it panics").is_panic());
        assert_eq!(value(&call(&held, "echo", json!(2))), json!(2));
        assert_eq!(value(&call(&other, "echo", json!(3))), json!(3));
    }
    assert_eq!(other.worker_pid(), other_pid, "a worker that nobody held was ended");
    drop((held, other));
    bench.host.stop_blocking();
    assert!(bench.records().iter().any(|entry| entry.record.event == "close"));
}

/// A root host that becomes somebody else after it has started workers, whom it may not end any more. It
/// should not; but who calls must get an answer. (It has no log to write to any more, either: the folder is
/// root's.)
#[test]
fn g3_a_host_that_gives_up_root_too_late_keeps_answering() {
    const TEST: &str = "g3_a_host_that_gives_up_root_too_late_keeps_answering";
    if !nix::unistd::geteuid().is_root() {
        skipped(TEST, "only root can become somebody else");
        return;
    }
    if scene::part(TEST).is_none() {
        let mut host = scene::start(TEST, "host");
        let worker = rustix_pid(host.hear().parse().expect("a number")).expect("a process");
        let worker =
            rustix::process::pidfd_open(worker, rustix::process::PidfdFlags::empty()).expect("it runs");
        host.tell("go");
        host.finish();
        // What the host could not end, this test can.
        let _ = rustix::process::pidfd_send_signal(&worker, rustix::process::Signal::KILL);
        return;
    }
    let bench = Bench::with_probe(Namespaces::Cheap);
    let (spinning, waiting) = (bench.probe(PluginType::Node, &[]), bench.probe(PluginType::Node, &[]));
    scene::tell(&spinning.worker_pid().expect("it runs").to_string());
    std::io::stdin().read_line(&mut String::new()).expect("a line");
    let nobody = 65_534;
    nix::unistd::setgroups(&[]).expect("root may");
    nix::unistd::setresgid(nobody.into(), nobody.into(), nobody.into()).expect("root may");
    nix::unistd::setresuid(nobody.into(), nobody.into(), nobody.into()).expect("root may");
    let began = Instant::now();
    let short = CallOptions::within(Duration::from_millis(200));
    let outcome = spinning.call_blocking("spin", "{}", short);
    assert_eq!(code(&outcome), "deadline", "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(value(&call(&waiting, "echo", json!(1))), json!(1));
    // One that waits ends with its connection, though nobody may signal it.
    let pid = waiting.worker_pid().expect("it runs");
    drop(waiting);
    while parent(pid).is_some() {
        assert!(began.elapsed() < Duration::from_secs(4), "the worker that waited lives on");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(spinning);
    bench.host.stop_blocking();
}

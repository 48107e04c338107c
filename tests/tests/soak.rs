//! Group G: many hostile sessions in one host, noisy neighbours, and plugins that crash without end. What
//! grows, leaks or makes others wait shows here.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use stockade_audit::verify;
use stockade_host::{CallOptions, HostBuilder, Namespaces, Plugin};
use stockade_policy::PluginType;
use stockade_tests::accounts::{Account, files, resident_kib};
use stockade_tests::{
    Bench, at_full_size, call, code, cycles, probe_programs, scene, skipped, unbraked, value,
};

/// How much slower the slowest calls of a quiet plugin may become.
const SLOWER: u32 = 3;
/// Microseconds: less than this is the grain of the machine, and no neighbour. Two plain processes that send
/// each other 64 bytes wait that long for the kernel alone where it starts and ends 300 empty programs a second
/// in namespaces of their own: 110 to 135 us in one of a hundred turns, on two cores.
const GRAIN: u32 = 150;
/// Microseconds: what one of a hundred calls of a plugin that is alone takes at least on a machine that others
/// use too; twice that where the host is not optimised.
const CALM: u32 = if cfg!(debug_assertions) { 100 } else { 50 };
/// Microseconds: where every core is busy without a pause, whoever was put off waits for the kernel's next tick,
/// 4 ms in many kernels, as any two processes of a machine do. The short form of a test, which runs beside
/// others, allows as much.
const TICK: u32 = 1_500;
/// Whatever else runs on the machine disturbs a measurement: so many are made before it counts.
const ATTEMPTS: usize = 5;

/// What counts as slow at all.
fn grain() -> u32 {
    if at_full_size() { GRAIN } else { TICK }
}

/// How long hostile plugins rest in turns, how long they go on in between, and what passes after a session until the
/// kernel has put its namespaces away.
const REST: Duration = Duration::from_millis(200);
const ROUND: Duration = Duration::from_millis(800);
const SETTLED: Duration = Duration::from_millis(40);

/// Latencies in microseconds; room for them is taken before anything is measured.
struct Latencies(Vec<u32>);

impl Latencies {
    fn room(count: usize) -> Latencies {
        // Written to, so that the pages are there.
        let mut room = vec![1; count];
        room.clear();
        Latencies(room)
    }

    /// Times what somebody does, and pauses so that others get their turn.
    fn time<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = act();
        let took = began.elapsed();
        if self.0.len() < self.0.capacity() {
            self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
        std::thread::sleep(Duration::from_micros(300));
        done
    }

    fn call(&mut self, plugin: &Plugin) {
        let outcome = self.time(|| call(plugin, "echo", json!("quiet")));
        assert_eq!(value(&outcome), json!("quiet"));
    }

    fn of(plugin: &Plugin, count: usize) -> Latencies {
        let mut latencies = Latencies::room(count);
        (0..count).for_each(|_| latencies.call(plugin));
        latencies
    }

    fn percentile(&mut self, percent: usize) -> u32 {
        self.0.sort_unstable();
        self.0[(self.0.len() - 1) * percent / 100]
    }
}

/// Something hostile, and what must come of it; `None` where the call may succeed.
fn hostile_act(number: usize) -> (&'static str, Json, Option<&'static str>) {
    let forbidden = [libc::SYS_openat, libc::SYS_socket, libc::SYS_execve, libc::SYS_ptrace, libc::SYS_kill];
    // What takes a worker's deadline, or the moment in which a closed connection may still mean an end, is
    // rare: the rest is what there are thousands of.
    match number % 100 {
        7 => ("hang_up", json!({}), Some("protocol-fault")),
        21 | 63 => ("spin", json!({}), Some("deadline")),
        42 => ("bytes", json!({ "bytes": [0x60, 0xea, 0, 0, 12, 1, 0, 0, 0x68] }), Some("deadline")),
        84 => ("allocate", json!({ "bytes": 8 << 20 }), None),
        rest => match rest % 8 {
            0 => {
                let number = forbidden[number / 8 % forbidden.len()];
                ("syscall", json!({ "nr": number, "args": [1, 2, 3] }), Some("forbidden-call"))
            }
            1 => ("bytes", json!({ "bytes": [255, 255, 255, 255, 12, 1, 0, 0] }), Some("protocol-fault")),
            2 => ("crash", json!({}), Some("worker-died")),
            3 => ("exit", json!({ "code": 3 }), Some("worker-died")),
            4 => ("flood", json!({ "lines": 300, "len": 200 }), None),
            5 => ("claim", json!({ "times": 100, "operation": "socket", "resource": "x" }), None),
            6 => ("int80", json!({}), Some("forbidden-call")),
            _ => ("wrong_call_number", json!({}), Some("protocol-fault")),
        },
    }
}

/// One life of a worker: it starts, answers once, and does something hostile.
fn hostile_session(plugin: &Plugin, number: usize) {
    assert_eq!(value(&call(plugin, "echo", json!(number))), json!(number));
    let (tool, arguments, expected) = hostile_act(number);
    let deadline = match expected {
        Some("deadline") => Duration::from_millis(5),
        _ => Duration::from_secs(20),
    };
    let outcome = plugin.call_blocking(tool, &arguments.to_string(), CallOptions::within(deadline));
    match expected {
        Some(expected) => assert_eq!(code(&outcome), expected, "{tool}: {outcome:?}"),
        None => {
            assert!(outcome.is_ok(), "{tool}: {outcome:?}");
            plugin.stop_worker();
        }
    }
}

/// A plain process that sends back what it gets: what it takes longer is the machine's, and no host's.
struct Plain {
    process: Child,
    socket: UnixStream,
}

impl Plain {
    fn start() -> Plain {
        let (socket, its) = UnixStream::pair().expect("descriptors are left");
        let process = Command::new("cat")
            .stdin(OwnedFd::from(its.try_clone().expect("descriptors are left")))
            .stdout(OwnedFd::from(its))
            .spawn()
            .expect("cat is everywhere");
        Plain { process, socket }
    }

    fn call(&mut self) {
        let mut bytes = [7; 64];
        self.socket.write_all(&bytes).expect("it reads");
        self.socket.read_exact(&mut bytes).expect("it answers");
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What calls of one take while hostile plugins rest, and while they do not.
struct Turns {
    alone: Latencies,
    besides: Latencies,
}

impl Turns {
    fn room(count: usize) -> Turns {
        Turns { alone: Latencies::room(count / 4), besides: Latencies::room(count) }
    }

    fn forget(&mut self) {
        self.alone.0.clear();
        self.besides.0.clear();
    }

    /// The 99th percentiles, and both for people.
    fn p99(&mut self) -> ([u32; 2], String) {
        let Turns { alone, besides } = self;
        let p99 = [alone.percentile(99), besides.percentile(99)];
        let shown = format!(
            "p50 {} us, p99 {} us alone, of {}; p50 {} us, p99 {} us besides, of {}",
            alone.percentile(50),
            p99[0],
            alone.0.len(),
            besides.percentile(50),
            p99[1],
            besides.0.len()
        );
        (p99, shown)
    }
}

/// A quiet plugin and a plain process, called in turns, while hostile plugins rest and while they do not: also in turns,
/// since what else the machine does changes within minutes.
struct InTurns {
    quiet: Turns,
    plain: Turns,
}

impl InTurns {
    /// Calls both until `done`; nobody who holds `rest` shared goes on while they are alone.
    fn call(&mut self, quiet: &Plugin, rest: &RwLock<()>, done: &AtomicBool) {
        let mut plain = Plain::start();
        let mut both = |calls: &mut Latencies, plains: &mut Latencies, time| {
            let began = Instant::now();
            while began.elapsed() < time && !done.load(Ordering::Relaxed) {
                calls.call(quiet);
                plains.time(|| plain.call());
            }
        };
        while !done.load(Ordering::Relaxed) {
            {
                let _resting = rest.write().expect("no session fails");
                std::thread::sleep(SETTLED);
                both(&mut self.quiet.alone, &mut self.plain.alone, REST);
            }
            both(&mut self.quiet.besides, &mut self.plain.besides, ROUND);
        }
    }
}

/// Slow calls in microseconds, of the quiet plugin and of a plain process: alone, and besides.
#[derive(Debug)]
struct Slow {
    quiet: [u32; 2],
    plain: [u32; 2],
}

impl Slow {
    /// Whether the quiet plugin pays for others: more than [`SLOWER`] times what it takes alone, and more than a plain
    /// process does, with which no host has to do. A call has two processes that wait for their turn in place of one.
    fn pays(&self, grain: u32) -> bool {
        let [alone, besides] = self.quiet;
        let machine = if self.plain[1] > SLOWER * self.plain[0] { 2 * self.plain[1] } else { 0 };
        besides >= (SLOWER * alone.max(grain)).max(machine)
    }
}

/// Hostile plugins go through so many sessions in all, each in a thread of its own, while `quiet` is called.
fn besides_hostile_sessions(hostile: &[Plugin], sessions: usize, quiet: &Plugin, calls: &mut InTurns) {
    let (next, done, rest) = (AtomicUsize::new(0), AtomicBool::new(false), RwLock::new(()));
    std::thread::scope(|threads| {
        let caller = threads.spawn(|| calls.call(quiet, &rest, &done));
        std::thread::scope(|attackers| {
            for plugin in hostile {
                attackers.spawn(|| {
                    loop {
                        let _going_on = rest.read().expect("no session fails");
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= sessions {
                            return plugin.stop_worker();
                        }
                        hostile_session(plugin, number);
                    }
                });
            }
        });
        done.store(true, Ordering::Relaxed);
        caller.join().expect("the quiet plugin answers");
    });
}

/// Hostile sessions, as often as `settings` lets them start; what is left of them, and what they cost others.
fn many_sessions(
    name: &str,
    attackers: usize,
    sessions: usize,
    settings: impl FnOnce(HostBuilder) -> HostBuilder,
) -> Slow {
    let bench = Bench::build(probe_programs().path(), |host| settings(host.namespaces(Namespaces::Cheap)));
    let quiet = bench.probe(PluginType::Node, &[]);
    let hostile: Vec<_> = (0..attackers).map(|_| bench.probe(PluginType::Node, &[])).collect();
    // What a host remembers of ended workers for some seconds is there before anything is counted.
    let warm_up = sessions.min(200).max(sessions / 5);
    let mut calls = InTurns { quiet: Turns::room(1_000_000), plain: Turns::room(1_000_000) };
    besides_hostile_sessions(&hostile, warm_up, &quiet, &mut calls);
    calls.quiet.forget();
    calls.plain.forget();
    let quiet_pid = quiet.worker_pid();

    std::thread::sleep(Duration::from_millis(50));
    let (account, memory) = (Account::own(), resident_kib());
    let began = Instant::now();
    besides_hostile_sessions(&hostile, sessions, &quiet, &mut calls);
    let took = began.elapsed();
    Account::settle(&account);
    let grown = resident_kib().saturating_sub(memory);
    assert_eq!(quiet.worker_pid(), quiet_pid, "the quiet worker was ended");

    let ((quiet_p99, quiet_shown), (plain_p99, plain_shown)) = (calls.quiet.p99(), calls.plain.p99());
    scene::show(&format!(
        "{name}: {sessions} hostile sessions of {attackers} plugins in {took:.1?} ({:.0}/s); memory {memory} \
         KiB and {grown} KiB more; the quiet plugin's calls: {quiet_shown}; a plain process: {plain_shown}",
        sessions as f64 / took.as_secs_f64(),
    ));
    assert!(grown < 1024, "{grown} KiB more after {sessions} sessions");

    drop((hostile, quiet));
    bench.host.stop_blocking();
    let log = bench.state.path().join("state/audit");
    let report = verify(&log, None).expect("a log");
    assert!(report.is_sound() && report.summary.closed, "{report:?}");
    // Counted exactly and stored in little: a session has three records or more.
    let counted = report.summary.records + report.summary.folded;
    let all = (sessions + warm_up) as u64;
    assert!(counted > 3 * all, "{counted} records and counts");
    assert!(report.summary.bytes < 4_000 * all, "{} bytes", report.summary.bytes);
    let left = files(&bench.state.path().join("state"));
    assert!(left.iter().all(|name| !name.contains("/.")), "{left:?}");
    Slow { quiet: quiet_p99, plain: plain_p99 }
}

/// As they come by themselves, which is four times as many a second as a host lets them have.
#[test]
fn g16_b10_hostile_sessions_in_one_host_leave_nothing() {
    const TEST: &str = "g16_b10_hostile_sessions_in_one_host_leave_nothing";
    scene::alone(TEST, || {
        many_sessions("g16, no brake", 8, cycles(300, 10_000), unbraked);
    });
}

#[test]
fn g16_b10_hostile_sessions_in_one_host_cost_others_nothing() {
    const TEST: &str = "g16_b10_hostile_sessions_in_one_host_cost_others_nothing";
    scene::alone(TEST, || {
        let sessions = cycles(100, 2_500);
        let grain = if at_full_size() { CALM } else { TICK };
        // A machine that others use too is sometimes slow by itself: a second attempt, and no third.
        let mut slow = Vec::new();
        for _ in 0..2 {
            let found = many_sessions("g16", 8, sessions, |defaults| defaults);
            if !found.pays(grain) {
                return;
            }
            slow.push(format!("{found:?}"));
        }
        panic!("p99 of {}", slow.join("; "));
    });
}

/// Runs `noise` in threads of its own while a quiet plugin is called; both are measured until one attempt is
/// as it should be.
fn quiet_besides(
    name: &str,
    quiet: &Plugin,
    noise: &(dyn Fn(&AtomicBool) + Sync),
    threads: usize,
    grain: u32,
) {
    let calls = cycles(400, 3_000);
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let mut alone = Latencies::of(quiet, calls);
        let done = AtomicBool::new(false);
        let mut besides = std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| noise(&done));
            }
            std::thread::sleep(Duration::from_millis(30));
            let besides = Latencies::of(quiet, calls);
            done.store(true, Ordering::Relaxed);
            besides
        });
        let numbers =
            [alone.percentile(50), alone.percentile(99), besides.percentile(50), besides.percentile(99)];
        scene::show(&format!(
            "{name}: p50 {} us, p99 {} us alone; p50 {} us, p99 {} us besides",
            numbers[0], numbers[1], numbers[2], numbers[3]
        ));
        if numbers[3] < SLOWER * numbers[1].max(grain) {
            return;
        }
        seen.push(numbers);
    }
    panic!("{name}: the quiet plugin waits for the others in every attempt: {seen:?}");
}

#[test]
fn g10_a49_processor_hogs_do_not_make_a_quiet_plugin_wait() {
    const TEST: &str = "g10_a49_processor_hogs_do_not_make_a_quiet_plugin_wait";
    scene::alone(TEST, || {
        let bench = Bench::with_probe(Namespaces::Cheap);
        let quiet = bench.probe(PluginType::Node, &[]);
        let cores = std::thread::available_parallelism().expect("a number").get();
        let grain = grain();
        if cores > 1 && is_idle() {
            quiet_besides("g10, a core free", &quiet, &|done| hog(&bench, done), cores - 1, grain);
        } else {
            skipped("g10_a49_a_core_free", "this machine has but one, or others keep it busy");
        }
        // Twice as many that compute as there are cores: who was put off waits for a tick.
        quiet_besides("g10, no core free", &quiet, &|done| hog(&bench, done), 2 * cores, TICK);
    });
}

/// Whether nobody else uses the processors: over a moment, nine tenths of their time are idle.
fn is_idle() -> bool {
    let times = || {
        let stat = std::fs::read_to_string("/proc/stat").expect("/proc is mounted");
        let all: Vec<u64> =
            stat.lines().next().into_iter().flat_map(str::split_whitespace).flat_map(str::parse).collect();
        // Idle, and waiting for a disk.
        (all[3] + all[4], all.iter().sum::<u64>())
    };
    let before = times();
    std::thread::sleep(Duration::from_millis(500));
    let after = times();
    10 * (after.0 - before.0) >= 9 * (after.1 - before.1)
}

/// Computes until told to stop, in slices that end at a deadline.
fn hog(bench: &Bench, done: &AtomicBool) {
    let plugin = bench.probe(PluginType::Node, &[]);
    while !done.load(Ordering::Relaxed) {
        let slice = CallOptions::within(Duration::from_millis(400));
        assert_eq!(code(&plugin.call_blocking("spin", "{}", slice)), "deadline");
        assert_eq!(value(&call(&plugin, "echo", json!(1))), json!(1));
    }
}

#[test]
fn b22_a_flood_of_valid_messages_does_not_make_a_quiet_plugin_wait() {
    const TEST: &str = "b22_a_flood_of_valid_messages_does_not_make_a_quiet_plugin_wait";
    scene::alone(TEST, || {
        let bench = Bench::with_probe(Namespaces::Cheap);
        let quiet = bench.probe(PluginType::Node, &[]);
        let flood = |done: &AtomicBool| {
            let plugin = bench.probe(PluginType::Node, &[]);
            while !done.load(Ordering::Relaxed) {
                assert!(call(&plugin, "flood", json!({ "lines": 20_000, "len": 100 })).is_ok());
            }
        };
        quiet_besides("b22", &quiet, &flood, 1, TICK);
    });
}

#[test]
fn g17_plugins_that_all_crash_are_slowed_down_and_others_serve() {
    const TEST: &str = "g17_plugins_that_all_crash_are_slowed_down_and_others_serve";
    const PLUGINS: usize = 100;
    scene::alone(TEST, || {
        // With its brakes as they are for everybody.
        let bench = Bench::build(probe_programs().path(), |host| host.namespaces(Namespaces::Cheap));
        let quiet = bench.probe(PluginType::Node, &[]);
        let before = Account::own();
        let crashing: Vec<_> = (0..PLUGINS).map(|_| bench.probe(PluginType::Node, &[])).collect();
        let storm = Duration::from_millis(1_500);
        let (died, waited) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let began = Instant::now();
        let (died_of, waited_of) = (&died, &waited);
        std::thread::scope(|threads| {
            for part in crashing.chunks(PLUGINS / 4) {
                threads.spawn(move || {
                    while began.elapsed() < storm {
                        for plugin in part {
                            let impatient = CallOptions::within(Duration::from_millis(20));
                            let outcome = plugin.call_blocking("exit", r#"{"code":1}"#, impatient);
                            match code(&outcome) {
                                // A deadline, where the machine is busy enough.
                                "worker-died" | "deadline" => died_of.fetch_add(1, Ordering::Relaxed),
                                "backing-off" | "timed-out" => waited_of.fetch_add(1, Ordering::Relaxed),
                                other => panic!("{other}: {outcome:?}"),
                            };
                        }
                        std::thread::sleep(Duration::from_millis(1));
                    }
                });
            }
            while began.elapsed() < storm {
                assert_eq!(value(&call(&quiet, "echo", json!("serves"))), json!("serves"));
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let took = began.elapsed();
        let (died, waited) = (died.into_inner(), waited.into_inner());
        scene::show(&format!(
            "g17: {PLUGINS} plugins died {died} times in {took:.1?}; {waited} calls were put off"
        ));
        // Two at once, then after 0.1, 0.2, 0.4, 0.8 seconds and so on: with pauses that double, the time
        // that has passed is that of all pauses but the last.
        let pauses = ((took.as_secs_f64() / 0.1 + 1.0).log2()).ceil() as usize;
        assert!(died <= PLUGINS * (2 + pauses), "{died} deaths in {took:?}");
        // Twice at once is everybody's; a busy machine comes no further.
        assert!(waited > died || died <= 2 * PLUGINS, "{died} died, and {waited} were put off");
        // Given the time, each comes back.
        for plugin in crashing.iter().step_by(10) {
            let patient = CallOptions::within(Duration::from_secs(30));
            assert_eq!(value(&plugin.call_blocking("echo", "1", patient)), json!(1));
        }
        drop(crashing);
        std::thread::sleep(Duration::from_millis(100));
        Account::settle(&before);
        drop(quiet);
        bench.host.stop_blocking();
        assert!(verify(bench.state.path().join("state/audit"), None).expect("a log").is_sound());
    });
}

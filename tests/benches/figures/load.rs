//! What isolation by call costs, how late a kill is, large payloads, and many plugins at once.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stockade_host::{CallOptions, Isolation, LoadRequest, Namespaces, Plugin, Start, Supervision};
use stockade_package::Package;
use stockade_policy::PluginType;
use stockade_tests::chance::Chance;
use stockade_tests::{Bench, dist, example, guest};

use super::{
    Echo, Figure, Spread, empty_program, greet, greet_with, greeter, measure, pin, start_again, timed,
};

/// Calls of which each has a process of its own: one that starts when it is called, and one that has waited.
pub(super) fn isolation(times: usize) -> Vec<Figure> {
    let floor = measure(times, empty_program);
    let figure = |what: &str, value| Figure {
        what: format!("a process for each call, {what}"),
        floor: "spawn, exec and exit of an empty static program".into(),
        value,
        base: Some(floor),
        goal: "",
        unit: "µs",
    };
    let bench = Bench::with(&dist(), Namespaces::Cheap);
    let supervised = |start| {
        let package =
            Package::open(guest("greet-rust.wasm"), Some(PluginType::Node)).expect("the guest is built");
        let supervision = Supervision { start, isolation: Isolation::Call, ..Supervision::default() };
        bench.host.load_blocking(LoadRequest::new(package).supervision(supervision)).expect("it loads")
    };
    let plugin = supervised(Start::OnCall);
    let starts = measure(times, || timed(|| greet(&plugin)));
    drop(plugin);
    let plugin = supervised(Start::Kept);
    let waits = measure(times, || {
        let started = plugin.status().starts;
        let took = timed(|| greet(&plugin));
        while plugin.status().starts == started || plugin.running() > 0 || plugin.worker_pid().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        took
    });
    vec![figure("started for it", starts), figure("one waits (start = kept)", waits)]
}

/// How long after its deadline an endless call is over.
pub(super) fn kill(times: usize) -> Figure {
    let bench = Bench::with(&dist(), Namespaces::Cheap);
    let package = Package::open(example("hostile"), None).expect("the example is built");
    let plugin = bench.host.load_blocking(LoadRequest::new(package)).expect("it loads");
    let deadline = Duration::from_millis(20);
    let value = measure(times, || {
        // Answered, so that there is a worker, and it may start again.
        plugin.call_blocking("trap", "{}", CallOptions::default());
        let options = CallOptions::within(deadline);
        let took = timed(|| {
            let outcome = plugin.call_blocking("endless_loop", "{}", options);
            assert_eq!(outcome.reason.expect("it ends").code, "deadline");
        });
        took.saturating_sub(deadline)
    });
    Figure {
        what: "an endless call, over so long after its deadline".into(),
        floor: String::new(),
        value,
        base: None,
        goal: "p99 ≤ 5 ms",
        unit: "µs",
    }
}

/// A large payload.
const SIZE: usize = 1 << 20;

/// The greeter's, with a name so long.
pub(super) fn large_arguments() -> String {
    format!("{{\"name\":\"{}\"}}", "x".repeat(SIZE))
}

/// A text of 1 MiB there, and one back.
pub(super) fn payload(times: usize) -> Figure {
    let (mut ours, mut theirs) = UnixStream::pair().expect("a socket pair");
    let echo = thread::spawn(move || {
        let mut buffer = vec![0; SIZE];
        while theirs.read_exact(&mut buffer).is_ok() && theirs.write_all(&buffer).is_ok() {}
    });
    let mut buffer = vec![7; SIZE];
    let floor = measure(times, || {
        timed(|| {
            ours.write_all(&buffer).expect("the echo lives");
            ours.read_exact(&mut buffer).expect("the echo answers");
        })
    });
    drop(ours);
    echo.join().expect("the echo ends");
    let bench = Bench::new();
    let plugin = greeter(&bench, true);
    let arguments = large_arguments();
    let value = measure(times, || timed(|| greet_with(&plugin, &arguments)));
    Figure {
        what: "warm call of 1 MiB there and back, the guest's part too".into(),
        floor: "socketpair echo of 1 MiB between two threads".into(),
        value,
        base: Some(floor),
        goal: "",
        unit: "µs",
    }
}

/// Cold starts on one processor, one after the other.
pub(super) fn start_rate(times: usize) -> Figure {
    pin(Some(0));
    let bench = Bench::with(&dist(), Namespaces::Cheap);
    let plugin = greeter(&bench, true);
    let took = timed(|| {
        (0..times).for_each(|_| _ = start_again(&plugin));
    });
    pin(None);
    let rate = times as f64 / took.as_secs_f64();
    Figure {
        what: "starts with a first call and an end, on one core".into(),
        floor: String::new(),
        value: Spread::once(rate),
        base: None,
        goal: "≥ 500/s",
        unit: "/s",
    }
}

/// Calls of as many plugins as there are processors, beside those of one; and a quiet plugin beside a hundred chatty ones.
pub(super) fn many(span: Duration) -> Vec<Figure> {
    let bench = Bench::new();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let plugins: Vec<Plugin> = (0..cores).map(|_| greeter(&bench, true)).collect();
    let alone = rate(&plugins[..1], span);
    let together = rate(&plugins, span);
    let mut figures = vec![Figure {
        what: format!("calls a second, {cores} plugins on {cores} cores"),
        floor: "one plugin".into(),
        value: Spread::once(together),
        base: Some(Spread::once(alone)),
        goal: "as many × as cores",
        unit: "/s",
    }];

    let calls = usize::try_from(span.as_millis()).unwrap_or(1000);
    let beside = |what: &str, goal, (before, beside)| Figure {
        what: format!("p99 of a quiet {what} beside 100 chatty ones"),
        floor: "its p99 alone".into(),
        value: beside,
        base: Some(before),
        goal,
        unit: "µs",
    };
    let echoes: Vec<Echo> = (0..101).map(|_| Echo::start()).collect();
    figures.push(beside("echo, no Stockade,", "", quiet_one(calls, &echoes, Echo::turn)));
    drop(echoes);
    let plugins: Vec<Plugin> = (0..101).map(|_| greeter(&bench, true)).collect();
    figures.push(beside("plugin", "≤ 2 ×", quiet_one(calls, &plugins, greet)));
    figures
}

/// The p99 of the first, called once a millisecond: alone, and while each of the others is called some 100 times a second.
fn quiet_one<T: Sync>(calls: usize, all: &[T], call: impl Fn(&T) + Sync) -> (Spread, Spread) {
    let [quiet, chatty @ ..] = all else { panic!("there is one") };
    let p99 = || {
        let spread = measure(calls, || {
            thread::sleep(Duration::from_millis(1));
            timed(|| call(quiet))
        });
        Spread::once(spread.p99)
    };
    let before = p99();
    let over = AtomicBool::new(false);
    let beside = thread::scope(|scope| {
        for (one, seed) in chatty.iter().zip(1..) {
            let (over, call) = (&over, &call);
            scope.spawn(move || {
                let mut chance = Chance::of_seed(seed);
                while !over.load(Ordering::Relaxed) {
                    // Callers that know nothing of each other: the same pause for all would have them call together.
                    thread::sleep(chance.micros(20_000));
                    call(one);
                }
            });
        }
        thread::sleep(Duration::from_millis(200));
        let beside = p99();
        over.store(true, Ordering::Relaxed);
        beside
    });
    (before, beside)
}

/// Calls a second of all of these, each called by a thread of its own.
fn rate(plugins: &[Plugin], span: Duration) -> f64 {
    let calls = AtomicU64::new(0);
    let until = Instant::now() + span;
    thread::scope(|scope| {
        for plugin in plugins {
            scope.spawn(|| {
                while Instant::now() < until {
                    greet(plugin);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    calls.load(Ordering::Relaxed) as f64 / span.as_secs_f64()
}

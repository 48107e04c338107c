//! A large component: compiled once, in a process that is held to its memory, and never again.

use nix::sys::resource::{UsageWho, getrusage};
use stockade_host::LoadRequest;
use stockade_package::Package;
use stockade_policy::PluginType;
use stockade_tests::{Bench, guest};

use super::{Figure, Spread, greet, measure, timed};

/// The engine, a Python interpreter and a plugin in Python, in one component.
pub(super) fn figures(times: usize) -> Vec<Figure> {
    let path = guest("greet-python.wasm");
    let size = std::fs::metadata(&path).expect("the guest is built").len() >> 20;
    let bench = Bench::new();
    let load = || {
        let package = Package::open(&path, Some(PluginType::Node)).expect("a component");
        bench.host.load_blocking(LoadRequest::new(package)).expect("it loads")
    };
    let figure = |what: String, value, goal, unit| Figure {
        what: format!("compile: {what}"),
        floor: String::new(),
        value,
        base: None,
        goal,
        unit,
    };
    let first = timed(|| greet(&load())).as_secs_f64() * 1e3;
    // Of all children that have ended: the compiler is by far the largest.
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| usage.max_rss()) as f64 / 1024.0;
    let next = measure(times, || timed(|| greet(&load()))).in_milliseconds();
    vec![
        figure(format!("{size} MiB of Python, up to its first reply"), Spread::once(first), "", "ms"),
        figure("its compiler's memory".to_owned(), Spread::once(peak), "≤ 512 + 64 per MiB", "MiB"),
        figure("its next load, up to its first reply".to_owned(), next, "", "ms"),
    ]
}

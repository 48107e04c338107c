//! `stockade serve` with many plugins.

use std::fs;
use std::time::Duration;

use stockade_tests::accounts::resident_kib_of;
use stockade_tests::served;

use super::{Figure, Spread, empty_program, measure, pss, timed};

/// A host with many plugins, as `stockade serve` runs it: its start with warm caches, what it costs while nobody calls,
/// and how long it takes to say how all of them do.
pub(super) fn figures(count: usize) -> Vec<Figure> {
    let site = served::Site::new();
    for number in 0..count {
        site.enable(&format!("local/p{number}"), "");
    }
    // The floor of a start: as many processes, one after the other, which do nothing.
    let floor = measure(1, || timed(|| (0..count).for_each(|_| _ = empty_program())));
    // The artifact is compiled once, and the next host finds it.
    drop(site.serve());
    let mut host = None;
    let start = measure(1, || timed(|| host = Some(site.serve())));
    let host = host.expect("it was started");
    let ps = measure(20, || timed(|| drop(site.run(&["ps"]))));
    let status = measure(20, || timed(|| drop(site.run(&["--version"]))));
    // What the start left to be done is done.
    std::thread::sleep(Duration::from_secs(3));
    let watched = Duration::from_secs(10);
    let before = ticks(host.pid());
    std::thread::sleep(watched);
    let idle = (ticks(host.pid()) - before) as f64 / watched.as_secs_f64();
    let workers = host.ask(&["ps"]);
    let pids =
        workers["plugins"].as_array().expect("plugins").iter().filter_map(|p| p["workers"][0].as_u64());
    let sizes = Spread::of(pids.filter_map(|pid| pss(pid as u32)).collect());
    let mut figures = vec![
        Figure {
            what: format!("serve: start of {count} plugins, warm cache"),
            floor: "as many empty processes, one after the other".into(),
            value: start.in_milliseconds(),
            base: Some(floor.in_milliseconds()),
            goal: "≤ 10 s of 1,000",
            unit: "ms",
        },
        Figure {
            what: format!("serve: `stockade ps` of {count} plugins"),
            floor: "`stockade --version`".into(),
            value: ps.in_milliseconds(),
            base: Some(status.in_milliseconds()),
            goal: "≤ 100 ms",
            unit: "ms",
        },
        Figure {
            what: format!("serve: processor of an idle host of {count}, workers too"),
            floor: String::new(),
            value: Spread::once(idle),
            base: None,
            goal: "< 1 %",
            unit: "%",
        },
        Figure {
            what: format!("serve: memory of the host itself with {count}"),
            floor: String::new(),
            value: Spread::once(resident_kib_of(host.pid()) as f64 / 1024.0),
            base: None,
            goal: "",
            unit: "MiB",
        },
    ];
    if let Some(value) = sizes {
        figures.push(Figure {
            what: format!("serve: PSS of one idle worker of {count}"),
            floor: String::new(),
            value,
            base: None,
            goal: "≤ 512 KiB",
            unit: "KiB",
        });
    }
    figures
}

/// Processor time of a process and its children, in hundredths of a second.
fn ticks(pid: u32) -> u64 {
    let of = |pid: u32| -> u64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum()
    };
    of(pid) + served::children(pid).into_iter().map(of).sum::<u64>()
}

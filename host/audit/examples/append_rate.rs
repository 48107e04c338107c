//! What the log costs, beside its floors, measured in the same run: records a second through [`Log::append`] and
//! by plain write(2) of the same bytes, by the clock and by the processor time of the one thread that writes (which
//! is what a core that has nothing else to do would take); the latency of a durable record and of a write and fdatasync of the same
//! bytes; the speed of verification and of SHA-256 over the same bytes.
//!
//! `cargo run --release -p stockade-audit --example append_rate [RECORDS]`

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use stockade_audit::{
    Decision, FloodLimits, Layer, Log, Options, Plugin, Record, SegmentPolicy, Trust, verify_with,
};

/// Durable records; each takes the time of a disk.
const DURABLE: u32 = 300;
/// Records that come together.
const TOGETHER: usize = 1_000;
/// Threads that write durable records together.
const WRITERS: u32 = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let records: u32 = std::env::args().nth(1).map_or(Ok(300_000), |count| count.parse())?;
    let state = tempfile::tempdir()?;
    let dir = state.path().join("audit");
    let log = open(&dir)?;
    let [refusal, notified] = examples();
    let appended =
        time(records, |number| log.append(if number % 2 == 0 { &refusal } else { &notified }).map(drop))?;
    let together = {
        let log = open(&state.path().join("together"))?;
        let many: Vec<Record> =
            (0..TOGETHER).map(|number| [&refusal, &notified][number % 2].clone()).collect();
        let (all, took) = (records / TOGETHER as u32, |_| log.append_all(&many).map(drop));
        time(all, took)?
    };
    let folding = {
        let log = Log::open(state.path().join("folding"))?;
        time(records, |_| log.append(&refusal).map(drop))?
    };
    log.close()?;

    let text = fs::read(dir.join("audit.jsonl"))?;
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    let mut plain = File::options().create(true).append(true).open(state.path().join("plain"))?;
    let written = time(records, |number| plain.write_all(lines[number as usize + 1]))?;

    println!("{records} records of {} bytes", text.len() / lines.len());
    for (what, took) in [
        ("append", appended),
        ("write(2) of the same bytes", written),
        ("append_all of 1,000 at a time", together),
        ("append of a flood (counted)", folding),
    ] {
        show(what, records, took.0);
        show("  by processor time", records, took.1);
    }
    ratio("append / write(2)", appended.1, written.1);
    durable(state.path(), &refusal, lines[1])?;
    verification(&dir, &text)?;
    Ok(())
}

/// In one file, so that what is measured is the writing; with all else that a log does.
fn open(dir: &Path) -> Result<Log, Box<dyn Error>> {
    let floods = FloodLimits { burst: u32::MAX, ..FloodLimits::default() };
    let segments = SegmentPolicy { bytes: u64::MAX, ..SegmentPolicy::default() };
    Ok(Log::open_with(dir, Options { floods, segments, ..Options::default() })?)
}

fn examples() -> [Record; 2] {
    let plugin = Plugin::new("secret-scan", "0.1.0", "5".repeat(64), "quality_gate").shared();
    let refusal = Record::new(Layer::Host, "refused", Decision::Denied)
        .plugin(&plugin)
        .launch("0192f0c1-1")
        .call(7)
        .operation("fs.read")
        .resource("/etc/passwd")
        .rule("fs.read:/src", "command line")
        .reason("no grant covers this resource")
        .next_step("widen the grant if the plugin should reach this resource");
    let notified = (0..6).fold(
        Record::new(Layer::Seccomp, "notified", Decision::Killed)
            .plugin(&plugin)
            .launch("0192f0c1-1")
            .operation("openat")
            .detail("nr", 257)
            .detail("arch", "x86_64"),
        |record, arg| record.detail(format!("arg{arg}"), format!("{:#018x}", 0x7ffd_0000_0000_u64 + arg)),
    );
    [refusal, notified]
}

/// By turns with the floor, so that both meet the same disk.
fn durable(state: &Path, record: &Record, line: &[u8]) -> Result<(), Box<dyn Error>> {
    let log = open(&state.join("durable"))?;
    let mut plain = File::options().create(true).append(true).open(state.join("durable-plain"))?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..DURABLE {
        let start = Instant::now();
        log.append_durable(record)?;
        ours.push(start.elapsed());
        let start = Instant::now();
        plain.write_all(line)?;
        plain.sync_data()?;
        floor.push(start.elapsed());
    }
    let start = Instant::now();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                scope.spawn(|| (0..DURABLE / WRITERS).try_for_each(|_| log.append_durable(record).map(drop)))
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().expect("no panic"))
    })?;
    let together = start.elapsed();
    let (ours, floor) = (median(ours), median(floor));
    println!("durable record               {:>10.0} us", ours.as_secs_f64() * 1e6);
    println!("write and fdatasync          {:>10.0} us", floor.as_secs_f64() * 1e6);
    ratio("durable / fdatasync", ours, floor);
    show(&format!("durable, {WRITERS} writers together"), DURABLE / WRITERS * WRITERS, together);
    Ok(())
}

fn verification(dir: &Path, text: &[u8]) -> Result<(), Box<dyn Error>> {
    let key = fs::read_to_string(dir.join("audit.vkey"))?.trim().parse()?;
    let trust = Trust { keys: vec![key], ..Trust::default() };
    let speed = |took: Duration| text.len() as f64 / 1e6 / took.as_secs_f64();
    // The best of three each: other load only ever makes them slower.
    let (mut verified, mut hashed) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        let start = processor();
        let report = verify_with(dir, &trust)?;
        verified = verified.min(processor().saturating_sub(start));
        assert!(report.is_sound(), "{:?}", report.findings);
        let start = processor();
        let hash = Sha256::digest(text);
        hashed = hashed.min(processor().saturating_sub(start));
        assert_ne!(hash[..], [0; 32]);
    }
    println!("by processor time:");
    println!("verify                       {:>10.0} MB/s", speed(verified));
    println!("SHA-256 of the same bytes    {:>10.0} MB/s", speed(hashed));
    ratio("verify / SHA-256", verified, hashed);
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// By the clock and by processor time.
fn time<E>(count: u32, mut step: impl FnMut(u32) -> Result<(), E>) -> Result<(Duration, Duration), E> {
    let (start, begun) = (Instant::now(), processor());
    (0..count).try_for_each(&mut step)?;
    Ok((start.elapsed(), processor().saturating_sub(begun)))
}

/// What this thread has had of a processor.
fn processor() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

fn show(what: &str, count: u32, took: Duration) {
    let each = took.as_nanos() / u128::from(count.max(1));
    println!("{what:<28} {:>10.0} /s  {each:>6} ns each", f64::from(count) / took.as_secs_f64());
}

fn ratio(what: &str, ours: Duration, floor: Duration) {
    println!("{what:<28} {:>10.2}", ours.as_secs_f64() / floor.as_secs_f64());
}

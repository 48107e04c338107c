//! Records a second through [`Log::append`], beside the floor: the same bytes by plain write(2).
//!
//! `cargo run --release -p stockade-audit --example append_rate [RECORDS]`

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, Instant};

use stockade_audit::{Decision, FloodLimits, Layer, Log, Options, Plugin, Record, verify};

fn main() -> Result<(), Box<dyn Error>> {
    let records: u32 = std::env::args().nth(1).map_or(Ok(300_000), |count| count.parse())?;
    let state = tempfile::tempdir()?;
    let dir = state.path().join("audit");
    let floods = FloodLimits { burst: u32::MAX, ..FloodLimits::default() };
    let log = Log::open_with(&dir, Options { floods, ..Options::default() })?;
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

    let appended =
        time(records, |number| log.append(if number % 2 == 0 { &refusal } else { &notified }).map(drop))?;
    let folding = {
        let dir = state.path().join("folding");
        let log = Log::open(&dir)?;
        time(records, |_| log.append(&refusal).map(drop))?
    };
    log.close()?;

    let text = fs::read(dir.join("audit.jsonl"))?;
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    let mut plain = File::options().create(true).append(true).open(state.path().join("plain"))?;
    let written = time(records, |number| plain.write_all(lines[number as usize + 1]))?;

    let start = Instant::now();
    let report = verify(&dir, None)?;
    let verified = start.elapsed();
    assert!(report.is_sound(), "{:?}", report.findings);

    println!("{records} records of {} bytes", text.len() / lines.len());
    show("append", records, appended);
    show("write(2) of the same bytes", records, written);
    show("append of a flood (counted)", records, folding);
    println!("append / write(2)            {:>10.2}", appended.as_secs_f64() / written.as_secs_f64());
    println!("verify                       {:>10.0} MB/s", text.len() as f64 / 1e6 / verified.as_secs_f64());
    Ok(())
}

fn time<E>(count: u32, mut step: impl FnMut(u32) -> Result<(), E>) -> Result<Duration, E> {
    let start = Instant::now();
    (0..count).try_for_each(&mut step)?;
    Ok(start.elapsed())
}

fn show(what: &str, count: u32, took: Duration) {
    let each = took.as_nanos() / u128::from(count.max(1));
    println!("{what:<28} {:>10.0} /s  {each:>6} ns each", f64::from(count) / took.as_secs_f64());
}

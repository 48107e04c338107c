//! One plugin's denials in a large log: by the index, beside a plain lookup in SQLite and a scan.
//!
//! `cargo run --release -p stockade-auditor --example lookup [RECORDS] [FOLDER]`: one million records where nobody says
//! otherwise. The log is written by the real writer; a log that is already in FOLDER is used again.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use stockade_audit::{Decision, FloodLimits, Layer, Log, Options, Plugin, Record};
use stockade_auditor::{Auditor, Filter, Index, Lookup, Pattern, Question, Source};

/// Plugins that take turns; the one that is looked for is one in so many of the rest.
const PLUGINS: u64 = 200;
/// The plugin that is looked for has one record in so many.
const ONE_IN: u64 = 10_000;
/// Times that a question is asked.
const ROUNDS: usize = 21;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: u64 = arguments.next().map_or(Ok(1_000_000), |count| count.parse())?;
    let scratch = tempfile::tempdir()?;
    let folder = arguments.next().map_or_else(|| scratch.path().to_owned(), PathBuf::from);
    let dir = folder.join("audit");
    if !dir.join("audit.jsonl").exists() {
        let start = Instant::now();
        write(&dir, records)?;
        show("written by the real writer", start.elapsed(), records);
    }
    let index = folder.join("audit.index");
    let source = Source::open(&dir)?;
    println!("{:<44} {:>12} bytes", "log", source.bytes_from(0, 0));
    let start = Instant::now();
    drop(Index::build(&index, &source)?);
    show("index built", start.elapsed(), records);
    println!("{:<44} {:>12} bytes", "index", std::fs::metadata(&index)?.len());

    let filter = Filter {
        plugin: Some(Pattern::Exact("acme/wanted".into())),
        decisions: vec![Decision::Denied],
        ..Filter::default()
    };
    let question = Question { filter, ..Question::default() };
    let mut hits = 0;
    let mut whole = Vec::new();
    for _ in 0..ROUNDS {
        // As the program does it: log and index opened, the index compared with the log, each hit read from the log.
        let start = Instant::now();
        let auditor = Auditor::open(&dir, &Lookup::At(index.clone()))?;
        hits = auditor.find(&question, &mut |_| Ok(()))?.hits;
        whole.push(start.elapsed());
    }
    let floor = rounds(|| {
        let db = Connection::open(&index)?;
        let mut statement = db.prepare(
            "SELECT seq, offset FROM records INDEXED BY records_by_kind WHERE kind IN
                (SELECT id FROM kinds WHERE plugin = 'acme/wanted' AND decision = 'denied')",
        )?;
        let found: Vec<(i64, i64)> =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        assert_eq!(found.len() as u64, hits);
        Ok(())
    })?;
    let scanner = Auditor::open(&dir, &Lookup::Scan)?;
    let start = Instant::now();
    let scanned = scanner.find(&question, &mut |_| Ok(()))?.hits;
    let scan = start.elapsed();
    assert_eq!((scanned, hits > 0), (hits, true));
    println!("{hits} denials of one plugin among {records} records:");
    one("  by the index, each read back from the log", median(whole));
    one("  floor: a plain lookup in SQLite", floor);
    one("  floor: a scan of the log (--no-index)", scan);
    Ok(())
}

fn write(dir: &std::path::Path, records: u64) -> Result<(), Box<dyn Error>> {
    let floods = FloodLimits { burst: u32::MAX, ..FloodLimits::default() };
    let log = Log::open_with(dir, Options { floods, ..Options::default() })?;
    let plugins: Vec<_> = (0..PLUGINS)
        .map(|number| {
            Plugin::new(format!("acme/p{number}"), "1.0.0", format!("{number:064x}"), "agent").shared()
        })
        .collect();
    let wanted = Plugin::new("acme/wanted", "1.0.0", "f".repeat(64), "integration").shared();
    for number in 0..records {
        let is_wanted = number % ONE_IN == ONE_IN / 2;
        let plugin = if is_wanted { &wanted } else { &plugins[(number % PLUGINS) as usize] };
        let decision = if is_wanted || number % 3 == 0 { Decision::Denied } else { Decision::Allowed };
        log.append(
            &Record::new(
                Layer::Host,
                if decision == Decision::Denied { "refused" } else { "allowed" },
                decision,
            )
            .plugin(plugin)
            .launch(format!("0192f0c1-{}", number / 5000))
            .call(number % 5000 / 4)
            .operation("fs.read")
            .resource(format!("/src/module-{}/file-{}.rs", number % 97, number % 1009))
            .rule("default-deny:fs.read", "built-in")
            .reason("no grant covers this resource")
            .next_step("widen the grant if the plugin should reach this resource")
            .detail("trace", format!("6d1f00aa.{}", number / 4)),
        )?;
    }
    log.close()?;
    Ok(())
}

fn rounds(mut step: impl FnMut() -> rusqlite::Result<()>) -> Result<Duration, Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        step()?;
        times.push(start.elapsed());
    }
    Ok(median(times))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn show(what: &str, took: Duration, records: u64) {
    println!(
        "{what:<44} {:>12.2} s  {:>9.0} records/s",
        took.as_secs_f64(),
        records as f64 / took.as_secs_f64()
    );
}

fn one(what: &str, took: Duration) {
    println!("{what:<44} {:>12.3} ms", took.as_secs_f64() * 1000.0);
}

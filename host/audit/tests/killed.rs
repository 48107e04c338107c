//! Attack case F3: a writer that is killed at any moment, in a rotation and a compression too.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use stockade_audit::{
    CheckpointPolicy, Decision, FloodLimits, Head, Layer, Log, Options, Record, SegmentPolicy, Trust,
    VerifierKey, verify_with,
};

const TEST: &str = "f3_every_acknowledged_record_survives_kill_9_at_any_moment";

/// Writes until it is killed, and says of each record that it is written.
fn write_on(dir: &Path) -> ! {
    let log = Log::open_with(
        dir,
        Options {
            floods: FloodLimits { burst: u32::MAX, ..FloodLimits::default() },
            segments: SegmentPolicy { records: 25, ..SegmentPolicy::default() },
            checkpoints: CheckpointPolicy { records: 7, ..CheckpointPolicy::default() },
            ..Options::default()
        },
    )
    .unwrap();
    let record = Record::new(Layer::Host, "refused", Decision::Denied).operation("fs.read");
    let mut out = std::io::stdout();
    for call in 0.. {
        let record = record.clone().call(call).resource("x".repeat((call % 90) as usize));
        let head = log.append(&record).unwrap().head();
        writeln!(out, "acknowledged {head}").unwrap();
        out.flush().unwrap();
    }
    unreachable!("numbers do not end")
}

/// A number that nobody chose.
fn chance(below: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % below
}

#[test]
fn f3_every_acknowledged_record_survives_kill_9_at_any_moment() {
    if let Some(dir) = std::env::var_os("AUDIT_TEST_KILLED") {
        write_on(Path::new(&dir));
    }
    let full = std::env::var("STOCKADE_CYCLES").is_ok_and(|size| size == "full");
    let rounds = if full { 500 } else { 20 };
    let (mut state, mut key) = (tempfile::tempdir().unwrap(), None::<VerifierKey>);
    let (mut torn, mut rotated) = (0, 0);
    for round in 0..rounds {
        // Each log lives through some starts.
        if round % 10 == 0 {
            (state, key) = (tempfile::tempdir().unwrap(), None);
        }
        let dir = state.path().join("audit");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env("AUDIT_TEST_KILLED", &dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = 1 + chance(200);
        let mut acknowledged: Vec<Head> = Vec::new();
        let mut take = |line: Option<std::io::Result<String>>| {
            let Some(Ok(line)) = line else { return false };
            // The test runner's own words may stand on the same line.
            if let Some((_, head)) = line.split_once("acknowledged ") {
                acknowledged.extend(head.parse::<Head>());
            }
            true
        };
        for _ in 0..wanted {
            assert!(take(lines.next()), "the writer ended by itself");
        }
        std::thread::sleep(std::time::Duration::from_micros(chance(3000)));
        child.kill().unwrap();
        while take(lines.next()) {}
        child.wait().unwrap();

        let log = Log::open(&dir).unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        log.tidy().unwrap();
        drop(log);
        let own = || fs::read_to_string(dir.join("audit.vkey")).unwrap().trim().parse().unwrap();
        let trust = Trust {
            keys: vec![key.get_or_insert_with(own).clone()],
            head: acknowledged.last().copied(),
            ..Trust::default()
        };
        let report = verify_with(&dir, &trust).unwrap();
        assert!(report.is_sound(), "round {round}: {:?}", report.findings);
        torn += report.summary.recoveries;
        rotated += report.summary.files - 1;
        for leftover in ["audit.jsonl.next", "audit.key.next"] {
            assert!(!dir.join(leftover).exists(), "round {round}: {leftover}");
        }
    }
    assert!(rotated > 0, "no round came to a rotation");
    println!("{rounds} kills, {torn} torn ends, {rotated} closed files verified");
}

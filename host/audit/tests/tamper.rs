//! Attack case F1: whatever is done to a log, `verify` finds it and says where.

use std::fs;
use std::path::Path;

use stockade_audit::{Decision, Finding, FloodLimits, Layer, Log, Options, Plugin, Record, Report, verify};

/// A log of 50 records as its lines, and its head.
fn log() -> (Vec<Vec<u8>>, stockade_audit::Head) {
    log_of(50)
}

fn log_of(records: u64) -> (Vec<Vec<u8>>, stockade_audit::Head) {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("audit");
    let floods = FloodLimits { burst: u32::MAX, ..FloodLimits::default() };
    let log = Log::open_with(&dir, Options { floods, ..Options::default() }).unwrap();
    let plugin = Plugin::new("hostile", "1.0.0", "ab".repeat(32), "node").shared();
    for call in 0..records - 2 {
        let record = Record::new(Layer::Host, "refused", Decision::Denied)
            .plugin(&plugin)
            .launch("1")
            .call(call)
            .operation("fs.read")
            .resource(format!("/etc/{call}"))
            .detail("nr", call);
        log.append(&record).unwrap();
    }
    let head = log.close().unwrap();
    let text = fs::read(dir.join("audit.jsonl")).unwrap();
    let lines: Vec<Vec<u8>> = text.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(lines.len() as u64, records);
    (lines, head)
}

fn check(file: &Path, lines: &[Vec<u8>]) -> Report {
    fs::write(file, lines.concat()).unwrap();
    verify(file, None).unwrap()
}

fn findings(lines: &[Vec<u8>]) -> Vec<Finding> {
    let file = tempfile::NamedTempFile::new().unwrap();
    check(file.path(), lines).findings
}

#[test]
fn an_unharmed_log_is_sound_up_to_its_head() {
    let (lines, head) = log();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), lines.concat()).unwrap();
    let report = verify(file.path(), Some(&head)).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.summary.records, 50);
    assert_eq!(report.summary.head, Some(head));
    assert_eq!(report.summary.layers[&Layer::Host], 48);
    assert_eq!(report.summary.decisions[&Decision::Denied], 48);
    assert!(report.summary.closed);
}

/// A flip that keeps a letter a letter, one that changes its case, and one that makes it no text at all.
///
/// In a release build all three in every byte of the 50 records: 70,000 verifications. Otherwise, by
/// turns, one in every byte of five of them: the first two, one in the middle, the last two.
#[test]
fn f1_every_flipped_byte_is_found_on_its_line() {
    let (lines, _) = log();
    let text = lines.concat();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let text = &text;
            scope.spawn(move || {
                let file = tempfile::NamedTempFile::new().unwrap();
                for at in (thread..text.len()).step_by(threads) {
                    let line = 1 + text[..at].iter().filter(|b| **b == b'\n').count() as u64;
                    if cfg!(debug_assertions) && !matches!(line, 1 | 2 | 25 | 49 | 50) {
                        continue;
                    }
                    for (turn, flip) in [0x01, 0x20, 0x80].into_iter().enumerate() {
                        if !cfg!(debug_assertions) || at / threads % 3 == turn {
                            flip_byte(file.path(), text, line, at, flip);
                        }
                    }
                }
            });
        }
    });
}

fn flip_byte(file: &Path, text: &[u8], line: u64, at: usize, flip: u8) {
    let mut changed = text.to_vec();
    changed[at] ^= flip;
    fs::write(file, &changed).unwrap();
    let report = verify(file, None).unwrap();
    let found = report.findings.iter().any(|finding| match finding {
        Finding::Changed { line: at, seq } => *at == line && *seq == line - 1,
        Finding::Unreadable { line: at, .. } => *at == line,
        Finding::TornTail { .. } => at == text.len() - 1,
        _ => false,
    });
    assert!(found, "byte {at} ^ {flip:#x} on line {line}: {:?}", report.findings);
    // A newline where none was makes two unreadable lines of one.
    assert!(report.found <= 2, "byte {at} ^ {flip:#x}: {:?}", report.findings);
}

#[test]
fn f1_a_deleted_record_is_located() {
    let (lines, _) = log();
    for gone in 0..49 {
        let mut edited = lines.clone();
        edited.remove(gone);
        let seq = gone as u64;
        assert_eq!(findings(&edited), [Finding::Deleted { first: seq, last: seq, line: seq + 1 }]);
    }
}

#[test]
fn f1_deleted_ranges_are_located() {
    let (mut lines, _) = log();
    lines.drain(30..40);
    lines.drain(5..8);
    let expected =
        [Finding::Deleted { first: 5, last: 7, line: 6 }, Finding::Deleted { first: 30, last: 39, line: 28 }];
    assert_eq!(findings(&lines), expected);
}

#[test]
fn f1_a_duplicated_record_is_located() {
    let (lines, _) = log();
    for twice in 0..50 {
        for place in [twice + 1, 50] {
            let mut edited = lines.clone();
            edited.insert(place, lines[twice].clone());
            let line = place as u64 + 1;
            let (seq, original) = (twice as u64, twice as u64 + 1);
            assert_eq!(findings(&edited), [Finding::Duplicated { line, seq, original }]);
        }
    }
}

#[test]
fn f1_swapped_records_are_located() {
    let (lines, _) = log();
    for first in 0..49 {
        let mut edited = lines.clone();
        edited.swap(first, first + 1);
        let found = findings(&edited);
        let [Finding::Reordered { line, .. }] = found[..] else { panic!("{first}: {found:?}") };
        assert!(line == first as u64 + 1 || line == first as u64 + 2, "{first}: {found:?}");
    }
    let mut edited = lines;
    edited.swap(3, 40);
    let seqs: Vec<u64> = findings(&edited)
        .iter()
        .map(|finding| match finding {
            Finding::Reordered { seq, .. } => *seq,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(seqs, [40, 3]);
}

/// By default at every 97th place; at each where the suite runs at its full size.
#[test]
fn f1_every_edit_of_one_record_of_a_thousand_is_located() {
    const RECORDS: u64 = 1000;
    let (lines, _) = log_of(RECORDS);
    let (other, _) = log_of(RECORDS);
    let full = std::env::var("STOCKADE_CYCLES").is_ok_and(|size| size == "full");
    let edited = |edit: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut edited = lines.clone();
        edit(&mut edited);
        findings(&edited)
    };
    for place in (1..RECORDS - 2).step_by(if full { 1 } else { 97 }) {
        let (at, line) = (place as usize, place + 1);
        let found = edited(&|lines| drop(lines.remove(at)));
        assert_eq!(found, [Finding::Deleted { first: place, last: place, line }]);
        let found = edited(&|lines| lines.insert(at + 1, lines[at].clone()));
        assert_eq!(found, [Finding::Duplicated { line: line + 1, seq: place, original: line }]);
        let found = edited(&|lines| lines.insert(at, other[at].clone()));
        assert_eq!(found, [Finding::Inserted { line, seq: place }]);
        let found = edited(&|lines| lines.swap(at, at + 1));
        assert!(
            matches!(found[..], [Finding::Reordered { line: there, .. }] if there == line || there == line + 1),
            "{place}: {found:?}"
        );
        let resource = format!("/etc/{}", place - 1);
        let found = edited(&|lines| lines[at] = rehash(&lines[at], &resource, "/etc/none"));
        assert_eq!(found, [Finding::Rewritten { line: line + 1, seq: place + 1 }]);
    }
}

#[test]
fn f1_swapped_segments_are_located() {
    let (mut lines, _) = log();
    lines[10..30].rotate_left(15);
    let found = findings(&lines);
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found.iter().all(|finding| matches!(finding, Finding::Reordered { .. })), "{found:?}");
}

#[test]
fn f1_an_inserted_record_of_another_log_is_located() {
    let (lines, _) = log();
    let (other, _) = log();
    for place in 0..50 {
        for foreign in [0, 7, 49] {
            let mut edited = lines.clone();
            edited.insert(place, other[foreign].clone());
            let line = place as u64 + 1;
            assert_eq!(
                findings(&edited),
                [Finding::Inserted { line, seq: foreign as u64 }],
                "record {foreign} at line {line}"
            );
        }
    }
}

#[test]
fn f1_a_forged_record_with_a_right_hash_is_located() {
    let (lines, _) = log();
    // The forger takes record 20, changes it, and hashes it anew; then everything after it breaks off.
    let forged = rehash(&lines[20], "/etc/19", "/etc/00");
    let mut replaced = lines.clone();
    replaced[20] = forged.clone();
    assert_eq!(findings(&replaced), [Finding::Rewritten { line: 22, seq: 21 }]);
    let mut inserted = lines;
    inserted.insert(21, forged);
    assert_eq!(findings(&inserted), [Finding::Inserted { line: 22, seq: 20 }]);
}

#[test]
fn f1_a_log_of_another_genesis_is_refused() {
    let (mut lines, _) = log();
    let text = String::from_utf8(lines[0].clone()).unwrap();
    let id = text.split("\"log\":\"").nth(1).unwrap()[..32].to_owned();
    lines[0] = rehash(&lines[0], &id, &"0".repeat(32));
    let found = findings(&lines);
    assert!(found.iter().any(|finding| matches!(finding, Finding::Genesis { .. })), "{found:?}");
}

#[test]
fn f1_truncation_is_found_by_a_head_kept_elsewhere() {
    let (lines, head) = log();
    let file = tempfile::NamedTempFile::new().unwrap();
    for kept in 0..50 {
        fs::write(file.path(), lines[..kept].concat()).unwrap();
        let report = verify(file.path(), Some(&head)).unwrap();
        let last = kept.checked_sub(1).map(|last| last as u64);
        assert_eq!(report.findings, [Finding::Truncated { last, expected: head }]);
    }
}

#[test]
fn f1_a_log_begun_anew_is_found_by_a_head_kept_elsewhere() {
    let (_, head) = log();
    let (lines, _) = log();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), lines.concat()).unwrap();
    let report = verify(file.path(), Some(&head)).unwrap();
    assert!(matches!(report.findings[..], [Finding::OtherHead { .. }]), "{:?}", report.findings);
}

#[test]
fn f1_a_tail_cut_within_a_record_is_torn() {
    let (lines, _) = log();
    let text = lines.concat();
    let file = tempfile::NamedTempFile::new().unwrap();
    let begin = text.len() - lines[49].len();
    for cut in [begin + 1, begin + 100, text.len() - 1] {
        fs::write(file.path(), &text[..cut]).unwrap();
        let report = verify(file.path(), None).unwrap();
        let torn = Finding::TornTail { offset: begin as u64, bytes: (cut - begin) as u64 };
        assert_eq!(report.findings, [torn]);
    }
}

#[test]
fn f1_a_line_longer_than_any_record_is_found_without_reading_it_whole() {
    let (mut lines, _) = log();
    let mut long = vec![b'x'; 3 * stockade_audit::bounds::LINE];
    long.push(b'\n');
    lines.insert(10, long);
    let found = findings(&lines);
    assert!(matches!(found[..], [Finding::Unreadable { line: 11, .. }]), "{found:?}");
}

/// Changes a line and gives it the hash that it would have had.
fn rehash(line: &[u8], from: &str, to: &str) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let line = String::from_utf8(line.to_vec()).unwrap().replace(from, to);
    let body = &line[..line.len() - 1 - 75];
    let prev = &body[body.len() - 65..body.len() - 1];
    let prev: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&prev[2 * at..2 * at + 2], 16).unwrap()).collect();
    let hash = Sha256::new()
        .chain_update(b"stockade audit record v1\n")
        .chain_update(prev)
        .chain_update(body)
        .finalize();
    format!("{body},\"hash\":\"{hash:x}\"}}\n").into_bytes()
}

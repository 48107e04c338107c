//! A log in several files: rotation, compression, removal, another key, and what an auditor finds.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use stockade_audit::{
    AuditError, CheckpointPolicy, Copy, Decision, Finding, Head, Layer, Log, ManualClock, Moment, Options,
    Reader, Record, Report, Retention, SegmentPolicy, Sink, Trust, VerifierKey, prove_consistency,
    prove_inclusion, verify, verify_with,
};

struct Scratch {
    _state: tempfile::TempDir,
    dir: PathBuf,
}

fn scratch() -> Scratch {
    let state = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    Scratch { dir: state.path().join("audit"), _state: state }
}

fn refusal(call: u64) -> Record {
    Record::new(Layer::Host, "refused", Decision::Denied)
        .operation("fs.read")
        .resource("/etc/passwd")
        .call(call)
}

fn small() -> Options {
    Options {
        segments: SegmentPolicy { records: 10, compress: false, ..SegmentPolicy::default() },
        checkpoints: CheckpointPolicy { records: 4, ..CheckpointPolicy::default() },
        ..Options::default()
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("audit-") || name.as_str() == "removed")
        .collect();
    names.sort();
    names
}

fn append(log: &Log, count: u64) {
    for call in 0..count {
        log.append(&refusal(call)).unwrap();
    }
}

fn key(dir: &Path) -> VerifierKey {
    fs::read_to_string(dir.join("audit.vkey")).unwrap().trim().parse().unwrap()
}

fn trust(key: &VerifierKey) -> Trust {
    Trust { keys: vec![key.clone()], ..Trust::default() }
}

#[track_caller]
fn sound(dir: &Path, trust: &Trust) -> Report {
    let report = verify_with(dir, trust).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    report
}

fn findings(dir: &Path, trust: &Trust) -> Vec<String> {
    verify_with(dir, trust).unwrap().findings.iter().map(ToString::to_string).collect()
}

fn seqs(dir: &Path) -> Vec<u64> {
    Reader::open(dir).unwrap().map(|entry| entry.unwrap().seq).collect()
}

#[test]
fn a_log_rotates_and_is_one_log_for_every_reader() {
    let at = scratch();
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 35);
    let head = log.close().unwrap();
    drop(log);
    assert_eq!(
        names(&at.dir),
        [0, 11, 22].map(|first| format!("audit-{first:020}.jsonl")),
        "ten records and the one that ends the segment"
    );
    let report = sound(&at.dir, &Trust { head: Some(head), ..trust(&key(&at.dir)) });
    assert_eq!((report.summary.files, report.summary.head), (4, Some(head)));
    assert_eq!(report.signatures.signed, Some(head.seq + 1));
    assert_eq!(seqs(&at.dir), (0..=head.seq).collect::<Vec<_>>());
    for seq in [0, 10, 11, 25, head.seq] {
        assert_eq!(Reader::find(&at.dir, seq).unwrap().unwrap().seq, seq);
    }
    let mut end = Reader::open_at_end(&at.dir, 8000).unwrap();
    let first = end.next().unwrap().unwrap().seq;
    assert!(first > 10 && first < 33, "{first}: more than the current file has");
    assert_eq!(end.last().unwrap().unwrap().seq, head.seq);

    // It is gone on with, also after another start.
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 20);
    drop(log);
    assert_eq!(sound(&at.dir, &trust(&key(&at.dir))).summary.recoveries, 0);
}

#[test]
fn a_reader_goes_on_into_the_files_that_come_and_loses_none() {
    let at = scratch();
    let log = Log::open_with(&at.dir, small()).unwrap();
    let mut reader = Reader::open(&at.dir).unwrap();
    let mut read = Vec::new();
    for call in 0..50 {
        log.append(&refusal(call)).unwrap();
        if call % 7 == 0 {
            read.extend(reader.by_ref().map(|entry| entry.unwrap().seq));
        }
    }
    read.extend(reader.by_ref().map(|entry| entry.unwrap().seq));
    let head = log.head().unwrap();
    assert_eq!(read, (0..=head.seq).collect::<Vec<_>>());
}

#[test]
fn closed_segments_are_compressed_so_that_gzip_reads_them() {
    let at = scratch();
    let mut options = small();
    options.segments.compress = true;
    let log = Log::open_with(&at.dir, options).unwrap();
    append(&log, 35);
    log.tidy().unwrap();
    drop(log);
    assert!(names(&at.dir).iter().all(|name| name.ends_with(".jsonl.gz")), "{:?}", names(&at.dir));
    let report = sound(&at.dir, &trust(&key(&at.dir)));
    assert_eq!(seqs(&at.dir).len() as u64, report.summary.records);
    let first = at.dir.join(&names(&at.dir)[0]);
    let mut text = String::new();
    flate2::read::GzDecoder::new(File::open(&first).unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 11);

    // Damage of the compressed file is a finding in it, wherever it is.
    let bytes = fs::read(&first).unwrap();
    for place in [12, bytes.len() / 2, bytes.len() - 6] {
        let mut changed = bytes.clone();
        changed[place] ^= 0x10;
        fs::write(&first, &changed).unwrap();
        let found = findings(&at.dir, &Trust::default());
        assert!(
            found.iter().any(|text| text.starts_with("audit-00000000000000000000.jsonl.gz: ")),
            "{found:?}"
        );
    }
    fs::write(&first, &bytes[..bytes.len() / 2]).unwrap();
    assert!(!findings(&at.dir, &Trust::default()).is_empty());
}

/// What is done to the files, and what is found: the file, the line, the records.
#[test]
fn f1_whatever_is_done_to_segments_is_found_in_its_file_and_line() {
    let at = scratch();
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 45);
    drop(log);
    let names = names(&at.dir);
    let trust = trust(&key(&at.dir));
    let whole = Copy::read(&at.dir).unwrap();
    assert!(whole.verify(&trust).unwrap().is_sound());
    let lines = |copy: &Copy, name: &str| -> Vec<Vec<u8>> {
        copy.files[name].split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    let found = |change: &dyn Fn(&mut Copy)| -> Vec<String> {
        let mut copy = whole.clone();
        change(&mut copy);
        copy.verify(&trust).unwrap().findings.iter().map(ToString::to_string).collect()
    };
    let second = &names[1];

    let edit = |with: &dyn Fn(&mut Vec<Vec<u8>>)| {
        found(&|copy| {
            let mut edited = lines(copy, second);
            with(&mut edited);
            drop(copy.files.insert(second.clone(), edited.concat().into()));
        })
    };
    assert_eq!(
        edit(&|lines| lines[4] =
            String::from_utf8(lines[4].clone()).unwrap().replace("passwd", "shadow").into()),
        [format!("{second}: line 5: record 15 was changed")]
    );
    assert_eq!(
        edit(&|lines| drop(lines.remove(4))),
        [format!("{second}: before line 5: record 15 was deleted")]
    );
    assert_eq!(
        edit(&|lines| lines.insert(6, lines[2].clone())),
        [format!("{second}: line 7: record 13 of line 3 is there again")]
    );
    assert_eq!(edit(&|lines| lines.swap(3, 4)).len(), 1);
    assert_eq!(
        edit(&|lines| lines.truncate(8)),
        [format!("{}: before line 1: records 19 to 21 were deleted", names[2])]
    );
    assert_eq!(
        found(&|copy| drop(copy.files.remove(second))),
        [format!("{}: before line 1: records 11 to 21 were deleted", names[2])]
    );
    assert_eq!(
        found(&|copy| drop(copy.files.remove(&names[0]))),
        [format!("{second}: before line 1: records 0 to 10 were deleted")]
    );
    let swapped = found(&|copy| {
        let (a, b) = (copy.files[&names[1]].clone(), copy.files[&names[2]].clone());
        copy.files.insert(names[1].clone(), b);
        copy.files.insert(names[2].clone(), a);
    });
    assert!(swapped.iter().any(|text| text.contains("was moved")), "{swapped:?}");
    assert!(swapped.iter().any(|text| text.contains("its name says another")), "{swapped:?}");
    let cut = found(&|copy| {
        let kept = lines(copy, second)[..5].concat();
        copy.files.insert(second.clone(), kept[..kept.len() - 20].into());
    });
    assert!(cut[0].starts_with(&format!("{second}: line 5 (byte ")), "{cut:?}");
    // Later files taken away, and an earlier one put in the place of the current: an older copy of the log.
    let older = found(&|copy| {
        let earlier = copy.files.remove(&names[2]).unwrap();
        copy.files.insert("audit.jsonl".into(), earlier);
        names[3..].iter().for_each(|name| drop(copy.files.remove(name)));
    });
    assert!(older.iter().any(|text| text.contains("cut off, or is an older copy")), "{older:?}");
    // A copy of an older time with its own checkpoints is shown by what was kept.
    let mut older = whole.clone();
    let earlier = older.files.remove(&names[2]).unwrap();
    older.files.insert("audit.jsonl".into(), earlier);
    names[3..].iter().for_each(|name| drop(older.files.remove(name)));
    let text = String::from_utf8(older.files["checkpoints"].to_vec()).unwrap();
    let entries: Vec<&str> = text.split_inclusive("\n\n").collect();
    let sizes: Vec<u64> =
        entries.chunks(2).map(|entry| entry[0].lines().nth(1).unwrap().parse().unwrap()).collect();
    let kept = sizes.iter().filter(|size| **size <= 33).count();
    older.files.insert("checkpoints".into(), entries[..kept * 2].concat().into_bytes().into());
    assert!(older.verify(&trust).unwrap().is_sound());
    let last = whole.verify(&trust).unwrap().signatures.last.unwrap();
    let with_kept = Trust { checkpoints: vec![last], ..trust.clone() };
    let report = older.verify(&with_kept).unwrap();
    assert!(
        matches!(&report.findings[..], [Finding::Kept(finding)] if matches!(**finding, Finding::CutOff { .. })),
        "{:?}",
        report.findings
    );
    assert_eq!(whole.verify(&with_kept).unwrap().signatures.kept, 1);
}

/// By default every 997th byte; all of them where the suite runs at its full size.
#[test]
fn f1_every_flipped_byte_of_a_thousand_records_in_segments_is_found_on_its_line() {
    let at = scratch();
    let log = Log::open_with(
        &at.dir,
        Options {
            segments: SegmentPolicy { records: 300, compress: false, ..SegmentPolicy::default() },
            floods: stockade_audit::FloodLimits { burst: u32::MAX, ..Default::default() },
            ..Options::default()
        },
    )
    .unwrap();
    append(&log, 1000);
    drop(log);
    let trust = trust(&key(&at.dir));
    let whole = Copy::read(&at.dir).unwrap();
    assert!(whole.verify(&trust).unwrap().is_sound());
    let full = std::env::var("STOCKADE_CYCLES").is_ok_and(|size| size == "full");
    let step = if full { 1 } else { 9973 };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for (name, bytes) in whole.files.iter().filter(|(name, _)| name.ends_with(".jsonl")) {
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (whole, trust) = (&whole, &trust);
                scope.spawn(move || {
                    for place in (thread * step..bytes.len()).step_by(step * threads) {
                        is_found(whole, trust, name, bytes, place);
                    }
                });
            }
        });
    }
    let bytes = |name: &str| whole.files[name].len();
    let all: usize = whole.files.keys().filter(|name| name.ends_with(".jsonl")).map(|name| bytes(name)).sum();
    println!("{} of {all} bytes flipped, each found on its line", all.div_ceil(step));
}

/// Flips something in the byte at `place` of the file: the line that it is on is named.
fn is_found(whole: &Copy, trust: &Trust, name: &str, bytes: &[u8], place: usize) {
    let mut changed = bytes.to_vec();
    changed[place] ^= [0x01, 0x20, 0x80][place % 3];
    let mut copy = whole.clone();
    copy.files.insert(name.to_owned(), changed.into());
    let report = copy.verify(trust).unwrap();
    let line = 1 + bytes[..place].iter().filter(|byte| **byte == b'\n').count();
    let here = |finding: &Finding| {
        let text = finding.to_string();
        let text = text.strip_prefix(&format!("{name}: ")).unwrap_or(&text);
        text.starts_with(&format!("line {line}:"))
            || text.starts_with(&format!("line {line} "))
            || (place == bytes.len() - 1 && text.starts_with("byte "))
    };
    assert!(report.findings.iter().any(here), "{name} byte {place} line {line}: {:?}", report.findings);
}

#[test]
fn f1_a_log_written_anew_with_right_hashes_is_found_by_its_checkpoints() {
    // Whoever has the file but not the key can make a chain that holds, of the same name.
    let at = scratch();
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 5);
    let note = log.checkpoint().unwrap();
    append(&log, 2);
    drop(log);
    let genuine = key(&at.dir);
    let text = fs::read_to_string(at.dir.join("audit.jsonl")).unwrap();
    let forged = rewrite(&text, "/etc/passwd", "/etc/nothing");
    fs::write(at.dir.join("audit.jsonl"), &forged).unwrap();
    let found = verify_with(&at.dir, &trust(&genuine)).unwrap().findings;
    assert!(matches!(found[..], [Finding::OtherRoot { after: 1, .. }]), "{found:?}");
    // With the checkpoints made anew too, by another key: the key from elsewhere shows it.
    for file in ["audit.key", "audit.vkey", "checkpoints"] {
        fs::remove_file(at.dir.join(file)).unwrap();
    }
    drop(Log::open(&at.dir).unwrap());
    assert!(verify(&at.dir, None).unwrap().is_sound(), "a forger's own word is sound");
    let found = verify_with(&at.dir, &trust(&genuine)).unwrap().findings;
    assert!(matches!(found[..], [Finding::Unsigned { .. }]), "{found:?}");
    let kept = Trust { checkpoints: vec![note], ..trust(&genuine) };
    let found = verify_with(&at.dir, &kept).unwrap().findings;
    assert!(
        found.iter().any(|finding| finding.to_string().starts_with("a checkpoint kept elsewhere: the first"))
    );
}

/// Changes every line and hashes the whole chain anew, as whoever can write the file would.
fn rewrite(text: &str, from: &str, to: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut out = String::new();
    let mut last: Option<String> = None;
    for line in text.lines() {
        let body = &line.replace(from, to)[..line.replace(from, to).len() - 75];
        let (head, prev) = body.split_at(body.len() - 65);
        let prev = last.unwrap_or_else(|| prev[..64].to_owned());
        let bytes: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&prev[2 * at..2 * at + 2], 16).unwrap()).collect();
        let body = format!("{head}{prev}\"");
        let hash = Sha256::new()
            .chain_update(b"stockade audit record v1\n")
            .chain_update(bytes)
            .chain_update(&body)
            .finalize();
        out.push_str(&format!("{body},\"hash\":\"{hash:x}\"}}\n"));
        last = Some(format!("{hash:x}"));
    }
    out
}

#[test]
fn f1_changed_dropped_foreign_and_reordered_checkpoints_are_found() {
    let at = scratch();
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 5);
    log.checkpoint().unwrap();
    append(&log, 3);
    drop(log);
    let key = key(&at.dir);
    let file = at.dir.join("checkpoints");
    let text = fs::read_to_string(&file).unwrap();
    let found = |text: &str| {
        fs::write(&file, text).unwrap();
        findings(&at.dir, &trust(&key))
    };
    assert_eq!(found(&text), [""; 0]);
    // A signature of another text.
    let sign = text.find("— ").unwrap();
    let blank = text[sign..].find(' ').unwrap();
    let changed = {
        let mut text = text.clone();
        let at = sign + blank + 60;
        let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        text.replace_range(at..=at, other);
        text
    };
    let said = found(&changed);
    assert!(said.iter().any(|text| text.contains("signature") || text.contains("base64")), "{said:?}");
    assert!(found("").iter().any(|text| text.contains("none of 0 checkpoints")));
    let entries: Vec<&str> = text.split_inclusive("\n\n").collect();
    let reordered = [&entries[2..], &entries[..2]].concat().concat();
    assert!(found(&reordered).iter().any(|text| text.contains("the log was set back")));
    let other = scratch();
    drop(Log::open(&other.dir).unwrap());
    let foreign = fs::read_to_string(other.dir.join("checkpoints")).unwrap();
    assert!(found(&format!("{text}{foreign}")).iter().any(|text| text.contains("is of another log")));
    assert!(found(&text.replacen("stockade/", "stockade\t", 1)).iter().any(|text| text.contains("control")));
}

#[test]
fn a_new_key_is_followed_from_the_first_and_no_other_is() {
    let at = scratch();
    let log = Log::open_with(&at.dir, small()).unwrap();
    let first = log.verifier_key().unwrap();
    append(&log, 5);
    let second = log.change_key().unwrap();
    append(&log, 5);
    let third = log.change_key().unwrap();
    append(&log, 5);
    drop(log);
    assert_eq!(key(&at.dir), third);
    assert_ne!(first, second);
    let report = sound(&at.dir, &trust(&first));
    assert_eq!((report.signatures.key_changes, report.signatures.key), (2, Some(third.clone())));
    assert_eq!(sound(&at.dir, &trust(&third)).signatures.key_changes, 0);
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 2);
    drop(log);
    sound(&at.dir, &trust(&first));
    // A key that nobody led to: the file of the key was replaced.
    fs::write(at.dir.join("audit.key"), [7; 32]).unwrap();
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 2);
    drop(log);
    let found = findings(&at.dir, &trust(&first));
    assert!(found.iter().any(|text| text.contains("a key that no known key leads to")), "{found:?}");
    let lost =
        Reader::open(&at.dir).unwrap().filter(|entry| entry.as_ref().unwrap().record.event == "key-lost");
    assert_eq!(lost.count(), 1);
    let both = Trust { keys: vec![first, key(&at.dir)], ..Trust::default() };
    sound(&at.dir, &both);
}

#[test]
fn what_retention_removes_is_proven_and_what_else_is_missing_is_found() {
    let at = scratch();
    let options =
        || Options { retention: Retention { segments: Some(2), ..Retention::default() }, ..small() };
    let log = Log::open_with(&at.dir, options()).unwrap();
    let first = log.verifier_key().unwrap();
    append(&log, 5);
    let early = log.checkpoint().unwrap();
    append(&log, 20);
    log.change_key().unwrap();
    append(&log, 30);
    let late = log.checkpoint().unwrap();
    log.tidy().unwrap();
    append(&log, 3);
    log.close().unwrap();
    drop(log);
    assert_eq!(names(&at.dir).len(), 3, "two segments and the statement: {:?}", names(&at.dir));
    let report = sound(&at.dir, &Trust { checkpoints: vec![late], ..trust(&first) });
    let removed = report.summary.removed.clone().unwrap();
    assert_eq!((removed.first, removed.rule.as_deref()), (0, Some("at most 2 segments")));
    assert_eq!(report.summary.first.unwrap().0, removed.last + 1);
    let found = findings(&at.dir, &Trust { checkpoints: vec![early], ..trust(&first) });
    assert!(found[0].contains("cannot be compared"), "{found:?}");
    // Proofs of what is left need nothing of what is gone.
    let proof = prove_inclusion(&at.dir, removed.last + 3, None).unwrap();
    proof.verify(&key(&at.dir)).unwrap();
    assert!(matches!(prove_inclusion(&at.dir, 3, None), Err(AuditError::Proof { .. })));
    // It is gone on with after another start, from the checkpoints and without them.
    drop(Log::open_with(&at.dir, options()).unwrap());
    let checkpoints = fs::read(at.dir.join("checkpoints")).unwrap();
    sound(&at.dir, &trust(&first));

    // A segment more is missing than the record and the statement say.
    let oldest = names(&at.dir).into_iter().find(|name| name.starts_with("audit-")).unwrap();
    let kept = fs::read(at.dir.join(&oldest)).unwrap();
    fs::remove_file(at.dir.join(&oldest)).unwrap();
    let found = findings(&at.dir, &trust(&first));
    assert!(found.iter().any(|text| text.contains("were deleted")), "{found:?}");
    fs::write(at.dir.join(&oldest), kept).unwrap();
    // The statement made of a later checkpoint, by somebody without a key, is not covered by a record.
    let statement = fs::read(at.dir.join("removed")).unwrap();
    let next: u64 = names(&at.dir)[1][6..26].parse().unwrap();
    let text = String::from_utf8(checkpoints).unwrap();
    let entries: Vec<&str> = text.split_inclusive("\n\n").collect();
    let entry = entries.chunks(2).find(|entry| entry[0].lines().nth(1) == Some(&next.to_string())).unwrap();
    fs::write(at.dir.join("removed"), entry.concat()).unwrap();
    let found = findings(&at.dir, &trust(&first));
    assert!(found.iter().any(|text| text.contains("no record says that they were removed")), "{found:?}");
    fs::write(at.dir.join("removed"), statement).unwrap();
    fs::remove_file(at.dir.join("removed")).unwrap();
    let found = findings(&at.dir, &trust(&first));
    assert!(found.iter().any(|text| text.contains("records 0 to")), "{found:?}");
}

#[test]
fn retention_by_bytes_and_by_age_keeps_what_is_within() {
    let at = scratch();
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 45);
    drop(log);
    let sizes: Vec<u64> =
        names(&at.dir).iter().map(|name| fs::metadata(at.dir.join(name)).unwrap().len()).collect();
    let bytes = sizes[sizes.len() - 2..].iter().sum::<u64>() + 1;
    let retention = Retention { bytes: Some(bytes), ..Retention::default() };
    let log = Log::open_with(&at.dir, Options { retention, ..small() }).unwrap();
    log.tidy().unwrap();
    drop(log);
    assert_eq!(names(&at.dir).iter().filter(|name| name.starts_with("audit-")).count(), 2);
    sound(&at.dir, &trust(&key(&at.dir)));

    let clock = ManualClock::at(Moment { seconds: 4_000_000_000, nanos: 0, monotonic: 1 << 50 });
    let retention = Retention { age: Some(Duration::from_secs(86_400)), ..Retention::default() };
    let options = Options { retention, clock: Box::new(clock), ..small() };
    let log = Log::open_with(&at.dir, options).unwrap();
    log.tidy().unwrap();
    drop(log);
    assert_eq!(names(&at.dir), ["removed"]);
    sound(&at.dir, &trust(&key(&at.dir)));
}

#[test]
fn a_log_of_one_file_without_checkpoints_is_read_and_gone_on_with() {
    let at = scratch();
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 7);
    drop(log);
    for file in ["audit.key", "audit.vkey", "checkpoints"] {
        fs::remove_file(at.dir.join(file)).unwrap();
    }
    let report = sound(&at.dir, &Trust::default());
    assert_eq!((report.signatures.checkpoints, report.signatures.signed), (0, None));
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 20);
    drop(log);
    let report = sound(&at.dir, &trust(&key(&at.dir)));
    assert_eq!(report.signatures.signed, Some(report.summary.records));
}

#[test]
fn f4_a_log_whose_current_file_is_gone_is_not_begun_anew() {
    let at = scratch();
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 25);
    fs::rename(at.dir.join("audit.jsonl"), at.dir.join("audit.jsonl.1")).unwrap();
    assert!(matches!(log.sync(), Err(AuditError::Replaced { .. })));
    assert!(matches!(log.rotate(), Err(AuditError::Replaced { .. })));
    drop(log);
    assert!(matches!(Log::open(&at.dir), Err(AuditError::Replaced { .. })));
    File::create(at.dir.join("audit.jsonl")).unwrap();
    assert!(matches!(Log::open(&at.dir), Err(AuditError::Unsound { .. })));
    fs::remove_file(at.dir.join("audit.jsonl")).unwrap();
    fs::rename(at.dir.join("audit.jsonl.1"), at.dir.join("audit.jsonl")).unwrap();
    drop(Log::open(&at.dir).unwrap());
    sound(&at.dir, &trust(&key(&at.dir)));
}

#[test]
fn f10_a_second_writer_is_refused_after_a_rotation_too() {
    let at = scratch();
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 25);
    assert!(matches!(Log::open(&at.dir), Err(AuditError::Locked { .. })));
    drop(log);
}

#[test]
fn f4_a_rotation_that_fails_is_recorded_and_the_log_goes_on_in_its_file() {
    let at = scratch();
    let log = Log::open_with(&at.dir, small()).unwrap();
    // Somebody has taken the name that the segment would get.
    fs::create_dir(at.dir.join(format!("audit-{:020}.jsonl", 0))).unwrap();
    append(&log, 25);
    fs::remove_dir(at.dir.join(format!("audit-{:020}.jsonl", 0))).unwrap();
    drop(log);
    let failed: Vec<_> = Reader::open(&at.dir)
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.record.event == "rotation-failed")
        .collect();
    assert_eq!(failed.len(), 1);
    sound(&at.dir, &trust(&key(&at.dir)));
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 5);
    drop(log);
    assert_eq!(names(&at.dir).len(), 1, "tried again");
    sound(&at.dir, &trust(&key(&at.dir)));
}

#[test]
fn proofs_are_made_from_the_files_hold_by_themselves_and_for_nothing_else() {
    let at = scratch();
    let log = Log::open_with(&at.dir, small()).unwrap();
    append(&log, 13);
    let early = log.checkpoint().unwrap();
    append(&log, 20);
    drop(log);
    let key = key(&at.dir);
    let records = sound(&at.dir, &trust(&key)).summary.records;
    for seq in [0, 1, 10, 11, 12, records - 1] {
        let proof = prove_inclusion(&at.dir, seq, None).unwrap();
        let text = serde_json::to_string(&proof).unwrap();
        let read: stockade_audit::InclusionProof = serde_json::from_str(&text).unwrap();
        assert_eq!(read.verify(&key).unwrap().size, records);
        let mut other = read.clone();
        other.index = (seq + 1) % records;
        assert!(other.verify(&key).is_err());
        let mut other = read.clone();
        other.record = other.record.replace("\"v\":1", "\"v\": 1");
        assert!(other.verify(&key).is_err());
        let mut other = read;
        other.note = early.clone();
        assert!(other.verify(&key).is_err());
    }
    let proof = prove_consistency(&at.dir, &early, None).unwrap();
    let (old, new) = proof.verify(&key).unwrap();
    assert!(old.size < new.size && new.size == records);
    let mut other = proof.clone();
    std::mem::swap(&mut other.old, &mut other.new);
    assert!(other.verify(&key).is_err());
    assert!(prove_inclusion(&at.dir, records, None).is_err());
    // Of a log that was changed no proof is made.
    let file = at.dir.join(&names(&at.dir)[0]);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("passwd", "shadow", 1)).unwrap();
    assert!(matches!(prove_inclusion(&at.dir, records - 1, None), Err(AuditError::Proof { .. })));
    assert!(matches!(prove_consistency(&at.dir, &early, None), Err(AuditError::Proof { .. })));
}

/// Hands what it gets to the test, and fails where it is told to.
struct Told(mpsc::Sender<String>, bool);

impl Sink for Told {
    fn name(&self) -> String {
        "told".into()
    }

    fn deliver(&mut self, note: &str) -> std::io::Result<()> {
        let _ = self.0.send(note.to_owned());
        if std::mem::take(&mut self.1) { Err(std::io::Error::other("not now")) } else { Ok(()) }
    }
}

#[test]
fn sinks_get_the_checkpoints_and_their_failures_are_records() {
    let at = scratch();
    let (sender, notes) = mpsc::channel();
    let options = Options { sinks: vec![Box::new(Told(sender, true))], ..small() };
    let log = Log::open_with(&at.dir, options).unwrap();
    notes.recv().unwrap();
    append(&log, 3);
    let last = log.checkpoint().unwrap();
    assert_eq!(notes.recv().unwrap(), last);
    append(&log, 1);
    let head: Head = log.close().unwrap();
    let end = notes.iter().last().unwrap();
    assert!(end.contains(&format!("head {head}")), "{end}");
    let failed =
        Reader::open(&at.dir).unwrap().filter(|entry| entry.as_ref().unwrap().record.event == "sink-failed");
    assert_eq!(failed.count(), 1);
    sound(&at.dir, &Trust { checkpoints: vec![last, end], ..trust(&key(&at.dir)) });
}

#[test]
fn a_signature_is_what_openssl_takes_for_one() {
    use base64::Engine as _;
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    let note = log.checkpoint().unwrap();
    let key = log.verifier_key().unwrap();
    drop(log);
    let (text, signature) = note.split_once("\n\n").unwrap();
    let signature = signature.trim().rsplit(' ').next().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(signature).unwrap();
    // RFC 8410: what stands before the key in a SubjectPublicKeyInfo.
    let der = [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], key.as_bytes()]
        .concat();
    let file = |name: &str, bytes: &[u8]| {
        let path = at.dir.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let (der, signature, text) =
        (file("key.der", &der), file("signature", &bytes[4..]), file("text", format!("{text}\n").as_bytes()));
    let run = std::process::Command::new("openssl")
        .args(["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin", "-inkey"])
        .arg(der)
        .arg("-sigfile")
        .arg(signature)
        .arg("-in")
        .arg(text)
        .output();
    match run {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => println!("SKIPPED: a_signature_is_what_openssl_takes_for_one: openssl: {error}"),
    }
}

//! The index finds what a scan finds, keeps up with the log, and cannot make anything up.

mod sample;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use stockade_audit::{Decision, Layer, Log, Options, Plugin, Record, Retention, SegmentPolicy};
use stockade_auditor::{
    Auditor, AuditorError, Filter, Freshness, Index, Lookup, Pattern, Question, Source, When,
};

fn refused(name: &str, resource: &str) -> Record {
    Record::new(Layer::Host, "refused", Decision::Denied)
        .plugin(&Plugin::new(name.to_owned(), "1.0.0", "ab".repeat(32), "node").shared())
        .launch(format!("{name}-1"))
        .operation("fs.read")
        .resource(resource.to_owned())
        .rule("default-deny:fs.read", "built-in")
        .detail("trace", format!("{name}.1"))
}

struct Scratch {
    _state: tempfile::TempDir,
    dir: PathBuf,
    index: PathBuf,
}

fn scratch() -> Scratch {
    let state = tempfile::tempdir().unwrap();
    Scratch { dir: state.path().join("audit"), index: state.path().join("test.index"), _state: state }
}

fn auditor(at: &Scratch) -> Auditor {
    Auditor::open(&at.dir, &Lookup::At(at.index.clone())).unwrap()
}

fn open(at: &Scratch) -> (Index, Freshness) {
    Index::open(&at.index, &Source::open(&at.dir).unwrap()).unwrap()
}

fn seqs(auditor: &Auditor, filter: &Filter, reverse: bool, limit: Option<usize>) -> Vec<u64> {
    let mut seqs = Vec::new();
    let question = Question { filter: filter.clone(), reverse, limit };
    auditor
        .find(&question, &mut |located| {
            seqs.push(located.entry.seq);
            Ok(())
        })
        .unwrap();
    seqs
}

fn exact(text: &str) -> Option<Pattern> {
    Some(Pattern::Exact(text.to_owned()))
}

fn prefix(text: &str) -> Option<Pattern> {
    Some(Pattern::Prefix(text.to_owned()))
}

/// Filters of every field, alone and together, whose answers are between nothing and everything.
fn filters() -> Vec<Filter> {
    let none = Filter::default;
    let second = |second: i64| {
        let time = time::OffsetDateTime::from_unix_timestamp(1_795_860_000 + second).unwrap();
        Some(When::of(time))
    };
    vec![
        none(),
        Filter { plugin: exact("acme/deps"), ..none() },
        Filter { plugin: prefix("acme/"), decisions: vec![Decision::Denied, Decision::Killed], ..none() },
        Filter { plugin: exact("nobody"), ..none() },
        Filter { plugin: exact("nobody"), launch: Some("0192f0c1-2".into()), since: second(1), ..none() },
        Filter { event: exact("flood"), operation: exact("none"), resource: prefix("/"), ..none() },
        Filter { digest: prefix("5f2c"), event: exact("refused"), ..none() },
        Filter { layers: vec![Layer::Seccomp, Layer::Sigsys], ..none() },
        Filter { layers: vec![Layer::Log], event: exact("flood"), ..none() },
        Filter { operation: prefix("fs."), ..none() },
        Filter { resource: exact("/etc/shadow"), ..none() },
        Filter { resource: prefix("GET https://"), ..none() },
        Filter { resource: prefix(""), ..none() },
        Filter { resource: exact(""), ..none() },
        Filter { resource: prefix("GET http://169.254.169.254/latest/meta-data/iam/"), ..none() },
        Filter { rule: prefix("default-deny:"), plugin: prefix("acme/a"), ..none() },
        Filter { launch: Some("0192f0c1-2".into()), ..none() },
        Filter { launch: Some("0192f0c1-5".into()), call: Some(1), ..none() },
        Filter { call: Some(5), ..none() },
        Filter { trace: Some("6d1f00aa.9".into()), ..none() },
        Filter { trace: Some("none".into()), ..none() },
        Filter { since: second(1), ..none() },
        Filter { until: second(2), decisions: vec![Decision::Denied], ..none() },
        Filter { since: second(1), until: second(31), layers: vec![Layer::Host], ..none() },
        Filter { since: second(100_000), ..none() },
    ]
}

#[test]
fn every_filter_finds_by_index_what_it_finds_by_scan() {
    let sample = sample::sample();
    let state = tempfile::tempdir().unwrap();
    let by_index = Auditor::open(&sample.dir, &Lookup::At(state.path().join("i"))).unwrap();
    let by_scan = Auditor::open(&sample.dir, &Lookup::Scan).unwrap();
    let mut answers = 0;
    for filter in filters() {
        for reverse in [false, true] {
            for limit in [None, Some(1), Some(3)] {
                let found = seqs(&by_index, &filter, reverse, limit);
                assert_eq!(found, seqs(&by_scan, &filter, reverse, limit), "{filter:?} {reverse} {limit:?}");
                answers += usize::from(!found.is_empty());
            }
        }
    }
    assert!(answers > 80, "{answers}");
    assert!(sample.at["flood"] > 100, "the log has a flood to be found");
}

#[test]
fn an_index_keeps_up_with_the_log() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    log.append(&refused("a", "/x")).unwrap();
    assert_eq!(open(&at).1, Freshness::New);
    assert_eq!(open(&at).1, Freshness::Current);
    log.append(&refused("b", "/y")).unwrap();
    log.append(&refused("a", "/z")).unwrap();
    let (index, freshness) = open(&at);
    assert_eq!((freshness, index.records()), (Freshness::Behind(2), 4));
    let filter = Filter { plugin: exact("a"), ..Filter::default() };
    assert_eq!(seqs(&auditor(&at), &filter, false, None), [1, 3]);
    drop(log);
    assert_eq!(open(&at).1, Freshness::Behind(1));
    let found = open(&at).0.check(&Source::open(&at.dir).unwrap()).unwrap();
    assert_eq!((found.hidden, found.invented), (0, 0));
}

/// A log that goes on in new files, compresses them and removes the oldest is the same log to its index.
#[test]
fn an_index_outlives_rotation_compression_and_removal() {
    let at = scratch();
    let options = |segments| Options {
        segments: SegmentPolicy { records: 20, ..SegmentPolicy::default() },
        retention: Retention { segments, ..Retention::default() },
        ..Options::default()
    };
    let log = Log::open_with(&at.dir, options(None)).unwrap();
    let append = |log: &Log, names: [&str; 2]| {
        for number in 0..50 {
            log.append(&refused(names[number % 2], &format!("/{number}"))).unwrap();
        }
    };
    append(&log, ["a", "b"]);
    assert_eq!(open(&at).1, Freshness::New);
    append(&log, ["a", "c"]);
    log.tidy().unwrap();
    assert!(matches!(open(&at).1, Freshness::Behind(_)));
    drop(log);
    let log = Log::open_with(&at.dir, options(Some(6))).unwrap();
    log.tidy().unwrap();
    append(&log, ["d", "a"]);
    log.tidy().unwrap();
    // Nothing goes while it is looked at.
    drop(log);
    let count = |ending: &str| {
        let names = fs::read_dir(&at.dir).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().ends_with(ending)).count()
    };
    assert!(count(".gz") > 0 && at.dir.join("removed").exists(), "some is compressed, and some gone");
    let (index, freshness) = open(&at);
    assert!(matches!(freshness, Freshness::Behind(_)), "{freshness:?}");
    let found = index.check(&Source::open(&at.dir).unwrap()).unwrap();
    assert_eq!((found.hidden, found.invented), (0, 0), "{found:?}");
    let scan = Auditor::open(&at.dir, &Lookup::Scan).unwrap();
    for name in ["a", "b", "c", "d"] {
        let filter = Filter { plugin: exact(name), ..Filter::default() };
        for reverse in [false, true] {
            assert_eq!(
                seqs(&auditor(&at), &filter, reverse, None),
                seqs(&scan, &filter, reverse, None),
                "{name}"
            );
        }
    }
    let first = scan.source.first().unwrap().unwrap().entry.seq;
    assert_eq!(auditor(&at).record(first).unwrap().entry.seq, first);
    assert!(matches!(auditor(&at).record(first - 1), Err(AuditorError::NoRecord(_))));
    // Once most of it is gone, what is left is put in anew.
    let log = Log::open_with(&at.dir, options(Some(6))).unwrap();
    append(&log, ["e", "e"]);
    append(&log, ["e", "f"]);
    log.tidy().unwrap();
    drop(log);
    assert!(matches!(open(&at).1, Freshness::Rebuilt(_)), "most of what it had is gone");
}

#[test]
fn an_index_that_grew_in_steps_is_the_index_that_was_built_at_once() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    for number in 0..120 {
        // Past the limits of floods, so that spans and kinds of both ways are compared.
        log.append(&refused(&format!("p{}", number % 7), &format!("/{}", number % 11))).unwrap();
        if number % 40 == 0 {
            drop(open(&at));
        }
    }
    drop(log);
    let grown = rows(&open(&at).0);
    fs::remove_file(&at.index).unwrap();
    let built = rows(&open(&at).0);
    assert_eq!(grown, built);
}

/// Everything in an index, without the numbers that are its own business.
fn rows(index: &Index) -> Vec<String> {
    let db = Connection::open(index.path()).unwrap();
    let mut all = Vec::new();
    for sql in [
        "SELECT n||' '||seq||' '||file||' '||offset||' '||second||' '||ifnull(launch,'-')||' '||ifnull(trace,'-')||' '
            ||ifnull((SELECT head FROM heads h WHERE h.id=head),'-') FROM records ORDER BY n",
        "SELECT ifnull(plugin,'-')||layer||event||operation||decision||count FROM kinds ORDER BY 1",
        "SELECT first||' '||last||' '||early||' '||late FROM spans ORDER BY first",
        "SELECT key||'='||value FROM meta ORDER BY key",
    ] {
        let mut statement = db.prepare(sql).unwrap();
        all.extend(statement.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap));
    }
    assert!(all.len() > 100);
    all
}

#[test]
fn an_index_of_another_log_is_seen_and_built_anew() {
    let (one, two) = (scratch(), scratch());
    for at in [&one, &two] {
        let log = Log::open(&at.dir).unwrap();
        log.append(&refused("a", "/x")).unwrap();
    }
    drop(open(&one));
    fs::copy(&one.index, &two.index).unwrap();
    let source = Source::open(&two.dir).unwrap();
    assert!(Index::status(&two.index, &source).unwrap().unwrap().foreign.is_some());
    assert!(matches!(open(&two).1, Freshness::Rebuilt(_)));
    assert_eq!(open(&two).1, Freshness::Current);
}

#[test]
fn a_log_that_was_written_anew_makes_its_index_anew() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    for _ in 0..20 {
        log.append(&refused("a", "/x")).unwrap();
    }
    drop(log);
    drop(open(&at));
    let file = at.dir.join("audit.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    // Cut off.
    let cut: String = text.lines().take(10).map(|line| format!("{line}\n")).collect();
    fs::write(&file, &cut).unwrap();
    assert!(matches!(open(&at).1, Freshness::Rebuilt(_)));
    // The last record exchanged for another of the same length.
    fs::write(&file, cut.replacen("\"seq\":9", "\"seq\":8", 1)).unwrap();
    assert!(matches!(open(&at).1, Freshness::Rebuilt(_)));
}

#[test]
fn whatever_is_no_index_is_built_anew_and_a_link_is_not_followed() {
    let at = scratch();
    drop(Log::open(&at.dir).unwrap());
    for nonsense in [
        &b"nonsense that is longer than a header of SQLite and then some more of it, and more of it"[..],
        b"",
    ] {
        fs::write(&at.index, nonsense).unwrap();
        assert!(matches!(open(&at).1, Freshness::Rebuilt(_)), "{nonsense:?}");
    }
    // The right shape and a trigger more: what would run by itself is not opened.
    drop(open(&at));
    let db = Connection::open(&at.index).unwrap();
    db.execute_batch("CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END").unwrap();
    drop(db);
    assert!(matches!(open(&at).1, Freshness::Rebuilt(_)));
    let precious = at.dir.join("precious");
    fs::write(&precious, "kept").unwrap();
    fs::remove_file(&at.index).unwrap();
    std::os::unix::fs::symlink(&precious, &at.index).unwrap();
    let result = Index::open(&at.index, &Source::open(&at.dir).unwrap());
    assert!(matches!(result, Err(AuditorError::Index { .. })));
    assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
}

fn tampered(sql: &str) -> Scratch {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    for number in 0..50 {
        log.append(&refused(if number % 5 == 0 { "a" } else { "b" }, &format!("/{number}"))).unwrap();
    }
    drop(log);
    drop(open(&at));
    let db = Connection::open(&at.index).unwrap();
    assert!(db.execute(sql, []).unwrap() > 0, "{sql}");
    at
}

fn of_a() -> Filter {
    Filter { plugin: exact("a"), ..Filter::default() }
}

#[test]
fn a_tampered_index_invents_nothing() {
    // Rows of b said to be of a: each is read from the log, and is b's there.
    let at = tampered("UPDATE records SET kind = (SELECT id FROM kinds WHERE plugin = 'a')");
    let seqs = seqs(&auditor(&at), &of_a(), false, None);
    assert_eq!(seqs.len(), 10);
    // A place where no such record stands.
    for sql in [
        "UPDATE records SET offset = offset + 7",
        "UPDATE records SET seq = seq + 1",
        "UPDATE records SET file = 3",
    ] {
        let at = tampered(sql);
        let question = Question { filter: of_a(), ..Question::default() };
        let result = auditor(&at).find(&question, &mut |_| Ok(()));
        // The last record may give it away before anything is asked: then it is built anew.
        assert!(result.is_ok_and(|answer| answer.hits == 10) || !at.index.exists(), "{sql}");
    }
}

#[test]
fn an_index_that_hides_is_found_by_its_checks() {
    for sql in [
        "DELETE FROM records WHERE n = 11",
        "UPDATE records SET kind = (SELECT max(id) FROM kinds) WHERE n = 11",
        "UPDATE records SET second = second - 100000 WHERE n = 11",
        "UPDATE records SET head = NULL WHERE n = 11",
        "UPDATE records SET launch = 1 WHERE n = 11",
        "UPDATE records SET trace = NULL WHERE n = 11",
        "UPDATE kinds SET plugin = 'c' WHERE plugin = 'a'",
        "UPDATE heads SET head = '/elsewhere' WHERE id = 3",
        "UPDATE spans SET late = early - 1",
    ] {
        let at = tampered(sql);
        let source = Source::open(&at.dir).unwrap();
        let (index, freshness) = Index::open(&at.index, &source).unwrap();
        assert_eq!(freshness, Freshness::Current, "{sql}");
        assert!(index.check(&source).unwrap().hidden > 0, "{sql}");
    }
    let at = tampered("DELETE FROM records WHERE n = 11");
    assert_eq!(auditor(&at).compare(&of_a()).unwrap(), Some((9, 10)));
    let invented = tampered(
        "INSERT INTO records SELECT 9999, seq, file, offset, second, kind, head, launch, call, trace FROM records WHERE n = 1",
    );
    let source = Source::open(&invented.dir).unwrap();
    assert_eq!(Index::open(&invented.index, &source).unwrap().0.check(&source).unwrap().invented, 1);
}

#[test]
fn lines_that_are_no_records_are_told_of_by_both_ways() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    for _ in 0..3 {
        log.append(&refused("a", "/x")).unwrap();
    }
    drop(log);
    let file = at.dir.join("audit.jsonl");
    let lines: Vec<String> = fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
    fs::write(&file, format!("{}\nnonsense\n{}\n", lines[0], lines[1..].join("\n"))).unwrap();
    for lookup in [Lookup::Scan, Lookup::At(at.index.clone()), Lookup::At(at.index.clone())] {
        let auditor = Auditor::open(&at.dir, &lookup).unwrap();
        let answer =
            auditor.find(&Question { filter: of_a(), ..Question::default() }, &mut |_| Ok(())).unwrap();
        assert_eq!((answer.hits, answer.damages.len()), (3, 1), "{lookup:?}");
        assert_eq!(answer.damages[0].offset, lines[0].len() as u64 + 1);
    }
}

#[test]
fn records_are_read_across_files_in_their_order() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    for number in 0..6 {
        log.append(&refused("a", &format!("/{number}"))).unwrap();
    }
    drop(log);
    let file = at.dir.join("audit.jsonl");
    let lines: Vec<String> = fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
    let put = |name: &str, lines: &[String]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(at.dir.join(name), text).unwrap();
    };
    drop(open(&at));
    // As rotation leaves it: the old part under another name, the new one in its place.
    put("audit-000000.jsonl", &lines[..5]);
    put("audit.jsonl", &lines[5..]);
    let (index, freshness) = open(&at);
    assert!(matches!(freshness, Freshness::Rebuilt(_)));
    assert_eq!(index.records(), 8);
    assert_eq!(seqs(&auditor(&at), &of_a(), false, None), [1, 2, 3, 4, 5, 6]);
    assert_eq!(auditor(&at).record(6).unwrap().entry.seq, 6);
    // A third file is taken up without building anew.
    put("audit-000001.jsonl", &lines[5..7]);
    put("audit.jsonl", &lines[7..]);
    drop(open(&at));
    assert_eq!(seqs(&auditor(&at), &of_a(), true, Some(2)), [6, 5]);
    // In the middle of going over, the current file has its later name already: it is read once.
    fs::hard_link(at.dir.join("audit.jsonl"), at.dir.join("audit-000002.jsonl")).unwrap();
    assert_eq!(seqs(&auditor(&at), &of_a(), false, None), [1, 2, 3, 4, 5, 6]);
    // A copy beside the log is not of the log.
    fs::copy(at.dir.join("audit.jsonl"), at.dir.join("copy.jsonl")).unwrap();
    assert_eq!(seqs(&auditor(&at), &of_a(), false, None), [1, 2, 3, 4, 5, 6]);
}

/// A log that has gone on in other files, which were compressed as the log itself does it.
#[test]
fn what_is_compressed_is_read_too_and_what_cannot_be_unpacked_is_told() {
    let at = scratch();
    let segments = SegmentPolicy { records: 4, ..SegmentPolicy::default() };
    let log = Log::open_with(&at.dir, Options { segments, ..Options::default() }).unwrap();
    for number in 0..20 {
        log.append(&refused("a", &format!("/{number}"))).unwrap();
    }
    log.tidy().unwrap();
    drop(log);
    let packed: Vec<_> = fs::read_dir(&at.dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "gz"))
        .collect();
    assert!(packed.len() >= 3, "{packed:?}");
    for lookup in [Lookup::Scan, Lookup::At(at.index.clone()), Lookup::At(at.index.clone())] {
        let auditor = Auditor::open(&at.dir, &lookup).unwrap();
        let found = seqs(&auditor, &of_a(), false, None);
        assert_eq!(found.len(), 20, "{lookup:?}: {found:?}");
        assert!(found.is_sorted());
        assert_eq!(auditor.record(found[0]).unwrap().entry.record.resource, "/0");
        let (last, _) = auditor.source.last(25).unwrap();
        assert_eq!(last.len(), 25);
    }
    fs::write(&packed[0], b"compressed").unwrap();
    let auditor = Auditor::open(&at.dir, &Lookup::Scan).unwrap();
    let answer = auditor.find(&Question::default(), &mut |_| Ok(())).unwrap();
    assert_eq!(answer.damages.len(), 1);
    assert!(answer.damages[0].problem.contains("cannot be unpacked"), "{:?}", answer.damages);
}

#[test]
fn an_auditor_without_the_right_to_write_has_the_index_elsewhere() {
    use std::os::unix::fs::PermissionsExt;
    let at = scratch();
    drop(Log::open(&at.dir).unwrap());
    let beside = stockade_auditor::usual_index(&at.dir).unwrap();
    assert_eq!(beside, at.dir.join("audit.index"));
    fs::set_permissions(&at.dir, fs::Permissions::from_mode(0o500)).unwrap();
    let elsewhere = stockade_auditor::usual_index(&at.dir);
    fs::set_permissions(&at.dir, fs::Permissions::from_mode(0o700)).unwrap();
    if elsewhere.as_deref() == Some(beside.as_path()) {
        println!("SKIPPED: an_auditor_without_the_right_to_write: this user may write everywhere");
        return;
    }
    assert!(elsewhere.is_none_or(|path: PathBuf| !path.starts_with(Path::new(&at.dir))));
}

//! What gets into the log, and what happens when nothing can.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use stockade_audit::{
    AuditError, Decision, Entry, Finding, FloodLimits, Layer, Log, ManualClock, Moment, Options, Plugin,
    Reader, Record, Report, verify,
};

struct Scratch {
    _state: tempfile::TempDir,
    dir: PathBuf,
    file: PathBuf,
}

fn scratch() -> Scratch {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("audit");
    Scratch { file: dir.join("audit.jsonl"), dir, _state: state }
}

/// In memory where the machine has such a place: for hundreds of logs, whose flushes would take seconds.
fn scratch_in_memory() -> Scratch {
    let state = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let dir = state.path().join("audit");
    Scratch { file: dir.join("audit.jsonl"), dir, _state: state }
}

fn refusal() -> Record {
    Record::new(Layer::Host, "refused", Decision::Denied).operation("fs.read").resource("/etc/passwd")
}

fn entries(path: &Path) -> Vec<Entry> {
    Reader::open(path).unwrap().map(Result::unwrap).collect()
}

fn events(path: &Path) -> Vec<String> {
    entries(path).into_iter().map(|entry| entry.record.event.into_owned()).collect()
}

#[track_caller]
fn sound(path: &Path) -> Report {
    let report = verify(path, None).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    report
}

#[test]
fn f9_a_new_log_is_for_its_owner_alone() {
    let at = scratch();
    let _log = Log::open(&at.dir).unwrap();
    assert_eq!(fs::metadata(&at.dir).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(&at.file).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn f9_a_directory_or_file_that_others_can_write_is_refused() {
    let at = scratch();
    drop(Log::open(&at.dir).unwrap());
    fs::set_permissions(&at.file, fs::Permissions::from_mode(0o620)).unwrap();
    assert!(matches!(Log::open(&at.dir), Err(AuditError::Exposed { .. })));
    fs::set_permissions(&at.file, fs::Permissions::from_mode(0o640)).unwrap();
    drop(Log::open(&at.dir).unwrap());
    fs::set_permissions(&at.dir, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Log::open(&at.dir), Err(AuditError::Exposed { .. })));
}

#[test]
fn f9_a_symlink_or_second_name_in_place_of_the_file_is_refused() {
    let at = scratch();
    drop(Log::open(&at.dir).unwrap());
    fs::hard_link(&at.file, at.dir.join("other")).unwrap();
    assert!(matches!(Log::open(&at.dir), Err(AuditError::Exposed { .. })));
    fs::remove_file(&at.file).unwrap();
    std::os::unix::fs::symlink(at.dir.join("other"), &at.file).unwrap();
    assert!(matches!(Log::open(&at.dir), Err(AuditError::File { step: "open", .. })));
}

#[test]
fn f10_a_second_writer_is_refused_and_told_the_pid_of_the_first() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    match Log::open(&at.dir) {
        Err(AuditError::Locked { pid, .. }) => assert!(pid.is_none_or(|pid| pid == std::process::id())),
        other => panic!("{other:?}"),
    }
    log.append(&refusal()).unwrap();
    drop(log);
    drop(Log::open(&at.dir).unwrap());
    sound(&at.dir);
}

#[test]
fn a_caller_cannot_write_as_the_log() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    let forged = Record::new(Layer::Log, "recovery", Decision::Noted);
    assert!(matches!(log.append(&forged), Err(AuditError::Reserved)));
    log.close().unwrap();
    assert!(matches!(log.append(&refusal()), Err(AuditError::Closed)));
}

#[test]
fn a_log_opened_again_continues_its_chain() {
    let at = scratch();
    for _ in 0..3 {
        let log = Log::open(&at.dir).unwrap();
        log.append_durable(&refusal()).unwrap();
    }
    assert_eq!(sound(&at.dir).summary.records, 9);
    assert_eq!(events(&at.dir)[..3], ["open", "refused", "close"]);
}

#[test]
fn a_chain_that_does_not_verify_is_not_appended_to() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    for _ in 0..5 {
        log.append(&refusal()).unwrap();
    }
    drop(log);
    let text = fs::read_to_string(&at.file).unwrap();
    fs::write(&at.file, text.replacen("/etc/passwd", "/etc/passwD", 1)).unwrap();
    assert!(matches!(Log::open(&at.dir), Err(AuditError::Unsound { seq: 1, .. })));
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines.remove(3);
    fs::write(&at.file, lines.concat()).unwrap();
    assert!(matches!(Log::open(&at.dir), Err(AuditError::Unsound { seq: 3, .. })));
}

#[test]
fn f3_a_crash_at_every_byte_of_an_append_loses_that_record_alone() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    log.append(&refusal()).unwrap();
    let before = fs::metadata(&at.file).unwrap().size();
    log.append(&refusal().resource("/last")).unwrap();
    let text = fs::read(&at.file).unwrap();
    drop(log);
    for cut in before..text.len() as u64 {
        let crashed = scratch_in_memory();
        fs::create_dir(&crashed.dir).unwrap();
        fs::set_permissions(&crashed.dir, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(&crashed.file, &text[..cut as usize]).unwrap();
        fs::set_permissions(&crashed.file, fs::Permissions::from_mode(0o600)).unwrap();
        drop(Log::open(&crashed.dir).unwrap());
        let report = sound(&crashed.dir);
        let torn = cut > before;
        assert_eq!(report.summary.recoveries, u64::from(torn), "cut at {cut}");
        let aside = crashed.dir.join("audit.torn-1");
        assert_eq!(aside.exists(), torn, "cut at {cut}");
        if torn {
            assert_eq!(fs::read(aside).unwrap(), text[before as usize..cut as usize]);
            let entries = entries(&crashed.dir);
            let recovery = &entries[3].record;
            assert_eq!(recovery.event, "recovery");
            assert_eq!(recovery.detail.number("bytes"), i64::try_from(cut - before).ok());
            assert_eq!(recovery.detail.number("after"), Some(1));
        }
    }
}

#[test]
fn f3_a_crash_within_the_first_record_begins_a_new_log() {
    let at = scratch();
    drop(Log::open(&at.dir).unwrap());
    let text = fs::read(&at.file).unwrap();
    // The first checkpoint is over the first record, so a crash within that leaves none.
    let checkpoints = at.dir.join("checkpoints");
    fs::remove_file(&checkpoints).unwrap();
    fs::write(&at.file, &text[..50]).unwrap();
    drop(Log::open(&at.dir).unwrap());
    assert_eq!(events(&at.dir), ["open", "recovery", "close"]);
    fs::remove_file(&checkpoints).unwrap();
    fs::write(&at.file, b"").unwrap();
    drop(Log::open(&at.dir).unwrap());
    assert_eq!(events(&at.dir), ["open", "recovery", "close"]);
    sound(&at.dir);
}

#[test]
fn f1_a_log_cut_off_before_its_last_checkpoint_is_not_gone_on_with() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    log.append(&refusal()).unwrap();
    drop(log);
    let text = fs::read_to_string(&at.file).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for kept in 1..lines.len() {
        fs::write(&at.file, lines[..kept].concat()).unwrap();
        assert!(matches!(Log::open(&at.dir), Err(AuditError::Unsound { .. })), "{kept}");
        let report = verify(&at.dir, None).unwrap();
        assert!(matches!(report.findings[..], [Finding::CutOff { .. }]), "{:?}", report.findings);
    }
    fs::write(&at.file, "").unwrap();
    assert!(matches!(Log::open(&at.dir), Err(AuditError::Unsound { seq: 0, .. })));
    fs::write(&at.file, &text).unwrap();
    drop(Log::open(&at.dir).unwrap());
    sound(&at.dir);
}

#[test]
fn f3_lines_left_unreadable_by_a_power_cut_are_set_aside() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    log.append(&refusal()).unwrap();
    drop(log);
    let mut text = fs::read(&at.file).unwrap();
    text.extend_from_slice(&[0; 700]);
    text.extend_from_slice(b"ab\"}\n");
    fs::write(&at.file, &text).unwrap();
    drop(Log::open(&at.dir).unwrap());
    assert_eq!(sound(&at.dir).summary.recoveries, 1);
}

#[test]
fn f4_a_deleted_moved_or_replaced_file_is_refused_until_it_is_back() {
    let at = scratch();
    let clock = Arc::new(ManualClock::default());
    let options = Options { clock: Box::new(Arc::clone(&clock)), ..Options::default() };
    let log = Log::open_with(&at.dir, options).unwrap();
    let moved = at.dir.join("audit.jsonl.1");
    fs::rename(&at.file, &moved).unwrap();
    clock.advance(Duration::from_millis(101));
    assert!(matches!(log.append(&refusal()), Err(AuditError::Replaced { .. })));
    File::create(&at.file).unwrap();
    assert!(matches!(log.append(&refusal()), Err(AuditError::Replaced { change: "replaced", .. })));
    assert!(log.is_refusing());
    assert!(matches!(log.sync(), Err(AuditError::Replaced { .. })));
    fs::rename(&moved, &at.file).unwrap();
    log.append(&refusal()).unwrap();
    assert!(!log.is_refusing());
    log.close().unwrap();
    assert_eq!(events(&at.dir), ["open", "gap", "refused", "close"]);
    assert_eq!(entries(&at.dir)[1].record.detail.number("refused"), Some(2));
    sound(&at.dir);
}

#[test]
fn f4_a_file_that_someone_else_wrote_to_is_refused() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    let text = fs::read(&at.file).unwrap();
    fs::write(&at.file, [&text[..], b"x"].concat()).unwrap();
    assert!(matches!(log.sync(), Err(AuditError::Replaced { change: "written to", .. })));
    fs::write(&at.file, &text[..9]).unwrap();
    assert!(matches!(log.append(&refusal()), Err(AuditError::Replaced { change: "truncated", .. })));
}

/// The limit is set and SIGXFSZ ignored by a shell, which then becomes this test again: both are
/// inherited, and neither can be set without unsafe code or for one test alone.
#[test]
fn f4_a_full_disk_refuses_appends_and_the_gap_is_recorded_when_there_is_room() {
    if let Ok(dir) = std::env::var("AUDIT_TEST_FULL") {
        fill(Path::new(&dir));
        return;
    }
    let at = scratch();
    let script = "trap '' XFSZ; ulimit -S -f 64; exec \"$0\" --exact --nocapture \"$1\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg("f4_a_full_disk_refuses_appends_and_the_gap_is_recorded_when_there_is_room")
        .env("AUDIT_TEST_FULL", &at.dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    sound(&at.dir);
    let log = Log::open(&at.dir).unwrap();
    log.append(&refusal()).unwrap();
    drop(log);
    let report = sound(&at.dir);
    assert_eq!(report.summary.recoveries, 0, "nothing torn was left behind");
    assert_eq!(report.summary.gaps, 1);
}

fn fill(dir: &Path) {
    let floods = FloodLimits { burst: u32::MAX, ..FloodLimits::default() };
    let log = Log::open_with(dir, Options { floods, ..Options::default() }).unwrap();
    let full = (0..10_000).find(|_| log.append(&refusal()).is_err());
    assert!(full.is_some(), "the limit is in force");
    let length = fs::metadata(dir.join("audit.jsonl")).unwrap().size();
    let long = refusal().reason("x".repeat(1000)).next_step("x".repeat(1000));
    for _ in 0..3 {
        assert!(matches!(log.append(&long), Err(AuditError::Write(_))));
        assert!(log.is_refusing());
        assert_eq!(fs::metadata(dir.join("audit.jsonl")).unwrap().size(), length, "no part is left");
    }
    sound(dir);
    let limit = nix::sys::resource::Resource::RLIMIT_FSIZE;
    let (soft, hard) = nix::sys::resource::getrlimit(limit).unwrap();
    nix::sys::resource::setrlimit(limit, soft * 2, hard).unwrap();
    log.append(&refusal()).unwrap();
    let entries = entries(dir);
    let gap = &entries[entries.len() - 2].record;
    assert_eq!((gap.event.as_ref(), gap.detail.number("refused")), ("gap", Some(4)));
    log.close().unwrap();
}

#[test]
fn f2_hostile_strings_stay_one_record_on_one_line_and_come_back_identical() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    let hostile = [
        "a\nb",
        "a\r\nb\0",
        "\x1b[2J\x1b]8;;http://x\x07y\x1b]8;;\x07",
        "\u{202e}gpj.exe\u{2066}",
        "\u{2028}\u{2029}\u{85}\u{feff}\u{200b}",
        "\"},\"hash\":\"0\"}",
        "=HYPERLINK(\"http://x\")",
        "%s%n{}",
        "\\u000a",
    ];
    for text in hostile {
        log.append(&refusal().operation(text).resource(text).detail("argument", text.to_owned())).unwrap();
    }
    drop(log);
    let bytes = fs::read(&at.file).unwrap();
    assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), hostile.len() + 2);
    assert!(bytes.iter().all(|b| *b == b'\n' || (0x20..0x7f).contains(b)), "only ASCII is left of these");
    let entries = entries(&at.dir);
    for (entry, text) in entries[1..].iter().zip(hostile) {
        assert_eq!(entry.record.operation, text);
        assert_eq!(entry.record.resource, text);
        assert_eq!(entry.record.detail.text("argument"), Some(text));
    }
    sound(&at.dir);
}

#[test]
fn f2_a_field_of_a_megabyte_is_cut_and_says_by_how_much() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    let long = "\u{1}é".repeat(350_000);
    let mut record = refusal().operation(long.clone()).resource(long.clone()).reason(long.clone());
    for key in 0..100 {
        record = record.detail(format!("{key:03}{long}"), long.clone());
    }
    log.append(&record).unwrap();
    drop(log);
    let longest = fs::read(&at.file).unwrap().split(|b| *b == b'\n').map(<[u8]>::len).max().unwrap();
    assert!(longest < stockade_audit::bounds::LINE, "{longest}");
    let entry = &entries(&at.dir)[1];
    assert_eq!(entry.record.resource.len() as u64 + entry.cut["resource"], long.len() as u64);
    assert!(long.starts_with(entry.record.resource.as_ref()));
    assert_eq!(entry.cut["detail"], 68);
    assert_eq!(entry.record.detail.iter().len(), 32);
    sound(&at.dir);
}

#[test]
fn f5_a_clock_set_back_leaves_the_order_and_is_counted() {
    let at = scratch();
    let clock = Arc::new(ManualClock::at(Moment { seconds: 1_700_000_000, nanos: 5, monotonic: 1 << 40 }));
    let options = Options { clock: Box::new(Arc::clone(&clock)), ..Options::default() };
    let log = Log::open_with(&at.dir, options).unwrap();
    let plugin = Plugin::new("p", "1.0.0", "00", "node").shared();
    for seconds in [1_700_000_001, 1_668_000_000, 1_700_000_002, -1] {
        clock.set(Moment { seconds, nanos: 0, monotonic: u64::from(seconds.unsigned_abs() as u32) });
        log.append(&refusal().plugin(&plugin)).unwrap();
    }
    drop(log);
    let report = sound(&at.dir);
    assert_eq!(report.summary.clock_set_back, 2);
    assert_eq!(entries(&at.dir).iter().map(|entry| entry.seq).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn f6_a_flood_is_counted_exactly_and_costs_another_plugin_nothing() {
    let at = scratch();
    let clock = Arc::new(ManualClock::default());
    let options = Options { clock: Box::new(Arc::clone(&clock)), ..Options::default() };
    let log = Log::open_with(&at.dir, options).unwrap();
    let hostile = Plugin::new("hostile", "1.0.0", "aa", "node").shared();
    let other = Plugin::new("other", "1.0.0", "bb", "node").shared();
    for number in 0_u32..100_000 {
        log.append(&refusal().plugin(&hostile).launch("h")).unwrap();
        if number % 10_000 == 0 {
            log.append(&refusal().plugin(&other).launch("o")).unwrap();
            log.append(&Record::new(Layer::Seccomp, "notified", Decision::Killed).plugin(&hostile)).unwrap();
            log.append(&Record::new(Layer::Launch, "attested", Decision::Noted).plugin(&hostile)).unwrap();
        }
        clock.advance(Duration::from_millis(1));
    }
    log.settle("h").unwrap();
    let settled = tally(&at.dir, "hostile");
    assert_eq!(settled.0 + settled.1, 100_020, "settled with the launch");
    log.append(&refusal().plugin(&hostile).launch("h")).unwrap();
    drop(log);
    let (written, folded) = tally(&at.dir, "hostile");
    assert_eq!(written + folded, 100_021);
    assert!(written < 300, "{written}");
    assert_eq!(tally(&at.dir, "other"), (10, 0));
    let report = sound(&at.dir);
    assert_eq!(report.summary.folded, folded);
    assert!(fs::metadata(&at.file).unwrap().size() < 300 * 1024);
}

/// Records of a plugin that stand in the log, and that are counted in it.
fn tally(dir: &Path, plugin: &str) -> (u64, u64) {
    let mut tally = (0, 0);
    for entry in entries(dir) {
        let record = entry.record;
        if record.plugin.as_ref().is_some_and(|of| of.name == plugin) {
            match record.event.as_ref() {
                "flood" => tally.1 += record.detail.number("count").unwrap() as u64,
                _ => tally.0 += 1,
            }
        }
    }
    tally
}

#[test]
fn f6_made_up_operations_share_one_count_and_bounded_space() {
    let at = scratch();
    let clock = Arc::new(ManualClock::default());
    let floods = FloodLimits { burst: 5, ..FloodLimits::default() };
    let log =
        Log::open_with(&at.dir, Options { floods, clock: Box::new(clock), ..Options::default() }).unwrap();
    let hostile = Plugin::new("hostile", "1.0.0", "aa", "node").shared();
    for number in 0..5_000 {
        log.append(&refusal().plugin(&hostile).operation(format!("made-up-{number}"))).unwrap();
    }
    drop(log);
    let (written, folded) = tally(&at.dir, "hostile");
    assert_eq!(written + folded, 5_000);
    assert!(written <= 5 * 32, "{written}");
}

#[test]
fn f6_records_that_come_together_are_written_and_counted_like_others() {
    let at = scratch();
    let floods = FloodLimits { burst: 150, ..FloodLimits::default() };
    let clock = Box::new(ManualClock::default());
    let log = Log::open_with(&at.dir, Options { floods, clock, ..Options::default() }).unwrap();
    let hostile = Plugin::new("hostile", "1.0.0", "aa", "node").shared();
    let many: Vec<Record> = (0..500).map(|call| refusal().plugin(&hostile).call(call)).collect();
    let before = log.head().unwrap();
    let receipt = log.append_all(&[]).unwrap();
    assert_eq!((receipt.head(), receipt.verbatim), (before, false));
    let receipt = log.append_all(&many).unwrap();
    assert_eq!((receipt.seq, receipt.verbatim), (150, true));
    assert_eq!(log.append_all(&many).unwrap().seq, 150, "all of them are counted");
    // What the log alone may say makes none of them a record.
    let mixed = [refusal(), Record::new(Layer::Log, "open", Decision::Noted)];
    assert!(matches!(log.append_all(&mixed), Err(AuditError::Reserved)));
    drop(log);
    assert_eq!(tally(&at.dir, "hostile"), (150, 850));
    let calls: Vec<_> = entries(&at.dir).iter().filter_map(|entry| entry.record.call).collect();
    assert_eq!(calls, (0..150).collect::<Vec<_>>(), "in their order");
    sound(&at.dir);
}

#[test]
fn f4_records_that_come_together_are_all_counted_as_refused() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    let many: Vec<Record> = (0..200).map(|_| refusal()).collect();
    let moved = at.dir.join("audit.jsonl.1");
    fs::rename(&at.file, &moved).unwrap();
    assert!(log.sync().is_err());
    assert!(matches!(log.append_all(&many), Err(AuditError::Replaced { .. })));
    fs::rename(&moved, &at.file).unwrap();
    log.append_all(&many).unwrap();
    log.close().unwrap();
    let gap = &entries(&at.dir)[1].record;
    assert_eq!((gap.event.as_ref(), gap.detail.number("refused")), ("gap", Some(200)));
    assert_eq!(sound(&at.dir).summary.records, 1 + 1 + 200 + 1);
}

#[test]
fn f6_a_durable_record_is_never_counted_away() {
    let at = scratch();
    let floods = FloodLimits { burst: 1, ..FloodLimits::default() };
    let log = Log::open_with(&at.dir, Options { floods, ..Options::default() }).unwrap();
    let plugin = Plugin::new("p", "1.0.0", "aa", "node").shared();
    for _ in 0..10 {
        assert!(log.append_durable(&refusal().plugin(&plugin)).unwrap().verbatim);
    }
}

#[test]
fn threads_append_and_flush_together_without_losing_a_record() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for call in 0..200 {
                    let record = refusal().launch(format!("{thread}")).call(call);
                    let receipt = log.append(&record).unwrap();
                    if call % 50 == 0 {
                        log.sync_to(receipt.seq).unwrap();
                    }
                }
            });
        }
    });
    log.close().unwrap();
    assert_eq!(sound(&at.dir).summary.records, 802);
    for thread in 0..4 {
        let calls: Vec<_> = entries(&at.dir)
            .into_iter()
            .filter(|entry| entry.record.launch.as_deref() == Some(&format!("{thread}")))
            .filter_map(|entry| entry.record.call)
            .collect();
        assert_eq!(calls, (0..200).collect::<Vec<_>>(), "each thread's records in its order");
    }
}

#[test]
fn a_reader_goes_on_with_what_the_writer_adds() {
    let at = scratch();
    let log = Log::open(&at.dir).unwrap();
    let mut reader = Reader::open(&at.dir).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().record.event, "open");
    assert!(reader.next().is_none());
    log.append(&refusal().resource("/one")).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().record.resource, "/one");
    assert!(reader.next().is_none());
    assert_eq!(Reader::find(&at.dir, 1).unwrap().unwrap().record.resource, "/one");
    assert!(Reader::find(&at.dir, 2).unwrap().is_none());
    let mut tail = Reader::open_at_end(&at.dir, 10).unwrap();
    assert!(tail.next().is_none());
    assert_eq!(Reader::open_at_end(&at.dir, 1 << 20).unwrap().count(), 2);
}

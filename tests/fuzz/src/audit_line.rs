//! Target `audit-line`: a log file that somebody else wrote.

use std::cell::RefCell;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use stockade_audit::{Decision, Layer, Log, Reader, Record, escape_for_terminal, verify};
use tempfile::TempDir;

thread_local! {
    /// Where the file lies; the same folder for all inputs, emptied each time.
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

fn folder() -> PathBuf {
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir().expect("a temporary folder"));
        folder.path().join("audit")
    })
}

/// Every reader of the log gets the file, and then the writer that would go on with it. The last line is
/// ended where the input does not end in a NUL: verifying waits 20 ms for the rest of a torn one.
pub fn audit_line(input: &[u8]) {
    let folder = folder();
    // Torn ends are set aside beside the log: every input begins with an empty folder.
    let _ = fs::remove_dir_all(&folder);
    fs::DirBuilder::new().mode(0o700).create(&folder).expect("the folder can be made");
    let file = folder.join("audit.jsonl");
    let mut options = fs::File::options();
    let mut log = options.write(true).create_new(true).mode(0o600).open(&file).expect("the file can be made");
    log.write_all(input).expect("the file can be written");
    if !matches!(input.last(), Some(b'\n' | 0)) {
        log.write_all(b"\n").expect("the file can be written");
    }
    drop(log);

    let report = verify(&folder, None).expect("the file can be read");
    if let (true, Some(head)) = (report.is_sound(), report.summary.head) {
        let same = verify(&folder, Some(&head)).expect("the file can be read");
        assert!(same.is_sound(), "sound, but not up to its own head: {same:?}");
    }
    let entries =
        Reader::open(&folder).expect("the file can be read").take(1000).filter(Result::is_ok).count();
    assert!(!report.is_sound() || entries as u64 == report.summary.records.min(1000), "{report:?}");
    let _ = Reader::open_at_end(&folder, input.len() as u64 / 2).map(|reader| reader.take(1000).count());
    let _ = Reader::find(&folder, 3);

    let shown = escape_for_terminal(&String::from_utf8_lossy(input)).into_owned();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");

    go_on(&folder, report.is_sound());
}

/// The writer takes up a log only where its end holds; what it adds is there and holds too.
fn go_on(folder: &Path, sound: bool) {
    let Ok(log) = Log::open(folder) else {
        assert!(!sound, "the log is sound, and cannot be continued");
        return;
    };
    let record = Record::new(Layer::Host, "refused", Decision::Denied).operation("fuzz");
    let receipt = log.append(&record).expect("a record can be added");
    log.close().expect("the log can be closed");
    let report = verify(folder, Some(&receipt.head())).expect("the file can be read");
    assert!(report.is_sound(), "taken up, and not sound afterwards: {report:?}");
    let found =
        Reader::find(folder, receipt.seq).expect("the file can be read").expect("the record is there");
    assert_eq!(found.record.operation, "fuzz");
}

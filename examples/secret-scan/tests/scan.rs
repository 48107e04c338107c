//! Scans planted folders, and this repository.

mod planted;

use std::fs;
use std::path::{Path, PathBuf};

use secret_scan::{Report, Scan, scan};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn report(path: &Path) -> Report {
    scan(Scan { path: path.to_path_buf(), max_file_bytes: None, max_findings: None, report: None }).unwrap()
}

#[test]
fn every_planted_secret_is_found_once_and_masked() {
    let folder = folder("planted");
    planted::plant(&folder).unwrap();
    let report = report(&folder);
    let mut expected = Vec::new();
    for file in planted::files() {
        for (line, rule) in &file.secrets {
            expected.push((folder.join(file.path).display().to_string(), *line, *rule));
        }
    }
    expected.sort();
    let found: Vec<_> =
        report.findings.iter().map(|found| (found.file.clone(), found.line, found.rule)).collect();
    assert_eq!(found, expected);
    for found in &report.findings {
        let text = fs::read_to_string(&found.file).unwrap();
        assert!(!text.contains(&found.masked), "{} is not masked", found.rule);
    }
}

#[test]
fn links_binaries_and_big_files_are_skipped_and_counted() {
    let folder = folder("skipped");
    planted::plant(&folder.join(".git")).unwrap();
    fs::write(folder.join("binary"), b"\0password = \"a1b2c3d4e5f6\"").unwrap();
    fs::write(folder.join("big"), vec![b'a'; (1 << 20) + 1]).unwrap();
    fs::write(folder.join("plain"), "nothing here").unwrap();
    std::os::unix::fs::symlink(folder.join(".git/keys/id_rsa"), folder.join("link")).unwrap();
    let report = report(&folder);
    assert_eq!((report.files_scanned, report.files_skipped, report.findings.len()), (1, 3, 0));
}

#[test]
fn a_full_report_says_that_it_ended_early() {
    let folder = folder("truncated");
    planted::plant(&folder).unwrap();
    let report = scan(Scan { path: folder, max_file_bytes: None, max_findings: Some(2) }).unwrap();
    assert_eq!((report.findings.len(), report.truncated), (2, true));
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error =
        scan(Scan { path: "/no/such/folder".into(), max_file_bytes: None, max_findings: None, report: None })
            .unwrap_err();
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
}

#[test]
fn this_repository_has_no_findings() {
    let report = report(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    assert!(report.files_scanned > 10);
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

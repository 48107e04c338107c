//! Walks a folder and reads what may hold a credential.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stockade_sdk::ToolError;

use crate::find::find;

/// Sources are smaller; larger files are data.
const DEFAULT_MAX_FILE_BYTES: u64 = 1 << 20;
/// A file is held in memory as a whole.
const MAX_MAX_FILE_BYTES: u64 = 16 << 20;
const DEFAULT_MAX_FINDINGS: usize = 1000;
/// A finding is at most about 500 bytes of JSON, a result 4 MiB.
const MAX_MAX_FINDINGS: usize = 5000;
const MAX_UNREADABLE: usize = 200;
/// A NUL this early makes a file binary, as git has it.
const BINARY_WINDOW: usize = 8000;
/// Histories, build results and other people's packages.
const SKIPPED_FOLDERS: [&str; 3] = [".git", "target", "node_modules"];

/// What to scan.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// A file or a folder.
    pub path: PathBuf,
    /// Larger files are skipped.
    pub max_file_bytes: Option<u64>,
    /// The scan ends there, and says so.
    pub max_findings: Option<usize>,
    /// A new file that the report is written to as well.
    pub report: Option<PathBuf>,
}

/// What a scan found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Ordered by file and line.
    pub findings: Vec<Finding>,
    /// More was left when `max_findings` was reached.
    pub truncated: bool,
    /// Files whose whole text was looked at.
    pub files_scanned: u64,
    /// Links, binaries, big and special files.
    pub files_skipped: u64,
    /// Sum over the files scanned.
    pub bytes_scanned: u64,
    /// What could not be opened or read; the first 200.
    pub unreadable: Vec<Unreadable>,
}

/// One credential.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// As the plugin sees it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// The rule's id.
    pub rule: &'static str,
    /// The rule in words.
    pub description: &'static str,
    /// Masked.
    #[serde(rename = "match")]
    pub masked: String,
    /// In bits per byte.
    pub entropy: f64,
}

/// One file or folder that could not be read.
#[derive(Debug, Serialize)]
pub struct Unreadable {
    /// As the plugin sees it.
    pub path: String,
    /// In the system's words.
    pub error: String,
}

struct Walk {
    report: Report,
    max_file_bytes: u64,
    max_findings: usize,
    text: Vec<u8>,
}

/// Scans a file or all files under a folder.
///
/// # Errors
/// Bad limits; a `path` that cannot be opened. What cannot be read below it is part of the report.
pub fn scan(scan: Scan) -> Result<Report, ToolError> {
    let max_file_bytes = scan.max_file_bytes.unwrap_or(DEFAULT_MAX_FILE_BYTES);
    let max_findings = scan.max_findings.unwrap_or(DEFAULT_MAX_FINDINGS);
    if max_file_bytes > MAX_MAX_FILE_BYTES {
        return Err(ToolError::InvalidArguments(format!("max_file_bytes: at most {MAX_MAX_FILE_BYTES}")));
    }
    if !(1..=MAX_MAX_FINDINGS).contains(&max_findings) {
        return Err(ToolError::InvalidArguments(format!("max_findings: from 1 to {MAX_MAX_FINDINGS}")));
    }
    let mut walk = Walk { report: Report::default(), max_file_bytes, max_findings, text: Vec::new() };
    walk.run(&scan.path).map_err(|error| at(&scan.path, &error))?;
    stockade_sdk::log::info!(
        "{}: {} findings in {} files",
        scan.path.display(),
        walk.report.findings.len(),
        walk.report.files_scanned
    );
    if let Some(file) = &scan.report {
        write(&walk.report, file).map_err(|error| at(file, &error))?;
    }
    Ok(walk.report)
}

/// Never over another one: whoever reads a report must be able to trust that it is of this scan.
fn write(report: &Report, file: &Path) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(report)?;
    fs::File::options().write(true).create_new(true).open(file)?.write_all(&text)
}

fn at(path: &Path, error: &io::Error) -> ToolError {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => ToolError::Denied(text),
        _ => ToolError::Failed(text),
    }
}

impl Walk {
    fn run(&mut self, root: &Path) -> io::Result<()> {
        if fs::metadata(root)?.is_file() {
            return self.file(root);
        }
        // A stack, not recursion: the depth of a tree is its owner's choice.
        let mut pending = vec![root.to_path_buf()];
        // The root itself must be readable; below it, one bad folder does not end the scan.
        fs::read_dir(root)?;
        while let Some(folder) = pending.pop() {
            if let Err(error) = self.folder(&folder, &mut pending) {
                self.unreadable(&folder, &error);
            }
            if self.report.truncated {
                break;
            }
        }
        self.report.findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Ok(())
    }

    fn folder(&mut self, folder: &Path, pending: &mut Vec<PathBuf>) -> io::Result<()> {
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    if !SKIPPED_FOLDERS.iter().any(|skipped| entry.file_name() == *skipped) {
                        pending.push(path);
                    }
                }
                Ok(kind) if kind.is_file() => {
                    if let Err(error) = self.file(&path) {
                        self.unreadable(&path, &error);
                    }
                }
                Ok(_) => self.report.files_skipped += 1,
                Err(error) => self.unreadable(&path, &error),
            }
            if self.report.truncated {
                break;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        if file.metadata()?.len() > self.max_file_bytes {
            self.report.files_skipped += 1;
            return Ok(());
        }
        self.text.clear();
        // A file may grow between the question and the reading.
        file.take(self.max_file_bytes + 1).read_to_end(&mut self.text)?;
        let binary = self.text[..self.text.len().min(BINARY_WINDOW)].contains(&0);
        if binary || self.text.len() as u64 > self.max_file_bytes {
            self.report.files_skipped += 1;
            return Ok(());
        }
        self.report.files_scanned += 1;
        self.report.bytes_scanned += self.text.len() as u64;
        for found in find(&self.text) {
            if self.report.findings.len() == self.max_findings {
                self.report.truncated = true;
                break;
            }
            self.report.findings.push(Finding {
                file: path.display().to_string(),
                line: found.line,
                rule: found.rule,
                description: found.description,
                masked: found.masked,
                entropy: found.entropy,
            });
        }
        Ok(())
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        if self.report.unreadable.len() < MAX_UNREADABLE {
            self.report
                .unreadable
                .push(Unreadable { path: path.display().to_string(), error: error.to_string() });
        }
    }
}

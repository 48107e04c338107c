use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::chain::{Head, LogId};
use crate::note::VerifierKey;
use crate::notebook::{self, Entries, FILE, REMOVED};
use crate::pass::Pass;
use crate::segments::{self, Content, Files, GZIP, Name, Volume};
use crate::signatures::Claims;
use crate::{AuditError, Checkpoint, Decision, Finding, Layer, bounds, diagnose, place};

/// What a log says, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is in it. With findings, of the records whose own hash holds.
    pub summary: Summary,
    /// What is wrong, by file and line; at most [`bounds::FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many findings there are in all.
    pub found: u64,
    /// What was signed, and by whom.
    pub signatures: Signatures,
}

/// What is in a log.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Its random name.
    pub log: Option<LogId>,
    /// In how many files it is.
    pub files: u64,
    /// What was removed of it by retention, if the rest follows from there.
    pub removed: Option<Removed>,
    /// How many records it has.
    pub records: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Number and wall time of the first record.
    pub first: Option<(u64, String)>,
    /// Number and wall time of the last record.
    pub last: Option<(u64, String)>,
    /// The last record, to be kept elsewhere and checked against later.
    pub head: Option<Head>,
    /// How many records each layer has.
    pub layers: BTreeMap<Layer, u64>,
    /// How many records ended how.
    pub decisions: BTreeMap<Decision, u64>,
    /// Records that stand in flood counts instead of in the log.
    pub folded: u64,
    /// Torn ends that were set aside.
    pub recoveries: u64,
    /// Times in which nothing could be written.
    pub gaps: u64,
    /// Records whose wall time is before that of the one before them: the clock was set back.
    pub clock_set_back: u64,
    /// Whether the last record is the `close` of its writer. Otherwise it is running, or was killed.
    pub closed: bool,
}

/// Records that were removed because the operator's retention says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The first of all.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// The rule of the latest removal, from its record.
    pub rule: Option<String>,
}

/// What was signed of a log, and by whom.
#[derive(Clone, Debug, Default)]
pub struct Signatures {
    /// How many checkpoints are beside the log.
    pub checkpoints: u64,
    /// Whether they were held against a key that came from elsewhere. Otherwise the key was the log's own word: that
    /// shows damage, and not a forger.
    pub trusted: bool,
    /// How many records the last good checkpoint is over.
    pub signed: Option<u64>,
    /// The last good checkpoint, as a note, to be kept elsewhere.
    pub last: Option<String>,
    /// The key that signed it.
    pub key: Option<VerifierKey>,
    /// Changes of keys that were followed.
    pub key_changes: u64,
    /// Checkpoints that somebody kept elsewhere and that this log continues.
    pub kept: u64,
    /// Further ones of theirs, of records that were removed since.
    pub before: u64,
}

/// What an auditor brings along, from elsewhere than where the log is.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Public keys of the log.
    pub keys: Vec<VerifierKey>,
    /// Checkpoints of it: the text of one or several notes, as a sink was given them.
    pub checkpoints: Vec<String>,
    /// A head of it.
    pub head: Option<Head>,
}

/// A copy of a log in memory: all files of its directory that verifying looks at.
#[derive(Clone, Debug, Default)]
pub struct Copy {
    /// By name.
    pub files: BTreeMap<String, Arc<[u8]>>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.found == 0
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        self.found += 1;
        if self.findings.len() < bounds::FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// Reads the log at `path` (its directory or its file) from end to end and checks every record, the chain, the tree
/// and its checkpoints.
///
/// Without `expected`, a log that was cut off at the end of a record, or exchanged for an older copy of
/// itself with its checkpoints, looks sound: only what was kept elsewhere shows it. See [`verify_with`].
///
/// # Errors
///
/// The file cannot be read. What is wrong with its content is in the [`Report`].
pub fn verify(path: impl AsRef<Path>, expected: Option<&Head>) -> Result<Report, AuditError> {
    verify_with(path, &Trust { head: expected.copied(), ..Trust::default() })
}

/// The same, with keys, checkpoints and a head that the auditor has from elsewhere.
///
/// # Errors
///
/// The log cannot be read, or a checkpoint of the auditor's is none.
pub fn verify_with(path: impl AsRef<Path>, trust: &Trust) -> Result<Report, AuditError> {
    let path = path.as_ref();
    // The checkpoints first: a log that is being written meanwhile has more records than they are over, not fewer.
    let beside = |file: &str| {
        let path = path.join(file);
        read_beside(&path).map_err(|source| AuditError::File { step: "read", path, source })
    };
    let (notes, removed) = if path.is_dir() { (beside(FILE)?, beside(REMOVED)?) } else { (None, None) };
    check(Files::find(path)?, notes.as_deref(), removed.as_deref(), trust)
}

/// A file of checkpoints, whoever wrote it: as much of it as anybody has to hold in memory.
fn read_beside(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match segments::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(bounds::CHECKPOINTS + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bounds::CHECKPOINTS {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "there are more checkpoints than can be verified",
        ));
    }
    Ok(Some(bytes))
}

impl Copy {
    /// Reads a log's directory.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn read(dir: impl AsRef<Path>) -> Result<Self, AuditError> {
        let dir = dir.as_ref();
        let failed = |source| AuditError::Directory { path: dir.to_owned(), source };
        let names = segments::names(dir).map_err(failed)?.into_iter().map(|name| name.file);
        let mut files = BTreeMap::new();
        for name in [place::FILE, FILE, REMOVED].into_iter().map(str::to_owned).chain(names) {
            match std::fs::read(dir.join(&name)) {
                Ok(bytes) => drop(files.insert(name, bytes.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(failed(source)),
            }
        }
        Ok(Self { files })
    }

    /// As [`verify_with`], of this copy.
    ///
    /// # Errors
    ///
    /// There is no log in it, or a checkpoint of the auditor's is none.
    pub fn verify(&self, trust: &Trust) -> Result<Report, AuditError> {
        let mut files: Vec<Volume> = Vec::new();
        let mut names: Vec<Name> = self.files.keys().filter_map(|file| Name::parse(file)).collect();
        names.sort();
        names.dedup_by_key(|name| name.first);
        for Name { first, gzip, file } in names {
            let content = Content::Memory(Arc::clone(&self.files[&file]), gzip);
            files.push(Volume { name: file.into(), first: Some(first), content });
        }
        let Some(current) = self.files.get(place::FILE) else {
            let source = io::ErrorKind::NotFound.into();
            return Err(AuditError::File { step: "open", path: place::FILE.into(), source });
        };
        let content = Content::Memory(Arc::clone(current), place::FILE.ends_with(GZIP));
        files.push(Volume { name: place::FILE.into(), first: None, content });
        let beside = |file: &str| self.files.get(file).map(|bytes| &**bytes);
        check(Files { files }, beside(FILE), beside(REMOVED), trust)
    }
}

fn check(
    files: Files,
    notes: Option<&[u8]>,
    removed: Option<&[u8]>,
    trust: &Trust,
) -> Result<Report, AuditError> {
    let mut claims = Claims::new(notes, trust)?;
    let statement = removed.and_then(|bytes| notebook::parse(bytes).noted.into_iter().next());
    let mut pass = Pass::new(files, statement, trust.head);
    pass.run(&mut claims)?;
    let mut report = std::mem::take(&mut pass.report);
    if let Some(noticed) = pass.broken {
        diagnose::run(&pass.files, pass.base, noticed, &mut report)?;
    }
    pass.conclude(&mut report);
    claims.conclude(&pass, &mut report);
    Ok(report)
}

/// Reads the auditor's checkpoints.
pub(crate) fn kept(texts: &[String]) -> Result<Vec<(String, Checkpoint, crate::SignedNote)>, AuditError> {
    let mut kept = Vec::new();
    for text in texts {
        // One note, or several with an empty line after each.
        let Entries { noted, unreadable, whole } = notebook::parse(text.as_bytes());
        if let Some(bad) = unreadable.first() {
            let problem = format!("line {} of it: {}", bad.line, bad.problem);
            return Err(AuditError::Kept { problem });
        }
        kept.extend(noted.into_iter().map(|noted| (noted.note.to_string(), noted.checkpoint, noted.note)));
        let rest = text[whole..].trim_start_matches('\n');
        if !rest.trim().is_empty() {
            let note: crate::SignedNote = rest.parse()?;
            kept.push((note.to_string(), Checkpoint::of(&note)?, note));
        }
    }
    if kept.is_empty() && !texts.is_empty() {
        return Err(AuditError::Kept { problem: "there is no note in it".to_owned() });
    }
    Ok(kept)
}

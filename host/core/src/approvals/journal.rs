//! The file that the book of approvals is kept in: JSON lines, each bound to the one before it and to the folder's key.
//! Nothing in it is ever changed; whoever can write to the file and not read the key can add nothing, and take away
//! only what came last, which the head in the audit log shows.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stockade_policy::{PublicKey, stands};

use super::BookError;
use crate::memfd::hex;
use crate::private::{self, open_own, private_folder};

/// Largest file: 64 MiB, a hundred thousand approvals.
const MAX_FILE: u64 = 64 * 1024 * 1024;
const FILE: &str = "approvals.jsonl";
const KEY: &str = "approvals.key";
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What happened, and who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    /// Seconds since 1970; never before that of the line above.
    pub(crate) at: u64,
    /// The user's number.
    pub(crate) uid: u32,
    /// The name that belonged to it.
    pub(crate) user: Option<String>,
    /// In their words.
    pub(crate) why: String,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum What {
    /// A first yes, whose number is that of the line.
    Approve(Wish),
    /// A further yes to an approval that waits for one.
    Agree { number: u64 },
    /// A no, to what nobody had approved.
    Deny(Wish),
    /// A no to an approval that waits for a further yes.
    Refuse { number: u64 },
    /// The end of an approval.
    Revoke { number: u64 },
    /// Likewise, because its time is over.
    Expire { number: u64 },
}

impl What {
    /// The approval that it is about, where that was there before.
    pub(crate) const fn number(&self) -> Option<u64> {
        match self {
            Self::Approve(_) | Self::Deny(_) => None,
            Self::Agree { number }
            | Self::Refuse { number }
            | Self::Revoke { number }
            | Self::Expire { number } => Some(*number),
        }
    }
}

/// What is said yes or no to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    pub(crate) plugin: String,
    /// SHA-256 of the component, or none where `versions` says which.
    pub(crate) component: Option<String>,
    pub(crate) versions: Option<String>,
    /// Only what this key has signed. Not written where it is none: lines from before there were signatures keep
    /// their MAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signed_by: Option<PublicKey>,
    /// As scopes are written, in order.
    pub(crate) scopes: Vec<String>,
    /// SHA-256 of them.
    pub(crate) grants_sha256: String,
    pub(crate) until: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    n: u64,
    prev: String,
    event: Event,
    mac: String,
}

/// The file. Hosts that share a state folder share it: each looks whether another has written before it uses what it
/// knows, and nobody writes behind a line that they have not read.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    /// There from the first line on: a folder without approvals has none.
    key: Option<[u8; 32]>,
    id: String,
    next: u64,
    head: String,
    length: u64,
}

impl Journal {
    /// Reads the file, where there is one, and checks every line of it.
    pub(crate) fn open(state: &Path) -> Result<(Journal, Vec<Event>), BookError> {
        let path = state.join(FILE);
        let broken = |source| BookError::File { path: path.clone(), source };
        private_folder(state).map_err(broken)?;
        let mut text = Vec::new();
        match open_own(&path) {
            Ok(file) => drop(file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(broken)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(broken(error)),
        }
        if text.len() as u64 > MAX_FILE {
            return Err(broken(io::Error::other("it is larger than any book of approvals")));
        }
        let (key, id) = (None, String::new());
        let mut journal = Journal { path, key, id, next: 1, head: GENESIS.to_owned(), length: 0 };
        // Where the file was taken away its key tells that there was one.
        if !text.is_empty() || journal.key_path().exists() {
            journal.have_key()?;
        }
        let mut events: Vec<Event> = Vec::new();
        // What follows the last line end was never answered: a crash left it.
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        for line in text[..whole].split_inclusive(|&byte| byte == b'\n') {
            let event = journal.check(line)?;
            events.push(event);
        }
        Ok((journal, events))
    }

    fn key_path(&self) -> PathBuf {
        self.path.with_file_name(KEY)
    }

    /// Reads the key, or makes it.
    pub(crate) fn have_key(&mut self) -> Result<(), BookError> {
        if self.key.is_none() {
            let failed = |source| BookError::File { path: self.key_path(), source };
            let key = private::key(&self.key_path()).map_err(failed)?;
            self.id = hex(&Sha256::digest(key));
            self.id.truncate(16);
            self.key = Some(key);
        }
        Ok(())
    }

    /// Whether there is, or was, anything in it.
    pub(crate) const fn is_begun(&self) -> bool {
        self.key.is_some()
    }

    fn check(&mut self, line: &[u8]) -> Result<Event, BookError> {
        let number = self.next;
        let unsound =
            |why: &str| BookError::Unsound { path: self.path.clone(), line: number, why: why.to_owned() };
        let read: Line = serde_json::from_slice(line).map_err(|error| unsound(&error.to_string()))?;
        let Line { n, prev, event, mac } = read;
        if (n != number || prev != self.head) && stands("approvals.chain") {
            return Err(unsound("it does not follow the line above: lines were removed, added or exchanged"));
        }
        if mac != self.mac(n, &prev, &event) && stands("approvals.mac") {
            return Err(unsound("it is not what this host wrote: it was changed, or written by another"));
        }
        self.follow(line);
        Ok(event)
    }

    fn follow(&mut self, line: &[u8]) {
        self.next += 1;
        self.head = hex(&Sha256::digest(line));
        self.length += line.len() as u64;
    }

    fn mac(&self, n: u64, prev: &str, event: &Event) -> String {
        let event = serde_json::to_vec(event).unwrap_or_default();
        let parts = [&n.to_le_bytes()[..], prev.as_bytes(), &event];
        // Without a key nothing fits.
        self.key.and_then(|key| private::mac(&key, &parts).ok()).unwrap_or_default()
    }

    /// Which book it is, for whoever keeps several: one for each key.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether the file is still what was read of it, as far as its length tells: lines are only ever added.
    pub(crate) fn is_current(&self) -> bool {
        std::fs::metadata(&self.path).map_or(0, |file| file.len()) == self.length
    }

    /// How many lines there are, and the digest of the last.
    pub(crate) fn head(&self) -> (u64, &str) {
        (self.next - 1, &self.head)
    }

    /// The line that an event would be, for whoever records it first.
    pub(crate) fn line(&self, event: &Event) -> Result<Prepared, BookError> {
        let (n, prev) = (self.next, self.head.clone());
        let mac = self.mac(n, &prev, event);
        let line = Line { n, prev, event: event.clone(), mac };
        let mut text = serde_json::to_vec(&line)
            .map_err(|error| BookError::File { path: self.path.clone(), source: io::Error::other(error) })?;
        text.push(b'\n');
        let head = hex(&Sha256::digest(&text));
        Ok(Prepared { n, text, head })
    }

    /// Takes the turn to write: nobody else does until it is let go of. Refused where another host has written what was
    /// not read.
    pub(crate) fn turn(&self) -> Result<Turn, BookError> {
        let failed = |source| BookError::File { path: self.path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(&self.path).map_err(failed)?;
        file.lock().map_err(failed)?;
        let mut behind = Vec::new();
        file.seek(SeekFrom::Start(self.length)).map_err(failed)?;
        (&file).take(MAX_FILE).read_to_end(&mut behind).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if length < self.length || behind.contains(&b'\n') {
            return Err(failed(io::Error::other("another host has just written in it; try again")));
        }
        Ok(Turn(file))
    }

    /// Writes a line. Returns once it is on the disk.
    pub(crate) fn write(&mut self, turn: Turn, prepared: &Prepared) -> Result<(), BookError> {
        let failed = |source| BookError::File { path: self.path.clone(), source };
        let Turn(mut file) = turn;
        // What a crash has left behind the last line, or half of a line that could not be written, goes.
        file.set_len(self.length).map_err(failed)?;
        let written = file.write_all(&prepared.text).and_then(|()| file.sync_all());
        written.map_err(failed)?;
        if self.length == 0 {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        self.follow(&prepared.text);
        Ok(())
    }
}

/// The turn to write in the file, which is locked as long as this is there.
#[derive(Debug)]
pub(crate) struct Turn(File);

/// A line that is not in the file yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Its number.
    pub(crate) n: u64,
    text: Vec<u8>,
    /// The digest that the head will be.
    pub(crate) head: String,
}

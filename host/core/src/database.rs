//! The files that the host keeps its own books in: SQLite, for this user alone.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// How long a second host on the same file is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Why a file is not to be had.
pub(crate) type Unusable = Box<dyn std::error::Error + Send + Sync>;

/// What a change survives once it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// The end of this process at any moment.
    Killed,
    /// Also the end of the machine.
    Always,
}

/// Opens a file, and makes it and its folder where they are not there.
pub(crate) fn open(path: &Path, keeps: Keeps, tables: &str) -> Result<Connection, Unusable> {
    if let Some(folder) = path.parent() {
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    // Made here, so that it is this user's alone from its first moment.
    drop(fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?);
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    // A change is in the log before it is answered.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match keeps {
        Keeps::Killed => "NORMAL",
        Keeps::Always => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.execute_batch(tables)?;
    Ok(connection)
}

//! What was last taken of which index, and which index was where.

use rusqlite::{OptionalExtension, TransactionBehavior, params};
use stockade_package::index::Seen;
use stockade_policy::PublicKey;

use super::{Inventory, broken};
use crate::install::InstallError;

/// What was last taken of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::install) struct SeenIndex {
    pub(in crate::install) seen: Seen,
    /// Whose signatures it had that counted.
    pub(in crate::install) keys: Vec<PublicKey>,
}

impl Inventory {
    /// The name of the index that was last at a place.
    pub(in crate::install) fn index_at(&self, place: &str) -> Result<Option<String>, InstallError> {
        const OF: &str = "SELECT name FROM place WHERE place = ?1";
        Ok(self.connection.query_row(OF, [place], |row| row.get(0)).optional()?)
    }

    /// What was last taken of an index.
    pub(in crate::install) fn seen(&self, name: &str) -> Result<Option<SeenIndex>, InstallError> {
        const OF: &str = "SELECT version, sha256, at, keys FROM seen WHERE name = ?1";
        let row = self.connection.query_row(OF, [name], |row| {
            let seen = Seen { version: row.get(0)?, sha256: row.get(1)?, at: row.get(2)? };
            Ok((seen, row.get::<_, String>(3)?))
        });
        let Some((seen, keys)) = row.optional()? else { return Ok(None) };
        Ok(Some(SeenIndex { seen, keys: serde_json::from_str(&keys).map_err(broken)? }))
    }

    /// Keeps what was taken of an index. `anew` forgets what was known of it.
    pub(in crate::install) fn note_seen(
        &mut self,
        place: &str,
        name: &str,
        SeenIndex { seen, keys }: &SeenIndex,
        anew: bool,
    ) -> Result<(), InstallError> {
        let keys = serde_json::to_string(keys).map_err(broken)?;
        let noting = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Somebody else may have taken a later one meanwhile.
        noting.execute(
            "INSERT INTO seen VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (name) DO UPDATE \
             SET version = ?2, sha256 = ?3, at = ?4, keys = ?5 WHERE ?6 OR version <= ?2",
            params![name, seen.version, seen.sha256, seen.at, keys, anew],
        )?;
        noting.execute(
            "INSERT INTO place VALUES (?1, ?2) ON CONFLICT (place) DO UPDATE SET name = ?2",
            params![place, name],
        )?;
        Ok(noting.commit()?)
    }
}

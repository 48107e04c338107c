//! Whether an index has every record of the log: by reading all of it.

use rusqlite::OptionalExtension;

use super::Index;
use super::schema::{Meta, hash, head};
use crate::error::AuditorError;
use crate::filter::TRACE;
use crate::progress::Progress;
use crate::source::{Found, Located, Source};
use crate::when::second_of;

/// How an index differs from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// Records of the log that the index has otherwise, or not at all, and so may hide.
    pub hidden: u64,
    /// The first of them.
    pub first: Option<u64>,
    /// Rows of the index beyond the records of the log.
    pub invented: u64,
}

/// A row as it should be.
type Row = (i64, i64, i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<String>, [String; 4]);

impl Index {
    /// Compares every row with its record.
    ///
    /// # Errors
    ///
    /// The log or the index cannot be read.
    pub fn check(&self, source: &Source) -> Result<Disagreement, AuditorError> {
        let failed = |error| AuditorError::Index { path: self.path.clone(), source: error };
        let mut row = self
            .db
            .prepare(
                "SELECT r.seq, r.file, r.offset, r.second, r.launch, r.call, r.trace, h.head,
                    coalesce(k.plugin, '') || char(10) || coalesce(k.digest, ''), k.layer || char(10) || k.event,
                    k.operation || char(10) || k.decision, coalesce(k.rule, '')
                 FROM records r JOIN kinds k ON k.id = r.kind LEFT JOIN heads h ON h.id = r.head WHERE r.n = ?1",
            )
            .map_err(failed)?;
        let progress = Progress::bytes("comparing", source.bytes_from(0, 0));
        let mut result = Disagreement { hidden: 0, first: None, invented: 0 };
        // What was removed since has no record to be compared with.
        let left = |what: &str| -> Result<i64, AuditorError> {
            let sql = format!("SELECT {what} FROM records WHERE file >= ?1");
            self.db.query_row(&sql, [self.meta.gone], |row| row.get(0)).map_err(failed)
        };
        let begun = left("coalesce(min(n), 0)")?;
        let (mut n, mut done) = (begun, 0);
        let (mut file, mut damaged) = (0, 0_u64);
        for found in source.read() {
            let located = match found? {
                Found::Record(located) => located,
                Found::Damaged(_) => {
                    damaged += 1;
                    continue;
                }
            };
            file = file.max(located.file);
            let stored = row
                .query_row([n], |row| {
                    Ok((
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                        row.get(5)?,
                        row.get(6)?,
                        row.get(7)?,
                        [row.get(8)?, row.get(9)?, row.get(10)?, row.get(11)?],
                    ))
                })
                .optional()
                .map_err(failed)?;
            if stored.as_ref() != Some(&expected(&located, &self.meta)) {
                result.hidden += 1;
                result.first.get_or_insert(located.entry.seq);
            }
            n += 1;
            done += located.line.len() as u64 + 1;
            progress.at(done);
            // What came since the index was opened is not its business.
            if n >= self.meta.records && (located.file, located.offset) >= self.last() {
                break;
            }
        }
        result.invented = (left("count(*)")? - (n - begun)).max(0).cast_unsigned();
        let damages: i64 = self
            .db
            .query_row("SELECT count(*) FROM damages WHERE file >= ?1", [self.meta.gone], |row| row.get(0))
            .map_err(failed)?;
        if damages.cast_unsigned() < damaged {
            result.hidden += 1;
        }
        // A span that tells of another time hides its records from questions of time.
        result.hidden += self.wrong_spans().map_err(failed)?;
        Ok(result)
    }

    fn last(&self) -> (usize, u64) {
        let (file, offset) = self.meta.last_place;
        (self.meta.file(file).unwrap_or_default(), offset.cast_unsigned())
    }

    /// Rows that no span covers with their time, and kinds that count less than there is.
    fn wrong_spans(&self) -> rusqlite::Result<u64> {
        let outside: i64 = self.db.query_row(
            "SELECT count(*) FROM records r WHERE NOT EXISTS (
                SELECT 1 FROM spans s WHERE s.first = r.n - r.n % 4096 AND s.last >= r.n
                AND (s.early IS NULL OR (r.second >= s.early AND r.second <= s.late)))",
            [],
            |row| row.get(0),
        )?;
        Ok(outside.cast_unsigned())
    }
}

fn expected(located: &Located, meta: &Meta) -> Row {
    let (entry, record) = (&located.entry, &located.entry.record);
    let plugin = record.plugin.as_deref();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (
        entry.seq.cast_signed(),
        meta.id(located.file),
        located.offset.cast_signed(),
        second_of(&entry.time),
        record.launch.as_deref().map(hash),
        record.call.map(u64::cast_signed),
        record.detail.text(TRACE).map(hash),
        (!record.resource.is_empty()).then(|| head(&record.resource).to_owned()),
        [
            format!(
                "{}\n{}",
                text(plugin.map(|plugin| plugin.name.as_str())),
                text(plugin.map(|plugin| plugin.digest.as_str()))
            ),
            format!("{}\n{}", record.layer, record.event),
            format!("{}\n{}", record.operation, record.decision),
            text(record.rule.as_ref().map(|rule| rule.id.as_ref())),
        ],
    )
}

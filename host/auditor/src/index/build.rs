//! Putting records into the index.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Statement, params};
use stockade_audit::Entry;

use super::schema::{Meta, SPAN, hash, head};
use crate::error::AuditorError;
use crate::filter::TRACE;
use crate::progress::Progress;
use crate::source::{Damage, Found, Source};
use crate::when::second_of;

/// Heads of resources that are kept in memory while records go in: some 100 MB. More are looked up.
const HEADS: usize = 1_000_000;

/// What of a record is the same in many.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    plugin: Option<(String, String)>,
    layer: &'static str,
    event: String,
    operation: String,
    decision: &'static str,
    rule: Option<String>,
}

impl Kind {
    fn of(entry: &Entry) -> Self {
        let record = &entry.record;
        Self {
            plugin: record.plugin.as_deref().map(|plugin| (plugin.name.clone(), plugin.digest.clone())),
            layer: record.layer.as_str(),
            event: record.event.to_string(),
            operation: record.operation.to_string(),
            decision: record.decision.as_str(),
            rule: record.rule.as_ref().map(|rule| rule.id.to_string()),
        }
    }
}

/// The time that a span of records covers.
struct Span {
    first: i64,
    early: Option<i64>,
    late: Option<i64>,
    /// Whether a record in it has a time that cannot be read: it is looked at whatever time is asked for.
    odd: bool,
}

/// What an error of SQLite is told with.
pub(super) enum Trouble {
    /// The index.
    Index(rusqlite::Error),
    /// The log.
    Log(AuditorError),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(error)
    }
}

/// Puts everything from `meta`'s place on into the index; says how far it is then.
pub(super) fn fill(db: &Connection, source: &Source, mut meta: Meta) -> Result<Meta, Trouble> {
    for (number, file) in source.files.iter().enumerate() {
        let first = file.first.map(|(_, hash)| hash.to_string()).unwrap_or_default();
        let id = meta.id(number);
        db.execute("INSERT OR REPLACE INTO files VALUES (?1, ?2, ?3)", params![id, file.name, first])?;
    }
    let (file, offset) = meta.next();
    let progress = Progress::bytes("indexing", source.bytes_from(file, offset));
    let mut filling = Filling::new(db, meta.records)?;
    let mut records = source.read_from(file, offset);
    let mut done = 0;
    for found in records.by_ref() {
        match found.map_err(Trouble::Log)? {
            Found::Damaged(damage) => {
                let file = source.files.iter().position(|file| file.name == damage.file).unwrap_or_default();
                filling.damage(meta.id(file), &damage)?;
            }
            Found::Record(located) => {
                if meta.records == 0 {
                    meta.log = located.entry.record.detail.text("log").unwrap_or_default().to_owned();
                }
                let place = (meta.id(located.file), located.offset.cast_signed());
                filling.record(meta.records, &located.entry, place)?;
                meta.records += 1;
                meta.last_seq = located.entry.seq.cast_signed();
                meta.last_hash = located.entry.hash.to_string();
                meta.last_place = place;
                done += located.line.len() as u64 + 1;
                progress.at(done);
            }
        }
    }
    let (file, offset) = records.end();
    meta.next_place = (meta.id(file), offset.cast_signed());
    filling.finish()?;
    meta.store(db)?;
    Ok(meta)
}

struct Filling<'d> {
    db: &'d Connection,
    insert: Statement<'d>,
    find_head: Statement<'d>,
    new_head: Statement<'d>,
    kinds: HashMap<Kind, (i64, i64)>,
    heads: HashMap<String, i64>,
    next_head: i64,
    next_kind: i64,
    span: Option<Span>,
    next: i64,
}

impl<'d> Filling<'d> {
    fn new(db: &'d Connection, records: i64) -> rusqlite::Result<Self> {
        let mut kinds = HashMap::new();
        let mut all = db.prepare(
            "SELECT plugin, digest, layer, event, operation, decision, rule, id, count FROM kinds",
        )?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let plugin: Option<(String, String)> = row.get::<_, Option<String>>(0)?.zip(row.get(1)?);
            let (layer, decision): (String, String) = (row.get(2)?, row.get(5)?);
            let named =
                |layer: &str| stockade_audit::Layer::ALL.into_iter().find(|one| one.as_str() == layer);
            let decided =
                |text: &str| stockade_audit::Decision::ALL.into_iter().find(|one| one.as_str() == text);
            // Not of this program's making; the number stays taken.
            let (Some(layer), Some(decision)) = (named(&layer), decided(&decision)) else { continue };
            let kind = Kind {
                plugin,
                layer: layer.as_str(),
                event: row.get(3)?,
                operation: row.get(4)?,
                decision: decision.as_str(),
                rule: row.get(6)?,
            };
            kinds.insert(kind, (row.get(7)?, row.get(8)?));
        }
        drop(rows);
        drop(all);
        let next = |table| {
            db.query_row(&format!("SELECT coalesce(max(id), 0) + 1 FROM {table}"), [], |row| row.get(0))
        };
        let (next_head, next_kind) = (next("heads")?, next("kinds")?);
        // The last span goes on where it was not full.
        let open = records - records % SPAN;
        let span = db
            .query_row("SELECT early, late FROM spans WHERE first = ?1", [open], |row| {
                let (early, late) = (row.get(0)?, row.get(1)?);
                Ok(Span { first: open, early, late, odd: early.is_none() })
            })
            .optional()?;
        Ok(Self {
            db,
            insert: db.prepare("INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?,
            find_head: db.prepare("SELECT id FROM heads WHERE head = ?1")?,
            new_head: db.prepare("INSERT INTO heads VALUES (?1, ?2)")?,
            kinds,
            heads: HashMap::new(),
            next_head,
            next_kind,
            span,
            next: records,
        })
    }

    fn record(&mut self, n: i64, entry: &Entry, (file, offset): (i64, i64)) -> rusqlite::Result<()> {
        let record = &entry.record;
        let kind = self.kind(entry);
        let head = self.head(&record.resource)?;
        let second = second_of(&entry.time);
        if n % SPAN == 0 {
            self.close_span(n)?;
        }
        self.next = n + 1;
        let span = self.span.get_or_insert(Span { first: n, early: second, late: second, odd: false });
        match second {
            Some(second) => {
                span.early = Some(span.early.map_or(second, |early| early.min(second)));
                span.late = Some(span.late.map_or(second, |late| late.max(second)));
            }
            None => span.odd = true,
        }
        self.insert.execute(params![
            n,
            entry.seq.cast_signed(),
            file,
            offset,
            second,
            kind,
            head,
            record.launch.as_deref().map(hash),
            record.call.map(u64::cast_signed),
            record.detail.text(TRACE).map(hash),
        ])?;
        Ok(())
    }

    fn kind(&mut self, entry: &Entry) -> i64 {
        let next = &mut self.next_kind;
        let (id, count) = self.kinds.entry(Kind::of(entry)).or_insert_with(|| {
            *next += 1;
            (*next - 1, 0)
        });
        *count += 1;
        *id
    }

    fn head(&mut self, resource: &str) -> rusqlite::Result<Option<i64>> {
        if resource.is_empty() {
            return Ok(None);
        }
        let head = head(resource);
        if let Some(id) = self.heads.get(head) {
            return Ok(Some(*id));
        }
        if self.heads.len() >= HEADS {
            self.heads.clear();
        }
        let known = self.find_head.query_row([head], |row| row.get(0)).optional()?;
        let id = match known {
            Some(id) => id,
            None => {
                let id = self.next_head;
                self.new_head.execute(params![id, head])?;
                self.next_head += 1;
                id
            }
        };
        self.heads.insert(head.to_owned(), id);
        Ok(Some(id))
    }

    fn damage(&mut self, file: i64, damage: &Damage) -> rusqlite::Result<()> {
        self.db.execute(
            "INSERT INTO damages VALUES (?1, ?2, ?3)",
            params![file, damage.offset.cast_signed(), damage.problem],
        )?;
        Ok(())
    }

    fn close_span(&mut self, next: i64) -> rusqlite::Result<()> {
        if let Some(span) = self.span.take() {
            let (early, late) = if span.odd { (None, None) } else { (span.early, span.late) };
            self.db.execute(
                "INSERT OR REPLACE INTO spans VALUES (?1, ?2, ?3, ?4)",
                params![span.first, next - 1, early, late],
            )?;
        }
        Ok(())
    }

    fn finish(mut self) -> rusqlite::Result<()> {
        self.close_span(self.next)?;
        let mut set =
            self.db.prepare("INSERT OR REPLACE INTO kinds VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
        for (kind, (id, count)) in &self.kinds {
            let (plugin, digest) = kind.plugin.as_ref().map(|(name, digest)| (name, digest)).unzip();
            set.execute(params![
                id,
                plugin,
                digest,
                kind.layer,
                kind.event,
                kind.operation,
                kind.decision,
                kind.rule,
                count
            ])?;
        }
        Ok(())
    }
}

//! From a filter to the places that may have records of it.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::schema::{hash, head};
use super::{Index, Meta};
use crate::error::AuditorError;
use crate::filter::{Filter, Pattern};

/// Above one record in so many, reading the whole table in its order beats looking each up and sorting.
const WORTH_A_TREE: i64 = 8;

/// A place that may have a record of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) seq: u64,
    pub(crate) file: usize,
    pub(crate) offset: u64,
}

/// What is asked of the tables.
struct Question {
    tree: &'static str,
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Question {
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.conditions.push(condition.to_owned());
        self.values.extend(values);
    }
}

/// The condition that a column of texts fits a pattern.
fn fits(column: &str, pattern: &Pattern) -> (String, Vec<Value>) {
    match pattern {
        Pattern::Exact(exact) => (format!("{column} = ?"), vec![exact.clone().into()]),
        Pattern::Prefix(prefix) => {
            // Bytes of texts are compared, and no text has a byte 0xff.
            (
                format!("substr(CAST({column} AS BLOB), 1, ?) = CAST(? AS BLOB)"),
                vec![(prefix.len() as i64).into(), prefix.clone().into()],
            )
        }
    }
}

impl Index {
    /// Shows `visit` every place that may have a record of the filter, in the log's order or against it, until it
    /// says no.
    pub(crate) fn candidates(
        &self,
        filter: &Filter,
        reverse: bool,
        visit: &mut dyn FnMut(Candidate) -> Result<bool, AuditorError>,
    ) -> Result<(), AuditorError> {
        let failed = |source| AuditorError::Index { path: self.path.clone(), source };
        let question = question(&self.db, &self.meta, filter).map_err(failed)?;
        let conditions = match question.conditions.len() {
            0 => "true".to_owned(),
            _ => question.conditions.join(" AND "),
        };
        let sql = format!(
            "SELECT seq, file, offset FROM records {} WHERE {conditions} AND file >= {} ORDER BY n {}",
            question.tree,
            self.meta.gone,
            if reverse { "DESC" } else { "" },
        );
        let mut statement = self.db.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query(params_from_iter(question.values)).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let number = |column| row.get::<_, i64>(column).map_err(failed);
            let candidate = Candidate {
                seq: number(0)?.cast_unsigned(),
                file: self.meta.file(number(1)?).unwrap_or(usize::MAX),
                offset: number(2)?.cast_unsigned(),
            };
            if !visit(candidate)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Index {
    /// Where the record with this number should be.
    pub(crate) fn place_of(&self, seq: u64) -> Result<Option<(usize, u64)>, AuditorError> {
        let failed = |source| AuditorError::Index { path: self.path.clone(), source };
        let number = |sql: &str, value: i64| {
            self.db
                .query_row(sql, [value], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
                .optional()
                .map_err(failed)
        };
        // Numbers have no gaps, so a record's row is as far from the first as its number.
        let Some((first, n)) = number("SELECT seq, n FROM records WHERE n >= ?1 ORDER BY n LIMIT 1", 0)?
        else {
            return Ok(None);
        };
        let row = seq.cast_signed().wrapping_sub(first).wrapping_add(n);
        let place = number("SELECT file, offset FROM records WHERE n = ?1", row)?;
        Ok(place.and_then(|(file, offset)| Some((self.meta.file(file)?, offset.cast_unsigned()))))
    }
}

fn question(db: &Connection, meta: &Meta, filter: &Filter) -> rusqlite::Result<Question> {
    let mut question = Question { tree: "NOT INDEXED", conditions: Vec::new(), values: Vec::new() };
    if let Some(kinds) = kinds(db, filter)? {
        if kinds.ids.is_empty() {
            question.and("false", []);
            return Ok(question);
        }
        if kinds.count.saturating_mul(WORTH_A_TREE) < meta.records {
            question.tree = "INDEXED BY records_by_kind";
        }
        // Numbers of ours: no text of a plugin is ever part of a statement.
        question.and(&format!("kind IN ({})", kinds.ids), []);
    }
    if let Some(resource) = &filter.resource {
        let (condition, values) = heads(resource);
        if !condition.is_empty() {
            question.and(&condition, values);
            // Of records without a resource there is no tree.
            if question.tree == "NOT INDEXED" && condition.starts_with("head IN") {
                question.tree = "INDEXED BY records_by_head";
            }
        }
    }
    for (column, text, tree) in [
        ("launch", &filter.launch, "INDEXED BY records_by_launch"),
        ("trace", &filter.trace, "INDEXED BY records_by_trace"),
    ] {
        if let Some(text) = text {
            question.and(&format!("{column} = ?"), [hash(text).into()]);
            question.tree = tree;
        }
    }
    if let Some(call) = filter.call {
        question.and("call = ?", [call.cast_signed().into()]);
    }
    time(db, filter, &mut question)?;
    Ok(question)
}

struct Kinds {
    ids: String,
    count: i64,
}

/// The kinds of records that fit; none where the filter says nothing of what a kind has.
fn kinds(db: &Connection, filter: &Filter) -> rusqlite::Result<Option<Kinds>> {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    for (column, pattern) in [
        ("plugin", &filter.plugin),
        ("digest", &filter.digest),
        ("event", &filter.event),
        ("operation", &filter.operation),
        ("rule", &filter.rule),
    ] {
        if let Some(pattern) = pattern {
            let (condition, more) = fits(column, pattern);
            conditions.push(condition);
            values.extend(more);
        }
    }
    let mut one_of = |column: &str, names: Vec<&'static str>| {
        if !names.is_empty() {
            conditions.push(format!("{column} IN ({})", vec!["?"; names.len()].join(",")));
            values.extend(names.into_iter().map(|name| Value::from(name.to_owned())));
        }
    };
    one_of("layer", filter.layers.iter().map(|layer| layer.as_str()).collect());
    one_of("decision", filter.decisions.iter().map(|decision| decision.as_str()).collect());
    if conditions.is_empty() {
        return Ok(None);
    }
    let sql = format!("SELECT id, count FROM kinds WHERE {}", conditions.join(" AND "));
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut ids, mut count) = (Vec::new(), 0_i64);
    while let Some(row) = rows.next()? {
        ids.push(row.get::<_, i64>(0)?.to_string());
        count = count.saturating_add(row.get::<_, i64>(1)?.max(0));
    }
    Ok(Some(Kinds { ids: ids.join(","), count }))
}

/// The condition on a record's head that its resource may fit.
fn heads(resource: &Pattern) -> (String, Vec<Value>) {
    let within = |condition: &str| format!("head IN (SELECT id FROM heads WHERE {condition})");
    match resource {
        Pattern::Exact(exact) if exact.is_empty() => ("head IS NULL".into(), Vec::new()),
        Pattern::Exact(exact) => (within("head = ?"), vec![head(exact).to_owned().into()]),
        Pattern::Prefix(prefix) if prefix.is_empty() => (String::new(), Vec::new()),
        Pattern::Prefix(prefix) => {
            // Of a prefix that is longer than a head, the head is all that can be asked for.
            let start = head(prefix);
            let from: Value = start.to_owned().into();
            match after(start) {
                Some(end) => (within("head >= ? AND head < ?"), vec![from, end.into()]),
                None => (within("head >= ?"), vec![from]),
            }
        }
    }
}

/// The first text after all that begin with `start`, in the order of bytes.
fn after(start: &str) -> Option<String> {
    let mut text = start.to_owned();
    while let Some(last) = text.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// Narrows the rows to the spans whose time may fit. The exact time is for the record to say.
fn time(db: &Connection, filter: &Filter, question: &mut Question) -> rusqlite::Result<()> {
    if filter.since.is_none() && filter.until.is_none() {
        return Ok(());
    }
    let since = filter.since.as_ref().map_or(i64::MIN, |since| since.second());
    let until = filter.until.as_ref().map_or(i64::MAX, |until| until.second());
    let (first, last): (Option<i64>, Option<i64>) = db.query_row(
        "SELECT min(first), max(last) FROM spans WHERE early IS NULL OR (early <= ?2 AND late >= ?1)",
        [since, until],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let (first, last) = first.zip(last).unwrap_or((1, 0));
    question.and("n BETWEEN ? AND ?", [first.into(), last.into()]);
    question.and("(second IS NULL OR second BETWEEN ? AND ?)", [since.into(), until.into()]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f2_no_character_stands_after_all_that_begin_with_a_text() {
        assert_eq!(after("/src"), Some("/srd".into()));
        assert_eq!(after("a\u{10ffff}"), Some("b".into()));
        assert_eq!(after("\u{d7ff}"), Some("\u{e000}".into()));
        assert_eq!(after("\u{10ffff}"), None);
        for start in ["/", "é", "a\u{10ffff}", "\u{d7ff}"] {
            let hostile = format!("{start}\u{10ffff}\u{10ffff}\u{10ffff}");
            assert!(after(start).is_none_or(|end| hostile < end), "{start:?}");
        }
    }
}

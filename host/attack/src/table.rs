//! The report for people.

use std::fmt::Write as _;

use stockade_audit::escape_for_terminal;

use crate::report::{Group, Report, Row, Verdict};

/// A column: its heading, its widest, and what stands in it.
struct Column {
    heading: &'static str,
    widest: usize,
    cell: fn(&Row) -> String,
}

const VERDICT: Column = Column { heading: "", widest: 7, cell: |row| row.verdict.as_str().to_owned() };
const ID: Column = Column { heading: "case", widest: 36, cell: |row| row.id.clone() };
const CONTROL: Column = Column { heading: "no layer", widest: 9, cell: |row| row.control.clone() };
const LANDLOCK: Column = Column { heading: "landlock", widest: 9, cell: |row| row.landlock.clone() };
const SECCOMP: Column = Column { heading: "seccomp", widest: 16, cell: |row| row.seccomp.clone() };
const ALL: Column = Column { heading: "worker", widest: 11, cell: in_worker };
const FOUND: Column = Column { heading: "worker", widest: 42, cell: |row| row.all.clone() };
/// Where the suite's own log has it; nothing where no record is due.
const RECORD: Column = Column {
    heading: "record",
    widest: 8,
    cell: |row| row.record.map_or_else(String::new, |seq| seq.to_string()),
};
const TIME: Column = Column { heading: "ms", widest: 6, cell: |row| row.millis.to_string() };
/// Where the filter stops a worker at the very call that it stops everybody at, what that means for the
/// worker is worth more than its name once more.
fn in_worker(row: &Row) -> String {
    let stopped = row.record.is_some() && row.all == row.seccomp && !row.all.starts_with("SIG");
    if stopped { "killed".to_owned() } else { row.all.clone() }
}

/// What is tried has whatever the others leave.
const TRIES: Column = Column { heading: "tries", widest: 60, cell: |row| row.tries.clone() };
/// Less than this of it says nothing.
const LEAST_TRIES: usize = 24;
const BETWEEN: &str = "  ";

impl Report {
    /// The report as a table for a terminal so wide. Everything in it is escaped.
    pub fn text(&self, width: usize) -> String {
        let mut text = String::new();
        for group in Group::ALL {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.group == group).collect();
            if !rows.is_empty() {
                let _ = writeln!(text, "{}", group.title());
                table(&mut text, &rows, columns(group), width);
                text.push('\n');
            }
        }
        for verdict in [Verdict::Skipped, Verdict::Vacuous, Verdict::Broken] {
            let mut rows = self.rows.iter().filter(|row| row.verdict == verdict).peekable();
            if rows.peek().is_some() {
                let _ = writeln!(text, "{}", verdict.as_str());
            }
            for row in rows {
                let whole = format!("{}: {}", escape_for_terminal(&row.id), escape_for_terminal(&row.why));
                wrap(&mut text, &whole, width);
            }
        }
        let _ = writeln!(
            text,
            "held {}, vacuous {}, skipped {}, broken {}   ({}, Linux {}, namespaces {}, {:.1} s)",
            self.held,
            self.vacuous,
            self.skipped,
            self.broken,
            escape_for_terminal(&self.user),
            escape_for_terminal(&self.kernel),
            self.namespaces,
            self.seconds
        );
        text
    }
}

fn columns(group: Group) -> &'static [Column] {
    match group {
        Group::Native => &[VERDICT, ID, TRIES, CONTROL, LANDLOCK, SECCOMP, ALL, RECORD, TIME],
        Group::Outside => &[VERDICT, ID, TRIES, FOUND],
        Group::Peer | Group::Guest => &[VERDICT, ID, TRIES, FOUND, RECORD, TIME],
    }
}

fn table(text: &mut String, rows: &[&Row], columns: &[Column], width: usize) {
    let cell = |column: &Column, row: &Row| escape_for_terminal(&(column.cell)(row)).into_owned();
    let mut widths: Vec<usize> = columns
        .iter()
        .map(|column| {
            let cells = rows.iter().map(|row| length(&cell(column, row)));
            cells.chain([length(column.heading)]).max().unwrap_or(0).min(column.widest)
        })
        .collect();
    let tries = columns.iter().position(|column| column.heading == TRIES.heading).unwrap_or(0);
    let others: usize =
        widths.iter().enumerate().filter(|(number, _)| *number != tries).map(|(_, width)| width).sum();
    let left = width.saturating_sub(others + BETWEEN.len() * (columns.len() - 1));
    widths[tries] = widths[tries].min(left.max(LEAST_TRIES));
    line(text, columns.iter().map(|column| column.heading.to_owned()), &widths);
    for row in rows {
        line(text, columns.iter().map(|column| cell(column, row)), &widths);
    }
}

fn line(text: &mut String, cells: impl Iterator<Item = String>, widths: &[usize]) {
    let padded: Vec<String> = cells
        .zip(widths)
        .map(|(cell, &width)| {
            let cell = cut(&cell, width);
            let padding = width - length(&cell);
            format!("{cell}{}", " ".repeat(padding))
        })
        .collect();
    text.push_str(padded.join(BETWEEN).trim_end());
    text.push('\n');
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Whole words on lines of this width, the second and further ones indented.
fn wrap(text: &mut String, whole: &str, width: usize) {
    let mut used = 0;
    for word in whole.split(' ') {
        if used > 0 && used + 1 + length(word) > width {
            text.push_str("\n     ");
            used = 5;
        } else if used == 0 {
            text.push(' ');
        }
        text.push(' ');
        text.push_str(word);
        used += 1 + length(word);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let row = |id: &str, tries: &str| Row {
            control: "done".into(),
            landlock: "EACCES".into(),
            seccomp: "openat".into(),
            all: "openat".into(),
            millis: 3,
            ..Row::new(Group::Native, id, "A1", tries)
        };
        let rows = vec![
            row("A1.openat-passwd", "openat(\"/etc/passwd\", O_RDONLY)"),
            row("A1.long", &"x".repeat(60)),
            row("A1.broken", "a\nb\u{1b}[31m").judged(Verdict::Broken, "word ".repeat(60)),
            Row::new(Group::Guest, "C1.start-loop", "C1", "loops").judged(Verdict::Skipped, "no\ncompiler"),
        ];
        Report::new(rows, "cheap".to_owned(), 1.25)
    }

    #[test]
    fn nothing_is_wider_than_the_terminal_and_nothing_hostile_is_left() {
        let text = report().text(100);
        assert!(text.lines().all(|line| length(line) <= 100), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.contains("a\\u{a}b") && text.contains("C1.start-loop: no\\u{a}compiler"), "{text}");
    }

    #[test]
    fn the_columns_stand_below_their_headings_and_the_summary_counts() {
        let text = report().text(120);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "native code in a compromised worker");
        let at = lines[1].find("landlock").expect("a heading");
        assert_eq!(&lines[2][at..at + 6], "EACCES", "{text}");
        assert!(lines[2].starts_with("held    A1.openat-passwd"), "{text}");
        assert!(text.contains("held 2, vacuous 0, skipped 1, broken 1   ("), "{text}");
        assert!(!report().is_sound());
    }

    #[test]
    fn what_is_too_long_is_cut_visibly() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
    }
}

//! Tables for people: columns as wide as their widest cell.

use crate::output::safe;

/// Between two columns.
const BETWEEN: &str = "  ";

/// Rows of cells under headings. Numbers stand at the right.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// Columns by their headings; those that end in `>` stand at the right.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let right = headings.iter().map(|heading| heading.ends_with('>')).collect();
        let headings = headings.iter().map(|heading| heading.trim_end_matches('>').to_owned()).collect();
        Self { rows: vec![headings], right }
    }

    /// One row more. Cells may be hostile text.
    pub(crate) fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        self.rows.push(cells.into_iter().map(safe).collect());
    }

    /// Its lines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let length = |text: &String| text.chars().count();
        let widths: Vec<usize> = (0..self.right.len())
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(length).max().unwrap_or(0))
            .collect();
        self.rows.iter().map(move |row| {
            let cells = row.iter().zip(&widths).zip(&self.right).map(|((cell, width), right)| match right {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            });
            cells.collect::<Vec<_>>().join(BETWEEN).trim_end().to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["PLUGIN", "CALLS>", "WHY"]);
        table.row(["a/longer", "7", ""]);
        table.row(["b\u{1b}", "1234", "so"]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines, ["PLUGIN    CALLS  WHY", "a/longer      7", "b\\u{1b}    1234  so"]);
    }
}

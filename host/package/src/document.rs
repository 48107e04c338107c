use std::ops::Range;

use semver::VersionReq;
use toml::de::{DeTable, DeValue};

use crate::manifest::MAX_SHORT;
use crate::{At, PackageError};

/// A parsed manifest with its text, so that every complaint names a line and a column.
pub(crate) struct Document<'t> {
    text: &'t str,
    root: DeTable<'t>,
}

/// One table of the document.
pub(crate) struct Section<'d> {
    text: &'d str,
    path: String,
    span: Range<usize>,
    table: &'d DeTable<'d>,
}

/// A text value and where it stands.
pub(crate) struct Text<'d> {
    pub(crate) at: At,
    pub(crate) value: &'d str,
}

fn at(text: &str, offset: usize, key: &str) -> At {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    At {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        key: key.to_owned(),
    }
}

impl<'t> Document<'t> {
    pub(crate) fn parse(text: &'t str) -> Result<Self, PackageError> {
        let root = DeTable::parse(text).map_err(|error| {
            let at = at(text, error.span().map_or(0, |span| span.start), "");
            match error.message() {
                "duplicate key" => PackageError::DuplicateKey { at },
                message => PackageError::Syntax { at, message: message.to_owned() },
            }
        })?;
        Ok(Self { text, root: root.into_inner() })
    }

    pub(crate) fn root(&self) -> Section<'_> {
        Section { text: self.text, path: String::new(), span: 0..0, table: &self.root }
    }
}

impl<'d> Section<'d> {
    /// Whether all of its keys mean something here.
    pub(crate) fn knows(&self, known: &'static [&'static str]) -> Result<(), PackageError> {
        let unknown = self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        match unknown.min_by_key(|key| key.span().start) {
            None => Ok(()),
            Some(key) => Err(PackageError::UnknownKey {
                at: at(self.text, key.span().start, &self.path),
                key: key.get_ref().clone().into_owned(),
                known,
            }),
        }
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn place(&self, span: Range<usize>, key: &str) -> At {
        at(self.text, span.start, &self.key(key))
    }

    /// Where the table starts.
    pub(crate) fn at(&self) -> At {
        at(self.text, self.span.start, &self.path)
    }

    fn wrong(
        &self,
        key: &str,
        span: Range<usize>,
        expected: &'static str,
        found: &DeValue<'_>,
    ) -> PackageError {
        PackageError::WrongKind { at: self.place(span, key), expected, found: found.type_str() }
    }

    /// A text that may be absent, of at most `max` bytes.
    pub(crate) fn optional(&self, key: &'static str, max: usize) -> Result<Option<Text<'d>>, PackageError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let DeValue::String(text) = value.get_ref() else {
            return Err(self.wrong(key, value.span(), "a string", value.get_ref()));
        };
        let at = self.place(value.span(), key);
        if text.len() > max {
            return Err(PackageError::TooLong { at, max });
        }
        Ok(Some(Text { at, value: text }))
    }

    /// A text that must be there.
    pub(crate) fn required(&self, key: &'static str, max: usize) -> Result<Text<'d>, PackageError> {
        self.optional(key, max)?.ok_or_else(|| PackageError::MissingKey { at: self.at(), key })
    }

    /// An integer that must be there, as it is spelled.
    pub(crate) fn integer(&self, key: &'static str) -> Result<(At, &'d str), PackageError> {
        let value = self.table.get(key).ok_or_else(|| PackageError::MissingKey { at: self.at(), key })?;
        match value.get_ref() {
            DeValue::Integer(number) => Ok((self.place(value.span(), key), number.as_str())),
            other => Err(self.wrong(key, value.span(), "an integer", other)),
        }
    }

    /// A range of versions that may be absent, and where it stands.
    pub(crate) fn versions(&self, key: &'static str) -> Result<Option<(At, VersionReq)>, PackageError> {
        let Some(Text { at, value }) = self.optional(key, MAX_SHORT)? else { return Ok(None) };
        match VersionReq::parse(value) {
            Ok(versions) => Ok(Some((at, versions))),
            Err(source) => Err(PackageError::Versions { at, versions: value.to_owned(), source }),
        }
    }

    /// A yes or no that may be absent.
    pub(crate) fn boolean(&self, key: &'static str) -> Result<Option<bool>, PackageError> {
        match self.table.get(key).map(|value| (value.span(), value.get_ref())) {
            None => Ok(None),
            Some((_, DeValue::Boolean(value))) => Ok(Some(*value)),
            Some((span, other)) => Err(self.wrong(key, span, "true or false", other)),
        }
    }

    /// A table that may be absent.
    pub(crate) fn table(&self, key: &'static str) -> Result<Option<Section<'d>>, PackageError> {
        match self.table.get(key).map(|value| (value.span(), value.get_ref())) {
            None => Ok(None),
            Some((span, DeValue::Table(table))) => {
                Ok(Some(Section { text: self.text, path: self.key(key), span, table }))
            }
            Some((span, other)) => Err(self.wrong(key, span, "a table", other)),
        }
    }

    /// The tables of an array of tables; none where the key is absent.
    pub(crate) fn sections(&self, key: &'static str, max: usize) -> Result<Vec<Section<'d>>, PackageError> {
        let Some(value) = self.table.get(key) else { return Ok(Vec::new()) };
        let DeValue::Array(array) = value.get_ref() else {
            return Err(self.wrong(key, value.span(), "an array of tables", value.get_ref()));
        };
        if array.len() > max {
            return Err(PackageError::TooMany { at: self.place(value.span(), key), max });
        }
        let sections = array.iter().enumerate().map(|(index, entry)| match entry.get_ref() {
            DeValue::Table(table) => {
                let path = format!("{}[{index}]", self.key(key));
                Ok(Section { text: self.text, path, span: entry.span(), table })
            }
            other => Err(self.wrong(key, entry.span(), "a table", other)),
        });
        sections.collect()
    }
}

/// Where a manifest stops being UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, PackageError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        PackageError::NotUtf8 { at: at(valid, valid.len(), "") }
    })
}

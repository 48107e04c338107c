use std::fmt;

/// A place in `plugin.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// `tools[0].name`; empty where no key is at fault.
    pub key: String,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin.toml:{}:{}", self.line, self.column)?;
        if self.key.is_empty() { Ok(()) } else { write!(f, " {}", self.key) }
    }
}

use std::collections::HashSet;

use semver::Version;
use serde::{Deserialize, Serialize};
use stockade_policy::{is_plugin_name, is_sha256};
use toml::Spanned;

use super::error::cut;
use super::{MAX_STEPS, Source};
use crate::dependency::MAX_DEPENDENCIES;
use crate::manifest::MAX_SHORT;
use crate::{Explain, Problem};

/// What a lock file is called.
pub const LOCK_FILE: &str = "stockade.lock";
/// Plugins of one lock file: as many as can be resolved at all.
pub const MAX_LOCKED: usize = MAX_STEPS as usize;
/// Largest lock file: 4 MiB, 1 KiB for each plugin. Bounds the parser behind it.
pub const MAX_LOCK: u64 = 4 * 1024 * 1024;

/// The form that this version reads and writes.
const FORMAT: u64 = 1;

/// Which packages were taken: whoever has this file gets the same ones, whatever an index says by then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// By name, each once.
    plugins: Vec<Locked>,
}

/// One of the packages that were taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// `publisher/name`.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// The package's digest: `sha256:` and 64 digits.
    pub digest: String,
    /// Where it was.
    pub source: Source,
    /// The plugins that it was resolved with, by name.
    pub dependencies: Vec<(String, Version)>,
}

/// Why something is no lock file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Over the cap.
    #[error("the lock file is larger than {max} bytes")]
    TooLarge {
        /// The cap.
        max: u64,
    },
    /// Not TOML in UTF-8, or with other keys than a lock file has.
    #[error("it is no lock file: {message}")]
    Shape {
        /// Where.
        at: String,
        /// The parser's words.
        message: String,
    },
    /// Written by another version of this program.
    #[error("lock file format {found} is not known; this version reads format 1")]
    Format {
        /// The format that it claims.
        found: u64,
    },
    /// A value that is none.
    #[error("\"{found}\" is no {what}")]
    Value {
        /// Where.
        at: String,
        /// What belongs there.
        what: &'static str,
        /// What stands there, escaped.
        found: String,
    },
    /// The same twice.
    #[error("{name:?} is there twice")]
    Duplicate {
        /// The second.
        at: String,
        /// Which plugin.
        name: String,
    },
    /// More entries than there can be.
    #[error("more than {max} entries")]
    TooMany {
        /// Where.
        at: String,
        /// The cap.
        max: usize,
    },
}

impl LockError {
    const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "lock-too-large",
            Self::Shape { .. } => "lock-shape",
            Self::Format { .. } => "lock-format",
            Self::Value { .. } => "lock-value",
            Self::Duplicate { .. } => "lock-duplicate",
            Self::TooMany { .. } => "lock-too-many",
        }
    }
}

impl Explain for LockError {
    fn problem(&self) -> Problem {
        let field = match self {
            Self::Shape { at, .. }
            | Self::Value { at, .. }
            | Self::Duplicate { at, .. }
            | Self::TooMany { at, .. } => at.clone(),
            Self::TooLarge { .. } | Self::Format { .. } => LOCK_FILE.to_owned(),
        };
        let next_step = match self {
            Self::Format { .. } => "use a later version of stockade",
            _ => "take the lock file as it was written, or remove it and resolve anew",
        };
        Problem::new(self.code(), field, self.chain(), next_step)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[expect(dead_code, reason = "it was looked at before")]
    version: u64,
    #[serde(default)]
    plugin: Vec<Entry>,
}

/// Of which form it is, whatever else may be in it by then.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Spanned<String>,
    version: Spanned<String>,
    digest: Spanned<String>,
    source: Spanned<String>,
    #[serde(default)]
    dependencies: Vec<Spanned<String>>,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u64,
    plugin: Vec<WrittenEntry<'a>>,
}

#[derive(Serialize)]
struct WrittenEntry<'a> {
    name: &'a str,
    version: String,
    digest: &'a str,
    source: &'a str,
    dependencies: Vec<String>,
}

impl Lock {
    /// A lock of these.
    ///
    /// # Errors
    ///
    /// One is there twice, or there are too many.
    pub fn of(mut plugins: Vec<Locked>) -> Result<Lock, LockError> {
        if plugins.len() > MAX_LOCKED {
            return Err(LockError::TooMany { at: LOCK_FILE.to_owned(), max: MAX_LOCKED });
        }
        plugins.sort_by(|a, b| a.name.cmp(&b.name));
        for plugin in &mut plugins {
            plugin.dependencies.sort();
        }
        match plugins.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => Err(LockError::Duplicate { at: LOCK_FILE.to_owned(), name: pair[0].name.clone() }),
            None => Ok(Lock { plugins }),
        }
    }

    /// Reads a lock file.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn parse(bytes: &[u8]) -> Result<Lock, LockError> {
        if bytes.len() as u64 > MAX_LOCK {
            return Err(LockError::TooLarge { max: MAX_LOCK });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            LockError::Shape { at: place(&valid, valid.len()), message: "it is not UTF-8".to_owned() }
        })?;
        if let Ok(Versioned { version }) = toml::from_str(text)
            && version != FORMAT
        {
            return Err(LockError::Format { found: version });
        }
        let document: Document = toml::from_str(text).map_err(|error| LockError::Shape {
            at: place(text, error.span().map_or(0, |span| span.start)),
            message: cut(error.message(), MAX_SHORT),
        })?;
        if document.plugin.len() > MAX_LOCKED {
            return Err(LockError::TooMany { at: LOCK_FILE.to_owned(), max: MAX_LOCKED });
        }
        let mut plugins: Vec<Locked> = Vec::new();
        let mut names = HashSet::new();
        for entry in document.plugin {
            let start = entry.name.span().start;
            let locked = entry.read(text)?;
            if !names.insert(locked.name.clone()) {
                return Err(LockError::Duplicate { at: place(text, start), name: locked.name });
            }
            plugins.push(locked);
        }
        Lock::of(plugins)
    }

    /// As it is written: the same lock makes the same bytes.
    pub fn to_toml(&self) -> String {
        let written = Written { version: FORMAT, plugin: self.plugins.iter().map(Locked::written).collect() };
        let text = toml::to_string(&written).expect("texts, numbers and lists of them");
        format!("# Written by stockade: which packages were taken. To be kept under version control.\n{text}")
    }

    /// What is locked, by name.
    pub fn plugins(&self) -> &[Locked] {
        &self.plugins
    }

    /// The package that a plugin is held to.
    pub fn pins(&self, name: &str) -> Option<&Locked> {
        let at = self.plugins.binary_search_by(|locked| locked.name.as_str().cmp(name)).ok()?;
        Some(&self.plugins[at])
    }

    /// The lock without these: what is to be brought up to date.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Lock {
        let left = self.plugins.iter().filter(|locked| !names.contains(&locked.name.as_str()));
        Lock { plugins: left.cloned().collect() }
    }
}

impl Locked {
    fn written(&self) -> WrittenEntry<'_> {
        let dependencies = self.dependencies.iter().map(|(name, version)| format!("{name} {version}"));
        WrittenEntry {
            name: &self.name,
            version: self.version.to_string(),
            digest: &self.digest,
            source: self.source.as_str(),
            dependencies: dependencies.collect(),
        }
    }
}

impl Entry {
    fn read(self, text: &str) -> Result<Locked, LockError> {
        let Entry { name, version, digest, source, dependencies } = self;
        let bad = |what, value: &Spanned<String>| LockError::Value {
            at: place(text, value.span().start),
            what,
            found: cut(value.get_ref(), MAX_SHORT),
        };
        if !is_plugin_name(name.get_ref()) {
            return Err(bad("plugin name", &name));
        }
        let of = Version::parse(version.get_ref()).map_err(|_| bad("semantic version", &version))?;
        if !digest.get_ref().strip_prefix("sha256:").is_some_and(is_sha256) {
            return Err(bad("digest of a package", &digest));
        }
        let place_of = Source::parse(source.get_ref()).ok_or_else(|| bad("source of a package", &source))?;
        if place_of.digest().is_some_and(|other| other != digest.get_ref()) {
            return Err(bad("source of this package", &source));
        }
        if dependencies.len() > MAX_DEPENDENCIES {
            return Err(LockError::TooMany { at: place(text, name.span().start), max: MAX_DEPENDENCIES });
        }
        let mut with: Vec<(String, Version)> = Vec::new();
        for dependency in &dependencies {
            let (plugin, version) = read_dependency(dependency.get_ref())
                .ok_or_else(|| bad("plugin name with a version", dependency))?;
            if plugin == name.get_ref() || with.iter().any(|(other, _)| other == plugin) {
                let at = place(text, dependency.span().start);
                return Err(LockError::Duplicate { at, name: plugin.to_owned() });
            }
            with.push((plugin.to_owned(), version));
        }
        Ok(Locked {
            name: name.into_inner(),
            version: of,
            digest: digest.into_inner(),
            source: place_of,
            dependencies: with,
        })
    }
}

fn read_dependency(text: &str) -> Option<(&str, Version)> {
    let (name, version) = text.split_once(' ')?;
    Some((name, Version::parse(version).ok()?)).filter(|(name, _)| is_plugin_name(name))
}

/// `stockade.lock:3:8`: line and column, from 1.
fn place(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    format!("{LOCK_FILE}:{}:{}", before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

//! Plugins by index: a static JSON file that lists plugins and their versions, what a reader remembers of it, which
//! versions fit together, and the lock file that keeps them. Pure: nothing here opens a file, asks a network or reads
//! a clock.
//!
//! An index is somebody else's word, even a signed one. It says what is there and where; what is installed is checked
//! by the digest, and whose plugins are believed is the policy's to say (docs/index.md).
//!
//! ```
//! use stockade_package::HOST_VERSION;
//! use stockade_package::index::{Index, Question, resolve};
//!
//! let text = br#"{ "schema": 1, "name": "example.org/plugins", "version": 12, "expires": "2027-01-31T00:00:00Z",
//!     "plugins": [{ "name": "acme/scan", "description": "Finds secrets.", "versions": [{
//!         "version": "1.4.0", "type": "agent", "bytes": 12345, "contract": "0.1", "source": "scan.stockade.tar",
//!         "digest": "sha256:0000000000000000000000000000000000000000000000000000000000000000" }] }] }"#;
//! let (index, seen) = Index::fresh(text, None, 1_798_000_000)?;
//! assert_eq!(seen.version, 12);
//! let host = HOST_VERSION.parse()?;
//! let plan = resolve(&Question::new(&index, &["acme/scan@^1.2".parse()?], &host))?;
//! assert_eq!(plan.picks[0].version.to_string(), "1.4.0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod advice;
mod error;
mod form;
mod fresh;
mod lock;
mod make;
mod read;
mod resolve;
mod search;
mod source;
mod wanted;

use semver::{Version, VersionReq};
use stockade_policy::PluginType;

pub use error::IndexError;
pub use fresh::{MAX_AHEAD, Seen};
pub use lock::{LOCK_FILE, Lock, LockError, Locked, MAX_LOCK, MAX_LOCKED};
pub use resolve::{Installed, MAX_STEPS, Pick, Plan, Question, ResolveError, Stay, Why, resolve};
pub use source::Source;
pub use wanted::Wanted;

/// Largest index: 16 MiB, some 40,000 versions. A reader has it in memory whole, and several times that once it is read.
pub const MAX_INDEX: u64 = 16 * 1024 * 1024;
/// Plugins of one index: 16,384. A search looks at each.
pub const MAX_PLUGINS: usize = 16_384;
/// Versions of one plugin: 256. Resolving holds every range against each.
pub const MAX_VERSIONS: usize = 256;
/// The highest version of an index: 2^53 - 1, the last whole number that every reader of JSON reads alike. Of a higher
/// one, two readers could remember two different numbers.
pub const MAX_INDEX_VERSION: u64 = (1 << 53) - 1;

/// A checked index. What it says of plugins is its author's claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    name: String,
    version: u64,
    expires: u64,
    /// By name.
    plugins: Vec<Listed>,
}

/// A plugin that an index lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `publisher/name`.
    pub name: String,
    /// What it does. Hostile text.
    pub description: String,
    /// Its versions, oldest first.
    pub versions: Vec<Release>,
}

/// One version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Which one.
    pub version: Version,
    /// The plugin's type.
    pub plugin_type: PluginType,
    /// The package's digest: `sha256:` and 64 digits.
    pub digest: String,
    /// How large the package is.
    pub bytes: u64,
    /// Where the package is.
    pub source: Source,
    /// The versions of the host that it runs on; any where it says none.
    pub host: Option<VersionReq>,
    /// The line of `stockade:plugin` that it is built for: `0.1`.
    pub contract: String,
    /// The plugins that it works with.
    pub dependencies: Vec<Need>,
    /// Why nobody should install it any more. Hostile text.
    pub yanked: Option<String>,
}

/// Another plugin that a plugin works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// `publisher/name`.
    pub plugin: String,
    /// The versions of it that will do.
    pub versions: VersionReq,
    /// Whether the plugin works without it.
    pub optional: bool,
}

impl Index {
    /// What it calls itself: `example.org/plugins`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which one of its time it is: each that is published has a higher number.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// From when on it is not believed any more: seconds since 1970.
    pub const fn expires(&self) -> u64 {
        self.expires
    }

    /// The plugins, by name.
    pub fn plugins(&self) -> &[Listed] {
        &self.plugins
    }

    /// One plugin.
    pub fn plugin(&self, name: &str) -> Option<&Listed> {
        let at = self.plugins.binary_search_by(|listed| listed.name.as_str().cmp(name)).ok()?;
        Some(&self.plugins[at])
    }
}

impl Listed {
    /// One version.
    pub fn version(&self, version: &Version) -> Option<&Release> {
        self.versions.iter().find(|release| release.version == *version)
    }
}

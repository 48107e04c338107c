//! A plugin in one file: an OCI image layout in a tar archive, so that registries, and clients for WebAssembly components
//! in them, take it as it is (<https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>). The component is
//! the one layer; manifest and signature stand in the configuration, since such clients know no second layer.
//!
//! There is one spelling of a package. What is read is written again, and has to come out byte by byte: so no entry can be
//! hidden from one reader and shown to another, whatever archives can do (docs/decisions/0029).

mod layout;
mod tape;

use std::fs::{self, DirBuilder};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde_json::Error as JsonError;
use stockade_ipc::World;
use stockade_policy::stands;

pub use layout::Interfaces;

/// The media type of a package's manifest, by which registries know it.
pub const MANIFEST_TYPE: &str = layout::MANIFEST_TYPE;
/// Largest manifest of a package: 16 KiB. Ours has some 500 bytes; a registry can send anything.
pub const MAX_PACKAGE_MANIFEST: u64 = 16 * 1024;

use crate::folder::{self, Entry};
use crate::manifest::{MANIFEST_FILE, MAX_MANIFEST};
use crate::package::{MAX_COMPONENT, SIGNATURE_FILE};
use crate::provenance::{MAX_PROVENANCE, PROVENANCE_FILE};
use crate::signature::MAX_ENVELOPE;
use crate::{Manifest, PackageError};

/// What the files of packages are called behind publisher, name and version.
pub const PACKAGE_SUFFIX: &str = ".stockade.tar";

/// Largest configuration: manifest, signature and provenance with every character escaped, and the names of interfaces.
const MAX_CONFIG: u64 = 6 * (MAX_MANIFEST + MAX_ENVELOPE + MAX_PROVENANCE) + (256 << 10);
/// Largest package: its component, and what is around it.
pub const MAX_PACKAGE: u64 = MAX_COMPONENT + MAX_CONFIG + (64 << 10);

/// Why something is no package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// Not made of the five files of a package.
    #[error("it is not a plugin package: {0}")]
    Shape(&'static str),
    /// The configuration is not what one of a package is.
    #[error("its configuration is not that of a plugin package")]
    Config(#[source] JsonError),
    /// Of a later time.
    #[error("it is a package of format {0}")]
    Format(u32),
    /// It says the same as a package does, and is spelled otherwise; or its digests are not those of what is in it.
    #[error("it differs from the package that its contents make, from byte {at} on")]
    NotCanonical {
        /// The first byte that differs.
        at: u64,
    },
}

impl ArchiveError {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Shape(_) | Self::Config(_) => "not-a-package",
            Self::Format(_) => "package-format",
            Self::NotCanonical { .. } => "package-not-canonical",
        }
    }

    pub(crate) const fn next_step(&self) -> &'static str {
        match self {
            Self::Shape(_) | Self::Config(_) => "make it with stockade pack; other archives are not taken",
            Self::Format(_) => "use a later version of stockade",
            Self::NotCanonical { .. } => {
                "get it anew: it was damaged or changed, or was not made by stockade pack"
            }
        }
    }
}

/// What a package holds, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// `plugin.toml`.
    pub manifest: String,
    /// Who has signed manifest and component, if anybody has.
    pub signature: Option<String>,
    /// `provenance.json`: how it is said to have been built, if anybody says so.
    pub provenance: Option<String>,
    /// What the component imports and exports: whoever packed it says so.
    pub interfaces: Interfaces,
    /// The component.
    pub component: Vec<u8>,
}

/// One of a package's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path in the archive.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What it is.
    pub what: &'static str,
}

/// A package, read and found to be spelled as it has to be.
#[derive(Clone, Debug)]
pub struct Archive {
    /// What is in it.
    pub parts: Parts,
    /// The digest by which it is pinned: that of its OCI manifest, `sha256:` and 64 digits, as a registry knows it.
    pub digest: String,
    /// Its files, in order.
    pub members: Vec<Member>,
}

impl Archive {
    /// Reads a package from its file.
    ///
    /// # Errors
    ///
    /// It is none, or cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Archive, PackageError> {
        let path = path.as_ref();
        match folder::entry(path)? {
            Entry::File(file) => Ok(Archive::read(&folder::read(file, path, MAX_PACKAGE)?)?),
            Entry::Folder(_) => Err(PackageError::NotAFile { path: path.to_owned() }),
        }
    }

    /// Reads a package.
    ///
    /// # Errors
    ///
    /// It is none, or not spelled as `pack` spells it.
    pub fn read(bytes: &[u8]) -> Result<Archive, ArchiveError> {
        let [.., config, component] = tape::contents(bytes)?;
        if config.len() as u64 > MAX_CONFIG {
            return Err(ArchiveError::Shape("its configuration is too large"));
        }
        let parts = layout::parts(config, component)?;
        let files = layout::files(&parts);
        tape::compare(&files.list(), bytes)?;
        let members = files.list().map(|(path, bytes, what)| Member {
            path: path.to_owned(),
            bytes: bytes.len() as u64,
            what,
        });
        let members = members.into();
        let digest = files.digest.clone();
        Ok(Archive { parts, digest, members })
    }

    /// Whether bytes look like a package, and not like anything else that a plugin can be.
    pub(crate) fn looks_like_one(bytes: &[u8]) -> bool {
        bytes.starts_with(layout::FIRST.as_bytes())
    }

    /// Whether a file looks like a package; not where there is none, or none that can be read.
    pub fn is_at(path: impl AsRef<Path>) -> bool {
        let Ok(Entry::File(file)) = folder::entry(path.as_ref()) else { return false };
        let mut start = Vec::new();
        file.take(layout::FIRST.len() as u64).read_to_end(&mut start).is_ok()
            && Archive::looks_like_one(&start)
    }
}

/// A package that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Its file.
    pub bytes: Vec<u8>,
    /// The digest by which it is pinned, as [`Archive::digest`].
    pub digest: String,
}

/// Some bytes by their digest, `sha256:` and 64 digits, as registries keep them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// What names it.
    pub digest: String,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// A blob that is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobName {
    /// What names it. Hostile text.
    pub digest: String,
    /// How large it is said to be; no more than it can be.
    pub bytes: u64,
}

/// A package in the form in which a registry keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blobs {
    /// Its configuration.
    pub config: Blob,
    /// Its component.
    pub component: Blob,
    /// The manifest, whose digest is the package's.
    pub manifest: Blob,
}

/// A package as a registry keeps it.
pub fn blobs(parts: &Parts) -> Blobs {
    layout::files(parts).blobs()
}

/// The configuration and the component of the package with this manifest.
///
/// # Errors
///
/// It is none of a package.
pub fn named_blobs(manifest: &[u8]) -> Result<[BlobName; 2], ArchiveError> {
    layout::named(manifest)
}

/// Makes a package: the same bytes for the same parts.
pub fn pack(parts: &Parts) -> Packed {
    packed(layout::files(parts))
}

fn packed(files: layout::Files<'_>) -> Packed {
    let bytes = tape::write(&files.list());
    Packed { bytes, digest: files.digest }
}

/// Writes a package's file, whole or not at all.
///
/// # Errors
///
/// It cannot be written.
pub fn write(path: &Path, package: &[u8]) -> Result<(), PackageError> {
    folder::write(path, package)
}

impl Parts {
    /// What a registry has sent, and the package that it makes.
    ///
    /// # Errors
    ///
    /// It is not what a package makes there.
    pub fn of_blobs(
        manifest: &[u8],
        config: &[u8],
        component: &[u8],
    ) -> Result<(Parts, Packed), ArchiveError> {
        let parts = layout::parts(config, component)?;
        let files = layout::files(&parts);
        if !files.are(manifest, config) && stands("package.canonical") {
            return Err(ArchiveError::Shape("it is spelled otherwise than a package"));
        }
        let packed = packed(files);
        Ok((parts, packed))
    }

    /// Puts what is in a package into a new folder, from which it can be loaded, or packed again.
    ///
    /// # Errors
    ///
    /// The folder is there, or cannot be written; or the manifest is none.
    pub fn write_into(&self, folder: &Path) -> Result<(), PackageError> {
        let component = Manifest::parse(&self.manifest)?.component;
        let failed = |source| PackageError::Unwritable { path: folder.to_owned(), source };
        DirBuilder::new().mode(0o755).create(folder).map_err(failed)?;
        let written = || -> io::Result<()> {
            let component = folder.join(component);
            if let Some(within) = component.parent() {
                fs::create_dir_all(within)?;
            }
            fs::write(component, &self.component)?;
            if let Some(signature) = &self.signature {
                fs::write(folder.join(SIGNATURE_FILE), signature)?;
            }
            if let Some(provenance) = &self.provenance {
                fs::write(folder.join(PROVENANCE_FILE), provenance)?;
            }
            // Last: a folder without it is no plugin.
            fs::write(folder.join(MANIFEST_FILE), &self.manifest)
        };
        written().map_err(|error| {
            let _ = fs::remove_dir_all(folder);
            failed(error)
        })
    }

    /// What lies beside the component in the plugin's folder, by its name there.
    pub(crate) fn file(&self, name: &str) -> Option<&[u8]> {
        match name {
            MANIFEST_FILE => Some(self.manifest.as_bytes()),
            SIGNATURE_FILE => self.signature.as_deref().map(str::as_bytes),
            PROVENANCE_FILE => self.provenance.as_deref().map(str::as_bytes),
            _ => None,
        }
    }
}

impl From<&World> for Interfaces {
    fn from(world: &World) -> Interfaces {
        let functions = world.exports.iter().map(|export| export.name.clone());
        Interfaces {
            exports: world.tool_interface.iter().cloned().chain(functions).collect(),
            imports: world.imports.iter().map(|import| import.name.clone()).collect(),
        }
    }
}

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};
use stockade_policy::{PluginType, PublicKey};

use crate::archive::{Archive, Interfaces, MAX_PACKAGE, Parts};
use crate::folder::{self, Entry, Folder};
use crate::hook::Hook;
use crate::manifest::{InstanceMode, MANIFEST_FILE, MAX_MANIFEST, Manifest};
use crate::permission::Permission;
use crate::provenance::{self, MAX_PROVENANCE, PROVENANCE_FILE, Provenance, ProvenanceError};
use crate::setting::{self, Setting, SettingProblem};
use crate::signature::{Envelope, MAX_ENVELOPE, Signed, SignedFile, signers};
use crate::tool::Tool;
use crate::{CONTRACTS, Dependency, Links, PackageError, document};

/// Largest component: 64 MiB. The largest that a stock toolchain makes is 18 MiB (a whole Python); the
/// host holds the bytes once, and the compiler works under a memory cap of its own.
pub const MAX_COMPONENT: u64 = 64 * 1024 * 1024;

/// Who has signed a plugin, in its folder.
pub const SIGNATURE_FILE: &str = "plugin.dsse.json";

/// Which plugin it is. The name and the version are what it says of itself; records name the
/// component's digest too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `publisher/name`; `local/...` for a bare component.
    pub name: String,
    /// The plugin's version; 0.0.0 for a bare component.
    pub version: Version,
    /// Its type, and so its profile.
    pub plugin_type: PluginType,
}

/// A plugin that was read, once, and looked at from outside.
#[derive(Clone, Debug)]
pub struct Package {
    /// Which plugin it is.
    pub identity: Identity,
    /// What it does; nothing for a bare component. Hostile text.
    pub description: String,
    /// The versions of the host that it runs on; any where it says none.
    pub host: Option<VersionReq>,
    /// The component's bytes.
    pub component: Vec<u8>,
    /// The tools that the manifest declares; empty for a bare component.
    pub declared: Vec<Tool>,
    /// The events that it wants to be told of; none for a bare component.
    pub hooks: Vec<Hook>,
    /// What the manifest asks for.
    pub permissions: Vec<Permission>,
    /// The plugins that it works with.
    pub dependencies: Vec<Dependency>,
    /// Where there is more about it.
    pub links: Links,
    /// The configuration values that the manifest describes.
    pub settings: Vec<Setting>,
    /// What a call runs in.
    pub instance: InstanceMode,
    /// The line of `stockade:plugin` that it is built for.
    pub contract: String,
    /// The keys that have signed manifest and component. Whether one of them is the publisher's is the policy's to say.
    pub signed_by: Vec<PublicKey>,
    /// How it is said to have been built: a claim of whoever wrote it, which nobody has checked.
    pub provenance: Option<Provenance>,
    /// The digest of the package, where it came as one file.
    pub digest: Option<String>,
}

impl Package {
    /// Checks the configuration values that an operator set, by key and each a JSON text, and adds the defaults of
    /// those that are not set.
    pub fn configure(
        &self,
        given: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, SettingProblem> {
        setting::settle(&self.settings, given)
    }

    /// Reads the plugin at `path`: a folder with a `plugin.toml`, a package, or a component file, which then needs
    /// `plugin_type`.
    pub fn open(path: impl AsRef<Path>, plugin_type: Option<PluginType>) -> Result<Self, PackageError> {
        Examined::open(path, plugin_type).sound()
    }

    /// The plugin that a package is to be made of, or was.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn of_parts(parts: &Parts) -> Result<Self, PackageError> {
        Examined::of(&Source::Archive(parts), None, None).sound()
    }

    /// A plugin of a component alone, which nobody has looked at.
    pub fn bare(identity: Identity, component: Vec<u8>) -> Package {
        Self {
            identity,
            description: String::new(),
            host: None,
            component,
            declared: Vec::new(),
            hooks: Vec::new(),
            permissions: Vec::new(),
            dependencies: Vec::new(),
            links: Links::default(),
            settings: Vec::new(),
            instance: InstanceMode::default(),
            contract: CONTRACTS[CONTRACTS.len() - 1].to_owned(),
            signed_by: Vec::new(),
            provenance: None,
            digest: None,
        }
    }
}

/// A plugin, and all that is wrong with its files. [`Package::open`] takes what nothing is wrong with: there is no other
/// way to one.
#[derive(Debug, Default)]
pub struct Examined {
    package: Option<Package>,
    /// The digest of the package, where it is one.
    pub digest: Option<String>,
    /// The text of its manifest, where it has one. Hostile.
    pub manifest: Option<String>,
    /// What is wrong, in the order in which it was looked at.
    pub faults: Vec<PackageError>,
}

impl Examined {
    /// Reads what stands at `path`, as [`Package::open`] does.
    pub fn open(path: impl AsRef<Path>, plugin_type: Option<PluginType>) -> Examined {
        let path = path.as_ref();
        match folder::entry(path) {
            Ok(Entry::Folder(folder)) => Self::of(&Source::Folder(&folder, path), plugin_type, None),
            Ok(Entry::File(file)) => Self::of_file(file, path, plugin_type),
            Err(error) => Self::wrong(error),
        }
    }

    /// The plugin, where manifest and component could be read: to be looked at, and not to be run.
    pub const fn suspect(&self) -> Option<&Package> {
        self.package.as_ref()
    }

    /// The plugin, if nothing is wrong with it.
    ///
    /// # Errors
    ///
    /// The first of what is wrong.
    pub fn sound(mut self) -> Result<Package, PackageError> {
        match self.package {
            Some(package) if self.faults.is_empty() => Ok(package),
            _ => Err(self.faults.swap_remove(0)),
        }
    }

    fn wrong(error: PackageError) -> Examined {
        Examined { faults: vec![error], ..Examined::default() }
    }

    fn of(source: &Source<'_>, plugin_type: Option<PluginType>, digest: Option<String>) -> Examined {
        let text = match Contents::text(source) {
            Ok(text) => text,
            Err(error) => return Examined { digest, ..Self::wrong(error) },
        };
        let manifest = Some(String::from_utf8_lossy(&text).into_owned());
        let without =
            |faults| Examined { package: None, digest: digest.clone(), manifest: manifest.clone(), faults };
        let mut contents = match Contents::of(text) {
            Ok(contents) => contents,
            Err(faults) => return without(faults),
        };
        if let Err(error) = contents.read_component(source) {
            return without(vec![error]);
        }
        let mut faults = Vec::new();
        faults.extend(contents.read_provenance(source).err());
        faults.extend(contents.read_signature(source).err());
        let declared = contents.manifest.plugin_type;
        let conflict = |asked| PackageError::TypeConflict { manifest: declared, asked };
        faults.extend(plugin_type.filter(|&asked| asked != declared).map(conflict));
        let package = Some(contents.package(digest.clone()));
        Examined { package, digest, manifest, faults }
    }

    fn of_file(file: File, path: &Path, plugin_type: Option<PluginType>) -> Examined {
        let bytes = match folder::read(file, path, MAX_PACKAGE) {
            Ok(bytes) => bytes,
            Err(error) => return Self::wrong(error),
        };
        if Archive::looks_like_one(&bytes) {
            return match Archive::read(&bytes) {
                Ok(Archive { parts, digest, .. }) => {
                    drop(bytes);
                    Self::of(&Source::Archive(&parts), plugin_type, Some(digest))
                }
                Err(error) => Self::wrong(error.into()),
            };
        }
        match (component(bytes, path), plugin_type) {
            (Ok(bytes), Some(plugin_type)) => {
                let name = format!("local/{}", stem(path));
                let identity = Identity { name, version: Version::new(0, 0, 0), plugin_type };
                Examined { package: Some(Package::bare(identity, bytes)), ..Examined::default() }
            }
            (Ok(_), None) => Self::wrong(PackageError::TypeNeeded),
            (Err(error), _) => Self::wrong(error),
        }
    }
}

impl Manifest {
    /// Reads the manifest of the plugin at `path`, a folder or a package, and nothing else of it.
    ///
    /// # Errors
    ///
    /// There is none, or the first of what is wrong with it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PackageError> {
        let path = path.as_ref();
        let text = match folder::entry(path)? {
            Entry::Folder(folder) => Contents::text(&Source::Folder(&folder, path))?,
            Entry::File(file) => {
                Archive::read(&folder::read(file, path, MAX_PACKAGE)?)?.parts.manifest.into_bytes()
            }
        };
        Self::parse(document::text(&text)?)
    }
}

/// Where a plugin's files are.
pub(crate) enum Source<'a> {
    /// On disk, below here.
    Folder(&'a Folder, &'a Path),
    /// In a package.
    Archive(&'a Parts),
}

impl Source<'_> {
    /// All of a file, at most so much; none where there is none.
    fn file(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, PackageError> {
        match self {
            Self::Folder(folder, path) => {
                folder.file(name)?.map(|file| folder::read(file, &path.join(name), max)).transpose()
            }
            Self::Archive(parts) => match parts.file(name) {
                Some(bytes) if bytes.len() as u64 > max => {
                    Err(PackageError::TooLarge { path: self.path(name), max })
                }
                found => Ok(found.map(<[u8]>::to_vec)),
            },
        }
    }

    /// The component, which a manifest may call anything.
    fn component(&self, name: &str) -> Result<Option<Vec<u8>>, PackageError> {
        match self {
            Self::Folder(..) => self.file(name, MAX_COMPONENT),
            Self::Archive(parts) => Ok(Some(parts.component.clone())),
        }
    }

    fn folder(&self) -> &Path {
        match self {
            Self::Folder(_, path) => path,
            Self::Archive(_) => Path::new(""),
        }
    }

    /// What a file in it is called in messages.
    fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }
}

impl Parts {
    /// Reads what is to be packed: the folder with a plugin. What it imports and exports is not known yet.
    ///
    /// # Errors
    ///
    /// It is no plugin, or its signature counts for nothing.
    pub fn of_folder(path: impl AsRef<Path>) -> Result<Parts, PackageError> {
        let path = path.as_ref();
        let Entry::Folder(folder) = folder::entry(path)? else {
            return Err(PackageError::NoManifest { path: path.to_owned() });
        };
        let Contents { text, component, envelope, provenance, .. } =
            *Contents::read(&Source::Folder(&folder, path))?;
        let manifest = document::text(&text)?.to_owned();
        let signature = envelope.map(|envelope| envelope.to_json());
        let provenance =
            provenance.map(String::from_utf8).transpose().map_err(|_| ProvenanceError::NotUtf8)?;
        Ok(Parts { manifest, signature, provenance, interfaces: Interfaces::default(), component })
    }
}

/// What is in a plugin's folder, or in its package.
pub(crate) struct Contents {
    manifest: Manifest,
    text: Vec<u8>,
    component: Vec<u8>,
    /// Whose signatures are there, checked.
    pub(crate) envelope: Option<Envelope>,
    signed_by: Vec<PublicKey>,
    /// `provenance.json` as it is, and what it claims.
    provenance: Option<Vec<u8>>,
    claimed: Option<Provenance>,
}

impl Contents {
    /// In steps of their own: a manifest takes the deepest stack of all, and nothing large is to lie below it.
    pub(crate) fn read(source: &Source<'_>) -> Result<Box<Contents>, PackageError> {
        let mut contents =
            Contents::of(Contents::text(source)?).map_err(|mut faults| faults.swap_remove(0))?;
        contents.read_component(source)?;
        contents.read_provenance(source)?;
        contents.read_signature(source)?;
        Ok(contents)
    }

    fn text(source: &Source<'_>) -> Result<Vec<u8>, PackageError> {
        let text = source.file(MANIFEST_FILE, MAX_MANIFEST)?;
        text.ok_or_else(|| PackageError::NoManifest { path: source.folder().to_owned() })
    }

    /// Of a manifest, with all that is wrong with that.
    fn of(text: Vec<u8>) -> Result<Box<Contents>, Vec<PackageError>> {
        let manifest = Manifest::read(document::text(&text).map_err(|error| vec![error])?)?;
        let (component, signed_by) = (Vec::new(), Vec::new());
        let (envelope, provenance, claimed) = (None, None, None);
        Ok(Box::new(Contents { manifest, text, component, envelope, signed_by, provenance, claimed }))
    }

    fn package(self, digest: Option<String>) -> Package {
        let Contents { manifest, component, signed_by, claimed, .. } = self;
        Package {
            component,
            signed_by,
            provenance: claimed,
            digest,
            identity: Identity {
                name: manifest.name,
                version: manifest.version,
                plugin_type: manifest.plugin_type,
            },
            description: manifest.description,
            host: manifest.host,
            declared: manifest.tools,
            hooks: manifest.hooks,
            permissions: manifest.permissions,
            dependencies: manifest.dependencies,
            links: manifest.links,
            settings: manifest.settings,
            instance: manifest.instance,
            contract: manifest.contract,
        }
    }

    fn read_component(&mut self, source: &Source<'_>) -> Result<(), PackageError> {
        let name = &self.manifest.component;
        let bytes =
            source.component(name)?.ok_or_else(|| PackageError::ComponentMissing { path: name.clone() })?;
        self.component = component(bytes, &source.path(name))?;
        Ok(())
    }

    /// Before the signature, which is over it as well.
    fn read_provenance(&mut self, source: &Source<'_>) -> Result<(), PackageError> {
        // A component may be called anything; but one of the two would be the other when they are unpacked.
        if provenance::is_called_so(&self.manifest.component) {
            return match source {
                Source::Archive(Parts { provenance: Some(_), .. }) => Err(ProvenanceError::Component.into()),
                _ => Ok(()),
            };
        }
        let bytes = source.file(PROVENANCE_FILE, MAX_PROVENANCE).map_err(|error| match error {
            PackageError::TooLarge { .. } => ProvenanceError::TooLarge.into(),
            other => other,
        });
        let Some(bytes) = bytes? else { return Ok(()) };
        let claimed = Provenance::parse(&bytes);
        self.provenance = Some(bytes);
        self.claimed = Some(claimed?);
        Ok(())
    }

    fn read_signature(&mut self, source: &Source<'_>) -> Result<(), PackageError> {
        let Some(bytes) = source.file(SIGNATURE_FILE, MAX_ENVELOPE)? else { return Ok(()) };
        let envelope = Envelope::parse(&bytes)?;
        self.signed_by = signers(Signed::Plugin, &self.files(), &envelope)?;
        self.envelope = Some(envelope);
        Ok(())
    }

    /// What a publisher signs.
    pub(crate) fn files(&self) -> Vec<SignedFile<'_>> {
        let provenance = self.provenance.as_deref();
        let mut files = vec![
            SignedFile { name: MANIFEST_FILE, bytes: &self.text },
            SignedFile { name: &self.manifest.component, bytes: &self.component },
        ];
        files.extend(provenance.map(|bytes| SignedFile { name: PROVENANCE_FILE, bytes }));
        files
    }
}

/// A plugin name out of a file name: `Hello World.wasm` is `hello-world`.
fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(64).collect();
    match name.trim_matches('-') {
        "" => "plugin".to_owned(),
        name => name.to_owned(),
    }
}

/// Looks at a component's preamble, the only WebAssembly that a host ever parses:
/// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>
fn component(bytes: Vec<u8>, path: &Path) -> Result<Vec<u8>, PackageError> {
    if bytes.len() as u64 > MAX_COMPONENT {
        return Err(PackageError::TooLarge { path: path.to_owned(), max: MAX_COMPONENT });
    }
    let path = path.to_owned();
    match bytes.first_chunk::<8>() {
        Some(&[0, b'a', b's', b'm', v0, v1, l0, l1]) => {
            match (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([l0, l1])) {
                (0xd, 1) => Ok(bytes),
                (1, 0) => Err(PackageError::CoreModule { path }),
                (version, layer) => Err(PackageError::WasmVersion { path, version, layer }),
            }
        }
        _ => Err(PackageError::NotWasm { path }),
    }
}

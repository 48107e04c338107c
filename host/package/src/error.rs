use std::io;
use std::path::PathBuf;

use stockade_policy::{Capability, PluginType};

use crate::HOST_VERSION;
use crate::archive::ArchiveError;
use crate::at::At;
use crate::provenance::ProvenanceError;
use crate::signature::SignatureError;

/// Why something is no plugin that this host takes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// Nothing there.
    #[error("there is no plugin at {path:?}")]
    NotFound {
        /// What was asked for.
        path: PathBuf,
    },
    /// The kernel refused to open or read it.
    #[error("{path:?} cannot be read")]
    Unreadable {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A signature could not be put there.
    #[error("{path:?} cannot be written")]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder without a manifest.
    #[error("the folder {path:?} has no plugin.toml")]
    NoManifest {
        /// The folder.
        path: PathBuf,
    },
    /// A bare component does not say what it is.
    #[error("a bare component does not say of what type it is")]
    TypeNeeded,
    /// The operator and the manifest disagree.
    #[error("the manifest says that this plugin is of type {manifest}, not {asked}")]
    TypeConflict {
        /// In the manifest.
        manifest: PluginType,
        /// By the operator.
        asked: PluginType,
    },
    /// A directory, a pipe, a device.
    #[error("{path:?} is not a regular file")]
    NotAFile {
        /// What it is called.
        path: PathBuf,
    },
    /// The manifest names a component that is not in the folder.
    #[error("the component {path:?} is not in the plugin's folder")]
    ComponentMissing {
        /// As the manifest spells it.
        path: String,
    },
    /// A symbolic link on the way leaves the folder.
    #[error("the file {path:?} is reached through a link that leaves the plugin's folder")]
    Outside {
        /// As the manifest spells it.
        path: String,
    },
    /// Over the cap on manifests or components.
    #[error("{path:?} is larger than {max} bytes")]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The cap.
        max: u64,
    },
    /// No WebAssembly at all.
    #[error("{path:?} is not WebAssembly")]
    NotWasm {
        /// Which file.
        path: PathBuf,
    },
    /// A module of the time before components.
    #[error("{path:?} is a core module, not a component")]
    CoreModule {
        /// Which file.
        path: PathBuf,
    },
    /// WebAssembly of a version that does not exist yet, or no longer.
    #[error("{path:?} is WebAssembly of an unknown version {version:#x}, layer {layer:#x}")]
    WasmVersion {
        /// Which file.
        path: PathBuf,
        /// From the preamble.
        version: u16,
        /// From the preamble.
        layer: u16,
    },
    /// A broken signature is not none: somebody's word was changed, or put on something else.
    #[error("the plugin's signature counts for nothing")]
    Signature(#[from] SignatureError),
    /// Likewise, of a policy or of an index.
    #[error("the signature of {document:?} counts for nothing")]
    SignatureBeside {
        /// What is signed.
        document: PathBuf,
        /// Where the signature is.
        path: PathBuf,
        /// Why.
        #[source]
        source: SignatureError,
    },
    /// What is said of how it was built has no one reading.
    #[error("the plugin's provenance says nothing")]
    Provenance(#[from] ProvenanceError),

    /// A file that is to be a package.
    #[error("the package cannot be read")]
    Archive(#[from] ArchiveError),

    /// Not a text.
    #[error("the manifest is not UTF-8")]
    NotUtf8 {
        /// The first byte that is not.
        at: At,
    },
    /// Not TOML.
    #[error("the manifest is not TOML: {message}")]
    Syntax {
        /// Where.
        at: At,
        /// The parser's words.
        message: String,
    },
    /// A key twice in one table.
    #[error("a key stands twice in one table")]
    DuplicateKey {
        /// Its second place.
        at: At,
    },
    /// A key that means nothing here.
    #[error("the manifest has an unknown key {key:?}")]
    UnknownKey {
        /// Where.
        at: At,
        /// The key.
        key: String,
        /// The keys that mean something here.
        known: &'static [&'static str],
    },
    /// A key that must be there.
    #[error("the manifest lacks the key {key:?}")]
    MissingKey {
        /// The table that lacks it.
        at: At,
        /// The key.
        key: &'static str,
    },
    /// A number where a text belongs, and the like.
    #[error("expected {expected}, found {found}")]
    WrongKind {
        /// Where.
        at: At,
        /// What belongs here.
        expected: &'static str,
        /// What stands here.
        found: &'static str,
    },
    /// Written for another version of this program.
    #[error("manifest format {found} is not known; this version reads format 1")]
    Format {
        /// Where.
        at: At,
        /// The format that it claims.
        found: String,
    },
    /// Longer than what anybody reads.
    #[error("the value is longer than {max} bytes")]
    TooLong {
        /// Where.
        at: At,
        /// The cap.
        max: usize,
    },
    /// More entries than anybody reads.
    #[error("more than {max} entries")]
    TooMany {
        /// Where.
        at: At,
        /// The cap.
        max: usize,
    },
    /// Not `publisher/name`.
    #[error("{name:?} is not a plugin name")]
    Name {
        /// Where.
        at: At,
        /// What stands there.
        name: String,
    },
    /// Not a semantic version.
    #[error("{version:?} is not a semantic version")]
    Version {
        /// Where.
        at: At,
        /// What stands there.
        version: String,
        /// Why.
        #[source]
        source: semver::Error,
    },
    /// None of the four types.
    #[error("unknown plugin type {name:?}")]
    Type {
        /// Where.
        at: At,
        /// What stands there.
        name: String,
    },
    /// Something else than a component: a container, a program, a script.
    #[error("the plugin is for the runtime {runtime:?}")]
    Runtime {
        /// Where.
        at: At,
        /// What stands there.
        runtime: String,
    },
    /// Not a range of versions.
    #[error("{versions:?} is no range of versions")]
    Versions {
        /// Where.
        at: At,
        /// What stands there.
        versions: String,
        /// Why.
        #[source]
        source: semver::Error,
    },
    /// A plugin for other versions of the host.
    #[error("the plugin is for versions {versions} of the host, and this is {HOST_VERSION}")]
    HostVersion {
        /// Where.
        at: At,
        /// Those that it is for.
        versions: String,
    },
    /// No address of a page, or one that does not lead where it seems to.
    #[error("{link:?} is no link")]
    Link {
        /// Where.
        at: At,
        /// What stands there.
        link: String,
    },
    /// A plugin that needs itself.
    #[error("the plugin depends on itself")]
    DependsOnItself {
        /// Where.
        at: At,
    },
    /// The same dependency twice.
    #[error("the dependency on {plugin:?} is declared twice")]
    DuplicateDependency {
        /// The second.
        at: At,
        /// On which plugin.
        plugin: String,
    },
    /// A contract that this host does not speak.
    #[error("the plugin is built for contract {contract:?}")]
    Contract {
        /// Where.
        at: At,
        /// What stands there.
        contract: String,
    },
    /// A component path that is absolute, climbs, or is no path.
    #[error("{path:?} does not name a file inside the plugin's folder")]
    ComponentPath {
        /// Where.
        at: At,
        /// What stands there.
        path: String,
    },
    /// Neither `fresh` nor `reused`.
    #[error("unknown instance mode {mode:?}")]
    Instance {
        /// Where.
        at: At,
        /// What stands there.
        mode: String,
    },
    /// Not a tool name.
    #[error("{name:?} is not a tool name")]
    ToolName {
        /// Where.
        at: At,
        /// What stands there.
        name: String,
    },
    /// Two tools of one name.
    #[error("the tool {name:?} is declared twice")]
    DuplicateTool {
        /// The second.
        at: At,
        /// Its name.
        name: String,
    },
    /// An event's name that is none.
    #[error("{event:?} is no event")]
    Event {
        /// Where.
        at: At,
        /// What stands there.
        event: String,
    },
    /// A hook that calls a tool which the manifest does not declare.
    #[error("the hook of {event:?} calls {tool:?}, which is none of the tools")]
    HookTool {
        /// Where.
        at: At,
        /// The event.
        event: String,
        /// The tool.
        tool: String,
    },
    /// Two hooks that are the same.
    #[error("the hook of {event:?} is declared twice")]
    DuplicateHook {
        /// The second.
        at: At,
        /// The event.
        event: String,
    },
    /// A schema that is not JSON.
    #[error("the schema is not JSON")]
    SchemaJson {
        /// Where.
        at: At,
        /// The parser's words; lines and columns count within the text.
        #[source]
        source: serde_json::Error,
    },
    /// JSON, but no JSON Schema.
    #[error("the schema is not a JSON Schema 2020-12: {message}")]
    Schema {
        /// Where.
        at: At,
        /// JSON pointer into the schema.
        pointer: String,
        /// What is wrong.
        message: String,
    },
    /// A reference that leaves the schema, or comes back to where it was.
    #[error("the schema refers to {reference:?}")]
    SchemaReference {
        /// Where.
        at: At,
        /// JSON pointer into the schema.
        pointer: String,
        /// The reference.
        reference: String,
    },
    /// A schema that unfolds to more than a host should check.
    #[error("the schemas are too large or too deep once every reference is written out")]
    SchemaTooLarge {
        /// Where the limit was reached.
        at: At,
    },
    /// A schema or a default of something that is not one configuration value.
    #[error("only a permission of config for one key has a schema, and a default only beside one")]
    SettingMisplaced {
        /// Where.
        at: At,
    },
    /// A default that its own schema does not take.
    #[error("the default does not fit its schema: {why}")]
    Default {
        /// Where.
        at: At,
        /// What the schema says.
        why: String,
    },
    /// A capability that does not exist.
    #[error("unknown capability {name:?}")]
    Capability {
        /// Where.
        at: At,
        /// What stands there.
        name: String,
    },
    /// A capability that is granted per resource, without one.
    #[error("{capability} is granted for a resource, and none is named")]
    ResourceMissing {
        /// Where.
        at: At,
        /// Which capability.
        capability: Capability,
    },
    /// A capability that is all or nothing, with a resource.
    #[error("{capability} is granted as a whole and takes no resource")]
    ResourceSuperfluous {
        /// Where.
        at: At,
        /// Which capability.
        capability: Capability,
    },
    /// A resource that the capability cannot have.
    #[error("{resource:?} is no resource of {capability}")]
    Resource {
        /// Where.
        at: At,
        /// Which capability.
        capability: Capability,
        /// What stands there.
        resource: String,
    },
    /// The same wish twice.
    #[error("the same permission is asked for twice")]
    DuplicatePermission {
        /// The second.
        at: At,
    },

    /// The component wants something that nobody here offers.
    #[error("the component imports {name:?}, which this host does not know")]
    UnknownImport {
        /// The import.
        name: String,
    },
    /// A value that has no JSON form.
    #[error("the exported function {function:?} uses {type_name:?}, which has no JSON form")]
    UnsupportedType {
        /// The function.
        function: String,
        /// The type.
        type_name: String,
    },
    /// Types that unfold to more than a host should write out.
    #[error("the exported functions' types are too large once they are written out")]
    WorldTooLarge,
    /// The component exports nothing that could be called.
    #[error("the component exports neither the tool interface nor a function")]
    NothingExported,
    /// The component has tools of its own, and nobody says which.
    #[error("the component exports stockade:plugin/tool, and no manifest declares its tools")]
    ToolsNotDeclared,
    /// A tool in the manifest that the component does not export.
    #[error("the manifest declares the tool {name:?}, and the component exports no such function")]
    ToolNotExported {
        /// The tool.
        name: String,
    },
    /// The component was built for another contract than the manifest says.
    #[error("the component exports {exported:?}, and its manifest says contract {contract:?}")]
    ContractMismatch {
        /// The interface with its version.
        exported: String,
        /// From the manifest.
        contract: String,
    },
}

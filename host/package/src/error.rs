use std::io;
use std::path::PathBuf;

use stockade_policy::{Capability, PluginType};

use crate::archive::ArchiveError;
use crate::at::At;
use crate::signature::SignatureError;
use crate::{Explain, Problem, SIGNATURE_FILE};

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

const SCHEMA_REFERENCES: &str = "refer only to parts of the same schema, as \"#/$defs/name\", and to nothing \
     that refers back; $id, $anchor and $dynamicRef are not taken";

impl PackageError {
    /// The stable code, and what to do now.
    fn advice(&self) -> (&'static str, String) {
        let (code, next): (_, &str) = match self {
            Self::NotFound { .. } => {
                ("plugin-not-found", "name a folder with a plugin.toml, or a component file")
            }
            Self::Unreadable { .. } => {
                ("plugin-unreadable", "check that the file is there and that this user may read it")
            }
            Self::NoManifest { .. } => {
                ("no-manifest", "name the component file itself with --type, or write a plugin.toml")
            }
            Self::TypeNeeded => ("type-needed", "say --type node, integration, agent or quality_gate"),
            Self::TypeConflict { .. } => {
                ("type-conflict", "leave --type out; the type of a plugin with a manifest is the manifest's")
            }
            Self::NotAFile { .. } => ("not-a-file", "name a regular file"),
            Self::ComponentMissing { .. } => {
                ("component-missing", "build the plugin, or correct `component` in plugin.toml")
            }
            Self::Outside { .. } => {
                ("component-outside", "put the file itself into the plugin's folder instead of the link")
            }
            Self::TooLarge { .. } => ("too-large", "build for size and strip debug information"),
            Self::NotWasm { .. } => ("not-wasm", "name a WebAssembly component in the binary format"),
            Self::CoreModule { .. } => (
                "core-module",
                "make a component of it: wasm-tools component new MODULE.wasm -o COMPONENT.wasm",
            ),
            Self::WasmVersion { .. } => {
                ("unsupported-wasm", "rebuild with a toolchain that makes components of version 0xd")
            }
            Self::Unwritable { .. } => {
                ("unwritable", "name a plugin or policy in a folder that you can write to")
            }
            Self::Signature(error) => (error.code(), error.next_step()),
            Self::Archive(error) => (error.code(), error.next_step()),
            Self::NotUtf8 { .. } => ("manifest-not-utf8", "save plugin.toml as UTF-8"),
            Self::Syntax { .. } => ("manifest-syntax", "correct the TOML"),
            Self::DuplicateKey { .. } => ("manifest-duplicate-key", "keep one of the two"),
            Self::UnknownKey { known, .. } => {
                return (
                    "manifest-unknown-key",
                    format!("remove it or correct it; the keys here are {}", known.join(", ")),
                );
            }
            Self::MissingKey { key, .. } => return ("manifest-missing-key", format!("add {key} = ...")),
            Self::WrongKind { .. } => ("manifest-wrong-kind", "give a value of the expected kind"),
            Self::Format { .. } => {
                ("manifest-format", "write manifest = 1, or use a later version of stockade")
            }
            Self::TooLong { .. } => ("manifest-too-long", "shorten it"),
            Self::TooMany { .. } => ("manifest-too-many", "split the plugin"),
            Self::Name { .. } => {
                ("bad-name", "write publisher/name, each of a-z, 0-9 and -, not starting with -, up to 64")
            }
            Self::Version { .. } => ("bad-version", "write a semantic version, as 1.2.3"),
            Self::Type { .. } => ("unknown-type", "the types are node, integration, agent, quality_gate"),
            Self::Contract { .. } => {
                return (
                    "unsupported-contract",
                    format!("this host speaks {}: rebuild the plugin for it", crate::CONTRACTS.join(", ")),
                );
            }
            Self::ComponentPath { .. } => {
                ("bad-component-path", "write a relative path without `..`, as plugin.wasm")
            }
            Self::Instance { .. } => ("unknown-instance-mode", "write fresh or reused"),
            Self::ToolName { .. } => {
                ("bad-tool-name", "start with a letter; letters, digits, -, _ and . follow, up to 128")
            }
            Self::DuplicateTool { .. } => ("duplicate-tool", "give each tool a name of its own"),
            Self::Event { .. } => ("bad-event", "write letters, digits, -, _ and ., up to 128"),
            Self::HookTool { .. } => ("unknown-hook-tool", "name one of the tools of the manifest"),
            Self::DuplicateHook { .. } => ("duplicate-hook", "remove one of them"),
            Self::SchemaJson { .. } => ("schema-not-json", "correct the JSON inside the text"),
            Self::Schema { .. } => ("bad-schema", "correct the schema; patterns are without look-around"),
            Self::SchemaReference { .. } => ("schema-reference", SCHEMA_REFERENCES),
            Self::SchemaTooLarge { .. } => ("schema-too-large", "make the schemas smaller or flatter"),
            Self::SettingMisplaced { .. } => {
                ("schema-misplaced", "move it to the permission of config whose value it describes")
            }
            Self::Default { .. } => ("bad-default", "write a JSON text that the schema takes"),
            Self::Capability { .. } => {
                let names: Vec<_> = Capability::ALL.iter().map(|c| c.as_str()).collect();
                return ("unknown-capability", format!("the capabilities are {}", names.join(", ")));
            }
            Self::ResourceMissing { capability, .. } => {
                return ("resource-missing", format!("add resource = ..., {}", capability.expects()));
            }
            Self::ResourceSuperfluous { .. } => ("resource-superfluous", "remove `resource`"),
            Self::Resource { capability, .. } => {
                return ("bad-resource", format!("write {}", capability.expects()));
            }
            Self::DuplicatePermission { .. } => ("duplicate-permission", "ask once"),
            Self::UnknownImport { .. } => (
                "unknown-import",
                "build for stockade:plugin 0.1 and WASI 0.2; interfaces of other hosts are not offered",
            ),
            Self::UnsupportedType { .. } => (
                "unsupported-type",
                "export functions over plain values (no resources, streams or futures), or the tool interface",
            ),
            Self::WorldTooLarge => ("world-too-large", "export fewer functions, or smaller types"),
            Self::NothingExported => {
                ("nothing-exported", "export stockade:plugin/tool, or functions of the world itself")
            }
            Self::ToolsNotDeclared => (
                "tools-not-declared",
                "put it into a folder with a plugin.toml that has a [[tools]] for each",
            ),
            Self::ToolNotExported { .. } => {
                ("tool-not-exported", "correct the name, or remove the tool from plugin.toml")
            }
            Self::ContractMismatch { .. } => {
                ("contract-mismatch", "correct `contract` in plugin.toml, or rebuild the plugin")
            }
        };
        (code, next.to_owned())
    }

    fn field(&self) -> String {
        match self {
            Self::NotFound { path }
            | Self::Unreadable { path, .. }
            | Self::Unwritable { path, .. }
            | Self::NoManifest { path }
            | Self::NotAFile { path }
            | Self::TooLarge { path, .. }
            | Self::NotWasm { path }
            | Self::CoreModule { path }
            | Self::WasmVersion { path, .. } => path.display().to_string(),
            Self::TypeNeeded | Self::TypeConflict { .. } => "--type".to_owned(),
            Self::Signature(_) => SIGNATURE_FILE.to_owned(),
            Self::Archive(_) => "package".to_owned(),
            Self::ComponentMissing { path } | Self::Outside { path } => path.clone(),
            Self::NotUtf8 { at }
            | Self::Syntax { at, .. }
            | Self::DuplicateKey { at }
            | Self::UnknownKey { at, .. }
            | Self::MissingKey { at, .. }
            | Self::WrongKind { at, .. }
            | Self::Format { at, .. }
            | Self::TooLong { at, .. }
            | Self::TooMany { at, .. }
            | Self::Name { at, .. }
            | Self::Version { at, .. }
            | Self::Type { at, .. }
            | Self::Contract { at, .. }
            | Self::ComponentPath { at, .. }
            | Self::Instance { at, .. }
            | Self::ToolName { at, .. }
            | Self::DuplicateTool { at, .. }
            | Self::Event { at, .. }
            | Self::HookTool { at, .. }
            | Self::DuplicateHook { at, .. }
            | Self::SchemaJson { at, .. }
            | Self::SchemaTooLarge { at }
            | Self::SettingMisplaced { at }
            | Self::Default { at, .. }
            | Self::Capability { at, .. }
            | Self::ResourceMissing { at, .. }
            | Self::ResourceSuperfluous { at, .. }
            | Self::Resource { at, .. }
            | Self::DuplicatePermission { at } => at.to_string(),
            Self::Schema { at, pointer, .. } | Self::SchemaReference { at, pointer, .. } => {
                format!("{at}#{pointer}")
            }
            Self::UnknownImport { name } | Self::ToolNotExported { name } => name.clone(),
            Self::UnsupportedType { function, .. } => function.clone(),
            Self::ContractMismatch { exported, .. } => exported.clone(),
            Self::WorldTooLarge | Self::NothingExported | Self::ToolsNotDeclared => "component".to_owned(),
        }
    }
}

impl Explain for PackageError {
    fn problem(&self) -> Problem {
        let (code, next_step) = self.advice();
        Problem { code, field: self.field(), message: self.chain(), next_step }
    }
}

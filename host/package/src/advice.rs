//! What operators and authors read of what is wrong with a plugin: a code, where, and what to do now.

use stockade_policy::Capability;

use crate::preflight::Check;
use crate::{At, Explain, PROVENANCE_FILE, PackageError, Problem, ProvenanceError, SIGNATURE_FILE};

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
                ("unwritable", "name a plugin, policy or index in a folder that you can write to")
            }
            Self::Signature(error) | Self::SignatureBeside { source: error, .. } => {
                (error.code(), error.next_step())
            }
            Self::Provenance(_) => (ProvenanceError::CODE, ProvenanceError::NEXT_STEP),
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
            Self::Runtime { .. } => (
                "unsupported-runtime",
                "build a WebAssembly component, and write runtime = \"wasm-component\" or nothing",
            ),
            Self::Versions { .. } => {
                ("bad-version-range", "write a range of semantic versions, as ^1.2 or >=1.2, <3")
            }
            Self::HostVersion { .. } => (
                "host-version",
                "use a version of stockade that the plugin is for, or one of the plugin for this host",
            ),
            Self::Link { .. } => ("bad-link", "write https:// and an address without a user, in ASCII"),
            Self::DependsOnItself { .. } => ("depends-on-itself", "remove it"),
            Self::DuplicateDependency { .. } => ("duplicate-dependency", "keep one of the two"),
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

    /// Where in the manifest, where it is there.
    pub(crate) const fn at(&self) -> Option<&At> {
        match self {
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
            | Self::Runtime { at, .. }
            | Self::Versions { at, .. }
            | Self::HostVersion { at, .. }
            | Self::Link { at, .. }
            | Self::DependsOnItself { at }
            | Self::DuplicateDependency { at, .. }
            | Self::Contract { at, .. }
            | Self::ComponentPath { at, .. }
            | Self::Instance { at, .. }
            | Self::ToolName { at, .. }
            | Self::DuplicateTool { at, .. }
            | Self::Event { at, .. }
            | Self::HookTool { at, .. }
            | Self::DuplicateHook { at, .. }
            | Self::SchemaJson { at, .. }
            | Self::Schema { at, .. }
            | Self::SchemaReference { at, .. }
            | Self::SchemaTooLarge { at }
            | Self::SettingMisplaced { at }
            | Self::Default { at, .. }
            | Self::Capability { at, .. }
            | Self::ResourceMissing { at, .. }
            | Self::ResourceSuperfluous { at, .. }
            | Self::Resource { at, .. }
            | Self::DuplicatePermission { at } => Some(at),
            _ => None,
        }
    }

    /// Whether it keeps the rest of the manifest from being looked at.
    pub const fn hides_the_rest(&self) -> bool {
        matches!(
            self,
            Self::NotUtf8 { .. } | Self::Syntax { .. } | Self::DuplicateKey { .. } | Self::Format { .. }
        )
    }

    /// Which of the checks before an install finds it.
    pub const fn check(&self) -> Check {
        match self {
            Self::NotFound { .. }
            | Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::NoManifest { .. }
            | Self::TypeNeeded
            | Self::NotAFile { .. }
            | Self::ComponentMissing { .. }
            | Self::Outside { .. }
            | Self::NotWasm { .. }
            | Self::CoreModule { .. }
            | Self::WasmVersion { .. }
            | Self::Provenance(_)
            | Self::Archive(_) => Check::Archive,
            Self::TypeConflict { .. }
            | Self::NotUtf8 { .. }
            | Self::Syntax { .. }
            | Self::DuplicateKey { .. }
            | Self::UnknownKey { .. }
            | Self::MissingKey { .. }
            | Self::WrongKind { .. }
            | Self::Format { .. }
            | Self::TooLong { .. }
            | Self::TooMany { .. }
            | Self::Name { .. }
            | Self::Version { .. }
            | Self::Type { .. }
            | Self::Runtime { .. }
            | Self::Versions { .. }
            | Self::Link { .. }
            | Self::ComponentPath { .. }
            | Self::Instance { .. }
            | Self::ToolName { .. }
            | Self::DuplicateTool { .. }
            | Self::Event { .. }
            | Self::HookTool { .. }
            | Self::DuplicateHook { .. } => Check::Manifest,
            Self::HostVersion { .. } => Check::Host,
            Self::Contract { .. }
            | Self::ContractMismatch { .. }
            | Self::UnsupportedType { .. }
            | Self::WorldTooLarge
            | Self::NothingExported
            | Self::ToolsNotDeclared
            | Self::ToolNotExported { .. } => Check::Contract,
            Self::UnknownImport { .. } => Check::Imports,
            Self::Capability { .. }
            | Self::ResourceMissing { .. }
            | Self::ResourceSuperfluous { .. }
            | Self::Resource { .. } => Check::Capabilities,
            Self::DuplicatePermission { .. } => Check::Permissions,
            Self::DependsOnItself { .. } | Self::DuplicateDependency { .. } => Check::Dependencies,
            Self::SchemaJson { .. }
            | Self::Schema { .. }
            | Self::SchemaReference { .. }
            | Self::SchemaTooLarge { .. }
            | Self::SettingMisplaced { .. }
            | Self::Default { .. } => Check::Schemas,
            Self::Signature(_) | Self::SignatureBeside { .. } => Check::Signature,
            Self::TooLarge { .. } => Check::Size,
        }
    }

    fn field(&self) -> String {
        if let Some(at) = self.at() {
            return match self {
                Self::Schema { pointer, .. } | Self::SchemaReference { pointer, .. } => {
                    format!("{at}#{pointer}")
                }
                _ => at.to_string(),
            };
        }
        match self {
            Self::NotFound { path }
            | Self::Unreadable { path, .. }
            | Self::Unwritable { path, .. }
            | Self::SignatureBeside { path, .. }
            | Self::NoManifest { path }
            | Self::NotAFile { path }
            | Self::TooLarge { path, .. }
            | Self::NotWasm { path }
            | Self::CoreModule { path }
            | Self::WasmVersion { path, .. } => path.display().to_string(),
            Self::TypeNeeded | Self::TypeConflict { .. } => "--type".to_owned(),
            Self::Signature(_) => SIGNATURE_FILE.to_owned(),
            Self::Provenance(_) => PROVENANCE_FILE.to_owned(),
            Self::Archive(_) => "package".to_owned(),
            Self::ComponentMissing { path } | Self::Outside { path } => path.clone(),
            Self::UnknownImport { name } | Self::ToolNotExported { name } => name.clone(),
            Self::UnsupportedType { function, .. } => function.clone(),
            Self::ContractMismatch { exported, .. } => exported.clone(),
            _ => "component".to_owned(),
        }
    }
}

impl Explain for PackageError {
    fn problem(&self) -> Problem {
        let (code, next_step) = self.advice();
        Problem { code, field: self.field(), message: self.chain(), next_step }
    }
}

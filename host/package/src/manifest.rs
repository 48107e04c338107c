use std::path::{Component, Path};

use semver::Version;
use stockade_policy::{PluginType, Scope, is_plugin_name};

use crate::document::{Document, Section};
use crate::hook::{self, Hook, MAX_HOOKS};
use crate::permission::{self, Permission};
use crate::schema::Budget;
use crate::setting::Setting;
use crate::tool::{self, Tool};
use crate::{At, CONTRACTS, PackageError};

/// What the manifest is called.
pub const MANIFEST_FILE: &str = "plugin.toml";
/// Largest manifest: 64 KiB, several times what a plugin with many tools has. Bounds every parser and
/// schema compiler behind it.
pub(crate) const MAX_MANIFEST: u64 = 64 * 1024;
/// Longest description or reason: 1 KiB. People read them before they say yes.
pub(crate) const MAX_DESCRIPTION: usize = 1024;
/// Longest short value: names, versions, licences.
const MAX_SHORT: usize = 256;
/// Tools of one plugin: 64. Each has a compiled validator.
const MAX_TOOLS: usize = 64;
/// Permissions of one plugin: 64. More than anybody reviews.
const MAX_PERMISSIONS: usize = 64;

const KEYS: &[&str] = &[
    "manifest",
    "name",
    "version",
    "type",
    "contract",
    "description",
    "component",
    "license",
    "instance",
    "tools",
    "hooks",
    "permissions",
];

/// What a call runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstanceMode {
    /// A new instance for every call: nothing is left over from the call before.
    #[default]
    Fresh,
    /// One instance for all calls of a worker: the plugin keeps its state.
    Reused,
}

/// A checked `plugin.toml`. What it says of the component is the author's claim.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// `publisher/name`.
    pub name: String,
    /// The plugin's version.
    pub version: Version,
    /// The plugin's type, and so its profile.
    pub plugin_type: PluginType,
    /// The line of `stockade:plugin` that it is built for: `0.1`.
    pub contract: String,
    /// What it does. Hostile text.
    pub description: String,
    /// Where the component lies, below the plugin's folder.
    pub component: String,
    /// Its licence. Hostile text.
    pub license: Option<String>,
    /// What a call runs in.
    pub instance: InstanceMode,
    /// The tools that it declares.
    pub tools: Vec<Tool>,
    /// The events that it wants to be told of.
    pub hooks: Vec<Hook>,
    /// What it asks for.
    pub permissions: Vec<Permission>,
    /// The configuration values that it describes.
    pub settings: Vec<Setting>,
}

fn is_inner_path(path: &str) -> bool {
    !path.is_empty()
        && !path.ends_with('/')
        && !path.contains('\0')
        && Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
}

impl Manifest {
    /// Reads and checks a manifest.
    pub fn parse(text: &str) -> Result<Self, PackageError> {
        let document = Document::parse(text)?;
        let root = document.root(KEYS)?;
        let (at, format) = root.integer("manifest")?;
        if format != "1" {
            return Err(PackageError::Format { at, found: format.to_owned() });
        }
        let name = root.required("name", MAX_SHORT)?;
        if !is_plugin_name(name.value) {
            return Err(PackageError::Name { at: name.at, name: name.value.to_owned() });
        }
        let version = root.required("version", MAX_SHORT)?;
        let component = root.required("component", MAX_SHORT)?;
        let contract = root.required("contract", MAX_SHORT)?;
        let mut budget = Budget::default();
        let (permissions, settings) = permissions(&root, &mut budget)?;
        let tools = tools(&root, &mut budget)?;
        let hooks = hooks(&root, &tools)?;
        let manifest = Self {
            name: name.value.to_owned(),
            version: Version::parse(version.value).map_err(|source| PackageError::Version {
                at: version.at,
                version: version.value.to_owned(),
                source,
            })?,
            plugin_type: plugin_type(&root)?,
            contract: contract.value.to_owned(),
            description: root.required("description", MAX_DESCRIPTION)?.value.to_owned(),
            component: component.value.to_owned(),
            license: root.optional("license", MAX_SHORT)?.map(|text| text.value.to_owned()),
            instance: instance(&root)?,
            tools,
            hooks,
            permissions,
            settings,
        };
        if !CONTRACTS.contains(&manifest.contract.as_str()) {
            return Err(PackageError::Contract { at: contract.at, contract: manifest.contract });
        }
        if !is_inner_path(&manifest.component) {
            return Err(PackageError::ComponentPath { at: component.at, path: manifest.component });
        }
        Ok(manifest)
    }
}

fn plugin_type(root: &Section<'_>) -> Result<PluginType, PackageError> {
    let text = root.required("type", MAX_SHORT)?;
    text.value.parse().map_err(|_| PackageError::Type { at: text.at, name: text.value.to_owned() })
}

fn instance(root: &Section<'_>) -> Result<InstanceMode, PackageError> {
    let Some(text) = root.optional("instance", MAX_SHORT)? else { return Ok(InstanceMode::default()) };
    match text.value {
        "fresh" => Ok(InstanceMode::Fresh),
        "reused" => Ok(InstanceMode::Reused),
        mode => Err(PackageError::Instance { at: text.at, mode: mode.to_owned() }),
    }
}

fn tools(root: &Section<'_>, budget: &mut Budget) -> Result<Vec<Tool>, PackageError> {
    let mut tools: Vec<Tool> = Vec::new();
    for section in root.sections("tools", MAX_TOOLS, tool::KEYS)? {
        let (at, tool) = tool::read(&section, budget)?;
        if tools.iter().any(|other| other.name == tool.name) {
            return Err(PackageError::DuplicateTool { at, name: tool.name });
        }
        tools.push(tool);
    }
    Ok(tools)
}

/// A plugin whose manifest names no tools has those that its component exports: they are looked at when it is loaded.
fn hooks(root: &Section<'_>, tools: &[Tool]) -> Result<Vec<Hook>, PackageError> {
    let mut hooks: Vec<Hook> = Vec::new();
    for section in root.sections("hooks", MAX_HOOKS, hook::KEYS)? {
        let (at, hook) = hook::read(&section)?;
        if !tools.is_empty() && !tools.iter().any(|tool| tool.name == hook.tool) {
            return Err(PackageError::HookTool { at, event: hook.event, tool: hook.tool });
        }
        if hooks.contains(&hook) {
            return Err(PackageError::DuplicateHook { at, event: hook.event });
        }
        hooks.push(hook);
    }
    Ok(hooks)
}

fn permissions(
    root: &Section<'_>,
    budget: &mut Budget,
) -> Result<(Vec<Permission>, Vec<Setting>), PackageError> {
    let mut permissions: Vec<Permission> = Vec::new();
    let mut settings = Vec::new();
    for section in root.sections("permissions", MAX_PERMISSIONS, permission::KEYS)? {
        let (at, permission): (At, Permission) = permission::read(&section)?;
        if permissions.iter().any(|other| other.request == permission.request) {
            return Err(PackageError::DuplicatePermission { at });
        }
        // What is asked for by a prefix has no one type.
        let key = match &permission.request.scope {
            Scope::Config { key } if !key.ends_with('*') => Some(key.as_str()),
            _ => None,
        };
        settings.extend(Setting::read(&section, key, budget)?);
        permissions.push(permission);
    }
    Ok((permissions, settings))
}

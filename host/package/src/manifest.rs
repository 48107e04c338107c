use std::path::{Component, Path};

use semver::{Version, VersionReq};
use stockade_policy::{PluginType, Scope, is_plugin_name, stands};

use crate::dependency::{self, Dependency, MAX_DEPENDENCIES};
use crate::document::{Document, Section};
use crate::hook::{self, Hook, MAX_HOOKS};
use crate::links::{self, Links};
use crate::permission::{self, Permission};
use crate::schema::Budget;
use crate::setting::Setting;
use crate::tool::{self, Tool};
use crate::{CONTRACTS, PackageError};

/// What the manifest is called.
pub const MANIFEST_FILE: &str = "plugin.toml";
/// Largest manifest: 64 KiB, several times what a plugin with many tools has. Bounds every parser and
/// schema compiler behind it.
pub(crate) const MAX_MANIFEST: u64 = 64 * 1024;
/// Longest description or reason: 1 KiB. People read them before they say yes.
pub(crate) const MAX_DESCRIPTION: usize = 1024;
/// Longest short value: names, versions, licences.
pub(crate) const MAX_SHORT: usize = 256;
/// Tools of one plugin: 64. Each has a compiled validator.
const MAX_TOOLS: usize = 64;
/// Permissions of one plugin: 64. More than anybody reviews.
const MAX_PERMISSIONS: usize = 64;

const KEYS: &[&str] = &[
    "manifest",
    "name",
    "version",
    "type",
    "runtime",
    "host",
    "contract",
    "description",
    "component",
    "license",
    "instance",
    "links",
    "dependencies",
    "tools",
    "hooks",
    "permissions",
];

/// The one kind of program that a plugin can be.
const RUNTIME: &str = "wasm-component";

/// The version of this host, which manifests name ranges of.
pub const HOST_VERSION: &str = env!("CARGO_PKG_VERSION");

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
    /// The versions of the host that it runs on; any where it says none.
    pub host: Option<VersionReq>,
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
    /// Where there is more about it.
    pub links: Links,
    /// The plugins that it works with.
    pub dependencies: Vec<Dependency>,
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

/// What is wrong with a manifest, in the order in which it was looked at.
#[derive(Default)]
struct Faults(Vec<PackageError>);

impl Faults {
    /// What is right; what is wrong is kept.
    fn take<T>(&mut self, read: Result<T, PackageError>) -> Option<T> {
        read.map_err(|error| self.0.push(error)).ok()
    }
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    ///
    /// The first of what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PackageError> {
        Self::read(text).map_err(|mut faults| faults.swap_remove(0))
    }

    /// Reads and checks a manifest.
    ///
    /// # Errors
    ///
    /// All that is wrong with it, as far as it can be told: at least one.
    pub fn read(text: &str) -> Result<Self, Vec<PackageError>> {
        let document = Document::parse(text).map_err(|error| vec![error])?;
        let root = document.root();
        // Other formats have other keys.
        format(&root).map_err(|error| vec![error])?;
        let mut faults = Faults::default();
        faults.take(root.knows(KEYS));
        let name = faults.take(name(&root));
        let version = faults.take(version(&root));
        let plugin_type = faults.take(plugin_type(&root));
        faults.take(runtime(&root));
        let host = faults.take(host(&root));
        let contract = faults.take(contract(&root));
        let description = faults.take(root.required("description", MAX_DESCRIPTION));
        let component = faults.take(component(&root));
        let license = faults.take(root.optional("license", MAX_SHORT));
        let instance = faults.take(instance(&root));
        let links =
            faults.take(root.table("links").and_then(|links| links.as_ref().map(links::read).transpose()));
        let dependencies = dependencies(&root, name.as_deref().unwrap_or_default(), &mut faults);
        let mut budget = Budget::default();
        let (permissions, settings) = permissions(&root, &mut budget, &mut faults);
        let before = faults.0.len();
        let tools = tools(&root, &mut budget, &mut faults);
        // Of tools of which some are not known, hooks may name those.
        let hooks = if faults.0.len() == before { hooks(&root, &tools, &mut faults) } else { Vec::new() };
        let manifest = || {
            Some(Self {
                name: name?,
                version: version?,
                plugin_type: plugin_type?,
                host: host?,
                contract: contract?,
                description: description?.value.to_owned(),
                component: component?,
                license: license?.map(|text| text.value.to_owned()),
                instance: instance?,
                links: links?.unwrap_or_default(),
                dependencies,
                tools,
                hooks,
                permissions,
                settings,
            })
        };
        manifest().filter(|_| faults.0.is_empty()).ok_or(faults.0)
    }
}

fn format(root: &Section<'_>) -> Result<(), PackageError> {
    match root.integer("manifest")? {
        (_, "1") => Ok(()),
        (at, format) => Err(PackageError::Format { at, found: format.to_owned() }),
    }
}

fn name(root: &Section<'_>) -> Result<String, PackageError> {
    let name = root.required("name", MAX_SHORT)?;
    match is_plugin_name(name.value) {
        true => Ok(name.value.to_owned()),
        false => Err(PackageError::Name { at: name.at, name: name.value.to_owned() }),
    }
}

fn version(root: &Section<'_>) -> Result<Version, PackageError> {
    let version = root.required("version", MAX_SHORT)?;
    Version::parse(version.value).map_err(|source| PackageError::Version {
        at: version.at,
        version: version.value.to_owned(),
        source,
    })
}

fn plugin_type(root: &Section<'_>) -> Result<PluginType, PackageError> {
    let text = root.required("type", MAX_SHORT)?;
    text.value.parse().map_err(|_| PackageError::Type { at: text.at, name: text.value.to_owned() })
}

fn runtime(root: &Section<'_>) -> Result<(), PackageError> {
    match root.optional("runtime", MAX_SHORT)? {
        Some(text) if text.value != RUNTIME => {
            Err(PackageError::Runtime { at: text.at, runtime: text.value.to_owned() })
        }
        _ => Ok(()),
    }
}

fn host(root: &Section<'_>) -> Result<Option<VersionReq>, PackageError> {
    let Some((at, versions)) = root.versions("host")? else { return Ok(None) };
    let here = Version::parse(HOST_VERSION).expect("a crate's version");
    if versions.matches(&here) || !stands("manifest.host") {
        return Ok(Some(versions));
    }
    Err(PackageError::HostVersion { at, versions: versions.to_string() })
}

fn contract(root: &Section<'_>) -> Result<String, PackageError> {
    let text = root.required("contract", MAX_SHORT)?;
    match CONTRACTS.contains(&text.value) {
        true => Ok(text.value.to_owned()),
        false => Err(PackageError::Contract { at: text.at, contract: text.value.to_owned() }),
    }
}

fn component(root: &Section<'_>) -> Result<String, PackageError> {
    let text = root.required("component", MAX_SHORT)?;
    match is_inner_path(text.value) {
        true => Ok(text.value.to_owned()),
        false => Err(PackageError::ComponentPath { at: text.at, path: text.value.to_owned() }),
    }
}

fn instance(root: &Section<'_>) -> Result<InstanceMode, PackageError> {
    let Some(text) = root.optional("instance", MAX_SHORT)? else { return Ok(InstanceMode::default()) };
    match text.value {
        "fresh" => Ok(InstanceMode::Fresh),
        "reused" => Ok(InstanceMode::Reused),
        mode => Err(PackageError::Instance { at: text.at, mode: mode.to_owned() }),
    }
}

fn dependencies(root: &Section<'_>, own: &str, faults: &mut Faults) -> Vec<Dependency> {
    let mut dependencies: Vec<Dependency> = Vec::new();
    for section in faults.take(root.sections("dependencies", MAX_DEPENDENCIES)).unwrap_or_default() {
        let Some(dependency) = faults.take(dependency::read(&section, own)) else { continue };
        match dependencies.iter().any(|other| other.plugin == dependency.plugin) {
            true => {
                faults
                    .0
                    .push(PackageError::DuplicateDependency { at: section.at(), plugin: dependency.plugin });
            }
            false => dependencies.push(dependency),
        }
    }
    dependencies
}

fn tools(root: &Section<'_>, budget: &mut Budget, faults: &mut Faults) -> Vec<Tool> {
    let mut tools: Vec<Tool> = Vec::new();
    for section in faults.take(root.sections("tools", MAX_TOOLS)).unwrap_or_default() {
        let Some((at, tool)) = faults.take(tool::read(&section, budget)) else { continue };
        match tools.iter().any(|other| other.name == tool.name) {
            true => faults.0.push(PackageError::DuplicateTool { at, name: tool.name }),
            false => tools.push(tool),
        }
    }
    tools
}

/// A plugin whose manifest names no tools has those that its component exports: they are looked at when it is loaded.
fn hooks(root: &Section<'_>, tools: &[Tool], faults: &mut Faults) -> Vec<Hook> {
    let mut hooks: Vec<Hook> = Vec::new();
    for section in faults.take(root.sections("hooks", MAX_HOOKS)).unwrap_or_default() {
        let Some((at, hook)) = faults.take(hook::read(&section)) else { continue };
        if !tools.is_empty() && !tools.iter().any(|tool| tool.name == hook.tool) {
            faults.0.push(PackageError::HookTool { at, event: hook.event, tool: hook.tool });
        } else if hooks.contains(&hook) {
            faults.0.push(PackageError::DuplicateHook { at, event: hook.event });
        } else {
            hooks.push(hook);
        }
    }
    hooks
}

fn permissions(
    root: &Section<'_>,
    budget: &mut Budget,
    faults: &mut Faults,
) -> (Vec<Permission>, Vec<Setting>) {
    let mut permissions: Vec<Permission> = Vec::new();
    let mut settings = Vec::new();
    for section in faults.take(root.sections("permissions", MAX_PERMISSIONS)).unwrap_or_default() {
        let Some(permission) = faults.take(permission::read(&section)) else { continue };
        if permissions.iter().any(|other| other.request == permission.request) {
            faults.0.push(PackageError::DuplicatePermission { at: permission.at });
            continue;
        }
        // What is asked for by a prefix has no one type.
        let key = match &permission.request.scope {
            Scope::Config { key } if !key.ends_with('*') => Some(key.as_str()),
            _ => None,
        };
        settings.extend(faults.take(Setting::read(&section, key, budget)).flatten());
        permissions.push(permission);
    }
    (permissions, settings)
}

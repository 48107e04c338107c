use stockade_policy::{Capability, GuestPath, Request, Scope, is_name};

use crate::document::Section;
use crate::manifest::MAX_DESCRIPTION;
use crate::{At, PackageError};

/// Longest resource: a path of Linux.
const MAX_RESOURCE: usize = stockade_policy::MAX_PATH;

/// Longest text that is looked at for the name of a capability.
const MAX_NAME: usize = 128;

pub(crate) const KEYS: &[&str] = &["capability", "resource", "reason", "schema", "default"];

/// One permission that a manifest asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// What it asks for; approved by nobody yet.
    pub request: Request,
    /// Why, in the author's words. Hostile text.
    pub reason: String,
}

/// What a resource of the capability looks like.
pub(crate) const fn expected(capability: Capability) -> &'static str {
    match capability {
        Capability::FsRead | Capability::FsWrite | Capability::FsCreate | Capability::FsDelete => {
            "an absolute path in the plugin's view, as \"/src\""
        }
        Capability::Http => {
            "[METHODS ][SCHEME://]HOST[:PORT][/PATH] in lower case, as \"api.example.org\" or \"GET *.example.org/v1\""
        }
        Capability::Config => "a key, as \"region\", or a prefix, as \"db.*\"",
        Capability::Secret => "a name and the requests it is for, as \"token@api.example.org\"",
        Capability::Model => "a name of letters, digits, -, _ and .",
        Capability::Tool => "publisher/plugin#tool",
        Capability::Log | Capability::Clock | Capability::Random | Capability::Kv => "nothing",
    }
}

fn scope(capability: Capability, resource: &str) -> Option<Scope> {
    let named = || is_name(resource).then(|| resource.to_owned());
    Some(match capability {
        Capability::FsRead => Scope::FsRead { root: GuestPath::parse(resource).ok()? },
        Capability::FsWrite => Scope::FsWrite { root: GuestPath::parse(resource).ok()? },
        Capability::FsCreate => Scope::FsCreate { root: GuestPath::parse(resource).ok()? },
        Capability::FsDelete => Scope::FsDelete { root: GuestPath::parse(resource).ok()? },
        Capability::Http => Scope::Http { to: resource.parse().ok()? },
        Capability::Secret => Scope::Secret { secret: resource.parse().ok()? },
        Capability::Model => Scope::Model { name: named()? },
        Capability::Config => {
            let key = resource.strip_suffix('*').unwrap_or(resource);
            (is_name(key) || resource == "*").then(|| Scope::Config { key: resource.to_owned() })?
        }
        Capability::Tool => {
            let (plugin, tool) = resource.split_once('#')?;
            let valid = crate::manifest::is_plugin_name(plugin) && crate::tool::is_tool_name(tool);
            valid.then(|| Scope::Tool { name: resource.to_owned() })?
        }
        Capability::Kv => Scope::Kv,
        Capability::Log => Scope::Log,
        Capability::Clock => Scope::Clock,
        Capability::Random => Scope::Random,
    })
}

pub(crate) fn read(section: &Section<'_>) -> Result<(At, Permission), PackageError> {
    let name = section.required("capability", MAX_NAME)?;
    let capability: Capability = name
        .value
        .parse()
        .map_err(|_| PackageError::Capability { at: name.at, name: name.value.to_owned() })?;
    let resource = section.optional("resource", MAX_RESOURCE)?;
    let scope = match resource {
        None if capability.takes_resource() => {
            return Err(PackageError::ResourceMissing { at: section.at(), capability });
        }
        Some(resource) if !capability.takes_resource() => {
            return Err(PackageError::ResourceSuperfluous { at: resource.at, capability });
        }
        None => scope(capability, ""),
        Some(ref resource) => scope(capability, resource.value),
    };
    let Some(scope) = scope else {
        let (at, resource) =
            resource.map_or((section.at(), String::new()), |text| (text.at, text.value.to_owned()));
        return Err(PackageError::Resource { at, capability, resource });
    };
    let reason = section.required("reason", MAX_DESCRIPTION)?.value.to_owned();
    Ok((section.at(), Permission { request: Request { scope, approved_by: None }, reason }))
}

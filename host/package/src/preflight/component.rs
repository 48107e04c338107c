use stockade_ipc::World;
use stockade_policy::{Capability, Interface, Support, interface};

use super::{Check, Finding, Severity};
use crate::{Package, PackageError, Problem, Tool, tools_of_world};

/// The lines of `stockade:plugin` that this host speaks, oldest first.
pub const CONTRACTS: [&str; 1] = ["0.1"];

/// Who stands behind each import of a component; the first that nobody stands behind is the error.
pub fn check_imports(world: &World) -> Result<Vec<(String, Interface)>, PackageError> {
    let known = world.imports.iter().map(|import| match interface(&import.name) {
        Some(interface) => Ok((import.name.clone(), interface)),
        None => Err(PackageError::UnknownImport { name: import.name.clone() }),
    });
    known.collect()
}

/// Whether a component's tool interface is of the contract that its manifest names.
pub fn check_contract(world: &World, contract: &str) -> Result<(), PackageError> {
    let Some(exported) = &world.tool_interface else { return Ok(()) };
    let version = exported.split_once('@').map_or(exported.as_str(), |(_, version)| version);
    let patch = version.strip_prefix(contract).and_then(|rest| rest.strip_prefix('.'));
    if patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit())) {
        return Ok(());
    }
    Err(PackageError::ContractMismatch { exported: exported.clone(), contract: contract.to_owned() })
}

/// The capability that an import is used by: all of a file's are behind one interface, and secrets are filled into
/// requests.
const fn behind(capability: Capability) -> Capability {
    match capability {
        Capability::FsWrite | Capability::FsCreate | Capability::FsDelete => Capability::FsRead,
        Capability::Secret => Capability::Http,
        other => other,
    }
}

impl Package {
    /// What a component imports beside what its manifest asks for: what it can have no use of, and what it could not
    /// use. `given` is whether the profile gives a capability without being asked.
    pub fn imports_and_permissions(&self, world: &World, given: impl Fn(Capability) -> bool) -> Vec<Finding> {
        let capabilities = |name: &str| match interface(name)?.support {
            Support::Provided(capability) => capability,
            Support::Refused(_) => None,
        };
        let asked = |capability| {
            let mut asked = self.permissions.iter().map(|permission| permission.request.scope.capability());
            asked.any(|asked| behind(asked) == capability)
        };
        let mut findings = Vec::new();
        let mut seen: Vec<Capability> = Vec::new();
        for import in &world.imports {
            let Some(capability) = capabilities(&import.name) else { continue };
            if seen.contains(&capability) {
                continue;
            }
            seen.push(capability);
            if !asked(capability) && !given(capability) {
                let message = format!(
                    "the component imports {}, and its manifest asks for no {capability}",
                    import.name
                );
                findings.push(Finding::new(
                    Check::Imports,
                    Severity::Note,
                    Problem::new(
                        "import-without-permission",
                        import.name.clone(),
                        message,
                        "if the plugin uses it, ask for it in plugin.toml; each use is refused and recorded. \
                     If only its toolchain imports it, nothing is to be done",
                    ),
                ));
            }
        }
        for permission in &self.permissions {
            let capability = permission.request.scope.capability();
            if !seen.contains(&behind(capability)) {
                let scope = &permission.request.scope;
                let message =
                    format!("the manifest asks for {scope}, and the component imports nothing to use it by");
                let problem = Problem::new(
                    "permission-without-import",
                    permission.at.to_string(),
                    message,
                    "remove the permission: nobody is asked for more than a plugin can use",
                );
                findings.push(Finding::new(Check::Imports, Severity::Warning, problem).at(&permission.at));
            }
        }
        findings
    }

    /// The tools that the plugin offers, now that the compiler has said what the component exports.
    ///
    /// A component with the tool interface offers what its manifest declares. Another offers the functions
    /// that it exports; where it has a manifest with tools, only those, with the manifest's words and schemas.
    pub fn tools(&self, world: &World) -> Result<Vec<Tool>, PackageError> {
        if world.tool_interface.is_some() {
            check_contract(world, &self.contract)?;
            return match self.declared.as_slice() {
                [] => Err(PackageError::ToolsNotDeclared),
                declared => Ok(declared.to_vec()),
            };
        }
        let exported = tools_of_world(world)?;
        let is_exported = |name: &str| exported.iter().any(|tool| tool.name == name);
        if let Some(hook) = self.hooks.iter().find(|hook| !is_exported(&hook.tool)) {
            return Err(PackageError::ToolNotExported { name: hook.tool.clone() });
        }
        if self.declared.is_empty() {
            return Ok(exported);
        }
        match self.declared.iter().find(|tool| exported.iter().all(|other| other.name != tool.name)) {
            Some(tool) => Err(PackageError::ToolNotExported { name: tool.name.clone() }),
            None => Ok(self.declared.clone()),
        }
    }
}

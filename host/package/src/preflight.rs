use stockade_ipc::World;
use stockade_policy::{Interface, interface};

use crate::{Package, PackageError, Tool, tools_of_world};

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

impl Package {
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

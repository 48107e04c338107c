//! What is looked at before a plugin is installed, and what is said of what is found.

mod codes;
mod component;
mod dependencies;
mod finding;

use serde::Serialize;

pub use codes::CODES;
pub use component::{CONTRACTS, check_contract, check_imports};
pub use dependencies::Available;
pub use finding::{Finding, Severity};

/// One of the checks before an install, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The files are there, and are what they have to be.
    Archive,
    /// The manifest is one.
    Manifest,
    /// The plugin is for this version of the host.
    Host,
    /// It is for a contract that this host speaks, and exports what the manifest says.
    Contract,
    /// Somebody stands behind each import, and what is asked for can be used.
    Imports,
    /// There is every capability that it asks for.
    Capabilities,
    /// What it asks for is within what a plugin of its type can have.
    Permissions,
    /// The plugins that it needs are there.
    Dependencies,
    /// Its schemas are some, and end.
    Schemas,
    /// Whoever has signed it has signed just this.
    Signature,
    /// It is not too large.
    Size,
    /// The confined compiler takes it.
    Compile,
    /// It can be brought up, in a confined worker without a grant by hand.
    Instantiate,
}

impl Check {
    /// All, in their order.
    pub const ALL: [Check; 13] = [
        Check::Archive,
        Check::Manifest,
        Check::Host,
        Check::Contract,
        Check::Imports,
        Check::Capabilities,
        Check::Permissions,
        Check::Dependencies,
        Check::Schemas,
        Check::Signature,
        Check::Size,
        Check::Compile,
        Check::Instantiate,
    ];

    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Check::Archive => "archive",
            Check::Manifest => "manifest",
            Check::Host => "host",
            Check::Contract => "contract",
            Check::Imports => "imports",
            Check::Capabilities => "capabilities",
            Check::Permissions => "permissions",
            Check::Dependencies => "dependencies",
            Check::Schemas => "schemas",
            Check::Signature => "signature",
            Check::Size => "size",
            Check::Compile => "compile",
            Check::Instantiate => "instantiate",
        }
    }
}

//! Plugins as they lie on disk: the manifest, the component's bytes, the tools and their schemas, and
//! what preflight says of them. Everything in here was written by somebody who is not trusted.
//!
//! The host parses no WebAssembly: of the component, this crate looks at the eight bytes of its preamble.
//! Its imports, exports and types come from the confined compiler, as a [`stockade_ipc::World`].
//!
//! ```no_run
//! use stockade_package::{Explain, Package};
//!
//! match Package::open("plugins/secret-scan", None) {
//!     Ok(package) => println!("{} {}", package.identity.name, package.identity.version),
//!     Err(error) => eprintln!("{}", error.problem().next_step),
//! }
//! ```
#![forbid(unsafe_code)]

mod advice;
pub mod archive;
mod at;
mod dependency;
mod derive;
mod document;
mod error;
mod folder;
mod hash;
mod hook;
pub mod index;
mod links;
mod manifest;
mod package;
mod permission;
mod preflight;
mod problem;
mod provenance;
mod schema;
mod setting;
pub mod signature;
mod tool;

pub use archive::ArchiveError;
pub use at::At;
pub use dependency::Dependency;
pub use derive::tools_of_world;
pub use error::PackageError;
pub use hash::sha256;
pub use hook::Hook;
pub use links::Links;
pub use manifest::{HOST_VERSION, InstanceMode, MANIFEST_FILE, Manifest};
pub use package::{Examined, Identity, MAX_COMPONENT, Package, SIGNATURE_FILE};
pub use permission::Permission;
pub use preflight::{Available, CODES, CONTRACTS, Check, Finding, Severity, check_contract, check_imports};
pub use problem::{Explain, Problem, chain};
pub use provenance::{Artifact, MAX_PROVENANCE, PROVENANCE_FILE, Parameter, Provenance, ProvenanceError};
pub use setting::{Setting, SettingProblem};
pub use tool::{ArgumentProblem, Tool};

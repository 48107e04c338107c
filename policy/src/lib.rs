//! What a plugin can ask, what it was granted, and what is decided.
//!
//! Pure: no I/O, no clock, no async (but for [`stands`] in a test build). Worker and host link this same crate and call the same
//! [`decide`]; the worker to refuse politely and early, the host to refuse with authority.
//!
//! ```
//! use stockade_policy::{Ask, Decision, Grant, Grants, GuestPath, Rule, Scope, Source, decide};
//!
//! let mut grants = Grants::none();
//! grants.add(Grant {
//!     scope: Scope::FsRead { root: GuestPath::parse("/src")? },
//!     rule: Rule { id: "fs.read:/src".into(), source: Source::CommandLine },
//! });
//! let inside = GuestPath::parse("/src/main.rs")?;
//! assert!(decide(&grants, &Ask::FsRead { path: &inside }).is_allowed());
//! let outside = GuestPath::parse("/etc/passwd")?;
//! assert!(matches!(decide(&grants, &Ask::FsRead { path: &outside }), Decision::Deny(_)));
//! # Ok::<(), stockade_policy::PathError>(())
//! ```
#![forbid(unsafe_code)]

mod approval;
mod ask;
mod attempt;
mod budget;
mod capability;
mod decide;
mod grant;
mod grants;
mod guest_path;
mod http;
mod interface;
mod key;
mod limit;
mod names;
mod organisation;
mod plugin_type;
mod profile;
mod protection;
mod resolve;
mod scope;
mod secret;
mod standard;
mod trust;

pub use approval::{Approval, Bound, Person, Subject, weigh};
pub use ask::Ask;
pub use attempt::{Attempt, AttemptError};
pub use budget::{Budget, Unit};
pub use capability::{Capability, UnknownCapability};
pub use decide::{Decision, Denial, Why, decide, decide_naming};
pub use grant::{Grant, Rule, Source};
pub use grants::Grants;
pub use guest_path::{GuestPath, MAX_COMPONENT, MAX_PATH, PathError};
pub use http::{HttpError, HttpScheme, HttpScope, HttpTarget, MAX_TARGET, is_of_the_connection};
pub use interface::{Interface, Support, interface};
pub use key::{NoKey, PublicKey};
pub use limit::Limit;
pub use names::{is_index_name, is_plugin_name, is_plugin_part, is_sha256, is_tool_name};
pub use organisation::{Approvers, Policy, PolicyError, PolicyFault, PolicyRule};
pub use plugin_type::{PluginType, UnknownPluginType};
pub use profile::{Limits, Profile, ProfileError};
pub use protection::{stands, word_for_programs};
pub use resolve::{Request, Resolution, Unresolved, resolve};
pub use scope::{Pattern, Scope, ScopeError};
pub use secret::{SecretError, SecretScope, is_name, placeholder};
pub use standard::Standard;
pub use trust::{Distrust, Judgement, Signed, Signers, Trust, TrustedKey};

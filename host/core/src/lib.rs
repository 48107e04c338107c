//! The embeddable Stockade host: it runs plugins that nobody trusts, each in a confined process of its
//! own, decides everything they ask for, and records every refusal.
//!
//! ```no_run
//! use stockade_host::{CallOptions, GrantRequest, Host, LoadRequest};
//! use stockade_package::Package;
//! use stockade_policy::GuestPath;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::builder().state_dir("/var/lib/my-service/stockade").build()?;
//! let package = Package::open("plugins/secret-scan", None)?;
//! let tree = GrantRequest::read_tree("/srv/checkout", GuestPath::parse("/src")?);
//! let plugin = host.load(LoadRequest::new(package).grant(tree)).await?;
//! let outcome = plugin.call("scan", r#"{"path":"/src"}"#, CallOptions::default()).await;
//! println!("{:?}: {:?}", outcome.status, outcome.value);
//! host.stop().await;
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]

mod boot;
mod broker;
mod cache;
mod compile;
mod connection;
mod database;
mod driver;
mod egress;
mod error;
mod fate;
mod flush;
mod host;
mod launch;
mod ledger;
mod load;
mod log;
mod memfd;
mod model;
mod notify;
mod outcome;
mod plugin;
mod process;
mod programs;
mod reap;
mod registry;
mod restarts;
mod scratch;
mod secret;
mod sentinel;
mod session;
mod store;
pub mod support;
mod trail;

pub use boot::BootError;
pub use error::HostError;
pub use host::{Host, HostBuilder};
pub use launch::{LaunchError, Namespaces, Step, deny_all_ruleset};
pub use load::{GrantRequest, LoadRequest};
pub use model::{Model, ModelError, OutputLimit};
pub use outcome::{Outcome, Status};
pub use plugin::{CallOptions, Plugin};
pub use programs::ProgramError;
pub use reap::Exit;
pub use secret::{SecretError, SecretSource};
pub use store::StoreError;

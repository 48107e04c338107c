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

mod approvals;
mod approve;
mod boot;
mod broker;
mod cache;
mod call_id;
mod call_name;
mod client;
mod compile;
mod connection;
mod database;
mod driver;
mod egress;
mod emit;
mod error;
mod fate;
mod flush;
mod health;
mod history;
mod host;
pub mod install;
mod kernel;
mod launch;
mod ledger;
mod load;
mod log;
mod memfd;
mod meter;
mod metrics;
mod model;
mod notify;
pub mod oci;
mod outcome;
mod plugin;
mod preflight;
mod private;
mod process;
mod process_usage;
mod programs;
mod reap;
mod registry;
mod scratch;
mod secret;
mod sentinel;
mod session;
mod store;
mod supervise;
pub mod support;
mod trail;
mod weigh;

pub use approvals::{
    ApprovalRequest, ApprovalState, ApprovalStatus, Book, BookError, Word, grants_digest, person, this_person,
};
pub use boot::BootError;
pub use call_id::CallId;
pub use emit::{EmitOptions, Told};
pub use error::HostError;
pub use health::Health;
pub use history::{Moment, STEPS};
pub use host::{Host, HostBuilder};
pub use kernel::{AuditForbidden, KernelRecords};
pub use launch::{LaunchError, Namespaces, Step, deny_all_ruleset};
pub use load::{GrantRequest, LoadRequest};
pub use metrics::METRICS_TYPE;
pub use model::{Model, ModelError, OutputLimit};
pub use outcome::{Outcome, Status};
pub use plugin::{CallOptions, Plugin, PluginState, PluginStatus};
pub use preflight::{CheckState, Preflight};
pub use programs::ProgramError;
pub use reap::Exit;
pub use secret::{SecretError, SecretSource};
pub use store::StoreError;
pub use supervise::{BreakerSettings, BreakerState, Isolation, Start, Supervision};
pub use weigh::{Granted, GrantsReport, Lacking, Weighed};

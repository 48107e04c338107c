//! The embeddable Stockade host.
#![deny(unsafe_code)]

mod boot;
mod connection;
mod launch;
mod memfd;
mod notify;
mod process;
mod reap;

pub use boot::BootError;
pub use launch::{LaunchError, Namespaces, Step};

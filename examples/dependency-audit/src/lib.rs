//! Asks a vulnerability database about the packages of a Cargo.lock.
//!
//! It sends names and versions and nothing else, to the one address that it was granted, and remembers the
//! answers in its store. The token that a private database wants never reaches it: the host fills it in.

mod lockfile;
#[cfg(target_os = "wasi")]
mod osv;
mod remember;

pub use lockfile::{Locked, packages};
pub use remember::{Known, known, remember};

#[cfg(target_os = "wasi")]
stockade_sdk::tools! {
    "audit" => osv::audit,
}

//! Finds leaked credentials in a source tree.
//!
//! `scan` walks a granted folder; `read` shows the start of one file, or that it is out of reach.

mod alphabet;
mod find;
#[cfg(target_os = "wasi")]
mod read;
mod rules;
mod shape;
mod walk;

pub use find::{Match, find};
pub use walk::{Report, Scan, scan};

#[cfg(target_os = "wasi")]
stockade_sdk::tools! {
    "scan" => walk::scan,
    "read" => read::read,
}

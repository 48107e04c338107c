//! The targets of the fuzzer: functions that take any bytes and panic where Stockade breaks a promise.
//!
//! A coverage-guided engine drives them under `cargo xtask fuzz`; the tests of this package replay the
//! corpus of each through the same functions, without an engine. `docs/fuzzing.md` has the rest.
#![deny(unsafe_code)]

mod accounting;
mod audit_line;
mod census;
pub mod corpus;
mod decode;
mod index;
mod manifest;
pub mod mutate;
mod package;
pub mod seeds;
mod session;

pub use audit_line::audit_line;
pub use decode::decode;
pub use index::index;
pub use manifest::manifest;
pub use package::package;
pub use session::{close, session};

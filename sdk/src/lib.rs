//! Write Stockade plugins in Rust.
//!
//! A plugin is a set of named tools: JSON in, JSON out. Name them in [`tools!`]:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use stockade_sdk::{ToolError, log};
//!
//! #[derive(Deserialize)]
//! struct Greet {
//!     name: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Greeting {
//!     text: String,
//! }
//!
//! fn greet(arguments: Greet) -> Result<Greeting, ToolError> {
//!     log::info!("greeting {}", arguments.name);
//!     Ok(Greeting { text: format!("Hello, {}!", arguments.name) })
//! }
//!
//! stockade_sdk::tools! {
//!     "greet" => greet,
//! }
//! # fn main() {}
//! ```
//!
//! A plugin that wants to see the raw call implements [`Tools`] and names its type in [`export!`].
//! The names, descriptions and schemas of the tools belong in `plugin.toml`: the host never runs a
//! plugin to find out what it offers.

pub mod agent;
pub mod config;
mod error;
pub mod kv;
pub mod log;
pub mod model;
mod tools;

pub use error::ToolError;
pub use serde_json::{Value, json};
#[doc(hidden)]
pub use tools::dispatch;
pub use tools::{Tools, run};

/// What wit-bindgen makes of `stockade:plugin/plugin`, for those who need it raw.
#[doc(hidden)]
pub mod bindings {
    #![allow(missing_docs, reason = "generated")]
    wit_bindgen::generate!({
        path: "../wit",
        world: "plugin",
        pub_export_macro: true,
        export_macro_name: "export_world",
        default_bindings_module: "stockade_sdk::bindings",
    });
}

/// What agents import. A plugin that does not use it does not import it.
#[cfg(target_family = "wasm")]
mod delegating {
    #![allow(missing_docs, reason = "generated")]
    wit_bindgen::generate!({ path: "../wit", world: "delegating" });
}

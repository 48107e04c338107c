//! The way into a running host: a local socket for the users whom its configuration names, and its metrics over
//! HTTP. A program that embeds a host can offer the same with it as `stockade serve` does.
//!
//! One frame is eight bytes (the body's length as a little-endian `u32`, the protocol's version, three zeros) and a
//! JSON body: a [`Request`] to the host, a [`Reply`] back. One request is answered before the next is read.
#![forbid(unsafe_code)]

mod client;
mod error;
mod frame;
mod lines;
mod lock;
mod message;
mod metrics;
mod order;
mod search;
mod server;

pub use client::Client;
pub use error::ControlError;
pub use frame::{MAX_REPLY, MAX_REQUEST, PROTOCOL};
pub use lines::{Line, Lines};
pub use lock::{Running, StateLock};
pub use message::{
    CallResult, EmitResult, HealthReply, PluginTools, Reloaded, RemoteProblem, Reply, Request, ToolInfo,
    Waiting,
};
pub use metrics::serve_metrics;
pub use order::{Changed, NotChanged, Order, Place};
pub use search::{Found, FoundPlugin, FoundVersion, Search};
pub use server::{Changing, Operations, Reloading, Server, Tell};

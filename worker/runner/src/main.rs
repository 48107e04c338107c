//! `stockade-worker`: runs one plugin, sealed, until the host closes the connection.
//!
//! One thread from the first instruction to the last. Everything that needs a system call beyond those of
//! running a guest happens before the seal.
#![cfg_attr(not(test), no_main)]

mod cli;
mod clock;
mod config;
#[path = "../../compiler/src/engine.rs"]
mod engine;
mod error;
mod fs;
mod http;
mod io;
mod json;
mod kept;
mod kv;
mod limits;
mod link;
mod log;
mod memory;
mod model;
mod random;
mod refused;
mod state;
#[cfg(test)]
mod tests;
mod tool;
mod tools;

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::exit;

use stockade_ipc::{CompileFault, Load, Loaded, Return, ToWorker};
use stockade_seal::{Bare, SealError};
use wasmtime::Engine;
use wasmtime::component::Component;

use error::WorkerError;
use fs::Quota;
use state::State;
use tool::{Linked, Plugin};

/// The exit code of a program that failed; nobody reads its words.
const FAILED: i32 = 70;

/// Where the C library starts the program. Rust's own start-up would look into /proc, make a guard page
/// and install handlers, none of which a worker of one thread needs.
#[cfg(not(test))]
#[expect(unsafe_code, reason = "JUSTIFICATION: a program without Rust's start-up has to name its own entry")]
// SAFETY: the C library calls this symbol once, with this signature; nothing else in the program has it.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: std::ffi::c_int, _argv: *const *const std::ffi::c_char) -> std::ffi::c_int {
    // A panic must not abort: that raises a signal with a call which the filter reports as an attack.
    std::panic::set_hook(Box::new(|_| exit(FAILED)));
    match run() {
        Ok(never) => match never {},
        Err(WorkerError::Seal(error)) => end(&error),
        Err(_) => exit(FAILED),
    }
}

/// Ends the program with its connection.
fn end(error: &SealError) -> ! {
    exit(if matches!(error, SealError::Closed) { 0 } else { FAILED })
}

#[cfg_attr(test, expect(dead_code, reason = "tests have no host to be started by"))]
fn run() -> Result<std::convert::Infallible, WorkerError> {
    // Installs signal handlers, and sees no byte that is not ours: so before the seal.
    let engine = Engine::new(&engine::config()).map_err(WorkerError::Engine)?;
    let bare = Bare::enter()?;
    let files = if bare.receives_files() { Quota::from_limit() } else { Quota::none() };
    let (message, artifact, mut channel) = bare.confine()?.attested()?;
    let ToWorker::Load(load) = message else { return Err(WorkerError::Unexpected) };
    let Load { grants, tool_interface, reuse_instance, memory_bytes } = load;
    let linked = match component(&engine, artifact)
        .and_then(|component| Linked::new(&component, tool_interface.as_deref()))
    {
        Ok(linked) => linked,
        Err(WorkerError::Rejected(rejected)) => {
            channel.send(&rejected.clone().into())?;
            return Err(WorkerError::Rejected(rejected));
        }
        Err(error) => return Err(error),
    };
    let state = State::new(Box::new(channel), grants, memory_bytes, files);
    serve(Plugin::new(linked, reuse_instance, state))
}

/// Maps the artifact. The one place where bytes become code.
#[expect(unsafe_code, reason = "JUSTIFICATION: the engine has no safe way to load what it compiled before")]
fn component(engine: &Engine, artifact: Vec<OwnedFd>) -> Result<Component, WorkerError> {
    let Ok([artifact]) = <[OwnedFd; 1]>::try_from(artifact) else { return Err(WorkerError::Unexpected) };
    // The only path that this program ever opens, and the only one that Landlock lets it open.
    let path = format!("/proc/self/fd/{}", artifact.as_raw_fd());
    // SAFETY: the file is sealed, so it does not change below the mapping. That it holds what our compiler
    // made of this component is the host's promise; should it be broken, what runs is the plugin's own
    // native code in the plugin's own sealed process, which the seal is built to hold.
    let loaded = unsafe { Component::deserialize_file(engine, path) };
    loaded.map_err(|error| WorkerError::rejected(CompileFault::Artifact, format!("{error:#}")))
}

fn serve(mut plugin: Plugin) -> Result<std::convert::Infallible, WorkerError> {
    kept::keep();
    plugin.state().tell(Loaded);
    loop {
        match plugin.state().host.hear(false)? {
            (ToWorker::Call(call), _) => {
                let outcome = plugin.call(&call);
                plugin.state().tell(Return { call: call.call, outcome });
                plugin.clear();
            }
            (ToWorker::Rest(_), _) => {
                plugin.state().host.rest();
                kept::give_back();
            }
            _ => return Err(WorkerError::Unexpected),
        }
    }
}

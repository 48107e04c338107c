//! `stockade-compiler`: turns one component into an artifact and a report, sealed like a worker, and ends.
//! It never runs what it made.
#![cfg_attr(not(test), no_main)]

mod engine;
mod flatten;
#[path = "../../runner/src/memory.rs"]
mod memory;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
#[cfg(not(test))]
use std::process::exit;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use stockade_ipc::bounds::TEXT;
use stockade_ipc::{Compile, CompileFault, Compiled, Fault, Rejected, ToHost, ToWorker, World};
use stockade_seal::{Bare, SealError};
use wasmtime::component::Component;
use wasmtime::{Engine, OptLevel};

/// Why the program ends without an answer.
#[derive(Debug, thiserror::Error)]
enum CompilerError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the engine does not start: {0}")]
    Engine(wasmtime::Error),
    #[error("a signal handler cannot be taken away: {0}")]
    Signal(Errno),
    #[error("the host sent something else than work")]
    NoWork,
}

/// The exit code of a program that failed; nobody reads its words.
#[cfg(not(test))]
const FAILED: i32 = 70;

/// Where the C library starts the program. Rust's own start-up would look for the stack in /proc, which Landlock
/// refuses: the kernel's records (docs/decisions/0025) would show each compiler trying for a file.
#[cfg(not(test))]
#[expect(unsafe_code, reason = "JUSTIFICATION: a program without Rust's start-up has to name its own entry")]
// SAFETY: the C library calls this symbol once, with this signature; nothing else in the program has it.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: std::ffi::c_int, _argv: *const *const std::ffi::c_char) -> std::ffi::c_int {
    // A panic must not look for a backtrace in files that it cannot open.
    std::panic::set_hook(Box::new(|_| exit(FAILED)));
    match run() {
        Ok(()) | Err(CompilerError::Seal(SealError::Closed)) => exit(0),
        // Nobody reads it: stderr is the null device. The host sees the code.
        Err(_) => exit(FAILED),
    }
}

#[cfg_attr(test, expect(dead_code, reason = "tests have no host to be started by"))]
fn run() -> Result<(), CompilerError> {
    let engine = compiling_engine().map_err(CompilerError::Engine)?;
    faults_are_the_end().map_err(CompilerError::Signal)?;
    let (message, files, mut channel) = Bare::enter()?.confine()?.attested()?;
    let ToWorker::Compile(order) = message else { return Err(CompilerError::NoWork) };
    let answer = match compile(&engine, order, files) {
        Ok(compiled) => ToHost::from(compiled),
        Err(rejected) => ToHost::from(rejected),
    };
    match channel.send(&answer) {
        Err(SealError::Fault(Fault::Encode)) => {
            let message = "the component has more imports, exports or types than a report".to_owned();
            channel.send(&Rejected { fault: CompileFault::TooLarge, message }.into())?;
        }
        sent => sent?,
    }
    Ok(())
}

/// Takes away the handlers with which the engine turns a fault of the guest into a trap: no guest runs here.
/// Hostile bytes can overflow the stack (C7: types nested ten thousand deep), and a handler that finds a fault
/// not its own puts the old one back, with a call that the filter reports as an attack. So the fault itself
/// is the end, and the host says that the compiler fell over.
#[expect(unsafe_code, reason = "JUSTIFICATION: no safe wrapper changes what a signal does")]
fn faults_are_the_end() -> Result<(), Errno> {
    for fault in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE] {
        // SAFETY: the default action runs no code of this program.
        unsafe { signal(fault, SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// The shared settings and what concerns compiling alone.
fn compiling_engine() -> wasmtime::Result<Engine> {
    let mut config = engine::config();
    config.cranelift_opt_level(OptLevel::Speed);
    Engine::new(&config)
}

fn compile(engine: &Engine, order: Compile, files: Vec<OwnedFd>) -> Result<Compiled, Rejected> {
    let failed = |error: io::Error| rejected(CompileFault::Internal, error.to_string());
    let Ok([input, output]) = <[OwnedFd; 2]>::try_from(files) else {
        return Err(rejected(CompileFault::Internal, "two files were expected".to_owned()));
    };
    let mut bytes = Vec::with_capacity(usize::try_from(order.component_len).unwrap_or(0));
    File::from(input).take(order.component_len).read_to_end(&mut bytes).map_err(failed)?;
    let (component, world) = translate(engine, bytes)?;
    let artifact =
        component.serialize().map_err(|error| rejected(CompileFault::Internal, format!("{error:#}")))?;
    File::from(output).write_all(&artifact).map_err(failed)?;
    Ok(Compiled { world })
}

/// From bytes to code, and to what they import and export.
fn translate(engine: &Engine, bytes: Vec<u8>) -> Result<(Component, World), Rejected> {
    preamble(&bytes)?;
    let component = Component::from_binary(engine, &bytes)
        .map_err(|error| rejected(CompileFault::Invalid, format!("{error:#}")))?;
    drop(bytes);
    let world = flatten::world(engine, &component.component_type())
        .map_err(|message| rejected(CompileFault::TooLarge, message))?;
    Ok((component, world))
}

fn rejected(fault: CompileFault, message: String) -> Rejected {
    Rejected { fault, message: cut(message) }
}

/// Tells a component from a core module and from everything else by its first eight bytes.
fn preamble(bytes: &[u8]) -> Result<(), Rejected> {
    let (fault, message) = match bytes.first_chunk::<8>() {
        Some([b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0]) => return Ok(()),
        Some([b'\0', b'a', b's', b'm', 1, 0, 0, 0]) => {
            (CompileFault::CoreModule, "this is a core module, not a component")
        }
        _ => (CompileFault::NotWasm, "this is not a WebAssembly component"),
    };
    Err(Rejected { fault, message: message.to_owned() })
}

fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(TEXT));
    message
}

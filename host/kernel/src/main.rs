//! `stockade-kernel-log`: reads the kernel's audit records for a host, takes them apart, and tells the host what it
//! needs of them, until the host is gone.
//!
//! The host starts it as it starts a worker: another user, no capability, no path, no network, an empty environment.
//! It brings its own filter, says so, and gets the socket only once the host has seen that all of it stands.
#![no_main]

mod reader;

use std::process::exit;

/// The exit code of a reader that failed; nobody reads its words.
const FAILED: i32 = 70;

/// Where the C library starts the program. Rust's own start-up would look into /proc, which Landlock refuses: each
/// reader would begin with a refusal of its own among those that it is to tell of.
#[expect(unsafe_code, reason = "JUSTIFICATION: a program without Rust's start-up has to name its own entry")]
#[expect(clippy::disallowed_methods, reason = "the program has nothing to unwind to")]
// SAFETY: the C library calls this symbol once, with this signature; nothing else in the program has it.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: std::ffi::c_int, _argv: *const *const std::ffi::c_char) -> std::ffi::c_int {
    std::panic::set_hook(Box::new(|_| exit(FAILED)));
    match reader::run() {
        // The host has closed its end.
        Ok(()) => exit(0),
        Err(_) => exit(FAILED),
    }
}

//! A program that attacks. Started by a host it is sealed like the worker and runs native code where the
//! worker would run a guest: what it cannot do, an attacker who owns a worker cannot do. Started alone it
//! runs the same attacks under one layer or none, which shows what each layer is worth.
#![expect(unsafe_code, reason = "JUSTIFICATION: native attacks are raw system calls and bad memory accesses")]

mod alone;
mod attacks;
mod peer;
mod sealed;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mode = std::env::args().nth(1).unwrap_or_default();
    match mode.as_str() {
        "list" => alone::list(),
        "run" => alone::run(),
        "victim" => alone::victim(),
        "peers" => peer::list(),
        _ => match sealed::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
    }
}

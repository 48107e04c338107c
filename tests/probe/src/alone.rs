//! The probe without a host: lists its attacks, and runs one under one layer or none.

use std::process::ExitCode;

pub(crate) fn list() -> ExitCode {
    ExitCode::SUCCESS
}

pub(crate) fn run() -> ExitCode {
    ExitCode::SUCCESS
}

pub(crate) fn victim() -> ExitCode {
    ExitCode::SUCCESS
}

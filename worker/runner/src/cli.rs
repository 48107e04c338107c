//! `wasi:cli`: no environment, no arguments, no terminal; stdin is at its end, stdout and stderr are lines
//! for the operator.

use stockade_ipc::LogLevel;
use wasmtime::component::{LinkerInstance, Resource};

use crate::error::Stop;
use crate::io::{InputStream, OutputStream};
use crate::state::{Cx, State};

/// `terminal-input` and `terminal-output`: there never is one.
pub(crate) struct Terminal;

pub(crate) fn link(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    match name {
        "get-environment" => at.func_wrap(name, |_: Cx<'_>, ()| Ok((Vec::<(String, String)>::new(),)))?,
        "get-arguments" => at.func_wrap(name, |_: Cx<'_>, ()| Ok((Vec::<String>::new(),)))?,
        "initial-cwd" => at.func_wrap(name, |_: Cx<'_>, ()| Ok((None::<String>,)))?,
        "exit" => at.func_wrap(name, |_: Cx<'_>, (status,): (Result<(), ()>,)| -> wasmtime::Result<()> {
            wasmtime::bail!(Stop::Exit(status.is_err().into()))
        })?,
        "exit-with-code" => at.func_wrap(name, |_: Cx<'_>, (code,): (u8,)| -> wasmtime::Result<()> {
            wasmtime::bail!(Stop::Exit(code))
        })?,
        "get-stdin" => {
            at.func_wrap(name, |mut cx: Cx<'_>, ()| Ok((cx.data_mut().table.push(InputStream::Empty)?,)))?
        }
        "get-stdout" => output(name, at, LogLevel::Info)?,
        "get-stderr" => output(name, at, LogLevel::Warn)?,
        "get-terminal-stdin" | "get-terminal-stdout" | "get-terminal-stderr" => {
            at.func_wrap(name, |_: Cx<'_>, ()| Ok((None::<Resource<Terminal>>,)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn output(name: &str, at: &mut LinkerInstance<'_, State>, level: LogLevel) -> wasmtime::Result<()> {
    at.func_wrap(name, move |mut cx: Cx<'_>, ()| {
        Ok((cx.data_mut().table.push(OutputStream::Lines(level))?,))
    })
}

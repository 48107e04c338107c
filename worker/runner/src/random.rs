//! `wasi:random`, from the kernel. The insecure variants get the same bytes.

use rustix::rand::{GetRandomFlags, getrandom};
use stockade_policy::Ask;
use wasmtime::component::LinkerInstance;

use crate::error::Stop;
use crate::state::{Cx, State};

/// Random bytes in one request: 64 KiB.
const BYTES: u64 = 64 * 1024;

fn bytes(state: &mut State, len: u64) -> wasmtime::Result<Vec<u8>> {
    state.demand(&Ask::Random)?;
    if len > BYTES {
        wasmtime::bail!(Stop::Excess("more than 64 KiB of random bytes"));
    }
    let mut bytes = vec![0; len as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(wasmtime::Error::new(error)),
        }
    }
    Ok(bytes)
}

fn number(state: &mut State) -> wasmtime::Result<u64> {
    let bytes = bytes(state, 8)?;
    Ok(u64::from_le_bytes(bytes.try_into().expect("eight were asked for")))
}

/// All three interfaces.
pub(crate) fn link(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    match name {
        "get-random-bytes" | "get-insecure-random-bytes" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (len,): (u64,)| Ok((bytes(cx.data_mut(), len)?,)))?;
        }
        "get-random-u64" | "get-insecure-random-u64" => {
            at.func_wrap(name, |mut cx: Cx<'_>, ()| Ok((number(cx.data_mut())?,)))?;
        }
        "insecure-seed" => at.func_wrap(name, |mut cx: Cx<'_>, ()| {
            let state = cx.data_mut();
            Ok(((number(state)?, number(state)?),))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

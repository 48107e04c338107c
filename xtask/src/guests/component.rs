//! Makes a component of what a toolchain's linker made.

use anyhow::{Context, Result, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wit_component::ComponentEncoder;

/// The first eight bytes: magic, version, and the layer that tells a component from a core module.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// `wasm` as a component. A core module must carry its world, as wit-bindgen leaves it; imports of
/// WASI's first version are adapted to 0.2.
pub(super) fn component(wasm: &[u8]) -> Result<Vec<u8>> {
    if wasm.starts_with(COMPONENT) {
        return Ok(wasm.to_vec());
    }
    if !wasm.starts_with(MODULE) {
        bail!("the linker left neither a core module nor a component");
    }
    let mut encoder = ComponentEncoder::default();
    encoder.module(wasm).context("the core module does not decode")?;
    // A name can stand in data too; an adapter that nothing imports is left out by the encoder.
    if wasm.windows(PREVIEW1.len()).any(|window| window == PREVIEW1.as_bytes()) {
        encoder.adapter(PREVIEW1, ADAPTER).context("the WASI adapter does not fit")?;
    }
    encoder.validate(true).encode().context("the core module is no component of its world")
}

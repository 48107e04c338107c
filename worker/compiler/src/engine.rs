//! The engine's settings, the one copy: the runner includes this file too. An artifact loads only where
//! they are equal, so they are part of what the programs' digests stand for.

use stockade_policy::stands;
use wasmtime::Config;
use wasmtime::wasmparser::WasmFeatures;

/// The WebAssembly that a component may use: what LLVM and the other toolchains emit without being asked.
/// Everything else that the engine knows, now or after an update, is refused: each proposal is engine
/// code that hostile bytes would reach. So there are no threads, no 64-bit memories, no GC, exceptions,
/// typed function references, tail calls, stack switching, and no async component ABI.
pub(crate) const ALLOWED: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::COMPONENT_MODEL);

/// Address space for one linear memory: all that a 32-bit memory can have, so that no access needs a
/// bounds check. Reserved, not committed.
const MEMORY_RESERVATION: u64 = 1 << 32;
/// Unmapped space behind it, for accesses with a constant offset.
const MEMORY_GUARD: u64 = 32 << 20;
/// Stack that guest code may use. The program's own is 8 MiB; host functions run on what is left.
const WASM_STACK: usize = 1 << 20;

/// Settings that both programs share.
pub(crate) fn config() -> Config {
    let outside = WasmFeatures::all().difference(ALLOWED);
    let let_in = |(name, proposal)| (!stands(&format!("engine.{name}"))).then_some(proposal);
    let refused = outside.difference(outside.iter_names().filter_map(let_in).collect());
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all().difference(refused), true)
        .wasm_features(refused, false)
        // The same result on every processor.
        .relaxed_simd_deterministic(true)
        // No fuel and no epochs: the host ends a worker at its deadline (docs/decisions/0004).
        .consume_fuel(false)
        .epoch_interruption(false)
        .max_wasm_stack(WASM_STACK)
        .memory_reservation(MEMORY_RESERVATION)
        .memory_guard_size(MEMORY_GUARD)
        .memory_may_move(false)
        // Data segments are mapped from the artifact; a memfd of the worker's own would be refused.
        .memory_init_cow(true)
        .force_memory_init_memfd(false)
        // Nobody unwinds guest frames with native tools.
        .native_unwind_info(false)
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false);
    config
}

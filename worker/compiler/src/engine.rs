//! The engine's settings, the one copy: the runner includes this file too. An artifact loads only where
//! they are equal, so they are part of what the programs' digests stand for.

use wasmtime::Config;

/// Address space for one linear memory: all that a 32-bit memory can have, so that no access needs a
/// bounds check. Reserved, not committed.
const MEMORY_RESERVATION: u64 = 1 << 32;
/// Unmapped space behind it, for accesses with a constant offset.
const MEMORY_GUARD: u64 = 32 << 20;
/// Stack that guest code may use. The program's own is 8 MiB; host functions run on what is left.
const WASM_STACK: usize = 1 << 20;

/// Settings that both programs share.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config
        // Switched off: each is engine code that hostile bytes would reach and no toolchain's default
        // output needs. Threads, GC, exceptions, stack switching and the async component ABI are not even
        // compiled in: their cargo features are off.
        .wasm_memory64(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .wasm_tail_call(false)
        // Switched on: what LLVM and the other toolchains emit without being asked.
        .wasm_bulk_memory(true)
        .wasm_multi_value(true)
        .wasm_simd(true)
        .wasm_multi_memory(true)
        .wasm_extended_const(true)
        .wasm_relaxed_simd(true)
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

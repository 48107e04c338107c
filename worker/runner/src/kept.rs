//! Memory that the program keeps for its next call. The guest's is the engine's.

use std::ffi::c_int;
use std::hint::black_box;

/// Blocks up to here are taken from what is kept. Larger ones are mapped and unmapped by themselves, as the C library does
/// with all above 128 KiB if nobody says otherwise: then each copy of a large message is new memory, cleared by the kernel
/// and mapped page by page, which takes longer than all else that is done with it.
const KEPT_BLOCK: c_int = 4 << 20;
/// How much is kept: some six copies of a message of 1 MiB. A quarter of what a worker has beside its guest's memory.
const KEPT: c_int = 8 << 20;
/// What the C library keeps by itself.
const KEPT_AT_REST: c_int = 128 << 10;

/// Keeps memory that was used for the next call.
pub(crate) fn keep() {
    set(libc::M_MMAP_THRESHOLD, KEPT_BLOCK);
    set(libc::M_TRIM_THRESHOLD, KEPT);
}

/// Gives back what is kept. `malloc_trim` would ask for `madvise`, which the filter does not let through.
pub(crate) fn give_back() {
    set(libc::M_TRIM_THRESHOLD, KEPT_AT_REST);
    // A block of this size, given back, has the C library look whether it keeps too much.
    drop(black_box(Vec::<u8>::with_capacity(KEPT_AT_REST as usize)));
    set(libc::M_TRIM_THRESHOLD, KEPT);
}

#[expect(unsafe_code, reason = "JUSTIFICATION: no wrapper has the C library's settings")]
fn set(what: c_int, value: c_int) {
    // SAFETY: the C library changes two numbers of its own; the program has one thread. One that it does not know it leaves.
    unsafe { libc::mallopt(what, value) };
}

//! When memory runs out, the program ends by itself. The standard answer is to abort, which raises a signal
//! with a call that the filter reports as an attack: an honest plugin over its limit would look hostile.

use std::alloc::{GlobalAlloc, Layout, System};

/// The exit code of a program that met its memory limit (RLIMIT_DATA).
const OUT_OF_MEMORY: i32 = 71;

#[global_allocator]
static ALLOCATOR: OrEnd = OrEnd;

struct OrEnd;

fn or_end(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        std::process::exit(OUT_OF_MEMORY);
    }
    block
}

#[expect(
    unsafe_code,
    reason = "JUSTIFICATION: stable Rust has no hook for a failed allocation but this trait"
)]
// SAFETY: every call goes to the system's allocator as it came, and every block comes back as it was given.
unsafe impl GlobalAlloc for OrEnd {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the trait's contract, which is the same.
        or_end(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; the block came from `System`.
        or_end(unsafe { System.realloc(block, layout, size) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; the block came from `System`.
        unsafe { System.dealloc(block, layout) }
    }
}

//! Case B6: a length that a peer claims makes no room. Counted by the allocator, so one test at a time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use stockade_ipc::bounds::CONTROL;
use stockade_ipc::phase::Sender;
use stockade_ipc::{FrameBuffer, Kind, PROTOCOL, Phases, ToHost, ToWorker};

/// The largest single allocation since it was last set to zero.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[expect(unsafe_code, reason = "JUSTIFICATION: an allocator that counts can be put in place in no other way")]
// SAFETY: every call goes to the system's allocator with its arguments unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn largest_in(work: impl FnOnce()) -> usize {
    LARGEST.store(0, Ordering::Relaxed);
    work();
    LARGEST.load(Ordering::Relaxed)
}

const CLAIMS: [u64; 9] = [
    1 << 12,
    1 << 16,
    1 << 22,
    1 << 32,
    1 << 40,
    i64::MAX.cast_unsigned(),
    u64::MAX - 7,
    u64::MAX - 1,
    u64::MAX,
];

#[test]
fn b6_claimed_lengths_make_no_room() {
    for claim in CLAIMS {
        let claim = claim.to_le_bytes();
        let zero = 0_u64.to_le_bytes();
        let bodies = [
            (Kind::Log, [&0_u32.to_le_bytes()[..], &claim].concat()),
            (Kind::Refused, claim.to_vec()),
            (Kind::Hello, claim.to_vec()),
            (Kind::Ask, [&0_u32.to_le_bytes()[..], &claim].concat()),
            (Kind::Rejected, [&0_u32.to_le_bytes()[..], &claim].concat()),
            (Kind::Return, [&zero[..], &0_u32.to_le_bytes(), &claim].concat()),
        ];
        for (kind, body) in bodies {
            let largest = largest_in(|| assert!(ToHost::decode(kind, &body).is_err()));
            assert!(largest <= CONTROL, "{kind:?} that claims {claim:?} made room for {largest} bytes");
        }
        // The lists of a report: serde makes room for at most 1 MiB ahead of the elements themselves.
        let reports = [
            claim.to_vec(),
            [&zero[..], &claim].concat(),
            [&zero[..], &zero, &[0], &claim].concat(),
            // One type, a record of that many fields.
            [&zero[..], &zero, &[0], &1_u64.to_le_bytes(), &16_u32.to_le_bytes(), &claim].concat(),
        ];
        for body in reports {
            let largest = largest_in(|| assert!(ToHost::decode(Kind::Compiled, &body).is_err()));
            assert!(largest <= 1 << 20, "a report that claims {claim:?} made room for {largest} bytes");
        }
        let largest = largest_in(|| assert!(ToWorker::decode(Kind::Load, &claim).is_err()));
        assert!(largest <= 1 << 20);

        // And on the way there: a header that claims 4 GiB.
        let mut buffer = FrameBuffer::default();
        let largest = largest_in(|| {
            for kind in 1..=13 {
                let header = [0xff, 0xff, 0xff, 0xff, kind, PROTOCOL, 0, 0];
                buffer.space()[..8].copy_from_slice(&header);
                buffer.filled(8);
                let _ = buffer.space();
                assert!(buffer.next(Sender::Worker, &Phases::default()).is_err());
                buffer = FrameBuffer::default();
            }
        });
        assert!(largest <= CONTROL, "a header made room for {largest} bytes");
    }
}

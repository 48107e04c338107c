//! Cases B5 and B6: no message nests without end, and a length that a peer claims makes no room. Counted by
//! the allocator, for each thread.

mod shapes;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::thread;

use stockade_ipc::bounds::CONTROL;
use stockade_ipc::phase::Sender;
use stockade_ipc::{
    Answer, Ask, Call, Compile, Compiled, Confined, Delegate, Delegated, FrameBuffer, Hello, Kind, Load,
    Loaded, Log, PROTOCOL, Phases, Refused, Rejected, Rest, Return, ToHost, ToWorker,
};

use crate::shapes::Shapes;

thread_local! {
    /// The largest single allocation since it was last set to zero.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn seen(size: usize) {
    LARGEST.set(LARGEST.get().max(size));
}

struct Counting;

#[expect(unsafe_code, reason = "JUSTIFICATION: an allocator that counts can be put in place in no other way")]
// SAFETY: every call goes to the system's allocator with its arguments unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        seen(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        seen(size);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn largest_in(work: impl FnOnce()) -> usize {
    LARGEST.set(0);
    work();
    LARGEST.get()
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

/// serde makes room for at most this much ahead of the elements of a list that was only claimed.
const AHEAD: usize = 1 << 20;

/// The shapes of every message, by kind.
fn messages() -> [(Kind, Shapes); 16] {
    [
        (Kind::Hello, shapes::of::<Hello>()),
        (Kind::Confined, shapes::of::<Confined>()),
        (Kind::Load, shapes::of::<Load>()),
        (Kind::Loaded, shapes::of::<Loaded>()),
        (Kind::Rejected, shapes::of::<Rejected>()),
        (Kind::Compile, shapes::of::<Compile>()),
        (Kind::Compiled, shapes::of::<Compiled>()),
        (Kind::Call, shapes::of::<Call>()),
        (Kind::Return, shapes::of::<Return>()),
        (Kind::Ask, shapes::of::<Ask>()),
        (Kind::Answer, shapes::of::<Answer>()),
        (Kind::Log, shapes::of::<Log>()),
        (Kind::Refused, shapes::of::<Refused>()),
        (Kind::Delegate, shapes::of::<Delegate>()),
        (Kind::Delegated, shapes::of::<Delegated>()),
        (Kind::Rest, shapes::of::<Rest>()),
    ]
}

fn decodes(kind: Kind, body: &[u8]) -> bool {
    match kind.row().sender {
        Sender::Worker => ToHost::decode(kind, body).is_ok(),
        Sender::Host => ToWorker::decode(kind, body).is_ok(),
    }
}

/// Shows that the walk knows the layout: what it makes are messages.
#[test]
fn every_shape_of_every_message_decodes() {
    for (number, (kind, shapes)) in messages().into_iter().enumerate() {
        assert_eq!(kind as usize, number + 1);
        for body in shapes.bodies {
            assert!(decodes(kind, &body), "{kind:?}: {body:?}");
        }
    }
}

/// A type that contains itself is a panic of the walk; the depth is that of the deepest message today.
#[test]
fn b5_no_message_contains_itself() {
    let deepest = messages().into_iter().map(|(_, shapes)| shapes.depth).max();
    assert!(deepest.is_some_and(|depth| (4..=8).contains(&depth)), "{deepest:?}");
}

#[test]
#[should_panic(expected = "Tree contains itself: Trees > Tree > Tree")]
fn b5_a_type_that_contains_itself_would_be_found() {
    #[derive(serde::Deserialize)]
    struct Trees(#[expect(dead_code, reason = "only its type is looked at")] Vec<Tree>);
    #[derive(serde::Deserialize)]
    enum Tree {
        #[expect(dead_code, reason = "only its type is looked at")]
        Leaf(u8),
        #[expect(dead_code, reason = "only its type is looked at")]
        Node(Box<Tree>),
    }
    shapes::of::<Trees>();
}

/// Ten times the largest control frame, of what nests if anything does, on a stack that is a fraction of a
/// thread's.
#[test]
fn b5_ten_frames_of_nesting_need_no_stack() {
    let nest = || {
        for pattern in [&[0_u8][..], &[1], &[1, 0, 0, 0], &[1, 0, 0, 0, 0, 0, 0, 0], &[14, 0, 0, 0], b"\x01/"]
        {
            let body = pattern.repeat(10 * CONTROL / pattern.len());
            for number in 1..=13 {
                let kind = Kind::from_u8(number).unwrap();
                assert!(!decodes(kind, &body), "{kind:?} of {pattern:?}");
            }
        }
    };
    thread::Builder::new().stack_size(256 * 1024).spawn(nest).unwrap().join().unwrap();
}

/// Every text, list and map of every shape of every message.
#[test]
fn b6_no_claimed_length_of_any_message_makes_room() {
    let mut tried = 0;
    for (kind, shapes) in messages() {
        for claim in shapes.claims {
            for length in CLAIMS {
                let body = [&claim.before[..], &length.to_le_bytes()].concat();
                let largest = largest_in(|| {
                    assert!(!decodes(kind, &body), "{kind:?} with {length} in {}", claim.within);
                });
                let room = if claim.text { CONTROL } else { AHEAD };
                assert!(
                    largest <= room,
                    "{kind:?} with {length} in {} made room for {largest}",
                    claim.within
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 100 * CLAIMS.len(), "{tried} claims are not all");
}

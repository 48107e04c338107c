//! Counts its calls: 1 for ever from a fresh instance, 1, 2, 3 from a reused one.

use std::sync::atomic::{AtomicU64, Ordering};

wit_bindgen::generate!({
    inline: "
        package guests:stateful;
        world stateful {
            export next: func() -> u64;
        }
    ",
});

static CALLS: AtomicU64 = AtomicU64::new(0);

struct Component;

impl Guest for Component {
    fn next() -> u64 {
        CALLS.fetch_add(1, Ordering::Relaxed) + 1
    }
}

export!(Component);

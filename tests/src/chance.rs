//! Random points in time, the same again for the same seed.

/// Random numbers for choosing when and what; the seed is shown, and `STOCKADE_SEED` sets it.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// Another one in every run.
    pub fn new(test: &str) -> Chance {
        let given = std::env::var("STOCKADE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |now| now.as_nanos() as u64)
        });
        println!("\n{test}: STOCKADE_SEED={seed}");
        Chance(seed)
    }

    /// Always the same.
    pub const fn of_seed(seed: u64) -> Chance {
        Chance(seed)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        // SplitMix64: every seed is as good as another.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end.max(1)
    }

    /// Up to this many microseconds.
    pub fn micros(&mut self, most: u64) -> std::time::Duration {
        std::time::Duration::from_micros(self.below(most))
    }
}

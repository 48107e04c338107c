//! libFuzzer on the target `session`.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// The input is all stream.
const PREFIX: usize = 0;

fuzz_target!(|input: &[u8]| stockade_fuzz::session(input));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let room = max_size.min(data.len());
    let mut bytes = |part: &mut [u8], size: usize| fuzzer_mutate(part, size, part.len());
    stockade_fuzz::mutate::stream(&mut data[..room], size.min(room), PREFIX, seed, &mut bytes)
});

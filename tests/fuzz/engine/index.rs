//! libFuzzer on the target `index`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| stockade_fuzz::index(input));

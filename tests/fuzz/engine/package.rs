//! libFuzzer on the target `package`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| stockade_fuzz::package(input));

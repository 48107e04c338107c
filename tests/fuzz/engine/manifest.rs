//! libFuzzer on the target `manifest`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| stockade_fuzz::manifest(input));

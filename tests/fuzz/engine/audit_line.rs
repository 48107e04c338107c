//! libFuzzer on the target `audit-line`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| stockade_fuzz::audit_line(input));

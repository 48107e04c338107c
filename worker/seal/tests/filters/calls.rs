//! The calls that a filter is asked about.

use crate::bpf::{Data, X86_64};
use crate::rules::{Check, Rule};

/// i386, arm64, none, and all bits: what a foreign instruction or a mixed-up kernel would name.
pub(crate) const FOREIGN: [u32; 5] = [0x4000_0003, 0xc000_00b7, 0, u32::MAX, X86_64 ^ 1];

/// `__X32_SYSCALL_BIT`
const X32: u32 = 1 << 30;

/// What stands in the registers that no rule looks at.
const FILLS: [u64; 3] = [0, u64::MAX, 0x5aa5_0ff0_1234_4321];

/// Every number that a kernel has or may get soon, the same with the bit of x32, and where signs turn.
pub(crate) fn numbers() -> impl Iterator<Item = u32> {
    let turns = [1 << 31, (1 << 31) - 1, (1 << 31) + 1, u32::MAX, u32::MAX - 1, X32 - 1, X32 | 1 << 31];
    (0..1024).chain((0..1024).map(|number| number | X32)).chain(turns)
}

/// All numbers on all architectures.
pub(crate) fn sweep() -> impl Iterator<Item = Data> {
    let arches = [X86_64].into_iter().chain(FOREIGN);
    arches.flat_map(|arch| {
        numbers().flat_map(move |number| {
            FILLS.map(|fill| Data { number, arch, pointer: fill.rotate_left(9), args: [fill; 6] })
        })
    })
}

/// Boundary values around what the checks of one argument say: small ones, their neighbours, every bit alone, every bit
/// turned over in a legal value, the upper half set.
pub(crate) fn boundaries(checks: &[&Check]) -> Vec<u64> {
    const UPPER: u64 = 0xffff_ffff << 32;
    let mut values = vec![0, 1, u64::from(u32::MAX), u64::MAX, UPPER];
    values.extend((0..64).map(|bit| 1 << bit));
    for check in checks {
        let (legal, mask) = (check.val, check.mask());
        values.extend([legal, legal.wrapping_sub(1), legal.wrapping_add(1), legal | UPPER]);
        values.extend([mask, !mask, legal | !mask, u64::from(!mask as u32) | legal]);
        values.extend((0..64).flat_map(|bit| [legal ^ 1 << bit, (legal | !mask) ^ 1 << bit]));
    }
    values.sort_unstable();
    values.dedup();
    values
}

/// Calls with every combination of boundary values of the arguments that rules of this number check.
pub(crate) fn grid(rules: &[Rule], number: u32) -> Vec<Data> {
    let own: Vec<&Rule> = rules.iter().filter(|rule| rule.number == number).collect();
    let mut calls: Vec<Data> =
        FILLS.map(|fill| Data { number, arch: X86_64, pointer: fill, args: [fill; 6] }).to_vec();
    for index in 0..6 {
        let checks: Vec<&Check> =
            own.iter().flat_map(|rule| &rule.checks).filter(|check| check.index == index).collect();
        if checks.is_empty() {
            continue;
        }
        let values = boundaries(&checks);
        calls = calls
            .iter()
            .flat_map(|call| {
                values.iter().map(|&value| {
                    let mut call = *call;
                    call.args[index] = value;
                    call
                })
            })
            .collect();
    }
    calls
}

/// A call that the rule allows, with `fill` in the registers that it does not look at.
pub(crate) fn legal(rule: &Rule, fill: u64) -> Data {
    let mut args = [fill; 6];
    for check in &rule.checks {
        // Several checks of one argument each set their own bits.
        args[check.index] = args[check.index] & !check.mask() | check.val;
    }
    Data { number: rule.number, arch: X86_64, pointer: fill, args }
}

//! The classic BPF of a seccomp filter, run in user space: what the kernel would answer to a call.
//!
//! Only the instructions that our compiler emits are known. Any other one is a panic and not a guess, so a
//! new one cannot be judged wrongly. Codes: linux/bpf_common.h; the data: seccomp(2), `struct seccomp_data`.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) const X86_64: u32 = 0xc000_003e;
pub(crate) const ALLOW: u32 = 0x7fff_0000;
pub(crate) const NOTIFY: u32 = 0x7fc0_0000;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// What the kernel tells a filter of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) number: u32,
    pub(crate) arch: u32,
    pub(crate) pointer: u64,
    pub(crate) args: [u64; 6],
}

/// The offset at which the arguments begin; number, architecture and instruction pointer come before.
const ARGS: u32 = 16;

impl Data {
    /// The word at an offset. The kernel takes only whole words within the 64 bytes.
    fn word(&self, offset: u32) -> u32 {
        let half = |value: u64| if offset.is_multiple_of(8) { value as u32 } else { (value >> 32) as u32 };
        match offset {
            0 => self.number,
            4 => self.arch,
            8 | 12 => half(self.pointer),
            ARGS..64 if offset.is_multiple_of(4) => half(self.args[(offset - ARGS) as usize / 8]),
            _ => panic!("the kernel refuses a load from offset {offset}"),
        }
    }
}

/// What the filter answers to one call.
pub(crate) fn run(program: &[libc::sock_filter], data: &Data) -> u32 {
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let ins = program[at];
        at += 1;
        match ins.code {
            LOAD => accumulator = data.word(ins.k),
            AND => accumulator &= ins.k,
            JUMP => at += ins.k as usize,
            IF_EQUAL => at += usize::from(if accumulator == ins.k { ins.jt } else { ins.jf }),
            RETURN => return ins.k,
            code => panic!("no instruction {code:#x} is known; teach it to the interpreter"),
        }
    }
}

/// Every answer that the filter can give to this number, whatever the arguments: both sides of each branch
/// that looks at an argument. Never misses an answer; an argument that is looked at twice could make it list
/// one too many.
pub(crate) fn answers(program: &[libc::sock_filter], arch: u32, number: Option<u32>) -> BTreeSet<u32> {
    let reached = explore(program, Some(arch), number);
    reached.into_iter().map(|at| program[at]).filter(|ins| ins.code == RETURN).map(|ins| ins.k).collect()
}

/// The instructions that some call reaches.
pub(crate) fn reached(program: &[libc::sock_filter]) -> BTreeSet<usize> {
    explore(program, None, None)
}

fn explore(program: &[libc::sock_filter], arch: Option<u32>, number: Option<u32>) -> BTreeSet<usize> {
    let mut open = vec![(0_usize, Some(0_u32))];
    let mut seen: BTreeMap<usize, BTreeSet<Option<u32>>> = BTreeMap::new();
    while let Some((at, accumulator)) = open.pop() {
        if !seen.entry(at).or_default().insert(accumulator) {
            continue;
        }
        let ins = program[at];
        let next = at + 1;
        match ins.code {
            LOAD => {
                let known = match ins.k {
                    0 => number,
                    4 => arch,
                    _ => None,
                };
                open.push((next, known));
            }
            AND => open.push((next, accumulator.map(|value| value & ins.k))),
            JUMP => open.push((next + ins.k as usize, accumulator)),
            IF_EQUAL => {
                if accumulator.is_none_or(|value| value == ins.k) {
                    open.push((next + usize::from(ins.jt), accumulator));
                }
                if accumulator != Some(ins.k) {
                    open.push((next + usize::from(ins.jf), accumulator));
                }
            }
            RETURN => {}
            code => panic!("no instruction {code:#x} is known; teach it to the interpreter"),
        }
    }
    seen.into_keys().collect()
}

/// The answer's name, for messages.
pub(crate) fn name(answer: u32) -> String {
    match answer {
        ALLOW => "ALLOW".into(),
        NOTIFY => "USER_NOTIF".into(),
        other => format!("{other:#x}"),
    }
}

const fn ins(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

#[test]
fn loads_branches_and_masks_do_what_the_kernel_does() {
    let data =
        Data { number: 7, arch: X86_64, pointer: 1 << 32 | 2, args: [0, 0, 0x0102_0304_0506_0708, 0, 0, 9] };
    let loaded = |offset| {
        // Returns one answer for each bit, so that the word can be read back.
        let bit = |bit: u32| {
            let program = [
                ins(LOAD, 0, 0, offset),
                ins(AND, 0, 0, 1 << bit),
                ins(IF_EQUAL, 1, 0, 0),
                ins(JUMP, 0, 0, 1),
                ins(RETURN, 0, 0, 0),
                ins(RETURN, 0, 0, 1),
            ];
            run(&program, &data) << bit
        };
        (0..32).map(bit).sum::<u32>()
    };
    let words = [7, X86_64, 2, 1, 0, 0, 0, 0, 0x0506_0708, 0x0102_0304, 0, 0, 0, 0, 9, 0];
    for (at, word) in words.into_iter().enumerate() {
        assert_eq!(loaded(4 * at as u32), word, "at offset {}", 4 * at);
    }
}

#[test]
fn answers_take_both_sides_of_an_argument_and_one_side_of_a_number() {
    let program = [
        ins(LOAD, 0, 0, 0),
        ins(IF_EQUAL, 0, 3, 5),
        ins(LOAD, 0, 0, 16),
        ins(IF_EQUAL, 0, 1, 1),
        ins(RETURN, 0, 0, ALLOW),
        ins(RETURN, 0, 0, NOTIFY),
    ];
    assert_eq!(answers(&program, X86_64, Some(5)), BTreeSet::from([NOTIFY, ALLOW]));
    assert_eq!(answers(&program, X86_64, Some(6)), BTreeSet::from([NOTIFY]));
    assert_eq!(answers(&program, X86_64, None), BTreeSet::from([NOTIFY, ALLOW]));
}

#[test]
#[should_panic(expected = "no instruction 0x25 is known")]
fn an_unknown_instruction_is_not_guessed() {
    run(&[ins(0x25, 0, 0, 0)], &Data::default());
}

#[test]
#[should_panic(expected = "the kernel refuses a load from offset 6")]
fn a_load_between_words_is_not_guessed() {
    run(&[ins(LOAD, 0, 0, 6)], &Data::default());
}

//! Every system call number there is, in every way that a processor of this kind can make a call. What the
//! filter lets through is written down in a file of its own; a call that is not there is stopped, known to
//! this kernel or not.

use std::collections::HashMap;
use std::sync::OnceLock;

use libc::{EBADF, EFAULT, EINVAL, ENXIO, SIGBUS, SIGILL, SIGSEGV};
use serde_json::{Value, json};
use syscalls::x86_64::Sysno;

use super::foreign::interrupt;
use super::system::forking;
use super::table::{Attack, Expect};

/// More than any kernel has; the numbers of today end below 500.
const NUMBERS: u32 = 1024;
/// The bit of the x32 ABI: the same numbers, for programs with 32-bit pointers.
pub(super) const X32: u32 = 1 << 30;

/// No descriptor, no address and no length: an allowed call does nothing with these.
const GARBAGE: [u64; 6] = [
    0x7fff_fffe,
    0xdead_beef_0000_1001,
    0xdead_beef_0000_2001,
    0xdead_beef_0000_3001,
    0xdead_beef_0000_4001,
    0xdead_beef_0000_5001,
];

/// The calls that a filter allows whatever the arguments.
fn always_reachable(filter: &str) -> &'static [String] {
    type Calls = HashMap<String, Vec<String>>;
    static FILTERS: OnceLock<Calls> = OnceLock::new();
    let filters = FILTERS.get_or_init(|| {
        let text = include_str!("../../../../worker/seal/filters/x86_64/reachable.toml");
        let file: toml::Table = text.parse().expect("the file is checked in");
        let names = |calls: &toml::Value| {
            let calls = calls.as_array().expect("a list of calls");
            calls.iter().map(|call| call.as_str().expect("a name").to_owned()).collect()
        };
        file.iter().map(|(filter, calls)| (filter.clone(), names(&calls["always"]))).collect()
    });
    &filters[filter]
}

/// What the host calls a number.
pub(crate) fn name(number: i32) -> String {
    usize::try_from(number)
        .ok()
        .and_then(Sysno::new)
        .map_or_else(|| format!("syscall_{number}"), |call| call.name().to_owned())
}

/// The name of a call of the i386 ABI.
pub(crate) fn foreign_name(number: i32) -> String {
    usize::try_from(number)
        .ok()
        .and_then(syscalls::x86::Sysno::new)
        .map_or_else(|| format!("i386.syscall_{number}"), |call| format!("i386.{}", call.name()))
}

fn native(filter: &str, number: u32) -> Value {
    let name = name(number as i32);
    let stopped = json!({ "call": name });
    match name.as_str() {
        // Linux 6.11 and 6.18: the kernel's own trampolines, let through before any filter is asked. Outside
        // of one the first ends the process and the second has nothing to do.
        "uretprobe" => json!([Expect::Signal(SIGILL).json(), stopped]),
        "uprobe" => json!([Expect::Refused(&[ENXIO]).json(), stopped]),
        call if !always_reachable(filter).iter().any(|reachable| reachable == call) => stopped,
        "exit_group" => Expect::Ended.json(),
        // Answers with where the end of the heap is and stays.
        "brk" => Expect::Done.json(),
        // Returns from a signal that never came, to wherever the stack says: Intel's and AMD's processors differ
        // in what that is. Rust's handler of bad accesses may first try to put back the default one, and be
        // stopped for that.
        "rt_sigreturn" => json!([
            Expect::Signal(SIGSEGV).json(),
            Expect::Signal(SIGBUS).json(),
            Expect::Call("rt_sigaction").json()
        ]),
        _ => Expect::Refused(&[EBADF, EINVAL, EFAULT]).json(),
    }
}

fn i386(number: u32) -> Value {
    json!({ "call": foreign_name(number as i32) })
}

fn x32(number: u32) -> Value {
    json!({ "call": name((number | X32) as i32) })
}

/// The filter of a plugin that is passed files.
const WITH_FILES: &str = "agent+fs";

/// Numbers at the edges of what a register holds.
const EDGES: [i32; 8] = [-1, i32::MAX, i32::MIN, 1023, 512, 547, X32 as i32 | 512, X32 as i32 | 547];

fn edge(variant: u32) -> Value {
    json!({ "call": name(EDGES[variant as usize % EDGES.len()]) })
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new("A57.sweep-x86_64", "every call from 0 to 1023", "", |c| {
        forking(i64::from(c.variant), &GARBAGE)
    })
    .each(NUMBERS, |number| native("node", number))
    .only_all(),
    Attack::new("A57.sweep-x86_64-fs", "every call from 0 to 1023, with an fs grant", "", |c| {
        forking(i64::from(c.variant), &GARBAGE)
    })
    .filter(WITH_FILES)
    .each(NUMBERS, |number| native(WITH_FILES, number))
    .only_all(),
    Attack::new("A57.sweep-x32", "every x32 call from 0 to 1023", "", |c| {
        forking(i64::from(c.variant | X32), &GARBAGE)
    })
    .each(NUMBERS, x32)
    .only_all(),
    Attack::new("A57.sweep-i386", "every i386 call from 0 to 1023", "", |c| {
        interrupt(c.variant, GARBAGE.map(|argument| argument as u32))
    })
    .each(NUMBERS, i386)
    .only_all(),
    Attack::new("A57.edges", "numbers at the edges of a register", "", |c| {
        forking(i64::from(EDGES[c.variant as usize % EDGES.len()]), &GARBAGE)
    })
    .each(EDGES.len() as u32, edge)
    .only_all(),
];

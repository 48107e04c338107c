//! What the installed programs are made of.

use std::fs;

use stockade_tests::dist;

fn bytes(program: &str) -> Vec<u8> {
    fs::read(dist().join(program)).expect("the program was built")
}

fn has(program: &[u8], text: &str) -> bool {
    program.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Whether an ELF program asks for a dynamic loader: a program header of type PT_INTERP.
fn asks_for_a_loader(program: &[u8]) -> bool {
    let number = |at: usize, len: usize| {
        program[at..at + len].iter().rev().fold(0_usize, |number, &byte| number << 8 | usize::from(byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|index| number(table + index * size, 4) == 3)
}

#[test]
fn the_confined_programs_are_static() {
    assert!(asks_for_a_loader(&bytes("stockade")), "the check cannot tell: the host's program is dynamic");
    for program in ["stockade-worker", "stockade-compiler", "stockade-kernel-log", "stockade-probe"] {
        assert!(!asks_for_a_loader(&bytes(program)), "{program}");
    }
}

#[test]
fn the_worker_holds_no_compiler() {
    // The crates that compile, as they stand in the messages of their own code.
    let crates = ["cranelift-codegen", "regalloc2"];
    let compiler = bytes("stockade-compiler");
    let worker = bytes("stockade-worker");
    for name in crates {
        assert!(has(&compiler, name), "the name {name} says nothing about a compiler");
        assert!(!has(&worker, name), "{name} is in the worker");
    }
    assert!(worker.len() * 2 < compiler.len(), "{} and {} bytes", worker.len(), compiler.len());
}

#[test]
fn the_confined_programs_name_no_path_of_the_machine_that_built_them() {
    for program in ["stockade-worker", "stockade-compiler", "stockade-kernel-log"] {
        assert!(!has(&bytes(program), "/.cargo/registry"), "{program}");
    }
}

#[test]
fn no_protection_can_be_taken_out_of_a_program_that_is_meant_for_use() {
    // Built for the mutation list, the same test sees that the name would be found.
    let removable = cfg!(feature = "removable-protections");
    for program in
        ["stockade", "stockade-worker", "stockade-compiler", "stockade-kernel-log", "stockade-probe"]
    {
        let named = has(&bytes(program), "STOCKADE_REMOVED_PROTECTIONS");
        assert_eq!(named, removable, "{program}");
    }
}

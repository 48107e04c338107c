//! Every compiled filter, run in user space and held against an independent reading of the files that it
//! was compiled from: cases A38, A39, A58 and A60. All of it is generated from the files; a new rule is tested by
//! being there.
#![expect(clippy::disallowed_methods, reason = "runs on the builder's machine and reads the filter files")]

mod bpf;
mod calls;
mod reachable;
mod rules;

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use stockade_seal::{FILTERS, Filter};

use crate::bpf::{ALLOW, Data, NOTIFY, X86_64};
use crate::calls::{FOREIGN, boundaries, grid, legal, sweep};
use crate::rules::{Rule, Width, verdict};

/// The instructions as a program of this build would put them up: by name, as it does.
fn compiled(filter: &Filter) -> &'static [libc::sock_filter] {
    Filter::named(filter.name).unwrap().program()
}

/// All calls that a filter is asked about.
fn asked(rules: &[Rule]) -> impl Iterator<Item = Data> {
    let checked: BTreeSet<u32> =
        rules.iter().filter(|rule| !rule.checks.is_empty()).map(|rule| rule.number).collect();
    sweep().chain(checked.into_iter().flat_map(|number| grid(rules, number)))
}

/// The first call on which program and rules disagree.
fn disagreement(program: &[libc::sock_filter], rules: &[Rule], calls: &[Data]) -> Option<String> {
    let wrong = calls.iter().find(|call| bpf::run(program, call) != verdict(rules, call))?;
    let (got, wanted) = (bpf::run(program, wrong), verdict(rules, wrong));
    Some(format!("{} where the files say {}: {wrong:x?}", bpf::name(got), bpf::name(wanted)))
}

#[test]
fn a58_every_filter_says_what_its_files_say() {
    for filter in &FILTERS {
        let rules = rules::of(filter.name);
        let calls: Vec<Data> = asked(&rules).collect();
        assert!(calls.len() > 50_000, "{} calls are not all of them", calls.len());
        if let Some(fault) = disagreement(compiled(filter), &rules, &calls) {
            panic!("filter {} says {fault}", filter.name);
        }
    }
}

#[test]
fn a58_no_filter_has_another_answer_than_the_two() {
    for filter in &FILTERS {
        let returned: BTreeSet<u32> =
            compiled(filter).iter().filter(|ins| ins.code == 0x06).map(|ins| ins.k).collect();
        assert_eq!(returned, BTreeSet::from([ALLOW, NOTIFY]), "{}", filter.name);
    }
}

/// For all numbers and arguments at once, by following every branch.
#[test]
fn a38_calls_of_a_foreign_architecture_always_reach_the_host() {
    let near = (0..32).map(|bit| X86_64 ^ 1 << bit);
    for arch in FOREIGN.into_iter().chain(near) {
        for filter in &FILTERS {
            let answers = bpf::answers(compiled(filter), arch, None);
            assert_eq!(answers, BTreeSet::from([NOTIFY]), "{} on {arch:#x}", filter.name);
        }
    }
}

#[test]
fn a38_the_numbers_of_x32_and_negative_ones_always_reach_the_host() {
    let numbers = (0..1024).map(|number| number | 1 << 30).chain([1 << 31, u32::MAX, u32::MAX - 1]);
    for number in numbers {
        for filter in &FILTERS {
            let answers = bpf::answers(compiled(filter), X86_64, Some(number));
            assert_eq!(answers, BTreeSet::from([NOTIFY]), "{}: number {number:#x}", filter.name);
        }
    }
}

#[test]
fn the_digest_is_that_of_the_instructions() {
    for filter in &FILTERS {
        let filter = Filter::named(filter.name).unwrap();
        let mut hash = Sha256::new();
        for ins in filter.program() {
            hash.update(ins.code.to_le_bytes());
            hash.update([ins.jt, ins.jf]);
            hash.update(ins.k.to_le_bytes());
        }
        assert_eq!(hash.finalize()[..], filter.digest, "{}", filter.name);
    }
}

#[test]
fn every_file_makes_filters_and_every_filter_has_a_file() {
    let mut expected = BTreeSet::new();
    for name in rules::roots() {
        if name != "compiler" {
            expected.insert(format!("{name}+fs"));
        }
        expected.insert(name);
    }
    assert_eq!(FILTERS.iter().map(|filter| filter.name.to_owned()).collect::<BTreeSet<_>>(), expected);
    assert!(FILTERS.iter().all(|filter| filter.receives_files == filter.name.ends_with("+fs")));
}

/// Says something of every rule of every filter; what was said, once each.
fn complaints(judge: impl Fn(&Filter, &[Rule], &Rule) -> Vec<String>) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut judged = 0;
    for filter in &FILTERS {
        let rules = rules::of(filter.name);
        for rule in &rules {
            judged += 1;
            for complaint in judge(filter, &rules, rule) {
                found.insert(format!("{}: {}: {complaint} (filter {})", rule.file, rule.call, filter.name));
            }
        }
    }
    assert!(judged > 100, "only {judged} rules were found");
    found.into_iter().collect()
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The mutation list: what an escape run takes out one by one.
const PROTECTIONS: &str = include_str!("../../../../tests/protections.toml");

/// Somebody notices when it is gone: a rule that honest work needs, a check of an argument, a group of calls.
/// `clock_gettime` is asked of the kernel only where the vDSO has no answer, which no test can bring about.
#[test]
fn every_rule_every_check_and_every_group_is_in_the_mutation_list() {
    let listed = |name: &String| PROTECTIONS.contains(&format!("\nname = \"{name}\"\n"));
    let groups = std::fs::read_to_string(rules::folder().join("../../groups.toml")).unwrap();
    let groups: toml::Table = groups.parse().unwrap();
    let groups = groups.keys().map(|group| format!("filter.{group}"));
    assert_none(&groups.filter(|name| !listed(name)).collect::<Vec<_>>());
    assert_none(&complaints(|_, _, rule| {
        let needed = (rule.call != "clock_gettime").then(|| format!("rule.{}", rule.call));
        let checks = rule.checks.iter().map(|check| format!("filter.{}.{}", rule.call, check.index));
        let unlisted = needed.into_iter().chain(checks).filter(|name| !listed(name));
        unlisted.map(|name| format!("tests/protections.toml has no {name}")).collect()
    }));
}

/// Legal calls that this rule alone allows get through the compiled filter.
#[test]
fn every_rule_is_reached() {
    assert_none(&complaints(|filter, rules, rule| {
        let through = grid(rules, rule.number)
            .into_iter()
            .chain([0, u64::MAX].map(|fill| legal(rule, fill)))
            .filter(|call| rules.iter().filter(|other| other.allows(call)).count() == 1)
            .find(|call| rule.allows(call));
        match through {
            None => vec!["no call passes through this rule and no other".into()],
            Some(call) if bpf::run(compiled(filter), &call) != ALLOW => {
                vec![format!("a call that the rule allows is stopped: {call:x?}")]
            }
            Some(_) => Vec::new(),
        }
    }));
}

/// One argument at a time is made wrong in an otherwise legal call: every value that breaks the check must
/// reach the host.
#[test]
fn a39_every_checked_argument_mutated_is_refused() {
    assert_none(&complaints(|filter, rules, rule| {
        let mut faults = Vec::new();
        for check in &rule.checks {
            let mut refused = 0;
            for fill in [0, u64::MAX] {
                for value in boundaries(&[check]) {
                    let mut call = legal(rule, fill);
                    call.args[check.index] = value;
                    if rules.iter().any(|rule| rule.allows(&call)) {
                        continue;
                    }
                    refused += 1;
                    if bpf::run(compiled(filter), &call) != NOTIFY {
                        faults.push(format!(
                            "argument {} is {value:#x} and the call gets through",
                            check.index
                        ));
                    }
                }
            }
            // Each bit that the check speaks of, turned over in a legal value.
            let bits = check.mask().count_ones() as usize;
            if refused < 2 * bits {
                faults.push(format!("argument {} was made wrong in {refused} ways, not {bits}", check.index));
            }
        }
        faults
    }));
}

#[test]
fn no_rule_is_said_twice_or_shadowed_by_another() {
    assert_none(&complaints(|_, rules, rule| {
        let calls = grid(rules, rule.number);
        let own: Vec<&Data> = calls.iter().filter(|call| rule.allows(call)).collect();
        let shadows = rules.iter().filter(|other| {
            !std::ptr::eq(*other, rule)
                && other.number == rule.number
                && own.iter().all(|call| other.allows(call))
        });
        shadows.map(|other| format!("whatever it allows, the rule in {} allows too", other.file)).collect()
    }));
}

#[test]
fn every_rule_has_a_reason() {
    assert_none(&complaints(|_, _, rule| {
        let reasoned = rule.reason.trim().contains(' ');
        (!reasoned).then(|| format!("{:?} is no reason", rule.reason)).into_iter().collect()
    }));
}

/// A check of 32 bits lets the upper half of the register be anything: right only where the kernel reads
/// an int there. From the kernel's own SYSCALL_DEFINE of each call.
#[test]
fn a39_narrow_checks_stand_only_where_the_kernel_reads_an_int() {
    const INTS: [(&str, usize); 4] = [("sendmsg", 0), ("sendmsg", 2), ("recvmsg", 0), ("recvmsg", 2)];
    assert_none(&complaints(|_, _, rule| {
        let narrow = rule.checks.iter().filter(|check| check.width == Width::Dword);
        let wrong = narrow.filter(|check| !INTS.contains(&(rule.call.as_str(), check.index)));
        wrong.map(|check| format!("argument {} is checked in its lower half only", check.index)).collect()
    }));
}

/// Breaks every instruction of the filters in every way that matters and wants each noticed: what shows that
/// the calls asked about are enough.
#[test]
fn a_filter_with_any_instruction_changed_is_noticed() {
    for name in ["node+fs", "compiler"] {
        let rules = rules::of(name);
        let calls: Vec<Data> = asked(&rules).collect();
        let program = compiled(FILTERS.iter().find(|filter| filter.name == name).unwrap());
        let mut unnoticed = Vec::new();
        let mut changed = 0;
        for at in 0..program.len() {
            for mutant in mutants(program, at) {
                changed += 1;
                if disagreement(&mutant, &rules, &calls).is_none() {
                    unnoticed.push((at, program[at], mutant[at]));
                }
            }
        }
        assert!(changed > program.len(), "{changed} changes");
        assert!(unnoticed.is_empty(), "filter {name}: {} of {changed}: {unnoticed:?}", unnoticed.len());
    }
}

/// The program with one instruction changed: another answer, another branch, another constant. Dead
/// instructions, which seccompiler leaves behind each rule, are left alone.
fn mutants(program: &[libc::sock_filter], at: usize) -> Vec<Vec<libc::sock_filter>> {
    let reached = bpf::reached(program);
    let ins = program[at];
    let mut changed = Vec::new();
    let mut with = |ins: libc::sock_filter| {
        let mut mutant = program.to_vec();
        mutant[at] = ins;
        changed.push(mutant);
    };
    match ins.code {
        _ if !reached.contains(&at) => {}
        0x06 => {
            for k in [ALLOW, NOTIFY].into_iter().filter(|&k| k != ins.k) {
                with(libc::sock_filter { k, ..ins });
            }
        }
        0x15 => {
            with(libc::sock_filter { jt: ins.jf, jf: ins.jt, ..ins });
            for bit in [0, 1, 16, 31] {
                with(libc::sock_filter { k: ins.k ^ 1 << bit, ..ins });
            }
        }
        0x54 => {
            for bit in 0..32 {
                with(libc::sock_filter { k: ins.k ^ 1 << bit, ..ins });
            }
        }
        0x20 => with(libc::sock_filter { k: ins.k ^ 4, ..ins }),
        _ => {}
    }
    changed
}

//! Group A: the catalogue of native attacks, by what they attack.

mod arguments;
mod artifact;
mod changing;
mod channel;
mod conduct;
mod context;
mod foreign;
mod identity;
mod kernel;
mod looking;
mod making;
mod memory;
mod mounts;
mod network;
mod opening;
mod processes;
mod reachable;
mod secrets;
mod shared;
mod sweep;
mod system;
mod table;

use serde_json::{Value, json};

pub(crate) use context::Context;
pub(crate) use foreign::interrupt;
pub(crate) use sweep::{foreign_name, name};
pub(crate) use table::{Attack, signal_name};

const SUBJECTS: &[&[Attack]] = &[
    opening::ATTACKS,
    looking::ATTACKS,
    changing::ATTACKS,
    artifact::ATTACKS,
    channel::ATTACKS,
    network::ATTACKS,
    processes::ATTACKS,
    making::ATTACKS,
    mounts::ATTACKS,
    memory::ATTACKS,
    kernel::ATTACKS,
    shared::ATTACKS,
    identity::ATTACKS,
    foreign::ATTACKS,
    arguments::ATTACKS,
    reachable::ATTACKS,
    secrets::ATTACKS,
    conduct::ATTACKS,
    sweep::ATTACKS,
];

/// Every attack.
pub(crate) fn all() -> impl Iterator<Item = &'static Attack> {
    SUBJECTS.iter().copied().flatten()
}

/// The attack of this id.
pub(crate) fn named(id: &str) -> Option<&'static Attack> {
    all().find(|attack| attack.id == id)
}

/// Runs one attack in this process and says what came of it, if it comes back.
pub(crate) fn attempt(arguments: &Value) -> Value {
    let order: Value =
        arguments["arguments"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let variant = order["variant"].as_u64().and_then(|variant| variant.try_into().ok()).unwrap_or(0);
    let context = Context::new(&order["fixtures"], variant);
    let outcome = match order["id"].as_str().and_then(named) {
        Some(attack) => attack.outcome(&context),
        None => json!({ "outcome": "unavailable", "why": "the catalogue has no such attack" }),
    };
    Value::String(outcome.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use syscalls::x86_64::Sysno;

    use super::*;

    /// What is not an attack of native code in a worker: what a boot does wrong (A42), how a frame ends
    /// (A53), what is looked at from outside (A58, A59). The others are numbers that the list leaves out.
    const ELSEWHERE: [u32; 8] = [15, 35, 42, 46, 53, 54, 58, 59];

    #[test]
    fn every_case_has_an_attack_and_every_attack_a_case() {
        let case = |attack: &Attack| -> u32 {
            let id = attack.id.strip_prefix('A').expect("group A");
            id.split_once('.').expect("a dot").0.parse().expect("a number")
        };
        let found: BTreeSet<u32> = all().map(case).collect();
        let wanted: BTreeSet<u32> = (1..=60).filter(|case| !ELSEWHERE.contains(case)).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn every_attack_has_an_id_of_its_own_and_fits_the_table() {
        let mut ids = BTreeSet::new();
        for attack in all() {
            assert!(ids.insert(attack.id), "{} is there twice", attack.id);
            let line = attack.json();
            let tries = line["tries"].as_str().expect("a text");
            assert!(!tries.is_empty() && tries.chars().count() <= 60, "{}: {tries}", attack.id);
            assert!(stockade_seal::Filter::named(attack.filter).is_ok(), "{}: {}", attack.id, attack.filter);
        }
        assert!(ids.len() > 250, "{} attacks", ids.len());
    }

    #[test]
    fn every_expected_call_is_one_that_the_host_can_name() {
        fn calls(expect: &Value, found: &mut Vec<String>) {
            match expect {
                Value::Array(several) => several.iter().for_each(|one| calls(one, found)),
                Value::Object(members) => match members.get("call") {
                    Some(Value::Array(names)) => {
                        found.extend(names.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    Some(name) => found.extend(name.as_str().map(str::to_owned)),
                    None => {}
                },
                _ => {}
            }
        }
        for attack in all() {
            let line = attack.json();
            let mut names = Vec::new();
            match line.get("each") {
                Some(each) => {
                    assert_eq!(each.as_array().map(Vec::len), line["variants"].as_u64().map(|n| n as usize));
                    calls(each, &mut names);
                }
                None => calls(&line["all"], &mut names),
            }
            for name in names {
                let (name, known) = match name.strip_prefix("i386.") {
                    Some(name) => (name, name.parse::<syscalls::x86::Sysno>().is_ok()),
                    None => (name.as_str(), name.parse::<Sysno>().is_ok()),
                };
                let numbered =
                    name.strip_prefix("syscall_").is_some_and(|number| number.parse::<i32>().is_ok());
                assert!(numbered || known, "{}: {name}", attack.id);
            }
        }
    }

    #[test]
    fn a_sweep_expects_what_the_snapshot_allows_and_nothing_more() {
        let line = named("A57.sweep-x86_64").expect("it is there").json();
        let each = line["each"].as_array().expect("it differs");
        let allowed: Vec<&str> = (0..each.len())
            .filter(|&number| !each[number].is_object() || each[number].get("call").is_none())
            .filter_map(|number| Sysno::new(number).map(|call| call.name()))
            .collect();
        let wanted = [
            "read",
            "write",
            "close",
            "munmap",
            "brk",
            "rt_sigreturn",
            "sigaltstack",
            "clock_gettime",
            "clock_nanosleep",
            "exit_group",
            "getrandom",
            "uretprobe",
            "uprobe",
        ];
        assert_eq!(allowed.iter().collect::<BTreeSet<_>>(), wanted.iter().collect::<BTreeSet<_>>());
    }
}

//! The surface: which calls confined native code can make at all. It is written down, bounded, and grows
//! only with a reason (case A60).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use stockade_seal::FILTERS;
use syscalls::Sysno;

use crate::bpf::{self, ALLOW, X86_64};
use crate::calls::numbers;
use crate::compiled;
use crate::rules::{SNAPSHOT, folder};

/// No filter may let more calls through than this, snapshot or not. The compiler runs no guest; `+fs` adds
/// two calls for files. To raise one takes a decision record.
const MAX_REACHABLE: [(&str, usize); 9] = [
    ("node", 15),
    ("node+fs", 17),
    ("integration", 15),
    ("integration+fs", 17),
    ("agent", 15),
    ("agent+fs", 17),
    ("quality_gate", 15),
    ("quality_gate+fs", 17),
    ("compiler", 13),
];

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Surface {
    /// Whatever the arguments.
    always: BTreeSet<String>,
    /// Under conditions alone.
    with_arguments: BTreeSet<String>,
}

/// Read off the instructions, for all numbers: the files are not asked.
fn surface(program: &[libc::sock_filter]) -> Surface {
    let mut surface = Surface::default();
    for number in numbers() {
        let answers = bpf::answers(program, X86_64, Some(number));
        if !answers.contains(&ALLOW) {
            continue;
        }
        let name = Sysno::new(number as usize).map_or(format!("number {number:#x}"), |call| call.to_string());
        let list = if answers.len() == 1 { &mut surface.always } else { &mut surface.with_arguments };
        list.insert(name);
    }
    surface
}

fn snapshot() -> BTreeMap<String, Surface> {
    let text = std::fs::read_to_string(folder().join(SNAPSHOT)).unwrap();
    toml::from_str(&text).unwrap_or_else(|e| panic!("{SNAPSHOT}: {e}"))
}

/// What differs, each with what to do about it.
fn differences(
    filter: &str,
    list: &str,
    written: &BTreeSet<String>,
    found: &BTreeSet<String>,
) -> Vec<String> {
    let grown = found.difference(written).map(|call| {
        format!(
            "filter {filter} now lets {call} through, which confined native code can then call. If that is meant: \
             write a decision record with the reason (docs/decisions/), and add to {list} under [{filter:?}] \
             in {SNAPSHOT} the line:\n    {call:?},"
        )
    });
    let shrunk = written.difference(found).map(|call| {
        format!(
            "filter {filter} lets {call} through no more: delete from {list} under [{filter:?}] in \
             {SNAPSHOT} the line:\n    {call:?},"
        )
    });
    grown.chain(shrunk).collect()
}

#[test]
fn a60_the_reachable_calls_are_the_ones_that_were_written_down() {
    let snapshot = snapshot();
    let mut faults = Vec::new();
    for filter in &FILTERS {
        let Some(written) = snapshot.get(filter.name) else {
            faults.push(format!("{SNAPSHOT} has no table [{:?}]", filter.name));
            continue;
        };
        let found = surface(compiled(filter));
        faults.extend(differences(filter.name, "always", &written.always, &found.always));
        let conditional = (&written.with_arguments, &found.with_arguments);
        faults.extend(differences(filter.name, "with_arguments", conditional.0, conditional.1));
    }
    for name in snapshot.keys().filter(|name| FILTERS.iter().all(|filter| filter.name != *name)) {
        faults.push(format!("{SNAPSHOT} has a table [{name:?}] and no filter has that name: delete it"));
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a60_the_reachable_calls_stay_few() {
    let bounded: BTreeSet<&str> = MAX_REACHABLE.iter().map(|(name, _)| *name).collect();
    assert_eq!(bounded, FILTERS.iter().map(|filter| filter.name).collect());
    for (name, max) in MAX_REACHABLE {
        let filter = FILTERS.iter().find(|filter| filter.name == name).unwrap();
        let Surface { always, with_arguments } = surface(compiled(filter));
        let count = always.len() + with_arguments.len();
        assert!(count <= max, "filter {name} lets {count} calls through, and at most {max} are accepted");
    }
}

#[test]
fn the_snapshot_is_sorted_and_says_nothing_twice() {
    let text = std::fs::read_to_string(folder().join(SNAPSHOT)).unwrap();
    let tables: toml::Table = text.parse().unwrap();
    for (name, table) in tables {
        for (list, calls) in table.as_table().unwrap() {
            let calls: Vec<&str> = calls.as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
            assert!(calls.is_sorted_by(|a, b| a < b), "{SNAPSHOT}: {list} under [{name:?}]: {calls:?}");
        }
    }
}

#[test]
fn a_call_more_and_a_call_less_are_told_with_what_to_do() {
    let set = |calls: &[&str]| calls.iter().map(|call| (*call).to_owned()).collect();
    let told = differences("node", "always", &set(&["brk", "close"]), &set(&["close", "ptrace"]));
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("decision record") && told[0].ends_with("    \"ptrace\","), "{}", told[0]);
    assert!(told[1].contains("delete") && told[1].ends_with("    \"brk\","), "{}", told[1]);
}

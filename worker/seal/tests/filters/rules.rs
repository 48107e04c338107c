//! The filter files, read a second time: nothing of the build script is used, so that a mistake there and
//! the same mistake here would have to be made twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use syscalls::Sysno;

use crate::bpf::{ALLOW, Data, NOTIFY, X86_64};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    allow: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    call: String,
    reason: String,
    when: Option<String>,
    #[serde(default)]
    args: Vec<Check>,
}

/// A condition on one argument.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    pub(crate) index: usize,
    #[serde(rename = "type")]
    pub(crate) width: Width,
    op: Op,
    pub(crate) val: u64,
}

/// How much of the register counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Width {
    Dword,
    Qword,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Op {
    Eq,
    MaskedEq(u64),
}

/// One rule of one file.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// `common.toml`
    pub(crate) file: String,
    pub(crate) call: String,
    pub(crate) number: u32,
    pub(crate) reason: String,
    pub(crate) checks: Vec<Check>,
}

impl Check {
    /// The bits of the register that the check speaks of.
    pub(crate) fn mask(&self) -> u64 {
        let width = match self.width {
            Width::Dword => u64::from(u32::MAX),
            Width::Qword => u64::MAX,
        };
        match self.op {
            Op::Eq => width,
            Op::MaskedEq(mask) => width & mask,
        }
    }

    fn holds(&self, arg: u64) -> bool {
        arg & self.mask() == self.val
    }
}

impl Rule {
    pub(crate) fn allows(&self, data: &Data) -> bool {
        data.arch == X86_64
            && data.number == self.number
            && self.checks.iter().all(|check| check.holds(data.args[check.index]))
    }
}

/// What the rules say to a call.
pub(crate) fn verdict(rules: &[Rule], data: &Data) -> u32 {
    if rules.iter().any(|rule| rule.allows(data)) { ALLOW } else { NOTIFY }
}

/// The folder of the filter files.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("filters/x86_64")
}

/// The snapshot that lies among them.
pub(crate) const SNAPSHOT: &str = "reachable.toml";

fn read(file: &str) -> Written {
    let text = fs::read_to_string(folder().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let written: Written = toml::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
    assert_eq!(written.format, 1, "{file}");
    written
}

/// The rules of a filter, by its name with or without `+fs`.
pub(crate) fn of(filter: &str) -> Vec<Rule> {
    let (name, files) = filter.strip_suffix("+fs").map_or((filter, false), |name| (name, true));
    let mut open = vec![name.to_owned()];
    let mut done = BTreeSet::new();
    let mut rules = Vec::new();
    while let Some(name) = open.pop() {
        assert!(done.insert(name.clone()), "{filter} includes {name} twice");
        let file = format!("{name}.toml");
        let written = read(&file);
        open.extend(written.include);
        for rule in written.allow {
            match rule.when.as_deref() {
                None => {}
                Some("files") if files => {}
                Some("files") => continue,
                Some(other) => panic!("{file}: {}: nobody knows when {other:?} is", rule.call),
            }
            let known: Sysno =
                rule.call.parse().unwrap_or_else(|()| panic!("{file}: no call {:?}", rule.call));
            rules.push(Rule {
                file: file.clone(),
                number: known.id() as u32,
                call: rule.call,
                reason: rule.reason,
                checks: rule.args,
            });
        }
    }
    rules
}

/// The files that no other includes: each is a program's filter.
pub(crate) fn roots() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.strip_suffix(".toml").unwrap_or_else(|| panic!("{file} is no filter file"));
        if file != SNAPSHOT {
            names.insert(name.to_owned());
        }
    }
    let included: Vec<String> = names.iter().flat_map(|name| read(&format!("{name}.toml")).include).collect();
    for name in included {
        names.remove(&name);
    }
    names
}

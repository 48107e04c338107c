//! Compiles the filter files to BPF. What the kernel gets is fixed when the program is built, and so is
//! its digest. A test build gets variants besides, each with one protection taken out.
#![expect(clippy::disallowed_methods, reason = "runs while the program is built, on the builder's machine")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use seccompiler::{BpfProgram, TargetArch};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The filters: a name for `argv[1]`, the file of that name.
const FILTERS: [&str; 5] = ["node", "integration", "agent", "quality_gate", "compiler"];

/// seccompiler knows no notification action. Its mismatch action is a tracer event with this number, and
/// every return that carries it is rewritten.
const SENTINEL: u16 = 0x5354;
const RET_SENTINEL: u32 = action::TRACE | SENTINEL as u32;
/// What seccompiler returns for a call of another architecture, and for nothing else. The host is to see those as well:
/// only so does it learn which call it was (docs/decisions/0028).
const FOREIGN: u32 = action::KILL_PROCESS;
const BPF_RET_K: u16 = 0x06;

mod action {
    pub(crate) const TRACE: u32 = 0x7ff0_0000;
    pub(crate) const USER_NOTIF: u32 = 0x7fc0_0000;
    pub(crate) const ALLOW: u32 = 0x7fff_0000;
    pub(crate) const KILL_PROCESS: u32 = 0x8000_0000;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    allow: Vec<Allow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    call: String,
    reason: String,
    when: Option<When>,
    #[serde(default)]
    args: Vec<serde_json::Value>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum When {
    /// Only where the host passes files at run time.
    Files,
}

#[derive(Clone, Serialize)]
struct Rule {
    syscall: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<serde_json::Value>,
}

fn main() {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo names the architecture");
    assert_eq!(arch, "x86_64", "there is no reviewed filter for {arch} under filters/");
    let folder = Path::new("filters").join(&arch);
    println!("cargo::rerun-if-changed=filters");
    let mut filters = Vec::new();
    let mut variants = Vec::new();
    for name in FILTERS {
        for files in [false, true] {
            if files && name == "compiler" {
                continue;
            }
            let mut rules = Vec::new();
            collect(&folder, name, files, &mut rules);
            let name = format!("{name}{}", if files { "+fs" } else { "" });
            if env::var_os("CARGO_FEATURE_REMOVABLE_PROTECTIONS").is_some() {
                variants.extend(without_one(&name, &rules));
            }
            filters.push(filter(&name, &telling(compile(&name, &rules))));
        }
    }
    let target = PathBuf::from(env::var("OUT_DIR").expect("cargo names the folder"));
    let array = |items: &[String]| format!("[\n{}]", items.concat());
    fs::write(target.join("filters.rs"), array(&filters)).expect("the build folder is writable");
    fs::write(target.join("variants.rs"), format!("&{}", array(&variants)))
        .expect("the build folder is writable");
}

/// A filter as Rust text.
fn filter(name: &str, program: &BpfProgram) -> String {
    let mut hash = Sha256::new();
    let mut body = String::new();
    for ins in program {
        hash.update(ins.code.to_le_bytes());
        hash.update([ins.jt, ins.jf]);
        hash.update(ins.k.to_le_bytes());
        writeln!(body, "ins({}, {}, {}, {}),", ins.code, ins.jt, ins.jf, ins.k).unwrap();
    }
    let digest: [u8; 32] = hash.finalize().into();
    let files = name.ends_with("+fs");
    format!(
        "Filter {{ name: {name:?}, receives_files: {files}, program: &[\n{body}], digest: {digest:?} }},\n"
    )
}

fn compile(name: &str, rules: &[Rule]) -> BpfProgram {
    let document = serde_json::json!({
        "filter": {
            "mismatch_action": { "trace": SENTINEL },
            "match_action": "allow",
            "filter": rules,
        }
    });
    let mut programs = seccompiler::compile_from_json(document.to_string().as_bytes(), TargetArch::x86_64)
        .unwrap_or_else(|e| panic!("filter {name}: {e}"));
    let mut program = programs.remove("filter").expect("one filter went in");
    for ins in program.iter_mut().filter(|ins| ins.code == BPF_RET_K) {
        match ins.k {
            RET_SENTINEL => ins.k = action::USER_NOTIF,
            action::ALLOW | FOREIGN => {}
            other => panic!("filter {name} returns {other:#x}, which no rule of ours says"),
        }
    }
    program
}

/// The same with calls of another architecture told of, too.
fn telling(program: BpfProgram) -> BpfProgram {
    returning(program, FOREIGN, action::USER_NOTIF)
}

/// The program that returns `to` instead of `from`.
fn returning(mut program: BpfProgram, from: u32, to: u32) -> BpfProgram {
    program.iter_mut().filter(|ins| ins.code == BPF_RET_K && ins.k == from).for_each(|ins| ins.k = to);
    program
}

/// The filter with one protection less, for each that it has; and with one rule less, which shows
/// whether anybody needs the rule.
fn without_one(name: &str, rules: &[Rule]) -> Vec<String> {
    const GROUPS: &str = "groups.toml";
    println!("cargo::rerun-if-changed={GROUPS}");
    let text = fs::read_to_string(GROUPS).unwrap_or_else(|e| panic!("{GROUPS}: {e}"));
    let groups: BTreeMap<String, Vec<String>> =
        toml::from_str(&text).unwrap_or_else(|e| panic!("{GROUPS}: {e}"));
    let mut variants = Vec::new();
    let mut add = |protection: String, program: BpfProgram| {
        variants.push(format!(
            "({protection:?}, {}),\n",
            filter(name, &telling(program)).trim_end().trim_end_matches(',')
        ));
    };
    let whole = || compile(name, rules);
    add("filter.default".to_owned(), returning(whole(), action::USER_NOTIF, action::ALLOW));
    add("filter.foreign".to_owned(), returning(whole(), FOREIGN, action::ALLOW));
    for (group, calls) in groups {
        let open = calls.into_iter().map(|call| Rule { syscall: call, args: Vec::new() });
        add(format!("filter.{group}"), compile(name, &rules.iter().cloned().chain(open).collect::<Vec<_>>()));
    }
    for (at, rule) in rules.iter().enumerate() {
        let mut fewer = rules.to_vec();
        fewer.remove(at);
        add(format!("rule.{}", rule.syscall), compile(name, &fewer));
        for argument in 0..rule.args.len() {
            let mut loose = rules.to_vec();
            let checked = loose[at].args.remove(argument);
            add(format!("filter.{}.{}", rule.syscall, checked["index"]), compile(name, &loose));
        }
    }
    variants
}

fn collect(folder: &Path, name: &str, files: bool, rules: &mut Vec<Rule>) {
    let path = folder.join(name).with_extension("toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file: File = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(file.format, 1, "{}: unknown format", path.display());
    for include in &file.include {
        collect(folder, include, files, rules);
    }
    for Allow { call, reason, when, args } in file.allow {
        assert!(!reason.trim().is_empty(), "{}: {call} has no reason", path.display());
        if when == Some(When::Files) && !files {
            continue;
        }
        rules.push(Rule { syscall: call, args });
    }
}

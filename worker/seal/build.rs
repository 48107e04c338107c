//! Compiles the filter files to BPF. What the kernel gets is fixed when the program is built, and so is
//! its digest.
#![expect(clippy::disallowed_methods, reason = "runs while the program is built, on the builder's machine")]

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

#[derive(Serialize)]
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
    let mut out = String::from("[\n");
    for name in FILTERS {
        for files in [false, true] {
            if files && name == "compiler" {
                continue;
            }
            let program = compile(&folder, name, files);
            let suffix = if files { "+fs" } else { "" };
            let mut hash = Sha256::new();
            let mut body = String::new();
            for ins in &program {
                hash.update(ins.code.to_le_bytes());
                hash.update([ins.jt, ins.jf]);
                hash.update(ins.k.to_le_bytes());
                writeln!(body, "ins({}, {}, {}, {}),", ins.code, ins.jt, ins.jf, ins.k).unwrap();
            }
            let digest: [u8; 32] = hash.finalize().into();
            writeln!(
                out,
                "Filter {{ name: {:?}, receives_files: {files}, program: &[\n{body}], digest: {digest:?} }},",
                format!("{name}{suffix}")
            )
            .unwrap();
        }
    }
    out.push(']');
    let target = PathBuf::from(env::var("OUT_DIR").expect("cargo names the folder")).join("filters.rs");
    fs::write(target, out).expect("the build folder is writable");
}

fn compile(folder: &Path, name: &str, files: bool) -> BpfProgram {
    let mut rules = Vec::new();
    collect(folder, name, files, &mut rules);
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
            action::ALLOW | action::KILL_PROCESS => {}
            other => panic!("filter {name} returns {other:#x}, which no rule of ours says"),
        }
    }
    program
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

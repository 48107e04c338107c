//! Which package may use which: the table of docs/architecture.md, held against what cargo resolves.
//! And which names stand at the top of the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Each of our packages, and which others of ours it may use, tests and build scripts included.
const MAY_USE: [(&str, &[&str]); 17] = [
    ("stockade-policy", &[]),
    ("stockade-ipc", &["stockade-policy"]),
    ("stockade-seal", &["stockade-ipc", "stockade-policy"]),
    ("stockade-worker", &["stockade-ipc", "stockade-policy", "stockade-seal"]),
    ("stockade-compiler", &["stockade-ipc", "stockade-policy", "stockade-seal"]),
    ("stockade-audit", &["stockade-ipc", "stockade-policy"]),
    ("stockade-auditor", &["stockade-audit"]),
    ("stockade-package", &["stockade-audit", "stockade-ipc", "stockade-policy"]),
    ("stockade-kernel-log", &["stockade-ipc", "stockade-policy"]),
    (
        "stockade-host",
        &["stockade-audit", "stockade-ipc", "stockade-kernel-log", "stockade-package", "stockade-policy"],
    ),
    (
        "stockade-attack",
        &["stockade-audit", "stockade-host", "stockade-ipc", "stockade-package", "stockade-policy"],
    ),
    ("stockade-control", &["stockade-host", "stockade-package", "stockade-policy"]),
    (
        "stockade-cli",
        &[
            "stockade-attack",
            "stockade-audit",
            "stockade-auditor",
            "stockade-control",
            "stockade-host",
            "stockade-ipc",
            "stockade-package",
            "stockade-policy",
        ],
    ),
    (
        "stockade-tests",
        &[
            "stockade-audit",
            "stockade-control",
            "stockade-host",
            "stockade-ipc",
            "stockade-package",
            "stockade-policy",
        ],
    ),
    (
        "stockade-fuzz",
        &[
            "stockade-audit",
            "stockade-control",
            "stockade-host",
            "stockade-ipc",
            "stockade-package",
            "stockade-policy",
            "stockade-tests",
        ],
    ),
    ("stockade-probe", &["stockade-ipc", "stockade-policy", "stockade-seal"]),
    ("xtask", &[]),
];

/// Packages of others that only some of ours may reach, however indirectly.
const REACHED_BY: [(&str, &[&str]); 3] = [
    ("wasmtime", &["stockade-worker", "stockade-compiler"]),
    ("cranelift-codegen", &["stockade-compiler"]),
    ("anyhow", &["stockade-cli", "xtask", "stockade-worker", "stockade-compiler"]),
];

/// What stands at the top of the repository. Nothing joins it without a decision record.
const TOP: [&str; 24] = [
    ".cargo",
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "deny.toml",
    "docs",
    "examples",
    "host",
    "ipc",
    "policy",
    "rustfmt.toml",
    "sdk",
    "tests",
    "wit",
    "worker",
    "xtask",
    // Git's own, where somebody needs attributes.
    ".gitattributes",
];

/// Package names to the names they use.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Every edge between packages of ours that the table does not have, and every package that is not in it.
fn forbidden_edges(graph: &Graph) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    let mut faults = Vec::new();
    for (user, used) in graph {
        let Some(allowed) = table.get(user.as_str()) else {
            faults.push(format!("{user} is not in the table"));
            continue;
        };
        let ours = used.iter().filter(|name| graph.contains_key(*name) || name.starts_with("stockade-"));
        faults.extend(
            ours.filter(|name| !allowed.contains(&name.as_str())).map(|name| format!("{user} uses {name}")),
        );
    }
    faults
}

/// Every package of ours that reaches a package of others which it must not.
fn forbidden_reach(ours: &Graph, all: &Graph) -> Vec<String> {
    let mut faults = Vec::new();
    for user in ours.keys() {
        let mut reached = BTreeSet::new();
        let mut open = vec![user.as_str()];
        while let Some(name) = open.pop() {
            if reached.insert(name) {
                open.extend(all.get(name).into_iter().flatten().map(String::as_str));
            }
        }
        for (name, users) in REACHED_BY {
            if reached.contains(name) && !users.contains(&user.as_str()) {
                faults.push(format!("{user} reaches {name}"));
            }
        }
    }
    faults
}

fn root() -> PathBuf {
    Path::new(&env::var_os("CARGO_MANIFEST_DIR").unwrap()).parent().unwrap().to_path_buf()
}

fn metadata(arguments: &[&str]) -> Value {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--locked"]).args(arguments).current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn strings<'a>(list: &'a Value, key: &'a str) -> impl Iterator<Item = String> + 'a {
    list.as_array().into_iter().flatten().filter_map(move |item| item[key].as_str().map(str::to_owned))
}

/// What our packages declare, of every kind.
fn declared() -> Graph {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().unwrap();
    let edges = packages.iter().map(|package| {
        (package["name"].as_str().unwrap().to_owned(), strings(&package["dependencies"], "name").collect())
    });
    edges.collect()
}

/// What ends up in the programs: normal edges only, for the one platform. `cargo tree` resolves the
/// features that a build of this package alone would have, which `cargo metadata` does not.
fn linked(package: &str) -> BTreeSet<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "tree",
        "--locked",
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    command.args(["--target", "x86_64-unknown-linux-gnu", "--package", package]).current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn our_packages_use_each_other_as_the_table_says() {
    let graph = declared();
    assert_eq!(graph.len(), MAY_USE.len(), "{:?}", graph.keys());
    assert_eq!(forbidden_edges(&graph), Vec::<String>::new());
}

#[test]
fn only_the_confined_side_links_the_engine_and_only_the_compiler_links_cranelift() {
    let ours = declared();
    let all = ours.keys().map(|package| (package.clone(), linked(package))).collect();
    assert_eq!(forbidden_reach(&ours, &all), Vec::<String>::new());
    // The test would also pass if `cargo tree` printed nothing.
    assert!(
        all["stockade-worker"].contains("wasmtime") && all["stockade-compiler"].contains("cranelift-codegen")
    );
}

#[test]
fn guests_know_nothing_of_the_workspace() {
    for manifest in
        ["sdk", "examples", "tests/guests"].iter().flat_map(|folder| manifests(&root().join(folder)))
    {
        let text = std::fs::read_to_string(&manifest).unwrap();
        for name in MAY_USE.iter().map(|(name, _)| name) {
            assert!(!text.contains(&format!("{name} ")), "{} uses {name}", manifest.display());
        }
    }
}

fn manifests(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("target") {
            found.extend(manifests(&path));
        } else if path.ends_with("Cargo.toml") {
            found.push(path);
        }
    }
    found
}

#[test]
fn nothing_unknown_stands_at_the_top() {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let text = String::from_utf8(listed.stdout).unwrap();
    let top: BTreeSet<&str> = text
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(|name| name.split('/').next().unwrap())
        .collect();
    let unknown: Vec<_> = top.iter().filter(|name| !TOP.contains(name)).collect();
    assert!(top.len() > 5 && unknown.is_empty(), "{unknown:?}");
}

fn made_up(edges: &[(&str, &[&str])]) -> Graph {
    edges
        .iter()
        .map(|(name, used)| ((*name).to_owned(), used.iter().map(|n| (*n).to_owned()).collect()))
        .collect()
}

#[test]
fn a_wrong_edge_is_found() {
    let good = made_up(&[("stockade-policy", &["serde"]), ("stockade-ipc", &["stockade-policy", "nix"])]);
    assert_eq!(forbidden_edges(&good), Vec::<String>::new());
    let upwards = made_up(&[("stockade-policy", &["stockade-ipc"]), ("stockade-ipc", &[])]);
    assert_eq!(forbidden_edges(&upwards), ["stockade-policy uses stockade-ipc"]);
    let across = made_up(&[("stockade-host", &["stockade-seal"])]);
    assert_eq!(forbidden_edges(&across), ["stockade-host uses stockade-seal"]);
    let sideways = made_up(&[("stockade-audit", &["stockade-host"])]);
    assert_eq!(forbidden_edges(&sideways), ["stockade-audit uses stockade-host"]);
    let new = made_up(&[("stockade-console", &[])]);
    assert_eq!(forbidden_edges(&new), ["stockade-console is not in the table"]);
}

#[test]
fn an_engine_that_is_reached_by_a_detour_is_found() {
    let ours = made_up(&[("stockade-host", &["handy"]), ("stockade-worker", &["wasmtime"])]);
    let mut all = ours.clone();
    all.extend(made_up(&[("handy", &["wasmtime"]), ("wasmtime", &["cranelift-codegen"])]));
    assert_eq!(
        forbidden_reach(&ours, &all),
        [
            "stockade-host reaches wasmtime",
            "stockade-host reaches cranelift-codegen",
            "stockade-worker reaches cranelift-codegen"
        ]
    );
}

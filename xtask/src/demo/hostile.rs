//! Every tool of examples/hostile, and what became of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::program::{Ran, Stockade};
use super::show;
use crate::ui::Step;
use crate::workspace;

/// Long enough for every tool that returns, short enough to watch those that do not.
const DEADLINE: &str = "2s";

/// Exit codes of `stockade` (docs/operating.md): the tool failed by itself, or it was stopped. Any other
/// means that the attack was never made.
const TOOL_ERROR: i32 = 1;
const REFUSED: i32 = 3;

/// Runs every tool; false when one got what it wanted.
pub(super) fn run(stockade: &Stockade, playground: &Path) -> Result<bool> {
    fs::create_dir_all(playground)?;
    fs::write(playground.join("hello.txt"), "hello\n")?;
    symlink("/etc/passwd", playground.join("link"))?;
    let plugin = with_a_folder(&playground.with_file_name("hostile"))?;
    let manifest = fs::read_to_string(plugin.join("plugin.toml"))?;
    let manifest: toml::Table = manifest.parse().context("examples/hostile/plugin.toml does not parse")?;
    let tools =
        manifest.get("tools").and_then(toml::Value::as_array).context("examples/hostile has no tools")?;
    let grant = format!("fs.read={}:/src", playground.display());
    println!("   $ stockade run {} --grant {grant} --deadline {DEADLINE} --tool ...\n", plugin.display());

    let mut rows = Vec::new();
    let mut lost = Vec::new();
    let mut step = Step::begin(format!("{} attacks", tools.len()));
    for tool in tools {
        let name = tool.get("name").and_then(toml::Value::as_str).context("a tool has no name")?;
        step.detail(name);
        let arguments = if name == "symlink" { json!({"path": "/src/link"}) } else { json!({}) };
        let ran =
            stockade.run_quietly(&plugin, &["--grant", &grant, "--deadline", DEADLINE], name, &arguments)?;
        let intent = tool.get("description").and_then(toml::Value::as_str).unwrap_or_default();
        let (ended, held) = ended(name, &ran);
        if !held {
            lost.push(name);
        }
        rows.push(row(intent, &ended, &ran));
    }
    step.end(if lost.is_empty() { crate::ui::OK } else { crate::ui::BAD }, "");
    println!();
    show::table(["what it does", "what came of it", "layer", "rule"], &rows);
    println!("\n   {} attacks, {} held", tools.len(), tools.len() - lost.len());
    if !lost.is_empty() {
        println!("   not held: {}", lost.join(", "));
    }
    Ok(lost.is_empty())
}

/// The plugin, as a quality gate: a node would get no folder to climb out of.
fn with_a_folder(copy: &Path) -> Result<PathBuf> {
    let original = workspace::root().join("examples/hostile");
    fs::create_dir_all(copy)?;
    fs::copy(original.join("hostile.wasm"), copy.join("hostile.wasm"))
        .context("examples/hostile is not built")?;
    let manifest =
        fs::read_to_string(original.join("plugin.toml")).context("examples/hostile has no plugin.toml")?;
    fs::write(copy.join("plugin.toml"), manifest.replacen("type = \"node\"", "type = \"quality_gate\"", 1))?;
    Ok(copy.to_path_buf())
}

/// How it ended, and whether the attack was held.
fn ended(tool: &str, ran: &Ran) -> (String, bool) {
    // Lines are not refused but counted: what is over the limit is dropped, and the record says how many.
    let only_counted = matches!(tool, "log_flood" | "stdout_flood");
    match ran.value.as_ref().map(|value| value["outcome"].as_str().unwrap_or_default()) {
        Some("refused") => ("refused; the plugin carried on".into(), true),
        Some(_) if only_counted => ("cut to its limit".into(), !ran.refusals().is_empty()),
        Some(_) => ("it got what it wanted".into(), false),
        None => (ran.status().replace('_', " "), matches!(ran.code, Some(TOOL_ERROR | REFUSED))),
    }
}

fn row(intent: &str, ended: &str, ran: &Ran) -> [String; 4] {
    let refusals = ran.refusals();
    let (layer, rule) = match refusals.first() {
        Some(record) => (show::plain(&record["layer"]), named(record)),
        None => ("engine".into(), ran.said()),
    };
    [intent.to_owned(), ended.to_owned(), layer, rule]
}

/// The rule, or where none is named, why.
fn named(record: &Value) -> String {
    match show::rule(record) {
        rule if rule.is_empty() => show::plain(&record["reason"]),
        rule => rule,
    }
}

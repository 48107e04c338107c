//! Shows what Stockade does, with the programs that a user gets and nothing else.

mod hostile;
mod plant;
mod program;
mod show;
mod tamper;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{guests, programs, ui, workspace};
use program::{Ran, Stockade};

/// Runs the demonstration; false when something did not come out as it must.
pub(crate) fn run() -> Result<bool> {
    let dist = programs::build(false)?;
    ui::step("example plugins", |progress| guests::build_examples(progress))?;
    let state = workspace::target()?.join("demo");
    if state.exists() {
        // The last run's log and folders; the cache of compiled plugins lies elsewhere.
        fs::remove_dir_all(&state).with_context(|| format!("cannot remove {}", state.display()))?;
    }
    fs::create_dir_all(&state).with_context(|| format!("cannot create {}", state.display()))?;
    let stockade =
        Stockade::new(dist.join("stockade"), state.join("audit"), workspace::target()?.join("demo-state"));
    let root = workspace::root();

    show::heading("1. A plugin at work: secret-scan reads this repository, and nothing else");
    let ran = scan(&stockade, root, &json!({"path": "/src", "max_findings": 20}))?;
    let mut good = findings(&ran, None)?;

    show::heading("2. The same plugin over a folder of planted secrets");
    let planted = state.join("planted");
    let secrets = plant::folder(&planted)?;
    println!("   {secrets} credentials of made-up owners, put together just now, in {}\n", planted.display());
    good &= findings(&scan(&stockade, &planted, &json!({"path": "/src"}))?, Some(secrets))?;

    show::heading("3. The same plugin, asked for a file that it was not granted");
    good &= outside(&stockade, &planted)?;

    show::heading("4. A hostile plugin: each tool tries one thing that a plugin must not do");
    good &= hostile::run(&stockade, &state.join("playground"))?;

    show::heading("5. The record of it");
    good &= tamper::run(&stockade, &state)?;

    show::heading(if good {
        "All of it came out as it must."
    } else {
        "Something above did not come out as it must."
    });
    println!("   The log:  {}", stockade.log().display());
    println!("   Read on:  README.md, docs/architecture.md, docs/threat-model.md");
    println!("   Try next:");
    for line in [
        format!("{} audit tail --audit {}", dist.join("stockade").display(), stockade.audit().display()),
        format!("{} doctor", dist.join("stockade").display()),
        "cargo xtask test".to_owned(),
    ] {
        println!("      {line}");
    }
    Ok(good)
}

fn scan(stockade: &Stockade, tree: &Path, arguments: &Value) -> Result<Ran> {
    let grant = format!("fs.read={}:/src", tree.display());
    let plugin = workspace::root().join("examples/secret-scan");
    stockade.run(&plugin, &["--grant", &grant, "--deadline", "60s"], "scan", arguments)
}

/// Shows what a scan found; `expected` findings, where the number is known.
fn findings(ran: &Ran, expected: Option<usize>) -> Result<bool> {
    let report = ran.value.as_ref().with_context(|| format!("the scan has no result: {}", ran.said()))?;
    let found = report["findings"].as_array().context("the scan's result lists no findings")?;
    let rows: Vec<_> =
        found.iter().map(|f| ["file", "line", "rule", "match"].map(|key| show::plain(&f[key]))).collect();
    if !rows.is_empty() {
        show::table(["file", "line", "rule", "match"], &rows);
    }
    println!(
        "\n   {} found in {} files ({} bytes), {} for all: start, confine, attest, load, scan, record",
        found.len(),
        report["files_scanned"],
        report["bytes_scanned"],
        ui::seconds(ran.took)
    );
    if let Some(expected) = expected.filter(|&expected| found.len() < expected) {
        println!("   but {expected} were planted");
        return Ok(false);
    }
    Ok(true)
}

/// A grant is a tree: what is beside it is refused, and recorded.
fn outside(stockade: &Stockade, granted: &Path) -> Result<bool> {
    let grant = format!("fs.read={}:/src", granted.display());
    let plugin = workspace::root().join("examples/secret-scan");
    let ran = stockade.run(&plugin, &["--grant", &grant], "read", &json!({"path": "/etc/passwd"}))?;
    let refusals = ran.refusals();
    for record in &refusals {
        show::record(record);
    }
    ensure!(ran.value.is_none() || !refusals.is_empty(), "the file was read: {}", ran.said());
    Ok(!refusals.is_empty())
}

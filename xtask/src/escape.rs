//! Nobody gets out: every attack case, every protection taken out once, and the processes' accounts at full
//! size.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::suite::Stage;
use crate::ui::seconds;
use crate::{cargo, programs, protections, suite};

/// What to try.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this part.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Only cases and protections whose names contain this.
    #[arg(long)]
    filter: Option<String>,
    /// Optimise the host and the tests, as what is shipped: for figures. Takes longer to build.
    #[arg(long)]
    release: bool,
    /// For people, or one JSON document for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The parts of the suite.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The attack cases: what `stockade doctor --attack` runs.
    Cases,
    /// Processes that are killed, starved and flooded, thousands of times.
    Processes,
    /// Each protection taken out: the suite has to notice.
    Protections,
}

/// The system tests that take `STOCKADE_CYCLES`.
const PROCESSES: [&str; 4] = ["processes", "exhaustion", "refusal", "soak"];

/// Runs the suite; false when something is broken.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let wants = |part| options.only.is_none_or(|only| only == part);
    let mut held = true;
    let mut document = json!({ "schema": 1 });
    let began = Instant::now();
    if wants(Part::Cases) || wants(Part::Processes) {
        let dist = programs::build(options.release)?;
        crate::build_guests()?;
        held &= suite::as_every_user(dist, options.release, |stage, tests| {
            let mut held = true;
            if wants(Part::Cases) {
                held &= cases(stage, options, &mut document)?;
            }
            if wants(Part::Processes) && options.filter.is_none() {
                held &= stage.full_size(tests, &PROCESSES)?;
            }
            Ok(held)
        })?;
    }
    if wants(Part::Protections) {
        let began = Instant::now();
        let findings = protections::run(options.filter.as_deref())?;
        held &= findings.iter().all(protections::Finding::is_fine);
        match options.format {
            Format::Text => protections::show(&findings, began.elapsed()),
            Format::Json => document["protections"] = serde_json::to_value(&findings)?,
        }
    }
    if options.format == Format::Json {
        document["held"] = held.into();
        println!("{document}");
    } else {
        let (all, building) = (began.elapsed(), cargo::building());
        println!(
            "{} ({}, and {} of building)",
            if held { "nothing is broken" } else { "BROKEN: see above" },
            seconds(all.saturating_sub(building)),
            seconds(building)
        );
    }
    Ok(held)
}

/// The table of attack cases, by the program that an operator has.
fn cases(stage: &Stage, options: &Options, document: &mut Value) -> Result<bool> {
    let program = stage.dist.join("stockade");
    let mut command = stage.command(&program);
    command.args(["doctor", "--attack"]).stdin(Stdio::null());
    command.args(options.filter.iter().flat_map(|case| ["--case", case]));
    if options.format == Format::Text {
        println!("attack cases as {}", stage.user);
        let status = command.status().with_context(|| format!("{} does not start", program.display()))?;
        println!();
        return Ok(status.success());
    }
    let mut output: File = protections::nameless_file()?;
    let status = command
        .args(["--format", "json"])
        .stdout(output.try_clone()?)
        .status()
        .with_context(|| format!("{} does not start", program.display()))?;
    let mut text = String::new();
    output.rewind()?;
    output.read_to_string(&mut text)?;
    document[format!("cases_as_{}", stage.user)] =
        serde_json::from_str(&text).context("the report is no JSON")?;
    Ok(status.success())
}

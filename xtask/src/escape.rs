//! Nobody gets out: every attack case, every protection taken out once, and the processes' accounts at full
//! size.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;

use crate::suite::{Stage, Users};
use crate::ui::seconds;
use crate::{cargo, programs, protections};

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

/// The system tests that take `STOCKADE_CYCLES`, and those of them that measure: beside nothing else.
const PROCESSES: [&str; 3] = ["processes", "exhaustion", "refusal"];
const MEASURED: [&str; 1] = ["soak"];

/// Runs the suite; false when something is broken.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let wants = |part| options.only.is_none_or(|only| only == part);
    let mut held = true;
    let mut document = json!({ "schema": 1 });
    let began = Instant::now();
    if wants(Part::Cases) || wants(Part::Processes) {
        let dist = programs::build(options.release)?;
        crate::build_guests()?;
        let processes = wants(Part::Processes) && options.filter.is_none();
        let tests = if processes { [&PROCESSES[..], &MEASURED].concat() } else { Vec::new() };
        let users = Users::prepare(dist, tests, options.release)?;
        if wants(Part::Cases) {
            for report in users.side_by_side(|stage, _| cases(stage, options))? {
                held &= report.held;
                match options.format {
                    Format::Text => println!("attack cases as {}\n{}", report.user, report.text),
                    Format::Json => {
                        document[format!("cases_as_{}", report.user)] =
                            serde_json::from_str(&report.text).context("the report is no JSON")?;
                    }
                }
            }
        }
        if processes {
            let killed = users.side_by_side(|stage, tests| stage.full_size(tests, &PROCESSES, 2))?;
            let measured = users.in_turns(|stage, tests| stage.full_size(tests, &MEASURED, 1))?;
            held &= killed.into_iter().chain(measured).all(|held| held);
        }
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

/// What the program that an operator has says of the attack cases.
struct Report {
    user: &'static str,
    held: bool,
    text: String,
}

fn cases(stage: &Stage, options: &Options) -> Result<Report> {
    let program = stage.dist.join("stockade");
    let mut output: File = protections::nameless_file()?;
    let mut command = stage.command(&program);
    command.args(["doctor", "--attack"]).stdin(Stdio::null()).stdout(output.try_clone()?);
    command.args(options.filter.iter().flat_map(|case| ["--case", case]));
    if options.format == Format::Json {
        command.args(["--format", "json"]);
    }
    // Where two tell how far they are, nobody can read it.
    if stage.uid.is_some() {
        command.stderr(Stdio::null());
    }
    let status = command.status().with_context(|| format!("{} does not start", program.display()))?;
    let mut text = String::new();
    output.rewind()?;
    output.read_to_string(&mut text)?;
    Ok(Report { user: stage.user, held: status.success(), text })
}

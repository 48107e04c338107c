//! Group C: hostile components, on a host with the programs that a user gets.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::bench::Bench;
use crate::case::{Finding, GuestBench, GuestCase, Hindrance, plugin_name};
use crate::evidence::Evidence;
use crate::judge;
use crate::native::millis;
use crate::parallel;
use crate::progress::Counter;
use crate::report::{Group, Row};

/// What came of a case, before its records have been read.
pub(crate) struct Attempt {
    case: GuestCase,
    found: Result<Finding, Hindrance>,
    neighbour: Result<Duration, String>,
}

/// Runs them all.
pub(crate) fn run(cases: &[GuestCase], bench: &Bench, counter: &Counter<'_>) -> Vec<Attempt> {
    parallel::each(cases, |case| {
        counter.begin(case.id);
        let found = attempt(case, bench);
        let mut neighbour = bench.neighbour();
        if matches!(neighbour, Ok(took) if took > judge::SERVED) {
            neighbour = bench.neighbour();
        }
        counter.end();
        Attempt { case: *case, found, neighbour }
    })
}

fn attempt(case: &GuestCase, bench: &Bench) -> Result<Finding, Hindrance> {
    let scratch = tempfile::Builder::new().prefix("stockade-attack-").tempdir()?;
    let name = plugin_name(case.id);
    let guest = GuestBench::new(bench.host(), &bench.programs, scratch.path(), &name);
    // A case whose assertion fails must not take the table with it.
    catch_unwind(AssertUnwindSafe(|| (case.run)(&guest)))
        .unwrap_or_else(|_| Err(Hindrance("the case itself panicked".to_owned())))
}

/// Judges them by what they found and what was recorded.
pub(crate) fn rows(attempts: Vec<Attempt>, evidence: &Evidence) -> Vec<Row> {
    attempts.into_iter().map(|attempt| row(attempt, evidence)).collect()
}

fn row(attempt: Attempt, evidence: &Evidence) -> Row {
    let Attempt { case, found, neighbour } = attempt;
    let mut row = Row::new(Group::Guest, case.id, case.case, case.tries);
    let mut complaints: Vec<String> = judge::unserved(&neighbour).into_iter().collect();
    match found {
        Ok(finding) => {
            complaints.extend(finding.broken);
            row.all = finding.all;
            row.millis = finding.elapsed.map_or(0, millis);
            match finding.record.map(|trace| evidence.find(&plugin_name(case.id), &trace)) {
                Some(Ok(record)) => row.record = record,
                Some(Err(problem)) => complaints.push(problem),
                None => {}
            }
        }
        Err(Hindrance(why)) => complaints.push(why),
    }
    let (verdict, why) = judge::plain(complaints, "");
    row.judged(verdict, why)
}

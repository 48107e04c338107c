//! The attack suite: native code in a compromised worker, workers that break the protocol, and hostile
//! components, tried against this machine and this installation. The host under attack is the library that
//! everybody embeds, with the programs that are installed; only what attacks is the suite's own.
//!
//! ```no_run
//! use stockade_attack::{Options, run};
//!
//! # fn main() -> Result<(), stockade_attack::AttackError> {
//! let report = run(&Options { programs: "/usr/lib/stockade".into(), cases: Vec::new() }, &|_| {})?;
//! print!("{}", report.text(120));
//! assert!(report.is_sound());
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]

mod bench;
mod came;
mod case;
mod catalogue;
mod components;
mod error;
mod evidence;
mod fixtures;
mod guests;
mod judge;
mod live_filter;
mod native;
mod outside;
mod parallel;
mod peers;
mod process;
mod progress;
mod report;
mod select;
mod table;

use std::path::PathBuf;
use std::time::Instant;

use bench::Bench;
use catalogue::{Attack, Catalogue, PROBE, Peer};
use evidence::Evidence;
use outside::{Live, Raised};
use progress::Counter;
use select::Selection;

pub use error::AttackError;
pub use fixtures::CANARY;
pub use progress::Progress;
pub use report::{Group, Report, Row, Verdict};

/// What to attack, and with what.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where `stockade-worker`, `stockade-compiler` and, for the native attacks, `stockade-probe` are.
    pub programs: PathBuf,
    /// Only these: numbers of cases or ids. All where it is empty.
    pub cases: Vec<String>,
}

/// Attacks, and judges what came of it. `tell` is called from several threads as cases begin.
///
/// Workers also look for a secret of this process in their own memory: the value of [`CANARY`] in its
/// environment. Where that is not set these cases are vacuous.
///
/// State, programs and targets are temporary, and the only processes attacked are the suite's own. While it
/// runs, a root process has its limits for `nice` and real-time priority raised
/// to one, and its own group among its supplementary ones.
///
/// # Errors
///
/// No plugin can be run here, the suite's own fixtures fail, or a case is unknown. An attack that succeeds
/// is no error: it is a broken row of the report.
pub fn run(options: &Options, tell: &(dyn Fn(Progress<'_>) + Sync)) -> Result<Report, AttackError> {
    let began = Instant::now();
    let catalogue = Catalogue::of(&options.programs)?;
    let plan = Plan::new(options, catalogue.as_ref())?;
    let counter = Counter::new(plan.steps(), tell);
    let _raised = Raised::new();
    let mut logs = Logs::default();

    // Also shows that plugins run here at all, and with which namespaces.
    let installed = Bench::installed(&options.programs)?;
    let namespaces = installed.namespaces;
    let mut rows = plan.without_probe();
    if let Some(catalogue) = &catalogue {
        if !plan.attacks.is_empty() {
            let bench = Bench::of_probe(&options.programs, namespaces)?;
            let (native, evidence) = native::run(catalogue, &plan.attacks, bench, &counter)?;
            rows.extend(native);
            logs.add("native attacks", &evidence);
        }
        if !plan.peers.is_empty() {
            let bench = Bench::of_probe(&options.programs, namespaces)?;
            let (peers, evidence) = peers::run(&plan.peers, &options.programs, bench, &counter)?;
            rows.extend(peers);
            logs.add("peers", &evidence);
        }
    }
    let live = Live::new(&installed)?;
    let mut seen: Vec<Row> = plan.looks.iter().map(|look| live.see(look)).collect();
    let attempts = components::run(&plan.guests, &installed, &counter);
    let evidence = installed.finish()?;
    live.finish(&mut seen, &evidence);
    logs.add("components", &evidence);
    rows.extend(seen);
    rows.extend(components::rows(attempts, &evidence));
    rows.extend(logs.row(&plan.selection));
    rows.sort_by_key(|row| (row.group, select::order(&row.case)));
    Ok(Report::new(rows, format!("{namespaces:?}").to_lowercase(), began.elapsed().as_secs_f64()))
}

/// What of all there is will be run.
struct Plan<'a> {
    selection: Selection,
    attacks: Vec<&'a Attack>,
    peers: Vec<&'a Peer>,
    looks: Vec<outside::Look>,
    guests: Vec<case::GuestCase>,
    /// Groups that cannot be run for want of the probe.
    absent: Vec<(&'static str, Group)>,
    programs: PathBuf,
}

/// The groups that the probe is needed for.
const NEED_PROBE: [(&str, Group); 2] = [("A", Group::Native), ("B", Group::Peer)];
/// A row that there always is: the logs of all the hosts that were attacked.
const LOGS: (&str, &str) = ("outside.audit-log", "outside");

impl<'a> Plan<'a> {
    fn new(options: &Options, catalogue: Option<&'a Catalogue>) -> Result<Plan<'a>, AttackError> {
        let (attacks, peers) = match catalogue {
            Some(catalogue) => (&catalogue.attacks[..], &catalogue.peers[..]),
            None => (&[][..], &[][..]),
        };
        let (looks, guests) = (outside::looks(), guests::cases());
        let mut known: Vec<(&str, &str)> = vec![LOGS];
        known.extend(attacks.iter().map(|attack| (attack.id.as_str(), attack.case.as_str())));
        known.extend(peers.iter().map(|peer| (peer.id.as_str(), peer.case.as_str())));
        known.extend(looks.iter().map(|look| (look.id, look.case)));
        known.extend(guests.iter().map(|guest| (guest.id, guest.case)));
        let mut absent = Vec::new();
        if catalogue.is_none() {
            // Nobody knows what the probe would have: every wish of its groups is one for the group.
            for (letter, group) in NEED_PROBE {
                let wish = options.cases.iter().find(|wish| {
                    wish.get(..1).is_some_and(|first| first.eq_ignore_ascii_case(letter))
                        && !known.iter().any(|(id, case)| {
                            wish.eq_ignore_ascii_case(id) || wish.eq_ignore_ascii_case(case)
                        })
                });
                known.extend(options.cases.iter().filter(|_| wish.is_some()).filter_map(|wish| {
                    wish.get(..1)?.eq_ignore_ascii_case(letter).then_some((wish.as_str(), letter))
                }));
                if options.cases.is_empty() || wish.is_some() {
                    absent.push((letter, group));
                }
            }
        }
        let selection = Selection::new(&options.cases, &known)?;
        Ok(Plan {
            attacks: attacks.iter().filter(|attack| selection.has(&attack.id, &attack.case)).collect(),
            peers: peers.iter().filter(|peer| selection.has(&peer.id, &peer.case)).collect(),
            looks: looks.into_iter().filter(|look| selection.has(look.id, look.case)).collect(),
            guests: guests.into_iter().filter(|guest| selection.has(guest.id, guest.case)).collect(),
            absent,
            selection,
            programs: options.programs.clone(),
        })
    }

    fn steps(&self) -> usize {
        native::jobs(&self.attacks) + self.peers.len() + self.guests.len()
    }

    /// Rows that say what is missing, and how to get it.
    fn without_probe(&self) -> Vec<Row> {
        let row = |(letter, group): &(&str, Group)| {
            let why = format!(
                "{PROBE} is not in {}: install it there from the same build (cargo xtask build makes it)",
                self.programs.display()
            );
            Row::new(*group, letter, letter, group.title()).judged(Verdict::Skipped, why)
        };
        self.absent.iter().map(row).collect()
    }
}

/// The logs of the hosts that were attacked.
#[derive(Default)]
struct Logs {
    records: u64,
    logs: usize,
    unsound: Vec<String>,
}

impl Logs {
    fn add(&mut self, whose: &str, evidence: &Evidence) {
        self.records += evidence.records;
        self.logs += 1;
        self.unsound.extend(evidence.unsound.iter().map(|problem| format!("{whose}: {problem}")));
    }

    /// Shown where it was asked for, and in any case where it is broken.
    fn row(self, selection: &Selection) -> Option<Row> {
        let (id, case) = LOGS;
        let wanted = selection.has(id, case) || !self.unsound.is_empty();
        let mut row = Row::new(Group::Outside, id, case, "the chain of every record of the attacks verifies");
        row.all = format!("{} records in {} logs", self.records, self.logs);
        let (verdict, why) = judge::plain(self.unsound, "");
        wanted.then(|| row.judged(verdict, why))
    }
}

//! Group B: a worker that breaks the protocol, in the middle of a call or before it is attested.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use stockade_audit::{Decision, Layer};
use stockade_host::{CallOptions, Outcome};
use stockade_package::{Explain, chain};
use stockade_policy::PluginType;

use crate::bench::{self, Bench, BootBench, Image};
use crate::came::said;
use crate::case::{Trace, VARIANT, plugin_name};
use crate::catalogue::{Peer, PeerRecord, When};
use crate::error::AttackError;
use crate::evidence::Evidence;
use crate::judge;
use crate::native::millis;
use crate::parallel;
use crate::progress::Counter;
use crate::report::{Group, Row};

/// What came of it, before the records of calls have been read.
struct Attempt {
    plugin: String,
    /// The code of the outcome or the error; `value` for an answer.
    code: String,
    /// In the host's words, or the plugin's.
    said: String,
    /// What the call after it came to, where it matters.
    next: Option<String>,
    elapsed: Duration,
    neighbour: Result<Duration, String>,
    /// How many descriptors more the host holds than before.
    leaked: usize,
    /// Of a host of its own, which has been read already.
    evidence: Option<Evidence>,
}

/// How often one is tried again whose only fault is the time that the host took.
const RETRIES: usize = 3;
/// The code of what is no failure.
const VALUE: &str = "value";
/// The call after one that is judged by it: long enough for what is not stuck.
const NEXT_TIME: Duration = Duration::from_secs(1);
/// Cases that try to leave descriptors with the host. They run one after the other, and with nothing beside
/// them, so that the host's can be counted.
const COUNTED: [&str; 2] = ["A16", "B11"];
/// What takes longer does so by waiting for the host to lose its patience; many can wait at once.
const WAITING: Duration = Duration::from_secs(1);
/// How long the host may take to close what it held of a worker.
const CLOSING: Duration = Duration::from_secs(1);

pub(crate) fn run(
    peers: &[&Peer],
    programs: &Path,
    bench: Bench,
    counter: &Counter<'_>,
) -> Result<(Vec<Row>, Evidence), AttackError> {
    let place = Place { programs, image: Image::read(programs)?, bench: &bench };
    let one = |peer: &Peer, counted: bool| {
        counter.begin(&peer.id);
        let attempt = attempt(peer, &place, counted);
        counter.end();
        attempt
    };
    let (counted, others): (Vec<&Peer>, Vec<&Peer>) =
        peers.iter().partition(|peer| COUNTED.contains(&peer.case.as_str()));
    let (waiting, others): (Vec<&Peer>, Vec<&Peer>) =
        others.into_iter().partition(|peer| peer.allowance() >= WAITING);
    let mut attempts: Vec<_> = counted.iter().map(|peer| one(peer, true)).collect();
    thread::scope(|scope| {
        let waited = scope.spawn(|| parallel::all_at_once(&waiting, |peer| one(peer, false)));
        let others = parallel::each(&others, |peer| one(peer, false));
        attempts.extend(waited.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        attempts.extend(others);
    });
    let evidence = bench.finish()?;
    let mut rows = Vec::new();
    for (peer, attempt) in counted.iter().chain(&waiting).chain(&others).zip(attempts) {
        let attempt = attempt?;
        let read = attempt.evidence.as_ref().unwrap_or(&evidence);
        rows.push(row(peer, &attempt, read));
    }
    Ok((rows, evidence))
}

/// Where misbehaviours are tried.
struct Place<'a> {
    programs: &'a Path,
    image: Image,
    bench: &'a Bench,
}

fn attempt(peer: &Peer, place: &Place<'_>, counted: bool) -> Result<Attempt, AttackError> {
    let mut again = 0;
    loop {
        let plugin = match again {
            0 => plugin_name(&peer.id),
            again => format!("{}{VARIANT}{again}", plugin_name(&peer.id)),
        };
        let before = if counted { descriptors()? } else { 0 };
        let mut attempt = match peer.when {
            When::Call => in_a_call(peer, plugin, place.bench),
            When::Boot | When::Compile => at_boot(peer, plugin, place)?,
        };
        if counted {
            attempt.leaked = leaked(before)?;
        }
        let late = attempt.elapsed > peer.allowance()
            || matches!(attempt.neighbour, Ok(took) if took > judge::SERVED);
        let late_only = late && peer.expect.contains(&attempt.code) && attempt.neighbour.is_ok();
        if !late_only || again == RETRIES {
            return Ok(attempt);
        }
        again += 1;
    }
}

/// How many descriptors this process, the host, holds.
fn descriptors() -> Result<usize, AttackError> {
    let entries = fs::read_dir("/proc/self/fd").map_err(AttackError::os("counting descriptors"))?;
    Ok(entries.count())
}

/// How many descriptors there are more than `before`, once the host has closed what it held of the worker.
fn leaked(before: usize) -> Result<usize, AttackError> {
    let until = Instant::now() + CLOSING;
    loop {
        let more = descriptors()?.saturating_sub(before);
        if more == 0 || Instant::now() > until {
            return Ok(more);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn in_a_call(peer: &Peer, plugin: String, bench: &Bench) -> Attempt {
    let arguments = bench::arguments(&json!({ "id": peer.id }).to_string());
    let mut next = None;
    let (code, said, elapsed) = match bench.load(plugin.clone(), PluginType::Node, None) {
        Ok(loaded) => {
            let options = CallOptions::within(Duration::from_millis(peer.deadline_ms));
            let first = answer(loaded.call_blocking("peer", &arguments, options));
            next = peer.next.as_ref().map(|_| {
                let options = CallOptions::within(NEXT_TIME);
                answer(loaded.call_blocking("echo", &bench::arguments("next"), options)).0
            });
            first
        }
        Err(error) => (error.problem().code.to_owned(), chain(&error), Duration::ZERO),
    };
    let neighbour = bench.neighbour();
    Attempt { plugin, code, said, next, elapsed, neighbour, leaked: 0, evidence: None }
}

fn answer(outcome: Outcome) -> (String, String, Duration) {
    let (code, said) = match (outcome.value, outcome.reason) {
        (Some(value), _) => (VALUE.to_owned(), value),
        (None, Some(reason)) => (reason.code.to_owned(), reason.message),
        (None, None) => ("no-reason".to_owned(), String::new()),
    };
    (code, said, outcome.elapsed)
}

/// On a host of its own, whose worker or compiler does it. Where the host trusts it all the same, the first call is
/// what is judged.
fn at_boot(peer: &Peer, plugin: String, place: &Place<'_>) -> Result<Attempt, AttackError> {
    let boot = BootBench::new(place.programs, &place.image, peer, place.bench.namespaces)?;
    let began = Instant::now();
    let loaded = boot.load(plugin.clone());
    let (code, said) = match &loaded {
        Ok(loaded) => {
            let options = CallOptions::within(Duration::from_millis(peer.deadline_ms));
            let (code, said, _) = answer(loaded.call_blocking("echo", &bench::arguments("boot"), options));
            (code, said)
        }
        Err(error) => (error.problem().code.to_owned(), chain(error)),
    };
    let elapsed = began.elapsed();
    drop(loaded);
    let evidence = Some(boot.finish()?);
    let neighbour = place.bench.neighbour();
    Ok(Attempt { plugin, code, said, next: None, elapsed, neighbour, leaked: 0, evidence })
}

fn row(peer: &Peer, attempt: &Attempt, evidence: &Evidence) -> Row {
    let (complaints, record) = judged(peer, attempt, evidence);
    let (verdict, why) = judge::plain(complaints, &peer.why);
    let mut row = Row::new(Group::Peer, &peer.id, &peer.case, &peer.tries).judged(verdict, why);
    row.all = match &attempt.next {
        Some(next) => format!("{}, then {next}", attempt.code),
        None => attempt.code.clone(),
    };
    row.record = record;
    row.millis = millis(attempt.elapsed);
    row
}

/// Everything that is not as it must be, and the record.
fn judged(peer: &Peer, attempt: &Attempt, evidence: &Evidence) -> (Vec<String>, Option<u64>) {
    let mut complaints = Vec::new();
    if !peer.expect.contains(&attempt.code) {
        complaints.push(format!(
            "it was answered with {} and must be with {}: {}",
            attempt.code,
            peer.expect.join(" or "),
            attempt.said
        ));
    } else if let Some(wanted) = peer.value.as_ref().filter(|_| attempt.code == VALUE)
        && said(&attempt.said).as_ref() != Some(wanted)
    {
        let said = said(&attempt.said).map_or_else(|| attempt.said.clone(), |said| said.to_string());
        complaints.push(format!("the probe says {said} and must say {wanted}"));
    }
    if attempt.next != peer.next {
        let next = attempt.next.as_deref().unwrap_or("nothing");
        let wanted = peer.next.as_deref().unwrap_or("nothing");
        complaints.push(format!("the call after it was answered with {next} and must be with {wanted}"));
    }
    let mut record = None;
    match peer.record.as_ref().map(|wanted| found(wanted, &attempt.plugin, evidence)) {
        Some(Ok(found)) => record = found,
        Some(Err(problem)) => complaints.push(problem),
        None => {}
    }
    if attempt.leaked > 0 {
        complaints.push(format!("the host holds {} descriptors more than before", attempt.leaked));
    }
    if attempt.elapsed > peer.allowance() {
        complaints.push(format!(
            "the host answered after {} ms and has {} ms",
            attempt.elapsed.as_millis(),
            peer.allowance().as_millis()
        ));
    }
    complaints.extend(judge::unserved(&attempt.neighbour));
    complaints.extend(attempt.evidence.as_ref().and_then(|evidence| evidence.unsound.clone()));
    (complaints, record)
}

/// A refusal or an end. A launch is only ever ended: what else it leaves is its attestation.
fn found(wanted: &PeerRecord, name: &str, evidence: &Evidence) -> Result<Option<u64>, String> {
    let with = |decision| Trace::new(wanted.layer, &wanted.operation, decision);
    let killed = evidence.find_own(name, &with(Decision::Killed));
    if wanted.layer == Layer::Launch {
        return killed;
    }
    killed.or_else(|_| evidence.find_own(name, &with(Decision::Denied)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(more: &str) -> Peer {
        let text = format!(
            r#"{{"id":"B1.x","case":"B1","tries":"x","when":"call","expect":"protocol-fault"{more}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn attempt(code: &str, said: &str) -> Attempt {
        Attempt {
            plugin: "attack/b1-x".to_owned(),
            code: code.to_owned(),
            said: said.to_owned(),
            next: None,
            elapsed: Duration::from_millis(2),
            neighbour: Ok(Duration::ZERO),
            leaked: 0,
            evidence: None,
        }
    }

    fn complaints(peer: &Peer, attempt: &Attempt) -> String {
        judged(peer, attempt, &Evidence::default()).0.join("; ")
    }

    #[test]
    fn what_is_as_expected_has_no_complaint_and_every_deviation_has_one() {
        let fault = || attempt("protocol-fault", "");
        assert_eq!(complaints(&peer(""), &fault()), "");
        let cases = [
            (peer(""), attempt("value", "1"), "answered with value"),
            (peer(r#","next":"value""#), fault(), "the call after it was answered with nothing"),
            (peer(""), Attempt { next: Some("value".into()), ..fault() }, "must be with nothing"),
            (peer(""), Attempt { leaked: 2, ..fault() }, "2 descriptors more"),
            (peer(""), Attempt { elapsed: Duration::from_secs(1), ..fault() }, "after 1000 ms"),
            (peer(""), Attempt { neighbour: Err("gone".into()), ..fault() }, "second plugin"),
            (peer(r#","record":{"layer":"host","operation":"ipc"}"#), fault(), "no record of layer host"),
        ];
        for (peer, attempt, said) in cases {
            assert!(complaints(&peer, &attempt).contains(said), "{said}: {}", complaints(&peer, &attempt));
        }
    }

    #[test]
    fn a_value_is_compared_inside_of_the_text_that_a_tool_returns() {
        let mut wanted = peer(r#","value":{"outcome":"done"}"#);
        wanted.expect = vec![VALUE.to_owned()];
        assert_eq!(complaints(&wanted, &attempt(VALUE, r#""{\"outcome\":\"done\"}""#)), "");
        assert_eq!(complaints(&wanted, &attempt(VALUE, r#"{"outcome":"done"}"#)), "");
        let other = attempt(VALUE, r#"{"outcome":"refused","errno":"EPERM"}"#);
        assert!(complaints(&wanted, &other).contains("must say"));
    }
}

//! What every case of the group does: load something hostile, call it, and see what came of it, of the
//! plugin itself, and of a neighbour meanwhile.

use std::time::{Duration, Instant};

use stockade_audit::{Decision, Layer};
use stockade_host::{HostError, Outcome, Plugin, Status};
use stockade_package::Explain;
use stockade_policy::PluginType;

use crate::case::{Finding, GuestBench, Hindrance};

/// A case of the group: its number, its name, what it tries, and how.
macro_rules! guest {
    ($case:literal, $name:literal, $tries:literal, $run:expr) => {
        $crate::case::GuestCase { id: concat!($case, ".", $name), case: $case, tries: $tries, run: $run }
    };
}

/// A component that was built with this crate.
macro_rules! built {
    ($($name:literal)+) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $($name,)+ ".wasm")).as_slice()
    };
}

/// Cases that are each one call, without arguments, of the tool that they are named after.
macro_rules! calls {
    ($component:expr; $($case:literal $name:literal $tries:literal => $must:expr),+ $(,)?) => {
        vec![$($crate::guests::trial::guest!($case, $name, $tries, |bench| {
            $crate::guests::trial::trial(bench, $component, $name, "{}", &$must)
        })),+]
    };
}

pub(super) use {built, calls, guest};

/// What must come of a call.
#[derive(Clone, Copy)]
pub(super) struct Must {
    /// As [`words`] says it.
    all: &'static str,
    value: Option<&'static str>,
    record: Option<(Layer, &'static str, Decision)>,
    deadline: Duration,
}

/// Enough for everything that ends by itself, on a busy machine too.
const PATIENT: Duration = Duration::from_secs(30);
/// For what never ends.
const SHORT: Duration = Duration::from_millis(400);

impl Must {
    const fn new(all: &'static str) -> Must {
        Must { all, value: None, record: None, deadline: PATIENT }
    }

    /// And this record must be left.
    pub(super) const fn record(self, layer: Layer, operation: &'static str, decision: Decision) -> Must {
        Must { record: Some((layer, operation, decision)), ..self }
    }
}

/// It returns this JSON.
pub(super) const fn value(value: &'static str) -> Must {
    Must { value: Some(value), ..Must::new("value") }
}

/// It traps with this code, and only its instance is gone.
pub(super) const fn traps(words: &'static str) -> Must {
    Must::new(words)
}

/// The plugin itself says that it failed.
pub(super) const fn fails() -> Must {
    Must::new("failed")
}

/// It does not come back, and is ended.
pub(super) const fn late() -> Must {
    Must { deadline: SHORT, ..Must::new("deadline") }.record(Layer::Limits, "call", Decision::Killed)
}

/// An outcome in a few words.
pub(super) fn words(outcome: &Outcome) -> String {
    match (&outcome.reason, outcome.status) {
        (None, _) => "value".to_owned(),
        (Some(reason), Status::Trapped) => format!("trapped: {}", reason.field),
        (Some(reason), _) => reason.code.to_owned(),
    }
}

/// One call of a tool that is hostile, and another of the same plugin's tool `fine` after it.
pub(super) fn trial(
    bench: &GuestBench<'_>,
    component: &[u8],
    tool: &str,
    arguments: &str,
    must: &Must,
) -> Result<Finding, Hindrance> {
    let plugin = bench.load(component, PluginType::Node)?;
    let worker = plugin.worker_pid();
    let finding = call(bench, &plugin, tool, arguments, must)?;
    let after = bench.call(&plugin, "fine", r#"{"value":7}"#, Some(PATIENT));
    let same = must.all == "deadline" || plugin.worker_pid() == worker;
    Ok(finding
        .and(after.value.as_deref() == Some("7"), format!("afterwards `fine` came to {}", words(&after)))
        .and(same, "the worker is another one, though only an instance had to go"))
}

/// One call of a tool that is hostile. While one runs that never ends, a neighbour is served.
pub(super) fn call(
    bench: &GuestBench<'_>,
    plugin: &Plugin,
    tool: &str,
    arguments: &str,
    must: &Must,
) -> Result<Finding, Hindrance> {
    let attack = || bench.call(plugin, tool, arguments, Some(must.deadline));
    let (outcome, served) =
        if must.all == "deadline" { beside(bench, attack)? } else { (attack(), Served::default()) };
    let all = words(&outcome);
    let mut finding = Finding::held(all.clone())
        .and(all == must.all, format!("it came to {all} and must come to {}", must.all))
        .and(
            must.value.is_none_or(|value| outcome.value.as_deref() == Some(value)),
            format!("it returned {:?} and must return {:?}", cut(outcome.value.as_deref()), must.value),
        );
    if must.all == "deadline" {
        finding = finding.elapsed(outcome.elapsed.saturating_sub(must.deadline));
    }
    if let Some((layer, operation, decision)) = must.record {
        finding = finding.record(layer, operation, decision);
    }
    Ok(served.judge(finding))
}

fn cut(value: Option<&str>) -> Option<String> {
    value.map(|value| value.chars().take(60).collect())
}

/// How a neighbour was served meanwhile.
#[derive(Default)]
pub(super) struct Served {
    took: Vec<Duration>,
    failed: Option<String>,
}

/// What a neighbour's call may take while an attack goes on. The middle one of all: on a machine that is
/// busy with other things as well, a single one says nothing.
const MEANWHILE: Duration = Duration::from_millis(100);

impl Served {
    pub(super) fn judge(mut self, finding: Finding) -> Finding {
        self.took.sort();
        let middle = self.took.get(self.took.len() / 2).copied().unwrap_or_default();
        let failed = self.failed.unwrap_or_default();
        finding
            .and(middle <= MEANWHILE, format!("a neighbour's calls took {} ms meanwhile", middle.as_millis()))
            .and(failed.is_empty(), format!("a neighbour's call came to {failed} meanwhile"))
    }
}

/// Runs an attack and calls a neighbour until it is over.
pub(super) fn beside<T: Send>(
    bench: &GuestBench<'_>,
    attack: impl FnOnce() -> T + Send,
) -> Result<(T, Served), Hindrance> {
    let neighbour = bench.load(built!("counter"), PluginType::Node)?;
    let mut served = Served::default();
    std::thread::scope(|scope| {
        let attack = scope.spawn(attack);
        while !attack.is_finished() {
            let began = Instant::now();
            let outcome = bench.call(&neighbour, "who", "{}", Some(PATIENT));
            served.took.push(began.elapsed());
            if outcome.value.as_deref() != Some("1") {
                served.failed.get_or_insert_with(|| words(&outcome));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        match attack.join() {
            Ok(result) => Ok((result, served)),
            Err(_) => Err(Hindrance("the attack itself panicked".to_owned())),
        }
    })
}

/// A component that must not load, by this code. The confined program that refuses it leaves the record.
pub(super) fn refused(
    bench: &GuestBench<'_>,
    component: &[u8],
    code: &'static str,
) -> Result<Finding, Hindrance> {
    let finding = not_loaded(bench, component, code)?;
    Ok(match code {
        "compile-cap" => finding.record(Layer::Limits, "compile", Decision::Killed),
        _ => finding.record(Layer::Package, "compile", Decision::Denied),
    })
}

/// A component that must not load, by this code.
pub(super) fn not_loaded(
    bench: &GuestBench<'_>,
    component: &[u8],
    code: &'static str,
) -> Result<Finding, Hindrance> {
    let (loaded, served) = beside(bench, || bench.load(component, PluginType::Node))?;
    let (came, said) = match &loaded {
        Ok(_) => ("loaded".to_owned(), String::new()),
        Err(error) => {
            let problem = error.problem();
            (problem.code.to_owned(), problem.message)
        }
    };
    let finding = Finding::held(came.clone())
        .and(came == code, format!("it came to {came} ({said}) and must come to {code}"))
        .and(loaded.is_ok() || !said.is_empty(), "the refusal says nothing");
    Ok(served.judge(finding))
}

/// A component that must load, and whose `f` must come to this for 7.
pub(super) fn loads(bench: &GuestBench<'_>, component: &[u8], must: &Must) -> Result<Finding, Hindrance> {
    let (loaded, served) = beside(bench, || bench.load(component, PluginType::Node))?;
    let plugin = loaded.map_err(|error: HostError| {
        Hindrance(format!("it must load, and does not: {}", stockade_package::chain(&error)))
    })?;
    let arguments = if plugin.tools().iter().any(|tool| tool.name == "f") { r#"{"a":7}"# } else { "{}" };
    let tool = if arguments == "{}" { "f0" } else { "f" };
    Ok(served.judge(call(bench, &plugin, tool, arguments, must)?))
}

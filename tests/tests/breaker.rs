//! Breaker and metrics against a count of the test's own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use stockade_host::{
    BreakerSettings, BreakerState, LoadRequest, Namespaces, PluginState, Status, Supervision,
};
use stockade_policy::PluginType;
use stockade_tests::chance::Chance;
use stockade_tests::{Bench, call, cycles, probe_package};

/// A breaker as its documentation has it, written down a second time: every call that was ever made, and what follows.
struct Model {
    settings: BreakerSettings,
    /// Of the calls since it was last closed: whether each failed.
    since_closed: Vec<bool>,
    /// Since when it has not been closed, for how long nothing is tried, and the good probes since.
    open: Option<(Instant, Duration, u32)>,
    in_a_row: u32,
    opened: u64,
}

impl Model {
    fn state(&self) -> BreakerState {
        match self.open {
            None => BreakerState::Closed,
            Some((since, pause, _)) if since.elapsed() < pause => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }

    fn happened(&mut self, failed: bool) {
        let now = Instant::now();
        match &mut self.open {
            Some((_, _, good)) if !failed => {
                *good += 1;
                if *good == self.settings.probes {
                    (self.open, self.in_a_row) = (None, 0);
                    self.since_closed.clear();
                }
            }
            Some(_) => self.opens(now),
            None => {
                self.since_closed.push(failed);
                let window = self.settings.window as usize;
                let last = &self.since_closed[self.since_closed.len().saturating_sub(window)..];
                let failures = last.iter().filter(|failed| **failed).count();
                if last.len() >= self.settings.least as usize
                    && failures * 100 >= last.len() * usize::from(self.settings.failures)
                {
                    self.opens(now);
                }
            }
        }
    }

    fn opens(&mut self, now: Instant) {
        let pause = self.settings.pause * 2u32.pow(self.in_a_row.min(8));
        self.open = Some((now, pause.min(self.settings.longest_pause), 0));
        self.in_a_row += 1;
        self.opened += 1;
    }
}

/// The samples of a metrics text: name with labels, and value.
fn samples(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "no OpenMetrics text");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            (name.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

#[test]
fn breaker_and_metrics_agree_with_an_independent_count() {
    let settings = BreakerSettings {
        window: 6,
        least: 3,
        failures: 50,
        pause: Duration::from_millis(60),
        longest_pause: Duration::from_millis(200),
        probes: 2,
        ..BreakerSettings::default()
    };
    let bench = Bench::with_probe(Namespaces::Cheap);
    let package = probe_package(&bench.state.path().join("probe"), PluginType::Node);
    let supervision = Supervision { breaker: Some(settings), ..Supervision::default() };
    let plugin = bench.host.load_blocking(LoadRequest::new(package).supervision(supervision)).unwrap();
    let mut model = Model { settings, since_closed: Vec::new(), open: None, in_a_row: 0, opened: 0 };
    let mut chance = Chance::new("breaker");
    let (mut good, mut died, mut stopped, mut starts) = (0u64, 0u64, 0u64, 1u64);
    let mut states = [0; 3];
    let (mut dead, mut in_a_row) = (false, 0);
    for number in 0..cycles(150, 1500) {
        // Long runs of either kind, so that every state is come to.
        let often = if number / 20 % 2 == 0 { 7 } else { 1 };
        // Workers that die in a row start ever later, which is another matter.
        let fails = in_a_row < 3 && chance.below(10) < often;
        if let Some((since, pause, _)) = model.open {
            // Clearly before its end, or clearly after it: where it ends is a matter of microseconds.
            let left = pause.saturating_sub(since.elapsed());
            if chance.below(2) == 0 || left < Duration::from_millis(20) {
                std::thread::sleep(left + Duration::from_millis(3));
            }
        }
        let state = model.state();
        states[state as usize] += 1;
        assert_eq!(
            matches!(plugin.status().state, PluginState::Open),
            state == BreakerState::Open,
            "call {number}: {:?}",
            plugin.status()
        );
        let outcome =
            if fails { call(&plugin, "exit", json!({ "code": 1 })) } else { call(&plugin, "echo", json!(1)) };
        let code = outcome.reason.as_ref().map(|reason| reason.code);
        if state == BreakerState::Open {
            assert_eq!(code, Some("breaker-open"), "call {number}: {outcome:?}");
            stopped += 1;
            continue;
        }
        starts += u64::from(std::mem::replace(&mut dead, fails));
        in_a_row = if fails { in_a_row + 1 } else { 0 };
        if fails {
            assert_eq!((outcome.status, code), (Status::Killed, Some("worker-died")), "call {number}");
            died += 1;
        } else {
            assert!(outcome.is_ok(), "call {number}: {outcome:?}");
            good += 1;
        }
        model.happened(fails);
    }
    assert!(states.iter().all(|times| *times > 10), "some state was hardly come to: {states:?}");
    let samples = samples(&bench.host.metrics());
    let value =
        |name: &str| samples.get(name).copied().unwrap_or_else(|| panic!("{name} is not among {samples:#?}"));
    let plugin_label = "plugin=\"stockade/probe\"";
    let calls = |tool: &str, status: &str| {
        value(&format!("stockade_calls_total{{{plugin_label},tool=\"{tool}\",status=\"{status}\"}}")) as u64
    };
    assert_eq!(calls("echo", "ok"), good);
    assert_eq!(calls("exit", "killed"), died);
    assert_eq!(calls("echo", "failed") + calls("exit", "failed"), stopped);
    let errors =
        |code: &str| value(&format!("stockade_call_errors_total{{{plugin_label},code=\"{code}\"}}")) as u64;
    assert_eq!((errors("worker-died"), errors("breaker-open")), (died, stopped));
    assert_eq!(value(&format!("stockade_breaker_opened_total{{{plugin_label}}}")) as u64, model.opened);
    assert_eq!(value(&format!("stockade_worker_starts_total{{{plugin_label}}}")) as u64, starts);
    assert_eq!(
        value(&format!("stockade_worker_ends_total{{{plugin_label},reason=\"worker-died\"}}")) as u64,
        died
    );
    let count = |tool: &str| {
        value(&format!("stockade_call_duration_seconds_count{{{plugin_label},tool=\"{tool}\"}}"))
    };
    assert_eq!((count("echo") + count("exit")) as u64, good + died + stopped);
    let now = match model.state() {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half-open",
    };
    assert_eq!(value(&format!("stockade_breaker_state{{{plugin_label},state=\"{now}\"}}")) as u64, 1);
    let status = plugin.status();
    assert_eq!((status.calls, status.errors, status.starts), (good + died + stopped, died + stopped, starts));
}

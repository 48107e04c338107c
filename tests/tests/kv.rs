//! `kv`: a plugin's own store, which survives everything and which nobody else gets into.

use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use stockade_audit::{Decision, Layer};
use stockade_host::{HostError, LoadRequest, Namespaces, Plugin};
use stockade_package::{Explain, Package};
use stockade_policy::PluginType;
use stockade_tests::chance::Chance;
use stockade_tests::{Bench, call, cycles, dist, guest, probe_package, probe_programs, value};

fn tour() -> Package {
    Package::open(guest("kv-tour.wasm"), Some(PluginType::Integration)).unwrap()
}

fn load(bench: &Bench) -> Plugin {
    bench.host.load_blocking(LoadRequest::new(tour()).store("tour")).unwrap()
}

fn told(plugin: &Plugin, export: &str, arguments: Json) -> Result<Json, String> {
    let outcome = call(plugin, export, arguments);
    if outcome.is_ok() {
        return Ok(value(&outcome));
    }
    // The error of an export is a JSON text, too.
    Err(serde_json::from_str(&outcome.reason.expect("a reason").message).expect("a text"))
}

#[test]
fn a_component_keeps_values_by_the_standard_interface() {
    let bench = Bench::new();
    let plugin = load(&bench);
    let told = |export, arguments| told(&plugin, export, arguments).unwrap();
    assert_eq!(told("get", json!({ "key": "a" })), Json::Null);
    told("set", json!({ "key": "a", "value": "1" }));
    told("set", json!({ "key": "a", "value": "2" }));
    assert_eq!(told("get", json!({ "key": "a" })), json!("2"));
    assert_eq!(told("exists", json!({ "key": "a" })), json!(true));
    told("delete", json!({ "key": "a" }));
    assert_eq!(told("exists", json!({ "key": "a" })), json!(false));
    assert_eq!(told("add", json!({ "key": "n", "delta": 5 })), json!(5));
    assert_eq!(told("add", json!({ "key": "n", "delta": 6 })), json!(11));
    assert_eq!(told("append", json!({ "key": "words", "word": "a" })), json!(1));
    assert_eq!(told("append", json!({ "key": "words", "word": "b" })), json!(1));
    assert_eq!(told("get", json!({ "key": "words" })), json!("ab"));
    assert_eq!(told("lose", json!({ "key": "words" })), json!("somebody else's"));
    told("set-many", json!({ "entries": [["x", "1"], ["y", "2"]] }));
    assert_eq!(told("get-many", json!({ "keys": ["y", "z", "x"] })), json!(["2", null, "1"]));
    told("delete-many", json!({ "keys": ["x", "y", "z"] }));
    // More keys than one answer has.
    for number in 0..300 {
        told("set", json!({ "key": format!("k{number}"), "value": "" }));
    }
    let keys = told("keys", json!({}));
    assert_eq!(keys.as_array().unwrap().len(), 302);
    // They are there for the next worker, and for the next host.
    plugin.stop_worker();
    assert_eq!(told("get", json!({ "key": "n" })), json!("11"));
}

#[test]
fn what_does_not_fit_is_an_ordinary_error() {
    let bench = Bench::new();
    let plugin = load(&bench);
    assert_eq!(told(&plugin, "open", json!({ "store": "other" })), Err("no such store".to_owned()));
    let long = "k".repeat(257);
    for key in ["", &long] {
        assert!(told(&plugin, "set", json!({ "key": key, "value": "" })).unwrap_err().contains("256 bytes"));
    }
    assert!(told(&plugin, "fill", json!({ "key": "k", "bytes": 61_440 })).unwrap_err().contains("at once"));
    assert!(told(&plugin, "fill", json!({ "key": "k", "bytes": 61_000 })).is_ok());
    told(&plugin, "set", json!({ "key": "text", "value": "five" })).unwrap();
    assert!(told(&plugin, "add", json!({ "key": "text", "delta": 1 })).unwrap_err().contains("number"));
}

#[test]
fn d13_a_store_is_full_at_its_limit_and_says_so() {
    let bench = Bench::new();
    let plugin = load(&bench);
    // 64 MiB in all.
    let fill =
        |number: usize| told(&plugin, "fill", json!({ "key": format!("{number:04}"), "bytes": 61_000 }));
    let fits = (64 << 20) / (61_000 + 4 + 64);
    for number in 0..fits {
        fill(number).unwrap_or_else(|error| panic!("{number}: {error}"));
    }
    assert_eq!(fill(fits), Err("the store is full".to_owned()));
    let full = bench.found(Layer::Limits, "kv", Decision::Denied);
    assert_eq!(full.len(), 1);
    // What was there may be made anew, and room may be made.
    fill(0).unwrap();
    told(&plugin, "delete", json!({ "key": "0000" })).unwrap();
    fill(fits).unwrap();
}

#[test]
fn d13_without_a_store_or_with_anothers_there_is_none() {
    let bench = Bench::new();
    let plugin = bench.host.load_blocking(LoadRequest::new(tour())).unwrap();
    assert_eq!(told(&plugin, "get", json!({ "key": "a" })), Err("access denied".to_owned()));
    assert_eq!(bench.found(Layer::Worker, "kv", Decision::Denied).len(), 1);
    let _first = load(&bench);
    let folder = bench.state.path().join("probe-integration");
    let other = LoadRequest::new(probe_package(&folder, PluginType::Integration)).store("tour");
    match bench.host.load_blocking(other) {
        Err(error @ HostError::Store(_)) => assert_eq!(error.problem().code, "store-taken"),
        other => panic!("{other:?}"),
    }
    // A node has none, whoever gives it one.
    let node = Package::open(guest("kv-tour.wasm"), Some(PluginType::Node)).unwrap();
    let refused = bench.host.load_blocking(LoadRequest::new(node).store("node"));
    assert_eq!(refused.expect_err("above the ceiling").problem().code, "above-ceiling");
}

#[test]
fn b18_past_the_workers_check_the_host_decides() {
    let bench = Bench::build(probe_programs().path(), |host| host.namespaces(Namespaces::Cheap));
    let plugin = bench.probe(PluginType::Integration, &[]);
    assert_eq!(value(&call(&plugin, "ask", json!({ "kind": "kv", "key": "a" }))), json!("denied"));
    assert_eq!(bench.found(Layer::Host, "kv", Decision::Denied).len(), 1);
}

/// A host that counts up until it is killed, somewhere: what it said is what is there.
#[test]
fn d13_nothing_that_was_answered_is_lost_to_a_kill() {
    let state = tempfile::tempdir().unwrap();
    let count = |delta: u64| {
        let mut command = Command::new(dist().join("stockade"));
        command
            .args(["run"])
            .arg(guest("kv-tour.wasm"))
            .args(["--type", "integration", "--store", "tour", "--tool", "add"])
            .args(["--args", &json!({ "key": "n", "delta": delta }).to_string(), "--state"])
            .arg(state.path().join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let number = |output: &[u8]| String::from_utf8_lossy(output).trim().parse::<u64>().ok();
    let first = count(0).output().unwrap();
    assert_eq!(number(&first.stdout), Some(0), "{first:?}");
    let mut chance = Chance::new("d13_nothing_that_was_answered_is_lost_to_a_kill");
    let (mut answered, mut tried) = (0, 0);
    for _ in 0..cycles(20, 200) {
        let mut child = count(1).spawn().unwrap();
        std::thread::sleep(chance.micros(40_000));
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        tried += 1;
        if let Some(sum) = number(&output.stdout) {
            answered += 1;
            assert!(sum >= answered && sum <= tried, "{sum} after {answered} answers and {tried} tries");
        }
    }
    let after = count(0).output().unwrap();
    let sum = number(&after.stdout).unwrap_or_else(|| panic!("{after:?}"));
    assert!((answered..=tried).contains(&sum), "{sum} after {answered} answers and {tried} tries");
    assert!(stockade_audit::verify(state.path().join("state/audit"), None).expect("a log").is_sound());
}

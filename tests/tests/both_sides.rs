//! Every capability is decided by the worker too: a plugin that asks for what it was not granted is refused before
//! the host is asked at all. The mutation list runs this beside a host that allows everything.
//! (The other side, a worker without its check, is `peer b19_asks_past_the_workers_check_...`.)

use std::fs;

use serde_json::{Value as Json, json};
use stockade_audit::{Decision, Layer};
use stockade_host::{GrantRequest, LoadRequest, Model, Plugin};
use stockade_package::Package;
use stockade_policy::{GuestPath, PluginType};
use stockade_tests::site::Site;
use stockade_tests::{Bench, call, dist, guest};

fn package(name: &str, plugin_type: PluginType) -> Package {
    Package::open(guest(name), Some(plugin_type)).unwrap()
}

/// Makes the call, which must fail, and looks who refused: the worker for this operation, and nobody else.
fn refused_by_the_worker(bench: &Bench, plugin: &Plugin, operation: &str, (tool, arguments): (&str, Json)) {
    let before = bench.records().len();
    let outcome = call(plugin, tool, arguments);
    assert!(!outcome.is_ok(), "{operation}, {tool}: {outcome:?}");
    let records = bench.records();
    let decided: Vec<_> = records[before..]
        .iter()
        .map(|entry| &entry.record)
        .filter(|record| record.decision != Decision::Noted)
        .map(|record| (record.layer, &*record.operation, record.decision))
        .collect();
    assert_eq!(decided, [(Layer::Worker, operation, Decision::Denied)], "{tool}");
}

#[test]
fn the_worker_refuses_by_itself_what_a_host_would_allow() {
    let site = Site::plain();
    let endpoint = format!("http://{}/v1", site.authority());
    let bench =
        Bench::build(&dist(), |host| host.model("small", Model::at(&endpoint, "test-model").unwrap()));
    let load = |request: LoadRequest| bench.host.load_blocking(request).unwrap();
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("file"), "as it was").unwrap();

    let reads = GrantRequest::read_tree(tree.path(), GuestPath::parse("/src").unwrap());
    let files = load(LoadRequest::new(package("wasi-tour.wasm", PluginType::Agent)).grant(reads));
    for (operation, ask) in [
        ("fs.read", ("read-file", json!({ "path": "/etc/hostname" }))),
        ("fs.read", ("list-dir", json!({ "path": "/etc" }))),
        ("fs.write", ("append-file", json!({ "path": "/src/file", "text": "x" }))),
        ("fs.create", ("make-file", json!({ "path": "/src/new" }))),
        ("fs.create", ("make-dir", json!({ "path": "/src/folder" }))),
        ("fs.delete", ("remove-file", json!({ "path": "/src/file" }))),
    ] {
        refused_by_the_worker(&bench, &files, operation, ask);
    }
    assert_eq!(fs::read_to_string(tree.path().join("file")).unwrap(), "as it was");
    assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 1);

    let tour = LoadRequest::new(package("http-tour.wasm", PluginType::Integration));
    let requests = load(tour.allow_addresses("127.0.0.0/8".parse().unwrap()));
    let url = format!("http://{}/hello", site.authority());
    let get = json!({ "method": "GET", "url": url, "headers": [], "body": null });
    refused_by_the_worker(&bench, &requests, "http", ("fetch", get));

    let keys = load(LoadRequest::new(package("kv-tour.wasm", PluginType::Integration)));
    refused_by_the_worker(&bench, &keys, "kv", ("get", json!({ "key": "a" })));

    let _callee = bench.component(&guest("greet-rust.wasm"), PluginType::Node);
    let agent = load(LoadRequest::new(package("agent-tour.wasm", PluginType::Agent)));
    let greet =
        json!({ "name": "local/greet-rust#greet", "arguments": json!({ "name": "Ada" }).to_string() });
    refused_by_the_worker(&bench, &agent, "tool", ("call", greet));
    let question = json!({ "model": "small", "text": "good morning", "max-tokens": null });
    refused_by_the_worker(&bench, &agent, "model", ("ask", question));

    assert!(site.seen().is_empty(), "{:?}", site.seen());
}

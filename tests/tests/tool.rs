//! `tool`: agents call the tools of other plugins, which run under their own grants and are never deadlocked.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use stockade_audit::{Decision, Entry, Layer};
use stockade_host::{CallOptions, GrantRequest, LoadRequest, Namespaces, Plugin};
use stockade_package::{Explain, Package};
use stockade_policy::{Budget, PluginType, Profile};
use stockade_tests::{Bench, call, code, example, guest, probe_package, probe_programs, value};

/// What a plugin of its own name may call.
fn agent(bench: &Bench, name: &str, tools: &[&str]) -> Plugin {
    bench.host.load_blocking(request(bench, name, tools)).unwrap()
}

fn request(bench: &Bench, name: &str, tools: &[&str]) -> LoadRequest {
    let path = bench.state.path().join(format!("{name}.wasm"));
    fs::copy(guest("agent-tour.wasm"), &path).unwrap();
    let package = Package::open(&path, Some(PluginType::Agent)).unwrap();
    tools.iter().fold(LoadRequest::new(package), |request, tool| request.grant(GrantRequest::tool(*tool)))
}

fn greeter(bench: &Bench) -> Plugin {
    bench.component(&guest("greet-rust.wasm"), PluginType::Node)
}

const GREET: &str = "local/greet-rust#greet";

fn rule(entry: &Entry) -> &str {
    &entry.record.rule.as_ref().unwrap().id
}

fn told(plugin: &Plugin, export: &str, arguments: Json) -> Result<Json, String> {
    let outcome = call(plugin, export, arguments);
    if outcome.is_ok() {
        return Ok(value(&outcome));
    }
    Err(serde_json::from_str(&outcome.reason.expect("a reason").message).expect("a text"))
}

fn calls(plugin: &Plugin, tool: &str, arguments: Json) -> Result<Json, String> {
    told(plugin, "call", json!({ "name": tool, "arguments": arguments.to_string() }))
}

#[test]
fn an_agent_finds_and_calls_a_tool_and_both_sides_are_recorded() {
    let bench = Bench::new();
    let _greeter = greeter(&bench);
    let agent = agent(&bench, "agent", &[GREET, "local/absent#x"]);
    let tools = told(&agent, "tools", json!({})).unwrap();
    assert_eq!(tools.as_array().unwrap().len(), 1, "{tools}");
    assert_eq!(tools[0][0], GREET);
    assert!(tools[0][2].as_str().unwrap().contains("\"name\""), "{tools}");
    assert_eq!(calls(&agent, GREET, json!({ "name": "Ada" })), Ok(json!("\"Hello, Ada!\"")));

    let allowed = bench.found(Layer::Host, "tool", Decision::Allowed);
    let [calling, called] = &allowed[..] else { panic!("{allowed:#?}") };
    assert_eq!((calling.record.event.as_ref(), called.record.event.as_ref()), ("allowed", "called"));
    assert_eq!((&*calling.record.resource, &*called.record.resource), (GREET, GREET));
    let detail = &called.record.detail;
    assert_eq!(detail.text("caller"), Some("local/agent"));
    assert_eq!(detail.text("caller_launch"), calling.record.launch.as_deref());
    assert_eq!(detail.number("caller_call"), calling.record.call.map(u64::cast_signed));
}

#[test]
fn what_is_not_granted_not_there_or_not_right_is_an_answer() {
    let bench = Bench::new();
    let greeter = greeter(&bench);
    let agent = agent(&bench, "agent", &[GREET, "local/absent#x", "local/greet-rust#other"]);
    let says = |tool: &str, arguments: Json| calls(&agent, tool, arguments).unwrap_err();
    assert!(says("local/agent#left", json!({})).starts_with("denied"));
    assert_eq!(bench.found(Layer::Worker, "tool", Decision::Denied).len(), 1);
    assert_eq!(says("local/absent#x", json!({})), "unavailable: its plugin is not there");
    assert_eq!(says("local/greet-rust#other", json!({})), "unavailable: unknown-tool");
    assert!(says(GREET, json!({ "name": 7 })).starts_with("invalid: "));
    assert!(says(GREET, json!([])).starts_with("invalid: "));
    // One that was let go of is not there any more.
    drop(greeter);
    assert_eq!(says(GREET, json!({ "name": "Ada" })), "unavailable: its plugin is not there");
}

#[test]
fn no_other_type_of_plugin_calls_tools() {
    let bench = Bench::new();
    for plugin_type in [PluginType::Node, PluginType::Integration, PluginType::QualityGate] {
        let package = || Package::open(guest("agent-tour.wasm"), Some(plugin_type)).unwrap();
        let refused = bench.host.load_blocking(LoadRequest::new(package()).grant(GrantRequest::tool(GREET)));
        assert_eq!(refused.unwrap_err().problem().code, "above-ceiling");
        // Without a grant it loads as any other, and has nothing.
        let plugin = bench.host.load_blocking(LoadRequest::new(package())).unwrap();
        assert_eq!(told(&plugin, "left", json!({})).unwrap(), json!([0, 0, 0, 0]));
        assert_eq!(told(&plugin, "tools", json!({})).unwrap(), json!([]));
        assert!(calls(&plugin, GREET, json!({})).unwrap_err().starts_with("denied"));
    }
}

/// The tool reads what its own plugin was granted, though the caller was granted nothing of the kind; and what the
/// caller was granted does not help the tool.
#[test]
fn d15_a_tool_runs_under_its_own_grants_and_never_under_the_callers() {
    let bench = Bench::new();
    let [ours, theirs] = ["ours", "theirs"].map(|name| {
        let folder = bench.state.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("text.txt"), "text").unwrap();
        folder
    });
    let scan = Package::open(example("secret-scan"), None).unwrap();
    let root = |path: &str| stockade_policy::GuestPath::parse(path).unwrap();
    let scan = LoadRequest::new(scan).grant(GrantRequest::read_tree(&theirs, root("/theirs")));
    let _scan = bench.host.load_blocking(scan).unwrap();
    let name = "stockade/secret-scan#scan";
    let agent = request(&bench, "agent", &[name]).grant(GrantRequest::read_tree(&ours, root("/ours")));
    let agent = bench.host.load_blocking(agent).unwrap();
    let found = calls(&agent, name, json!({ "path": "/theirs" })).unwrap();
    assert!(found.as_str().unwrap().contains("\"files_scanned\":1"), "{found}");
    let refused = calls(&agent, name, json!({ "path": "/ours" })).unwrap_err();
    assert!(refused.starts_with("failed: "), "{refused}");
    let denied = bench.found(Layer::Worker, "fs.read", Decision::Denied);
    let plugin = |entry: &Entry| entry.record.plugin.as_ref().unwrap().name.clone();
    assert!(!denied.is_empty() && denied.iter().all(|entry| plugin(entry) == "stockade/secret-scan"));
}

#[test]
fn d15_plugins_that_would_wait_for_each_other_are_told_so() {
    let bench = Bench::new();
    let [a, b] = [("a", "local/b#call"), ("b", "local/a#call")].map(|(name, tool)| {
        agent(&bench, name, &[tool, &format!("local/{name}#call"), &format!("local/{name}#left")])
    });
    assert_eq!(
        calls(&a, "local/a#left", json!({})).unwrap_err(),
        "unavailable: its plugin waits for this one"
    );
    let back = json!({ "name": "local/a#call", "arguments": "{}" });
    let said = calls(&a, "local/b#call", back).unwrap_err();
    assert!(said.starts_with("failed: ") && said.contains("its plugin waits for this one"), "{said}");
    let refused = bench.found(Layer::Host, "tool", Decision::Denied);
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|entry| rule(entry) == "tool.cycle"));
    // From both ends at once: one of them goes through, or both do; nobody waits for a deadline.
    let began = Instant::now();
    std::thread::scope(|scope| {
        for (from, to) in [(&a, "local/b#call"), (&b, "local/a#call")] {
            scope.spawn(move || {
                for _ in 0..50 {
                    let _ = calls(from, to, json!({ "name": "local/absent#x", "arguments": "{}" }));
                }
            });
        }
    });
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn a_chain_of_calls_has_its_length() {
    let bench = Bench::new();
    let name = |number: usize| format!("link-{number}");
    let links: Vec<_> = (0..10)
        .map(|number| agent(&bench, &name(number), &[&format!("local/{}#call", name(number + 1))]))
        .collect();
    // The innermost calls a plugin that is not there: how far it came is how often it was said.
    let arguments = (1..10).rev().fold(json!({}), |inner, number| {
        json!({ "name": format!("local/{}#call", name(number + 1)), "arguments": inner.to_string() })
    });
    let said = calls(&links[0], "local/link-1#call", arguments).unwrap_err();
    assert!(said.contains("the chain of calls is too long"), "{said}");
    let called: Vec<_> = bench
        .found(Layer::Host, "tool", Decision::Allowed)
        .into_iter()
        .filter_map(|entry| entry.record.detail.number("depth"))
        .collect();
    assert_eq!(called, (1..=8).collect::<Vec<_>>());
}

#[test]
fn d14_calls_are_counted_by_call_and_by_day_for_all_of_a_plugins_lives() {
    let bench = Bench::new();
    let _greeter = greeter(&bench);
    let day = |calls: u64| Budget { tool_calls: calls, ..Budget::default() };
    let load = |calls: u64| {
        let request = request(&bench, "agent", &[GREET]).budget_per_call(day(5)).budget_per_day(day(calls));
        bench.host.load_blocking(request).unwrap()
    };
    let times = |plugin: &Plugin, times: u32| {
        let name = json!({ "name": "Ada" }).to_string();
        told(plugin, "calls", json!({ "name": GREET, "arguments": name, "times": times })).unwrap()
    };
    let left = |plugin: &Plugin| told(plugin, "left", json!({})).unwrap()[0].clone();
    let first = load(12);
    assert_eq!(left(&first), 5);
    assert_eq!(times(&first, 7), 5);
    assert_eq!(bench.found(Layer::Limits, "tool", Decision::Denied).len(), 2);
    assert_eq!(calls(&first, GREET, json!({ "name": "x" })), Ok(json!("\"Hello, x!\"")));
    // Another load, and one beside it, draw on the same day: six of twelve are gone.
    drop(first);
    let [second, third] = [load(12), load(12)];
    assert_eq!((times(&second, 4), left(&third)), (json!(4), json!(2)));
    assert_eq!((times(&third, 4), times(&second, 4)), (json!(2), json!(0)));
    let denied = bench.found(Layer::Limits, "tool", Decision::Denied);
    assert_eq!(rule(&denied[0]), "per_call.tool_calls");
    assert_eq!(rule(denied.last().unwrap()), "per_day.tool_calls");
    // Who was not granted more does not get more by being refused.
    let fourth = load(13);
    assert_eq!((times(&fourth, 4), left(&fourth)), (json!(1), json!(0)));
    // A limit that was not named is the profile's.
    let most = Profile::of(PluginType::Agent).per_call;
    let other = agent(&bench, "other", &[GREET]);
    assert_eq!(left(&other), most.tool_calls);
}

#[test]
fn past_the_workers_check_the_host_decides() {
    let bench = Bench::build(probe_programs().path(), |host| host.namespaces(Namespaces::Cheap));
    let plugin = bench.probe(PluginType::Agent, &[]);
    for (kind, operation) in [("tool", "tool"), ("model", "model")] {
        let said = value(&call(&plugin, "delegate", json!({ "kind": kind, "name": "local/x#y" })));
        assert_eq!(said, json!("denied"));
        assert_eq!(bench.found(Layer::Host, operation, Decision::Denied).len(), 1);
    }
}

/// When the caller is over, so is what it waits for.
#[test]
fn a_callers_deadline_ends_the_call_that_it_made() {
    let bench = Bench::build(probe_programs().path(), |host| host.namespaces(Namespaces::Cheap));
    let folder = bench.state.path().join("probe-agent");
    let package = probe_package(&folder, PluginType::Agent);
    let sleeper = bench.probe(PluginType::Node, &[]);
    // Both are called the same: the agent is loaded last, and then the other again.
    drop(sleeper);
    let agent = LoadRequest::new(package).grant(GrantRequest::tool("stockade/probe#spin"));
    let agent = bench.host.load_blocking(agent).unwrap();
    let sleeper = bench.probe(PluginType::Node, &[]);
    let pid = sleeper.worker_pid().unwrap();
    let options = CallOptions::within(Duration::from_millis(300));
    let began = Instant::now();
    let arguments = json!({ "kind": "tool", "name": "stockade/probe#spin" }).to_string();
    let outcome = agent.call_blocking("delegate", &arguments, options);
    assert_eq!(code(&outcome), "deadline");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let gone = || nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), None).is_err();
    let until = Instant::now() + Duration::from_secs(2);
    while !gone() {
        assert!(Instant::now() < until, "the worker that was called runs on");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(call(&sleeper, "echo", json!({})).is_ok());
}

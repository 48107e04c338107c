//! Real components through real workers: every toolchain's output loads and runs, values cross both ways,
//! and what hostile guests try is refused and recorded.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use stockade_audit::{Decision, Layer};
use stockade_host::{CallOptions, GrantRequest, HostError, LoadRequest, Namespaces, Plugin, Status};
use stockade_package::{Explain, Package};
use stockade_policy::{GuestPath, PluginType};
use stockade_tests::{Bench, call, code, dist, example, guest, skipped, value};

fn refused(bench: &Bench, file: &Path) -> stockade_package::Problem {
    let package = match Package::open(file, Some(PluginType::Node)) {
        Ok(package) => package,
        Err(error) => return error.problem(),
    };
    match bench.host.load_blocking(LoadRequest::new(package)) {
        Ok(_) => panic!("{} was loaded", file.display()),
        Err(error) => error.problem(),
    }
}

fn plugin(bench: &Bench, name: &str, plugin_type: PluginType, tree: Option<&Path>) -> Plugin {
    let source = example(name);
    let folder = bench.state.path().join(format!("{name}-{plugin_type}"));
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(&source).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|end| end == "wasm") {
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    let manifest = fs::read_to_string(source.join("plugin.toml")).unwrap();
    let declared = manifest.lines().find(|line| line.starts_with("type = ")).unwrap().to_owned();
    fs::write(folder.join("plugin.toml"), manifest.replace(&declared, &format!("type = \"{plugin_type}\"")))
        .unwrap();
    let mut request = LoadRequest::new(Package::open(&folder, None).expect("a sound manifest"));
    if let Some(tree) = tree {
        request = request.grant(GrantRequest::read_tree(tree, GuestPath::parse("/src").unwrap()));
    }
    bench.host.load_blocking(request).expect("it loads")
}

#[test]
fn greet_of_every_toolchain_with_and_without_wasi_runs() {
    let bench = Bench::new();
    let required = ["rust", "rust-wasip1", "rust-wasip2", "c", "c-wasi", "js", "js-wasi"];
    let optional = ["python", "python-wasi"];
    for name in required.iter().chain(&optional) {
        let file = guest(&format!("greet-{name}.wasm"));
        if optional.contains(name) && !file.exists() {
            skipped("greet_of_every_toolchain_with_and_without_wasi_runs", &format!("{name} was not built"));
            continue;
        }
        let plugin = bench.component(&file, PluginType::Node);
        // An interpreter's first breath can take a second on a busy machine.
        let patient = CallOptions::within(Duration::from_secs(60));
        let outcome = plugin.call_blocking("greet", r#"{"name":"Ada"}"#, patient);
        assert!(value(&outcome).as_str().unwrap().contains("Ada"), "{name}: {outcome:?}");
    }
}

#[test]
fn wit_values_of_every_type_cross_both_ways() {
    let bench = Bench::new();
    let plugin = bench.component(&guest("kitchen-sink.wasm"), PluginType::Node);
    let person = json!({
        "name": "Ada", "age": 36, "tags": ["a", "b"], "home": {"x": -1, "y": 2}, "role": "reader-only"
    });
    let same = [
        ("echo-bool", json!(true)),
        ("echo-u8", json!(255)),
        ("echo-s8", json!(-128)),
        ("echo-u16", json!(65535)),
        ("echo-s16", json!(-32768)),
        ("echo-u32", json!(4_294_967_295_u32)),
        ("echo-s32", json!(-2_147_483_648_i64)),
        ("echo-u64", json!("18446744073709551615")),
        ("echo-s64", json!(-42)),
        ("echo-f32", json!(0.5)),
        ("echo-f64", json!(-1.25e300)),
        ("echo-char", json!("ß")),
        ("echo-string", json!("line\nbreak \u{1f600} \u{0}")),
        ("echo-bytes", json!([0, 1, 255])),
        ("echo-list", json!(["", "x"])),
        ("echo-nested-list", json!([[1, 2], [], [3]])),
        ("echo-tuple", json!([7, "seven", false])),
        ("echo-record", person),
        ("echo-enum", json!("editor")),
        ("echo-flags", json!(["read", "run-it"])),
        ("echo-variant", json!("empty")),
        ("echo-variant", json!({"circle": 2.5})),
        ("echo-variant", json!({"polygon": [{"x": 1, "y": 2}]})),
        ("echo-variant", json!({"labelled": ["l", {"x": 0, "y": 0}]})),
        ("echo-option", json!(null)),
        ("echo-option", json!("some")),
    ];
    for (tool, sent) in same {
        let outcome = call(&plugin, tool, json!({ "value": sent }));
        assert_eq!(value(&outcome), sent, "{tool}");
    }
    let moved = json!({ "start": {"x": 1, "y": 1}, "by": {"x": 2, "y": 3}, "times": 2 });
    assert_eq!(value(&call(&plugin, "move-by", moved)), json!({"x": 5, "y": 7}));
    // A function's own result is not wrapped.
    assert_eq!(value(&call(&plugin, "divide", json!({"dividend": 7, "divisor": 2}))), json!(3));
    let failed = call(&plugin, "divide", json!({"dividend": 7, "divisor": 0}));
    assert_eq!((failed.status, code(&failed)), (Status::ToolError, "failed"));
    assert_eq!(value(&call(&plugin, "nothing", json!({}))), json!(null));
}

#[test]
fn arguments_that_do_not_fit_never_reach_the_plugin() {
    let bench = Bench::new();
    let plugin = bench.component(&guest("kitchen-sink.wasm"), PluginType::Node);
    let outcome = plugin.call_blocking("echo-u8", "{", CallOptions::default());
    assert_eq!((outcome.status, code(&outcome)), (Status::Failed, "arguments-not-json"));
    for bad in
        [json!({"value": 256}), json!({"value": "x"}), json!({}), json!({"value": 1, "other": 2}), json!([])]
    {
        let outcome = call(&plugin, "echo-u8", bad.clone());
        assert_eq!((outcome.status, code(&outcome)), (Status::Failed, "bad-arguments"), "{bad}");
    }
    assert_eq!(code(&call(&plugin, "no-such-tool", json!({}))), "unknown-tool");
}

#[test]
fn wasi_clocks_random_stdio_and_reading_work() {
    let bench = Bench::new();
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("hello.txt"), "hello from the host\n").unwrap();
    for number in 0..500 {
        fs::write(tree.path().join(format!("f{number}")), "x").unwrap();
    }
    let package = Package::open(guest("wasi-tour.wasm"), Some(PluginType::QualityGate)).unwrap();
    let root = GuestPath::parse("/src").unwrap();
    let request = LoadRequest::new(package).grant(GrantRequest::read_tree(tree.path(), root));
    let plugin = bench.host.load_blocking(request).unwrap();
    let tools: Vec<_> = plugin.tools().iter().map(|tool| tool.name.clone()).collect();
    for wanted in ["sleep-ten", "random-pair", "file-info"] {
        assert!(tools.iter().any(|tool| tool == wanted), "{wanted} is not among {tools:?}");
    }
    let began = Instant::now();
    assert!(call(&plugin, "sleep-ten", json!({})).is_ok());
    assert!(began.elapsed() >= Duration::from_millis(10));
    let pair = value(&call(&plugin, "random-pair", json!({})));
    assert_ne!(pair[0], pair[1]);
}

#[test]
fn c12_c15_components_that_cannot_run_here_are_refused_by_name() {
    let bench = Bench::new();
    let expected = [
        ("core-module", "core-module", ""),
        ("unknown-import", "unknown-import", "acme:telemetry/upload@1.0.0"),
        ("proposal-gc", "invalid-component", "gc"),
        ("proposal-exceptions", "invalid-component", "exceptions"),
        ("proposal-threads", "invalid-component", "threads"),
        ("proposal-memory64", "invalid-component", "memory64"),
        ("proposal-component-async", "invalid-component", "async"),
        ("proposal-custom-page-sizes", "invalid-component", "custom page sizes"),
    ];
    for (name, wanted, word) in expected {
        let problem = refused(&bench, &guest(&format!("{name}.wasm")));
        assert_eq!(problem.code, wanted, "{name}: {problem:?}");
        let said = format!("{} {}", problem.message, problem.field);
        assert!(said.contains(word), "{name}: {problem:?}");
        assert!(!problem.next_step.is_empty(), "{name}");
    }
    // By the host itself, before a worker is started to link it.
    assert_eq!(bench.found(Layer::Policy, "import", Decision::Denied).len(), 1);
    let garbage = bench.state.path().join("garbage.wasm");
    fs::write(&garbage, "not wasm at all").unwrap();
    assert_eq!(refused(&bench, &garbage).code, "not-wasm");
    assert_eq!(refused(&bench, &bench.state.path().join("nothing.wasm")).code, "plugin-not-found");
    // A component's preamble with nonsense behind it reaches the confined compiler, and ends there.
    let broken = bench.state.path().join("broken.wasm");
    fs::write(&broken, [b"\0asm\x0d\0\x01\0".as_slice(), &[0xff; 64]].concat()).unwrap();
    assert_eq!(refused(&bench, &broken).code, "invalid-component");
    assert!(!bench.found(Layer::Package, "compile", Decision::Denied).is_empty());
}

#[test]
fn secret_scan_finds_planted_secrets_and_a_read_outside_is_refused_and_recorded() {
    let bench = Bench::new();
    let tree = tempfile::tempdir().unwrap();
    // Put together at run time, so that no scanner finds it here.
    let key = format!("{}{}", "AKIA", "QYLPMN5HHHFPZAM2");
    fs::create_dir(tree.path().join("deploy")).unwrap();
    fs::write(tree.path().join("deploy/env.sh"), format!("export AWS_ACCESS_KEY_ID={key}\n")).unwrap();
    symlink("/etc/passwd", tree.path().join("link")).unwrap();
    let plugin = plugin(&bench, "secret-scan", PluginType::QualityGate, Some(tree.path()));

    let report = value(&call(&plugin, "scan", json!({ "path": "/src" })));
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{report}");
    assert!(findings[0]["file"].as_str().unwrap().ends_with("deploy/env.sh"));
    assert!(!report.to_string().contains(&key), "the secret itself is in the report");

    let outside = call(&plugin, "read", json!({ "path": "/etc/passwd" }));
    assert!(!outside.is_ok(), "{outside:?}");
    let records = bench.records();
    let record = records
        .iter()
        .find(|entry| {
            entry.record.decision == Decision::Denied && entry.record.resource.contains("/etc/passwd")
        })
        .unwrap_or_else(|| panic!("no record names the path: {records:#?}"));
    assert_eq!(record.record.operation, "fs.read");
    // An honest worker refuses before it asks; past its check the host refuses all the same (B19).
    assert_eq!(record.record.layer, Layer::Worker);
    assert!(outside.denials.contains(&record.seq));
}

#[test]
fn hostile_tools_are_refused_one_by_one_and_leave_records() {
    let bench = Bench::new();
    let tree = tempfile::tempdir().unwrap();
    symlink("/etc/passwd", tree.path().join("link")).unwrap();
    fs::write(tree.path().join("inside"), "x").unwrap();
    let plugin = plugin(&bench, "hostile", PluginType::QualityGate, Some(tree.path()));
    let patient = CallOptions::within(Duration::from_secs(30));
    let operations = BTreeMap::from([
        ("read_outside", "fs.read"),
        ("dot_dot", "fs.read"),
        ("symlink", "fs.read"),
        ("write", "fs.create"),
        ("tcp_connect", "socket"),
        ("udp", "socket"),
        ("dns", "socket"),
        ("http", "http"),
    ]);
    for (tool, operation) in operations {
        let arguments = if tool == "symlink" { json!({ "path": "/src/link" }) } else { json!({}) };
        let outcome = plugin.call_blocking(tool, &arguments.to_string(), patient);
        let report = value(&outcome);
        assert_eq!(report["outcome"], "refused", "{tool}: {report}");
        let records = bench.records();
        let left = records
            .iter()
            .filter(|entry| outcome.denials.contains(&entry.seq) && entry.record.operation == operation)
            .count();
        assert!(left > 0, "{tool} left no record of {operation}: {outcome:?}");
    }
    assert!(!tree.path().join("hostile").exists());
    assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 2, "something was written");

    for tool in ["deep_recursion", "trap"] {
        let outcome = plugin.call_blocking(tool, "{}", patient);
        assert_eq!(outcome.status, Status::Trapped, "{tool}: {outcome:?}");
    }
    let outcome = plugin.call_blocking("memory_bomb", "{}", patient);
    assert!(!outcome.is_ok() || value(&outcome)["outcome"] == "refused", "{outcome:?}");
    assert!(!bench.found(Layer::Worker, "memory", Decision::Denied).is_empty());
    let outcome = plugin.call_blocking("huge_result", "{}", patient);
    assert!(!outcome.is_ok(), "{:?}", outcome.status);

    for tool in ["endless_loop", "sleep_forever"] {
        let short = CallOptions::within(Duration::from_millis(300));
        let outcome = plugin.call_blocking(tool, "{}", short);
        assert_eq!((outcome.status, code(&outcome)), (Status::Killed, "deadline"), "{tool}");
    }
    let outcome = plugin.call_blocking("log_flood", "{}", patient);
    assert_ne!(outcome.status, Status::Killed, "{outcome:?}");
    assert!(!bench.found(Layer::Limits, "log", Decision::Denied).is_empty());
}

#[test]
fn an_ordinary_plugin_without_grants_reaches_no_file() {
    let bench = Bench::new();
    let plugin = plugin(&bench, "hostile", PluginType::Node, None);
    let outcome = call(&plugin, "read_outside", json!({}));
    assert_eq!(value(&outcome)["outcome"], "refused");
    assert!(!outcome.denials.is_empty(), "the attempt left no record");
}

#[test]
fn instances_are_fresh_unless_the_manifest_wants_state() {
    let bench = Bench::new();
    let mut package = Package::open(guest("stateful.wasm"), Some(PluginType::Node)).unwrap();
    let fresh = bench.host.load_blocking(LoadRequest::new(package.clone())).unwrap();
    package.instance = stockade_package::InstanceMode::Reused;
    let reused = bench.host.load_blocking(LoadRequest::new(package)).unwrap();
    let next = |plugin: &Plugin| value(&call(plugin, "next", json!({})));
    assert_eq!(next(&fresh), next(&fresh));
    assert_ne!(next(&reused), next(&reused));
}

/// A component with one function of 3 MB that keeps every value it loads alive to the end: register
/// allocation takes ever longer and ever more memory.
fn compile_bomb(values: u32) -> Vec<u8> {
    fn leb(mut number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let low = (number & 0x7f) as u8;
            number >>= 7;
            if number == 0 {
                bytes.push(low);
                return bytes;
            }
            bytes.push(low | 0x80);
        }
    }
    fn sized(bytes: &[u8]) -> Vec<u8> {
        [leb(bytes.len()), bytes.to_vec()].concat()
    }
    fn section(id: u8, bytes: &[u8]) -> Vec<u8> {
        [vec![id], sized(bytes)].concat()
    }
    // No locals; then `local.get 0; i32.load offset=4*n` for each value, and all of them joined by xor.
    let mut body = vec![0];
    for value in 0..values as usize {
        body.extend([0x20, 0, 0x28, 2]);
        body.extend(leb(4 * value));
    }
    body.extend(vec![0x73; values as usize - 1]);
    body.push(0x0b);
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]),
        section(3, &[1, 0]),
        section(5, &[1, 0, 1]),
        section(10, &[vec![1], sized(&body)].concat()),
    ];
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module.concat())].concat()
}

#[test]
fn c6_a_compile_bomb_ends_at_its_cap_and_the_host_serves_on() {
    let bench = Bench::new();
    let bomb = bench.state.path().join("bomb.wasm");
    fs::write(&bomb, compile_bomb(400_000)).unwrap();
    let problem = refused(&bench, &bomb);
    assert_eq!(problem.code, "compile-cap", "{problem:?}");
    assert!(!bench.found(Layer::Limits, "compile", Decision::Killed).is_empty());
    let plugin = bench.component(&guest("greet-rust.wasm"), PluginType::Node);
    assert!(call(&plugin, "greet", json!({ "name": "Ada" })).is_ok());
}

#[test]
fn what_a_large_message_needed_is_kept_for_the_next_and_given_back_soon() {
    let bench = Bench::new();
    let plugin = bench.component(&guest("greet-rust.wasm"), PluginType::Node);
    let resident = || plugin.status().memory_bytes;
    let name = |length: usize| json!({ "name": "x".repeat(length) });
    assert!(call(&plugin, "greet", name(1)).is_ok());
    let before = resident();
    assert!(call(&plugin, "greet", name(1 << 20)).is_ok());
    assert!(resident() > before + (2 << 20), "it has to be made anew for every call");
    let began = Instant::now();
    while resident() > before + (1 << 20) {
        assert!(began.elapsed() < Duration::from_secs(10), "{before} bytes, and now {}", resident());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(began.elapsed() > Duration::from_millis(500), "too soon for whoever calls again at once");
    let pid = plugin.worker_pid();
    assert!(call(&plugin, "greet", name(1 << 20)).is_ok(), "it serves on");
    assert_eq!((plugin.worker_pid(), plugin.status().starts), (pid, 1));
}

#[test]
fn a_grant_above_the_ceiling_is_refused_and_recorded() {
    let bench = Bench::new();
    let tree = tempfile::tempdir().unwrap();
    let package = Package::open(guest("greet-rust.wasm"), Some(PluginType::Node)).unwrap();
    let grant = GrantRequest::read_tree(tree.path(), GuestPath::parse("/src").unwrap());
    let error = bench.host.load_blocking(LoadRequest::new(package).grant(grant)).unwrap_err();
    assert!(matches!(error, HostError::AboveCeiling { .. }), "{error:?}");
    assert_eq!(error.problem().code, "above-ceiling");
    assert_eq!(bench.found(Layer::Policy, "grant", Decision::Denied).len(), 1);
}

#[test]
fn a_second_load_comes_from_the_cache_and_a_spoilt_cache_is_compiled_anew() {
    let bench = Bench::new();
    let compiled = |bench: &Bench| {
        let compilers = |entry: &stockade_audit::Entry| {
            entry.record.event == "attested" && entry.record.detail.text("filter") == Some("compiler")
        };
        bench.records().iter().filter(|entry| compilers(entry)).count()
    };
    for _ in 0..2 {
        bench.component(&guest("greet-rust.wasm"), PluginType::Node);
        assert_eq!(compiled(&bench), 1);
    }
    let artifacts = bench.state.path().join("state/artifacts");
    for entry in fs::read_dir(artifacts).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|end| end == "cwasm") {
            let mut bytes = fs::read(entry.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            fs::write(entry.path(), bytes).unwrap();
        }
    }
    let plugin = bench.component(&guest("greet-rust.wasm"), PluginType::Node);
    assert_eq!(compiled(&bench), 2);
    assert!(call(&plugin, "greet", json!({ "name": "Ada" })).is_ok());
}

#[test]
fn calls_from_tasks_and_from_threads_share_a_worker() {
    let bench = Bench::new();
    let plugin = bench.component(&guest("greet-rust.wasm"), PluginType::Node);
    let pid = plugin.worker_pid();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let calls = (0..50).map(|number| {
        let plugin = plugin.clone();
        runtime.spawn(async move {
            plugin
                .call("greet", &json!({ "name": number.to_string() }).to_string(), CallOptions::default())
                .await
        })
    });
    for (number, task) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        let outcome = runtime.block_on(task).unwrap();
        assert!(value(&outcome).as_str().unwrap().contains(&number.to_string()));
    }
    assert!(call(&plugin, "greet", json!({ "name": "thread" })).is_ok());
    assert_eq!(plugin.worker_pid(), pid);
}

#[test]
fn a_stopped_host_leaves_no_worker_and_answers() {
    let bench = Bench::with(&dist(), Namespaces::Cheap);
    let plugin = bench.component(&guest("greet-rust.wasm"), PluginType::Node);
    let pid = plugin.worker_pid().unwrap();
    bench.host.stop_blocking();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    let outcome = call(&plugin, "greet", json!({ "name": "Ada" }));
    assert_ne!(outcome.status, Status::Ok, "{outcome:?}");
}

//! Group B: a worker that speaks the protocol wrongly, and one that asks past its own checks (B19).

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value as Json, json};
use stockade_audit::{Decision, Layer};
use stockade_host::{LoadRequest, Namespaces, Status};
use stockade_package::{Explain, Package};
use stockade_policy::PluginType;
use stockade_tests::{Bench, call, code, dist, guest, value};

fn bytes(of: &[&[u8]]) -> Json {
    json!({ "bytes": of.concat() })
}

fn header(len: u32, kind: u8) -> [u8; 8] {
    let [a, b, c, d] = len.to_le_bytes();
    [a, b, c, d, kind, 1, 0, 0]
}

#[test]
fn b1_b4_every_malformed_frame_is_a_recorded_fault_and_the_host_serves_on() {
    let kind_log = 12;
    let cases: Vec<(&str, Json)> = vec![
        ("a length of 4 GiB", bytes(&[&header(u32::MAX, kind_log)])),
        ("a length over the kind's limit", bytes(&[&header(64 * 1024 + 1, kind_log)])),
        ("an unknown kind", bytes(&[&header(0, 200)])),
        ("kind zero", bytes(&[&header(0, 0)])),
        ("a message of the host's", bytes(&[&header(0, 8)])),
        ("another protocol version", bytes(&[&[0, 0, 0, 0, kind_log, 9, 0, 0]])),
        ("reserved bytes", bytes(&[&[0, 0, 0, 0, kind_log, 1, 1, 0]])),
        ("an empty body", bytes(&[&header(0, kind_log)])),
        ("a second Hello", bytes(&[&header(0, 1)])),
        ("a late Confined", bytes(&[&header(0, 2)])),
        ("a late Loaded", bytes(&[&header(0, 4)])),
        // Level 2, then a string that claims 2^63 bytes.
        (
            "a huge claimed string",
            bytes(&[&header(12, kind_log), &[2, 0, 0, 0], &(1_u64 << 63).to_le_bytes()]),
        ),
        ("an unknown variant", bytes(&[&header(12, kind_log), &[99, 0, 0, 0], &[0; 8]])),
        ("bytes behind the message", bytes(&[&header(13, kind_log), &[2, 0, 0, 0], &[0; 8], &[7]])),
        (
            "text that is not UTF-8",
            bytes(&[&header(13, kind_log), &[2, 0, 0, 0], &1_u64.to_le_bytes(), &[0xff]]),
        ),
    ];
    let bench = Bench::with_probe(Namespaces::Cheap);
    let good = bench.probe(PluginType::Node, &[]);
    let total = cases.len();
    for (what, arguments) in cases {
        let plugin = bench.probe(PluginType::Node, &[]);
        let outcome = call(&plugin, "bytes", arguments);
        assert_eq!(outcome.status, Status::Killed, "{what}");
        assert_eq!(code(&outcome), "protocol-fault", "{what}: {outcome:?}");
        assert_eq!(value(&call(&good, "echo", json!(what))), json!(what));
    }
    assert_eq!(bench.found(Layer::Host, "ipc", Decision::Killed).len(), total);
}

#[test]
fn b13_a_program_that_does_not_prove_itself_gets_nothing() {
    let programs = tempfile::tempdir().unwrap();
    for (program, name) in [("stockade-empty", "stockade-worker"), ("stockade-compiler", "stockade-compiler")]
    {
        fs::copy(dist().join(program), programs.path().join(name)).unwrap();
    }
    let bench = Bench::with(programs.path(), Namespaces::Cheap);
    let package = Package::open(guest("greet-rust.wasm"), Some(PluginType::Node)).unwrap();
    let error = bench.host.load_blocking(LoadRequest::new(package)).unwrap_err();
    assert_eq!(error.problem().code, "not-attested", "{error:?}");
    assert_eq!(bench.found(Layer::Launch, "launch", Decision::Killed).len(), 1);
}

#[test]
fn b7_a_return_to_another_call_is_a_fault() {
    let bench = Bench::with_probe(Namespaces::Cheap);
    let plugin = bench.probe(PluginType::Node, &[]);
    assert_eq!(code(&call(&plugin, "wrong_call_number", json!({}))), "protocol-fault");
}

#[test]
fn b15_a_worker_that_hangs_up_and_lives_on_is_ended() {
    let bench = Bench::with_probe(Namespaces::Cheap);
    let plugin = bench.probe(PluginType::Node, &[]);
    let pid = plugin.worker_pid().unwrap();
    let began = std::time::Instant::now();
    let outcome = call(&plugin, "hang_up", json!({}));
    assert_eq!(code(&outcome), "protocol-fault", "{outcome:?}");
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn b2_half_a_frame_then_silence_ends_at_the_deadline() {
    let bench = Bench::with_probe(Namespaces::Cheap);
    let plugin = bench.probe(PluginType::Node, &[]);
    // Half a frame, and then the frame of the probe's own return inside of it: never whole.
    let half = bytes(&[&header(60_000, 12), b"half"]);
    let deadline = stockade_host::CallOptions::within(std::time::Duration::from_millis(300));
    let outcome = plugin.call_blocking("bytes", &half.to_string(), deadline);
    assert_eq!(code(&outcome), "deadline");
}

#[test]
fn b19_asks_past_the_workers_check_are_refused_by_the_host_and_recorded() {
    let bench = Bench::with_probe(Namespaces::Cheap);
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("inside.txt"), "inside").unwrap();
    fs::create_dir(tree.path().join("folder")).unwrap();
    symlink("/etc/passwd", tree.path().join("link")).unwrap();
    symlink("/etc", tree.path().join("folder/out")).unwrap();
    nix::unistd::mkfifo(&tree.path().join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let plugin = bench.probe(PluginType::QualityGate, &[(tree.path(), "/src")]);
    let ask = |kind: &str, path: &str| value(&call(&plugin, "ask", json!({ "kind": kind, "path": path })));

    let opened = ask("open", "/src/inside.txt");
    assert!(opened.as_str().unwrap().contains("FsOpened"), "{opened}");
    let refused = [
        "/etc/passwd",
        "/",
        "/srcs",
        "/src/../etc/passwd",
        "/src/link",
        "/src/folder/out/passwd",
        "/src/fifo",
        "relative",
        "",
        "/src/\0",
        "/proc/self/root/etc/passwd",
    ];
    for path in refused {
        assert_eq!(ask("open", path), json!("denied"), "{path:?}");
    }
    assert_eq!(ask("list", "/"), json!("denied"));
    assert_eq!(ask("stat", "/etc/passwd"), json!("denied"));
    // A link can be seen, not followed.
    assert!(ask("stat", "/src/link").as_str().unwrap().contains("Symlink"));
    assert_eq!(value(&call(&plugin, "ask", json!({ "kind": "config", "key": "any" }))), json!("denied"));

    let records = bench.found(Layer::Host, "fs.read", Decision::Denied);
    assert_eq!(records.len(), refused.len() + 2);
    let outside = records.iter().find(|entry| entry.record.resource == "/etc/passwd").unwrap();
    assert_eq!(outside.record.rule.as_ref().unwrap().id, "default-deny:fs.read");
    assert_eq!(bench.found(Layer::Host, "config", Decision::Denied).len(), 1);
}

#[test]
fn b9_a_worker_that_asks_for_files_and_does_not_read_gets_one_and_is_ended() {
    let bench = Bench::with_probe(Namespaces::Cheap);
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("inside.txt"), "inside").unwrap();
    let plugin = bench.probe(PluginType::QualityGate, &[(tree.path(), "/src")]);
    let ask = |times: u32| {
        call(&plugin, "ask", json!({ "kind": "open", "path": "/src/inside.txt", "times": times }))
    };
    assert!(ask(1).is_ok());
    // Far fewer than its socket has room for. Where the worker is quick enough to read one after all, it goes on to what
    // it does not expect, and ends by itself: a fault too, of another kind.
    let not_reading = (0..10).any(|_| {
        let outcome = ask(20);
        assert_eq!(code(&outcome), "protocol-fault", "{outcome:?}");
        outcome.reason.expect("a fault").message.contains("does not read")
    });
    assert!(not_reading);
    assert!(ask(1).is_ok());
}

#[test]
fn b12_a_flood_of_log_lines_is_counted_and_the_call_goes_on() {
    let bench = Bench::with_probe(Namespaces::Cheap);
    let plugin = bench.probe(PluginType::Node, &[]);
    let outcome = call(&plugin, "flood", json!({ "lines": 50_000, "len": 100 }));
    assert!(outcome.is_ok(), "{outcome:?}");
    drop(plugin);
    bench.host.stop_blocking();
    let dropped: i64 = bench
        .found(Layer::Limits, "log", Decision::Denied)
        .iter()
        .filter_map(|entry| entry.record.detail.number("dropped"))
        .sum();
    let rate = i64::from(stockade_policy::Profile::of(PluginType::Node).limits.log_lines_per_second);
    assert!(dropped > 40_000 && dropped <= 50_000 - rate, "{dropped} of 50000 at {rate}/s");
}

#[test]
fn f6_a_flood_of_claims_is_bounded_and_exact() {
    let bench = Bench::with_probe(Namespaces::Cheap);
    let plugin = bench.probe(PluginType::Node, &[]);
    let claim = json!({ "times": 20_000, "operation": "socket", "resource": "x" });
    assert!(call(&plugin, "claim", claim).is_ok());
    drop(plugin);
    bench.host.stop_blocking();
    let records = bench.records();
    assert!(records.len() < 2_000, "{} records", records.len());
    let verbatim = bench.found(Layer::Worker, "socket", Decision::Denied).len() as i64;
    let folded: i64 = records
        .iter()
        .filter(|entry| entry.record.event == "flood")
        .filter_map(|entry| entry.record.detail.number("count"))
        .sum();
    assert_eq!(verbatim + folded, 20_000);
}

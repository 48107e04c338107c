//! A host that runs for long: what it runs, how it is steered, and how it ends.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use stockade_audit::{Reader, verify};
use stockade_host::{CallOptions, Isolation, LoadRequest, Plugin, PluginState, Start, Supervision};
use stockade_package::{InstanceMode, Package};
use stockade_policy::PluginType;
use stockade_tests::served::{Site, children, lives, until};
use stockade_tests::{Bench, call, code, guest, probe_package, value};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn enabled_plugins_run_and_no_others() {
    let site = Site::new();
    for name in ["local/a", "local/b", "local/c"] {
        site.plugin(name, &[]);
    }
    site.file("local/a", "enabled = true\n");
    site.file("local/b", "enabled = false\n");
    // Present, and nobody said that it is to run.
    site.file("local/c", "");
    let served = site.serve();
    let plugins = served.ask(&["ps"]);
    let names: Vec<_> = plugins["plugins"].as_array().unwrap().iter().map(|plugin| &plugin["name"]).collect();
    assert_eq!(names, ["local/a"]);
    assert_eq!(children(served.pid()).len(), 1);
    assert!(served.said().contains("2 plugins are not enabled"));
    let called = served.ask(&["call", "local/a", "stats", "--args", r#"{"text":"one two"}"#]);
    assert_eq!(called["value"]["words"], 2);
    let refused = site.run(&["call", "local/b", "stats", "--args", r#"{"text":""}"#]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).starts_with("error[unknown-plugin]"), "{}", text(&refused.stderr));
}

#[test]
fn a_plugin_that_cannot_be_loaded_is_told_and_keeps_nobody_else_from_running() {
    let site = Site::new();
    site.enable("local/good", "");
    fs::write(
        site.path("plugins.d/bad.toml"),
        format!(
            "enabled = true\ntype = \"node\"\nplugin = {:?}\n",
            stockade_tests::guest("unknown-import.wasm")
        ),
    )
    .unwrap();
    let served = site.serve();
    let bad = served.status("local/unknown-import");
    assert_eq!(bad.state, PluginState::Failed);
    assert!(bad.reason.starts_with("unknown-import: "), "{}", bad.reason);
    let health = served.ask(&["health"]);
    assert_eq!((&health["ready"], &health["degraded"][0]["code"]), (&json!(true), &json!("plugin-failed")));
    assert!(served.said().contains("local/unknown-import"), "{}", served.said());
}

#[test]
fn an_event_reaches_those_that_have_a_hook_for_it() {
    let site = Site::with_probe();
    for (name, tool) in [("local/a", "echo"), ("local/b", "exit"), ("local/c", "echo")] {
        site.plugin(name, &[("thing.new", tool)]);
        site.file(name, "enabled = true\n");
    }
    site.enable("local/d", "");
    let served = site.serve();
    let told = served.ask(&["emit", "thing.new", "--payload", r#"{"code":3}"#]);
    let results = |told: &serde_json::Value| -> Vec<(String, String)> {
        let results = told["results"].as_array().unwrap().iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        results.map(|result| (text(&result["plugin"]), text(&result["status"]))).collect()
    };
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    assert_eq!(results(&told), pairs(&[("local/a", "ok"), ("local/b", "killed"), ("local/c", "ok")]));
    assert_eq!(told["results"][0]["value"], json!({ "code": 3 }));
    let told = served.ask(&["emit", "thing.new", "--payload", r#"{"code":3}"#, "--fail-fast"]);
    assert_eq!(results(&told), pairs(&[("local/a", "ok"), ("local/b", "killed"), ("local/c", "skipped")]));
    assert_eq!(served.ask(&["emit", "thing.old"])["results"], json!([]));
    assert_eq!(site.run(&["emit", "thing.new"]).status.code(), Some(1));
}

#[test]
fn a_worker_that_is_killed_is_started_again_and_an_idle_one_on_demand() {
    let site = Site::new();
    site.enable("local/kept", "idle = \"never\"");
    site.enable("local/idle", "idle = \"50ms\"");
    site.enable("local/late", "start = \"on-call\"");
    let served = site.serve();
    let first = served.status("local/kept").workers[0];
    kill(Pid::from_raw(first as i32), Signal::SIGKILL).unwrap();
    until("another worker", || {
        served.status("local/kept").workers.first().is_some_and(|worker| *worker != first)
    });
    assert_eq!(served.status("local/kept").starts, 2);

    until("no worker", || served.status("local/idle").workers.is_empty());
    let idle = served.status("local/idle");
    assert_eq!((idle.state, idle.reason.as_str()), (PluginState::Idle, "no call for 50.0ms"));
    let called = served.ask(&["call", "local/idle", "stats", "--args", r#"{"text":"one"}"#]);
    assert_eq!(called["status"], "ok");

    let late = served.status("local/late");
    assert_eq!((late.state, late.starts), (PluginState::Idle, 0));
    let called = served.ask(&["call", "local/late", "stats", "--args", r#"{"text":"one"}"#]);
    assert_eq!(called["status"], "ok");
    assert_eq!(served.status("local/late").starts, 1);
}

#[test]
fn a_stopped_plugin_refuses_calls_until_it_is_started() {
    let bench = Bench::new();
    let plugin = bench.component(&stockade_tests::guest("greet-rust.wasm"), PluginType::Node);
    let greet = || call(&plugin, "greet", json!({ "name": "Ada" }));
    assert!(greet().is_ok());
    plugin.stop_blocking(Duration::ZERO);
    assert_eq!(plugin.worker_pid(), None);
    assert_eq!(code(&greet()), "plugin-stopped");
    assert_eq!(plugin.status().state, PluginState::Stopped);
    plugin.start_blocking().unwrap();
    let worker = plugin.worker_pid().expect("a worker before the first call");
    assert!(greet().is_ok());
    plugin.restart_blocking(Duration::ZERO).unwrap();
    assert!(!lives(worker) && plugin.worker_pid().is_some());
    assert!(greet().is_ok());
}

#[test]
fn stopping_gives_a_call_its_grace_and_no_more() {
    let bench = Bench::with_probe(stockade_host::Namespaces::Cheap);
    let plugin = bench.probe(PluginType::Node, &[]);
    let spin = || {
        let plugin = plugin.clone();
        std::thread::spawn(move || plugin.call_blocking("spin", "{}", CallOptions::default()))
    };
    let call = spin();
    until("the call", || plugin.running() == 1);
    let began = Instant::now();
    plugin.stop_blocking(Duration::from_millis(100));
    assert!(began.elapsed() >= Duration::from_millis(100));
    assert_eq!(code(&call.join().unwrap()), "stopped");
    plugin.start_blocking().unwrap();
    assert_eq!(value(&stockade_tests::call(&plugin, "echo", json!(1))), json!(1));
}

#[test]
fn a_restart_does_not_keep_waiting_calls_from_the_new_worker() {
    let bench = Bench::with_probe(stockade_host::Namespaces::Cheap);
    let plugin = bench.probe(PluginType::Node, &[]);
    std::thread::scope(|scope| {
        let runs = scope.spawn(|| call(&plugin, "spin", json!({})));
        until("the call", || plugin.running() == 1 && plugin.worker_pid().is_some());
        let worker = plugin.worker_pid().expect("it runs");
        let waits = scope.spawn(|| call(&plugin, "echo", json!(7)));
        until("the line", || plugin.status().waiting == 1);
        plugin.restart_blocking(Duration::from_millis(50)).unwrap();
        assert!(!lives(worker));
        assert_eq!(code(&runs.join().unwrap()), "stopped");
        assert_eq!(value(&waits.join().unwrap()), json!(7));
    });
}

#[test]
fn tables_are_for_people() {
    let site = Site::new();
    site.enable("local/p", "");
    let served = site.serve();
    served.ask(&["call", "local/p", "stats", "--args", r#"{"text":"one"}"#]);
    let ps = text(&site.run(&["ps"]).stdout);
    let words: Vec<Vec<&str>> = ps.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0][..5], ["PLUGIN", "VERSION", "STATE", "WORKERS", "CALLS"]);
    assert_eq!(words[1][..5], ["local/p", "0.1.0", "ready", "1", "1"]);
    let top = text(&site.run(&["top", "-n", "2", "--interval", "100ms"]).stdout);
    assert_eq!(top.matches("1 plugins, 1 workers").count(), 2, "{top}");
    // Nothing for a terminal goes into a pipe.
    assert!(!top.contains('\u{1b}'), "{top}");
}

fn supervised(bench: &Bench, supervision: Supervision) -> Plugin {
    let package = probe_package(&bench.state.path().join("probe"), PluginType::Node);
    bench.host.load_blocking(LoadRequest::new(package).supervision(supervision)).unwrap()
}

#[test]
fn the_deadline_counts_from_the_call_on_and_the_line_has_an_end() {
    let bench = Bench::with_probe(stockade_host::Namespaces::Cheap);
    let plugin = supervised(&bench, Supervision { queue: 2, ..Supervision::default() });
    let call = |milliseconds| {
        let plugin = plugin.clone();
        let options = CallOptions::within(Duration::from_millis(milliseconds));
        std::thread::spawn(move || plugin.call_blocking("spin", "{}", options))
    };
    let running = call(1_000);
    until("the call", || plugin.running() == 1);
    let waiting = [call(50), call(60)];
    until("the line", || plugin.status().waiting == 2);
    let refused = plugin.call_blocking("echo", "1", CallOptions::default());
    assert_eq!(code(&refused), "queue-full");
    assert!(refused.elapsed < Duration::from_millis(900));
    for waited in waiting {
        let outcome = waited.join().unwrap();
        assert_eq!(code(&outcome), "timed-out");
        assert!(outcome.elapsed < Duration::from_millis(900), "{:?}", outcome.elapsed);
    }
    assert_eq!(code(&running.join().unwrap()), "deadline");
}

#[test]
fn one_caller_with_many_calls_does_not_keep_another_waiting() {
    let bench = Bench::with_probe(stockade_host::Namespaces::Cheap);
    let plugin = supervised(&bench, Supervision { queue: 3, ..Supervision::default() });
    let first = plugin.clone();
    let running = std::thread::spawn(move || {
        first.call_blocking("spin", "{}", CallOptions::within(Duration::from_secs(1)))
    });
    until("the call", || plugin.running() == 1);
    let (ended, order) = std::sync::mpsc::channel();
    let call = |caller, waiting: u32| {
        let (plugin, ended) = (plugin.clone(), ended.clone());
        let options = CallOptions { caller, ..CallOptions::within(Duration::from_secs(30)) };
        let watched = plugin.clone();
        std::thread::spawn(move || {
            let outcome = plugin.call_blocking("echo", "1", options);
            ended.send((caller, outcome)).expect("somebody waits");
        });
        until("the line", || watched.status().waiting == waiting);
    };
    (1..=3).for_each(|waiting| call(1, waiting));
    // As full as may be, so that this one displaces the other caller's last, and is served after its first.
    call(2, 3);
    let (caller, outcome) = order.recv_timeout(Duration::from_secs(30)).expect("it is told at once");
    assert_eq!((caller, code(&outcome)), (1, "queue-full"));
    assert_eq!(code(&running.join().unwrap()), "deadline");
    let rest: Vec<_> =
        (0..3).map(|_| order.recv_timeout(Duration::from_secs(30)).expect("it ends")).collect();
    assert!(rest.iter().all(|(_, outcome)| outcome.is_ok()), "{rest:?}");
    assert_eq!(rest.iter().map(|(caller, _)| *caller).collect::<Vec<_>>(), [1, 2, 1]);
}

#[test]
fn several_workers_run_several_calls() {
    let bench = Bench::with_probe(stockade_host::Namespaces::Cheap);
    let plugin = supervised(&bench, Supervision { workers: 3, ..Supervision::default() });
    let options = CallOptions::within(Duration::from_millis(300));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(code(&plugin.call_blocking("spin", "{}", options)), "deadline"));
        }
        until("three calls, each in a worker of its own", || {
            plugin.running() == 3 && plugin.status().workers.len() == 3
        });
    });
    assert!(call(&plugin, "echo", json!(1)).is_ok());
}

#[test]
fn each_call_can_have_a_process_of_its_own() {
    let bench = Bench::new();
    let load = |start, workers, isolation| {
        let mut package = Package::open(guest("stateful.wasm"), Some(PluginType::Node)).unwrap();
        package.instance = InstanceMode::Reused;
        let supervision = Supervision { start, workers, isolation, ..Supervision::default() };
        bench.host.load_blocking(LoadRequest::new(package).supervision(supervision)).unwrap()
    };
    let next = |plugin: &Plugin| value(&call(plugin, "next", json!({})));
    let shared = load(Start::Loaded, 1, Isolation::Plugin);
    assert_ne!(next(&shared), next(&shared), "a reused instance counts on");
    assert_eq!(shared.status().starts, 1);

    let alone = load(Start::Loaded, 1, Isolation::Call);
    assert_eq!((next(&alone), next(&alone)), (json!(1), json!(1)));
    assert_eq!(alone.status().starts, 2);
    until("each ends with its call", || alone.status().workers.is_empty());
    // With one that is kept, a fresh process waits for the call; the calls of several run side by side all the same.
    let kept = load(Start::Kept, 2, Isolation::Call);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(kept.status().starts, 1, "one waits, and no more");
    for calls in 1..=3 {
        assert_eq!(next(&kept), json!(1));
        until("another waits", || {
            let status = kept.status();
            status.starts > calls && status.running == 0 && status.workers.len() == 1
        });
    }
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(next(&kept), json!(1)));
        }
    });
    // Ended for the call's end, which is nobody's fault; and so it is recorded.
    assert_ne!(kept.status().state, PluginState::BackingOff);
    let is_served = || {
        let records = bench.records();
        records.iter().filter(|entry| entry.record.reason == "stopped: its one call is over").count()
    };
    until("a record of each end", || is_served() == 2 + 3 + 8);
}

#[test]
fn a_reload_changes_what_has_changed_and_nothing_where_anything_is_wrong() {
    let site = Site::new();
    for name in ["local/same", "local/changed", "local/gone"] {
        site.enable(name, "");
    }
    let served = site.serve();
    let worker = |name: &str| served.status(name).workers[0];
    let (same, changed) = (worker("local/same"), worker("local/changed"));

    site.enable("local/changed", "queue = 3");
    fs::remove_file(site.path("plugins.d/local-gone.toml")).unwrap();
    site.enable("local/new", "");
    fs::write(site.path("plugins.d/broken.toml"), "enabled = true\nplugin = \"../nowhere\"\n").unwrap();
    served.signal(Signal::SIGHUP);
    served.wait_for("the new configuration is refused, and the old one stays");
    let names = |listed: serde_json::Value| -> Vec<String> {
        let plugins = listed["plugins"].as_array().unwrap().iter();
        plugins.map(|plugin| plugin["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(served.ask(&["ps"])), ["local/changed", "local/gone", "local/same"]);
    assert_eq!(worker("local/changed"), changed);

    // It can be read, and one of its plugins cannot be loaded.
    fs::write(
        site.path("plugins.d/broken.toml"),
        format!(
            "enabled = true\ntype = \"node\"\nplugin = {:?}\n",
            stockade_tests::guest("unknown-import.wasm")
        ),
    )
    .unwrap();
    let refused = served.ask(&["reload"]);
    assert_eq!(refused["error"]["code"], "reload-refused");
    assert_eq!(names(served.ask(&["ps"])), ["local/changed", "local/gone", "local/same"]);
    let called = served.ask(&["call", "local/changed", "stats", "--args", r#"{"text":"one"}"#]);
    assert_eq!(called["status"], "ok");

    fs::remove_file(site.path("plugins.d/broken.toml")).unwrap();
    let reloaded = served.ask(&["reload"]);
    assert_eq!(
        reloaded["reloaded"],
        json!({
            "added": ["local/new"], "changed": ["local/changed"], "removed": ["local/gone"], "waiting": [], "unchanged": 1,
        })
    );
    assert_eq!(names(served.ask(&["ps"])), ["local/changed", "local/new", "local/same"]);
    assert_eq!(worker("local/same"), same);
    until("the old worker's end", || !lives(changed));

    site.configure("drain = \"5s\"\n");
    assert_eq!(served.ask(&["reload"])["error"]["code"], "restart-needed");
}

#[test]
fn a_signal_lets_calls_end_and_a_second_one_does_not() {
    for (signals, deadline, least, status) in [(1, "800ms", 400, "deadline"), (2, "20s", 0, "stopped")] {
        let site = Site::with_probe();
        site.enable("local/p", "");
        let mut served = site.serve();
        let calling = site
            .command(&["call", "local/p", "spin", "--deadline", deadline, "--format", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("the call", || served.status("local/p").running == 1);
        let began = Instant::now();
        served.signal(Signal::SIGTERM);
        served.wait_for("1 calls have up to");
        if signals == 2 {
            served.signal(Signal::SIGTERM);
        }
        assert_eq!(served.ended().code(), Some(0));
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
        if signals == 1 {
            let output = calling.wait_with_output().unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(answer["error"]["code"], status, "{answer}");
            assert!(took >= Duration::from_millis(least), "{took:?}");
        } else {
            drop(calling.wait_with_output().unwrap());
        }
        assert!(verify(site.state().join("audit"), None).unwrap().is_sound());
        assert!(!site.state().join("control.sock").exists(), "the socket is still there");
    }
}

#[test]
fn a_host_that_is_killed_leaves_no_worker_and_the_next_one_starts() {
    let site = Site::new();
    (0..5).for_each(|n| site.enable(&format!("local/p{n}"), ""));
    let mut served = site.serve();
    let workers = children(served.pid());
    assert_eq!(workers.len(), 5);
    // Five plugins of one component: it was compiled once.
    let artifacts = fs::read_dir(site.state().join("artifacts")).unwrap();
    assert_eq!(artifacts.count(), 2);
    let records = Reader::open(site.state().join("audit")).unwrap().map(Result::unwrap);
    let attested = records.filter(|entry| entry.record.event == "attested");
    let programs = attested.filter_map(|entry| entry.record.detail.text("program_sha256").map(str::to_owned));
    let mut launches = std::collections::BTreeMap::new();
    programs.for_each(|program| *launches.entry(program).or_insert(0) += 1);
    let mut launches: Vec<i32> = launches.into_values().collect();
    launches.sort();
    assert_eq!(launches, [1, 5]);
    served.signal(Signal::SIGKILL);
    served.ended();
    for worker in workers {
        until("the worker's end", || !lives(worker));
    }
    let served = site.serve();
    assert_eq!(served.ask(&["health"])["ready"], true);
}

#[test]
fn the_second_host_is_refused_and_told_of_the_first() {
    let site = Site::new();
    let served = site.serve();
    let config = site.path("stockade.toml");
    for command in [
        &["serve", config.to_str().unwrap()][..],
        &["run", stockade_tests::example("text-stats").to_str().unwrap(), "--tool", "stats"],
    ] {
        let second = site.run(command);
        let told = text(&second.stderr);
        assert_eq!(second.status.code(), Some(5), "{told}");
        assert!(told.contains("state-in-use") && told.contains(&served.pid().to_string()), "{told}");
    }
    // What needs no host works beside it.
    assert_eq!(site.run(&["audit", "verify"]).status.code(), Some(0));
}

#[test]
fn without_a_host_commands_say_so() {
    let site = Site::new();
    for command in [&["ps"][..], &["health"], &["call", "a/b", "c"], &["emit", "e"], &["logs"], &["top"]] {
        let output = site.run(command);
        assert_eq!(output.status.code(), Some(8), "{command:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("error[no-host]"), "{}", text(&output.stderr));
    }
}

#[test]
fn one_call_is_one_number_in_result_log_and_records() {
    let site = Site::with_probe();
    site.enable("local/p", "");
    let served = site.serve();
    assert_eq!(served.ask(&["log-level", "debug"])["level"], "debug");
    let called = served.ask(&["call", "local/p", "flood", "--args", r#"{"lines":3,"len":5}"#]);
    let id = called["call"].as_str().expect("a call").to_owned();
    let logs = text(&site.run(&["logs", "local/p", "-n", "100", "--format", "json"]).stdout);
    let lines: Vec<serde_json::Value> =
        logs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_the_call = lines.iter().filter(|line| line["own"] == true && line["call"] == json!(id));
    assert_eq!(of_the_call.count(), 3, "{logs}");
    let refused = served.ask(&["call", "local/p", "syscall", "--args", r#"{"nr":41}"#]);
    let id = refused["call"].as_str().expect("a call").to_owned();
    let records = Reader::open(site.state().join("audit")).unwrap().map(Result::unwrap);
    let traced: Vec<_> = records
        .filter(|entry| entry.record.detail.text("trace") == Some(&*id))
        .map(|entry| entry.record.operation.to_string())
        .collect();
    assert!(traced.iter().any(|operation| operation == "socket"), "{traced:?}");
}

#[test]
fn logs_are_followed_as_they_come() {
    let site = Site::with_probe();
    site.enable("local/p", "");
    let served = site.serve();
    let following =
        site.command(&["logs", "-f", "-n", "0", "local/p"]).stdout(Stdio::piped()).spawn().unwrap();
    // It has to have begun; nothing says so but a line.
    std::thread::sleep(Duration::from_millis(200));
    served.ask(&["call", "local/p", "flood", "--args", r#"{"lines":2,"len":5}"#]);
    std::thread::sleep(Duration::from_millis(100));
    served.signal(Signal::SIGTERM);
    let output = text(&following.wait_with_output().unwrap().stdout);
    assert!(output.lines().filter(|line| line.contains(" local/p | [")).count() >= 2, "{output}");
}

#[test]
fn what_happened_is_kept() {
    let site = Site::new();
    site.enable("local/p", "");
    let served = site.serve();
    for _ in 0..3 {
        served.ask(&["call", "local/p", "stats", "--args", r#"{"text":"one"}"#]);
    }
    until("a written step", || {
        let history = served.ask(&["history", "local/p"]);
        let moments = history["moments"].as_array().unwrap();
        moments.iter().map(|moment| moment["calls"].as_u64().unwrap()).sum::<u64>() == 3
    });
    assert!(Path::new(&site.state().join("history.sqlite")).exists());
}

#[test]
fn tools_are_those_of_the_running_host_where_it_has_the_plugin() {
    let site = Site::new();
    site.enable("local/p", "");
    let served = site.serve();
    let known = served.ask(&["tools", "local/p"]);
    assert_eq!((&known["plugin"], &known["tools"][0]["name"]), (&json!("local/p"), &json!("stats")));
    assert_eq!(site.run(&["tools", "local/q"]).status.code(), Some(2));
    let doctor = served.ask(&["doctor"]);
    let checks = doctor["checks"].as_array().unwrap();
    let running = checks.iter().find(|check| check["name"] == "running-host").unwrap();
    assert!(running["found"].as_str().unwrap().contains(&served.pid().to_string()), "{running}");
}

#[test]
fn the_service_manager_is_told() {
    let site = Site::new();
    site.enable("local/p", "");
    let path = site.path("notify.sock");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut told = String::new();
    let mut hear = |text: &str| {
        while !told.contains(text) {
            let mut message = [0; 1024];
            let length =
                socket.recv(&mut message).unwrap_or_else(|error| panic!("{text}: {error}; told: {told}"));
            told.push_str(&String::from_utf8_lossy(&message[..length]));
            told.push('\n');
        }
        told.clear();
    };
    let mut served = site.serve_with(|mut command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
        command
    });
    hear("READY=1");
    // Twice in the time that it has.
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    served.signal(Signal::SIGHUP);
    hear("RELOADING=1");
    hear("READY=1");
    served.signal(Signal::SIGTERM);
    hear("STOPPING=1");
    assert_eq!(served.ended().code(), Some(0));
}

#[test]
fn what_a_capability_was_asked_for_is_told_with_the_call() {
    let site = Site::with_probe();
    site.enable("local/p", "");
    let served = site.serve();
    served.ask(&["log-level", "debug"]);
    let called = served.ask(&["call", "local/p", "ask", "--args", r#"{"kind":"stat","path":"/etc"}"#]);
    let id = called["call"].as_str().expect("a call").to_owned();
    let logs = text(&site.run(&["logs", "-n", "100", "--format", "json"]).stdout);
    let asked = logs.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let asked: Vec<_> = asked.filter(|line| line["call"] == json!(id) && line["own"] == false).collect();
    assert!(
        asked.iter().any(|line| line["text"]
            .as_str()
            .unwrap()
            .contains("operation=fs.read resource=/etc allowed=false")),
        "{logs}"
    );
}

#[test]
fn what_the_machine_had_no_room_for_is_tried_again() {
    let site = Site::new();
    (0..16).for_each(|number| site.enable(&format!("local/p{number}"), ""));
    let served = site.serve_with(|command| {
        let mut limited = Command::new("prlimit");
        limited.args(["--nofile=70:70", "--"]).arg(command.get_program()).args(command.get_args());
        limited
    });
    served.wait_for("could not be loaded; the control socket is");
    let states = || {
        let plugins = served.ask(&["ps"]);
        let plugins = plugins["plugins"].as_array().unwrap().iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        plugins.map(|plugin| (text(&plugin["name"]), text(&plugin["state"]))).collect::<Vec<_>>()
    };
    let (loaded, failed): (Vec<_>, Vec<_>) = states().into_iter().partition(|(_, state)| state != "failed");
    assert!(!failed.is_empty() && !loaded.is_empty(), "{:?}", states());
    // Room is made.
    for (name, _) in &loaded {
        assert!(site.run(&["stop", name]).status.success());
    }
    until("the others run", || states().iter().all(|(_, state)| state == "ready" || state == "stopped"));
}

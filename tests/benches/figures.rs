//! The figures of the design, each beside its floor of the same run: `cargo xtask bench [--quick] [--json]`. With
//! `--peers`, programs of others instead.

#[path = "figures/beside.rs"]
mod beside;
#[path = "figures/compile.rs"]
mod compile;
#[path = "figures/decisions.rs"]
mod decisions;
#[path = "figures/installs.rs"]
mod installs;
#[path = "figures/load.rs"]
mod load;
#[path = "figures/serve.rs"]
mod serve;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::{Value as Json, json};
use stockade_host::{CallOptions, GrantRequest, LoadRequest, Namespaces, Plugin};
use stockade_package::Package;
use stockade_policy::{GuestPath, PluginType};
use stockade_tests::site::Site;
use stockade_tests::{Bench, dist, guest};

/// A figure, its floor, and what the design asks for.
struct Figure {
    what: String,
    floor: String,
    value: Spread,
    base: Option<Spread>,
    goal: &'static str,
    unit: &'static str,
}

#[derive(Clone, Copy)]
struct Spread {
    median: f64,
    p99: f64,
}

impl Spread {
    fn of(mut samples: Vec<f64>) -> Option<Spread> {
        samples.sort_by(f64::total_cmp);
        let last = samples.len().checked_sub(1)?;
        let at = |hundredths: usize| samples[(samples.len() * hundredths / 100).min(last)];
        Some(Spread { median: at(50), p99: at(99) })
    }

    /// What was measured once.
    const fn once(value: f64) -> Spread {
        Spread { median: value, p99: value }
    }

    fn in_milliseconds(self) -> Spread {
        Spread { median: self.median / 1e3, p99: self.p99 / 1e3 }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some("echo") {
        return echo(&arguments);
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let as_json = arguments.iter().any(|argument| argument == "--json");
    let (starts, calls, workers) = if quick { (100, 20_000, 20) } else { (500, 200_000, 200) };
    let option = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1))
    };
    let workers = option("--workers").map_or(workers, |count| count.parse().expect("--workers has a number"));
    let only = option("--only");
    let wanted = |name: &str| only.is_none_or(|only| name.contains(only.as_str()));

    if arguments.iter().any(|argument| argument == "--peers") {
        let files = if wanted("files") { read_files(if quick { 3 } else { 9 }) } else { Vec::new() };
        let mut skipped = beside::skipped(&arguments);
        let mut rows = Vec::new();
        if wanted("beside") {
            let (measured, more) = beside::measure(starts, calls);
            rows = measured;
            skipped.extend(more);
        }
        return print(&files, Some((&rows, &skipped)), as_json);
    }

    let mut figures = Vec::new();
    if wanted("start") {
        for (core, placement) in [(Some(0), "one core"), (None, "free cores")] {
            pin(core);
            for (namespaces, goal) in [(Namespaces::Off, "≤ 2.5 ×, ≤ 1 ms"), (Namespaces::Cheap, "≤ 3 ×")]
            {
                figures.push(cold_start(namespaces, placement, goal, starts));
            }
        }
    }
    if wanted("call") {
        pin(Some(0));
        figures.push(warm_call("one core, blocking", false, "≤ 1.25 ×", calls));
        figures.push(warm_call("one core, async", true, "≤ 1.5 ×", calls));
        pin(None);
        figures.push(warm_call("free cores, blocking", false, "≤ 1.0 ×", calls));
        figures.push(fresh_instance(calls / 4));
    }
    if wanted("large") {
        figures.push(load::payload(if quick { 100 } else { 1000 }));
    }
    if wanted("isolation") {
        figures.extend(load::isolation(starts));
    }
    if wanted("load") {
        figures.push(load::kill(starts));
        figures.push(load::start_rate(starts));
        figures.extend(load::many(Duration::from_secs(if quick { 1 } else { 5 })));
    }
    if wanted("write") {
        figures.push(write_file(if quick { 20 } else { 100 }));
    }
    if wanted("request") {
        pin(Some(0));
        figures.push(request("one core", if quick { 50 } else { 500 }));
        pin(None);
        figures.push(request("free cores", if quick { 50 } else { 500 }));
    }
    if wanted("memory") {
        figures.extend(memory(workers));
    }

    if wanted("policy") {
        figures.extend(decisions::figures(if quick { 200 } else { 2000 }));
    }
    if wanted("compile") {
        figures.extend(compile::figures(if quick { 5 } else { 20 }));
    }
    if wanted("install") {
        figures.extend(installs::figures(if quick { 10 } else { 50 }));
    }
    if wanted("serve") {
        figures.extend(serve::figures(if quick { 100 } else { 1000 }));
    }

    print(&figures, None, as_json);
}

fn print(figures: &[Figure], beside: Option<(&[beside::Row], &[String])>, as_json: bool) {
    let (rows, skipped) = beside.unwrap_or_default();
    if as_json {
        let mut document = document(figures);
        if beside.is_some() {
            document["beside"] = beside::document(rows);
            document["skipped"] = json!(skipped);
        }
        println!("{}", serde_json::to_string_pretty(&document).expect("plain data"));
        return;
    }
    if !figures.is_empty() {
        print!("{}", table(figures));
    }
    if !rows.is_empty() {
        print!("{}", beside::table(rows));
    }
    for what in skipped {
        println!("SKIPPED: {what}");
    }
}

/// Runs something many times and gives the spread in microseconds.
fn measure(times: usize, mut run: impl FnMut() -> Duration) -> Spread {
    let samples = (0..times).map(|_| run().as_secs_f64() * 1e6).collect();
    Spread::of(samples).expect("it ran at least once")
}

fn timed(run: impl FnOnce()) -> Duration {
    let began = Instant::now();
    run();
    began.elapsed()
}

fn greeter(bench: &Bench, reuse: bool) -> Plugin {
    let mut package =
        Package::open(guest("greet-rust.wasm"), Some(PluginType::Node)).expect("the guest is built");
    if reuse {
        package.instance = stockade_package::InstanceMode::Reused;
    }
    bench.host.load_blocking(LoadRequest::new(package)).expect("it loads")
}

const ARGUMENTS: &str = r#"{"name":"Ada Lovelace, first of all who wrote for a machine...."}"#;

fn greet(plugin: &Plugin) {
    greet_with(plugin, ARGUMENTS);
}

fn greet_with(plugin: &Plugin, arguments: &str) {
    let outcome = plugin.call_blocking("greet", arguments, CallOptions::default());
    assert!(outcome.is_ok(), "{outcome:?}");
}

/// From a plugin without a worker to its first reply.
fn start_again(plugin: &Plugin) -> Duration {
    plugin.stop_worker();
    timed(|| greet(plugin))
}

fn empty_program() -> Duration {
    let mut empty = Command::new(dist().join("stockade-empty"));
    empty.env_clear();
    timed(|| {
        let status = empty.status().expect("the empty program runs");
        assert!(status.success());
    })
}

fn cold_start(namespaces: Namespaces, placement: &str, goal: &'static str, times: usize) -> Figure {
    let floor = measure(times, empty_program);
    let bench = Bench::with(&dist(), namespaces);
    let plugin = greeter(&bench, false);
    let value = measure(times, || start_again(&plugin));
    Figure {
        what: format!("cold start to first reply, namespaces {namespaces:?}, {placement}"),
        floor: "spawn, exec and exit of an empty static program".into(),
        value,
        base: Some(floor),
        goal,
        unit: "µs",
    }
}

fn warm_call(what: &str, asynchronous: bool, goal: &'static str, calls: usize) -> Figure {
    let floor = echo_floor(calls);
    let bench = Bench::new();
    let plugin = greeter(&bench, true);
    let value = if asynchronous {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut samples = Vec::with_capacity(calls);
            for _ in 0..calls {
                let began = Instant::now();
                let outcome = plugin.call("greet", ARGUMENTS, CallOptions::default()).await;
                samples.push(began.elapsed().as_secs_f64() * 1e6);
                assert!(outcome.is_ok(), "{outcome:?}");
            }
            Spread::of(samples).expect("there are some")
        })
    } else {
        greet(&plugin);
        measure(calls, || timed(|| greet(&plugin)))
    };
    Figure {
        what: format!("warm call of 64 B, instance reused, {what}"),
        floor: "socketpair echo of 64 B between two processes".into(),
        value,
        base: Some(floor),
        goal,
        unit: "µs",
    }
}

fn fresh_instance(calls: usize) -> Figure {
    let bench = Bench::new();
    let (reused, fresh) = (greeter(&bench, true), greeter(&bench, false));
    let floor = measure(calls, || timed(|| greet(&reused)));
    let value = measure(calls, || timed(|| greet(&fresh)));
    Figure {
        what: "a fresh instance for each call".into(),
        floor: "the reused instance".into(),
        value,
        base: Some(floor),
        goal: "+ ≤ 15 µs",
        unit: "µs",
    }
}

/// A stock component writes 16 MiB in blocks of 64 KiB, each of which the host counts and writes.
fn write_file(times: usize) -> Figure {
    const BLOCKS: usize = 256;
    let bench = Bench::new();
    let tree = tempfile::tempdir().expect("a temporary folder");
    let package =
        Package::open(guest("wasi-tour.wasm"), Some(PluginType::Agent)).expect("the guest is built");
    let root = || GuestPath::parse("/work").expect("a guest path");
    let request = LoadRequest::new(package)
        .grant(GrantRequest::create_in_tree(tree.path(), root()))
        .grant(GrantRequest::write_tree(tree.path(), root()));
    let plugin = bench.host.load_blocking(request).expect("it loads");
    let arguments = json!({ "path": "/work/file", "blocks": BLOCKS }).to_string();
    let block = vec![0x5a; 64 * 1024];
    let base = measure(times, || {
        timed(|| {
            let mut file = fs::File::create(tree.path().join("base")).expect("writable");
            (0..BLOCKS).for_each(|_| file.write_all(&block).expect("there is room"));
        })
    });
    let value = measure(times, || {
        timed(|| {
            let outcome = plugin.call_blocking("fill-file", &arguments, CallOptions::default());
            assert!(outcome.is_ok(), "{outcome:?}");
        })
    });
    Figure {
        what: "write 16 MiB to a file".into(),
        floor: "write(2) of the same blocks".into(),
        value,
        base: Some(base),
        goal: "none yet",
        unit: "µs",
    }
}

/// A stock component reads files, beside the same component in wasmtime's own program; nothing where that is not
/// there. The component itself takes the time.
fn read_files(times: usize) -> Vec<Figure> {
    const FOLDERS: usize = 100;
    let Some(wasmtime) = std::env::var_os("STOCKADE_WASMTIME") else { return Vec::new() };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut large = fs::File::create(folder.path().join("large")).expect("writable");
    (0..1024).for_each(|_| large.write_all(&vec![b'x'; 1 << 20]).expect("there is room for 1 GiB"));
    for place in 0..FOLDERS {
        let place = folder.path().join("tree").join(place.to_string());
        fs::create_dir_all(&place).expect("writable");
        (0..100).for_each(|file| fs::write(place.join(file.to_string()), [b'x'; 2048]).expect("writable"));
    }
    let tour = guest("wasi-tour.wasm");
    let precompiled = folder.path().join("tour.cwasm");
    let compiled = Command::new(&wasmtime).arg("compile").arg(&tour).arg("-o").arg(&precompiled).status();
    assert!(compiled.expect("wasmtime runs").success());
    let bench = Bench::new();
    let root = GuestPath::parse("/src").expect("a guest path");
    let package = Package::open(&tour, Some(PluginType::QualityGate)).expect("the guest is built");
    let load = LoadRequest::new(package).grant(GrantRequest::read_tree(folder.path(), root));
    let plugin = bench.host.load_blocking(load).expect("it loads");
    let patient = CallOptions::within(Duration::from_secs(60));

    let last_number = |text: &str| {
        let digits = text.rsplit(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
        Duration::from_micros(digits.and_then(|digits| digits.parse().ok()).expect("microseconds"))
    };
    let figure = |export: &str, path: &str, what: &str, goal| {
        let directory = format!("{}::/src", folder.path().display());
        let call = format!("{export}(\"{path}\")");
        let arguments = json!({ "path": path }).to_string();
        let theirs = || {
            let mut command = Command::new(&wasmtime);
            command
                .args(["run", "--allow-precompiled", "--dir", &directory, "--invoke", &call])
                .arg(&precompiled);
            let output = command.output().expect("wasmtime runs");
            last_number(&String::from_utf8_lossy(&output.stdout))
        };
        let ours = || {
            let outcome = plugin.call_blocking(export, &arguments, patient);
            last_number(outcome.value.as_deref().unwrap_or_else(|| panic!("{outcome:?}")))
        };
        // Once each, so that the files are in memory.
        theirs();
        ours();
        let base = measure(times, theirs);
        Figure {
            what: what.into(),
            floor: "the same component under wasmtime run".into(),
            value: measure(times, ours),
            base: Some(base),
            goal,
            unit: "µs",
        }
    };
    vec![
        figure("drain-file", "/src/large", "read a file of 1 GiB", "≤ 1.1 ×"),
        figure("walk-tree", "/src/tree", "walk and read 10,000 files", "≤ 3 ×"),
    ]
}

/// A stock component's requests, one after the other, each over a connection of its own in the clear.
fn request(placement: &str, times: usize) -> Figure {
    const EACH: u32 = 20;
    let bench = Bench::new();
    let site = Site::plain();
    let address = site.address.to_string();
    let package =
        Package::open(guest("http-tour.wasm"), Some(PluginType::Integration)).expect("the guest is built");
    let load = LoadRequest::new(package)
        .grant(GrantRequest::http(format!("http://{address}").parse().expect("a scope")))
        .allow_addresses("127.0.0.0/8".parse().expect("a range"))
        .requests_per_second(1_000_000);
    let plugin = bench.host.load_blocking(load).expect("it loads");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let base = measure(times, || timed(|| (0..EACH).for_each(|_| runtime.block_on(alone(&address)))) / EACH);
    let arguments = json!({ "url": format!("http://{address}/hello"), "times": EACH }).to_string();
    let value = measure(times, || {
        timed(|| {
            let outcome = plugin.call_blocking("again", &arguments, CallOptions::default());
            assert!(outcome.is_ok(), "{outcome:?}");
        }) / EACH
    });
    Figure {
        what: format!("one small request over HTTP, {placement}"),
        floor: "the same request by the host alone".into(),
        value,
        base: Some(base),
        goal: "+ ≤ 100 µs",
        unit: "µs",
    }
}

/// What the host would do for itself, by the same library.
async fn alone(address: &str) {
    let stream = tokio::net::TcpStream::connect(address).await.expect("the site listens");
    stream.set_nodelay(true).expect("a socket");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get("/hello").header("host", address).body(Empty::<Bytes>::new());
    let response = sender.send_request(request.expect("a request")).await.expect("a response");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert!(!body.is_empty());
    connection.abort();
}

/// What so many idle workers take, by themselves and with all that the kernel and the host keep for them.
fn memory(count: usize) -> Vec<Figure> {
    let bench = Bench::new();
    let before = available();
    let plugins = idle_workers(&bench, count);
    // What else the machine does is more than a few of them are.
    let after = available().filter(|_| count >= 100);
    let taken = before.zip(after).map(|(before, after)| (before - after) / count as f64);
    let figure = |what: String, value, goal| Figure {
        what,
        floor: String::new(),
        value,
        base: None,
        goal,
        unit: "KiB",
    };
    let own = sizes(&plugins).and_then(Spread::of);
    let own = own.map(|own| figure(format!("PSS of one idle worker of {count}"), own, "≤ 512 KiB"));
    let all = taken.map(|taken| {
        figure(format!("the machine's memory for a worker of {count}, kernel too"), Spread::once(taken), "")
    });
    own.into_iter().chain(all).collect()
}

/// Plugins that have served one call.
fn idle_workers(bench: &Bench, count: usize) -> Vec<Plugin> {
    let plugins: Vec<Plugin> = (0..count).map(|_| greeter(bench, false)).collect();
    plugins.iter().for_each(greet);
    plugins
}

/// The proportional set size of each one's worker: readable as root, or where the worker's user namespace is ours.
fn sizes(plugins: &[Plugin]) -> Option<Vec<f64>> {
    plugins.iter().map(|plugin| pss(plugin.worker_pid()?)).collect()
}

/// The memory that the machine can still give, in KiB.
fn available() -> Option<f64> {
    kib("/proc/meminfo", "MemAvailable:")
}

/// Proportional set size of a process in KiB, where it may be read.
fn pss(pid: u32) -> Option<f64> {
    kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// A size by its name, in a file of the kernel's.
fn kib(path: &str, name: &str) -> Option<f64> {
    let all = fs::read_to_string(path).ok()?;
    let size = all.lines().find_map(|line| line.strip_prefix(name))?;
    size.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Another process, which sends back what comes through a socket pair.
struct Echo {
    /// Open until it is to end.
    socket: Option<UnixStream>,
    child: Child,
}

impl Echo {
    fn start() -> Echo {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let child = Command::new(std::env::current_exe().expect("this program"))
            .arg("echo")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .expect("it starts again");
        Echo { socket: Some(ours), child }
    }

    fn turn(&self) {
        let mut buffer = [7_u8; 64];
        let mut socket = self.socket.as_ref().expect("it is open until this goes");
        socket.write_all(&buffer).expect("the echo lives");
        socket.read_exact(&mut buffer).expect("the echo answers");
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.socket = None;
        let _ = self.child.wait();
    }
}

/// The same bytes through a socket pair to another process and back.
fn echo_floor(calls: usize) -> Spread {
    let echo = Echo::start();
    measure(calls, || timed(|| echo.turn()))
}

fn echo(_: &[String]) {
    let mut socket = UnixStream::from(
        std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().expect("the socket"),
    );
    let mut buffer = [0; 64];
    while socket.read_exact(&mut buffer).is_ok() && socket.write_all(&buffer).is_ok() {}
}

/// Puts this process, and what it starts from now on, on one core or on all.
fn pin(core: Option<usize>) {
    let mut set = CpuSet::new();
    for cpu in 0..CpuSet::count() {
        if core.is_none_or(|core| core == cpu) {
            let _ = set.set(cpu);
        }
    }
    // The whole process has one thread when this is called.
    sched_setaffinity(Pid::from_raw(0), &set).expect("any core may be chosen");
}

fn table(figures: &[Figure]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<58} {:>10} {:>10} {:>10} {:>7}  goal",
        "figure", "median", "p99", "floor", "ratio"
    );
    for figure in figures {
        let (base, ratio) = match figure.base {
            Some(base) => {
                (format!("{:.1}", base.median), format!("{:.2} ×", figure.value.median / base.median))
            }
            None => ("".into(), "".into()),
        };
        let _ = writeln!(
            text,
            "{:<58} {:>10} {:>10} {:>10} {:>7}  {}",
            figure.what,
            format!("{:.1} {}", figure.value.median, figure.unit),
            format!("{:.1}", figure.value.p99),
            base,
            ratio,
            figure.goal
        );
    }
    text
}

fn document(figures: &[Figure]) -> Json {
    let figures: Vec<Json> = figures
        .iter()
        .map(|figure| {
            json!({
                "what": figure.what,
                "unit": figure.unit,
                "median": figure.value.median,
                "p99": figure.value.p99,
                "floor": figure.floor,
                "floor_median": figure.base.map(|base| base.median),
                "floor_p99": figure.base.map(|base| base.p99),
                "ratio": figure.base.map(|base| figure.value.median / base.median),
                "goal": figure.goal,
            })
        })
        .collect();
    json!({
        "schema": 1,
        "kernel": nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default(),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "uid": nix::unistd::geteuid().as_raw(),
        "figures": figures,
    })
}

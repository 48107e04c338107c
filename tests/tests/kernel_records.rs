//! F11, F12: the kernel's own audit records of what Landlock and seccomp refused, tied to the launches that they are
//! of. A worker whose filter is not up yet has Landlock alone around it; what it tries then, the kernel records.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use stockade_audit::{Decision, Entry, Layer};
use stockade_host::{Namespaces, Plugin};
use stockade_policy::PluginType;
use stockade_tests::accounts::reads_kernel_records;
use stockade_tests::around::put_up_ending;
use stockade_tests::kernel_audit::{KernelAudit, LANDLOCK_ACCESS, LANDLOCK_DOMAIN};
use stockade_tests::{
    Bench, call, code, cycles, dist, example, guest, probe_programs, scene, skipped, value,
};
use tempfile::TempDir;

/// More than anything here takes; the kernel and the reader tell in the background.
const PATIENCE: Duration = Duration::from_secs(15);
/// As an operator is told to set it.
const BACKLOG: u32 = 8192;

fn audit(test: &str) -> Option<KernelAudit> {
    match KernelAudit::on(BACKLOG) {
        Ok(audit) => Some(audit),
        Err(why) => {
            skipped(test, &why);
            None
        }
    }
}

/// The probe in the worker's place, with this order written into it.
fn programs(order: &str) -> TempDir {
    const MARKER: &[u8] = b"STOCKADE-PROBE-BOOT=";
    let programs = probe_programs();
    let path = programs.path().join("stockade-worker");
    let mut bytes = fs::read(&path).expect("the probe is there");
    let at = bytes.windows(MARKER.len()).position(|window| window == MARKER).expect("a marker");
    let order = order.as_bytes();
    assert!(order.len() < 64 - MARKER.len(), "the order is too long for the probe");
    bytes[at + MARKER.len()..][..order.len()].copy_from_slice(order);
    fs::remove_file(&path).expect("ours");
    let mut file =
        fs::File::options().write(true).create_new(true).mode(0o755).open(&path).expect("it can be made");
    file.write_all(&bytes).expect("there is room");
    programs
}

fn records(bench: &Bench, layer: Layer, event: &str) -> Vec<Entry> {
    let of = |entry: &Entry| entry.record.layer == layer && entry.record.event == event;
    bench.records().into_iter().filter(of).collect()
}

/// Waits until there are as many.
fn await_records(bench: &Bench, layer: Layer, event: &str, count: usize) -> Vec<Entry> {
    let began = Instant::now();
    loop {
        let found = records(bench, layer, event);
        if found.len() >= count {
            return found;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{} of {count} {event}: {:#?}",
            found.len(),
            bench.records().iter().map(|entry| &entry.record.event).collect::<Vec<_>>()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn number(entry: &Entry, name: &str) -> i64 {
    entry.record.detail.number(name).unwrap_or_else(|| panic!("no {name}: {:?}", entry.record))
}

fn modes(bench: &Bench) -> Vec<String> {
    let of = |entry: &Entry| entry.record.detail.text("mode").expect("a mode").to_owned();
    records(bench, Layer::Launch, "kernel-records").iter().map(of).collect()
}

/// What of this path was refused. (The probe looks for its stack as every program of Rust's does, which is refused,
/// too.)
fn refused(bench: &Bench, path: &str, count: usize) -> Vec<Entry> {
    let began = Instant::now();
    loop {
        let mut found = records(bench, Layer::Landlock, "refused");
        found.retain(|entry| entry.record.resource == path);
        if found.len() >= count {
            return found;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{} of {count} for {path:?}: {:#?}",
            found.len(),
            bench.records()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What was only counted.
fn folded(bench: &Bench) -> i64 {
    let floods = records(bench, Layer::Log, "flood");
    floods.iter().filter_map(|entry| entry.record.detail.number("count")).sum()
}

/// The launch of the worker that runs now.
fn launch_of(bench: &Bench, plugin: &Plugin) -> String {
    let pid = i64::from(plugin.worker_pid().expect("it runs"));
    let attested = records(bench, Layer::Launch, "attested");
    let of_it = attested.iter().rev().find(|entry| entry.record.detail.number("pid") == Some(pid));
    of_it.expect("it was attested").record.launch.as_deref().expect("a launch").to_owned()
}

#[test]
fn f11_what_landlock_refuses_is_recorded_for_the_launch_that_it_was_refused() {
    const TEST: &str = "f11_what_landlock_refuses_is_recorded_for_the_launch_that_it_was_refused";
    let Some(_audit) = audit(TEST) else { return };
    for namespaces in [Namespaces::Cheap, Namespaces::Off] {
        let bench = Bench::with_probe(namespaces);
        assert_eq!(modes(&bench), ["read"]);
        // While it loads, each opens a file whose name the host lets pass: Landlock refuses it, and nothing else.
        let plugins = [bench.probe(PluginType::Node, &[]), bench.probe(PluginType::Agent, &[])];
        let found = refused(&bench, "/etc/passwd", 2);
        let launches: Vec<_> = plugins.iter().map(|plugin| launch_of(&bench, plugin)).collect();
        for (entry, (plugin, launch)) in found.iter().zip(plugins.iter().zip(&launches)) {
            let record = &entry.record;
            assert_eq!(record.operation, "landlock.fs.read_file");
            assert_eq!(record.decision, Decision::Denied);
            assert_eq!(record.launch.as_deref(), Some(launch.as_str()));
            assert_eq!(record.plugin.as_ref().expect("a plugin").name, "stockade/probe");
            assert_eq!(Some(number(entry, "pid")), plugin.worker_pid().map(i64::from));
            assert_eq!(record.detail.text("syscall"), Some("openat"));
        }
        drop(plugins);
        bench.host.stop_blocking();
        // The kernel's count is ours.
        assert!(records(&bench, Layer::Landlock, "gap").is_empty(), "{namespaces:?}");
    }
}

/// What the test needs, where every user reaches it.
fn for_everybody() -> TempDir {
    let folder = tempfile::Builder::new().prefix("stockade-ordinary").tempdir_in("/tmp").expect("writable");
    let copy = |from: &Path, to: &str| {
        let to = folder.path().join(to);
        fs::create_dir_all(&to).expect("writable");
        fs::copy(from, to.join(from.file_name().expect("a name"))).expect("a file");
    };
    for program in ["stockade-probe", "stockade-compiler", "stockade-kernel-log"] {
        copy(&dist().join(program), "dist");
    }
    copy(&example("text-stats").join("text_stats.wasm"), "examples/text-stats");
    copy(&std::env::current_exe().expect("this program has a path"), "tests");
    fs::create_dir(folder.path().join("tmp")).expect("writable");
    let done = Command::new("chmod").args(["-R", "a+rX"]).arg(folder.path()).status().expect("chmod");
    assert!(done.success());
    fs::set_permissions(folder.path().join("tmp"), fs::Permissions::from_mode(0o777)).expect("ours");
    folder
}

/// As docs/stockade.service has it: an ordinary user who has this one capability.
#[test]
fn an_ordinary_users_host_with_the_capability_reads_and_its_workers_have_none() {
    const TEST: &str = "an_ordinary_users_host_with_the_capability_reads_and_its_workers_have_none";
    if scene::part(TEST).is_some() {
        for namespaces in [Namespaces::Cheap, Namespaces::Off] {
            let bench = Bench::with_probe(namespaces);
            assert_eq!(modes(&bench), ["read"]);
            let plugin = bench.probe(PluginType::Node, &[]);
            let found = refused(&bench, "/etc/passwd", 1);
            assert_eq!(found[0].record.launch.as_deref(), Some(launch_of(&bench, &plugin).as_str()));
        }
        return;
    }
    let Some(_audit) = audit(TEST) else { return };
    let folder = for_everybody();
    let inner = scene::command(TEST, "ordinary");
    let program = Path::new(inner.get_program()).file_name().expect("a name");
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"])
        .args([
            "--inh-caps=-all,+audit_read",
            "--ambient-caps=+audit_read",
            "--bounding-set=-all,+audit_read",
        ])
        .arg(folder.path().join("tests").join(program))
        .args(inner.get_args())
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("TMPDIR", folder.path().join("tmp"))
        .env("STOCKADE_DIST", folder.path().join("dist"))
        .env("STOCKADE_EXAMPLES", folder.path().join("examples"))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    scene::Actor::start(TEST, command).finish();
}

/// The canaries are refused by the filter, before Landlock sees them.
#[test]
fn honest_programs_leave_no_record_of_landlocks() {
    const TEST: &str = "honest_programs_leave_no_record_of_landlocks";
    let Some(_audit) = audit(TEST) else { return };
    let bench = Bench::new();
    let plugin = bench.component(&guest("greet-rust.wasm"), PluginType::Node);
    let outcome = call(&plugin, "greet", json!({ "name": "Ada" }));
    assert!(outcome.is_ok(), "{outcome:?}");
    drop(plugin);
    bench.host.stop_blocking();
    assert_eq!(modes(&bench), ["read"]);
    let found: Vec<_> =
        bench.records().into_iter().filter(|entry| entry.record.layer == Layer::Landlock).collect();
    assert!(found.is_empty(), "{found:#?}");
    let launches = records(&bench, Layer::Launch, "attested").len();
    assert_eq!(launches, 2, "the compiler's and the worker's");
}

/// A file that every user may read, in a place that every user reaches.
fn hostile_file(name: &str) -> (TempDir, String) {
    let folder = tempfile::Builder::new().prefix("k").rand_bytes(4).tempdir_in("/tmp").expect("writable");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let path = folder.path().join(name);
    fs::write(&path, "").expect("ours");
    let path = path.to_str().expect("text").to_owned();
    (folder, path)
}

#[test]
fn f2_f11_names_that_look_like_fields_come_out_as_data() {
    const TEST: &str = "f2_f11_names_that_look_like_fields_come_out_as_data";
    let Some(_audit) = audit(TEST) else { return };
    for name in ["a\nb", "\u{1b}[2J", "x\" y=1", "\u{202e}"] {
        let (_folder, path) = hostile_file(name);
        let bench = Bench::with(programs(&format!("denials=1 {path}")).path(), Namespaces::Cheap);
        let plugin = bench.probe(PluginType::Node, &[]);
        let found = refused(&bench, &path, 1);
        let record = &found[0].record;
        assert_eq!(record.detail.text("comm"), Some("x\nfake=1"));
        assert_eq!((record.detail.text("fake"), record.detail.text("y")), (None, None));
        assert_eq!(record.launch.as_deref(), Some(launch_of(&bench, &plugin).as_str()));
        // One record is one line whatever is in it, and shows nothing but text.
        let log = fs::read_to_string(bench.state.path().join("state/audit/audit.jsonl")).expect("text");
        assert_eq!(log.lines().count(), bench.records().len());
        assert!(!log.contains(['\u{1b}', '\u{202e}']));
    }
}

#[test]
fn f6_f12_a_burst_that_the_kernel_does_not_keep_is_a_gap_with_both_numbers() {
    const TEST: &str = "f6_f12_a_burst_that_the_kernel_does_not_keep_is_a_gap_with_both_numbers";
    let denials = cycles(1_000, 20_000) as i64;
    let Some(audit) = audit(TEST) else { return };
    let (_folder, path) = hostile_file("f");
    let bench = Bench::with(programs(&format!("denials={denials} {path}")).path(), Namespaces::Cheap);
    // Each refusal has five records. How many a backlog keeps depends on who has the processor; a rate does not.
    audit.at_most(200).expect("it may be set");
    let plugin = bench.probe(PluginType::Node, &[]);
    let launch = launch_of(&bench, &plugin);
    // The host serves on.
    assert_eq!(value(&call(&plugin, "echo", json!(1))), json!(1));
    audit.at_most(0).expect("it may be set");
    drop(plugin);
    let lost = await_records(&bench, Layer::Landlock, "lost", 1);
    let gaps = await_records(&bench, Layer::Landlock, "gap", 1);
    bench.host.stop_blocking();
    let gap = gaps.iter().find(|gap| gap.record.launch.as_deref() == Some(&launch)).expect("of this launch");
    // Its own start, those before the seal, and the one while it loads.
    assert_eq!(number(gap, "denials"), denials + 2);
    let seen = number(gap, "seen");
    assert!(seen < denials, "{seen}");
    assert!(number(&lost[0], "count") > 0);
    println!("f6: {denials} refusals, {seen} told of, {} records lost", number(&lost[0], "count"));
}

#[test]
fn f6_a_burst_that_the_kernel_keeps_is_counted_exactly() {
    const TEST: &str = "f6_a_burst_that_the_kernel_keeps_is_counted_exactly";
    let denials = cycles(1_000, 20_000) as i64;
    let Some(_audit) = audit(TEST) else { return };
    let (_folder, path) = hostile_file("f");
    let bench = Bench::with(programs(&format!("denials={denials} {path}")).path(), Namespaces::Cheap);
    let plugin = bench.probe(PluginType::Node, &[]);
    assert_eq!(value(&call(&plugin, "echo", json!(1))), json!(1));
    drop(plugin);
    bench.host.stop_blocking();
    let gaps = records(&bench, Layer::Landlock, "gap");
    assert!(gaps.is_empty(), "{gaps:?}");
    let written = records(&bench, Layer::Landlock, "refused").len() as i64;
    assert_eq!(written + folded(&bench), denials + 2);
}

/// The kernel that tells of no refusal tells of no domain either, and so of no count: the rule itself is what shows.
#[test]
fn f12_a_rule_that_mutes_refusals_is_recorded() {
    const TEST: &str = "f12_a_rule_that_mutes_refusals_is_recorded";
    let Some(mut audit) = audit(TEST) else { return };
    let bench = Bench::with_probe(Namespaces::Cheap);
    audit.mute(LANDLOCK_ACCESS).expect("a rule");
    let changed = await_records(&bench, Layer::Landlock, "audit-changed", 1);
    assert_eq!(changed[0].record.detail.text("change"), Some("add_rule"));
    assert_eq!(number(&changed[0], "pid"), i64::from(std::process::id()));
    drop(bench.probe(PluginType::Node, &[]));
    bench.host.stop_blocking();
    assert!(records(&bench, Layer::Landlock, "refused").is_empty());
}

/// Whose a refusal is, is then known by the process alone.
#[test]
fn f12_a_rule_that_mutes_domains_costs_no_refusal() {
    const TEST: &str = "f12_a_rule_that_mutes_domains_costs_no_refusal";
    let Some(mut audit) = audit(TEST) else { return };
    let bench = Bench::with_probe(Namespaces::Cheap);
    audit.mute(LANDLOCK_DOMAIN).expect("a rule");
    let plugin = bench.probe(PluginType::Node, &[]);
    let found = refused(&bench, "/etc/passwd", 1);
    assert_eq!(found[0].record.launch.as_deref(), Some(launch_of(&bench, &plugin).as_str()));
}

#[test]
fn f12_audit_that_somebody_switches_off_and_on_is_recorded_with_the_mode_that_follows() {
    const TEST: &str = "f12_audit_that_somebody_switches_off_and_on_is_recorded_with_the_mode_that_follows";
    let Some(audit) = audit(TEST) else { return };
    let bench = Bench::with_probe(Namespaces::Cheap);
    audit.set(0, BACKLOG).expect("it may be set");
    audit.set(1, BACKLOG).expect("it may be set");
    await_records(&bench, Layer::Launch, "kernel-records", 3);
    let changed = records(&bench, Layer::Landlock, "audit-changed");
    let set =
        |entry: &Entry| (entry.record.detail.text("setting").map(str::to_owned), number(entry, "value"));
    let enabled = Some("audit_enabled".to_owned());
    assert!(changed.iter().any(|entry| set(entry) == (enabled.clone(), 0)), "{changed:#?}");
    assert_eq!(modes(&bench), ["read", "disabled", "read"]);
}

#[test]
fn a_reader_that_dies_is_recorded_and_followed_by_another_and_nothing_is_lost() {
    const TEST: &str = "a_reader_that_dies_is_recorded_and_followed_by_another_and_nothing_is_lost";
    let Some(_audit) = audit(TEST) else { return };
    let bench = Bench::with_probe(Namespaces::Cheap);
    let first = records(&bench, Layer::Launch, "kernel-records").remove(0);
    let pid: u32 = first.record.detail.text("pid").expect("a pid").parse().expect("a number");
    assert!(reads_kernel_records(pid));
    looks_confined(pid);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), nix::sys::signal::Signal::SIGKILL)
        .expect("it runs");
    await_records(&bench, Layer::Launch, "kernel-records", 2);
    // Refused while nobody reads: the kernel keeps it for the next reader.
    let plugin = bench.probe(PluginType::Node, &[]);
    let found = refused(&bench, "/etc/passwd", 1);
    assert_eq!(found[0].record.launch.as_deref(), Some(launch_of(&bench, &plugin).as_str()));
    assert_eq!(modes(&bench), ["read", "reader-died", "read"]);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it was not reaped");
}

/// Its own user, no capability, a filter, one thread; a few descriptors, none of them a file.
fn looks_confined(pid: u32) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("readable by anybody");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        line.unwrap_or_else(|| panic!("no {name}")).to_owned()
    };
    assert_eq!(
        (field("Seccomp"), field("NoNewPrivs"), field("Threads")),
        ("2".into(), "1".into(), "1".into())
    );
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert!(field("Uid").split('\t').all(|uid| uid != "0"), "{}", field("Uid"));
    let mut found = std::collections::BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).expect("root may") {
        let link = fs::read_link(entry.expect("an entry").path()).expect("a link");
        found.insert(link.to_string_lossy().split([':', ' ']).next().unwrap_or_default().to_owned());
    }
    assert_eq!(found, ["/dev/null", "socket"].map(str::to_owned).into());
}

#[test]
fn a38_the_kernels_record_names_the_call_that_somebody_elses_filter_ended_a_worker_for() {
    const TEST: &str = "a38_the_kernels_record_names_the_call_that_somebody_elses_filter_ended_a_worker_for";
    scene::alone(TEST, || {
        let Some(audit) = audit(TEST) else { return };
        // The kernel tells of what a filter ends in any case.
        audit.set(0, BACKLOG).expect("it may be set");
        put_up_ending(libc::SYS_acct);
        let bench = Bench::with_probe(Namespaces::Cheap);
        assert_eq!(modes(&bench), ["disabled"]);
        let plugin = bench.probe(PluginType::Node, &[]);
        let launch = launch_of(&bench, &plugin);
        let outcome = call(&plugin, "syscall", json!({ "nr": libc::SYS_acct, "args": [0] }));
        assert_eq!(code(&outcome), "foreign-filter");
        assert_eq!(bench.found(Layer::Sigsys, "launch", Decision::Killed).len(), 1);
        let killed = await_records(&bench, Layer::Sigsys, "forbidden-call", 1);
        let record = &killed[0].record;
        assert_eq!((&*record.operation, record.decision), ("acct", Decision::Killed));
        assert_eq!(record.detail.text("arch"), Some("0xc000003e"));
        assert_eq!(record.launch.as_deref(), Some(launch.as_str()));
    });
}

/// Taking a launch in has to cost it nothing: the same starts, with a reader and without one, in turns.
#[test]
#[ignore = "measures"]
fn a_reader_costs_the_start_of_a_worker_nothing() {
    const TEST: &str = "a_reader_costs_the_start_of_a_worker_nothing";
    if !nix::unistd::geteuid().is_root() {
        skipped(TEST, "an ordinary user may not read in any case");
        return;
    }
    let without = probe_programs();
    fs::remove_file(without.path().join("stockade-kernel-log")).expect("it is there");
    let benches = [Bench::with_probe(Namespaces::Cheap), Bench::with(without.path(), Namespaces::Cheap)];
    assert_ne!(modes(&benches[0]), ["no-program"]);
    assert_eq!(modes(&benches[1]), ["no-program"]);
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..cycles(50, 500) {
        for (bench, took) in benches.iter().zip(&mut took) {
            let began = Instant::now();
            let plugin = bench.probe(PluginType::Node, &[]);
            took.push(began.elapsed());
            drop(plugin);
        }
    }
    let [with, without] = took.map(|mut all| {
        all.sort();
        all[all.len() / 2]
    });
    println!("kernel records: a load and start took {with:?} with a reader and {without:?} without (median)");
    assert!(with < without + Duration::from_millis(5), "{with:?} and {without:?}");
}

#[test]
fn a_host_that_may_not_read_says_so_and_serves() {
    const TEST: &str = "a_host_that_may_not_read_says_so_and_serves";
    if nix::unistd::geteuid().is_root() {
        skipped(TEST, "root may; the suite runs as an ordinary user, too");
        return;
    }
    let bench = Bench::with_probe(Namespaces::Cheap);
    let records = records(&bench, Layer::Launch, "kernel-records");
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].record.detail.text("mode"), Some("not-permitted"));
    assert!(records[0].record.next_step.contains("CAP_AUDIT_READ"));
    let plugin = bench.probe(PluginType::Node, &[]);
    assert_eq!(value(&call(&plugin, "echo", json!(1))), json!(1));
}

#[test]
fn a_host_without_the_program_says_so_and_serves() {
    const TEST: &str = "a_host_without_the_program_says_so_and_serves";
    if !nix::unistd::geteuid().is_root() {
        skipped(TEST, "an ordinary user may not read in any case");
        return;
    }
    let programs = probe_programs();
    fs::remove_file(programs.path().join("stockade-kernel-log")).expect("it is there");
    let bench = Bench::with(programs.path(), Namespaces::Cheap);
    assert_eq!(modes(&bench), ["no-program"]);
    let plugin = bench.probe(PluginType::Node, &[]);
    assert_eq!(value(&call(&plugin, "echo", json!(1))), json!(1));
}

#[test]
fn a_reader_without_its_filter_gets_no_socket() {
    const TEST: &str = "a_reader_without_its_filter_gets_no_socket";
    if !nix::unistd::geteuid().is_root() {
        skipped(TEST, "an ordinary user may not read in any case");
        return;
    }
    let (honest, bare) = (probe_programs(), programs("claims-ready"));
    let from = bare.path().join("stockade-worker");
    fs::copy(from, honest.path().join("stockade-kernel-log")).expect("it is there");
    let bench = Bench::with(honest.path(), Namespaces::Cheap);
    assert_eq!(modes(&bench), ["reader-died"]);
    let record = records(&bench, Layer::Launch, "kernel-records").remove(0).record;
    // Whatever the kernel's account lacks first.
    assert!(record.reason.contains("the kernel says"), "{}", record.reason);
}

#[test]
fn a_program_that_is_no_reader_is_recorded_and_gets_no_socket() {
    const TEST: &str = "a_program_that_is_no_reader_is_recorded_and_gets_no_socket";
    if !nix::unistd::geteuid().is_root() {
        skipped(TEST, "an ordinary user may not read in any case");
        return;
    }
    let programs = probe_programs();
    let reader = programs.path().join("stockade-kernel-log");
    fs::copy(dist().join("stockade-compiler"), reader).expect("it is there");
    let bench = Bench::with(programs.path(), Namespaces::Cheap);
    assert_eq!(modes(&bench), ["reader-died"]);
    let plugin = bench.probe(PluginType::Node, &[]);
    assert_eq!(value(&call(&plugin, "echo", json!(1))), json!(1));
}

//! `fs`: what a stock component can do to files under each grant, and that nothing else changes anything.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::{Value as Json, json};
use stockade_audit::{Decision, Layer};
use stockade_host::{CallOptions, GrantRequest, HostError, LoadRequest, Namespaces, Plugin};
use stockade_package::{Explain, Package};
use stockade_policy::{GuestPath, PluginType};
use stockade_tests::{Bench, call, guest, probe_package, skipped, value};
use tempfile::TempDir;

/// A right and the grant that gives it.
type Right = fn(&Path) -> GrantRequest;

fn work() -> GuestPath {
    GuestPath::parse("/work").unwrap()
}

const READ: Right = |tree| GrantRequest::read_tree(tree, work());
const WRITE: Right = |tree| GrantRequest::write_tree(tree, work());
const CREATE: Right = |tree| GrantRequest::create_in_tree(tree, work());
const DELETE: Right = |tree| GrantRequest::delete_in_tree(tree, work());
const ALL: [Right; 4] = [READ, WRITE, CREATE, DELETE];

fn request(package: Package, tree: &Path, rights: &[Right]) -> LoadRequest {
    rights.iter().fold(LoadRequest::new(package), |request, right| request.grant(right(tree)))
}

/// A stock component: Rust's standard library, no word of Stockade in it.
fn tour() -> Package {
    Package::open(guest("wasi-tour.wasm"), Some(PluginType::Agent)).unwrap()
}

/// What a host without a user's hand on it has there before.
fn tree() -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("old"), "what was there").unwrap();
    fs::create_dir(tree.path().join("folder")).unwrap();
    tree
}

/// The value of a successful export, or the words of its error.
fn told(plugin: &Plugin, export: &str, arguments: Json) -> Result<Json, String> {
    let outcome = call(plugin, export, arguments);
    if outcome.is_ok() { Ok(value(&outcome)) } else { Err(outcome.reason.expect("a reason").message) }
}

#[test]
fn a_stock_component_makes_writes_moves_and_removes_files_under_grants() {
    let (bench, tree) = (Bench::new(), tree());
    let plugin = bench.host.load_blocking(request(tour(), tree.path(), &ALL)).unwrap();
    let on_disk = |name: &str| fs::read_to_string(tree.path().join(name)).unwrap();
    let done = |export, arguments| told(&plugin, export, arguments).unwrap();

    done("write-file", json!({ "path": "/work/new", "text": "first" }));
    assert_eq!(on_disk("new"), "first");
    done("append-file", json!({ "path": "/work/new", "text": ", second" }));
    assert_eq!(on_disk("new"), "first, second");
    // One descriptor that reads and writes sees its own writes.
    let whole = done("patch-file", json!({ "path": "/work/new", "offset": 5, "text": "!" }));
    assert_eq!(whole, json!("first! second"));
    assert_eq!(done("read-file", json!({ "path": "/work/new" })), json!("first! second"));
    // Told by the file, not as it was when it was opened.
    assert_eq!(done("set-length", json!({ "path": "/work/new", "length": 5 })), json!(5));
    assert_eq!(on_disk("new"), "first");
    assert_eq!(done("set-modified", json!({ "path": "/work/new", "seconds": 86_400 })), json!(86_400));
    // Made anew, it is empty first.
    done("write-file", json!({ "path": "/work/old", "text": "x" }));
    assert_eq!(on_disk("old"), "x");

    done("make-dir", json!({ "path": "/work/made" }));
    done("move-file", json!({ "old": "/work/new", "new": "/work/made/moved" }));
    assert_eq!(on_disk("made/moved"), "first");
    done("link-file", json!({ "old": "/work/made/moved", "new": "/work/linked" }));
    done("remove-file", json!({ "path": "/work/made/moved" }));
    assert_eq!(on_disk("linked"), "first");
    done("remove-dir", json!({ "path": "/work/made" }));
    assert!(!tree.path().join("made").exists());

    // Large enough for many writes, and each byte in its place.
    done("fill-file", json!({ "path": "/work/large", "blocks": 40 }));
    assert_eq!(fs::read(tree.path().join("large")).unwrap(), vec![0x5a; 40 * 64 * 1024]);

    // The errors of a file system, by their own names.
    for (export, arguments, kind) in [
        ("make-file", json!({ "path": "/work/old" }), "AlreadyExists"),
        ("make-dir", json!({ "path": "/work/folder" }), "AlreadyExists"),
        ("remove-file", json!({ "path": "/work/none" }), "NotFound"),
        ("append-file", json!({ "path": "/work/none", "text": "x" }), "NotFound"),
        ("write-file", json!({ "path": "/work/folder", "text": "x" }), "IsADirectory"),
        ("write-file", json!({ "path": "/work/old/x", "text": "x" }), "NotADirectory"),
        ("remove-dir", json!({ "path": "/work" }), "ResourceBusy"),
    ] {
        let words = told(&plugin, export, arguments.clone()).unwrap_err();
        assert!(words.contains(kind), "{export} {arguments}: {words}");
    }
    assert!(bench.found(Layer::Worker, "fs.write", Decision::Denied).is_empty());
    // A record for each change that was allowed, with its rule.
    let made = bench.found(Layer::Host, "fs.create", Decision::Allowed);
    let made = made.iter().find(|entry| entry.record.resource == "/work/new").expect("a record");
    assert_eq!(made.record.rule.as_ref().unwrap().id, "fs.create:/work");
    assert!(!bench.found(Layer::Host, "fs.delete", Decision::Allowed).is_empty());
    assert!(!bench.found(Layer::Host, "fs.write", Decision::Allowed).is_empty());
}

/// What each right is needed for: export, arguments, the rights that suffice.
fn deeds() -> Vec<(&'static str, Json, &'static [Right], &'static str)> {
    vec![
        ("append-file", json!({ "path": "/work/old", "text": "x" }), &[WRITE], "fs.write"),
        ("set-length", json!({ "path": "/work/old", "length": 1 }), &[WRITE], "fs.write"),
        ("make-file", json!({ "path": "/work/new" }), &[CREATE], "fs.create"),
        ("make-dir", json!({ "path": "/work/made" }), &[CREATE], "fs.create"),
        ("remove-file", json!({ "path": "/work/old" }), &[DELETE], "fs.delete"),
        ("remove-dir", json!({ "path": "/work/folder" }), &[DELETE], "fs.delete"),
        ("move-file", json!({ "old": "/work/old", "new": "/work/new" }), &[DELETE, CREATE], "fs."),
    ]
}

#[test]
fn each_right_is_needed_and_is_enough() {
    let bench = Bench::new();
    for (export, arguments, rights, operation) in deeds() {
        let before = tree();
        let plugin = bench.host.load_blocking(request(tour(), before.path(), rights)).unwrap();
        told(&plugin, export, arguments.clone()).unwrap_or_else(|words| panic!("{export}: {words}"));
        drop(plugin);
        for left_out in rights {
            let others: Vec<Right> =
                ALL.into_iter().filter(|right| !std::ptr::fn_addr_eq(*right, *left_out)).collect();
            let tree = tree();
            let plugin = bench.host.load_blocking(request(tour(), tree.path(), &others)).unwrap();
            let outcome = call(&plugin, export, arguments.clone());
            assert!(!outcome.is_ok(), "{export} without a right: {outcome:?}");
            assert_eq!(fs::read_to_string(tree.path().join("old")).unwrap(), "what was there", "{export}");
            assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 2, "{export}");
            let records = bench.records();
            let denied = records.iter().find(|entry| outcome.denials.contains(&entry.seq)).expect("a record");
            assert!(denied.record.operation.starts_with(operation), "{export}: {denied:?}");
            assert!(denied.record.resource.starts_with("/work/"), "{export}: {denied:?}");
        }
    }
}

#[test]
fn what_may_be_made_may_not_be_overwritten_and_the_other_way_round() {
    let (bench, tree) = (Bench::new(), tree());
    let makes = bench.host.load_blocking(request(tour(), tree.path(), &[CREATE])).unwrap();
    told(&makes, "write-file", json!({ "path": "/work/new", "text": "mine" })).unwrap();
    assert!(told(&makes, "write-file", json!({ "path": "/work/new", "text": "again" })).is_err());
    assert!(told(&makes, "write-file", json!({ "path": "/work/old", "text": "again" })).is_err());
    assert!(told(&makes, "read-file", json!({ "path": "/work/new" })).is_err());
    let writes = bench.host.load_blocking(request(tour(), tree.path(), &[WRITE])).unwrap();
    told(&writes, "write-file", json!({ "path": "/work/old", "text": "new" })).unwrap();
    assert!(told(&writes, "write-file", json!({ "path": "/work/newer", "text": "x" })).is_err());
    assert_eq!(fs::read_to_string(tree.path().join("new")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(tree.path().join("old")).unwrap(), "new");
    assert!(!tree.path().join("newer").exists());
    // Refused by the host, who alone knows what is there.
    assert!(!bench.found(Layer::Host, "fs.write", Decision::Denied).is_empty());
    assert!(!bench.found(Layer::Host, "fs.create", Decision::Denied).is_empty());
}

fn probe(bench: &Bench, tree: &Path, rights: &[Right]) -> Plugin {
    let package = probe_package(&bench.state.path().join("probe"), PluginType::Agent);
    bench.host.load_blocking(request(package, tree, rights)).unwrap()
}

fn ask(plugin: &Plugin, arguments: Json) -> String {
    value(&call(plugin, "ask", arguments)).as_str().expect("a text").to_owned()
}

#[test]
fn b19_changes_past_the_workers_check_are_refused_by_the_host_with_the_same_rule() {
    let (bench, tree) = (Bench::with_probe(Namespaces::Cheap), tree());
    symlink("/etc", tree.path().join("out")).unwrap();
    symlink("old", tree.path().join("link")).unwrap();
    nix::unistd::mkfifo(&tree.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reads = probe(&bench, tree.path(), &[READ]);
    let changes = [
        ("fs.write", json!({ "kind": "write", "path": "/work/old" })),
        ("fs.create", json!({ "kind": "write", "path": "/work/new", "make": 1 })),
        ("fs.write", json!({ "kind": "times", "path": "/work/old" })),
        ("fs.create", json!({ "kind": "make", "path": "/work/made" })),
        ("fs.delete", json!({ "kind": "remove", "path": "/work/old" })),
        ("fs.delete", json!({ "kind": "remove", "path": "/work/folder", "directory": 1 })),
    ];
    for (operation, arguments) in changes {
        assert_eq!(ask(&reads, arguments.clone()), "denied", "{arguments}");
        let records = bench.records();
        let last = &records.last().expect("a record").record;
        assert_eq!((last.layer, &*last.operation), (Layer::Host, operation), "{arguments}");
        assert_eq!(last.rule.as_ref().unwrap().id, format!("default-deny:{operation}"));
    }
    assert_eq!(ask(&reads, json!({ "kind": "name", "from": "/work/old", "to": "/work/new" })), "denied");

    // With every right: no way out of the tree, through nothing that is not a file.
    let all = probe(&bench, tree.path(), &ALL);
    for path in
        ["/work/out/stockade-was-here", "/work/link", "/work/fifo", "/etc/passwd", "/work/../x", "/", ""]
    {
        let opened = ask(&all, json!({ "kind": "write", "path": path, "make": 1 }));
        assert_eq!(opened, "denied", "{path}");
        let made = ask(&all, json!({ "kind": "make", "path": path }));
        assert!(["denied", "FsFailed(Exists)"].contains(&&*made), "{path}: {made}");
    }
    assert_eq!(ask(&all, json!({ "kind": "remove", "path": "/work/out/passwd" })), "denied");
    assert_eq!(ask(&all, json!({ "kind": "name", "from": "/work/old", "to": "/work/out/x" })), "denied");
    assert_eq!(
        ask(&all, json!({ "kind": "name", "from": "/work/out/passwd", "to": "/work/x", "keep": 1 })),
        "denied"
    );
    // A link to a link would be followed by others.
    let linked = ask(&all, json!({ "kind": "name", "from": "/work/link", "to": "/work/x", "keep": 1 }));
    assert_eq!(linked, "FsFailed(Invalid)");
    // The tree itself.
    assert_eq!(ask(&all, json!({ "kind": "remove", "path": "/work", "directory": 1 })), "FsFailed(Busy)");
    assert_eq!(ask(&all, json!({ "kind": "name", "from": "/work", "to": "/work/x" })), "FsFailed(Busy)");
    assert!(!Path::new("/etc/stockade-was-here").exists());
    assert_eq!(fs::read_to_string(tree.path().join("old")).unwrap(), "what was there");
}

#[test]
fn b18_numbers_of_files_that_are_not_open_are_refused_and_recorded() {
    let (bench, tree) = (Bench::with_probe(Namespaces::Cheap), tree());
    let plugin = probe(&bench, tree.path(), &ALL);
    let other = probe(&bench, tree.path(), &ALL);
    // Open within one call only: the probe's instance is a fresh one each time.
    assert!(ask(&plugin, json!({ "kind": "write", "path": "/work/old" })).contains("FsWritable(1"));
    for file in [0_u64, 1, 2, u64::from(u32::MAX)] {
        for kind in ["put", "size", "close"] {
            assert_eq!(ask(&plugin, json!({ "kind": kind, "file": file, "len": 1, "size": 1 })), "denied");
            assert_eq!(ask(&other, json!({ "kind": kind, "file": file, "len": 1, "size": 1 })), "denied");
        }
    }
    assert_eq!(bench.found(Layer::Host, "fs.write", Decision::Denied).len(), 24);
    assert_eq!(fs::read_to_string(tree.path().join("old")).unwrap(), "what was there");
}

#[test]
fn a_worker_has_so_many_files_open_for_writing_and_no_more() {
    let (bench, tree) = (Bench::with_probe(Namespaces::Cheap), tree());
    let plugin = probe(&bench, tree.path(), &ALL);
    let last = |times: u64| {
        ask(&plugin, json!({ "kind": "write", "path": "/work/old", "times": times, "answers": times }))
    };
    assert!(last(16).contains("FsWritable(16"));
    assert_eq!(last(20), "FsFailed(Quota)");
    assert_eq!(bench.found(Layer::Limits, "fs.write", Decision::Denied).len(), 4);
}

#[test]
fn quotas_hold_to_the_byte_and_what_is_removed_is_given_back() {
    let (bench, tree) = (Bench::new(), tree());
    let quota = 128 * 1024;
    let limited = request(tour(), tree.path(), &ALL).write_quota(quota, 3);
    let plugin = bench.host.load_blocking(limited).unwrap();
    let fill = |name: &str, blocks: u32| {
        told(&plugin, "fill-file", json!({ "path": format!("/work/{name}"), "blocks": blocks }))
    };
    let grown = || -> u64 {
        let files = fs::read_dir(tree.path()).unwrap().map(|entry| entry.unwrap());
        let files = files.filter(|entry| entry.file_name() != "old" && entry.file_type().unwrap().is_file());
        files.map(|entry| entry.metadata().unwrap().len()).sum()
    };
    fill("a", 1).unwrap();
    fill("b", 1).unwrap();
    assert_eq!(grown(), quota);
    // Its libc has one error for all that can be wrong with a stream.
    assert!(fill("c", 1).unwrap_err().contains("I/O error"));
    assert_eq!(grown(), quota);
    // By length alone, too.
    assert!(told(&plugin, "set-length", json!({ "path": "/work/a", "length": 1_u64 << 40 })).is_err());
    assert_eq!(grown(), quota);
    // The number of files is used up: `c` is there, empty.
    assert!(told(&plugin, "make-file", json!({ "path": "/work/d" })).is_err());
    assert!(told(&plugin, "make-dir", json!({ "path": "/work/d" })).is_err());
    assert!(!tree.path().join("d").exists());
    told(&plugin, "remove-file", json!({ "path": "/work/a" })).unwrap();
    fill("d", 1).unwrap();
    assert_eq!(grown(), quota);
    // What was there before earns nobody more than what it was.
    let records = bench.found(Layer::Limits, "fs.write", Decision::Denied);
    assert!(records.iter().any(|entry| entry.record.resource == "/work/c"), "{records:?}");
    assert!(!bench.found(Layer::Limits, "fs.create", Decision::Denied).is_empty());
}

#[test]
fn a_program_that_runs_as_another_user_is_not_written() {
    let (bench, tree) = (Bench::new(), tree());
    let program = tree.path().join("program");
    fs::write(&program, "#!/bin/true\n").unwrap();
    for mode in [0o4755, 0o2755] {
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        let plugin = bench.host.load_blocking(request(tour(), tree.path(), &ALL)).unwrap();
        assert!(told(&plugin, "append-file", json!({ "path": "/work/program", "text": "evil" })).is_err());
    }
    assert_eq!(fs::read_to_string(&program).unwrap(), "#!/bin/true\n");
    assert_eq!(bench.found(Layer::Host, "fs.write", Decision::Denied).len(), 2);
}

#[test]
fn a_new_name_is_worth_no_grant() {
    let bench = Bench::new();
    let (secret, open) = (tree(), tree());
    let root = |path: &str| GuestPath::parse(path).unwrap();
    let request = LoadRequest::new(tour())
        .grant(GrantRequest::delete_in_tree(secret.path(), root("/secret")))
        .grant(GrantRequest::read_tree(open.path(), root("/open")))
        .grant(GrantRequest::create_in_tree(open.path(), root("/open")));
    let plugin = bench.host.load_blocking(request).unwrap();
    let to = "/open/read-me";
    assert!(told(&plugin, "move-file", json!({ "old": "/secret/old", "new": to })).is_err());
    assert!(told(&plugin, "link-file", json!({ "old": "/secret/old", "new": to })).is_err());
    assert!(!open.path().join("read-me").exists());
    assert!(secret.path().join("old").exists());
    let denied = bench.found(Layer::Worker, "fs.create", Decision::Denied);
    assert_eq!(denied[0].record.rule.as_ref().unwrap().id, "default-deny:fs.read");
}

#[test]
fn a_scratch_directory_is_the_plugins_own_and_goes_with_it() {
    let bench = Bench::new();
    let state = bench.state.path().join("state/scratch");
    let plugin = bench.host.load_blocking(LoadRequest::new(tour()).scratch()).unwrap();
    let other = bench.host.load_blocking(LoadRequest::new(tour()).scratch()).unwrap();
    told(&plugin, "make-dir", json!({ "path": "/scratch/folder" })).unwrap();
    told(&plugin, "write-file", json!({ "path": "/scratch/folder/file", "text": "mine" })).unwrap();
    assert_eq!(told(&plugin, "read-file", json!({ "path": "/scratch/folder/file" })), Ok(json!("mine")));
    assert!(told(&other, "read-file", json!({ "path": "/scratch/folder/file" })).is_err());
    assert_eq!(fs::read_dir(&state).unwrap().count(), 2);
    // Emptied for the next worker.
    plugin.stop_worker();
    assert_eq!(told(&plugin, "list-dir", json!({ "path": "/scratch" })), Ok(json!([])));
    told(&plugin, "write-file", json!({ "path": "/scratch/left", "text": "mine" })).unwrap();
    drop(plugin);
    assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
    // Whoever was killed leaves one, which the next host removes; one in use stays.
    fs::create_dir(state.join("left")).unwrap();
    let second = stockade_host::Host::builder()
        .state_dir(bench.state.path().join("state"))
        .audit_dir(bench.state.path().join("another-log"))
        .programs_dir(stockade_tests::dist())
        .build()
        .unwrap();
    assert!(!state.join("left").exists());
    told(&other, "write-file", json!({ "path": "/scratch/here", "text": "still" })).unwrap();
    second.stop_blocking();
    drop(other);
    assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
}

#[test]
fn rights_above_the_ceiling_and_two_directories_at_one_place_are_refused() {
    let (bench, a, b) = (Bench::new(), tree(), tree());
    let package = || Package::open(guest("wasi-tour.wasm"), Some(PluginType::QualityGate)).unwrap();
    let refused = |request| -> HostError { bench.host.load_blocking(request).unwrap_err() };
    assert_eq!(refused(request(package(), a.path(), &[DELETE])).problem().code, "above-ceiling");
    assert_eq!(refused(LoadRequest::new(package()).scratch()).problem().code, "above-ceiling");
    let twice = request(package(), a.path(), &[READ]).grant(WRITE(b.path()));
    assert_eq!(refused(twice).problem().code, "grant-conflict");
    // A report, and nothing else.
    let report = request(package(), a.path(), &[READ, CREATE]);
    let plugin = bench.host.load_blocking(report).unwrap();
    told(&plugin, "write-file", json!({ "path": "/work/report", "text": "clean" })).unwrap();
    assert!(told(&plugin, "remove-file", json!({ "path": "/work/old" })).is_err());
}

#[test]
fn what_the_host_itself_may_not_change_is_a_refusal_with_a_record() {
    const TEST: &str = "what_the_host_itself_may_not_change_is_a_refusal_with_a_record";
    if nix::unistd::geteuid().is_root() {
        skipped(TEST, "root may change everything");
        return;
    }
    let (bench, tree) = (Bench::new(), tree());
    let set = |mode| fs::set_permissions(tree.path(), fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    let plugin = bench.host.load_blocking(request(tour(), tree.path(), &ALL)).unwrap();
    for (export, arguments) in [
        ("make-file", json!({ "path": "/work/new" })),
        ("make-dir", json!({ "path": "/work/new" })),
        ("remove-file", json!({ "path": "/work/old" })),
        ("move-file", json!({ "old": "/work/old", "new": "/work/new" })),
    ] {
        let words = told(&plugin, export, arguments).unwrap_err();
        assert!(words.contains("PermissionDenied"), "{export}: {words}");
    }
    set(0o755);
    let records = bench.records();
    let refused = records.iter().filter(|entry| entry.record.decision == Decision::Denied);
    assert_eq!(refused.filter(|entry| entry.record.reason.contains("the host itself")).count(), 4);
}

#[test]
fn files_are_changed_from_every_kind_of_runtime() {
    let (bench, tree) = (Bench::new(), tree());
    let plugin = bench.host.load_blocking(request(tour(), tree.path(), &ALL)).unwrap();
    let runtimes = [
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
    ];
    for (number, runtime) in runtimes.into_iter().enumerate() {
        let plugin = plugin.clone();
        let arguments = json!({ "path": format!("/work/{number}"), "text": "x" }).to_string();
        let call = async move { plugin.call("write-file", &arguments, CallOptions::default()).await };
        // In a task, so on one of the runtime's own threads.
        let outcome = runtime.block_on(async { tokio::spawn(call).await.unwrap() });
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(fs::read_to_string(tree.path().join(number.to_string())).unwrap(), "x");
    }
}

/// Python with nothing but `open` and `os`, as its toolchain makes it.
#[test]
fn a_stock_python_component_uses_files_under_grants() {
    const TEST: &str = "a_stock_python_component_uses_files_under_grants";
    let component = guest("files-python.wasm");
    if !component.exists() {
        skipped(TEST, "componentize-py is not installed, and could not be");
        return;
    }
    let (bench, tree) = (Bench::new(), tree());
    let package = Package::open(component, Some(PluginType::Agent)).unwrap();
    let plugin = bench.host.load_blocking(request(package, tree.path(), &ALL)).unwrap();
    let told = |export, arguments| told(&plugin, export, arguments);
    let new = json!({ "path": "/work/new", "text": "from Python" });
    assert_eq!(told("write-file", new).unwrap(), json!("from Python!"));
    assert_eq!(fs::read_to_string(tree.path().join("new")).unwrap(), "from Python!");
    assert_eq!(told("list-names", json!({ "path": "/work" })).unwrap(), json!(["folder", "new", "old"]));
    assert_eq!(told("total-size", json!({ "path": "/work" })).unwrap(), json!(12 + 14));
    told("remove-file", json!({ "path": "/work/new" })).unwrap();
    assert!(!tree.path().join("new").exists());
    for (export, arguments) in [
        ("read-file", json!({ "path": "/etc/passwd" })),
        ("write-file", json!({ "path": "/elsewhere", "text": "" })),
        ("list-names", json!({ "path": "/etc" })),
        ("remove-file", json!({ "path": "/etc/passwd" })),
    ] {
        assert!(told(export, arguments).unwrap_err().contains("PermissionError"), "{export}");
    }
    assert!(told("read-file", json!({ "path": "/work/none" })).unwrap_err().contains("FileNotFoundError"));
}

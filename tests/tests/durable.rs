//! What has to be on the disk before a caller is told of it, with a disk that fails.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use stockade_host::{Host, LoadRequest, Start, Supervision};
use stockade_package::Package;
use stockade_policy::PluginType;
use stockade_tests::inject::{self, Fault, Kind};
use stockade_tests::{call, dist, guest, text};

/// Names the state folder for [`embedded`].
const STATE: &str = "STOCKADE_EMBEDDED_STATE";

/// An embedding program, which the other test runs under faults: a plugin without a worker is called on a thread.
#[test]
fn embedded() {
    let Some(state) = env::var_os(STATE) else { return };
    let host = Host::builder().state_dir(PathBuf::from(state)).programs_dir(dist()).build().unwrap();
    let package = Package::open(guest("greet-rust.wasm"), Some(PluginType::Node)).unwrap();
    let supervision = Supervision { start: Start::OnCall, ..Supervision::default() };
    let plugin = host.load_blocking(LoadRequest::new(package).supervision(supervision)).unwrap();
    let outcome = call(&plugin, "greet", json!({ "name": "Ada" }));
    let code = outcome.reason.map_or("", |reason| reason.code);
    println!("outcome: {:?} {code} {}", outcome.status, outcome.value.unwrap_or_default());
}

fn program(state: &Path) -> Command {
    let mut program = Command::new(env::current_exe().expect("this program"));
    program.args(["--exact", "embedded", "--nocapture"]).env(STATE, state);
    program
}

#[test]
fn a_call_whose_worker_has_no_record_on_the_disk_has_no_result() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state = folder.path().join("state");
    // The first compiles the component; the second does what the others do.
    assert!(program(&state).status().expect("it starts").success());
    let calm = inject::run(&program(&state), &state, None);
    assert!(text(&calm.stdout).contains("outcome: Ok  \"Hello, Ada!\""), "{calm:?}");
    let syncs: Vec<usize> = calm
        .steps
        .iter()
        .enumerate()
        .filter_map(|(at, step)| (step.kind == Kind::Sync && step.file.starts_with("audit")).then_some(at))
        .collect();
    let mut untold = 0;
    for at in syncs {
        let ran = inject::run(&program(&state), &state, Some((at, Fault::Broken)));
        let said = text(&ran.stdout);
        // Others than that of the launch come before there is a plugin, and after its call.
        if said.contains("outcome: Killed audit-log") {
            assert!(!said.contains("Hello"), "{said}");
            untold += 1;
        }
    }
    assert!(untold > 0, "the call did not wait for the record of its worker's launch: {:?}", calm.steps);
}

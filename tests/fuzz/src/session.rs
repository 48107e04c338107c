//! Target `session`: a real host, and a worker that writes the input to it in the middle of a call. The
//! worker is the probe, sealed like every other; what it sends is the attacker's.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use stockade_host::{CallOptions, GrantRequest, LoadRequest, Namespaces, Outcome, Plugin, Status};
use stockade_policy::{GuestPath, PluginType};
use stockade_tests::{Bench, call, probe_package};

use crate::census::Census;

/// The call in which the input arrives has this number in its session: the worker's first is an echo.
pub(crate) const CALL: u64 = 2;

/// Half a frame is waited for until here. Short: an input that is slower for another reason only ends with
/// another code.
const DEADLINE: Duration = Duration::from_millis(50);

/// A room's log is verified as a whole, which takes longer the more there is in it.
const RUNS_IN_ONE_ROOM: u32 = 512;

/// A host with the plugin under attack and one beside it.
struct Room {
    bench: Bench,
    target: Plugin,
    neighbour: Plugin,
    rest: Census,
    runs: u32,
}

static ROOM: Mutex<Option<Room>> = Mutex::new(None);

/// Sends the bytes and sees to it that nothing comes of them but an outcome.
pub fn session(input: &[u8]) {
    let mut slot = ROOM.lock().unwrap_or_else(PoisonError::into_inner);
    let room = slot.get_or_insert_with(Room::new);
    room.run(input);
    if room.runs == RUNS_IN_ONE_ROOM {
        slot.take().expect("it was used just now").close();
    }
}

/// Ends the host and verifies its log; the end of a program may not wait for destructors.
pub fn close() {
    if let Some(room) = ROOM.lock().unwrap_or_else(PoisonError::into_inner).take() {
        room.close();
    }
}

fn plant(folder: &Path) {
    std::fs::create_dir_all(folder.join("folder")).expect("the folder can be made");
    std::fs::write(folder.join("file"), "content").expect("the file can be written");
    std::os::unix::fs::symlink("/etc", folder.join("outside")).expect("the link can be made");
}

/// Reads, writes and makes files; what it removed would be missing for the inputs that come after.
fn writer(bench: &Bench, tree: &Path) -> Plugin {
    let root = || GuestPath::parse("/src").expect("a guest path");
    let package = probe_package(&bench.state.path().join("probe"), PluginType::Agent);
    let request = LoadRequest::new(package)
        .grant(GrantRequest::read_tree(tree, root()))
        .grant(GrantRequest::write_tree(tree, root()))
        .grant(GrantRequest::create_in_tree(tree, root()))
        .write_quota(1 << 20, 100);
    bench.host.load_blocking(request).expect("the probe loads")
}

impl Room {
    fn new() -> Room {
        let bench = Bench::with_probe(Namespaces::default());
        let tree = bench.state.path().join("tree");
        plant(&tree);
        let target = writer(&bench, &tree);
        let neighbour = bench.probe(PluginType::Node, &[]);
        for plugin in [&target, &neighbour] {
            must_echo(plugin);
        }
        // The first call that waits for others makes what this process has once: a runtime's pipe for signals.
        call(&target, "delegate", json!({ "kind": "tools" }));
        target.stop_worker();
        must_echo(&target);
        Room { bench, target, neighbour, rest: Census::now(), runs: 0 }
    }

    fn run(&mut self, input: &[u8]) {
        self.runs += 1;
        let arguments = json!({ "bytes": input }).to_string();
        let options = CallOptions::within(DEADLINE);
        let outcome = self.target.call_blocking("bytes", &arguments, options);
        judge(&outcome);
        if outcome.status != Status::Killed {
            // What it sent may have ended the call early, and more of it is waiting for the next one.
            let next = call(&self.target, "echo", Value::Null);
            judge(&next);
            if next.status != Status::Killed {
                self.target.stop_worker();
            }
        }
        // Whatever became of that worker, the next is new, and so is its session.
        must_echo(&self.target);
        must_echo(&self.neighbour);
        self.rest.expect_again();
    }

    fn close(self) {
        let Room { bench, target, neighbour, .. } = self;
        drop((target, neighbour));
        bench.host.stop_blocking();
        // Panics where the log does not verify.
        assert!(!bench.records().is_empty());
    }
}

fn must_echo(plugin: &Plugin) {
    let outcome = call(plugin, "echo", json!({ "still": "there" }));
    assert_eq!(outcome.value.as_deref(), Some(r#"{"still":"there"}"#), "{outcome:?}");
}

/// An outcome is one of those that a worker can cause, and whole.
fn judge(outcome: &Outcome) {
    let code = outcome.reason.as_ref().map(|reason| reason.code);
    let known: &[&str] = match outcome.status {
        Status::Ok => {
            assert!(outcome.value.is_some() && code.is_none(), "{outcome:?}");
            return;
        }
        Status::Killed => &["protocol-fault", "deadline", "worker-died"],
        Status::Trapped => &["trapped"],
        Status::Denied => &["denied"],
        Status::ToolError => &["unknown-tool", "invalid-arguments", "failed"],
        Status::Failed => &[],
    };
    assert!(outcome.value.is_none() && code.is_some_and(|code| known.contains(&code)), "{outcome:?}");
}

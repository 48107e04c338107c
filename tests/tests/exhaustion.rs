//! Group G: a machine, or a limit, that has run short. A start that cannot be fails with a typed error that
//! says what to do; the host lives, keeps its accounts and its log, and serves once there is enough again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use stockade_audit::{Decision, Layer};
use stockade_host::{CallOptions, Host, HostError, LoadRequest, Namespaces, Plugin, Status};
use stockade_package::{Explain as _, Package, Problem};
use stockade_policy::PluginType;
use stockade_tests::accounts::{Account, status};
use stockade_tests::{Bench, call, code, cycles, dist, guest, probe_package, scene, skipped, value};

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Changes the limit that counts; the other stays, so that it can be raised again.
fn limit(resource: Resource, soft: u64) {
    let (_, hard) = getrlimit(resource).expect("a limit");
    setrlimit(resource, soft.min(hard), hard).expect("every process may");
}

/// A host, and a package that was read while everything could be had.
struct Stage {
    bench: Bench,
    package: Package,
}

impl Stage {
    fn new(namespaces: Namespaces) -> Stage {
        let bench = Bench::with_probe(namespaces);
        let package = probe_package(&bench.state.path().join("probe-node"), PluginType::Node);
        Stage { bench, package }
    }

    /// Tries to load the probe; every error must tell what happened and what to do.
    fn load(&self) -> Result<Plugin, Problem> {
        self.bench.host.load_blocking(LoadRequest::new(self.package.clone())).map_err(|error| told(&error))
    }
}

fn told(error: &HostError) -> Problem {
    let problem = error.problem();
    assert!(!problem.message.is_empty() && !problem.next_step.is_empty(), "{problem:?}");
    problem
}

fn echoes(plugin: &Plugin) {
    assert_eq!(value(&call(plugin, "echo", json!("here"))), json!("here"));
}

/// The address space of this process, in bytes.
fn own_size() -> u64 {
    let size = status(std::process::id(), "VmSize");
    size.trim_end_matches(" kB").trim().parse::<u64>().expect("KiB") << 10
}

/// All descriptors below a limit, taken.
struct Taken(Vec<File>);

impl Taken {
    fn all() -> Taken {
        let mut taken = Vec::new();
        while let Ok(one) = File::open("/dev/null") {
            taken.push(one);
        }
        Taken(taken)
    }

    fn give_back(&mut self, count: usize) {
        self.0.truncate(self.0.len().saturating_sub(count));
    }
}

#[test]
fn g5_a_host_without_descriptors_refuses_starts_and_serves_on() {
    const TEST: &str = "g5_a_host_without_descriptors_refuses_starts_and_serves_on";
    scene::alone(TEST, || {
        let stage = Stage::new(Namespaces::Cheap);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (running, attacking) = (stage.load().expect("enough"), stage.load().expect("enough"));
        let usual = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit").0;
        drop(stage.load().expect("enough"));
        std::thread::sleep(std::time::Duration::from_millis(50));
        let before = Account::own();
        let (mut codes, mut loaded) = (BTreeMap::<&str, usize>::new(), 0);
        for spare in (0..16).rev() {
            limit(Resource::RLIMIT_NOFILE, 96);
            let mut taken = Taken::all();
            taken.give_back(spare);
            match stage.load() {
                Ok(plugin) => {
                    echoes(&plugin);
                    plugin.stop_worker();
                    loaded += 1;
                }
                Err(problem) => {
                    *codes.entry(problem.code).or_default() += 1;
                    let known = ["launch-failed", "not-attested", "memory", "threads"];
                    assert!(known.contains(&problem.code), "{problem:?}");
                    if problem.code == "launch-failed" {
                        assert!(problem.next_step.contains("open files"), "{problem:?}");
                    }
                }
            }
            echoes(&running);
            drop(taken);
            limit(Resource::RLIMIT_NOFILE, usual);
            Account::settle(&before);
        }
        assert!(loaded > 0 && codes.values().sum::<usize>() > 3, "{loaded} loaded, {codes:?}");

        // With nothing to spare: what a worker tries is recorded all the same, and its plugin comes back later.
        limit(Resource::RLIMIT_NOFILE, 96);
        let taken = Taken::all();
        let tried = call(&attacking, "syscall", json!({ "nr": libc::SYS_openat, "args": [] }));
        assert_eq!(code(&tried), "forbidden-call", "{tried:?}");
        assert_eq!(attacking.worker_pid(), None);
        // What was the worker's is free a moment later, and is taken, too.
        std::thread::sleep(std::time::Duration::from_millis(100));
        let again = Taken::all();
        let outcome = call(&attacking, "echo", json!(1));
        assert_eq!((outcome.status, code(&outcome)), (Status::Failed, "launch-failed"), "{outcome:?}");
        // A call in a task takes a descriptor more; for want of one it fails, and says why.
        let outcome = runtime.block_on(running.call("echo", "1", CallOptions::default()));
        assert_eq!(code(&outcome), "host-resources", "{outcome:?}");
        drop((again, taken, runtime));
        limit(Resource::RLIMIT_NOFILE, usual);
        echoes(&attacking);
        echoes(&running);
        assert_eq!(stage.bench.found(Layer::Seccomp, "openat", Decision::Killed).len(), 1);
    });
}

#[test]
fn g5_a_host_is_built_whole_or_not_at_all() {
    const TEST: &str = "g5_a_host_is_built_whole_or_not_at_all";
    scene::alone(TEST, || {
        let state = tempfile::tempdir().expect("a temporary folder");
        let build = || Host::builder().state_dir(state.path().join("state")).programs_dir(dist()).build();
        drop(build().expect("enough"));
        let usual = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit").0;
        let before = Account::quiet();
        let (mut codes, mut built) = (BTreeSet::new(), 0);
        for spare in 0..20 {
            limit(Resource::RLIMIT_NOFILE, 96);
            let mut taken = Taken::all();
            taken.give_back(spare);
            match build() {
                Ok(host) => {
                    host.stop_blocking();
                    built += 1;
                }
                Err(error) => {
                    codes.insert(told(&error).code);
                }
            }
            drop(taken);
            limit(Resource::RLIMIT_NOFILE, usual);
            Account::settle(&before);
        }
        assert!(built > 0 && !codes.is_empty(), "{built} built, {codes:?}");
        let log = state.path().join("state/audit");
        assert!(stockade_audit::verify(log, None).expect("a log").is_sound());
    });
}

/// What is done where there are no processes left, and when there are some again.
fn without_processes<'a>(stage: &Stage, running: &Plugin, shortage: impl FnOnce() -> Box<dyn FnOnce() + 'a>) {
    let before = Account::own();
    let end_of_shortage = shortage();
    let problem = stage.load().expect_err("there is no process left for it");
    assert_eq!(problem.code, "launch-failed", "{problem:?}");
    assert!(problem.next_step.contains("processes"), "{problem:?}");
    echoes(running);
    let tried = call(running, "syscall", json!({ "nr": libc::SYS_openat, "args": [] }));
    assert_eq!(code(&tried), "forbidden-call", "{tried:?}");
    // A cgroup counts the one that has ended no more, and so has a place for this.
    let outcome = call(running, "echo", json!(1));
    assert!(outcome.is_ok() || code(&outcome) == "launch-failed", "{outcome:?}");
    end_of_shortage();
    echoes(running);
    drop(stage.load().expect("enough again"));
    std::thread::sleep(std::time::Duration::from_millis(50));
    let after = Account::own();
    assert_eq!((before.descriptors, before.threads), (after.descriptors, after.threads));
    assert_eq!(stage.bench.found(Layer::Seccomp, "openat", Decision::Killed).len(), 1);
}

#[test]
fn g6_a_host_without_processes_refuses_starts_and_serves_on() {
    const TEST: &str = "g6_a_host_without_processes_refuses_starts_and_serves_on";
    if is_root() {
        skipped(TEST, "the kernel holds root to no such limit");
        return;
    }
    scene::each(TEST, &["cheap", "off"], |part| {
        let stage = Stage::new(if part == "off" { Namespaces::Off } else { Namespaces::Cheap });
        let running = stage.load().expect("enough");
        let usual = getrlimit(Resource::RLIMIT_NPROC).expect("a limit").0;
        without_processes(&stage, &running, || {
            limit(Resource::RLIMIT_NPROC, 1);
            Box::new(move || limit(Resource::RLIMIT_NPROC, usual))
        });
    });
}

/// A cgroup of this process's own, left and removed in the end.
struct Cgroup {
    folder: PathBuf,
    parent: PathBuf,
}

impl Cgroup {
    /// Moves this process into a new one; none where that cannot be had.
    fn enter(controller: &str) -> Option<Cgroup> {
        let parent = PathBuf::from("/sys/fs/cgroup").join(controller);
        let folder = parent.join(format!("stockade-test-{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let cgroup = Cgroup { folder, parent };
        fs::write(cgroup.folder.join("cgroup.procs"), std::process::id().to_string()).ok()?;
        Some(cgroup)
    }

    fn set(&self, file: &str, value: &str) {
        fs::write(self.folder.join(file), value).unwrap_or_else(|error| panic!("{file}: {error}"));
    }

    fn get(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::write(self.parent.join("cgroup.procs"), std::process::id().to_string());
        let _ = fs::remove_dir(&self.folder);
    }
}

#[test]
fn g6_a_host_in_a_full_cgroup_refuses_starts_and_serves_on() {
    const TEST: &str = "g6_a_host_in_a_full_cgroup_refuses_starts_and_serves_on";
    if !is_root() || !PathBuf::from("/sys/fs/cgroup/pids/cgroup.procs").exists() {
        skipped(TEST, "it takes root and a pids cgroup of version 1");
        return;
    }
    scene::alone(TEST, || {
        let cgroup = Cgroup::enter("pids").expect("root may");
        let stage = Stage::new(Namespaces::Cheap);
        let running = stage.load().expect("enough");
        without_processes(&stage, &running, || {
            let full = cgroup.get("pids.current");
            cgroup.set("pids.max", full.trim());
            Box::new(|| cgroup.set("pids.max", "max"))
        });
        running.stop_worker();
        stage.bench.host.stop_blocking();
        drop((stage, running));
    });
}

#[test]
fn g9_a_host_without_memory_for_threads_is_not_built_and_serves_later() {
    const TEST: &str = "g9_a_host_without_memory_for_threads_is_not_built_and_serves_later";
    scene::alone(TEST, || {
        let state = tempfile::tempdir().expect("a temporary folder");
        let build = || Host::builder().state_dir(state.path().join("state")).programs_dir(dist()).build();
        drop(build().expect("enough"));
        let stage = Stage::new(Namespaces::Cheap);
        let running = stage.load().expect("enough");
        let before = Account::own();
        // Room for what is allocated, and not for a thread's stack.
        limit(Resource::RLIMIT_AS, own_size() + (1 << 20));
        let problem = build().map(drop).map_err(|error| told(&error));
        echoes(&running);
        limit(Resource::RLIMIT_AS, u64::MAX);
        let problem = problem.expect_err("there is no room for a thread");
        assert!(["threads", "launch-failed"].contains(&problem.code), "{problem:?}");
        assert!(
            problem.next_step.contains("thread") || problem.next_step.contains("processes"),
            "{problem:?}"
        );
        Account::settle(&before);
        drop(build().expect("enough again"));
        drop(stage.load().expect("enough again"));
    });
}

/// A limit on address space is inherited, and the engine reserves more than it will ever use.
#[test]
fn g9_a_plugin_that_finds_little_address_space_runs_or_says_why_not() {
    const TEST: &str = "g9_a_plugin_that_finds_little_address_space_runs_or_says_why_not";
    scene::alone(TEST, || {
        let bench = Bench::new();
        let package = || Package::open(guest("greet-rust.wasm"), Some(PluginType::Node));
        let load = || bench.host.load_blocking(LoadRequest::new(package().expect("a component")));
        let greets = |plugin: &Plugin| call(plugin, "greet", json!({ "name": "Ada" }));
        // Compiled before.
        assert!(greets(&load().expect("enough")).is_ok());
        let size = own_size();
        for spare in [1 << 30, 64 << 20, 4 << 20] {
            limit(Resource::RLIMIT_AS, size + spare);
            match load() {
                Ok(plugin) => {
                    let outcome = greets(&plugin);
                    let known = ["trapped", "memory-limit", "worker-died"];
                    assert!(outcome.is_ok() || known.contains(&code(&outcome)), "{outcome:?}");
                }
                Err(error) => drop(told(&error)),
            }
        }
        limit(Resource::RLIMIT_AS, u64::MAX);
        assert!(greets(&load().expect("enough again")).is_ok());
    });
}

/// Whoever the kernel ends when memory is gone: it is the worker, however much smaller than its host it is.
#[test]
fn g4_when_memory_is_gone_the_kernel_ends_the_worker_and_not_the_host() {
    const TEST: &str = "g4_when_memory_is_gone_the_kernel_ends_the_worker_and_not_the_host";
    if !is_root() || !PathBuf::from("/sys/fs/cgroup/memory/cgroup.procs").exists() {
        skipped(TEST, "it takes root and a memory cgroup of version 1");
        return;
    }
    const MIB: usize = 1 << 20;
    scene::alone(TEST, || {
        let cgroup = Cgroup::enter("memory").expect("root may");
        cgroup.set("memory.limit_in_bytes", &(160 * MIB).to_string());
        let stage = Stage::new(Namespaces::Cheap);
        let (running, greedy) = (stage.load().expect("enough"), stage.load().expect("enough"));
        let large = vec![1_u8; 96 * MIB];
        for _ in 0..cycles(1, 5) {
            echoes(&greedy);
            let outcome = call(&greedy, "allocate", json!({ "bytes": 120 * MIB }));
            assert_eq!(code(&outcome), "worker-died", "{outcome:?}");
            echoes(&running);
        }
        echoes(&greedy);
        assert_eq!(large.iter().filter(|&&byte| byte == 1).count(), large.len());
        assert!(!stage.bench.found(Layer::Limits, "launch", Decision::Killed).is_empty());
        stage.bench.host.stop_blocking();
        drop((running, greedy, stage));
    });
}

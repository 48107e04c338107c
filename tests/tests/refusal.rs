//! Group G: a machine on which a layer is missing, played by a seccomp filter around the host or by mounts of
//! its own. The host refuses to start, or the worker is not started, or not trusted; there is never one that
//! runs with less.
#![expect(unsafe_code, reason = "JUSTIFICATION: a filter that answers with a number needs raw system calls")]

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use libc::{
    SYS_capset, SYS_clone, SYS_close_range, SYS_dup3, SYS_execveat, SYS_fcntl, SYS_ioctl,
    SYS_landlock_create_ruleset, SYS_landlock_restrict_self, SYS_memfd_create, SYS_pidfd_send_signal,
    SYS_prctl, SYS_prlimit64, SYS_seccomp, SYS_setgroups, SYS_setpgid, SYS_setresgid, SYS_setresuid,
    SYS_setsockopt,
};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;
use stockade_audit::{Decision, Layer, Reader};
use stockade_host::{Host, LoadRequest, Namespaces};
use stockade_package::{Explain as _, Package, Problem};
use stockade_policy::PluginType;
use stockade_tests::accounts::Account;
use stockade_tests::around::{Answered, is_confined_and_serves, put_up};
use stockade_tests::{Bench, call, cycles, probe_package, probe_programs, scene, skipped, value};

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// How far a host gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    /// It is not built: this code, and this in the field.
    NotBuilt(&'static str, &'static str),
    /// It is built and no worker runs: this code, and this in the message.
    NotLoaded(&'static str, &'static str),
}
use Comes::{NotBuilt, NotLoaded};

struct Case {
    name: &'static str,
    answered: Answered,
    comes: Comes,
    /// Only where the host is root, or only where it is not.
    root: Option<bool>,
}

const fn case(name: &'static str, answered: Answered, comes: Comes) -> Case {
    Case { name, answered, comes, root: None }
}

const fn of_root(root: bool, name: &'static str, answered: Answered, comes: Comes) -> Case {
    Case { name, answered, comes, root: Some(root) }
}

const NEW_PID: u64 = libc::CLONE_NEWPID as u64;
const NEW_USER: u64 = libc::CLONE_NEWUSER as u64;
const PIDFD: u64 = libc::CLONE_PIDFD as u64;
const NO_NEW_PRIVS: u64 = libc::PR_SET_NO_NEW_PRIVS as u64;
const DEATH_SIGNAL: u64 = libc::PR_SET_PDEATHSIG as u64;
const DROP_BOUND: u64 = libc::PR_CAPBSET_DROP as u64;
const DUMPABLE: u64 = libc::PR_SET_DUMPABLE as u64;
const PARKED: u64 = libc::F_DUPFD_CLOEXEC as u64;
const MFD_NOEXEC_SEAL: u64 = 8;
const MFD_EXEC: u64 = 16;
/// `SECCOMP_IOCTL_NOTIF_RECV`.
const RECEIVE: u64 = 0xc050_2100;

/// What can be missing, and what comes of it.
const CASES: &[Case] = &[
    case(
        "landlock-unknown",
        Answered::with(SYS_landlock_create_ruleset, Errno::ENOSYS),
        NotBuilt("unsupported-host", "landlock-absent"),
    ),
    case(
        "landlock-disabled",
        Answered::with(SYS_landlock_create_ruleset, Errno::EOPNOTSUPP),
        NotBuilt("unsupported-host", "landlock-disabled"),
    ),
    // Answers the question for its version, and makes no ruleset.
    case(
        "landlock-without-rulesets",
        Answered::is(SYS_landlock_create_ruleset, 2, 0, Errno::ENOMEM),
        NotBuilt("launch-failed", ""),
    ),
    // A ruleset that claims to be descriptor 0, and is none.
    case(
        "landlock-that-lies",
        Answered { number: SYS_landlock_create_ruleset, only: Some((2, u64::MAX, 0)), errno: 0 },
        NotLoaded("launch-failed", "Landlock"),
    ),
    case(
        "landlock-not-enforced",
        Answered::with(SYS_landlock_restrict_self, Errno::E2BIG),
        NotLoaded("launch-failed", "Landlock"),
    ),
    case("seccomp-unknown", Answered::with(SYS_seccomp, Errno::ENOSYS), NotLoaded("not-attested", "")),
    case(
        "seccomp-without-listeners",
        Answered::has(SYS_seccomp, 1, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER, Errno::EINVAL),
        NotLoaded("not-attested", ""),
    ),
    // The filter's descriptor is said to be 0, which is the null device.
    case(
        "seccomp-that-lies",
        Answered { number: SYS_seccomp, only: None, errno: 0 },
        NotLoaded("not-attested", ""),
    ),
    case(
        "notifications-unread",
        Answered::is(SYS_ioctl, 1, RECEIVE, Errno::EINVAL),
        NotLoaded("not-attested", ""),
    ),
    case("memfd-unknown", Answered::with(SYS_memfd_create, Errno::ENOSYS), NotBuilt("program-missing", "")),
    case(
        "memfd-without-exec",
        Answered::has(SYS_memfd_create, 1, MFD_EXEC, Errno::EINVAL),
        NotBuilt("program-missing", ""),
    ),
    case(
        "memfd-without-noexec",
        Answered::has(SYS_memfd_create, 1, MFD_NOEXEC_SEAL, Errno::EINVAL),
        NotLoaded("memory", ""),
    ),
    case(
        "namespaces-forbidden",
        Answered::has(SYS_clone, 0, NEW_PID, Errno::EPERM),
        NotLoaded("launch-failed", "Clone"),
    ),
    of_root(
        false,
        "user-namespaces-forbidden",
        Answered::has(SYS_clone, 0, NEW_USER, Errno::EPERM),
        NotLoaded("launch-failed", "Clone"),
    ),
    case(
        "pidfds-unknown",
        Answered::has(SYS_clone, 0, PIDFD, Errno::EINVAL),
        NotLoaded("launch-failed", "Clone"),
    ),
    case(
        "pidfds-without-signals",
        Answered::with(SYS_pidfd_send_signal, Errno::EPERM),
        NotLoaded("launch-failed", "could not end"),
    ),
    case("descriptors-not-parked", Answered::is(SYS_fcntl, 1, PARKED, Errno::EINVAL), NotLoaded("", "")),
    case(
        "descriptors-not-placed",
        Answered::with(SYS_dup3, Errno::ENOSYS),
        NotLoaded("launch-failed", "Descriptors"),
    ),
    case(
        "descriptors-not-closed",
        Answered::with(SYS_close_range, Errno::ENOSYS),
        NotLoaded("launch-failed", "Descriptors"),
    ),
    case("no-group", Answered::with(SYS_setpgid, Errno::EPERM), NotLoaded("launch-failed", "Surroundings")),
    case("no-limits", Answered::with(SYS_prlimit64, Errno::EPERM), NotLoaded("launch-failed", "Limits")),
    case("no-capset", Answered::with(SYS_capset, Errno::EPERM), NotLoaded("launch-failed", "Identity")),
    case(
        "no-bounding-set",
        Answered::is(SYS_prctl, 0, DROP_BOUND, Errno::EPERM),
        NotLoaded("launch-failed", "Identity"),
    ),
    of_root(
        true,
        "no-setgroups",
        Answered::with(SYS_setgroups, Errno::EPERM),
        NotLoaded("launch-failed", "Identity"),
    ),
    of_root(
        true,
        "no-setresgid",
        Answered::with(SYS_setresgid, Errno::EPERM),
        NotLoaded("launch-failed", "Identity"),
    ),
    of_root(
        true,
        "no-setresuid",
        Answered::with(SYS_setresuid, Errno::EAGAIN),
        NotLoaded("launch-failed", "Identity"),
    ),
    // Claims to have changed the user, and has not.
    of_root(
        true,
        "setresuid-that-lies",
        Answered { number: SYS_setresuid, only: None, errno: 0 },
        NotLoaded("not-attested", "Uid"),
    ),
    case(
        "no-new-privs-refused",
        Answered::is(SYS_prctl, 0, NO_NEW_PRIVS, Errno::EINVAL),
        NotLoaded("launch-failed", "NoNewPrivs"),
    ),
    case(
        "no-death-signal",
        Answered::is(SYS_prctl, 0, DEATH_SIGNAL, Errno::EINVAL),
        NotLoaded("launch-failed", "DeathSignal"),
    ),
    case(
        "not-undumpable",
        Answered::is(SYS_prctl, 0, DUMPABLE, Errno::EINVAL),
        NotLoaded("not-attested", ""),
    ),
    case("no-exec", Answered::with(SYS_execveat, Errno::EACCES), NotLoaded("launch-failed", "Exec")),
];

/// A host, the package that it is to load, and what is known of both before anything is taken away.
struct Stage {
    state: tempfile::TempDir,
    programs: tempfile::TempDir,
    package: Package,
}

impl Stage {
    fn new() -> Stage {
        let state = tempfile::tempdir().expect("a temporary folder");
        let package = probe_package(&state.path().join("probe"), PluginType::Node);
        Stage { state, programs: probe_programs(), package }
    }

    fn build(&self, namespaces: Namespaces) -> Result<Host, Problem> {
        Host::builder()
            .state_dir(self.state.path().join("state"))
            .programs_dir(self.programs.path())
            .namespaces(namespaces)
            .build()
            .map_err(|error| error.problem())
    }

    fn load(&self, host: &Host) -> Result<(), Problem> {
        let loaded = host.load_blocking(LoadRequest::new(self.package.clone()));
        loaded.map(drop).map_err(|error| error.problem())
    }

    /// So that a compiler is not the first that cannot be started.
    fn compile(&self) {
        let host = self.build(Namespaces::Cheap).expect("nothing is missing yet");
        self.load(&host).expect("nothing is missing yet");
        host.stop_blocking();
    }

    /// How often something was attested: a program that got any further than its own seal.
    fn attested(&self) -> usize {
        let log = self.state.path().join("state/audit");
        let Ok(records) = Reader::open(&log) else { return 0 };
        records.filter(|entry| entry.as_ref().expect("a record").record.event == "attested").count()
    }
}

fn refuses(case: &Case) {
    let stage = Stage::new();
    stage.compile();
    let attested = stage.attested();
    put_up(case.answered);
    let before = Account::quiet();
    let began = Instant::now();
    let built = stage.build(Namespaces::Cheap);
    let problem = match (case.comes, built) {
        (NotBuilt(code, field), Err(problem)) => {
            assert_eq!(problem.code, code, "{problem:?}");
            assert!(problem.field.contains(field), "{problem:?}");
            problem
        }
        (NotLoaded(code, message), Ok(host)) => {
            let problem = stage.load(&host).expect_err("a worker runs, and a layer is missing");
            assert!(code.is_empty() || problem.code == code, "{problem:?}");
            assert!(problem.message.contains(message), "{problem:?}");
            host.stop_blocking();
            problem
        }
        // It could be missed sooner than it had to be.
        (NotLoaded("", _), Err(problem)) => problem,
        (_, Ok(_)) => panic!("a host was built without {}", case.name),
        (_, Err(problem)) => panic!("{problem:?}"),
    };
    assert!(!problem.next_step.is_empty());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(stage.attested(), attested, "something was attested");
    // A descriptor that never was may be closed in the end, and a real one in its place.
    if case.answered.errno != 0 {
        Account::settle(&before);
    }
}

#[test]
fn g12_a_missing_layer_is_a_refusal_and_never_a_worker_that_runs_with_less() {
    const TEST: &str = "g12_a_missing_layer_is_a_refusal_and_never_a_worker_that_runs_with_less";
    if let Some(part) = scene::part(TEST) {
        return refuses(CASES.iter().find(|case| case.name == part).expect("a case"));
    }
    for case in CASES {
        if case.root.is_some_and(|root| root != is_root()) {
            continue;
        }
        // It waits for five seconds, in vain, before it gives a worker up.
        if case.name == "notifications-unread" && cycles(0, 1) == 0 {
            continue;
        }
        println!("{}", case.name);
        scene::start(TEST, case.name).finish();
    }
}

#[test]
fn g12_namespaces_are_done_without_only_where_somebody_says_so() {
    const TEST: &str = "g12_namespaces_are_done_without_only_where_somebody_says_so";
    scene::alone(TEST, || {
        put_up(Answered::has(SYS_clone, 0, NEW_PID, Errno::EPERM));
        let stage = Stage::new();
        for namespaces in [Namespaces::Cheap, Namespaces::All] {
            let host = stage.build(namespaces).expect("no namespace is made yet");
            let problem = stage.load(&host).expect_err("not silently without");
            assert_eq!(problem.code, "launch-failed", "{problem:?}");
            assert!(problem.next_step.contains("--namespaces off"), "{problem:?}");
        }
        is_confined_and_serves(&Bench::with_probe(Namespaces::Off));
    });
}

/// Where the kernel cannot refuse descriptors, the host drops them, and says which it was.
#[test]
fn g12_a_kernel_without_so_passrights_is_made_up_for_and_recorded() {
    const TEST: &str = "g12_a_kernel_without_so_passrights_is_made_up_for_and_recorded";
    scene::alone(TEST, || {
        put_up(Answered::is(SYS_setsockopt, 2, 83, Errno::ENOPROTOOPT));
        let bench = Bench::with_probe(Namespaces::Cheap);
        is_confined_and_serves(&bench);
        let attested = bench.found(Layer::Launch, "launch", Decision::Allowed);
        let said: Vec<_> = attested
            .iter()
            .filter_map(|entry| entry.record.detail.text("descriptors_refused_by_kernel"))
            .collect();
        assert!(!said.is_empty() && said.iter().all(|said| *said == "false"), "{said:?}");
    });
}

/// A filter around this thread with a listener of its own: container runtimes have such.
fn listener_on(number: i64) -> OwnedFd {
    // Load the number; where it is the one, ask the listener, else allow.
    let code = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut program = [
        code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: number as u32,
        },
        code(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF),
        code(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs().expect("every process may");
    // SAFETY: the kernel copies the instructions and writes nothing.
    let listener = unsafe {
        libc::syscall(
            SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    let listener = Errno::result(listener).expect("every process may");
    // SAFETY: just made for us.
    unsafe { OwnedFd::from_raw_fd(listener as i32) }
}

/// Answers every question that comes to a listener with one number, for ever.
fn answer_all(listener: OwnedFd, value: i64) {
    loop {
        // SAFETY: all zeroes is a valid value of the type, and what the request wants to find.
        let mut question: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the request takes this structure.
        let got = unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut question) };
        if got != 0 {
            continue;
        }
        let mut answer = libc::seccomp_notif_resp { id: question.id, val: value, error: 0, flags: 0 };
        // `SECCOMP_IOCTL_NOTIF_SEND`.
        // SAFETY: the request takes this structure.
        unsafe { libc::ioctl(listener.as_raw_fd(), 0xc018_2101, &raw mut answer) };
    }
}

#[test]
fn g12_an_old_landlock_is_a_refusal_that_names_the_version() {
    const TEST: &str = "g12_an_old_landlock_is_a_refusal_that_names_the_version";
    scene::each(TEST, &["1", "2", "3", "4", "5"], |part| {
        let version: i64 = part.parse().expect("a number");
        let stage = Stage::new();
        let (send, receive) = std::sync::mpsc::channel();
        // Started before the filter, which is around this thread alone.
        std::thread::spawn(move || answer_all(receive.recv().expect("a listener"), version));
        send.send(listener_on(SYS_landlock_create_ruleset)).expect("it waits");
        let problem = stage.build(Namespaces::Cheap).map(drop).expect_err("too old");
        assert_eq!(
            (problem.code, problem.field.as_str()),
            ("unsupported-host", "landlock-old"),
            "{problem:?}"
        );
        assert!(problem.message.contains(&format!("ABI {version}")), "{problem:?}");
    });
}

/// The kernel has one listener for a process: where a runtime has it, the worker's filter cannot have one.
#[test]
fn g12_a_host_under_somebody_elses_listener_starts_nothing() {
    const TEST: &str = "g12_a_host_under_somebody_elses_listener_starts_nothing";
    scene::alone(TEST, || {
        let stage = Stage::new();
        let _listener = listener_on(libc::SYS_acct);
        let host = stage.build(Namespaces::Cheap).expect("nothing is missing that can be asked for");
        let problem = stage.load(&host).expect_err("no filter with a listener");
        assert_eq!(problem.code, "not-attested", "{problem:?}");
        assert_eq!(stage.attested(), 0);
        host.stop_blocking();
    });
}

/// Mounts of this process's own, which nobody else sees.
fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("root may");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("root may");
}

/// Has a file read as something else.
fn reads_as(path: &str, content: &str) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), content).expect("writable");
    mount(Some(file.path()), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("root may");
}

#[test]
fn g12_settings_that_take_a_layer_away_are_a_refusal() {
    const TEST: &str = "g12_settings_that_take_a_layer_away_are_a_refusal";
    if !is_root() {
        skipped(TEST, "only root can have mounts of its own");
        return;
    }
    scene::each(TEST, &["no-user-notif", "no-actions", "noexec"], |part| {
        let stage = Stage::new();
        own_mounts();
        let field = match part {
            "no-user-notif" => {
                reads_as(
                    "/proc/sys/kernel/seccomp/actions_avail",
                    "kill_process kill_thread errno log allow\n",
                );
                "seccomp"
            }
            "no-actions" => {
                reads_as("/proc/sys/kernel/seccomp/actions_avail", "");
                "seccomp"
            }
            _ => {
                reads_as("/proc/sys/vm/memfd_noexec", "2\n");
                "memfd-noexec"
            }
        };
        let problem = stage.build(Namespaces::Cheap).map(drop).expect_err("a layer is missing");
        assert_eq!((problem.code, problem.field.as_str()), ("unsupported-host", field), "{problem:?}");
    });
}

/// As somebody who is not root, in mounts that root has made.
fn become_nobody(folders: &[&Path]) {
    const NOBODY: u32 = 65_534;
    for folder in folders {
        let done = std::process::Command::new("chown").arg("-R").arg(NOBODY.to_string()).arg(folder).status();
        assert!(done.expect("chown").success());
    }
    nix::unistd::setgroups(&[]).expect("root may");
    nix::unistd::setresgid(NOBODY.into(), NOBODY.into(), NOBODY.into()).expect("root may");
    nix::unistd::setresuid(NOBODY.into(), NOBODY.into(), NOBODY.into()).expect("root may");
    // Another user's process is not dumpable at first; one that this user had started would be.
    nix::sys::prctl::set_dumpable(true).expect("every process may");
}

#[test]
fn g13_hidepid_is_seen_through_or_a_refusal() {
    const TEST: &str = "g13_hidepid_is_seen_through_or_a_refusal";
    if !is_root() {
        skipped(TEST, "only root can have mounts of its own");
        return;
    }
    scene::each(TEST, &["root", "nobody", "nobody-off", "nobody-without-namespaces"], |part| {
        let stage = Stage::new();
        own_mounts();
        let options = Some("hidepid=invisible");
        mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), options).expect("root may");
        if part == "nobody-without-namespaces" {
            reads_as("/proc/sys/user/max_user_namespaces", "0\n");
        }
        if part != "root" {
            let temporary = std::env::temp_dir();
            become_nobody(&[stage.state.path(), stage.programs.path(), &temporary]);
        }
        let namespaces = if part == "nobody-off" { Namespaces::Off } else { Namespaces::Cheap };
        match (part, stage.build(namespaces)) {
            ("nobody-without-namespaces", Err(problem)) => {
                let expected = ("unsupported-host", "proc-hidden");
                assert_eq!((problem.code, problem.field.as_str()), expected, "{problem:?}");
            }
            ("nobody-off", Ok(host)) => {
                let problem = stage.load(&host).expect_err("what cannot be seen cannot be trusted");
                assert_eq!(problem.code, "not-attested", "{problem:?}");
                assert_eq!(stage.attested(), 0);
            }
            (_, Ok(host)) => {
                let plugin = host.load_blocking(LoadRequest::new(stage.package.clone())).expect("it loads");
                assert_eq!(value(&call(&plugin, "echo", json!(1))), json!(1));
            }
            (_, Err(problem)) => panic!("{problem:?}"),
        }
    });
}

#[test]
fn g13_a_read_only_proc_is_enough_or_a_typed_error() {
    const TEST: &str = "g13_a_read_only_proc_is_enough_or_a_typed_error";
    if !is_root() {
        skipped(TEST, "only root can have mounts of its own");
        return;
    }
    scene::each(TEST, &["root", "nobody", "nobody-off"], |part| {
        let stage = Stage::new();
        own_mounts();
        let none = None::<&str>;
        mount(none, "/proc", none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY, none)
            .expect("root may");
        if part != "root" {
            let temporary = std::env::temp_dir();
            become_nobody(&[stage.state.path(), stage.programs.path(), &temporary]);
        }
        let namespaces = if part == "nobody-off" { Namespaces::Off } else { Namespaces::Cheap };
        let host = stage.build(namespaces).expect("everything can be read");
        match stage.load(&host) {
            // The maps of a user namespace cannot be written.
            Err(problem) => {
                assert_eq!((part, problem.code), ("nobody", "launch-failed"), "{problem:?}");
                assert!(problem.message.contains("IdMap"), "{problem:?}");
            }
            Ok(()) => assert_ne!(part, "nobody", "the maps were written"),
        }
    });
}

//! Real records of a real kernel, from text to events.

use std::time::Instant;

use stockade_kernel_log::{Assembler, Domain, Event, What, parse};

const LANDLOCK: &str = include_str!("records/landlock.txt");
const SECCOMP: &str = include_str!("records/seccomp.txt");
const CONFIG: &str = include_str!("records/config.txt");

fn events(captured: &str) -> Vec<Event> {
    let mut assembler = Assembler::default();
    let mut events = Vec::new();
    for line in captured.lines().filter(|line| !line.starts_with('#')) {
        let (kind, text) = line.split_once(' ').expect("a number and a text");
        let parsed = parse(kind.parse().expect("a number"), text.as_bytes()).expect("the kernel's own form");
        if let Some((stamp, record)) = parsed {
            assembler.take(stamp, record, Instant::now(), &mut |event| events.push(event));
        }
    }
    // Everything ended: nothing had to be waited for.
    assert!(captured == CONFIG || assembler.due().is_none());
    assembler.finish(&mut |event| events.push(event));
    events
}

#[test]
fn f11_every_blocker_of_landlock_comes_with_its_object_as_data() {
    let events = events(LANDLOCK);
    let accesses: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Access(access) => Some((access.blockers.text.as_str(), access.object.to_string())),
            _ => None,
        })
        .collect();
    let expected = [
        ("fs.read_file", "/srv/tree/d/plain"),
        ("fs.read_file", "/srv/tree/d/sp ace"),
        ("fs.read_file", "/srv/tree/d/new\nline"),
        ("fs.read_file", "/srv/tree/d/esc\u{1b}[0m\"q"),
        ("fs.read_file", "/srv/tree/d/bidi\u{202e}"),
        ("fs.read_file", "/srv/tree/d/b\u{fffd}\u{fffd}"),
        ("fs.write_file,fs.read_file", "/srv/tree/d/plain"),
        ("fs.make_dir", "/srv/tree/d"),
        ("net.connect_tcp", "127.0.0.1:9"),
        ("net.connect_tcp", "[::1]:9"),
        ("net.bind_tcp", "127.0.0.1:4999"),
        ("scope.signal", "process 11704 (python3)"),
        ("scope.abstract_unix_socket", "@abs\u{1}name"),
        ("fs.change_topology", "/tmp"),
        ("ptrace", "process 11704 (python3)"),
    ];
    let found: Vec<_> = accesses.iter().map(|(blockers, on)| (*blockers, on.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_domain_is_known_before_its_first_refusal_and_ends_with_the_exact_number() {
    let events = events(LANDLOCK);
    assert!(matches!(
        &events[0].what,
        What::Domain(Domain::Allocated { domain: 0x1_4799_91eb, pid: 11765, uid: 0, .. })
    ));
    assert!(events.iter().all(|event| event.domain() == Some(0x1_4799_91eb)));
    let last = events.last().expect("some");
    assert_eq!(last.what, What::Domain(Domain::Deallocated { domain: 0x1_4799_91eb, denials: 15 }));
    assert_eq!(events.len(), 17);
}

#[test]
fn f11_a_name_that_looks_like_a_field_is_the_tasks_name() {
    for event in events(LANDLOCK) {
        let Some(task) = event.task else { continue };
        assert_eq!(task.comm.expect("a name").text, "x\nfake=1");
        assert_eq!((task.pid, task.uid), (11765, 0));
    }
    let named = events(SECCOMP);
    assert_eq!(named.len(), 2);
    for event in named {
        let What::Seccomp(seccomp) = event.what else { panic!("{event:?}") };
        assert_eq!(seccomp.task.comm.expect("a name").text, "y\nfake=1");
        assert_eq!((seccomp.signal, seccomp.task.syscall, seccomp.task.arch), (31, 39, 0xc000_003e));
        assert_eq!(seccomp.code, 0x8000_0000);
    }
}

#[test]
fn f12_changes_of_audit_say_what_was_set_to_what() {
    let changes: Vec<_> = events(CONFIG)
        .into_iter()
        .map(|event| match event.what {
            What::Change(change) => change,
            other => panic!("{other:?}"),
        })
        .collect();
    let text = |text: &Option<stockade_kernel_log::Text>| text.as_ref().map(|text| text.text.clone());
    let told: Vec<_> = changes
        .iter()
        .map(|change| (change.operation.text.as_str(), text(&change.setting), change.before, change.value))
        .collect();
    let setting = |name: &str| Some(name.to_owned());
    // What nothing ends is told last.
    assert_eq!(
        told,
        [
            ("add_rule", None, None, None),
            ("remove_rule", None, None, None),
            ("set", setting("audit_backlog_limit"), Some(64), Some(8192)),
            ("set", setting("audit_enabled"), Some(1), Some(0)),
        ]
    );
}

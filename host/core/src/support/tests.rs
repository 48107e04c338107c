use super::*;

fn good() -> Support {
    Support {
        arch: "x86_64",
        release: "6.18.0".to_owned(),
        landlock: Landlock::Abi(6),
        errata: 0b11,
        actions: words("kill_process kill_thread trap errno user_notif trace log allow\n"),
        memfd_noexec: 1,
        user_namespaces: UserNamespaces::Allowed,
        cgroups: Cgroups { version: Some("v2"), writable: true },
        proc: Proc::default(),
        groups: vec![1000],
        pass_rights: true,
        capabilities: 0,
        kernel_records: KernelRecords::Read,
        root: false,
    }
}

fn codes(support: &Support) -> Vec<&'static str> {
    support.required().err().unwrap_or_default().iter().map(|missing| missing.code).collect()
}

fn state(support: &Support, name: &str) -> State {
    support.findings().iter().find(|finding| finding.name == name).expect("a finding").state
}

#[test]
fn a_good_machine_lacks_nothing() {
    assert_eq!(good().required(), Ok(()));
}

#[test]
fn this_machine_answers_every_check() {
    let support = Support::probe();
    assert_eq!(support.findings().len(), 12);
    assert!(!support.release.is_empty());
}

#[test]
fn each_missing_layer_alone_stops_the_host() {
    let cases: [(&str, Support); 7] = [
        ("architecture", Support { arch: "riscv64", ..good() }),
        ("landlock-absent", Support { landlock: Landlock::Absent, ..good() }),
        ("landlock-disabled", Support { landlock: Landlock::Disabled, ..good() }),
        ("landlock-old", Support { landlock: Landlock::Abi(5), ..good() }),
        ("seccomp", Support { actions: words("kill_process errno allow"), ..good() }),
        ("memfd-noexec", Support { memfd_noexec: 2, ..good() }),
        (
            "proc-hidden",
            Support {
                proc: Proc { hides: true, group: Some(7) },
                user_namespaces: UserNamespaces::Unknown,
                ..good()
            },
        ),
    ];
    for (code, support) in cases {
        assert_eq!(codes(&support), [code]);
        assert!(support.findings().iter().any(|finding| finding.state == State::Missing), "{code}");
    }
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    let support = Support { landlock: Landlock::Absent, actions: Vec::new(), memfd_noexec: 2, ..good() };
    assert_eq!(codes(&support), ["landlock-absent", "seccomp", "memfd-noexec"]);
}

#[test]
fn hidden_processes_are_no_obstacle_to_members_owners_and_tracers() {
    let hidden = Support { proc: Proc { hides: true, group: Some(7) }, ..good() };
    assert_eq!(state(&hidden, "proc"), State::Degraded);
    let denied = Support { user_namespaces: UserNamespaces::Denied("a knob"), ..hidden };
    let member = Support { groups: vec![7], ..denied.clone() };
    let tracer = Support { capabilities: 1 << CAP_SYS_PTRACE, ..denied };
    assert_eq!((state(&member, "proc"), state(&tracer, "proc")), (State::Ok, State::Ok));
}

#[test]
fn what_only_degrades_does_not_stop_the_host() {
    let support = Support {
        user_namespaces: UserNamespaces::Denied("user.max_user_namespaces"),
        cgroups: Cgroups::default(),
        pass_rights: false,
        kernel_records: KernelRecords::Disabled,
        ..good()
    };
    assert_eq!(support.required(), Ok(()));
    for name in ["namespaces", "cgroups", "so-passrights", "kernel-audit", "user"] {
        assert_eq!(state(&support, name), State::Degraded, "{name}");
    }
}

#[test]
fn whatever_is_not_ok_says_what_it_costs_and_what_to_do() {
    let bad = Support {
        arch: "riscv64",
        landlock: Landlock::Disabled,
        actions: Vec::new(),
        memfd_noexec: 2,
        proc: Proc { hides: true, group: None },
        user_namespaces: UserNamespaces::Unknown,
        cgroups: Cgroups::default(),
        pass_rights: false,
        kernel_records: KernelRecords::NoProgram("/nowhere".into()),
        ..good()
    };
    for finding in bad.findings() {
        let said = !finding.cost.is_empty() && !finding.next_step.is_empty();
        assert_eq!(said, finding.state != State::Ok, "{}", finding.name);
    }
}

#[test]
fn user_namespace_settings_are_weighed_in_order() {
    let knobs = |max, debian, apparmor, filtered| user_namespaces(&Knobs { max, debian, apparmor, filtered });
    assert_eq!(knobs(Some(9), None, None, false), UserNamespaces::Allowed);
    assert_eq!(knobs(Some(9), Some(1), Some(0), false), UserNamespaces::Allowed);
    assert_eq!(knobs(Some(9), None, None, true), UserNamespaces::Unknown);
    assert!(matches!(knobs(None, None, None, false), UserNamespaces::Denied(_)));
    assert_eq!(knobs(Some(0), None, None, false), UserNamespaces::Denied("user.max_user_namespaces"));
    assert!(matches!(knobs(Some(9), Some(0), None, true), UserNamespaces::Denied(_)));
    assert!(matches!(knobs(Some(9), None, Some(1), false), UserNamespaces::Denied(_)));
}

#[test]
fn capabilities_are_read_from_the_effective_set() {
    assert_eq!(capabilities("CapPrm:\tffff\nCapEff:\t0000002000080000\n"), 1 << 37 | 1 << 19);
    assert_eq!(capabilities("nothing"), 0);
}

#[test]
fn hidepid_is_read_from_the_mount_on_top() {
    let plain = "22 27 0:21 / /proc rw,relatime - proc proc rw\n";
    let hidden = "40 27 0:21 / /proc rw - proc proc rw,gid=7,hidepid=invisible\n";
    assert_eq!(proc(plain), Proc::default());
    assert_eq!(proc(&format!("{plain}{hidden}")), Proc { hides: true, group: Some(7) });
    assert_eq!(proc("22 27 0:21 / /proc rw - proc proc rw,hidepid=0\n"), Proc::default());
}

#[test]
fn the_own_cgroup_is_found_in_both_versions() {
    let v2 = "41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n";
    assert_eq!(cgroup_folder(v2, "0::/user.slice\n"), Some(("v2", "/sys/fs/cgroup/user.slice".to_owned())));
    let v1 = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    let memberships = "5:cpu,cpuacct:/\n4:memory:/host\n0::/\n";
    assert_eq!(
        cgroup_folder(&format!("{v1}{v2}"), memberships),
        Some(("v1", "/sys/fs/cgroup/memory/host".to_owned()))
    );
    assert_eq!(cgroup_folder("", memberships), None);
}

//! Who the process is and what it has set about itself: users, capabilities, `prctl`, and the filters and
//! rulesets that confine it.

use libc::{
    E2BIG, EBADF, EBADFD, EBUSY, EFAULT, EINVAL, ENODEV, ENOMSG, ENXIO, EPERM, PR_SET_MM, PR_SET_NO_NEW_PRIVS,
};

use super::context::Context;
use super::system::{Stop, Tried, call};
use super::table::Attack;

/// "Leave it as it is", for a user or group.
const SAME: i32 = -1;

const fn prctl(id: &'static str, tries: &'static str, run: fn(&Context) -> Tried) -> Attack {
    Attack::new(id, tries, "prctl", run)
}

/// Capability sets of version 3, of this process.
const CAPABILITIES: [u32; 2] = [0x2008_0522, 0];

/// A filter that allows everything: one instruction, `return SECCOMP_RET_ALLOW`.
fn own_filter(install: fn(*const [u64; 2]) -> Tried) -> Tried {
    let instruction = [0x7fff_0000_0000_0006_u64];
    let program = [1, instruction.as_ptr() as u64];
    install(&raw const program)
}

fn install_filter(flags: u64) -> Tried {
    // SECCOMP_SET_MODE_FILTER
    own_filter(match flags {
        0 => |program| call!(seccomp, 1, 0, program),
        _ => |program| call!(seccomp, 1, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER, program),
    })
}

/// A ruleset that handles the right to execute and nothing else.
fn ruleset() -> Tried {
    call!(landlock_create_ruleset, &[1_u64], 8, 0)
}

/// Options end at 79 (Linux 6.18).
const OPTIONS: u32 = 81;

const NEEDS_SETUID: &str = "needs CAP_SETUID";
const WITHOUT: &str = "a user without CAP_SYS_ADMIN needs no_new_privs first";

pub(super) const ATTACKS: &[Attack] = &[
    // PR_GET_DUMPABLE comes first: it works for everybody.
    prctl("A33.every-option", "prctl() with every option", |c| {
        call!(prctl, (c.variant + 3) % OPTIONS, 0, 0, 0, 0)
    })
    .times(OPTIONS),
    prctl("A33.name", "prctl(PR_SET_NAME)", |_| call!(prctl, libc::PR_SET_NAME, c"init", 0, 0, 0)),
    prctl("A33.death-signal", "prctl(PR_SET_PDEATHSIG, 0)", |_| {
        call!(prctl, libc::PR_SET_PDEATHSIG, 0, 0, 0, 0)
    }),
    prctl("A33.dumpable", "prctl(PR_SET_DUMPABLE, 1)", |_| call!(prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0)),
    prctl("A33.tracer", "prctl(PR_SET_PTRACER, ANY)", |_| call!(prctl, libc::PR_SET_PTRACER, -1, 0, 0, 0))
        .reached(&[EINVAL])
        .why("only Yama knows it"),
    prctl("A33.ambient", "prctl(PR_CAP_AMBIENT_CLEAR_ALL)", |_| {
        call!(prctl, libc::PR_CAP_AMBIENT, 4, 0, 0, 0)
    }),
    prctl("A33.bounding", "prctl(PR_CAPBSET_READ)", |_| call!(prctl, libc::PR_CAPBSET_READ, 0, 0, 0, 0)),
    prctl("A33.memory-map", "prctl(PR_SET_MM)", |_| call!(prctl, PR_SET_MM, 14, &mut [0_u32; 1], 0, 0))
        .reached(&[EINVAL])
        .why("the kernel may have no checkpoint/restore"),
    prctl("A33.subreaper", "prctl(PR_SET_CHILD_SUBREAPER)", |_| {
        call!(prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    }),
    prctl("A33.dispatch", "prctl(PR_SET_SYSCALL_USER_DISPATCH)", |_| call!(prctl, 59, 0, 0, 0, 0)),
    prctl("A33.speculation", "prctl(PR_GET_SPECULATION_CTRL)", |_| {
        call!(prctl, libc::PR_GET_SPECULATION_CTRL, 0, 0, 0, 0)
    })
    .reached(&[ENODEV]),
    prctl("A33.speculate", "prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_ENABLE)", |_| {
        call!(prctl, libc::PR_SET_SPECULATION_CTRL, 0, 2, 0, 0)
    })
    .reached(&[ENXIO, ENODEV, EPERM])
    .why("the processor may need no such mitigation"),
    prctl("A33.mapping-name", "prctl(PR_SET_VMA_ANON_NAME)", |_| call!(prctl, 0x5356_4d41, 0, 0, 0, 0))
        .reached(&[EINVAL]),
    prctl("A33.write-or-execute", "prctl(PR_SET_MDWE)", |_| call!(prctl, 65, 1, 0, 0, 0)),
    prctl("A33.no-new-privileges", "prctl(PR_SET_NO_NEW_PRIVS, 0)", |_| {
        call!(prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)
    })
    .always(&[EINVAL])
    .why("cannot be taken back, in any layer"),
    prctl("A33.keep-capabilities", "prctl(PR_SET_KEEPCAPS, 1)", |_| {
        call!(prctl, libc::PR_SET_KEEPCAPS, 1, 0, 0, 0)
    }),
    prctl("A33.time-stamp-counter", "prctl(PR_SET_TSC, PR_TSC_SIGSEGV)", |_| {
        call!(prctl, libc::PR_SET_TSC, 2, 0, 0, 0)
    }),
    prctl("A33.machine-check", "prctl(PR_MCE_KILL)", |_| call!(prctl, libc::PR_MCE_KILL, 1, 0, 0, 0)),
    prctl("A33.io-flusher", "prctl(PR_GET_IO_FLUSHER)", |_| call!(prctl, 58, 0, 0, 0, 0))
        .why("needs CAP_SYS_RESOURCE"),
    prctl("A33.core-scheduling", "prctl(PR_SCHED_CORE_GET)", |_| call!(prctl, 62, 0, 0, 0, &mut [0_u64; 1]))
        .reached(&[EINVAL, ENODEV]),
    Attack::new("A33.fs-base", "arch_prctl(ARCH_GET_FS)", "arch_prctl", |_| {
        call!(arch_prctl, 0x1003, &mut [0_u64; 1])
    }),
    Attack::new("A33.gs-base", "arch_prctl(ARCH_SET_GS)", "arch_prctl", |_| call!(arch_prctl, 0x1001, 4096)),
    Attack::new("A33.cpuid", "arch_prctl(ARCH_GET_CPUID)", "arch_prctl", |_| call!(arch_prctl, 0x1011, 0)),
    Attack::new("A40.filter", "seccomp(SECCOMP_SET_MODE_FILTER)", "seccomp", |_| install_filter(0))
        .why(WITHOUT),
    Attack::new("A40.listener", "seccomp() with a listener of its own", "seccomp", |_| install_filter(1))
        .why(WITHOUT),
    Attack::new("A40.available", "seccomp(SECCOMP_GET_ACTION_AVAIL)", "seccomp", |_| {
        call!(seccomp, 2, 0, &[0x7fff_0000_u32])
    }),
    prctl("A40.prctl-filter", "prctl(PR_SET_SECCOMP)", |_| {
        own_filter(|program| call!(prctl, libc::PR_SET_SECCOMP, 2, program, 0, 0))
    })
    .why(WITHOUT),
    prctl("A40.get", "prctl(PR_GET_SECCOMP)", |_| call!(prctl, libc::PR_GET_SECCOMP, 0, 0, 0, 0)),
    Attack::new("A41.version", "landlock_create_ruleset(VERSION)", "landlock_create_ruleset", |_| {
        call!(landlock_create_ruleset, 0, 0, 1)
    }),
    Attack::new("A41.ruleset", "landlock_create_ruleset()", "landlock_create_ruleset", |_| ruleset()),
    Attack::new("A41.rule", "landlock_add_rule(0)", "landlock_add_rule", |_| {
        call!(landlock_add_rule, 0, 1, &[0_u64; 2], 0)
    })
    .reached(&[EBADF, EBADFD, EINVAL, ENOMSG]),
    Attack::new("A41.restrict", "a nested domain that mutes the log", "landlock_create_ruleset", |_| {
        // LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF, ABI 7.
        call!(landlock_restrict_self, ruleset()?, 1)
    })
    .why(WITHOUT),
    Attack::new(
        "A41.mute",
        "landlock_restrict_self(-1, LOG_SUBDOMAINS_OFF)",
        "landlock_restrict_self",
        |_| call!(landlock_restrict_self, -1, 4),
    )
    .why(WITHOUT),
    Attack::new("A43.setuid", "setuid(0)", "setuid", |_| call!(setuid, 0)).why(NEEDS_SETUID),
    Attack::new("A43.setgid", "setgid(0)", "setgid", |_| call!(setgid, 0)).why("needs CAP_SETGID"),
    Attack::new("A43.setreuid", "setreuid(-1, -1)", "setreuid", |_| call!(setreuid, SAME, SAME)),
    Attack::new("A43.setregid", "setregid(-1, -1)", "setregid", |_| call!(setregid, SAME, SAME)),
    Attack::new("A43.setresuid", "setresuid(-1, -1, -1)", "setresuid", |_| {
        call!(setresuid, SAME, SAME, SAME)
    }),
    Attack::new("A43.setresuid-root", "setresuid(0, 0, 0)", "setresuid", |_| call!(setresuid, 0, 0, 0))
        .why(NEEDS_SETUID),
    Attack::new("A43.setresgid", "setresgid(-1, -1, -1)", "setresgid", |_| {
        call!(setresgid, SAME, SAME, SAME)
    }),
    Attack::new("A43.setgroups", "setgroups(none)", "setgroups", |_| call!(setgroups, 0, 0))
        .why("needs CAP_SETGID"),
    Attack::new("A43.setfsuid", "setfsuid(0)", "setfsuid", |_| call!(setfsuid, 0))
        .why("never says that it failed"),
    Attack::new("A43.setfsgid", "setfsgid(0)", "setfsgid", |_| call!(setfsgid, 0))
        .why("never says that it failed"),
    Attack::new("A43.getuid", "getuid()", "getuid", |_| call!(getuid)),
    Attack::new("A43.getgroups", "getgroups()", "getgroups", |_| call!(getgroups, 0, 0)),
    Attack::new("A43.capget", "capget()", "capget", |_| call!(capget, &CAPABILITIES, &mut [0_u32; 6])),
    Attack::new("A43.capset", "capset(none)", "capset", |_| call!(capset, &CAPABILITIES, &[0_u32; 6])),
    Attack::new("A43.capset-all", "capset(all)", "capset", |_| {
        // The 40 that Linux has had since 5.9, effective, permitted and inheritable.
        match call!(capset, &CAPABILITIES, &[u32::MAX, u32::MAX, u32::MAX, 0x1ff, 0x1ff, 0x1ff]) {
            Err(Stop::Errno(EFAULT | E2BIG | EBUSY)) => {
                Err(Stop::Unavailable("capset does not take version 3"))
            }
            tried => tried,
        }
    })
    .why("only who has them all can ask for all"),
    prctl("A43.securebits", "prctl(PR_SET_SECUREBITS)", |_| {
        call!(prctl, libc::PR_SET_SECUREBITS, 0, 0, 0, 0)
    })
    .why("needs CAP_SETPCAP"),
    Attack::new("A43.setsid", "setsid()", "setsid", |_| call!(setsid))
        .always(&[EPERM])
        .why("it leads one already"),
    Attack::new("A43.setpgid", "setpgid(0, 0)", "setpgid", |_| call!(setpgid, 0, 0))
        .always(&[EPERM])
        .why("it leads a session already"),
    Attack::new("A43.getpid", "getpid()", "getpid", |_| call!(getpid)),
    Attack::new("A43.getppid", "getppid()", "getppid", |_| call!(getppid)),
];

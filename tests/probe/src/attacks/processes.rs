//! Other processes: tracing, reading, signalling and limiting them.

use libc::{EBADF, EFAULT, EINVAL, EIO, EPERM, ESRCH, SIGCONT, SIGKILL, SIGSTOP};

use super::context::Context;
use super::system::{Tried, call};
use super::table::Attack;

/// Linux 6.14: this process, without a descriptor of it.
const PIDFD_SELF: i32 = -10_001;

/// Something done to the victim that it may not survive.
const fn harms(
    id: &'static str,
    tries: &'static str,
    call: &'static str,
    run: fn(&Context) -> Tried,
) -> Attack {
    Attack::new(id, tries, call, run).victim()
}

/// `siginfo_t` of a queued signal.
fn queued(signal: i32) -> [i32; 32] {
    let mut info = [0; 32];
    (info[0], info[2]) = (signal, libc::SI_QUEUE);
    info
}

fn pidfd(c: &Context) -> Tried {
    call!(pidfd_open, c.victim, 0)
}

/// One word of ours, and one of the victim's that is at this address in no process.
fn copied(own: &mut [u64; 1]) -> ([u64; 2], [u64; 2]) {
    ([own.as_mut_ptr() as u64, 8], [4096, 8])
}

const NO_HOOK: &str =
    "Landlock scopes signals and tracing, not what else one can do to a process of one's own user";

pub(super) const ATTACKS: &[Attack] = &[
    harms("A22.attach", "ptrace(PTRACE_ATTACH, VICTIM)", "ptrace", |c| {
        call!(ptrace, libc::PTRACE_ATTACH, c.victim, 0, 0)
    })
    .landlock(&[EPERM]),
    harms("A22.seize", "ptrace(PTRACE_SEIZE, VICTIM)", "ptrace", |c| {
        call!(ptrace, libc::PTRACE_SEIZE, c.victim, 0, 0)
    })
    .landlock(&[EPERM]),
    harms("A22.suspend-seccomp", "ptrace(PTRACE_SEIZE, VICTIM, PTRACE_O_SUSPEND_SECCOMP)", "ptrace", |c| {
        call!(ptrace, libc::PTRACE_SEIZE, c.victim, 0, 1 << 21)
    })
    .landlock(&[EPERM])
    .why("needs CAP_SYS_ADMIN and a kernel with checkpoint/restore"),
    Attack::new("A22.traceme", "ptrace(PTRACE_TRACEME)", "ptrace", |_| {
        call!(ptrace, libc::PTRACE_TRACEME, 0, 0, 0)
    })
    .why("Landlock lets a parent outside of the domain trace"),
    harms("A22.peek", "ptrace(PTRACE_PEEKDATA, VICTIM)", "ptrace", |c| {
        call!(ptrace, libc::PTRACE_PEEKDATA, c.victim, 4096, &mut [0_u64; 1])
    })
    .reached(&[ESRCH, EIO])
    .why("refused to who does not trace it, whoever that is"),
    harms("A23.readv", "process_vm_readv(VICTIM)", "process_vm_readv", |c| {
        let (ours, theirs) = copied(&mut [0]);
        call!(process_vm_readv, c.victim, &ours, 1, &theirs, 1, 0)
    })
    .reached(&[EFAULT])
    .landlock(&[EPERM]),
    harms("A23.writev", "process_vm_writev(VICTIM)", "process_vm_writev", |c| {
        let (ours, theirs) = copied(&mut [0]);
        call!(process_vm_writev, c.victim, &ours, 1, &theirs, 1, 0)
    })
    .reached(&[EFAULT])
    .landlock(&[EPERM]),
    Attack::new("A23.madvise-bare", "process_madvise(0)", "process_madvise", |_| {
        call!(process_madvise, 0, &[0_u64; 2], 1, libc::MADV_COLD, 0)
    })
    .reached(&[EBADF]),
    harms("A23.madvise", "process_madvise(VICTIM, MADV_COLD)", "pidfd_open", |c| {
        call!(process_madvise, pidfd(c)?, &[0_u64; 2], 1, libc::MADV_COLD, 0)
    })
    .landlock_any()
    .why("needs CAP_SYS_NICE; with CAP_PERFMON or CAP_SYS_ADMIN it passes Landlock (seen on Linux 6.18)"),
    Attack::new("A23.mrelease-bare", "process_mrelease(0)", "process_mrelease", |_| {
        call!(process_mrelease, 0, 0)
    })
    .reached(&[EBADF]),
    harms("A23.mrelease", "process_mrelease(VICTIM)", "pidfd_open", |c| {
        call!(process_mrelease, pidfd(c)?, 0)
    })
    .reached(&[EINVAL])
    .why("only who dies already can be released, and nobody is asked who wants to"),
    Attack::new("A24.pidfd-open", "pidfd_open(VICTIM)", "pidfd_open", pidfd).why(NO_HOOK),
    Attack::new("A24.getfd-bare", "pidfd_getfd(0, 0)", "pidfd_getfd", |_| call!(pidfd_getfd, 0, 0, 0))
        .reached(&[EBADF]),
    harms("A24.getfd", "pidfd_getfd(VICTIM, 0)", "pidfd_open", |c| call!(pidfd_getfd, pidfd(c)?, 0, 0))
        .landlock(&[EPERM]),
    Attack::new("A24.signal-self", "pidfd_send_signal(PIDFD_SELF, 0)", "pidfd_send_signal", |_| {
        call!(pidfd_send_signal, PIDFD_SELF, 0, 0, 0)
    })
    .reached(&[EBADF]),
    harms("A24.signal", "pidfd_send_signal(VICTIM, SIGSTOP)", "pidfd_open", |c| {
        call!(pidfd_send_signal, pidfd(c)?, SIGSTOP, 0, 0)
    })
    .landlock(&[EPERM]),
    // _IO(0xFF, 4), Linux 6.11.
    harms("A24.namespace", "ioctl(pidfd of VICTIM, PIDFD_GET_NET_NAMESPACE)", "pidfd_open", |c| {
        call!(ioctl, pidfd(c)?, 0xff04, 0)
    })
    .landlock_any(),
    harms("A25.kill", "kill(VICTIM, SIGKILL)", "kill", |c| call!(kill, c.victim, SIGKILL)).landlock(&[EPERM]),
    harms("A25.stop", "kill(VICTIM, SIGSTOP)", "kill", |c| call!(kill, c.victim, SIGSTOP)).landlock(&[EPERM]),
    harms("A25.probe", "kill(VICTIM, 0)", "kill", |c| call!(kill, c.victim, 0)).landlock(&[EPERM]),
    Attack::new("A25.kill-all", "kill(-1, 0)", "kill", |_| call!(kill, -1, 0))
        .landlock_any()
        .why("says that it worked even where nobody could be signalled"),
    Attack::new("A25.kill-group", "kill(0, 0)", "kill", |_| call!(kill, 0, 0)).why("its own group: itself"),
    harms("A25.victim-group", "kill(-VICTIM, 0)", "kill", |c| call!(kill, -c.victim, 0))
        .reached(&[ESRCH])
        .landlock_any()
        .why("not every process leads a group"),
    harms("A25.tkill", "tkill(VICTIM, SIGSTOP)", "tkill", |c| call!(tkill, c.victim, SIGSTOP))
        .landlock(&[EPERM]),
    harms("A25.tgkill", "tgkill(VICTIM, SIGSTOP)", "tgkill", |c| call!(tgkill, c.victim, c.victim, SIGSTOP))
        .landlock(&[EPERM]),
    harms("A25.queue", "rt_sigqueueinfo(VICTIM, SIGCONT)", "rt_sigqueueinfo", |c| {
        call!(rt_sigqueueinfo, c.victim, SIGCONT, &queued(SIGCONT))
    })
    .landlock(&[EPERM]),
    harms("A25.tgqueue", "rt_tgsigqueueinfo(VICTIM, SIGCONT)", "rt_tgsigqueueinfo", |c| {
        call!(rt_tgsigqueueinfo, c.victim, c.victim, SIGCONT, &queued(SIGCONT))
    })
    .landlock(&[EPERM]),
    harms("A34.no-files", "prlimit64(VICTIM, RLIMIT_NOFILE, 0)", "prlimit64", |c| {
        call!(prlimit64, c.victim, libc::RLIMIT_NOFILE, &[0_u64; 2], 0)
    })
    .why(NO_HOOK),
    Attack::new("A34.look", "prlimit64(VICTIM): read its limits", "prlimit64", |c| {
        call!(prlimit64, c.victim, libc::RLIMIT_NOFILE, 0, &mut [0_u64; 2])
    })
    .why(NO_HOOK),
    Attack::new("A34.raise", "prlimit64(self): raise its hard limit of files", "prlimit64", |_| {
        call!(prlimit64, 0, libc::RLIMIT_NOFILE, &[1_u64 << 20, 1 << 30], 0)
    })
    .why("needs CAP_SYS_RESOURCE, and no more than fs.nr_open"),
    Attack::new("A34.setrlimit", "setrlimit(RLIMIT_CORE, 0)", "setrlimit", |_| {
        call!(setrlimit, libc::RLIMIT_CORE, &[0_u64; 2])
    }),
    Attack::new("A34.getrlimit", "getrlimit(RLIMIT_DATA)", "getrlimit", |_| {
        call!(getrlimit, libc::RLIMIT_DATA, &mut [0_u64; 2])
    }),
    harms("A34.nice", "setpriority(VICTIM, 19)", "setpriority", |c| {
        call!(setpriority, libc::PRIO_PROCESS, c.victim, 19)
    })
    .why(NO_HOOK),
    harms("A34.affinity", "sched_setaffinity(VICTIM)", "sched_setaffinity", |c| {
        call!(sched_setaffinity, c.victim, 8, &[1_u64])
    })
    .why(NO_HOOK),
    harms("A34.scheduler", "sched_setscheduler(VICTIM, SCHED_IDLE)", "sched_setscheduler", |c| {
        call!(sched_setscheduler, c.victim, libc::SCHED_IDLE, &[0_u32])
    })
    .why(NO_HOOK),
    harms("A34.parameters", "sched_setparam(VICTIM)", "sched_setparam", |c| {
        call!(sched_setparam, c.victim, &[0_u32])
    })
    .why(NO_HOOK),
    harms("A34.attributes", "sched_setattr(VICTIM, SCHED_BATCH)", "sched_setattr", |c| {
        call!(sched_setattr, c.victim, &[48_u32, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0)
    })
    .why(NO_HOOK),
    harms("A34.io-priority", "ioprio_set(VICTIM, idle)", "ioprio_set", |c| {
        call!(ioprio_set, 1, c.victim, 3 << 13)
    })
    .why(NO_HOOK),
    Attack::new("A45.kcmp", "kcmp(VICTIM, VICTIM, KCMP_FILE)", "kcmp", |c| {
        call!(kcmp, c.victim, c.victim, 0, 0, 0)
    })
    .landlock(&[EPERM]),
    Attack::new("A45.robust-list", "get_robust_list(VICTIM)", "get_robust_list", |c| {
        call!(get_robust_list, c.victim, &mut [0_u64; 1], &mut [0_u64; 1])
    })
    .landlock(&[EPERM]),
    harms("A45.move-pages", "move_pages(VICTIM)", "move_pages", |c| {
        call!(move_pages, c.victim, 1, &[4096_u64], 0, &mut [0_u32; 1], 0)
    })
    .landlock(&[EPERM]),
    harms("A45.migrate-pages", "migrate_pages(VICTIM)", "migrate_pages", |c| {
        call!(migrate_pages, c.victim, 64, &[1_u64], &[1_u64])
    })
    .landlock(&[EPERM]),
    Attack::new("A45.get-mempolicy", "get_mempolicy()", "get_mempolicy", |_| {
        call!(get_mempolicy, &mut [0_u32; 1], 0, 0, 0, 0)
    }),
    Attack::new("A45.set-mempolicy", "set_mempolicy(MPOL_DEFAULT)", "set_mempolicy", |_| {
        call!(set_mempolicy, 0, 0, 0)
    }),
    Attack::new("A45.mbind", "mbind()", "mbind", |_| call!(mbind, 4096, 0, 0, 0, 0, 0)),
    Attack::new("A45.home-node", "set_mempolicy_home_node()", "set_mempolicy_home_node", |_| {
        call!(set_mempolicy_home_node, 4096, 0, 0, 0)
    }),
];

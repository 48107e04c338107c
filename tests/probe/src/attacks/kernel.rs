//! The kernel itself: its newest interfaces, its programs, its settings. As root, too, nothing here has an
//! effect: each call ends at an argument that is looked at after the permission, or changes nothing.

use libc::{
    AT_FDCWD, EACCES, EBADF, EFAULT, EINVAL, ENODEV, ENOENT, ENOEXEC, ENOKEY, EOPNOTSUPP, EPERM, ESRCH,
};

use super::context::Context;
use super::system::{Tried, call};
use super::table::Attack;

/// Is on no system.
const NOWHERE: &std::ffi::CStr = c"/stockade-no-such";

const fn old(
    id: &'static str,
    tries: &'static str,
    call: &'static str,
    run: fn(&Context) -> Tried,
) -> Attack {
    Attack::new(id, tries, call, run).why("kernels of today no longer have it")
}

/// `struct perf_event_attr`: a task's clock, of user space alone.
fn task_clock() -> [u64; 16] {
    let mut attributes = [0; 16];
    // PERF_TYPE_SOFTWARE and the structure's size; PERF_COUNT_SW_TASK_CLOCK.
    (attributes[0], attributes[1]) = (1 | 128 << 32, 1);
    // exclude_kernel and exclude_hv.
    attributes[5] = 0b110_0000;
    attributes
}

/// `union bpf_attr` of an array of one element.
const BPF_ARRAY: [u32; 32] = {
    let mut attributes = [0; 32];
    (attributes[0], attributes[1], attributes[2], attributes[3]) = (2, 4, 4, 1);
    attributes
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new("A18.setup", "io_uring_setup()", "io_uring_setup", |_| {
        call!(io_uring_setup, 1, &mut [0_u64; 15])
    })
    .why("kernel.io_uring_disabled may forbid it"),
    Attack::new("A18.enter", "io_uring_enter(0)", "io_uring_enter", |_| {
        call!(io_uring_enter, 0, 1, 0, 0, 0, 0)
    })
    .reached(&[EOPNOTSUPP, EBADF]),
    Attack::new("A18.register", "io_uring_register(0)", "io_uring_register", |_| {
        call!(io_uring_register, 0, 0, 0, 0)
    })
    .reached(&[EOPNOTSUPP, EBADF, EINVAL]),
    Attack::new("A18.aio", "io_setup()", "io_setup", |_| call!(io_setup, 1, &mut [0_u64; 1])),
    Attack::new("A19.bpf-map", "bpf(BPF_MAP_CREATE)", "bpf", |_| call!(bpf, 0, &BPF_ARRAY, 72))
        .why("needs CAP_BPF unless kernel.unprivileged_bpf_disabled is 0"),
    Attack::new("A19.bpf-program", "bpf(BPF_PROG_LOAD) of no program", "bpf", |_| {
        call!(bpf, 5, &[1_u64; 16], 128)
    })
    .reached(&[EINVAL, EFAULT, libc::E2BIG])
    .why("needs CAP_BPF unless kernel.unprivileged_bpf_disabled is 0"),
    Attack::new("A19.bpf-types", "bpf(BPF_BTF_LOAD) of no types", "bpf", |_| {
        call!(bpf, 18, &[0_u64; 16], 128)
    })
    .reached(&[EINVAL, EFAULT, libc::E2BIG])
    .why("needs CAP_BPF"),
    Attack::new("A19.perf", "perf_event_open(its own clock)", "perf_event_open", |_| {
        call!(perf_event_open, &task_clock(), 0, -1, -1, 0)
    })
    .why("kernel.perf_event_paranoid may forbid it"),
    Attack::new("A20.add-key", "add_key(\"user\")", "add_key", |_| {
        call!(add_key, c"user", c"stockade", c"x", 1, -2)
    }),
    Attack::new("A20.request-key", "request_key(\"user\")", "request_key", |_| {
        call!(request_key, c"user", c"stockade-no-such", 0, 0)
    })
    .reached(&[ENOKEY]),
    Attack::new("A20.session", "keyctl(KEYCTL_JOIN_SESSION_KEYRING)", "keyctl", |_| call!(keyctl, 1, 0)),
    Attack::new("A20.session-to-parent", "keyctl(KEYCTL_SESSION_TO_PARENT)", "keyctl", |_| call!(keyctl, 18))
        .reached(&[EPERM])
        .why("refused where the parent is another user's, or cannot be changed now"),
    Attack::new("A20.keyring", "keyctl(KEYCTL_GET_KEYRING_ID)", "keyctl", |_| call!(keyctl, 0, -2, 1)),
    Attack::new("A21.userfaultfd", "userfaultfd(UFFD_USER_MODE_ONLY)", "userfaultfd", |_| {
        call!(userfaultfd, 1)
    }),
    Attack::new("A21.userfaultfd-kernel", "userfaultfd(0)", "userfaultfd", |_| call!(userfaultfd, 0))
        .why("needs CAP_SYS_PTRACE unless vm.unprivileged_userfaultfd is 1"),
    Attack::new("A21.device", "openat(\"/dev/userfaultfd\")", "openat", |_| {
        call!(openat, AT_FDCWD, c"/dev/userfaultfd", libc::O_RDWR, 0)
    })
    .landlock(&[EACCES])
    .why("root's, and not in every /dev"),
    Attack::new("A44.reboot", "reboot() without its magic", "reboot", |_| call!(reboot, 0, 0, 0, 0))
        .reached(&[EINVAL])
        .why("needs CAP_SYS_BOOT"),
    Attack::new("A44.kexec", "kexec_load() with bad flags", "kexec_load", |_| {
        call!(kexec_load, 0, 0, 0, !0_u64)
    })
    .reached(&[EINVAL])
    .why("needs CAP_SYS_BOOT and a kernel with kexec"),
    Attack::new("A44.kexec-file", "kexec_file_load() with bad flags", "kexec_file_load", |_| {
        call!(kexec_file_load, 0, 0, 0, 0, !0_u64)
    })
    .reached(&[EINVAL])
    .why("needs CAP_SYS_BOOT and a kernel with kexec"),
    Attack::new("A44.init-module", "init_module() of nothing", "init_module", |_| {
        call!(init_module, 0, 0, c"")
    })
    .reached(&[ENOEXEC, EFAULT])
    .why("needs CAP_SYS_MODULE"),
    Attack::new("A44.finit-module", "finit_module() with bad flags", "finit_module", |_| {
        call!(finit_module, 4, c"", !0_u32)
    })
    .reached(&[EINVAL])
    .why("needs CAP_SYS_MODULE"),
    Attack::new("A44.delete-module", "delete_module(\"stockade_no_such\")", "delete_module", |_| {
        call!(delete_module, c"stockade_no_such", libc::O_NONBLOCK)
    })
    .reached(&[ENOENT])
    .why("needs CAP_SYS_MODULE"),
    Attack::new("A44.swapon", "swapon() of what is not there", "swapon", |_| call!(swapon, NOWHERE, 0))
        .reached(&[ENOENT])
        .landlock_any()
        .why("needs CAP_SYS_ADMIN"),
    Attack::new("A44.swapoff", "swapoff() of what is not there", "swapoff", |_| call!(swapoff, NOWHERE))
        .reached(&[ENOENT])
        .landlock_any()
        .why("needs CAP_SYS_ADMIN"),
    Attack::new("A44.acct", "acct() to what is not there", "acct", |_| call!(acct, NOWHERE))
        .reached(&[ENOENT])
        .landlock_any()
        .why("needs CAP_SYS_PACCT"),
    Attack::new("A44.syslog", "syslog(SYSLOG_ACTION_SIZE_BUFFER)", "syslog", |_| call!(syslog, 10, 0, 0))
        .why("kernel.dmesg_restrict may forbid it"),
    Attack::new("A44.sethostname", "sethostname() of length -1", "sethostname", |_| {
        call!(sethostname, c"x", -1)
    })
    .reached(&[EINVAL])
    .why("needs CAP_SYS_ADMIN"),
    Attack::new("A44.setdomainname", "setdomainname() of length -1", "setdomainname", |_| {
        call!(setdomainname, c"x", -1)
    })
    .reached(&[EINVAL])
    .why("needs CAP_SYS_ADMIN"),
    Attack::new("A44.settimeofday", "settimeofday() to no time", "settimeofday", |_| {
        call!(settimeofday, 0, 0)
    })
    .why("needs CAP_SYS_TIME"),
    Attack::new("A44.clock-settime", "clock_settime() from no time", "clock_settime", |_| {
        call!(clock_settime, 0, 0)
    })
    .reached(&[EFAULT]),
    Attack::new("A44.adjtimex", "adjtimex() of nothing", "adjtimex", |_| call!(adjtimex, &mut [0_u64; 26])),
    Attack::new("A44.clock-adjtime", "clock_adjtime() of nothing", "clock_adjtime", |_| {
        call!(clock_adjtime, 0, &mut [0_u64; 26])
    }),
    Attack::new("A44.iopl", "iopl(3)", "iopl", |_| call!(iopl, 3)).why("needs CAP_SYS_RAWIO"),
    Attack::new("A44.ioperm", "ioperm(0x80)", "ioperm", |_| call!(ioperm, 0x80, 1, 1))
        .why("needs CAP_SYS_RAWIO"),
    Attack::new("A44.ldt-read", "modify_ldt(): read", "modify_ldt", |_| {
        call!(modify_ldt, 0, &mut [0_u64; 8], 64)
    }),
    // struct user_desc: entry 0, base and limit 0, "not present" and "empty".
    Attack::new("A44.ldt-write", "modify_ldt(): write an empty entry", "modify_ldt", |_| {
        call!(modify_ldt, 1, &[0_u32, 0, 0, 0b10_1000], 16)
    }),
    Attack::new("A44.quotactl", "quotactl() of what is no device", "quotactl", |_| {
        call!(quotactl, 0x80_0005_u32 << 8, NOWHERE, 0, &mut [0_u64; 8])
    })
    .reached(&[ENOENT, ENODEV, EINVAL, ESRCH])
    .landlock_any(),
    Attack::new("A44.quotactl-fd", "quotactl_fd(artifact)", "quotactl_fd", |_| {
        call!(quotactl_fd, 4, 0x80_0005_u32 << 8, 0, &mut [0_u64; 8])
    })
    .reached(&[ENODEV, EINVAL, ESRCH, libc::ENOSYS]),
    Attack::new("A44.vhangup", "vhangup() without a terminal", "vhangup", |_| call!(vhangup))
        .why("needs CAP_SYS_TTY_CONFIG"),
    Attack::new("A44.personality", "personality(): read", "personality", |_| call!(personality, u32::MAX)),
    Attack::new("A44.security-modules", "lsm_list_modules()", "lsm_list_modules", |_| {
        call!(lsm_list_modules, &mut [0_u64; 32], &mut [256_u32], 0)
    }),
    Attack::new("A44.security-attribute", "lsm_get_self_attr()", "lsm_get_self_attr", |_| {
        call!(lsm_get_self_attr, 100, 0, &mut [4096_u32], 0)
    })
    .reached(&[EOPNOTSUPP, EINVAL, libc::E2BIG]),
    Attack::new("A44.set-security-attribute", "lsm_set_self_attr()", "lsm_set_self_attr", |_| {
        call!(lsm_set_self_attr, 100, &[100_u64, 0, 32, 0], 32, 0)
    })
    .reached(&[EOPNOTSUPP, EINVAL]),
    Attack::new("A44.uname", "uname()", "uname", |_| call!(uname, &mut [0_u8; 390])),
    Attack::new("A44.sysinfo", "sysinfo()", "sysinfo", |_| call!(sysinfo, &mut [0_u64; 16])),
    old("A44.sysctl", "_sysctl()", "_sysctl", |_| call!(_sysctl, 0)),
    old("A44.nfsservctl", "nfsservctl()", "nfsservctl", |_| call!(nfsservctl, 0, 0, 0)),
    old("A44.dcookie", "lookup_dcookie()", "lookup_dcookie", |_| call!(lookup_dcookie, 0, 0, 0)),
    old("A44.create-module", "create_module()", "create_module", |_| call!(create_module, 0, 0)),
    old("A44.query-module", "query_module()", "query_module", |_| call!(query_module, 0, 0, 0, 0, 0)),
    old("A44.kernel-symbols", "get_kernel_syms()", "get_kernel_syms", |_| call!(get_kernel_syms, 0)),
];

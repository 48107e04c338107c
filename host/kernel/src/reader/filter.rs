//! The reader's filter. What it does not allow is the reader's end: the host sees that, and starts another.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// Each with its reason.
const ALLOWED: [libc::c_long; 15] = [
    // The kernel's records.
    libc::SYS_recvfrom,
    // The socket, which comes as a descriptor.
    libc::SYS_recvmsg,
    // What is told to the host.
    libc::SYS_sendto,
    // Waiting for either of them.
    libc::SYS_poll,
    libc::SYS_ppoll,
    // The time, where the kernel's page of it does not do.
    libc::SYS_clock_gettime,
    // The allocator's, besides those below.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // A descriptor too many.
    libc::SYS_close,
    // What the C library does at the end.
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Memory, and no new code in it.
const NEVER_EXECUTABLE: [libc::c_long; 2] = [libc::SYS_mmap, libc::SYS_mprotect];

/// Puts the filter up.
pub(crate) fn install() -> Result<(), Error> {
    apply_filter(&program()?)
}

fn program() -> Result<BpfProgram, Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    for call in NEVER_EXECUTABLE {
        // The whole register: what the kernel ignores in it is not used either.
        let protection = SeccompCondition::new(
            2,
            SeccompCmpArgLen::Qword,
            SeccompCmpOp::MaskedEq(!u64::from((libc::PROT_READ | libc::PROT_WRITE).unsigned_abs())),
            0,
        )?;
        rules.insert(call, vec![SeccompRule::new(vec![protection])?]);
    }
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)?;
    Ok(filter.try_into()?)
}

//! New processes, new namespaces, new programs.

use libc::{
    AT_EMPTY_PATH, AT_FDCWD, CLONE_FILES, CLONE_FS, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS,
    CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_PARENT, CLONE_SIGHAND, CLONE_THREAD, CLONE_UNTRACED,
    CLONE_VFORK, CLONE_VM, EACCES, EBADF, EFAULT, EINVAL, EPERM, SIGCHLD,
};

use super::context::Context;
use super::system::{Tried, call, forking};
use super::table::Attack;

const ARTIFACT: i32 = 4;
const CLONE_NEWTIME: i32 = 0x80;
/// The user namespace comes first: it is the one that anybody may make.
const NAMESPACES: [i32; 8] = [
    CLONE_NEWUSER,
    CLONE_NEWNS,
    CLONE_NEWUTS,
    CLONE_NEWIPC,
    CLONE_NEWPID,
    CLONE_NEWNET,
    CLONE_NEWCGROUP,
    CLONE_NEWTIME,
];

fn clone(flags: i32) -> Tried {
    forking(libc::SYS_clone, &[flags as u64, 0, 0, 0, 0])
}

/// `struct clone_args`, of which the first 64 bytes are its first version.
fn clone3(flags: u64, cgroup: u64) -> Tried {
    let arguments = [flags, 0, 0, 0, SIGCHLD as u64, 0, 0, 0, 0, 0, cgroup];
    forking(libc::SYS_clone3, &[arguments.as_ptr() as u64, 88])
}

const fn clones(id: &'static str, tries: &'static str, run: fn(&Context) -> Tried) -> Attack {
    Attack::new(id, tries, "clone", run)
}

const fn unshares(id: &'static str, tries: &'static str, run: fn(&Context) -> Tried) -> Attack {
    Attack::new(id, tries, "unshare", run)
}

/// A program that every system has.
const SHELL: &std::ffi::CStr = c"/bin/sh";
/// No list of arguments is here: the kernel says so after it has opened the program, and before it lets go
/// of this one (Linux 6.8).
const NO_ARGUMENTS: u64 = 1;
/// Linux 6.14: asks whether it might, and does not.
const AT_EXECVE_CHECK: i32 = 0x1_0000;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new("A27.fork", "fork()", "fork", |_| forking(libc::SYS_fork, &[])),
    Attack::new("A27.vfork", "vfork()", "vfork", |_| forking(libc::SYS_vfork, &[])),
    clones("A27.clone", "clone(SIGCHLD)", |_| clone(SIGCHLD)),
    clones("A27.clone-memory", "clone(CLONE_VM | CLONE_VFORK)", |_| clone(CLONE_VM | CLONE_VFORK | SIGCHLD)),
    clones("A27.thread", "clone(CLONE_THREAD)", |_| clone(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)),
    clones("A27.clone-untraced", "clone(CLONE_UNTRACED)", |_| clone(CLONE_UNTRACED | SIGCHLD)),
    clones("A27.clone-parent", "clone(CLONE_PARENT)", |_| clone(CLONE_PARENT | SIGCHLD)),
    clones("A27.clone-user", "clone(CLONE_NEWUSER)", |_| clone(CLONE_NEWUSER | SIGCHLD)),
    clones("A27.clone-namespaces", "clone() with each namespace", |c| {
        clone(NAMESPACES[c.variant as usize % 7] | SIGCHLD)
    })
    .times(7),
    clones("A27.clone-high-half", "clone(SIGCHLD | 1 << 32)", |_| {
        forking(libc::SYS_clone, &[SIGCHLD as u64 | 1 << 32, 0, 0, 0, 0])
    }),
    Attack::new("A27.clone3", "clone3(SIGCHLD)", "clone3", |_| clone3(0, 0)),
    Attack::new("A27.clone3-user", "clone3(CLONE_NEWUSER)", "clone3", |_| clone3(CLONE_NEWUSER as u64, 0)),
    Attack::new("A27.clone3-cgroup", "clone3(CLONE_INTO_CGROUP)", "clone3", |_| {
        clone3(1 << 33, ARTIFACT as u64)
    })
    .reached(&[EBADF]),
    clones("A27.many", "fork a thousand times", |_| {
        for _ in 0..1000 {
            clone(SIGCHLD)?;
        }
        Ok(0)
    }),
    unshares("A28.user", "unshare(CLONE_NEWUSER)", |_| call!(unshare, CLONE_NEWUSER)),
    unshares("A28.mount", "unshare(CLONE_NEWNS)", |_| call!(unshare, CLONE_NEWNS)).why("needs CAP_SYS_ADMIN"),
    unshares("A28.network", "unshare(CLONE_NEWNET)", |_| call!(unshare, CLONE_NEWNET))
        .why("needs CAP_SYS_ADMIN"),
    unshares("A28.user-and-mount", "unshare(CLONE_NEWUSER | CLONE_NEWNS)", |_| {
        call!(unshare, CLONE_NEWUSER | CLONE_NEWNS)
    }),
    unshares("A28.files", "unshare(CLONE_FILES | CLONE_FS)", |_| call!(unshare, CLONE_FILES | CLONE_FS)),
    unshares("A28.each", "unshare() of each namespace", |c| {
        call!(unshare, NAMESPACES[c.variant as usize % NAMESPACES.len()])
    })
    .times(NAMESPACES.len() as u32),
    Attack::new("A28.setns-bare", "setns(artifact)", "setns", |_| call!(setns, ARTIFACT, 0))
        .reached(&[EINVAL]),
    Attack::new("A28.setns", "setns(pidfd of VICTIM, CLONE_NEWUTS)", "pidfd_open", |c| {
        let pidfd = call!(pidfd_open, c.victim, 0)?;
        call!(setns, pidfd, CLONE_NEWUTS)
    })
    .landlock(&[EPERM])
    .why("needs CAP_SYS_ADMIN"),
    Attack::new("A30.execve", "execve(\"/bin/sh\")", "execve", |_| call!(execve, SHELL, NO_ARGUMENTS, 0))
        .reached(&[EFAULT])
        .landlock(&[EACCES]),
    Attack::new("A30.execveat", "execveat(\"/bin/sh\")", "execveat", |_| {
        call!(execveat, AT_FDCWD, SHELL, NO_ARGUMENTS, 0, 0)
    })
    .reached(&[EFAULT])
    .landlock(&[EACCES]),
    Attack::new("A30.execve-check", "execveat(\"/bin/sh\", AT_EXECVE_CHECK)", "execveat", |_| {
        let arguments = [SHELL.as_ptr() as u64, 0];
        call!(execveat, AT_FDCWD, SHELL, &arguments, &[0_u64], AT_EXECVE_CHECK)
    })
    .landlock(&[EACCES]),
    Attack::new("A30.self", "execve(\"/proc/self/exe\")", "execve", |_| {
        call!(execve, c"/proc/self/exe", NO_ARGUMENTS, 0)
    })
    .reached(&[EFAULT])
    .landlock(&[EACCES]),
    Attack::new("A30.file", "execve(file of its own)", "execve", |c| {
        call!(execve, c.inside("program").as_c_str(), NO_ARGUMENTS, 0)
    })
    .reached(&[EFAULT])
    .landlock(&[EACCES]),
    Attack::new("A30.artifact", "execveat(artifact, AT_EMPTY_PATH)", "execveat", |_| {
        call!(execveat, ARTIFACT, c"", NO_ARGUMENTS, 0, AT_EMPTY_PATH)
    })
    .always(&[EACCES])
    .why("the artifact's memfd is MFD_NOEXEC_SEAL"),
    Attack::new("A30.artifact-path", "execve(\"/proc/self/fd/4\")", "execve", |_| {
        call!(execve, c"/proc/self/fd/4", NO_ARGUMENTS, 0)
    })
    .always(&[EACCES])
    .why("the artifact's memfd is MFD_NOEXEC_SEAL"),
    Attack::new("A30.memfd", "execveat(memfd of its own)", "memfd_create", |_| {
        // MFD_EXEC, Linux 6.3.
        let file = call!(memfd_create, c"x", 0x10)?;
        call!(write, file, c"#!/bin/sh\n", 10)?;
        call!(execveat, file, c"", NO_ARGUMENTS, 0, AT_EMPTY_PATH)
    })
    .reached(&[EFAULT])
    .why("Landlock does not govern memfds"),
    Attack::new("A30.uselib", "uselib(\"/bin/sh\")", "uselib", |_| call!(uselib, SHELL)).landlock_any(),
];

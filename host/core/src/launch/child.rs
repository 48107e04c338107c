//! What the child does between clone and exec. It runs in the host's memory while the host's thread
//! waits, so: raw system calls, each checked; no allocation, no lock, no panic, nothing that unwinds.
#![expect(
    unsafe_code,
    reason = "JUSTIFICATION: between clone and exec only raw system calls are sound; every safe wrapper may \
              allocate, lock, or change the host's other threads"
)]

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::RawFd;
use std::ptr;

use nix::errno::Errno;
use stockade_policy::stands;

/// Steps that can fail, for the error that names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Cloning the process, with its namespaces.
    Clone,
    /// Writing the user namespace's maps.
    IdMap,
    /// Arranging descriptors.
    Descriptors,
    /// A process group, folder and umask of its own.
    Surroundings,
    /// Resource limits.
    Limits,
    /// Groups, user and capabilities.
    Identity,
    /// `no_new_privs`.
    NoNewPrivs,
    /// Dying with the host.
    DeathSignal,
    /// The Landlock domain.
    Landlock,
    /// Executing the program.
    Exec,
}

/// Everything the child needs, made before it exists.
pub(super) struct Plan<'a> {
    pub(super) program: RawFd,
    pub(super) ruleset: RawFd,
    /// Flags of `landlock_restrict_self`.
    pub(super) landlock_flags: u32,
    pub(super) socket: RawFd,
    pub(super) null: RawFd,
    pub(super) argv: *const *const c_char,
    pub(super) limits: &'a [(u32, u64)],
    pub(super) identity: Identity<'a>,
    /// Filled in by the child: it shares this memory.
    pub(super) failed: Option<(Step, c_int)>,
}

/// Who the child becomes.
pub(super) enum Identity<'a> {
    /// The host is root: this user and group, no others.
    Switch { uid: u32, gid: u32 },
    /// The host is nobody special, and the child has a user namespace: these maps.
    Mapped { uid_map: &'a [u8], gid_map: &'a [u8] },
    /// The host is nobody special, and there are no namespaces.
    Same,
}

const KEPT_SOCKET: RawFd = 3;
const KEPT_PROGRAM: RawFd = 4;
const KEPT_RULESET: RawFd = 5;
/// Descriptors are moved out of the way to at least here before they take their places.
const PARKING: c_int = 32;
/// Capability numbers end at 40 (Linux 5.9); asking for more than there are fails and is the end.
const CAPABILITIES: u64 = 64;

struct Failed(Step, c_int);

/// A raw system call that fails as `step`.
macro_rules! call {
    ($step:expr, $number:expr $(, $arg:expr)*) => {{
        // SAFETY: the arguments are what the call's manual page asks for; pointers are into memory that
        // the host keeps alive while it waits for this child.
        let result = unsafe { libc::syscall($number $(, $arg)*) };
        if result < 0 { Err(Failed($step, errno())) } else { Ok(result) }
    }};
}

fn errno() -> c_int {
    Errno::last_raw()
}

/// Entry of the child. Never returns to the caller: it executes the program or exits.
pub(super) extern "C" fn run(plan: *mut c_void) -> c_int {
    // SAFETY: `plan` is the Plan that the launcher passed to clone; it waits until we exec or exit, so
    // nobody else touches it.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    if let Err(Failed(step, error)) = confine_and_execute(plan) {
        plan.failed = Some((step, error));
    }
    // SAFETY: exits this process alone, without running anything of the host's.
    unsafe { libc::_exit(127) }
}

/// The host's half of the confinement, in order.
fn confine_and_execute(plan: &Plan<'_>) -> Result<(), Failed> {
    if let Identity::Mapped { uid_map, gid_map } = &plan.identity {
        write_file(c"/proc/self/setgroups".as_ptr(), b"deny")?;
        write_file(c"/proc/self/uid_map".as_ptr(), uid_map)?;
        write_file(c"/proc/self/gid_map".as_ptr(), gid_map)?;
    }
    // Where memory is gone the kernel ends the worker, however large the host is. Not a layer: a /proc that
    // cannot be written to changes nothing that a worker may do.
    if stands("order.first-out-of-memory") {
        let _ = write_file(c"/proc/self/oom_score_adj".as_ptr(), b"1000");
    }
    arrange_descriptors(plan)?;
    // No session of its own: the kernel would give each worker the share of the processor that a whole login
    // has. What a session would keep out of reach is a terminal, and no path to one can be opened
    // (docs/decisions/0015).
    if stands("surroundings.group") {
        call!(Step::Surroundings, libc::SYS_setpgid, 0, 0)?;
    }
    if stands("surroundings.folder") {
        call!(Step::Surroundings, libc::SYS_chdir, c"/".as_ptr())?;
    }
    if stands("surroundings.umask") {
        call!(Step::Surroundings, libc::SYS_umask, 0o077)?;
    }
    if stands("order.no-precedence") {
        take_no_precedence()?;
    }
    for &(resource, value) in plan.limits {
        limit(resource, value)?;
    }
    drop_privileges(&plan.identity)?;
    // Only now: changing the user with no processes to spare would make exec fail.
    if stands("limit.nproc") {
        limit(libc::RLIMIT_NPROC, 0)?;
    }
    if stands("privileges.none-new") {
        call!(Step::NoNewPrivs, libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)?;
    }
    die_with_host()?;
    if stands("landlock.domain") {
        call!(Step::Landlock, libc::SYS_landlock_restrict_self, KEPT_RULESET, plan.landlock_flags)?;
    }
    let leaked = if stands("environment.empty") { ptr::null() } else { c"LEAKED=1".as_ptr() };
    let environment: [*const c_char; 2] = [leaked, ptr::null()];
    // Exec comes in one piece: others first.
    call!(Step::Exec, libc::SYS_sched_yield)?;
    call!(
        Step::Exec,
        libc::SYS_execveat,
        KEPT_PROGRAM,
        c"".as_ptr(),
        plan.argv,
        environment.as_ptr(),
        libc::AT_EMPTY_PATH
    )?;
    Ok(())
}

fn write_file(path: *const c_char, content: &[u8]) -> Result<(), Failed> {
    let step = Step::IdMap;
    let fd = call!(step, libc::SYS_openat, libc::AT_FDCWD, path, libc::O_WRONLY | libc::O_CLOEXEC)?;
    call!(step, libc::SYS_write, fd, content.as_ptr(), content.len())?;
    call!(step, libc::SYS_close, fd)?;
    Ok(())
}

/// 0 to 2 the null device, 3 the socket, 4 the program and 5 the ruleset until exec, nothing else.
fn arrange_descriptors(plan: &Plan<'_>) -> Result<(), Failed> {
    let step = Step::Descriptors;
    let park = |fd: RawFd| call!(step, libc::SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, PARKING);
    let (null, socket) = (park(plan.null)?, park(plan.socket)?);
    let (program, ruleset) = (park(plan.program)?, park(plan.ruleset)?);
    for target in 0..=2 {
        if stands("descriptors.stdio") {
            call!(step, libc::SYS_dup3, null, target, 0)?;
        }
    }
    call!(step, libc::SYS_dup3, socket, KEPT_SOCKET, 0)?;
    call!(step, libc::SYS_dup3, program, KEPT_PROGRAM, libc::O_CLOEXEC)?;
    call!(step, libc::SYS_dup3, ruleset, KEPT_RULESET, libc::O_CLOEXEC)?;
    if stands("descriptors.close") {
        call!(step, libc::SYS_close_range, KEPT_RULESET + 1, u32::MAX, 0)?;
    }
    Ok(())
}

fn limit(resource: u32, value: u64) -> Result<(), Failed> {
    let limit = libc::rlimit64 { rlim_cur: value, rlim_max: value };
    call!(
        Step::Limits,
        libc::SYS_prlimit64,
        0,
        resource,
        &raw const limit,
        ptr::null_mut::<libc::rlimit64>()
    )?;
    Ok(())
}

/// The first version of `struct sched_attr`.
#[repr(C)]
struct Scheduling {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// How long a worker that computes may keep another waiting that has just been woken, in nanoseconds: the
/// shortest that the kernel takes (Linux 6.12), a fourteenth of what is usual on two cores.
const SLICE: u64 = 100_000;

/// What the host was given of the processor before others is not its workers': a spinning one would keep
/// the host itself waiting. A lower share than usual stays as it is.
fn take_no_precedence() -> Result<(), Failed> {
    const REAL_TIME: [c_int; 3] = [libc::SCHED_FIFO, libc::SCHED_RR, libc::SCHED_DEADLINE];
    let step = Step::Limits;
    let size = size_of::<Scheduling>() as u32;
    let mut now =
        Scheduling { size, policy: 0, flags: 0, nice: 0, priority: 0, runtime: 0, deadline: 0, period: 0 };
    call!(step, libc::SYS_sched_getattr, 0, &raw mut now, size, 0)?;
    let before_others = REAL_TIME.contains(&now.policy.cast_signed()) || now.nice < 0;
    let wanted = Scheduling {
        policy: if REAL_TIME.contains(&now.policy.cast_signed()) {
            libc::SCHED_OTHER as u32
        } else {
            now.policy
        },
        nice: now.nice.max(0),
        priority: 0,
        runtime: SLICE,
        deadline: 0,
        period: 0,
        ..now
    };
    match call!(step, libc::SYS_sched_setattr, 0, &raw const wanted, 0) {
        Err(failed) if before_others => Err(failed),
        // A longer slice makes others wait a little longer, and nothing worse.
        _ => Ok(()),
    }
}

fn drop_privileges(identity: &Identity<'_>) -> Result<(), Failed> {
    let step = Step::Identity;
    if !matches!(identity, Identity::Same) && stands("identity.bounding-set") {
        for capability in 0..CAPABILITIES {
            match call!(step, libc::SYS_prctl, libc::PR_CAPBSET_DROP, capability, 0, 0, 0) {
                Err(Failed(_, libc::EINVAL)) if capability > 0 => break,
                result => result?,
            };
        }
    }
    if let Identity::Switch { uid, gid } = *identity {
        if stands("identity.groups") {
            call!(step, libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>())?;
        }
        if stands("identity.group") {
            call!(step, libc::SYS_setresgid, gid, gid, gid)?;
        }
        // The raw call: glibc's wrapper would change every thread of the host.
        if stands("identity.user") {
            call!(step, libc::SYS_setresuid, uid, uid, uid)?;
        }
    }
    // _LINUX_CAPABILITY_VERSION_3, this process; two times effective, permitted, inheritable.
    let header: [u32; 2] = [0x2008_0522, 0];
    let none: [u32; 6] = [0; 6];
    if stands("identity.capabilities") {
        call!(step, libc::SYS_capset, header.as_ptr(), none.as_ptr())?;
    }
    Ok(())
}

/// After the user has changed, which would clear it. Should the host have died before, the socket is
/// hung up already: every copy of its end that this process had is closed.
fn die_with_host() -> Result<(), Failed> {
    let step = Step::DeathSignal;
    if stands("death.signal") {
        call!(step, libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)?;
    }
    let mut socket = libc::pollfd { fd: KEPT_SOCKET, events: 0, revents: 0 };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = call!(
        step,
        libc::SYS_ppoll,
        &raw mut socket,
        1,
        &raw const now,
        ptr::null::<libc::sigset_t>(),
        size_of::<u64>()
    )?;
    if ready == 0 || !stands("death.host-lives") { Ok(()) } else { Err(Failed(step, libc::ESRCH)) }
}

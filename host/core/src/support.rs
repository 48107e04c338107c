//! What this machine offers for confinement. Facts only, read without any privilege; what is missing is
//! named with what it costs and how to get it, and what must not be missing stops the host.

use std::fs;
use std::mem::size_of;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{AccessFlags, Gid, access, getegid, geteuid, getgroups};
use serde::Serialize;

use crate::kernel::KernelRecords;

/// Scopes for signals and abstract sockets came with ABI 6 (Linux 6.12), and every other kernel
/// interface that the host stands on is older.
pub const LANDLOCK_ABI: u32 = 6;
/// The seccomp actions that a worker's filter and its listener are made of.
pub const SECCOMP_ACTIONS: [&str; 4] = ["kill_process", "errno", "user_notif", "allow"];
/// The architectures that have reviewed filters.
pub const ARCHITECTURES: [&str; 1] = ["x86_64"];

const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
// Linux 6.16; libc has no name for it yet.
const SO_PASSRIGHTS: libc::c_int = 83;

/// A layer that is not there, and without which the host does not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Stable, kebab-case.
    pub code: &'static str,
    /// What is missing.
    pub what: String,
    /// What would not hold without it.
    pub cost: &'static str,
    /// How to get it.
    pub next_step: &'static str,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There.
    Ok,
    /// Not there; plugins are confined all the same, at a cost.
    Degraded,
    /// Not there; the host does not start.
    Missing,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `landlock`.
    pub name: &'static str,
    /// How it came out.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What it costs that it is not better; empty where it is fine.
    pub cost: &'static str,
    /// How to get it; empty where it is fine.
    pub next_step: &'static str,
}

/// What the kernel says when it is asked for Landlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Landlock {
    Abi(u32),
    /// Built in, and left out of the list of security modules at boot.
    Disabled,
    Absent,
}

/// Whether somebody who is not root can make a user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
enum UserNamespaces {
    Allowed,
    /// By this setting.
    Denied(&'static str),
    /// No setting forbids it, and a seccomp filter around the host may.
    Unknown,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cgroups {
    /// `v1`, `v2`, or neither.
    version: Option<&'static str>,
    writable: bool,
}

/// Who can see foreign or unreadable processes in `/proc` (`hidepid`, `gid`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Proc {
    hides: bool,
    /// Members of this group see everything all the same.
    group: Option<u32>,
}

/// What this machine offers.
#[derive(Clone, Debug)]
pub struct Support {
    arch: &'static str,
    release: String,
    landlock: Landlock,
    errata: u32,
    actions: Vec<String>,
    memfd_noexec: u32,
    user_namespaces: UserNamespaces,
    cgroups: Cgroups,
    proc: Proc,
    groups: Vec<u32>,
    pass_rights: bool,
    capabilities: u64,
    kernel_records: KernelRecords,
    root: bool,
}

impl Support {
    /// Looks at the running machine.
    pub fn probe() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let status = read("/proc/self/status");
        let mounts = read("/proc/self/mountinfo");
        Self {
            arch: std::env::consts::ARCH,
            release: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            landlock: landlock_abi(),
            errata: landlock_query(LANDLOCK_CREATE_RULESET_ERRATA).unwrap_or(0),
            actions: words(&read("/proc/sys/kernel/seccomp/actions_avail")),
            memfd_noexec: number(&read("/proc/sys/vm/memfd_noexec")).unwrap_or(0),
            user_namespaces: user_namespaces(&Knobs {
                max: number(&read("/proc/sys/user/max_user_namespaces")),
                debian: number(&read("/proc/sys/kernel/unprivileged_userns_clone")),
                apparmor: number(&read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")),
                filtered: field(&status, "Seccomp").is_some_and(|mode| mode != "0"),
            }),
            cgroups: cgroups(&mounts, &read("/proc/self/cgroup")),
            proc: proc(&mounts),
            groups: groups(),
            pass_rights: pass_rights(),
            capabilities: capabilities(&status),
            kernel_records: KernelRecords::here(),
            root: geteuid().is_root(),
        }
    }

    /// Whether the host can start here; if not, everything that it lacks.
    pub fn required(&self) -> Result<(), Vec<Missing>> {
        let missing: Vec<Missing> = [
            self.lacks_architecture(),
            self.lacks_landlock(),
            self.lacks_seccomp(),
            self.lacks_executable_memfds(),
            self.lacks_proc(),
        ]
        .into_iter()
        .flatten()
        .collect();
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    }

    /// Every check, in the order of their weight.
    pub fn findings(&self) -> Vec<Finding> {
        vec![
            required("architecture", self.arch, self.lacks_architecture()),
            ok("kernel", &self.release),
            required("landlock", &self.describe_landlock(), self.lacks_landlock()),
            self.errata(),
            required("seccomp", &self.actions.join(" "), self.lacks_seccomp()),
            required(
                "memfd",
                &format!("vm.memfd_noexec is {}", self.memfd_noexec),
                self.lacks_executable_memfds(),
            ),
            self.proc_finding(),
            self.namespaces(),
            self.cgroups_finding(),
            self.descriptors(),
            self.audit(),
            self.user(),
        ]
    }

    fn has(&self, capability: u32) -> bool {
        self.capabilities & (1 << capability) != 0
    }

    fn lacks_architecture(&self) -> Option<Missing> {
        (!ARCHITECTURES.contains(&self.arch)).then(|| Missing {
            code: "architecture",
            what: format!("there are no seccomp filters for {}", self.arch),
            cost: "a worker could make any system call",
            next_step: "run on x86_64 Linux",
        })
    }

    fn lacks_landlock(&self) -> Option<Missing> {
        let (code, next_step) = match self.landlock {
            Landlock::Abi(abi) if abi >= LANDLOCK_ABI => return None,
            Landlock::Abi(_) => ("landlock-old", "run Linux 6.12 or newer"),
            Landlock::Disabled => {
                ("landlock-disabled", "boot with landlock in the lsm= list, as lsm=landlock,...")
            }
            Landlock::Absent => (
                "landlock-absent",
                "run Linux 6.12 or newer, built with CONFIG_SECURITY_LANDLOCK; in a container, have its seccomp \
                 profile allow the landlock calls",
            ),
        };
        Some(Missing {
            code,
            what: self.describe_landlock(),
            cost: "files, sockets and signals would be refused by one layer instead of two",
            next_step,
        })
    }

    fn describe_landlock(&self) -> String {
        match self.landlock {
            Landlock::Abi(abi) => format!("Landlock ABI {abi}, of at least {LANDLOCK_ABI}"),
            Landlock::Disabled => "Landlock is built into the kernel and not enabled".to_owned(),
            Landlock::Absent => "the kernel answers no Landlock call".to_owned(),
        }
    }

    fn lacks_seccomp(&self) -> Option<Missing> {
        let lacking: Vec<&str> = SECCOMP_ACTIONS
            .into_iter()
            .filter(|action| self.actions.iter().all(|has| has != action))
            .collect();
        (!lacking.is_empty()).then(|| Missing {
            code: "seccomp",
            what: format!("seccomp lacks {}", lacking.join(", ")),
            cost: "a worker's forbidden calls would be neither refused nor recorded",
            next_step: "run a kernel with CONFIG_SECCOMP_FILTER, and with /proc/sys readable",
        })
    }

    fn lacks_executable_memfds(&self) -> Option<Missing> {
        (self.memfd_noexec >= 2).then(|| Missing {
            code: "memfd-noexec",
            what: "vm.memfd_noexec is 2: no program can be run from a sealed memory file".to_owned(),
            cost: "a worker's program could be changed between the look at it and its start",
            next_step: "sysctl vm.memfd_noexec=1",
        })
    }

    /// Whether `/proc` keeps a worker's state from the host that must attest it. A worker is not dumpable,
    /// so its own user does not see it either; the owner of its user namespace does.
    fn is_proc_hidden(&self) -> bool {
        let member = self.proc.group.is_some_and(|group| self.groups.contains(&group));
        self.proc.hides && !member && !self.has(CAP_SYS_PTRACE)
    }

    fn lacks_proc(&self) -> Option<Missing> {
        (self.is_proc_hidden() && self.user_namespaces != UserNamespaces::Allowed).then(|| Missing {
            code: "proc-hidden",
            what: "/proc is mounted with hidepid, and hides the workers from this user".to_owned(),
            cost: "the host could not prove that a worker is confined",
            next_step: "run as a member of the group that /proc is mounted with (gid=), or allow user namespaces",
        })
    }

    fn errata(&self) -> Finding {
        // 1: TCP rules met other stream sockets; 2: signals between own threads were refused; 3: rights on
        // disconnected directories. A domain that allows one program and nothing else meets none of them.
        ok(
            "landlock-errata",
            &format!("fixed in this kernel: {:#b}; none changes what a worker is refused", self.errata),
        )
    }

    fn proc_finding(&self) -> Finding {
        if self.is_proc_hidden() && self.lacks_proc().is_none() {
            return Finding {
                name: "proc",
                state: State::Degraded,
                found: "hidepid; workers are seen through their user namespace".to_owned(),
                cost: "--namespaces off does not work for this user",
                next_step: "run as a member of the group that /proc is mounted with (gid=)",
            };
        }
        required(
            "proc",
            if self.proc.hides { "hidepid, not for this user" } else { "visible" },
            self.lacks_proc(),
        )
    }

    fn namespaces(&self) -> Finding {
        const COST: &str = "workers see the machine's process ids and mounts, and can do nothing with them";
        let (state, found, next_step) = match self.user_namespaces {
            _ if self.has(CAP_SYS_ADMIN) => (State::Ok, "allowed, by privilege".to_owned(), ""),
            UserNamespaces::Allowed => (State::Ok, "allowed".to_owned(), ""),
            UserNamespaces::Denied(knob) => (
                State::Degraded,
                format!("denied by {knob}"),
                "set it to allow user namespaces for this user",
            ),
            UserNamespaces::Unknown => (
                State::Degraded,
                "unknown: a seccomp filter lies around this process".to_owned(),
                "in a container, have its seccomp profile allow clone with CLONE_NEWUSER",
            ),
        };
        let cost = if state == State::Ok { "" } else { COST };
        Finding { name: "namespaces", state, found, cost, next_step }
    }

    fn cgroups_finding(&self) -> Finding {
        match self.cgroups {
            Cgroups { version: Some(version), writable: true } => {
                ok("cgroups", &format!("{version}, writable"))
            }
            Cgroups { version, .. } => Finding {
                name: "cgroups",
                state: State::Degraded,
                found: version.map_or("none".to_owned(), |version| format!("{version}, not writable")),
                cost: "workers are capped by resource limits alone, each for itself",
                next_step: "run as root, or delegate a cgroup to this user (systemd: Delegate=yes)",
            },
        }
    }

    fn descriptors(&self) -> Finding {
        if self.pass_rights {
            return ok("so-passrights", "the kernel refuses descriptors from workers");
        }
        Finding {
            name: "so-passrights",
            state: State::Degraded,
            found: "not known to this kernel".to_owned(),
            cost: "descriptors from a worker are dropped by the host instead of refused by the kernel",
            next_step: "run Linux 6.16 or newer",
        }
    }

    fn audit(&self) -> Finding {
        // Never what stops a host: a filter's notifications are there in any case.
        let mode = &self.kernel_records;
        let state = if *mode == KernelRecords::Read { State::Ok } else { State::Degraded };
        Finding {
            name: "kernel-audit",
            state,
            found: mode.to_string(),
            cost: mode.cost(),
            next_step: mode.next_step(),
        }
    }

    fn user(&self) -> Finding {
        if self.root {
            return ok("user", "root: each worker runs as a user of its own");
        }
        Finding {
            name: "user",
            state: State::Degraded,
            found: "not root: workers run as the host's user".to_owned(),
            cost: "one layer less between workers: they share a user",
            next_step: "run as root; the host gives up what it does not need",
        }
    }
}

fn ok(name: &'static str, found: &str) -> Finding {
    Finding { name, state: State::Ok, found: found.to_owned(), cost: "", next_step: "" }
}

fn required(name: &'static str, found: &str, missing: Option<Missing>) -> Finding {
    match missing {
        None => ok(name, found),
        Some(Missing { what, cost, next_step, .. }) => {
            Finding { name, state: State::Missing, found: what, cost, next_step }
        }
    }
}

const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
const LANDLOCK_CREATE_RULESET_ERRATA: u32 = 2;

#[expect(
    unsafe_code,
    reason = "JUSTIFICATION: the landlock crate tells the ABI only to who restricts itself"
)]
fn landlock_query(flags: u32) -> nix::Result<u32> {
    // SAFETY: with either of the two flags the kernel takes no attributes, reads no memory and makes no
    // ruleset; it answers a number (landlock_create_ruleset(2)).
    let answer =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, flags) };
    nix::errno::Errno::result(answer).map(|answer| u32::try_from(answer).unwrap_or(0))
}

fn landlock_abi() -> Landlock {
    match landlock_query(LANDLOCK_CREATE_RULESET_VERSION) {
        Ok(abi) => Landlock::Abi(abi),
        Err(nix::errno::Errno::EOPNOTSUPP) => Landlock::Disabled,
        Err(_) => Landlock::Absent,
    }
}

/// 0 where there is none.
pub(crate) fn landlock_abi_number() -> u32 {
    match landlock_abi() {
        Landlock::Abi(abi) => abi,
        Landlock::Disabled | Landlock::Absent => 0,
    }
}

#[expect(unsafe_code, reason = "JUSTIFICATION: no wrapper knows this socket option yet")]
fn pass_rights() -> bool {
    let Ok((socket, _peer)) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
    else {
        return false;
    };
    let off: libc::c_int = 0;
    // SAFETY: the option takes an int and the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const off).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    result == 0
}

fn groups() -> Vec<u32> {
    let supplementary = getgroups().unwrap_or_default();
    supplementary.into_iter().chain([getegid()]).map(Gid::as_raw).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn number(text: &str) -> Option<u32> {
    text.trim().parse().ok()
}

/// The value of a line of a name, a colon, a tab and the value.
fn field<'t>(status: &'t str, name: &str) -> Option<&'t str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn capabilities(status: &str) -> u64 {
    field(status, "CapEff").and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0)
}

struct Knobs {
    max: Option<u32>,
    debian: Option<u32>,
    apparmor: Option<u32>,
    filtered: bool,
}

fn user_namespaces(knobs: &Knobs) -> UserNamespaces {
    match knobs {
        Knobs { max: None, .. } => UserNamespaces::Denied("a kernel without CONFIG_USER_NS"),
        Knobs { max: Some(0), .. } => UserNamespaces::Denied("user.max_user_namespaces"),
        Knobs { debian: Some(0), .. } => UserNamespaces::Denied("kernel.unprivileged_userns_clone"),
        Knobs { apparmor: Some(1), .. } => {
            UserNamespaces::Denied("kernel.apparmor_restrict_unprivileged_userns")
        }
        Knobs { filtered: true, .. } => UserNamespaces::Unknown,
        Knobs { .. } => UserNamespaces::Allowed,
    }
}

/// A mount: where, of which type, with which options of its file system.
fn mounts(mountinfo: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        Some((before.split(' ').nth(4)?, after.next()?, after.nth(1)?))
    })
}

fn proc(mountinfo: &str) -> Proc {
    // The last mount is the one on top.
    let options = mounts(mountinfo).filter(|(at, kind, _)| *at == "/proc" && *kind == "proc").last();
    let mut proc = Proc::default();
    for option in options.map_or("", |(_, _, options)| options).split(',') {
        match option.split_once('=') {
            Some(("hidepid", value)) => proc.hides = !matches!(value, "0" | "off"),
            Some(("gid", value)) => proc.group = value.parse().ok(),
            _ => {}
        }
    }
    proc
}

/// Where this process may make cgroups with the memory controller: the folder, and the version.
fn cgroup_folder(mountinfo: &str, memberships: &str) -> Option<(&'static str, String)> {
    let below = |at: &str, path: &str| format!("{at}/{}", path.trim_start_matches('/'));
    let member = |wanted: &str| {
        memberships.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|controller| controller == wanted).then_some(path)
        })
    };
    let v1 = mounts(mountinfo)
        .find(|(_, kind, options)| *kind == "cgroup" && options.split(',').any(|option| option == "memory"));
    if let (Some((at, _, _)), Some(path)) = (v1, member("memory")) {
        return Some(("v1", below(at, path)));
    }
    let (at, _, _) = mounts(mountinfo).find(|(_, kind, _)| *kind == "cgroup2")?;
    Some(("v2", below(at, member("")?)))
}

fn cgroups(mountinfo: &str, memberships: &str) -> Cgroups {
    let Some((version, folder)) = cgroup_folder(mountinfo, memberships) else { return Cgroups::default() };
    Cgroups { version: Some(version), writable: access(Path::new(&folder), AccessFlags::W_OK).is_ok() }
}

#[cfg(test)]
mod tests;

//! The limits that the kernel keeps of a worker (A34), one row for each.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{getgid, getgroups, setgroups};
use stockade_policy::{PluginType, Profile};

use super::{Look, Scene, Seen};

/// What a worker has for itself before its guest has any memory: `OVERHEAD_BYTES` of the host.
const OVERHEAD_BYTES: u64 = 32 << 20;
const STACK_BYTES: u64 = 8 << 20;
/// Reserved, not used: an engine reserves 4 GiB for each memory of a guest. `ADDRESS_BYTES` of the host.
const ADDRESS_BYTES: u64 = 64 << 30;
/// A timer's signal is queued against this; a handful for the worker's own, none for anybody's flood.
const PENDING_SIGNALS: u64 = 16;

pub(super) fn looks() -> Vec<Look> {
    let limits = &Profile::of(PluginType::Node).limits;
    [
        ("A34.limit-core", "Max core file size", 0),
        ("A34.limit-fsize", "Max file size", 0),
        ("A34.limit-nproc", "Max processes", 0),
        ("A34.limit-memlock", "Max locked memory", 0),
        ("A34.limit-msgqueue", "Max msgqueue size", 0),
        ("A34.limit-nice", "Max nice priority", 0),
        ("A34.limit-rtprio", "Max realtime priority", 0),
        ("A34.limit-sigpending", "Max pending signals", PENDING_SIGNALS),
        ("A34.limit-nofile", "Max open files", limits.open_files),
        ("A34.limit-stack", "Max stack size", STACK_BYTES),
        ("A34.limit-cpu", "Max cpu time", limits.cpu_seconds),
        ("A34.limit-data", "Max data size", limits.memory_bytes + OVERHEAD_BYTES),
        ("A34.limit-as", "Max address space", ADDRESS_BYTES),
    ]
    .into_iter()
    .map(|(id, name, value)| {
        let what = name.trim_start_matches("Max ");
        Look::new(id, "A34", format!("{what} at most {value}, soft and hard"), move |scene| {
            see(scene, name, value)
        })
    })
    .collect()
}

fn see(scene: &Scene, name: &str, value: u64) -> Seen {
    let read = |pid: &str| fs::read_to_string(format!("/proc/{pid}/limits"));
    match (read(&scene.pid.to_string()), read("self")) {
        (Ok(worker), Ok(own)) => {
            Seen::compared(limit(&worker, name), &format!("{value} {value}"), limit(&own, name))
        }
        (Err(error), _) | (_, Err(error)) => Seen::unreadable("limits", &error),
    }
}

/// Soft and hard value of a line of a limits file.
fn limit(limits: &str, name: &str) -> String {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// What this process lacks wherever nobody has given it any, given to it: limits above zero and a
/// supplementary group. Otherwise nobody could tell whether a worker has none because they were taken
/// from it. Taken away again when this goes.
#[derive(Debug)]
pub(crate) struct Raised {
    limits: Vec<(Resource, u64, u64)>,
    groups: bool,
}

/// What limits are raised to: the least that is not nothing.
const RAISED: u64 = 1;

impl Raised {
    /// Only root may, and not everywhere; elsewhere the rows are vacuous, and say so.
    pub(crate) fn new() -> Raised {
        let raised = [Resource::RLIMIT_NICE, Resource::RLIMIT_RTPRIO].into_iter().filter_map(|resource| {
            let (soft, hard) = getrlimit(resource).ok()?;
            setrlimit(resource, soft.max(RAISED), hard.max(RAISED)).ok()?;
            Some((resource, soft, hard))
        });
        let groups = getgroups().is_ok_and(|groups| groups.is_empty()) && setgroups(&[getgid()]).is_ok();
        Raised { limits: raised.collect(), groups }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        for &(resource, soft, hard) in &self.limits {
            // Lowering is always allowed.
            let _ = setrlimit(resource, soft, hard);
        }
        if self.groups {
            let _ = setgroups(&[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_by_its_whole_name() {
        let file = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max realtime priority     0                    99                   \n\
                    Max realtime timeout      unlimited            unlimited            us\n";
        assert_eq!(limit(file, "Max realtime priority"), "0 99");
        assert_eq!(limit(file, "Max realtime timeout"), "unlimited unlimited");
        assert_eq!(limit(file, "Max cpu time"), "");
    }
}

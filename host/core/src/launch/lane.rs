//! Starting a program takes a processor for most of a millisecond, much of it in the kernel, and whoever
//! shares that processor waits. So starting keeps to half of the processors (docs/decisions/0015).

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, geteuid, getpid};

use crate::boot::field;

/// Keeps this thread and what it starts to the upper half of the processors that it may use. A courtesy to
/// others: where it cannot be done, or could not be undone for each program, nothing is changed.
pub(super) fn keep_to_half() {
    let own = Pid::from_raw(0);
    if let Ok(all) = sched_getaffinity(own)
        && let Some(half) = upper_half(&all)
        && may_widen()
    {
        let _ = sched_setaffinity(own, &half);
    }
}

/// Lets a program that has started use every processor that this host may use.
pub(crate) fn widen(pid: u32) {
    // As the first thread does: whoever confines a host to some processors confines that one.
    let widened =
        sched_getaffinity(getpid()).and_then(|all| sched_setaffinity(Pid::from_raw(pid.cast_signed()), &all));
    if let Err(error) = widened {
        tracing::debug!(target: "stockade::host", %error, "a worker keeps to half of the processors");
    }
}

/// None where there is but one.
fn upper_half(all: &CpuSet) -> Option<CpuSet> {
    let members: Vec<usize> = (0..CpuSet::count()).filter(|&cpu| all.is_set(cpu) == Ok(true)).collect();
    let upper = &members[members.len().div_ceil(2)..];
    let mut half = CpuSet::new();
    upper.iter().for_each(|&cpu| _ = half.set(cpu));
    (!upper.is_empty()).then_some(half)
}

/// Root's workers are other users, whose processors only CAP_SYS_NICE may choose.
fn may_widen() -> bool {
    const CAP_SYS_NICE: u32 = 23;
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = u64::from_str_radix(field(&status, "CapEff"), 16).unwrap_or(0);
    !geteuid().is_root() || effective & 1 << CAP_SYS_NICE != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(members: &[usize]) -> CpuSet {
        let mut set = CpuSet::new();
        members.iter().for_each(|&cpu| set.set(cpu).unwrap());
        set
    }

    #[test]
    fn starting_takes_half_of_what_there_is_and_never_all() {
        assert_eq!(upper_half(&set(&[3])), None);
        assert_eq!(upper_half(&set(&[0, 1])), Some(set(&[1])));
        assert_eq!(upper_half(&set(&[1, 4, 6])), Some(set(&[6])));
        assert_eq!(upper_half(&set(&[0, 1, 2, 3])), Some(set(&[2, 3])));
    }
}

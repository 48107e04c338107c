//! Starting a program takes a processor for most of a millisecond, much of it in the kernel, and whoever
//! shares that processor waits. So starting keeps to half of the processors (docs/decisions/0015), and a program and who
//! proves it to one of these (docs/decisions/0037).

use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, geteuid, getpid, gettid};

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

/// What the first thread of this process may use when it is not [together](Together) with a program. It is held while that
/// changes, so that nobody takes the one processor for all that there are.
static FIRST: Mutex<Option<CpuSet>> = Mutex::new(None);

fn first() -> MutexGuard<'static, Option<CpuSet>> {
    FIRST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets a program that has started use every processor that this host may use.
pub(crate) fn widen(pid: u32) {
    // As the first thread does: whoever confines a host to some processors confines that one.
    let all = match &*first() {
        Some(all) => Ok(*all),
        None => sched_getaffinity(getpid()),
    };
    let widened = all.and_then(|all| sched_setaffinity(Pid::from_raw(pid.cast_signed()), &all));
    if let Err(error) = widened {
        tracing::debug!(target: "stockade::host", %error, "a worker keeps to half of the processors");
    }
}

/// This thread and a program that has started, on one processor while they speak in turns: each would else wait for the
/// other's to wake up, a dozen times. The thread may use what it could before once this is dropped, the program once it
/// is [widened](widen).
#[derive(Debug)]
pub(crate) struct Together {
    before: CpuSet,
    /// It is for the thread that made it.
    _here: PhantomData<*const ()>,
}

impl Together {
    /// None where there is nothing to win, or where whoever embeds us keeps this thread away from the program.
    pub(crate) fn with(pid: i32) -> Option<Together> {
        let (thread, program) = (Pid::from_raw(0), Pid::from_raw(pid));
        let before = sched_getaffinity(thread).ok()?;
        let both = shared(&before, &sched_getaffinity(program).ok()?)?;
        // One after the other: numbers of processes count up.
        let cpu = both.get(pid.unsigned_abs() as usize % both.len())?;
        let mut one = CpuSet::new();
        one.set(*cpu).ok()?;
        sched_setaffinity(program, &one).ok()?;
        move_here(&one, Some(before)).ok()?;
        Some(Together { before, _here: PhantomData })
    }
}

/// Moves this thread. `before` is what it may use otherwise, where it may not now.
fn move_here(to: &CpuSet, before: Option<CpuSet>) -> nix::Result<()> {
    let mut first = (gettid() == getpid()).then(first);
    sched_setaffinity(Pid::from_raw(0), to)?;
    if let Some(first) = &mut first {
        **first = before;
    }
    Ok(())
}

impl Drop for Together {
    fn drop(&mut self) {
        if let Err(error) = move_here(&self.before, None) {
            tracing::warn!(target: "stockade::host", %error, "a thread of the host keeps to one processor");
        }
    }
}

fn members(set: &CpuSet) -> Vec<usize> {
    (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu) == Ok(true)).collect()
}

/// The processors that both may use; none where the first has no choice, or not one of the other's.
fn shared(own: &CpuSet, other: &CpuSet) -> Option<Vec<usize>> {
    let own = members(own);
    let both: Vec<usize> = own.iter().copied().filter(|&cpu| other.is_set(cpu) == Ok(true)).collect();
    (own.len() > 1 && !both.is_empty()).then_some(both)
}

/// None where there is but one.
fn upper_half(all: &CpuSet) -> Option<CpuSet> {
    let members = members(all);
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
    fn a_thread_goes_where_the_program_is_unless_it_has_no_choice() {
        assert_eq!(shared(&set(&[0, 1, 2, 3]), &set(&[2, 3])), Some(vec![2, 3]));
        assert_eq!(shared(&set(&[0, 1]), &set(&[1])), Some(vec![1]));
        assert_eq!(shared(&set(&[1]), &set(&[1])), None, "it is there");
        assert_eq!(shared(&set(&[0, 1]), &set(&[2, 3])), None, "it is kept elsewhere");
    }

    #[test]
    fn a_thread_may_use_all_that_it_could_afterwards() {
        let own = Pid::from_raw(0);
        let before = sched_getaffinity(own).unwrap();
        let mut child =
            std::process::Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let together = Together::with(child.id().cast_signed());
        if members(&before).len() > 1 {
            let together = together.expect("there is a choice");
            let one = sched_getaffinity(own).unwrap();
            assert_eq!(members(&one).len(), 1);
            assert_eq!(sched_getaffinity(Pid::from_raw(child.id().cast_signed())).unwrap(), one);
            drop(together);
        }
        assert_eq!(sched_getaffinity(own).unwrap(), before);
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn starting_takes_half_of_what_there_is_and_never_all() {
        assert_eq!(upper_half(&set(&[3])), None);
        assert_eq!(upper_half(&set(&[0, 1])), Some(set(&[1])));
        assert_eq!(upper_half(&set(&[1, 4, 6])), Some(set(&[6])));
        assert_eq!(upper_half(&set(&[0, 1, 2, 3])), Some(set(&[2, 3])));
    }
}

//! Whose a record of the kernel's is. A number of a process is never enough: it may have been somebody else's before,
//! and be somebody else's after.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stockade_audit::Plugin;
use stockade_kernel_log::{Access, Domain, Event, What};
use stockade_policy::stands;

use super::Boottime;
use crate::meter::Meter;

/// Whose records a launch leaves.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) launch: Arc<str>,
    pub(crate) meter: Arc<Meter>,
}

impl Owner {
    pub(crate) fn new(plugin: &Arc<Plugin>, launch: &Arc<str>, meter: &Arc<Meter>) -> Owner {
        Owner { plugin: Arc::clone(plugin), launch: Arc::clone(launch), meter: Arc::clone(meter) }
    }
}

/// A process of a launch, from before it was started until after it was waited for. In between nobody else can have
/// its number.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) owner: Owner,
    pid: u32,
    uid: u32,
    since: Boottime,
    /// [`ALIVE`] until its end.
    until: AtomicU64,
}

const ALIVE: u64 = u64::MAX;

/// The kernel stamps records by a clock that moves with its tick: 10 ms at most. So much earlier than it was a record
/// may claim to be.
const TICK: Duration = Duration::from_millis(11);

/// How long after its end a launch is still known: the kernel writes and sends in the background, within milliseconds
/// where it is not flooded. Each costs some 300 bytes, and a plugin that dies without end has dozens a second.
const REMEMBERED: Duration = Duration::from_secs(5);

/// A domain whose process has ended is given so long for the kernel's account of it.
pub(super) const OVERDUE: Duration = Duration::from_secs(10);

/// New launches between two looks at which of the old may be forgotten.
const SWEEP: usize = 64;

/// What is held by whoever has the process.
#[derive(Debug)]
pub(crate) struct Followed(Arc<Following>);

impl Followed {
    /// The process has ended, and was waited for.
    pub(crate) fn ended(&self) {
        self.0.until.store(Boottime::now().0, Ordering::Relaxed);
    }
}

/// A domain of a launch.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) process: Arc<Following>,
    /// Refusals that were told of.
    pub(super) seen: u64,
}

/// Whose an event is.
#[derive(Debug)]
pub(super) enum Tied {
    /// A launch's.
    To(Arc<Following>),
    /// The number is, or was, a launch's, and the event is not that process's.
    Not,
    /// Nothing of it is known; or not yet.
    Unknown,
}

/// The launches of a host, and the Landlock domains of theirs that the kernel has told of.
#[derive(Debug, Default)]
pub(super) struct Launches(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    processes: HashMap<u32, Vec<Arc<Following>>>,
    domains: HashMap<u64, Bound>,
    since_sweep: usize,
    /// Grows with everything that is taken in.
    known: u64,
}

impl Following {
    /// Whether it was this process that did something then, as this user, where the clock may be so late.
    fn was(&self, uid: u64, then: Boottime, late: u64) -> bool {
        let from = Boottime(then.0.saturating_add(late));
        let in_its_time = self.since <= from && then.0 <= self.until.load(Ordering::Relaxed);
        u64::from(self.uid) == uid && (in_its_time || !stands("kernel.pid-in-its-time"))
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    fn ended_before(&self, then: u64) -> bool {
        self.until.load(Ordering::Relaxed) < then
    }
}

fn tick() -> u64 {
    u64::try_from(TICK.as_nanos()).unwrap_or(0)
}

impl Launches {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a process in.
    pub(super) fn follow(&self, owner: Owner, pid: u32, uid: u32, since: Boottime) -> Followed {
        let following = Arc::new(Following { owner, pid, uid, since, until: AtomicU64::new(ALIVE) });
        let mut table = self.table();
        table.processes.entry(pid).or_default().push(Arc::clone(&following));
        table.since_sweep += 1;
        table.known += 1;
        if table.since_sweep >= SWEEP {
            table.sweep(Boottime::now());
        }
        Followed(following)
    }

    /// Says whose an event of that time is, and counts it where it is a refusal of a known domain.
    pub(super) fn tie(&self, event: &Event, then: Boottime) -> Tied {
        let mut table = self.table();
        if let Some(bound) = event.domain().and_then(|domain| table.domains.get_mut(&domain)) {
            if let What::Access(_) = event.what {
                bound.seen += 1;
            }
            return Tied::To(Arc::clone(&bound.process));
        }
        let Some((pid, uid)) = event.process() else { return Tied::Unknown };
        let Some(known) = u32::try_from(pid).ok().and_then(|pid| table.processes.get(&pid)) else {
            return Tied::Unknown;
        };
        // Whose time it is in; and if nobody's, whose it is in by a tick.
        let find = |late| known.iter().rev().find(|process| process.was(uid, then, late));
        let Some(process) = find(0).or_else(|| find(tick())).cloned() else { return Tied::Not };
        // Only who made a domain has it: a refusal by one that lies around the whole host is each worker's own.
        if let What::Domain(Domain::Allocated { domain, .. }) = event.what {
            table.domains.insert(domain, Bound { process: Arc::clone(&process), seen: 0 });
            table.known += 1;
        }
        Tied::To(process)
    }

    /// The kernel's account of a domain has come: it is known no more.
    pub(super) fn close(&self, domain: u64) -> Option<Bound> {
        self.table().domains.remove(&domain)
    }

    /// Takes out the domains whose account should have come by now; all of them where `all`.
    pub(super) fn overdue(&self, now: Boottime, all: bool) -> Vec<(u64, Bound)> {
        let before = now.0.saturating_sub(u64::try_from(OVERDUE.as_nanos()).unwrap_or(0));
        self.table().domains.extract_if(|_, bound| all || bound.process.ended_before(before)).collect()
    }

    /// A number that is another one once more is known.
    pub(super) fn known(&self) -> u64 {
        self.table().known
    }

    /// Whether the account of any domain is still to come.
    pub(super) fn has_domains(&self) -> bool {
        !self.table().domains.is_empty()
    }
}

impl Table {
    fn sweep(&mut self, now: Boottime) {
        self.since_sweep = 0;
        let before = now.0.saturating_sub(u64::try_from(REMEMBERED.as_nanos()).unwrap_or(0));
        self.processes.retain(|_, all| {
            all.retain(|process| !process.ended_before(before));
            !all.is_empty()
        });
    }
}

/// The access of an event, if it is one.
pub(super) fn access(event: &Event) -> Option<&Access> {
    match &event.what {
        What::Access(access) => Some(access),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use stockade_kernel_log::{Object, Stamp, Task, Text};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn owner(launch: &str) -> Owner {
        let plugin = Plugin::new("a/b", "1.0.0", "00", "node").shared();
        Owner { plugin, launch: launch.into(), meter: Arc::default() }
    }

    fn event(what: What, task: Option<Task>) -> Event {
        Event { stamp: Stamp { serial: 1, millis: 0 }, what, task }
    }

    fn made(domain: u64, pid: u64, uid: u64) -> Event {
        event(What::Domain(Domain::Allocated { domain, pid, uid, comm: None, exe: None }), None)
    }

    fn refused(domain: u64, task: Option<(u64, u64)>) -> Event {
        let access = Access { domain, blockers: Text::of(b"fs.read_file"), object: Object::Other };
        let task = task.map(|(pid, uid)| Task { pid, uid, comm: None, exe: None, arch: 0, syscall: 2 });
        event(What::Access(access), task)
    }

    fn launch_of(tied: Tied) -> String {
        match tied {
            Tied::To(process) => process.owner.launch.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_domain_belongs_to_the_launch_whose_process_made_it() {
        let launches = Launches::default();
        let _one = launches.follow(owner("one"), 7, 1000, Boottime(SECOND));
        let _two = launches.follow(owner("two"), 8, 1001, Boottime(SECOND));
        let now = Boottime(2 * SECOND);
        assert_eq!(launch_of(launches.tie(&refused(0xa, None), now)), "Unknown");
        assert_eq!(launch_of(launches.tie(&made(0xa, 7, 1000), now)), "one");
        assert_eq!(launch_of(launches.tie(&made(0xb, 8, 1001), now)), "two");
        // The domain says it, whatever the task's number looks like by then.
        assert_eq!(launch_of(launches.tie(&refused(0xa, Some((8, 1001))), now)), "one");
        assert_eq!(launch_of(launches.tie(&refused(0xa, None), now)), "one");
        assert_eq!(launches.close(0xa).expect("known").seen, 2);
        assert!(launches.close(0xa).is_none());
        assert_eq!(launches.close(0xb).expect("known").seen, 0);
    }

    #[test]
    fn f11_a_number_that_was_somebody_elses_before_is_not_tied() {
        let launches = Launches::default();
        let _ours = launches.follow(owner("ours"), 7, 1000, Boottime(10 * SECOND));
        for earlier in [0, 9 * SECOND, 10 * SECOND - 2 * tick()] {
            assert!(matches!(launches.tie(&made(0xa, 7, 1000), Boottime(earlier)), Tied::Not), "{earlier}");
        }
        // The kernel's coarse clock.
        assert_eq!(launch_of(launches.tie(&made(0xa, 7, 1000), Boottime(10 * SECOND - tick() / 2))), "ours");
    }

    #[test]
    fn f11_a_number_that_is_somebody_elses_after_is_not_tied() {
        let launches = Launches::default();
        let started = Boottime::now();
        let ours = launches.follow(owner("ours"), 7, 1000, started);
        ours.ended();
        let later = Boottime(Boottime::now().0 + 1);
        assert!(matches!(launches.tie(&made(0xa, 7, 1000), later), Tied::Not));
        assert_eq!(launch_of(launches.tie(&made(0xa, 7, 1000), started)), "ours");
        // Another launch of the host has it next.
        let _next = launches.follow(owner("next"), 7, 1000, later);
        assert_eq!(launch_of(launches.tie(&made(0xb, 7, 1000), later)), "next");
        assert_eq!(launch_of(launches.tie(&made(0xc, 7, 1000), started)), "ours");
    }

    #[test]
    fn f11_another_users_process_of_the_same_number_is_not_tied() {
        let launches = Launches::default();
        let _ours = launches.follow(owner("ours"), 7, 1000, Boottime(SECOND));
        assert!(matches!(launches.tie(&made(0xa, 7, 0), Boottime(2 * SECOND)), Tied::Not));
        assert!(matches!(launches.tie(&refused(0xa, Some((7, 0))), Boottime(2 * SECOND)), Tied::Not));
    }

    #[test]
    fn a_domain_around_the_whole_host_is_nobodys() {
        let launches = Launches::default();
        let _one = launches.follow(owner("one"), 7, 1000, Boottime(SECOND));
        let _two = launches.follow(owner("two"), 8, 1000, Boottime(SECOND));
        let now = Boottime(2 * SECOND);
        assert_eq!(launch_of(launches.tie(&refused(0xf, Some((7, 1000))), now)), "one");
        assert_eq!(launch_of(launches.tie(&refused(0xf, Some((8, 1000))), now)), "two");
        assert!(launches.close(0xf).is_none());
    }

    #[test]
    fn many_launches_are_taken_in_and_forgotten() {
        let launches = Launches::default();
        let (owner, began) = (owner("many"), std::time::Instant::now());
        const MANY: u32 = 20 * SWEEP as u32;
        for pid in 1..=MANY {
            let followed = launches.follow(owner.clone(), pid, 1000, Boottime::now());
            followed.ended();
            // Long ago.
            followed.0.until.store(0, Ordering::Relaxed);
        }
        println!("kernel records: taking a launch in and out takes {:?}", began.elapsed() / MANY);
        assert!(launches.table().processes.len() <= SWEEP);
    }

    #[test]
    fn what_ended_long_ago_is_forgotten_and_its_domain_overdue() {
        let launches = Launches::default();
        let ours = launches.follow(owner("ours"), 7, 1000, Boottime::now());
        launches.tie(&made(0xa, 7, 1000), Boottime::now());
        assert!(launches.overdue(Boottime::now(), false).is_empty());
        ours.ended();
        let later = Boottime(Boottime::now().0 + 61 * SECOND);
        assert_eq!(launches.overdue(later, false).len(), 1);
        assert!(!launches.has_domains());
        launches.table().sweep(later);
        assert!(launches.table().processes.is_empty());
    }
}

//! G7: a fault at every step of every change of what is installed. The program is killed there, or the step fails, or the
//! disk is full from there on; and what is installed is the old or the new version whole, with nobody's help.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::statvfs;
use serde_json::Value;
use stockade_tests::chance::Chance;
use stockade_tests::inject::{self, Change, Fault, Kind, Place, Ran, Step, changes};
use stockade_tests::{cycles, skipped, text};

/// How faults ended.
#[derive(Debug, Default)]
struct Tally {
    faulted: usize,
    old: usize,
    new: usize,
    /// The next change worked when it was tried again.
    helped: Vec<String>,
    /// It did not work then either.
    stranded: Vec<String>,
    /// Anything else that must not be.
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        let Tally { faulted, old, new, helped, stranded, wrong } = other;
        self.faulted += faulted;
        self.old += old;
        self.new += new;
        self.helped.extend(helped);
        self.stranded.extend(stranded);
        self.wrong.extend(wrong);
    }

    /// Prints it, and ends the test where there is something in it that must not be.
    fn hold(&self, what: &str, began: Instant) {
        let Tally { faulted, old, new, helped, stranded, wrong } = self;
        println!(
            "{what}: {faulted} happened; {old} old, {new} new, {} needed an \
             operator, {} stranded; {:.0} s",
            helped.len(),
            stranded.len(),
            began.elapsed().as_secs_f64()
        );
        for (what, list) in [("wrong", wrong), ("stranded", stranded), ("needed an operator", helped)] {
            list.iter().for_each(|one| println!("{what}: {one}"));
        }
        assert!(wrong.is_empty() && stranded.is_empty(), "what must not be is above");
        // None at all is the aim.
        assert!(helped.len() * 20 <= old + new, "too many needed an operator");
        assert!(*old > 0 && *new > 0, "faults came all too early, or all too late");
    }
}

/// A program that met a fault.
struct Met<'a> {
    /// Which, in words.
    what: String,
    ran: Ran,
    place: &'a Place,
    /// The audit log may end in half a line: that is reported, until the next host has repaired it.
    may_be_torn: bool,
}

fn is_waiting(stdout: &[u8]) -> bool {
    text(stdout).contains("\"waits-for-approval\"")
}

/// All that has to hold after a fault.
fn judge(change: &Change, met: &Met<'_>) -> Tally {
    let Met { what, ran, place, may_be_torn } = met;
    let mut wrong = Vec::new();
    let has_failed = ran.code.is_some_and(|code| code != 0);
    if has_failed {
        let said: Value = serde_json::from_slice(&ran.stdout).unwrap_or_default();
        let is_said = |part: &str| said["error"][part].as_str().is_some_and(|text| !text.is_empty());
        if !["code", "field", "message", "next_step"].into_iter().all(is_said) {
            wrong.push(format!("it said {said} {}", text(&ran.stderr)));
        }
    }
    wrong.extend(place.complaint());
    wrong.extend(place.unrecorded());
    wrong.extend(if *may_be_torn { None } else { place.unverified() });
    let found = place.installed().and_then(|found| {
        let position = change.wholes.iter().position(|(whole, _)| *whole == found);
        position.ok_or_else(|| format!("installed is neither the old nor the new one: {found:?}"))
    });
    let last = change.wholes.len() - 1;
    let is_new = found == Ok(last);
    if ran.code == Some(0) && !is_new {
        wrong.push("it said that it is done, and it is not".to_owned());
    }
    if has_failed && is_new && !is_waiting(&ran.stdout) {
        wrong.push(format!("it said that it failed, and it is done: {}", text(&ran.stdout)));
    }
    let number = found.unwrap_or_else(|why| {
        wrong.push(why);
        0
    });
    let next = || {
        let output = place.command(&change.wholes[number].1).output().expect("the program is there");
        let is_done = output.status.success() || is_waiting(&output.stdout);
        if is_done { Ok(()) } else { Err(format!("{what}: {}", text(&output.stdout))) }
    };
    let mut tally = Tally::default();
    if let Err(why) = next() {
        if next().is_ok() { &mut tally.helped } else { &mut tally.stranded }.push(why);
    }
    if tally.stranded.is_empty() {
        wrong.extend(place.unverified());
        wrong.extend(place.strays());
    }
    Tally {
        faulted: usize::from(ran.faulted),
        old: usize::from(!is_new),
        new: usize::from(is_new),
        wrong: wrong.into_iter().map(|one| format!("{what}: {one}")).collect(),
        ..tally
    }
}

/// Has faults happen, several at a time.
fn all_of(many: usize, folder: &Path, one: impl Fn(usize, &Place) -> Tally + Sync) -> Tally {
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for number in 0..2 {
            let place = Place(folder.join(format!("state-{number}")));
            let (next, one, tally) = (&next, &one, &tally);
            scope.spawn(move || {
                while let run = next.fetch_add(1, Ordering::Relaxed)
                    && run < many
                {
                    let ended = one(run, &place);
                    tally.lock().unwrap_or_else(PoisonError::into_inner).add(ended);
                }
            });
        }
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn g7_a_fault_at_any_step_leaves_the_old_or_the_new_version_whole() {
    let began = Instant::now();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let changes = changes(folder.path());
    let mut steps = Vec::new();
    for change in &changes {
        println!("{}: {} steps", change.name, change.steps.len());
        for kind in [Kind::Write, Kind::Room, Kind::Sync, Kind::Name, Kind::Process] {
            // As another user nobody reads the kernel's records, and these bring nothing up.
            let may_lack = kind == Kind::Process && matches!(change.name, "disable" | "uninstall");
            let has = change.steps.iter().any(|step| step.kind == kind);
            assert!(has || may_lack, "{}: no {kind:?}", change.name);
        }
        steps.extend(change.steps.iter().enumerate().map(|(at, step)| (change, at, step)));
    }
    let mut chance = Chance::new("g7");
    let turn = chance.below(Fault::ALL.len() as u64) as usize;
    // Each step once, with another fault from step to step and from run to run; then each with the next.
    let rounds = (0..Fault::ALL.len()).flat_map(|round| {
        steps.iter().enumerate().filter_map(move |(number, &(change, at, step))| {
            let suiting: Vec<_> = Fault::ALL.into_iter().filter(|fault| fault.suits(step)).collect();
            (round < suiting.len()).then(|| (change, at, suiting[(turn + number + round) % suiting.len()]))
        })
    });
    let all: Vec<_> = rounds.collect();
    let many = cycles(32, steps.len()).min(all.len());
    // Fewer than there are steps are spread over all of them, and begin elsewhere each time.
    let apart = (steps.len() / many).max(1);
    let first = chance.below(apart as u64) as usize;
    let which = |run: usize| if many < steps.len() { first + run * steps.len() / many } else { run };
    let tally = all_of(many, folder.path(), |run, place| {
        let (change, at, fault) = all[which(run)];
        place.become_as(&change.before);
        let ran = inject::run(&place.command(&change.command), &place.0, Some((at, fault)));
        let step = ran.steps.get(at).map(Step::to_string).unwrap_or_default();
        let what = format!("{}, step {at} ({step}), {fault:?}", change.name);
        let may_be_torn = fault == Fault::Torn;
        judge(change, &Met { what, ran, place, may_be_torn })
    });
    tally.hold(&format!("{many} of {} faults at {} steps", all.len(), steps.len()), began);
    // The threads of a host do not come in the same order each time: one that is over may miss its last step.
    assert!(tally.faulted * 20 >= many * 19, "{} of {many} happened", tally.faulted);
}

/// What is free, in KiB, on a disk that a change finds nearly full: from where not even a host comes up to where all fits.
const FREE: [u64; 14] = [0, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024];

#[test]
fn g7_a_disk_that_is_full_leaves_the_old_or_the_new_version_whole() {
    let name = "g7_a_disk_that_is_full_leaves_the_old_or_the_new_version_whole";
    if !nix::unistd::geteuid().is_root() {
        return skipped(name, "only root mounts a disk");
    }
    let began = Instant::now();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let changes = changes(folder.path());
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).expect("it is new");
    // Of this thread alone, and gone with it.
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
        return skipped(name, &format!("no mounts of its own: {error}"));
    }
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("root may");
    let sized = |flags: MsFlags, kib: u64| {
        // None at all would be without a bound.
        let size = format!("size={}k", kib.max(4));
        mount(Some("tmpfs"), &disk, Some("tmpfs"), flags, Some(size.as_str())).expect("root may");
    };
    const ROOM: u64 = 64 << 10;
    sized(MsFlags::empty(), ROOM);
    let place = Place(disk.join("state"));
    let all: Vec<_> = changes.iter().flat_map(|change| FREE.map(|free| (change, free))).collect();
    let many = cycles(14, all.len()).min(all.len());
    let first = usize::try_from(Chance::new("g7").below((all.len() / many) as u64)).expect("it is small");
    let mut tally = Tally::default();
    for run in 0..many {
        let (change, free) = all[first + run * all.len() / many];
        place.become_as(&change.before);
        let used =
            statvfs(&disk).map(|disk| ((disk.blocks() - disk.blocks_free()) * disk.fragment_size()) >> 10);
        sized(MsFlags::MS_REMOUNT, used.expect("it is mounted") + free);
        let output = place.command(&change.command).output().expect("the program is there");
        sized(MsFlags::MS_REMOUNT, ROOM);
        let is_full = !output.status.success() && !is_waiting(&output.stdout);
        let what = format!("{}, {free} KiB free", change.name);
        let code = output.status.code();
        let steps = Vec::new();
        let ran = Ran { code, stdout: output.stdout, stderr: output.stderr, steps, faulted: is_full };
        tally.add(judge(change, &Met { what, ran, place: &place, may_be_torn: false }));
    }
    tally.hold(&format!("{many} of {} nearly full disks", all.len()), began);
    assert!(tally.faulted > 0, "no disk was full");
}

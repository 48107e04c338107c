//! What a process holds, counted from outside: what a host may not leak.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What a process holds at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Open descriptors.
    pub descriptors: usize,
    /// Processes that it started, ended ones that nobody waited for among them.
    pub children: BTreeSet<u32>,
    /// Threads.
    pub threads: usize,
}

impl Account {
    /// Of this process. The descriptor that counts is not counted.
    pub fn own() -> Account {
        Account::of(std::process::id())
    }

    /// Of this process once no worker is left: a worker that was let go of ends a moment later.
    pub fn quiet() -> Account {
        for _ in 0..100 {
            if workers(std::process::id()).is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Account::own()
    }

    /// Of a process that this user may look into.
    pub fn of(pid: u32) -> Account {
        let counts = |what: &str| {
            let path = format!("/proc/{pid}/{what}");
            fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}")).count()
        };
        let own = usize::from(pid == std::process::id());
        Account { descriptors: counts("fd") - own, children: children(pid), threads: counts("task") }
    }

    /// Waits until no more is held than in `before`. Threads end a moment after they are joined.
    ///
    /// # Panics
    ///
    /// More is held a second later.
    pub fn settle(before: &Account) {
        let mut now = Account::own();
        for _ in 0..100 {
            if now.is_within(before) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
            now = Account::own();
        }
        panic!("held before: {before:?}, and now: {now:?}\n{}", descriptors());
    }

    /// Whether nothing is held that was not; less is what a moment's other work gave back.
    fn is_within(&self, before: &Account) -> bool {
        self.descriptors <= before.descriptors
            && self.threads <= before.threads
            && self.children.is_subset(&before.children)
    }
}

/// What the descriptors of this process are, for who has one too many.
fn descriptors() -> String {
    let links = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let mut links: Vec<_> = links
        .map(|entry| format!("{:?} -> {:?}", entry.file_name(), fs::read_link(entry.path()).ok()))
        .collect();
    links.sort();
    links.join("\n")
}

/// The processes whose parent is `pid`, ended ones among them.
pub fn children(pid: u32) -> BTreeSet<u32> {
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&child| parent(child) == Some(pid))
        .collect()
}

/// Those of them that are not what reads the kernel's records: a root host has that for as long as it lives.
pub fn workers(pid: u32) -> BTreeSet<u32> {
    children(pid).into_iter().filter(|&child| !reads_kernel_records(child)).collect()
}

/// Whether this is the program that reads the kernel's records for a host.
pub fn reads_kernel_records(pid: u32) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.starts_with(b"stockade-kernel-log\0")
}

/// The parent of a process, if there is such a process.
pub fn parent(pid: u32) -> Option<u32> {
    // The name is in brackets and may hold anything; the state and the parent follow the last one.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A line of a process's status file.
///
/// # Panics
///
/// There is no such process or line.
pub fn status(pid: u32, name: &str) -> String {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    line.unwrap_or_else(|| panic!("{path} has no {name}")).to_owned()
}

/// The memory that this process has written to, in KiB: what a leak in it makes grow. (Pages of files come
/// and go with what others do.)
pub fn resident_kib() -> u64 {
    resident_kib_of(std::process::id())
}

/// The same of another process of this user's.
pub fn resident_kib_of(pid: u32) -> u64 {
    let text =
        fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it lives, and may be looked into");
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no number in {text}"))
}

/// Every file below a folder, by its path from there.
pub fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else {
                let path = path.strip_prefix(folder).expect("it lies below");
                found.insert(path.to_string_lossy().into_owned());
            }
        }
    }
    found
}

//! What `/proc` says of a worker besides its limits.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::unistd::{AccessFlags, access, geteuid};
use stockade_host::Namespaces;

use super::{Look, Scene, Seen};

/// No capability.
const NONE: &str = "0000000000000000";

pub(super) fn looks() -> Vec<Look> {
    let mut looks = vec![
        Look::new("A33.no-new-privs", "A33", "NoNewPrivs 1", |scene| equal(scene, "NoNewPrivs", "1")),
        Look::new("A40.seccomp-mode", "A40", "Seccomp 2: a filter decides", |scene| {
            equal(scene, "Seccomp", "2")
        }),
        Look::new("A40.seccomp-filters", "A40", "as many filters as the host itself, and one", |scene| {
            let own = scene.own("Seccomp_filters");
            let wanted = own.parse::<u32>().unwrap_or(0) + 1;
            Seen::compared(scene.status("Seccomp_filters"), &wanted.to_string(), own)
        }),
        Look::new("A42.one-thread", "A42", "Threads 1: none from before the seal", |scene| {
            equal(scene, "Threads", "1")
        }),
        Look::new("A43.uid", "A43", "every uid is the worker's own, not root's", |scene| user(scene, "Uid")),
        Look::new("A43.gid", "A43", "every gid is the worker's own, not root's", |scene| user(scene, "Gid")),
        Look::new("A43.groups", "A43", "no supplementary groups", groups),
        Look::new("A43.cap-bnd", "A43", "the bounding set is empty", |scene| {
            if scene.root || scene.namespaces != Namespaces::Off {
                capabilities(scene, "CapBnd")
            } else {
                Seen::skipped("only root, or who has a user namespace, can empty the bounding set")
            }
        }),
        Look::new("A3.not-dumpable", "A3", "the kernel guards /proc/PID as root's", not_dumpable),
        Look::new(
            "A5.descriptors",
            "A5",
            "descriptors: the null device three times, the socket",
            descriptors,
        ),
        Look::new("A31.writable-executable", "A31", "no memory is writable and executable", |scene| {
            mappings(scene, writable_executable)
        }),
        Look::new("A31.executable", "A31", "executable: program, vdso, artifact alone", |scene| {
            mappings(scene, executable)
        }),
        Look::new("A55.environment", "A55", "the environment is empty", environment),
        Look::new("outside.group", "outside", "it leads a process group of its own", group),
        Look::new("outside.umask", "outside", "its umask is 0077", |scene| equal(scene, "Umask", "0077")),
        Look::new("outside.folder", "outside", "its working folder is /", |scene| {
            link(scene, "cwd", |worker, own| Seen::compared(worker, "/", own))
        }),
        Look::new("outside.oom-score", "outside", "the first to go when memory runs out", oom),
    ];
    looks.extend(
        [
            ("A43.cap-inh", "CapInh"),
            ("A43.cap-prm", "CapPrm"),
            ("A43.cap-eff", "CapEff"),
            ("A43.cap-amb", "CapAmb"),
        ]
        .map(|(id, set)| {
            Look::new(id, "A43", format!("{set} is empty"), move |scene| capabilities(scene, set))
        }),
    );
    looks.extend(
        [
            ("A28.namespace-mnt", "mnt"),
            ("A28.namespace-pid", "pid"),
            ("A28.namespace-ipc", "ipc"),
            ("A28.namespace-uts", "uts"),
            ("A28.namespace-cgroup", "cgroup"),
            ("A28.namespace-user", "user"),
        ]
        .map(|(id, kind)| {
            Look::new(id, "A28", format!("its {kind} namespace is not the host's"), move |scene| {
                namespace(scene, kind)
            })
        }),
    );
    looks
}

/// The value of a line of a status file, its white space made single.
pub(super) fn field(status: &str, name: &str) -> String {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn equal(scene: &Scene, name: &str, wanted: &str) -> Seen {
    Seen::compared(scene.status(name), wanted, scene.own(name))
}

/// A process of an ordinary user has none either, and could have gained some: that it is so is shown, not
/// called vacuous, since the worker was root of a namespace when it started.
fn capabilities(scene: &Scene, set: &str) -> Seen {
    let found = scene.status(set);
    if found != NONE {
        return Seen::broken(found, format!("it must be {NONE}"));
    }
    let could_have_had = scene.root || scene.namespaces != Namespaces::Off || scene.own(set) != NONE;
    if could_have_had { Seen::held(found) } else { Seen::compared(found, NONE, scene.own(set)) }
}

fn user(scene: &Scene, field: &str) -> Seen {
    let found = scene.status(field);
    let ids: Vec<&str> = found.split(' ').collect();
    let single = ids.len() == 4 && ids.iter().all(|id| *id == ids[0]);
    if !single {
        return Seen::broken(found, "all four must be the same");
    }
    let own = scene.own(field);
    if scene.root {
        let shared = ids[0] == "0" || own.split(' ').any(|id| id == ids[0]);
        return if shared { Seen::broken(found, "it must be nobody else's") } else { Seen::held(ids[0]) };
    }
    // Without root a worker cannot be anybody but its host's user.
    if found == own { Seen::held(ids[0]) } else { Seen::broken(found, format!("it must be {own}")) }
}

fn groups(scene: &Scene) -> Seen {
    let (found, own) = (scene.status("Groups"), scene.own("Groups"));
    if !scene.root {
        return Seen::skipped(
            "only root can leave its groups; they open nothing to a worker, which opens nothing",
        );
    }
    Seen::compared(found, "", own)
}

/// The files of a process that is not dumpable belong to root, whoever runs it: proc(5).
fn not_dumpable(scene: &Scene) -> Seen {
    let owner = |pid: &str| fs::metadata(format!("/proc/{pid}/maps")).map(|metadata| metadata.uid());
    match owner(&scene.pid.to_string()) {
        Ok(0) if !scene.status("Uid").split(' ').any(|uid| uid == "0") => Seen::held("owner root"),
        Ok(uid) => Seen::broken(format!("owner {uid}"), "they must belong to root while the worker does not"),
        Err(error) => Seen::unreadable("the owner of maps", &error),
    }
}

fn read(scene: &Scene, name: &str) -> io::Result<String> {
    let bytes = fs::read(format!("/proc/{}/{name}", scene.pid))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn environment(scene: &Scene) -> Seen {
    match read(scene, "environ") {
        Ok(text) if text.is_empty() && std::env::vars_os().next().is_none() => {
            Seen::compared("empty".to_owned(), "empty", "empty".to_owned())
        }
        Ok(text) if text.is_empty() => Seen::held("empty"),
        Ok(text) => Seen::broken(text.replace('\0', " "), "it must be empty"),
        Err(error) => Seen::unreadable("the environment", &error),
    }
}

/// What a descriptor must be, in the order of their numbers. The engine keeps the artifact that it has
/// mapped, opened once more by itself.
const DESCRIPTORS: [&str; 5] =
    ["/dev/null", "/dev/null", "/dev/null", "socket", "/memfd:artifact, read-only"];

fn descriptors(scene: &Scene) -> Seen {
    match open_files(scene.pid) {
        Ok(open) => {
            let found: Vec<&str> = open.values().map(String::as_str).collect();
            let text = open.iter().map(|(number, what)| format!("{number} {what}")).collect::<Vec<_>>();
            if found == DESCRIPTORS {
                Seen::held(format!("{} descriptors", found.len()))
            } else {
                Seen::broken(
                    format!("{} descriptors", found.len()),
                    format!("there are {}; there must be {}", text.join(", "), DESCRIPTORS.join(", ")),
                )
            }
        }
        Err(error) => Seen::unreadable("descriptors", &error),
    }
}

/// What each descriptor is, without the numbers of inodes; of a memory file, whether it can be written.
fn open_files(pid: u32) -> io::Result<BTreeMap<u32, String>> {
    let mut open = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let number = entry.file_name().to_string_lossy().parse().map_err(io::Error::other)?;
        let target = fs::read_link(entry.path())?.to_string_lossy().into_owned();
        let what = match target.strip_suffix(" (deleted)") {
            Some(memory) => {
                let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}"))?;
                let writable = if is_read_only(&info) { "read-only" } else { "writable" };
                format!("{memory}, {writable}")
            }
            None => target.split(":[").next().unwrap_or_default().to_owned(),
        };
        open.insert(number, what);
    }
    Ok(open)
}

/// The access mode is the last octal digit of the flags: proc_pid_fdinfo(5).
fn is_read_only(info: &str) -> bool {
    let digit = field(info, "flags").bytes().last();
    digit.is_some_and(|digit| (digit & 3) as i32 == libc::O_RDONLY)
}

/// A line of a maps file: its rights, and what is mapped.
struct Mapping<'a> {
    rights: &'a str,
    what: &'a str,
}

fn mappings(scene: &Scene, judge: fn(&[Mapping<'_>]) -> Seen) -> Seen {
    match read(scene, "maps") {
        Ok(maps) => {
            let lines: Vec<Mapping<'_>> = maps.lines().map(mapping).collect();
            if lines.is_empty() {
                Seen::broken("nothing is mapped", "a program must be")
            } else {
                judge(&lines)
            }
        }
        Err(error) => Seen::unreadable("mappings", &error),
    }
}

/// `start-end rights offset device inode what`; the last is empty for anonymous memory.
fn mapping(line: &str) -> Mapping<'_> {
    let mut rest = line;
    let mut word = || {
        let (word, more) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
        rest = more;
        word
    };
    let (_, rights) = (word(), word());
    let (_, _, _) = (word(), word(), word());
    Mapping { rights, what: rest.trim() }
}

fn writable_executable(mappings: &[Mapping<'_>]) -> Seen {
    let both = mappings.iter().find(|one| one.rights.contains('w') && one.rights.contains('x'));
    match both {
        None => Seen::held("none"),
        Some(one) => Seen::broken(format!("{} {}", one.rights, one.what), "none may be"),
    }
}

/// Memory files are named after what the host made them for.
fn executable(mappings: &[Mapping<'_>]) -> Seen {
    const ALLOWED: [&str; 4] = ["/memfd:stockade-worker", "/memfd:artifact", "[vdso]", "[vsyscall]"];
    let names = mappings
        .iter()
        .filter(|one| one.rights.contains('x'))
        .map(|one| one.what.trim_end_matches(" (deleted)"));
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    match names.iter().find(|name| !ALLOWED.contains(name)) {
        None => Seen::held(names.join(" ")),
        Some(name) => {
            Seen::broken(format!("{name:?} is executable"), format!("only {} may be", ALLOWED.join(", ")))
        }
    }
}

/// Number 5 of the stat file is the process group; the name before it can hold anything.
fn group(scene: &Scene) -> Seen {
    match read(scene, "stat") {
        Ok(stat) => {
            let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            let found = after_name.split(' ').nth(2).unwrap_or_default().to_owned();
            if found == scene.pid.to_string() {
                Seen::held("its own")
            } else {
                Seen::broken(format!("process group {found}"), format!("it must be {}", scene.pid))
            }
        }
        Err(error) => Seen::unreadable("stat", &error),
    }
}

/// Whoever cannot write this file leaves his workers where he is himself.
fn oom(scene: &Scene) -> Seen {
    const FIRST: &str = "1000";
    const FILE: &str = "/proc/self/oom_score_adj";
    let own = fs::read_to_string(FILE).unwrap_or_default().trim().to_owned();
    match read(scene, "oom_score_adj") {
        Ok(found) if found.trim() == own && access(FILE, AccessFlags::W_OK).is_err() => {
            Seen::vacuous(own, "this /proc lets nobody say who goes first")
        }
        Ok(found) => Seen::compared(found.trim().to_owned(), FIRST, own),
        Err(error) => Seen::unreadable("oom_score_adj", &error),
    }
}

fn link(scene: &Scene, name: &str, judge: impl Fn(String, String) -> Seen) -> Seen {
    let target = |path: String| fs::read_link(path).map(|link: PathBuf| link.to_string_lossy().into_owned());
    match (target(format!("/proc/{}/{name}", scene.pid)), target(format!("/proc/self/{name}"))) {
        (Ok(worker), Ok(own)) => judge(worker, own),
        (Err(error), _) | (_, Err(error)) => Seen::unreadable(name, &error),
    }
}

fn namespace(scene: &Scene, kind: &'static str) -> Seen {
    if scene.namespaces == Namespaces::Off {
        return Seen::skipped("this machine does not let workers have namespaces: see stockade doctor");
    }
    if kind == "user" && geteuid().is_root() {
        return Seen::skipped("a root host gives its workers users of their own, and no user namespace");
    }
    link(scene, &format!("ns/{kind}"), |worker, own| {
        if worker == own { Seen::broken(worker, "it must be another one") } else { Seen::held(worker) }
    })
}

#[cfg(test)]
mod tests {
    use super::super::Judged;
    use super::*;

    #[test]
    fn a_descriptor_that_can_only_be_read_is_known_by_its_flags() {
        assert!(is_read_only("pos:\t0\nflags:\t02100000\n") && is_read_only("flags:\t0100000\n"));
        assert!(!is_read_only("flags:\t02100002\n") && !is_read_only("flags:\t01\n") && !is_read_only(""));
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let status = "Seccomp:\t2\nSeccomp_filters:\t3\nUid:\t1\t2\t3\t4\nGroups:\t \n";
        assert_eq!(field(status, "Seccomp"), "2");
        assert_eq!(field(status, "Uid"), "1 2 3 4");
        assert_eq!((field(status, "Groups"), field(status, "Gid")), (String::new(), String::new()));
    }

    fn judged(maps: &str, judge: fn(&[Mapping<'_>]) -> Seen) -> Judged {
        judge(&maps.lines().map(mapping).collect::<Vec<_>>()).judged
    }

    const MAPS: &str = "\
        55d0-55d1 r-xp 00001000 00:01 1025 /memfd:stockade-worker (deleted)\n\
        7f00-7f01 rw-p 00000000 00:00 0 \n\
        7f02-7f03 r-xp 00000000 00:01 1031 /memfd:artifact (deleted)\n\
        7ffd-7ffe rw-p 00000000 00:00 0                          [stack]\n\
        7fff-8000 r-xp 00000000 00:00 0                          [vdso]\n\
        ffff-fffe --xp 00000000 00:00 0                          [vsyscall]\n";

    #[test]
    fn executable_memory_is_the_programs_and_the_artifacts_alone() {
        assert!(matches!(judged(MAPS, executable), Judged::Held));
        assert!(matches!(judged(MAPS, writable_executable), Judged::Held));
        let anonymous = format!("{MAPS}1000-2000 r-xp 00000000 00:00 0 \n");
        assert!(matches!(judged(&anonymous, executable), Judged::Broken(_)));
        let other = format!("{MAPS}1000-2000 r-xp 00000000 00:01 7 /memfd:artifact2 (deleted)\n");
        assert!(matches!(judged(&other, executable), Judged::Broken(_)));
        let both = format!("{MAPS}1000-2000 rwxp 00000000 00:01 7 /memfd:artifact (deleted)\n");
        assert!(matches!(judged(&both, writable_executable), Judged::Broken(_)));
    }
}

//! C17, C18, C19: what is kept between loads belongs to one component, and what runs to one load.

use std::fs;
use std::path::{Path, PathBuf};

use stockade_audit::Reader;
use stockade_host::{Host, LoadRequest, Plugin};
use stockade_package::InstanceMode;
use stockade_policy::PluginType;

use super::trial::{built, guest};
use crate::case::{Finding, GuestBench, GuestCase, Hindrance};

pub(super) fn cases() -> Vec<GuestCase> {
    vec![
        guest!("C17", "bit-flips", "one bit of a kept artifact changed, at 40 places", |bench| {
            spoilt(bench, "cwasm", |bytes, round| {
                let at = bytes.len() / 40 * round;
                bytes[at] ^= 1 << (round % 8);
            })
        }),
        guest!("C17", "cut-short", "a kept artifact cut short", |bench| {
            spoilt(bench, "cwasm", |bytes, round| bytes.truncate(bytes.len() / 40 * round))
        }),
        guest!("C17", "grown", "bytes behind a kept artifact", |bench| {
            spoilt(bench, "cwasm", |bytes, round| bytes.extend(vec![0; round + 1]))
        }),
        guest!("C17", "report-flips", "one bit of a report's digest or proof changed", |bench| {
            spoilt(bench, "json", |bytes, round| {
                let at = bytes.len() - 3 - 3 * round;
                // Not the case of a letter, which is all the same in a hexadecimal number.
                bytes[at] ^= 1 << (round % 4);
            })
        }),
        guest!("C17", "report-of-another-tool", "a tool of another name in a kept report", |bench| {
            spoilt(bench, "json", |bytes, _| {
                if let Some(at) = bytes.windows(5).position(|name| name == b"count") {
                    bytes[at..at + 5].copy_from_slice(b"cover");
                }
            })
        }),
        guest!("C17", "report-empty", "a kept report of nothing", |bench| {
            spoilt(bench, "json", |bytes, _| bytes.clear())
        }),
        guest!("C17", "link", "a link to the artifact in its place", link),
        guest!("C17", "another-worker", "what was kept for another build of the worker", another_worker),
        guest!("C18", "swapped", "two packages' artifacts under each other's names", swapped),
        guest!("C18", "swapped-artifacts-alone", "and without their reports", |bench| {
            let kept = Kept::new(bench, bench.programs)?;
            let [a, b] = kept.two(bench)?;
            exchange(&a.with_extension("cwasm"), &b.with_extension("cwasm"))?;
            kept.both_anew(bench)
        }),
        guest!("C19", "two-loads", "two loads of one package", two_loads),
    ]
}

const COUNTER: &[u8] = built!("counter");
const IMPOSTOR: &[u8] = built!("impostor");

/// How often each way of spoiling is tried.
const ROUNDS: usize = 40;

/// A host of the case's own, whose cache anybody may spoil.
struct Kept {
    host: Host,
    state: PathBuf,
}

impl Kept {
    fn new(bench: &GuestBench<'_>, programs: &Path) -> Result<Kept, Hindrance> {
        let state = bench.scratch.join("state");
        let host = Host::builder().state_dir(&state).programs_dir(programs).build()?;
        Ok(Kept { host, state })
    }

    fn load(&self, bench: &GuestBench<'_>, component: &[u8]) -> Result<Plugin, Hindrance> {
        let package = bench.package(component, PluginType::Node);
        Ok(self.host.load_blocking(LoadRequest::new(package))?)
    }

    /// What it says that it is.
    fn who(&self, bench: &GuestBench<'_>, component: &[u8]) -> Result<Option<String>, Hindrance> {
        Ok(bench.call(&self.load(bench, component)?, "who", "{}", None).value)
    }

    /// How often a component has been compiled.
    fn compiled(&self) -> Result<usize, Hindrance> {
        let failed = |error: &dyn std::error::Error| Hindrance(stockade_package::chain(error));
        let mut count = 0;
        for entry in Reader::open(self.state.join("audit")).map_err(|error| failed(&error))? {
            let record = entry.map_err(|error| failed(&error))?.record;
            count +=
                usize::from(record.event == "attested" && record.detail.text("filter") == Some("compiler"));
        }
        Ok(count)
    }

    /// Everything that is kept, without the endings.
    fn entries(&self) -> Result<Vec<PathBuf>, Hindrance> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.state.join("artifacts"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "cwasm") {
                entries.push(path.with_extension(""));
            }
        }
        Ok(entries)
    }

    /// Two packages and what is kept of each.
    fn two(&self, bench: &GuestBench<'_>) -> Result<[PathBuf; 2], Hindrance> {
        self.who(bench, COUNTER)?;
        let a = self.entries()?;
        self.who(bench, IMPOSTOR)?;
        let b = self.entries()?.into_iter().find(|entry| !a.contains(entry));
        match (a.first(), b) {
            (Some(a), Some(b)) => Ok([a.clone(), b]),
            _ => Err(Hindrance("nothing was kept of what was compiled".to_owned())),
        }
    }

    /// Both packages are compiled anew and are who they were.
    fn both_anew(&self, bench: &GuestBench<'_>) -> Result<Finding, Hindrance> {
        let before = self.compiled()?;
        let who = [self.who(bench, COUNTER)?, self.who(bench, IMPOSTOR)?];
        let anew = self.compiled()? - before;
        Ok(Finding::held("compiled anew").and(anew == 2, format!("{anew} of two were compiled anew")).and(
            who == [Some("1".to_owned()), Some("2".to_owned())],
            format!("they say that they are {who:?}, and are 1 and 2"),
        ))
    }
}

fn exchange(a: &Path, b: &Path) -> Result<(), Hindrance> {
    let between = a.with_extension("between");
    fs::rename(a, &between)?;
    fs::rename(b, a)?;
    Ok(fs::rename(&between, b)?)
}

/// Spoils what is kept, again and again: each time it is compiled anew, and does what it did.
fn spoilt(
    bench: &GuestBench<'_>,
    ending: &str,
    spoil: fn(&mut Vec<u8>, usize),
) -> Result<Finding, Hindrance> {
    let kept = Kept::new(bench, bench.programs)?;
    let mut finding = Finding::held("compiled anew");
    kept.who(bench, COUNTER)?;
    for round in 0..ROUNDS {
        let before = kept.compiled()?;
        for entry in kept.entries()? {
            let file = entry.with_extension(ending);
            let mut bytes = fs::read(&file)?;
            spoil(&mut bytes, round);
            fs::write(&file, bytes)?;
        }
        let who = kept.who(bench, COUNTER)?;
        let anew = kept.compiled()? - before;
        finding = finding
            .and(anew == 1, format!("round {round}: it was compiled {anew} times and not once"))
            .and(who.as_deref() == Some("1"), format!("round {round}: it says that it is {who:?}"));
    }
    // And what is not spoilt is not compiled.
    let before = kept.compiled()?;
    kept.who(bench, COUNTER)?;
    Ok(finding.and(kept.compiled()? == before, "a sound artifact was compiled anew"))
}

fn link(bench: &GuestBench<'_>) -> Result<Finding, Hindrance> {
    let kept = Kept::new(bench, bench.programs)?;
    kept.who(bench, COUNTER)?;
    for entry in kept.entries()? {
        let (file, aside) = (entry.with_extension("cwasm"), entry.with_extension("aside"));
        fs::rename(&file, &aside)?;
        std::os::unix::fs::symlink(&aside, &file)?;
    }
    let before = kept.compiled()?;
    let who = kept.who(bench, COUNTER)?;
    let anew = kept.compiled()? - before;
    Ok(Finding::held("compiled anew")
        .and(anew == 1, "a link was followed to the artifact")
        .and(who.as_deref() == Some("1"), format!("it says that it is {who:?}")))
}

/// Programs that differ in what no processor ever looks at.
fn another_worker(bench: &GuestBench<'_>) -> Result<Finding, Hindrance> {
    let others = bench.scratch.join("programs");
    fs::create_dir(&others)?;
    for program in ["stockade-worker", "stockade-compiler"] {
        fs::copy(bench.programs.join(program), others.join(program))?;
    }
    let first = Kept::new(bench, bench.programs)?;
    let who = first.who(bench, COUNTER)?;
    first.host.stop_blocking();
    drop(first);
    let mut worker = fs::OpenOptions::new().append(true).open(others.join("stockade-worker"))?;
    std::io::Write::write_all(&mut worker, b"another build")?;
    drop(worker);
    let second = Kept::new(bench, &others)?;
    let before = second.compiled()?;
    let again = second.who(bench, COUNTER)?;
    let anew = second.compiled()? - before;
    Ok(Finding::held("compiled anew")
        .and(anew == 1, "another build of the worker took over what was kept")
        .and(who == again, format!("it said that it is {who:?}, and then {again:?}")))
}

fn swapped(bench: &GuestBench<'_>) -> Result<Finding, Hindrance> {
    let kept = Kept::new(bench, bench.programs)?;
    let [a, b] = kept.two(bench)?;
    for ending in ["cwasm", "json"] {
        exchange(&a.with_extension(ending), &b.with_extension(ending))?;
    }
    kept.both_anew(bench)
}

/// One package, loaded twice with its instance kept: two workers, and each counts for itself.
fn two_loads(bench: &GuestBench<'_>) -> Result<Finding, Hindrance> {
    let mut package = bench.package(COUNTER, PluginType::Node);
    package.instance = InstanceMode::Reused;
    let [a, b] = [
        bench.host.load_blocking(LoadRequest::new(package.clone()))?,
        bench.host.load_blocking(LoadRequest::new(package))?,
    ];
    let count = |plugin: &Plugin| bench.call(plugin, "count", "{}", None).value;
    let counted = [count(&a), count(&a), count(&b), count(&a), count(&b)];
    let own = ["1", "2", "1", "3", "2"].map(|number| Some(number.to_owned()));
    Ok(Finding::held("apart")
        .and(counted == own, format!("they counted {counted:?} and must count {own:?}"))
        .and(a.worker_pid().is_some() && a.worker_pid() != b.worker_pid(), "they share a worker"))
}

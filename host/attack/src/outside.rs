//! A live worker as the kernel shows it to others: each protection by a row of its own, so that the one
//! that is gone is the one that is named.

mod limits;
mod process;

use std::io;

use nix::unistd::geteuid;
use stockade_host::{HostError, Namespaces, Plugin};
use stockade_policy::PluginType;

use crate::bench::Bench;
use crate::case::plugin_name;
use crate::error::AttackError;
use crate::evidence::Evidence;
use crate::live_filter;
use crate::report::{Group, Row, Verdict};

pub(crate) use limits::Raised;

/// One thing to look at.
pub(crate) struct Look {
    pub(crate) id: &'static str,
    pub(crate) case: &'static str,
    pub(crate) tries: String,
    see: Box<dyn Fn(&Scene) -> Seen>,
}

/// What was seen.
pub(crate) struct Seen {
    /// For the table.
    found: String,
    /// The same of this process, which nobody confined; empty where that says nothing.
    own: String,
    judged: Judged,
}

enum Judged {
    /// As it must be.
    Held,
    /// Not as it must be: what it must be.
    Broken(String),
    /// An unconfined process looks the same.
    Vacuous(String),
    /// It could not be looked at.
    Skipped(String),
}

/// The worker that is looked at.
pub(crate) struct Scene {
    pid: u32,
    namespaces: Namespaces,
    root: bool,
    status: String,
    own_status: String,
}

/// The worker that is looked at, its plugin, and what the kernel holds as its filter.
pub(crate) struct Live {
    plugin: Plugin,
    scene: Scene,
}

const LIVE_FILTER: &str = "A59.live-filter";

impl Seen {
    /// Holds where what was found is what is wanted; vacuous where this process has the same.
    fn compared(found: String, wanted: &str, own: String) -> Seen {
        let judged = if found != wanted {
            Judged::Broken(format!("it must be {wanted}"))
        } else if own == wanted {
            Judged::Vacuous("the host has the same here and could not be given more".to_owned())
        } else {
            Judged::Held
        };
        Seen { found, own, judged }
    }

    fn held(found: impl Into<String>) -> Seen {
        Seen { found: found.into(), own: String::new(), judged: Judged::Held }
    }

    fn broken(found: impl Into<String>, must: impl Into<String>) -> Seen {
        Seen { found: found.into(), own: String::new(), judged: Judged::Broken(must.into()) }
    }

    fn vacuous(found: impl Into<String>, why: impl Into<String>) -> Seen {
        Seen { found: found.into(), own: String::new(), judged: Judged::Vacuous(why.into()) }
    }

    fn skipped(why: impl Into<String>) -> Seen {
        Seen { found: String::new(), own: String::new(), judged: Judged::Skipped(why.into()) }
    }

    /// What this user is not shown is left out, and anything else that goes wrong is broken.
    fn unreadable(what: &str, error: &io::Error) -> Seen {
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                Seen::skipped(format!("the kernel shows {what} of a worker to root alone"))
            }
            _ => Seen::broken(error.to_string(), format!("readable: {what}")),
        }
    }

    fn row(self, look: &Look) -> Row {
        let mut row = Row::new(Group::Outside, look.id, look.case, &look.tries);
        row.all = self.found;
        row.control = self.own;
        match self.judged {
            Judged::Held => row,
            Judged::Broken(must) => row.judged(Verdict::Broken, must),
            Judged::Vacuous(why) => row.judged(Verdict::Vacuous, why),
            Judged::Skipped(why) => row.judged(Verdict::Skipped, why),
        }
    }
}

impl Look {
    fn new(
        id: &'static str,
        case: &'static str,
        tries: impl Into<String>,
        see: impl Fn(&Scene) -> Seen + 'static,
    ) -> Look {
        Look { id, case, tries: tries.into(), see: Box::new(see) }
    }
}

impl Scene {
    /// A line of the worker's status file.
    fn status(&self, field: &str) -> String {
        process::field(&self.status, field)
    }

    /// The same line of this process.
    fn own(&self, field: &str) -> String {
        process::field(&self.own_status, field)
    }
}

/// Everything that is looked at.
pub(crate) fn looks() -> Vec<Look> {
    let mut looks = limits::looks();
    looks.extend(process::looks());
    looks.push(Look::new(LIVE_FILTER, "A59", "the filter that the kernel holds, read with ptrace", |scene| {
        if !scene.root {
            return Seen::skipped("ptrace gives the filter of a process to root alone");
        }
        match live_filter::digest(scene.pid) {
            Ok(digest) => Seen::held(digest),
            Err(error) => {
                let next = "a process that may read it is root, under no filter of its own, on a kernel with \
                            CONFIG_CHECKPOINT_RESTORE";
                Seen::skipped(format!("the kernel does not give the filter: {error} ({next})"))
            }
        }
    }));
    looks
}

impl Live {
    /// Starts the worker that will be looked at.
    pub(crate) fn new(bench: &Bench) -> Result<Live, AttackError> {
        let name = plugin_name("outside");
        let plugin = bench.load(name, PluginType::Node, None)?;
        let gone = || AttackError::from(HostError::Stopped);
        let pid = plugin.worker_pid().ok_or_else(gone)?;
        let status = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/status"));
        let failed = AttackError::os("reading the status of a worker");
        let (status, own_status) =
            status(&pid.to_string()).and_then(|worker| Ok((worker, status("self")?))).map_err(failed)?;
        let namespaces = bench.namespaces;
        let scene = Scene { pid, namespaces, root: geteuid().is_root(), status, own_status };
        Ok(Live { plugin, scene })
    }

    /// Looks at it.
    pub(crate) fn see(&self, look: &Look) -> Row {
        (look.see)(&self.scene).row(look)
    }

    /// What can be said only with the records: that the filter is the one that the attestation names.
    /// Also holds the worker until everything has been looked at.
    pub(crate) fn finish(self, rows: &mut [Row], evidence: &Evidence) {
        let entries = evidence.of(self.plugin.name());
        let pid = i64::from(self.scene.pid);
        let attested = entries
            .iter()
            .find(|entry| entry.record.event == "attested" && entry.record.detail.number("pid") == Some(pid));
        for row in rows {
            row.record = attested.map(|entry| entry.seq);
            if row.id != LIVE_FILTER || row.verdict != Verdict::Held {
                continue;
            }
            let said = attested.and_then(|entry| entry.record.detail.text("filter_sha256"));
            if said != Some(row.all.as_str()) {
                row.verdict = Verdict::Broken;
                row.why = format!("the attestation says {}", said.unwrap_or("nothing of a filter"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_unconfined_process_has_too_shows_nothing() {
        let judged = |found: &str, own: &str| Seen::compared(found.to_owned(), "0 0", own.to_owned()).judged;
        assert!(matches!(judged("0 0", "0 unlimited"), Judged::Held));
        assert!(matches!(judged("0 0", "0 0"), Judged::Vacuous(_)));
        assert!(matches!(judged("0 1", "0 0"), Judged::Broken(_)));
        assert!(matches!(judged("0 1", "0 1"), Judged::Broken(_)));
    }

    #[test]
    fn every_look_has_a_name_of_its_own() {
        let mut ids: Vec<_> = looks().iter().map(|look| look.id).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
        assert!(looks().iter().all(|look| look.id.starts_with(&format!("{}.", look.case))));
        assert!(looks().iter().all(|look| look.tries.chars().count() <= 60));
    }
}

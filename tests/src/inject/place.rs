//! A state folder, and what has to hold of it whatever has happened.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use stockade_audit::Reader;
use stockade_host::install::{Generation, Installed, Inventory};

use super::PLUGIN;
use crate::{dist, text};

/// A state folder, and the program on it.
#[derive(Clone, Debug)]
pub struct Place(pub PathBuf);

impl Place {
    /// The program with arguments, on this state folder.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(dist().join("stockade"));
        command.args(arguments).arg("--state").arg(&self.0).args(["--format", "json"]);
        command
    }

    /// Has it be as another one.
    ///
    /// # Panics
    ///
    /// It cannot be copied.
    pub fn become_as(&self, other: &Place) {
        if self.0.exists() {
            fs::remove_dir_all(&self.0).expect("it is ours");
        }
        if other.0.exists() {
            let copied = Command::new("cp").arg("-a").arg(&other.0).arg(&self.0).status();
            assert!(copied.expect("there is cp").success());
        }
    }

    /// What is installed, by the list that the audit log speaks of: all of it but when.
    ///
    /// # Errors
    ///
    /// The list cannot be read, or is not the one that the log speaks of.
    pub fn installed(&self) -> Result<Option<Whole>, String> {
        let list = Inventory::trusted(&self.0, &self.0.join("audit")).map_err(|error| error.to_string())?;
        let Some(list) = list else { return Ok(None) };
        let found = list.find(PLUGIN).map_err(|error| error.to_string())?;
        Ok(found.map(Whole::of))
    }

    /// That the audit log does not speak of the last change of the list: it has to have it before the list does.
    ///
    /// # Panics
    ///
    /// One of them cannot be read.
    pub fn unrecorded(&self) -> Option<String> {
        // One without tables has no change either.
        Inventory::look(&self.0).expect("it can be read")?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let list =
            Connection::open_with_flags(self.0.join("installed.sqlite"), flags).expect("it can be read");
        let row = list.query_row("SELECT changes, head FROM site", [], |row| Ok((row.get(0)?, row.get(1)?)));
        let (changes, head): (i64, String) = row.expect("it can be read");
        let mut records = Reader::open(self.0.join("audit")).expect("there is a log").map_while(Result::ok);
        let is_there =
            records.any(|entry| entry.record.detail.text("installed_sha256") == Some(head.as_str()));
        (changes > 0 && !is_there).then(|| format!("the audit log has nothing of change {changes}"))
    }

    /// What `stockade doctor --strict` finds wrong with the list or the plugin.
    ///
    /// # Panics
    ///
    /// The program cannot be run.
    pub fn complaint(&self) -> Option<String> {
        let output = self.command(&["doctor", "--strict"]).output().expect("the program is there");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let (list, plugins) = (&said["inventory"], &said["plugins"]);
        let all = plugins.as_array().into_iter().flatten();
        let mut problems = all.flat_map(|plugin| plugin["problems"].as_array().into_iter().flatten());
        // That a version waits is a note, and nothing wrong.
        let is_well = problems.all(|problem| problem["severity"] == "note") && *list == json!([]);
        let told = || format!("doctor: {list} {plugins} {} {}", said["error"], text(&output.stderr));
        (!is_well || !output.status.success()).then(told)
    }

    /// Why the audit log does not verify. One that nobody has begun has nothing to verify.
    ///
    /// # Panics
    ///
    /// The program cannot be run.
    pub fn unverified(&self) -> Option<String> {
        if !self.0.join("audit").join("audit.jsonl").exists() {
            return None;
        }
        let output = self.command(&["audit", "verify"]).output().expect("the program is there");
        (!output.status.success()).then(|| format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }

    /// Which packages lie about that nobody needs, or are missing; or that a change is open that nobody goes on with.
    ///
    /// # Panics
    ///
    /// The list cannot be read.
    pub fn strays(&self) -> Option<String> {
        let list = Inventory::look(&self.0).expect("it can be read").expect("something was installed");
        let mut needed = BTreeSet::new();
        for installed in list.all().expect("it can be read") {
            let before = list.before(&installed).expect("it can be read");
            let waiting = installed.next.clone().map(|next| *next);
            for generation in before.into_iter().chain(waiting).chain([installed.generation]) {
                needed.insert(format!("{}.stockade.tar", generation.package.replace(':', "-")));
            }
        }
        let packages = fs::read_dir(self.0.join("packages")).expect("it is there");
        let there: BTreeSet<_> = packages
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        let open =
            list.history(None, 1000).expect("it can be read").iter().any(|change| change.state == "open");
        (there != needed || open).then(|| format!("{there:?}, and {needed:?} are needed; open: {open}"))
    }
}

/// A plugin as it is installed, with what it gets and whether it runs: what must never be of two versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole(Box<Installed>);

impl Whole {
    fn of(mut installed: Installed) -> Whole {
        let timeless = |generation: &mut Generation| generation.made = 0;
        timeless(&mut installed.generation);
        if let Some(next) = &mut installed.next {
            timeless(next);
        }
        Whole(Box::new(installed))
    }
}

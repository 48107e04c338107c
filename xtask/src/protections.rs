//! The mutation list: for every protection, the suite with that one taken out must notice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::cargo::{self, Executable};
use crate::ui::{BAD, OK, Step, seconds};
use crate::{programs, workspace};

/// Tells a test build what to leave out; `stockade_policy::REMOVED`.
const REMOVED: &str = "STOCKADE_REMOVED_PROTECTIONS";
/// The packages whose own tests can notice.
const TESTED: [&str; 8] = [
    "stockade-policy",
    "stockade-ipc",
    "stockade-seal",
    "stockade-package",
    "stockade-kernel-log",
    "stockade-host",
    "stockade-control",
    "stockade-tests",
];

/// `tests/protections.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    protection: Vec<Protection>,
}

/// One protection and what notices its absence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Protection {
    /// As in the source: `stands("...")`.
    name: String,
    /// `case ID` of `stockade doctor --attack`, or `test PROGRAM NAME`.
    noticed_by: String,
    /// Others that stop the same thing and are taken out with it, or it could not be told apart.
    #[serde(default)]
    together: Vec<String>,
    /// Where that is needed: why.
    #[serde(default)]
    why: String,
    /// Only root can tell.
    #[serde(default)]
    root: bool,
}

/// A noticer, and what is taken out when it looks.
type Try = (String, String);

impl Protection {
    fn with(&self) -> Try {
        (self.noticed_by.clone(), self.together.join("+"))
    }

    fn without(&self) -> Try {
        let all = [&self.name].into_iter().chain(&self.together).map(String::as_str);
        (self.noticed_by.clone(), all.collect::<Vec<_>>().join("+"))
    }
}

/// What came of one protection.
#[derive(Serialize)]
pub(crate) struct Finding {
    pub(crate) protection: String,
    pub(crate) noticed_by: String,
    pub(crate) noticed: bool,
    /// Nobody could tell on this machine; `said` has why.
    pub(crate) vacuous: bool,
    pub(crate) said: String,
}

impl Finding {
    pub(crate) fn is_fine(&self) -> bool {
        self.noticed || self.vacuous
    }
}

/// What a look at one noticer brought.
struct Look {
    /// It ran and all was well.
    held: bool,
    /// It could not tell on this machine.
    vacuous: bool,
    said: String,
}

/// A test build of everything.
struct Build {
    dist: PathBuf,
    tests: BTreeMap<String, Executable>,
    root: bool,
}

/// Takes out one protection after the other; false where one is not noticed.
pub(crate) fn run(only: Option<&str>) -> Result<Vec<Finding>> {
    let file = workspace::root().join("tests/protections.toml");
    let list: List = toml::from_str(&fs::read_to_string(&file)?).context("tests/protections.toml")?;
    let unlisted = unlisted(&list)?;
    let build = Build::new()?;
    let chosen = |p: &&Protection| only.is_none_or(|only| p.name.contains(only)) && (!p.root || build.root);
    let chosen: Vec<_> = list.protection.iter().filter(chosen).collect();
    let mut step = Step::begin(format!("{} protections, taken out one by one", chosen.len()));
    // With the others gone and this one there, it has to hold; without this one too, it must not.
    let looks: BTreeSet<_> = chosen.iter().flat_map(|p| [p.with(), p.without()]).collect();
    let looks = build.look_at_all(looks, &mut step)?;
    let mut findings: Vec<_> = chosen
        .into_iter()
        .map(|protection| {
            let (before, after) = (&looks[&protection.with()], &looks[&protection.without()]);
            let said = match before.held {
                true => after.said.clone(),
                false => format!("fails with the protection, too: {}", before.said),
            };
            Finding {
                protection: protection.without().1,
                noticed_by: protection.noticed_by.clone(),
                noticed: before.held && !after.held,
                vacuous: before.vacuous,
                said,
            }
        })
        .collect();
    if only.is_none() {
        findings.extend(unlisted.into_iter().map(|protection| Finding {
            protection,
            noticed_by: "nothing".to_owned(),
            noticed: false,
            vacuous: false,
            said: "named in the source and missing in tests/protections.toml".to_owned(),
        }));
    }
    let missed = findings.iter().filter(|finding| !finding.is_fine()).count();
    step.end(if missed == 0 { OK } else { BAD }, &format!("{missed} not noticed"));
    Ok(findings)
}

impl Build {
    fn new() -> Result<Build> {
        let dist = programs::build_removable()?;
        let mut step = Step::begin("tests with removable protections");
        let mut command = cargo::command();
        command.args(["test", "--no-run"]);
        command.args(TESTED.iter().flat_map(|name| ["--package", name]));
        command.args([
            "--features",
            "stockade-policy/removable-protections,stockade-seal/removable-protections,stockade-tests/removable-protections",
        ]);
        let built = cargo::build(command, &mut step);
        let built = step.end_with(built)?;
        let name = |e: &Executable| {
            let package = e.package.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if e.label.ends_with("in its source") { package } else { format!("{package}/{}", e.target) }
        };
        let tests = built.into_iter().filter(|e| e.test).map(|e| (name(&e), e)).collect();
        Ok(Build { dist, tests, root: nix::unistd::geteuid().is_root() })
    }

    /// Six at a time: most of the time goes into waiting for a process.
    fn look_at_all(&self, tries: BTreeSet<Try>, step: &mut Step) -> Result<BTreeMap<Try, Look>> {
        let (queue, done) = (Mutex::new(tries.into_iter()), mpsc::channel());
        thread::scope(|threads| {
            for _ in 0..6 {
                let done = done.0.clone();
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                threads.spawn(move || {
                    while let Some(one) = next() {
                        let look = self.look(&one.0, &one.1);
                        // Nobody hears it once another has failed.
                        let _ = done.send((one, look));
                    }
                });
            }
            drop(done.0);
            let mut looks = BTreeMap::new();
            for (one, look) in done.1 {
                step.detail(&one.1);
                looks.insert(one, look?);
            }
            Ok(looks)
        })
    }

    fn look(&self, noticer: &str, removed: &str) -> Result<Look> {
        let words: Vec<_> = noticer.split_whitespace().collect();
        match words[..] {
            ["case", id] => self.case(id, removed),
            ["test", program, name] => self.test(program, name, removed),
            _ => bail!("{noticer:?} is neither `case ID` nor `test PROGRAM NAME`"),
        }
    }

    fn case(&self, id: &str, removed: &str) -> Result<Look> {
        let mut command = Command::new(self.dist.join("stockade"));
        command.args(["doctor", "--attack", "--format", "json", "--case", id]).env(REMOVED, removed);
        let (success, output) = bounded(command)?;
        let report: serde_json::Value = serde_json::from_slice(&output).unwrap_or_default();
        let rows = report["rows"].as_array().map_or(&[][..], Vec::as_slice);
        let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let held = success && !rows.is_empty() && rows.iter().all(|row| row["verdict"] == "held");
        let odd = rows.iter().find(|row| row["verdict"] != "held");
        let said = odd.map_or_else(
            || if held { "held".to_owned() } else { "the program failed".to_owned() },
            |row| format!("{} {}: {}", text(row, "id"), text(row, "verdict"), text(row, "why")),
        );
        let answers = ["held", "broken"];
        let vacuous = rows.iter().any(|row| !answers.iter().any(|answer| row["verdict"] == *answer));
        Ok(Look { held, vacuous, said })
    }

    fn test(&self, program: &str, name: &str, removed: &str) -> Result<Look> {
        let known = || self.tests.keys().cloned().collect::<Vec<_>>().join(", ");
        let test = self
            .tests
            .get(program)
            .with_context(|| format!("no test program {program}; there are {}", known()))?;
        let mut command = Command::new(&test.file);
        command
            .args(["--exact", name])
            .current_dir(&test.package)
            .env("CARGO_MANIFEST_DIR", &test.package)
            .env("STOCKADE_DIST", &self.dist)
            .env("STOCKADE_GUESTS", workspace::guests()?)
            .env("STOCKADE_EXAMPLES", workspace::root().join("examples"))
            // What fails here fails on purpose: no seed of it belongs into the repository.
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
            .env(REMOVED, removed);
        let (success, output) = bounded(command)?;
        let output = String::from_utf8_lossy(&output);
        ensure!(!success || output.contains("1 passed"), "{program} has no test {name}, or it is ignored");
        let said = output.lines().find(|line| line.contains("panicked at")).unwrap_or("failed").to_owned();
        Ok(Look { held: success, vacuous: false, said: if success { "passed".to_owned() } else { said } })
    }
}

/// A noticer that hangs because a protection is gone has noticed. Some take turns at something of the whole machine's,
/// and so wait for one that hangs.
const LONGEST: Duration = Duration::from_secs(45);

fn bounded(mut command: Command) -> Result<(bool, Vec<u8>)> {
    let output = nameless_file()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{} does not start", command.get_program().to_string_lossy()))?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status.success();
        }
        if began.elapsed() > LONGEST {
            child.kill()?;
            child.wait()?;
            break false;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let mut bytes = Vec::new();
    std::io::Seek::rewind(&mut &output)?;
    std::io::Read::read_to_end(&mut &output, &mut bytes)?;
    Ok((status, bytes))
}

/// A file without a name: a pipe could fill up while nobody reads.
pub(crate) fn nameless_file() -> Result<fs::File> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("stockade-output-{}-{number}", std::process::id()));
    let file = fs::File::options().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// The protections that the source names and the list does not. Fails on a list that is none.
fn unlisted(list: &List) -> Result<BTreeSet<String>> {
    let mut listed = BTreeSet::new();
    for protection in &list.protection {
        ensure!(
            listed.insert(protection.name.as_str()),
            "{} is in tests/protections.toml twice",
            protection.name
        );
        ensure!(
            protection.together.is_empty() || !protection.why.is_empty(),
            "{}: say why others are taken out together with it",
            protection.name
        );
    }
    let mut missing = BTreeSet::new();
    for folder in ["policy/src", "ipc/src", "worker", "host"] {
        visit(&workspace::root().join(folder), &mut |text| {
            let named = names(text);
            missing.extend(named.into_iter().filter(|name| !listed.contains(name.as_str())));
        })?;
    }
    Ok(missing)
}

/// The names in `stands("...")`, and in the first column of tables that are filtered by it.
fn names(source: &str) -> Vec<String> {
    const STARTS: [&str; 5] = ["stands(\"", "(\"limit.", "(\"namespace.", "(\"memfd.seal", "(\"fs."];
    // Tables of protections are filtered by their first column.
    let tables = source.contains(" stands(") && source.contains(".0))");
    let starts = if tables { &STARTS[..] } else { &STARTS[..1] };
    starts
        .iter()
        .flat_map(|start| source.match_indices(start))
        // A row of a table, and no call with such an argument.
        .filter(|(at, start)| !start.starts_with('(') || !source[..*at].ends_with(char::is_alphanumeric))
        .filter_map(|(at, _)| source[at..].split('"').nth(1))
        .filter(|name| name.contains('.') && !name.contains(['=', ':', ' ']))
        .map(str::to_owned)
        .collect()
}

fn visit(folder: &Path, look: &mut dyn FnMut(&str)) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            visit(&path, look)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            look(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// One line for each, the unnoticed ones last.
pub(crate) fn show(findings: &[Finding], took: Duration) {
    let mut sorted: Vec<_> = findings.iter().collect();
    sorted.sort_by_key(|finding| !finding.is_fine());
    for finding in sorted {
        let Finding { protection, noticed_by, said, .. } = finding;
        match (finding.noticed, finding.vacuous) {
            (true, _) => println!("  {OK} {protection:<28} noticed by {noticed_by}"),
            (false, true) => println!("  --   {protection:<28} vacuous here: {said}"),
            (false, false) => println!("  {BAD} {protection:<28} NOT NOTICED by {noticed_by}\n      {said}"),
        }
    }
    let count = |wanted: fn(&Finding) -> bool| findings.iter().filter(|finding| wanted(finding)).count();
    println!(
        "protections: {} noticed when taken out, {} vacuous here, {} not noticed ({})\n",
        count(|finding| finding.noticed),
        count(|finding| finding.vacuous && !finding.noticed),
        count(|finding| !finding.is_fine()),
        seconds(took)
    );
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_are_found_where_protections_are_asked_for_and_in_their_tables() {
        let asked = r#"if stands("fs.quota") { refuse("fs.read", path) }"#;
        assert_eq!(names(asked), ["fs.quota"]);
        let table = r#"[("fs.beneath", 1)].filter(|rule| stands(rule.0)); refuse("fs.read", path)"#;
        assert_eq!(names(table), ["fs.beneath"]);
    }
}

//! The fuzzer: libFuzzer over the targets of `tests/fuzz`. The instrumentation is what stable rustc passes on
//! to LLVM; no other toolchain is needed, only a C++ compiler for the engine. docs/fuzzing.md.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cargo::{self, Executable};
use crate::guests::{self, is_installed, need};
use crate::programs::{self, CONFINED_TARGET};
use crate::ui::{self, BAD, OK, Step};
use crate::workspace;

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this target; all, one after the other, where none is named.
    #[arg(value_enum)]
    target: Option<Target>,
    /// How long, over all targets together.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(4..))]
    seconds: u64,
    /// Run this one input and nothing else.
    #[arg(long, value_name = "FILE", requires = "target")]
    replay: Option<PathBuf>,
    /// Afterwards make the checked-in corpus anew: the fewest inputs that reach all that was reached.
    #[arg(long, conflicts_with = "replay")]
    keep: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// Frames, phases, messages and claims.
    Decode,
    /// A real host and a worker that sends the input.
    Session,
    /// A log that somebody else wrote.
    AuditLine,
    /// A plugin's manifest.
    Manifest,
    /// A plugin in one file.
    Package,
    /// An index of plugins, or a lock file.
    Index,
}

/// Every target, and how many parts of ten of the time it gets: the session most, since it is the slowest.
const TARGETS: [(Target, u64); 6] = [
    (Target::Decode, 2),
    (Target::Session, 4),
    (Target::AuditLine, 1),
    (Target::Manifest, 1),
    (Target::Package, 1),
    (Target::Index, 1),
];

/// One input that takes longer is a finding: seconds. A call's deadline in the session is far below.
const STUCK: u32 = 20;
/// More memory than this is a finding: MiB. The largest frame is 4 MiB.
const MEMORY: u32 = 1024;
/// The checked-in corpus of one target: bytes and inputs. Every test run replays it.
const CORPUS: (u64, usize) = (48 * 1024, 100);
/// Lines of the engine that are shown when it found something.
const SHOWN_LINES: usize = 60;

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Session => "session",
            Self::AuditLine => "audit-line",
            Self::Manifest => "manifest",
            Self::Package => "package",
            Self::Index => "index",
        }
    }

    /// The longest input that is tried.
    fn longest(self) -> u32 {
        match self {
            Self::Decode | Self::Manifest | Self::Index => 4096,
            Self::Session => 2048,
            Self::AuditLine => 8192,
            // The least package has 10 KiB.
            Self::Package => 16_384,
        }
    }
}

/// The programs, built, and where things lie.
struct Bench {
    built: Vec<Executable>,
    dist: PathBuf,
    /// Corpora and findings, kept from run to run.
    work: PathBuf,
    scratch: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The engine ends without destructors, so what its targets made temporarily is still there.
        if let Err(error) = fs::remove_dir_all(&self.scratch) {
            eprintln!("cannot remove {}: {error}", self.scratch.display());
        }
    }
}

/// Fuzzes; false when something was found.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let wanted: Vec<_> =
        TARGETS.into_iter().filter(|(target, _)| options.target.is_none_or(|only| only == *target)).collect();
    let bench = Bench::build(wanted.iter().any(|(target, _)| *target == Target::Session))?;
    if let (Some(target), Some(input)) = (options.target, &options.replay) {
        return bench.replay(target, input);
    }
    let parts: u64 = wanted.iter().map(|(_, parts)| parts).sum();
    let mut good = true;
    for (target, share) in &wanted {
        good &= bench.fuzz(*target, (options.seconds * share / parts).max(1))?;
    }
    if options.keep && good {
        for (target, _) in wanted {
            bench.keep(target)?;
        }
    }
    Ok(good)
}

impl Bench {
    fn build(session: bool) -> Result<Bench> {
        let dist = if session { programs::build(false)? } else { workspace::dist()? };
        if session {
            ui::step("example plugins", |progress| guests::build_examples(progress))?;
        }
        ui::step("C++ compiler", |progress| need("g++", &["g++"], || is_installed("c++"), progress))?;
        let mut step = Step::begin("fuzz targets");
        let mut command = cargo::command();
        command.args(["build", "--profile", "fuzz", "--target", CONFINED_TARGET]);
        command.args(["--package", "stockade-fuzz", "--features", "engine"]);
        for (target, _) in TARGETS {
            command.args(["--bin", &format!("fuzz-{}", target.name())]);
        }
        instrument(&mut command);
        let built = cargo::build(command, &mut step);
        let mut built = step.end_with(built)?;
        let mut step = Step::begin("seeds");
        let mut command = cargo::command();
        command.args(["build", "--package", "stockade-fuzz", "--bin", "fuzz-seeds"]);
        let seeds = cargo::build(command, &mut step);
        built.extend(step.end_with(seeds)?);

        let memory = Path::new("/dev/shm");
        let scratch = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        let scratch = scratch.join(format!("stockade-fuzz-{}", std::process::id()));
        fs::create_dir(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
        Ok(Bench { built, dist, work: workspace::target()?.join("fuzz"), scratch })
    }

    fn program(&self, name: &str) -> Result<Command> {
        let program = self.built.iter().find(|e| e.target == name && !e.test);
        let mut command = Command::new(&program.with_context(|| format!("cargo built no {name}"))?.file);
        command
            .env("TMPDIR", &self.scratch)
            .env("STOCKADE_DIST", &self.dist)
            .env("STOCKADE_GUESTS", workspace::guests()?)
            .env("STOCKADE_EXAMPLES", workspace::root().join("examples"))
            .stdin(Stdio::null());
        Ok(command)
    }

    fn engine(&self, target: Target) -> Result<Command> {
        let mut command = self.program(&format!("fuzz-{}", target.name()))?;
        command.args([format!("-max_len={}", target.longest()), format!("-timeout={STUCK}")]);
        command.arg(format!("-rss_limit_mb={MEMORY}"));
        Ok(command)
    }

    /// What was found so far, the seeds, and what is checked in; the engine writes to the first.
    fn corpora(&self, target: Target) -> Result<[PathBuf; 3]> {
        let folder = self.work.join(target.name());
        let (found, seeds) = (folder.join("corpus"), folder.join("seeds"));
        fs::create_dir_all(&found).with_context(|| format!("cannot create {}", found.display()))?;
        let done = self.program("fuzz-seeds")?.arg(target.name()).arg(&seeds).status();
        ensure!(done.is_ok_and(|status| status.success()), "the seeds of {} cannot be made", target.name());
        let kept = kept(target);
        fs::create_dir_all(&kept).with_context(|| format!("cannot create {}", kept.display()))?;
        Ok([found, seeds, kept])
    }

    fn fuzz(&self, target: Target, seconds: u64) -> Result<bool> {
        let findings = self.work.join(target.name()).join("findings");
        fs::create_dir_all(&findings).with_context(|| format!("cannot create {}", findings.display()))?;
        let mut command = self.engine(target)?;
        command.arg(format!("-max_total_time={seconds}"));
        // The engine puts a file's name right behind this.
        command.arg(format!("-artifact_prefix={}/", findings.display()));
        command.args(self.corpora(target)?);
        let mut step = Step::begin(format!("fuzz {} for {seconds} s", target.name()));
        let said = follow(command, &mut step)?;
        step.end(if said.good { OK } else { BAD }, &said.last);
        if said.good {
            return Ok(true);
        }
        println!("{}", said.lines.join("\n"));
        match said.finding {
            Some(finding) => {
                println!("the input is {finding}");
                println!("to run it alone: cargo xtask fuzz {} --replay {finding}", target.name());
            }
            None => println!("the engine ended without an input that explains it"),
        }
        Ok(false)
    }

    fn replay(&self, target: Target, input: &Path) -> Result<bool> {
        ensure!(input.is_file(), "{} is no file", input.display());
        let status = self.engine(target)?.arg(input).status().context("the engine does not start")?;
        Ok(status.success())
    }

    /// Makes the checked-in corpus anew: of inputs that cover all edges together, the longest that there is
    /// room for, since each of those covers the most.
    fn keep(&self, target: Target) -> Result<()> {
        let fresh = self.scratch.join(target.name());
        fs::create_dir(&fresh)?;
        let mut command = self.engine(target)?;
        command.args(["-merge=1", "-set_cover_merge=1", "-use_counters=0"]);
        command.arg(&fresh).args(self.corpora(target)?);
        let mut step = Step::begin(format!("corpus of {}", target.name()));
        let said = follow(command, &mut step)?;
        ensure!(said.good, "the corpus of {} cannot be merged:\n{}", target.name(), said.lines.join("\n"));
        let mut inputs = Vec::new();
        for entry in fs::read_dir(&fresh)? {
            let path = entry?.path();
            inputs.push((path.metadata()?.len(), path));
        }
        ensure!(!inputs.is_empty(), "no input of {} covers anything", target.name());
        inputs.sort();
        inputs.reverse();
        let kept = kept(target);
        fs::remove_dir_all(&kept).with_context(|| format!("cannot empty {}", kept.display()))?;
        fs::create_dir_all(&kept)?;
        let (mut bytes, mut count) = (0, 0);
        for (length, input) in &inputs {
            if bytes + length > CORPUS.0 || count == CORPUS.1 {
                continue;
            }
            (bytes, count) = (bytes + length, count + 1);
            let name = input.file_name().context("an input without a name")?;
            fs::copy(input, kept.join(name)).with_context(|| format!("cannot write {}", kept.display()))?;
        }
        let left_out = inputs.len() - count;
        step.end(OK, &format!("{count} inputs, {:.1} KB, {left_out} left out", bytes as f64 / 1e3));
        Ok(())
    }
}

/// Where a target's corpus is checked in.
fn kept(target: Target) -> PathBuf {
    workspace::root().join("tests/fuzz/corpus").join(target.name())
}

/// Counters at every edge and a look at every comparison, for all that is linked in: what `cargo fuzz` asks a
/// nightly compiler for by other names.
fn instrument(command: &mut Command) {
    let flags = [
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=4",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
        "-Cllvm-args=-sanitizer-coverage-trace-compares",
    ];
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).env_remove("RUSTFLAGS");
}

/// What the engine said.
struct Said {
    good: bool,
    /// Its last lines.
    lines: Vec<String>,
    /// Its last count of runs, edges and inputs.
    last: String,
    /// The input that it wrote for what it found.
    finding: Option<String>,
}

fn follow(mut command: Command, step: &mut Step) -> Result<Said> {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("the fuzz target does not start")?;
    let mut said = Said { good: false, lines: Vec::new(), last: String::new(), finding: None };
    let mut lines = VecDeque::new();
    for line in BufReader::new(child.stderr.take().context("the engine has no stderr")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        if let Some(counts) = counts(&line) {
            step.detail(&counts);
            said.last = counts;
            continue;
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            said.finding = Some(path.to_owned());
        }
        if lines.len() == SHOWN_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
    said.lines = lines.into();
    said.good = child.wait()?.success();
    Ok(said)
}

/// `#6661 DONE cov: 6479 ft: 13921 corp: 268/81Kb lim: 2048 exec/s: 317 rss: 51Mb`, in words.
fn counts(line: &str) -> Option<String> {
    let runs = line.strip_prefix('#')?.split_whitespace().next()?;
    let after = |name: &str| {
        let mut words = line.split_whitespace().skip_while(|word| *word != name);
        words.nth(1)
    };
    let (edges, inputs, rate) = (after("cov:")?, after("corp:")?, after("exec/s:")?);
    Some(format!("{runs} runs, {edges} edges, corpus {inputs}, {rate} runs/s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_counts_are_read_and_other_lines_are_not() {
        let line = "#6661\tDONE   cov: 6479 ft: 13921 corp: 268/81Kb lim: 2048 exec/s: 317 rss: 51Mb";
        assert_eq!(counts(line).as_deref(), Some("6661 runs, 6479 edges, corpus 268/81Kb, 317 runs/s"));
        for other in ["", "INFO: Seed: 1", "#1", "==7== ERROR: libFuzzer: deadly signal"] {
            assert_eq!(counts(other), None);
        }
    }

    #[test]
    fn the_shares_of_the_time_are_tenths() {
        assert_eq!(TARGETS.iter().map(|(_, parts)| parts).sum::<u64>(), 10);
    }
}

//! All tests: as the current user and, where that is root, as an unprivileged one too.

mod libtest;
mod nobody;

use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};

use crate::cargo::{self, Executable};
use crate::ui::{BAD, OK, Step, seconds};
use crate::{programs, workspace};
use libtest::Counts;

/// A test program that takes longer is stuck: it is ended and counted as failed.
const STUCK: Duration = Duration::from_secs(20 * 60);

/// Packages that are built by themselves: static programs, whose libraries have other features.
const APART: [&str; 2] = ["stockade-worker", "stockade-compiler"];
/// Packages without a library, whose documentation cargo cannot test.
const NO_LIBRARY: [&str; 5] = [APART[0], APART[1], "stockade-probe", "stockade-cli", "xtask"];

/// Which tests.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only tests whose names contain this.
    #[arg(long)]
    filter: Option<String>,
    /// Only the tests of this package; may be repeated.
    #[arg(long)]
    package: Vec<String>,
    /// Leave the slow tests out (those marked #[ignore]).
    #[arg(long)]
    no_slow: bool,
    /// Show what passing tests print, too.
    #[arg(long)]
    show_output: bool,
    /// Only these test programs of the packages.
    #[arg(skip)]
    targets: Vec<&'static str>,
    /// Optimised.
    #[arg(skip)]
    release: bool,
}

/// Who runs the tests, and from where.
pub(crate) struct Stage {
    /// Shown, and told to the tests as STOCKADE_TEST_USER.
    pub(crate) user: &'static str,
    /// The user to become, where it is another one.
    pub(crate) uid: Option<u32>,
    /// The repository's tree.
    tree: PathBuf,
    pub(crate) dist: PathBuf,
    guests: PathBuf,
    examples: PathBuf,
    home: Option<PathBuf>,
    tmp: Option<PathBuf>,
    /// Programs of others, by the variables that tests find them by.
    peers: Vec<(&'static str, PathBuf)>,
}

/// Runs the suite; false when something failed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let began = Instant::now();
    let dist = programs::build(false)?;
    let skipped_guests = crate::build_guests()?;
    let peers = crate::peers::find();
    let tests = build_tests(options)?;
    eprintln!("everything built in {}\n", seconds(began.elapsed()));

    let root = geteuid().is_root();
    let mut stage = Stage::own(dist)?;
    stage.peers = peers;
    let mut total = Counts { skipped: skipped_guests.len(), skips: skipped_guests, ..Counts::default() };
    total += part(&stage, &tests, Size::Fast, options)?;
    if root {
        let unprivileged = nobody::stage(&stage, &tests)?;
        total += part(&unprivileged.stage, &unprivileged.tests, Size::Fast, options)?;
        if !options.no_slow {
            total += part(&unprivileged.stage, &unprivileged.tests, Size::Slow, options)?;
        }
    }
    if !options.no_slow {
        total += part(&stage, &tests, Size::Slow, options)?;
    }
    if !root {
        println!("SKIPPED: the suite as root: this user is not root");
    }
    for line in &total.skips {
        println!("{line}");
    }
    for label in &total.failures {
        println!("FAILED: {label}");
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    Ok(total.failed == 0)
}

impl Stage {
    /// The user who runs us.
    fn own(dist: PathBuf) -> Result<Stage> {
        Ok(Stage {
            user: if geteuid().is_root() { "root" } else { "user" },
            uid: None,
            tree: workspace::root().to_path_buf(),
            dist,
            guests: workspace::guests()?,
            examples: workspace::root().join("examples"),
            home: None,
            tmp: None,
            peers: Vec::new(),
        })
    }

    /// A command that this user starts.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.envs(self.tmp.iter().map(|tmp| ("TMPDIR", tmp)));
        if let (Some(uid), Some(home), Some(tmp)) = (self.uid, &self.home, &self.tmp) {
            // Becoming another user also drops the supplementary groups: see `CommandExt::uid`.
            command.gid(uid).uid(uid).env("HOME", home).current_dir(tmp);
        }
        command
    }

    /// Runs the system tests of these files at their full size, the slow ones too, so many at a time; false if one
    /// failed.
    pub(crate) fn full_size(&self, tests: &[Executable], files: &[&str], at_once: u8) -> Result<bool> {
        let options = Options {
            filter: None,
            package: Vec::new(),
            no_slow: true,
            show_output: true,
            targets: Vec::new(),
            release: false,
        };
        let mut counts = Counts::default();
        for test in tests.iter().filter(|test| files.contains(&test.target.as_str())) {
            counts += one(self, test, Size::Full { at_once }, &options)?;
        }
        Ok(counts.failed == 0 && counts.passed > 0)
    }
}

/// Who tries the system tests: this user and, where that is root, an unprivileged one.
pub(crate) struct Users {
    own: (Stage, Vec<Executable>),
    nobody: Option<nobody::Copied>,
}

impl Users {
    /// Builds these of the system tests.
    pub(crate) fn prepare(dist: PathBuf, targets: Vec<&'static str>, release: bool) -> Result<Users> {
        let tests = if targets.is_empty() {
            Vec::new()
        } else {
            let package = vec!["stockade-tests".to_owned()];
            let options =
                Options { filter: None, package, no_slow: true, show_output: false, targets, release };
            build_tests(&options)?
        };
        let mut stage = Stage::own(dist)?;
        let nobody = geteuid().is_root().then(|| nobody::stage(&stage, &tests)).transpose()?;
        // Tests count temporary files: those of the other user are not to be among them.
        stage.tmp = nobody.as_ref().map(|copied| copied.apart.clone());
        Ok(Users { own: (stage, tests), nobody })
    }

    fn all(&self) -> impl Iterator<Item = (&Stage, &[Executable])> {
        let nobody = self.nobody.iter().map(|copied| (&copied.stage, &copied.tests[..]));
        [(&self.own.0, &self.own.1[..])].into_iter().chain(nobody)
    }

    /// For what waits more than it computes.
    pub(crate) fn side_by_side<T: Send>(
        &self,
        act: impl Fn(&Stage, &[Executable]) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let act = &act;
        thread::scope(|scope| {
            let threads: Vec<_> =
                self.all().map(|(stage, tests)| scope.spawn(move || act(stage, tests))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }

    /// For what measures.
    pub(crate) fn in_turns<T>(&self, act: impl Fn(&Stage, &[Executable]) -> Result<T>) -> Result<Vec<T>> {
        self.all().map(|(stage, tests)| act(stage, tests)).collect()
    }
}

/// Which tests of a file, and how much of each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Fast,
    Slow,
    /// Thousands of cycles where the others take a few: `cargo xtask escape`.
    Full {
        /// One, where what is measured is to be measured alone.
        at_once: u8,
    },
}

/// Compiles the test programs. The confined programs' own tests come from invocations of their own, for
/// the same reason as the programs.
fn build_tests(options: &Options) -> Result<Vec<Executable>> {
    const CLI: &str = "stockade-cli";
    let mut tests = Vec::new();
    let mut compile = |name: &str, arguments: &[&str]| -> Result<()> {
        let mut step = Step::begin(name);
        let mut command = cargo::command();
        command.args(["test", "--no-run"]).args(arguments);
        if options.release {
            command.arg("--release");
        }
        let built = cargo::build(command, &mut step);
        let built = step.end_with(built)?;
        tests.extend(built.into_iter().filter(|e| e.test));
        Ok(())
    };
    let mut wanted: Vec<&str> = options.package.iter().map(String::as_str).collect();
    let apart: Vec<_> = APART.into_iter().filter(|name| wanted.is_empty() || wanted.contains(name)).collect();
    wanted.retain(|name| !APART.contains(name));
    if options.package.is_empty() {
        compile("tests", &["--workspace", "--exclude", APART[0], "--exclude", APART[1]])?;
    } else if !wanted.is_empty() {
        let packages = wanted.iter().flat_map(|name| ["--package", name]);
        let targets = options.targets.iter().flat_map(|name| ["--test", name]);
        let arguments: Vec<_> = packages.chain(targets).collect();
        compile("tests", &arguments)?;
    }
    for package in apart {
        compile(&format!("tests of {package}"), &["--package", package])?;
    }
    if options.package.is_empty() || wanted.contains(&CLI) {
        // What is in no other build; its tests are those of the package, and some more.
        compile("tests of stockade-cli with otel", &["--package", CLI, "--features", "otel"])?;
    }
    Ok(tests)
}

/// Runs every test program as one user.
fn part(stage: &Stage, tests: &[Executable], size: Size, options: &Options) -> Result<Counts> {
    let began = Instant::now();
    let slow = size == Size::Slow;
    let name = format!("{}tests as {}", if slow { "slow " } else { "" }, stage.user);
    println!("{name}");
    let mut counts = Counts::default();
    for test in tests {
        counts += one(stage, test, size, options)?;
    }
    if !slow && stage.uid.is_none() {
        counts += examples_in_docs(options)?;
    }
    println!(
        "  {name}: {} passed, {} failed, {} skipped in {}\n",
        counts.passed,
        counts.failed,
        counts.skipped,
        seconds(began.elapsed())
    );
    Ok(counts)
}

fn one(stage: &Stage, test: &Executable, size: Size, options: &Options) -> Result<Counts> {
    let folder = test.package.strip_prefix(workspace::root()).unwrap_or(&test.package);
    let folder = stage.tree.join(folder);
    let mut command = stage.command(&test.file);
    command.arg("--show-output").args(options.filter.as_deref());
    let command = match size {
        Size::Fast => &mut command,
        Size::Slow => command.arg("--ignored"),
        Size::Full { at_once } => command
            .args(["--include-ignored", &format!("--test-threads={at_once}")])
            .env("STOCKADE_CYCLES", "full"),
    };
    command
        .current_dir(&folder)
        .env("CARGO_MANIFEST_DIR", &folder)
        .env("STOCKADE_DIST", &stage.dist)
        .env("STOCKADE_GUESTS", &stage.guests)
        .envs(stage.peers.iter().cloned())
        .env("STOCKADE_EXAMPLES", &stage.examples)
        .env("STOCKADE_TEST_USER", stage.user)
        .env("INSTA_WORKSPACE_ROOT", &stage.tree)
        .env("INSTA_UPDATE", "no");
    let began = Instant::now();
    let (status, output) =
        bounded(command).with_context(|| format!("{} does not start", test.file.display()))?;
    let mut counts = libtest::count(&output);
    // `skipped` of a fast part has the slow tests in it; they get a part of their own.
    if size == Size::Fast && !options.no_slow {
        counts.skipped -= counts.ignored;
    }
    counts.judge(status.success(), || format!("{} as {}", test.label, stage.user));
    if counts.is_empty() && status.success() {
        return Ok(counts);
    }
    let mark = if counts.failed == 0 { OK } else { BAD };
    // In one piece: another user's tests may run at the same time.
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "  {mark} {} as {}: {} passed, {} failed, {} skipped ({})",
        test.label,
        stage.user,
        counts.passed,
        counts.failed,
        counts.skipped,
        seconds(began.elapsed())
    )?;
    if counts.failed > 0 || options.show_output {
        if let Some(signal) = status.signal() {
            writeln!(out, "  ended by signal {signal}")?;
        }
        writeln!(out, "{}", output.trim_end())?;
    }
    Ok(counts)
}

/// The examples in the documentation of the libraries, which only cargo can run: of the same packages as the
/// tests, so that everything they link is built already.
fn examples_in_docs(options: &Options) -> Result<Counts> {
    let mut command = cargo::command();
    command.args(["test", "--doc", "--no-fail-fast"]);
    if options.package.is_empty() {
        command.arg("--workspace").args(APART.iter().flat_map(|name| ["--exclude", name]));
    } else if options.package.iter().all(|name| NO_LIBRARY.contains(&name.as_str())) {
        return Ok(Counts::default());
    }
    command.args(options.package.iter().flat_map(|name| ["--package", name]));
    command.args(["--", "--show-output"]).args(options.filter.as_deref());
    let began = Instant::now();
    let (status, output) = bounded(&mut command).context("cargo does not start")?;
    let mut counts = libtest::count(&output);
    counts.skipped -= counts.ignored;
    counts.judge(status.success(), || "examples in the documentation".into());
    let mark = if counts.failed == 0 { OK } else { BAD };
    println!(
        "  {mark} examples in the documentation: {} passed ({})",
        counts.passed,
        seconds(began.elapsed())
    );
    if counts.failed > 0 {
        println!("{status}");
        output.lines().filter(|line| !line.starts_with("   Compiling ")).for_each(|line| println!("{line}"));
    }
    Ok(counts)
}

/// Runs a command in a process group of its own, which ends with it or when it is stuck, and gives all
/// that it printed.
fn bounded(command: &mut Command) -> Result<(ExitStatus, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let status = wait(&mut child)?;
    // Whatever a test left running would hold the pipes open.
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    let text = |reader: thread::JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    let mut output = text(out);
    output.extend(text(err));
    Ok((status, String::from_utf8_lossy(&output).into_owned()))
}

fn drain<R: Read + Send + 'static>(stream: Option<R>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before an error is still worth showing.
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn wait(child: &mut Child) -> Result<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if began.elapsed() > STUCK {
            println!("  still running after {}: ended", seconds(began.elapsed()));
            killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL)?;
            return Ok(child.wait()?);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Copies a file or a whole folder.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(from).with_context(|| format!("cannot read {}", from.display()))?;
    if metadata.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else if metadata.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
    } else if metadata.is_file() {
        fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

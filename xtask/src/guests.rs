//! Builds the plugins of `examples/` and the guests of `tests/guests/`, each when it is stale, with
//! whichever toolchain this machine has or can install.

mod c;
mod component;
mod javascript;
mod process;
mod python;
mod rust;
mod stamp;
mod wat;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace;
pub(crate) use process::{is_installed, need};
use rust::Target;
use stamp::Stamp;

/// Called with each line that says what is being done.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(&str);

/// One guest that is there now.
pub(crate) struct Guest {
    pub(crate) name: String,
    /// What it was built with.
    pub(crate) toolchain: String,
    /// Built by this call; else it was up to date.
    pub(crate) rebuilt: bool,
}

/// One guest that this machine cannot build.
pub(crate) struct Skipped {
    pub(crate) name: String,
    pub(crate) why: String,
}

/// What was built.
#[derive(Default)]
pub(crate) struct GuestReport {
    pub(crate) built: Vec<Guest>,
    pub(crate) skipped: Vec<Skipped>,
}

/// The folders that a build reads and writes.
struct Places {
    root: PathBuf,
    /// Where test guests are put.
    output: PathBuf,
    /// Cargo's, npm's and pip's folders, and the stamps.
    work: PathBuf,
}

impl Places {
    fn find() -> Result<Self> {
        let target = workspace::target()?;
        let places = Self {
            root: workspace::root().to_path_buf(),
            output: workspace::guests()?,
            work: target.join("guests-build"),
        };
        for folder in [&places.output, &places.work] {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(places)
    }

    /// Two builds at once would each install and write the same files.
    fn lock(&self) -> Result<File> {
        let path = self.work.join("lock");
        let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(lock)
    }
}

/// One guest to build.
struct Recipe<'a> {
    name: &'a str,
    output: PathBuf,
    /// Files and folders, relative to the root, that the result depends on.
    inputs: &'a [&'a str],
}

/// What a build makes: the component, and what made it.
type Made = (Vec<u8>, String);

/// The example plugins and what each is built for.
const EXAMPLES: [(&str, Target); 5] = [
    ("text-stats", Target::Bare),
    ("secret-scan", Target::Wasip2),
    ("hostile", Target::Wasip2),
    ("dependency-audit", Target::Wasip2),
    ("assistant", Target::Bare),
];

/// Test guests in Rust: file name, package, target.
const RUST: [(&str, &str, Target); 9] = [
    ("greet-rust", "greet", Target::Bare),
    ("greet-rust-wasip1", "greet", Target::Wasip1),
    ("greet-rust-wasip2", "greet", Target::Wasip2),
    ("stateful", "stateful", Target::Bare),
    ("kitchen-sink", "kitchen-sink", Target::Bare),
    ("wasi-tour", "wasi-tour", Target::Wasip2),
    ("http-tour", "http-tour", Target::Wasip2),
    ("kv-tour", "kv-tour", Target::Bare),
    ("agent-tour", "agent-tour", Target::Bare),
];

const GUESTS: &str = "tests/guests";

/// Builds the plugins of `examples/`, each into its own folder, where its manifest expects it.
///
/// # Errors
/// A toolchain that is missing and cannot be installed; a build that fails.
pub(crate) fn build_examples(progress: Progress<'_>) -> Result<()> {
    let places = Places::find()?;
    let _lock = places.lock()?;
    let mut report = GuestReport::default();
    for (package, target) in EXAMPLES {
        let file = format!("{}.wasm", package.replace('-', "_"));
        let source = format!("examples/{package}/src");
        let manifest = format!("examples/{package}/Cargo.toml");
        let recipe = Recipe {
            name: package,
            output: places.root.join("examples").join(package).join(file),
            inputs: &[
                &source,
                &manifest,
                "examples/Cargo.toml",
                "examples/Cargo.lock",
                "sdk/src",
                "sdk/wit",
                "sdk/Cargo.toml",
                "wit",
            ],
        };
        make(&places, &recipe, &mut report, progress, |progress| {
            rust::build(&places, "examples", package, target, progress)
        })?;
    }
    Ok(())
}

/// Builds the test guests; `progress` is told what built each, and what was skipped and why.
///
/// # Errors
/// As [`test_guests`].
pub(crate) fn build_test_guests(progress: Progress<'_>) -> Result<()> {
    let report = test_guests(progress)?;
    for Guest { name, toolchain, rebuilt } in report.built {
        progress(&format!("{name} by {toolchain}{}", if rebuilt { "" } else { ", up to date" }));
    }
    for Skipped { name, why } in report.skipped {
        progress(&format!("skipped {name}: {why}"));
    }
    Ok(())
}

/// Builds the test guests as `target/guests/NAME.wasm`.
///
/// Rust, C and JavaScript must work. Python is skipped where it cannot be installed.
///
/// # Errors
/// A toolchain that is missing and cannot be installed; a build that fails.
pub(crate) fn test_guests(progress: Progress<'_>) -> Result<GuestReport> {
    let places = Places::find()?;
    let _lock = places.lock()?;
    let mut report = GuestReport::default();

    for (name, package, target) in RUST {
        let source = format!("{GUESTS}/rust/{package}");
        let inputs =
            [&*source, "tests/guests/wit", "wit", "tests/guests/Cargo.toml", "tests/guests/Cargo.lock"];
        let recipe = Recipe { name, output: places.guest(name), inputs: &inputs };
        make(&places, &recipe, &mut report, progress, |progress| {
            rust::build(&places, GUESTS, package, target, progress)
        })?;
    }
    for (name, wasi) in [("greet-c", false), ("greet-c-wasi", true)] {
        let inputs = ["tests/guests/c", "tests/guests/wit"];
        let recipe = Recipe { name, output: places.guest(name), inputs: &inputs };
        make(&places, &recipe, &mut report, progress, |progress| c::build(&places, wasi, progress))?;
    }
    for (name, script) in [
        ("greet-js", javascript::Script::Greet),
        ("greet-js-wasi", javascript::Script::GreetWasi),
        ("fetch-js", javascript::Script::FetchTour),
    ] {
        let inputs = ["tests/guests/js", "tests/guests/wit"];
        let recipe = Recipe { name, output: places.guest(name), inputs: &inputs };
        make(&places, &recipe, &mut report, progress, |progress| {
            javascript::build(&places, script, progress)
        })?;
    }
    for (name, script) in [
        ("greet-python", python::Script::Greet),
        ("greet-python-wasi", python::Script::GreetWasi),
        ("files-python", python::Script::Files),
        ("fetch-python", python::Script::Fetch),
    ] {
        let inputs = ["tests/guests/python", "tests/guests/wit"];
        let recipe = Recipe { name, output: places.guest(name), inputs: &inputs };
        let built = make(&places, &recipe, &mut report, progress, |progress| {
            python::build(&places, script, progress)
        });
        if let Err(error) = built {
            report.skipped.push(Skipped { name: name.into(), why: format!("{error:#}") });
        }
    }
    for name in wat::names(&places)? {
        let input = format!("{GUESTS}/wat/{name}.wat");
        let recipe = Recipe { name: &name, output: places.guest(&name), inputs: &[&input] };
        make(&places, &recipe, &mut report, progress, |_| wat::build(&places.root.join(&input)))?;
    }
    Ok(report)
}

impl Places {
    fn guest(&self, name: &str) -> PathBuf {
        self.output.join(format!("{name}.wasm"))
    }
}

/// Builds one guest if its inputs changed since the last time.
fn make(
    places: &Places,
    recipe: &Recipe<'_>,
    report: &mut GuestReport,
    progress: Progress<'_>,
    build: impl FnOnce(Progress<'_>) -> Result<Made>,
) -> Result<()> {
    let stamp = Stamp::of(places, recipe)?;
    let name = recipe.name.to_owned();
    if let Some(toolchain) = stamp.up_to_date(&recipe.output) {
        report.built.push(Guest { name, toolchain, rebuilt: false });
        return Ok(());
    }
    progress(&format!("building {name}"));
    let (component, toolchain) = build(progress).with_context(|| format!("cannot build the guest {name}"))?;
    write(&recipe.output, &component)?;
    stamp.put(&toolchain)?;
    progress(&format!("built {name} with {toolchain}"));
    report.built.push(Guest { name, toolchain, rebuilt: true });
    Ok(())
}

/// Whole or not at all: a test may be reading the old one.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, bytes).with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("cannot put {} in place", path.display()))
}

//! Plugins as others run them, side by side: `cargo xtask bench --peers` finds or builds their programs and says where
//! they are. All are asked in turns, so that what else the machine does meets each of them.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value as Json, json};
use stockade_host::{Namespaces, Plugin};
use stockade_tests::{Bench, dist, guest};

use super::load::large_arguments;
use super::{
    ARGUMENTS, Spread, empty_program, greet, greet_with, greeter, idle_workers, sizes, start_again, timed,
};

/// Calls of one turn: enough that the first of them, which finds cold caches, is no hundredth.
const AT_ONCE: usize = 1000;
/// The same, of those with large payloads.
const LARGE_AT_ONCE: usize = 50;
/// Plugins of which one is weighed.
const WEIGHED: usize = 20;

/// What was measured of one way to run a plugin.
pub(super) struct Row {
    what: &'static str,
    confines: &'static str,
    start: Option<Spread>,
    call: Option<Spread>,
    large: Option<Spread>,
    memory: Option<Spread>,
}

/// A way to run a plugin. Times are microseconds, sizes KiB; nothing is what there is not.
trait Way {
    /// From no plugin to its first reply.
    fn start(&mut self) -> Option<f64> {
        None
    }

    fn calls(&mut self, _times: usize) -> Vec<f64> {
        Vec::new()
    }

    /// Calls with a text of 1 MiB there and one back.
    fn large(&mut self, _times: usize) -> Vec<f64> {
        Vec::new()
    }

    fn memory(&mut self, _count: usize) -> Vec<f64> {
        Vec::new()
    }
}

struct Stockade {
    plugin: Plugin,
    /// What the plugin runs in.
    _bench: Bench,
}

impl Stockade {
    fn new(reuse: bool) -> Stockade {
        let bench = Bench::with(&dist(), Namespaces::default());
        Stockade { plugin: greeter(&bench, reuse), _bench: bench }
    }
}

impl Way for Stockade {
    fn start(&mut self) -> Option<f64> {
        Some(start_again(&self.plugin).as_secs_f64() * 1e6)
    }

    fn calls(&mut self, times: usize) -> Vec<f64> {
        (0..times).map(|_| timed(|| greet(&self.plugin)).as_secs_f64() * 1e6).collect()
    }

    fn large(&mut self, times: usize) -> Vec<f64> {
        let arguments = large_arguments();
        (0..times).map(|_| timed(|| greet_with(&self.plugin, &arguments)).as_secs_f64() * 1e6).collect()
    }

    fn memory(&mut self, count: usize) -> Vec<f64> {
        sizes(&idle_workers(&Bench::new(), count)).unwrap_or_default()
    }
}

/// A program that measures itself, as `tests/peers` has them: a line asks, a JSON array of one line answers.
struct Measuring {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Measuring {
    /// Started, and found to answer.
    fn new(command: &mut Command) -> Result<Measuring, String> {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| error.to_string())?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it was piped"));
        let mut program = Measuring { child, input, output };
        program.ask("start", 1)?;
        Ok(program)
    }

    fn ask(&mut self, what: &str, times: usize) -> Result<Vec<f64>, String> {
        let input = self.input.as_mut().expect("it is open until this goes");
        writeln!(input, "{what} {times}").map_err(|error| error.to_string())?;
        let mut answer = String::new();
        self.output.read_line(&mut answer).map_err(|error| error.to_string())?;
        serde_json::from_str(&answer).map_err(|_| format!("no answer to {what:?} but {answer:?}"))
    }

    fn microseconds(&mut self, what: &str, times: usize) -> Vec<f64> {
        let nanoseconds = self.ask(what, times).expect("a program that has answered does so again");
        nanoseconds.into_iter().map(|each| each / 1e3).collect()
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        // The end of its input is the end of it.
        self.input = None;
        let _ = self.child.wait();
    }
}

impl Way for Measuring {
    fn start(&mut self) -> Option<f64> {
        self.microseconds("start", 1).pop()
    }

    fn calls(&mut self, times: usize) -> Vec<f64> {
        self.microseconds("call", times)
    }

    fn large(&mut self, times: usize) -> Vec<f64> {
        self.microseconds("large", times)
    }

    fn memory(&mut self, count: usize) -> Vec<f64> {
        self.ask("memory", count).expect("a program that has answered does so again")
    }
}

/// A way that differs in its calls alone from another.
struct Calls<W>(W);

impl<W: Way> Way for Calls<W> {
    fn calls(&mut self, times: usize) -> Vec<f64> {
        self.0.calls(times)
    }

    fn large(&mut self, times: usize) -> Vec<f64> {
        self.0.large(times)
    }
}

/// The empty program, from its start to its end: no plugin, and what one cannot be below.
struct Empty;

impl Way for Empty {
    fn start(&mut self) -> Option<f64> {
        Some(empty_program().as_secs_f64() * 1e6)
    }
}

/// The same in namespaces of its own, with nothing but itself to see.
struct Bubblewrap {
    program: PathBuf,
}

impl Bubblewrap {
    /// Found to work on this machine.
    fn new(program: PathBuf) -> Result<Bubblewrap, String> {
        let bubblewrap = Bubblewrap { program };
        let output = bubblewrap.command().output().map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(bubblewrap),
            false => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--unshare-all", "--die-with-parent", "--ro-bind"]);
        command.arg(dist().join("stockade-empty")).args(["/empty", "/empty"]).env_clear();
        // Its libraries were unpacked beside it.
        if let Some(root) = self.program.ancestors().nth(3) {
            command.env("LD_LIBRARY_PATH", root.join("lib/x86_64-linux-gnu"));
        }
        command
    }
}

impl Way for Bubblewrap {
    fn start(&mut self) -> Option<f64> {
        let mut command = self.command();
        let took = timed(|| {
            let status = command.status().expect("it has run before");
            assert!(status.success(), "bubblewrap: {status}");
        });
        Some(took.as_secs_f64() * 1e6)
    }
}

/// A way, and what has been measured of it.
struct Measured {
    what: &'static str,
    confines: &'static str,
    way: Box<dyn Way>,
    start: Vec<f64>,
    call: Vec<f64>,
    large: Vec<f64>,
}

impl Measured {
    fn row(mut self) -> Row {
        Row {
            what: self.what,
            confines: self.confines,
            start: Spread::of(self.start),
            call: Spread::of(self.call),
            large: Spread::of(self.large),
            memory: Spread::of(self.way.memory(WEIGHED)),
        }
    }
}

/// The ways that there are on this machine, and what is left out and why.
#[derive(Default)]
struct Others {
    ways: Vec<Measured>,
    skipped: Vec<String>,
}

impl Others {
    /// `folder` is for artifacts of the component.
    fn find(folder: &Path) -> Others {
        const STOCKADE: &str = "all of Stockade";
        let mut others = Others::default();
        others.add("Stockade, instance reused", STOCKADE, || Ok(Stockade::new(true)));
        others.add("Stockade, a fresh instance for each call", STOCKADE, || Ok(Calls(Stockade::new(false))));
        if let Some(program) = named("STOCKADE_IN_PROCESS") {
            const GUEST: &str = "WebAssembly alone";
            let run = |mode: &str| {
                let mut command = Command::new(&program);
                command.arg(guest("greet-rust.wasm")).arg(folder.join(mode)).args(["greet", ARGUMENTS, mode]);
                // As the worker has it (`worker/runner/src/kept.rs`).
                command.env(
                    "GLIBC_TUNABLES",
                    "glibc.malloc.mmap_threshold=4194304:glibc.malloc.trim_threshold=8388608",
                );
                Measuring::new(&mut command)
            };
            others.add("in-process, instance reused", GUEST, || run("reused"));
            others.add("in-process, a fresh instance for each call", GUEST, || run("fresh").map(Calls));
        }
        if let Some(program) = named("STOCKADE_GO_PLUGIN") {
            let arguments: Json = serde_json::from_str(ARGUMENTS).expect("JSON");
            let name = arguments["name"].as_str().expect("a text");
            for (what, protocol) in [("go-plugin, net/rpc", "netrpc"), ("go-plugin, gRPC", "grpc")] {
                let mut command = Command::new(&program);
                command.args([protocol, name]);
                others.add(what, "nothing", || Measuring::new(&mut command));
            }
        }
        if let Some(program) = named("STOCKADE_BWRAP") {
            others.add("bubblewrap, an empty program", "namespaces", || Bubblewrap::new(program));
        }
        others.add("the empty program alone", "nothing", || Ok(Empty));
        others
    }

    fn add<W: Way + 'static>(
        &mut self,
        what: &'static str,
        confines: &'static str,
        make: impl FnOnce() -> Result<W, String>,
    ) {
        match make() {
            Ok(way) => {
                let way = Box::new(way);
                self.ways.push(Measured {
                    what,
                    confines,
                    way,
                    start: Vec::new(),
                    call: Vec::new(),
                    large: Vec::new(),
                });
            }
            Err(why) => self.skipped.push(format!("{what}: {why}")),
        }
    }
}

fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// One start of each, again and again; then so many calls of each. And what could not be measured.
pub(super) fn measure(starts: usize, calls: usize) -> (Vec<Row>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Others { mut ways, skipped } = Others::find(folder.path());
    for _ in 0..starts {
        ways.iter_mut().for_each(|measured| measured.start.extend(measured.way.start()));
    }
    for _ in 0..calls.div_ceil(AT_ONCE) {
        ways.iter_mut().for_each(|measured| measured.call.extend(measured.way.calls(AT_ONCE)));
    }
    for _ in 0..starts.div_ceil(LARGE_AT_ONCE) {
        ways.iter_mut().for_each(|measured| measured.large.extend(measured.way.large(LARGE_AT_ONCE)));
    }
    (ways.into_iter().map(Measured::row).collect(), skipped)
}

/// What the caller could not find: `--skipped WHAT`, once for each.
pub(super) fn skipped(arguments: &[String]) -> Vec<String> {
    arguments.windows(2).filter(|two| two[0] == "--skipped").map(|two| two[1].clone()).collect()
}

pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<42} {:>12} {:>9} {:>10} {:>9} {:>11} {:>11}  what confines it",
        "beside others", "start", "p99", "call", "p99", "1 MiB", "memory"
    );
    for row in rows {
        let median =
            |spread: Option<Spread>, unit| spread.map(|spread| format!("{:.1} {unit}", spread.median));
        let p99 = |spread: Option<Spread>| spread.map(|spread| format!("{:.1}", spread.p99));
        let cells = [
            median(row.start, "µs"),
            p99(row.start),
            median(row.call, "µs"),
            p99(row.call),
            median(row.large, "µs"),
            median(row.memory, "KiB"),
        ];
        let [start, start_p99, call, call_p99, large, memory] = cells.map(Option::unwrap_or_default);
        let _ = writeln!(
            text,
            "{:<42} {start:>12} {start_p99:>9} {call:>10} {call_p99:>9} {large:>11} {memory:>11}  {}",
            row.what, row.confines
        );
    }
    text
}

pub(super) fn document(rows: &[Row]) -> Json {
    let row = |row: &Row| {
        json!({
            "what": row.what,
            "confined_by": row.confines,
            "start_median": row.start.map(|start| start.median),
            "start_p99": row.start.map(|start| start.p99),
            "call_median": row.call.map(|call| call.median),
            "call_p99": row.call.map(|call| call.p99),
            "large_median": row.large.map(|large| large.median),
            "large_p99": row.large.map(|large| large.p99),
            "memory": row.memory.map(|memory| memory.median),
        })
    };
    rows.iter().map(row).collect()
}

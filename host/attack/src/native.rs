//! Group A: every attack of the probe, with no layer, with one, and with all of them.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde_json::json;
use stockade_host::{CallOptions, Outcome, Plugin};
use stockade_package::chain;
use stockade_policy::{Capability, PluginType, Profile, UnknownPluginType};

use crate::bench::{self, Bench};
use crate::came::{Came, DEADLINE, DIED, Expect};
use crate::case::{VARIANT, plugin_name};
use crate::catalogue::{Attack, Catalogue};
use crate::error::AttackError;
use crate::evidence::{self, Evidence};
use crate::fixtures::Fixtures;
use crate::judge::{self, Alone, SERVED, Tried};
use crate::parallel;
use crate::process::{self, Said};
use crate::progress::Counter;
use crate::report::{Group, Row};

/// How long an attack may take outside of a worker, and within one before its deadline ends it.
const TIME: Duration = Duration::from_secs(10);
/// The deadline of an attack that must meet it.
const SHORT_TIME: Duration = Duration::from_millis(500);
/// How often an attack is tried again whose only fault is the time that the host took: a busy machine can
/// be late once, not four times.
const RETRIES: usize = 3;
/// Variants that share one set of fixtures: all run in sealed workers, which cannot damage any.
const CHUNK: usize = 64;

/// One thing to do for an attack.
struct Job<'a> {
    attack: &'a Attack,
    what: What,
}

enum What {
    Alone(Layer),
    Sealed(std::ops::Range<usize>),
}

/// A single layer, or none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    Control,
    Landlock,
    Seccomp,
}

enum Did {
    Alone(Layer, Came),
    Sealed(Vec<Attempt>),
}

/// What came of a variant, before its records have been read.
struct Attempt {
    plugin: String,
    came: Came,
    elapsed: Duration,
    allowance: Duration,
    neighbour: Result<Duration, String>,
}

impl Attempt {
    /// Whether the host's time is all that is wrong: everything else counts the first time.
    fn was_late_only(&self, expect: &Expect) -> bool {
        let late = self.elapsed > self.allowance;
        match self.neighbour {
            Ok(took) => (late || took > SERVED) && expect.meets(&self.came),
            Err(_) => false,
        }
    }
}

/// How many jobs these attacks are.
pub(crate) fn jobs(attacks: &[&Attack]) -> usize {
    attacks.iter().map(|attack| of_attack(attack).count()).sum()
}

/// Runs them all on a host whose workers are the probe, and judges them.
pub(crate) fn run(
    catalogue: &Catalogue,
    attacks: &[&Attack],
    bench: Bench,
    counter: &Counter<'_>,
) -> Result<(Vec<Row>, Evidence), AttackError> {
    let ruleset = ruleset().map_err(AttackError::os("building a Landlock ruleset"))?;
    let jobs: Vec<Job<'_>> = attacks.iter().flat_map(|attack| of_attack(attack)).collect();
    let did = parallel::each(&jobs, |job| {
        counter.begin(&job.attack.id);
        let did = match &job.what {
            What::Alone(layer) => Did::Alone(*layer, alone(&catalogue.probe, job.attack, *layer, &ruleset)),
            What::Sealed(variants) => {
                Did::Sealed(sealed(&catalogue.probe, job.attack, variants.clone(), &bench))
            }
        };
        counter.end();
        did
    });
    let evidence = bench.finish()?;
    let mut did = did.into_iter();
    let rows = attacks
        .iter()
        .map(|attack| {
            let count = of_attack(attack).count();
            row(attack, did.by_ref().take(count), &evidence)
        })
        .collect();
    Ok((rows, evidence))
}

fn of_attack(attack: &Attack) -> impl Iterator<Item = Job<'_>> {
    let layers = [Layer::Control, Layer::Landlock, Layer::Seccomp];
    let layers = layers.into_iter().filter(|_| attack.runs_alone()).map(What::Alone);
    let variants = attack.variants.max(1);
    let chunks =
        (0..variants).step_by(CHUNK).map(move |first| What::Sealed(first..variants.min(first + CHUNK)));
    layers.chain(chunks).map(move |what| Job { attack, what })
}

/// The ruleset that every worker gets, as a descriptor that the probe inherits.
fn ruleset() -> io::Result<OwnedFd> {
    let ruleset = stockade_host::deny_all_ruleset().map_err(io::Error::other)?;
    fcntl(&ruleset, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(ruleset)
}

/// Runs an attack outside of a worker.
fn alone(probe: &Path, attack: &Attack, layer: Layer, ruleset: &OwnedFd) -> Came {
    let attempt = || {
        let fixtures = Fixtures::new(probe)?;
        let mut command = Command::new(probe);
        command.args(["run", &attack.id, "--layer"]);
        match layer {
            Layer::Control => command.arg("control"),
            Layer::Seccomp => command.arg("seccomp"),
            Layer::Landlock => {
                command.args(["landlock", "--landlock-fd"]).arg(ruleset.as_raw_fd().to_string())
            }
        };
        process::last_line(&mut command, &fixtures.document().to_string(), TIME)
    };
    match attempt() {
        Ok(Said::Line(line)) => Came::read(&line),
        Ok(Said::Signal(signal)) => Came::Signal(signal.to_owned()),
        Ok(Said::Nothing(status)) => Came::Unclear(format!("the probe ended with {status} and no word")),
        Ok(Said::TooLong) => Came::Ended(DEADLINE.to_owned()),
        Err(error) => Came::Unclear(error.to_string()),
    }
}

/// Runs variants of an attack in workers.
fn sealed(probe: &Path, attack: &Attack, variants: std::ops::Range<usize>, bench: &Bench) -> Vec<Attempt> {
    let fixtures = match Fixtures::new(probe) {
        Ok(fixtures) => fixtures,
        Err(error) => {
            let unclear = |variant| Attempt {
                plugin: name(attack, variant, 0),
                came: Came::Unclear(error.to_string()),
                elapsed: Duration::ZERO,
                allowance: Duration::ZERO,
                neighbour: Ok(Duration::ZERO),
            };
            return variants.map(unclear).collect();
        }
    };
    variants
        .map(|variant| {
            let mut attempt = attempt(attack, variant, 0, &fixtures, bench);
            for again in 1..=RETRIES {
                if !attempt.was_late_only(attack.expects().variant(variant)) {
                    break;
                }
                attempt = self::attempt(attack, variant, again, &fixtures, bench);
            }
            attempt
        })
        .collect()
}

/// The plugin that an attempt runs under, by which its records are found.
fn name(attack: &Attack, variant: usize, again: usize) -> String {
    let mut name = plugin_name(&attack.id);
    if variant > 0 || again > 0 {
        name.push_str(&format!("{VARIANT}{variant}"));
    }
    if again > 0 {
        name.push_str(&format!(".{again}"));
    }
    name
}

/// Runs one variant in a worker of its own, under a plugin of its own: workers of one plugin that die in
/// a row start ever later.
fn attempt(attack: &Attack, variant: usize, again: usize, fixtures: &Fixtures, bench: &Bench) -> Attempt {
    let expects = attack.expects();
    let must_wait = expects.variant(variant).meets(&Came::Ended(DEADLINE.to_owned()));
    let (deadline, waits) = if must_wait { (SHORT_TIME, SHORT_TIME) } else { (TIME, Duration::ZERO) };
    let mut attempt = Attempt {
        plugin: name(attack, variant, again),
        came: Came::Unclear(String::new()),
        elapsed: Duration::ZERO,
        allowance: attack.allowance() + waits,
        neighbour: Ok(Duration::ZERO),
    };
    match load(attack, attempt.plugin.clone(), fixtures, bench) {
        Ok(plugin) => {
            let document = json!({ "id": attack.id, "variant": variant, "fixtures": fixtures.document() });
            let options = CallOptions::within(deadline);
            let outcome = plugin.call_blocking("attempt", &bench::arguments(&document.to_string()), options);
            attempt.elapsed = outcome.elapsed;
            attempt.came = came(outcome);
        }
        Err(error) => attempt.came = Came::Unclear(format!("no worker to try it in: {error}")),
    }
    attempt.neighbour = bench.neighbour();
    attempt
}

/// Loads the plugin that meets the attack's filter.
fn load(attack: &Attack, name: String, fixtures: &Fixtures, bench: &Bench) -> Result<Plugin, String> {
    let (filter, files) = attack.filter();
    let named: PluginType = filter.parse().map_err(|error: UnknownPluginType| error.to_string())?;
    let may_read =
        |plugin_type: &PluginType| Profile::of(*plugin_type).ceiling.contains_key(&Capability::FsRead);
    // Files are granted to some types only; a worker that may receive them allows the same calls whatever
    // its type, where the type itself allows nothing of its own.
    let plugin_type = if files && !may_read(&named) {
        PluginType::ALL.into_iter().rfind(may_read).unwrap_or(named)
    } else {
        named
    };
    let tree = files.then(|| fixtures.folder());
    bench.load(name, plugin_type, tree).map_err(|error| chain(&error))
}

/// What an outcome says of the attack.
fn came(outcome: Outcome) -> Came {
    match (outcome.value, outcome.reason) {
        (Some(value), _) => Came::read(&value),
        (None, Some(reason)) => match reason.code {
            "forbidden-call" => Came::Stopped(reason.field),
            code => Came::Ended(code.to_owned()),
        },
        (None, None) => Came::Unclear("the call failed, and nobody said why".to_owned()),
    }
}

fn row(attack: &Attack, did: impl Iterator<Item = Did>, evidence: &Evidence) -> Row {
    let unclear = || Came::Unclear("it was not tried".to_owned());
    let mut alone = Alone { control: unclear(), landlock: unclear(), seccomp: unclear() };
    let mut attempts = Vec::new();
    for did in did {
        match did {
            Did::Alone(Layer::Control, came) => alone.control = came,
            Did::Alone(Layer::Landlock, came) => alone.landlock = came,
            Did::Alone(Layer::Seccomp, came) => alone.seccomp = came,
            Did::Sealed(more) => attempts.extend(more),
        }
    }
    let tried: Vec<Tried> = attempts.into_iter().map(|attempt| proved(attempt, evidence)).collect();
    let expects = attack.expects();
    let compared = attack.runs_alone().then_some(&alone);
    let (verdict, why) = judge::native(&expects, compared, &tried, &attack.why);
    let mut row = Row::new(Group::Native, &attack.id, &attack.case, &attack.tries).judged(verdict, why);
    let shown = |came: &Came| compared.map_or_else(|| "n/a".to_owned(), |_| came.to_string());
    row.control = shown(&alone.control);
    row.landlock = shown(&alone.landlock);
    row.seccomp = shown(&alone.seccomp);
    row.all = match &tried[..] {
        [] => String::new(),
        [one] => one.came.to_string(),
        many => {
            let mut numbered = many.iter().enumerate();
            let held = |(number, one): &(usize, &Tried)| one.complaints(expects.variant(*number)).is_empty();
            let held = numbered.by_ref().filter(held).count();
            format!("{held}/{}", many.len())
        }
    };
    row.record = tried.iter().find_map(|tried| tried.record.clone().ok().flatten());
    row.variants = tried.len();
    row.millis = millis(tried.iter().map(|tried| tried.elapsed).max().unwrap_or_default());
    row
}

/// Looks for the record that an attempt must have left.
fn proved(attempt: Attempt, evidence: &Evidence) -> Tried {
    let entries = evidence.of(&attempt.plugin);
    // Which signal was a worker's end, the record alone says.
    let came = match attempt.came {
        Came::Ended(code) if code == DIED => {
            evidence::signal(entries).map_or(Came::Ended(code), Came::Signal)
        }
        came => came,
    };
    Tried {
        record: evidence::of_attack(entries, &came),
        came,
        elapsed: attempt.elapsed,
        allowance: attempt.allowance,
        neighbour: attempt.neighbour,
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

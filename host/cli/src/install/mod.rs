//! What is installed: how it is changed (`stockade install`, `update`, `rollback`, `uninstall`, `enable`, `disable`), and
//! how it is looked at. A change is an order: it is carried out here, or by the host that runs on the same state folder.

mod carry;
mod place;
mod show;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use semver::Version;
use serde_json::{Value, json};
use stockade_control::{Changed, Order, Request};
use stockade_host::install::{
    Allow, Change, Changing, Done, Generation, InstallError, Inventory, Step, Turn, open_installed,
};
use stockade_host::{LoadRequest, Supervision, this_person};
use stockade_package::{Explain, Package, Problem};
use stockade_policy::is_plugin_name;

use crate::args::{
    ChangingHow, EnableCommand, InstallCommand, Letting, RollbackCommand, Setup, UninstallCommand,
    UpdateCommand,
};
use crate::control::Doer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, safe};
use crate::progress::Progress;
use crate::run::Built;
use crate::serve::{Wanted, wanted_of};
use crate::setup::{self, Described};
use crate::{control, policy, value};

pub(crate) use carry::{carry_out, not_changed};
pub(crate) use show::{back_up, capabilities, changes, findings, ledger, list};

/// What was written down of what a plugin gets.
fn written_down(text: &str) -> Result<Setup, Problem> {
    if text.is_empty() {
        return Ok(Setup::default());
    }
    serde_json::from_str(text).map_err(|error| {
        let message = format!("what is written down of its grants cannot be read: {error}");
        Problem::new("inventory-broken", "setup", message, "install it anew")
    })
}

/// What a host is asked to load, of a package and of what was written down of what it gets.
pub(crate) fn request(package: Package, text: &str) -> Result<LoadRequest, Problem> {
    let setup = written_down(text)?;
    let described = Described::written(&setup);
    described.request(package).map_err(|failure| failure.problem)
}

/// An installed plugin by its name, with what it gets and what the command line says besides. None where the command line
/// names a file, or what is not installed.
pub(crate) fn installed(setup: &Setup, home: &Home) -> Result<Option<LoadRequest>, Failure> {
    let named = setup.plugin.to_str().filter(|name| is_plugin_name(name) && !setup.plugin.exists());
    let Some(name) = named else { return Ok(None) };
    let found = || -> Result<_, InstallError> {
        let list = Inventory::trusted(&home.state, &home.audit)?;
        let found = list.map(|list| list.find(name)).transpose()?.flatten();
        found.map(|found| Ok((open_installed(&home.state, &found.generation)?, found.generation))).transpose()
    };
    let Some((package, generation)) = found().map_err(|error| Failure::of(&error))? else { return Ok(None) };
    let below = written_down(&generation.setup).map_err(|problem| Failure::new(Exit::BadPlugin, problem))?;
    Described::upon(below, setup).request(package).map(Some)
}

/// An installed plugin that is to run: the package that was installed, and no other.
pub(crate) fn wanted(state: &Path, generation: &Generation, below: Supervision) -> Result<Wanted, Problem> {
    let package = open_installed(state, generation).map_err(|error| error.problem())?;
    let setup = written_down(&generation.setup)?;
    wanted_of(&Described::written(&setup), package, below).map_err(|failure| failure.problem)
}

/// Has an order carried out: by the host that runs here, or by one that is made for it.
fn order(order: Order, how: &ChangingHow) -> Result<Exit, Failure> {
    let patience = value::duration("--wait", &how.wait)?;
    let progress = Progress::start("opening what is installed");
    let tell = |step: &Step| said(step, &progress);
    let done = match Doer::find(how.socket.as_ref(), &how.looking.places)? {
        Doer::Host(socket) => ask(&socket, order, (how, patience), &tell),
        Doer::Us(home) => here(&home, &order, (how, patience), &tell),
    };
    drop(progress);
    let done = done?;
    match how.output.format {
        Format::Json => output::document(&document(&done)),
        Format::Text => done.iter().for_each(|done| output::line(&sentence(done))),
    }
    Ok(Exit::Ok)
}

fn said(step: &Step, progress: &Progress) {
    match step {
        Step::Waiting { holder } => output::note(&format!("waiting for {}", safe(holder))),
        Step::Yanked { plugin, version, why } => {
            output::note(&format!("note: {plugin} {version} is yanked: {}", safe(why)));
        }
        Step::Phase { change, number, of, phase, what } => {
            let what = match what {
                Some((plugin, version)) => format!("{} {}", safe(plugin), safe(version)),
                None => "a plugin".to_owned(),
            };
            let doing = change.doing();
            progress.say(format!("{doing} {what} (phase {number}/{of}: {phase})"));
        }
    }
}

fn here(
    home: &Home,
    order: &Order,
    (how, patience): (&ChangingHow, Duration),
    tell: &dyn Fn(&Step),
) -> Result<Vec<Done>, Failure> {
    // Before the host is built: it has the audit log to itself.
    let waits = |holder: &str| tell(&Step::Waiting { holder: holder.to_owned() });
    let turn =
        Turn::take(&home.state, &carry::what(order), patience, waits).map_err(|error| Failure::of(&error))?;
    let built = Built {
        policy: policy::read(how.policy.as_deref(), &home.state)?,
        programs: how.looking.programs.as_deref(),
        models: how.models.as_deref(),
        trust: &how.trust,
        namespaces: how.looking.namespaces,
    };
    let host = built.host(home, Ok)?;
    let changing = Changing {
        by: this_person(),
        allow: Allow::default(),
        patience,
        turn: Some(&turn),
        request: &request,
        tell,
    };
    let done = carry_out(&host, home, order, changing);
    host.stop_blocking();
    done
}

fn ask(
    socket: &Path,
    order: Order,
    (how, patience): (&ChangingHow, Duration),
    tell: &dyn Fn(&Step),
) -> Result<Vec<Done>, Failure> {
    let looking = &how.looking;
    if how.policy.is_some() || how.models.is_some() || looking.programs.is_some() || !how.trust.is_empty() {
        return Err(control::host_decides(
            "carries it out by its own policy, models, programs and certificates",
            "--policy, --models, --programs and --trust",
        ));
    }
    let wait_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    let Changed { done, reloaded } = control::change(socket, &Request::Change { order, wait_ms }, tell)?;
    match reloaded {
        Ok(_) => output::note("note: the running host has taken it in"),
        Err(problem) => output::note(&format!(
            "note: it is done, but the running host goes on as before ({}): {}. Next: {}",
            safe(&problem.code),
            safe(&problem.message),
            safe(&problem.next_step)
        )),
    }
    Ok(done)
}

fn document(all: &[Done]) -> Value {
    let one = |done: &Done| {
        json!({
            "change": done.id, "did": done.change.done(), "plugin": done.plugin, "before": done.before,
            "installed": done.installed,
        })
    };
    let Some((done, with)) = all.split_last() else { return json!({ "schema": SCHEMA }) };
    let mut document = one(done);
    document["schema"] = json!(SCHEMA);
    document["with"] = with.iter().map(one).collect();
    document
}

fn sentence(done: &Done) -> String {
    let plugin = safe(&done.plugin);
    let now = done.installed.as_ref().map(|installed| installed.generation.version.to_string());
    let (now, before) = (now.unwrap_or_default(), done.before.clone().unwrap_or_default());
    let enabled = done.installed.as_ref().is_some_and(|installed| installed.enabled);
    match done.change {
        Change::Install if !enabled => {
            format!("{plugin} {now} is installed. To run it: stockade enable {plugin}")
        }
        Change::Install => format!("{plugin} {now} is installed and enabled"),
        Change::Update => format!("{plugin} is updated from {before} to {now}"),
        Change::Rollback => format!("{plugin} is rolled back from {before} to {now}"),
        Change::Uninstall => format!("{plugin} {before} is uninstalled; its store and its history stay"),
        Change::Enable => {
            format!("{plugin} {now} is enabled: hosts run it from their next start or reload on")
        }
        Change::Disable => format!("{plugin} {now} is disabled"),
    }
}

impl Letting {
    fn allow(&self) -> Allow {
        Allow { downgrade: self.allow_downgrade, ..self.believing.allow() }
    }
}

/// A path that means the same wherever somebody stands.
fn absolute(path: &Path) -> PathBuf {
    match env::current_dir() {
        Ok(here) => here.join(path),
        Err(_) => path.to_owned(),
    }
}

/// What the command line, and the file that it may name, say of a plugin: where it is, from where that is seen, and what it
/// gets as it is written down.
fn named(setup: &Setup) -> Result<(String, PathBuf, String), Failure> {
    let layers = setup::layers(setup)?;
    let (named, base) = layers.plugin();
    let text = named.to_str().ok_or_else(|| {
        let message = format!("{}: its name is not UTF-8", named.display());
        Failure::usage("plugin-not-found", "PLUGIN", message, "rename it")
    })?;
    let setup = serde_json::to_string(&layers.absolute(absolute)?).map_err(|error| {
        let message = format!("what it gets cannot be written down: {error}");
        Failure::usage("bad-file", "PLUGIN", message, "report this; it is a bug")
    })?;
    Ok((text.to_owned(), base.to_owned(), setup))
}

/// `stockade install`.
pub(crate) fn install(command: &InstallCommand) -> Result<Exit, Failure> {
    let (text, base, setup) = named(&command.setup)?;
    let (digest, allow, enable) = (command.digest.clone(), command.letting.allow(), command.enable);
    let place = place::read(&text, &base, &command.indexed)?;
    order(Order::Install { place, setup, digest, allow, enable }, &command.how)
}

/// `stockade update`.
pub(crate) fn update(command: &UpdateCommand) -> Result<Exit, Failure> {
    let UpdateCommand { plugin, source, indexed, .. } = command;
    let here = Path::new("");
    let place = match source {
        Some(source) => Some(place::read(source, here, indexed)?),
        None if indexed.index.is_none() || waits(command)? => None,
        None => Some(place::read(plugin, here, indexed)?),
    };
    let setup = match &command.setup {
        Some(file) => Some(named(&Setup { plugin: file.clone(), ..Setup::default() })?.2),
        None => None,
    };
    let (plugin, digest, allow) = (plugin.clone(), command.digest.clone(), command.letting.allow());
    order(Order::Update { plugin, place, setup, digest, allow }, &command.how)
}

/// Whether a version of it waits for an approval.
fn waits(command: &UpdateCommand) -> Result<bool, Failure> {
    let home = Home::find(&command.how.looking.places)?;
    let found = || -> Result<_, InstallError> {
        Inventory::look(&home.state)?.map(|list| list.find(&command.plugin)).transpose()
    };
    let installed = found().map_err(|error| Failure::of(&error))?.flatten();
    Ok(installed.is_some_and(|installed| installed.next.is_some()))
}

/// `stockade rollback`.
pub(crate) fn rollback(command: &RollbackCommand) -> Result<Exit, Failure> {
    let to = command.to.as_deref().map(Version::parse).transpose().map_err(|error| {
        let message = format!("{:?} is no version: {error}", command.to.as_deref().unwrap_or_default());
        Failure::usage(
            "bad-target-version",
            "--to",
            message,
            "write it as 1.2.3; stockade changes has those that were installed",
        )
    })?;
    order(Order::Rollback { plugin: command.plugin.clone(), to }, &command.how)
}

/// `stockade uninstall`.
pub(crate) fn uninstall(command: &UninstallCommand) -> Result<Exit, Failure> {
    let (plugin, even_if_needed) = (command.plugin.clone(), command.even_if_needed);
    order(Order::Uninstall { plugin, even_if_needed }, &command.how)
}

/// `stockade enable` and `disable`.
pub(crate) fn enable(command: &EnableCommand, enabled: bool) -> Result<Exit, Failure> {
    order(Order::Enable { plugin: command.plugin.clone(), enabled }, &command.how)
}

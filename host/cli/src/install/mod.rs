//! What is installed: how it is changed (`stockade install`, `update`, `rollback`, `uninstall`, `enable`, `disable`), and
//! how it is looked at.

mod show;

use std::cell::RefCell;
use std::env;
use std::path::{Path, PathBuf};

use semver::Version;
use serde_json::{Value, json};
use stockade_host::install::{
    Allow, Change, Changing, Done, Failed, Generation, Origin, Step, Wish, open_installed,
};
use stockade_host::{Host, LoadRequest, Supervision, this_person};
use stockade_package::{Explain, Package, Problem};

use crate::args::{
    ChangingHow, EnableCommand, InstallCommand, Letting, RollbackCommand, Setup, UninstallCommand,
    UpdateCommand,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, safe};
use crate::progress::Progress;
use crate::run::{Built, nobody_runs};
use crate::serve::{Wanted, wanted_of};
use crate::setup::Described;
use crate::{policy, registry, setup, value};

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

/// An installed plugin that is to run: the package that was installed, and no other.
pub(crate) fn wanted(state: &Path, generation: &Generation, below: Supervision) -> Result<Wanted, Problem> {
    let package = open_installed(state, generation).map_err(|error| error.problem())?;
    let setup = written_down(&generation.setup)?;
    wanted_of(&Described::written(&setup), package, below).map_err(|failure| failure.problem)
}

/// A host that makes one change.
struct Making<'a> {
    host: Host,
    how: &'a ChangingHow,
    change: Change,
    /// Shown to who sits at a terminal.
    progress: RefCell<Progress>,
}

impl<'a> Making<'a> {
    fn start(how: &'a ChangingHow, change: Change) -> Result<Making<'a>, Failure> {
        let home = Home::find(&how.looking.places)?;
        nobody_runs(&home).map_err(|mut failure| {
            failure.problem.next_step = "stop that host, and start it again after the change".to_owned();
            failure
        })?;
        let built = Built {
            policy: policy::read(how.policy.as_deref(), &home.state)?,
            programs: how.looking.programs.as_deref(),
            models: how.models.as_deref(),
            trust: &how.trust,
            namespaces: how.looking.namespaces,
        };
        let progress = RefCell::new(Progress::start("opening what is installed"));
        Ok(Making { host: built.host(&home, Ok)?, how, change, progress })
    }

    fn tell(&self, step: &Step) {
        match step {
            Step::Waiting { holder } => output::note(&format!("waiting for {}", safe(holder))),
            Step::Phase { number, of, phase, what } => {
                let what = match what {
                    Some((plugin, version)) => format!("{} {}", safe(plugin), safe(version)),
                    None => "a plugin".to_owned(),
                };
                let doing = self.change.doing();
                self.progress.borrow().say(format!("{doing} {what} (phase {number}/{of}: {phase})"));
            }
        }
    }

    fn make(
        self,
        allow: Allow,
        work: impl FnOnce(&Host, &Changing<'_>) -> Result<Done, Box<Failed>>,
    ) -> Result<(Done, Self), Failure> {
        let patience = value::duration("--wait", &self.how.wait)?;
        let tell = |step: &Step| self.tell(step);
        let changing = Changing { by: this_person(), allow, patience, request: &request, tell: &tell };
        let made = work(&self.host, &changing);
        *self.progress.borrow_mut() = Progress::none();
        match made {
            Ok(mut done) => {
                // Nothing is to run on: its worker ends with it.
                done.loaded = None;
                Ok((done, self))
            }
            Err(failed) => {
                self.host.stop_blocking();
                Err(failure(&failed))
            }
        }
    }

    fn finish(self, done: &Done) -> Exit {
        self.host.stop_blocking();
        match self.how.output.format {
            Format::Json => output::document(&document(self.change, done)),
            Format::Text => output::line(&sentence(self.change, done)),
        }
        Exit::Ok
    }
}

fn failure(failed: &Failed) -> Failure {
    let mut failure = Failure::of(failed);
    failure.extra = vec![
        ("change", json!(failed.id)),
        ("phase", json!(failed.phase.as_str())),
        ("plugin", json!(failed.plugin)),
        ("installed", json!(failed.stays.as_ref().map(Version::to_string))),
        ("findings", json!(failed.error.findings())),
    ];
    failure
}

fn document(change: Change, done: &Done) -> Value {
    json!({
        "schema": SCHEMA, "change": done.id, "did": change.done(), "plugin": done.plugin, "before": done.before,
        "installed": done.installed,
    })
}

fn sentence(change: Change, done: &Done) -> String {
    let plugin = safe(&done.plugin);
    let now = done.installed.as_ref().map(|installed| installed.generation.version.to_string());
    let (now, before) = (now.unwrap_or_default(), done.before.clone().unwrap_or_default());
    let enabled = done.installed.as_ref().is_some_and(|installed| installed.enabled);
    match change {
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
        Allow {
            unsigned: self.allow_unsigned,
            downgrade: self.allow_downgrade,
            other_signer: self.allow_other_signer,
            plain_http: self.plain_http,
            needed: false,
        }
    }
}

/// Where a package is, in the operator's words. Paths stand as seen from `base`.
fn origin(text: &str, base: &Path) -> Result<Origin, Failure> {
    if text.starts_with("oci://") {
        let reference = registry::parse(text)?;
        let credentials = registry::credentials(&reference)?;
        return Ok(Origin::Registry(reference, credentials));
    }
    if text.starts_with("https://") || text.starts_with("http://") {
        return Ok(Origin::Url(text.to_owned()));
    }
    Ok(Origin::Path(absolute(&base.join(text))))
}

/// A path that means the same wherever somebody stands.
fn absolute(path: &Path) -> PathBuf {
    match env::current_dir() {
        Ok(here) => here.join(path),
        Err(_) => path.to_owned(),
    }
}

/// What is to be installed, and what it gets, as it is written down.
fn wish(setup: &Setup, digest: Option<String>) -> Result<Wish, Failure> {
    let layers = setup::layers(setup)?;
    let (named, base) = layers.plugin();
    let text = named.to_str().ok_or_else(|| {
        let message = format!("{}: its name is not UTF-8", named.display());
        Failure::usage("plugin-not-found", "PLUGIN", message, "rename it")
    })?;
    let origin = origin(text, base)?;
    let setup = serde_json::to_string(&layers.absolute(absolute)?).map_err(|error| {
        let message = format!("what it gets cannot be written down: {error}");
        Failure::usage("bad-file", "PLUGIN", message, "report this; it is a bug")
    })?;
    Ok(Wish { origin, digest, setup: Some(setup) })
}

/// `stockade install`.
pub(crate) fn install(command: &InstallCommand) -> Result<Exit, Failure> {
    let wish = wish(&command.setup, command.digest.clone())?;
    let making = Making::start(&command.how, Change::Install)?;
    let allow = command.letting.allow();
    let (mut done, making) =
        making.make(allow, |host, changing| host.install_blocking(Change::Install, None, &wish, changing))?;
    if command.enable {
        let plugin = done.plugin.clone();
        let (enabled, making) =
            making.make(allow, |host, changing| host.enable_blocking(&plugin, true, changing))?;
        done.installed = enabled.installed;
        return Ok(making.finish(&done));
    }
    Ok(making.finish(&done))
}

/// `stockade update`.
pub(crate) fn update(command: &UpdateCommand) -> Result<Exit, Failure> {
    let plugin = &command.plugin;
    let wish = match (&command.source, &command.setup) {
        (None, _) => None,
        (Some(source), None) => {
            let origin = origin(source, Path::new(""))?;
            Some(Wish { origin, digest: command.digest.clone(), setup: None })
        }
        (Some(source), Some(file)) => {
            let mut wish = wish(&Setup { plugin: file.clone(), ..Setup::default() }, command.digest.clone())?;
            wish.origin = origin(source, Path::new(""))?;
            Some(wish)
        }
    };
    let making = Making::start(&command.how, Change::Update)?;
    let (done, making) = making.make(command.letting.allow(), |host, changing| match &wish {
        Some(wish) => host.install_blocking(Change::Update, Some(plugin), wish, changing),
        None => host.install_waiting_blocking(plugin, changing),
    })?;
    Ok(making.finish(&done))
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
    let making = Making::start(&command.how, Change::Rollback)?;
    let (done, making) = making.make(Allow::default(), |host, changing| {
        host.rollback_blocking(&command.plugin, to.as_ref(), changing)
    })?;
    Ok(making.finish(&done))
}

/// `stockade uninstall`.
pub(crate) fn uninstall(command: &UninstallCommand) -> Result<Exit, Failure> {
    let making = Making::start(&command.how, Change::Uninstall)?;
    let allow = Allow { needed: command.even_if_needed, ..Allow::default() };
    let (done, making) =
        making.make(allow, |host, changing| host.uninstall_blocking(&command.plugin, changing))?;
    Ok(making.finish(&done))
}

/// `stockade enable` and `disable`.
pub(crate) fn enable(command: &EnableCommand, enabled: bool) -> Result<Exit, Failure> {
    let making = Making::start(&command.how, if enabled { Change::Enable } else { Change::Disable })?;
    let (done, making) = making
        .make(Allow::default(), |host, changing| host.enable_blocking(&command.plugin, enabled, changing))?;
    Ok(making.finish(&done))
}

//! What is installed: how it is changed (`stockade install`, `update`, `rollback`, `uninstall`, `enable`, `disable`), and
//! how it is looked at.

mod named;
mod show;

use std::cell::RefCell;
use std::env;
use std::path::{Path, PathBuf};

use semver::Version;
use serde_json::{Value, json};
use stockade_host::install::{
    Allow, Change, Changing, Done, Failed, Generation, InstallError, Inventory, Origin, Step, Wish,
    open_installed,
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
use crate::{policy, registry, value};

use named::{Asked, Named, Planned};

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
    home: Home,
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
        Ok(Making { host: built.host(&home, Ok)?, home, how, change, progress })
    }

    fn tell(&self, step: &Step) {
        match step {
            Step::Waiting { holder } => output::note(&format!("waiting for {}", safe(holder))),
            Step::Phase { change, number, of, phase, what } => {
                let what = match what {
                    Some((plugin, version)) => format!("{} {}", safe(plugin), safe(version)),
                    None => "a plugin".to_owned(),
                };
                let doing = change.doing();
                self.progress.borrow().say(format!("{doing} {what} (phase {number}/{of}: {phase})"));
            }
        }
    }

    fn make(
        self,
        allow: Allow,
        work: impl FnOnce(&Host, &Changing<'_>) -> Result<Vec<Done>, Box<Failed>>,
    ) -> Result<(Vec<Done>, Self), Failure> {
        let patience = value::duration("--wait", &self.how.wait)?;
        let tell = |step: &Step| self.tell(step);
        let changing = Changing { by: this_person(), allow, patience, request: &request, tell: &tell };
        let made = work(&self.host, &changing);
        *self.progress.borrow_mut() = Progress::none();
        match made {
            Ok(mut all) => {
                // Nothing is to run on: its worker ends with it.
                all.iter_mut().for_each(|done| done.loaded = None);
                Ok((all, self))
            }
            Err(failed) => {
                self.host.stop_blocking();
                Err(failure(&failed))
            }
        }
    }

    /// The last of them is what was asked for, and those before are what that needs.
    fn finish(self, all: &[Done]) -> Exit {
        self.host.stop_blocking();
        match self.how.output.format {
            Format::Json => output::document(&document(all)),
            Format::Text => all.iter().for_each(|done| output::line(&sentence(done))),
        }
        Exit::Ok
    }

    /// What an index has for a request. Where that is nothing, what was asked for is there.
    fn plan(&self, asked: &Asked<'_>, allow: &Allow, setup: Option<&str>) -> Result<Planned, Failure> {
        let planned = asked.plan(&self.host, &self.home, (self.change, allow), setup);
        let nothing = |planned: &Planned| planned.wishes.is_empty();
        let planned = match planned {
            Ok(planned) if nothing(&planned) => self.is_there(asked.plugin()).map(|()| planned),
            planned => planned,
        };
        planned.inspect_err(|_| self.host.stop_blocking())
    }

    fn is_there(&self, plugin: &str) -> Result<(), Failure> {
        let list = Inventory::look(&self.home.state).map_err(|error| Failure::of(&error))?;
        let installed =
            list.map(|list| list.find(plugin)).transpose().map_err(|error| Failure::of(&error))?;
        let plugin = plugin.to_owned();
        let error = match (installed.flatten(), self.change) {
            (None, _) => InstallError::NotInstalled { plugin },
            (Some(there), Change::Install) => {
                InstallError::Installed { plugin, version: there.generation.version }
            }
            (Some(there), _) => InstallError::Same { plugin, version: there.generation.version },
        };
        Err(Failure::of(&error))
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

/// `stockade install`.
pub(crate) fn install(command: &InstallCommand) -> Result<Exit, Failure> {
    let named = Named::read(&command.setup)?;
    let asked = named.asked(&command.indexed)?;
    let making = Making::start(&command.how, Change::Install)?;
    let allow = command.letting.allow();
    let planned = match &asked {
        Some(asked) => making.plan(asked, &allow, Some(&named.setup))?,
        None => Planned::of(Wish {
            change: Change::Install,
            plugin: None,
            version: None,
            origin: named.origin()?,
            digest: command.digest.clone(),
            setup: Some(named.setup),
        }),
    };
    let (mut all, making) =
        making.make(allow, |host, changing| host.install_blocking(&planned.wishes, changing))?;
    planned.keep()?;
    let mut making = making;
    if command.enable {
        for done in &mut all {
            let (enabled, next) = making.make(allow, |host, changing| {
                Ok(vec![host.enable_blocking(&done.plugin, true, changing)?])
            })?;
            done.installed = enabled.into_iter().next().and_then(|enabled| enabled.installed);
            making = next;
        }
    }
    Ok(making.finish(&all))
}

/// `stockade update`.
pub(crate) fn update(command: &UpdateCommand) -> Result<Exit, Failure> {
    let plugin = &command.plugin;
    let source = command.source.as_deref();
    let waits = source.is_none() && waits(command)?;
    let indexed = &command.indexed;
    let asked = match source {
        Some(source) => named::asked(source, Path::new(""), indexed)?,
        None if waits || indexed.index.is_none() => None,
        None => named::asked(plugin, Path::new(""), indexed)?,
    };
    if let Some(asked) = &asked
        && asked.plugin() != plugin
    {
        let (found, expected) = (asked.plugin().to_owned(), plugin.clone());
        return Err(Failure::of(&InstallError::OtherPlugin { found, expected }));
    }
    let setup = match &command.setup {
        Some(file) => {
            let setup = Setup { plugin: file.clone(), ..Setup::default() };
            Some(Named::read(&setup)?.setup)
        }
        None => None,
    };
    let making = Making::start(&command.how, Change::Update)?;
    let allow = command.letting.allow();
    let planned = match (&asked, source) {
        (Some(asked), _) => Some(making.plan(asked, &allow, setup.as_deref())?),
        (None, Some(source)) => Some(Planned::of(Wish {
            change: Change::Update,
            plugin: Some(plugin.clone()),
            version: None,
            origin: origin(source, Path::new(""))?,
            digest: command.digest.clone(),
            setup,
        })),
        (None, None) => None,
    };
    let (all, making) = making.make(allow, |host, changing| match &planned {
        Some(planned) => host.install_blocking(&planned.wishes, changing),
        None => Ok(vec![host.install_waiting_blocking(plugin, changing)?]),
    })?;
    if let Some(planned) = &planned {
        planned.keep()?;
    }
    Ok(making.finish(&all))
}

/// Whether a version of it waits for an approval.
fn waits(command: &UpdateCommand) -> Result<bool, Failure> {
    let home = Home::find(&command.how.looking.places)?;
    let list = Inventory::look(&home.state).map_err(|error| Failure::of(&error))?;
    let installed = list.map(|list| list.find(&command.plugin)).transpose();
    let installed = installed.map_err(|error| Failure::of(&error))?.flatten();
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
    let making = Making::start(&command.how, Change::Rollback)?;
    let (done, making) = making.make(Allow::default(), |host, changing| {
        Ok(vec![host.rollback_blocking(&command.plugin, to.as_ref(), changing)?])
    })?;
    Ok(making.finish(&done))
}

/// `stockade uninstall`.
pub(crate) fn uninstall(command: &UninstallCommand) -> Result<Exit, Failure> {
    let making = Making::start(&command.how, Change::Uninstall)?;
    let allow = Allow { needed: command.even_if_needed, ..Allow::default() };
    let (done, making) =
        making.make(allow, |host, changing| Ok(vec![host.uninstall_blocking(&command.plugin, changing)?]))?;
    Ok(making.finish(&done))
}

/// `stockade enable` and `disable`.
pub(crate) fn enable(command: &EnableCommand, enabled: bool) -> Result<Exit, Failure> {
    let making = Making::start(&command.how, if enabled { Change::Enable } else { Change::Disable })?;
    let (done, making) = making.make(Allow::default(), |host, changing| {
        Ok(vec![host.enable_blocking(&command.plugin, enabled, changing)?])
    })?;
    Ok(making.finish(&done))
}

//! How an order is carried out, by whichever host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use semver::Version;
use serde_json::json;
use stockade_control::{NotChanged, Order, Place};
use stockade_host::Host;
use stockade_host::install::{
    Allow, Change, Changing, Done, Failed, InstallError, Inventory, Step, Wish, plan,
};
use stockade_package::Problem;
use stockade_package::index::{Lock, Locked, Plan, Wanted};

use super::place::origin;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::index;

/// Carries an order out. `changing` says in whose name, and lets nothing pass: that is the order's to say.
///
/// # Errors
///
/// It was not: what was installed before is what is installed.
pub(crate) fn carry_out(
    host: &Host,
    home: &Home,
    order: &Order,
    changing: Changing<'_>,
) -> Result<Vec<Done>, Failure> {
    let one = |done: Result<Done, Box<Failed>>| done.map(|done| vec![done]).map_err(|failed| told(&failed));
    match order {
        Order::Install { place, setup, digest, allow, enable } => {
            let changing = Changing { allow: *allow, ..changing };
            let setup = Some(setup.clone());
            let planned = planned((host, home), (Change::Install, None), place, (digest, setup), &changing)?;
            let mut all = planned.install(host, &changing)?;
            if *enable {
                for done in &mut all {
                    let enabled = host.enable_blocking(&done.plugin, true, &changing);
                    done.installed = enabled.map_err(|failed| told(&failed))?.installed;
                }
            }
            Ok(all)
        }
        Order::Update { plugin, place: None, allow, .. } => {
            one(host.install_waiting_blocking(plugin, &Changing { allow: *allow, ..changing }))
        }
        Order::Update { plugin, place: Some(place), setup, digest, allow } => {
            let changing = Changing { allow: *allow, ..changing };
            let what = (Change::Update, Some(plugin.as_str()));
            let planned = planned((host, home), what, place, (digest, setup.clone()), &changing)?;
            planned.install(host, &changing)
        }
        Order::Rollback { plugin, to } => one(host.rollback_blocking(plugin, to.as_ref(), &changing)),
        Order::Uninstall { plugin, even_if_needed } => {
            let allow = Allow { needed: *even_if_needed, ..changing.allow };
            one(host.uninstall_blocking(plugin, &Changing { allow, ..changing }))
        }
        Order::Enable { plugin, enabled } => one(host.enable_blocking(plugin, *enabled, &changing)),
    }
}

/// An order in a few words, for whoever has to wait for it.
pub(crate) fn what(order: &Order) -> String {
    let place = |place: &Place| match place {
        Place::At(text) => text.clone(),
        Place::Listed { wanted, .. } => wanted.clone(),
    };
    match order {
        Order::Install { place: at, .. } => format!("install {}", place(at)),
        Order::Update { plugin, .. } => format!("update {plugin}"),
        Order::Rollback { plugin, .. } => format!("rollback {plugin}"),
        Order::Uninstall { plugin, .. } => format!("uninstall {plugin}"),
        Order::Enable { plugin, enabled: true } => format!("enable {plugin}"),
        Order::Enable { plugin, enabled: false } => format!("disable {plugin}"),
    }
}

/// Why an order was not carried out, for whoever is told elsewhere.
pub(crate) fn not_changed(failure: Failure) -> NotChanged {
    let more = failure.extra.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    NotChanged { problem: failure.problem.into(), more }
}

fn told(failed: &Failed) -> Failure {
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

/// Packages that are to be installed, and the lock file as it is to be then.
struct Planned {
    wishes: Vec<Wish>,
    lock: Option<(PathBuf, Lock)>,
}

impl Planned {
    fn install(&self, host: &Host, changing: &Changing<'_>) -> Result<Vec<Done>, Failure> {
        let done = host.install_blocking(&self.wishes, changing).map_err(|failed| told(&failed))?;
        if let Some((file, lock)) = &self.lock {
            let written = stockade_package::archive::write(file, lock.to_toml().as_bytes());
            written.map_err(|error| Failure::of(&error))?;
        }
        Ok(done)
    }
}

fn planned(
    (host, home): (&Host, &Home),
    (change, plugin): (Change, Option<&str>),
    place: &Place,
    (digest, setup): (&Option<String>, Option<String>),
    changing: &Changing<'_>,
) -> Result<Planned, Failure> {
    match place {
        Place::At(text) => {
            let (plugin, origin, digest) = (plugin.map(str::to_owned), origin(text)?, digest.clone());
            let wish = Wish { change, plugin, version: None, origin, digest, setup };
            Ok(Planned { wishes: vec![wish], lock: None })
        }
        Place::Listed { wanted, index, lock, locked } => {
            let wanted: Wanted = wanted.parse().map_err(|error| Failure::of(&error))?;
            if let Some(expected) = plugin.filter(|plugin| *plugin != wanted.plugin) {
                let (found, expected) = (wanted.plugin, expected.to_owned());
                return Err(Failure::of(&InstallError::OtherPlugin { found, expected }));
            }
            let asked = Asked { wanted, change, setup, lock: lock.as_deref(), locked: *locked };
            asked.planned(host, home, index, changing)
        }
    }
}

/// A plugin of an index that is asked for.
struct Asked<'a> {
    wanted: Wanted,
    change: Change,
    setup: Option<String>,
    lock: Option<&'a Path>,
    /// Only what is in the lock file is taken.
    locked: bool,
}

impl Asked<'_> {
    /// What is to be installed for it: what it needs, and itself, each in a version that fits with the rest.
    fn planned(
        self,
        host: &Host,
        home: &Home,
        at: &str,
        changing: &Changing<'_>,
    ) -> Result<Planned, Failure> {
        let at = index::at(Some(at))?;
        let index = host.index_blocking(&at, &changing.allow).map_err(|error| Failure::of(&error))?;
        let locked = self.lock.map(read_lock).transpose()?;
        // What is to be brought up to date is not held to what it was.
        let held = match (&locked, self.change, self.locked) {
            (Some(lock), Change::Update, false) => Some(lock.without(&[&self.wanted.plugin])),
            (lock, ..) => lock.clone(),
        };
        let wanted = std::slice::from_ref(&self.wanted);
        let plan = plan(&home.state, &index, wanted, held.as_ref()).map_err(|error| Failure::of(&error))?;
        if self.locked {
            holds(&plan, locked.as_ref())?;
        }
        if plan.picks.is_empty() {
            return Err(self.is_there(&home.state));
        }
        let mut wishes = Vec::new();
        for pick in &plan.picks {
            if let Some(why) = &pick.yanked {
                let (plugin, version) = (pick.name.clone(), pick.version.to_string());
                (changing.tell)(&Step::Yanked { plugin, version, why: why.clone() });
            }
            let is_it = pick.name == self.wanted.plugin;
            let replaces = if pick.replaces.is_some() { Change::Update } else { Change::Install };
            wishes.push(Wish {
                // Whoever installs what is there is told so.
                change: if is_it { self.change } else { replaces },
                plugin: Some(pick.name.clone()),
                version: Some(pick.version.clone()),
                origin: origin(&at.place_of(&pick.source))?,
                digest: Some(pick.digest.clone()),
                setup: if is_it { self.setup.clone() } else { None },
            });
        }
        let lock = match (self.lock, self.locked) {
            (Some(file), false) => Some((file.to_owned(), next(&plan, locked)?)),
            _ => None,
        };
        Ok(Planned { wishes, lock })
    }

    /// There is nothing to do: what is asked for is there.
    fn is_there(&self, state: &Path) -> Failure {
        let plugin = self.wanted.plugin.clone();
        let found = Inventory::look(state).and_then(|list| list.map(|list| list.find(&plugin)).transpose());
        Failure::of(&match (found, self.change) {
            (Err(error), _) => error,
            (Ok(Some(Some(there))), Change::Install) => {
                InstallError::Installed { plugin, version: there.generation.version }
            }
            (Ok(Some(Some(there))), _) => InstallError::Same { plugin, version: there.generation.version },
            (Ok(_), _) => InstallError::NotInstalled { plugin },
        })
    }
}

/// Whether all of a plan is in the lock file, as the packages that it has.
fn holds(plan: &Plan, lock: Option<&Lock>) -> Result<(), Failure> {
    for pick in &plan.picks {
        let pin = lock.and_then(|lock| lock.pins(&pick.name));
        if pin.is_none_or(|pin| pin.digest != pick.digest) {
            let message = format!("{} {} is not in the lock file", pick.name, pick.version);
            let step = "install it without --locked, look at what that changes in the file, and keep it";
            return Err(Failure::new(Exit::Refused, Problem::new("not-locked", &pick.name, message, step)));
        }
    }
    Ok(())
}

/// A lock file: an empty one where there is none.
fn read_lock(path: &Path) -> Result<Lock, Failure> {
    match fs::read(path) {
        Ok(bytes) => Lock::parse(&bytes).map_err(|error| Failure::of(&error).of_file(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Lock::default()),
        Err(error) => {
            let message = format!("{}: {error}", path.display());
            Err(Failure::usage("bad-file", "--lock", message, "name a file that you can read"))
        }
    }
}

/// What was locked before and is not in the plan stays locked.
fn next(plan: &Plan, before: Option<Lock>) -> Result<Lock, Failure> {
    let lock = plan.lock().map_err(|error| Failure::of(&error))?;
    let kept = before.unwrap_or_default();
    let kept = kept.plugins().iter().filter(|locked| lock.pins(&locked.name).is_none()).cloned();
    let all: Vec<Locked> = lock.plugins().iter().cloned().chain(kept).collect();
    Lock::of(all).map_err(|error| Failure::of(&error))
}

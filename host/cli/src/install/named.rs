//! What somebody names that is to be installed, and what an index makes of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stockade_host::Host;
use stockade_host::install::{Allow, Change, IndexAt, Origin, Wish, plan};
use stockade_package::Problem;
use stockade_package::index::{Lock, Locked, Plan, Wanted};

use super::{absolute, origin};
use crate::args::{Indexed, Setup};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::{index, output, setup};

/// What is to be installed, and what it gets, as it is written down.
#[derive(Debug)]
pub(super) struct Named {
    /// A place, or a plugin's name, in the operator's words.
    pub(super) text: String,
    /// From where that is seen.
    base: PathBuf,
    pub(super) setup: String,
}

/// Packages that an index has for a request.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) wishes: Vec<Wish>,
    /// What was locked before, and what is to be.
    lock: Option<(PathBuf, Lock)>,
}

/// A plugin of an index, and where that is.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    wanted: Wanted,
    at: IndexAt,
    indexed: &'a Indexed,
}

impl Named {
    pub(super) fn read(setup: &Setup) -> Result<Named, Failure> {
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
        Ok(Named { text: text.to_owned(), base: base.to_owned(), setup })
    }

    pub(super) fn origin(&self) -> Result<Origin, Failure> {
        origin(&self.text, &self.base)
    }

    /// The plugin of an index that it names; none where it names a place.
    pub(super) fn asked<'a>(&self, indexed: &'a Indexed) -> Result<Option<Asked<'a>>, Failure> {
        asked(&self.text, &self.base, indexed)
    }
}

/// The plugin of an index that a text names; none where it names a place. `publisher/name` could be both: it is the index's
/// where one is named, and `./publisher/name` is the folder.
pub(super) fn asked<'a>(text: &str, base: &Path, indexed: &'a Indexed) -> Result<Option<Asked<'a>>, Failure> {
    let is_place = text.contains("://") || text.starts_with(['.', '/']) || text.is_empty();
    let is_there = || base.join(text).exists();
    if is_place || (indexed.index.is_none() && is_there()) {
        return Ok(None);
    }
    match text.parse::<Wanted>() {
        Ok(wanted) => {
            let at = index::at(indexed.index.as_deref()).map_err(|mut failure| {
                failure.problem.message =
                    format!("{text}: {}, and there is no such file", failure.problem.message);
                failure
            })?;
            Ok(Some(Asked { wanted, at, indexed }))
        }
        // A range that is none is told as that, unless it is a file.
        Err(error) if text.contains('@') && !is_there() => Err(Failure::of(&error)),
        Err(_) => Ok(None),
    }
}

impl Asked<'_> {
    /// What is to be installed for it: what it needs, and itself, each in a version that fits with the rest.
    pub(super) fn plan(
        &self,
        host: &Host,
        home: &Home,
        (change, allow): (Change, &Allow),
        setup: Option<&str>,
    ) -> Result<Planned, Failure> {
        let index = host.index_blocking(&self.at, allow).map_err(|error| Failure::of(&error))?;
        let locked = self.indexed.lock.as_deref().map(read_lock).transpose()?;
        // What is to be brought up to date is not held to what it was.
        let held = match (&locked, change, self.indexed.locked) {
            (Some(lock), Change::Update, false) => Some(lock.without(&[&self.wanted.plugin])),
            (lock, ..) => lock.clone(),
        };
        let wanted = std::slice::from_ref(&self.wanted);
        let plan = plan(&home.state, &index, wanted, held.as_ref()).map_err(|error| Failure::of(&error))?;
        if self.indexed.locked {
            self.holds(&plan, locked.as_ref())?;
        }
        let mut wishes = Vec::new();
        for pick in &plan.picks {
            if let Some(why) = &pick.yanked {
                let why = output::safe(why);
                output::note(&format!("note: {} {} is yanked: {why}", pick.name, pick.version));
            }
            let is_it = pick.name == self.wanted.plugin;
            let replaces = if pick.replaces.is_some() { Change::Update } else { Change::Install };
            wishes.push(Wish {
                // Whoever installs what is there is told so.
                change: if is_it { change } else { replaces },
                plugin: Some(pick.name.clone()),
                version: Some(pick.version.clone()),
                origin: origin(&self.at.place_of(&pick.source), Path::new(""))?,
                digest: Some(pick.digest.clone()),
                setup: if is_it { setup.map(str::to_owned) } else { None },
            });
        }
        let lock = match (&self.indexed.lock, self.indexed.locked) {
            (Some(file), false) => Some((file.clone(), next(&plan, locked)?)),
            _ => None,
        };
        Ok(Planned { wishes, lock })
    }

    /// Whether all of a plan is in the lock file, as the packages that it has.
    fn holds(&self, plan: &Plan, lock: Option<&Lock>) -> Result<(), Failure> {
        for pick in &plan.picks {
            let pin = lock.and_then(|lock| lock.pins(&pick.name));
            if pin.is_none_or(|pin| pin.digest != pick.digest) {
                let message = format!("{} {} is not in the lock file", pick.name, pick.version);
                let step = "install it without --locked, look at what that changes in the file, and keep it";
                return Err(Failure::new(
                    Exit::Refused,
                    Problem::new("not-locked", &pick.name, message, step),
                ));
            }
        }
        Ok(())
    }

    pub(super) fn plugin(&self) -> &str {
        &self.wanted.plugin
    }
}

impl Planned {
    /// One package, from where somebody says.
    pub(super) fn of(wish: Wish) -> Planned {
        Planned { wishes: vec![wish], lock: None }
    }

    /// Writes down which packages were taken.
    pub(super) fn keep(&self) -> Result<(), Failure> {
        let Some((file, lock)) = &self.lock else { return Ok(()) };
        stockade_package::archive::write(file, lock.to_toml().as_bytes()).map_err(|error| Failure::of(&error))
    }
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

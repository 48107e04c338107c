//! How what is installed is changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use semver::Version;

use super::course::{Course, Item, Outcome};
use super::inventory::Becomes;
use super::turn::Turn;
use super::{Change, Changing, Done, Failed, InstallError, Inventory, Loaded, Phase, Step, Wish, packages};
use crate::egress::Egress;
use crate::host::Host;

/// Ends what a process that was killed has left behind, unless somebody else is at it. Whoever cannot do it now leaves it to
/// the next: what was installed is what is installed.
pub(crate) fn recover(state: &Path, audit: &Path) {
    // At every start of a host, and nearly always there is nothing.
    if !matches!(Inventory::look(state), Ok(Some(inventory)) if inventory.is_open().unwrap_or_default()) {
        return;
    }
    let Ok(_turn) = Turn::take(state, "recovery", Duration::ZERO, |_| {}) else { return };
    match Inventory::open(state, audit).and_then(|mut inventory| tidy(state, &mut inventory)) {
        Ok(0) => {}
        Ok(many) => tracing::warn!(
            target: "stockade::host",
            "{many} changes of what is installed were interrupted, and have changed nothing: see stockade changes"
        ),
        Err(error) => tracing::error!(target: "stockade::host", %error, "what is installed"),
    }
}

/// Ends interrupted changes, and removes what they have laid aside. How many there were.
fn tidy(state: &Path, inventory: &mut Inventory) -> Result<usize, InstallError> {
    let ended = inventory.end_interrupted()?;
    if ended > 0 {
        packages::sweep(state, inventory.needed()?);
    }
    Ok(ended)
}

impl Host {
    pub(super) fn egress(&self) -> &Arc<Egress> {
        &self.0.egress
    }

    /// Installs plugins, or other packages of those that are installed: all of them, or none. They run nowhere by that, but
    /// for a moment in a confined worker, to see that they come up. What others need comes before them.
    ///
    /// # Errors
    ///
    /// One of them cannot be installed; what was installed before is what is installed.
    pub fn install_blocking(
        &self,
        wishes: &[Wish],
        changing: &Changing<'_>,
    ) -> Result<Vec<Done>, Box<Failed>> {
        let Some((first, others)) = wishes.split_first() else { return Ok(Vec::new()) };
        let origin = first.origin.to_string();
        self.courses((first.change, first.plugin.as_deref(), &origin), changing, |course| {
            let known = wishes.iter().filter_map(|wish| wish.plugin.clone().zip(wish.version.clone()));
            course.together = known.collect();
            let mut outcome = course.install(first)?;
            for wish in others {
                outcome = course.may_go_on(outcome)?;
                course.next(outcome, (wish.change, wish.plugin.as_deref(), &wish.origin.to_string()))?;
                outcome = course.install(wish)?;
            }
            Ok(outcome)
        })
    }

    /// Has the version of a plugin take over that waited for an approval.
    ///
    /// # Errors
    ///
    /// None waits, or it asks still for what nobody has approved.
    pub fn install_waiting_blocking(
        &self,
        plugin: &str,
        changing: &Changing<'_>,
    ) -> Result<Done, Box<Failed>> {
        self.course((Change::Update, Some(plugin), ""), changing, |course| {
            let current = course.installed()?;
            let Some(next) = current.next.clone() else {
                let version = current.generation.version.clone();
                return Err(InstallError::Same { plugin: plugin.to_owned(), version });
            };
            course.reach(Phase::Verify)?;
            course.switch(&next, true)
        })
    }

    /// Goes back to the version before, or to an earlier one that is kept, with what the operator gave that.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot run any more; what is installed stays.
    pub fn rollback_blocking(
        &self,
        plugin: &str,
        to: Option<&Version>,
        changing: &Changing<'_>,
    ) -> Result<Done, Box<Failed>> {
        self.course((Change::Rollback, Some(plugin), ""), changing, |course| {
            course.reach(Phase::Verify)?;
            let before = course.inventory.before(&course.installed()?)?;
            let found =
                before.into_iter().find(|generation| to.is_none_or(|version| generation.version == *version));
            let found = found.ok_or_else(|| InstallError::NothingBefore { plugin: plugin.to_owned() })?;
            course.switch(&found, false)
        })
    }

    /// Removes a plugin: its package, and that it is installed. Its store, its history and its approvals stay.
    ///
    /// # Errors
    ///
    /// It is not installed, or others need it.
    pub fn uninstall_blocking(&self, plugin: &str, changing: &Changing<'_>) -> Result<Done, Box<Failed>> {
        self.course((Change::Uninstall, Some(plugin), ""), changing, |course| {
            course.reach(Phase::DependencyPrepare)?;
            let current = course.installed()?;
            course.suits_dependents(None)?;
            let record = course.record(&current.generation);
            Ok(Outcome { becomes: Becomes::Nothing, record, waits: None })
        })
    }

    /// Says whether hosts that run for long run a plugin. One that is to run is brought up first.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not come up.
    pub fn enable_blocking(
        &self,
        plugin: &str,
        enabled: bool,
        changing: &Changing<'_>,
    ) -> Result<Done, Box<Failed>> {
        let change = if enabled { Change::Enable } else { Change::Disable };
        self.course((change, Some(plugin), ""), changing, |course| {
            let current = course.installed()?;
            if enabled {
                course.reach(Phase::Verify)?;
                let package = packages::open(&course.host.0.state, &current.generation)?;
                course.bring_up(package, &current.generation.setup)?;
            } else {
                course.reach(Phase::Activate)?;
            }
            let record = course.record(&current.generation);
            Ok(Outcome { becomes: Becomes::Enabled(enabled), record, waits: None })
        })
    }

    /// Writes down that plugins were loaded or not, and why. Where that cannot be written it is told in the host's log alone:
    /// nothing hangs on it.
    pub fn note_loads(&self, loads: &[Loaded]) {
        if loads.is_empty() || !Inventory::is_there(&self.0.state) {
            return;
        }
        let noted = Inventory::open_unheld(&self.0.state).and_then(|mut list| list.note_loads(loads));
        if let Err(error) = noted {
            tracing::warn!(target: "stockade::host", %error, "loads are not written down");
        }
    }

    /// Goes one change's way to its end.
    fn course<'a>(
        &'a self,
        change: (Change, Option<&str>, &str),
        changing: &'a Changing<'a>,
        work: impl FnOnce(&mut Course<'a>) -> Result<Outcome, InstallError>,
    ) -> Result<Done, Box<Failed>> {
        let mut done = self.courses(change, changing, work)?;
        Ok(done.remove(0))
    }

    /// Goes the way of changes that take hold together to its end, and sweeps up behind them. `work` begins with the first
    /// of them, and answers what the last comes to.
    fn courses<'a>(
        &'a self,
        (change, plugin, origin): (Change, Option<&str>, &str),
        changing: &'a Changing<'a>,
        work: impl FnOnce(&mut Course<'a>) -> Result<Outcome, InstallError>,
    ) -> Result<Vec<Done>, Box<Failed>> {
        let unbegun = |error| {
            let (plugin, phase) = (plugin.map(str::to_owned), change.phases()[0]);
            Box::new(Failed { id: String::new(), plugin, phase, stays: None, error })
        };
        let state = &self.0.state;
        let what = format!("{} {}", change.as_str(), plugin.unwrap_or(origin));
        let waits = |holder: &str| (changing.tell)(&Step::Waiting { holder: holder.to_owned() });
        let turn = match changing.turn {
            Some(_) => None,
            None => Some(Turn::take(state, &what, changing.patience, waits).map_err(unbegun)?),
        };
        let begun = || {
            let mut inventory = Inventory::open(state, &self.0.audit)?;
            tidy(state, &mut inventory)?;
            let item = Item::begin(&mut inventory, (change, plugin, origin), &changing.by)?;
            Ok((inventory, item))
        };
        let (inventory, item) = begun().map_err(unbegun)?;
        let mut course = Course {
            host: self,
            changing,
            inventory,
            item,
            before: Vec::new(),
            outcomes: Vec::new(),
            together: BTreeMap::new(),
            settled: false,
            _turn: turn,
        };
        let gone = work(&mut course).and_then(|outcome| course.may_go_on(outcome));
        match gone.and_then(|outcome| course.settle(outcome)) {
            Ok(done) => Ok(done),
            Err(error) => Err(course.fail(error)),
        }
    }
}

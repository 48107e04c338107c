//! How what is installed is changed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use semver::Version;
use stockade_audit::{Decision, Layer, Plugin as AuditPlugin, Record};
use stockade_package::{Available, Examined, Explain, Package, Severity};
use stockade_policy::stands;

use super::error::scopes;
use super::inventory::{Becomes, New};
use super::packages::Coming;
use super::turn::Turn;
use super::{
    Change, Changing, Done, Failed, Generation, InstallError, Installed, Inventory, Loaded, Phase, Step,
    Waits, Wish, packages,
};
use crate::egress::Egress;
use crate::error::HostError;
use crate::host::Host;
use crate::outcome::Status;
use crate::plugin::Plugin;
use crate::weigh::Lacking;

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

/// A change on its way.
struct Course<'a> {
    host: &'a Host,
    changing: &'a Changing<'a>,
    change: Change,
    inventory: Inventory,
    id: String,
    reached: Phase,
    /// The plugin, once it is known.
    plugin: Option<String>,
    /// What is installed of it.
    current: Option<Installed>,
    /// It is in the list, done or waiting.
    settled: bool,
    _turn: Turn,
}

/// What a change comes to, before it is settled.
struct Outcome {
    becomes: Becomes,
    record: Record,
    loaded: Option<Plugin>,
    /// Why it does not take over yet.
    waits: Option<Waits>,
}

impl Host {
    pub(super) fn egress(&self) -> &Arc<Egress> {
        &self.0.egress
    }

    /// Installs a plugin, or another package of one. It runs nowhere by that, but for a moment in a confined worker, to see
    /// that it comes up.
    ///
    /// # Errors
    ///
    /// It cannot be installed; what was installed before is what is installed.
    pub fn install_blocking(
        &self,
        change: Change,
        plugin: Option<&str>,
        wish: &Wish,
        changing: &Changing<'_>,
    ) -> Result<Done, Box<Failed>> {
        let origin = wish.origin.to_string();
        self.course((change, plugin, &origin), changing, |course| course.install(wish, &origin))
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
            Ok(Outcome { becomes: Becomes::Nothing, record, loaded: None, waits: None })
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
            let loaded = match enabled {
                true => {
                    course.reach(Phase::Verify)?;
                    let package = packages::open(&course.host.0.state, &current.generation)?;
                    Some(course.bring_up(package, &current.generation.setup)?)
                }
                false => {
                    course.reach(Phase::Activate)?;
                    None
                }
            };
            let record = course.record(&current.generation);
            Ok(Outcome { becomes: Becomes::Enabled(enabled), record, loaded, waits: None })
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

    /// Goes a change's way to its end, and sweeps up behind it.
    fn course<'a>(
        &'a self,
        (change, plugin, origin): (Change, Option<&str>, &str),
        changing: &'a Changing<'a>,
        work: impl FnOnce(&mut Course<'a>) -> Result<Outcome, InstallError>,
    ) -> Result<Done, Box<Failed>> {
        let first = change.phases()[0];
        let unbegun = |error| {
            let plugin = plugin.map(str::to_owned);
            Box::new(Failed { id: String::new(), plugin, phase: first, stays: None, error })
        };
        let state = &self.0.state;
        let what = format!("{} {}", change.as_str(), plugin.unwrap_or(origin));
        let waits = |holder: &str| (changing.tell)(&Step::Waiting { holder: holder.to_owned() });
        let turn = Turn::take(state, &what, changing.patience, waits).map_err(unbegun)?;
        let begun = || {
            let mut inventory = Inventory::open(state, &self.0.audit)?;
            tidy(state, &mut inventory)?;
            let current = plugin.map(|plugin| inventory.find(plugin)).transpose()?.flatten();
            let id = inventory.begin(change, plugin, origin, &changing.by)?;
            Ok((inventory, current, id))
        };
        let (inventory, current, id) = begun().map_err(unbegun)?;
        let plugin = plugin.map(str::to_owned);
        let mut course = Course {
            host: self,
            changing,
            change,
            inventory,
            id,
            reached: first,
            plugin,
            current,
            settled: false,
            _turn: turn,
        };
        match work(&mut course).and_then(|outcome| course.settle(outcome)) {
            Ok(done) => Ok(done),
            Err(error) => Err(course.fail(error)),
        }
    }
}

impl<'a> Course<'a> {
    fn state(&self) -> &'a Path {
        &self.host.0.state
    }

    /// A phase begins: first it is written down.
    fn reach(&mut self, phase: Phase) -> Result<(), InstallError> {
        let version = self.current.as_ref().map(|current| current.generation.version.to_string());
        self.reach_as(phase, self.plugin.clone().zip(version))
    }

    fn reach_with(&mut self, phase: Phase, package: &Package) -> Result<(), InstallError> {
        let identity = &package.identity;
        self.reach_as(phase, Some((identity.name.clone(), identity.version.to_string())))
    }

    fn reach_as(&mut self, phase: Phase, what: Option<(String, String)>) -> Result<(), InstallError> {
        let phases = self.change.phases();
        let number = phases.iter().position(|known| *known == phase).map_or(1, |at| at + 1);
        self.reached = phase;
        self.inventory.reach(&self.id, number, phase, self.plugin.as_deref())?;
        (self.changing.tell)(&Step::Phase { number, of: phases.len(), phase, what });
        Ok(())
    }

    fn installed(&self) -> Result<Installed, InstallError> {
        let plugin = || self.plugin.clone().unwrap_or_default();
        self.current.clone().ok_or_else(|| InstallError::NotInstalled { plugin: plugin() })
    }

    fn install(&mut self, wish: &Wish, origin: &str) -> Result<Outcome, InstallError> {
        self.reach(Phase::Download)?;
        if self.change == Change::Update {
            self.installed()?;
        }
        let packed = self.host.fetch(&wish.origin, self.changing.allow.plain_http)?;
        if let Some(expected) = &wish.digest
            && packed.digest != *expected
            && stands("install.digest")
        {
            return Err(InstallError::OtherDigest { found: packed.digest, expected: expected.clone() });
        }
        let bytes = packed.bytes.len() as u64;
        let coming = Coming::write(self.state(), &self.id, &packed.bytes)?;
        drop(packed);
        // What is on the disk by now is what is looked at, and what is run.
        let examined = Examined::open(&coming.path, None);
        self.named(&examined)?;
        self.reach(Phase::Verify)?;
        self.verify(&examined)?;
        let package = examined.sound()?;
        let digest = package.digest.clone().unwrap_or_default();
        self.reach_with(Phase::DependencyPrepare, &package)?;
        self.suits_dependents(Some(&package.identity.version))?;
        coming.keep(self.state(), &digest)?;
        let setup = match (&wish.setup, &self.current) {
            (Some(setup), _) => setup.clone(),
            (None, Some(current)) => current.generation.setup.clone(),
            (None, None) => String::new(),
        };
        let asks = self.asks_for_more(&package, &setup)?;
        let mut new = New::of(&package, (digest, bytes), origin, &setup);
        if !asks.is_empty() && stands("install.waits") {
            let record = self.record_of_new(&new, "waits").detail("asks", scopes(&asks, " "));
            let waits = self.waits(&new.version, &new.digest, asks)?;
            return Ok(Outcome { becomes: Becomes::Waits(new), record, loaded: None, waits: Some(waits) });
        }
        let plugin = self.bring_up(package, &setup)?;
        new.offers = offers(&plugin);
        let record = self.record_of_new(&new, self.change.done());
        Ok(Outcome { becomes: Becomes::New(new), record, loaded: Some(plugin), waits: None })
    }

    /// Now it is known which plugin it is: whether it is the one, and whether it is there already.
    fn named(&mut self, examined: &Examined) -> Result<(), InstallError> {
        let Some(package) = examined.suspect() else { return Ok(()) };
        let found = &package.identity.name;
        match &self.plugin {
            Some(expected) if expected != found => {
                return Err(InstallError::OtherPlugin { found: found.clone(), expected: expected.clone() });
            }
            Some(_) => {}
            None => {
                self.current = self.inventory.find(found)?;
                self.plugin = Some(found.clone());
            }
        }
        match (&self.current, self.change) {
            (Some(current), Change::Install) => {
                let version = current.generation.version.clone();
                Err(InstallError::Installed { plugin: found.clone(), version })
            }
            (Some(current), _) if Some(&current.generation.package) == examined.digest.as_ref() => {
                let version = current.generation.version.clone();
                Err(InstallError::Same { plugin: found.clone(), version })
            }
            _ => Ok(()),
        }
    }

    /// All that preflight looks at; who has signed it; and whether it is an old one.
    fn verify(&self, examined: &Examined) -> Result<(), InstallError> {
        let mut available = Available::default();
        for installed in self.inventory.all()? {
            available.add(&installed.generation.plugin, installed.generation.version);
        }
        let report = self.host.preflight_blocking(examined, &available)?;
        if !report.is_good() {
            let errors = report.findings.into_iter().filter(|finding| finding.severity == Severity::Error);
            return Err(InstallError::Preflight(errors.collect()));
        }
        let Some(package) = examined.suspect() else { return Err(InstallError::Preflight(Vec::new())) };
        let (plugin, version) = (&package.identity.name, &package.identity.version);
        let allow = &self.changing.allow;
        if package.signed_by.is_empty() && !allow.unsigned && stands("install.signed") {
            return Err(InstallError::Unsigned { plugin: plugin.clone() });
        }
        if let Some(current) = &self.current {
            let before = &current.generation.signed_by;
            let is_known = before.is_empty() || before.iter().any(|key| package.signed_by.contains(key));
            // Where the policy names the publisher's keys, it is the policy that says whose count.
            let publisher = plugin.split('/').next().unwrap_or_default();
            let is_named = self.host.policy().trust.publishers.contains_key(publisher);
            if !is_known && !is_named && !allow.other_signer && stands("install.signer") {
                let (before, now) = (before.clone(), package.signed_by.clone());
                return Err(InstallError::OtherSigner { plugin: plugin.clone(), before, now });
            }
        }
        if allow.downgrade {
            return Ok(());
        }
        if let Some(highest) = self.inventory.highest(plugin)?
            && *version < highest
            && stands("install.downgrade")
        {
            return Err(InstallError::Older { plugin: plugin.clone(), version: version.clone(), highest });
        }
        match (self.inventory.known_as(plugin, version)?, &examined.digest) {
            (Some(before), Some(now)) if before != *now && stands("install.republished") => {
                let (plugin, version, now) = (plugin.clone(), version.clone(), now.clone());
                Err(InstallError::Republished { plugin, version, before, now })
            }
            _ => Ok(()),
        }
    }

    /// Whether those that need the plugin can do with this version of it, or without it.
    fn suits_dependents(&self, version: Option<&Version>) -> Result<(), InstallError> {
        if self.changing.allow.needed {
            return Ok(());
        }
        let plugin = self.plugin.clone().unwrap_or_default();
        let mut dependents = self.inventory.dependents(&plugin)?.into_iter();
        match dependents.find(|(_, versions)| !version.is_some_and(|version| versions.matches(version))) {
            Some((dependent, versions)) => {
                Err(InstallError::Needed { plugin, dependent, versions: versions.to_string() })
            }
            None => Ok(()),
        }
    }

    /// What a package asks for that the installed one did not, and nobody has approved.
    fn asks_for_more(&self, package: &Package, setup: &str) -> Result<Vec<Lacking>, InstallError> {
        let Some(current) = &self.current else { return Ok(Vec::new()) };
        let lacking = |package: Package, setup: &str| -> Result<Vec<Lacking>, InstallError> {
            let request = (self.changing.request)(package, setup).map_err(InstallError::Setup)?;
            Ok(self.host.weigh(&request).lacking)
        };
        self.host.look_at_approvals()?;
        // One that is not there any more asked for nothing.
        let before = match packages::open(self.state(), &current.generation) {
            Ok(before) => lacking(before, &current.generation.setup)?,
            Err(_) => Vec::new(),
        };
        let mut asks = lacking(package.clone(), setup)?;
        asks.retain(|new| new.approvable && !before.iter().any(|old| old.scope == new.scope));
        Ok(asks)
    }

    /// Brings a plugin up with all that it is granted, beside whatever runs, and sees whether it can be called.
    fn bring_up(&mut self, package: Package, setup: &str) -> Result<Plugin, InstallError> {
        self.reach_with(Phase::Activate, &package)?;
        let identity = package.identity.clone();
        let request = (self.changing.request)(package, setup).map_err(InstallError::Setup)?;
        let plugin = self.host.load_blocking(request.aside())?;
        let version = identity.version.to_string();
        self.reach_as(Phase::HealthCheck, Some((identity.name, version)))?;
        let outcome = plugin.instantiate()?;
        match (outcome.status, outcome.reason) {
            (Status::Ok, _) => Ok(plugin),
            (_, Some(reason)) => Err(InstallError::Unhealthy(reason)),
            (_, None) => Err(HostError::Stopped.into()),
        }
    }

    /// Has a generation that is in the list take over.
    fn switch(&mut self, to: &Generation, may_wait: bool) -> Result<Outcome, InstallError> {
        let package = packages::open(self.state(), to)?;
        let request = (self.changing.request)(package.clone(), &to.setup).map_err(InstallError::Setup)?;
        // The policy may have changed since it was installed.
        if let Some(error) = self.host.weigh(&request).refusal() {
            return Err(error.into());
        }
        if self.change.phases().contains(&Phase::DependencyPrepare) {
            self.reach_with(Phase::DependencyPrepare, &package)?;
        }
        self.suits_dependents(Some(&to.version))?;
        if may_wait {
            let asks = self.asks_for_more(&package, &to.setup)?;
            if !asks.is_empty() && stands("install.waits") {
                return Err(self.waits(&to.version, &to.package, asks)?.into());
            }
        }
        let plugin = self.bring_up(package, &to.setup)?;
        let record = self.record(to);
        Ok(Outcome {
            becomes: Becomes::Again(to.number, offers(&plugin)),
            record,
            loaded: Some(plugin),
            waits: None,
        })
    }

    fn waits(&self, version: &Version, digest: &str, asks: Vec<Lacking>) -> Result<Waits, InstallError> {
        let Generation { plugin, version: running, .. } = self.installed()?.generation;
        let package = packages::path(self.state(), digest);
        Ok(Waits { plugin, version: version.clone(), running, asks, package })
    }

    fn record(&self, generation: &Generation) -> Record {
        let Generation { plugin_type, version, component, package, .. } = generation;
        self.record_of([&version.to_string(), component, plugin_type, package], self.change.done())
    }

    fn record_of_new(&self, new: &New, done: &'static str) -> Record {
        let New { plugin_type, version, component, digest, .. } = new;
        self.record_of([&version.to_string(), component, plugin_type, digest], done)
    }

    fn record_of(&self, [version, component, plugin_type, package]: [&str; 4], done: &'static str) -> Record {
        let name = self.plugin.clone().unwrap_or_default();
        let plugin = AuditPlugin::new(&name, version, component, plugin_type).shared();
        let by = &self.changing.by;
        let user = by.name.clone().unwrap_or_default();
        Record::new(Layer::Package, done, Decision::Noted)
            .plugin(&plugin)
            .operation(self.change.as_str())
            .resource(name)
            .reason(format!("user {user} ({}) changes what is installed", by.uid))
            .detail("package", package.to_owned())
            .detail("uid", i64::from(by.uid))
            .detail("user", user)
    }

    /// Makes the change: in the audit log, and then in the list.
    fn settle(&mut self, outcome: Outcome) -> Result<Done, InstallError> {
        let Outcome { becomes, record, loaded, waits } = outcome;
        let plugin = self.plugin.clone().unwrap_or_default();
        self.inventory.settle((&self.id, &plugin), becomes, (&self.host.0.log, record))?;
        self.settled = true;
        packages::sweep(self.state(), self.inventory.needed()?);
        if let Some(waits) = waits {
            return Err(waits.into());
        }
        let before = self.current.as_ref().map(|current| current.generation.version.to_string());
        let installed = self.inventory.find(&plugin)?;
        Ok(Done { id: self.id.clone(), plugin, before, installed, loaded })
    }

    /// Writes down that it failed. Where not even that can be written, the next change does it.
    fn fail(mut self, error: InstallError) -> Box<Failed> {
        let stays = self.current.as_ref().map(|current| current.generation.version.clone());
        let failed =
            Failed { id: self.id.clone(), plugin: self.plugin.clone(), phase: self.reached, stays, error };
        // What waits has been written down as that.
        if !self.settled {
            let problem = failed.problem();
            let record = Record::new(Layer::Package, "not-changed", Decision::Denied)
                .operation(self.change.as_str())
                .resource(self.plugin.clone().unwrap_or_default())
                .reason(problem.message.clone())
                .next_step(problem.next_step.clone())
                .detail("code", problem.code)
                .detail("phase", self.reached.as_str())
                .detail("change", self.id.clone())
                .detail("uid", i64::from(self.changing.by.uid));
            let written = self.inventory.fail(&self.id, &problem);
            let recorded = self.host.0.log.append_durable(&record);
            if let Err(error) = &written {
                tracing::error!(target: "stockade::host", %error, "that a change failed is not written down");
            }
            if let Err(error) = &recorded {
                tracing::error!(target: "stockade::host", %error, "that a change failed is not recorded");
            }
        }
        if let Ok(needed) = self.inventory.needed() {
            packages::sweep(self.state(), needed);
        }
        Box::new(failed)
    }
}

/// What a plugin offers: its tools, and the events that it wants to be told of.
fn offers(plugin: &Plugin) -> Vec<(&'static str, String, String)> {
    let tools = plugin.tools().iter().map(|tool| ("tool", tool.name.clone(), tool.description.clone()));
    let hooks = plugin.hooks().iter().map(|hook| ("hook", hook.event.clone(), hook.tool.clone()));
    tools.chain(hooks).collect()
}

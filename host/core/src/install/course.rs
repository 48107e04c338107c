//! A change on its way, phase by phase.

use std::collections::BTreeMap;
use std::mem;
use std::path::Path;

use semver::Version;
use stockade_audit::{Decision, Layer, Plugin as AuditPlugin, Record};
use stockade_package::{Available, Examined, Explain, Package, Problem, Severity};
use stockade_policy::{Person, stands};

use super::error::scopes;
use super::inventory::{Becomes, New, Settling};
use super::packages::Coming;
use super::turn::Turn;
use super::{
    Change, Changing, Done, Failed, Generation, InstallError, Installed, Inventory, Phase, Step, Waits, Wish,
    is_somebody_elses, packages,
};
use crate::error::HostError;
use crate::host::Host;
use crate::outcome::Status;
use crate::plugin::Plugin;
use crate::weigh::Lacking;

/// One plugin that is being changed.
pub(super) struct Item {
    pub(super) change: Change,
    pub(super) id: String,
    pub(super) reached: Phase,
    /// The plugin, once it is known.
    pub(super) plugin: Option<String>,
    /// What is installed of it.
    pub(super) current: Option<Installed>,
}

/// Changes on their way, which take hold together.
pub(super) struct Course<'a> {
    pub(super) host: &'a Host,
    pub(super) changing: &'a Changing<'a>,
    pub(super) inventory: Inventory,
    /// What is being changed now.
    pub(super) item: Item,
    /// What was before it, and what each comes to.
    pub(super) before: Vec<Item>,
    pub(super) outcomes: Vec<Outcome>,
    /// The versions in which plugins are to be installed together, as far as they are known before.
    pub(super) together: BTreeMap<String, Version>,
    /// It is in the list, done or waiting.
    pub(super) settled: bool,
    pub(super) _turn: Option<Turn>,
}

/// What a change comes to, before it is settled.
pub(super) struct Outcome {
    pub(super) becomes: Becomes,
    pub(super) record: Record,
    /// Why it does not take over yet.
    pub(super) waits: Option<Waits>,
}

impl<'a> Course<'a> {
    pub(super) fn state(&self) -> &'a Path {
        &self.host.0.state
    }

    /// A phase begins: first it is written down.
    pub(super) fn reach(&mut self, phase: Phase) -> Result<(), InstallError> {
        let version = self.item.current.as_ref().map(|current| current.generation.version.to_string());
        self.reach_as(phase, self.item.plugin.clone().zip(version))
    }

    pub(super) fn reach_with(&mut self, phase: Phase, package: &Package) -> Result<(), InstallError> {
        let identity = &package.identity;
        self.reach_as(phase, Some((identity.name.clone(), identity.version.to_string())))
    }

    fn reach_as(&mut self, phase: Phase, what: Option<(String, String)>) -> Result<(), InstallError> {
        let phases = self.item.change.phases();
        let number = phases.iter().position(|known| *known == phase).map_or(1, |at| at + 1);
        self.item.reached = phase;
        self.inventory.reach(&self.item.id, number, phase, self.item.plugin.as_deref())?;
        let change = self.item.change;
        (self.changing.tell)(&Step::Phase { change, number, of: phases.len(), phase, what });
        Ok(())
    }

    pub(super) fn installed(&self) -> Result<Installed, InstallError> {
        let plugin = || self.item.plugin.clone().unwrap_or_default();
        self.item.current.clone().ok_or_else(|| InstallError::NotInstalled { plugin: plugin() })
    }

    pub(super) fn install(&mut self, wish: &Wish) -> Result<Outcome, InstallError> {
        let version = wish.version.as_ref().map(ToString::to_string);
        self.reach_as(Phase::Download, wish.plugin.clone().zip(version))?;
        if self.item.change == Change::Update {
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
        let coming = Coming::write(self.state(), &self.item.id, &packed.bytes)?;
        drop(packed);
        // What is on the disk by now is what is looked at, and what is run.
        let examined = Examined::open(&coming.path, None);
        self.named(&examined, wish)?;
        match examined.suspect() {
            Some(package) => self.reach_with(Phase::Verify, package)?,
            None => self.reach(Phase::Verify)?,
        }
        self.verify(&examined)?;
        let package = examined.sound()?;
        let digest = package.digest.clone().unwrap_or_default();
        self.reach_with(Phase::DependencyPrepare, &package)?;
        self.suits_dependents(Some(&package.identity.version))?;
        coming.keep(self.state(), &digest)?;
        let setup = match (&wish.setup, &self.item.current) {
            (Some(setup), _) => setup.clone(),
            (None, Some(current)) => current.generation.setup.clone(),
            (None, None) => String::new(),
        };
        let asks = self.asks_for_more(&package, &setup)?;
        let mut new = New::of(&package, (digest, bytes), &wish.origin.to_string(), &setup);
        if !asks.is_empty() && stands("install.waits") {
            let record = self.record_of_new(&new, "waits").detail("asks", scopes(&asks, " "));
            let waits = self.waits(&new.version, &new.digest, asks)?;
            return Ok(Outcome { becomes: Becomes::Waits(new), record, waits: Some(waits) });
        }
        let plugin = self.bring_up(package, &setup)?;
        new.offers = offers(&plugin);
        let record = self.record_of_new(&new, self.item.change.done());
        Ok(Outcome { becomes: Becomes::New(new), record, waits: None })
    }

    /// Now it is known which plugin it is: whether it is the one, and whether it is there already.
    fn named(&mut self, examined: &Examined, wish: &Wish) -> Result<(), InstallError> {
        let Some(package) = examined.suspect() else { return Ok(()) };
        let (found, version) = (&package.identity.name, &package.identity.version);
        if let Some(expected) = &wish.version
            && expected != version
        {
            let (plugin, found, expected) = (found.clone(), version.clone(), expected.clone());
            return Err(InstallError::OtherVersion { plugin, found, expected });
        }
        match &self.item.plugin {
            Some(expected) if expected != found => {
                return Err(InstallError::OtherPlugin { found: found.clone(), expected: expected.clone() });
            }
            Some(_) => {}
            None => {
                self.item.current = self.inventory.find(found)?;
                self.item.plugin = Some(found.clone());
            }
        }
        match (&self.item.current, self.item.change) {
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
            if !self.together.contains_key(&installed.generation.plugin) {
                available.add(&installed.generation.plugin, installed.generation.version);
            }
        }
        for (plugin, version) in &self.together {
            available.add(plugin, version.clone());
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
        if let Some(current) = &self.item.current {
            let before = &current.generation.signed_by;
            // Where the policy names the publisher's keys, it is the policy that says whose count.
            let publisher = plugin.split('/').next().unwrap_or_default();
            let is_named = self.host.policy().trust.publishers.contains_key(publisher);
            if is_somebody_elses(before, &package.signed_by)
                && !is_named
                && !allow.other_signer
                && stands("install.signer")
            {
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
    pub(super) fn suits_dependents(&self, version: Option<&Version>) -> Result<(), InstallError> {
        if self.changing.allow.needed {
            return Ok(());
        }
        let plugin = self.item.plugin.clone().unwrap_or_default();
        let mut dependents = self.inventory.dependents(&plugin)?.into_iter();
        // What is changed together with it needs what its next version needs.
        let stays = |dependent: &String| !self.together.contains_key(dependent);
        match dependents.find(|(dependent, versions)| {
            stays(dependent) && !version.is_some_and(|version| versions.matches(version))
        }) {
            Some((dependent, versions)) => {
                Err(InstallError::Needed { plugin, dependent, versions: versions.to_string() })
            }
            None => Ok(()),
        }
    }

    /// What a package asks for that the installed one did not, and nobody has approved.
    fn asks_for_more(&self, package: &Package, setup: &str) -> Result<Vec<Lacking>, InstallError> {
        let Some(current) = &self.item.current else { return Ok(Vec::new()) };
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
    pub(super) fn bring_up(&mut self, package: Package, setup: &str) -> Result<Plugin, InstallError> {
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
    pub(super) fn switch(&mut self, to: &Generation, may_wait: bool) -> Result<Outcome, InstallError> {
        let package = packages::open(self.state(), to)?;
        let request = (self.changing.request)(package.clone(), &to.setup).map_err(InstallError::Setup)?;
        // The policy may have changed since it was installed.
        if let Some(error) = self.host.weigh(&request).refusal() {
            return Err(error.into());
        }
        if self.item.change.phases().contains(&Phase::DependencyPrepare) {
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
        Ok(Outcome { becomes: Becomes::Again(to.number, offers(&plugin)), record, waits: None })
    }

    fn waits(&self, version: &Version, digest: &str, asks: Vec<Lacking>) -> Result<Waits, InstallError> {
        let Generation { plugin, version: running, .. } = self.installed()?.generation;
        let package = packages::path(self.state(), digest);
        Ok(Waits { plugin, version: version.clone(), running, asks, package })
    }

    pub(super) fn record(&self, generation: &Generation) -> Record {
        let Generation { plugin_type, version, component, package, .. } = generation;
        self.record_of([&version.to_string(), component, plugin_type, package], self.item.change.done())
    }

    fn record_of_new(&self, new: &New, done: &'static str) -> Record {
        let New { plugin_type, version, component, digest, .. } = new;
        self.record_of([&version.to_string(), component, plugin_type, digest], done)
    }

    fn record_of(&self, [version, component, plugin_type, package]: [&str; 4], done: &'static str) -> Record {
        let name = self.item.plugin.clone().unwrap_or_default();
        let plugin = AuditPlugin::new(&name, version, component, plugin_type).shared();
        let by = &self.changing.by;
        let user = by.name.clone().unwrap_or_default();
        Record::new(Layer::Package, done, Decision::Noted)
            .plugin(&plugin)
            .operation(self.item.change.as_str())
            .resource(name)
            .reason(format!("user {user} ({}) changes what is installed", by.uid))
            .detail("package", package.to_owned())
            .detail("uid", i64::from(by.uid))
            .detail("user", user)
    }

    /// Begins with another plugin, which is changed together with those before.
    pub(super) fn next(
        &mut self,
        outcome: Outcome,
        (change, plugin, origin): (Change, Option<&str>, &str),
    ) -> Result<(), InstallError> {
        let item = Item::begin(&mut self.inventory, (change, plugin, origin), &self.changing.by)?;
        self.before.push(mem::replace(&mut self.item, item));
        self.outcomes.push(outcome);
        Ok(())
    }

    /// One that waits is written down as that, and keeps all others from taking hold.
    pub(super) fn may_go_on(&mut self, mut outcome: Outcome) -> Result<Outcome, InstallError> {
        let Some(waits) = outcome.waits.take() else { return Ok(outcome) };
        let Outcome { becomes, record, .. } = outcome;
        let plugin = self.item.plugin.as_deref().unwrap_or_default();
        let settling = Settling { id: &self.item.id, plugin, becomes, record };
        self.inventory.settle(vec![settling], &self.host.0.log)?;
        self.settled = true;
        Err(waits.into())
    }

    /// Makes the changes: in the audit log, and then in the list.
    pub(super) fn settle(&mut self, outcome: Outcome) -> Result<Vec<Done>, InstallError> {
        self.outcomes.push(outcome);
        let mut settling = Vec::new();
        let items = || self.before.iter().chain([&self.item]);
        for (item, outcome) in items().zip(mem::take(&mut self.outcomes)) {
            let Outcome { becomes, record, .. } = outcome;
            let plugin = item.plugin.as_deref().unwrap_or_default();
            settling.push(Settling { id: &item.id, plugin, becomes, record });
        }
        self.inventory.settle(settling, &self.host.0.log)?;
        packages::sweep(self.state(), self.inventory.needed()?);
        let done = items().map(|item| {
            let plugin = item.plugin.clone().unwrap_or_default();
            let before = item.current.as_ref().map(|current| current.generation.version.to_string());
            let installed = self.inventory.find(&plugin)?;
            Ok(Done { id: item.id.clone(), change: item.change, plugin, before, installed })
        });
        let done = done.collect();
        self.before.clear();
        self.settled = true;
        done
    }

    /// Writes down that it failed. Where not even that can be written, the next change does it.
    pub(super) fn fail(mut self, error: InstallError) -> Box<Failed> {
        let Item { change, id, reached, plugin, current } = self.item;
        let stays = current.map(|current| current.generation.version);
        let failed = Failed { id, plugin, phase: reached, stays, error };
        let problem = failed.problem();
        // What waits has been written down as that.
        if !self.settled {
            let record = Record::new(Layer::Package, "not-changed", Decision::Denied)
                .operation(change.as_str())
                .resource(failed.plugin.clone().unwrap_or_default())
                .reason(problem.message.clone())
                .next_step(problem.next_step.clone())
                .detail("code", problem.code)
                .detail("phase", reached.as_str())
                .detail("change", failed.id.clone())
                .detail("uid", i64::from(self.changing.by.uid));
            note_failure(&mut self.inventory, &failed.id, &problem);
            if let Err(error) = self.host.0.log.append_durable(&record) {
                tracing::error!(target: "stockade::host", %error, "that a change failed is not recorded");
            }
        }
        for item in &self.before {
            let with = failed.plugin.as_deref().unwrap_or("another plugin");
            let message = format!("it was to be changed together with {with}: {}", problem.message);
            let together = Problem::new("not-together", with, message, problem.next_step.clone());
            note_failure(&mut self.inventory, &item.id, &together);
        }
        if let Ok(needed) = self.inventory.needed() {
            packages::sweep(&self.host.0.state, needed);
        }
        Box::new(failed)
    }
}

fn note_failure(inventory: &mut Inventory, id: &str, problem: &Problem) {
    if let Err(error) = inventory.fail(id, problem) {
        tracing::error!(target: "stockade::host", %error, "that a change failed is not written down");
    }
}

impl Item {
    pub(super) fn begin(
        inventory: &mut Inventory,
        (change, plugin, origin): (Change, Option<&str>, &str),
        by: &Person,
    ) -> Result<Item, InstallError> {
        let current = plugin.map(|plugin| inventory.find(plugin)).transpose()?.flatten();
        let id = inventory.begin(change, plugin, origin, by)?;
        Ok(Item { change, id, reached: change.phases()[0], plugin: plugin.map(str::to_owned), current })
    }
}

/// What a plugin offers: its tools, and the events that it wants to be told of.
fn offers(plugin: &Plugin) -> Vec<(&'static str, String, String)> {
    let tools = plugin.tools().iter().map(|tool| ("tool", tool.name.clone(), tool.description.clone()));
    let hooks = plugin.hooks().iter().map(|hook| ("hook", hook.event.clone(), hook.tool.clone()));
    tools.chain(hooks).collect()
}

//! What would become of a plugin here, found out without giving it anything: what a person sees before they install it,
//! and what every install looks at.

use std::sync::Arc;

use serde::Serialize;
use stockade_audit::Plugin as AuditPlugin;
use stockade_ipc::{CompileFault, World};
use stockade_package::{
    Available, Check, Examined, Explain, Finding, Identity, Package, PackageError, Problem, Severity,
};
use stockade_policy::{Request, Scope, Source, Unresolved, interface};

use crate::boot::BootError;
use crate::error::HostError;
use crate::host::{Host, Seen, identify};
use crate::load::Means;
use crate::memfd::{SealedFile, hex};
use crate::outcome::{Outcome, Status};
use crate::weigh::{self, Weighed, refusal};

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// Nothing is wrong.
    Passed,
    /// Something is: the plugin cannot be installed.
    Failed,
    /// What an earlier check has found was in its way.
    NotReached,
}

/// What was found out about a plugin.
#[derive(Debug)]
pub struct Preflight {
    /// Which plugin it is, where that could be read.
    pub identity: Option<Identity>,
    /// The digest of its package, where it is one.
    pub digest: Option<String>,
    /// The SHA-256 of its component, in hexadecimal, where there is one.
    pub component: Option<String>,
    /// Every check, in their order.
    pub checks: Vec<(Check, CheckState)>,
    /// What was found, in the order of the checks.
    pub findings: Vec<Finding>,
}

impl Preflight {
    /// Whether it can be installed.
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|(_, state)| *state == CheckState::Passed)
    }
}

/// How far the checks have come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    /// The files could not be read.
    Nothing,
    /// There is a manifest, which cannot be read on.
    Text,
    /// All that the manifest says was looked at.
    Manifest,
    /// The component, too, and who has signed both.
    Files,
    /// The compiler has taken the component.
    World,
    /// An instance of it was made, or could not be.
    Instance,
}

impl Reached {
    /// What a check takes.
    const fn by(check: Check) -> Reached {
        match check {
            Check::Archive => Reached::Nothing,
            Check::Manifest => Reached::Text,
            Check::Host | Check::Capabilities | Check::Schemas => Reached::Manifest,
            Check::Permissions | Check::Dependencies | Check::Signature | Check::Size => Reached::Files,
            // They take what the compiler says of the component.
            Check::Contract | Check::Imports | Check::Compile => Reached::World,
            Check::Instantiate => Reached::Instance,
        }
    }

    fn of(examined: &Examined) -> Reached {
        match examined.suspect() {
            Some(_) => Reached::Files,
            None if examined.manifest.is_none() => Reached::Nothing,
            None if examined.faults.iter().any(PackageError::hides_the_rest) => Reached::Text,
            None => Reached::Manifest,
        }
    }
}

impl Host {
    /// Looks at a plugin as far as it can be looked at: its files, what it asks for, what its component imports and
    /// exports, whether it comes up in a confined worker without a grant by hand.
    ///
    /// # Errors
    ///
    /// The host cannot do its work. What is wrong with the plugin is in the report.
    pub fn preflight_blocking(
        &self,
        examined: &Examined,
        available: &Available,
    ) -> Result<Preflight, HostError> {
        let mut findings: Vec<Finding> = examined.faults.iter().map(Finding::from).collect();
        let mut reached = Reached::of(examined);
        let (mut identity, mut component) = (None, None);
        if let Some(package) = examined.suspect() {
            let sealed = identify(package)?;
            let hash = hex(&sealed.0.digest());
            self.look_at_approvals()?;
            let requests = weigh::requests(package, &[], &[], &Means::default());
            let approved =
                requests.iter().cloned().map(|ask| Request { approved_by: Some(Source::Embedder), ..ask });
            let all = self.0.weigh(package, hash.clone(), approved.collect());
            let weighed = self.0.weigh(package, hash.clone(), requests);
            findings.extend(asked_for(package, &weighed));
            findings.extend(never_together(package, &all));
            findings.extend(package.of_something_else());
            findings.extend(available.lacking(package));
            findings.extend(signed(examined, &weighed));
            reached = reached.max(self.component(package, sealed, &weighed, &mut findings)?);
            (identity, component) = (Some(package.identity.clone()), Some(hash));
        }
        findings.sort_by_key(|finding| finding.check);
        let state = |check: Check| {
            let mut of_it = findings.iter().filter(|finding| finding.check == check);
            match of_it.any(|finding| finding.severity == Severity::Error) {
                true => CheckState::Failed,
                false if reached >= Reached::by(check) => CheckState::Passed,
                false => CheckState::NotReached,
            }
        };
        let checks = Check::ALL.map(|check| (check, state(check))).to_vec();
        Ok(Preflight { identity, digest: examined.digest.clone(), component, checks, findings })
    }

    /// What the compiler and a worker say.
    fn component(
        &self,
        package: &Package,
        (component, identity): (SealedFile, Arc<AuditPlugin>),
        weighed: &Weighed,
        findings: &mut Vec<Finding>,
    ) -> Result<Reached, HostError> {
        let trail = self.0.trail(&identity, &Default::default());
        let (artifact, world) = match self.compiled(&component, &trail) {
            Ok(both) => both,
            Err(error) => {
                findings.push(not_compiled(error)?);
                return Ok(Reached::Files);
            }
        };
        let unknown = unknown_imports(&world);
        let tools = package.tools(&world);
        let given = |capability| weighed.resolution.grants.has(capability);
        findings.extend(package.imports_and_permissions(&world, given));
        if let Err(error) = &tools {
            findings.push(error.into());
        }
        let good = unknown.is_empty();
        findings.extend(unknown);
        let Ok(tools) = tools else { return Ok(Reached::World) };
        // What the policy does not believe in is looked at, and not run.
        if !good || weighed.distrust.is_some() {
            return Ok(Reached::World);
        }
        let plugin = self.on_trial(package, identity, Seen { artifact, world, tools })?;
        findings.extend(not_brought_up(plugin.instantiate())?);
        Ok(Reached::Instance)
    }
}

/// What it asks for beside what it would get.
fn asked_for(package: &Package, weighed: &Weighed) -> Vec<Finding> {
    let finding = |unresolved: &Unresolved| {
        let scope = unresolved.scope();
        let (severity, problem) = match (unresolved, refusal(unresolved)) {
            (_, Some(error)) => (Severity::Error, error.problem()),
            (Unresolved::NeedsApproval { by, .. }, None) => {
                let message =
                    format!("{scope} is not among what {by} gives unasked: somebody has to approve it");
                let next =
                    "an operator decides (stockade approvals approve); until then the plugin runs without";
                (Severity::Note, Problem::new("needs-approval", "", message, next))
            }
            (Unresolved::Forbidden { rule, .. }, None) => {
                let message = format!("{scope} is forbidden by {rule}: the plugin runs without");
                let next = "do without; whoever keeps the organisation's policy can change the rule";
                (Severity::Warning, Problem::new("forbidden-by-policy", "", message, next))
            }
            (Unresolved::AboveCeiling { .. } | Unresolved::TooMany { .. }, None) => return None,
        };
        Some(placed(package, scope, Finding::new(Check::Permissions, severity, problem)))
    };
    weighed.resolution.unresolved.iter().filter_map(finding).collect()
}

/// What would be left out if all of it were approved.
fn never_together(package: &Package, all: &Weighed) -> Vec<Finding> {
    let too_many = all.resolution.unresolved.iter().filter(|one| matches!(one, Unresolved::TooMany { .. }));
    let finding = |unresolved: &Unresolved| {
        let problem = refusal(unresolved)?.problem();
        let finding = Finding::new(Check::Permissions, Severity::Warning, problem);
        Some(placed(package, unresolved.scope(), finding))
    };
    too_many.filter_map(finding).collect()
}

/// Says where the manifest asks for it.
fn placed(package: &Package, scope: &Scope, finding: Finding) -> Finding {
    match package.permissions.iter().find(|asked| asked.request.scope == *scope) {
        Some(permission) => finding.at(&permission.at),
        None => finding,
    }
}

/// Who has signed it, where that matters here.
fn signed(examined: &Examined, weighed: &Weighed) -> Option<Finding> {
    if examined.faults.iter().any(|fault| fault.check() == Check::Signature) {
        return None;
    }
    if let Some(error) = weighed.distrusted() {
        return Some(Finding::new(Check::Signature, Severity::Error, error.problem()));
    }
    let nobody = examined.suspect().is_some_and(|package| package.signed_by.is_empty());
    nobody.then(|| {
        Finding::new(
            Check::Signature,
            Severity::Warning,
            Problem::new(
                "not-signed",
                "",
                "nobody has signed the plugin",
                "have its publisher sign it: stockade sign PLUGIN --key KEY",
            ),
        )
    })
}

fn unknown_imports(world: &World) -> Vec<Finding> {
    let unknown = world.imports.iter().filter(|import| interface(&import.name).is_none());
    unknown.map(|import| (&PackageError::UnknownImport { name: import.name.clone() }).into()).collect()
}

/// What the compiler has against the component, where it is the component.
fn not_compiled(error: HostError) -> Result<Finding, HostError> {
    match error {
        HostError::Component { fault: CompileFault::Invalid | CompileFault::TooLarge, .. }
        | HostError::CompileCap { .. } => Ok(Finding::new(Check::Compile, Severity::Error, error.problem())),
        HostError::Component { fault: CompileFault::Import, .. } => {
            Ok(Finding::new(Check::Imports, Severity::Error, error.problem()))
        }
        other => Err(other),
    }
}

/// What came of making an instance, where none was made.
fn not_brought_up(tried: Result<Outcome, HostError>) -> Result<Option<Finding>, HostError> {
    let (code, problem) = match tried {
        Ok(Outcome { status: Status::Ok, .. }) => return Ok(None),
        Ok(Outcome { status: Status::Trapped, reason: Some(reason), .. }) => {
            ("instantiation-trapped", reason)
        }
        Ok(Outcome { reason: Some(reason), .. }) => ("instantiation-ended", reason),
        Err(error @ (HostError::Component { .. } | HostError::Boot(BootError::Forbidden(..)))) => {
            ("instantiation-ended", error.problem())
        }
        Ok(_) => return Err(HostError::Stopped),
        Err(error) => return Err(error),
    };
    let message = format!("no instance of the component could be made: {}", problem.message);
    let next_step = match code {
        "instantiation-trapped" => {
            "correct what the component does when it is brought up: it has no grant then"
        }
        _ => "have it do less when it is brought up; the audit log has the worker's end",
    };
    let problem = Problem::new(code, problem.field, message, next_step);
    Ok(Some(Finding::new(Check::Instantiate, Severity::Error, problem)))
}

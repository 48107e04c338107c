//! From what is asked for a plugin to what it is granted: the documents that say so, and what they leave out.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stockade_package::Package;
use stockade_policy::{
    Approval, Distrust, Grant, Grants, Judgement, Limit, Policy, Profile, PublicKey, Request, Resolution,
    Rule, Scope, Signed, Source, Standard, Subject, Unresolved, stands, weigh,
};

use crate::error::HostError;
use crate::host::{Config, Inner};
use crate::load::{GrantRequest, LoadRequest, Means};
use crate::memfd::hex;
use crate::plugin::Plugin;
use crate::trail::Trail;

/// What a plugin would get, and why, and what it lacks.
#[derive(Debug)]
pub struct Weighed {
    /// `publisher/name`.
    pub plugin: String,
    /// By its own word.
    pub version: String,
    /// SHA-256 of its component, in hexadecimal.
    pub component: String,
    /// The keys that have signed it; of those of its publisher's, where the policy names them.
    pub signed_by: Vec<PublicKey>,
    /// Why the policy does not believe in it.
    pub distrust: Option<Distrust>,
    /// The second since 1970 from which on it will not, because keys of its publisher end.
    pub trusted_until: Option<u64>,
    /// What holds for it: its profile, as the policy bends it.
    pub standard: Standard,
    /// The grants with their rules, and what was asked for and is not granted.
    pub resolution: Resolution,
    /// The latter, for people.
    pub lacking: Vec<Lacking>,
}

/// What a plugin asked for and does not get, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    /// What it asked for: `http:api.example.org`.
    pub scope: String,
    /// Whether an approval would give it.
    pub approvable: bool,
    /// The document that withholds it.
    pub by: String,
    /// Why it asks, in its author's words. Hostile text.
    pub reason: Option<String>,
}

/// What a plugin may do, and by which document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// What it may do: `http:api.example.org`.
    pub scope: String,
    /// The document that says so.
    pub by: String,
}

/// All that is to be said of a plugin's grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantsReport {
    /// `publisher/name`.
    pub plugin: String,
    /// By its own word.
    pub version: String,
    /// Its type, and so its profile.
    pub plugin_type: String,
    /// SHA-256 of its component, in hexadecimal.
    pub component: String,
    /// The keys that have signed it; of those of its publisher's, where the policy names them.
    #[serde(default)]
    pub signed_by: Vec<PublicKey>,
    /// What it may do.
    pub granted: Vec<Granted>,
    /// What the policy forbids of that.
    pub forbidden: Vec<Granted>,
    /// What it asked for and does not get.
    pub lacking: Vec<Lacking>,
}

impl GrantsReport {
    /// Of a plugin that would be loaded.
    pub fn of(weighed: &Weighed) -> GrantsReport {
        let Weighed { plugin, version, component, signed_by, standard, resolution, lacking, .. } = weighed;
        let plugin_type = standard.plugin_type().as_str();
        GrantsReport::new([plugin, version, plugin_type, component], signed_by, &resolution.grants, lacking)
    }

    /// Of one that is loaded.
    pub fn of_plugin(plugin: &Plugin) -> GrantsReport {
        let identity = [plugin.name(), plugin.version(), plugin.plugin_type(), plugin.component()];
        GrantsReport::new(identity, plugin.signed_by(), plugin.grants(), plugin.lacking())
    }

    fn new(
        identity: [&str; 4],
        signed_by: &[PublicKey],
        grants: &Grants,
        lacking: &[Lacking],
    ) -> GrantsReport {
        let [plugin, version, plugin_type, component] = identity.map(str::to_owned);
        let granted = grants.iter().map(Granted::of).collect();
        let forbidden = grants.forbidden().map(Granted::of).collect();
        GrantsReport {
            plugin,
            version,
            plugin_type,
            component,
            signed_by: signed_by.to_vec(),
            granted,
            forbidden,
            lacking: lacking.to_vec(),
        }
    }

    /// What an approval could give it.
    pub fn approvable(&self) -> Vec<&Lacking> {
        self.lacking.iter().filter(|lacking| lacking.approvable).collect()
    }
}

impl Granted {
    fn of(grant: &Grant) -> Granted {
        Granted { scope: grant.scope.to_string(), by: grant.rule.source.to_string() }
    }

    /// The grant, to decide by; its rule is named as the scope is written. None where that is no scope.
    pub fn grant(&self) -> Option<Grant> {
        let scope: Scope = self.scope.parse().ok()?;
        Some(Grant { rule: Rule::built_in(scope.to_string()), scope })
    }
}

impl Lacking {
    fn of(unresolved: &Unresolved, package: &Package) -> Lacking {
        let (approvable, by) = match unresolved {
            Unresolved::NeedsApproval { by, .. } => (true, by.to_string()),
            Unresolved::AboveCeiling { by, .. } | Unresolved::TooMany { by, .. } => (false, by.to_string()),
            Unresolved::Forbidden { rule, .. } => (false, rule.to_string()),
        };
        let scope = unresolved.scope();
        let asked = package.permissions.iter().find(|asked| asked.request.scope == *scope);
        let reason = asked.map(|permission| permission.reason.clone());
        Lacking { scope: scope.to_string(), approvable, by, reason }
    }
}

impl Weighed {
    /// What stands in the way of loading it: nobody whom the policy knows has signed it, or something is above a
    /// ceiling, or given by hand and forbidden.
    pub fn refusal(&self) -> Option<HostError> {
        self.distrusted().or_else(|| self.resolution.unresolved.iter().find_map(refusal))
    }

    pub(crate) fn distrusted(&self) -> Option<HostError> {
        self.distrust.clone().map(|why| HostError::Distrusted { plugin: self.plugin.clone(), why })
    }
}

pub(crate) fn refusal(unresolved: &Unresolved) -> Option<HostError> {
    let whose = |by: &Source| match by {
        Source::Profile { plugin_type, .. } => format!("profile {plugin_type}"),
        other => other.to_string(),
    };
    match unresolved.clone() {
        Unresolved::AboveCeiling { scope, by } => Some(HostError::AboveCeiling { scope, by: whose(&by) }),
        Unresolved::TooMany { scope, ceiling, by } => {
            Some(HostError::TooManyGrants { scope, ceiling, by: whose(&by) })
        }
        Unresolved::Forbidden { scope, rule, approved: true } => Some(HostError::Forbidden { scope, rule }),
        Unresolved::NeedsApproval { .. } | Unresolved::Forbidden { approved: false, .. } => None,
    }
}

/// Everything that is asked for a plugin: by hand, by the configuration that somebody set, and by its manifest.
pub(crate) fn requests(
    package: &Package,
    grants: &[GrantRequest],
    set: &[Scope],
    means: &Means,
) -> Vec<Request> {
    let by = means.by.clone().unwrap_or(Source::Embedder);
    let by_hand = |scope: Scope| Request { scope, approved_by: Some(by.clone()) };
    let granted = grants
        .iter()
        .map(|grant| Request { scope: grant.scope.clone(), approved_by: Some(grant.source.clone()) });
    let config = set.iter().cloned().map(by_hand);
    let store = means.store.iter().map(|_| by_hand(Scope::Kv));
    let asked = package.permissions.iter().map(|permission| permission.request.clone());
    granted.chain(config).chain(store).chain(asked).collect()
}

/// The configuration values that somebody set, as what is asked for by that.
pub(crate) fn set(config: &Config) -> Vec<Scope> {
    config.keys().map(|key| Scope::Config { key: key.clone() }).collect()
}

/// Weighs what is asked for one package.
pub(crate) fn weighed(
    package: &Package,
    component: String,
    requests: Vec<Request>,
    policy: &Policy,
    (approvals, now): (&[Approval], u64),
) -> Weighed {
    let identity = &package.identity;
    let standard = Standard::of(Profile::of(identity.plugin_type), policy, &identity.name);
    let signed = Signed {
        plugin: &identity.name,
        component: &component,
        package: package.digest.as_deref(),
        by: &package.signed_by,
    };
    let Judgement { counted: signed_by, distrust, until: trusted_until } = policy.judge(&signed, now);
    let subject = Subject {
        plugin: &identity.name,
        version: &identity.version,
        component: &component,
        signed_by: &signed_by,
    };
    let resolution = weigh(&standard, &subject, requests, approvals, now);
    let lacking = resolution.unresolved.iter().map(|unresolved| Lacking::of(unresolved, package)).collect();
    Weighed {
        plugin: identity.name.clone(),
        version: identity.version.to_string(),
        component,
        signed_by,
        distrust,
        trusted_until,
        standard,
        resolution,
        lacking,
    }
}

impl LoadRequest {
    /// What the plugin would be granted, by these documents: loads nothing. `approvals` and `now` are those of a
    /// [`Book`](crate::Book).
    pub fn weigh(&self, policy: &Policy, approvals: &[Approval], now: u64) -> Weighed {
        let component = hex(&Sha256::digest(&self.package.component));
        let mut grants = self.grants.clone();
        if self.scratch {
            grants.extend(crate::scratch::grants(std::path::Path::new("")));
        }
        let requests = requests(&self.package, &grants, &set(&self.config), &self.means);
        weighed(&self.package, component, requests, policy, (approvals, now))
    }
}

/// Refuses what no plugin of the type may have, whoever asked for it. What only lacks an approval, or is forbidden and
/// was only asked for by the manifest, is left out, and the plugin runs without it.
pub(crate) fn refuse(weighed: &Weighed, trail: &Trail) -> Result<(), HostError> {
    if let Some(error) = weighed.distrusted() {
        trail.not_loaded("signature", &weighed.plugin, &error.to_string())?;
        return Err(error);
    }
    for unresolved in &weighed.resolution.unresolved {
        let Some(error) = refusal(unresolved) else { continue };
        if stands("load.ceiling") {
            trail.not_loaded("grant", &unresolved.scope().to_string(), &error.to_string())?;
            return Err(error);
        }
    }
    Ok(())
}

/// The ranges of addresses that requests may reach: those of the policy, and those given by hand where the policy
/// leaves that to whoever gives them.
pub(crate) fn addresses(standard: &Standard, by_hand: Vec<IpNet>) -> Result<Vec<IpNet>, HostError> {
    let mut open: Vec<IpNet> = standard.addresses.iter().map(|(range, _)| *range).collect();
    for range in by_hand {
        let covered = open.iter().any(|opened| opened.contains(&range));
        if !covered && !standard.approvers.command_line && stands("policy.addresses") {
            return Err(HostError::AddressRange { range });
        }
        open.push(range);
    }
    Ok(open)
}

/// What was given by hand, where a rule of the policy sets less.
pub(crate) fn within_policy(standard: &Standard, means: &Means) -> Result<(), HostError> {
    let limits = &standard.profile.limits;
    let (bytes, files) = means.quota.unzip();
    let by_hand = [
        (Limit::WrittenBytes, bytes),
        (Limit::WrittenFiles, files.map(u64::from)),
        (Limit::HttpRequestsPerSecond, means.requests_per_second.map(u64::from)),
    ];
    for (limit, amount) in by_hand {
        if let (Some(rule), Some(amount)) = (standard.rule_of(limit), amount)
            && amount > limit.of(limits)
            && stands("policy.limits")
        {
            let (field, max) = (limit.as_str().to_owned(), limit.of(limits));
            return Err(HostError::AbovePolicy { field, max, rule: rule.clone() });
        }
    }
    let profile = &standard.profile;
    let (per_call, per_day) =
        (means.per_call.unwrap_or(profile.per_call), means.per_day.unwrap_or(profile.per_day));
    match standard.budget_above(&per_call, &per_day) {
        Some((of, unit, rule)) if stands("policy.budgets") => {
            let most = if of == "per_call" { &profile.per_call } else { &profile.per_day };
            let field = format!("{of}.{}", unit.as_str());
            Err(HostError::AbovePolicy { field, max: most.get(unit), rule: rule.clone() })
        }
        _ => Ok(()),
    }
}

impl Inner {
    /// Weighs by the documents that are in force now. Boxed: threads of embedding programs may be small.
    pub(crate) fn weigh(&self, package: &Package, component: String, requests: Vec<Request>) -> Box<Weighed> {
        let policy = self.policy();
        let book = self.book();
        Box::new(weighed(package, component, requests, &policy, (&book.standing(), book.now())))
    }
}

use std::collections::BTreeMap;

use crate::{Capability, Grant, Grants, Profile, Rule, Scope, Source, stands};

/// A wish for one grant: from the manifest, or from an operator who also says yes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is wished for.
    pub scope: Scope,
    /// Who approved it; none where only the manifest asks.
    pub approved_by: Option<Source>,
}

/// A request that was not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// The profile's ceiling does not have the capability, whoever approves.
    AboveCeiling {
        /// What was wished for.
        scope: Scope,
    },
    /// More resources of this capability than the ceiling has.
    TooMany {
        /// What was wished for.
        scope: Scope,
        /// How many the ceiling has.
        ceiling: u32,
    },
    /// Within the ceiling, and nobody approved it.
    NeedsApproval {
        /// What was wished for.
        scope: Scope,
    },
}

/// What came of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// What the plugin may do.
    pub grants: Grants,
    /// What it wished for and does not get, in the order of the requests.
    pub unresolved: Vec<Unresolved>,
}

/// Weighs requests against a profile. Total and pure: the same documents give the same grants.
pub fn resolve(profile: &Profile, requests: &[Request]) -> Resolution {
    let mut resolution = Resolution::default();
    let source = Source::Profile { plugin_type: profile.plugin_type, version: profile.version };
    for &capability in &profile.always {
        if let Some(scope) = whole(capability) {
            resolution.grants.add(Grant { rule: rule(&scope, source.clone()), scope });
        }
    }
    let mut used: BTreeMap<Capability, u32> = BTreeMap::new();
    for Request { scope, approved_by } in requests {
        let capability = scope.capability();
        if resolution.grants.iter().any(|g| g.scope == *scope) {
            continue;
        }
        let source = if profile.on_request.contains(&capability) || !stands("policy.ceiling") {
            approved_by.clone().unwrap_or_else(|| source.clone())
        } else {
            let Some(&ceiling) = profile.ceiling.get(&capability) else {
                resolution.unresolved.push(Unresolved::AboveCeiling { scope: scope.clone() });
                continue;
            };
            let itself = (!stands("policy.approval")).then_some(&Source::Embedder);
            let Some(approver) = approved_by.as_ref().or(itself) else {
                resolution.unresolved.push(Unresolved::NeedsApproval { scope: scope.clone() });
                continue;
            };
            let used = used.entry(capability).or_default();
            if *used >= ceiling && stands("policy.ceiling-count") {
                resolution.unresolved.push(Unresolved::TooMany { scope: scope.clone(), ceiling });
                continue;
            }
            *used += 1;
            approver.clone()
        };
        resolution.grants.add(Grant { rule: rule(scope, source), scope: scope.clone() });
    }
    // What the manifest asked for first and an operator approved further on waits for nobody.
    let Resolution { grants, unresolved } = &mut resolution;
    unresolved.retain(|left| match left {
        Unresolved::NeedsApproval { scope } => !grants.iter().any(|grant| grant.scope == *scope),
        Unresolved::AboveCeiling { .. } | Unresolved::TooMany { .. } => true,
    });
    resolution
}

fn rule(scope: &Scope, source: Source) -> Rule {
    Rule { id: scope.to_string(), source }
}

fn whole(capability: Capability) -> Option<Scope> {
    match capability {
        Capability::Log => Some(Scope::Log),
        Capability::Clock => Some(Scope::Clock),
        Capability::Random => Some(Scope::Random),
        Capability::Kv => Some(Scope::Kv),
        _ => None,
    }
}

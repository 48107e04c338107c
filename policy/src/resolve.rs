use std::collections::BTreeMap;

use crate::{Capability, Grant, Grants, Pattern, Rule, Scope, Source, Standard, stands};

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
    /// The ceiling does not have the capability, whoever approves.
    AboveCeiling {
        /// What was wished for.
        scope: Scope,
        /// Whose ceiling it is.
        by: Source,
    },
    /// More resources of this capability than the ceiling has.
    TooMany {
        /// What was wished for.
        scope: Scope,
        /// How many the ceiling has.
        ceiling: u32,
        /// Whose ceiling it is.
        by: Source,
    },
    /// Within the ceiling, and nobody approved it.
    NeedsApproval {
        /// What was wished for.
        scope: Scope,
        /// What wants an approval.
        by: Source,
    },
    /// A rule of the policy forbids it, whoever approves.
    Forbidden {
        /// What was wished for.
        scope: Scope,
        /// The rule.
        rule: Rule,
        /// Whether somebody had said yes to it all the same.
        approved: bool,
    },
}

impl Unresolved {
    /// What was wished for.
    pub const fn scope(&self) -> &Scope {
        match self {
            Self::AboveCeiling { scope, .. }
            | Self::TooMany { scope, .. }
            | Self::NeedsApproval { scope, .. }
            | Self::Forbidden { scope, .. } => scope,
        }
    }
}

/// What came of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// What the plugin may do.
    pub grants: Grants,
    /// What it wished for and does not get, in the order of the requests.
    pub unresolved: Vec<Unresolved>,
}

/// Weighs requests against what holds for a plugin. Total and pure: the same documents give the same grants.
pub fn resolve(standard: &Standard, requests: &[Request]) -> Resolution {
    let mut resolution = Resolution::default();
    let profile = &standard.profile;
    // What everybody gets, unless the policy wants to be asked.
    let given = profile.always.iter().filter_map(|&capability| whole(capability));
    let (given, asked): (Vec<Scope>, Vec<Scope>) =
        given.partition(|scope| standard.wants_approval(scope).is_none() || !stands("policy.approve"));
    let unasked = |scope| Request { scope, approved_by: None };
    let given: Vec<Request> = given.into_iter().map(unasked).collect();
    let asked: Vec<Request> = asked.into_iter().map(unasked).collect();
    let mut used: BTreeMap<Capability, u32> = BTreeMap::new();
    for Request { scope, approved_by } in given.iter().chain(requests).chain(&asked) {
        if resolution.grants.iter().any(|granted| granted.scope == *scope) {
            continue;
        }
        match one(standard, scope, approved_by.as_ref(), &mut used) {
            Ok(source) => resolution.grants.add(Grant { rule: rule(scope, source), scope: scope.clone() }),
            Err(unresolved) => resolution.unresolved.push(unresolved),
        }
    }
    for (pattern, rule) in &standard.forbidden {
        if let Pattern::Some(scope) = pattern
            && resolution.grants.iter().any(|granted| scope.overlaps(&granted.scope))
        {
            resolution.grants.forbid(Grant { scope: scope.clone(), rule: rule.clone() });
        }
    }
    // What the manifest asked for first and an operator approved further on waits for nobody, and what is missing is
    // missed once.
    let Resolution { grants, unresolved } = &mut resolution;
    let mut missed: Vec<Scope> = Vec::new();
    unresolved.retain(|left| {
        let scope = left.scope();
        let waits = !matches!(left, Unresolved::NeedsApproval { .. })
            || !grants.iter().any(|grant| grant.scope == *scope);
        let first = !matches!(left, Unresolved::NeedsApproval { .. }) || !missed.contains(scope);
        missed.push(scope.clone());
        waits && first
    });
    resolution
}

/// Where the grant of one scope comes from, or why there is none.
fn one(
    standard: &Standard,
    scope: &Scope,
    approved_by: Option<&Source>,
    used: &mut BTreeMap<Capability, u32>,
) -> Result<Source, Unresolved> {
    let capability = scope.capability();
    let profile = &standard.profile;
    let by_default = profile.always.contains(&capability) || profile.on_request.contains(&capability);
    let approver = match (by_default || !stands("policy.ceiling"), approved_by) {
        (_, Some(approver)) => Some(approver.clone()),
        (true, None) => Some(standard.source()),
        (false, None) => (!stands("policy.approval")).then_some(Source::Embedder),
    };
    let most = match (profile.ceiling.get(&capability), standard.ceilings.get(&capability)) {
        (_, Some((most, _))) => Some(*most),
        (Some(most), None) => Some(*most),
        (None, None) => None,
    };
    if !by_default && most.unwrap_or(0) == 0 && stands("policy.ceiling") {
        let by = standard.ceiling_source(capability);
        return Err(Unresolved::AboveCeiling { scope: scope.clone(), by });
    }
    // What is forbidden, or waits because a rule wants it to, takes its place all the same: a rule more never makes
    // room for something else.
    let mut too_many = None;
    if let (Some(ceiling), Some(_)) = (most, &approver) {
        let used = used.entry(capability).or_default();
        if *used >= ceiling && stands("policy.ceiling-count") {
            too_many = Some(ceiling);
        } else {
            *used += 1;
        }
    }
    if let Some(rule) = standard.forbids(scope)
        && stands("policy.forbid")
    {
        let approved = approved_by.is_some();
        return Err(Unresolved::Forbidden { scope: scope.clone(), rule: rule.clone(), approved });
    }
    let Some(approver) = approver else {
        return Err(Unresolved::NeedsApproval {
            scope: scope.clone(),
            by: standard.ceiling_source(capability),
        });
    };
    if let (None, Some(by)) = (approved_by, standard.wants_approval(scope))
        && stands("policy.approve")
    {
        return Err(Unresolved::NeedsApproval { scope: scope.clone(), by: by.clone() });
    }
    match too_many {
        Some(ceiling) => {
            let by = standard.ceiling_source(capability);
            Err(Unresolved::TooMany { scope: scope.clone(), ceiling, by })
        }
        None => Ok(approver),
    }
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

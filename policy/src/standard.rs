use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::{
    Approvers, Budget, Capability, Limit, Pattern, PluginType, Policy, PolicyRule, Profile, Rule, Source,
    Unit,
};

/// What holds for one plugin: its profile, as the organisation's policy bends it.
#[derive(Clone, Debug)]
pub struct Standard {
    /// The profile, with the policy's ceilings, limits and budgets.
    pub profile: Profile,
    /// Ranges of addresses that the policy opens, each with its rule.
    pub addresses: Vec<(IpNet, Source)>,
    /// Who approves.
    pub approvers: Approvers,
    /// Which rule has its denials marked as observed.
    pub observed: Option<Source>,
    pub(crate) forbidden: Vec<(Pattern, Rule)>,
    pub(crate) to_approve: Vec<(Pattern, Source)>,
    /// The rules that set a ceiling, and what they set.
    pub(crate) ceilings: BTreeMap<Capability, (u32, Source)>,
    limits: BTreeMap<Limit, Source>,
    per_call: BTreeMap<Unit, Source>,
    per_day: BTreeMap<Unit, Source>,
}

/// A number that a rule sets, and how exactly the rule names its plugins.
type Set<'p> = ((bool, bool, bool), u64, &'p PolicyRule);

/// Of several rules the one that names its plugins most exactly; of those the lowest number.
fn choose<'p, K: Ord + Copy>(chosen: &mut BTreeMap<K, Set<'p>>, key: K, number: u64, rule: &'p PolicyRule) {
    let exactness = rule.exactness();
    let better = chosen
        .get(&key)
        .is_none_or(|(before, lowest, _)| exactness > *before || exactness == *before && number < *lowest);
    if better {
        chosen.insert(key, (exactness, number, rule));
    }
}

impl Standard {
    /// Bends a profile for one plugin. Total and pure; the order of the rules is nothing.
    pub fn of(profile: &Profile, policy: &Policy, plugin: &str) -> Standard {
        let mut standard = Standard {
            profile: profile.clone(),
            addresses: Vec::new(),
            approvers: policy.approvals.clone(),
            observed: None,
            forbidden: Vec::new(),
            to_approve: Vec::new(),
            ceilings: BTreeMap::new(),
            limits: BTreeMap::new(),
            per_call: BTreeMap::new(),
            per_day: BTreeMap::new(),
        };
        let (mut ceilings, mut limits) = (BTreeMap::new(), BTreeMap::new());
        let (mut per_call, mut per_day) = (BTreeMap::new(), BTreeMap::new());
        let mut observe = BTreeMap::new();
        for rule in policy.rules_for(plugin, profile.plugin_type) {
            let source = policy.source(rule);
            for pattern in &rule.forbid {
                let rule = Rule { id: format!("forbid:{pattern}"), source: source.clone() };
                standard.forbidden.push((pattern.clone(), rule));
            }
            standard.to_approve.extend(rule.approve.iter().map(|pattern| (pattern.clone(), source.clone())));
            standard.addresses.extend(rule.addresses.iter().map(|&range| (range, source.clone())));
            rule.ceiling.iter().for_each(|(&key, &most)| choose(&mut ceilings, key, most.into(), rule));
            rule.limits.iter().for_each(|(&key, &most)| choose(&mut limits, key, most, rule));
            rule.per_call.iter().for_each(|(&key, &most)| choose(&mut per_call, key, most, rule));
            rule.per_day.iter().for_each(|(&key, &most)| choose(&mut per_day, key, most, rule));
            if let Some(on) = rule.observe {
                choose(&mut observe, (), on.into(), rule);
            }
        }
        for (capability, (_, most, rule)) in ceilings {
            let most = u32::try_from(most).unwrap_or(u32::MAX);
            standard.ceilings.insert(capability, (most, policy.source(rule)));
            standard.set_ceiling(capability, most);
        }
        for (limit, (_, amount, rule)) in limits {
            limit.set(&mut standard.profile.limits, amount);
            standard.limits.insert(limit, policy.source(rule));
        }
        standard.keep_within_maxima();
        for (unit, (_, amount, rule)) in per_call {
            standard.profile.per_call.set(unit, amount);
            standard.per_call.insert(unit, policy.source(rule));
        }
        for (unit, (_, amount, rule)) in per_day {
            standard.profile.per_day.set(unit, amount);
            standard.per_day.insert(unit, policy.source(rule));
        }
        standard.observed =
            observe.get(&()).filter(|(_, on, _)| *on == 1).map(|(_, _, rule)| policy.source(rule));
        standard
    }

    /// What is granted on request stays so, up to the number; what was above the ceiling takes an approval.
    fn set_ceiling(&mut self, capability: Capability, most: u32) {
        let profile = &mut self.profile;
        if most == 0 {
            profile.always.retain(|&other| other != capability);
            profile.on_request.retain(|&other| other != capability);
            profile.ceiling.remove(&capability);
        } else if !profile.always.contains(&capability) && !profile.on_request.contains(&capability) {
            profile.ceiling.insert(capability, most);
        }
    }

    /// A default above its own maximum is as much as may be.
    fn keep_within_maxima(&mut self) {
        let limits = &mut self.profile.limits;
        for (limit, most) in
            [(Limit::MemoryBytes, Limit::MemoryBytesMax), (Limit::DeadlineMs, Limit::DeadlineMsMax)]
        {
            let within = limit.of(limits).min(most.of(limits));
            limit.set(limits, within);
        }
    }

    /// The plugin's type.
    pub const fn plugin_type(&self) -> PluginType {
        self.profile.plugin_type
    }

    /// The profile as a source of rules.
    pub(crate) const fn source(&self) -> Source {
        Source::Profile { plugin_type: self.profile.plugin_type, version: self.profile.version }
    }

    /// What sets the ceiling of a capability.
    pub(crate) fn ceiling_source(&self, capability: Capability) -> Source {
        self.ceilings.get(&capability).map_or_else(|| self.source(), |(_, source)| source.clone())
    }

    /// What sets a limit: a rule of the policy, where one does.
    pub fn rule_of(&self, limit: Limit) -> Option<&Source> {
        self.limits.get(&limit)
    }

    /// The first unit of a budget that is above what a rule of the policy sets, and that rule.
    pub fn budget_above(&self, per_call: &Budget, per_day: &Budget) -> Option<(&'static str, Unit, &Source)> {
        let above = |name, budget: &Budget, most: &Budget, set: &'_ BTreeMap<Unit, Source>| {
            set.keys().copied().find(|&unit| budget.get(unit) > most.get(unit)).map(|unit| (name, unit))
        };
        above("per_call", per_call, &self.profile.per_call, &self.per_call)
            .and_then(|(name, unit)| Some((name, unit, self.per_call.get(&unit)?)))
            .or_else(|| {
                above("per_day", per_day, &self.profile.per_day, &self.per_day)
                    .and_then(|(name, unit)| Some((name, unit, self.per_day.get(&unit)?)))
            })
    }

    /// The rule that forbids all of a scope.
    pub(crate) fn forbids(&self, scope: &crate::Scope) -> Option<&Rule> {
        self.forbidden.iter().find(|(pattern, _)| pattern.contains(scope)).map(|(_, rule)| rule)
    }

    /// The rule that wants an approval of something in a scope.
    pub(crate) fn wants_approval(&self, scope: &crate::Scope) -> Option<&Source> {
        self.to_approve.iter().find(|(pattern, _)| pattern.overlaps(scope)).map(|(_, source)| source)
    }
}

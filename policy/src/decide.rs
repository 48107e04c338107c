use std::fmt;

use crate::{Ask, Grants, GuestPath, Rule, Scope, stands};

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<'g> {
    /// Allowed, by this rule.
    Allow(&'g Rule),
    /// Refused.
    Deny(Denial),
}

/// A refusal: which rule, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The rule that said no.
    pub rule: Rule,
    /// Why it said no.
    pub why: Why,
}

/// The kinds of no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No grant of this capability at all.
    NothingGranted,
    /// There are grants of this capability, none covers this resource.
    NotCovered,
    /// No grant can ever cover it.
    NeverGranted,
    /// The organisation's policy forbids it, whatever is granted.
    Forbidden,
}

impl Why {
    /// What the operator can do about it.
    pub const fn next_step(self) -> &'static str {
        match self {
            Self::NothingGranted => "grant the capability if the plugin should have it",
            Self::NotCovered => "widen the grant if the plugin should reach this resource",
            Self::NeverGranted => "plugins reach the network through http, which the host does for them",
            Self::Forbidden => "whoever keeps the organisation's policy can change the rule",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingGranted => "nothing of this capability is granted",
            Self::NotCovered => "no grant covers this resource",
            Self::NeverGranted => "no grant can allow this operation",
            Self::Forbidden => "the organisation's policy forbids it, whatever is granted",
        })
    }
}

impl Decision<'_> {
    /// Whether it is a yes.
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// Decides an ask. The whole of the plugin policy at run time: both sides call this and nothing else.
pub fn decide<'g>(grants: &'g Grants, ask: &Ask<'_>) -> Decision<'g> {
    let Some(capability) = ask.capability() else { return deny_built_in(ask, Why::NeverGranted) };
    if let Some(forbidden) = grants.forbidding(capability, ask)
        && stands("policy.forbidden")
    {
        return Decision::Deny(Denial { rule: forbidden.rule.clone(), why: Why::Forbidden });
    }
    match grants.covering(capability, ask) {
        Some(grant) => Decision::Allow(&grant.rule),
        None if grants.has(capability) => deny_built_in(ask, Why::NotCovered),
        None => deny_built_in(ask, Why::NothingGranted),
    }
}

/// Decides on giving what is at `from` the name `to`, besides or instead of its own. Whoever may read or change
/// it under the new name, or anything below that, must have been allowed to under the old one: a name is worth
/// no grant.
pub fn decide_naming<'g>(grants: &'g Grants, from: &GuestPath, to: &GuestPath) -> Decision<'g> {
    let touches = |root: &GuestPath| to.below(root).is_some() || root.below(to).is_some();
    // What is forbidden by its name has no other: nor has the directory that it is in.
    for forbidden in grants.forbidden() {
        if let Scope::FsRead { root } | Scope::FsWrite { root } = &forbidden.scope
            && root.below(from).is_some()
            && stands("policy.naming-forbidden")
        {
            return Decision::Deny(Denial { rule: forbidden.rule.clone(), why: Why::Forbidden });
        }
    }
    for grant in grants.iter() {
        let old = match &grant.scope {
            Scope::FsRead { root } if touches(root) => Ask::FsRead { path: from },
            Scope::FsWrite { root } if touches(root) => Ask::FsWrite { path: from },
            _ => continue,
        };
        if let Decision::Deny(denial) = decide(grants, &old)
            && stands("policy.naming")
        {
            return Decision::Deny(denial);
        }
    }
    decide(grants, &Ask::FsCreate { path: to })
}

fn deny_built_in<'g>(ask: &Ask<'_>, why: Why) -> Decision<'g> {
    let rule = Rule::built_in(format!("default-deny:{}", ask.operation()));
    Decision::Deny(Denial { rule, why })
}

pub(crate) fn covers(scope: &Scope, ask: &Ask<'_>) -> bool {
    match (scope, ask) {
        (Scope::FsRead { root }, Ask::FsRead { path })
        | (Scope::FsWrite { root }, Ask::FsWrite { path })
        | (Scope::FsCreate { root }, Ask::FsCreate { path })
        | (Scope::FsDelete { root }, Ask::FsDelete { path }) => path.below(root).is_some(),
        (Scope::Http { to }, Ask::Http { target }) => to.covers(target),
        (Scope::Secret { secret }, Ask::Secret { name, target }) => {
            secret.name() == *name && secret.to().covers(target)
        }
        (Scope::Tool { name: granted }, Ask::Tool { name })
        | (Scope::Model { name: granted }, Ask::Model { name }) => granted == name,
        (Scope::Config { key: granted }, Ask::Config { key }) => match granted.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => granted == key,
        },
        (Scope::Kv, Ask::Kv)
        | (Scope::Log, Ask::Log)
        | (Scope::Clock, Ask::Clock)
        | (Scope::Random, Ask::Random) => true,
        _ => false,
    }
}

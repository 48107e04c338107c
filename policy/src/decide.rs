use std::fmt;

use crate::{Ask, Capability, Grants, GuestPath, Rule, Scope, stands};

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
}

impl Why {
    /// What the operator can do about it.
    pub const fn next_step(self) -> &'static str {
        match self {
            Self::NothingGranted => "grant the capability if the plugin should have it",
            Self::NotCovered => "widen the grant if the plugin should reach this resource",
            Self::NeverGranted => "plugins reach the network through http, which the host does for them",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingGranted => "nothing of this capability is granted",
            Self::NotCovered => "no grant covers this resource",
            Self::NeverGranted => "no grant can allow this operation",
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
    let Some(capability) = capability(ask) else { return deny_built_in(ask, Why::NeverGranted) };
    let covers = |scope: &Scope| covers(scope, ask) || !stands("policy.scope");
    match grants
        .iter()
        .filter(|grant| grant.scope.capability() == capability)
        .find(|grant| covers(&grant.scope))
    {
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

const fn capability(ask: &Ask<'_>) -> Option<Capability> {
    Some(match ask {
        Ask::FsRead { .. } => Capability::FsRead,
        Ask::FsWrite { .. } => Capability::FsWrite,
        Ask::FsCreate { .. } => Capability::FsCreate,
        Ask::FsDelete { .. } => Capability::FsDelete,
        Ask::Http { .. } => Capability::Http,
        Ask::Secret { .. } => Capability::Secret,
        Ask::Kv => Capability::Kv,
        Ask::Config { .. } => Capability::Config,
        Ask::Log => Capability::Log,
        Ask::Clock => Capability::Clock,
        Ask::Random => Capability::Random,
        Ask::Tool { .. } => Capability::Tool,
        Ask::Model { .. } => Capability::Model,
        Ask::Socket => return None,
    })
}

fn covers(scope: &Scope, ask: &Ask<'_>) -> bool {
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

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::decide::covers;
use crate::{Ask, Capability, Grant, GuestPath, Scope, stands};

/// Lists up to this length are looked through; longer ones have an index. Looking through so many takes less time
/// than finding the way through an index.
const LOOKED_THROUGH: usize = 16;

/// Everything that a plugin may do, and what of that it may not. Empty means: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    granted: List,
    /// What a policy forbids of what is granted.
    forbidden: List,
}

impl Grants {
    /// The grants of a plugin that may do nothing.
    pub const fn none() -> Self {
        Self { granted: List::new(), forbidden: List::new() }
    }

    /// Adds one. The first that covers an ask is the one that a decision names.
    pub fn add(&mut self, grant: Grant) {
        self.granted.add(grant);
    }

    /// Takes out what a policy forbids, whatever grants it.
    pub fn forbid(&mut self, forbidden: Grant) {
        self.forbidden.add(forbidden);
    }

    /// All of them, in the order they were added.
    pub fn iter(&self) -> std::slice::Iter<'_, Grant> {
        self.granted.all.iter()
    }

    /// What is forbidden of them.
    pub fn forbidden(&self) -> std::slice::Iter<'_, Grant> {
        self.forbidden.all.iter()
    }

    /// Whether any grant of `capability` is there.
    pub fn has(&self, capability: Capability) -> bool {
        self.iter().any(|g| g.scope.capability() == capability)
    }

    /// The first grant that covers an ask.
    pub(crate) fn covering(&self, capability: Capability, ask: &Ask<'_>) -> Option<&Grant> {
        self.granted.covering(capability, ask)
    }

    /// The first rule that forbids it.
    pub(crate) fn forbidding(&self, capability: Capability, ask: &Ask<'_>) -> Option<&Grant> {
        self.forbidden.covering(capability, ask)
    }

    /// The names of the tools that may be called, in order.
    pub fn tools(&self) -> impl Iterator<Item = &str> {
        self.iter().filter_map(|grant| match &grant.scope {
            Scope::Tool { name } => Some(name.as_str()),
            _ => None,
        })
    }

    /// The names of the models that may be asked, in order.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.iter().filter_map(|grant| match &grant.scope {
            Scope::Model { name } => Some(name.as_str()),
            _ => None,
        })
    }

    /// The roots of the trees that anything is granted in, each once, in order.
    pub fn roots(&self) -> Vec<&GuestPath> {
        let mut roots = Vec::new();
        for grant in self.iter() {
            if let Scope::FsRead { root }
            | Scope::FsWrite { root }
            | Scope::FsCreate { root }
            | Scope::FsDelete { root } = &grant.scope
                && !roots.contains(&root)
            {
                roots.push(root);
            }
        }
        roots
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self { granted: grants.into_iter().collect(), forbidden: List::new() }
    }
}

/// Grants in order, and where to find them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct List {
    all: Vec<Grant>,
    #[serde(skip)]
    index: OnceLock<Box<Index>>,
}

impl List {
    const fn new() -> Self {
        Self { all: Vec::new(), index: OnceLock::new() }
    }

    fn add(&mut self, grant: Grant) {
        self.all.push(grant);
        self.index = OnceLock::new();
    }

    fn covering(&self, capability: Capability, ask: &Ask<'_>) -> Option<&Grant> {
        let covers = |grant: &&Grant| {
            grant.scope.capability() == capability && (covers(&grant.scope, ask) || !stands("policy.scope"))
        };
        if self.all.len() <= LOOKED_THROUGH || !stands("policy.scope") {
            return self.all.iter().find(covers);
        }
        let index = self.index.get_or_init(|| Box::new(Index::of(&self.all)));
        let mut first = usize::MAX;
        index.candidates(ask, |candidates| {
            let found = candidates.iter().find(|&&at| self.all.get(at).as_ref().is_some_and(covers));
            first = found.map_or(first, |&at| first.min(at));
        });
        self.all.get(first)
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl Eq for List {}

impl FromIterator<Grant> for List {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self { all: grants.into_iter().collect(), index: OnceLock::new() }
    }
}

/// Where in a list: numbers, in order.
type Places = HashMap<Box<str>, Vec<usize>>;

/// Where in a list those grants stand that may cover an ask, by the one thing that they have in common with it.
#[derive(Clone, Debug, Default)]
struct Index {
    /// Of each capability by a name, a root or a host.
    exact: [Places; Capability::ALL.len()],
    /// By what follows `*.` in a host.
    suffixes: Places,
    /// By what comes before the `*` of a key.
    prefixes: Places,
    /// The lengths that those have, each once.
    prefix_lengths: Vec<usize>,
}

impl Index {
    fn of(grants: &[Grant]) -> Index {
        let mut index = Index::default();
        for (at, Grant { scope, .. }) in grants.iter().enumerate() {
            let (places, key) = match scope {
                Scope::Http { to } if to.host().starts_with("*.") => (&mut index.suffixes, &to.host()[2..]),
                Scope::Config { key } if key.ends_with('*') => {
                    let prefix = &key[..key.len() - 1];
                    index.prefix_lengths.push(prefix.len());
                    (&mut index.prefixes, prefix)
                }
                scope => (&mut index.exact[scope.capability() as usize], common(scope)),
            };
            places.entry(key.into()).or_default().push(at);
        }
        index.prefix_lengths.sort_unstable();
        index.prefix_lengths.dedup();
        index
    }

    /// Calls `with` for each list of places where a covering grant may be.
    fn candidates(&self, ask: &Ask<'_>, mut with: impl FnMut(&[usize])) {
        let mut at = |places: &Places, key: &str| {
            if let Some(places) = places.get(key) {
                with(places);
            }
        };
        let of = |capability: Capability| &self.exact[capability as usize];
        let Some(capability) = ask.capability() else { return };
        let exact = of(capability);
        match *ask {
            Ask::FsRead { path }
            | Ask::FsWrite { path }
            | Ask::FsCreate { path }
            | Ask::FsDelete { path } => {
                let path = path.as_str();
                at(exact, "/");
                for (end, _) in path.match_indices('/').skip(1) {
                    at(exact, &path[..end]);
                }
                if path != "/" {
                    at(exact, path);
                }
            }
            Ask::Http { target } => {
                let host = target.host();
                at(exact, host);
                for (dot, _) in host.match_indices('.') {
                    at(&self.suffixes, &host[dot + 1..]);
                }
            }
            Ask::Config { key } => {
                at(exact, key);
                for &length in self.prefix_lengths.iter().take_while(|&&length| length <= key.len()) {
                    if let Some(prefix) = key.get(..length) {
                        at(&self.prefixes, prefix);
                    }
                }
            }
            Ask::Secret { name, .. } | Ask::Tool { name } | Ask::Model { name } => at(exact, name),
            Ask::Kv | Ask::Log | Ask::Clock | Ask::Random | Ask::Socket => at(exact, ""),
        }
    }
}

/// What a scope and the asks that it covers have in common, letter by letter.
fn common(scope: &Scope) -> &str {
    match scope {
        Scope::Http { to } => to.host(),
        Scope::Secret { secret } => secret.name(),
        other => other.resource().unwrap_or_default(),
    }
}

//! Made-up grants and asks, from a small world so that they meet often; and what covers what, told a
//! second time, in other words than the library's.

use proptest::prelude::*;
use stockade_policy::{Ask, Grant, Grants, GuestPath, HttpScheme, HttpTarget, Rule, Scope, Source};

#[derive(Clone, Debug)]
pub(crate) enum OwnedAsk {
    FsRead(GuestPath),
    FsWrite(GuestPath),
    FsCreate(GuestPath),
    FsDelete(GuestPath),
    Http(HttpTarget),
    Secret(String, HttpTarget),
    Kv,
    Config(String),
    Log,
    Clock,
    Random,
    Tool(String),
    Model(String),
    Socket,
}

impl OwnedAsk {
    pub(crate) fn borrow(&self) -> Ask<'_> {
        match self {
            Self::FsRead(path) => Ask::FsRead { path },
            Self::FsWrite(path) => Ask::FsWrite { path },
            Self::FsCreate(path) => Ask::FsCreate { path },
            Self::FsDelete(path) => Ask::FsDelete { path },
            Self::Http(target) => Ask::Http { target },
            Self::Secret(name, target) => Ask::Secret { name, target },
            Self::Kv => Ask::Kv,
            Self::Config(key) => Ask::Config { key },
            Self::Log => Ask::Log,
            Self::Clock => Ask::Clock,
            Self::Random => Ask::Random,
            Self::Tool(name) => Ask::Tool { name },
            Self::Model(name) => Ask::Model { name },
            Self::Socket => Ask::Socket,
        }
    }
}

pub(crate) fn guest_path() -> impl Strategy<Value = GuestPath> {
    let name = prop::sample::select(vec!["src", "srcs", "s", "a", "b", "..a", "a.", "é", "x y"]);
    prop::collection::vec(name, 0..4)
        .prop_map(|names| GuestPath::parse(&format!("/{}", names.join("/"))).unwrap())
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "a.b", "a/b#c", ""]).prop_map(str::to_owned)
}

fn secret_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "a.b"]).prop_map(str::to_owned)
}

fn host() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a.org", "x.a.org", "y.x.a.org", "xa.org", "org"]).prop_map(str::to_owned)
}

fn target() -> impl Strategy<Value = HttpTarget> {
    host().prop_map(|host| HttpTarget::parse("GET", HttpScheme::Https, &host, "/").unwrap())
}

fn pattern() -> impl Strategy<Value = String> {
    (any::<bool>(), host()).prop_map(|(star, host)| if star { format!("*.{host}") } else { host })
}

fn key_pattern() -> impl Strategy<Value = String> {
    (any::<bool>(), name()).prop_map(|(star, name)| if star { format!("{name}*") } else { name })
}

pub(crate) fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        3 => guest_path().prop_map(|root| Scope::FsRead { root }),
        1 => guest_path().prop_map(|root| Scope::FsWrite { root }),
        1 => guest_path().prop_map(|root| Scope::FsCreate { root }),
        1 => guest_path().prop_map(|root| Scope::FsDelete { root }),
        2 => pattern().prop_map(|host| Scope::Http { to: host.parse().unwrap() }),
        1 => (secret_name(), pattern())
            .prop_map(|(name, host)| Scope::Secret { secret: format!("{name}@{host}").parse().unwrap() }),
        1 => Just(Scope::Kv),
        2 => key_pattern().prop_map(|key| Scope::Config { key }),
        1 => Just(Scope::Log),
        1 => Just(Scope::Clock),
        1 => Just(Scope::Random),
        1 => name().prop_map(|name| Scope::Tool { name }),
        1 => name().prop_map(|name| Scope::Model { name }),
    ]
}

pub(crate) fn ask() -> impl Strategy<Value = OwnedAsk> {
    prop_oneof![
        3 => guest_path().prop_map(OwnedAsk::FsRead),
        1 => guest_path().prop_map(OwnedAsk::FsWrite),
        1 => guest_path().prop_map(OwnedAsk::FsCreate),
        1 => guest_path().prop_map(OwnedAsk::FsDelete),
        2 => target().prop_map(OwnedAsk::Http),
        1 => (secret_name(), target()).prop_map(|(name, target)| OwnedAsk::Secret(name, target)),
        1 => Just(OwnedAsk::Kv),
        2 => name().prop_map(OwnedAsk::Config),
        1 => Just(OwnedAsk::Log),
        1 => Just(OwnedAsk::Clock),
        1 => Just(OwnedAsk::Random),
        1 => name().prop_map(OwnedAsk::Tool),
        1 => name().prop_map(OwnedAsk::Model),
        1 => Just(OwnedAsk::Socket),
    ]
}

pub(crate) fn source() -> impl Strategy<Value = Source> {
    prop_oneof![Just(Source::CommandLine), Just(Source::Embedder)]
}

pub(crate) fn grant() -> impl Strategy<Value = Grant> {
    // Rules get numbers of their own, so that a decision which names the wrong one is noticed.
    (scope(), source(), any::<u64>())
        .prop_map(|(scope, source, id)| Grant { scope, rule: Rule { id: format!("rule-{id}"), source } })
}

pub(crate) fn grants() -> impl Strategy<Value = Grants> {
    prop::collection::vec(grant(), 0..8).prop_map(|list| list.into_iter().collect())
}

pub(crate) fn components(path: &GuestPath) -> Vec<&str> {
    path.as_str().split('/').filter(|name| !name.is_empty()).collect()
}

pub(crate) fn covered_by_the_book(scope: &Scope, ask: &OwnedAsk) -> bool {
    match (scope, ask) {
        (Scope::FsRead { root }, OwnedAsk::FsRead(path))
        | (Scope::FsWrite { root }, OwnedAsk::FsWrite(path))
        | (Scope::FsCreate { root }, OwnedAsk::FsCreate(path))
        | (Scope::FsDelete { root }, OwnedAsk::FsDelete(path)) => {
            components(path).starts_with(&components(root))
        }
        (Scope::Http { to }, OwnedAsk::Http(target)) => {
            let (pattern, host) = (to.as_str(), target.host());
            let (pattern, host): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), host.split('.').collect());
            match pattern.split_first() {
                Some((&"*", suffix)) => host.len() > suffix.len() && host.ends_with(suffix),
                _ => pattern == host,
            }
        }
        (Scope::Config { key: pattern }, OwnedAsk::Config(key)) => match pattern.chars().last() {
            Some('*') => {
                key.len() + 1 >= pattern.len() && pattern[..pattern.len() - 1] == key[..pattern.len() - 1]
            }
            _ => pattern == key,
        },
        (Scope::Secret { secret }, OwnedAsk::Secret(name, target)) => {
            let to = Scope::Http { to: secret.to().clone() };
            secret.name() == name && covered_by_the_book(&to, &OwnedAsk::Http(target.clone()))
        }
        (Scope::Tool { name: granted }, OwnedAsk::Tool(name))
        | (Scope::Model { name: granted }, OwnedAsk::Model(name)) => granted == name,
        (Scope::Kv, OwnedAsk::Kv)
        | (Scope::Log, OwnedAsk::Log)
        | (Scope::Clock, OwnedAsk::Clock)
        | (Scope::Random, OwnedAsk::Random) => true,
        _ => false,
    }
}

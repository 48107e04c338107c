use semver::{Version, VersionReq};

use crate::{Approvers, PublicKey, Request, Resolution, Scope, Source, Standard, resolve, stands};

/// Somebody's yes to exactly these scopes of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Its number in the book of approvals.
    pub number: u64,
    /// `publisher/name`.
    pub plugin: String,
    /// Which of the plugin's components.
    pub bound: Bound,
    /// Only those that this key has signed.
    pub signed_by: Option<PublicKey>,
    /// What is approved.
    pub scopes: Vec<Scope>,
    /// Who said yes.
    pub by: Vec<Person>,
    /// When it ends, in seconds since 1970.
    pub until: Option<u64>,
}

/// What an approval is bound to besides the plugin's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The component with this SHA-256, in hexadecimal: no other bytes.
    Component(String),
    /// Every component that says to be of one of these versions.
    Versions(VersionReq),
}

/// A user of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The number, by which people are told apart.
    pub uid: u32,
    /// The name that belonged to it.
    pub name: Option<String>,
}

/// Which plugin grants are weighed for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// `publisher/name`.
    pub plugin: &'a str,
    /// Its version, by its own word.
    pub version: &'a Version,
    /// SHA-256 of its component, in hexadecimal.
    pub component: &'a str,
    /// The keys that have signed it.
    pub signed_by: &'a [PublicKey],
}

impl Person {
    /// As people are named in a policy, and in records.
    pub fn as_named(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }

    fn is(&self, named: &str) -> bool {
        self.name.as_deref() == Some(named) || named.parse() == Ok(self.uid)
    }
}

impl Approvers {
    /// Whether this one may approve.
    pub fn may(&self, person: &Person) -> bool {
        self.people.is_empty()
            || self.people.iter().any(|named| person.is(named))
            || !stands("approval.people")
    }

    /// How many more of those who may approve it takes.
    pub fn lacking(&self, by: &[Person]) -> u32 {
        let mut counted: Vec<u32> =
            by.iter().filter(|person| self.may(person)).map(|person| person.uid).collect();
        counted.sort_unstable();
        if stands("approval.two") {
            counted.dedup();
        }
        self.needed.saturating_sub(u32::try_from(counted.len()).unwrap_or(u32::MAX))
    }
}

impl Approval {
    /// Whether it is one of this plugin, given by enough of those who may give it, and not over.
    pub fn holds(&self, subject: &Subject<'_>, approvers: &Approvers, now: u64) -> bool {
        let bound = match &self.bound {
            Bound::Component(digest) => digest == subject.component || !stands("approval.digest"),
            Bound::Versions(versions) => versions.matches(subject.version) || !stands("approval.versions"),
        };
        let signed = self.signed_by.is_none_or(|key| subject.signed_by.contains(&key));
        bound
            && (signed || !stands("approval.key"))
            && (self.plugin == subject.plugin || !stands("approval.plugin"))
            && (self.until.is_none_or(|until| now < until) || !stands("approval.expiry"))
            && (approvers.lacking(&self.by) == 0 || !stands("approval.needed"))
    }

    fn source(&self) -> Source {
        let names: Vec<String> = self.by.iter().map(Person::as_named).collect();
        Source::Approval { number: self.number, by: names.join(" and ") }
    }
}

/// Weighs what is asked for a plugin against what holds for it and what was approved: the whole of the way from
/// documents to grants. Total and pure; `now` is in seconds since 1970.
pub fn weigh(
    standard: &Standard,
    subject: &Subject<'_>,
    mut requests: Vec<Request>,
    approvals: &[Approval],
    now: u64,
) -> Resolution {
    let holding: Vec<&Approval> =
        approvals.iter().filter(|approval| approval.holds(subject, &standard.approvers, now)).collect();
    for request in &mut requests {
        let by_hand = matches!(request.approved_by, Some(Source::CommandLine | Source::Embedder));
        if by_hand && !standard.approvers.command_line && stands("approval.by-hand") {
            request.approved_by = None;
        }
        if request.approved_by.is_none() {
            let covers = |scope: &Scope| scope.contains(&request.scope) || !stands("approval.scope");
            let yes = holding.iter().find(|approval| approval.scopes.iter().any(covers));
            request.approved_by = yes.map(|approval| approval.source());
        }
    }
    resolve(standard, &requests)
}

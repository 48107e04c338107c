//! The organisation's policy: one document that bends what the profiles say, for all plugins of a type, of a publisher,
//! or for one.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use crate::trust::{self, Tables, Trust, TrustTable};
use crate::{
    Capability, Limit, NoKey, Pattern, PluginType, ScopeError, Source, Unit, is_name, is_plugin_name,
    is_plugin_part,
};

/// Rules of one document. Ten thousand are read in well under 50 ms; nobody reviews more.
const MAX_RULES: usize = 20_000;
/// People who may approve.
const MAX_PEOPLE: usize = 256;
/// Largest document: 8 MiB.
const MAX_DOCUMENT: usize = 8 * 1024 * 1024;
/// Longest reason of a rule, in bytes.
const MAX_WHY: usize = 1024;
const DAY: u64 = 24 * 60 * 60;

/// A checked policy document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Raised with every change of the document; 0 where there is none.
    pub version: u32,
    /// Who says yes to what is above a profile's defaults.
    pub approvals: Approvers,
    /// Whom it believes, of those who sign plugins.
    pub trust: Trust,
    /// In the order of the document.
    pub rules: Vec<PolicyRule>,
}

/// Who may approve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvers {
    /// Users of the machine, by name or number. Empty: whoever may control the host.
    pub people: Vec<String>,
    /// How many different people it takes.
    pub needed: u32,
    /// Whether a grant on the command line, in a plugin's file or by the embedding program is an approval.
    pub command_line: bool,
    /// How long an approval may hold, in seconds.
    pub longest: Option<u64>,
}

/// One rule: for which plugins, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// Its name, once in a document.
    pub id: String,
    /// Where it stands, from 1.
    pub line: u32,
    /// Why, for whoever is refused.
    pub why: Option<String>,
    /// Only plugins of this type.
    pub plugin_type: Option<PluginType>,
    /// Only plugins of this publisher.
    pub publisher: Option<String>,
    /// Only this plugin.
    pub plugin: Option<String>,
    /// Never granted, and refused where a grant would cover it.
    pub forbid: Vec<Pattern>,
    /// Takes an approval even where the profile would grant it.
    pub approve: Vec<Pattern>,
    /// For how many resources each can be granted; 0 for none.
    pub ceiling: BTreeMap<Capability, u32>,
    /// Ranges of addresses that requests may reach though they are closed to plugins.
    pub addresses: Vec<IpNet>,
    /// Instead of the profile's.
    pub limits: BTreeMap<Limit, u64>,
    /// Instead of the profile's.
    pub per_call: BTreeMap<Unit, u64>,
    /// Instead of the profile's.
    pub per_day: BTreeMap<Unit, u64>,
    /// Whether the plugin's denials are marked as observed, for whoever looks for what it needs.
    pub observe: Option<bool>,
}

/// Why a text is no policy, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {fault}")]
pub struct PolicyError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub fault: PolicyFault,
}

/// What is wrong in a policy document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFault {
    /// Not TOML, an unknown or missing key, a value of the wrong type.
    #[error("{0}")]
    Syntax(String),
    /// More than anybody reviews.
    #[error("the document has more than {0}")]
    TooLarge(&'static str),
    /// Written for another version of this program.
    #[error("policy format {0} is not known here; this version reads format 1")]
    Format(u32),
    /// Version 0 is that of no document.
    #[error("the version starts at 1")]
    Version,
    /// A rule's name.
    #[error("{0:?} is no name of a rule: letters, digits, -, _ and . are")]
    Id(String),
    /// Records could not say which.
    #[error("a rule {0:?} stands further up already")]
    DuplicateId(String),
    /// Neither `publisher/name`.
    #[error("{0:?} is no plugin's name: publisher/name is")]
    Plugin(String),
    /// No index's name.
    #[error("{0:?} is no index's name")]
    Index(String),
    /// No publisher's name.
    #[error("{0:?} is no publisher's name")]
    Publisher(String),
    /// No public key.
    #[error("{text:?}: {why}")]
    Key {
        /// What stands there.
        text: String,
        /// Why it is none.
        why: NoKey,
    },
    /// Nobody could sign.
    #[error("no key is named for {0:?}")]
    NoKeys(String),
    /// More signers than there are keys, or none.
    #[error("{needed} of {keys} keys cannot have signed")]
    Signers {
        /// How many it takes.
        needed: u32,
        /// How many there are.
        keys: usize,
    },
    /// A key that is neither a text nor a table with its end.
    #[error("it is neither a key, nor a key with the last day on which it counts")]
    Until,
    /// What is to become of publishers that are not named.
    #[error("{0:?} says nothing of other publishers")]
    Others(String),
    /// Something that cannot be revoked.
    #[error("{0:?} is neither a key nor a digest")]
    Revoked(String),
    /// A plugin of another publisher.
    #[error("{plugin:?} is no plugin of {publisher:?}: the rule would hold for none")]
    Nobody {
        /// The rule's plugin.
        plugin: String,
        /// The rule's publisher.
        publisher: String,
    },
    /// Neither a capability nor one with its resource.
    #[error(transparent)]
    Pattern(#[from] ScopeError),
    /// What takes no resource is granted once or not at all.
    #[error("{0} takes no resource: its ceiling is 0 or 1")]
    Ceiling(Capability),
    /// No range of addresses.
    #[error("{0:?} is no range of addresses")]
    Address(String),
    /// Larger than the maximum that the same rule sets.
    #[error("{0} is above its maximum")]
    Limit(Limit),
    /// A rule that says nothing.
    #[error(
        "the rule says nothing: forbid, approve, ceiling, addresses, limits, per_call, per_day or observe is missing"
    )]
    Nothing,
    /// Nobody could ever approve.
    #[error("{needed} people are needed, and {named} may approve")]
    People {
        /// How many are needed.
        needed: u32,
        /// How many are named.
        named: usize,
    },
    /// Not a user's name or number.
    #[error("{0:?} is no name or number of a user")]
    Person(String),
    /// Too long a reason.
    #[error("the reason is longer than 1024 bytes")]
    Why,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: Spanned<u32>,
    version: Spanned<u32>,
    #[serde(default)]
    approvals: ApprovalsTable,
    #[serde(default)]
    trust: Option<Spanned<TrustTable>>,
    #[serde(default)]
    publishers: Tables,
    #[serde(default)]
    indexes: Tables,
    #[serde(default)]
    rules: Vec<Spanned<RuleTable>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ApprovalsTable {
    people: Vec<Spanned<String>>,
    needed: Option<Spanned<u32>>,
    command_line: Option<bool>,
    longest_days: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    id: Spanned<String>,
    #[serde(default)]
    why: Option<Spanned<String>>,
    #[serde(rename = "type", default)]
    plugin_type: Option<PluginType>,
    #[serde(default)]
    publisher: Option<Spanned<String>>,
    #[serde(default)]
    plugin: Option<Spanned<String>>,
    #[serde(default)]
    forbid: Vec<Spanned<String>>,
    #[serde(default)]
    approve: Vec<Spanned<String>>,
    #[serde(default)]
    ceiling: BTreeMap<Capability, Spanned<u32>>,
    #[serde(default)]
    addresses: Vec<Spanned<String>>,
    #[serde(default)]
    limits: BTreeMap<Limit, u64>,
    #[serde(default)]
    per_call: BTreeMap<Unit, u64>,
    #[serde(default)]
    per_day: BTreeMap<Unit, u64>,
    #[serde(default)]
    observe: Option<bool>,
}

/// A text, and how far its lines were counted: rules stand one behind the other.
pub(crate) struct Places<'t> {
    text: &'t str,
    counted: usize,
    line: usize,
}

impl Places<'_> {
    /// The line of a place that is not before the one asked for last; of any other it is counted anew.
    pub(crate) fn line(&mut self, at: usize) -> usize {
        let at = self.text.floor_char_boundary(at);
        if at < self.counted {
            (self.counted, self.line) = (0, 1);
        }
        self.line += self.text[self.counted..at].matches('\n').count();
        self.counted = at;
        self.line
    }

    pub(crate) fn error(&mut self, at: usize, fault: PolicyFault) -> PolicyError {
        let at = self.text.floor_char_boundary(at);
        let before = &self.text[..at];
        let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
        PolicyError { line: self.line(at), column, fault }
    }
}

impl Policy {
    /// What holds where there is no document: the profiles as they are.
    pub fn built_in() -> &'static Policy {
        static BUILT_IN: LazyLock<Policy> = LazyLock::new(|| Policy {
            version: 0,
            approvals: Approvers { people: Vec::new(), needed: 1, command_line: true, longest: None },
            trust: Trust::default(),
            rules: Vec::new(),
        });
        &BUILT_IN
    }

    /// Reads and checks a document. One that says nothing at all is the built-in one.
    pub fn parse(text: &str) -> Result<Policy, PolicyError> {
        let mut places = Places { text, counted: 0, line: 1 };
        if text.len() > MAX_DOCUMENT {
            return Err(places.error(0, PolicyFault::TooLarge("8 MiB")));
        }
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Policy::built_in().clone());
        }
        let document: Document = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            places.error(at, PolicyFault::Syntax(error.message().to_owned()))
        })?;
        if *document.format.get_ref() != 1 {
            let at = document.format.span().start;
            return Err(places.error(at, PolicyFault::Format(document.format.into_inner())));
        }
        if *document.version.get_ref() == 0 {
            return Err(places.error(document.version.span().start, PolicyFault::Version));
        }
        let approvals = approvers(document.approvals, &mut places)?;
        let trust = trust::read(document.trust, (document.publishers, document.indexes), &mut places)?;
        if let Some(one_too_many) = document.rules.get(MAX_RULES) {
            return Err(places.error(one_too_many.span().start, PolicyFault::TooLarge("20000 rules")));
        }
        let mut rules = Vec::with_capacity(document.rules.len());
        let mut ids = std::collections::HashSet::with_capacity(document.rules.len());
        for table in document.rules {
            let rule = rule(table, &mut places, &mut ids)?;
            rules.push(rule);
        }
        Ok(Policy { version: document.version.into_inner(), approvals, trust, rules })
    }

    /// The rules that hold for a plugin.
    pub fn rules_for<'p>(
        &'p self,
        name: &'p str,
        plugin_type: PluginType,
    ) -> impl Iterator<Item = &'p PolicyRule> {
        self.rules.iter().filter(move |rule| rule.holds_for(name, plugin_type))
    }

    /// How records name a rule.
    pub(crate) fn source(&self, rule: &PolicyRule) -> Source {
        Source::Policy { version: self.version, id: rule.id.clone(), line: rule.line }
    }
}

impl PolicyRule {
    fn holds_for(&self, name: &str, plugin_type: PluginType) -> bool {
        self.plugin_type.is_none_or(|of| of == plugin_type)
            && self.plugin.as_deref().is_none_or(|plugin| plugin == name)
            && self
                .publisher
                .as_deref()
                .is_none_or(|of| name.strip_prefix(of).is_some_and(|rest| rest.starts_with('/')))
    }

    /// Of rules that set the same number the one that names its plugins most exactly holds.
    pub(crate) fn exactness(&self) -> (bool, bool, bool) {
        (self.plugin.is_some(), self.publisher.is_some(), self.plugin_type.is_some())
    }
}

fn approvers(table: ApprovalsTable, places: &mut Places<'_>) -> Result<Approvers, PolicyError> {
    if let Some(one_too_many) = table.people.get(MAX_PEOPLE) {
        return Err(places.error(one_too_many.span().start, PolicyFault::TooLarge("256 people")));
    }
    let mut people: Vec<String> = Vec::new();
    for person in table.people {
        if !is_name(person.get_ref()) {
            let at = person.span().start;
            return Err(places.error(at, PolicyFault::Person(person.into_inner())));
        }
        if !people.contains(person.get_ref()) {
            people.push(person.into_inner());
        }
    }
    let needed = table.needed.as_ref().map_or(1, |needed| *needed.get_ref());
    let enough = needed >= 1 && (people.is_empty() || people.len() >= needed as usize);
    if let (false, Some(at)) = (enough, &table.needed) {
        let at = at.span().start;
        return Err(places.error(at, PolicyFault::People { needed, named: people.len() }));
    }
    Ok(Approvers {
        // Who names people means them, and not whoever types a command.
        command_line: table.command_line.unwrap_or(people.is_empty() && needed == 1),
        people,
        needed,
        longest: table.longest_days.map(|days| u64::from(days) * DAY),
    })
}

fn rule(
    table: Spanned<RuleTable>,
    places: &mut Places<'_>,
    ids: &mut std::collections::HashSet<String>,
) -> Result<PolicyRule, PolicyError> {
    let span = table.span();
    let line = u32::try_from(places.line(span.start)).unwrap_or(u32::MAX);
    let table = table.into_inner();
    let patterns = |list: Vec<Spanned<String>>, places: &mut Places<'_>| {
        let parsed = list.into_iter().map(|text| {
            text.get_ref().parse::<Pattern>().map_err(|fault| places.error(text.span().start, fault.into()))
        });
        parsed.collect::<Result<Vec<_>, _>>()
    };
    if !is_name(table.id.get_ref()) {
        let at = table.id.span().start;
        return Err(places.error(at, PolicyFault::Id(table.id.into_inner())));
    }
    if !ids.insert(table.id.get_ref().clone()) {
        let at = table.id.span().start;
        return Err(places.error(at, PolicyFault::DuplicateId(table.id.into_inner())));
    }
    if let Some(why) = table.why.as_ref().filter(|why| why.get_ref().len() > MAX_WHY) {
        return Err(places.error(why.span().start, PolicyFault::Why));
    }
    if let Some(name) = table.publisher.as_ref().filter(|name| !is_plugin_part(name.get_ref())) {
        return Err(places.error(name.span().start, PolicyFault::Publisher(name.get_ref().clone())));
    }
    if let Some(name) = &table.plugin {
        if !is_plugin_name(name.get_ref()) {
            return Err(places.error(name.span().start, PolicyFault::Plugin(name.get_ref().clone())));
        }
        let of = table.publisher.as_ref().map(|publisher| publisher.get_ref().clone());
        if let Some(publisher) = of
            && !name.get_ref().starts_with(&format!("{publisher}/"))
        {
            let fault = PolicyFault::Nobody { plugin: name.get_ref().clone(), publisher };
            return Err(places.error(name.span().start, fault));
        }
    }
    let addresses = table.addresses.iter().map(|text| {
        range(text.get_ref())
            .ok_or_else(|| places.error(text.span().start, PolicyFault::Address(text.get_ref().clone())))
    });
    let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
    let mut ceiling = BTreeMap::new();
    for (capability, most) in table.ceiling {
        if !capability.takes_resource() && *most.get_ref() > 1 {
            return Err(places.error(most.span().start, PolicyFault::Ceiling(capability)));
        }
        ceiling.insert(capability, most.into_inner());
    }
    for (limit, most) in
        [(Limit::MemoryBytes, Limit::MemoryBytesMax), (Limit::DeadlineMs, Limit::DeadlineMsMax)]
    {
        if let (Some(amount), Some(most)) = (table.limits.get(&limit), table.limits.get(&most))
            && amount > most
        {
            return Err(places.error(span.start, PolicyFault::Limit(limit)));
        }
    }
    let rule = PolicyRule {
        id: table.id.into_inner(),
        line,
        why: table.why.map(Spanned::into_inner),
        plugin_type: table.plugin_type,
        publisher: table.publisher.map(Spanned::into_inner),
        plugin: table.plugin.map(Spanned::into_inner),
        forbid: patterns(table.forbid, places)?,
        approve: patterns(table.approve, places)?,
        ceiling,
        addresses,
        limits: table.limits,
        per_call: table.per_call,
        per_day: table.per_day,
        observe: table.observe,
    };
    let says_nothing = rule.forbid.is_empty()
        && rule.approve.is_empty()
        && rule.ceiling.is_empty()
        && rule.addresses.is_empty()
        && rule.limits.is_empty()
        && rule.per_call.is_empty()
        && rule.per_day.is_empty()
        && rule.observe.is_none();
    if says_nothing {
        return Err(places.error(span.start, PolicyFault::Nothing));
    }
    Ok(rule)
}

/// `10.0.0.0/8`, or one address.
fn range(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse().map(|one: std::net::IpAddr| IpNet::from(one)).ok())
}

impl PolicyFault {
    /// Stable, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "policy-syntax",
            Self::TooLarge(_) => "policy-too-large",
            Self::Format(_) => "policy-format",
            Self::Version => "policy-version",
            Self::Id(_) | Self::DuplicateId(_) => "policy-rule-id",
            Self::Plugin(_) | Self::Publisher(_) | Self::Index(_) | Self::Nobody { .. } => "policy-plugin",
            Self::Key { .. } | Self::NoKeys(_) => "policy-key",
            Self::Pattern(_) => "policy-pattern",
            Self::Ceiling(_) => "policy-ceiling",
            Self::Address(_) => "policy-address",
            Self::Limit(_) => "policy-limit",
            Self::Signers { .. } | Self::Until | Self::Others(_) | Self::Revoked(_) => "policy-trust",
            Self::Nothing => "policy-empty-rule",
            Self::People { .. } | Self::Person(_) => "policy-people",
            Self::Why => "policy-why",
        }
    }

    /// What to do about it.
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "docs/policy.md has every key and its values",
            Self::TooLarge(_) => {
                "say it with fewer rules: one for a type or a publisher holds for all of its plugins"
            }
            Self::Format(_) => "write format = 1, or use the version of Stockade that the document is for",
            Self::Version => "write version = 1, and raise it with every change",
            Self::Id(_) => "name the rule with letters and digits: records name it",
            Self::DuplicateId(_) => "give each rule a name of its own",
            Self::Plugin(_) => "write publisher/name, as the manifest has it",
            Self::Index(_) => "write what the index calls itself: its name, as in the document",
            Self::Publisher(_) => "write what stands before the / of the plugins' names",
            Self::Nobody { .. } => "leave the publisher out, or name one of its plugins",
            Self::Key { .. } => "write what stands in the publisher's file of the public key",
            Self::Signers { .. } => "need as many as there are keys, or fewer; at least one",
            Self::Until => "write the last day on which it counts, as until = 2027-06-30",
            Self::Others(_) => "write allow or refuse",
            Self::Revoked(_) => "write a public key, or sha256: and the digest of a component or a package",
            Self::NoKeys(_) => "name a key that signs for it, or leave the name out",
            Self::Pattern(_) => {
                "write a capability, as \"http\", or one with its resource, as \"http:api.example.org\""
            }
            Self::Ceiling(_) => "write 0 for never, or 1",
            Self::Address(_) => "write an address and the length of its prefix, as \"10.1.0.0/16\"",
            Self::Limit(_) => "raise the maximum as well, or lower the limit",
            Self::Nothing => "say what holds, or remove the rule",
            Self::People { .. } => "name more people, or need fewer; at least one",
            Self::Person(_) => "write the name or the number of a user of this machine",
            Self::Why => "say it shorter",
        }
    }
}

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Detail, Layer, Value};

/// One thing that happened, as the caller tells it. The log adds number, time and chain.
///
/// Secrets and payloads do not belong in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The plugin it is about, if any.
    pub plugin: Option<Arc<Plugin>>,
    /// The launch (one worker's life) that it belongs to.
    pub launch: Option<Arc<str>>,
    /// The call within the launch.
    pub call: Option<u64>,
    /// Who refused, or whose business it is.
    pub layer: Layer,
    /// What kind of thing happened: a short name, such as `refused`, `attested`, `deadline`.
    pub event: Cow<'static, str>,
    /// What was tried: a capability (`fs.read`), a syscall (`openat`), an import.
    pub operation: Cow<'static, str>,
    /// On what: a path, an authority.
    pub resource: Cow<'static, str>,
    /// How it ended.
    pub decision: Decision,
    /// The rule that decided, where one did.
    pub rule: Option<Rule>,
    /// Why, in a sentence.
    pub reason: Cow<'static, str>,
    /// What the operator can do about it.
    pub next_step: Cow<'static, str>,
    /// The rest, by event.
    pub detail: Detail,
}

/// Which plugin: the name it gives itself, and the digest that it cannot choose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// The profile that it runs under.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Which rule decided, and who made that rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The rule itself, in a form that can be found again.
    pub id: Cow<'static, str>,
    /// Where it comes from: profile, organisation, approval, command line, the seccomp filter.
    pub source: Cow<'static, str>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It was done.
    Allowed,
    /// It was refused.
    Denied,
    /// It was refused and the worker ended.
    Killed,
    /// Nothing to decide: a fact.
    Noted,
}

impl Record {
    /// A record with nothing but what it is.
    pub fn new(layer: Layer, event: impl Into<Cow<'static, str>>, decision: Decision) -> Self {
        Self {
            plugin: None,
            launch: None,
            call: None,
            layer,
            event: event.into(),
            operation: Cow::Borrowed(""),
            resource: Cow::Borrowed(""),
            decision,
            rule: None,
            reason: Cow::Borrowed(""),
            next_step: Cow::Borrowed(""),
            detail: Detail::default(),
        }
    }

    /// About this plugin.
    #[must_use]
    pub fn plugin(mut self, plugin: &Arc<Plugin>) -> Self {
        self.plugin = Some(Arc::clone(plugin));
        self
    }

    /// In this launch.
    #[must_use]
    pub fn launch(mut self, launch: impl Into<Arc<str>>) -> Self {
        self.launch = Some(launch.into());
        self
    }

    /// In this call.
    #[must_use]
    pub fn call(mut self, call: u64) -> Self {
        self.call = Some(call);
        self
    }

    /// What was tried.
    #[must_use]
    pub fn operation(mut self, operation: impl Into<Cow<'static, str>>) -> Self {
        self.operation = operation.into();
        self
    }

    /// On what.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<Cow<'static, str>>) -> Self {
        self.resource = resource.into();
        self
    }

    /// The rule that decided.
    #[must_use]
    pub fn rule(mut self, id: impl Into<Cow<'static, str>>, source: impl Into<Cow<'static, str>>) -> Self {
        self.rule = Some(Rule { id: id.into(), source: source.into() });
        self
    }

    /// Why.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = reason.into();
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn next_step(mut self, next_step: impl Into<Cow<'static, str>>) -> Self {
        self.next_step = next_step.into();
        self
    }

    /// One more detail.
    #[must_use]
    pub fn detail(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.detail.insert(key, value);
        self
    }
}

impl Plugin {
    /// A plugin's identity; `kind` is its type, which names its profile.
    pub fn new(
        name: impl Into<String>,
        version: impl Into<String>,
        digest: impl Into<String>,
        kind: impl Into<String>,
    ) -> Self {
        Self { name: name.into(), version: version.into(), digest: digest.into(), kind: kind.into() }
    }

    /// Behind an [`Arc`], as records take it.
    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}

impl Decision {
    /// Every decision.
    pub const ALL: [Self; 4] = [Self::Allowed, Self::Denied, Self::Killed, Self::Noted];

    /// Its name in a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Killed => "killed",
            Self::Noted => "noted",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

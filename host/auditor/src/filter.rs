use std::convert::Infallible;
use std::str::FromStr;

use stockade_audit::{Decision, Entry, Layer};

use crate::when::When;

/// Which records somebody wants to see: those that fit everything that is set.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Not before.
    pub since: Option<When>,
    /// Before.
    pub until: Option<When>,
    /// The plugin's name.
    pub plugin: Option<Pattern>,
    /// SHA-256 of its component.
    pub digest: Option<Pattern>,
    /// Any of these layers.
    pub layers: Vec<Layer>,
    /// The event.
    pub event: Option<Pattern>,
    /// What was tried.
    pub operation: Option<Pattern>,
    /// On what.
    pub resource: Option<Pattern>,
    /// Any of these decisions.
    pub decisions: Vec<Decision>,
    /// The id of the rule that decided.
    pub rule: Option<Pattern>,
    /// The launch.
    pub launch: Option<String>,
    /// The call within a launch.
    pub call: Option<u64>,
    /// `detail.trace`: a call with all that came of it.
    pub trace: Option<String>,
}

/// A text, or all that begin with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Exactly this.
    Exact(String),
    /// Whatever begins so.
    Prefix(String),
}

impl Pattern {
    /// Whether a text fits.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
        }
    }
}

/// A last `*` stands for any ending, and `\*` for a star.
impl FromStr for Pattern {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match (text.strip_suffix("\\*"), text.strip_suffix('*')) {
            (Some(rest), _) => Self::Exact(format!("{rest}*")),
            (None, Some(prefix)) => Self::Prefix(prefix.to_owned()),
            (None, None) => Self::Exact(text.to_owned()),
        })
    }
}

impl Filter {
    /// The flood records that may stand for records which fit.
    pub fn floods(&self) -> Self {
        Self {
            layers: vec![Layer::Log],
            event: Some(Pattern::Exact("flood".into())),
            decisions: Vec::new(),
            resource: None,
            rule: None,
            call: None,
            trace: None,
            ..self.clone()
        }
    }

    /// Whether it asks for what only single records have, and the counts of floods have not.
    pub fn is_of_single_records(&self) -> bool {
        self.event.is_some()
            || self.resource.is_some()
            || self.rule.is_some()
            || self.call.is_some()
            || self.trace.is_some()
    }

    /// Whether a record is one of those.
    pub fn matches(&self, entry: &Entry) -> bool {
        let record = &entry.record;
        let fits = |pattern: &Option<Pattern>, text: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| text.is_some_and(|text| pattern.matches(text)))
        };
        let plugin = record.plugin.as_deref();
        // All times of a log have one form, so text order is time order.
        self.since.as_ref().is_none_or(|since| entry.time.as_str() >= since.as_str())
            && self.until.as_ref().is_none_or(|until| entry.time.as_str() < until.as_str())
            && (self.layers.is_empty() || self.layers.contains(&record.layer))
            && (self.decisions.is_empty() || self.decisions.contains(&record.decision))
            && self.call.is_none_or(|call| record.call == Some(call))
            && self.launch.as_deref().is_none_or(|launch| record.launch.as_deref() == Some(launch))
            && self.trace.as_deref().is_none_or(|trace| record.detail.text(TRACE) == Some(trace))
            && fits(&self.plugin, plugin.map(|plugin| plugin.name.as_str()))
            && fits(&self.digest, plugin.map(|plugin| plugin.digest.as_str()))
            && fits(&self.event, Some(&record.event))
            && fits(&self.operation, Some(&record.operation))
            && fits(&self.resource, Some(&record.resource))
            && fits(&self.rule, record.rule.as_ref().map(|rule| rule.id.as_ref()))
    }
}

/// The detail that ties together what one call came to.
pub(crate) const TRACE: &str = "trace";

/// Reads a layer's name.
pub(crate) fn layer(name: &str) -> Result<Layer, String> {
    Layer::ALL
        .into_iter()
        .find(|layer| layer.as_str() == name)
        .ok_or_else(|| format!("one of {}", Layer::ALL.map(Layer::as_str).join(", ")))
}

/// Reads a decision's name.
pub(crate) fn decision(name: &str) -> Result<Decision, String> {
    Decision::ALL
        .into_iter()
        .find(|decision| decision.as_str() == name)
        .ok_or_else(|| format!("one of {}", Decision::ALL.map(Decision::as_str).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_star_is_any_ending_and_an_escaped_one_is_a_star() {
        let pattern = |text: &str| text.parse::<Pattern>().unwrap();
        assert_eq!(pattern("/src/*"), Pattern::Prefix("/src/".into()));
        assert_eq!(pattern(r"a\*"), Pattern::Exact("a*".into()));
        assert_eq!(pattern("*.rs"), Pattern::Exact("*.rs".into()));
        assert!(pattern("*").matches("") && !pattern("").matches("x"));
    }

    #[test]
    fn unknown_layers_and_decisions_name_the_known() {
        assert_eq!(layer("seccomp"), Ok(Layer::Seccomp));
        assert!(layer("Host").unwrap_err().contains("sigsys"));
        assert!(decision("refused").unwrap_err().contains("killed"));
    }
}

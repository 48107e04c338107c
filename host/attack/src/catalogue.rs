//! What the probe says that it can try.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stockade_audit::Layer;

use crate::came::{Expect, words};
use crate::error::AttackError;
use crate::judge::Expects;
use crate::process;

/// The program that attacks.
pub(crate) const PROBE: &str = "stockade-probe";

/// A native attack.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Attack {
    pub(crate) id: String,
    pub(crate) case: String,
    pub(crate) tries: String,
    #[serde(default = "one")]
    pub(crate) variants: usize,
    filter: String,
    #[serde(default = "works")]
    control: Expect,
    all: Expect,
    #[serde(default)]
    each: Vec<Expect>,
    landlock: Expect,
    seccomp: Expect,
    /// The layers that it makes sense in; every one where it does not say.
    layers: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) why: String,
    /// What the host's answer may take, where the attack itself takes its time.
    allowance_ms: Option<u64>,
}

/// A worker that breaks the protocol.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Peer {
    pub(crate) id: String,
    pub(crate) case: String,
    pub(crate) tries: String,
    pub(crate) when: When,
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) expect: Vec<String>,
    pub(crate) record: Option<PeerRecord>,
    #[serde(default = "five_seconds")]
    pub(crate) deadline_ms: u64,
    /// What the probe itself must say came of it, where the outcome is a value.
    pub(crate) value: Option<Value>,
    /// What an `echo` of the same plugin right afterwards must come to.
    pub(crate) next: Option<String>,
    #[serde(default)]
    pub(crate) why: String,
    allowance_ms: Option<u64>,
}

/// When it does so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum When {
    /// Before it is attested, or loaded.
    Boot,
    /// The same, in the compiler's place.
    Compile,
    /// In the middle of a call.
    Call,
}

/// The record that it must leave.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PeerRecord {
    pub(crate) layer: Layer,
    pub(crate) operation: String,
}

/// How long the host may take to answer an attack.
const ALLOWANCE: Duration = Duration::from_millis(100);

fn works() -> Expect {
    Expect::Done
}

fn one() -> usize {
    1
}

fn five_seconds() -> u64 {
    5_000
}

fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    words(&value)
        .filter(|words| !words.is_empty())
        .ok_or_else(|| serde::de::Error::custom(format!("not an outcome, nor a list of them: {value}")))
}

impl Attack {
    pub(crate) fn expects(&self) -> Expects {
        Expects {
            all: self.all.clone(),
            each: self.each.clone(),
            control: self.control.clone(),
            landlock: self.landlock.clone(),
            seccomp: self.seccomp.clone(),
        }
    }

    /// Whether it is tried outside of a worker too.
    pub(crate) fn runs_alone(&self) -> bool {
        self.layers.is_none()
    }

    /// The plugin type whose filter it meets, and whether files are granted.
    pub(crate) fn filter(&self) -> (&str, bool) {
        match self.filter.strip_suffix("+fs") {
            Some(name) => (name, true),
            None => (&self.filter, false),
        }
    }

    pub(crate) fn allowance(&self) -> Duration {
        self.allowance_ms.map_or(ALLOWANCE, Duration::from_millis)
    }
}

impl Peer {
    /// What the host's answer may take: at its deadline it needs that time, and then as long as always.
    pub(crate) fn allowance(&self) -> Duration {
        let deadline = self.expect.iter().any(|code| code == "deadline");
        let waits = if deadline { Duration::from_millis(self.deadline_ms) } else { Duration::ZERO };
        waits + self.allowance_ms.map_or(ALLOWANCE, Duration::from_millis)
    }
}

/// The probe and what it can try.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    pub(crate) probe: PathBuf,
    pub(crate) attacks: Vec<Attack>,
    pub(crate) peers: Vec<Peer>,
}

impl Catalogue {
    /// Asks the probe of a programs folder; none where there is no probe.
    pub(crate) fn of(programs: &Path) -> Result<Option<Catalogue>, AttackError> {
        let probe = programs.join(PROBE);
        if !probe.exists() {
            return Ok(None);
        }
        let (attacks, peers) = (list(&probe, "list")?, list(&probe, "peers")?);
        Ok(Some(Catalogue { probe, attacks, peers }))
    }
}

fn list<T: DeserializeOwned>(probe: &Path, what: &str) -> Result<Vec<T>, AttackError> {
    let wrong = |problem: String| AttackError::Catalogue { problem: format!("{what}: {problem}") };
    let output = process::output(probe, &[what]).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&output).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_is_read_with_and_without_what_is_optional() {
        let text = r#"{"id":"A1.x","case":"A1","tries":"x()","variants":3,"uses_victim":false,"filter":"node+fs",
            "all":{"call":"x"},"seccomp":"any","landlock":{"refused":["EACCES"]},"why":"because"}"#;
        let attack: Attack = serde_json::from_str(text).unwrap();
        assert_eq!((attack.variants, attack.filter(), attack.why.as_str()), (3, ("node", true), "because"));
        assert_eq!(attack.allowance(), ALLOWANCE);
        let text = r#"{"id":"A1.x","case":"A1","tries":"x()","filter":"node","all":"done","seccomp":"any",
            "landlock":"any","allowance_ms":500}"#;
        let attack: Attack = serde_json::from_str(text).unwrap();
        assert_eq!((attack.variants, attack.filter()), (1, ("node", false)));
        assert_eq!(attack.allowance(), Duration::from_millis(500));
        assert_eq!((attack.expects().control, attack.runs_alone()), (Expect::Done, true));
        let text = r#"{"id":"A57.x","case":"A57","tries":"x","filter":"node","all":"signal:SIGSYS","seccomp":"any",
            "landlock":"any","variants":2,"each":["done","signal:SIGSYS"],"layers":["all"],"control":"ended"}"#;
        let attack: Attack = serde_json::from_str(text).unwrap();
        assert_eq!((attack.expects().variant(0), attack.runs_alone()), (&Expect::Done, false));
    }

    #[test]
    fn a_peer_that_must_meet_its_deadline_has_the_time_for_it() {
        let text = r#"{"id":"B2.x","case":"B2","tries":"x","when":"call","expect":["deadline"],
            "record":{"layer":"limits","operation":"call"},"deadline_ms":300}"#;
        let peer: Peer = serde_json::from_str(text).unwrap();
        assert_eq!(peer.allowance(), Duration::from_millis(400));
        let text = r#"{"id":"B1.x","case":"B1","tries":"x","when":"boot","expect":"not-attested"}"#;
        let peer: Peer = serde_json::from_str(text).unwrap();
        assert_eq!((peer.allowance(), peer.deadline_ms, peer.when), (ALLOWANCE, 5000, When::Boot));
        assert!(serde_json::from_str::<Peer>(&text.replace("\"not-attested\"", "[]")).is_err());
    }
}

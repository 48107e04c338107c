//! What came of an attempt, and what must come of it.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// The attacker got what it wanted.
    Done,
    /// The kernel refused, with this errno.
    Refused(String),
    /// The filter stopped the call.
    Stopped(String),
    /// A signal was the end.
    Signal(String),
    /// The host ended it or refused it, with this code of an outcome or an error.
    Ended(String),
    /// It cannot be tried here.
    Unavailable(String),
    /// Something that nobody can judge.
    Unclear(String),
}

/// What must come of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// The filter stops one of these calls.
    Stopped(Vec<String>),
    /// One of these errnos.
    Refused(Vec<String>),
    /// This signal is the end.
    Signal(String),
    /// The host ends it or refuses it with one of these codes.
    Ended(Vec<String>),
    /// It works, and that is documented.
    Done,
    /// One of these.
    OneOf(Vec<Expect>),
    /// Whatever: it is shown, not judged.
    Any,
}

impl Expect {
    pub(crate) fn meets(&self, came: &Came) -> bool {
        match (self, came) {
            (Self::Any, _) | (Self::Done, Came::Done) => true,
            (Self::Stopped(calls), Came::Stopped(call)) => calls.contains(call),
            (Self::Refused(errnos), Came::Refused(errno)) => errnos.contains(errno),
            (Self::Signal(wanted), Came::Signal(signal)) => wanted == signal,
            (Self::Ended(codes), Came::Ended(code)) => codes.contains(code),
            (Self::OneOf(several), came) => several.iter().any(|one| one.meets(came)),
            _ => false,
        }
    }
}

impl<'de> Deserialize<'de> for Expect {
    /// As the probe writes it: `{"call": "openat"}`, `{"refused": ["EACCES"]}`, `"signal:SIGSEGV"`, `"ended"`,
    /// `"deadline"`, `"done"`, `"any"`, or a list of these, any of which will do.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format!("nothing to expect: {value}"));
        match &value {
            Value::String(word) => Ok(match word.as_str() {
                "done" => Self::Done,
                "any" => Self::Any,
                "deadline" => Self::Ended(vec![DEADLINE.to_owned()]),
                "ended" => Self::Ended(vec![DIED.to_owned()]),
                word => match word.strip_prefix("signal:") {
                    Some(signal) => Self::Signal(signal.to_owned()),
                    None => return Err(unknown()),
                },
            }),
            Value::Object(members) if members.len() == 1 => {
                let (key, value) = members.iter().next().ok_or_else(unknown)?;
                let words = words(value).filter(|words| !words.is_empty()).ok_or_else(unknown)?;
                match key.as_str() {
                    "call" => Ok(Self::Stopped(words)),
                    "refused" => Ok(Self::Refused(words)),
                    _ => Err(unknown()),
                }
            }
            Value::Array(several) if !several.is_empty() => {
                let each = several.iter().map(|one| Self::deserialize(one.clone()));
                each.collect::<Result<_, _>>().map(Self::OneOf).map_err(serde::de::Error::custom)
            }
            _ => Err(unknown()),
        }
    }
}

/// The host's code for a call that was not over in time.
pub(crate) const DEADLINE: &str = "deadline";
/// The host's code for a worker that ended by itself.
pub(crate) const DIED: &str = "worker-died";

/// One text, or a list of them.
pub(crate) fn words(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(word) => Some(vec![word.clone()]),
        Value::Array(words) => words.iter().map(|word| Some(word.as_str()?.to_owned())).collect(),
        _ => None,
    }
}

/// What the probe says, also where it stands in the JSON text that a tool of the stand-in returns.
pub(crate) fn said(text: &str) -> Option<Value> {
    match serde_json::from_str(text).ok()? {
        Value::String(inner) => serde_json::from_str(&inner).ok(),
        other => Some(other),
    }
}

impl Came {
    /// Reads what the probe says: `{"outcome": "refused", "errno": "EPERM"}`.
    pub(crate) fn read(text: &str) -> Self {
        let unclear =
            || Self::Unclear(format!("the probe said {}", text.chars().take(200).collect::<String>()));
        let Some(value) = said(text) else { return unclear() };
        let word = |key: &str| value[key].as_str().map(str::to_owned);
        let came = match value["outcome"].as_str() {
            Some("done") => Some(Self::Done),
            Some("refused") => word("errno").map(Self::Refused),
            Some("notified") => word("call").map(Self::Stopped),
            Some("signal") => word("signal").map(Self::Signal),
            Some("hung") => Some(Self::Ended(DEADLINE.to_owned())),
            Some("ended") => Some(Self::Ended(DIED.to_owned())),
            Some("unavailable") => word("why").map(Self::Unavailable),
            _ => None,
        };
        came.unwrap_or_else(unclear)
    }
}

impl fmt::Display for Came {
    /// In a word, for a column.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Refused(word) | Self::Stopped(word) | Self::Signal(word) | Self::Ended(word) => {
                f.write_str(word)
            }
            Self::Unavailable(_) => f.write_str("n/a"),
            Self::Unclear(_) => f.write_str("unclear"),
        }
    }
}

impl Came {
    /// In a clause, for a sentence: it ...
    pub(crate) fn clause(&self) -> String {
        match self {
            Self::Done => "worked".to_owned(),
            Self::Refused(errno) => format!("was refused with {errno}"),
            Self::Stopped(call) => format!("was stopped at {call}"),
            Self::Signal(signal) => format!("ended with {signal}"),
            Self::Ended(code) => format!("was answered with {code}"),
            Self::Unavailable(why) => format!("cannot be tried: {why}"),
            Self::Unclear(what) => format!("came to nothing that can be judged: {what}"),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(calls) => write!(f, "be stopped at {}", calls.join(" or ")),
            Self::Refused(errnos) => write!(f, "be refused with {}", errnos.join(" or ")),
            Self::Signal(signal) => write!(f, "end with {signal}"),
            Self::Ended(codes) => write!(f, "be answered with {}", codes.join(" or ")),
            Self::Done => f.write_str("work"),
            Self::OneOf(several) => {
                let several: Vec<String> = several.iter().map(ToString::to_string).collect();
                f.write_str(&several.join(", or "))
            }
            Self::Any => f.write_str("come to anything"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(text: &str) -> Result<Expect, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn expectations_are_read_as_the_probe_writes_them() {
        assert_eq!(expect(r#"{"call":"openat"}"#).unwrap(), Expect::Stopped(vec!["openat".into()]));
        assert_eq!(expect(r#"{"call":["a","b"]}"#).unwrap(), Expect::Stopped(vec!["a".into(), "b".into()]));
        assert_eq!(expect(r#"{"refused":["EACCES"]}"#).unwrap(), Expect::Refused(vec!["EACCES".into()]));
        assert_eq!(expect(r#""signal:SIGSYS""#).unwrap(), Expect::Signal("SIGSYS".into()));
        assert_eq!(expect(r#""signal:SIGILL""#).unwrap(), Expect::Signal("SIGILL".into()));
        assert_eq!(expect(r#""deadline""#).unwrap(), Expect::Ended(vec!["deadline".into()]));
        assert_eq!(expect(r#""ended""#).unwrap(), Expect::Ended(vec!["worker-died".into()]));
        let several = Expect::OneOf(vec![Expect::Done, Expect::Stopped(vec!["a".into()])]);
        assert_eq!(expect(r#"["done",{"call":"a"}]"#).unwrap(), several);
        assert!(several.meets(&Came::Done) && several.meets(&Came::Stopped("a".into())));
        assert!(!several.meets(&Came::Stopped("b".into())));
        assert_eq!(expect(r#""done""#).unwrap(), Expect::Done);
        assert_eq!(expect(r#""any""#).unwrap(), Expect::Any);
    }

    #[test]
    fn what_expects_nothing_is_no_expectation() {
        for text in [r#""""#, r#""whatever""#, "{}", r#"{"call":[]}"#, r#"{"call":[1]}"#, "null", "[]"] {
            assert!(expect(text).is_err(), "{text}");
        }
        assert!(expect(r#"{"call":"a","refused":"b"}"#).is_err());
    }

    #[test]
    fn outcomes_are_read_as_the_probe_writes_them() {
        assert_eq!(Came::read(r#"{"outcome":"done"}"#), Came::Done);
        assert_eq!(Came::read(r#"{"outcome":"refused","errno":"EPERM"}"#), Came::Refused("EPERM".into()));
        assert_eq!(Came::read(r#"{"outcome":"notified","call":"bpf"}"#), Came::Stopped("bpf".into()));
        assert_eq!(Came::read(r#"{"outcome":"signal","signal":"SIGSYS"}"#), Came::Signal("SIGSYS".into()));
        assert_eq!(Came::read(r#""{\"outcome\":\"done\"}""#), Came::Done);
        assert_eq!(Came::read(r#"{"outcome":"hung"}"#), Came::Ended("deadline".into()));
        assert_eq!(Came::read(r#"{"outcome":"ended","code":3}"#), Came::Ended("worker-died".into()));
        assert_eq!(Came::read(r#"{"outcome":"unavailable","why":"x"}"#), Came::Unavailable("x".into()));
    }

    #[test]
    fn what_is_no_outcome_is_unclear_and_meets_nothing() {
        for text in ["", "done", r#"{"outcome":"refused"}"#, r#"{"outcome":"won"}"#, r#"{"unknown":{}}"#] {
            let came = Came::read(text);
            assert!(matches!(came, Came::Unclear(_)), "{text}");
            assert!(!Expect::Done.meets(&came) && !Expect::Refused(vec!["EPERM".into()]).meets(&came));
        }
    }

    #[test]
    fn an_expectation_is_met_by_nothing_but_itself() {
        let openat = Expect::Stopped(vec!["openat".into()]);
        assert!(openat.meets(&Came::Stopped("openat".into())));
        assert!(!openat.meets(&Came::Stopped("open".into())));
        assert!(!openat.meets(&Came::Refused("openat".into())));
        assert!(!openat.meets(&Came::Done));
        assert!(!Expect::Signal("SIGSYS".into()).meets(&Came::Signal("SIGKILL".into())));
        assert!(!Expect::Done.meets(&Came::Refused("EPERM".into())));
        assert!(Expect::Any.meets(&Came::Done));
    }
}

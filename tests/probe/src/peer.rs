//! Group B: speaking the protocol wrongly. Every way is one [`Entry`] with what must come of it, so that
//! whoever runs them needs to know nothing else.

mod boot;
mod calls;
mod compiler;
mod descriptors;
mod frames;
mod loading;
mod start;
mod wire;
mod world;

use std::process::ExitCode;

use serde_json::{Value, json};
use stockade_ipc::Call;
use stockade_seal::{Channel, SealError};

use start::Step;
use wire::Peer;

/// One misbehaviour.
pub(crate) struct Entry {
    id: String,
    tries: String,
    expect: &'static [&'static str],
    record: Option<[String; 2]>,
    deadline_ms: u64,
    allowance_ms: Option<u64>,
    why: &'static str,
    value: Option<Value>,
    next: Option<&'static str>,
    act: Act,
}

/// How it is done.
enum Act {
    /// In a call: these bytes, made for the call of this number, and then silence.
    Bytes(Box<dyn Fn(u64) -> Vec<u8>>),
    /// In a call: this, whose outcome is returned like any other.
    Do(Box<dyn Fn(&mut Peer) -> Value>),
    /// In the worker's place, from the program's first instruction on: these steps.
    Boot(Vec<Step>),
    /// In the compiler's place.
    Compile(Vec<Step>),
}

/// The wall clock that a call gets where the entry does not turn on it.
const DEADLINE_MS: u64 = 5_000;
/// What loading may take, which is two programs started and a component compiled, on a busy machine.
const LOAD_MS: u64 = 500;
/// The one of entries that are ended by it.
const SHORT_MS: u64 = 400;

impl Entry {
    fn new(id: impl Into<String>, tries: impl Into<String>, act: Act) -> Entry {
        Entry {
            id: id.into(),
            tries: tries.into(),
            expect: &["value"],
            record: None,
            deadline_ms: DEADLINE_MS,
            allowance_ms: None,
            why: "",
            value: None,
            next: None,
            act,
        }
    }

    /// Bytes that are a breach of the protocol.
    fn fault(
        id: impl Into<String>,
        tries: impl Into<String>,
        bytes: impl Fn(u64) -> Vec<u8> + 'static,
    ) -> Entry {
        Entry::new(id, tries, Act::Bytes(Box::new(bytes))).faulty()
    }

    /// Something that ends with a value.
    fn act(
        id: impl Into<String>,
        tries: impl Into<String>,
        act: impl Fn(&mut Peer) -> Value + 'static,
    ) -> Entry {
        Entry::new(id, tries, Act::Do(Box::new(act)))
    }

    /// Steps that must not get as far as a call.
    fn boot(id: impl Into<String>, tries: impl Into<String>, steps: Vec<Step>) -> Entry {
        Entry::new(id, tries, Act::Boot(steps))
            .expect(&["not-attested"])
            .record("launch", "launch")
            .within(LOAD_MS)
    }

    /// Steps of a compiler that does not finish as one.
    fn compile(id: impl Into<String>, tries: impl Into<String>, steps: Vec<Step>) -> Entry {
        Entry::new(id, tries, Act::Compile(steps))
            .expect(&["not-attested"])
            .record("limits", "compile")
            .within(LOAD_MS)
    }

    fn faulty(self) -> Entry {
        self.expect(&["protocol-fault"]).record("host", "ipc")
    }

    /// It is over only at the deadline.
    fn too_late(self) -> Entry {
        let late = self.expect(&["deadline"]).record("limits", "call");
        Entry { deadline_ms: SHORT_MS, ..late }
    }

    fn stopped_at(self, call: &str) -> Entry {
        self.expect(&["forbidden-call"]).record("seccomp", call)
    }

    fn expect(self, expect: &'static [&'static str]) -> Entry {
        Entry { expect, ..self }
    }

    fn record(self, layer: &str, operation: &str) -> Entry {
        Entry { record: Some([layer.to_owned(), operation.to_owned()]), ..self }
    }

    fn unrecorded(self) -> Entry {
        Entry { record: None, ..self }
    }

    /// How long the host may take to answer, where the misbehaviour itself takes its time.
    fn within(self, allowance_ms: u64) -> Entry {
        Entry { allowance_ms: Some(allowance_ms), ..self }
    }

    fn why(self, why: &'static str) -> Entry {
        Entry { why, ..self }
    }

    /// The value that must come back.
    fn value(self, value: Value) -> Entry {
        Entry { value: Some(value), ..self }
    }

    /// What the call after it must come to.
    fn next(self, code: &'static str) -> Entry {
        Entry { next: Some(code), ..self }
    }

    fn json(&self) -> Value {
        let case = self.id.split('.').next().unwrap_or_default();
        let when = match self.act {
            Act::Boot(_) => "boot",
            Act::Compile(_) => "compile",
            Act::Bytes(_) | Act::Do(_) => "call",
        };
        let mut entry = json!({
            "id": self.id,
            "case": case,
            "tries": self.tries,
            "when": when,
            "expect": self.expect,
            "deadline_ms": self.deadline_ms,
        });
        if let Some([layer, operation]) = &self.record {
            entry["record"] = json!({ "layer": layer, "operation": operation });
        }
        if let Some(value) = &self.value {
            entry["value"] = value.clone();
        }
        if let Some(allowance_ms) = self.allowance_ms {
            entry["allowance_ms"] = json!(allowance_ms);
        }
        if let Some(next) = self.next {
            entry["next"] = json!(next);
        }
        if !self.why.is_empty() {
            entry["why"] = json!(self.why);
        }
        entry
    }
}

fn catalogue() -> Vec<Entry> {
    let rooms = [
        frames::entries(),
        calls::entries(),
        compiler::entries(),
        descriptors::entries(),
        boot::entries(),
        loading::entries(),
        world::entries(),
    ];
    rooms.into_iter().flatten().collect()
}

/// Prints every entry of the group.
pub(crate) fn list() -> ExitCode {
    println!("{}", Value::Array(catalogue().iter().map(Entry::json).collect()));
    ExitCode::SUCCESS
}

/// Bytes in the program that whoever copies it may write a misbehaviour's id into, behind the `=`.
static MARKER: [u8; 64] = {
    let mut marker = [0; 64];
    let (name, mut at) = (b"STOCKADE-PROBE-BOOT=", 0);
    while at < name.len() {
        marker[at] = name[at];
        at += 1;
    }
    marker
};
const NAME: usize = b"STOCKADE-PROBE-BOOT=".len();

/// The misbehaviour that is written into this copy of the program, if any.
pub(crate) fn at_boot() -> Option<String> {
    // SAFETY: a static is there, whole and aligned. JUSTIFICATION: the program's file may hold another value
    // than the compiler saw, so it must not reason about it.
    let marker = unsafe { (&raw const MARKER).read_volatile() };
    let id: Vec<u8> = marker[NAME..].iter().copied().take_while(|&byte| byte != 0).collect();
    (!id.is_empty()).then(|| String::from_utf8_lossy(&id).into_owned())
}

/// Misbehaves from the first instruction on.
pub(crate) fn boot(misbehaviour: &str) -> Result<(), SealError> {
    let entry = catalogue().into_iter().find(|entry| entry.id == misbehaviour);
    match entry.map(|entry| entry.act) {
        Some(Act::Boot(steps) | Act::Compile(steps)) => start::run(&steps),
        _ => wire::end(2),
    }
}

/// Misbehaves in the middle of a call.
pub(crate) fn misbehave(_: &mut Channel, call: &Call, arguments: &Value) -> Result<Value, SealError> {
    // Through a tool whose one parameter is a text, the arguments come as a text.
    let inner = arguments["arguments"].as_str().and_then(|text| serde_json::from_str(text).ok());
    let arguments: &Value = inner.as_ref().unwrap_or(arguments);
    let id = arguments["id"].as_str().unwrap_or_default();
    let mut peer = Peer::new(call.call);
    let Some(entry) = catalogue().into_iter().find(|entry| entry.id == id) else {
        return Ok(json!({ "unknown": id }));
    };
    match entry.act {
        Act::Bytes(bytes) => {
            peer.write(&bytes(call.call));
            wire::sleep()
        }
        Act::Do(act) => Ok(Value::String(act(&mut peer).to_string())),
        Act::Boot(_) | Act::Compile(_) => Ok(json!({ "unknown": id })),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn entries_have_ids_of_their_own_that_fit_the_marker_and_short_words() {
        let mut ids = HashSet::new();
        for entry in catalogue() {
            assert!(entry.id.contains('.') && entry.id.starts_with(['A', 'B']), "{}", entry.id);
            assert!(entry.id.len() < MARKER.len() - NAME, "{} is too long", entry.id);
            assert!(entry.tries.chars().count() <= 60, "{}: {:?} is too long", entry.id, entry.tries);
            assert!(!entry.expect.is_empty());
            assert!(ids.insert(entry.id.clone()), "{} is there twice", entry.id);
        }
    }
}

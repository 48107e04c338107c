//! Components are written as text, compiled by the settings that both programs share, and run with a host
//! that only takes notes.

mod calls;
mod imports;
mod values;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use stockade_ipc::{Answer, Call, Outcome, ToHost, ToWorker};
use stockade_policy::{Grant, Grants, Rule, Scope, Source};
use stockade_seal::SealError;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::WorkerError;
use crate::fs::Quota;
use crate::state::{Host, State};
use crate::tool::{Linked, Plugin};

fn engine() -> Engine {
    Engine::new(&crate::engine::config()).unwrap()
}

fn component(text: &str) -> Component {
    Component::new(&engine(), wat::parse_str(text).unwrap()).unwrap()
}

fn link_error(text: &str) -> String {
    match Linked::new(&component(text), None) {
        Ok(_) => panic!("it links"),
        Err(WorkerError::Rejected(rejected)) => rejected.message,
        Err(other) => panic!("{other}"),
    }
}

/// A host that writes down what it hears and says what it was given.
#[derive(Clone, Default)]
struct Notes {
    heard: Arc<Mutex<Vec<ToHost>>>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Host for Notes {
    fn tell(&mut self, message: &ToHost) -> Result<(), SealError> {
        self.heard.lock().unwrap().push(message.clone());
        Ok(())
    }

    fn hear(&mut self, _: bool) -> Result<(ToWorker, Vec<OwnedFd>), SealError> {
        Ok((self.answers.lock().unwrap().remove(0).into(), Vec::new()))
    }
}

impl Notes {
    /// Operation, resource and rule of every refusal so far.
    fn refusals(&self) -> Vec<(String, String, String)> {
        let heard = self.heard.lock().unwrap();
        let refused = heard.iter().filter_map(|message| match message {
            ToHost::Refused(r) => Some((r.operation.clone(), r.resource.clone(), r.rule.to_string())),
            _ => None,
        });
        refused.collect()
    }

    fn lines(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let lines = heard.iter().filter_map(|message| match message {
            ToHost::Log(log) => Some(log.line.clone()),
            _ => None,
        });
        lines.collect()
    }
}

fn plugin(text: &str, grants: &[Scope], reuse: bool) -> (Plugin, Notes) {
    let rule = Rule { id: "test".to_owned(), source: Source::Embedder };
    let grants: Grants =
        grants.iter().map(|scope| Grant { scope: scope.clone(), rule: rule.clone() }).collect();
    let notes = Notes::default();
    let state = State::new(Box::new(notes.clone()), grants, 1 << 20, Quota::none());
    let linked = Linked::new(&component(text), None).map_err(|e| e.to_string()).unwrap();
    (Plugin::new(linked, reuse, state), notes)
}

fn call(plugin: &mut Plugin, tool: &str, arguments: &str) -> Outcome {
    plugin.call(&Call { call: 1, tool: tool.to_owned(), arguments: arguments.to_owned() })
}

fn trap_code(outcome: Outcome) -> String {
    match outcome {
        Outcome::Trap(trap) => trap.code,
        other => panic!("{other:?}"),
    }
}

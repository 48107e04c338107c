//! Running a tool: an instance, its arguments, its result.

use stockade_ipc::bounds::{PAYLOAD, TEXT};
use stockade_ipc::{Call, CompileFault, Outcome, ToolError};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentType, Instance, InstancePre, Lift, Type, Val,
};
use wasmtime::{Engine, Store};

use crate::error::{WorkerError, cut, too_many, trap};
use crate::json::{self, Unwritten};
use crate::link::link;
use crate::state::State;

/// What one crossing from the guest may carry, counted as the engine counts: a list of numbers whose JSON
/// just fits the payload, two bytes for each, takes a whole [`Val`] for each on this side.
const CROSSING: usize = PAYLOAD / 2 * size_of::<Val>() + PAYLOAD;

/// `tool-error` of the contract.
#[derive(ComponentType, Lift)]
#[component(variant)]
enum Failure {
    #[component(name = "unknown-tool")]
    UnknownTool(String),
    #[component(name = "invalid-arguments")]
    InvalidArguments(String),
    #[component(name = "denied")]
    Denied(String),
    #[component(name = "failed")]
    Failed(String),
}

type Answer = (Result<String, Failure>,);

/// A component whose imports are linked and whose tools can be found.
pub(crate) struct Linked {
    component: InstancePre<State>,
    /// `call` of the tool interface; none where every exported function is a tool.
    tool: Option<ComponentExportIndex>,
    /// Exported functions that were called: their types take longer to put together than many a call does.
    functions: Vec<Function>,
}

struct Function {
    name: String,
    ty: ComponentFunc,
    index: ComponentExportIndex,
}

/// A loaded plugin.
pub(crate) struct Plugin {
    linked: Linked,
    reuse: bool,
    rest: Rest,
}

/// What lives between calls.
enum Rest {
    /// The state alone; the next call gets a fresh instance.
    State(Box<State>),
    /// The instance too.
    Instance(Box<Store<State>>, Instance),
    /// The instance's memory, until it is given back: whoever waits for the outcome need not wait for that.
    Spent(Box<Store<State>>),
    /// Taken by the call that runs.
    Busy,
}

impl Linked {
    pub(crate) fn new(component: &Component, tool_interface: Option<&str>) -> Result<Linked, WorkerError> {
        let tool = tool_interface
            .map(|interface| {
                let instance = component.get_export_index(None, interface)?;
                component.get_export_index(Some(&instance), "call")
            })
            .map(|found| {
                found.ok_or_else(|| WorkerError::rejected(CompileFault::Artifact, "no tool interface"))
            })
            .transpose()?;
        Ok(Linked { component: link(component)?, tool, functions: Vec::new() })
    }

    fn function(&mut self, name: &str) -> Option<&Function> {
        let at = match self.functions.iter().position(|function| function.name == name) {
            Some(at) => at,
            None => {
                let (item, index) = self.component.component().get_export(None, name)?;
                let ComponentItem::ComponentFunc(ty) = item else { return None };
                self.functions.push(Function { name: name.to_owned(), ty, index });
                self.functions.len() - 1
            }
        };
        self.functions.get(at)
    }
}

impl Plugin {
    pub(crate) fn new(linked: Linked, reuse: bool, state: State) -> Plugin {
        Plugin { linked, reuse, rest: Rest::State(Box::new(state)) }
    }

    /// Runs one call. What the guest printed is sent before its outcome is, which the caller sends before
    /// [`clear`](Self::clear).
    pub(crate) fn call(&mut self, call: &Call) -> Outcome {
        self.clear();
        let (mut store, instance) = match std::mem::replace(&mut self.rest, Rest::Busy) {
            Rest::Instance(store, instance) => (store, Some(instance)),
            Rest::State(state) => (new_store(self.linked.component.engine(), *state), None),
            Rest::Spent(_) | Rest::Busy => unreachable!("calls do not overlap"),
        };
        let run = instance.map_or_else(|| self.linked.component.instantiate(&mut *store), Ok);
        let run = run.and_then(|instance| Ok((instance, self.run(&mut store, instance, call)?)));
        if let Some(count) = run.as_ref().err().and_then(too_many) {
            store.data_mut().over(count, "memory:instances");
        }
        store.data_mut().flush();
        let (instance, outcome) = match run {
            Ok((instance, outcome)) => (Some(instance).filter(|_| self.reuse), outcome),
            Err(error) => (None, Outcome::Trap(trap(&error))),
        };
        self.rest = match instance {
            Some(instance) => Rest::Instance(store, instance),
            None => Rest::Spent(store),
        };
        outcome
    }

    /// Lets go of an instance that has had its call.
    pub(crate) fn clear(&mut self) {
        self.rest = match std::mem::replace(&mut self.rest, Rest::Busy) {
            Rest::Spent(store) => {
                let mut state = store.into_data();
                state.renew();
                Rest::State(Box::new(state))
            }
            other => other,
        };
    }

    /// What the host is told with, between calls.
    pub(crate) fn state(&mut self) -> &mut State {
        match &mut self.rest {
            Rest::State(state) => state,
            Rest::Instance(store, _) | Rest::Spent(store) => store.data_mut(),
            Rest::Busy => unreachable!("between calls nothing runs"),
        }
    }

    fn run(
        &mut self,
        store: &mut Store<State>,
        instance: Instance,
        call: &Call,
    ) -> wasmtime::Result<Outcome> {
        if call.tool.is_empty() {
            return Ok(Outcome::Value("null".to_owned()));
        }
        let Some(tool) = &self.linked.tool else { return self.run_function(store, instance, call) };
        let function = instance.get_typed_func::<(&str, &str), Answer>(&mut *store, tool)?;
        let (answer,) = function.call(store, (&call.tool, &call.arguments))?;
        let cut = |text| cut(text, TEXT);
        Ok(match answer {
            Ok(text) if text.len() > PAYLOAD => too_large(),
            Ok(text) => Outcome::Value(text),
            Err(failure) => Outcome::Error(match failure {
                Failure::UnknownTool(text) => ToolError::UnknownTool(cut(text)),
                Failure::InvalidArguments(text) => ToolError::InvalidArguments(cut(text)),
                Failure::Denied(text) => ToolError::Denied(cut(text)),
                Failure::Failed(text) => ToolError::Failed(cut(text)),
            }),
        })
    }

    fn run_function(
        &mut self,
        store: &mut Store<State>,
        instance: Instance,
        call: &Call,
    ) -> wasmtime::Result<Outcome> {
        let Some(Function { ty, index, .. }) = self.linked.function(&call.tool) else {
            let message = format!("the component exports no function {:?}", call.tool);
            return Ok(Outcome::Error(ToolError::UnknownTool(cut(message, TEXT))));
        };
        let arguments = match json::arguments(&call.arguments, ty.params()) {
            Ok(arguments) => arguments,
            Err(misfit) => {
                return Ok(Outcome::Error(ToolError::InvalidArguments(cut(misfit.to_string(), TEXT))));
            }
        };
        let Some(function) = instance.get_func(&mut *store, *index) else {
            wasmtime::bail!("the exported function is not there");
        };
        let mut results = vec![Val::Bool(false); ty.results().len()];
        function.call(store, &arguments, &mut results)?;
        Ok(outcome(ty, results))
    }
}

/// The outcome of an exported function. Its own `result` is the call's.
fn outcome(ty: &ComponentFunc, results: Vec<Val>) -> Outcome {
    let own = matches!(ty.results().next(), Some(Type::Result(_)));
    let result = results.into_iter().next();
    match (own, result) {
        (true, Some(Val::Result(Err(error)))) => match json::text(error.as_deref(), PAYLOAD) {
            Ok(text) => Outcome::Error(ToolError::Failed(cut(text, TEXT))),
            Err(unwritten) => not_written(unwritten),
        },
        (true, Some(Val::Result(Ok(value)))) => value_outcome(value.as_deref()),
        (_, value) => value_outcome(value.as_ref()),
    }
}

fn value_outcome(value: Option<&Val>) -> Outcome {
    json::text(value, PAYLOAD).map_or_else(not_written, Outcome::Value)
}

fn not_written(unwritten: Unwritten) -> Outcome {
    match unwritten {
        Unwritten::TooLong => too_large(),
        Unwritten::NoForm(why) => Outcome::Error(ToolError::Failed(cut(format!("the result: {why}"), TEXT))),
    }
}

fn too_large() -> Outcome {
    Outcome::Error(ToolError::Failed("result is larger than 4 MiB".to_owned()))
}

fn new_store(engine: &Engine, state: State) -> Box<Store<State>> {
    let mut store = Box::new(Store::new(engine, state));
    store.limiter(|state| state);
    store.set_hostcall_fuel(CROSSING);
    store
}

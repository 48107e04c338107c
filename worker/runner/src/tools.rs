//! `stockade:plugin/tools`: tools of other plugins.

use stockade_ipc::bounds::{NAME, PAYLOAD};
use stockade_ipc::{Delegate, Delegated, ToolInfo};
use stockade_policy::Ask;
use wasmtime::component::{ComponentType, LinkerInstance, Lower};

use crate::state::{Cx, State};

#[derive(ComponentType, Lower)]
#[component(variant)]
enum CallError {
    #[component(name = "denied")]
    Denied(String),
    #[component(name = "exhausted")]
    Exhausted(String),
    #[component(name = "unavailable")]
    Unavailable(String),
    #[component(name = "invalid-arguments")]
    InvalidArguments(String),
    #[component(name = "failed")]
    Failed(String),
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Tool {
    name: String,
    description: String,
    arguments: String,
}

pub(crate) fn link(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    match name {
        "list" => at.func_wrap(name, |mut cx: Cx<'_>, ()| Ok((list(cx.data_mut()),)))?,
        "call" => at.func_wrap(name, |mut cx: Cx<'_>, (tool, arguments): (String, String)| {
            Ok((call(cx.data_mut(), tool, arguments),))
        })?,
        "left" => at.func_wrap(name, |mut cx: Cx<'_>, ()| Ok((cx.data_mut().left().tool_calls,)))?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn list(state: &mut State) -> Vec<Tool> {
    let Delegated::Tools(tools) = state.delegate(Delegate::Tools) else { return Vec::new() };
    let tool = |ToolInfo { name, description, arguments }| Tool { name, description, arguments };
    tools.into_iter().map(tool).collect()
}

fn call(state: &mut State, name: String, arguments: String) -> Result<String, CallError> {
    if name.len() > NAME || arguments.len() > PAYLOAD {
        return Err(CallError::InvalidArguments(format!("at most {PAYLOAD} bytes, and {NAME} of a name")));
    }
    state.decide(&Ask::Tool { name: &name }).map_err(CallError::Denied)?;
    match state.delegate(Delegate::ToolCall { name, arguments }) {
        Delegated::Returned(value) => Ok(value),
        Delegated::Exhausted(of) => Err(CallError::Exhausted(of)),
        Delegated::Unavailable(why) => Err(CallError::Unavailable(why)),
        Delegated::Invalid(why) => Err(CallError::InvalidArguments(why)),
        Delegated::Failed(why) => Err(CallError::Failed(why)),
        _ => Err(CallError::Denied("the host refused it".to_owned())),
    }
}

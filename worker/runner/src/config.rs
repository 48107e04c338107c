//! `stockade:plugin/config`.

use stockade_ipc::bounds::NAME;
use stockade_ipc::{Answer, Ask};
use wasmtime::component::{ComponentType, LinkerInstance, Lower};

use crate::state::{Cx, State};

#[derive(ComponentType, Lower)]
#[component(variant)]
enum ConfigError {
    #[component(name = "denied")]
    Denied(String),
}

pub(crate) fn link(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    if name != "get" {
        return Ok(false);
    }
    at.func_wrap(name, |mut cx: Cx<'_>, (key,): (String,)| {
        Ok((get(cx.data_mut(), key).map_err(ConfigError::Denied),))
    })?;
    Ok(true)
}

fn get(state: &mut State, key: String) -> Result<Option<String>, String> {
    state.decide(&stockade_policy::Ask::Config { key: &key })?;
    if key.len() > NAME {
        return Err(format!("a key has at most {NAME} bytes"));
    }
    match state.ask(Ask::ConfigGet { key }).0 {
        Answer::Config(value) => Ok(value),
        _ => Err("the host refused it".to_owned()),
    }
}

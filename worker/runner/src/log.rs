//! `stockade:plugin/log`.

use stockade_ipc::LogLevel;
use stockade_policy::Ask;
use wasmtime::component::{ComponentType, Lift, LinkerInstance};

use crate::state::{Cx, State};

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by lifting alone")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

pub(crate) fn link(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    if name != "write" {
        return Ok(false);
    }
    at.func_wrap(name, |mut cx: Cx<'_>, (level, message): (Level, String)| {
        let state = cx.data_mut();
        state.demand(&Ask::Log)?;
        let level = match level {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        state.log(level, message);
        Ok(())
    })?;
    Ok(true)
}

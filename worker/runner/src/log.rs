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

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

pub(crate) fn link(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    type Fields = Vec<(String, String)>;
    match name {
        "write" => at.func_wrap(name, |mut cx: Cx<'_>, (level, message): (Level, String)| {
            write(cx.data_mut(), level, message, Fields::new())
        })?,
        "write-fields" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (level, message, fields): (Level, String, Fields)| {
                write(cx.data_mut(), level, message, fields)
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn write(
    state: &mut State,
    level: Level,
    message: String,
    fields: Vec<(String, String)>,
) -> wasmtime::Result<()> {
    state.demand(&Ask::Log)?;
    state.log(level.into(), message, fields);
    Ok(())
}

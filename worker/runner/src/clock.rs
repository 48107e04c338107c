//! `wasi:clocks`: the worker's own monotonic clock, and the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use stockade_policy::Ask;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};

use crate::io::Pollable;
use crate::state::{Cx, State};

/// `datetime`: seconds and nanoseconds since 1970.
#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Datetime {
    pub(crate) seconds: u64,
    pub(crate) nanoseconds: u32,
}

pub(crate) fn monotonic(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    match name {
        "now" => at.func_wrap(name, |mut cx: Cx<'_>, ()| {
            cx.data_mut().demand(&Ask::Clock)?;
            Ok((cx.data().now(),))
        })?,
        "resolution" => at.func_wrap(name, |_: Cx<'_>, ()| Ok((1_u64,)))?,
        "subscribe-instant" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (when,): (u64,)| subscribe(cx.data_mut(), when))?
        }
        "subscribe-duration" => at.func_wrap(name, |mut cx: Cx<'_>, (duration,): (u64,)| {
            let when = cx.data().now().saturating_add(duration);
            subscribe(cx.data_mut(), when)
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn subscribe(state: &mut State, when: u64) -> wasmtime::Result<(Resource<Pollable>,)> {
    state.demand(&Ask::Clock)?;
    Ok((state.table.push(Pollable::At(when))?,))
}

pub(crate) fn wall(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    match name {
        "now" => at.func_wrap(name, |mut cx: Cx<'_>, ()| {
            cx.data_mut().demand(&Ask::Clock)?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Ok((Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() },))
        })?,
        "resolution" => {
            at.func_wrap(name, |_: Cx<'_>, ()| Ok((Datetime { seconds: 0, nanoseconds: 1 },)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

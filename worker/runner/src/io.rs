//! `wasi:io`: errors, polling, streams. Nothing here waits for anything but a clock: files answer at once, the
//! host writes at once, and lines are taken at once.

use std::sync::Arc;

use stockade_ipc::LogLevel;
use stockade_policy::Ask;
use wasmtime::component::{ComponentType, LinkerInstance, Lower, Resource};

use crate::error::Stop;
use crate::fs::{ErrorCode, OpenFile, Writing};
use crate::state::{Cx, State};

/// One read: 1 MiB. Bounds what a guest's length claim allocates.
pub(crate) const READ: u64 = 1 << 20;
/// One write: 64 KiB, what `check-write` promises.
const WRITE: u64 = 64 * 1024;
/// Pollables in one poll: 4096.
const POLLED: usize = 4096;

/// `error`: why a stream failed.
pub(crate) struct IoError {
    text: &'static str,
    /// In the words of `wasi:filesystem`: nothing else here can fail.
    pub(crate) code: ErrorCode,
}

/// `pollable`: something to wait for.
pub(crate) enum Pollable {
    /// Nothing to wait for.
    Ready,
    /// An instant of the worker's clock.
    At(u64),
}

/// `input-stream`
pub(crate) enum InputStream {
    /// At its end from the start.
    Empty,
    /// A file from a position on.
    File(Arc<OpenFile>, u64),
}

/// `output-stream`
pub(crate) enum OutputStream {
    /// Lines for the operator.
    Lines(LogLevel),
    /// A file, from a position on or at its end.
    File(Arc<Writing>, Option<u64>),
    /// The body of something that will be refused when it is sent.
    Sink,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
pub(crate) enum StreamError {
    #[component(name = "last-operation-failed")]
    Failed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

type Streamed<T> = wasmtime::Result<(Result<T, StreamError>,)>;

impl OutputStream {
    /// What it holds of a file that is open for writing.
    pub(crate) fn into_writing(self) -> Option<Arc<Writing>> {
        match self {
            Self::File(to, _) => Some(to),
            Self::Lines(_) | Self::Sink => None,
        }
    }
}

impl Pollable {
    fn is_ready(&self, now: u64) -> bool {
        match self {
            Self::Ready => true,
            Self::At(when) => *when <= now,
        }
    }
}

pub(crate) fn error(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    match name {
        "[method]error.to-debug-string" => {
            at.func_wrap(name, |cx: Cx<'_>, (error,): (Resource<IoError>,)| {
                Ok((cx.data().table.get(&error)?.text.to_owned(),))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

pub(crate) fn poll(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    match name {
        "[method]pollable.ready" => at.func_wrap(name, |cx: Cx<'_>, (it,): (Resource<Pollable>,)| {
            let state = cx.data();
            Ok((state.table.get(&it)?.is_ready(state.now()),))
        })?,
        "[method]pollable.block" => at.func_wrap(name, |cx: Cx<'_>, (it,): (Resource<Pollable>,)| {
            let state = cx.data();
            if let Pollable::At(when) = state.table.get(&it)? {
                state.sleep_until(*when);
            }
            Ok(())
        })?,
        "poll" => at.func_wrap(name, |cx: Cx<'_>, (list,): (Vec<Resource<Pollable>>,)| {
            Ok((wait(cx.data(), &list)?,))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// The places of those that are ready, once one is.
fn wait(state: &State, list: &[Resource<Pollable>]) -> wasmtime::Result<Vec<u32>> {
    if list.is_empty() || list.len() > POLLED {
        wasmtime::bail!(Stop::Excess("poll takes between 1 and 4096 pollables"));
    }
    let all = list.iter().map(|it| state.table.get(it)).collect::<Result<Vec<_>, _>>()?;
    let first = all.iter().map(|it| match it {
        Pollable::Ready => 0,
        Pollable::At(when) => *when,
    });
    state.sleep_until(first.min().unwrap_or(0));
    let now = state.now();
    Ok((0..).zip(all).filter(|(_, it)| it.is_ready(now)).map(|(place, _)| place).collect())
}

pub(crate) fn streams(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (stream, len): (Resource<InputStream>, u64)| {
                read(cx.data_mut(), &stream, len)
            })?;
        }
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (stream, len): (Resource<InputStream>, u64)| {
                let (bytes,) = read(cx.data_mut(), &stream, len)?;
                Ok((bytes.map(|bytes| bytes.len() as u64),))
            })?;
        }
        "[method]input-stream.subscribe" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (_,): (Resource<InputStream>,)| ready(cx.data_mut()))?;
        }
        "[method]output-stream.subscribe" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (_,): (Resource<OutputStream>,)| ready(cx.data_mut()))?;
        }
        "[method]output-stream.check-write" => {
            at.func_wrap(name, |_: Cx<'_>, (_,): (Resource<OutputStream>,)| {
                Ok((Ok::<u64, StreamError>(WRITE),))
            })?;
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (stream, bytes): (Resource<OutputStream>, Vec<u8>)| {
                write(cx.data_mut(), &stream, &bytes)
            })?;
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            at.func_wrap(name, |_: Cx<'_>, (_,): (Resource<OutputStream>,)| {
                Ok((Ok::<(), StreamError>(()),))
            })?;
        }
        "[method]output-stream.write-zeroes" | "[method]output-stream.blocking-write-zeroes-and-flush" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (stream, len): (Resource<OutputStream>, u64)| {
                if len > WRITE {
                    wasmtime::bail!(Stop::Excess("more zeroes than check-write allowed"));
                }
                write(cx.data_mut(), &stream, &vec![0; len as usize])
            })?;
        }
        "[method]output-stream.splice" | "[method]output-stream.blocking-splice" => {
            type Args = (Resource<OutputStream>, Resource<InputStream>, u64);
            at.func_wrap(name, |mut cx: Cx<'_>, (to, from, len): Args| {
                let (bytes,) = read(cx.data_mut(), &from, len.min(WRITE))?;
                let Ok(bytes) = bytes else { return Ok((Err(StreamError::Closed),)) };
                let (written,) = write(cx.data_mut(), &to, &bytes)?;
                Ok((written.map(|()| bytes.len() as u64),))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn ready(state: &mut State) -> wasmtime::Result<(Resource<Pollable>,)> {
    Ok((state.table.push(Pollable::Ready)?,))
}

fn read(state: &mut State, stream: &Resource<InputStream>, len: u64) -> Streamed<Vec<u8>> {
    let InputStream::File(file, position) = state.table.get_mut(stream)? else {
        return Ok((Err(StreamError::Closed),));
    };
    if len == 0 {
        return Ok((Ok(Vec::new()),));
    }
    match file.read_at(len.min(READ), *position) {
        Ok(bytes) if bytes.is_empty() => Ok((Err(StreamError::Closed),)),
        Ok(bytes) => {
            *position += bytes.len() as u64;
            Ok((Ok(bytes),))
        }
        Err(_) => {
            let error = state.table.push(IoError { text: "reading the file failed", code: ErrorCode::Io })?;
            Ok((Err(StreamError::Failed(error)),))
        }
    }
}

fn write(state: &mut State, stream: &Resource<OutputStream>, bytes: &[u8]) -> Streamed<()> {
    match state.table.get(stream)? {
        &OutputStream::Lines(level) => {
            state.demand(&Ask::Log)?;
            state.print(level, bytes);
        }
        OutputStream::File(to, at) => {
            let (to, at) = (Arc::clone(to), *at);
            if let Err(code) = state.write_file(&to, at, bytes) {
                let error = state.table.push(IoError { text: "writing the file failed", code })?;
                return Ok((Err(StreamError::Failed(error)),));
            }
            if let OutputStream::File(_, Some(at)) = state.table.get_mut(stream)? {
                *at += bytes.len() as u64;
            }
        }
        OutputStream::Sink => {}
    }
    Ok((Ok(()),))
}

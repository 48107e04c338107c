//! `wasi:io`: errors, polling, streams. Nothing here waits for anything but a clock and the host's requests: files
//! answer at once, the host writes at once, and lines are taken at once.

use std::borrow::Cow;
use std::sync::Arc;

use stockade_ipc::LogLevel;
use stockade_policy::Ask;
use wasmtime::component::{ComponentType, LinkerInstance, Lower, Resource};

use crate::error::Stop;
use crate::fs::{ErrorCode, OpenFile, Writing};
use crate::http::{self, Incoming, Outgoing, Shared};
use crate::state::{Cx, State};

/// One read: 1 MiB. Bounds what a guest's length claim allocates.
pub(crate) const READ: u64 = 1 << 20;
/// One write: 64 KiB, what `check-write` promises.
const WRITE: u64 = 64 * 1024;
/// Pollables in one poll: 4096.
const POLLED: usize = 4096;

/// `error`: why a stream failed.
pub(crate) struct IoError {
    text: Cow<'static, str>,
    /// In the words of `wasi:filesystem`.
    pub(crate) code: Option<ErrorCode>,
    /// In the words of `wasi:http`.
    pub(crate) http: Option<http::ErrorCode>,
}

/// `pollable`: something to wait for.
pub(crate) enum Pollable {
    /// Nothing to wait for.
    Ready,
    /// An instant of the worker's clock.
    At(u64),
    /// Something of a request.
    Request(http::Event),
}

/// `input-stream`
pub(crate) enum InputStream {
    /// At its end from the start.
    Empty,
    /// A file from a position on.
    File(Arc<OpenFile>, u64),
    /// The body of a response.
    Response(Shared<Incoming>),
}

/// `output-stream`
pub(crate) enum OutputStream {
    /// Lines for the operator.
    Lines(LogLevel),
    /// A file, from a position on or at its end.
    File(Arc<Writing>, Option<u64>),
    /// The body of a request.
    Request(Shared<Outgoing>),
    /// The body of something that is never sent.
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

impl IoError {
    fn file(text: &'static str, code: ErrorCode) -> IoError {
        IoError { text: text.into(), code: Some(code), http: None }
    }

    fn request(text: &'static str, code: http::ErrorCode) -> IoError {
        IoError { text: format!("{text}: {code:?}").into(), code: None, http: Some(code) }
    }
}

impl OutputStream {
    /// What it holds of a file that is open for writing.
    pub(crate) fn into_writing(self) -> Option<Arc<Writing>> {
        match self {
            Self::File(to, _) => Some(to),
            Self::Lines(_) | Self::Request(_) | Self::Sink => None,
        }
    }
}

impl Pollable {
    fn is_ready(&self, now: u64) -> bool {
        match self {
            Self::Ready => true,
            Self::At(when) => *when <= now,
            Self::Request(event) => event.is_ready(),
        }
    }
}

pub(crate) fn error(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    match name {
        "[method]error.to-debug-string" => {
            at.func_wrap(name, |cx: Cx<'_>, (error,): (Resource<IoError>,)| {
                Ok((cx.data().table.get(&error)?.text.clone().into_owned(),))
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
        "[method]pollable.block" => at.func_wrap(name, |mut cx: Cx<'_>, (it,): (Resource<Pollable>,)| {
            wait(cx.data_mut(), &[it])?;
            Ok(())
        })?,
        "poll" => at.func_wrap(name, |mut cx: Cx<'_>, (list,): (Vec<Resource<Pollable>>,)| {
            Ok((wait(cx.data_mut(), &list)?,))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// The places of those that are ready, once one is.
fn wait(state: &mut State, list: &[Resource<Pollable>]) -> wasmtime::Result<Vec<u32>> {
    if list.is_empty() || list.len() > POLLED {
        wasmtime::bail!(Stop::Excess("poll takes between 1 and 4096 pollables"));
    }
    loop {
        let all = list.iter().map(|it| state.table.get(it)).collect::<Result<Vec<_>, _>>()?;
        let now = state.now();
        let ready: Vec<u32> =
            (0..).zip(&all).filter(|(_, it)| it.is_ready(now)).map(|(place, _)| place).collect();
        if !ready.is_empty() {
            return Ok(ready);
        }
        let mut first = None;
        let mut events = Vec::new();
        for it in all {
            match it {
                Pollable::Ready => {}
                Pollable::At(when) => first = Some(first.map_or(*when, |first: u64| first.min(*when))),
                Pollable::Request(event) => events.push(event.clone()),
            }
        }
        if let ([event], None) = (&events[..], first) {
            event.wait(state);
        } else if !http::wait(state, &events, first.map(|when| when.saturating_sub(now))) {
            // No more than a clock, or what only the guest itself could bring about: it is ended at its deadline.
            state.sleep_until(first.unwrap_or(u64::MAX));
        }
    }
}

pub(crate) fn streams(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            let waits = name.contains("blocking");
            at.func_wrap(name, move |mut cx: Cx<'_>, (stream, len): (Resource<InputStream>, u64)| {
                read(cx.data_mut(), &stream, len, waits)
            })?;
        }
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
            let waits = name.contains("blocking");
            at.func_wrap(name, move |mut cx: Cx<'_>, (stream, len): (Resource<InputStream>, u64)| {
                let (bytes,) = read(cx.data_mut(), &stream, len, waits)?;
                Ok((bytes.map(|bytes| bytes.len() as u64),))
            })?;
        }
        "[method]input-stream.subscribe" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (stream,): (Resource<InputStream>,)| {
                let table = &mut cx.data_mut().table;
                let pollable = match table.get(&stream)? {
                    InputStream::Response(body) => Pollable::Request(http::Event::Body(Arc::clone(body))),
                    InputStream::Empty | InputStream::File(..) => Pollable::Ready,
                };
                Ok((table.push(pollable)?,))
            })?;
        }
        "[method]output-stream.subscribe" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (stream,): (Resource<OutputStream>,)| {
                let table = &mut cx.data_mut().table;
                let pollable = match table.get(&stream)? {
                    OutputStream::Request(body) => Pollable::Request(http::Event::Room(Arc::clone(body))),
                    OutputStream::Lines(_) | OutputStream::File(..) | OutputStream::Sink => Pollable::Ready,
                };
                Ok((table.push(pollable)?,))
            })?;
        }
        "[method]output-stream.check-write" => {
            at.func_wrap(name, |cx: Cx<'_>, (stream,): (Resource<OutputStream>,)| {
                let room = match cx.data().table.get(&stream)? {
                    OutputStream::Request(body) => http::lock(body).room(),
                    OutputStream::Lines(_) | OutputStream::File(..) | OutputStream::Sink => WRITE,
                };
                Ok((Ok::<u64, StreamError>(room),))
            })?;
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            let waits = name.contains("blocking");
            at.func_wrap(name, move |mut cx: Cx<'_>, (stream, bytes): (Resource<OutputStream>, Vec<u8>)| {
                write(cx.data_mut(), &stream, &bytes, waits)
            })?;
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            at.func_wrap(name, |_: Cx<'_>, (_,): (Resource<OutputStream>,)| {
                Ok((Ok::<(), StreamError>(()),))
            })?;
        }
        "[method]output-stream.write-zeroes" | "[method]output-stream.blocking-write-zeroes-and-flush" => {
            let waits = name.contains("blocking");
            at.func_wrap(name, move |mut cx: Cx<'_>, (stream, len): (Resource<OutputStream>, u64)| {
                if len > WRITE {
                    wasmtime::bail!(Stop::Excess("more zeroes than check-write allowed"));
                }
                write(cx.data_mut(), &stream, &vec![0; len as usize], waits)
            })?;
        }
        "[method]output-stream.splice" | "[method]output-stream.blocking-splice" => {
            type Args = (Resource<OutputStream>, Resource<InputStream>, u64);
            let waits = name.contains("blocking");
            at.func_wrap(name, move |mut cx: Cx<'_>, (to, from, len): Args| {
                let room = match cx.data().table.get(&to)? {
                    OutputStream::Request(body) if !waits => http::lock(body).room(),
                    _ => WRITE,
                };
                let (bytes,) = read(cx.data_mut(), &from, len.min(WRITE).min(room), waits)?;
                let Ok(bytes) = bytes else { return Ok((Err(StreamError::Closed),)) };
                let (written,) = write(cx.data_mut(), &to, &bytes, waits)?;
                Ok((written.map(|()| bytes.len() as u64),))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn read(state: &mut State, stream: &Resource<InputStream>, len: u64, waits: bool) -> Streamed<Vec<u8>> {
    let len = len.min(READ);
    let result = match state.table.get(stream)? {
        InputStream::Empty => return Ok((Err(StreamError::Closed),)),
        _ if len == 0 => return Ok((Ok(Vec::new()),)),
        InputStream::File(file, position) => match file.read_at(len, *position) {
            Ok(bytes) if bytes.is_empty() => Ok(None),
            Ok(bytes) => Ok(Some(bytes)),
            Err(_) => Err(IoError::file("reading the file failed", ErrorCode::Io)),
        },
        InputStream::Response(body) => {
            let body = Arc::clone(body);
            let read = Incoming::read(&body, len as usize, state, waits);
            read.map_err(|code| IoError::request("reading the response failed", code))
        }
    };
    Ok((match result {
        Ok(Some(bytes)) => {
            if let InputStream::File(_, position) = state.table.get_mut(stream)? {
                *position += bytes.len() as u64;
            }
            Ok(bytes)
        }
        Ok(None) => Err(StreamError::Closed),
        Err(error) => Err(StreamError::Failed(state.table.push(error)?)),
    },))
}

fn write(state: &mut State, stream: &Resource<OutputStream>, bytes: &[u8], waits: bool) -> Streamed<()> {
    match state.table.get(stream)? {
        &OutputStream::Lines(level) => {
            state.demand(&Ask::Log)?;
            state.print(level, bytes);
        }
        OutputStream::File(to, at) => {
            let (to, at) = (Arc::clone(to), *at);
            if let Err(code) = state.write_file(&to, at, bytes) {
                let error = state.table.push(IoError::file("writing the file failed", code))?;
                return Ok((Err(StreamError::Failed(error)),));
            }
            if let OutputStream::File(_, Some(at)) = state.table.get_mut(stream)? {
                *at += bytes.len() as u64;
            }
        }
        OutputStream::Request(body) => {
            let body = Arc::clone(body);
            if !waits && bytes.len() as u64 > http::lock(&body).room() {
                wasmtime::bail!(Stop::Excess("more than check-write allowed"));
            }
            if let Err(code) = Outgoing::write(&body, bytes, state) {
                let error = state.table.push(IoError::request("writing the request failed", code))?;
                return Ok((Err(StreamError::Failed(error)),));
            }
        }
        OutputStream::Sink => {}
    }
    Ok((Ok(()),))
}

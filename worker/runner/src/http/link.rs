use std::sync::Arc;

use wasmtime::component::{LinkerInstance, Resource};

use super::body::{Incoming, IncomingBody, Outgoing, OutgoingBody, Trailers};
use super::fields::Fields;
use super::request::{Options, OutgoingRequest};
use super::response::{FutureResponse, IncomingResponse, Pending};
use super::wit::{ErrorCode, Method, Scheme};
use super::{Event, Shared, lock};
use crate::io::{InputStream, IoError, OutputStream, Pollable};
use crate::state::{Cx, State};

type Linked = wasmtime::Result<bool>;
/// A result whose error says nothing, as the interface has it.
type Bare<T> = Result<T, ()>;

/// Everything of `wasi:http/types` that a guest which sends requests needs; false for the rest, which is for
/// guests that are sent some.
pub(crate) fn types(name: &str, at: &mut LinkerInstance<'_, State>) -> Linked {
    if name == "http-error-code" {
        at.func_wrap(name, |cx: Cx<'_>, (error,): (Resource<IoError>,)| {
            Ok((cx.data().table.get(&error)?.http.clone(),))
        })?;
        return Ok(true);
    }
    Ok(fields(name, at)?
        || request(name, at)?
        || options(name, at)?
        || outgoing_body(name, at)?
        || response(name, at)?
        || incoming_body(name, at)?)
}

pub(crate) fn handler(name: &str, at: &mut LinkerInstance<'_, State>) -> Linked {
    if name != "handle" {
        return Ok(false);
    }
    type Args = (Resource<OutgoingRequest>, Option<Resource<Options>>);
    at.func_wrap(name, |mut cx: Cx<'_>, (request, options): Args| {
        let state = cx.data_mut();
        let request = state.table.delete(request)?;
        let options = options.map(|options| state.table.delete(options)).transpose()?.unwrap_or_default();
        Ok((match request.send(options, state) {
            Ok(pending) => Ok(state.table.push(FutureResponse(pending))?),
            Err(error) => Err(error),
        },))
    })?;
    Ok(true)
}

fn fields(name: &str, at: &mut LinkerInstance<'_, State>) -> Linked {
    type This = Resource<Fields>;
    match name {
        "[constructor]fields" => {
            at.func_wrap(name, |mut cx: Cx<'_>, ()| Ok((cx.data_mut().table.push(Fields::default())?,)))?
        }
        "[static]fields.from-list" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (list,): (Vec<(String, Vec<u8>)>,)| {
                Ok((match Fields::from_list(list) {
                    Ok(fields) => Ok(cx.data_mut().table.push(fields)?),
                    Err(error) => Err(error),
                },))
            })?;
        }
        "[method]fields.get" => at.func_wrap(name, |cx: Cx<'_>, (this, wanted): (This, String)| {
            Ok((cx.data().table.get(&this)?.get(&wanted),))
        })?,
        "[method]fields.has" => at.func_wrap(name, |cx: Cx<'_>, (this, wanted): (This, String)| {
            Ok((cx.data().table.get(&this)?.has(&wanted),))
        })?,
        "[method]fields.set" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (this, name, values): (This, String, Vec<Vec<u8>>)| {
                Ok((cx.data_mut().table.get_mut(&this)?.set(&name, values),))
            })?;
        }
        "[method]fields.append" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (this, name, value): (This, String, Vec<u8>)| {
                Ok((cx.data_mut().table.get_mut(&this)?.append(&name, value),))
            })?;
        }
        "[method]fields.delete" => at.func_wrap(name, |mut cx: Cx<'_>, (this, name): (This, String)| {
            Ok((cx.data_mut().table.get_mut(&this)?.delete(&name),))
        })?,
        "[method]fields.entries" => at.func_wrap(name, |cx: Cx<'_>, (this,): (This,)| {
            Ok((cx.data().table.get(&this)?.list.clone(),))
        })?,
        "[method]fields.clone" => at.func_wrap(name, |mut cx: Cx<'_>, (this,): (This,)| {
            let table = &mut cx.data_mut().table;
            let copy = Fields { immutable: false, ..table.get(&this)?.clone() };
            Ok((table.push(copy)?,))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn request(name: &str, at: &mut LinkerInstance<'_, State>) -> Linked {
    type This = Resource<OutgoingRequest>;
    match name {
        "[constructor]outgoing-request" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (fields,): (Resource<Fields>,)| {
                let table = &mut cx.data_mut().table;
                let fields = table.delete(fields)?;
                Ok((table.push(OutgoingRequest::new(fields))?,))
            })?;
        }
        "[method]outgoing-request.body" => at.func_wrap(name, |mut cx: Cx<'_>, (this,): (This,)| {
            let table = &mut cx.data_mut().table;
            Ok((match table.get_mut(&this)?.body() {
                Some(body) => Bare::Ok(table.push(OutgoingBody(body))?),
                None => Err(()),
            },))
        })?,
        "[method]outgoing-request.method" => at.func_wrap(name, |cx: Cx<'_>, (this,): (This,)| {
            Ok((Method::of(&cx.data().table.get(&this)?.method),))
        })?,
        "[method]outgoing-request.set-method" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (this, method): (This, Method)| {
                cx.data_mut().table.get_mut(&this)?.method = method.text();
                Ok((Bare::Ok(()),))
            })?;
        }
        "[method]outgoing-request.path-with-query" => at
            .func_wrap(name, |cx: Cx<'_>, (this,): (This,)| {
                Ok((cx.data().table.get(&this)?.path.clone(),))
            })?,
        "[method]outgoing-request.set-path-with-query" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (this, path): (This, Option<String>)| {
                cx.data_mut().table.get_mut(&this)?.path = path;
                Ok((Bare::Ok(()),))
            })?;
        }
        "[method]outgoing-request.scheme" => at.func_wrap(name, |cx: Cx<'_>, (this,): (This,)| {
            Ok((cx.data().table.get(&this)?.scheme.clone(),))
        })?,
        "[method]outgoing-request.set-scheme" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (this, scheme): (This, Option<Scheme>)| {
                cx.data_mut().table.get_mut(&this)?.scheme = scheme;
                Ok((Bare::Ok(()),))
            })?;
        }
        "[method]outgoing-request.authority" => at.func_wrap(name, |cx: Cx<'_>, (this,): (This,)| {
            Ok((cx.data().table.get(&this)?.authority.clone(),))
        })?,
        "[method]outgoing-request.set-authority" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (this, authority): (This, Option<String>)| {
                cx.data_mut().table.get_mut(&this)?.authority = authority;
                Ok((Bare::Ok(()),))
            })?;
        }
        "[method]outgoing-request.headers" => at.func_wrap(name, |mut cx: Cx<'_>, (this,): (This,)| {
            let table = &mut cx.data_mut().table;
            let fields = table.get(&this)?.fields.clone();
            Ok((table.push(fields)?,))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn options(name: &str, at: &mut LinkerInstance<'_, State>) -> Linked {
    type This = Resource<Options>;
    const KINDS: [&str; 3] = ["connect-timeout", "first-byte-timeout", "between-bytes-timeout"];
    if name == "[constructor]request-options" {
        at.func_wrap(name, |mut cx: Cx<'_>, ()| Ok((cx.data_mut().table.push(Options::default())?,)))?;
        return Ok(true);
    }
    let Some(wanted) = name.strip_prefix("[method]request-options.") else { return Ok(false) };
    let (sets, wanted) = match wanted.strip_prefix("set-") {
        Some(wanted) => (true, wanted),
        None => (false, wanted),
    };
    let Some(which) = KINDS.iter().position(|kind| *kind == wanted) else { return Ok(false) };
    if sets {
        at.func_wrap(name, move |mut cx: Cx<'_>, (this, time): (This, Option<u64>)| {
            cx.data_mut().table.get_mut(&this)?.0[which] = time;
            Ok((Bare::Ok(()),))
        })?;
    } else {
        at.func_wrap(name, move |cx: Cx<'_>, (this,): (This,)| Ok((cx.data().table.get(&this)?.0[which],)))?;
    }
    Ok(true)
}

fn outgoing_body(name: &str, at: &mut LinkerInstance<'_, State>) -> Linked {
    type This = Resource<OutgoingBody>;
    match name {
        "[method]outgoing-body.write" => at.func_wrap(name, |mut cx: Cx<'_>, (this,): (This,)| {
            let table = &mut cx.data_mut().table;
            let body = Arc::clone(&table.get(&this)?.0);
            let first = lock(&body).stream();
            Ok((if first { Bare::Ok(table.push(OutputStream::Request(body))?) } else { Err(()) },))
        })?,
        "[static]outgoing-body.finish" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (this, trailers): (This, Option<Resource<Fields>>)| {
                let state = cx.data_mut();
                let body = state.table.delete(this)?.0;
                let trailers = trailers.map(|it| state.table.delete(it)).transpose()?.unwrap_or_default();
                Ok((Outgoing::finish(&body, trailers, state),))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn response(name: &str, at: &mut LinkerInstance<'_, State>) -> Linked {
    type This = Resource<IncomingResponse>;
    type Future = Resource<FutureResponse>;
    type Given = Option<Bare<Result<This, ErrorCode>>>;
    match name {
        "[method]future-incoming-response.subscribe" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (this,): (Future,)| {
                let table = &mut cx.data_mut().table;
                let event = Event::Response(Arc::clone(&table.get(&this)?.0));
                Ok((table.push(Pollable::Request(event))?,))
            })?;
        }
        "[method]future-incoming-response.get" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (this,): (Future,)| {
                let state = cx.data_mut();
                let pending = Arc::clone(&state.table.get(&this)?.0);
                let given: Given = match Pending::take(&pending, state) {
                    None => None,
                    Some(None) => Some(Err(())),
                    Some(Some(Ok(response))) => Some(Ok(Ok(state.table.push(response)?))),
                    Some(Some(Err(error))) => Some(Ok(Err(error))),
                };
                Ok((given,))
            })?;
        }
        "[method]incoming-response.status" => {
            at.func_wrap(name, |cx: Cx<'_>, (this,): (This,)| Ok((cx.data().table.get(&this)?.status,)))?
        }
        "[method]incoming-response.headers" => at.func_wrap(name, |mut cx: Cx<'_>, (this,): (This,)| {
            let table = &mut cx.data_mut().table;
            let fields = table.get(&this)?.fields.clone();
            Ok((table.push(fields)?,))
        })?,
        "[method]incoming-response.consume" => at.func_wrap(name, |mut cx: Cx<'_>, (this,): (This,)| {
            let table = &mut cx.data_mut().table;
            Ok((match table.get_mut(&this)?.body.take() {
                Some(body) => Bare::Ok(table.push(IncomingBody(body))?),
                None => Err(()),
            },))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn incoming_body(name: &str, at: &mut LinkerInstance<'_, State>) -> Linked {
    type This = Resource<IncomingBody>;
    type Future = Resource<Trailers>;
    type Given = Option<Bare<Result<Option<Resource<Fields>>, ErrorCode>>>;
    match name {
        "[method]incoming-body.stream" => at.func_wrap(name, |mut cx: Cx<'_>, (this,): (This,)| {
            let table = &mut cx.data_mut().table;
            let body: Shared<Incoming> = Arc::clone(&table.get(&this)?.0);
            let first = lock(&body).stream();
            Ok((if first { Bare::Ok(table.push(InputStream::Response(body))?) } else { Err(()) },))
        })?,
        "[static]incoming-body.finish" => at.func_wrap(name, |mut cx: Cx<'_>, (this,): (This,)| {
            let table = &mut cx.data_mut().table;
            let of = table.delete(this)?.0;
            Ok((table.push(Trailers { of, given: false })?,))
        })?,
        "[method]future-trailers.subscribe" => at.func_wrap(name, |mut cx: Cx<'_>, (this,): (Future,)| {
            let table = &mut cx.data_mut().table;
            let event = Event::Body(Arc::clone(&table.get(&this)?.of));
            Ok((table.push(Pollable::Request(event))?,))
        })?,
        "[method]future-trailers.get" => at.func_wrap(name, |mut cx: Cx<'_>, (this,): (Future,)| {
            let state = cx.data_mut();
            let trailers = state.table.get(&this)?;
            let of = Arc::clone(&trailers.of);
            if trailers.given {
                return Ok((Given::Some(Err(())),));
            }
            let given: Given = match Incoming::trailers(&of, state, false) {
                None => None,
                Some(Ok(fields)) if fields.list.is_empty() => Some(Ok(Ok(None))),
                Some(Ok(fields)) => Some(Ok(Ok(Some(state.table.push(fields)?)))),
                Some(Err(error)) => Some(Ok(Err(error))),
            };
            state.table.get_mut(&this)?.given = given.is_some();
            Ok((given,))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

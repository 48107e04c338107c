//! From a component's imports to the functions behind them. Only what is imported is defined: a
//! component without imports costs nothing to link.

use stockade_ipc::CompileFault;
use stockade_policy::{Interface, Support, interface};
use wasmtime::Engine;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, InstancePre, Linker, LinkerInstance, Resource, ResourceType};

use crate::error::WorkerError;
use crate::state::{Cx, State};
use crate::{cli, clock, config, fs, http, io, kv, log, model, random, refused, tools};

/// Stands behind every import of a component, or says which one nobody knows.
pub(crate) fn link(component: &Component) -> Result<InstancePre<State>, WorkerError> {
    let engine = component.engine();
    let fault = |message: String| WorkerError::rejected(CompileFault::Import, message);
    let failed = |error: wasmtime::Error| fault(format!("{error:#}"));
    let mut linker: Linker<State> = Linker::new(engine);
    for (name, import) in component.component_type().imports(engine) {
        match import.ty {
            ComponentItem::ComponentInstance(wanted) => {
                let Some(known) = interface(name) else {
                    return Err(fault(format!("unknown import {name}")));
                };
                let mut at = linker.instance(name).map_err(failed)?;
                if let Some(unknown) = instance(engine, &mut at, known, &wanted).map_err(failed)? {
                    return Err(fault(format!("unknown import {name} {unknown}")));
                }
            }
            // A type that is only named needs nobody behind it.
            ComponentItem::Type(_) => {}
            _ => return Err(fault(format!("unknown import {name}"))),
        }
    }
    linker.instantiate_pre(component).map_err(failed)
}

/// Defines what is wanted of an interface; returns the name that it does not have.
fn instance(
    engine: &Engine,
    at: &mut LinkerInstance<'_, State>,
    known: Interface,
    wanted: &ComponentInstance,
) -> wasmtime::Result<Option<String>> {
    for (name, item) in wanted.exports(engine) {
        let defined = match item.ty {
            ComponentItem::ComponentFunc(_) => function(at, known, name)?,
            ComponentItem::Resource(_) => {
                resource(at, name)?;
                true
            }
            ComponentItem::Type(_) => true,
            _ => false,
        };
        if !defined {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

fn function(at: &mut LinkerInstance<'_, State>, known: Interface, name: &str) -> wasmtime::Result<bool> {
    if let Support::Refused(operation) = known.support {
        return refused::link(known.name, operation, name, at);
    }
    match known.name {
        "stockade:plugin/log" => log::link(name, at),
        "stockade:plugin/config" => config::link(name, at),
        "stockade:plugin/tools" => tools::link(name, at),
        "stockade:plugin/model" => model::link(name, at),
        "wasi:io/error" => io::error(name, at),
        "wasi:io/poll" => io::poll(name, at),
        "wasi:io/streams" => io::streams(name, at),
        "wasi:clocks/monotonic-clock" => clock::monotonic(name, at),
        "wasi:clocks/wall-clock" => clock::wall(name, at),
        "wasi:random/random" | "wasi:random/insecure" | "wasi:random/insecure-seed" => random::link(name, at),
        "wasi:filesystem/types" => fs::types(name, at),
        "wasi:filesystem/preopens" => fs::preopens(name, at),
        "wasi:http/types" if !http::types(name, at)? => refused::link(known.name, "http", name, at),
        "wasi:http/types" => Ok(true),
        "wasi:http/outgoing-handler" => http::handler(name, at),
        "wasi:keyvalue/store" => kv::store(name, at),
        "wasi:keyvalue/atomics" => kv::atomics(name, at),
        "wasi:keyvalue/batch" => kv::batch(name, at),
        cli if cli.starts_with("wasi:cli/") => cli::link(name, at),
        _ => Ok(false),
    }
}

/// A resource means the same in every interface that names it.
fn resource(at: &mut LinkerInstance<'_, State>, name: &str) -> wasmtime::Result<()> {
    fn define<T: Send + 'static>(at: &mut LinkerInstance<'_, State>, name: &str) -> wasmtime::Result<()> {
        at.resource(name, ResourceType::host::<T>(), |mut cx: Cx<'_>, rep| {
            cx.data_mut().table.delete(Resource::<T>::new_own(rep))?;
            Ok(())
        })
    }
    match name {
        "error" | "io-error" => define::<io::IoError>(at, name),
        "pollable" => define::<io::Pollable>(at, name),
        "input-stream" => define::<io::InputStream>(at, name),
        "output-stream" => {
            at.resource(name, ResourceType::host::<io::OutputStream>(), |mut cx: Cx<'_>, rep| {
                let gone = cx.data_mut().table.delete(Resource::<io::OutputStream>::new_own(rep))?;
                cx.data_mut().let_go(gone.into_writing());
                Ok(())
            })
        }
        "descriptor" => at.resource(name, ResourceType::host::<fs::Descriptor>(), |mut cx: Cx<'_>, rep| {
            let gone = cx.data_mut().table.delete(Resource::<fs::Descriptor>::new_own(rep))?;
            cx.data_mut().let_go(gone.into_writing());
            Ok(())
        }),
        "fields" | "headers" | "trailers" => define::<http::Fields>(at, name),
        "bucket" => define::<kv::Bucket>(at, name),
        "cas" => define::<kv::Cas>(at, name),
        "outgoing-request" => define::<http::OutgoingRequest>(at, name),
        "request-options" => define::<http::Options>(at, name),
        "outgoing-body" => {
            at.resource(name, ResourceType::host::<http::OutgoingBody>(), |mut cx: Cx<'_>, rep| {
                let gone = cx.data_mut().table.delete(Resource::<http::OutgoingBody>::new_own(rep))?;
                gone.let_go(cx.data_mut());
                Ok(())
            })
        }
        "future-incoming-response" => define::<http::FutureResponse>(at, name),
        "incoming-response" => define::<http::IncomingResponse>(at, name),
        "incoming-body" => define::<http::IncomingBody>(at, name),
        "future-trailers" => define::<http::Trailers>(at, name),
        "directory-entry-stream" => define::<fs::Listing>(at, name),
        "terminal-input" | "terminal-output" => define::<cli::Terminal>(at, name),
        _ => define::<refused::Inert>(at, name),
    }
}

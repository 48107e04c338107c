//! Interfaces that link and do nothing: sockets, incoming requests, time zones. A guest that was built against them
//! loads, and where it would reach out, it gets its interface's own error, and a record is left.
//!
//! No type of theirs is written down here: what a function returns is read off the component's import.

use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{LinkerInstance, Resource, ResourceAny, ResourceType, Type, Val};

use stockade_policy::{Ask, Rule};

use crate::error::{Stop, cut};
use crate::io::{InputStream, OutputStream, Pollable};
use crate::json;
use crate::state::{Cx, State};

/// A response to send, a network: something to hold, with nothing in it.
pub(crate) struct Inert;

/// Resource text in a record: 512 bytes say what was tried.
const TRIED: usize = 512;
/// How deep a made-up value nests. Types of WASI need four.
const DEPTH: usize = 16;

pub(crate) fn link(
    interface: &'static str,
    operation: &'static str,
    name: &str,
    at: &mut LinkerInstance<'_, State>,
) -> wasmtime::Result<bool> {
    let function = name.to_owned();
    at.func_new(name, move |mut cx, ty, params, results| {
        let call = Call { interface, operation, function: &function, params };
        let answer = call.answer(&mut cx, &ty)?;
        if let (Some(result), Some(answer)) = (results.first_mut(), answer) {
            *result = answer;
        }
        Ok(())
    })?;
    Ok(true)
}

struct Call<'a> {
    interface: &'static str,
    operation: &'static str,
    function: &'a str,
    params: &'a [Val],
}

impl Call<'_> {
    fn answer(&self, cx: &mut Cx<'_>, ty: &ComponentFunc) -> wasmtime::Result<Option<Val>> {
        self.take_params(cx)?;
        let result = ty.results().next();
        // Building a request is harmless; sending it is what is refused. Sockets are refused at once.
        let builds = self.interface == "wasi:http/types";
        let refusal = result.as_ref().filter(|_| !builds).and_then(refusal);
        if let Some(refusal) = refusal {
            self.record(cx);
            return Ok(Some(refusal));
        }
        let harmless = builds || result.as_ref().is_some_and(is_handle);
        if !harmless {
            let why = self.record(cx);
            wasmtime::bail!(Stop::Denied { operation: self.operation, why });
        }
        result.map(|ty| empty(cx, &ty, DEPTH)).transpose()
    }

    /// Lets go of the handles that were given away: streams and pollables too end with the instance.
    fn take_params(&self, cx: &mut Cx<'_>) -> wasmtime::Result<()> {
        for handle in handles(self.params) {
            if handle.ty() != ResourceType::host::<Inert>() {
                handle.resource_drop(&mut *cx)?;
                continue;
            }
            let handle = handle.try_into_resource::<Inert>(&mut *cx)?;
            if handle.owned() {
                cx.data_mut().table.delete(handle)?;
            }
        }
        Ok(())
    }

    fn record(&self, cx: &mut Cx<'_>) -> String {
        let values = self.params.iter().filter_map(|param| json::text(Some(param), TRIED).ok());
        let tried = [self.function.to_owned()].into_iter().chain(values).collect::<Vec<_>>().join(" ");
        let tried = cut(tried, TRIED);
        let state = cx.data_mut();
        let ask = match self.operation {
            "http" => {
                let why = "plugins are sent no requests".to_owned();
                state.refused("http", &tried, Rule::built_in("default-deny:http"), &why);
                return why;
            }
            "clock" => Ask::Clock,
            _ => Ask::Socket,
        };
        match stockade_policy::decide(&state.grants, &ask) {
            stockade_policy::Decision::Deny(denial) => {
                let why = denial.why.to_string();
                state.refused(self.operation, &tried, denial.rule, &why);
                why
            }
            // Granted, and this interface is still one that nothing stands behind.
            stockade_policy::Decision::Allow(rule) => {
                let (rule, why) = (rule.clone(), format!("{} is not provided", self.interface));
                state.refused(self.operation, &tried, rule, &why);
                why
            }
        }
    }
}

/// The interface's own way to say no, if the result has one.
fn refusal(ty: &Type) -> Option<Val> {
    const NO: [&str; 2] = ["access-denied", "HTTP-request-denied"];
    let Type::Result(result) = ty else { return None };
    let error = match result.err()? {
        Type::Enum(cases) => Val::Enum(cases.names().find(|name| NO.contains(name))?.to_owned()),
        Type::Variant(variant) => {
            let case = variant.cases().find(|case| NO.contains(&case.name) && case.ty.is_none())?;
            Val::Variant(case.name.to_owned(), None)
        }
        _ => return None,
    };
    Some(Val::Result(Err(Some(Box::new(error)))))
}

fn is_handle(ty: &Type) -> bool {
    matches!(ty, Type::Own(_))
}

/// A value with nothing in it.
fn empty(cx: &mut Cx<'_>, ty: &Type, depth: usize) -> wasmtime::Result<Val> {
    let Some(depth) = depth.checked_sub(1) else {
        wasmtime::bail!(Stop::Excess("a type nests deeper than any of WASI"));
    };
    Ok(match ty {
        Type::Bool => Val::Bool(false),
        Type::S8 => Val::S8(0),
        Type::U8 => Val::U8(0),
        Type::S16 => Val::S16(0),
        Type::U16 => Val::U16(0),
        Type::S32 => Val::S32(0),
        Type::U32 => Val::U32(0),
        Type::S64 => Val::S64(0),
        Type::U64 => Val::U64(0),
        Type::Float32 => Val::Float32(0.0),
        Type::Float64 => Val::Float64(0.0),
        Type::Char => Val::Char('\0'),
        Type::String => Val::String(String::new()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Flags(_) => Val::Flags(Vec::new()),
        Type::Enum(cases) => Val::Enum(cases.names().next().unwrap_or_default().to_owned()),
        Type::Record(record) => Val::Record(
            record
                .fields()
                .map(|field| Ok((field.name.to_owned(), empty(cx, &field.ty, depth)?)))
                .collect::<wasmtime::Result<_>>()?,
        ),
        Type::Tuple(tuple) => {
            Val::Tuple(tuple.types().map(|ty| empty(cx, &ty, depth)).collect::<wasmtime::Result<_>>()?)
        }
        Type::Variant(variant) => {
            let Some(case) = variant.cases().next() else { wasmtime::bail!("a variant without cases") };
            let payload = case.ty.map(|ty| empty(cx, &ty, depth).map(Box::new)).transpose()?;
            Val::Variant(case.name.to_owned(), payload)
        }
        Type::Result(result) => {
            Val::Result(Ok(result.ok().map(|ty| empty(cx, &ty, depth).map(Box::new)).transpose()?))
        }
        Type::Own(resource) => Val::Resource(handle(cx, *resource)?),
        _ => wasmtime::bail!("a type that WASI 0.2 does not have"),
    })
}

fn handle(cx: &mut Cx<'_>, ty: ResourceType) -> wasmtime::Result<ResourceAny> {
    fn new<T: Send + 'static>(cx: &mut Cx<'_>, value: T) -> wasmtime::Result<ResourceAny> {
        let resource: Resource<T> = cx.data_mut().table.push(value)?;
        ResourceAny::try_from_resource(resource, cx)
    }
    if ty == ResourceType::host::<Pollable>() {
        new(cx, Pollable::Ready)
    } else if ty == ResourceType::host::<InputStream>() {
        new(cx, InputStream::Empty)
    } else if ty == ResourceType::host::<OutputStream>() {
        new(cx, OutputStream::Sink)
    } else {
        new(cx, Inert)
    }
}

fn handles(values: &[Val]) -> Vec<ResourceAny> {
    values
        .iter()
        .filter_map(|value| match value {
            Val::Resource(handle) => Some(*handle),
            Val::Option(Some(inner)) => match **inner {
                Val::Resource(handle) => Some(handle),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

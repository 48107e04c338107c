//! A component in the process that calls it, without anything around it: what the engine alone takes. The engine, its
//! settings and the way from JSON to values and back are the worker's, in the same files.
//!
//! `in-process COMPONENT ARTIFACT TOOL ARGUMENTS fresh|reused` compiles the component into the artifact. Then it does
//! what each line of its input asks for, and answers each with a line, a JSON array: `start N`, `call N` (nanoseconds of
//! each), `large N` (the same with a name of 1 MiB), `memory N` (KiB of one of N plugins that have served a call, or nothing
//! where it may not be read).

#[path = "../../../../worker/compiler/src/engine.rs"]
mod engine;
#[path = "../../../../worker/runner/src/json.rs"]
mod json;

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Instance, InstancePre, Linker, Val};
use wasmtime::error::Context as _;
use wasmtime::{Engine, Result, Store, bail};

/// As much as the worker lets through.
const LONGEST: usize = 4 << 20;

/// What is called, and how.
struct Order {
    engine: Engine,
    artifact: PathBuf,
    tool: String,
    arguments: String,
    reuse: bool,
}

/// A component that was loaded, and the instance of the last call where the next may have it.
struct Plugin<'a> {
    order: &'a Order,
    component: InstancePre<()>,
    rest: Option<(Store<()>, Instance)>,
}

fn main() -> Result<()> {
    let given: Vec<String> = std::env::args().collect();
    let [_, component, artifact, tool, arguments, mode] = given.as_slice() else {
        bail!("usage: in-process COMPONENT ARTIFACT TOOL ARGUMENTS fresh|reused");
    };
    let order = Order {
        engine: Engine::new(&engine::config())?,
        artifact: artifact.into(),
        tool: tool.clone(),
        arguments: arguments.clone(),
        reuse: mode == "reused",
    };
    let compiled = Component::from_file(&order.engine, component)?.serialize()?;
    fs::write(&order.artifact, compiled).with_context(|| format!("cannot write {artifact}"))?;

    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(1 << 20));

    let mut plugin = Plugin::load(&order)?;
    plugin.call(&order.arguments)?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (what, times) = line.split_once(' ').unwrap_or_default();
        let times = times.parse::<u32>().with_context(|| format!("no number: {line:?}"))?;
        let numbers = match what {
            "start" => (0..times).map(|_| start(&order)).collect::<Result<Vec<_>>>()?,
            "call" => (0..times).map(|_| timed(|| plugin.call(&order.arguments))).collect::<Result<_>>()?,
            "large" => (0..times).map(|_| timed(|| plugin.call(&large))).collect::<Result<_>>()?,
            "memory" => memory(&order, times)?.into_iter().collect(),
            _ => bail!("unknown: {line:?}"),
        };
        let mut output = io::stdout().lock();
        serde_json::to_writer(&mut output, &numbers)?;
        output.write_all(b"\n")?;
    }
    Ok(())
}

impl<'a> Plugin<'a> {
    fn load(order: &'a Order) -> Result<Plugin<'a>> {
        let component = deserialize(&order.engine, &order.artifact)?;
        let component = Linker::new(&order.engine).instantiate_pre(&component)?;
        Ok(Plugin { order, component, rest: None })
    }

    fn call(&mut self, arguments: &str) -> Result<String> {
        let (mut store, instance) = match self.rest.take() {
            Some(rest) => rest,
            None => {
                let mut store = Store::new(self.component.engine(), ());
                let instance = self.component.instantiate(&mut store)?;
                (store, instance)
            }
        };
        let answer = self.run(&mut store, instance, arguments)?;
        if self.order.reuse {
            self.rest = Some((store, instance));
        }
        Ok(answer)
    }

    fn run(&self, store: &mut Store<()>, instance: Instance, arguments: &str) -> Result<String> {
        let tool = &self.order.tool;
        let found = self.component.component().get_export(None, tool);
        let Some((ComponentItem::ComponentFunc(ty), index)) = found else { bail!("no function {tool}") };
        let arguments = json::arguments(arguments, ty.params())?;
        let function = instance.get_func(&mut *store, index).context("no such function")?;
        let mut results = vec![Val::Bool(false); ty.results().len()];
        function.call(store, &arguments, &mut results)?;
        match json::text(results.first(), LONGEST) {
            Ok(answer) => Ok(answer),
            Err(unwritten) => bail!("{unwritten:?}"),
        }
    }
}

fn timed<T>(run: impl FnOnce() -> Result<T>) -> Result<u64> {
    let began = Instant::now();
    run()?;
    Ok(nanoseconds(began.elapsed()))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// From the artifact to the first reply.
fn start(order: &Order) -> Result<u64> {
    timed(|| Plugin::load(order)?.call(&order.arguments))
}

/// What this process grows by with each of so many plugins: proportional set size.
fn memory(order: &Order, count: u32) -> Result<Option<u64>> {
    let before = pss();
    let mut plugins = (0..count).map(|_| Plugin::load(order)).collect::<Result<Vec<_>>>()?;
    plugins.iter_mut().try_for_each(|plugin| plugin.call(&order.arguments).map(drop))?;
    let grown = pss().zip(before).map(|(after, before)| after.saturating_sub(before));
    Ok(grown.and_then(|grown| grown.checked_div(u64::from(count))))
}

fn pss() -> Option<u64> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    pss.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[expect(unsafe_code, reason = "JUSTIFICATION: the engine has no safe way to load what it compiled before")]
fn deserialize(engine: &Engine, artifact: &Path) -> Result<Component> {
    // SAFETY: this process has made the artifact, of its own user's component, in a folder of the measuring program's
    // own; nobody changes it.
    unsafe { Component::deserialize_file(engine, artifact) }
}

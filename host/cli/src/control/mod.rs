//! Commands that go to a running host.

pub(crate) mod logs;
pub(crate) mod top;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use stockade_control::{
    CallResult, Changed, Client, ControlError, EmitResult, Found, HealthReply, NotChanged, PluginTools,
    Reply, Request, Running, Search, Waiting,
};
use stockade_host::install::Step;
use stockade_host::{PluginStatus, Status};
use stockade_package::Problem;

use crate::args::{Asking, CallCommand, Emit, HealthCommand, History, Places, Ps, Steering};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, safe};
use crate::run::{Finished, finish};
use crate::table::Table;
use crate::value;

/// How long running calls have to end where nobody said.
const GRACE: Duration = Duration::from_secs(10);

/// Connects to the host that the command line means.
pub(crate) fn connect(asking: &Asking) -> Result<Client, Failure> {
    let socket = match &asking.socket {
        Some(socket) => socket.clone(),
        None => {
            let home = Home::find(&asking.places)?;
            match Running::find(&home.state) {
                Ok(Some(running)) => running.socket,
                Ok(None) => {
                    let message = format!("no host runs on the state folder {}", home.state.display());
                    let next = "start one with `stockade serve`, or name its --state folder or its --socket";
                    return Err(no_host(message, next));
                }
                Err(error) => {
                    let message = format!("who runs on {} cannot be seen: {error}", home.state.display());
                    return Err(no_host(message, "name the host's --socket"));
                }
            }
        }
    };
    Client::connect(&socket).map_err(|error| failure(&error))
}

fn no_host(message: String, next_step: &str) -> Failure {
    Failure::new(Exit::NotReady, Problem::new("no-host", "--state", message, next_step))
}

/// What went wrong with a host: its own words, where they are.
fn failure(error: &ControlError) -> Failure {
    match error {
        ControlError::Refused(problem) => {
            let problem = known(problem.clone());
            Failure::new(Exit::of_code(problem.code), problem)
        }
        error => Failure::of(error),
    }
}

/// A problem that came over a socket, as one of this program's. Its code is kept until the program ends, which is soon.
fn known(problem: stockade_control::RemoteProblem) -> Problem {
    let stockade_control::RemoteProblem { code, field, message, next_step } = problem;
    Problem { code: code.leak(), field, message, next_step }
}

/// Whether a host runs that is to do it.
pub(crate) fn host_runs(asking: &Asking, home: &Home) -> bool {
    asking.socket.is_some() || matches!(Running::find(&home.state), Ok(Some(_)))
}

/// Has the host that listens there change what is installed, and tells how far it is.
pub(crate) fn change(socket: &Path, request: &Request, tell: &dyn Fn(&Step)) -> Result<Changed, Failure> {
    let mut client = Client::connect(socket).map_err(|error| failure(&error))?;
    let mut reply = client.ask(request);
    loop {
        match reply.map_err(|error| failure(&error))? {
            Reply::Step(step) => tell(&step),
            Reply::Changed(changed) => return Ok(changed),
            Reply::NotChanged(NotChanged { problem, more }) => {
                let problem = known(problem);
                let mut failure = Failure::new(Exit::of_code(problem.code), problem);
                failure.extra = more.into_iter().map(|(key, value)| (&*key.leak(), value)).collect();
                return Err(failure);
            }
            _ => return Err(unexpected()),
        }
        reply = client.more();
    }
}

/// Options are of no use where a host runs that has what they say.
pub(crate) fn host_decides(how: &str, options: &str) -> Failure {
    let message = format!("a host runs on this state folder, and {how}");
    let step = format!("leave {options} out, or stop that host");
    Failure::usage("host-decides", "--policy", message, &step)
}

/// Has the host that listens there look into an index.
pub(crate) fn search(socket: &Path, wanted: Search) -> Result<Found, Failure> {
    match ask_at(socket, &Request::Search(wanted))? {
        Reply::Found(found) => Ok(found),
        _ => Err(unexpected()),
    }
}

fn ask_at(socket: &Path, request: &Request) -> Result<Reply, Failure> {
    let asked = Client::connect(socket).and_then(|mut client| client.ask(request));
    asked.map_err(|error| failure(&error))
}

/// Who is to do something that a host on the same state folder has to do itself, where one runs.
pub(crate) enum Doer {
    /// The host that listens there.
    Host(PathBuf),
    /// This process.
    Us(Home),
}

impl Doer {
    pub(crate) fn find(socket: Option<&PathBuf>, places: &Places) -> Result<Doer, Failure> {
        if let Some(socket) = socket {
            return Ok(Self::Host(socket.clone()));
        }
        let home = Home::find(places)?;
        Ok(match Running::find(&home.state) {
            Ok(Some(running)) => Self::Host(running.socket),
            _ => Self::Us(home),
        })
    }
}

pub(crate) fn ask(asking: &Asking, request: &Request) -> Result<Reply, Failure> {
    connect(asking)?.ask(request).map_err(|error| failure(&error))
}

pub(crate) fn unexpected() -> Failure {
    failure(&ControlError::Frame("an answer to another question".to_owned()))
}

impl From<CallResult> for Finished {
    fn from(result: CallResult) -> Self {
        let CallResult { status, value, reason, denials, call, elapsed_us } = result;
        let elapsed = Duration::from_micros(elapsed_us);
        Self { status, value, reason: reason.map(known), denials, elapsed, call }
    }
}

fn milliseconds(option: &str, text: Option<&String>) -> Result<Option<u64>, Failure> {
    let time = text.map(|text| value::duration(option, text)).transpose()?;
    Ok(time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

/// `stockade call`.
pub(crate) fn call(arguments: CallCommand) -> Result<Exit, Failure> {
    let request = Request::Call {
        plugin: arguments.plugin,
        tool: arguments.tool,
        arguments: value::arguments(&arguments.arguments)?,
        deadline_ms: milliseconds("--deadline", arguments.deadline.as_ref())?,
    };
    match ask(&arguments.asking, &request)? {
        Reply::Called(result) => finish(result.into(), arguments.output.format, &arguments.asking.places),
        _ => Err(unexpected()),
    }
}

/// The tools of a plugin that a running host has, where there is a host and no such file.
pub(crate) fn tools(plugin: &Path, places: &Places) -> Result<Option<PluginTools>, Failure> {
    let (false, Some(name)) = (plugin.exists(), plugin.to_str()) else { return Ok(None) };
    let home = Home::find(places)?;
    let Ok(Some(running)) = Running::find(&home.state) else { return Ok(None) };
    match ask_at(&running.socket, &Request::Tools { plugin: name.to_owned() })? {
        Reply::Tools(tools) => Ok(Some(tools)),
        _ => Err(unexpected()),
    }
}

/// `stockade emit`.
pub(crate) fn emit(arguments: Emit) -> Result<Exit, Failure> {
    let request = Request::Emit {
        event: arguments.event.clone(),
        payload: value::arguments(&arguments.payload)?,
        fail_fast: arguments.fail_fast,
        deadline_ms: milliseconds("--deadline", arguments.deadline.as_ref())?,
    };
    let Reply::Emitted(results) = ask(&arguments.asking, &request)? else { return Err(unexpected()) };
    match arguments.output.format {
        Format::Json => {
            let results: Vec<Value> = results.iter().map(emitted).collect();
            output::document(&json!({ "schema": SCHEMA, "event": arguments.event, "results": results }));
        }
        Format::Text if results.is_empty() => {
            output::note(&format!("note: no plugin has a hook for {}", safe(&arguments.event)));
        }
        Format::Text => {
            let mut table = Table::new(&["PLUGIN", "TOOL", "STATUS", "MS>", "RESULT"]);
            for EmitResult { plugin, tool, result } in &results {
                let (status, took, said) = match result {
                    None => ("skipped", String::new(), "another failed before".to_owned()),
                    Some(result) => (
                        result.status.as_str(),
                        format!("{:.1}", result.elapsed_us as f64 / 1000.0),
                        match (&result.value, &result.reason) {
                            (Some(value), _) => value.clone(),
                            (None, Some(reason)) => format!("{}: {}", reason.code, reason.message),
                            (None, None) => String::new(),
                        },
                    ),
                };
                table.row([plugin.as_str(), tool, status, &took, &said]);
            }
            table.lines().for_each(|line| output::line(&line));
        }
    }
    let good = |result: &EmitResult| result.result.as_ref().is_some_and(|result| result.status == Status::Ok);
    Ok(if results.iter().all(good) { Exit::Ok } else { Exit::ToolError })
}

fn emitted(EmitResult { plugin, tool, result }: &EmitResult) -> Value {
    let mut document = json!({ "plugin": plugin, "tool": tool, "status": "skipped" });
    if let Some(result) = result {
        document["status"] = json!(result.status);
        document["elapsed_ms"] = json!(result.elapsed_us as f64 / 1000.0);
        document["denials"] = json!(result.denials);
        document["call"] = json!(result.call);
        // As it came where it is JSON; a plugin's own text where it is not.
        document["value"] = result
            .value
            .as_ref()
            .map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)));
        document["error"] = json!(result.reason);
    }
    document
}

fn plugins(client: &mut Client, plugin: Option<String>) -> Result<Vec<PluginStatus>, Failure> {
    match client.ask(&Request::Plugins { plugin }) {
        Ok(Reply::Plugins(plugins)) => Ok(plugins),
        Ok(_) => Err(unexpected()),
        Err(error) => Err(failure(&error)),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0 => "-".to_owned(),
        count if count >= 1 << 30 => format!("{:.1} GiB", count as f64 / (1u64 << 30) as f64),
        count if count >= 1 << 20 => format!("{:.1} MiB", count as f64 / (1u64 << 20) as f64),
        count => format!("{:.0} KiB", count as f64 / 1024.0),
    }
}

/// Why it is in its state, and what comes next.
fn reason(plugin: &PluginStatus) -> String {
    match plugin.next_attempt_ms {
        Some(ms) => format!("{}; next in {:.1} s", plugin.reason, ms as f64 / 1000.0),
        None => plugin.reason.clone(),
    }
}

/// `stockade ps`.
pub(crate) fn ps(arguments: Ps) -> Result<Exit, Failure> {
    let plugins = plugins(&mut connect(&arguments.asking)?, arguments.plugin)?;
    match arguments.output.format {
        Format::Json => output::document(&json!({ "schema": SCHEMA, "plugins": plugins })),
        Format::Text => {
            let headings = [
                "PLUGIN", "VERSION", "STATE", "WORKERS>", "CALLS>", "ERRORS>", "DENIED>", "STARTS>",
                "MEMORY>", "WHY",
            ];
            let mut table = Table::new(&headings);
            for plugin in &plugins {
                table.row([
                    plugin.name.as_str(),
                    &plugin.version,
                    plugin.state.as_str(),
                    &plugin.workers.len().to_string(),
                    &plugin.calls.to_string(),
                    &plugin.errors.to_string(),
                    &plugin.denials.to_string(),
                    &plugin.starts.to_string(),
                    &bytes(plugin.memory_bytes),
                    &reason(plugin),
                ]);
            }
            table.lines().for_each(|line| output::line(&line));
        }
    }
    Ok(Exit::Ok)
}

/// `stockade stop`, `start` and `restart`.
pub(crate) fn steer(
    arguments: Steering,
    request: impl Fn(String, u64) -> Request,
    done: &str,
) -> Result<Exit, Failure> {
    let grace = milliseconds("--grace", arguments.grace.as_ref())?;
    let grace = grace.unwrap_or(GRACE.as_millis() as u64);
    match ask(&arguments.asking, &request(arguments.plugin.clone(), grace))? {
        Reply::Done => {}
        _ => return Err(unexpected()),
    }
    match arguments.output.format {
        Format::Json => {
            output::document(&json!({ "schema": SCHEMA, "plugin": arguments.plugin, "done": done }))
        }
        Format::Text => output::note(&format!("{} is {done}", safe(&arguments.plugin))),
    }
    Ok(Exit::Ok)
}

/// The time of day, UTC.
fn clock(at_ms: u64) -> String {
    let seconds = at_ms / 1000;
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", seconds % 60, at_ms % 1000)
}

/// `stockade history`.
pub(crate) fn history(arguments: History) -> Result<Exit, Failure> {
    let seconds = value::duration("--since", &arguments.since)?.as_secs();
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    let request = Request::History { plugin: arguments.plugin.clone(), seconds };
    let Reply::History(step, moments) = ask(&arguments.asking, &request)? else { return Err(unexpected()) };
    match arguments.output.format {
        Format::Json => output::document(&json!({
            "schema": SCHEMA, "plugin": arguments.plugin, "step_seconds": step, "moments": moments,
        })),
        Format::Text => {
            let mut table =
                Table::new(&["UTC", "CALLS>", "ERRORS>", "DENIED>", "STARTS>", "CPU MS>", "MEMORY>"]);
            for moment in &moments {
                table.row([
                    clock(moment.at * 1000).get(..8).unwrap_or_default(),
                    &moment.calls.to_string(),
                    &moment.errors.to_string(),
                    &moment.denials.to_string(),
                    &moment.starts.to_string(),
                    &moment.cpu_ms.to_string(),
                    &bytes(moment.memory_bytes),
                ]);
            }
            table.lines().for_each(|line| output::line(&line));
            output::note(&format!("note: steps of {step} s; those in which nothing happened are left out"));
        }
    }
    Ok(Exit::Ok)
}

/// `stockade health`.
pub(crate) fn health(arguments: HealthCommand) -> Result<Exit, Failure> {
    let Reply::Health(HealthReply { ready, problems, degraded }) = ask(&arguments.asking, &Request::Health)?
    else {
        return Err(unexpected());
    };
    match arguments.output.format {
        Format::Json => output::document(&json!({
            "schema": SCHEMA, "live": true, "ready": ready, "problems": problems, "degraded": degraded,
        })),
        Format::Text => {
            output::line(if ready { "live, and ready" } else { "live, and not ready" });
            let told = |word: &str, problems: &[stockade_control::RemoteProblem]| {
                for problem in problems {
                    let (code, message) = (safe(&problem.code), safe(&problem.message));
                    output::line(&format!("{word}[{code}]: {message}\n  next: {}", safe(&problem.next_step)));
                }
            };
            told("error", &problems);
            told("degraded", &degraded);
        }
    }
    Ok(if ready || arguments.live { Exit::Ok } else { Exit::NotReady })
}

/// `stockade reload`.
pub(crate) fn reload(asking: &Asking, format: Format) -> Result<Exit, Failure> {
    let Reply::Reloaded(what) = ask(asking, &Request::Reload)? else { return Err(unexpected()) };
    match format {
        Format::Json => output::document(&json!({ "schema": SCHEMA, "reloaded": what })),
        Format::Text => output::note(&format!(
            "{} added, {} changed, {} removed, {} as before",
            what.added.len(),
            what.changed.len(),
            what.removed.len(),
            what.unchanged
        )),
    }
    if format == Format::Text {
        waiting(&what.waiting).iter().for_each(|line| output::note(line));
    }
    Ok(Exit::Ok)
}

/// Versions that wait, and what they ask for besides those that run.
pub(crate) fn waiting(all: &[Waiting]) -> Vec<String> {
    let mut lines = Vec::new();
    for Waiting { plugin, running, version, denied, asks, .. } in all {
        let (plugin, version, running) = (safe(plugin), safe(version), safe(running));
        if let Some(number) = denied {
            lines.push(format!("{plugin} {version} was denied (approval {number}), and {running} runs on"));
            continue;
        }
        lines.push(format!("{plugin} {version} waits, and {running} runs on. It asks for:"));
        for lacking in asks {
            let reason = lacking.reason.as_deref().unwrap_or("no reason given");
            lines.push(format!("  + {}  ({})", safe(&lacking.scope), safe(reason)));
        }
        lines.push(
            "  next: stockade approvals approve, or deny, with the folder of the new version".to_owned(),
        );
    }
    lines
}

/// `stockade log-level`.
pub(crate) fn level(asking: &Asking, level: String, format: Format) -> Result<Exit, Failure> {
    match ask(asking, &Request::Level { level: level.clone() })? {
        Reply::Done if format == Format::Json => {
            output::document(&json!({ "schema": SCHEMA, "level": level }))
        }
        Reply::Done => output::note(&format!("the host tells what is {} and worse", safe(&level))),
        _ => return Err(unexpected()),
    }
    Ok(Exit::Ok)
}

/// `stockade metrics`.
pub(crate) fn metrics(asking: &Asking) -> Result<Exit, Failure> {
    let Reply::Metrics(text) = ask(asking, &Request::Metrics)? else { return Err(unexpected()) };
    output::line(text.trim_end());
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_as_people_write_them() {
        assert_eq!(bytes(0), "-");
        assert_eq!(bytes(350 * 1024), "350 KiB");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
        assert_eq!(clock(86_399_007), "23:59:59.007");
    }
}

//! `stockade logs`: what a running host and its plugins say.

use serde_json::json;
use stockade_control::{ControlError, Line, Reply, Request};

use super::{clock, connect, failure, unexpected};
use crate::args::Logs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format, safe};

/// Shows the last lines, and follows.
pub(crate) fn run(arguments: Logs) -> Result<Exit, Failure> {
    let mut client = connect(&arguments.asking)?;
    let request = Request::Logs { plugin: arguments.plugin, last: arguments.lines, follow: arguments.follow };
    let mut reply = client.ask(&request);
    loop {
        match reply {
            Ok(Reply::Line(line)) => show(&line, arguments.output.format),
            Ok(Reply::NoMore) => return Ok(Exit::Ok),
            // The host was stopped: there is no more to follow.
            Err(ControlError::Ended) if arguments.follow => return Ok(Exit::Ok),
            Ok(_) => return Err(unexpected()),
            Err(error) => return Err(failure(&error)),
        }
        reply = client.more();
    }
}

fn show(line: &Line, format: Format) {
    match format {
        Format::Json => output::document(&json!(line)),
        Format::Text => {
            let call = line.call.as_deref().map(|call| format!(" [{}]", safe(call))).unwrap_or_default();
            let plugin = line.plugin.as_deref().map(safe).unwrap_or_default();
            let text = safe(&line.text);
            output::line(&match (line.own, plugin.is_empty()) {
                (true, _) => format!("{} {:<5} {plugin} |{call} {text}", clock(line.at_ms), line.level),
                (false, true) => format!("{} {:<5} {text}{call}", clock(line.at_ms), line.level),
                (false, false) => format!("{} {:<5} {plugin}: {text}{call}", clock(line.at_ms), line.level),
            });
        }
    }
}

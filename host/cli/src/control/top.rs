//! `stockade top`: how the plugins do, again and again.

use std::io::{self, IsTerminal};
use std::time::Instant;

use stockade_host::PluginStatus;

use super::{bytes, connect, plugins};
use crate::args::Top;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::table::Table;
use crate::{output, value};

/// Shows it until the host ends, or so often.
pub(crate) fn run(arguments: Top) -> Result<Exit, Failure> {
    let interval = value::duration("--interval", &arguments.interval)?;
    let mut client = connect(&arguments.asking)?;
    let terminal = io::stdout().is_terminal();
    let mut before: Option<(Instant, Vec<PluginStatus>)> = None;
    let mut shown = 0;
    loop {
        let now = (Instant::now(), plugins(&mut client, None)?);
        if let Some(before) = &before {
            // Home, and away with what is below: nothing flickers.
            let clear = if terminal { "\u{1b}[H\u{1b}[J" } else { "" };
            let rows = if terminal { arguments.rows.min(rows_of_terminal()) } else { arguments.rows };
            output::line(&format!("{clear}{}", moment(before, &now, rows)));
            shown += 1;
        }
        if arguments.number.is_some_and(|number| shown >= number) {
            return Ok(Exit::Ok);
        }
        before = Some(now);
        std::thread::sleep(interval);
    }
}

/// Lines of the terminal that are left below the headings.
fn rows_of_terminal() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.map_or(usize::MAX, |size| usize::from(size.ws_row).saturating_sub(4).max(1))
}

fn moment(
    (then, old): &(Instant, Vec<PluginStatus>),
    (now, new): &(Instant, Vec<PluginStatus>),
    rows: usize,
) -> String {
    let seconds = now.duration_since(*then).as_secs_f64().max(1e-3);
    let since = |plugin: &PluginStatus, count: fn(&PluginStatus) -> u64| {
        let before = old.iter().find(|old| old.name == plugin.name).map_or(0, count);
        count(plugin).checked_sub(before).unwrap_or_else(|| count(plugin)) as f64 / seconds
    };
    let mut busiest: Vec<(f64, &PluginStatus)> =
        new.iter().map(|plugin| (since(plugin, |plugin| plugin.calls), plugin)).collect();
    busiest.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
    let headings = [
        "PLUGIN",
        "STATE",
        "CALLS/S>",
        "P50 MS>",
        "P99 MS>",
        "WAIT>",
        "ERR/S>",
        "DENIED/S>",
        "CPU %>",
        "MEMORY>",
        "BUDGET LEFT",
    ];
    let mut table = Table::new(&headings);
    for (calls, plugin) in busiest.iter().take(rows) {
        table.row([
            plugin.name.as_str(),
            plugin.state.as_str(),
            &format!("{calls:.1}"),
            &latency(plugin.p50_ms),
            &latency(plugin.p99_ms),
            &plugin.waiting.to_string(),
            &format!("{:.1}", since(plugin, |plugin| plugin.errors)),
            &format!("{:.1}", since(plugin, |plugin| plugin.denials)),
            &format!("{:.1}", since(plugin, |plugin| plugin.cpu_ms) / 10.0),
            &bytes(plugin.memory_bytes),
            &budget(plugin),
        ]);
    }
    let all = |count: fn(&PluginStatus) -> u64| new.iter().map(|plugin| since(plugin, count)).sum::<f64>();
    let head = format!(
        "{} plugins, {} workers; {:.1} calls/s, {:.1} errors/s, {:.1} denials/s; {} resident\n",
        new.len(),
        new.iter().map(|plugin| plugin.workers.len()).sum::<usize>(),
        all(|plugin| plugin.calls),
        all(|plugin| plugin.errors),
        all(|plugin| plugin.denials),
        bytes(new.iter().map(|plugin| plugin.memory_bytes).sum()),
    );
    std::iter::once(head).chain(table.lines()).collect::<Vec<_>>().join("\n")
}

fn budget(plugin: &PluginStatus) -> String {
    let Some(left) = plugin.budget_left else { return "-".to_owned() };
    let units = stockade_policy::Unit::ALL.into_iter().filter(|unit| left.get(*unit) > 0);
    units.map(|unit| format!("{} {}", left.get(unit), unit.as_str())).collect::<Vec<_>>().join(", ")
}

fn latency(milliseconds: Option<f64>) -> String {
    milliseconds.map_or("-".to_owned(), |ms| format!("<={ms}"))
}

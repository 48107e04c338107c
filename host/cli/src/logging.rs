//! Lines on standard error: the plugin's with its name before them, the host's as notes.

use std::fmt::{self, Write as _};
use std::io;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::output::safe;

/// The target of the plugins' own lines.
const PLUGIN: &str = "stockade::plugin";

/// Starts to print what the host and the plugins say.
pub(crate) fn start(level: LevelFilter) {
    let layer = tracing_subscriber::fmt::layer().event_format(Lines).with_writer(io::stderr);
    let subscriber =
        tracing_subscriber::registry().with(layer).with(Targets::new().with_target("stockade", level));
    // Somebody else can only have been first if this ran twice; then lines are printed already.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct Lines;

#[derive(Default)]
struct Fields {
    plugin: String,
    line: String,
    fields: String,
    message: String,
    rest: String,
}

impl Fields {
    fn put(&mut self, field: &Field, text: &str) {
        let text = safe(text);
        match field.name() {
            "plugin" => self.plugin = text,
            "line" => self.line = text,
            "fields" => self.fields = text,
            "message" => self.message = text,
            // Writing to a string does not fail.
            name => drop(write!(self.rest, " {name}={text}")),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        writeln!(writer, "{}", text(event.metadata().target(), *event.metadata().level(), &fields))
    }
}

fn text(target: &str, level: tracing::Level, fields: &Fields) -> String {
    if target == PLUGIN {
        let beside = if fields.fields.is_empty() { "" } else { " " };
        return format!("{} | {}{beside}{}", fields.plugin, fields.line, fields.fields);
    }
    let level = level.as_str().to_ascii_lowercase();
    let about = if fields.plugin.is_empty() { String::new() } else { format!(" plugin={}", fields.plugin) };
    format!("{level}: {}{about}{}", fields.message, fields.rest)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_plugins_line_has_its_name_before_it() {
        let fields = Fields { plugin: "local/a".into(), line: "b".into(), ..Fields::default() };
        assert_eq!(text(PLUGIN, Level::INFO, &fields), "local/a | b");
        let fields = Fields { fields: r#"{"n":"1"}"#.into(), ..fields };
        assert_eq!(text(PLUGIN, Level::INFO, &fields), r#"local/a | b {"n":"1"}"#);
    }

    #[test]
    fn the_hosts_lines_have_their_level() {
        let fields = Fields {
            plugin: "local/a".into(),
            message: "dropped".into(),
            rest: " n=1".into(),
            ..Fields::default()
        };
        assert_eq!(text("stockade::host", Level::WARN, &fields), "warn: dropped plugin=local/a n=1");
    }
}

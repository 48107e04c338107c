//! Lines on standard error: the plugin's with its name before them, the host's as notes.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use stockade_control::{Line, Lines};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload;

use crate::output::safe;

/// The target of the plugins' own lines.
const PLUGIN: &str = "stockade::plugin";

/// Starts to print what the host and the plugins say.
pub(crate) fn start(level: LevelFilter) {
    let layer = tracing_subscriber::fmt::layer().event_format(Printed).with_writer(io::stderr);
    let subscriber = tracing_subscriber::registry().with(targets(level)).with(layer);
    // Somebody else can only have been first if this ran twice; then lines are printed already.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// How much is told, to be changed while the program runs.
#[derive(Clone, Debug)]
pub(crate) struct Level(reload::Handle<Targets, Registry>);

impl Level {
    pub(crate) fn set(&self, level: LevelFilter) {
        // It fails only where nothing is told any more.
        let _ = self.0.reload(targets(level));
    }
}

fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_target("stockade", level)
}

/// What takes spans to elsewhere.
pub(crate) type Spans = Box<dyn Layer<Registry> + Send + Sync>;

/// As [`start`], for a program that runs for long: what is told is kept for who asks, and how much can be changed.
pub(crate) fn start_for_long(level: LevelFilter, spans: Option<Spans>) -> (Arc<Lines>, Level) {
    let (subscriber, lines, level) = for_long(level, spans);
    let _ = tracing::subscriber::set_global_default(subscriber);
    (lines, level)
}

pub(crate) fn for_long(
    level: LevelFilter,
    spans: Option<Spans>,
) -> (impl Subscriber + Send + Sync, Arc<Lines>, Level) {
    let lines = Arc::new(Lines::default());
    let (filter, handle) = reload::Layer::new(targets(level));
    let print = tracing_subscriber::fmt::layer().event_format(Printed).with_writer(io::stderr);
    // The level is that of what is told, and of nothing else: spans have a filter of their own.
    let told = print.and_then(Kept(Arc::clone(&lines))).with_filter(filter).boxed();
    let layers: Vec<Spans> = std::iter::once(told).chain(spans).collect();
    (tracing_subscriber::registry().with(layers), lines, Level(handle))
}

/// Keeps what is told.
struct Kept(Arc<Lines>);

impl<S: Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let own = event.metadata().target() == PLUGIN;
        let some = |text: String| (!text.is_empty()).then_some(text);
        let beside = if fields.fields.is_empty() { "" } else { " " };
        let text = match own {
            true => format!("{}{beside}{}", fields.line, fields.fields),
            false => format!("{}{}", fields.message, fields.rest),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.push(Line {
            at_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            level: event.metadata().level().as_str().to_ascii_lowercase(),
            plugin: some(fields.plugin),
            call: some(fields.call),
            own,
            text,
        });
    }
}

struct Printed;

#[derive(Default)]
struct Fields {
    plugin: String,
    call: String,
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
            "call" => self.call = text,
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

impl<S, N> FormatEvent<S, N> for Printed
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

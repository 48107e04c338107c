//! `log`: a plugin's lines, with its identity, at a bounded rate, counted exactly.

use std::time::{Duration, Instant};

use stockade_ipc::{Log, LogLevel};
use stockade_policy::stands;

use crate::trail::{Trail, Unrecorded};

/// Lets so many lines a second through and counts the rest.
#[derive(Debug)]
pub(crate) struct LogGate {
    per_second: u32,
    window: Instant,
    passed: u32,
    dropped: u64,
}

impl LogGate {
    pub(crate) fn new(per_second: u32) -> LogGate {
        LogGate { per_second, window: Instant::now(), passed: 0, dropped: 0 }
    }

    /// Passes a line on to `tracing`, target `stockade::plugin`, fields `plugin`, `call`, `line`, and `fields` where there
    /// are any: a JSON object of texts. The line is the plugin's and not escaped.
    pub(crate) fn pass(&mut self, log: &Log, trail: &Trail) -> Result<(), Unrecorded> {
        let now = Instant::now();
        if now.duration_since(self.window) >= Duration::from_secs(1) {
            self.settle(trail)?;
            (self.window, self.passed) = (now, 0);
        }
        if self.passed >= self.per_second && stands("log.rate") {
            self.dropped += 1;
            return Ok(());
        }
        self.passed += 1;
        let plugin = trail.plugin_name();
        let call = trail.call_id().map(tracing::field::display);
        let line = log.line.as_str();
        // Names of fields are fixed in `tracing`, these are the plugin's: one JSON object, or nothing.
        let named: serde_json::Map<_, _> =
            log.fields.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let fields = (!named.is_empty()).then(|| serde_json::Value::Object(named).to_string());
        match log.level {
            LogLevel::Trace => tracing::trace!(target: "stockade::plugin", plugin, call, line, fields),
            LogLevel::Debug => tracing::debug!(target: "stockade::plugin", plugin, call, line, fields),
            LogLevel::Info => tracing::info!(target: "stockade::plugin", plugin, call, line, fields),
            LogLevel::Warn => tracing::warn!(target: "stockade::plugin", plugin, call, line, fields),
            LogLevel::Error => tracing::error!(target: "stockade::plugin", plugin, call, line, fields),
        }
        Ok(())
    }

    /// Records how many lines were dropped since the last time.
    pub(crate) fn settle(&mut self, trail: &Trail) -> Result<(), Unrecorded> {
        match std::mem::take(&mut self.dropped) {
            0 => Ok(()),
            dropped => {
                let plugin = trail.plugin_name();
                tracing::warn!(target: "stockade::host", plugin, dropped, "log lines over the rate were dropped");
                if stands("log.dropped-record") {
                    trail.lines_dropped(dropped, self.per_second)
                } else {
                    Ok(())
                }
            }
        }
    }
}

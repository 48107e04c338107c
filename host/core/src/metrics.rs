//! What a host counts, in the OpenMetrics text format 1.0. The names and labels are a promise:
//! docs/serving.md has the table.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::health::Health;
use crate::host::Host;
use crate::meter::{BOUNDS_US, Spread};
use crate::outcome::Status;
use crate::plugin::{Plugin, PluginState};
use crate::process_usage::Usage;
use crate::supervise::BreakerState;

/// The type of what [`Host::metrics`] returns, for an HTTP header.
pub const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Host {
    /// Everything that is counted, in the OpenMetrics text format.
    pub fn metrics(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Figures {
            plugins: self.plugins().into_iter().map(|plugin| (plugin.usage(), plugin)).collect(),
            health: self.health(),
        }));
        let mut text = String::new();
        text::encode(&mut text, &registry).expect("writing to a string does not fail");
        text
    }
}

/// What is told of one moment.
#[derive(Debug)]
struct Figures {
    plugins: Vec<((Usage, u32), Plugin)>,
    health: Health,
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Writes one metric with all its samples.
struct Family<'a, 'b> {
    encoder: &'a mut DescriptorEncoder<'b>,
}

impl Family<'_, '_> {
    fn of<'l, M: EncodeMetric>(
        &mut self,
        (name, help, unit): (&str, &str, Option<Unit>),
        kind: MetricType,
        samples: impl Iterator<Item = (Labels<'l>, M)>,
    ) -> fmt::Result {
        let mut samples = samples.peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut metric = self.encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, value) in samples {
            value.encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counter<'l>(
        &mut self,
        what: (&str, &str, Option<Unit>),
        samples: impl Iterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        let samples = samples.map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.of(what, MetricType::Counter, samples)
    }

    fn gauge<'l>(
        &mut self,
        what: (&str, &str, Option<Unit>),
        samples: impl Iterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        self.of(what, MetricType::Gauge, samples.map(|(labels, value)| (labels, ConstGauge::new(value))))
    }
}

impl EncodeMetric for Spread {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = BOUNDS_US.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.buckets).collect();
        encoder.encode_histogram::<NoLabelSet>(self.sum_ns as f64 / 1e9, self.count(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family { encoder: &mut encoder };
        self.host(&mut family)?;
        self.calls(&mut family)?;
        self.workers(&mut family)
    }
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

impl Figures {
    fn each(&self) -> impl Iterator<Item = (&str, &Plugin)> {
        self.plugins.iter().map(|(_, plugin)| (plugin.name(), plugin))
    }

    fn host(&self, family: &mut Family<'_, '_>) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        family.gauge(
            ("stockade_build_info", "Always 1; the version of the host", None),
            [(vec![("version", version)], 1.0)].into_iter(),
        )?;
        let ready = self.health.problems.is_empty();
        family.gauge(
            ("stockade_ready", "1 where the host can do its work", None),
            [(vec![], flag(ready))].into_iter(),
        )?;
        family.gauge(
            ("stockade_plugin_state", "1 for the state that the plugin is in", None),
            self.each().flat_map(|(name, plugin)| {
                let now = plugin.state();
                let states = PluginState::ALL.into_iter().filter(|state| *state != PluginState::Failed);
                states
                    .map(move |state| (vec![("plugin", name), ("state", state.as_str())], flag(state == now)))
            }),
        )?;
        family.gauge(
            ("stockade_breaker_state", "1 for the state that the plugin's circuit breaker is in", None),
            self.each().flat_map(|(name, plugin)| {
                let (now, _) = plugin.breaker_state();
                [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen]
                    .map(|state| (vec![("plugin", name), ("state", state.as_str())], flag(state == now)))
            }),
        )?;
        family.counter(
            ("stockade_breaker_opened", "How often the plugin's circuit breaker has opened", None),
            self.each().map(|(name, plugin)| (vec![("plugin", name)], plugin.breaker_state().1 as f64)),
        )
    }

    fn calls(&self, family: &mut Family<'_, '_>) -> fmt::Result {
        // A tool that nobody has called has no series.
        let called = || {
            self.each().flat_map(|(name, plugin)| {
                plugin
                    .meter()
                    .tools()
                    .iter()
                    .filter(|tool| tool.took.now().count() > 0)
                    .map(move |tool| (name, tool))
            })
        };
        family.counter(
            ("stockade_calls", "Calls that are over, by how they ended", None),
            called().flat_map(|(name, tool)| {
                Status::ALL.map(|status| {
                    let labels = vec![("plugin", name), ("tool", &*tool.name), ("status", status.as_str())];
                    (labels, tool.calls(status) as f64)
                })
            }),
        )?;
        family.of(
            ("stockade_call_duration", "From the call to its outcome", Some(Unit::Seconds)),
            MetricType::Histogram,
            called().map(|(name, tool)| (vec![("plugin", name), ("tool", &*tool.name)], tool.took.now())),
        )?;
        family.of(
            ("stockade_call_wait", "From the call to its turn at a worker", Some(Unit::Seconds)),
            MetricType::Histogram,
            self.each()
                .map(|(name, plugin)| (vec![("plugin", name)], plugin.meter().waited.now()))
                .filter(|(_, waited)| waited.count() > 0),
        )?;
        family.counter(
            ("stockade_call_errors", "Calls without a result, by the code of the reason", None),
            self.each().flat_map(|(name, plugin)| {
                let errors = plugin.meter().errors().into_iter();
                errors.map(move |(code, count)| (vec![("plugin", name), ("code", code)], count as f64))
            }),
        )?;
        family.gauge(
            ("stockade_calls_running", "Calls that run", None),
            self.each().map(|(name, plugin)| (vec![("plugin", name)], f64::from(plugin.load().0))),
        )?;
        family.gauge(
            ("stockade_calls_waiting", "Calls that wait for a worker", None),
            self.each().map(|(name, plugin)| (vec![("plugin", name)], f64::from(plugin.load().1))),
        )?;
        family.counter(
            ("stockade_denials", "Refusals and ends that the audit log has, by layer and operation", None),
            self.each().flat_map(|(name, plugin)| {
                let denials = plugin.meter().denials().into_iter();
                denials.map(move |((layer, operation), count)| {
                    (
                        vec![("plugin", name), ("layer", layer.as_str()), ("operation", operation)],
                        count as f64,
                    )
                })
            }),
        )?;
        family.gauge(
            (
                "stockade_budget_left",
                "What is left of the plugin's day; cost in millionths of a currency",
                None,
            ),
            self.each().filter_map(|(name, plugin)| Some((name, plugin.budget_left()?))).flat_map(
                |(name, left)| {
                    let units = stockade_policy::Unit::ALL.into_iter();
                    units.map(move |unit| {
                        (vec![("plugin", name), ("unit", unit.as_str())], left.get(unit) as f64)
                    })
                },
            ),
        )
    }

    fn workers(&self, family: &mut Family<'_, '_>) -> fmt::Result {
        let using = || self.plugins.iter().map(|(usage, plugin)| (vec![("plugin", plugin.name())], usage));
        family.gauge(
            ("stockade_workers", "Worker processes", None),
            using().map(|(labels, (_, workers))| (labels, f64::from(*workers))),
        )?;
        family.counter(
            ("stockade_worker_starts", "Worker processes that were started", None),
            self.each().map(|(name, plugin)| (vec![("plugin", name)], plugin.meter().starts() as f64)),
        )?;
        family.counter(
            ("stockade_worker_ends", "Worker processes that have ended, by the reason", None),
            self.each().flat_map(|(name, plugin)| {
                let ends = plugin.meter().ends().into_iter();
                ends.map(move |(how, count)| (vec![("plugin", name), ("reason", how)], count as f64))
            }),
        )?;
        family.counter(
            ("stockade_worker_cpu", "Processor time of all workers", Some(Unit::Seconds)),
            using().map(|(labels, (usage, _))| (labels, usage.cpu_ms as f64 / 1000.0)),
        )?;
        family.gauge(
            ("stockade_worker_resident_memory", "Memory of the workers that is resident", Some(Unit::Bytes)),
            using().map(|(labels, (usage, _))| (labels, usage.resident_bytes as f64)),
        )?;
        let moved = || self.each().map(|(name, plugin)| (vec![("plugin", name)], plugin.meter().bytes()));
        family.counter(
            ("stockade_worker_received", "What calls' workers sent to the host", Some(Unit::Bytes)),
            moved().map(|(labels, (received, _))| (labels, received as f64)),
        )?;
        family.counter(
            ("stockade_worker_sent", "What the host sent to calls' workers", Some(Unit::Bytes)),
            moved().map(|(labels, (_, sent))| (labels, sent as f64)),
        )
    }
}

use stockade_audit::{Decision, Entry, Layer};

/// How bad a record is, for programs that sort by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Nothing is wrong.
    Informational,
    /// A worker says that it refused something.
    Low,
    /// Something was refused.
    Medium,
    /// A worker was ended, or the log has a gap.
    High,
    /// What no honest plugin does.
    Critical,
}

/// The events that are worse, or better, than their layer and decision.
const EVENTS: [(Layer, &str, Severity); 8] = [
    (Layer::Host, "protocol-fault", Severity::Critical),
    (Layer::Seccomp, "forbidden-call", Severity::Critical),
    (Layer::Sigsys, "ended", Severity::Critical),
    (Layer::Launch, "not-ended", Severity::High),
    (Layer::Log, "gap", Severity::High),
    (Layer::Log, "recovery", Severity::Medium),
    (Layer::Log, "flood", Severity::Medium),
    (Layer::Policy, "denied", Severity::Informational),
];

impl Severity {
    pub(super) fn of(entry: &Entry) -> Self {
        let record = &entry.record;
        let known = EVENTS.iter().find(|(layer, event, _)| *layer == record.layer && *event == record.event);
        match (known, record.decision, record.layer) {
            (Some((_, _, severity)), _, _) => *severity,
            (None, Decision::Killed, _) => Self::High,
            (None, Decision::Denied, Layer::Worker) => Self::Low,
            (None, Decision::Denied, _) => Self::Medium,
            (None, Decision::Allowed | Decision::Noted, _) => Self::Informational,
        }
    }

    /// OCSF's `severity_id` and its caption.
    pub(super) const fn ocsf(self) -> (u8, &'static str) {
        match self {
            Self::Informational => (1, "Informational"),
            Self::Low => (2, "Low"),
            Self::Medium => (3, "Medium"),
            Self::High => (4, "High"),
            Self::Critical => (5, "Critical"),
        }
    }

    /// The severity of syslog (RFC 5424, 6.2.1), which the journal's PRIORITY is too.
    pub(super) const fn syslog(self) -> u8 {
        match self {
            Self::Informational => 6,
            Self::Low => 5,
            Self::Medium => 4,
            Self::High => 3,
            Self::Critical => 2,
        }
    }

    /// OpenTelemetry's SeverityNumber and its short name.
    pub(super) const fn otel(self) -> (u8, &'static str) {
        match self {
            Self::Informational => (9, "INFO"),
            Self::Low => (10, "INFO2"),
            Self::Medium => (13, "WARN"),
            Self::High => (17, "ERROR"),
            Self::Critical => (21, "FATAL"),
        }
    }
}

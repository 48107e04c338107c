//! What is asked of a running host, and what it answers. Times are in milliseconds.

use serde::{Deserialize, Serialize};
use stockade_host::install::Step;
use stockade_host::{
    ApprovalRequest, ApprovalStatus, GrantsReport, Lacking, Moment, Outcome, PluginStatus, Status, Told,
};
use stockade_package::{Problem, Tool};

use crate::lines::Line;
use crate::order::{Changed, NotChanged, Order};
use crate::search::{Found, Search};

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How the plugins do: one of them, or all.
    Plugins {
        /// Its name.
        plugin: Option<String>,
    },
    /// The tools of a plugin.
    Tools {
        /// Its name.
        plugin: String,
    },
    /// A call.
    Call {
        /// The plugin's name.
        plugin: String,
        /// Its tool.
        tool: String,
        /// One JSON text.
        arguments: String,
        /// The plugin's default if not said.
        deadline_ms: Option<u64>,
    },
    /// An event.
    Emit {
        /// Its name.
        event: String,
        /// One JSON text.
        payload: String,
        /// One plugin after the other, up to the first that fails.
        fail_fast: bool,
        /// Of each call.
        deadline_ms: Option<u64>,
    },
    /// Stops a plugin.
    Stop {
        /// Its name.
        plugin: String,
        /// How long its running calls have to end.
        grace_ms: u64,
    },
    /// Starts it again.
    Start {
        /// Its name.
        plugin: String,
    },
    /// Exchanges its workers for new ones.
    Restart {
        /// Its name.
        plugin: String,
        /// How long its running calls have to end.
        grace_ms: u64,
    },
    /// What the host and its plugins say.
    Logs {
        /// Of one plugin alone.
        plugin: Option<String>,
        /// So many of the last lines first.
        last: u32,
        /// And every new one, until the client ends.
        follow: bool,
    },
    /// What happened to a plugin.
    History {
        /// Its name.
        plugin: String,
        /// In the last so many seconds.
        seconds: u32,
    },
    /// How much is told in the logs.
    Level {
        /// As for `--log`.
        level: String,
    },
    /// What a plugin may do, by which documents, and what it lacks.
    Grants {
        /// Its name.
        plugin: String,
    },
    /// All approvals.
    Approvals,
    /// Says yes, in the name of the user who asks.
    Approve(ApprovalRequest),
    /// Says no.
    Deny(ApprovalRequest),
    /// Takes an approval back.
    Revoke {
        /// Its number.
        number: u64,
        /// In the user's words.
        why: String,
    },
    /// Signs the audit log with a new key from here on.
    ChangeAuditKey,
    /// Reads the configuration again.
    Reload,
    /// Changes what is installed. Only the user whose host it is may.
    Change {
        /// What is to be done.
        order: Order,
        /// How long another change is waited for.
        wait_ms: u64,
    },
    /// What an index has. Only the user whose host it is may ask.
    Search(Search),
    /// Whether the host can do its work.
    Health,
    /// What is counted.
    Metrics,
}

/// What the host answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "is", content = "what", rename_all = "kebab-case")]
pub enum Reply {
    /// It is not done, and why.
    Refused(RemoteProblem),
    /// It is done.
    Done,
    /// The new public key of the audit log.
    AuditKey(String),
    /// How the plugins do.
    Plugins(Vec<PluginStatus>),
    /// A plugin's tools.
    Tools(PluginTools),
    /// What came of a call.
    Called(CallResult),
    /// What came of an event.
    Emitted(Vec<EmitResult>),
    /// One line of the log; more follow.
    Line(Line),
    /// No more lines follow.
    NoMore,
    /// What happened, in steps of so many seconds.
    History(u32, Vec<Moment>),
    /// What the new configuration changed.
    Reloaded(Reloaded),
    /// How far a change of what is installed is; more follow.
    Step(Step),
    /// It is made.
    Changed(Changed),
    /// It is not, and how far it came.
    NotChanged(NotChanged),
    /// What an index has.
    Found(Found),
    /// A plugin's grants.
    Grants(GrantsReport),
    /// All approvals, and the versions of plugins that wait for one.
    Approvals(Vec<ApprovalStatus>, Vec<Waiting>),
    /// What has become of one, and what that changed; or why it has changed nothing yet.
    Approval(ApprovalStatus, Result<Reloaded, RemoteProblem>),
    /// How the host does.
    Health(HealthReply),
    /// What is counted, in the OpenMetrics text format.
    Metrics(String),
}

/// A problem, as it came over the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteProblem {
    /// Stable and machine-readable.
    pub code: String,
    /// What is at fault.
    pub field: String,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub next_step: String,
}

impl From<Problem> for RemoteProblem {
    fn from(problem: Problem) -> Self {
        let Problem { code, field, message, next_step } = problem;
        Self { code: code.to_owned(), field, message, next_step }
    }
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallResult {
    /// How it ended.
    pub status: Status,
    /// The result, one JSON text.
    pub value: Option<String>,
    /// Why there is none.
    pub reason: Option<RemoteProblem>,
    /// Its records in the audit log.
    pub denials: Vec<u64>,
    /// Which call it was, in records and logs.
    pub call: Option<String>,
    /// Microseconds from the call to the outcome, in the host.
    pub elapsed_us: u64,
}

impl From<Outcome> for CallResult {
    fn from(outcome: Outcome) -> Self {
        let Outcome { status, value, reason, denials, elapsed, call } = outcome;
        Self {
            status,
            value,
            reason: reason.map(RemoteProblem::from),
            denials,
            call: call.map(|call| call.to_string()),
            elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// What one plugin made of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmitResult {
    /// Its name.
    pub plugin: String,
    /// The tool that was called.
    pub tool: String,
    /// What came of it; none where it was not told.
    pub result: Option<CallResult>,
}

impl From<Told> for EmitResult {
    fn from(Told { plugin, tool, outcome }: Told) -> Self {
        Self { plugin, tool, result: outcome.map(CallResult::from) }
    }
}

/// A plugin's tools.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginTools {
    /// Its name.
    pub plugin: String,
    /// What it can be asked to do.
    pub tools: Vec<ToolInfo>,
}

/// One tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolInfo {
    /// What it is called by.
    pub name: String,
    /// What it does. Hostile text.
    pub description: String,
    /// JSON Schema of its arguments.
    pub input: serde_json::Value,
    /// JSON Schema of its result.
    pub output: Option<serde_json::Value>,
}

impl From<&Tool> for ToolInfo {
    fn from(tool: &Tool) -> Self {
        let Tool { name, description, input, output, .. } = tool;
        let (name, description) = (name.clone(), description.clone());
        Self { name, description, input: input.clone(), output: output.clone() }
    }
}

/// What a new configuration changed: names of plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// New ones.
    pub added: Vec<String>,
    /// Loaded anew.
    pub changed: Vec<String>,
    /// No longer there.
    pub removed: Vec<String>,
    /// New versions of plugins that ask for more: they wait for an approval, and the old ones run on.
    #[serde(default)]
    pub waiting: Vec<Waiting>,
    /// As they were.
    pub unchanged: usize,
}

/// A new version of a plugin that asks for more than the one that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The plugin.
    pub plugin: String,
    /// The version that runs on.
    pub running: String,
    /// The version that waits.
    pub version: String,
    /// SHA-256 of its component, in hexadecimal.
    pub component: String,
    /// The number of the no that somebody has said to all of it. Then it waits for nothing.
    pub denied: Option<u64>,
    /// What it asks for besides, and nobody has approved.
    pub asks: Vec<Lacking>,
}

/// How the host does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReply {
    /// Whether calls can be made.
    pub ready: bool,
    /// Why not.
    pub problems: Vec<RemoteProblem>,
    /// What is wrong with single plugins: the host is ready all the same.
    pub degraded: Vec<RemoteProblem>,
}

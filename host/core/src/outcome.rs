use std::time::Duration;

use serde::{Deserialize, Serialize};
use stockade_ipc::Outcome as Returned;
use stockade_package::Problem;

use crate::call_id::CallId;
use crate::fate::Cause;
use crate::reap::{Ended, Exit, OUT_OF_MEMORY};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// With a result.
    Ok,
    /// The plugin said that it could not.
    ToolError,
    /// The plugin said that it lacked a grant.
    Denied,
    /// The worker was ended: by the kernel's word, at its deadline, or for a protocol fault.
    Killed,
    /// The guest trapped; its instance is gone, nothing else.
    Trapped,
    /// The call did not get as far as the plugin.
    Failed,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// The result, one JSON text, where the status is [`Status::Ok`].
    pub value: Option<String>,
    /// Why there is none, for every other status.
    pub reason: Option<Problem>,
    /// The records that the audit log has of this call: refusals, limits, the worker's end.
    pub denials: Vec<u64>,
    /// Wall clock from the call to the outcome.
    #[serde(skip)]
    pub elapsed: Duration,
    /// Which call it was; none where nothing was called.
    pub call: Option<CallId>,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 6] =
        [Self::Ok, Self::ToolError, Self::Denied, Self::Killed, Self::Trapped, Self::Failed];

    /// Its name in metrics and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::Denied => "denied",
            Self::Killed => "killed",
            Self::Trapped => "trapped",
            Self::Failed => "failed",
        }
    }
}

impl Outcome {
    /// Whether there is a result.
    pub fn is_ok(&self) -> bool {
        self.status == Status::Ok
    }

    /// Nothing came of it, for this reason.
    pub(crate) fn without(status: Status, reason: Problem) -> Outcome {
        Outcome { reason: Some(reason), ..Outcome::new(status) }
    }

    fn new(status: Status) -> Outcome {
        let (denials, elapsed) = (Vec::new(), Duration::ZERO);
        Outcome { status, value: None, reason: None, denials, elapsed, call: None }
    }

    /// What the worker returned.
    pub(crate) fn returned(returned: Returned) -> Outcome {
        match returned {
            Returned::Value(value) => Outcome { value: Some(value), ..Outcome::new(Status::Ok) },
            Returned::Error(error) => {
                let code = error.code();
                let (status, next_step) = match code {
                    "denied" => (Status::Denied, "the audit log names the grant that was missing"),
                    "unknown-tool" => {
                        (Status::ToolError, "the manifest declares a tool that the plugin lacks")
                    }
                    "invalid-arguments" => (Status::ToolError, "change the arguments as the message says"),
                    _ => (Status::ToolError, "the message is the plugin's own"),
                };
                Outcome::without(
                    status,
                    Problem {
                        code,
                        field: "tool".into(),
                        message: error.message().to_owned(),
                        next_step: next_step.into(),
                    },
                )
            }
            Returned::Trap(trap) => Outcome::without(
                Status::Trapped,
                Problem {
                    code: "trapped",
                    field: trap.code,
                    message: trap.message,
                    next_step: "the plugin has a bug or met a limit; the next call gets a fresh instance"
                        .into(),
                },
            ),
        }
    }

    /// The worker ended in the middle.
    pub(crate) fn killed(cause: Option<Cause>, end: Ended) -> Outcome {
        let hostile = "treat the plugin as hostile; the audit log has the record";
        let code = end_code(cause.as_ref(), end.exit);
        let (field, message, next_step) = match (cause, end.exit) {
            (Some(Cause::Syscall { name }), _) => {
                (name.clone(), format!("the worker tried the system call {name} and was ended"), hostile)
            }
            (Some(Cause::Deadline(allowance)), _) => (
                "deadline".to_owned(),
                format!("the call was not over after {allowance:?}, and the worker was ended"),
                "give the call more time if it needs it",
            ),
            (Some(Cause::Fault(fault)), _) => (
                "worker".to_owned(),
                format!("the worker broke the protocol ({fault}) and was ended"),
                hostile,
            ),
            (Some(Cause::Unrecorded(why)), _) => (
                "audit".to_owned(),
                format!("something had to be recorded and could not be: {why}"),
                "make the audit log writable; nothing that needs a record is done until then",
            ),
            (Some(Cause::Host(why)), _) => (
                "host".to_owned(),
                format!("the host could not go on with the call: {why}"),
                "allow this process more open files (ulimit -n), or stop plugins",
            ),
            (Some(Cause::Stopped | Cause::Idle | Cause::Served), _) => {
                ("host".to_owned(), "the host stopped the worker".to_owned(), "load the plugin again")
            }
            (None, Exit::Signal(libc::SIGSYS)) => (
                "worker".to_owned(),
                "a filter that is not Stockade's ended the worker for a system call".to_owned(),
                "see which filter the host itself was started under (SystemCallFilter= of a service); if it forbids no \
                 more than workers may do, treat the plugin as hostile",
            ),
            (None, Exit::Code(OUT_OF_MEMORY)) => (
                "memory".to_owned(),
                "the worker met its memory limit and ended".to_owned(),
                "give the plugin more memory if it needs it",
            ),
            (None, exit) => (
                "worker".to_owned(),
                format!("the worker ended by itself: {exit}"),
                "the plugin met a limit or a bug; the audit log has the worker's end",
            ),
        };
        let next_step = next_step.into();
        Outcome::without(Status::Killed, Problem { code, field, message, next_step })
    }
}

/// What a worker's end is called: in the outcome of its call, and in metrics.
pub(crate) fn end_code(cause: Option<&Cause>, exit: Exit) -> &'static str {
    match (cause, exit) {
        (Some(Cause::Syscall { .. }), _) => "forbidden-call",
        (Some(Cause::Deadline(_)), _) => "deadline",
        (Some(Cause::Fault(_)), _) => "protocol-fault",
        (Some(Cause::Unrecorded(_)), _) => "audit-log",
        (Some(Cause::Host(_)), _) => "host-resources",
        (Some(Cause::Stopped), _) => "stopped",
        (Some(Cause::Idle), _) => "idle",
        (Some(Cause::Served), _) => "served",
        (None, Exit::Signal(libc::SIGSYS)) => "foreign-filter",
        (None, Exit::Code(OUT_OF_MEMORY)) => "memory-limit",
        (None, _) => "worker-died",
    }
}

use std::time::Duration;

use serde::Serialize;
use stockade_package::Problem;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
}

impl Outcome {
    /// Whether there is a result.
    pub fn is_ok(&self) -> bool {
        self.status == Status::Ok
    }
}

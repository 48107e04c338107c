//! Whether a host can do its work.

use serde::Serialize;
use stockade_package::Problem;

use crate::host::Host;

/// How a host does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Why it cannot do its work; empty where it can.
    pub problems: Vec<Problem>,
}

impl Health {
    /// Whether calls can be made.
    pub fn is_ready(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Host {
    /// Looks whether everything is there that calls need.
    pub fn health(&self) -> Health {
        let mut problems = Vec::new();
        let mut broken = |code, field: &str, message: String, next_step: &str| {
            problems.push(Problem::new(code, field, message, next_step));
        };
        if self.0.log.is_refusing() {
            let message =
                "the audit log did not take the last record; nothing that needs one is done".to_owned();
            broken("audit-log", "audit", message, "make room on the disk under the audit directory");
        } else if let Err(error) = self.0.log.sync() {
            broken("audit-log", "audit", format!("the audit log cannot be kept: {error}"), error.next_step());
        }
        for (thread, runs) in self.threads() {
            if !runs {
                let message = format!("the thread {thread} has ended");
                broken("threads", "host", message, "start the host again, and report this; it is a bug");
            }
        }
        Health { problems }
    }

    /// Whether the threads run without which nothing is watched or kept.
    pub fn is_live(&self) -> bool {
        self.threads().iter().all(|(_, runs)| *runs)
    }

    fn threads(&self) -> [(&'static str, bool); 2] {
        [("stockade-watch", self.0.sentinel.runs()), ("stockade-keep", self.0.keeper.runs())]
    }
}

use std::io;
use std::path::PathBuf;

use stockade_package::{Explain, Problem};
use thiserror::Error;

use crate::lock::Running;
use crate::message::RemoteProblem;

/// Why a running host is not reached, or cannot be offered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody listens there.
    #[error("no host listens on {}", path.display())]
    NobodyThere {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("the control socket {} cannot be made", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another host uses the state folder.
    #[error("{running} uses the state folder {} already", state.display())]
    Taken {
        /// The folder.
        state: PathBuf,
        /// Who it is.
        running: Running,
    },
    /// The file that says who uses the state folder cannot be used.
    #[error("{} cannot be used", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the host broke")]
    Broken(#[source] io::Error),
    /// The other side ended in the middle.
    #[error("the host went away before it had answered")]
    Ended,
    /// The other side speaks another version of the protocol.
    #[error("the other side speaks version {theirs} of the control protocol, this program version {ours}")]
    Version {
        /// Its version.
        theirs: u8,
        /// The own version.
        ours: u8,
    },
    /// What came is no frame.
    #[error("what came is not the control protocol: {0}")]
    Frame(String),
    /// More than a frame holds.
    #[error("a message of {0} bytes is longer than one may be")]
    TooLong(usize),
    /// The other side let it wait for too long.
    #[error("the other side took too long")]
    TooSlow,
    /// The host's own answer.
    #[error("{}", .0.message)]
    Refused(RemoteProblem),
}

impl Explain for ControlError {
    fn problem(&self) -> Problem {
        let (code, field, next_step): (&'static str, String, &str) = match self {
            Self::NobodyThere { path, .. } => (
                "no-host",
                path.display().to_string(),
                "start one with `stockade serve`, or name its --state folder or its --socket",
            ),
            Self::Socket { path, .. } => (
                "control-socket",
                path.display().to_string(),
                "name a path of at most 107 bytes in a folder of yours (control.socket)",
            ),
            Self::Taken { state, .. } => (
                "state-in-use",
                state.display().to_string(),
                "stop the other host, or give this one a --state folder of its own",
            ),
            Self::Lock { path, .. } => (
                "state-folder",
                path.display().to_string(),
                "name a folder that only you can write to with --state",
            ),
            Self::Version { .. } => (
                "control-version",
                "socket".into(),
                "use the programs of one installation; restart the host after an update",
            ),
            Self::TooLong(_) => ("too-long", "request".into(), "send less"),
            Self::Broken(_) | Self::Ended | Self::Frame(_) | Self::TooSlow => {
                ("control-broken", "socket".into(), "see the host's own messages, and try again")
            }
            // The code is the host's, and told as it is by whoever shows it.
            Self::Refused(problem) => ("refused", problem.field.clone(), "see the host's answer"),
        };
        Problem { code, field, message: stockade_package::chain(self), next_step: next_step.to_owned() }
    }
}

use crate::{Kind, Phase};

/// A breach of the protocol. The host records it and ends the worker; there is no second chance.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// The header names another protocol version.
    #[error("frame of protocol {0}")]
    Protocol(u8),
    /// The header's reserved bytes are not zero.
    #[error("reserved header bytes are set")]
    Reserved,
    /// No message has this number.
    #[error("unknown message kind {0}")]
    UnknownKind(u8),
    /// A message that this side sends, arriving here.
    #[error("message {0:?} goes the other way")]
    Direction(Kind),
    /// A message that the phase does not have.
    #[error("message {kind:?} in phase {phase:?}")]
    OutOfPhase {
        /// What came.
        kind: Kind,
        /// When it came.
        phase: Phase,
    },
    /// A message that is sent once came again.
    #[error("message {0:?} came a second time")]
    Repeated(Kind),
    /// The header claims a body over the kind's limit.
    #[error("message {kind:?} claims {len} bytes, at most {max} are allowed")]
    TooLong {
        /// What came.
        kind: Kind,
        /// The claim.
        len: usize,
        /// The kind's limit.
        max: usize,
    },
    /// The body does not decode.
    #[error("the body does not decode: {0}")]
    Decode(String),
    /// The body decodes and has bytes left over.
    #[error("{0} bytes after the message")]
    Trailing(usize),
    /// The body decodes and says something impossible.
    #[error("implausible message: {0}")]
    Implausible(&'static str),
    /// More or fewer descriptors than the message has.
    #[error("unexpected descriptors")]
    Descriptors,
    /// The peer closed the connection in the middle of a frame, or of a call.
    #[error("the connection ended too early")]
    Torn,
    /// The peer does not read what it asked for.
    #[error("the peer does not read")]
    NotReading,
    /// A message of our own does not encode within its limits.
    #[error("the message does not encode within its limits")]
    Encode,
}

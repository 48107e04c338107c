//! What crosses between the host and a confined program: frames, messages, phases, descriptors.
//!
//! The host believes nothing that it reads: bytes from a worker become an [`Untrusted`] message, checked
//! against the [`phase`] table before a byte of the body is read, decoded under a hard limit, and looked
//! at as a whole before anything is done with it. Identity comes from the socket, never from a frame.
//!
//! A frame is an eight-byte header and a body:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | length of the body, little endian |
//! | 4 | [`Kind`] |
//! | 5 | [`PROTOCOL`] |
//! | 6..8 | zero |
//! | 8.. | the body, one message struct in the layout of [`codec`] |
#![forbid(unsafe_code)]

pub mod bounds;
pub mod codec;
mod delegate;
mod fault;
pub mod fds;
mod frame;
mod message;
pub mod phase;
mod untrusted;
mod wit_type;

pub use delegate::{
    Delegate, Delegated, FunctionCall, ModelFunction, ModelMessage, ModelReply, ModelRequest, ModelResponse,
    ToolInfo,
};
pub use fault::Fault;
pub use frame::{FrameBuffer, HEADER, Header, PROTOCOL, frame};
pub use message::{
    Answer, Ask, Bytes, Call, Compile, CompileFault, Compiled, Confined, Entry, FileKind, FsError, Hello,
    HttpBody, HttpFault, HttpField, HttpInterest, HttpRequest, Load, Loaded, Log, LogLevel, Make, NewTime,
    Outcome, Refused, Rejected, Rest, Return, Stat, ToHost, ToWorker, ToolError, Trap,
};
pub use phase::{Kind, Phase, Phases};
pub use untrusted::Untrusted;
pub use wit_type::{Export, Import, Param, TypeId, WitType, World};

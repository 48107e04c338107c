//! The other end: a program that asks a running host.

use std::path::Path;

use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::tokio::Stream as _;
use interprocess::local_socket::{GenericFilePath, ToFsName};
use tokio::runtime::{Builder, Runtime};

use crate::error::ControlError;
use crate::frame::{MAX_REPLY, MAX_REQUEST, receive, send};
use crate::message::{Reply, Request};

/// A connection to a running host. It waits on the calling thread.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    stream: Stream,
}

impl Client {
    /// Connects to the host that listens at `path`.
    pub fn connect(path: &Path) -> Result<Client, ControlError> {
        let nobody = |source| ControlError::NobodyThere { path: path.to_owned(), source };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(ControlError::Broken)?;
        let name = path.to_fs_name::<GenericFilePath>().map_err(nobody)?;
        let stream = runtime.block_on(Stream::connect(name)).map_err(nobody)?;
        Ok(Client { runtime, stream })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// The host's refusal is one ([`ControlError::Refused`]).
    pub fn ask(&mut self, request: &Request) -> Result<Reply, ControlError> {
        let Client { runtime, stream } = self;
        let sent = runtime.block_on(send(stream, request, MAX_REQUEST));
        match (sent, self.more()) {
            // A host that does not listen to this user says so and hangs up.
            (Err(_), Err(refused @ ControlError::Refused(_))) => Err(refused),
            (Err(error), _) => Err(error),
            (Ok(()), reply) => reply,
        }
    }

    /// Waits for one reply more, to a request that has several.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub fn more(&mut self) -> Result<Reply, ControlError> {
        let Client { runtime, stream } = self;
        match runtime.block_on(receive(stream, MAX_REPLY))? {
            Some(Reply::Refused(problem)) => Err(ControlError::Refused(problem)),
            Some(reply) => Ok(reply),
            None => Err(ControlError::Ended),
        }
    }
}

//! The socket and its frames by hand: nothing here stops anybody from sending anything.

use std::os::fd::RawFd;

use serde_json::{Value, json};
use stockade_ipc::bounds::{LOG_LINE, NAME, PAYLOAD, TEXT};
use stockade_ipc::{Answer, Ask, HEADER, Header, Kind, Outcome, PROTOCOL, Return, ToHost, ToWorker};
use stockade_policy::MAX_PATH;

use crate::sealed::raw;

/// The socket to the host.
pub(super) const SOCKET: RawFd = 3;

/// A header, whatever it claims.
pub(super) fn header(len: u32, kind: u8) -> [u8; HEADER] {
    let [a, b, c, d] = len.to_le_bytes();
    [a, b, c, d, kind, PROTOCOL, 0, 0]
}

/// A frame whose header tells the truth about this body.
pub(super) fn frame(kind: Kind, body: &[u8]) -> Vec<u8> {
    [&header(body.len() as u32, kind as u8), body].concat()
}

/// A message as an honest program would send it.
pub(super) fn message(message: impl Into<ToHost>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What does not encode is not sent; the entry is then judged by the silence.
    let _ = message.into().frame(&mut bytes);
    bytes
}

pub(super) fn returned(call: u64, value: &str) -> Vec<u8> {
    message(Return { call, outcome: Outcome::Value(value.to_owned()) })
}

/// A text as bodies have it.
pub(super) fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes(), bytes].concat()
}

/// One text somewhere in a message.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    before: Vec<u8>,
    after: Vec<u8>,
    /// Its longest legal length.
    pub(super) most: usize,
    /// What comes of the message while it is legal: an outcome, or a record's layer and operation.
    pub(super) honest: &'static str,
}

impl Field {
    /// The message with these bytes for the text.
    pub(super) fn with(&self, bytes: &[u8]) -> Vec<u8> {
        frame(self.kind, &[self.before.as_slice(), &text(bytes), &self.after].concat())
    }

    /// The message with one byte of text that claims to be so many.
    pub(super) fn claims(&self, len: u64) -> Vec<u8> {
        frame(self.kind, &[self.before.as_slice(), &len.to_le_bytes(), b"a", &self.after].concat())
    }
}

/// Every text that a worker sends in a call.
pub(super) fn fields(call: u64) -> Vec<Field> {
    let variant = |number: u32| number.to_le_bytes().to_vec();
    let to = |rest: &[u32]| {
        let rest = rest.iter().flat_map(|&number| variant(number));
        call.to_le_bytes().into_iter().chain(rest).collect::<Vec<u8>>()
    };
    let field = |name, kind, most, honest, before, after| Field { name, kind, before, after, most, honest };
    let (empty, short, built_in) = (text(b""), text(b"probe"), variant(3));
    let ask = |name, most, number, after| field(name, Kind::Ask, most, "value", variant(number), after);
    let refused = |name, most, before: &[&[u8]], after: &[&[u8]]| {
        field(name, Kind::Refused, most, "value", before.concat(), after.concat())
    };
    vec![
        field("value", Kind::Return, PAYLOAD, "value", to(&[0]), Vec::new()),
        field("error", Kind::Return, TEXT, "failed", to(&[1, 3]), Vec::new()),
        field("trap-code", Kind::Return, NAME, "trapped", to(&[2]), empty.clone()),
        field("trap-words", Kind::Return, TEXT, "trapped", [to(&[2]), short.clone()].concat(), Vec::new()),
        ask("open-path", MAX_PATH, 0, Vec::new()),
        ask("stat-path", MAX_PATH, 1, Vec::new()),
        ask("list-path", MAX_PATH, 2, vec![0; 8]),
        ask("config-key", NAME, 3, Vec::new()),
        ask("kv-key", NAME, 21, Vec::new()),
        // No values beside it.
        field("log-line", Kind::Log, LOG_LINE, "value", variant(2), vec![0; 8]),
        refused("operation", NAME, &[], &[&empty, &short, &built_in, &empty]),
        refused("resource", TEXT, &[&short], &[&short, &built_in, &empty]),
        refused("rule", TEXT, &[&short, &empty], &[&built_in, &empty]),
        refused("reason", TEXT, &[&short, &empty, &short, &built_in], &[]),
    ]
}

/// This program, as one end of the socket.
pub(super) struct Peer {
    /// The number of the running call.
    pub(super) call: u64,
    /// What came with the frame before.
    pending: Vec<u8>,
}

impl Peer {
    pub(super) fn new(call: u64) -> Peer {
        Peer { call, pending: Vec::new() }
    }

    /// Writes all of it, or ends with the connection.
    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let sent = raw(libc::SYS_write, &[SOCKET as u64, bytes.as_ptr() as u64, bytes.len() as u64]);
            match usize::try_from(sent) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(_) if sent == -i64::from(libc::EINTR) => {}
                Err(_) => end(0),
            }
        }
    }

    /// The next frame from the host.
    pub(super) fn read(&mut self) -> (Kind, Vec<u8>) {
        let mut space = [0_u8; 16 * 1024];
        loop {
            if let Some(head) = self.pending.first_chunk::<HEADER>()
                && let Ok(Header { len, kind }) = Header::read(*head)
                && self.pending.len() >= HEADER + len
            {
                let body = self.pending.drain(..HEADER + len).skip(HEADER).collect();
                return (kind, body);
            }
            let got = raw(libc::SYS_read, &[SOCKET as u64, space.as_mut_ptr() as u64, space.len() as u64]);
            match usize::try_from(got) {
                Ok(got @ 1..) => self.pending.extend_from_slice(&space[..got]),
                _ => end(0),
            }
        }
    }

    /// Asks the host and waits for its answer.
    pub(super) fn ask(&mut self, ask: Ask) -> Value {
        self.write(&message(ask));
        let (kind, body) = self.read();
        match ToWorker::decode(kind, &body) {
            Ok(ToWorker::Answer(Answer::Denied)) => denied(),
            other => json!({ "outcome": "done", "answer": format!("{other:?}") }),
        }
    }

    /// From here on an honest worker that returns what it is given.
    pub(super) fn serve(&mut self) -> ! {
        loop {
            if let (kind, body) = self.read()
                && let Ok(ToWorker::Call(call)) = ToWorker::decode(kind, &body)
            {
                self.write(&returned(call.call, &call.arguments));
            }
        }
    }
}

/// What a refused ask comes to.
pub(super) fn denied() -> Value {
    json!({ "outcome": "refused", "errno": "denied" })
}

pub(super) fn done() -> Value {
    json!({ "outcome": "done" })
}

/// Does nothing for ever.
pub(super) fn sleep() -> ! {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}

#[expect(clippy::disallowed_methods, reason = "to end without a word is one of the misbehaviours")]
pub(super) fn end(code: i32) -> ! {
    std::process::exit(code)
}

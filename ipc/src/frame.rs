use serde::Serialize;
use stockade_policy::stands;

use crate::phase::Sender;
use crate::{Fault, Kind, Phases, codec};

/// Version of the protocol, in every header. Host and worker are installed together; a difference means
/// a mixed installation and ends the session.
pub const PROTOCOL: u8 = 1;

/// Length of a frame header in bytes.
pub const HEADER: usize = 8;

/// A frame header that has been read and is well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length of the body.
    pub len: usize,
    /// Which message the body is.
    pub kind: Kind,
}

impl Header {
    /// Reads a header.
    pub fn read(bytes: [u8; HEADER]) -> Result<Header, Fault> {
        let [a, b, c, d, kind, protocol, r0, r1] = bytes;
        if protocol != PROTOCOL && stands("frame.protocol") {
            return Err(Fault::Protocol(protocol));
        }
        if (r0 != 0 || r1 != 0) && stands("frame.reserved") {
            return Err(Fault::Reserved);
        }
        let kind = Kind::from_u8(kind).ok_or(Fault::UnknownKind(kind))?;
        Ok(Header { len: u32::from_le_bytes([a, b, c, d]) as usize, kind })
    }
}

/// Appends a whole frame to `out`; takes back what it appended if the message is over its limit.
pub fn frame<T: Serialize>(kind: Kind, message: &T, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind as u8, PROTOCOL, 0, 0]);
    let encoded = codec::encode(message, out);
    let len = out.len() - start - HEADER;
    if encoded.is_err() || len > kind.row().max {
        out.truncate(start);
        return Err(Fault::Encode);
    }
    // Every kind's limit is far below 4 GiB.
    out[start..start + 4].copy_from_slice(&(len as u32).to_le_bytes());
    Ok(())
}

/// Puts frames together from bytes as they arrive. The body's length is checked against the phase
/// table before room for it is made, so a claim of 4 GiB costs nothing.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// One read takes at least this much, so that small frames need one system call.
const CHUNK: usize = 16 * 1024;

impl FrameBuffer {
    /// Where to read the next bytes to; report how many with [`filled`](Self::filled).
    pub fn space(&mut self) -> &mut [u8] {
        let wanted = self.missing().max(CHUNK);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.buffer.len() - self.end < wanted {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.buffer.len() < self.end + wanted {
                self.buffer.resize(self.end + wanted, 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// Whether it keeps more memory than small frames need: the next large one has it as it is.
    pub fn is_large(&self) -> bool {
        self.buffer.len() > 4 * CHUNK
    }

    /// Gives back what it keeps, unless a frame has begun. One large payload must not stay with an idle session.
    pub fn rest(&mut self) {
        if self.is_large() && !self.is_torn() {
            *self = Self::default();
        }
    }

    /// Says that `count` bytes were read into [`space`](Self::space).
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// Whether a frame has begun and is not whole yet.
    pub fn is_torn(&self) -> bool {
        self.start != self.end
    }

    fn header(&self) -> Option<Result<Header, Fault>> {
        let bytes = self.buffer.get(self.start..self.end)?.first_chunk::<HEADER>()?;
        Some(Header::read(*bytes))
    }

    fn missing(&self) -> usize {
        match self.header() {
            // A claim over its limit gets no room, whether or not `next` has judged it yet.
            Some(Ok(header)) if header.len <= header.kind.row().max || !stands("frame.room") => {
                (HEADER + header.len).saturating_sub(self.end - self.start)
            }
            _ => 0,
        }
    }

    /// The next whole frame, if its bytes are here. Illegal frames fail on their header.
    pub fn next(&mut self, sender: Sender, phases: &Phases) -> Result<Option<(Kind, &[u8])>, Fault> {
        let Some(header) = self.header() else { return Ok(None) };
        let Header { len, kind } = header?;
        phases.check(sender, kind, len)?;
        if self.end - self.start < HEADER + len {
            return Ok(None);
        }
        let body = self.start + HEADER;
        self.start = body + len;
        Ok(Some((kind, &self.buffer[body..body + len])))
    }
}

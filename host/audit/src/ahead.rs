//! Unpacking on a processor of its own, while what was unpacked is verified.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use crate::bounds;

/// Pieces of [`bounds::READ_BUFFER`] that wait to be read: enough that neither side waits for a turn of the other.
const PIECES: usize = 16;

/// Reads `input` in a thread of its own, a megabyte ahead at most; in this one where there is no room for another.
pub(crate) fn ahead(input: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    let (to, from) = sync_channel(PIECES);
    let (hand_over, taken) = sync_channel(1);
    let started = thread::Builder::new().name("audit-unpack".to_owned()).spawn(move || {
        let Ok(mut input) = taken.recv() else { return };
        let input: &mut (dyn Read + Send) = &mut input;
        loop {
            let mut piece = Vec::with_capacity(bounds::READ_BUFFER);
            let read = input.take(bounds::READ_BUFFER as u64).read_to_end(&mut piece);
            // What came before an error is read before it is told.
            let more = matches!(read, Ok(count) if count > 0);
            if (more || !piece.is_empty()) && to.send(Ok(piece)).is_err() {
                return;
            }
            if !more {
                let _ = to.send(read.map(|_| Vec::new()));
                return;
            }
        }
    });
    match started {
        Ok(_) => {
            // The thread waits for it.
            let _ = hand_over.send(input);
            Box::new(Ahead { from, piece: Vec::new(), at: 0, ended: false })
        }
        Err(_) => Box::new(input),
    }
}

struct Ahead {
    /// An empty piece is the end.
    from: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for Ahead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() && !self.ended {
            match self.from.recv() {
                Ok(piece) => {
                    (self.piece, self.at) = (piece?, 0);
                    self.ended = self.piece.is_empty();
                }
                // At the end it says so: this is no end.
                Err(_) => return Err(io::Error::other("the thread that unpacks has ended")),
            }
        }
        let count = into.len().min(self.piece.len() - self.at);
        into[..count].copy_from_slice(&self.piece[self.at..][..count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives some bytes, and then fails.
    struct Failing(Vec<u8>);

    impl Read for Failing {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "damaged"));
            }
            let count = into.len().min(self.0.len()).min(1000);
            into[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }

    #[test]
    fn everything_comes_in_its_order_and_then_the_error() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
        let mut all = Vec::new();
        ahead(io::Cursor::new(bytes.clone())).read_to_end(&mut all).unwrap();
        assert!(all == bytes);
        let (mut all, mut reader) = (Vec::new(), ahead(Failing(bytes.clone())));
        let error = reader.read_to_end(&mut all).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(all == bytes);
    }

    #[test]
    fn who_reads_no_further_ends_it() {
        let mut some = [0; 10];
        ahead(io::repeat(7)).read_exact(&mut some).unwrap();
        assert_eq!(some, [7; 10]);
    }
}

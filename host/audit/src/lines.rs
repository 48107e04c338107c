use std::io::{self, BufRead, Read};

use crate::bounds;

/// Reads a log line by line without ever holding more than one line of [`bounds::LINE`].
pub struct Lines<R> {
    input: R,
    line: Vec<u8>,
    /// Bytes of the input's own buffer that were the last line.
    given: usize,
    /// Where the next line begins.
    pub(crate) offset: u64,
}

/// A piece of a log.
pub enum Piece<'a> {
    /// A line, without its newline.
    Line(&'a [u8]),
    /// A line longer than any record, skipped.
    TooLong,
    /// What stands after the last newline.
    Torn(&'a [u8]),
    /// There is no more.
    End,
}

impl<R: BufRead> Lines<R> {
    /// Reads from `input`, whose next byte is at `offset` of the file.
    pub fn new(input: R, offset: u64) -> Self {
        Self { input, line: Vec::new(), given: 0, offset }
    }

    /// Where the next line begins; after `Torn`, where what has not come yet will.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next piece. After `Torn`, the piece that was torn is continued where more of it has come.
    ///
    /// # Errors
    ///
    /// The input cannot be read.
    #[expect(clippy::should_implement_trait, reason = "it lends the line, which no iterator can")]
    pub fn next(&mut self) -> io::Result<Piece<'_>> {
        self.input.consume(std::mem::take(&mut self.given));
        if self.line.last() == Some(&b'\n') {
            self.line.clear();
        }
        if self.line.is_empty()
            && let Some(end) = self.whole_line()?
        {
            self.given = end + 1;
            self.offset += self.given as u64;
            // The same buffer again: nothing is read in between.
            return Ok(Piece::Line(&self.input.fill_buf()?[..end]));
        }
        let room = (bounds::LINE + 1).saturating_sub(self.line.len()) as u64;
        let more = (&mut self.input).take(room).read_until(b'\n', &mut self.line)?;
        self.offset += more as u64;
        if self.line.is_empty() {
            return Ok(Piece::End);
        }
        if self.line.last() == Some(&b'\n') {
            return Ok(Piece::Line(&self.line[..self.line.len() - 1]));
        }
        if self.line.len() <= bounds::LINE {
            return Ok(Piece::Torn(&self.line));
        }
        loop {
            self.line.clear();
            let more = (&mut self.input).take(bounds::LINE as u64).read_until(b'\n', &mut self.line)?;
            self.offset += more as u64;
            if more == 0 || self.line.last() == Some(&b'\n') {
                return Ok(Piece::TooLong);
            }
        }
    }

    /// Where the next line ends, if all of it is in the input's buffer: most are, and need not be copied.
    fn whole_line(&mut self) -> io::Result<Option<usize>> {
        loop {
            match self.input.fill_buf() {
                Ok(buffer) => return Ok(memchr::memchr(b'\n', buffer).filter(|end| *end <= bounds::LINE)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

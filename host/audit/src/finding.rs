use std::fmt;

use crate::{Hash, Head};

/// Something that is wrong with a log, and where. Lines are counted from 1, as editors do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A record's bytes are not the ones that were hashed.
    Changed {
        /// Its line.
        line: u64,
        /// Its number, by its place in the chain.
        seq: u64,
    },
    /// A line is not a record: changed beyond reading, cut in two, or joined with another.
    Unreadable {
        /// The line.
        line: u64,
        /// Where it begins in the file.
        offset: u64,
        /// Why it cannot be read.
        problem: String,
        /// The records that are missing where it stands, if any: first and last.
        instead_of: Option<(u64, u64)>,
    },
    /// Records are missing.
    Deleted {
        /// The first that is missing.
        first: u64,
        /// The last that is missing.
        last: u64,
        /// The line before which they are missing.
        line: u64,
    },
    /// A record stands elsewhere than where it was written.
    Reordered {
        /// Its line.
        line: u64,
        /// Its number.
        seq: u64,
        /// The record that it stands after, if any.
        after: Option<u64>,
    },
    /// A record is there again.
    Duplicated {
        /// The line of the copy.
        line: u64,
        /// Its number.
        seq: u64,
        /// The line of the first.
        original: u64,
    },
    /// A record that the chain does not lead to.
    Inserted {
        /// Its line.
        line: u64,
        /// The number that it claims.
        seq: u64,
    },
    /// The chain breaks between a record and the next, both unharmed in themselves: one of them, and
    /// everything on its side of the break, was written anew.
    Rewritten {
        /// The line of the second.
        line: u64,
        /// The number of the second.
        seq: u64,
    },
    /// The first record does not begin a log, or begins another one.
    Genesis {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file does not end with the end of a record.
    TornTail {
        /// Where the last whole line ends.
        offset: u64,
        /// Bytes after it.
        bytes: u64,
    },
    /// The log does not reach as far as it once did: cut off at its end, or an older copy.
    Truncated {
        /// The last record there is, if there is one.
        last: Option<u64>,
        /// The head that it was checked against.
        expected: Head,
    },
    /// The record of the expected head is another one: the log was written anew, or is another log.
    OtherHead {
        /// The head that it was checked against.
        expected: Head,
        /// The hash that the record has.
        found: Hash,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { line, seq } => write!(f, "line {line}: record {seq} was changed"),
            Self::Unreadable { line, offset, problem, instead_of } => {
                write!(f, "line {line} (byte {offset}) is not a record: {problem}")?;
                match instead_of {
                    Some((first, last)) if first == last => write!(f, "; record {first} should be there"),
                    Some((first, last)) => write!(f, "; records {first} to {last} should be there"),
                    None => Ok(()),
                }
            }
            Self::Deleted { first, last, line } if first == last => {
                write!(f, "before line {line}: record {first} was deleted")
            }
            Self::Deleted { first, last, line } => {
                write!(f, "before line {line}: records {first} to {last} were deleted")
            }
            Self::Reordered { line, seq, after: Some(after) } => {
                write!(f, "line {line}: record {seq} was moved, it stands after record {after}")
            }
            Self::Reordered { line, seq, after: None } => {
                write!(f, "line {line}: record {seq} was moved to the beginning")
            }
            Self::Duplicated { line, seq, original } => {
                write!(f, "line {line}: record {seq} of line {original} is there again")
            }
            Self::Inserted { line, seq } => {
                write!(f, "line {line}: a record was inserted; it claims to be record {seq}")
            }
            Self::Rewritten { line, seq } => {
                write!(f, "line {line}: record {seq} does not follow the one before it; one was written anew")
            }
            Self::Genesis { problem } => write!(f, "line 1: {problem}"),
            Self::TornTail { offset, bytes } => {
                write!(f, "byte {offset}: the last {bytes} bytes are not a whole record")
            }
            Self::Truncated { last: Some(last), expected } => {
                write!(f, "the log ends with record {last}, it once reached record {}", expected.seq)
            }
            Self::Truncated { last: None, expected } => {
                write!(f, "the log is empty, it once reached record {}", expected.seq)
            }
            Self::OtherHead { expected, found } => write!(
                f,
                "record {} has the hash {found}, once it had {}: the log was written anew, or is another",
                expected.seq, expected.hash
            ),
        }
    }
}

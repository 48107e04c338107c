use std::fmt;
use std::sync::Arc;

use crate::{Hash, Head};

/// Something that is wrong with a log, and where. Lines are counted from 1, as editors do, in each file; where no
/// file is named, it is the current one.
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
    /// Something that is wrong in another file than the current one.
    In {
        /// The file.
        file: Arc<str>,
        /// What is wrong, with lines of that file.
        finding: Box<Self>,
    },
    /// Something that a checkpoint shows which was kept elsewhere.
    Kept(Box<Self>),
    /// A file has the name of another record than its first.
    Misnamed {
        /// The number of its first record.
        first: u64,
    },
    /// Records are gone up to here with a signed statement, but no record says that they were removed.
    RemovedUnrecorded {
        /// The last that is gone.
        last: u64,
    },
    /// A checkpoint or head is of records that were removed since.
    NotComparable {
        /// How many records it is over.
        size: u64,
        /// The first record that is left.
        first: u64,
    },
    /// An entry among the checkpoints is not one.
    BadCheckpoint {
        /// The line that it begins at.
        line: u64,
        /// Why it is none.
        problem: String,
    },
    /// A checkpoint is of another log.
    OtherLog {
        /// The line that it begins at.
        line: Option<u64>,
        /// The log that it names.
        origin: String,
    },
    /// A checkpoint has a signature that claims to be of a known key, and is not.
    BadSignature {
        /// The line that it begins at.
        line: Option<u64>,
        /// How many records it says it is over.
        size: u64,
    },
    /// A checkpoint is signed by a key that no known key leads to.
    UnknownKey {
        /// The line that it begins at.
        line: Option<u64>,
        /// How many records it says it is over.
        size: u64,
        /// The key that it names, if it names one.
        signer: String,
    },
    /// No checkpoint is signed by the key: nothing shows that the log is its holder's.
    Unsigned {
        /// How many checkpoints there are.
        checkpoints: u64,
    },
    /// The records that a checkpoint is over are others now.
    OtherRoot {
        /// How many it is over.
        size: u64,
        /// The number of the first record that may be another one.
        after: u64,
        /// Later checkpoints that do not agree either.
        more: u64,
    },
    /// The log has fewer records than a checkpoint is over: it was cut off, or is an older copy.
    CutOff {
        /// The last record there is, if there is one.
        last: Option<u64>,
        /// How many the checkpoint is over.
        size: u64,
    },
    /// Two checkpoints are over as many records, and they are not the same records.
    Forked {
        /// How many.
        size: u64,
    },
    /// A checkpoint is over fewer records than one before it: the log was set back and went on from there.
    RolledBack {
        /// The line that it begins at.
        line: u64,
        /// How many records it is over.
        size: u64,
        /// How many the one before it is over.
        before: u64,
    },
}

impl Finding {
    /// The same with its lines counted otherwise.
    pub(crate) fn with_lines(mut self, count: impl Fn(u64) -> u64) -> Self {
        match &mut self {
            Self::Changed { line, .. }
            | Self::Unreadable { line, .. }
            | Self::Deleted { line, .. }
            | Self::Reordered { line, .. }
            | Self::Inserted { line, .. }
            | Self::Rewritten { line, .. } => *line = count(*line),
            Self::Duplicated { line, original, .. } => {
                *line = count(*line);
                *original = count(*original);
            }
            _ => {}
        }
        self
    }
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
            Self::In { file, finding } => write!(f, "{file}: {finding}"),
            Self::Kept(finding) => write!(f, "a checkpoint kept elsewhere: {finding}"),
            Self::Misnamed { first } => {
                write!(f, "line 1: the file begins with record {first}, its name says another")
            }
            Self::RemovedUnrecorded { last } => write!(
                f,
                "records up to {last} are gone with a signed statement, but no record says that they were removed"
            ),
            Self::NotComparable { size, first } => write!(
                f,
                "what reaches up to record {} cannot be compared: the log begins with record {first} by now",
                size.saturating_sub(1)
            ),
            Self::BadCheckpoint { line, problem } => write!(f, "line {line}: {problem}"),
            Self::OtherLog { line, origin } => {
                at(f, *line)?;
                write!(f, "the checkpoint is of another log, {origin}")
            }
            Self::BadSignature { line, size } => {
                at(f, *line)?;
                write!(f, "the signature of the checkpoint over {size} records is bad")
            }
            Self::UnknownKey { line, size, signer } => {
                at(f, *line)?;
                write!(
                    f,
                    "the checkpoint over {size} records is signed by {signer}, a key that no known key leads to"
                )
            }
            Self::Unsigned { checkpoints } => {
                write!(f, "none of {checkpoints} checkpoints is signed by a known key")
            }
            Self::OtherRoot { size, after, more } => {
                write!(
                    f,
                    "the first {size} records are not those of the signed checkpoint: at least one from record {after} \
                     on was changed since"
                )?;
                if *more > 0 {
                    write!(f, "; {more} later checkpoints disagree too")?;
                }
                Ok(())
            }
            Self::CutOff { last: Some(last), size } => write!(
                f,
                "the log ends with record {last}, a signed checkpoint is over {size} records: it was cut off, or is an \
                 older copy"
            ),
            Self::CutOff { last: None, size } => {
                write!(f, "the log is empty, a signed checkpoint is over {size} records")
            }
            Self::Forked { size } => {
                write!(f, "there are two different checkpoints over {size} records: the log was forked")
            }
            Self::RolledBack { line, size, before } => write!(
                f,
                "line {line}: a checkpoint over {size} records comes after one over {before}: the log was set back"
            ),
        }
    }
}

fn at(f: &mut fmt::Formatter<'_>, line: Option<u64>) -> fmt::Result {
    line.map_or(Ok(()), |line| write!(f, "line {line}: "))
}

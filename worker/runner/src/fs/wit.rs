//! The value types of `wasi:filesystem/types`, as far as they are needed.

use stockade_ipc::{Answer, FileKind, FsError, NewTime, Stat};
use stockade_policy::PathError;
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::clock::Datetime;

#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "the enum has to name every case in order, most of which never happen here")]
pub(crate) enum ErrorCode {
    #[component(name = "access")]
    Access,
    #[component(name = "would-block")]
    WouldBlock,
    #[component(name = "already")]
    Already,
    #[component(name = "bad-descriptor")]
    BadDescriptor,
    #[component(name = "busy")]
    Busy,
    #[component(name = "deadlock")]
    Deadlock,
    #[component(name = "quota")]
    Quota,
    #[component(name = "exist")]
    Exist,
    #[component(name = "file-too-large")]
    FileTooLarge,
    #[component(name = "illegal-byte-sequence")]
    IllegalByteSequence,
    #[component(name = "in-progress")]
    InProgress,
    #[component(name = "interrupted")]
    Interrupted,
    #[component(name = "invalid")]
    Invalid,
    #[component(name = "io")]
    Io,
    #[component(name = "is-directory")]
    IsDirectory,
    #[component(name = "loop")]
    Loop,
    #[component(name = "too-many-links")]
    TooManyLinks,
    #[component(name = "message-size")]
    MessageSize,
    #[component(name = "name-too-long")]
    NameTooLong,
    #[component(name = "no-device")]
    NoDevice,
    #[component(name = "no-entry")]
    NoEntry,
    #[component(name = "no-lock")]
    NoLock,
    #[component(name = "insufficient-memory")]
    InsufficientMemory,
    #[component(name = "insufficient-space")]
    InsufficientSpace,
    #[component(name = "not-directory")]
    NotDirectory,
    #[component(name = "not-empty")]
    NotEmpty,
    #[component(name = "not-recoverable")]
    NotRecoverable,
    #[component(name = "unsupported")]
    Unsupported,
    #[component(name = "no-tty")]
    NoTty,
    #[component(name = "no-such-device")]
    NoSuchDevice,
    #[component(name = "overflow")]
    Overflow,
    #[component(name = "not-permitted")]
    NotPermitted,
    #[component(name = "pipe")]
    Pipe,
    #[component(name = "read-only")]
    ReadOnly,
    #[component(name = "invalid-seek")]
    InvalidSeek,
    #[component(name = "text-file-busy")]
    TextFileBusy,
    #[component(name = "cross-device")]
    CrossDevice,
}

impl From<FsError> for ErrorCode {
    fn from(error: FsError) -> Self {
        match error {
            FsError::NotFound => Self::NoEntry,
            FsError::NotDirectory => Self::NotDirectory,
            FsError::NameTooLong => Self::NameTooLong,
            FsError::Exists => Self::Exist,
            FsError::NotEmpty => Self::NotEmpty,
            FsError::IsDirectory => Self::IsDirectory,
            FsError::CrossDevice => Self::CrossDevice,
            FsError::Invalid => Self::Invalid,
            FsError::NoSpace => Self::InsufficientSpace,
            FsError::ReadOnly => Self::ReadOnly,
            FsError::Busy => Self::Busy,
            FsError::Quota => Self::Quota,
            FsError::Io => Self::Io,
        }
    }
}

/// An answer that is not the one that was hoped for.
impl From<Answer> for ErrorCode {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::FsFailed(error) => error.into(),
            _ => Self::Access,
        }
    }
}

impl From<PathError> for ErrorCode {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Empty => Self::NoEntry,
            PathError::NotAbsolute | PathError::Escapes => Self::NotPermitted,
            PathError::Nul => Self::Invalid,
            PathError::TooLong | PathError::ComponentTooLong => Self::NameTooLong,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "the enum has to name every case in order; the host tells fewer apart")]
pub(super) enum DescriptorType {
    #[component(name = "unknown")]
    Unknown,
    #[component(name = "block-device")]
    BlockDevice,
    #[component(name = "character-device")]
    CharacterDevice,
    #[component(name = "directory")]
    Directory,
    #[component(name = "fifo")]
    Fifo,
    #[component(name = "symbolic-link")]
    SymbolicLink,
    #[component(name = "regular-file")]
    RegularFile,
    #[component(name = "socket")]
    Socket,
}

impl From<FileKind> for DescriptorType {
    fn from(kind: FileKind) -> Self {
        match kind {
            FileKind::File => Self::RegularFile,
            FileKind::Directory => Self::Directory,
            FileKind::Symlink => Self::SymbolicLink,
            FileKind::Other => Self::Unknown,
        }
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct DescriptorStat {
    #[component(name = "type")]
    kind: DescriptorType,
    #[component(name = "link-count")]
    links: u64,
    size: u64,
    #[component(name = "data-access-timestamp")]
    accessed: Option<Datetime>,
    #[component(name = "data-modification-timestamp")]
    modified: Option<Datetime>,
    #[component(name = "status-change-timestamp")]
    changed: Option<Datetime>,
}

impl From<&Stat> for DescriptorStat {
    fn from(stat: &Stat) -> Self {
        // WASI has no time before 1970.
        let time = |(seconds, nanoseconds): (i64, u32)| {
            Some(Datetime { seconds: u64::try_from(seconds).ok()?, nanoseconds })
        };
        Self {
            kind: stat.kind.into(),
            links: stat.links,
            size: stat.size,
            accessed: time(stat.accessed),
            modified: time(stat.modified),
            changed: time(stat.changed),
        }
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct DirectoryEntry {
    #[component(name = "type")]
    pub(super) kind: DescriptorType,
    pub(super) name: String,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct MetadataHash {
    pub(super) lower: u64,
    pub(super) upper: u64,
}

wasmtime::component::flags! {
    PathFlags {
        #[component(name = "symlink-follow")]
        const SYMLINK_FOLLOW;
    }
}

wasmtime::component::flags! {
    OpenFlags {
        #[component(name = "create")]
        const CREATE;
        #[component(name = "directory")]
        const DIRECTORY;
        #[component(name = "exclusive")]
        const EXCLUSIVE;
        #[component(name = "truncate")]
        const TRUNCATE;
    }
}

wasmtime::component::flags! {
    DescriptorFlags {
        #[component(name = "read")]
        const READ;
        #[component(name = "write")]
        const WRITE;
        #[component(name = "file-integrity-sync")]
        const FILE_INTEGRITY_SYNC;
        #[component(name = "data-integrity-sync")]
        const DATA_INTEGRITY_SYNC;
        #[component(name = "requested-write-sync")]
        const REQUESTED_WRITE_SYNC;
        #[component(name = "mutate-directory")]
        const MUTATE_DIRECTORY;
    }
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "advice is taken and not followed")]
pub(super) enum Advice {
    #[component(name = "normal")]
    Normal,
    #[component(name = "sequential")]
    Sequential,
    #[component(name = "random")]
    Random,
    #[component(name = "will-need")]
    WillNeed,
    #[component(name = "dont-need")]
    DontNeed,
    #[component(name = "no-reuse")]
    NoReuse,
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(variant)]
pub(super) enum NewTimestamp {
    #[component(name = "no-change")]
    NoChange,
    #[component(name = "now")]
    Now,
    #[component(name = "timestamp")]
    Timestamp(Datetime),
}

impl From<NewTimestamp> for NewTime {
    fn from(time: NewTimestamp) -> Self {
        match time {
            NewTimestamp::NoChange => Self::Keep,
            NewTimestamp::Now => Self::Now,
            NewTimestamp::Timestamp(Datetime { seconds, nanoseconds }) => {
                Self::At(i64::try_from(seconds).unwrap_or(i64::MAX), nanoseconds)
            }
        }
    }
}

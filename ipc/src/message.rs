use serde::{Deserialize, Serialize};
use stockade_policy::{Grants, HttpScheme, MAX_TARGET, Rule, stands};

use crate::bounds::{
    HTTP_FIELD_COUNT, HTTP_FIELDS, HTTP_OPEN, HTTP_WHOLE, KV_ENTRIES, KV_KEYS, LOG_FIELDS, LOG_LINE, NAME,
    PAYLOAD, TEXT, WRITE, fit,
};
use crate::codec::decode;
use crate::delegate::{Delegate, Delegated};
use crate::untrusted::Claim;
use crate::{Fault, Kind, Untrusted, World};

/// First words of a confined program. The notification listener comes with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Which filter it put up: a profile's filter, `+fs` where it may receive descriptors at run time.
    pub filter: String,
    /// SHA-256 of the filter's instructions as they were given to the kernel.
    pub filter_digest: [u8; 32],
}

/// Says that the four canaries have been tried. Everything the host wants to know, it has seen itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confined;

/// What a worker runs. The artifact, a sealed memfd, comes with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// What the plugin may do: the worker's copy, for refusing early.
    pub grants: Grants,
    /// Whether the component exports `stockade:plugin/tool`, under which full name; else every exported
    /// function is a tool.
    pub tool_interface: Option<String>,
    /// Keep one instance for all calls instead of a fresh one for each.
    pub reuse_instance: bool,
    /// Bytes that the guest's memories may grow to, all together.
    pub memory_bytes: u64,
}

/// The artifact is mapped and every import is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded;

/// The component cannot be compiled, or the artifact not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// What is wrong with it.
    pub fault: CompileFault,
    /// In the engine's words.
    pub message: String,
}

/// What can be wrong with a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompileFault {
    /// Not WebAssembly at all.
    NotWasm,
    /// A core module, not a component.
    CoreModule,
    /// Invalid, or uses a proposal that is switched off.
    Invalid,
    /// Valid, and over a bound of the report.
    TooLarge,
    /// Valid, and an import does not link.
    Import,
    /// The artifact does not load.
    Artifact,
    /// The program itself failed.
    Internal,
}

/// Compile the component in the first descriptor, write the artifact to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compile {
    /// Length of the component in bytes.
    pub component_len: u64,
}

/// The artifact is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compiled {
    /// What the component imports and exports.
    pub world: World,
}

/// Run a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The host's number for the call; the return carries it.
    pub call: u64,
    /// Which tool; none, and the instance that would run it is all that is made.
    pub tool: String,
    /// One JSON text.
    pub arguments: String,
}

/// Nobody calls for now: what is kept for the next call, so that a large one need not have new memory made for it, can be
/// given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest;

/// A call is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// The number it was given.
    pub call: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a call ended, seen from the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// With a result: one JSON text.
    Value(String),
    /// With an error of the plugin's own.
    Error(ToolError),
    /// The instance trapped and is gone.
    Trap(Trap),
}

/// The plugin's own error, as in the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolError {
    /// It knows no such tool.
    UnknownTool(String),
    /// The arguments are not what the tool takes.
    InvalidArguments(String),
    /// It lacked a grant.
    Denied(String),
    /// It could not do its work.
    Failed(String),
}

/// Why an instance trapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trap {
    /// A stable name: `unreachable`, `stack-overflow`, `out-of-bounds`, ...
    pub code: String,
    /// In the engine's words.
    pub message: String,
}

/// Something that only the host can do. The worker waits for the [`Answer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Open a file for reading; the answer brings its descriptor. A directory opens without one.
    FsOpen {
        /// The whole guest path.
        path: String,
    },
    /// What is at the path.
    FsStat {
        /// The whole guest path.
        path: String,
    },
    /// What is in the directory, from `after` on.
    FsList {
        /// The whole guest path.
        path: String,
        /// 0 at first, then what the last answer gave as `next`.
        after: u64,
    },
    /// A configuration value.
    ConfigGet {
        /// The key.
        key: String,
    },
    /// Open a file for writing, or make it. The host keeps the file; where it may be read, too, the answer
    /// brings a descriptor for that.
    FsOpenWritable {
        /// The whole guest path.
        path: String,
        /// What may and what must be there.
        make: Make,
        /// Whether its content goes away.
        truncate: bool,
        /// Whether it is to be read as well.
        read: bool,
    },
    /// Write to a file that is open.
    FsWrite {
        /// As the host numbered it.
        file: u32,
        /// Where; none for its end.
        at: Option<u64>,
        /// What: at most [`crate::bounds::WRITE`].
        bytes: Bytes,
    },
    /// Make an open file longer, with zeroes, or shorter.
    FsSetSize {
        /// As the host numbered it.
        file: u32,
        /// Bytes.
        size: u64,
    },
    /// What an open file is by now.
    FsStatOpen {
        /// As the host numbered it.
        file: u32,
    },
    /// Bring an open file to the disk.
    FsSync {
        /// As the host numbered it.
        file: u32,
    },
    /// Let go of an open file.
    FsClose {
        /// As the host numbered it.
        file: u32,
    },
    /// Set the times of what is at the path.
    FsSetTimes {
        /// The whole guest path.
        path: String,
        /// Of the last access.
        accessed: NewTime,
        /// Of the last change of the content.
        modified: NewTime,
    },
    /// Make a directory.
    FsMakeDirectory {
        /// The whole guest path.
        path: String,
    },
    /// Remove what is at the path.
    FsRemove {
        /// The whole guest path.
        path: String,
        /// An empty directory, or else anything that is none.
        directory: bool,
    },
    /// Give what is at `from` the name `to`.
    FsName {
        /// The whole guest path.
        from: String,
        /// The whole guest path.
        to: String,
        /// Besides its own, or in place of it.
        keep: bool,
    },
    /// Send a request.
    HttpSend {
        /// Which.
        request: HttpRequest,
        /// Whether to answer with the head of the response, once it is there.
        wait: bool,
    },
    /// The next block of a request's body. The answer comes once there is room for it.
    HttpWrite {
        /// As the host numbered it.
        request: u32,
        /// At most [`crate::bounds::WRITE`].
        bytes: Bytes,
    },
    /// The body of a request is whole.
    HttpFinish {
        /// As the host numbered it.
        request: u32,
        /// Fields behind the body.
        trailers: Vec<HttpField>,
    },
    /// The head of the response.
    HttpHead {
        /// As the host numbered it.
        request: u32,
        /// Whether to wait for it.
        wait: bool,
    },
    /// More of the body of the response.
    HttpRead {
        /// As the host numbered it.
        request: u32,
        /// Whether to wait for it.
        wait: bool,
    },
    /// Wait for one of several things.
    HttpWait {
        /// Which: at most twice [`crate::bounds::HTTP_OPEN`].
        on: Vec<HttpInterest>,
        /// Not longer than this, if it is said.
        nanoseconds: Option<u64>,
    },
    /// Nothing more of a request is wanted: it is over, wherever it stands.
    HttpClose {
        /// As the host numbered it.
        request: u32,
    },
    /// The value of a key.
    KvGet {
        /// Which.
        key: String,
    },
    /// Set values, all or none.
    KvSet {
        /// At most [`crate::bounds::KV_ENTRIES`].
        entries: Vec<(String, Bytes)>,
    },
    /// Remove keys, all or none.
    KvDelete {
        /// At most [`crate::bounds::KV_KEYS`].
        keys: Vec<String>,
    },
    /// Some of the keys.
    KvKeys {
        /// 0 at first, then what the last answer gave as `next`.
        after: u64,
    },
    /// Add to a number.
    KvAdd {
        /// Its key.
        key: String,
        /// How much.
        delta: u64,
    },
    /// Set a value where the one that was seen is still there.
    KvSwap {
        /// Its key.
        key: String,
        /// The number of the value that was seen; none where there was none.
        seen: Option<u64>,
        /// The new one.
        value: Bytes,
    },
}

/// A field of a message: its name in lower case, and its value.
pub type HttpField = (String, Bytes);

/// A request, in the guest's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// `GET`, ...
    pub method: String,
    /// With TLS or without.
    pub scheme: HttpScheme,
    /// Host, and port if it is not the scheme's.
    pub authority: String,
    /// With the query.
    pub path: String,
    /// At most [`crate::bounds::HTTP_FIELD_COUNT`].
    pub fields: Vec<HttpField>,
    /// Its body.
    pub body: HttpBody,
    /// Nanoseconds to wait for a connection, for the first byte of the response, and between any two bytes.
    pub patience: [Option<u64>; 3],
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpBody {
    /// There is none.
    None,
    /// This, at most [`crate::bounds::HTTP_WHOLE`].
    Whole(Bytes),
    /// It comes block by block.
    Follows,
}

/// Something of a request that can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpInterest {
    /// Something of the response of this request.
    Arrival(u32),
    /// Room for more of the body of this request.
    Room(u32),
}

/// What may and what must be at a path when a file is opened for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Make {
    /// A file is there, or nothing happens.
    Never,
    /// Where none is, one is made.
    IfMissing,
    /// Nothing is there, and a file is made.
    Always,
}

/// A time to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NewTime {
    /// As it is.
    Keep,
    /// The host's clock.
    Now,
    /// Seconds and nanoseconds since 1970.
    At(i64, u32),
}

/// Bytes, encoded in one piece.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Whole;
        impl serde::de::Visitor<'_> for Whole {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        from.deserialize_byte_buf(Whole)
    }
}

/// The host's answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Refused by the grants.
    Denied,
    /// Allowed, and the file system said no.
    FsFailed(FsError),
    /// Opened; for a file the descriptor comes with it.
    FsOpened(Stat),
    /// What is there.
    FsStat(Stat),
    /// Entries of a directory.
    FsEntries {
        /// Names and kinds; `.` and `..` left out.
        entries: Vec<Entry>,
        /// Where to go on; none at the end.
        next: Option<u64>,
    },
    /// The configuration value, a JSON text, if it is set.
    Config(Option<String>),
    /// Opened for writing, under this number; the descriptor to read it comes with it where that was asked for.
    FsWritable(u32, Stat),
    /// So many bytes were written.
    FsWritten(u32),
    /// Done.
    FsDone,
    /// The request is on its way, under this number.
    HttpSent(u32),
    /// It is over without a response, or without the rest of one. The number means nothing any more.
    HttpFailed(HttpFault),
    /// So many bytes more would be taken at once.
    HttpRoom(u32),
    /// Nothing yet.
    HttpPending,
    /// The head of the response.
    HttpHead {
        /// Of which request.
        request: u32,
        /// 200, ...
        status: u16,
        /// In the order in which they came.
        fields: Vec<HttpField>,
        /// What there is of the body: at most [`crate::bounds::HTTP_FIRST`].
        first: Bytes,
        /// The trailers, where that was all of it.
        end: Option<Vec<HttpField>>,
    },
    /// More of the body.
    HttpBody {
        /// At most [`crate::bounds::WRITE`].
        bytes: Bytes,
        /// The trailers, where that was all of it.
        end: Option<Vec<HttpField>>,
    },
    /// For each thing that was waited for, whether it is there.
    HttpReady(Vec<bool>),
    /// The value, if there is one, and its number.
    KvValue(Option<(Bytes, u64)>),
    /// Some keys, and where to go on; none at the end.
    KvKeys {
        /// At most [`crate::bounds::KV_KEYS`].
        keys: Vec<String>,
        /// Where to go on.
        next: Option<u64>,
    },
    /// The sum; none where the value is no number, or the sum would be none.
    KvSum(Option<u64>),
    /// Done.
    KvDone,
    /// Not done: the value that was seen is there no more.
    KvLost,
    /// Not done: the store would hold too much.
    KvFull,
    /// Not done: the store does not work.
    KvFailed,
}

/// Why there is no response, in words that a guest can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpFault {
    /// What it asked for on the way is not granted.
    Denied,
    /// The look-up of the name took too long.
    DnsTimeout,
    /// The name leads nowhere.
    DnsError,
    /// It leads to an address that plugins may not reach.
    AddressProhibited,
    /// There is no way there.
    Unreachable,
    /// Nobody listens there.
    Refused,
    /// The connection broke.
    Terminated,
    /// No connection in time.
    ConnectTimeout,
    /// Nothing more came in time.
    ReadTimeout,
    /// Too many requests, or too many bytes.
    LimitReached,
    /// No TLS that both sides speak.
    TlsProtocol,
    /// The server's certificate does not convince.
    TlsCertificate,
    /// The server ended the handshake.
    TlsAlert,
    /// The body of the request is too long, or not as long as was said.
    RequestBodySize,
    /// The response broke off.
    ResponseIncomplete,
    /// Its fields are too many or too long.
    ResponseHeaderSize,
    /// Its body is too long.
    ResponseBodySize,
    /// No response in time.
    ResponseTimeout,
    /// What came is no HTTP.
    Protocol,
    /// The host could not do it.
    Internal,
}

/// Errors of the file system that a guest can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FsError {
    /// ENOENT
    NotFound,
    /// ENOTDIR
    NotDirectory,
    /// ENAMETOOLONG
    NameTooLong,
    /// EEXIST
    Exists,
    /// ENOTEMPTY
    NotEmpty,
    /// EISDIR
    IsDirectory,
    /// EXDEV
    CrossDevice,
    /// EINVAL: a directory into itself, an offset past the end of all files.
    Invalid,
    /// ENOSPC
    NoSpace,
    /// EROFS
    ReadOnly,
    /// A mount point, or the granted directory itself.
    Busy,
    /// The plugin's quota is used up, or it has too many files open.
    Quota,
    /// EIO and everything else
    Io,
}

/// What kind of thing a path names. Anything but the two is only ever named, never opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; never followed.
    Symlink,
    /// A device, FIFO or socket.
    Other,
}

/// What the host tells of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// Number of hard links.
    pub links: u64,
    /// Last access, seconds and nanoseconds since 1970; likewise the next two.
    pub accessed: (i64, u32),
    /// Last change of the content.
    pub modified: (i64, u32),
    /// Last change of the status.
    pub changed: (i64, u32),
    /// A number that is equal for equal files and tells nothing else: device and inode, hashed
    /// under a key of the session.
    pub identity: (u64, u64),
}

/// One directory entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name; entries whose names are not UTF-8 are left out by the host.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// As in [`Stat`]; none where it is gone already.
    pub identity: Option<(u64, u64)>,
}

/// A line for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// How important.
    pub level: LogLevel,
    /// Hostile text; not escaped here.
    pub line: String,
    /// Values beside it, by name. As hostile.
    pub fields: Vec<(String, String)>,
}

/// How important a line is. Lines from stdout are `Info`, from stderr `Warn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// For debugging.
    Debug,
    /// Normal.
    Info,
    /// Unusual.
    Warn,
    /// Wrong.
    Error,
}

/// The worker refused something itself: a claim for the log, not evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// `fs.read`, `socket`, `http`, ...
    pub operation: String,
    /// What it was aimed at, in the guest's words.
    pub resource: String,
    /// Which rule refused it, and where that rule comes from.
    pub rule: Rule,
    /// Why.
    pub reason: String,
}

macro_rules! messages {
    ($(#[$doc:meta])* $name:ident { $($kind:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[expect(missing_docs, reason = "said at the struct of the same name")] $kind($kind)),+
        }

        impl $name {
            /// Which message it is.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind),+ }
            }

            /// Appends it to `out` as a frame.
            pub fn frame(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
                match self { $(Self::$kind(message) => crate::frame(Kind::$kind, message, out)),+ }
            }

            fn read(kind: Kind, body: &[u8]) -> Result<Self, Fault> {
                match kind {
                    $(Kind::$kind => decode(body).map(Self::$kind),)+
                    other => Err(Fault::Direction(other)),
                }
            }
        }

        $(impl From<$kind> for $name {
            fn from(message: $kind) -> Self {
                Self::$kind(message)
            }
        })+
    };
}

messages! {
    /// Everything that the host sends.
    ToWorker { Load, Compile, Call, Answer, Delegated, Rest }
}

messages! {
    /// Everything that a confined program sends.
    ToHost { Hello, Confined, Loaded, Rejected, Compiled, Return, Ask, Log, Refused, Delegate }
}

impl ToWorker {
    /// Decodes a body from the host, which the worker has no choice but to trust.
    pub fn decode(kind: Kind, body: &[u8]) -> Result<Self, Fault> {
        Self::read(kind, body)
    }
}

impl ToHost {
    /// Decodes a body from a worker into a claim.
    pub fn decode(kind: Kind, body: &[u8]) -> Result<Untrusted<Self>, Fault> {
        Self::read(kind, body).map(Untrusted::new)
    }
}

fn at_most(text: &str, max: usize) -> Result<(), Fault> {
    if text.len() <= max || !stands("claim.texts") {
        Ok(())
    } else {
        Err(Fault::Implausible("a text over its limit"))
    }
}

fn few(fields: &[HttpField]) -> Result<(), Fault> {
    if fit(fields.iter().map(|(name, value)| name.len() + value.0.len()), HTTP_FIELD_COUNT, HTTP_FIELDS) {
        Ok(())
    } else {
        Err(Fault::Implausible("fields over their limit"))
    }
}

fn stored<'a>(entries: impl IntoIterator<Item = (&'a String, usize)> + Clone) -> Result<(), Fault> {
    entries.clone().into_iter().try_for_each(|(key, _)| at_most(key, NAME))?;
    if fit(entries.into_iter().map(|(key, value)| key.len() + value), KV_KEYS, KV_ENTRIES) {
        Ok(())
    } else {
        Err(Fault::Implausible("more for the store than fits into one ask"))
    }
}

impl Claim for ToHost {
    fn plausible(&self) -> Result<(), Fault> {
        match self {
            Self::Hello(hello) => at_most(&hello.filter, NAME),
            Self::Confined(_) | Self::Loaded(_) => Ok(()),
            Self::Rejected(rejected) => at_most(&rejected.message, TEXT),
            Self::Compiled(compiled) => compiled.world.plausible(),
            Self::Return(Return { outcome, .. }) => match outcome {
                Outcome::Value(text) => at_most(text, PAYLOAD),
                Outcome::Error(error) => at_most(error.message(), TEXT),
                Outcome::Trap(trap) => at_most(&trap.code, NAME).and(at_most(&trap.message, TEXT)),
            },
            Self::Ask(ask) => match ask {
                Ask::FsOpen { path } | Ask::FsStat { path } | Ask::FsList { path, .. } => {
                    at_most(path, stockade_policy::MAX_PATH)
                }
                Ask::FsOpenWritable { path, .. }
                | Ask::FsSetTimes { path, .. }
                | Ask::FsMakeDirectory { path }
                | Ask::FsRemove { path, .. } => at_most(path, stockade_policy::MAX_PATH),
                Ask::FsName { from, to, .. } => {
                    at_most(from, stockade_policy::MAX_PATH).and(at_most(to, stockade_policy::MAX_PATH))
                }
                Ask::FsWrite { bytes: Bytes(bytes), .. } | Ask::HttpWrite { bytes: Bytes(bytes), .. }
                    if bytes.len() > WRITE =>
                {
                    Err(Fault::Implausible("a write over its limit"))
                }
                Ask::FsWrite { .. }
                | Ask::FsSetSize { .. }
                | Ask::FsStatOpen { .. }
                | Ask::FsSync { .. }
                | Ask::FsClose { .. } => Ok(()),
                Ask::ConfigGet { key } => at_most(key, NAME),
                Ask::HttpSend { request: HttpRequest { body: HttpBody::Whole(bytes), .. }, .. }
                    if bytes.0.len() > HTTP_WHOLE =>
                {
                    Err(Fault::Implausible("a body over its limit"))
                }
                Ask::HttpSend { request, .. } => at_most(&request.method, NAME)
                    .and(at_most(&request.authority, NAME))
                    .and(at_most(&request.path, MAX_TARGET))
                    .and(few(&request.fields)),
                Ask::HttpFinish { trailers, .. } => few(trailers),
                Ask::HttpWait { on, .. } if on.len() > 2 * HTTP_OPEN => {
                    Err(Fault::Implausible("a wait for more than there can be"))
                }
                Ask::KvGet { key } | Ask::KvAdd { key, .. } => at_most(key, NAME),
                Ask::KvSwap { key, value, .. } => stored([(key, value.0.len())]),
                Ask::KvSet { entries } => stored(entries.iter().map(|(key, value)| (key, value.0.len()))),
                Ask::KvDelete { keys } => stored(keys.iter().map(|key| (key, 0))),
                Ask::HttpWrite { .. }
                | Ask::KvKeys { .. }
                | Ask::HttpHead { .. }
                | Ask::HttpRead { .. }
                | Ask::HttpWait { .. }
                | Ask::HttpClose { .. } => Ok(()),
            },
            Self::Delegate(delegate) => delegate.plausible(),
            Self::Log(log) => {
                let beside = log.fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
                if log.fields.len() > LOG_FIELDS
                    || log.line.len() + beside > LOG_LINE && stands("claim.texts")
                {
                    return Err(Fault::Implausible("a line over its limit"));
                }
                Ok(())
            }
            Self::Refused(refused) => at_most(&refused.operation, NAME)
                .and(at_most(&refused.resource, TEXT))
                .and(at_most(&refused.rule.id, TEXT))
                .and(at_most(&refused.reason, TEXT)),
        }
    }
}

impl ToolError {
    /// The plugin's words.
    pub fn message(&self) -> &str {
        match self {
            Self::UnknownTool(text)
            | Self::InvalidArguments(text)
            | Self::Denied(text)
            | Self::Failed(text) => text,
        }
    }

    /// A stable name of the case, as in the contract.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownTool(_) => "unknown-tool",
            Self::InvalidArguments(_) => "invalid-arguments",
            Self::Denied(_) => "denied",
            Self::Failed(_) => "failed",
        }
    }
}

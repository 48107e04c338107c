//! Every bound of the protocol, with its reason. Checked before anything is allocated.

/// Body of a control frame: 64 KiB. More than any honest control message needs; a flood of the largest
/// costs the host one reused buffer.
pub const CONTROL: usize = 64 * 1024;

/// Arguments or result of one call: 4 MiB of JSON text. The contract names the same number.
pub const PAYLOAD: usize = 4 * 1024 * 1024;

/// Body of a frame that carries a payload: the payload and room for the fields around it.
pub const PAYLOAD_FRAME: usize = PAYLOAD + 4096;

/// Body of the compiler's report: 1 MiB. A component with a million exports must not fill the host.
pub const REPORT: usize = 1024 * 1024;

/// Names of imports, exports, parameters, cases: 256 bytes each.
pub const NAME: usize = 256;

/// Imports, exports, and types of one component: 4096 of each.
pub const ITEMS: usize = 4096;

/// Fields, cases, or parameters in one type or function: 256. JSON Schemas grow with it.
pub const MEMBERS: usize = 256;

/// How deep types may nest: 32. The host walks them recursively; this bounds its stack.
pub const TYPE_DEPTH: u16 = 32;

/// How many nodes one function's types may unfold to when every shared type is written out: 65,536.
/// Sharing makes a small arena stand for an exponentially large schema; this stops it.
pub const UNFOLDED: u32 = 65_536;

/// A log line: 4 KiB; the worker cuts longer ones, the host refuses them.
pub const LOG_LINE: usize = 4 * 1024;

/// Values beside a log line: 32. Names and values count towards [`LOG_LINE`].
pub const LOG_FIELDS: usize = 32;

/// A message that explains a trap, an error or a refusal: 4 KiB.
pub const TEXT: usize = 4 * 1024;

/// Entries in one answer to a directory listing: 192, so that an answer stays within [`CONTROL`]
/// even when every name has the longest length, 255 bytes.
pub const ENTRIES: usize = 192;

/// Bytes in one write to a file: 60 KiB, so that the ask stays within [`CONTROL`].
pub const WRITE: usize = 60 * 1024;

/// Files that one worker can have open for writing: 16. The host holds them.
pub const WRITABLE: usize = 16;

/// Names and values of the fields of one request or response, and 16 bytes for each: 32 KiB, as common servers
/// take, and so that they fit into [`CONTROL`] with what goes beside them.
pub const HTTP_FIELDS: usize = 32 * 1024;

/// Fields of one request or response: 128.
pub const HTTP_FIELD_COUNT: usize = 128;

/// Bytes of a body that come with the head of a response: 16 KiB, so that both fit into [`CONTROL`].
pub const HTTP_FIRST: usize = 16 * 1024;

/// Body of a request that goes with its head: 16 KiB, so that both fit into [`CONTROL`].
pub const HTTP_WHOLE: usize = 16 * 1024;

/// Requests that one worker can have on their way: 16. The host holds a connection for each.
pub const HTTP_OPEN: usize = 16;

/// Keys and values of one ask for the store, and 16 bytes for each: 60 KiB, so that the ask stays within [`CONTROL`].
pub const KV_ENTRIES: usize = 60 * 1024;

/// Keys in one ask for the store, and in one answer: 128.
pub const KV_KEYS: usize = 128;

/// A configuration value: 32 KiB of JSON text.
pub const CONFIG_VALUE: usize = 32 * 1024;

/// Texts of one question to a model: 1 MiB, which is more than any model reads at once.
pub const MODEL_TEXT: usize = 1024 * 1024;

/// Messages of one question to a model, and calls in them: 1024.
pub const MODEL_MESSAGES: usize = 1024;

/// Functions of one question to a model: 128, as many as endpoints take.
pub const MODEL_FUNCTIONS: usize = 128;

/// What an endpoint may answer to one question: 1 MiB.
pub const MODEL_RESPONSE: usize = 1024 * 1024;

/// Descriptors in one frame: at most two (a component and the file its artifact goes to).
pub const FDS: usize = 2;

/// Whether entries of these sizes are at most so many, and have at most so many bytes together with 16 for each: what
/// their lengths take on the wire.
pub fn fit(sizes: impl IntoIterator<Item = usize>, most: usize, bytes: usize) -> bool {
    let (count, sum) = sizes.into_iter().fold((0, 0), |(count, sum), size| (count + 1, sum + size + 16));
    count <= most && sum <= bytes
}

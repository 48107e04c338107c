//! How long anything in a record may be.
//!
//! Most of these strings come from a plugin, or from a worker that it has taken over. A longer one is cut
//! on a character boundary and the number of bytes that were cut is in the record's `cut`, which no
//! plugin can write into.

/// Bytes of a plugin's name; package names are shorter.
pub const PLUGIN_NAME: usize = 128;
/// Bytes of a version.
pub const VERSION: usize = 64;
/// Bytes of a digest: SHA-256 in hex.
pub const DIGEST: usize = 64;
/// Bytes of a plugin type, an event, a launch id: names that the host makes.
pub const NAME: usize = 64;
/// Bytes of an operation: a capability, a syscall, an import.
pub const OPERATION: usize = 128;
/// Bytes of a resource: `PATH_MAX`, so that every path that the kernel takes is there in full.
pub const RESOURCE: usize = 4096;
/// Bytes of a rule's id and of its source.
pub const RULE: usize = 512;
/// Bytes of a reason and of a next step: a sentence or two.
pub const SENTENCE: usize = 1024;
/// Entries in the detail map: a syscall with its six arguments, or an attestation, and room to grow.
pub const DETAIL_ENTRIES: usize = 32;
/// Bytes of a value in the detail map.
pub const DETAIL_VALUE: usize = 512;
/// Bytes of a line. The bounds above come to under 30 KiB, six times that when every byte is escaped:
/// no record reaches this, so a reader may refuse a longer line before it takes memory for it.
pub const LINE: usize = 256 * 1024;

/// Plugins that have flood counters of their own at one time. A plugin counts as another one when its
/// digest differs, so a hostile author could make many; past this they share one set of counters.
pub const FLOOD_PLUGINS: usize = 4096;
/// Flood counters for one plugin, one for each operation and layer. Past this the plugin's operations
/// share one, so that made-up operation names cost the plugin its own detail and nobody else anything.
pub const FLOOD_BUCKETS: usize = 32;
/// Bytes kept of the latest folded record's resource.
pub const FLOOD_SAMPLE: usize = 256;

/// Bytes at the end of a log whose chain is checked before it is appended to: some ten thousand records,
/// about 20 ms. `verify` is for the whole.
pub const TAIL_CHECKED: u64 = 8 * 1024 * 1024;
/// Torn tails kept aside in one directory. More of them means a machine that crashes all day, or someone
/// who fills the disk with them.
pub const TORN_FILES: u32 = 1000;
/// Findings that a report lists; one number says how many there are in all.
pub const FINDINGS: usize = 1000;

/// Bytes of a signed note: a checkpoint has under 500, and each witness that signs one adds 200.
pub const NOTE: usize = 64 * 1024;
/// Signatures under a note; the specification asks for 16 at least.
pub const SIGNATURES: usize = 64;

/// Bytes that readers take from a file at a time: they are looked at several times, and so should stay in a cache.
pub const READ_BUFFER: usize = 64 * 1024;
/// Bytes of a segment, decompressed: a thousand bytes of gzip can claim to be a million, so there is an end
/// to what is read of one. Far above the size at which the log rotates.
pub const SEGMENT_MOST: u64 = 8 * 1024 * 1024 * 1024;
/// The size at which the log rotates at most, whatever the options say: half of what is read.
pub const SEGMENT_BYTES_MOST: u64 = SEGMENT_MOST / 2;
/// Bytes at the end of `checkpoints` that the log starts from; an entry has under two thousand. Verifying reads
/// all of it.
pub const NOTEBOOK: usize = 4 * 1024 * 1024;
/// Records that are written with one write(2) where many come together: some 50 KiB, by which the call itself costs
/// little.
pub const AT_ONCE: usize = 64;
/// Records of what went wrong beside the log that wait to be written.
pub const NOTICES: usize = 32;
/// Keys that a log names whose signatures are looked at where the auditor brings none. A key is lost or changed a
/// few times in a log's life; each costs one more look at every checkpoint.
pub const NAMED_KEYS: usize = 16;
/// Bytes of `checkpoints` that are verified: ten busy years. Whoever can write the directory could make it longer.
pub const CHECKPOINTS: u64 = 1024 * 1024 * 1024;

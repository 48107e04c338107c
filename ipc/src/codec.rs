//! The encoding of bodies: bincode 2 in its legacy layout (fixed-width little-endian integers, `u64`
//! lengths, `u32` variant indices), under a hard limit. The only file that names bincode; see
//! docs/decisions/0003 for why it is here and how to leave it.

use bincode::config::{self, Configuration, Fixint, Limit, LittleEndian};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stockade_policy::stands;

use crate::Fault;
use crate::bounds::{CONTROL, PAYLOAD_FRAME};

/// bincode accounts every claimed length against this before it allocates; the frame header has
/// already bounded the body itself to its kind's limit.
type Layout<const LIMIT: usize> = Configuration<LittleEndian, Fixint, Limit<LIMIT>>;

const fn layout<const LIMIT: usize>() -> Layout<LIMIT> {
    config::legacy().with_limit::<LIMIT>()
}

/// Appends the encoding of `message` to `out`.
pub(crate) fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), Fault> {
    let written = bincode::serde::encode_into_std_write(message, out, layout::<PAYLOAD_FRAME>());
    written.map(drop).map_err(|_| Fault::Encode)
}

/// Decodes a whole body. Bytes left over are refused: bincode itself would ignore them.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    // bincode makes room for a text before it finds its bytes missing: a small body gets the small
    // limit, so that thirty bytes cannot claim 4 MiB.
    let decoded = if body.len() <= CONTROL && stands("codec.small-limit") {
        bincode::serde::decode_from_slice(body, layout::<CONTROL>())
    } else {
        bincode::serde::decode_from_slice(body, layout::<PAYLOAD_FRAME>())
    };
    let (message, used) = decoded.map_err(|e| Fault::Decode(e.to_string()))?;
    if used == body.len() || !stands("codec.trailing") {
        Ok(message)
    } else {
        Err(Fault::Trailing(body.len() - used))
    }
}

//! The encoding of bodies: bincode 2 in its legacy layout (fixed-width little-endian integers, `u64`
//! lengths, `u32` variant indices), under a hard limit. The only file that names bincode; see
//! docs/decisions/0003 for why it is here and how to leave it.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Fault;
use crate::bounds::PAYLOAD_FRAME;

/// bincode accounts every claimed length against this before it allocates; the frame header has
/// already bounded the body itself to its kind's limit.
const CONFIG: Configuration<LittleEndian, Fixint, Limit<PAYLOAD_FRAME>> =
    bincode::config::legacy().with_limit::<PAYLOAD_FRAME>();

/// Appends the encoding of `message` to `out`.
pub(crate) fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), Fault> {
    bincode::serde::encode_into_std_write(message, out, CONFIG).map(drop).map_err(|_| Fault::Encode)
}

/// Decodes a whole body. Bytes left over are refused: bincode itself would ignore them.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let (message, used) =
        bincode::serde::decode_from_slice(body, CONFIG).map_err(|e| Fault::Decode(e.to_string()))?;
    if used == body.len() { Ok(message) } else { Err(Fault::Trailing(body.len() - used)) }
}

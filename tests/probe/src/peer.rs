//! Group B: speaking the protocol wrongly.

use serde_json::{Value, json};
use stockade_ipc::Call;
use stockade_seal::{Channel, SealError};

/// The misbehaviour that the runner has written into this copy of the program, if any.
pub(crate) fn at_boot() -> Option<&'static str> {
    None
}

/// Misbehaves before it is attested.
pub(crate) fn boot(_misbehaviour: &str) -> Result<(), SealError> {
    Ok(())
}

/// Misbehaves in the middle of a call.
pub(crate) fn misbehave(_channel: &mut Channel, _call: &Call, arguments: &Value) -> Result<Value, SealError> {
    Ok(json!({ "unknown": arguments }))
}

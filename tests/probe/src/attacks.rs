//! Group A: the catalogue of native attacks.

use serde_json::{Value, json};

/// Runs one attack in this process and says what came of it.
pub(crate) fn attempt(arguments: &Value) -> Value {
    json!({ "unknown": arguments })
}

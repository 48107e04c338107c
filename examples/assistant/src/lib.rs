//! Answers a question with a language model and the tools that it was granted.
//!
//! It knows no tool by itself: the operator grants some, and the model is told what they do. What a tool says is
//! shown to the model as the tool's word; whatever the model then wants is still only what was granted, and the
//! host counts every call, token and coin of it.

mod conversation;
mod functions;

pub use conversation::{Ask, Called, Host, Others, Report, ask};
pub use functions::Functions;

#[cfg(target_family = "wasm")]
stockade_sdk::tools! {
    "ask" => conversation::run,
}

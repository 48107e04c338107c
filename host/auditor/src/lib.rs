//! What `stockade-audit` does, command by command.
//!
//! Exit codes are the same for all: 0 sound, or done; 1 findings; 2 the arguments are wrong, or what they name
//! cannot be read.

#![forbid(unsafe_code)]

pub mod verify;

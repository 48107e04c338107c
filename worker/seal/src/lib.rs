//! How a confined program seals itself before it sees its first untrusted byte.
//!
//! The host has already done most of it: namespaces, limits, uid, `no_new_privs`, a deny-all Landlock
//! domain, an empty environment, and exactly the descriptors it may have. What is left is one filter and
//! the proof that it stands. The stages are types; the wrong order does not compile:
//!
//! [`Bare`] → [`Confined`] → (the host attests) → [`Channel`].
//!
//! The process has one thread from its first instruction to its last.

mod bare;
mod channel;
mod error;
mod filter;

pub use bare::{Bare, Confined};
pub use channel::Channel;
pub use error::SealError;
pub use filter::{FILTERS, Filter};

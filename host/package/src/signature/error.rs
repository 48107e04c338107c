use std::io;
use std::path::PathBuf;

use stockade_policy::{NoKey, PublicKey};

use crate::{Explain, Problem};

/// Why a signature counts for nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not the JSON of an envelope.
    #[error("it is no DSSE envelope")]
    Envelope(#[source] serde_json::Error),
    /// The envelope of something that is not signed here.
    #[error("what is signed is of the type {found:?}, and application/vnd.in-toto+json is")]
    PayloadType {
        /// In the envelope.
        found: String,
    },
    /// Not in base64.
    #[error("the envelope holds what is no base64")]
    Base64(#[source] base64::DecodeError),
    /// What is signed is no statement about files.
    #[error("what is signed is no in-toto statement about files")]
    Statement(#[source] serde_json::Error),
    /// A plugin's signature on a policy, or the other way round.
    #[error("it signs {found:?}, not {expected:?}")]
    Kind {
        /// In the statement.
        found: String,
        /// What it is here.
        expected: &'static str,
    },
    /// More than is ever needed.
    #[error("it has too many {0}")]
    TooMany(&'static str),
    /// Other bytes than what was signed.
    #[error("{name:?} is not what was signed")]
    Changed {
        /// Which file.
        name: String,
    },
    /// What was signed is not there.
    #[error("{name:?} was signed too, and is not here")]
    Missing {
        /// Which file.
        name: String,
    },
    /// The signatures that are there are of other files.
    #[error("the signatures that are there are of something else")]
    OfSomethingElse,
    /// Keys are named by themselves.
    #[error("a signature names its key as {found:?}")]
    KeyId {
        /// In the envelope.
        found: String,
        /// Why that is none.
        #[source]
        source: NoKey,
    },
    /// Forged, or of other bytes.
    #[error("a signature is not that of {key}")]
    NotItsKeys {
        /// Whose it is said to be.
        key: PublicKey,
    },
    /// An envelope without signatures.
    #[error("nobody has signed it")]
    Nobody,
}

impl SignatureError {
    /// Stable, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Changed { .. } | Self::Missing { .. } | Self::OfSomethingElse => "signature-of-other-files",
            Self::NotItsKeys { .. } => "signature-forged",
            _ => "signature-malformed",
        }
    }

    /// What to do about it.
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::Changed { .. } | Self::Missing { .. } | Self::OfSomethingElse => {
                "get the files as they were signed; if you changed them yourself, remove the signature and sign anew (stockade sign)"
            }
            Self::NotItsKeys { .. } => "do not use it: get it anew from its publisher",
            _ => "have it signed anew (stockade sign)",
        }
    }
}

impl Explain for SignatureError {
    fn problem(&self) -> Problem {
        Problem::new(self.code(), "signature", self.chain(), self.next_step())
    }
}

/// Why a file has no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not there, or not for us to read or write.
    #[error("{path:?} cannot be read or written")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others could have read it, and may have it.
    #[error("{path:?} can be read by others")]
    Exposed {
        /// Which file.
        path: PathBuf,
    },
    /// No key, or of another kind.
    #[error("{path:?} is no private key in PKCS#8, for Ed25519")]
    NotAKey {
        /// Which file.
        path: PathBuf,
    },
    /// The machine has none to give.
    #[error("the kernel has no random bytes")]
    Random(#[source] io::Error),
}

impl Explain for KeyError {
    fn problem(&self) -> Problem {
        let (code, next_step) = match self {
            Self::File { .. } => {
                ("key-file", "name a file that you can read, or a new one in a folder that you can write to")
            }
            Self::Exposed { .. } => {
                ("key-exposed", "make a new key, and keep others from reading it: chmod 600")
            }
            Self::NotAKey { .. } => {
                ("bad-key", "make one with stockade key new, or openssl genpkey -algorithm ed25519")
            }
            Self::Random(_) => ("no-random", "try again"),
        };
        Problem::new(code, "--key", self.chain(), next_step)
    }
}

//! Who has signed what: detached signatures over files, for plugins, the organisation's policy and indexes of plugins.
//! In the form that others use: a DSSE envelope (<https://github.com/secure-systems-lab/dsse>, v1.0.2) around an in-toto statement
//! (<https://in-toto.io/Statement/v1>) that has the SHA-256 of each file, with Ed25519.
//!
//! What comes of a check is which keys have signed. Whether one of them is trusted is the policy's to say.

mod envelope;
mod error;
mod file;
mod key;

use serde::{Deserialize, Serialize};
use stockade_policy::{PublicKey, stands};

use crate::sha256;

pub use envelope::{Envelope, MAX_ENVELOPE};
pub use error::{KeyError, SignatureError};
pub use file::{
    INDEX_SIGNATURE_SUFFIX, fetched_index_signers, index_signers, policy_signers, sign_index, sign_plugin,
    sign_policy,
};
pub use key::SigningKey;

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// Files of one statement: a manifest and a component are two.
const MAX_SUBJECTS: usize = 16;

/// What is signed. A signature for one is none for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// A plugin's manifest and component.
    Plugin,
    /// The organisation's policy.
    Policy,
    /// An index of plugins.
    Index,
}

/// A file, by what it is called and what is in it.
#[derive(Clone, Copy, Debug)]
pub struct SignedFile<'a> {
    /// As the statement names it.
    pub name: &'a str,
    /// All of it.
    pub bytes: &'a [u8],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Nothing,
}

/// No claims besides the files: what the manifest says is signed with it.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: Digests,
}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Digests {
    sha256: String,
}

impl Signed {
    const fn predicate_type(self) -> &'static str {
        match self {
            Self::Plugin => "urn:stockade:plugin:v1",
            Self::Policy => "urn:stockade:policy:v1",
            Self::Index => "urn:stockade:index:v1",
        }
    }
}

fn subject(file: &SignedFile<'_>) -> Subject {
    Subject { name: file.name.to_owned(), digest: Digests { sha256: sha256(file.bytes) } }
}

fn statement(what: Signed, files: &[SignedFile<'_>]) -> Statement {
    Statement {
        kind: STATEMENT.to_owned(),
        subject: files.iter().map(subject).collect(),
        predicate_type: what.predicate_type().to_owned(),
        predicate: Nothing {},
    }
}

/// Signs these files, besides whoever has signed just the same before.
///
/// # Errors
///
/// `before` is of something else.
pub fn sign(
    what: Signed,
    files: &[SignedFile<'_>],
    key: &SigningKey,
    before: Option<Envelope>,
) -> Result<Envelope, SignatureError> {
    let payload = serde_json::to_vec(&statement(what, files)).map_err(SignatureError::Statement)?;
    let mut envelope = match before {
        Some(envelope) if envelope.payload()? == payload => envelope,
        Some(_) => return Err(SignatureError::OfSomethingElse),
        None => Envelope::of(&payload),
    };
    envelope.sign(key)?;
    Ok(envelope)
}

/// The keys that have signed exactly these files. One signature in it that is none, or a statement of anything else,
/// and all of it counts for nothing.
///
/// # Errors
///
/// The envelope is none, is of other files, or a signature in it is not its key's.
pub fn signers(
    what: Signed,
    files: &[SignedFile<'_>],
    envelope: &Envelope,
) -> Result<Vec<PublicKey>, SignatureError> {
    let signers = envelope.signers()?;
    let payload = envelope.payload()?;
    let said: Statement = serde_json::from_slice(&payload).map_err(SignatureError::Statement)?;
    if said.kind != STATEMENT || said.predicate_type != what.predicate_type() {
        return Err(SignatureError::Kind { found: said.predicate_type, expected: what.predicate_type() });
    }
    if said.subject.len() > MAX_SUBJECTS {
        return Err(SignatureError::TooMany("files"));
    }
    for file in files {
        let expected = subject(file);
        if !said.subject.contains(&expected) && stands("signature.files") {
            return Err(SignatureError::Changed { name: expected.name });
        }
    }
    // A statement of more could be made to fit a folder that was added to later.
    let is_more = |signed: &&Subject| !files.iter().any(|file| file.name == signed.name);
    match said.subject.iter().find(is_more) {
        Some(more) => Err(SignatureError::Missing { name: more.name.clone() }),
        None if said.subject.len() > files.len() => Err(SignatureError::OfSomethingElse),
        None => Ok(signers),
    }
}

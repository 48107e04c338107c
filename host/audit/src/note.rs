//! Signed notes (c2sp.org/signed-note): a text and Ed25519 signatures of it, each a line.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::{AuditError, bounds};

/// Ed25519 in the number space of the specification.
const ED25519: u8 = 1;

/// A public key in the form that C2SP gives it, `NAME+ID+KEY`: what an auditor keeps.
///
/// ```
/// let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
/// let key: stockade_audit::VerifierKey = text.parse()?;
/// assert_eq!((key.name(), key.to_string().as_str()), ("PeterNeumann", text));
/// # Ok::<(), stockade_audit::AuditError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

/// A note as it was read: what it says, and who may have signed it. Nothing is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<SignatureLine>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SignatureLine {
    name: String,
    id: [u8; 4],
    signature: Vec<u8>,
}

/// What a note has of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// A signature that holds.
    Yes,
    /// No signature that claims to be of this key.
    No,
    /// One that claims to be, and is not.
    Bad,
}

/// A private key with the name that it signs under.
pub(crate) struct NoteSigner {
    key: SigningKey,
    verifier: VerifierKey,
}

impl VerifierKey {
    fn new(name: &str, key: VerifyingKey) -> Self {
        Self { name: name.to_owned(), id: key_id(name, &key), key }
    }

    /// The name that it signs under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of a hash over name and key, in hex: tells keys of one name apart.
    pub fn id(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id))
    }

    /// The 32 bytes of the key, for other programs.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }
}

fn key_id(name: &str, key: &VerifyingKey) -> [u8; 4] {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ED25519])
        .chain_update(key.as_bytes())
        .finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// Whether a name can stand in a signature line and in a key.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

impl FromStr for VerifierKey {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let bad = |problem| AuditError::VerifierKey { text: text.chars().take(200).collect(), problem };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("it is not NAME+ID+KEY"));
        };
        if !is_name(name) {
            return Err(bad("its name is empty or has a space in it"));
        }
        let bytes = STANDARD.decode(key).map_err(|_| bad("its key is not base64"))?;
        let Some((&ED25519, bytes)) = bytes.split_first() else {
            return Err(bad("its key is not of the kind Ed25519"));
        };
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| bad("its key has not 32 bytes"))?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| bad("its key is no point of the curve"))?;
        if key.is_weak() {
            return Err(bad("its key is one under which anything verifies"));
        }
        let read = Self::new(name, key);
        // One spelling only: lowercase hex.
        if read.id() == id { Ok(read) } else { Err(bad("its id is not that of its name and key")) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key: Vec<u8> = std::iter::once(ED25519).chain(*self.key.as_bytes()).collect();
        write!(f, "{}+{}+{}", self.name, self.id(), STANDARD.encode(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl NoteSigner {
    pub(crate) fn new(name: &str, secret: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(secret);
        let verifier = VerifierKey::new(name, key.verifying_key());
        Self { key, verifier }
    }

    pub(crate) const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The line of its signature under `text`, with its newline.
    fn line(&self, text: &str) -> String {
        let mut bytes = self.verifier.id.to_vec();
        bytes.extend_from_slice(&self.key.sign(text.as_bytes()).to_bytes());
        format!("— {} {}\n", self.verifier.name, STANDARD.encode(bytes))
    }
}

/// A note of `text`, which ends in a newline, with the signatures of all `signers`.
pub(crate) fn sign(text: &str, signers: &[&NoteSigner]) -> String {
    debug_assert!(text.ends_with('\n') && !text.contains("\n\n"));
    let mut note = format!("{text}\n");
    signers.iter().for_each(|signer| note.push_str(&signer.line(text)));
    note
}

impl SignedNote {
    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `key` signed it. Signatures of other keys are left alone, as the specification wants.
    pub fn signed_by(&self, key: &VerifierKey) -> Signed {
        let mut found = Signed::No;
        for line in self.signatures.iter().filter(|line| line.name == key.name && line.id == key.id) {
            let good = Signature::from_slice(&line.signature)
                .is_ok_and(|signature| key.key.verify_strict(self.text.as_bytes(), &signature).is_ok());
            if !good {
                return Signed::Bad;
            }
            found = Signed::Yes;
        }
        found
    }

    /// Name and key id of each signature, for whoever is to say whose it is.
    pub fn signers(&self) -> impl Iterator<Item = (&str, String)> {
        self.signatures
            .iter()
            .map(|line| (line.name.as_str(), format!("{:08x}", u32::from_be_bytes(line.id))))
    }
}

impl FromStr for SignedNote {
    type Err = AuditError;

    fn from_str(note: &str) -> Result<Self, AuditError> {
        let bad = |problem| AuditError::Note { problem };
        if note.len() > bounds::NOTE {
            return Err(bad("it is longer than any checkpoint"));
        }
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(bad("there are control characters in it"));
        }
        let end = note.rfind("\n\n").ok_or(bad("no empty line stands before its signatures"))?;
        let (text, lines) = (&note[..=end], &note[end + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(bad("its last line does not end"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            let (name, signature) = line
                .strip_prefix("— ")
                .and_then(|line| line.split_once(' '))
                .filter(|(name, _)| is_name(name))
                .ok_or(bad("a line under its text is not a signature"))?;
            let bytes = STANDARD.decode(signature).map_err(|_| bad("a signature is not base64"))?;
            let (id, signature) = bytes.split_first_chunk().ok_or(bad("a signature has no key id"))?;
            if signature.is_empty() {
                return Err(bad("a signature is empty"));
            }
            if signatures.len() == bounds::SIGNATURES {
                return Err(bad("it has too many signatures"));
            }
            signatures.push(SignatureLine { name: name.to_owned(), id: *id, signature: signature.to_vec() });
        }
        Ok(Self { text: text.to_owned(), signatures })
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for SignatureLine { name, id, signature } in &self.signatures {
            writeln!(f, "— {name} {}", STANDARD.encode([&id[..], signature].concat()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of Go's implementation (golang.org/x/mod/sumdb/note), which the specification grew out of.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SECRET: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\
        \n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn peter() -> NoteSigner {
        let secret = STANDARD.decode(SECRET).unwrap();
        NoteSigner::new("PeterNeumann", secret[1..].try_into().unwrap())
    }

    #[test]
    fn a_note_of_another_implementation_is_read_verified_and_made_alike() {
        let note: SignedNote = NOTE.parse().unwrap();
        assert_eq!(note.signed_by(&KEY.parse().unwrap()), Signed::Yes);
        assert_eq!(note.to_string(), NOTE);
        assert_eq!(peter().verifier().to_string(), KEY);
        assert_eq!(sign(note.text(), &[&peter()]), NOTE);
    }

    #[test]
    fn f1_a_changed_text_or_signature_is_bad_and_another_key_is_no_signer() {
        let key: VerifierKey = KEY.parse().unwrap();
        for at in 0..NOTE.len() {
            let mut bytes = NOTE.as_bytes().to_vec();
            bytes[at] ^= 1;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let Ok(note) = text.parse::<SignedNote>() else { continue };
            assert_ne!(note.signed_by(&key), Signed::Yes, "byte {at}");
        }
        let note: SignedNote = NOTE.parse().unwrap();
        let other = NoteSigner::new("PeterNeumann", &[7; 32]);
        assert_eq!(note.signed_by(other.verifier()), Signed::No);
        let both: SignedNote = sign(note.text(), &[&other, &peter()]).parse().unwrap();
        assert_eq!((both.signed_by(&key), both.signed_by(other.verifier())), (Signed::Yes, Signed::Yes));
        assert_eq!(both.signers().count(), 2);
    }

    #[test]
    fn keys_that_are_none_are_refused_with_the_reason() {
        let weak = VerifierKey::new("x", VerifyingKey::from_bytes(&[0; 32]).unwrap()).to_string();
        let broken = [
            "PeterNeumann",
            "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10Q=",
            "",
            &weak,
        ];
        for text in broken {
            assert!(matches!(text.parse::<VerifierKey>(), Err(AuditError::VerifierKey { .. })), "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_notes_are_refused() {
        let broken = [
            "",
            "text\n",
            "text\n\n",
            "text\n\n— name\n",
            "text\n\n— name !\n",
            "text\n\n— name AAAA\n",
            "text\n\n— name AAAAAA==",
            "te\txt\n\n— name AAAAAAA=\n",
            "text\n\n- name AAAAAAA=\n",
        ];
        for text in broken {
            assert!(matches!(text.parse::<SignedNote>(), Err(AuditError::Note { .. })), "{text:?}");
        }
    }
}

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use serde::{Deserialize, Serialize};
use stockade_policy::{PublicKey, stands};

use super::{SignatureError, SigningKey};

/// What a statement is, by its media type.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Largest envelope, in bytes: a statement of 16 files and 64 signatures is half of it.
pub const MAX_ENVELOPE: u64 = 64 * 1024;
/// Signatures of one envelope: each costs a check.
const MAX_SIGNATURES: usize = 64;

/// A statement and who has signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<OneSignature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OneSignature {
    /// The key itself, so that whoever checks needs nothing besides.
    keyid: String,
    sig: String,
}

/// What a signature is over: the type and the statement, each with its length.
fn pre_authentication_encoding(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// Reads one. Whose signatures they are is not looked at yet.
    ///
    /// # Errors
    ///
    /// It is none, or larger than one can be.
    pub fn parse(bytes: &[u8]) -> Result<Envelope, SignatureError> {
        if bytes.len() as u64 > MAX_ENVELOPE {
            return Err(SignatureError::TooMany("bytes"));
        }
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(SignatureError::Envelope)?;
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(SignatureError::PayloadType { found: envelope.payload_type });
        }
        if envelope.signatures.len() > MAX_SIGNATURES {
            return Err(SignatureError::TooMany("signatures"));
        }
        Ok(envelope)
    }

    pub(super) fn of(payload: &[u8]) -> Envelope {
        Envelope {
            payload: STANDARD.encode(payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: Vec::new(),
        }
    }

    pub(super) fn payload(&self) -> Result<Vec<u8>, SignatureError> {
        STANDARD.decode(&self.payload).map_err(SignatureError::Base64)
    }

    pub(super) fn sign(&mut self, key: &SigningKey) -> Result<(), SignatureError> {
        let signature = key.dalek().sign(&pre_authentication_encoding(&self.payload()?));
        let keyid = key.public().to_string();
        self.signatures.retain(|other| other.keyid != keyid);
        self.signatures.push(OneSignature { keyid, sig: STANDARD.encode(signature.to_bytes()) });
        Ok(())
    }

    /// The keys whose signatures these are, each once.
    pub(super) fn signers(&self) -> Result<Vec<PublicKey>, SignatureError> {
        let signed = pre_authentication_encoding(&self.payload()?);
        let mut signers: Vec<PublicKey> = Vec::new();
        for OneSignature { keyid, sig } in &self.signatures {
            let key: PublicKey =
                keyid.parse().map_err(|source| SignatureError::KeyId { found: keyid.clone(), source })?;
            let not_its = || SignatureError::NotItsKeys { key };
            let sig = STANDARD.decode(sig).map_err(SignatureError::Base64)?;
            let sig = Signature::from_slice(&sig).map_err(|_| not_its())?;
            let verifying = VerifyingKey::from_bytes(key.bytes()).map_err(|_| not_its())?;
            // Strict: no point of small order, no second spelling of a signature.
            if verifying.verify_strict(&signed, &sig).is_err() && stands("signature.verify") {
                return Err(not_its());
            }
            if !signers.contains(&key) {
                signers.push(key);
            }
        }
        if signers.is_empty() { Err(SignatureError::Nobody) } else { Ok(signers) }
    }

    /// As it is written to a file.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_as_the_specification_writes_it() {
        let bytes = pre_authentication_encoding(b"{}");
        assert_eq!(bytes, b"DSSEv1 28 application/vnd.in-toto+json 2 {}");
    }

    /// The neutral element as a key, and as the point of a signature, fits every message by the plain equation.
    #[test]
    fn e4_a_key_of_small_order_signs_nothing() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut envelope = Envelope::of(b"{}");
        let sig = STANDARD.encode([neutral, [0; 32]].concat());
        envelope.signatures.push(OneSignature { keyid: PublicKey::new(neutral).to_string(), sig });
        assert!(matches!(envelope.signers(), Err(SignatureError::NotItsKeys { .. })));
    }

    /// The same signature with the group's order added to its second half.
    #[test]
    fn e4_a_signature_has_one_spelling() {
        const ORDER: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut envelope = Envelope::of(b"{}");
        envelope.sign(&SigningKey::generate().unwrap()).unwrap();
        assert_eq!(envelope.signers().unwrap().len(), 1);
        let mut sig = STANDARD.decode(&envelope.signatures[0].sig).unwrap();
        let mut carry = 0;
        for (byte, more) in sig[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(more) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
        envelope.signatures[0].sig = STANDARD.encode(sig);
        assert!(matches!(envelope.signers(), Err(SignatureError::NotItsKeys { .. })));
    }

    #[test]
    fn e4_a_key_counts_once_however_often_it_signs() {
        let key = SigningKey::generate().unwrap();
        let mut envelope = Envelope::of(b"{}");
        envelope.sign(&key).unwrap();
        envelope.signatures.push(envelope.signatures[0].clone());
        assert_eq!(envelope.signers().unwrap(), [key.public()]);
    }
}

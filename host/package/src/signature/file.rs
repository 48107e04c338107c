//! Signatures on disk: beside the policy or an index, and in the plugin's folder.

use std::path::{Path, PathBuf};

use stockade_policy::PublicKey;

use super::{Envelope, MAX_ENVELOPE, SignatureError, Signed, SignedFile, SigningKey, sign, signers};
use crate::PackageError;
use crate::archive::{Archive, MAX_PACKAGE, pack};
use crate::folder::{self, Entry};
use crate::package::{Contents, SIGNATURE_FILE, Source};

/// What comes behind the name of an index's file.
pub const INDEX_SIGNATURE_SUFFIX: &str = ".sig";

/// A document with a signature in a file beside it.
struct Beside {
    what: Signed,
    /// What it is called in its statement, wherever it lies.
    name: &'static str,
    /// What comes behind the name of its file.
    suffix: &'static str,
}

const POLICY: Beside = Beside { what: Signed::Policy, name: "policy.toml", suffix: ".dsse.json" };
const INDEX: Beside = Beside { what: Signed::Index, name: "index.json", suffix: INDEX_SIGNATURE_SUFFIX };

/// Signs the plugin in a folder or a package, besides whoever has signed it before. Who has signed it now.
///
/// # Errors
///
/// It is no plugin, what was signed before was something else, or the signature cannot be written.
pub fn sign_plugin(path: &Path, key: &SigningKey) -> Result<Vec<PublicKey>, PackageError> {
    match folder::entry(path)? {
        Entry::Folder(folder) => {
            let (envelope, signers) = signed(&Source::Folder(&folder, path), key)?;
            folder::write(&path.join(SIGNATURE_FILE), envelope.to_json().as_bytes())?;
            Ok(signers)
        }
        Entry::File(file) => {
            let Archive { mut parts, .. } = Archive::read(&folder::read(file, path, MAX_PACKAGE)?)?;
            let (envelope, signers) = signed(&Source::Archive(&parts), key)?;
            parts.signature = Some(envelope.to_json());
            folder::write(path, &pack(&parts).bytes)?;
            Ok(signers)
        }
    }
}

fn signed(source: &Source<'_>, key: &SigningKey) -> Result<(Envelope, Vec<PublicKey>), PackageError> {
    let contents = Contents::read(source)?;
    let envelope = sign(Signed::Plugin, &contents.files(), key, contents.envelope.clone())?;
    let signers = signers(Signed::Plugin, &contents.files(), &envelope)?;
    Ok((envelope, signers))
}

/// Signs a policy, into a file beside it. Who has signed it now.
///
/// # Errors
///
/// As [`sign_plugin`].
pub fn sign_policy(path: &Path, text: &[u8], key: &SigningKey) -> Result<Vec<PublicKey>, PackageError> {
    POLICY.sign(path, text, key)
}

/// Who has signed a policy: nobody, where there is no signature beside it.
///
/// # Errors
///
/// There is one, and it counts for nothing.
pub fn policy_signers(path: &Path, text: &[u8]) -> Result<Vec<PublicKey>, PackageError> {
    POLICY.signers(path, text)
}

/// Signs an index of plugins, into a file beside it. Who has signed it now.
///
/// # Errors
///
/// As [`sign_plugin`].
pub fn sign_index(path: &Path, text: &[u8], key: &SigningKey) -> Result<Vec<PublicKey>, PackageError> {
    INDEX.sign(path, text, key)
}

/// Who has signed an index: nobody, where there is no signature beside it.
///
/// # Errors
///
/// There is one, and it counts for nothing.
pub fn index_signers(path: &Path, text: &[u8]) -> Result<Vec<PublicKey>, PackageError> {
    INDEX.signers(path, text)
}

/// Who has signed an index that came from elsewhere, with what came as its signature.
///
/// # Errors
///
/// That is none, or counts for nothing.
pub fn fetched_index_signers(text: &[u8], signature: &[u8]) -> Result<Vec<PublicKey>, SignatureError> {
    signers(Signed::Index, &[INDEX.file(text)], &Envelope::parse(signature)?)
}

impl Beside {
    const fn file<'a>(&self, bytes: &'a [u8]) -> SignedFile<'a> {
        SignedFile { name: self.name, bytes }
    }

    fn sign(&self, path: &Path, text: &[u8], key: &SigningKey) -> Result<Vec<PublicKey>, PackageError> {
        let before = self.envelope(path)?;
        // What somebody signed before it was changed is replaced: there is one document, and no two halves of it.
        let files = [self.file(text)];
        let before = before.filter(|envelope| signers(self.what, &files, envelope).is_ok());
        let wrong = |source| self.wrong(path, source);
        let envelope = sign(self.what, &files, key, before).map_err(wrong)?;
        folder::write(&self.path(path), envelope.to_json().as_bytes())?;
        signers(self.what, &files, &envelope).map_err(wrong)
    }

    fn signers(&self, path: &Path, text: &[u8]) -> Result<Vec<PublicKey>, PackageError> {
        match self.envelope(path)? {
            Some(envelope) => {
                signers(self.what, &[self.file(text)], &envelope).map_err(|source| self.wrong(path, source))
            }
            None => Ok(Vec::new()),
        }
    }

    fn wrong(&self, document: &Path, source: SignatureError) -> PackageError {
        PackageError::SignatureBeside { document: document.to_owned(), path: self.path(document), source }
    }

    fn path(&self, path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(self.suffix);
        name.into()
    }

    fn envelope(&self, path: &Path) -> Result<Option<Envelope>, PackageError> {
        let document = path;
        let path = self.path(document);
        match folder::entry(&path) {
            Ok(Entry::File(file)) => {
                let envelope = Envelope::parse(&folder::read(file, &path, MAX_ENVELOPE)?);
                envelope.map(Some).map_err(|source| self.wrong(document, source))
            }
            Ok(Entry::Folder(_)) => Err(PackageError::NotAFile { path }),
            Err(PackageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

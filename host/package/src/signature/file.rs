//! Signatures on disk: beside the policy, and in the plugin's folder.

use std::path::{Path, PathBuf};

use stockade_policy::PublicKey;

use super::{Envelope, MAX_ENVELOPE, Signed, SignedFile, SigningKey, sign, signers};
use crate::PackageError;
use crate::archive::{Archive, MAX_PACKAGE, pack};
use crate::folder::{self, Entry};
use crate::package::{Contents, SIGNATURE_FILE, Source};

/// What a policy is called in its statement, wherever it lies.
const POLICY: &str = "policy.toml";
/// What comes behind the name of a policy's file.
const BESIDE: &str = ".dsse.json";

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
    let before = beside(path)?;
    // What somebody signed before it was changed is replaced: there is one policy, and no two halves of it.
    let files = [SignedFile { name: POLICY, bytes: text }];
    let before = before.filter(|envelope| signers(Signed::Policy, &files, envelope).is_ok());
    let envelope = sign(Signed::Policy, &files, key, before)?;
    folder::write(&signature_path(path), envelope.to_json().as_bytes())?;
    Ok(signers(Signed::Policy, &files, &envelope)?)
}

/// Who has signed a policy: nobody, where there is no signature beside it.
///
/// # Errors
///
/// There is one, and it counts for nothing.
pub fn policy_signers(path: &Path, text: &[u8]) -> Result<Vec<PublicKey>, PackageError> {
    match beside(path)? {
        Some(envelope) => {
            Ok(signers(Signed::Policy, &[SignedFile { name: POLICY, bytes: text }], &envelope)?)
        }
        None => Ok(Vec::new()),
    }
}

fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(BESIDE);
    name.into()
}

fn beside(path: &Path) -> Result<Option<Envelope>, PackageError> {
    let path = signature_path(path);
    match folder::entry(&path) {
        Ok(Entry::File(file)) => Ok(Some(Envelope::parse(&folder::read(file, &path, MAX_ENVELOPE)?)?)),
        Ok(Entry::Folder(_)) => Err(PackageError::NotAFile { path }),
        Err(PackageError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

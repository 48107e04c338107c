//! Signatures on disk: beside the policy, and in the plugin's folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use stockade_policy::PublicKey;

use super::{Envelope, MAX_ENVELOPE, Signed, SignedFile, SigningKey, sign, signers};
use crate::PackageError;
use crate::folder::{self, Entry};
use crate::package::{Contents, SIGNATURE_FILE};

/// What a policy is called in its statement, wherever it lies.
const POLICY: &str = "policy.toml";
/// What comes behind the name of a policy's file.
const BESIDE: &str = ".dsse.json";

/// Signs the plugin in a folder, besides whoever has signed it before. Who has signed it now.
///
/// # Errors
///
/// It is no plugin, what was signed before was something else, or the signature cannot be written.
pub fn sign_plugin(path: &Path, key: &SigningKey) -> Result<Vec<PublicKey>, PackageError> {
    let Entry::Folder(folder) = folder::entry(path)? else {
        return Err(PackageError::NoManifest { path: path.to_owned() });
    };
    let contents = Contents::read(&folder, path)?;
    let envelope = sign(Signed::Plugin, &contents.files(), key, contents.envelope.clone())?;
    write(&path.join(SIGNATURE_FILE), &envelope)?;
    Ok(signers(Signed::Plugin, &contents.files(), &envelope)?)
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
    write(&signature_path(path), &envelope)?;
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

/// Whole, or not at all: half of a signature would stop what was signed before.
fn write(path: &Path, envelope: &Envelope) -> Result<(), PackageError> {
    let failed = |source: io::Error| PackageError::Unwritable { path: path.to_owned(), source };
    let mut half = path.as_os_str().to_owned();
    half.push(format!(".{}", std::process::id()));
    let half = PathBuf::from(half);
    let mut options = OpenOptions::new();
    let written = options.write(true).create_new(true).mode(0o644).open(&half).and_then(|mut file| {
        file.write_all(envelope.to_json().as_bytes())?;
        file.sync_all()?;
        fs::rename(&half, path)?;
        File::open(path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new(".")))?
            .sync_all()
    });
    written.map_err(|error| {
        let _ = fs::remove_file(&half);
        failed(error)
    })
}

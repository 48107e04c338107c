//! The key that the log signs its checkpoints with: 32 bytes in a file that is there whole or not at all.

use std::path::Path;

use zeroize::Zeroizing;

use crate::note::NoteSigner;
use crate::{AuditError, disk, place};

/// The private key.
pub(crate) const SECRET: &str = "audit.key";
/// The one that will be, while keys are changed.
pub(crate) const NEXT_SECRET: &str = "audit.key.next";
/// The public key, for auditors to copy away.
pub(crate) const PUBLIC: &str = "audit.vkey";

/// The key in the file, if there is one.
pub(crate) fn read(dir: &Path, file: &str, origin: &str) -> Result<Option<NoteSigner>, AuditError> {
    let path = dir.join(file);
    let failed = |source| AuditError::Key { path: path.clone(), source };
    let Some(bytes) = place::read_own(&path, 32, 0o077).map_err(failed)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let short = || failed(std::io::Error::new(std::io::ErrorKind::InvalidData, "it has not 32 bytes"));
    let secret: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| short())?;
    Ok(Some(NoteSigner::new(origin, secret)))
}

/// Draws a key and puts it into the file, in the place of another if there is one.
pub(crate) fn make(dir: &Path, file: &str, origin: &str) -> Result<NoteSigner, AuditError> {
    let path = dir.join(file);
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(|error| AuditError::Random(error.to_string()))?;
    disk::replace_secret(dir, &path, &*secret).map_err(|source| AuditError::Key { path, source })?;
    Ok(NoteSigner::new(origin, &secret))
}

/// Whether a file of this name is for nobody else to read: a private key, or what will be one.
pub(crate) fn is_secret(name: &str) -> bool {
    name.strip_suffix(disk::NEW).unwrap_or(name).strip_suffix(".next").unwrap_or(name) == SECRET
}

/// Puts the public key beside the log, unless it is there.
pub(crate) fn publish(dir: &Path, signer: &NoteSigner) -> Result<(), AuditError> {
    let path = dir.join(PUBLIC);
    let text = format!("{}\n", signer.verifier());
    if matches!(place::read_own(&path, crate::bounds::NOTE, 0o022), Ok(Some(bytes)) if bytes == text.as_bytes())
    {
        return Ok(());
    }
    disk::replace(dir, &path, text.as_bytes()).map_err(|source| AuditError::Key { path, source })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn f9_a_key_is_its_owners_alone_and_the_same_when_it_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path(), SECRET, "n").unwrap().is_none());
        let made = make(dir.path(), SECRET, "n").unwrap();
        let stat = fs::metadata(dir.path().join(SECRET)).unwrap();
        assert_eq!((stat.mode() & 0o7777, stat.len()), (0o600, 32));
        let again = read(dir.path(), SECRET, "n").unwrap().unwrap();
        assert_eq!(again.verifier(), made.verifier());
        publish(dir.path(), &made).unwrap();
        publish(dir.path(), &made).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(PUBLIC)).unwrap(), format!("{}\n", made.verifier()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing half-made is left");
    }

    #[test]
    fn f9_a_key_that_others_can_read_or_that_is_a_link_or_cut_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), SECRET, "n").unwrap();
        let path = dir.path().join(SECRET);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(dir.path(), SECRET, "n"), Err(AuditError::Key { .. })));
        fs::rename(&path, dir.path().join("moved")).unwrap();
        symlink(dir.path().join("moved"), &path).unwrap();
        assert!(matches!(read(dir.path(), SECRET, "n"), Err(AuditError::Key { .. })));
        fs::remove_file(&path).unwrap();
        for length in [0, 31, 33] {
            fs::write(&path, vec![1; length]).unwrap();
            assert!(matches!(read(dir.path(), SECRET, "n"), Err(AuditError::Key { .. })), "{length}");
        }
    }
}

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use stockade_policy::PublicKey;

use super::KeyError;

/// Largest file of a key.
const MAX_FILE: u64 = 16 * 1024;

/// A private key, as PKCS#8 in PEM on disk: what OpenSSL and others read and write, too.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A new one, out of the kernel's random bytes.
    ///
    /// # Errors
    ///
    /// The kernel has none.
    pub fn generate() -> Result<SigningKey, KeyError> {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(|error| KeyError::Random(io::Error::other(error)))?;
        Ok(SigningKey(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// Reads it from a file that nobody else can read.
    ///
    /// # Errors
    ///
    /// There is none, others can read it, or it is of another kind.
    pub fn read(path: &Path) -> Result<SigningKey, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned() });
        }
        let mut text = zeroize::Zeroizing::new(String::new());
        file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
        ed25519_dalek::SigningKey::from_pkcs8_pem(&text)
            .map(SigningKey)
            .map_err(|_| KeyError::NotAKey { path: path.to_owned() })
    }

    /// Writes it to a new file for this user alone, and the public key into one beside it, whose name ends in `.pub`.
    /// Where that is.
    ///
    /// # Errors
    ///
    /// There is such a file already: a key is not written over.
    pub fn write_new(&self, path: &Path) -> Result<PathBuf, KeyError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".pub");
        let public = PathBuf::from(name);
        let text =
            self.0.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::NotAKey { path: path.to_owned() })?;
        for (path, mode, text) in
            [(path, 0o600, text.as_str()), (&public, 0o644, &format!("{}\n", self.public()))]
        {
            let failed = |source| KeyError::File { path: path.to_owned(), source };
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Ok(public)
    }

    /// Whose signatures it makes.
    pub fn public(&self) -> PublicKey {
        PublicKey::new(self.0.verifying_key().to_bytes())
    }

    pub(super) const fn dalek(&self) -> &ed25519_dalek::SigningKey {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

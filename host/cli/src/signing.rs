//! `stockade key`, `sign` and `verify`: who stands behind a plugin, an index, or the policy.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::json;
use stockade_package::Package;
use stockade_package::archive::Archive;
use stockade_package::index::Index;
use stockade_package::signature::{
    SigningKey, index_signers, policy_signers, sign_index, sign_plugin, sign_policy,
};
use stockade_policy::PublicKey;

use crate::args::{KeyArguments, KeyCommand, SignCommand, VerifyCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format, SCHEMA, safe};
use crate::policy;

/// The keys of which one has to have signed the policy, in the state folder; where it is not there nobody has to.
const POLICY_KEYS: &str = "policy.pub";
/// Lines of that file.
const MAX_KEYS: usize = 64;

pub(crate) fn key(arguments: &KeyArguments) -> Result<Exit, Failure> {
    let KeyCommand::New { file, output } = &arguments.command;
    let key = SigningKey::generate().map_err(|error| Failure::of(&error))?;
    let public = key.write_new(file).map_err(|error| Failure::of(&error))?;
    match output.format {
        Format::Json => output::document(&json!({
            "schema": SCHEMA, "private": file, "public": public, "key": key.public(),
        })),
        Format::Text => {
            output::line(&key.public().to_string());
            let (private, public) = (file.display().to_string(), public.display().to_string());
            output::note(&format!(
                "{} has the private key: whoever reads it signs in your name",
                safe(&private)
            ));
            output::note(&format!("{} has the public key, for those who are to trust it", safe(&public)));
        }
    }
    Ok(Exit::Ok)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        Failure::usage(
            "bad-file",
            "PATH",
            message,
            "name a plugin's folder, a package, an index, or a policy document",
        )
    })
}

/// What can be signed.
enum Document {
    Plugin,
    Index,
    Policy,
}

impl Document {
    fn at(path: &Path) -> Document {
        if path.is_dir() || Archive::is_at(path) {
            Document::Plugin
        } else if path.extension().is_some_and(|end| end == "json") {
            Document::Index
        } else {
            Document::Policy
        }
    }
}

pub(crate) fn sign(command: &SignCommand) -> Result<Exit, Failure> {
    let SignCommand { path, key, output } = command;
    let key = SigningKey::read(key).map_err(|error| Failure::of(&error))?;
    // Nobody's name belongs under a document that says nothing.
    let done = match Document::at(path) {
        Document::Plugin => sign_plugin(path, &key),
        Document::Index => {
            let text = read(path)?;
            Index::parse(&text).map_err(|error| Failure::of(&error).of_file(path))?;
            sign_index(path, &text, &key)
        }
        Document::Policy => {
            let text = read(path)?;
            policy::parse(path, &text)?;
            sign_policy(path, &text, &key)
        }
    };
    done.map_err(|error| Failure::of(&error))?;
    Signed::at(path)?.tell(path, output.format);
    Ok(Exit::Ok)
}

pub(crate) fn verify(command: &VerifyCommand) -> Result<Exit, Failure> {
    let VerifyCommand { path, by, output } = command;
    let signed = Signed::at(path)?;
    signed.tell(path, output.format);
    let by_whom = &signed.by;
    let good = if by.is_empty() { !by_whom.is_empty() } else { by.iter().any(|key| by_whom.contains(key)) };
    Ok(if good { Exit::Ok } else { Exit::Refused })
}

/// Who has signed a document.
struct Signed {
    by: Vec<PublicKey>,
    /// Of a package: a signature is a part of it, so that each makes it another one.
    digest: Option<String>,
}

impl Signed {
    fn at(path: &Path) -> Result<Signed, Failure> {
        let (by, digest) = match Document::at(path) {
            Document::Plugin => Package::open(path, None).map(|package| (package.signed_by, package.digest)),
            Document::Index => index_signers(path, &read(path)?).map(|by| (by, None)),
            Document::Policy => policy_signers(path, &read(path)?).map(|by| (by, None)),
        }
        .map_err(|error| Failure::of(&error))?;
        Ok(Signed { by, digest })
    }

    fn tell(&self, path: &Path, format: Format) {
        match format {
            Format::Json => {
                let mut document = json!({ "schema": SCHEMA, "path": path, "signed_by": self.by });
                if let Some(digest) = &self.digest {
                    document["digest"] = json!(digest);
                }
                output::document(&document);
            }
            Format::Text => {
                self.digest.iter().for_each(|digest| output::line(digest));
                if self.by.is_empty() {
                    output::line("nobody has signed it");
                }
                self.by.iter().for_each(|key| output::line(&format!("signed by {key}")));
            }
        }
    }
}

/// The keys of which one has to have signed the policy of a state folder: none where nobody has to.
fn policy_keys(state: &Path) -> Result<Vec<PublicKey>, Failure> {
    let path = state.join(POLICY_KEYS);
    let bad = |message: String| {
        let message = format!("{}: {message}", path.display());
        Failure::usage(
            "bad-policy-keys",
            POLICY_KEYS,
            message,
            "write one public key a line, as stockade key new writes them, or remove the file to take any policy",
        )
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        // A state folder that is none is told by whoever uses it.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(bad(error.to_string())),
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(|line| line.parse().map_err(|error| bad(format!("{line:?}: {error}"))));
    let keys = keys.collect::<Result<Vec<PublicKey>, _>>()?;
    // A file without a key would let every policy through.
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return Err(bad(format!("it has {} keys: 1 to {MAX_KEYS} can be", keys.len())));
    }
    Ok(keys)
}

/// Holds a policy against the keys of the state folder. `None` is that there is no document.
pub(crate) fn policy_may_hold(document: Option<(&Path, &[u8])>, state: &Path) -> Result<(), Failure> {
    let keys = policy_keys(state)?;
    if keys.is_empty() {
        return Ok(());
    }
    let Some((path, text)) = document else {
        let message =
            format!("{} names who signs the policy, and there is none", state.join(POLICY_KEYS).display());
        return Err(Failure::usage(
            "policy-missing",
            "--policy",
            message,
            "put the signed policy there, or remove the keys to have the built-in one",
        ));
    };
    let signers = policy_signers(path, text).map_err(|error| Failure::of(&error).of_file(path))?;
    if !keys.iter().any(|key| signers.contains(key)) && stockade_policy::stands("policy.signature") {
        let message =
            format!("{} is not signed by a key of {}", path.display(), state.join(POLICY_KEYS).display());
        return Err(Failure::usage(
            "policy-not-signed",
            "--policy",
            message,
            "have one of them sign it: stockade sign FILE --key KEY",
        ));
    }
    Ok(())
}

//! Who we are to a registry: what `docker login` and its likes have left.
//! <https://docs.docker.com/reference/cli/docker/login/#credential-stores>

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::OciError;

/// Largest configuration, and largest answer of a helper: 1 MiB.
const MAX_FILE: u64 = 1024 * 1024;

/// A name and a password for one registry.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: Zeroizing<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.user)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

impl Credentials {
    /// Those that a Docker configuration has for a registry; none where it has none, or where there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read, or the helper that it names gives no answer.
    pub fn find(config: &Path, registry: &str) -> Result<Option<Credentials>, OciError> {
        let failed = |why: String| OciError::Credentials { path: config.to_owned(), why };
        let mut text = Zeroizing::new(String::new());
        match File::open(config) {
            Ok(file) => {
                file.take(MAX_FILE).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        let config: Config = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        // The more exact one first, as others have it.
        if let Some(helper) = config.cred_helpers.get(registry) {
            return help(helper, registry).map_err(failed);
        }
        let written = [registry.to_owned(), format!("https://{registry}"), format!("https://{registry}/v2/")];
        let entry = written.iter().find_map(|name| config.auths.get(name));
        if let Some(auth) = entry.and_then(|entry| entry.auth.as_deref()).filter(|auth| !auth.is_empty()) {
            let decoded = STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let decoded =
                Zeroizing::new(decoded.ok_or_else(|| failed(format!("auth of {registry} is not base64")))?);
            let (user, password) =
                decoded.split_once(':').ok_or_else(|| failed(format!("auth of {registry} has no colon")))?;
            return Ok(Some(Credentials {
                user: user.to_owned(),
                password: Zeroizing::new(password.to_owned()),
            }));
        }
        match config.creds_store {
            Some(helper) => help(&helper, registry).map_err(failed),
            None => Ok(None),
        }
    }

    /// What stands behind `Basic`.
    pub(super) fn basic(&self) -> Zeroizing<String> {
        let both = Zeroizing::new(format!("{}:{}", self.user, *self.password));
        Zeroizing::new(STANDARD.encode(both.as_bytes()))
    }
}

/// Asks a helper, `docker-credential-NAME get`, by its standard input.
fn help(name: &str, registry: &str) -> Result<Option<Credentials>, String> {
    // A name and no path: else the configuration would say which program runs.
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return Err(format!("{name:?} is no credential helper"));
    }
    let program = format!("docker-credential-{name}");
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{program} does not start: {error}"))?;
    if let Some(mut to) = child.stdin.take() {
        // One that does not read says so by what it answers.
        let _ = to.write_all(registry.as_bytes());
    }
    let mut answer = Zeroizing::new(String::new());
    if let Some(from) = child.stdout.take() {
        let _ = from.take(MAX_FILE).read_to_string(&mut answer);
    }
    let ended = child.wait().map_err(|error| format!("{program}: {error}"))?;
    if !ended.success() {
        // Their way to say that they have none.
        return match answer.contains("credentials not found") {
            true => Ok(None),
            false => Err(format!("{program} failed: {ended}")),
        };
    }
    let Helped { username, secret } =
        serde_json::from_str(&answer).map_err(|error| format!("{program}: {error}"))?;
    Ok(Some(Credentials { user: username, password: Zeroizing::new(secret) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(config: &str, registry: &str) -> Result<Option<String>, OciError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.json");
        std::fs::write(&path, config).expect("writable");
        let found = Credentials::find(&path, registry)?;
        Ok(found.map(|found| {
            String::from_utf8(STANDARD.decode(&*found.basic()).expect("base64")).expect("UTF-8")
        }))
    }

    #[test]
    fn credentials_are_those_of_the_registry() {
        let config = format!(
            r#"{{"auths":{{"r.example":{{"auth":"{}"}},"https://s.example":{{"auth":"{}"}},"t.example":{{}}}}}}"#,
            STANDARD.encode("a:b:c"),
            STANDARD.encode("d:e")
        );
        assert_eq!(find(&config, "r.example").expect("read").as_deref(), Some("a:b:c"));
        assert_eq!(find(&config, "s.example").expect("read").as_deref(), Some("d:e"));
        assert_eq!(find(&config, "t.example").expect("read"), None);
        assert_eq!(find(&config, "evil.r.example").expect("read"), None);
        assert_eq!(find("{}", "r.example").expect("read"), None);
        assert!(Credentials::find(Path::new("/nonexistent"), "r.example").expect("none").is_none());
    }

    #[test]
    fn broken_configurations_and_helpers_are_errors() {
        for config in [
            "{",
            r#"{"auths":{"r":{"auth":"?"}}}"#,
            r#"{"auths":{"r":{"auth":"YWI="}}}"#,
            r#"{"credsStore":"../sh"}"#,
            r#"{"credHelpers":{"r":"not-there-at-all"}}"#,
        ] {
            assert!(find(config, "r").is_err(), "{config}");
        }
    }
}

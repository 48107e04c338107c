//! The operator's secrets: read when a plugin is loaded, kept here, written into requests and nowhere else.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stockade_policy::{Ask, Decision, Grants, HttpTarget, Rule, decide, placeholder, stands};
use zeroize::Zeroizing;

use crate::trail::{Trail, Unrecorded};

/// Shorter ones stand in texts by chance, and would be masked there.
const SHORTEST: usize = 8;
const LONGEST: usize = 4096;
/// How long a command may take to tell a secret.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a secret is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The content of a file, less one line end at its end.
    File(PathBuf),
    /// A variable of the host's own environment.
    Environment(OsString),
    /// What a program writes to its standard output, less one line end; the program and its arguments.
    Command(Vec<OsString>),
}

/// Why a secret is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file or the program's output cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    /// The variable is not set.
    #[error("the variable is not set")]
    Unset,
    /// The program failed.
    #[error("the program ended with {0}")]
    Failed(std::process::ExitStatus),
    /// The program did not end in time.
    #[error("the program was not done after {PATIENCE:?}")]
    Late,
    /// Nothing that could stand in a request.
    #[error("it has to be {SHORTEST} to {LONGEST} bytes of printable ASCII")]
    Unusable,
    /// It is granted, and nobody said where to read it.
    #[error("it is granted and was not given")]
    Missing,
}

/// A secret. It is shown nowhere, and its memory is wiped.
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret")
    }
}

impl SecretSource {
    /// Reads it.
    pub(crate) fn read(&self) -> Result<Secret, SecretError> {
        let mut bytes = match self {
            Self::File(path) => read_some(std::fs::File::open(path).map_err(SecretError::Unreadable)?)?,
            Self::Environment(name) => {
                Zeroizing::new(std::env::var_os(name).ok_or(SecretError::Unset)?.into_encoded_bytes())
            }
            Self::Command(words) => told(words)?,
        };
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if (SHORTEST..=LONGEST).contains(&bytes.len()) && bytes.iter().all(|b| (b' '..=b'~').contains(b)) {
            Ok(Secret(bytes))
        } else {
            Err(SecretError::Unusable)
        }
    }
}

/// One byte more than there may be shows that it is too long.
fn read_some(from: impl Read) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 2));
    from.take(LONGEST as u64 + 2).read_to_end(&mut bytes).map_err(SecretError::Unreadable)?;
    Ok(bytes)
}

fn told(words: &[OsString]) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let (program, arguments) = words.split_first().ok_or(SecretError::Unset)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(SecretError::Unreadable)?;
    let output = child.stdout.take().expect("it was asked for");
    let (told, heard) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || told.send(read_some(output)));
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().map_err(SecretError::Unreadable)? {
            Some(status) => break status,
            None if Instant::now() >= until => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(SecretError::Late);
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    if !status.success() {
        return Err(SecretError::Failed(status));
    }
    // What it started may hold its output open for longer.
    heard.recv_timeout(until.saturating_duration_since(Instant::now())).map_err(|_| SecretError::Late)?
}

/// What one plugin's requests may be filled with.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    grants: Grants,
    values: BTreeMap<String, Secret>,
}

impl Secrets {
    pub(crate) fn new(grants: Grants, values: BTreeMap<String, Secret>) -> Secrets {
        Secrets { grants, values }
    }

    /// A secret that nothing may be filled with, and that is masked all the same.
    pub(crate) fn to_mask(secret: Option<Secret>) -> Secrets {
        let values = secret.into_iter().map(|secret| (String::new(), secret)).collect();
        Secrets { grants: Grants::none(), values }
    }

    /// Whether any of them may be filled into a request there.
    pub(crate) fn reach(&self, target: &HttpTarget) -> bool {
        let allowed = |name: &String| decide(&self.grants, &Ask::Secret { name, target }).is_allowed();
        self.values.keys().any(allowed)
    }

    /// The text with a secret in the place of each placeholder; none where one of them was refused.
    pub(crate) fn fill(
        &self,
        text: &[u8],
        target: &HttpTarget,
        trail: &Trail,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Unrecorded> {
        let mut filled = Zeroizing::new(Vec::with_capacity(text.len()));
        let mut rest = text;
        while let Some((start, end, name)) = placeholder(rest) {
            let ask = Ask::Secret { name, target };
            let decision = decide(&self.grants, &ask);
            let rule = match &decision {
                Decision::Allow(rule) => rule,
                Decision::Deny(_) if !stands("secret.decide") => &Rule::built_in("nobody asked"),
                Decision::Deny(denial) => {
                    trail.denied(&ask, denial)?;
                    return Ok(None);
                }
            };
            trail.allowed(&ask, rule)?;
            // Every granted secret was read when the plugin was loaded.
            let Some(Secret(value)) = self.values.get(name) else { return Ok(None) };
            filled.extend_from_slice(&rest[..start]);
            filled.extend_from_slice(value);
            rest = &rest[end..];
        }
        filled.extend_from_slice(rest);
        Ok(Some(filled))
    }

    /// Makes secrets in a text unreadable, each byte an asterisk.
    pub(crate) fn mask(&self, text: &mut [u8]) {
        for Secret(value) in self.values.values() {
            let mut from = 0;
            while let Some(found) = text[from..].windows(value.len()).position(|window| window == &***value) {
                from += found;
                if stands("secret.mask") {
                    text[from..from + value.len()].fill(b'*');
                }
                from += value.len();
            }
        }
    }

    /// How many bytes at the end of a text may be the beginning of a secret.
    fn unsure(&self, text: &[u8]) -> usize {
        let begins = |value: &[u8]| {
            let longest = text.len().min(value.len() - 1);
            (1..=longest).rev().find(|&length| text.ends_with(&value[..length])).unwrap_or(0)
        };
        self.values.values().map(|Secret(value)| begins(value)).max().unwrap_or(0)
    }
}

/// Masks a text that comes in blocks: a secret is found wherever the blocks break.
#[derive(Default)]
pub(crate) struct Masked {
    held: Zeroizing<Vec<u8>>,
}

impl Masked {
    /// What of the text up to here is sure to be no part of a secret.
    pub(crate) fn pass(&mut self, block: &[u8], secrets: &Secrets) -> Vec<u8> {
        self.held.extend_from_slice(block);
        secrets.mask(&mut self.held);
        let sure = self.held.len() - secrets.unsure(&self.held);
        let passed = self.held[..sure].to_vec();
        let rest = Zeroizing::new(self.held[sure..].to_vec());
        self.held = rest;
        passed
    }

    /// The rest, at the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let values = values.iter().enumerate();
        let values =
            values.map(|(n, value)| (n.to_string(), Secret(Zeroizing::new(value.as_bytes().to_vec()))));
        Secrets::new(Grants::none(), values.collect())
    }

    #[test]
    fn d12_an_echoed_secret_is_masked_wherever_the_blocks_break() {
        let secrets = secrets(&["hunter2hunter2", "aaaaaaaab"]);
        let text = b"a hunter2hunter2 b aaaaaaaaaab hunter2hunter hunter2hunter2hunter2 end aaaaaaaa";
        let masked = b"a ************** b aa********* hunter2hunter **************hunter2 end aaaaaaaa";
        for size in 1..=text.len() {
            let mut passing = Masked::default();
            let mut out = Vec::new();
            for block in text.chunks(size) {
                out.extend(passing.pass(block, &secrets));
            }
            out.extend(passing.rest());
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(masked), "blocks of {size}");
        }
    }

    #[test]
    fn secrets_are_read_from_files_variables_and_programs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            SecretSource::File(path.clone()).read().map(|Secret(value)| value.to_vec())
        };
        assert_eq!(of("12345678\n").unwrap(), b"12345678");
        for unusable in ["", "1234567", "1234567\n", "12345678\n\n", "1234\r\n5678", &"x".repeat(4097)] {
            assert!(matches!(of(unusable), Err(SecretError::Unusable)), "{unusable:?}");
        }
        let command = |words: &[&str]| SecretSource::Command(words.iter().map(Into::into).collect()).read();
        assert_eq!(*command(&["echo", "12345678"]).unwrap().0, b"12345678");
        assert!(matches!(command(&["false"]), Err(SecretError::Failed(_))));
        assert!(matches!(command(&["/nonexistent"]), Err(SecretError::Unreadable(_))));
        assert!(matches!(command(&[]), Err(SecretError::Unset)));
        assert!(matches!(
            SecretSource::Environment("NOT_SET_ANYWHERE".into()).read(),
            Err(SecretError::Unset)
        ));
        assert_eq!(format!("{:?}", command(&["echo", "12345678"]).unwrap()), "a secret");
    }
}

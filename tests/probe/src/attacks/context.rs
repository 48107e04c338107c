//! What there is to attack: made by whoever runs the suite, the same for every layer.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use serde_json::Value;

/// What there is to attack, and which variant of the attack is wanted.
#[derive(Debug)]
pub(crate) struct Context {
    /// A folder of the attacker's.
    pub(crate) folder: CString,
    /// A file of the attacker's.
    pub(crate) file: CString,
    /// A listening stream socket with a path.
    pub(crate) unix_path: CString,
    /// A listening stream socket in the abstract namespace.
    pub(crate) unix_abstract: String,
    /// The one process that may come to harm.
    pub(crate) victim: i32,
    /// A listening port on 127.0.0.1.
    pub(crate) tcp_port: u16,
    /// A bound port on 127.0.0.1.
    pub(crate) udp_port: u16,
    /// SHA-256 of a secret that the host has, in lower-case hexadecimal. The attacker only knows one when
    /// it sees one.
    pub(crate) canary: Option<String>,
    /// Which variant.
    pub(crate) variant: u32,
}

impl Context {
    /// Reads fixtures; what is missing stays empty, and attacks on it fail.
    pub(crate) fn new(fixtures: &Value, variant: u32) -> Context {
        let text = |name: &str| fixtures[name].as_str().unwrap_or_default();
        let path = |name: &str| CString::new(text(name)).unwrap_or_default();
        let port = |name: &str| fixtures[name].as_u64().and_then(|port| port.try_into().ok()).unwrap_or(0);
        Context {
            folder: path("folder"),
            file: path("file"),
            unix_path: path("unix_path"),
            unix_abstract: text("unix_abstract").to_owned(),
            // Never 0 or less: these would be whole groups of processes.
            victim: fixtures["victim"].as_i64().filter(|&pid| pid > 1).unwrap_or(i64::from(i32::MAX)) as i32,
            tcp_port: port("tcp_port"),
            udp_port: port("udp_port"),
            canary: fixtures["canary_sha256"].as_str().map(str::to_owned),
            variant,
        }
    }

    /// A path in the folder.
    pub(crate) fn inside(&self, name: &str) -> CString {
        let folder = OsStr::from_bytes(self.folder.as_bytes());
        let path = std::path::Path::new(folder).join(name);
        CString::new(path.into_os_string().into_encoded_bytes()).unwrap_or_default()
    }

    /// A file of the victim's under `/proc`.
    pub(crate) fn of_victim(&self, name: &str) -> CString {
        CString::new(format!("/proc/{}/{name}", self.victim)).unwrap_or_default()
    }
}

//! What attacks are aimed at: files, sockets and a process of the runner's own. A new set for every run, so
//! that what one attack damages no other meets.

use std::fs::{self, Permissions};
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::process::Started;

/// One set. Everything goes when it does.
#[derive(Debug)]
pub(crate) struct Fixtures {
    folder: TempDir,
    abstract_name: String,
    ports: (u16, u16),
    victim: Started,
    _listening: (UnixListener, UnixListener, TcpListener, UdpSocket),
}

impl Fixtures {
    pub(crate) fn new(probe: &Path) -> io::Result<Fixtures> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::Builder::new().prefix("stockade-attack-").tempdir()?;
        // Workers of a root host are other users, and what they could not reach anyway shows nothing.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let file = folder.path().join("file");
        fs::write(&file, "stockade attack target\n")?;
        fs::set_permissions(&file, Permissions::from_mode(0o644))?;
        let socket = folder.path().join("socket");
        let by_path = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, Permissions::from_mode(0o777))?;
        let abstract_name = format!("stockade-attack-{}-{number}", std::process::id());
        let by_name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name)?)?;
        let tcp = TcpListener::bind(("127.0.0.1", 0))?;
        let udp = UdpSocket::bind(("127.0.0.1", 0))?;
        let ports = (tcp.local_addr()?.port(), udp.local_addr()?.port());
        // It sleeps until the pipe that it reads from is gone, whatever becomes of this process.
        let victim = Started::new(
            Command::new(probe)
                .arg("victim")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )?;
        Ok(Fixtures { folder, abstract_name, ports, victim, _listening: (by_path, by_name, tcp, udp) })
    }

    /// As the probe takes them.
    pub(crate) fn document(&self) -> Value {
        json!({
            "folder": self.folder.path(),
            "file": self.folder.path().join("file"),
            "victim": self.victim.id(),
            "unix_path": self.folder.path().join("socket"),
            "unix_abstract": self.abstract_name,
            "tcp_port": self.ports.0,
            "udp_port": self.ports.1,
            "canary_sha256": canary(),
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The environment variable that may hold a secret of this process, for workers to look for: 32 hexadecimal
/// digits. It has to be there when the process starts, where a secret of a service would be.
pub const CANARY: &str = "STOCKADE_CANARY";

/// What workers are told of it: enough to know it when they see it. None where none was planted.
fn canary() -> Option<String> {
    let secret = std::env::var(CANARY).ok()?;
    Some(hex(&Sha256::digest(secret)))
}

/// In lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A folder for a host's state and programs, for as long as the suite runs: in memory where there is such a
/// place, since every launch waits for its record to be on the disk.
pub(crate) fn state() -> io::Result<TempDir> {
    let in_memory = PathBuf::from("/dev/shm");
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("stockade-attack-");
        builder
    };
    builder().tempdir_in(in_memory).or_else(|_| builder().tempdir())
}

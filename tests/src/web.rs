//! A web server of a folder's files, and nothing else.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// It serves in the clear, until the test ends.
#[derive(Debug)]
pub struct Web {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Web {
    /// Has every file below a folder.
    pub fn of(folder: &Path) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let folder: Arc<PathBuf> = Arc::new(folder.to_owned());
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let folder = Arc::clone(&folder);
                // Whoever hangs up early has what it wants.
                std::thread::spawn(move || drop(answer(&stream, &folder)));
            }
        });
        Web { address }
    }

    /// The address of a file there.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }
}

fn answer(mut stream: &TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let name = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
    let (status, body) = match fs::read(folder.join(name)) {
        Ok(bytes) => ("200 OK", bytes),
        Err(_) => ("404 Not Found", b"nothing there".to_vec()),
    };
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

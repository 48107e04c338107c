//! A name server that says what a test wants, one answer after the other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Answers to one name, in turn; the last is said again and again. None at all: there is no such name.
pub type Turns = Vec<Vec<IpAddr>>;

/// A running name server.
#[derive(Debug)]
pub struct Resolver {
    asked: Arc<Mutex<Vec<String>>>,
}

/// Of this machine, and nobody else's.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 53, 53);
const A: u16 = 1;
const AAAA: u16 = 28;

impl Resolver {
    /// Makes this thread, and what it starts from here on, ask a server that knows these names. Takes root.
    ///
    /// # Panics
    ///
    /// Where somebody else answers at its address.
    pub fn instead(names: Vec<(&'static str, Turns)>) -> Resolver {
        let none = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS).expect("root may");
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("root may");
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), format!("nameserver {ADDRESS}\noptions timeout:1 attempts:1\n"))
            .expect("written");
        let target = std::fs::canonicalize("/etc/resolv.conf")
            .unwrap_or_else(|_| Path::new("/etc/resolv.conf").into());
        mount(Some(file.path()), &target, none, MsFlags::MS_BIND, none).expect("root may");

        let socket = UdpSocket::bind(SocketAddr::new(ADDRESS.into(), 53)).expect("nobody else answers there");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut names = names;
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let Some((name, kind, end)) = question(&query[..length]) else { continue };
                let addresses = names.iter_mut().find(|(known, _)| *known == name).map(|(_, turns)| {
                    // A look-up asks twice; the second question is the end of a turn.
                    let first = turns.first().cloned().unwrap_or_default();
                    if kind == AAAA && turns.len() > 1 {
                        turns.remove(0);
                    }
                    first
                });
                notes.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{name} {kind}"));
                let reply = reply(&query[..end], kind, addresses.as_deref());
                let _ = socket.send_to(&reply, from);
            }
        });
        Resolver { asked }
    }

    /// Every question so far: the name, and 1 for IPv4 or 28 for IPv6.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The name that is asked for, the kind of record, and where the question ends.
fn question(query: &[u8]) -> Option<(String, u16, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).into_owned());
        at += length;
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    Some((labels.join("."), kind, at + 4))
}

fn reply(question: &[u8], kind: u16, addresses: Option<&[IpAddr]>) -> Vec<u8> {
    let fitting: Vec<Vec<u8>> = addresses
        .unwrap_or_default()
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(address) if kind == A => Some(address.octets().to_vec()),
            IpAddr::V6(address) if kind == AAAA => Some(address.octets().to_vec()),
            _ => None,
        })
        .collect();
    let mut reply = question.to_vec();
    let code = if addresses.is_some() { 0 } else { 3 };
    reply[2..4].copy_from_slice(&(0x8180_u16 | code).to_be_bytes());
    reply[6..8].copy_from_slice(&(fitting.len() as u16).to_be_bytes());
    // No authority and nothing additional, whatever the question had behind it.
    reply[8..12].fill(0);
    for address in fitting {
        reply.extend([0xc0, 0x0c]);
        reply.extend(kind.to_be_bytes());
        // Of the internet, to be kept for no time at all.
        reply.extend([0, 1, 0, 0, 0, 0]);
        reply.extend((address.len() as u16).to_be_bytes());
        reply.extend(address);
    }
    reply
}

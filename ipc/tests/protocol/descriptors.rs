//! Descriptors over a socket pair: case B11. Which descriptors are open is the process's, so these tests
//! take turns.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use stockade_ipc::bounds::FDS;
use stockade_ipc::fds;

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

/// How many descriptors of this process lead to /dev/null; other tests open none meanwhile.
fn open_nulls() -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    entries
        .filter(|e| std::fs::read_link(e.as_ref().unwrap().path()).is_ok_and(|to| to.ends_with("null")))
        .count()
}

fn send_nulls(socket: &UnixStream, count: usize, bytes: &[u8]) {
    let nulls: Vec<OwnedFd> = (0..count).map(|_| null()).collect();
    let borrowed: Vec<BorrowedFd<'_>> = nulls.iter().map(AsFd::as_fd).collect();
    assert_eq!(fds::send(socket.as_fd(), bytes, &borrowed).unwrap(), bytes.len());
}

#[test]
fn descriptors_arrive_with_their_bytes_and_close_on_exec() {
    let _turn = turn();
    let (host, worker) = UnixStream::pair().unwrap();
    let file = File::open("/proc/self/status").unwrap();
    fds::send(host.as_fd(), b"hello", &[file.as_fd(), null().as_fd()]).unwrap();
    let mut bytes = [0; 64];
    let (count, received) = fds::receive(worker.as_fd(), &mut bytes).unwrap();
    assert_eq!((&bytes[..count], received.len()), (&b"hello"[..], 2));
    for fd in &received {
        let flags = fcntl(fd, FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_truncate(flags).contains(FdFlag::FD_CLOEXEC));
    }
    assert_ne!(received[0].as_raw_fd(), file.as_raw_fd());
}

#[test]
fn bytes_alone_bring_no_descriptors() {
    let _turn = turn();
    let (host, worker) = UnixStream::pair().unwrap();
    fds::send(host.as_fd(), b"hello", &[]).unwrap();
    let mut bytes = [0; 64];
    let (count, received) = fds::receive(worker.as_fd(), &mut bytes).unwrap();
    assert_eq!((count, received.len()), (5, 0));
}

#[test]
fn b11_more_descriptors_than_a_message_has_are_an_error_and_none_stays_open() {
    let _turn = turn();
    for count in [FDS + 1, FDS + 2, 16, 253] {
        let (host, worker) = UnixStream::pair().unwrap();
        let before = open_nulls();
        send_nulls(&worker, count, b"x");
        let error = fds::receive(host.as_fd(), &mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{count}");
        drop((host, worker));
        assert_eq!(open_nulls(), before, "{count} sent");
    }
}

#[test]
fn b11_descriptors_on_every_byte_of_a_frame_do_not_pile_up() {
    let _turn = turn();
    let (host, worker) = UnixStream::pair().unwrap();
    let before = open_nulls();
    for _ in 0..64 {
        send_nulls(&worker, 1, b"x");
    }
    // A read does not go past bytes that carry descriptors: each receive brings one byte's worth.
    let mut most = 0;
    for _ in 0..64 {
        let (count, received) = fds::receive(host.as_fd(), &mut [0; 64]).unwrap();
        assert_eq!(count, 1);
        most = most.max(received.len());
    }
    assert_eq!((most, open_nulls()), (1, before));
}

#[test]
fn a_full_socket_and_a_closed_one_are_errors_not_waits() {
    let _turn = turn();
    let (host, worker) = UnixStream::pair().unwrap();
    let chunk = [0; 64 * 1024];
    let error = loop {
        if let Err(error) = fds::send(host.as_fd(), &chunk, &[]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    drop(worker);
    assert_eq!(fds::send(host.as_fd(), b"x", &[]).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn the_end_of_the_stream_is_no_bytes() {
    let _turn = turn();
    let (host, mut worker) = UnixStream::pair().unwrap();
    worker.write_all(b"x").unwrap();
    drop(worker);
    let mut bytes = [0; 8];
    assert_eq!(fds::receive(host.as_fd(), &mut bytes).unwrap().0, 1);
    assert_eq!(fds::receive(host.as_fd(), &mut bytes).unwrap().0, 0);
}

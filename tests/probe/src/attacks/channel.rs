//! The socket to the host, and what else passes through descriptors.

use libc::{EAGAIN, EBADF, EINVAL, EISCONN, EMFILE, ENOTTY, EOPNOTSUPP, EPERM, ESPIPE, ETOOMANYREFS};
use stockade_ipc::{Log, LogLevel, ToHost};

use super::system::{Stop, Tried, call};
use super::table::{Attack, Expect};

const SOCKET: i32 = 3;
const ARTIFACT: i32 = 4;

/// Sends a control message of this kind with a frame that the host takes, so that it is the control
/// message that decides.
fn send_with(kind: i32, data: &[i32]) -> Tried {
    let mut frame = Vec::new();
    let line = Log { level: LogLevel::Info, line: "control message".to_owned(), fields: Vec::new() };
    ToHost::from(line).frame(&mut frame).map_err(|_| Stop::Unavailable("no frame"))?;
    // struct cmsghdr: its length, then level and kind, then the data.
    let length = 16 + size_of_val(data) as u64;
    let mut control = vec![length, libc::SOL_SOCKET as u64 | (kind as u64) << 32];
    let words = data.chunks(2).map(|pair| {
        u64::from(pair[0] as u32) | pair.get(1).map_or(0, |&second| u64::from(second as u32) << 32)
    });
    control.extend(words);
    let part = [frame.as_ptr() as u64, frame.len() as u64];
    let message = [0, 0, part.as_ptr() as u64, 1, control.as_ptr() as u64, control.len() as u64 * 8, 0];
    call!(sendmsg, SOCKET, &message, libc::MSG_NOSIGNAL)
}

const PASSES: &str =
    "sendmsg on the socket is allowed; the host's end refuses the descriptors: SO_PASSRIGHTS, Linux 6.16";

const fn passes(id: &'static str, tries: &'static str, run: fn(&super::Context) -> Tried) -> Attack {
    Attack::unfiltered(id, tries, Expect::Refused(&[EPERM, ETOOMANYREFS]), run).why(PASSES)
}

const fn control(
    id: &'static str,
    tries: &'static str,
    call: &'static str,
    run: fn(&super::Context) -> Tried,
) -> Attack {
    Attack::new(id, tries, call, run)
}

pub(super) const ATTACKS: &[Attack] = &[
    passes("A16.artifact", "SCM_RIGHTS to the host: the artifact", |_| {
        send_with(libc::SCM_RIGHTS, &[ARTIFACT])
    }),
    passes("A16.own-socket", "SCM_RIGHTS to the host: its own socket", |_| {
        send_with(libc::SCM_RIGHTS, &[SOCKET])
    }),
    // Only in a worker: what is on its way counts for the whole user, and other workers of the same one
    // would find no room for their own.
    passes("A16.many", "SCM_RIGHTS to the host: /dev/null 253 times", |_| {
        send_with(libc::SCM_RIGHTS, &[0; 253])
    })
    .only_all(),
    Attack::unfiltered("A16.too-many", "SCM_RIGHTS: 254 descriptors", Expect::Refused(&[EINVAL]), |_| {
        send_with(libc::SCM_RIGHTS, &[0; 254])
    })
    .always(&[EINVAL])
    .seccomp(Expect::Refused(&[EINVAL]))
    .why("the kernel takes 253 at once"),
    Attack::unfiltered(
        "A16.no-such",
        "SCM_RIGHTS: a descriptor that is not there",
        Expect::Refused(&[EBADF]),
        |_| send_with(libc::SCM_RIGHTS, &[4095]),
    )
    .always(&[EBADF])
    .seccomp(Expect::Refused(&[EBADF])),
    control("A16.other-socket", "sendmsg(4)", "sendmsg", |_| call!(sendmsg, ARTIFACT, &[0_u64; 7], 0))
        .reached(&[libc::ENOTSOCK]),
    Attack::unfiltered(
        "A17.credentials",
        "SCM_CREDENTIALS: pid 1, root",
        Expect::Refused(&[EPERM, EINVAL]),
        |_| send_with(libc::SCM_CREDENTIALS, &[1, 0, 0]),
    )
    .why("only CAP_SYS_ADMIN and CAP_SETUID may lie; the host never asks for credentials"),
    control("A16.recvmsg", "recvmsg(socket) without an fs grant", "recvmsg", |_| {
        call!(recvmsg, SOCKET, &[0_u64; 7], libc::MSG_DONTWAIT)
    })
    .reached(&[EAGAIN]),
    control("A16.sendmmsg", "sendmmsg(socket)", "sendmmsg", |_| call!(sendmmsg, SOCKET, &[0_u64; 8], 0, 0)),
    control("A16.recvmmsg", "recvmmsg(socket)", "recvmmsg", |_| {
        call!(recvmmsg, SOCKET, &[0_u64; 8], 1, libc::MSG_DONTWAIT, 0)
    })
    .reached(&[EAGAIN]),
    control("A16.sendto", "sendto(socket)", "sendto", |_| call!(sendto, SOCKET, c"x", 0, 0, 0, 0)),
    control("A16.recvfrom", "recvfrom(socket, MSG_PEEK)", "recvfrom", |_| {
        call!(recvfrom, SOCKET, &mut [0_u8; 1], 1, libc::MSG_PEEK | libc::MSG_DONTWAIT, 0, 0)
    })
    .reached(&[EAGAIN]),
    control("A16.peer-credentials", "getsockopt(socket, SO_PEERCRED)", "getsockopt", |_| {
        call!(getsockopt, SOCKET, libc::SOL_SOCKET, libc::SO_PEERCRED, &mut [0_u32; 3], &mut [12_u32])
    }),
    // Linux 6.5; older ones do not know it.
    control("A16.peer-pidfd", "getsockopt(socket, SO_PEERPIDFD)", "getsockopt", |_| {
        call!(getsockopt, SOCKET, libc::SOL_SOCKET, 77, &mut [0_u32; 1], &mut [4_u32])
    }),
    control("A16.send-buffer", "setsockopt(socket, SO_SNDBUF, 64 MiB)", "setsockopt", |_| {
        call!(setsockopt, SOCKET, libc::SOL_SOCKET, libc::SO_SNDBUF, &[64 << 20_u32], 4)
    }),
    control("A16.shutdown", "shutdown(socket)", "shutdown", |_| call!(shutdown, SOCKET, libc::SHUT_RD)),
    control("A16.getpeername", "getpeername(socket)", "getpeername", |_| {
        call!(getpeername, SOCKET, &mut [0_u8; 128], &mut [128_u32])
    }),
    control("A16.getsockname", "getsockname(socket)", "getsockname", |_| {
        call!(getsockname, SOCKET, &mut [0_u8; 128], &mut [128_u32])
    }),
    control("A13.bind-socket", "bind(socket) to an abstract name", "bind", |_| {
        call!(bind, SOCKET, &[libc::AF_UNIX as u16], 2)
    }),
    control("A13.connect-socket", "connect(socket)", "connect", |c| {
        let (address, length) = super::network::abstract_address(c);
        call!(connect, SOCKET, &address, length)
    })
    .reached(&[EISCONN])
    .landlock_any(),
    control("A13.listen-socket", "listen(socket)", "listen", |_| call!(listen, SOCKET, 1)).reached(&[EINVAL]),
    control("A13.accept-socket", "accept(socket)", "accept", |_| call!(accept, SOCKET, 0, 0))
        .reached(&[EINVAL, EOPNOTSUPP]),
    control("A13.accept4-socket", "accept4(socket)", "accept4", |_| call!(accept4, SOCKET, 0, 0, 0))
        .reached(&[EINVAL, EOPNOTSUPP]),
    control("A26.setown", "fcntl(socket, F_SETOWN, VICTIM)", "fcntl", |c| {
        call!(fcntl, SOCKET, libc::F_SETOWN, c.victim)
    })
    .why("Landlock asks when the signal is sent, not when it is ordered"),
    control("A26.setown-ex", "fcntl(socket, F_SETOWN_EX, VICTIM)", "fcntl", |c| {
        call!(fcntl, SOCKET, 15, &[1, c.victim])
    }),
    control("A26.setsig", "fcntl(socket, F_SETSIG, SIGKILL)", "fcntl", |_| {
        call!(fcntl, SOCKET, 10, libc::SIGKILL)
    }),
    control("A26.async", "fcntl(socket, F_SETFL, O_ASYNC)", "fcntl", |_| {
        call!(fcntl, SOCKET, libc::F_SETFL, libc::O_ASYNC)
    }),
    control("A26.nonblock", "fcntl(socket, F_SETFL, O_NONBLOCK)", "fcntl", |_| {
        call!(fcntl, SOCKET, libc::F_SETFL, libc::O_NONBLOCK)
    }),
    control("A26.notify", "fcntl(artifact, F_NOTIFY)", "fcntl", |_| call!(fcntl, ARTIFACT, 1026, 1))
        .reached(&[libc::ENOTDIR]),
    control("A26.lease", "fcntl(artifact, F_SETLEASE, F_RDLCK)", "fcntl", |_| {
        call!(fcntl, ARTIFACT, 1024, 0)
    })
    .reached(&[EINVAL, EAGAIN]),
    control("A26.pipe-size", "fcntl(artifact, F_SETPIPE_SZ)", "fcntl", |_| {
        call!(fcntl, ARTIFACT, 1031, 1 << 20)
    })
    .reached(&[EBADF]),
    control("A26.getfl", "fcntl(socket, F_GETFL)", "fcntl", |_| call!(fcntl, SOCKET, libc::F_GETFL, 0)),
    control("A26.dupfd", "fcntl(socket, F_DUPFD)", "fcntl", |_| call!(fcntl, SOCKET, libc::F_DUPFD, 5)),
    control("A26.fioasync", "ioctl(socket, FIOASYNC)", "ioctl", |_| call!(ioctl, SOCKET, 0x5452, &[1_i32])),
    control("A36.tiocsti", "ioctl(0, TIOCSTI)", "ioctl", |_| call!(ioctl, 0, libc::TIOCSTI, c"x"))
        .reached(&[ENOTTY]),
    control("A36.tioclinux", "ioctl(0, TIOCLINUX)", "ioctl", |_| call!(ioctl, 0, libc::TIOCLINUX, c"\x02"))
        .reached(&[ENOTTY]),
    control("A36.tiocsctty", "ioctl(0, TIOCSCTTY)", "ioctl", |_| call!(ioctl, 0, libc::TIOCSCTTY, 0))
        .reached(&[ENOTTY]),
    control("A36.tioccons", "ioctl(0, TIOCCONS)", "ioctl", |_| call!(ioctl, 0, libc::TIOCCONS, 0))
        .reached(&[ENOTTY]),
    control("A36.getflags", "ioctl(artifact, FS_IOC_GETFLAGS)", "ioctl", |_| {
        call!(ioctl, ARTIFACT, 0x8008_6601_u32, &mut [0_u64; 1])
    })
    .reached(&[ENOTTY]),
    control("A36.interfaces", "ioctl(socket, SIOCGIFCONF)", "ioctl", |_| {
        call!(ioctl, SOCKET, 0x8912, &mut [0_u64; 2])
    }),
    control("A36.cloexec", "ioctl(socket, FIOCLEX)", "ioctl", |_| call!(ioctl, SOCKET, 0x5451, 0)),
    control("A36.high-half", "ioctl(socket, FIOCLEX | 1 << 32)", "ioctl", |_| {
        call!(ioctl, SOCKET, 0x5451_u64 | 1 << 32, 0)
    }),
    control("A47.sendfile", "sendfile(socket, artifact)", "sendfile", |_| {
        call!(sendfile, SOCKET, ARTIFACT, 0, 16)
    }),
    control("A47.splice", "splice(artifact, 0)", "splice", |_| call!(splice, ARTIFACT, 0, 0, 0, 16, 0))
        .reached(&[EINVAL]),
    control("A47.tee", "tee(artifact, 0)", "tee", |_| call!(tee, ARTIFACT, 0, 16, 0))
        .reached(&[EINVAL, EBADF]),
    control("A47.vmsplice", "vmsplice(0)", "vmsplice", |_| call!(vmsplice, 0, &[0_u64; 2], 1, 0))
        .reached(&[EBADF, EINVAL]),
    control("A47.copy-range", "copy_file_range(artifact, 0)", "copy_file_range", |_| {
        call!(copy_file_range, ARTIFACT, 0, 0, 0, 16, 0)
    })
    .reached(&[EINVAL, EBADF, ESPIPE]),
    control("A47.pipe", "pipe()", "pipe", |_| call!(pipe, &mut [0_i32; 2])).reached(&[EMFILE]),
    control("A47.splice-through-pipe", "pipe2(), then splice the artifact out", "pipe2", |_| {
        let mut ends = [0_i32; 2];
        call!(pipe2, &mut ends, 0)?;
        call!(splice, ARTIFACT, 0, ends[1], 0, 16, 0)
    }),
];

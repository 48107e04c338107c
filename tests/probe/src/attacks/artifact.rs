//! The descriptors that a worker has: what else they could be used for, and whether there are more.

use libc::{
    AT_FDCWD, EACCES, EBADF, EINVAL, ENODATA, EPERM, MAP_PRIVATE, MAP_SHARED, O_RDWR, PROT_READ, PROT_WRITE,
};

use super::system::{Stop, Tried, call};
use super::table::{Attack, Expect};

/// The compiled component, sealed.
const ARTIFACT: i32 = 4;
const PATH: &std::ffi::CStr = c"/proc/self/fd/4";

const NOT_ITS_MATTER: &str = "Landlock does not govern memfds; the seals and the open mode do";

fn reopen() -> Tried {
    call!(openat, AT_FDCWD, PATH, O_RDWR, 0)
}

fn map(descriptor: i64, protection: i32, flags: i32) -> Tried {
    call!(mmap, 0, 4096, protection, flags, descriptor, 0)
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new("A4.reopen", "openat(\"/proc/self/fd/4\", O_RDWR)", "openat", |_| reopen())
        .why(NOT_ITS_MATTER),
    Attack::new("A4.reopen-write", "reopen the artifact and write", "openat", |_| {
        let file = reopen()?;
        call!(write, file, c"x", 1)
    })
    .always(&[EPERM])
    .why("F_SEAL_WRITE holds with no layer at all"),
    Attack::new("A4.reopen-truncate", "reopen the artifact and ftruncate", "openat", |_| {
        let file = reopen()?;
        call!(ftruncate, file, 0)
    })
    .always(&[EPERM])
    .why("F_SEAL_SHRINK holds with no layer at all"),
    Attack::new("A4.reopen-grow", "reopen the artifact and grow it", "openat", |_| {
        let file = reopen()?;
        call!(ftruncate, file, 1 << 20)
    })
    .always(&[EPERM])
    .why("F_SEAL_GROW holds with no layer at all"),
    Attack::new("A4.reopen-map", "reopen the artifact and map it shared, writable", "openat", |_| {
        map(reopen()?, PROT_READ | PROT_WRITE, MAP_SHARED)
    })
    .always(&[EPERM])
    .why("F_SEAL_WRITE holds with no layer at all"),
    Attack::new("A4.reopen-punch", "reopen the artifact and punch a hole", "openat", |_| {
        let file = reopen()?;
        call!(fallocate, file, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, 0, 4096)
    })
    .always(&[EPERM])
    .why("F_SEAL_WRITE holds with no layer at all"),
    Attack::unfiltered("A4.write", "write(artifact)", Expect::Refused(&[EBADF]), |_| {
        call!(write, ARTIFACT, c"x", 1)
    })
    .always(&[EBADF])
    .seccomp(Expect::Refused(&[EBADF]))
    .why("it was opened for reading"),
    Attack::new("A4.pwrite", "pwrite64(artifact)", "pwrite64", |_| call!(pwrite64, ARTIFACT, c"x", 1, 0))
        .always(&[EBADF])
        .why("it was opened for reading"),
    Attack::new("A4.map-shared-writable", "mmap(artifact, MAP_SHARED, PROT_WRITE)", "mmap", |_| {
        map(i64::from(ARTIFACT), PROT_READ | PROT_WRITE, MAP_SHARED)
    })
    .always(&[EACCES, EPERM])
    .why("it was opened for reading"),
    Attack::new("A4.map-shared", "mmap(artifact, MAP_SHARED, PROT_READ)", "mmap", |_| {
        map(i64::from(ARTIFACT), PROT_READ, MAP_SHARED)
    })
    .why(NOT_ITS_MATTER),
    Attack::unfiltered("A4.map-private", "mmap(artifact, MAP_PRIVATE, PROT_WRITE)", Expect::Done, |_| {
        map(i64::from(ARTIFACT), PROT_READ | PROT_WRITE, MAP_PRIVATE)
    })
    .why("a copy of its own, which nobody else sees"),
    Attack::new("A4.ftruncate", "ftruncate(artifact, 0)", "ftruncate", |_| call!(ftruncate, ARTIFACT, 0))
        .always(&[EINVAL])
        .why("it was opened for reading"),
    Attack::new("A4.fallocate", "fallocate(artifact)", "fallocate", |_| {
        call!(fallocate, ARTIFACT, 0, 0, 1 << 20)
    })
    .always(&[EBADF])
    .why("it was opened for reading"),
    Attack::new("A4.add-seals", "fcntl(artifact, F_ADD_SEALS)", "fcntl", |_| {
        call!(fcntl, ARTIFACT, libc::F_ADD_SEALS, libc::F_SEAL_FUTURE_WRITE)
    })
    .always(&[EPERM])
    .why("F_SEAL_SEAL holds with no layer at all"),
    Attack::new("A4.fchmod-exec", "fchmod(artifact, 0700)", "fchmod", |_| call!(fchmod, ARTIFACT, 0o700))
        .always(&[EPERM])
        .why("F_SEAL_EXEC comes with MFD_NOEXEC_SEAL"),
    // What a worker may ask of a descriptor without naming it: a read of nothing.
    Attack::unfiltered(
        "A5.more-descriptors",
        "a descriptor besides 0 to 4",
        Expect::Refused(&[EBADF]),
        |_| match (5..4096).find(|&number| call!(read, number, 0, 0).is_ok()) {
            Some(number) => Ok(number),
            None => Err(Stop::Errno(EBADF)),
        },
    )
    .unconfined(Expect::Refused(&[EBADF]))
    .seccomp(Expect::Refused(&[EBADF]))
    .why("a process that leaks none into its children shows the same"),
    Attack::unfiltered("A5.input", "data from descriptors 0 to 2", Expect::Refused(&[ENODATA]), |_| {
        let mut bytes = [0_u8; 64];
        match (0..3).find(|&number| matches!(call!(read, number, &mut bytes, 64), Ok(1..))) {
            Some(number) => Ok(number),
            None => Err(Stop::Errno(ENODATA)),
        }
    })
    .unconfined(Expect::Refused(&[ENODATA]))
    .seccomp(Expect::Refused(&[ENODATA]))
    .why("they are the null device; the error is the probe's own word for an end of file"),
    Attack::unfiltered("A5.output", "write to descriptors 0 to 2", Expect::Done, |_| {
        call!(write, 1, c"x", 1)
    })
    .why("the null device takes everything and keeps nothing"),
    Attack::new("A5.dup", "dup(socket)", "dup", |_| call!(dup, 3)),
    Attack::new("A5.dup2", "dup2(socket, 9)", "dup2", |_| call!(dup2, 3, 9)),
    Attack::new("A5.dup3", "dup3(socket, 9)", "dup3", |_| call!(dup3, 3, 9, 0)),
    Attack::new("A5.close-range", "close_range(5, ~0)", "close_range", |_| {
        call!(close_range, 5, u32::MAX, 0)
    }),
    Attack::new("A5.lseek", "lseek(artifact)", "lseek", |_| call!(lseek, ARTIFACT, 0, 0)),
    Attack::new("A5.pread64", "pread64(artifact) without an fs grant", "pread64", |_| {
        call!(pread64, ARTIFACT, &mut [0_u8; 16], 16, 0)
    }),
    Attack::unfiltered("A5.pread64-fs", "pread64(artifact) with an fs grant", Expect::Done, |_| {
        call!(pread64, ARTIFACT, &mut [0_u8; 16], 16, 0)
    })
    .filter("agent+fs")
    .why("allowed: plugins with an fs grant read their files by it"),
    Attack::new("A5.readv", "readv(artifact)", "readv", |_| call!(readv, ARTIFACT, &[0_u64; 2], 1)),
    Attack::new("A5.writev", "writev(1)", "writev", |_| call!(writev, 1, &[c"x".as_ptr() as u64, 1], 1)),
    Attack::new("A5.preadv2", "preadv2(artifact)", "preadv2", |_| {
        call!(preadv2, ARTIFACT, &[0_u64; 2], 1, 0, 0, 0)
    }),
    Attack::new("A5.pwritev2", "pwritev2(1)", "pwritev2", |_| {
        call!(pwritev2, 1, &[c"x".as_ptr() as u64, 1], 1, -1, -1, 0)
    }),
    Attack::new("A5.poll", "poll(socket)", "poll", |_| call!(poll, &mut [3_u64], 1, 0)),
    Attack::new("A5.epoll", "epoll_create1()", "epoll_create1", |_| call!(epoll_create1, 0)),
    Attack::new("A5.eventfd", "eventfd2()", "eventfd2", |_| call!(eventfd2, 0, 0)),
    Attack::new("A5.signalfd", "signalfd4()", "signalfd4", |_| call!(signalfd4, -1, &[0_u64; 1], 8, 0)),
    Attack::new("A5.timerfd", "timerfd_create()", "timerfd_create", |_| call!(timerfd_create, 1, 0)),
];

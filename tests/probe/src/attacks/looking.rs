//! Looking without opening: metadata, names, and being told of changes.

use std::ffi::CStr;

use libc::{AT_FDCWD, EBADF, EINVAL, ENODATA, ENOTDIR, EOPNOTSUPP};

use super::context::Context;
use super::system::{Tried, call};
use super::table::Attack;

const PASSWD: &CStr = c"/etc/passwd";
/// The artifact.
const ARTIFACT: i32 = 4;

const fn looks(
    id: &'static str,
    tries: &'static str,
    call: &'static str,
    run: fn(&Context) -> Tried,
) -> Attack {
    Attack::new(id, tries, call, run).why("Landlock has no right for metadata")
}

pub(super) const ATTACKS: &[Attack] = &[
    looks("A6.open-path", "openat(\"/etc/passwd\", O_PATH)", "openat", |_| {
        call!(openat, AT_FDCWD, PASSWD, libc::O_PATH, 0)
    }),
    looks("A6.stat", "stat(\"/etc/passwd\")", "stat", |_| call!(stat, PASSWD, &mut [0_u64; 32])),
    looks("A6.lstat", "lstat(\"/etc/passwd\")", "lstat", |_| call!(lstat, PASSWD, &mut [0_u64; 32])),
    looks("A6.fstat", "fstat(artifact)", "fstat", |_| call!(fstat, ARTIFACT, &mut [0_u64; 32])),
    looks("A6.fstatat", "newfstatat(\"/etc/passwd\")", "newfstatat", |_| {
        call!(newfstatat, AT_FDCWD, PASSWD, &mut [0_u64; 32], 0)
    }),
    looks("A6.statx", "statx(\"/etc/passwd\")", "statx", |_| {
        call!(statx, AT_FDCWD, PASSWD, 0, 0xfff, &mut [0_u64; 64])
    }),
    looks("A6.access", "access(\"/etc/passwd\", R_OK)", "access", |_| call!(access, PASSWD, libc::R_OK)),
    looks("A6.faccessat", "faccessat(\"/etc/passwd\", R_OK)", "faccessat", |_| {
        call!(faccessat, AT_FDCWD, PASSWD, libc::R_OK)
    }),
    looks("A6.faccessat2", "faccessat2(\"/etc/passwd\", R_OK)", "faccessat2", |_| {
        call!(faccessat2, AT_FDCWD, PASSWD, libc::R_OK, 0)
    }),
    looks("A6.readlink", "readlink(\"/proc/self/exe\")", "readlink", |_| {
        call!(readlink, c"/proc/self/exe", &mut [0_u8; 256], 256)
    }),
    looks("A6.readlinkat", "readlinkat(symlink)", "readlinkat", |c| {
        call!(readlinkat, AT_FDCWD, c.inside("symlink").as_c_str(), &mut [0_u8; 256], 256)
    }),
    looks("A6.getcwd", "getcwd()", "getcwd", |_| call!(getcwd, &mut [0_u8; 4096], 4096)),
    looks("A6.chdir", "chdir(folder)", "chdir", |c| call!(chdir, c.folder.as_c_str())),
    looks("A6.fchdir", "fchdir(artifact)", "fchdir", |_| call!(fchdir, ARTIFACT)).reached(&[ENOTDIR]),
    looks("A6.statfs", "statfs(\"/\")", "statfs", |_| call!(statfs, c"/", &mut [0_u64; 32])),
    looks("A6.fstatfs", "fstatfs(artifact)", "fstatfs", |_| call!(fstatfs, ARTIFACT, &mut [0_u64; 32])),
    looks("A6.getdents64", "getdents64(artifact)", "getdents64", |_| {
        call!(getdents64, ARTIFACT, &mut [0_u64; 64], 512)
    })
    .reached(&[ENOTDIR]),
    looks("A6.getdents", "getdents(artifact)", "getdents", |_| {
        call!(getdents, ARTIFACT, &mut [0_u64; 64], 512)
    })
    .reached(&[ENOTDIR]),
    looks("A6.getxattr", "getxattr(file, \"user.x\")", "getxattr", |c| {
        call!(getxattr, c.file.as_c_str(), c"user.x", &mut [0_u8; 64], 64)
    })
    .reached(&[ENODATA, EOPNOTSUPP]),
    looks("A6.getxattrat", "getxattrat(file, \"user.x\")", "getxattrat", |c| {
        let mut value = [0_u8; 64];
        let arguments = [value.as_mut_ptr() as u64, 64];
        call!(getxattrat, AT_FDCWD, c.file.as_c_str(), 0, c"user.x", &arguments, 16)
    })
    .reached(&[ENODATA, EOPNOTSUPP]),
    looks("A6.listxattr", "listxattr(file)", "listxattr", |c| {
        call!(listxattr, c.file.as_c_str(), &mut [0_u8; 64], 64)
    }),
    looks("A6.flistxattr", "flistxattr(artifact)", "flistxattr", |_| {
        call!(flistxattr, ARTIFACT, &mut [0_u8; 64], 64)
    }),
    looks("A6.listxattrat", "listxattrat(file)", "listxattrat", |c| {
        call!(listxattrat, AT_FDCWD, c.file.as_c_str(), 0, &mut [0_u8; 64], 64)
    }),
    looks("A6.file-getattr", "file_getattr(file)", "file_getattr", |c| {
        call!(file_getattr, AT_FDCWD, c.file.as_c_str(), &mut [0_u64; 3], 24, 0)
    })
    .reached(&[EOPNOTSUPP]),
    looks("A6.cachestat", "cachestat(artifact)", "cachestat", |_| {
        call!(cachestat, ARTIFACT, &[0_u64; 2], &mut [0_u64; 5], 0)
    }),
    looks("A6.sysfs", "sysfs(3): how many filesystem types there are", "sysfs", |_| call!(sysfs, 3, 0, 0)),
    looks("A10.inotify-init", "inotify_init()", "inotify_init", |_| call!(inotify_init)),
    looks("A10.inotify-init1", "inotify_init1()", "inotify_init1", |_| call!(inotify_init1, 0)),
    looks("A10.inotify-watch", "watch /etc with inotify", "inotify_init1", |_| {
        let watcher = call!(inotify_init1, 0)?;
        call!(inotify_add_watch, watcher, c"/etc", 0xfff)
    })
    .why("Landlock does not govern watching"),
    looks("A10.inotify-add", "inotify_add_watch(0, \"/etc\")", "inotify_add_watch", |_| {
        call!(inotify_add_watch, 0, c"/etc", 0xfff)
    })
    .reached(&[EINVAL]),
    looks("A10.inotify-rm", "inotify_rm_watch(0, 1)", "inotify_rm_watch", |_| call!(inotify_rm_watch, 0, 1))
        .reached(&[EINVAL]),
    looks("A10.fanotify-init", "fanotify_init(FAN_CLASS_NOTIF)", "fanotify_init", |_| {
        call!(fanotify_init, 0, libc::O_RDONLY)
    })
    .why("needs CAP_SYS_ADMIN in this form"),
    looks("A10.fanotify-init-user", "fanotify_init(FAN_REPORT_FID)", "fanotify_init", |_| {
        call!(fanotify_init, libc::FAN_REPORT_FID, libc::O_RDONLY)
    })
    .why("Landlock does not govern watching"),
    looks("A10.fanotify-mark", "fanotify_mark(0, \"/etc\")", "fanotify_mark", |_| {
        call!(fanotify_mark, 0, libc::FAN_MARK_ADD, libc::FAN_MODIFY, AT_FDCWD, c"/etc")
    })
    .reached(&[EINVAL, EBADF]),
];

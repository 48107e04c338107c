//! Changing files: their attributes, their names, whether they are there.

use libc::{
    AT_FDCWD, AT_REMOVEDIR, EACCES, EBADF, EINVAL, ENODATA, ENOTTY, EOPNOTSUPP, S_IFBLK, S_IFCHR, S_IFIFO,
    S_IFREG, S_IFSOCK,
};

use super::context::Context;
use super::system::{Tried, call};
use super::table::Attack;

const ARTIFACT: i32 = 4;
/// "Leave it as it is", for an owner.
const SAME: i32 = -1;

const fn attribute(
    id: &'static str,
    tries: &'static str,
    call: &'static str,
    run: fn(&Context) -> Tried,
) -> Attack {
    Attack::new(id, tries, call, run).why("Landlock has no right for attributes")
}

const fn name(
    id: &'static str,
    tries: &'static str,
    call: &'static str,
    run: fn(&Context) -> Tried,
) -> Attack {
    Attack::new(id, tries, call, run).landlock(&[EACCES])
}

pub(super) const ATTACKS: &[Attack] = &[
    attribute("A7.chmod", "chmod(file, 0777)", "chmod", |c| call!(chmod, c.file.as_c_str(), 0o777)),
    attribute("A7.chmod-setuid", "chmod(file, 04755)", "chmod", |c| call!(chmod, c.file.as_c_str(), 0o4755)),
    attribute("A7.fchmod", "fchmod(artifact, 0600)", "fchmod", |_| call!(fchmod, ARTIFACT, 0o600)),
    attribute("A7.fchmodat", "fchmodat(file, 0777)", "fchmodat", |c| {
        call!(fchmodat, AT_FDCWD, c.file.as_c_str(), 0o777)
    }),
    attribute("A7.fchmodat2", "fchmodat2(file, 0777)", "fchmodat2", |c| {
        call!(fchmodat2, AT_FDCWD, c.file.as_c_str(), 0o777, 0)
    }),
    attribute("A7.chown", "chown(file)", "chown", |c| call!(chown, c.file.as_c_str(), SAME, SAME)),
    attribute("A7.lchown", "lchown(file)", "lchown", |c| call!(lchown, c.file.as_c_str(), SAME, SAME)),
    attribute("A7.fchown", "fchown(artifact)", "fchown", |_| call!(fchown, ARTIFACT, SAME, SAME)),
    attribute("A7.fchownat", "fchownat(file)", "fchownat", |c| {
        call!(fchownat, AT_FDCWD, c.file.as_c_str(), SAME, SAME, 0)
    }),
    attribute("A7.utime", "utime(file)", "utime", |c| call!(utime, c.file.as_c_str(), 0)),
    attribute("A7.utimes", "utimes(file)", "utimes", |c| call!(utimes, c.file.as_c_str(), 0)),
    attribute("A7.futimesat", "futimesat(file)", "futimesat", |c| {
        call!(futimesat, AT_FDCWD, c.file.as_c_str(), 0)
    }),
    attribute("A7.utimensat", "utimensat(file)", "utimensat", |c| {
        call!(utimensat, AT_FDCWD, c.file.as_c_str(), 0, 0)
    }),
    attribute("A7.setxattr", "setxattr(file, \"user.x\")", "setxattr", |c| {
        call!(setxattr, c.file.as_c_str(), c"user.x", c"v", 1, 0)
    })
    .reached(&[EOPNOTSUPP]),
    attribute("A7.lsetxattr", "lsetxattr(file, \"user.x\")", "lsetxattr", |c| {
        call!(lsetxattr, c.file.as_c_str(), c"user.x", c"v", 1, 0)
    })
    .reached(&[EOPNOTSUPP]),
    attribute("A7.fsetxattr", "fsetxattr(artifact, \"user.x\")", "fsetxattr", |_| {
        call!(fsetxattr, ARTIFACT, c"user.x", c"v", 1, 0)
    })
    .reached(&[EOPNOTSUPP]),
    attribute("A7.setxattrat", "setxattrat(file, \"user.x\")", "setxattrat", |c| {
        let arguments = [c"v".as_ptr() as u64, 1];
        call!(setxattrat, AT_FDCWD, c.file.as_c_str(), 0, c"user.x", &arguments, 16)
    })
    .reached(&[EOPNOTSUPP]),
    attribute("A7.removexattr", "removexattr(file, \"user.y\")", "removexattr", |c| {
        call!(removexattr, c.file.as_c_str(), c"user.y")
    })
    .reached(&[ENODATA, EOPNOTSUPP]),
    attribute("A7.lremovexattr", "lremovexattr(file, \"user.y\")", "lremovexattr", |c| {
        call!(lremovexattr, c.file.as_c_str(), c"user.y")
    })
    .reached(&[ENODATA, EOPNOTSUPP]),
    attribute("A7.fremovexattr", "fremovexattr(artifact, \"user.y\")", "fremovexattr", |_| {
        call!(fremovexattr, ARTIFACT, c"user.y")
    })
    .reached(&[ENODATA, EOPNOTSUPP]),
    attribute("A7.removexattrat", "removexattrat(file, \"user.y\")", "removexattrat", |c| {
        call!(removexattrat, AT_FDCWD, c.file.as_c_str(), 0, c"user.y")
    })
    .reached(&[ENODATA, EOPNOTSUPP]),
    attribute("A7.file-setattr", "file_setattr(file)", "file_setattr", |c| {
        call!(file_setattr, AT_FDCWD, c.file.as_c_str(), &[0_u64; 3], 24, 0)
    })
    .reached(&[EOPNOTSUPP, ENOTTY]),
    attribute("A7.umask", "umask(0)", "umask", |_| call!(umask, 0))
        .why("its own, and Landlock does not care"),
    attribute("A7.flock", "flock(artifact, LOCK_SH)", "flock", |_| call!(flock, ARTIFACT, libc::LOCK_SH))
        .why("Landlock has no right for locks"),
    attribute("A7.syncfs", "syncfs(artifact)", "syncfs", |_| call!(syncfs, ARTIFACT))
        .why("Landlock has no right for syncing"),
    name("A7.truncate", "truncate(file, 0)", "truncate", |c| call!(truncate, c.file.as_c_str(), 0)),
    name("A8.link", "link(file, new)", "link", |c| {
        call!(link, c.file.as_c_str(), c.inside("new").as_c_str())
    }),
    name("A8.linkat", "linkat(file, new)", "linkat", |c| {
        call!(linkat, AT_FDCWD, c.file.as_c_str(), AT_FDCWD, c.inside("new").as_c_str(), 0)
    }),
    name("A8.symlink", "symlink(\"/etc/passwd\", new)", "symlink", |c| {
        call!(symlink, c"/etc/passwd", c.inside("new").as_c_str())
    }),
    name("A8.symlinkat", "symlinkat(\"/etc/passwd\", new)", "symlinkat", |c| {
        call!(symlinkat, c"/etc/passwd", AT_FDCWD, c.inside("new").as_c_str())
    }),
    name("A8.rename", "rename(file, new)", "rename", |c| {
        call!(rename, c.inside("doomed").as_c_str(), c.inside("new").as_c_str())
    }),
    name("A8.rename-across", "rename(file, folder/new)", "rename", |c| {
        call!(rename, c.inside("doomed").as_c_str(), c.inside("doomed-folder/new").as_c_str())
    }),
    name("A8.renameat", "renameat(file, new)", "renameat", |c| {
        call!(renameat, AT_FDCWD, c.inside("doomed").as_c_str(), AT_FDCWD, c.inside("new").as_c_str())
    }),
    name("A8.rename-exchange", "renameat2(file, other, RENAME_EXCHANGE)", "renameat2", |c| {
        let (from, to) = (c.inside("doomed"), c.inside("other"));
        call!(renameat2, AT_FDCWD, from.as_c_str(), AT_FDCWD, to.as_c_str(), libc::RENAME_EXCHANGE)
    }),
    name("A8.rename-whiteout", "renameat2(file, new, RENAME_WHITEOUT)", "renameat2", |c| {
        let (from, to) = (c.inside("doomed"), c.inside("new"));
        call!(renameat2, AT_FDCWD, from.as_c_str(), AT_FDCWD, to.as_c_str(), libc::RENAME_WHITEOUT)
    }),
    name("A8.mknod-fifo", "mknod(new, S_IFIFO)", "mknod", |c| {
        call!(mknod, c.inside("new").as_c_str(), S_IFIFO | 0o600, 0)
    }),
    name("A8.mknod-device", "mknod(new, S_IFCHR, 1:3)", "mknod", |c| {
        call!(mknod, c.inside("new").as_c_str(), S_IFCHR | 0o600, 0x103)
    })
    .why("needs CAP_MKNOD"),
    name("A8.mknod-block", "mknod(new, S_IFBLK, 7:0)", "mknod", |c| {
        call!(mknod, c.inside("new").as_c_str(), S_IFBLK | 0o600, 0x700)
    })
    .why("needs CAP_MKNOD"),
    name("A8.mknod-file", "mknod(new, S_IFREG)", "mknod", |c| {
        call!(mknod, c.inside("new").as_c_str(), S_IFREG | 0o600, 0)
    }),
    name("A8.mknodat-socket", "mknodat(new, S_IFSOCK)", "mknodat", |c| {
        call!(mknodat, AT_FDCWD, c.inside("new").as_c_str(), S_IFSOCK | 0o600, 0)
    }),
    name("A8.unlink", "unlink(file)", "unlink", |c| call!(unlink, c.inside("doomed").as_c_str())),
    name("A8.unlinkat", "unlinkat(file)", "unlinkat", |c| {
        call!(unlinkat, AT_FDCWD, c.inside("doomed").as_c_str(), 0)
    }),
    name("A8.unlinkat-folder", "unlinkat(folder, AT_REMOVEDIR)", "unlinkat", |c| {
        call!(unlinkat, AT_FDCWD, c.inside("doomed-folder").as_c_str(), AT_REMOVEDIR)
    }),
    name("A8.rmdir", "rmdir(folder)", "rmdir", |c| call!(rmdir, c.inside("doomed-folder").as_c_str())),
    name("A8.mkdir", "mkdir(new)", "mkdir", |c| call!(mkdir, c.inside("new").as_c_str(), 0o700)),
    name("A8.mkdirat", "mkdirat(new)", "mkdirat", |c| {
        call!(mkdirat, AT_FDCWD, c.inside("new").as_c_str(), 0o700)
    }),
    attribute("A7.sync-range", "sync_file_range(artifact)", "sync_file_range", |_| {
        call!(sync_file_range, ARTIFACT, 0, 0, 0)
    })
    .reached(&[EINVAL, EBADF]),
];

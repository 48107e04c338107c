//! Opening files: by path, by `/proc`, by handle.

use std::ffi::CStr;

use libc::{AT_FDCWD, EACCES, ENOENT, ESTALE, O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};

use super::context::Context;
use super::system::{Tried, call};
use super::table::Attack;

const PASSWD: &CStr = c"/etc/passwd";

fn open(path: &CStr, flags: i32) -> Tried {
    call!(openat, AT_FDCWD, path, flags, 0o600)
}

/// Opens by `openat2`; `resolve` restricts how the path is walked, never who may.
fn open2(path: &CStr, flags: i32, resolve: u64) -> Tried {
    call!(openat2, AT_FDCWD, path, &[flags as u64, 0, resolve], 24)
}

fn by_handle(handle_type: u32, inode: u32) -> Tried {
    call!(open_by_handle_at, AT_FDCWD, &[8_u32, handle_type, inode, 0], O_RDONLY)
}

fn victim(c: &Context, name: &str, flags: i32) -> Tried {
    open(&c.of_victim(name), flags)
}

const fn opens(id: &'static str, tries: &'static str, run: fn(&Context) -> Tried) -> Attack {
    Attack::new(id, tries, "openat", run).landlock(&[EACCES])
}

const INTERNAL: &str = "Landlock does not govern the kernel's own filesystems, which namespaces are files of";

pub(super) const ATTACKS: &[Attack] = &[
    opens("A36.device", "openat(\"/dev/ptmx\"), ioctl(TIOCGPTN)", |_| {
        let terminal = open(c"/dev/ptmx", O_RDWR | libc::O_NOCTTY)?;
        call!(ioctl, terminal, libc::TIOCGPTN, &mut [0_u32; 1])
    }),
    opens("A1.openat-passwd", "openat(\"/etc/passwd\", O_RDONLY)", |_| open(PASSWD, O_RDONLY)),
    opens("A1.openat-file", "openat(file, O_RDONLY)", |c| open(&c.file, O_RDONLY)),
    opens("A1.openat-write", "openat(file, O_WRONLY)", |c| open(&c.file, O_WRONLY)),
    opens("A1.openat-truncate", "openat(file, O_WRONLY | O_TRUNC)", |c| open(&c.file, O_WRONLY | O_TRUNC)),
    opens("A1.openat-create", "openat(new, O_CREAT | O_RDWR)", |c| open(&c.inside("new"), O_CREAT | O_RDWR)),
    opens("A1.openat-relative", "openat(\".\", O_DIRECTORY)", |_| open(c".", O_RDONLY | O_DIRECTORY)),
    opens("A1.openat-dotdot", "openat(\"../../../../etc/passwd\")", |_| {
        open(c"../../../../../../../../../../etc/passwd", O_RDONLY)
    }),
    opens("A1.openat-folder", "openat(folder, O_DIRECTORY)", |c| open(&c.folder, O_RDONLY | O_DIRECTORY)),
    opens("A1.openat-root", "openat(\"/\", O_DIRECTORY)", |_| open(c"/", O_RDONLY | O_DIRECTORY)),
    opens("A1.openat-symlink", "openat(symlink to file)", |c| open(&c.inside("symlink"), O_RDONLY)),
    opens("A1.openat-tmpfile", "openat(folder, O_TMPFILE | O_RDWR)", |c| {
        open(&c.folder, libc::O_TMPFILE | O_RDWR)
    }),
    opens("A1.openat-device", "openat(\"/dev/null\", O_RDWR)", |_| open(c"/dev/null", O_RDWR)),
    opens("A1.openat-terminal", "openat(\"/dev/ptmx\", O_RDWR | O_NOCTTY)", |_| {
        open(c"/dev/ptmx", O_RDWR | libc::O_NOCTTY)
    }),
    opens("A1.openat-sysctl", "openat(\"/proc/sys/kernel/core_pattern\", O_WRONLY)", |_| {
        open(c"/proc/sys/kernel/core_pattern", O_WRONLY)
    }),
    opens("A1.openat-sysfs", "openat(\"/sys/kernel/mm\", O_DIRECTORY)", |_| {
        open(c"/sys/kernel/mm", O_RDONLY | O_DIRECTORY)
    }),
    Attack::new("A1.open-passwd", "open(\"/etc/passwd\", O_RDONLY)", "open", |_| {
        call!(open, PASSWD, O_RDONLY, 0)
    })
    .landlock(&[EACCES]),
    Attack::new("A1.open-create", "open(new, O_CREAT | O_EXCL)", "open", |c| {
        call!(open, c.inside("new").as_c_str(), O_CREAT | libc::O_EXCL | O_WRONLY, 0o600)
    })
    .landlock(&[EACCES]),
    Attack::new("A1.creat", "creat(new)", "creat", |c| call!(creat, c.inside("new").as_c_str(), 0o600))
        .landlock(&[EACCES]),
    Attack::new("A1.openat2-passwd", "openat2(\"/etc/passwd\")", "openat2", |_| open2(PASSWD, O_RDONLY, 0))
        .landlock(&[EACCES]),
    Attack::new("A1.openat2-in-root", "openat2(\"/file\", RESOLVE_IN_ROOT)", "openat2", |_| {
        call!(openat2, AT_FDCWD, c"/file", &[O_RDONLY as u64, 0, libc::RESOLVE_IN_ROOT], 24)
    })
    .reached(&[ENOENT])
    .landlock_any()
    .why("what lies in the working directory is not the same everywhere"),
    opens("A2.self-exe", "openat(\"/proc/self/exe\")", |_| open(c"/proc/self/exe", O_RDONLY)),
    opens("A2.self-mem", "openat(\"/proc/self/mem\", O_RDWR)", |_| open(c"/proc/self/mem", O_RDWR)),
    opens("A2.self-maps", "openat(\"/proc/self/maps\")", |_| open(c"/proc/self/maps", O_RDONLY)),
    opens("A2.self-environ", "openat(\"/proc/self/environ\")", |_| open(c"/proc/self/environ", O_RDONLY)),
    opens("A2.self-root", "openat(\"/proc/self/root/etc/passwd\")", |_| {
        open(c"/proc/self/root/etc/passwd", O_RDONLY)
    }),
    opens("A2.self-cwd", "openat(\"/proc/self/cwd\", O_DIRECTORY)", |_| {
        open(c"/proc/self/cwd", O_RDONLY | O_DIRECTORY)
    }),
    opens("A2.self-fds", "openat(\"/proc/self/fd\", O_DIRECTORY)", |_| {
        open(c"/proc/self/fd", O_RDONLY | O_DIRECTORY)
    }),
    opens("A2.thread-mem", "openat(\"/proc/thread-self/mem\", O_RDWR)", |_| {
        open(c"/proc/thread-self/mem", O_RDWR)
    }),
    opens("A2.self-score", "openat(\"/proc/self/oom_score_adj\", O_WRONLY)", |_| {
        open(c"/proc/self/oom_score_adj", O_WRONLY)
    }),
    Attack::new("A2.self-namespace", "openat(\"/proc/self/ns/net\")", "openat", |_| {
        open(c"/proc/self/ns/net", O_RDONLY)
    })
    .why(INTERNAL),
    opens("A3.victim-mem", "openat(\"/proc/VICTIM/mem\", O_RDWR)", |c| victim(c, "mem", O_RDWR)),
    opens("A3.victim-environ", "openat(\"/proc/VICTIM/environ\")", |c| victim(c, "environ", O_RDONLY)),
    opens("A3.victim-maps", "openat(\"/proc/VICTIM/maps\")", |c| victim(c, "maps", O_RDONLY)),
    opens("A3.victim-status", "openat(\"/proc/VICTIM/status\")", |c| victim(c, "status", O_RDONLY)),
    opens("A3.victim-root", "openat(\"/proc/VICTIM/root/etc/passwd\")", |c| {
        victim(c, "root/etc/passwd", O_RDONLY)
    }),
    opens("A3.victim-cwd", "openat(\"/proc/VICTIM/cwd\", O_DIRECTORY)", |c| {
        victim(c, "cwd", O_RDONLY | O_DIRECTORY)
    }),
    opens("A3.victim-exe", "openat(\"/proc/VICTIM/exe\")", |c| victim(c, "exe", O_RDONLY)),
    opens("A3.victim-fds", "openat(\"/proc/VICTIM/fd\", O_DIRECTORY)", |c| {
        victim(c, "fd", O_RDONLY | O_DIRECTORY)
    }),
    opens("A3.victim-fd", "openat(\"/proc/VICTIM/fd/2\")", |c| {
        victim(c, "fd/2", O_RDONLY | libc::O_NONBLOCK)
    })
    .reached(&[libc::ENXIO])
    .landlock_any()
    .why("what it is that lies there decides in which way it is refused"),
    opens("A3.victim-score", "openat(\"/proc/VICTIM/oom_score_adj\", O_WRONLY)", |c| {
        victim(c, "oom_score_adj", O_WRONLY)
    }),
    opens("A3.victim-namespace", "openat(\"/proc/VICTIM/ns/mnt\")", |c| victim(c, "ns/mnt", O_RDONLY)),
    opens("A3.victim-secret", "a secret out of /proc/VICTIM/environ", |c| {
        let file = victim(c, "environ", O_RDONLY)?;
        let mut bytes = [0_u8; 4096];
        call!(read, file, &mut bytes, bytes.len())
    }),
    opens("A3.processes", "openat(\"/proc\", O_DIRECTORY)", |_| open(c"/proc", O_RDONLY | O_DIRECTORY)),
    Attack::new("A9.name-to-handle", "name_to_handle_at(file)", "name_to_handle_at", |c| {
        let (mut handle, mut mount) = ([0_u32; 34], [0_i32; 1]);
        handle[0] = 128;
        call!(name_to_handle_at, AT_FDCWD, c.file.as_c_str(), &mut handle, &mut mount, 0)
    })
    .why("a handle is metadata to Landlock"),
    // The inode of the root of ext4: the "shocker" of 2014.
    Attack::new("A9.open-by-handle", "open_by_handle_at(inode 2)", "open_by_handle_at", |_| by_handle(1, 2))
        .reached(&[ESTALE])
        .landlock_any()
        .why("needs CAP_DAC_READ_SEARCH; a stale handle is refused only after that was asked"),
];

//! The tree of mounts. Nothing here changes it: each call ends at an argument that the kernel looks at
//! after it has asked who calls.

use libc::{AT_FDCWD, EBADF, EBUSY, EINVAL, ENODEV, EPERM};

use super::context::Context;
use super::system::{Tried, call};
use super::table::Attack;

const fn mounts(
    id: &'static str,
    tries: &'static str,
    call: &'static str,
    run: fn(&Context) -> Tried,
) -> Attack {
    Attack::new(id, tries, call, run).why("needs CAP_SYS_ADMIN")
}

fn mount(c: &Context, flags: u64) -> Tried {
    call!(mount, c"none", c.folder.as_c_str(), c"stockade-no-such", flags, 0)
}

/// `struct mnt_id_req` for the root of this namespace.
const WHOLE_TREE: [u64; 4] = [24, u64::MAX, 0, 0];

pub(super) const ATTACKS: &[Attack] = &[
    mounts("A29.mount", "mount() of a filesystem", "mount", |c| mount(c, 0))
        .reached(&[ENODEV])
        .landlock(&[EPERM]),
    mounts("A29.remount", "mount(MS_REMOUNT) of what is no mount", "mount", |c| mount(c, libc::MS_REMOUNT))
        .reached(&[EINVAL])
        .landlock(&[EPERM]),
    mounts("A29.move", "mount(MS_MOVE) of what is no mount", "mount", |c| {
        let (from, to) = (c.folder.as_c_str(), c.inside("doomed-folder"));
        call!(mount, from, to.as_c_str(), 0, libc::MS_MOVE, 0)
    })
    .reached(&[EINVAL])
    .landlock(&[EPERM]),
    mounts("A29.umount", "umount2() of what is no mount", "umount2", |c| {
        call!(umount2, c.folder.as_c_str(), 0)
    })
    .reached(&[EINVAL])
    .landlock_any(),
    mounts("A29.pivot-root", "pivot_root(folder, folder)", "pivot_root", |c| {
        call!(pivot_root, c.folder.as_c_str(), c.folder.as_c_str())
    })
    .reached(&[EINVAL, EBUSY])
    .landlock(&[EPERM]),
    Attack::new("A29.chroot", "chroot(folder)", "chroot", |c| call!(chroot, c.folder.as_c_str()))
        .why("needs CAP_SYS_CHROOT; Landlock has no say"),
    mounts("A29.fsopen", "fsopen(\"tmpfs\")", "fsopen", |_| call!(fsopen, c"tmpfs", 0)),
    mounts("A29.fspick", "fspick(folder), which is no mount", "fspick", |c| {
        call!(fspick, AT_FDCWD, c.folder.as_c_str(), 0)
    })
    .reached(&[EINVAL]),
    Attack::new("A29.fsconfig", "fsconfig(0)", "fsconfig", |_| call!(fsconfig, 0, 6, 0, 0, 0))
        .reached(&[EINVAL, EBADF]),
    mounts("A29.fsmount", "fsmount(0)", "fsmount", |_| call!(fsmount, 0, 0, 0)).reached(&[EINVAL, EBADF]),
    mounts("A29.move-mount", "move_mount() of what is no mount", "move_mount", |c| {
        let (from, to) = (c.folder.as_c_str(), c.inside("doomed-folder"));
        call!(move_mount, AT_FDCWD, from, AT_FDCWD, to.as_c_str(), 0)
    })
    .reached(&[EINVAL])
    .landlock(&[EPERM]),
    Attack::new("A29.open-tree", "open_tree(folder)", "open_tree", |c| {
        call!(open_tree, AT_FDCWD, c.folder.as_c_str(), 0)
    })
    .why("a descriptor like O_PATH, which Landlock does not govern"),
    mounts("A29.clone-tree", "open_tree(folder, OPEN_TREE_CLONE)", "open_tree", |c| {
        call!(open_tree, AT_FDCWD, c.folder.as_c_str(), 1)
    }),
    mounts("A29.open-tree-attr", "open_tree_attr(folder, OPEN_TREE_CLONE)", "open_tree_attr", |c| {
        call!(open_tree_attr, AT_FDCWD, c.folder.as_c_str(), 1, &[0_u64; 4], 32)
    }),
    mounts("A29.mount-setattr", "mount_setattr(folder), which is no mount", "mount_setattr", |c| {
        // MOUNT_ATTR_RDONLY, should it ever be one.
        call!(mount_setattr, AT_FDCWD, c.folder.as_c_str(), 0, &[1_u64, 0, 0, 0], 32)
    })
    .reached(&[EINVAL]),
    Attack::new("A29.statmount", "statmount()", "statmount", |_| {
        call!(statmount, &WHOLE_TREE, &mut [0_u64; 128], 1024, 0)
    })
    .reached(&[libc::ENOENT, EINVAL]),
    Attack::new("A29.listmount", "listmount(the whole tree)", "listmount", |_| {
        call!(listmount, &WHOLE_TREE, &mut [0_u64; 128], 128, 0)
    }),
];

//! What processes share by name: System V and POSIX interprocess communication.

use libc::{EBADF, EINVAL, ENOENT, IPC_PRIVATE, IPC_RMID};

use super::system::call;
use super::table::Attack;

const QUEUE: &std::ffi::CStr = c"stockade-no-such";
/// Nobody's.
const NONE: i32 = -1;
const IPC_INFO: i32 = 3;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new("A37.shmget", "shmget(IPC_PRIVATE)", "shmget", |_| {
        let segment = call!(shmget, IPC_PRIVATE, 4096, 0o600)?;
        call!(shmctl, segment, IPC_RMID, 0)
    }),
    Attack::new("A37.shmat", "shmat()", "shmat", |_| call!(shmat, NONE, 0, 0)).reached(&[EINVAL]),
    Attack::new("A37.shmdt", "shmdt()", "shmdt", |_| call!(shmdt, 4096)).reached(&[EINVAL]),
    Attack::new("A37.shmctl", "shmctl(IPC_INFO)", "shmctl", |_| call!(shmctl, 0, IPC_INFO, &mut [0_u64; 32])),
    Attack::new("A37.semget", "semget(IPC_PRIVATE)", "semget", |_| {
        let set = call!(semget, IPC_PRIVATE, 1, 0o600)?;
        call!(semctl, set, 0, IPC_RMID, 0)
    }),
    Attack::new("A37.semop", "semop()", "semop", |_| call!(semop, NONE, &[0_u64; 1], 1)).reached(&[EINVAL]),
    Attack::new("A37.semtimedop", "semtimedop()", "semtimedop", |_| {
        call!(semtimedop, NONE, &[0_u64; 1], 1, 0)
    })
    .reached(&[EINVAL]),
    Attack::new("A37.semctl", "semctl(IPC_INFO)", "semctl", |_| {
        call!(semctl, 0, 0, IPC_INFO, &mut [0_u64; 32])
    }),
    Attack::new("A37.msgget", "msgget(IPC_PRIVATE)", "msgget", |_| {
        let queue = call!(msgget, IPC_PRIVATE, 0o600)?;
        call!(msgctl, queue, IPC_RMID, 0)
    }),
    Attack::new("A37.msgsnd", "msgsnd()", "msgsnd", |_| call!(msgsnd, NONE, &[1_u64; 2], 1, 0))
        .reached(&[EINVAL]),
    Attack::new("A37.msgrcv", "msgrcv()", "msgrcv", |_| call!(msgrcv, NONE, &mut [0_u64; 2], 1, 0, 0))
        .reached(&[EINVAL]),
    Attack::new("A37.msgctl", "msgctl(IPC_INFO)", "msgctl", |_| call!(msgctl, 0, IPC_INFO, &mut [0_u64; 32])),
    // Of a queue that is not there: one that is made could not be removed again under Landlock.
    Attack::new("A37.mq-open", "mq_open()", "mq_open", |_| call!(mq_open, QUEUE, libc::O_RDWR, 0, 0))
        .reached(&[ENOENT])
        .landlock_any(),
    Attack::new("A37.mq-unlink", "mq_unlink()", "mq_unlink", |_| call!(mq_unlink, QUEUE))
        .reached(&[ENOENT])
        .landlock_any(),
    Attack::new("A37.mq-notify", "mq_notify()", "mq_notify", |_| call!(mq_notify, 0, 0)).reached(&[EBADF]),
    Attack::new("A37.mq-attributes", "mq_getsetattr()", "mq_getsetattr", |_| {
        call!(mq_getsetattr, 0, 0, &mut [0_u64; 8])
    })
    .reached(&[EBADF]),
    Attack::new("A37.mq-send", "mq_timedsend()", "mq_timedsend", |_| call!(mq_timedsend, 0, c"x", 1, 0, 0))
        .reached(&[EBADF]),
    Attack::new("A37.mq-receive", "mq_timedreceive()", "mq_timedreceive", |_| {
        call!(mq_timedreceive, 0, &mut [0_u8; 1], 1, 0, 0)
    })
    .reached(&[EBADF]),
];

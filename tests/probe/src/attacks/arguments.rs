//! Allowed calls with arguments that are not: every bit of every argument that the filter looks at. The
//! legal ones work, which shows that it is the argument that decides.

use libc::{
    EAGAIN, MAP_ANONYMOUS, MAP_PRIVATE, MREMAP_MAYMOVE, MSG_DONTWAIT, MSG_NOSIGNAL, PROT_READ, PROT_WRITE,
};
use serde_json::Value;

use super::context::Context;
use super::system::{Tried, call};
use super::table::{Attack, Expect};

const PAGE: u64 = 4096;
const SOCKET: u64 = 3;
const BITS: u32 = 64;
/// PROT_READ and PROT_WRITE.
const PROTECTIONS: u64 = 0b11;
/// MAP_PRIVATE, FIXED, ANONYMOUS, NORESERVE, STACK and FIXED_NOREPLACE.
const FLAGS: u64 = 0x12_4032;

/// Which bit a variant is about. A legal one comes first, so that variant 0 works where nothing confines.
fn bit(variant: u32, first: u32) -> u64 {
    1 << ((variant + first) % BITS)
}

/// A value as it is for variant 0, and with a bit turned for each other.
fn turned(variant: u32, value: u64) -> u64 {
    variant.checked_sub(1).map_or(value, |bit| value ^ 1 << bit)
}

fn done_if(legal: bool, call: &'static str) -> Value {
    if legal { Expect::Done.json() } else { Expect::Call(call).json() }
}

fn page() -> Tried {
    call!(mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
}

/// An address where nothing is any more.
fn free_address() -> Tried {
    let at = page()?;
    call!(munmap, at, PAGE)?;
    Ok(at)
}

/// An empty message, which no receiver notices.
fn send(descriptor: u64) -> Tried {
    call!(sendmsg, descriptor, &[0_u64; 7], MSG_NOSIGNAL)
}

fn receive(descriptor: u64) -> Tried {
    call!(recvmsg, descriptor, &[0_u64; 7], MSG_DONTWAIT)
}

/// For a descriptor or an advice the kernel takes 32 bits of the register, and so does the filter.
const LOW_HALF: &str =
    "the kernel takes 32 bits of it and so does the filter: the upper half changes nothing";
const WHOLE: &str = "the filter looks at all 64 bits";

const fn bits(
    id: &'static str,
    tries: &'static str,
    run: fn(&Context) -> Tried,
    each: fn(u32) -> Value,
) -> Attack {
    Attack::unfiltered(id, tries, Expect::Done, run).each(BITS, each).why(WHOLE)
}

pub(super) const ATTACKS: &[Attack] = &[
    bits(
        "A39.mmap-protection",
        "mmap: PROT_READ and each bit",
        |c| call!(mmap, 0, PAGE, bit(c.variant, 0) | 1, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        |variant| done_if(bit(variant, 0) & !PROTECTIONS == 0, "mmap"),
    ),
    bits(
        "A39.mmap-flags",
        "mmap: MAP_PRIVATE | MAP_ANONYMOUS and each bit",
        |c| {
            let flags = bit(c.variant, 1) | (MAP_PRIVATE | MAP_ANONYMOUS) as u64;
            call!(mmap, free_address()?, PAGE, PROT_READ, flags, -1, 0)
        },
        |variant| done_if(bit(variant, 1) & !FLAGS == 0, "mmap"),
    ),
    Attack::unfiltered(
        "A39.mprotect-protection",
        "mprotect: the one protection, and each bit turned",
        Expect::Done,
        |c| call!(mprotect, page()?, PAGE, turned(c.variant, PROTECTIONS)),
    )
    .each(1 + BITS, |variant| done_if(variant == 0, "mprotect"))
    .why("only to PROT_READ and PROT_WRITE: taking either away would hide memory from RLIMIT_DATA"),
    bits(
        "A39.mremap-flags",
        "mremap: MREMAP_MAYMOVE and each bit",
        |c| call!(mremap, page()?, PAGE, PAGE, bit(c.variant, 0) | MREMAP_MAYMOVE as u64, page()?),
        |variant| done_if(bit(variant, 0) == 1, "mremap"),
    ),
    bits(
        "A39.sendmsg-descriptor",
        "sendmsg: the socket's number with each bit turned",
        |c| send(bit(c.variant, 32) ^ SOCKET),
        |variant| done_if(bit(variant, 32) > u64::from(u32::MAX), "sendmsg"),
    )
    .why(LOW_HALF),
    Attack::unfiltered("A39.sendmsg-flags", "sendmsg: each flag", Expect::Done, |c| {
        call!(sendmsg, SOCKET, &[0_u64; 7], bit(c.variant, 6) as u32 | MSG_NOSIGNAL as u32)
    })
    .each(u32::BITS, |variant| {
        let legal = (MSG_DONTWAIT | MSG_NOSIGNAL) as u64;
        done_if(bit(variant % u32::BITS, 6) as u32 as u64 & !legal == 0, "sendmsg")
    })
    .why("MSG_OOB and others are ways into the kernel that no worker uses"),
    bits(
        "A39.recvmsg-descriptor",
        "recvmsg: the socket's number with each bit turned",
        |c| receive(bit(c.variant, 32) ^ SOCKET),
        |variant| done_if(bit(variant, 32) > u64::from(u32::MAX), "recvmsg"),
    )
    .reached(&[EAGAIN])
    .filter("agent+fs")
    .why(LOW_HALF),
    Attack::new("A39.mremap-nothing", "mremap without flags", "mremap", |_| {
        call!(mremap, page()?, PAGE, PAGE, 0, 0)
    }),
    Attack::new("A39.mmap-high-half", "mmap: prot 0x1_0000_0004", "mmap", |_| {
        call!(mmap, 0, PAGE, 0x1_0000_0004_u64, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    }),
    Attack::new("A39.mprotect-high-half", "mprotect: prot 0x1_0000_0004", "mprotect", |_| {
        call!(mprotect, page()?, PAGE, 0x1_0000_0004_u64)
    })
    .reached(&[libc::EINVAL]),
    Attack::new("A39.no-flags", "mmap: MAP_ANONYMOUS | MAP_SHARED_VALIDATE", "mmap", |_| {
        call!(mmap, 0, PAGE, PROT_READ, libc::MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0)
    })
    .reached(&[libc::EINVAL]),
    // What a pointer points to can be changed by a second thread while a filter looks at it. This filter
    // looks at no memory, and there is no second thread.
    Attack::new("A39.second-thread", "clone a thread that changes arguments meanwhile", "clone", |_| {
        let flags = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
        super::system::forking(libc::SYS_clone, &[flags as u64])
    }),
];

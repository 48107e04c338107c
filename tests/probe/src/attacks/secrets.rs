//! What a process can find in its own memory without asking anybody: the host's secrets must not be there.

use std::hint::black_box;

use libc::{EFAULT, ENOENT, MSG_DONTWAIT};
use sha2::{Digest, Sha256};

use super::context::Context;
use super::system::{Stop, Tried, call};
use super::table::{Attack, Expect};

const PAGE: u64 = 4096;
const SECRET: usize = 32;
/// How far from a known address to look for more: 128 MiB to each side, a page at a time.
const REACH: u64 = 32_768;

/// What stands before the secret, put together here so that the program does not hold it.
fn mark() -> [u8; 16] {
    b"=YRANAC_EDAKCOTS".iter().rev().copied().collect::<Vec<u8>>().try_into().unwrap_or_default()
}

/// Whether there is memory at an address, asked without touching it: the kernel copies the first byte of what
/// goes along with a message of no bytes, which a stream does not send.
fn is_there(address: u64) -> bool {
    const SOCKET: i32 = 3;
    let message = [0, 0, 0, 0, address, 1, 0];
    !matches!(call!(sendmsg, SOCKET, &message, MSG_DONTWAIT), Err(Stop::Errno(EFAULT)))
}

/// Whether the secret begins on this page. It may end on the next.
fn on_page(page: u64, mark: &[u8], wanted: &str) -> bool {
    let end = page + PAGE + if is_there(page + PAGE) { 64 } else { 0 };
    let mut address = page;
    while address + (mark.len() + SECRET) as u64 <= end {
        // SAFETY: the kernel has just read from this page; nobody else changes mappings here.
        let first = unsafe { (address as *const u8).read_volatile() };
        if first == mark[0] && matches_at(address, mark, wanted) {
            return true;
        }
        address += 1;
    }
    false
}

fn matches_at(address: u64, mark: &[u8], wanted: &str) -> bool {
    let end = address + (mark.len() + SECRET) as u64;
    // SAFETY: the caller has seen to it that so much is there.
    let bytes: Vec<u8> = (address..end).map(|at| unsafe { (at as *const u8).read_volatile() }).collect();
    let (before, secret) = bytes.split_at(mark.len());
    let hash = || Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    before == mark && hash() == wanted
}

/// Looks through pages until one says stop; `gaps` says whether to go on where nothing is.
fn hunt(c: &Context, pages: impl Iterator<Item = u64>, gaps: bool) -> Tried {
    let Some(wanted) = &c.canary else {
        return Err(Stop::Unavailable("no secret was planted"));
    };
    let mark = mark();
    for page in pages {
        if !is_there(page) {
            if gaps { continue } else { break }
        }
        if on_page(page, &mark, wanted) {
            return Ok(0);
        }
    }
    Err(Stop::Errno(ENOENT))
}

fn stack() -> u64 {
    let here = 0_u8;
    black_box(&raw const here) as u64 & !(PAGE - 1)
}

fn up(from: u64) -> impl Iterator<Item = u64> {
    (0..REACH).map(move |page| from.saturating_add(page * PAGE))
}

fn down(from: u64) -> impl Iterator<Item = u64> {
    (1..REACH).map(move |page| from.saturating_sub(page * PAGE))
}

const fn searches(id: &'static str, tries: &'static str, run: fn(&Context) -> Tried) -> Attack {
    Attack::unfiltered(id, tries, Expect::Refused(&[ENOENT]), run)
        .why("a child that is not executed anew, or inherits the environment, has it")
        .allowance(2000)
}

pub(super) const ATTACKS: &[Attack] = &[
    searches("A55.stack", "the host's secret in its stack, arguments, environment", |c| {
        hunt(c, up(stack()), false)
    }),
    searches("A55.heap", "the host's secret in its heap", |c| {
        let end = call!(brk, 0)? as u64;
        hunt(c, down(end.next_multiple_of(PAGE)), false)
    }),
    searches("A56.near-heap", "the host's secret around its heap and program", |c| {
        let end = call!(brk, 0)? as u64 & !(PAGE - 1);
        hunt(c, up(end).chain(down(end)), true)
    }),
    searches("A56.near-mappings", "the host's secret around its mappings and stack", |c| {
        let page = call!(mmap, 0, PAGE, 1, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)? as u64;
        let stack = stack();
        hunt(c, up(page).chain(down(page)).chain(up(stack)).chain(down(stack)), true)
    }),
    searches("A56.program", "the host's secret in its program and data", |c| {
        let code = hunt as fn(&Context, std::iter::Empty<u64>, bool) -> Tried as usize as u64 & !(PAGE - 1);
        hunt(c, down(code).chain(up(code)), true)
    })
    .unconfined(Expect::Any)
    .seccomp(Expect::Any),
];

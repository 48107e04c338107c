//! What is left to an attacker: every call that the filters allow, each made once as the worker makes it.
//! All of them work, so that what the other attacks show is the filter and not a process that can do nothing.

use libc::{CLOCK_MONOTONIC, EAGAIN, EINTR, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE};

use super::context::Context;
use super::system::{Stop, Tried, call};
use super::table::{Attack, Expect};

const PAGE: u64 = 4096;
const SOCKET: i32 = 3;
const ARTIFACT: i32 = 4;

fn page() -> Tried {
    call!(mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
}

const fn allowed(id: &'static str, tries: &'static str, run: fn(&Context) -> Tried) -> Attack {
    Attack::unfiltered(id, tries, Expect::Done, run).why("allowed; the filter's file says what for")
}

/// Returns from a signal that never came, by a frame of its own making: every register is the attacker's to
/// choose, and the signals that it blocks. It chooses to go on.
pub(super) fn forge_return(blocked: u64) -> Tried {
    let came_back: u64;
    // SAFETY: the frame is a `struct rt_sigframe` without its return address, below the red zone; it restores
    // the stack pointer and everything that the compiler is not told about. Its null fpstate resets the
    // floating-point registers, all of which are named.
    unsafe {
        std::arch::asm!(
            "mov r12, rsp",
            "mov r13, rbp",
            "mov r14, rbx",
            "sub rsp, 1536",
            "and rsp, -64",
            "mov rdi, rsp",
            "xor eax, eax",
            "mov ecx, 128",
            "rep stosq",
            // uc_stack.ss_flags: SS_DISABLE would take the handler's stack away, so it is left as an error.
            "mov dword ptr [rsp + 24], 64",
            // uc_mcontext: r12 to r14, then rbp, rbx, rsp, rip, flags, cs and ss.
            "mov [rsp + 40 + 32], r12",
            "mov [rsp + 40 + 40], r13",
            "mov [rsp + 40 + 48], r14",
            "mov [rsp + 40 + 80], r13",
            "mov [rsp + 40 + 88], r14",
            "mov qword ptr [rsp + 40 + 104], 4711",
            "mov [rsp + 40 + 120], r12",
            "lea rax, [rip + 2f]",
            "mov [rsp + 40 + 128], rax",
            "mov qword ptr [rsp + 40 + 136], 0x202",
            "mov rax, 0x002b000000000033",
            "mov [rsp + 40 + 144], rax",
            // uc_sigmask.
            "mov [rsp + 40 + 256], r8",
            "mov eax, 15",
            "syscall",
            "ud2",
            "2:",
            out("rax") came_back,
            out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _,
            inlateout("r8") blocked => _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
        );
    }
    if came_back == 4711 { Ok(0) } else { Err(Stop::Unavailable("the frame is another kernel's")) }
}

pub(super) const ATTACKS: &[Attack] = &[
    allowed("A60.read", "read(artifact)", |_| call!(read, ARTIFACT, &mut [0_u8; 1], 1)),
    allowed("A60.write", "write(2)", |_| call!(write, 2, c"x", 1)),
    allowed("A60.close", "close(2)", |_| call!(close, 2)),
    allowed("A60.sendmsg", "sendmsg(socket) of nothing", |_| call!(sendmsg, SOCKET, &[0_u64; 7], 0)),
    allowed("A60.mmap", "mmap(PROT_READ | PROT_WRITE)", |_| page()),
    allowed("A60.mprotect", "mprotect(PROT_READ | PROT_WRITE)", |_| {
        call!(mprotect, page()?, PAGE, PROT_READ | PROT_WRITE)
    }),
    allowed("A60.munmap", "munmap(a page of its own)", |_| call!(munmap, page()?, PAGE)),
    allowed("A60.mremap", "mremap(MREMAP_MAYMOVE)", |_| call!(mremap, page()?, PAGE, 4 * PAGE, 1, 0)),
    allowed("A60.brk", "brk(0)", |_| call!(brk, 0)),
    allowed("A60.rt-sigreturn", "rt_sigreturn by a forged frame", |_| forge_return(0))
        .why("registers of its own choosing: what native code has anyway"),
    allowed("A60.sigaltstack", "sigaltstack(): where the other stack is", |_| {
        call!(sigaltstack, 0, &mut [0_u64; 3])
    }),
    allowed("A60.getrandom", "getrandom()", |_| call!(getrandom, &mut [0_u8; 8], 8, 0)),
    allowed("A60.clock-gettime", "clock_gettime(CLOCK_MONOTONIC)", |_| {
        call!(clock_gettime, CLOCK_MONOTONIC, &mut [0_u64; 2])
    }),
    allowed("A60.clock-nanosleep", "clock_nanosleep() for a microsecond", |_| {
        call!(clock_nanosleep, CLOCK_MONOTONIC, 0, &[0_u64, 1000], 0)
    })
    .reached(&[EINTR]),
    allowed("A60.recvmsg", "recvmsg(socket) with an fs grant", |_| {
        call!(recvmsg, SOCKET, &[0_u64; 7], libc::MSG_DONTWAIT)
    })
    .reached(&[EAGAIN])
    .filter("agent+fs"),
    Attack::unfiltered("A60.exit-group", "exit_group(0)", Expect::Ended, |_| call!(exit_group, 0))
        .unconfined(Expect::Ended)
        .seccomp(Expect::Ended),
];

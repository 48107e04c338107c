//! System calls in other ways than the usual one.

use libc::{
    EFAULT, ENOSYS, ENXIO, MAP_ANONYMOUS, MAP_FIXED_NOREPLACE, MAP_PRIVATE, PROT_READ, PROT_WRITE, SIGILL,
};

use super::sweep::X32;
use super::system::{Stop, Tried, call, numbered};
use super::table::{Attack, Expect};

/// A call of the i386 ABI, by the interrupt.
pub(crate) fn interrupt(number: u32, arguments: [u32; 6]) -> Tried {
    let [first, second, third, fourth, fifth, _] = arguments;
    let mut result = number;
    // SAFETY: rbx is put back; the kernel keeps the other registers but those named here. A child, should
    // there be one, ends at once.
    unsafe {
        std::arch::asm!(
            "xchg {first}, rbx",
            "int 0x80",
            "xchg {first}, rbx",
            "test eax, eax",
            "jnz 2f",
            "cmp {forks:e}, 0",
            "je 2f",
            "mov eax, 60",
            "syscall",
            "2:",
            first = inout(reg) u64::from(first) => _,
            forks = in(reg) u32::from(matches!(number, 2 | 120 | 190 | 435)),
            inlateout("eax") result,
            in("ecx") second,
            in("edx") third,
            in("esi") fourth,
            in("edi") fifth,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    match result as i32 {
        error @ -4095..0 => Err(Stop::Errno(-error)),
        result => Ok(i64::from(result)),
    }
}

/// Intel's processors make the call; to AMD's it is no instruction in 64-bit mode.
const SYSENTER: Expect = Expect::OneOf(&[Expect::Call("i386.getpid"), Expect::Signal(SIGILL)]);

/// `getpid` by `sysenter`, on a stack that a 32-bit program could have. Never comes back: the kernel returns
/// to where 32-bit programs have their vDSO.
fn sysenter() -> Tried {
    const STACK: u64 = 0x2000_0000;
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    call!(mmap, STACK, 8192, PROT_READ | PROT_WRITE, flags, -1, 0)?;
    // SAFETY: nothing of this program runs after it.
    unsafe {
        std::arch::asm!("mov rbp, rcx", "mov rsp, rcx", "sysenter", "ud2",
            in("rcx") STACK + 4096, in("eax") 20, options(noreturn));
    }
}

/// `time` at its fixed address, where the kernel emulates what used to be code there.
fn vsyscall() -> Tried {
    let result: i64;
    // SAFETY: the kernel emulates a function without side effects at this address, or ends the process.
    unsafe {
        std::arch::asm!("call {page}", page = in(reg) 0xffff_ffff_ff60_0400_u64, in("rdi") 0,
            lateout("rax") result, clobber_abi("C"));
    }
    Ok(result)
}

const NO_X32: &str = "most kernels are built without x32; the filter is asked all the same";

/// An instruction that only the kernel may execute.
macro_rules! instruction {
    ($($line:literal),+) => {
        |_| {
            // SAFETY: the processor refuses it and the kernel ends the process.
            unsafe {
                std::arch::asm!($($line),+, out("rax") _, out("rcx") _, out("rdx") _);
            }
            Ok(0)
        }
    };
}

/// It is refused by the processor; Rust's own handler of bad accesses then tries to put the default one back.
const fn privileged(id: &'static str, tries: &'static str, run: fn(&super::Context) -> Tried) -> Attack {
    Attack::new(id, tries, "rt_sigaction", run)
        .unconfined(Expect::Signal(libc::SIGSEGV))
        .why("the processor refuses it; the call is that of Rust's handler, which wants the default one back")
}

pub(super) const ATTACKS: &[Attack] = &[
    privileged("A44.halt", "the instruction hlt", instruction!("hlt")),
    privileged("A44.interrupts-off", "the instruction cli", instruction!("cli")),
    privileged("A44.port-in", "the instruction in, from port 0x80", instruction!("in al, 0x80")),
    privileged(
        "A44.port-out",
        "the instruction out, to port 0x80",
        instruction!("xor eax, eax", "out 0x80, al"),
    ),
    privileged("A44.read-register", "the instruction rdmsr", instruction!("mov ecx, 0x10", "rdmsr")),
    privileged("A44.counter", "the instruction rdpmc", instruction!("xor ecx, ecx", "rdpmc")),
    privileged("A44.control-register", "the instruction mov from cr0", instruction!("mov rax, cr0")),
    privileged("A44.flush", "the instruction wbinvd", instruction!("wbinvd")),
    Attack::new("A38.int80-getpid", "int 0x80: getpid", "i386.getpid", |_| interrupt(20, [0; 6]))
        .why("needs a kernel with another architecture's calls"),
    Attack::new("A38.int80-open", "int 0x80: open", "i386.open", |_| interrupt(5, [4096, 0, 0, 0, 0, 0]))
        .reached(&[EFAULT]),
    Attack::new("A38.int80-write", "int 0x80: write, which is allowed to others", "i386.write", |_| {
        interrupt(4, [1, 4096, 0, 0, 0, 0])
    })
    .reached(&[EFAULT]),
    Attack::new("A38.int80-none", "int 0x80: no such number", "i386.syscall_1023", |_| {
        interrupt(1023, [0; 6])
    })
    .reached(&[ENOSYS]),
    Attack::new("A38.sysenter", "sysenter: getpid", "i386.getpid", |_| sysenter())
        .unconfined(Expect::OneOf(&[
            Expect::Signal(libc::SIGSEGV),
            Expect::Signal(SIGILL),
            Expect::Signal(libc::SIGBUS),
        ]))
        .seccomp(SYSENTER)
        .all(SYSENTER)
        .why("with no layer at all the call is made, and the way back leads nowhere; AMD's processors have no sysenter here"),
    Attack::new("A38.vsyscall", "vsyscall: time", "time", |_| vsyscall())
        .why("depends on how the kernel was started: vsyscall=none ends the process"),
    Attack::new("A38.x32-getpid", "x32: getpid", "syscall_1073741863", |_| {
        numbered(i64::from(X32 | 39), &[])
    })
    .always(&[ENOSYS])
    .why(NO_X32),
    Attack::new("A38.x32-read", "x32: read, which is allowed to others", "syscall_1073741824", |_| {
        numbered(i64::from(X32), &[0, 0, 0])
    })
    .always(&[ENOSYS])
    .why(NO_X32),
    Attack::new("A38.x32-execve", "x32: execve by its own number", "syscall_1073742344", |_| {
        numbered(i64::from(X32 | 520), &[0, 0, 0])
    })
    .always(&[ENOSYS])
    .why(NO_X32),
    Attack::new("A38.minus-one", "number -1", "syscall_-1", |_| numbered(-1, &[])).always(&[ENOSYS]),
    Attack::new("A38.number-1023", "number 1023", "syscall_1023", |_| numbered(1023, &[])).always(&[ENOSYS]),
    Attack::new("A38.high-half", "getpid | 1 << 32", "getpid", |_| numbered(1 << 32 | 39, &[]))
        .why("the kernel takes 32 bits of the number"),
    Attack::new("A38.high-half-fork", "fork | 1 << 32", "fork", |_| {
        super::system::forking(1 << 32 | 57, &[])
    })
    .why("the kernel takes 32 bits of the number"),
    Attack::unfiltered(
        "A38.uretprobe",
        "number 335: the kernel's own trampoline",
        Expect::Signal(SIGILL),
        |_| numbered(335, &[]),
    )
    .unconfined(Expect::Signal(SIGILL))
    .seccomp(Expect::OneOf(&[Expect::Signal(SIGILL), Expect::Call("uretprobe")]))
    .all(Expect::OneOf(&[Expect::Signal(SIGILL), Expect::Call("uretprobe")]))
    .why("let through before any filter is asked (Linux 6.14); outside of a trampoline it ends the process"),
    Attack::unfiltered(
        "A38.uprobe",
        "number 336: the kernel's own trampoline",
        Expect::Refused(&[ENXIO]),
        |_| numbered(336, &[]),
    )
    .always(&[ENXIO, ENOSYS])
    .seccomp(Expect::OneOf(&[Expect::Refused(&[ENXIO]), Expect::Call("uprobe")]))
    .all(Expect::OneOf(&[Expect::Refused(&[ENXIO]), Expect::Call("uprobe")]))
    .why("let through before any filter is asked (Linux 6.18); outside of a trampoline it does nothing"),
];

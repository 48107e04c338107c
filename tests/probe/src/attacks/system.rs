//! System calls with nothing between the attack and the kernel.

use std::ffi::CStr;

use crate::sealed::raw;

/// What stopped an attack.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// The kernel refused a call.
    Errno(i32),
    /// This machine has nothing to attack.
    Unavailable(&'static str),
}

/// How far an attack came: what its last call returned, or what stopped it.
pub(crate) type Tried = Result<i64, Stop>;

/// Makes a system call by its name; arguments are whatever fits a register.
macro_rules! call {
    ($name:ident $(, $argument:expr)* $(,)?) => {
        $crate::attacks::system::numbered(
            syscalls::x86_64::Sysno::$name as i64,
            &[$($crate::attacks::system::Word::word($argument)),*],
        )
    };
}
pub(super) use call;

/// Makes a system call by its number.
pub(super) fn numbered(number: i64, arguments: &[u64]) -> Tried {
    answer(raw(number, arguments))
}

fn answer(result: i64) -> Tried {
    match result {
        error @ -4095..0 => Err(Stop::Errno(-error as i32)),
        result => Ok(result),
    }
}

/// What fits a register.
pub(super) trait Word {
    /// As the register holds it.
    fn word(self) -> u64;
}

macro_rules! words {
    ($($kind:ty),*) => {
        $(impl Word for $kind {
            fn word(self) -> u64 {
                self as u64
            }
        })*
    };
}
words!(i32, u32, i64, u64, usize);

impl<T> Word for *const T {
    fn word(self) -> u64 {
        self as u64
    }
}

impl<T> Word for *mut T {
    fn word(self) -> u64 {
        self as u64
    }
}

impl Word for &CStr {
    fn word(self) -> u64 {
        self.as_ptr() as u64
    }
}

impl<T, const N: usize> Word for &[T; N] {
    fn word(self) -> u64 {
        self.as_ptr() as u64
    }
}

impl<T, const N: usize> Word for &mut [T; N] {
    fn word(self) -> u64 {
        self.as_mut_ptr() as u64
    }
}

/// Makes a call that may return twice. The child ends at once, in registers alone: it may run on the
/// parent's stack.
pub(super) fn forking(number: i64, arguments: &[u64]) -> Tried {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    let mut result = number;
    // SAFETY: the child executes two instructions and ends; no memory is touched in between.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor edi, edi",
            "mov eax, 60",
            "syscall",
            "2:",
            inlateout("rax") result,
            in("rdi") argument(0),
            in("rsi") argument(1),
            in("rdx") argument(2),
            in("r10") argument(3),
            in("r8") argument(4),
            in("r9") argument(5),
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer(result)
}

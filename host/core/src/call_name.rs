//! What a system call is called in records: as the kernel's tables have it, so that an auditor can look it up.

use std::fmt::Display;

/// `AUDIT_ARCH_X86_64`: the workers' own.
pub(crate) const X86_64: u64 = 0xc000_003e;
/// `AUDIT_ARCH_I386`: what 32-bit instructions reach on the same machine.
const I386: u64 = 0x4000_0003;

/// `openat`; `i386.open` where it is no call of the workers' architecture; with `syscall_NUMBER` for what has no name,
/// and the architecture's number where we know no calls of it.
pub(crate) fn call_name(arch: u64, number: impl Display + Copy + TryInto<usize>) -> String {
    let known = number.try_into().ok();
    let (prefix, name) = match arch {
        X86_64 => (String::new(), known.and_then(syscalls::x86_64::Sysno::new).map(|call| call.name())),
        I386 => ("i386.".to_owned(), known.and_then(syscalls::x86::Sysno::new).map(|call| call.name())),
        other => (format!("arch_{other:x}."), None),
    };
    name.map_or_else(|| format!("{prefix}syscall_{number}"), |name| format!("{prefix}{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a38_calls_are_told_apart_by_architecture() {
        assert_eq!(call_name(X86_64, 20), "writev");
        assert_eq!(call_name(I386, 20), "i386.getpid");
        assert_eq!(call_name(X86_64, 1023), "syscall_1023");
        assert_eq!(call_name(I386, 1023), "i386.syscall_1023");
        assert_eq!(call_name(0xc000_00b7, 20), "arch_c00000b7.syscall_20");
        assert_eq!(call_name(X86_64, -1), "syscall_-1");
        // A number of x32 is one of this architecture.
        assert_eq!(call_name(X86_64, 1 << 30 | 39), "syscall_1073741863");
    }
}

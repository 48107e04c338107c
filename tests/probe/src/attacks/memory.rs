//! Memory: executable pages, memory that others would see, and more of it than allowed.

use libc::{
    EINVAL, EIO, ENOMEM, EOPNOTSUPP, MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED,
    MREMAP_FIXED, MREMAP_MAYMOVE, PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE,
};

use super::context::Context;
use super::system::{Stop, Tried, call};
use super::table::{Attack, Expect};

const ARTIFACT: i64 = 4;
const PAGE: u64 = 4096;
const READ_WRITE: i32 = PROT_READ | PROT_WRITE;

fn map(length: u64, protection: i32, flags: i32) -> Tried {
    call!(mmap, 0, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0)
}

/// A page of its own; getting one is allowed.
fn page() -> Tried {
    map(PAGE, READ_WRITE, 0)
}

/// Something in the program's code.
fn code() -> u64 {
    code as fn() -> u64 as usize as u64 & !(PAGE - 1)
}

const fn maps(id: &'static str, tries: &'static str, run: fn(&Context) -> Tried) -> Attack {
    Attack::new(id, tries, "mmap", run)
}

const fn protects(id: &'static str, tries: &'static str, run: fn(&Context) -> Tried) -> Attack {
    Attack::new(id, tries, "mprotect", run)
}

/// Looks at one byte in so many, and writes it back where that is allowed.
fn touch(at: i64, length: u64, step: u64) {
    for offset in (0..length).step_by(step as usize) {
        let byte = (at as u64 + offset) as *mut u8;
        // SAFETY: the kernel has just made this memory for us.
        let value = unsafe { byte.read_volatile() };
        if step == PAGE {
            // SAFETY: as above; who asks for every page has asked for writable ones.
            unsafe { byte.write_volatile(value | 1) };
        }
    }
}

/// More than any plugin gets.
const MUCH: u64 = 8 << 30;

const fn amount(id: &'static str, tries: &'static str, run: fn(&Context) -> Tried) -> Attack {
    Attack::unfiltered(id, tries, Expect::Refused(&[ENOMEM]), run)
        .why("RLIMIT_DATA counts private writable memory before it is touched")
}

/// Every advice that madvise knows. None has anything to advise on: the length is zero, so that not even
/// MADV_HWPOISON does harm.
const ADVICE: [u32; 31] = [
    25, 4, 0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 100, 101, 102,
    103, 104, 5, 6,
];

pub(super) const ATTACKS: &[Attack] = &[
    maps("A31.mmap-read-exec", "mmap(PROT_READ | PROT_EXEC)", |_| map(PAGE, PROT_READ | PROT_EXEC, 0)),
    maps("A31.mmap-exec", "mmap(PROT_EXEC)", |_| map(PAGE, PROT_EXEC, 0)),
    maps("A31.mmap-all", "mmap(PROT_READ | PROT_WRITE | PROT_EXEC)", |_| {
        map(PAGE, READ_WRITE | PROT_EXEC, 0)
    }),
    maps("A31.mmap-artifact", "mmap(artifact, PROT_READ | PROT_EXEC)", |_| {
        call!(mmap, 0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, ARTIFACT, 0)
    }),
    maps("A31.mmap-over-code", "mmap(MAP_FIXED, PROT_EXEC) onto a page of its own", |_| {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
        call!(mmap, page()?, PAGE, PROT_READ | PROT_EXEC, flags, -1, 0)
    }),
    protects("A31.mprotect-exec", "write to a page, then mprotect(PROT_EXEC)", |_| {
        let page = page()?;
        // SAFETY: the page is ours alone and writable.
        unsafe { (page as *mut u8).write_volatile(0xc3) };
        call!(mprotect, page, PAGE, PROT_READ | PROT_EXEC)
    }),
    protects("A31.mprotect-all", "mprotect(PROT_READ | PROT_WRITE | PROT_EXEC)", |_| {
        call!(mprotect, page()?, PAGE, READ_WRITE | PROT_EXEC)
    }),
    protects("A31.mprotect-code", "mprotect(its code, PROT_WRITE | PROT_EXEC)", |_| {
        call!(mprotect, code(), PAGE, READ_WRITE | PROT_EXEC)
    }),
    // PROT_GROWSDOWN goes with stacks; the kernel says EINVAL to anything else, after all its checks.
    protects("A31.mprotect-grows-down", "mprotect(PROT_GROWSDOWN)", |_| {
        call!(mprotect, page()?, PAGE, PROT_READ | libc::PROT_GROWSDOWN)
    })
    .reached(&[EINVAL]),
    Attack::new("A31.pkey-mprotect", "pkey_mprotect(PROT_EXEC)", "pkey_mprotect", |_| {
        call!(pkey_mprotect, page()?, PAGE, PROT_READ | PROT_EXEC, -1)
    }),
    Attack::new("A31.pkey-alloc", "pkey_alloc()", "pkey_alloc", |_| call!(pkey_alloc, 0, 0))
        .why("needs a processor with protection keys"),
    Attack::unfiltered("A31.page-zero", "mmap(0, MAP_FIXED)", Expect::Refused(&[libc::EPERM]), |_| {
        call!(mmap, 0, PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    })
    .why("vm.mmap_min_addr keeps it from all but CAP_SYS_RAWIO"),
    Attack::new("A31.mremap-fixed", "mremap(MREMAP_FIXED) onto a page of its own", "mremap", |_| {
        let (from, to) = (page()?, page()?);
        call!(mremap, from, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to)
    }),
    Attack::new("A31.mremap-keep", "mremap(MREMAP_DONTUNMAP)", "mremap", |_| {
        call!(mremap, page()?, PAGE, PAGE, MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP, 0)
    }),
    Attack::new("A31.remap-file-pages", "remap_file_pages()", "remap_file_pages", |_| {
        call!(remap_file_pages, page()?, PAGE, 0, 0, 0)
    })
    .reached(&[EINVAL]),
    Attack::new("A31.two-mappings", "a memfd mapped writable and mapped executable", "memfd_create", |_| {
        let file = call!(memfd_create, c"x", 0)?;
        call!(ftruncate, file, PAGE)?;
        call!(mmap, 0, PAGE, READ_WRITE, MAP_SHARED, file, 0)?;
        call!(mmap, 0, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0)
    }),
    Attack::new("A31.shmat-exec", "shmat(SHM_EXEC)", "shmget", |_| {
        let segment = call!(shmget, libc::IPC_PRIVATE, PAGE, 0o700)?;
        let attached = call!(shmat, segment, 0, libc::SHM_EXEC);
        call!(shmctl, segment, libc::IPC_RMID, 0)?;
        attached
    }),
    Attack::new("A31.read-implies-exec", "personality(READ_IMPLIES_EXEC)", "personality", |_| {
        call!(personality, libc::READ_IMPLIES_EXEC)
    }),
    Attack::new("A31.own-mem", "write to /proc/self/mem", "openat", |_| {
        let (file, page) = (call!(openat, libc::AT_FDCWD, c"/proc/self/mem", libc::O_RDWR, 0)?, page()?);
        call!(pwrite64, file, c"x", 1, page)
    })
    .landlock(&[libc::EACCES]),
    Attack::new("A31.map-vdso", "arch_prctl(ARCH_MAP_VDSO_64)", "arch_prctl", |_| {
        call!(arch_prctl, 0x2003, 0)
    })
    .reached(&[libc::EEXIST, EINVAL])
    .why("there is one already, or the kernel has no checkpoint/restore"),
    Attack::new("A31.shadow-stack", "map_shadow_stack()", "map_shadow_stack", |_| {
        call!(map_shadow_stack, 0, PAGE, 0)
    })
    .reached(&[EOPNOTSUPP]),
    Attack::new("A31.seal", "mseal(a page of its own)", "mseal", |_| call!(mseal, page()?, PAGE, 0)),
    maps("A32.shared", "mmap(MAP_SHARED | MAP_ANONYMOUS)", |_| {
        call!(mmap, 0, PAGE, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    })
    .why("RLIMIT_DATA does not count shared memory"),
    maps("A32.locked", "mmap(MAP_LOCKED)", |_| map(PAGE, READ_WRITE, libc::MAP_LOCKED)),
    maps("A32.huge", "mmap(MAP_HUGETLB)", |_| map(2 << 20, READ_WRITE, libc::MAP_HUGETLB))
        .reached(&[ENOMEM])
        .why("most machines have no huge pages set aside"),
    maps("A32.populate", "mmap(MAP_POPULATE)", |_| map(PAGE, READ_WRITE, libc::MAP_POPULATE)),
    maps("A32.grows-down", "mmap(MAP_GROWSDOWN)", |_| map(PAGE, READ_WRITE, libc::MAP_GROWSDOWN)),
    maps("A32.low", "mmap(MAP_32BIT)", |_| map(PAGE, READ_WRITE, libc::MAP_32BIT)),
    Attack::new("A32.memfd", "memfd_create()", "memfd_create", |_| call!(memfd_create, c"x", 0)),
    Attack::new("A32.memfd-terabyte", "memfd_create(), then 1 TiB of it", "memfd_create", |_| {
        let file = call!(memfd_create, c"x", 0)?;
        call!(ftruncate, file, 1_u64 << 40)
    })
    .why("RLIMIT_DATA does not count it either"),
    Attack::new("A32.memfd-secret", "memfd_secret()", "memfd_secret", |_| call!(memfd_secret, 0)),
    Attack::new("A32.mlock", "mlock()", "mlock", |_| call!(mlock, page()?, PAGE)),
    Attack::new("A32.mlock2", "mlock2(MLOCK_ONFAULT)", "mlock2", |_| call!(mlock2, page()?, PAGE, 1)),
    Attack::new("A32.mlockall", "mlockall(MCL_CURRENT)", "mlockall", |_| call!(mlockall, libc::MCL_CURRENT))
        .why("needs CAP_IPC_LOCK or a large RLIMIT_MEMLOCK"),
    Attack::new("A32.msync", "msync()", "msync", |_| call!(msync, page()?, PAGE, libc::MS_ASYNC)),
    Attack::new("A32.mincore", "mincore()", "mincore", |_| call!(mincore, page()?, PAGE, &mut [0_u8; 1])),
    Attack::new("A32.every-advice", "madvise() with every advice", "madvise", |c| {
        call!(madvise, page()?, 0, ADVICE[c.variant as usize % ADVICE.len()])
    })
    .times(ADVICE.len() as u32)
    .reached(&[EINVAL]),
    Attack::new("A32.hwpoison", "madvise(MADV_HWPOISON) of nothing", "madvise", |_| {
        call!(madvise, page()?, 0, libc::MADV_HWPOISON)
    })
    .reached(&[EINVAL, EIO]),
    amount("A50.mmap", "mmap of 8 GiB, readable and writable", |_| {
        call!(munmap, map(MUCH, READ_WRITE, MAP_NORESERVE)?, MUCH)
    }),
    amount("A50.mprotect", "reserve 8 GiB, then mprotect(PROT_WRITE)", |_| {
        let at = map(MUCH, PROT_NONE, MAP_NORESERVE)?;
        call!(mprotect, at, MUCH, READ_WRITE)
    }),
    amount("A50.mremap", "mremap to 8 GiB", |_| {
        let at = map(PAGE, READ_WRITE, MAP_NORESERVE)?;
        call!(mremap, at, PAGE, MUCH, MREMAP_MAYMOVE, 0)
    }),
    amount("A50.brk", "brk by 8 GiB", |_| {
        let end = call!(brk, 0)? as u64;
        // The raw call says where the end is; where it could not move, that is where it was.
        match call!(brk, end + MUCH)? as u64 {
            new if new == end => Err(Stop::Errno(ENOMEM)),
            _ => call!(brk, end),
        }
    })
    .why("counted by RLIMIT_DATA; without it, the kernel's overcommit decides"),
    amount("A50.artifact", "map the artifact privately 10^6 times", |_| {
        for _ in 0..1_000_000 {
            call!(mmap, 0, 8192, READ_WRITE, MAP_PRIVATE, ARTIFACT, 0)?;
        }
        Ok(0)
    })
    .unconfined(Expect::Refused(&[ENOMEM]))
    .seccomp(Expect::Refused(&[ENOMEM]))
    .why("vm.max_map_count ends it with no layer at all; in a worker RLIMIT_DATA does before")
    .allowance(1000),
    amount("A50.touch", "1 MiB at a time up to 8 GiB, a page of each touched", |_| {
        for _ in 0..MUCH >> 20 {
            let at = map(1 << 20, READ_WRITE, MAP_NORESERVE)?;
            // SAFETY: the kernel has just made this page for us.
            unsafe { (at as *mut u8).write_volatile(1) };
        }
        Ok(0)
    })
    .allowance(1000),
    amount("A50.write-protect", "fill 512 MiB, each MiB made read-only once written", |_| {
        for _ in 0..512 {
            let at = map(1 << 20, READ_WRITE, MAP_NORESERVE)?;
            touch(at, 1 << 20, PAGE);
            call!(mprotect, at, 1 << 20, PROT_READ)?;
        }
        Ok(0)
    })
    .seccomp(Expect::OneOf(&[Expect::Done, Expect::Call("mprotect")]))
    .all(Expect::OneOf(&[Expect::Refused(&[ENOMEM]), Expect::Call("mprotect")]))
    .why("RLIMIT_DATA counts what is writable: what no longer is has its pages all the same")
    .allowance(2000),
    amount("A50.page-tables", "read one page in 2 MiB, 128 GiB far: 256 MiB of page tables", |_| {
        const FAR: u64 = 128 << 30;
        let at = map(FAR, PROT_READ, MAP_NORESERVE)?;
        touch(at, FAR, 2 << 20);
        Ok(0)
    })
    .seccomp(Expect::OneOf(&[Expect::Done, Expect::Call("mmap")]))
    .all(Expect::OneOf(&[Expect::Refused(&[ENOMEM]), Expect::Call("mmap")]))
    .why("RLIMIT_DATA counts neither what is only read nor the tables that map it")
    .allowance(4000),
    Attack::unfiltered("A50.reserve", "reserve 8 GiB and touch none of it", Expect::Done, |_| {
        call!(munmap, map(MUCH, PROT_NONE, MAP_NORESERVE)?, MUCH)
    })
    .why("addresses cost nothing; an engine for guests needs them"),
];

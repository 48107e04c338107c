//! How a worker behaves: ending, crashing, never ending, and using what is allowed without sense.

use libc::{
    CLOCK_MONOTONIC, MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_NONE, PROT_READ, PROT_WRITE,
    SIGFPE, SIGILL, SIGTRAP,
};

use super::context::Context;
use super::reachable::forge_return;
use super::system::{Stop, Tried, call, numbered};
use super::table::{Attack, Expect};

const PAGE: u64 = 4096;
const ROUNDS: u32 = 100_000;
/// Where the fuzzer maps and unmaps.
const ARENA_PAGES: u64 = 64;

/// A small generator (xorshift64*), the same numbers every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// A number that is something or nothing.
    fn any(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(16),
            1 => 1 << self.below(64),
            2 => u64::MAX - self.below(16),
            _ => self.roll(),
        }
    }
}

/// Makes allowed calls with arguments by chance. Left out are only those on the socket, which would be
/// another attack, and on memory that the fuzzer itself stands on.
fn fuzz(c: &Context) -> Tried {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 + u64::from(c.variant));
    let flags = MAP_PRIVATE | MAP_ANONYMOUS;
    let arena = call!(mmap, 0, ARENA_PAGES * PAGE, PROT_NONE, flags, -1, 0)? as u64;
    for _ in 0..ROUNDS {
        let page = arena + dice.below(ARENA_PAGES) * PAGE;
        let length = (1 + dice.below(arena + ARENA_PAGES * PAGE - page)).min(ARENA_PAGES * PAGE);
        let descriptor = [0, 1, 2, ARTIFACT, 5 + dice.any() % (1 << 30)][dice.below(5) as usize];
        let protection = dice.below(4);
        let result = match dice.below(10) {
            0 => call!(read, descriptor, page, length),
            1 => call!(write, descriptor, page, length),
            2 => call!(close, 5 + dice.any() % (1 << 30)),
            3 => call!(mmap, page, length, protection, flags | MAP_FIXED, -1, dice.any() & !(PAGE - 1)),
            4 => call!(mprotect, page, length, PROT_READ | PROT_WRITE),
            5 => call!(munmap, page, length),
            // Never larger than it was: it would move out of the arena, or into what came after it.
            6 => call!(mremap, page, length, 1 + dice.below(length), 1),
            7 => call!(getrandom, page, length, dice.below(8)),
            8 => call!(clock_gettime, dice.any(), page),
            _ => call!(clock_nanosleep, 16 + dice.any() % (1 << 30), dice.any(), page, page),
        };
        // Whatever the kernel says is right, so long as there is an answer.
        let _ = result;
    }
    // An empty arena is put back for whoever asks next.
    call!(mmap, arena, ARENA_PAGES * PAGE, PROT_NONE, flags | MAP_FIXED, -1, 0)
}

const ARTIFACT: u64 = 4;

const fn ends(id: &'static str, tries: &'static str, how: Expect, run: fn(&Context) -> Tried) -> Attack {
    Attack::unfiltered(id, tries, how, run).unconfined(how).seccomp(how)
}

const ABORT: Expect = Expect::Calls(&["rt_sigprocmask", "gettid", "getpid", "tgkill"]);

const HANDLER: &str =
    "Rust's own handler of bad accesses tries to put the default one back, and is stopped for that";

pub(super) const ATTACKS: &[Attack] = &[
    Attack::unfiltered("A48.fuzz", "allowed calls 100,000 times, arguments by chance", Expect::Done, fuzz)
        .times(4)
        .allowance(5000)
        .why("no call of these reaches anything but the worker itself"),
    Attack::new("A48.rseq", "rseq()", "rseq", |_| call!(rseq, &[0_u64; 4], 32, 0, 0))
        .reached(&[libc::EINVAL, libc::EBUSY]),
    Attack::new("A48.robust-list", "set_robust_list()", "set_robust_list", |_| call!(set_robust_list, 0, 24)),
    Attack::new("A48.membarrier", "membarrier(QUERY)", "membarrier", |_| call!(membarrier, 0, 0, 0)),
    Attack::new("A48.futex-wake", "futex(FUTEX_WAKE)", "futex", |_| call!(futex, &[0_u32], 1, 1, 0, 0, 0)),
    Attack::new("A48.futex-requeue", "futex(FUTEX_CMP_REQUEUE_PI)", "futex", |_| {
        call!(futex, &[0_u32], 12, 1, 1, &[0_u32], 0)
    })
    .reached(&[libc::EINVAL]),
    Attack::new("A48.futex-lock", "futex(FUTEX_LOCK_PI)", "futex", |_| {
        call!(futex, &mut [0_u32], 6, 0, 0, 0, 0)
    }),
    Attack::new("A48.futex2", "futex_wake()", "futex_wake", |_| call!(futex_wake, &[0_u32], 1, 1, 2)),
    Attack::new("A48.sched-yield", "sched_yield()", "sched_yield", |_| call!(sched_yield)),
    Attack::unfiltered("A49.burn", "burn the processor for ever", Expect::Deadline, |_| {
        loop {
            std::hint::spin_loop();
        }
    })
    .only_all(),
    Attack::unfiltered("A51.sleep", "sleep for a century", Expect::Deadline, |_| {
        call!(clock_nanosleep, CLOCK_MONOTONIC, 0, &[3_153_600_000_u64, 0], 0)
    })
    .only_all(),
    Attack::unfiltered(
        "A51.deaf",
        "block signals by a forged rt_sigreturn, then burn for ever",
        Expect::Deadline,
        |_| {
            forge_return(u64::MAX)?;
            loop {
                std::hint::spin_loop();
            }
        },
    )
    .only_all()
    .why("SIGKILL cannot be blocked"),
    Attack::new("A51.stop", "kill(0, SIGSTOP)", "kill", |_| call!(kill, 0, libc::SIGSTOP)).only_all(),
    Attack::new("A51.pause", "pause()", "pause", |_| call!(pause)).only_all(),
    Attack::new("A51.handler", "rt_sigaction(SIGTERM, ignore)", "rt_sigaction", |_| {
        call!(rt_sigaction, libc::SIGTERM, &[1_u64, 0, 0, 0], 0, 8)
    }),
    Attack::new("A51.alarm", "alarm(1)", "alarm", |_| call!(alarm, 1)),
    Attack::new("A51.timer", "setitimer(ITIMER_REAL)", "setitimer", |_| call!(setitimer, 0, &[0_u64; 4], 0)),
    Attack::new("A51.posix-timer", "timer_create()", "timer_create", |_| {
        call!(timer_create, 1, 0, &mut [0_u32])
    }),
    ends("A52.exit", "exit_group(0)", Expect::Ended, |_| call!(exit_group, 0)),
    ends("A52.exit-code", "exit_group(77)", Expect::Ended, |_| call!(exit_group, 77)),
    Attack::new("A52.exit-thread", "exit(0) of its only thread", "exit", |_| call!(exit, 0))
        .unconfined(Expect::Ended),
    ends("A52.bad-instruction", "an instruction that does not exist", Expect::Signal(SIGILL), |_| {
        // SAFETY: none; this is what a crash looks like.
        unsafe { std::arch::asm!("ud2", options(noreturn)) }
    }),
    ends("A52.breakpoint", "a breakpoint without a debugger", Expect::Signal(SIGTRAP), |_| {
        // SAFETY: none; this is what a crash looks like.
        unsafe { std::arch::asm!("int3") };
        Err(Stop::Unavailable("the breakpoint was passed over"))
    }),
    ends("A52.division", "a division by zero", Expect::Signal(SIGFPE), |_| {
        // SAFETY: none; this is what a crash looks like.
        unsafe {
            std::arch::asm!("div {zero:e}", zero = in(reg) 0, inout("eax") 1 => _, inout("edx") 0 => _)
        };
        Err(Stop::Unavailable("this processor divides by zero"))
    }),
    Attack::new("A52.bad-access", "a write to address 0", "rt_sigaction", |_| {
        // SAFETY: none; this is what a crash looks like.
        unsafe { std::arch::asm!("mov byte ptr [{nowhere}], 0", nowhere = in(reg) 0_u64) };
        Err(Stop::Unavailable("there is memory at address 0"))
    })
    .unconfined(Expect::Signal(libc::SIGSEGV))
    .why(HANDLER),
    Attack::new("A52.past-the-end", "a read past the end of the artifact", "rt_sigaction", |_| {
        let at = call!(mmap, 0, 64 << 20, 1, MAP_PRIVATE, ARTIFACT, 0)? as u64;
        // SAFETY: none; this is what a crash looks like.
        unsafe { ((at + (63 << 20)) as *const u8).read_volatile() };
        Err(Stop::Unavailable("the artifact is larger than 63 MiB"))
    })
    .unconfined(Expect::Signal(libc::SIGBUS))
    .why(HANDLER),
    Attack::new("A52.abort", "abort()", "", |_| {
        // SAFETY: ends the process, if it may.
        unsafe { libc::abort() }
    })
    .unconfined(Expect::Signal(libc::SIGABRT))
    .seccomp(ABORT)
    .all(ABORT)
    .why("the library unblocks the signal, or asks for its own number to signal itself"),
    Attack::new("A52.shared-page", "mmap(MAP_SHARED) of the null device", "mmap", |_| {
        numbered(libc::SYS_mmap, &[0, PAGE, 1, MAP_SHARED as u64, 0, 0])
    })
    .reached(&[libc::ENODEV]),
];

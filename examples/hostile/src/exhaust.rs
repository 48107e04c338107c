//! Ways to use up what others need.

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;
use std::{io, thread};

use serde::Deserialize;
use stockade_sdk::{ToolError, log};

use crate::attempt::Attempt;

const CHUNK: usize = 1 << 20;
const LINES: u32 = 100_000;

pub(crate) fn endless_loop() -> Attempt {
    let mut rounds = 0_u64;
    loop {
        rounds = black_box(rounds.wrapping_add(1));
    }
}

pub(crate) fn memory_bomb() -> Attempt {
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut chunk = Vec::new();
        if let Err(error) = chunk.try_reserve_exact(CHUNK) {
            let refusal = format!("after {} MiB: {error}", held.len());
            return Attempt::new("take all memory", Err::<String, _>(refusal));
        }
        // Touched, or nothing would be committed.
        chunk.resize(CHUNK, 1);
        held.push(chunk);
        // All that 32 bits can address.
        if held.len() >= 4095 {
            return Attempt::new("take all memory", Ok::<_, String>("4 GiB held"));
        }
    }
}

pub(crate) fn log_flood() -> Attempt {
    for line in 0..LINES {
        log::warn!("flood {line} \u{1b}[2J\nforged: 2026-01-01 audit ok");
    }
    // How many of them were kept is for the host to say.
    Attempt::new("write 100000 log lines", Ok::<_, String>("every call returned"))
}

pub(crate) fn deep_recursion() -> Attempt {
    #[expect(unconditional_recursion, reason = "the stack's end is the aim")]
    fn deeper(depth: u64) -> u64 {
        let frame = black_box([depth; 16]);
        deeper(depth + 1) + frame[0]
    }
    Attempt::new("overflow the stack", Ok::<_, String>(deeper(0)))
}

pub(crate) fn stdout_flood() -> Attempt {
    let mut out = io::stdout().lock();
    let line = [b'x'; 1023];
    for number in 0..LINES {
        if let Err(error) = out.write_all(&line).and_then(|()| out.write_all(b"\n")) {
            return Attempt::new(
                "write 100 MB to stdout",
                Err::<String, _>(format!("at line {number}: {error}")),
            );
        }
    }
    Attempt::new("write 100 MB to stdout", Ok::<_, String>("every write returned"))
}

pub(crate) fn sleep_forever() -> Attempt {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

pub(crate) fn trap() -> Attempt {
    std::process::abort()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Huge {
    #[serde(default = "sixty_four")]
    mebibytes: usize,
}

fn sixty_four() -> usize {
    64
}

pub(crate) fn huge_result(huge: Huge) -> Result<String, ToolError> {
    Ok("x".repeat(huge.mebibytes.min(1024) << 20))
}

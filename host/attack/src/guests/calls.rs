//! C1 to C5, C8 to C11, C13, C14: hostile calls of components that are sound.

use stockade_audit::{Decision, Layer};
use stockade_policy::PluginType;

use super::trial::{Must, built, calls, fails, guest, late, traps, trial, value};
use crate::case::GuestCase;

pub(super) fn cases() -> Vec<GuestCase> {
    [endless(), memory(), stacks(), values(), allocations(), handles(), giants(), traps_by_kind()].concat()
}

const ENDLESS: &[u8] = built!("endless");
const ABI: &[u8] = built!("abi");

fn endless() -> Vec<GuestCase> {
    let mut all = calls! { ENDLESS;
        "C1" "loop" "a loop without end" => late(),
        "C1" "loop-by-tables" "a loop of jumps through a table" => late(),
        "C2" "fill" "fills 64 MiB, over and over" => late(),
        "C2" "copy" "copies 32 MiB, over and over" => late(),
        "C2" "fill-table" "fills a table of 100,000, over and over" => late(),
        "C2" "grow-in-vain" "asks for 4 GiB of memory, over and over" => late(),
        "C2" "poll-without-waiting" "polls a timer that is always due" => late(),
        "C2" "random" "takes 64 KiB of random bytes, over and over" => late(),
        "C14" "sleep" "sleeps for 2^64 - 1 ns" => late(),
        "C14" "sleep-until-the-end" "sleeps until the instant 2^64 - 1" => late(),
        "C14" "sleep-for-half-of-time" "sleeps for 2^63 - 1 ns" => late(),
        "C14" "yesterday" "waits for what is long past" => value("1"),
        "C14" "many-timers" "a timer that is never given back, in a loop" => {
            traps("trapped: resource")
        },
    };
    all.extend([
        guest!("C1", "start-loop", "a loop without end in the start function", |bench| {
            let plugin = bench.load(built!("endless-start"), PluginType::Node)?;
            super::trial::call(bench, &plugin, "f", "{}", &late())
        }),
        guest!("C1", "realloc-loop", "a loop without end where the host allocates", |bench| {
            trial(bench, ENDLESS, "realloc", r#"{"text":"x"}"#, &late())
        }),
        guest!("C1", "post-return-loop", "a loop without end after the result", |bench| {
            trial(bench, ENDLESS, "post-return", "{}", &late())
        }),
    ]);
    all
}

const fn over(must: Must) -> Must {
    must.record(Layer::Worker, "memory", Decision::Denied)
}

fn memory() -> Vec<GuestCase> {
    calls! { built!("memory");
        "C3" "grow" "grows its memory as far as it goes" => over(value("2047")),
        "C3" "grow-both" "grows two memories in turn" => over(value("2034")),
        "C3" "grow-all-at-once" "grows its memory to 4 GiB" => over(value("-1")),
        "C3" "grow-beyond-all" "grows its memory by 2^32 - 1 pages" => value("-1"),
        "C4" "table-all-at-once" "grows a table by 2^32 - 1" => value("-1"),
        "C4" "table" "grows a table as far as it goes" => over(value("1044481")),
    }
}

fn stacks() -> Vec<GuestCase> {
    let mut all = calls! { built!("traps");
        "C5" "deep" "a function that calls itself for ever" => traps("trapped: stack-overflow"),
        "C5" "wide" "the same with wide frames" => traps("trapped: stack-overflow"),
        "C5" "mutual" "two that call each other through a table" => traps("trapped: stack-overflow"),
        "C5" "deep-host" "a call of the host from every depth" => traps("trapped: stack-overflow"),
        "C5" "deep-list" "and one that has the host allocate there" => traps("trapped: stack-overflow"),
        "C8" "leave-while-allocating" "calls the host from within an allocation" => {
            traps("trapped: cannot-leave")
        },
    };
    all.push(guest!("C5", "realloc-recurses", "an allocation that calls itself for ever", |bench| {
        trial(bench, ABI, "realloc-recurses", NUMBERS, &traps("trapped: stack-overflow"))
    }));
    all
}

fn traps_by_kind() -> Vec<GuestCase> {
    calls! { built!("traps");
        "C13" "unreachable" "unreachable" => traps("trapped: unreachable"),
        "C13" "load" "reads behind its memory" => traps("trapped: memory-out-of-bounds"),
        "C13" "load-far" "reads 8 GiB behind its memory" => traps("trapped: memory-out-of-bounds"),
        "C13" "store" "writes across the end of its memory" => traps("trapped: memory-out-of-bounds"),
        "C13" "fill" "fills beyond its memory" => traps("trapped: memory-out-of-bounds"),
        "C13" "copy" "copies to behind its memory" => traps("trapped: memory-out-of-bounds"),
        "C13" "initialise" "copies from behind a data segment" => traps("trapped: memory-out-of-bounds"),
        "C13" "table-get" "reads behind a table" => traps("trapped: table-out-of-bounds"),
        "C13" "table-fill" "fills beyond a table" => traps("trapped: table-out-of-bounds"),
        "C13" "table-init" "copies elements to behind a table" => traps("trapped: table-out-of-bounds"),
        "C13" "indirect-null" "calls an empty element" => traps("trapped: indirect-call-to-null"),
        "C13" "indirect-beyond" "calls behind a table" => traps("trapped: table-out-of-bounds"),
        "C13" "indirect-type" "calls a function as another type" => {
            traps("trapped: indirect-call-type-mismatch")
        },
        "C13" "divide" "divides by zero" => traps("trapped: integer-division-by-zero"),
        "C13" "remainder" "the remainder by zero" => traps("trapped: integer-division-by-zero"),
        "C13" "overflow" "-2^31 divided by -1" => traps("trapped: integer-overflow"),
        "C13" "convert-large" "1e300 as an integer" => traps("trapped: integer-overflow"),
        "C13" "convert-nan" "NaN as an integer" => traps("trapped: invalid-conversion-to-integer"),
    }
}

const ABI_TRAP: Must = traps("trapped: abi");

fn values() -> Vec<GuestCase> {
    calls! { ABI;
        "C8" "text-beyond" "a text at the last byte but one of 4 GiB" => ABI_TRAP,
        "C8" "text-endless" "a text of 4 GiB less one" => ABI_TRAP,
        "C8" "text-past-the-end" "a text across the end of its memory" => ABI_TRAP,
        "C8" "text-empty-far-out" "an empty text far outside of its memory" => ABI_TRAP,
        "C8" "text-not-utf8" "a text that is no UTF-8" => ABI_TRAP,
        "C8" "text-surrogate" "a surrogate in UTF-8" => ABI_TRAP,
        "C8" "utf16-odd" "UTF-16 at an odd address" => ABI_TRAP,
        "C8" "utf16-surrogate" "half a pair of surrogates" => ABI_TRAP,
        "C8" "utf16-overflow" "UTF-16 whose length in bytes wraps around" => ABI_TRAP,
        "C8" "latin1-tagged" "a tagged text of every length bit" => ABI_TRAP,
        "C8" "latin1-odd" "tagged UTF-16 at an odd address" => ABI_TRAP,
        "C8" "result-misaligned" "a result at an odd address" => ABI_TRAP,
        "C8" "result-beyond" "a result outside of its memory" => ABI_TRAP,
        "C8" "result-half-out" "a result across the end of its memory" => ABI_TRAP,
        "C8" "list-2-31" "a list of 2^31 numbers" => ABI_TRAP,
        "C8" "list-wraps" "a list whose length in bytes wraps around" => ABI_TRAP,
        "C8" "list-misaligned" "a list at an odd address" => ABI_TRAP,
        "C2" "list-of-one-text" "a list of 256 MiB that share 64 KiB" => traps("trapped: excess"),
        "C8" "list-of-empty-records" "a list of 2^32 - 1 records" => ABI_TRAP,
        "C8" "char-surrogate" "a character 0xD800" => ABI_TRAP,
        "C8" "char-beyond" "a character 0x110000" => ABI_TRAP,
        "C8" "char-negative" "a character of all bits" => ABI_TRAP,
        "C8" "bool-two" "a truth value of 2, which the ABI calls true" => value("true"),
        "C8" "byte-too-wide" "a byte of nine bits, which the ABI cuts" => value("255"),
        "C8" "enum-beyond" "the third of two cases" => ABI_TRAP,
        "C8" "flags-beyond" "32 of two flags, which the ABI cuts" => value(r#"["a","b"]"#),
        "C8" "variant-beyond" "a variant's third of two cases" => ABI_TRAP,
        "C8" "option-beyond" "an option that is neither" => ABI_TRAP,
        "C8" "result-case-beyond" "a result that is neither" => ABI_TRAP,
        "C8" "nan" "a NaN with a message in it" => fails(),
        "C8" "post-return-traps" "traps after its result" => traps("trapped: unreachable"),
        "C8" "post-return-divides" "divides by zero after its result" => {
            traps("trapped: integer-division-by-zero")
        },
    }
}

const NUMBERS: &str = r#"{"numbers":[1,2]}"#;
const TEXTS: &str = r#"{"a":"xxxx","b":"yy"}"#;

fn allocations() -> Vec<GuestCase> {
    vec![
        guest!("C8", "realloc-odd", "allocates at an odd address", |bench| {
            trial(bench, ABI, "realloc-odd", NUMBERS, &ABI_TRAP)
        }),
        guest!("C8", "realloc-beyond", "allocates outside of its memory", |bench| {
            trial(bench, ABI, "realloc-beyond", NUMBERS, &ABI_TRAP)
        }),
        guest!("C8", "realloc-last-byte", "allocates at the last byte", |bench| {
            trial(bench, ABI, "texts-realloc-last-byte", TEXTS, &ABI_TRAP)
        }),
        guest!("C8", "realloc-same", "allocates everything at one place", |bench| {
            trial(bench, ABI, "texts-realloc-same", TEXTS, &value("4"))
        }),
        guest!("C8", "realloc-nothing", "allocates at 0", |bench| {
            trial(bench, ABI, "realloc-nothing", NUMBERS, &value("null"))
        }),
        guest!("C8", "realloc-traps", "traps where the host allocates", |bench| {
            trial(bench, ABI, "realloc-traps", NUMBERS, &traps("trapped: unreachable"))
        }),
        guest!("C8", "realloc-grows", "grows its memory where the host allocates", |bench| {
            trial(bench, ABI, "realloc-grows", NUMBERS, &value("null"))
        }),
    ]
}

fn handles() -> Vec<GuestCase> {
    calls! { built!("handles");
        "C9" "hundred-thousand" "a hundred thousand handles" => traps("trapped: resource"),
        "C9" "full-and-empty" "60,000 handles, given back, three times" => value("3"),
        "C9" "own-without-end" "handles of its own kind without end" => traps("trapped: resource"),
        "C9" "drop-twice" "gives a handle back twice" => ABI_TRAP,
        "C9" "use-after-drop" "uses a handle that it gave back" => ABI_TRAP,
        "C9" "another-kind" "a stream's handle as a timer's" => ABI_TRAP,
        "C9" "drop-as-another-kind" "gives a timer back as a stream" => ABI_TRAP,
        "C9" "own-as-the-hosts" "a handle of its own as the host's" => ABI_TRAP,
        "C9" "hosts-as-own" "the host's handle as one of its own" => ABI_TRAP,
        "C9" "zero" "handle 0" => ABI_TRAP,
        "C9" "one" "handle 1, which is nobody's" => ABI_TRAP,
        "C9" "max" "handle 2^32 - 1" => ABI_TRAP,
        "C9" "drop-max" "gives handle 2^32 - 1 back" => ABI_TRAP,
        "C9" "own-with-any-number" "any number behind a handle of its own" => value("-1"),
        "C9" "poll-nothing" "polls nothing" => traps("trapped: excess"),
        "C9" "poll-forged" "polls a handle that it made up" => ABI_TRAP,
        "C9" "poll-one-5000-times" "polls one handle 5,000 times at once" => traps("trapped: excess"),
        "C9" "poll-2-31" "polls a list of 2^31" => ABI_TRAP,
    }
}

fn giants() -> Vec<GuestCase> {
    const EXCESS: Must = traps("trapped: excess");
    const fn flood(must: Must) -> Must {
        must.record(Layer::Limits, "log", Decision::Denied)
    }
    calls! { built!("giants");
        "C10" "log-100-mib" "logs 100 MiB" => EXCESS,
        "C10" "log-2-gib" "logs 2 GiB that it does not have" => ABI_TRAP,
        "C10" "log-4-gib" "logs 4 GiB less one" => ABI_TRAP,
        "C10" "log-4-mib" "logs 4 MiB, of which a line is kept" => value("null"),
        "C10" "log-unknown-level" "logs at a level that there is not" => ABI_TRAP,
        "C10" "config-100-mib" "a configuration key of 100 MiB" => EXCESS,
        "C10" "config-1-mib" "a configuration key of 1 MiB" => {
            value("null").record(Layer::Worker, "config", Decision::Denied)
        },
        "C10" "config-257" "a configuration key of 257 bytes" => {
            value("1").record(Layer::Worker, "config", Decision::Denied)
        },
        "C10" "stdout-100-mib" "writes 100 MiB to stdout at once" => EXCESS,
        "C10" "stdout-4-gib" "writes 4 GiB to stdout at once" => ABI_TRAP,
        "C10" "zeroes-all-bits" "writes 2^64 - 1 zeroes" => EXCESS,
        "C10" "zeroes-one-over" "writes 65,537 zeroes" => EXCESS,
        "C10" "read-all-bits" "reads 2^64 - 1 bytes of stdin" => value("1"),
        "C10" "splice-all-bits" "splices 2^64 - 1 bytes" => value("1"),
        "C10" "random-all-bits" "2^64 - 1 random bytes" => EXCESS,
        "C10" "random-1-gib" "1 GiB of random bytes" => EXCESS,
        "C10" "insecure-1-gib" "1 GiB of insecure random bytes" => EXCESS,
        "C11" "log-flood" "100,000 log lines" => flood(value("0")),
        "C11" "log-without-end" "log lines without end" => late(),
        "C11" "stdout-without-line-ends" "1 GiB to stdout in one line" => flood(value("0")),
        "C11" "stdout-of-empty-lines" "500,000 empty lines to stdout" => flood(value("0")),
    }
}

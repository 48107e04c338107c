//! C3, C4, C6, C7, C12, C15: components that must not be compiled, or must not cost more than they may.

use stockade_audit::{Decision, Layer};

use super::bombs;
use super::trial::{Must, built, guest, loads, not_loaded, refused, traps, value};
use super::wasm::{GET, TYPES, around, component, one_function, section, sized};
use crate::case::{Finding, GuestBench, GuestCase, Hindrance};

pub(super) fn cases() -> Vec<GuestCase> {
    [bombs_of_code(), limits(), bombs_of_types(), broken_bytes(), imports(), proposals()].concat()
}

fn bombs_of_code() -> Vec<GuestCase> {
    vec![
        guest!("C6", "live-values", "100,000 values that live to the end", |bench| {
            refused(bench, &bombs::live_values(100_000), "compile-cap")
        }),
        guest!("C6", "short-values", "2 million values that live shortly", |bench| {
            loads(bench, &bombs::short_values(2_000_000), &value("7"))
        }),
        guest!("C6", "constants", "2 million constants", |bench| {
            loads(bench, &bombs::constants(2_000_000), &value("7"))
        }),
        guest!("C6", "longest-body", "a function of 7,654,321 bytes, the most", |bench| {
            loads(bench, &bombs::one_body(7_654_321), &value("7"))
        }),
        guest!("C6", "body-one-over", "a function of 7,654,322 bytes", |bench| {
            refused(bench, &bombs::one_body(7_654_322), "invalid-component")
        }),
        guest!("C6", "most-locals", "50,000 locals, the most", |bench| {
            loads(bench, &bombs::many_locals(49_999), &value("7"))
        }),
        guest!("C6", "locals-one-over", "50,001 locals and the parameter", |bench| {
            refused(bench, &bombs::many_locals(50_001), "invalid-component")
        }),
        guest!("C6", "jump-table", "a jump table of a million targets", |bench| {
            refused(bench, &bombs::jump_table(1_000_000), "invalid-component")
        }),
        guest!("C6", "deep-blocks", "65,000 blocks in blocks, a jump to each", |bench| {
            loads(bench, &bombs::deep_blocks(65_000), &value("7"))
        }),
        guest!("C6", "deeper-blocks", "a million blocks in blocks", |bench| {
            refused(bench, &bombs::deep_blocks(1_000_000), "invalid-component")
        }),
        guest!("C6", "many-functions", "100,000 functions", |bench| {
            loads(bench, &bombs::many_functions(100_000), &value("0"))
        }),
        guest!("C6", "much-data", "a module of 50 MB of data", |bench| {
            loads(bench, &bombs::much_data(50_000_000), &value("7"))
        }),
        guest!("C6", "nested-components", "10,000 components in components", |bench| {
            refused(bench, &bombs::nested_components(10_000), "compile-cap")
        }),
    ]
}

fn limits() -> Vec<GuestCase> {
    const OVER: Must = traps("trapped: excess").record(Layer::Worker, "memory", Decision::Denied);
    vec![
        guest!("C3", "many-memories", "100 memories in one module", |bench| {
            loads(bench, &bombs::many_memories(100), &OVER)
        }),
        guest!("C3", "more-memories", "10,000 memories in one module", |bench| {
            refused(bench, &bombs::many_memories(10_000), "invalid-component")
        }),
        guest!("C3", "all-pages", "a memory that begins with 2^16 pages", |bench| {
            loads(bench, &bombs::large_memory(65_536), &OVER)
        }),
        guest!("C3", "page-too-many", "a memory of 2^16 + 1 pages", |bench| {
            refused(bench, &bombs::large_memory(65_537), "invalid-component")
        }),
        guest!("C3", "many-instances", "1,000 instances of one module", |bench| {
            loads(bench, &bombs::many_instances(1_000), &OVER)
        }),
        guest!("C4", "many-globals", "a million globals, the most", |bench| {
            loads(bench, &bombs::many_globals(1_000_000), &value("7"))
        }),
        guest!("C4", "globals-one-over", "a million globals and one", |bench| {
            refused(bench, &bombs::many_globals(1_000_001), "invalid-component")
        }),
        guest!("C4", "many-tables", "10,000 tables", |bench| {
            refused(bench, &bombs::many_tables(10_000), "invalid-component")
        }),
        guest!("C4", "large-table", "a table of 10 million elements", |bench| {
            loads(bench, &bombs::large_table(10_000_000), &OVER)
        }),
    ]
}

fn bombs_of_types() -> Vec<GuestCase> {
    vec![
        guest!("C7", "deep-types", "lists of lists, 10,000 deep", |bench| {
            refused(bench, &bombs::deep_types(10_000), "invalid-component")
        }),
        guest!("C7", "types-33-deep", "lists of lists, deeper than a report has", |bench| {
            refused(bench, &bombs::deep_types(40), "component-too-large")
        }),
        guest!("C7", "types-as-deep-as-may-be", "lists of lists, 31 deep", |bench| {
            loads(bench, &bombs::deep_types(31), &value("[]"))
        }),
        guest!("C7", "doubling-types", "pairs of pairs, 2^30 of them", |bench| {
            refused(bench, &bombs::doubling_types(30), "invalid-component")
        }),
        guest!("C7", "types-that-unfold", "pairs of pairs, 2^16 of them", |bench| {
            refused(bench, &bombs::doubling_types(16), "component-too-large")
        }),
        guest!("C7", "nested-component-types", "component types in each other, 10,000 deep", |bench| {
            refused(bench, &bombs::nested_component_types(10_000), "compile-cap")
        }),
        guest!("C7", "million-imports", "a million imports", |bench| {
            refused(bench, &bombs::many_imports(1_000_000), "invalid-component")
        }),
        guest!("C7", "imports-5000", "5,000 imports", |bench| {
            refused(bench, &bombs::many_imports(5_000), "component-too-large")
        }),
        guest!("C7", "million-exports", "a million exports", |bench| {
            refused(bench, &bombs::many_exports(1_000_000), "invalid-component")
        }),
        guest!("C7", "exports-5000", "5,000 exports", |bench| {
            refused(bench, &bombs::many_exports(5_000), "component-too-large")
        }),
        guest!("C7", "long-names", "40 MB in a name section", |bench| {
            loads(bench, &bombs::long_names(40_000_000), &value("7"))
        }),
    ]
}

fn broken_bytes() -> Vec<GuestCase> {
    vec![
        guest!("C7", "endless-custom", "a custom section that claims 4 GiB", |bench| {
            refused(bench, &bombs::endless_custom(), "invalid-component")
        }),
        guest!("C7", "endless-custom-name", "a custom section's name that claims 4 GiB", |bench| {
            refused(bench, &bombs::endless_custom_name(), "invalid-component")
        }),
        guest!("C7", "endless-types", "a list that claims 2^32 - 1 types", |bench| {
            refused(bench, &bombs::endless_types(), "invalid-component")
        }),
        guest!("C7", "overlong-number", "a number of 64 bytes", |bench| {
            refused(bench, &bombs::overlong_length(), "invalid-component")
        }),
        guest!("C7", "six-byte-number", "a number of six bytes where five do", |bench| {
            refused(bench, &bombs::six_byte_length(), "invalid-component")
        }),
        guest!("C7", "cut-anywhere", "a sound component, cut at every section", |bench| {
            let whole = built!("counter");
            let cuts: Vec<usize> = boundaries(whole).into_iter().flat_map(|at| [at - 1, at + 1]).collect();
            each(bench, cuts.into_iter().map(|at| (format!("cut at {at}"), whole[..at].to_vec())))
        }),
        guest!("C7", "junk-behind", "a sound component with junk behind it", |bench| {
            refused(bench, &[built!("counter"), &[0xff; 16]].concat(), "invalid-component")
        }),
        guest!("C7", "preamble-alone", "nothing but the first eight bytes, and junk", |bench| {
            refused(bench, &component(&[vec![0xee; 64]]), "invalid-component")
        }),
    ]
}

/// Where the sections of a component begin, but for the first.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut all) = (8, Vec::new());
    while at + 1 < bytes.len() {
        let (mut len, mut shift) = (0_usize, 0);
        at += 1;
        while let Some(&byte) = bytes.get(at) {
            len |= usize::from(byte & 0x7f) << shift;
            (at, shift) = (at + 1, shift + 7);
            if byte & 0x80 == 0 {
                break;
            }
        }
        at += len;
        all.push(at);
    }
    all.pop();
    all
}

/// Each of these must be refused as invalid.
fn each(
    bench: &GuestBench<'_>,
    components: impl Iterator<Item = (String, Vec<u8>)>,
) -> Result<Finding, Hindrance> {
    let mut all = Finding::held("invalid-component");
    for (what, bytes) in components {
        let found = refused(bench, &bytes, "invalid-component")?;
        all.record = found.record;
        all.broken.extend(found.broken.into_iter().map(|broken| format!("{what}: {broken}")));
    }
    Ok(all)
}

/// A sound component that also imports a function from an interface.
fn importing(interface: &str, function: &str) -> Vec<u8> {
    // An instance with one function, which takes and returns nothing.
    let types =
        [&[1, 0x42, 2, 1, 0x40, 0, 1, 0, 4, 0], sized(function.as_bytes()).as_slice(), &[1, 0]].concat();
    let import = [&[1, 0], sized(interface.as_bytes()).as_slice(), &[5, 1]].concat();
    [around(&one_function(&[0], &GET)), section(TYPES, &types), section(10, &import)].concat()
}

/// An import of an interface that the host itself knows nothing of.
fn unknown(bench: &GuestBench<'_>, interface: &str, function: &str) -> Result<Finding, Hindrance> {
    let finding = not_loaded(bench, &importing(interface, function), "unknown-import")?;
    Ok(finding.record(Layer::Policy, "import", Decision::Denied))
}

fn imports() -> Vec<GuestCase> {
    vec![
        guest!("C12", "unknown-package", "imports acme:telemetry", |bench| {
            unknown(bench, "acme:telemetry/upload@1.0.0", "send")
        }),
        guest!("C12", "unknown-interface", "imports an unknown interface of wasi:io", |bench| {
            unknown(bench, "wasi:io/backdoor@0.2.0", "open")
        }),
        guest!("C12", "next-wasi", "imports wasi:io 0.3", |bench| {
            unknown(bench, "wasi:io/poll@0.3.0", "poll")
        }),
        guest!("C12", "last-wasi", "imports wasi:io 0.1", |bench| {
            unknown(bench, "wasi:io/poll@0.1.0", "poll")
        }),
        guest!("C12", "unversioned", "imports wasi:io without a version", |bench| {
            unknown(bench, "wasi:io/poll", "poll")
        }),
        guest!("C12", "next-stockade", "imports stockade:plugin 0.2", |bench| {
            unknown(bench, "stockade:plugin/log@0.2.0", "write")
        }),
        guest!("C12", "unknown-function", "imports an unknown function of wasi:random", |bench| {
            refused(bench, &importing("wasi:random/random@0.2.0", "get-secret"), "unknown-import")
        }),
        guest!("C12", "another-signature", "imports a function as another type", |bench| {
            refused(bench, &importing("wasi:random/random@0.2.0", "get-random-u64"), "unknown-import")
        }),
    ]
}

fn proposals() -> Vec<GuestCase> {
    macro_rules! proposals {
        ($($name:literal $tries:literal),+ $(,)?) => {
            vec![$(guest!("C15", $name, $tries, |bench| {
                refused(bench, built!("proposal-" $name), "invalid-component")
            })),+]
        };
    }
    proposals! {
        "gc" "a struct on the engine's heap",
        "exceptions" "an exception",
        "threads" "a shared memory",
        "memory64" "a memory with 64-bit addresses",
        "table64" "a table with 64-bit indices",
        "custom-page-sizes" "a memory of one-byte pages",
        "tail-call" "a call in tail position",
        "function-references" "a call through a typed reference",
        "wide-arithmetic" "128-bit arithmetic",
        "stack-switching" "a continuation",
        "component-async" "a function of the async ABI",
        "shared-everything" "a global that threads share",
        "fixed-length-lists" "a list of four",
        "maps" "a map",
        "implements" "an import that says which interface it is",
    }
}

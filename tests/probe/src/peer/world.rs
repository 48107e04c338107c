//! B5, B6: a compiler's report that says what cannot be.

use stockade_ipc::{Compiled, Export, HEADER, Import, Kind, Param, WitType, World};

use super::Entry;
use super::boot::honest;
use super::start::Step;
use super::wire::{frame, message};

pub(super) fn entries() -> Vec<Entry> {
    let mut all: Vec<Entry> =
        worlds().into_iter().map(|(id, tries, world)| report(id, tries, of(world))).collect();
    // Three lists and an option, in the order of the struct: imports, exports, tool interface, types.
    let lists = [("imports", 0), ("exports", 8), ("types", 17)];
    for (name, at) in lists {
        for (short, len, said) in [("2-40", 1_u64 << 40, "2^40"), ("all-bits", u64::MAX, "2^64 - 1")] {
            let mut body = vec![0; 25];
            body[at..at + 8].copy_from_slice(&len.to_le_bytes());
            let tries = format!("a report of 25 bytes that claims {said} {name}");
            all.push(report(format!("B6.{name}-claim-{short}"), tries, frame(Kind::Compiled, &body)));
        }
    }
    let mut option = vec![0; 25];
    option[16] = 2;
    all.push(report(
        "B4.option-byte",
        "an option that is neither there nor not",
        frame(Kind::Compiled, &option),
    ));
    let types =
        |rest: &[u8]| frame(Kind::Compiled, &[[0; 17].as_slice(), &1_u64.to_le_bytes(), rest].concat());
    all.push(report("B4.type-number-next", "a type number that there is not", types(&22_u32.to_le_bytes())));
    let tuple = [15_u32.to_le_bytes().as_slice(), &u64::MAX.to_le_bytes()].concat();
    all.push(report("B6.tuple-claims-all-bits", "a tuple that claims 2^64 - 1 members", types(&tuple)));
    all.push(report("B4.report-trailing", "a byte behind a report", {
        let whole = of(World::default());
        frame(Kind::Compiled, &[&whole[HEADER..], &[0]].concat())
    }));
    all
}

fn report(id: impl Into<String>, tries: impl Into<String>, bytes: Vec<u8>) -> Entry {
    Entry::compile(id, tries, [honest(), vec![Step::Take, Step::Say(bytes), Step::Spin]].concat())
}

fn of(world: World) -> Vec<u8> {
    message(Compiled { world })
}

fn long() -> String {
    "x".repeat(257)
}

fn types(types: Vec<WitType>) -> World {
    World { types, ..World::default() }
}

fn export(name: String, params: Vec<Param>, result: Option<u16>) -> World {
    World { exports: vec![Export { name, params, result }], ..World::default() }
}

fn worlds() -> Vec<(&'static str, &'static str, World)> {
    let param = |ty: u16| Param { name: "p".to_owned(), ty };
    // Each type is a list of the one before.
    let deep = |depth: u16| [WitType::Bool].into_iter().chain((0..depth - 1).map(WitType::List)).collect();
    // Each is a pair of the one before: 2^17 values where all is written out.
    let wide = [WitType::Bool].into_iter().chain((0..17).map(|n| WitType::Tuple(vec![n, n]))).collect();
    let import = Import { name: String::new() };
    vec![
        ("B5.types-33-deep", "types that nest 33 deep", types(deep(33))),
        ("B5.types-4096-deep", "types that nest 4,096 deep", types(deep(4096))),
        ("B5.types-unfold", "18 types that unfold to 2^18", types(wide)),
        ("B5.type-of-itself", "a list of itself", types(vec![WitType::List(0)])),
        ("B5.type-ahead", "a list of the type behind it", types(vec![WitType::List(1), WitType::Bool])),
        ("B6.types-4097", "4,097 types", types(vec![WitType::Bool; 4097])),
        ("B6.members-257", "a tuple of 257", types(vec![WitType::Bool, WitType::Tuple(vec![0; 257])])),
        ("B6.cases-257", "an enum of 257 cases", types(vec![WitType::Enum(vec![String::new(); 257])])),
        ("B6.type-name-257", "a case's name of 257 bytes", types(vec![WitType::Enum(vec![long()])])),
        ("B6.imports-4097", "4,097 imports", World { imports: vec![import; 4097], ..World::default() }),
        ("B6.import-name-257", "an import's name of 257 bytes", {
            World { imports: vec![Import { name: long() }], ..World::default() }
        }),
        ("B6.interface-name-257", "a tool interface's name of 257 bytes", {
            World { tool_interface: Some(long()), ..World::default() }
        }),
        ("B6.export-name-257", "an export's name of 257 bytes", export(long(), Vec::new(), None)),
        ("B6.params-257", "257 parameters", {
            let exports = export("f".to_owned(), vec![param(0); 257], None).exports;
            World { exports, types: vec![WitType::Bool], ..World::default() }
        }),
        ("B6.param-of-no-type", "a parameter of an unknown type", export("f".into(), vec![param(9)], None)),
        ("B6.result-of-no-type", "a result of type 65,535", export("f".into(), Vec::new(), Some(u16::MAX))),
    ]
}

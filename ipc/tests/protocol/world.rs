//! What the compiler may claim of a component: case C7 seen from the host.

use stockade_ipc::bounds::{ITEMS, MEMBERS, NAME, TYPE_DEPTH};
use stockade_ipc::{Compiled, Export, Fault, HEADER, Import, Kind, Param, ToHost, WitType, World};

fn check(world: World) -> Result<(), Fault> {
    let mut frame = Vec::new();
    ToHost::from(Compiled { world }).frame(&mut frame)?;
    ToHost::decode(Kind::Compiled, &frame[HEADER..])?.check().map(drop)
}

fn types(types: Vec<WitType>) -> World {
    World { types, ..World::default() }
}

fn export(params: Vec<u16>, result: Option<u16>) -> Export {
    let params = params.into_iter().map(|ty| Param { name: "p".into(), ty }).collect();
    Export { name: "f".into(), params, result }
}

#[track_caller]
fn assert_implausible(world: World) {
    assert!(matches!(check(world), Err(Fault::Implausible(_))));
}

#[test]
fn an_ordinary_world_passes() {
    let world = World {
        imports: vec![Import { name: "wasi:io/streams@0.2.6".into() }],
        exports: vec![export(vec![0, 1], Some(1))],
        tool_interface: None,
        types: vec![WitType::String, WitType::List(0)],
    };
    assert_eq!(check(world), Ok(()));
}

#[test]
fn types_refer_backwards_only() {
    assert_implausible(types(vec![WitType::List(0)]));
    assert_implausible(types(vec![WitType::Option(1), WitType::U8]));
    assert_implausible(types(vec![WitType::Tuple(vec![u16::MAX])]));
    assert_implausible(types(vec![WitType::U8, WitType::Result(Some(0), Some(1))]));
    assert_implausible(types(vec![WitType::Variant(vec![("a".into(), Some(7))])]));
    assert_implausible(types(vec![WitType::Record(vec![Param { name: "a".into(), ty: 0 }])]));
}

#[test]
fn exports_name_known_types() {
    for bad in [export(vec![1], None), export(vec![], Some(1)), export(vec![u16::MAX], None)] {
        assert_implausible(World { exports: vec![bad], types: vec![WitType::U8], ..World::default() });
    }
}

fn nested(depth: u16) -> World {
    let mut all = vec![WitType::U8];
    all.extend((1..depth).map(|n| WitType::List(n - 1)));
    types(all)
}

#[test]
fn nesting_ends_at_its_limit() {
    assert_eq!(check(nested(TYPE_DEPTH)), Ok(()));
    assert_implausible(nested(TYPE_DEPTH + 1));
    assert_implausible(nested(u16::try_from(ITEMS).unwrap()));
}

/// Each tuple has the one before it twice: n types, 2^n nodes.
#[test]
fn shared_types_do_not_unfold_without_end() {
    let doubled = |n: u16| {
        let mut all = vec![WitType::U8];
        all.extend((0..n).map(|t| WitType::Tuple(vec![t, t])));
        types(all)
    };
    assert_eq!(check(doubled(14)), Ok(()));
    assert_implausible(doubled(16));
    assert_implausible(doubled(31));
    // Wide instead of deep: 256 × 256 × 256 with four types.
    let wide = |t: u16| WitType::Tuple(vec![t; MEMBERS]);
    assert_implausible(types(vec![WitType::U8, wide(0), wide(1), wide(2)]));
}

#[test]
fn counts_end_at_their_limits() {
    let imports = |n: usize| World { imports: vec![Import { name: "a".into() }; n], ..World::default() };
    assert_eq!(check(imports(ITEMS)), Ok(()));
    assert_implausible(imports(ITEMS + 1));
    let exports = |n: usize| World { exports: vec![export(vec![], None); n], ..World::default() };
    assert_eq!(check(exports(ITEMS)), Ok(()));
    assert_implausible(exports(ITEMS + 1));
    assert_eq!(check(types(vec![WitType::U8; ITEMS])), Ok(()));
    assert_implausible(types(vec![WitType::U8; ITEMS + 1]));

    let params = |n: usize| World {
        exports: vec![export(vec![0; n], None)],
        types: vec![WitType::U8],
        ..World::default()
    };
    assert_eq!(check(params(MEMBERS)), Ok(()));
    assert_implausible(params(MEMBERS + 1));
    assert_eq!(check(types(vec![WitType::Enum(vec!["a".into(); MEMBERS])])), Ok(()));
    assert_implausible(types(vec![WitType::Enum(vec!["a".into(); MEMBERS + 1])]));
    assert_implausible(types(vec![WitType::Variant(vec![("a".into(), None); MEMBERS + 1])]));
}

#[test]
fn names_end_at_their_limit() {
    let (good, bad) = ("n".repeat(NAME), "n".repeat(NAME + 1));
    let with = |name: &str| {
        let name = name.to_owned();
        let field = Param { name: name.clone(), ty: 0 };
        [
            World { imports: vec![Import { name: name.clone() }], ..World::default() },
            World { tool_interface: Some(name.clone()), ..World::default() },
            World {
                exports: vec![Export { name: name.clone(), params: vec![], result: None }],
                ..World::default()
            },
            types(vec![WitType::U8, WitType::Record(vec![field])]),
            types(vec![WitType::Flags(vec![name.clone()])]),
            types(vec![WitType::Variant(vec![(name.clone(), None)])]),
            types(vec![WitType::Unsupported(name)]),
        ]
    };
    for world in with(&good) {
        assert_eq!(check(world), Ok(()));
    }
    for world in with(&bad) {
        assert_implausible(world);
    }
}

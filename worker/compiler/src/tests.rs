use stockade_ipc::bounds::MEMBERS;
use stockade_ipc::{CompileFault, Param, Rejected, WitType, World};

use super::{compiling_engine, engine, translate};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::wasmparser::WasmFeatures;

fn world(text: &str) -> Result<World, Rejected> {
    let bytes = wat::parse_str(text).unwrap();
    translate(&compiling_engine().unwrap(), bytes).map(|(_, world)| world)
}

fn rejected(text: &str) -> (CompileFault, String) {
    let rejected = world(text).unwrap_err();
    (rejected.fault, rejected.message)
}

/// Each proposal that the engine would take is refused by our own word alone, so somebody has to notice if it
/// is not. The four that are left do nothing by themselves.
#[test]
fn c15_every_refused_proposal_is_in_the_mutation_list() {
    const PROTECTIONS: &str = include_str!("../../../tests/protections.toml");
    let outside = WasmFeatures::all().difference(engine::ALLOWED);
    let unlisted = outside
        .iter_names()
        .filter(|(name, _)| !PROTECTIONS.contains(&format!("\nname = \"engine.{name}\"\n")));
    let taken = |proposal| Engine::new(engine::config().wasm_features(proposal, true)).is_ok();
    let unlisted: Vec<_> = unlisted.filter(|(_, proposal)| taken(*proposal)).map(|(name, _)| name).collect();
    assert_eq!(unlisted, ["GC", "STACK_SWITCHING", "CM_GC", "CM64"]);
}

#[test]
fn c15_switched_off_proposals_are_refused_by_name() {
    let cases = [
        ("(core module (type (struct)))", "without the gc feature"),
        ("(core module (tag))", "exceptions proposal not enabled"),
        ("(core module (memory 1 1 shared))", "threads must be enabled"),
        ("(core module (memory i64 1))", "memory64 must be enabled"),
        ("(core module (memory 1 (pagesize 1)))", "custom page sizes"),
        ("(core module (func $f return_call $f))", "tail calls support is not enabled"),
        (
            "(core module (type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0))))",
            "function references required",
        ),
        ("(core module (type $f (func)) (type $c (cont $f)))", "stack switching"),
        (
            "(core module (func (param i64 i64) (result i64 i64)
                (i64.mul_wide_u (local.get 0) (local.get 1))))",
            "wide arithmetic support is not enabled",
        ),
        ("(import \"f\" (func async))", "component model async feature"),
        ("(type (future u8))", "component model async feature"),
        ("(type (map string u8))", "map"),
        ("(type (list u8 4))", "fixed"),
        ("(core func (canon error-context.drop))", "error-context"),
    ];
    for (inside, message) in cases {
        let Err(Rejected { fault, message: found }) = world(&format!("(component {inside})")) else {
            panic!("{inside} compiles")
        };
        assert_eq!(fault, CompileFault::Invalid, "{inside}");
        assert!(found.to_lowercase().contains(message), "{inside}: {found}");
    }
}

#[test]
fn what_toolchains_emit_compiles() {
    let inside = [
        "(core module (memory 1) (memory 1))",
        "(core module (func (result v128) (v128.const i64x2 0 0)))",
        "(core module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))",
        "(core module (table 1 funcref))",
        "(core module (global i32 (i32.add (i32.const 1) (i32.const 1))))",
        "(core module (func (result i32 i32) (i32.const 0) (i32.const 0)))",
    ];
    for inside in inside {
        world(&format!("(component {inside})")).unwrap();
    }
}

#[test]
fn what_is_no_component_is_told_apart() {
    let engine = compiling_engine().unwrap();
    let fault = |bytes: &[u8]| translate(&engine, bytes.to_vec()).err().unwrap().fault;
    assert_eq!(fault(b""), CompileFault::NotWasm);
    assert_eq!(fault(b"#!/bin/sh"), CompileFault::NotWasm);
    assert_eq!(fault(b"\0asm"), CompileFault::NotWasm);
    assert_eq!(fault(b"\0asm\x01\0\0\0"), CompileFault::CoreModule);
    assert_eq!(fault(b"\0asm\x0d\0\x01\0\xff\xff"), CompileFault::Invalid);
}

#[test]
fn a_world_is_flat_and_equal_types_share_a_place() {
    let types = r#"
        (import "wasi:random/random@0.2.3" (instance))
        (type $point' (record (field "x" s32) (field "y" s32)))
        (export $point "point" (type $point'))
        (type $t (tuple $point $point u8))"#;
    let world = world(&exporting(types)).unwrap();
    assert_eq!(world.imports[0].name, "wasi:random/random@0.2.3");
    assert_eq!(world.tool_interface, None);
    let field = |name: &str| Param { name: name.to_owned(), ty: 0 };
    let record = WitType::Record(vec![field("x"), field("y")]);
    let tuple = WitType::Tuple(vec![1, 1, 2]);
    assert_eq!(world.types, [WitType::S32, record, WitType::U8, tuple, WitType::List(3)]);
    let [export] = &world.exports[..] else { panic!("one export") };
    assert_eq!((export.params[0].ty, export.result), (4, None));
}

/// A component that exports one function with a parameter of type `list<$t>`.
fn exporting(types: &str) -> String {
    format!(
        r#"(component {types}
            (core module $m (memory (export "memory") 1)
                (func (export "f") (param i32 i32))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
            (core instance $i (instantiate $m))
            (func (export "f") (param "value" (list $t))
                (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#
    )
}

#[test]
fn c7_types_over_the_bounds_are_too_large() {
    let mut nested = "(type $t0 u8)".to_owned();
    let mut doubled = nested.clone();
    for level in 1..=40 {
        let last = level - 1;
        nested += &format!("(type $t{level} (list $t{last}))");
        if level <= 18 {
            doubled += &format!("(type $t{level} (tuple $t{last} $t{last}))");
        }
    }
    let names: String = (0..=MEMBERS).map(|n| format!(" \"n{n}\"")).collect();
    let cases = [
        (nested + "(type $t (list $t40))", "nests deeper"),
        (doubled + "(type $t (list $t18))", "unfold"),
        (format!("(type $e (enum {names})) (import \"e\" (type $t (eq $e)))"), "members"),
    ];
    for (types, message) in cases {
        let (fault, found) = rejected(&exporting(&types));
        assert_eq!(fault, CompileFault::TooLarge, "{found}");
        assert!(found.contains(message), "{found}");
    }
}

#[test]
fn a_resource_is_reported_by_name_and_not_refused() {
    let world = world(&exporting("(import \"r\" (type $r (sub resource))) (type $t (own $r))")).unwrap();
    assert_eq!(world.types, [WitType::Unsupported("resource".to_owned()), WitType::List(0)]);
}

/// The worker's engine has the shared settings alone: what the compiler adds must not change what loads.
#[test]
fn an_artifact_loads_under_the_settings_of_the_worker() {
    let bytes = wat::parse_str("(component (core module (memory 1) (data (i32.const 0) \"x\")))").unwrap();
    let (component, _) = translate(&compiling_engine().unwrap(), bytes).unwrap();
    let worker = Engine::new(&engine::config()).unwrap();
    #[expect(unsafe_code, reason = "JUSTIFICATION: the engine has no safe way to load an artifact")]
    // SAFETY: the bytes were made two lines above.
    let loaded = unsafe { Component::deserialize(&worker, component.serialize().unwrap()) };
    loaded.unwrap();
}

use stockade_ipc::{Outcome, ToolError};

use super::{call, plugin, trap_code};

const PLUGIN: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (table 1 funcref)
        (global $calls (mut i32) (i32.const 0))
        (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
        (func (export "divide") (param i32 i32) (result i32)
            (i32.div_u (local.get 0) (local.get 1)))
        (func (export "unreachable") unreachable)
        (func $deep (export "deep") call $deep)
        (func (export "beyond") (drop (i32.load (i32.const -4))))
        (func (export "null") (call_indirect (i32.const 0)))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "count") (result i32)
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (global.get $calls))
        ;; result<u32, u32>: the discriminant, then the payload.
        (func (export "half") (param i32) (result i32)
            (i32.store8 (i32.const 16) (i32.and (local.get 0) (i32.const 1)))
            (i32.store (i32.const 20) (i32.shr_u (local.get 0) (i32.const 1)))
            (i32.const 16))
        ;; A string: where, how long.
        (func (export "text") (param i32) (result i32)
            (i32.store (i32.const 16) (i32.const 0))
            (i32.store (i32.const 20) (local.get 0))
            (i32.const 16))
    )
    (core instance $i (instantiate $m))
    (alias core export $i "memory" (core memory $memory))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32)
        (canon lift (core func $i "add")))
    (func (export "divide") (param "a" u32) (param "b" u32) (result u32)
        (canon lift (core func $i "divide")))
    (func (export "unreachable") (canon lift (core func $i "unreachable")))
    (func (export "deep") (canon lift (core func $i "deep")))
    (func (export "beyond") (canon lift (core func $i "beyond")))
    (func (export "null") (canon lift (core func $i "null")))
    (func (export "grow") (param "pages" u32) (result s32) (canon lift (core func $i "grow")))
    (func (export "count") (result u32) (canon lift (core func $i "count")))
    (func (export "half") (param "of" u32) (result (result u32 (error u32)))
        (canon lift (core func $i "half") (memory $memory)))
    (func (export "text") (param "len" u32) (result string)
        (canon lift (core func $i "text") (memory $memory)))
)"#;

fn value(text: &str) -> Outcome {
    Outcome::Value(text.to_owned())
}

#[test]
fn a_function_is_a_tool() {
    let (mut plugin, _) = plugin(PLUGIN, &[], false);
    assert_eq!(call(&mut plugin, "add", r#"{"a":1,"b":2}"#), value("3"));
    let Outcome::Error(ToolError::InvalidArguments(message)) = call(&mut plugin, "add", r#"{"a":1}"#) else {
        panic!("arguments are missing")
    };
    assert_eq!(message, "$.b: is missing");
    let unknown = call(&mut plugin, "subtract", "{}");
    assert!(matches!(unknown, Outcome::Error(ToolError::UnknownTool(_))));
}

#[test]
fn a_result_of_a_function_is_the_result_of_the_call() {
    let (mut plugin, _) = plugin(PLUGIN, &[], false);
    assert_eq!(call(&mut plugin, "half", r#"{"of":4}"#), value("2"));
    let failed = call(&mut plugin, "half", r#"{"of":5}"#);
    assert_eq!(failed, Outcome::Error(ToolError::Failed("2".to_owned())));
}

#[test]
fn c13_traps_are_told_apart_and_the_next_call_works() {
    let (mut plugin, _) = plugin(PLUGIN, &[], true);
    let cases = [
        ("unreachable", "{}", "unreachable"),
        ("deep", "{}", "stack-overflow"),
        ("beyond", "{}", "memory-out-of-bounds"),
        ("null", "{}", "indirect-call-to-null"),
        ("divide", r#"{"a":1,"b":0}"#, "integer-division-by-zero"),
        ("text", r#"{"len":4294967295}"#, "abi"),
    ];
    for (tool, arguments, code) in cases {
        assert_eq!(trap_code(call(&mut plugin, tool, arguments)), code);
        assert_eq!(call(&mut plugin, "add", r#"{"a":1,"b":2}"#), value("3"));
    }
}

#[test]
fn an_instance_is_fresh_unless_it_is_to_be_kept() {
    for (reuse, second) in [(false, "1"), (true, "2")] {
        let (mut plugin, _) = plugin(PLUGIN, &[], reuse);
        assert_eq!(call(&mut plugin, "count", "{}"), value("1"));
        assert_eq!(call(&mut plugin, "count", "{}"), value(second));
    }
}

#[test]
fn a_trap_ends_an_instance_that_is_kept() {
    let (mut plugin, _) = plugin(PLUGIN, &[], true);
    assert_eq!(call(&mut plugin, "count", "{}"), value("1"));
    trap_code(call(&mut plugin, "unreachable", "{}"));
    assert_eq!(call(&mut plugin, "count", "{}"), value("1"));
}

#[test]
fn c3_memory_grows_to_its_limit_and_one_record_is_left() {
    // The limit is 1 MiB, sixteen pages, of which one is there.
    let (mut plugin, notes) = plugin(PLUGIN, &[], true);
    assert_eq!(call(&mut plugin, "grow", r#"{"pages":15}"#), value("1"));
    assert_eq!(call(&mut plugin, "grow", r#"{"pages":1}"#), value("-1"));
    assert_eq!(call(&mut plugin, "grow", r#"{"pages":65535}"#), value("-1"));
    let refusal = ("memory".to_owned(), "1114112 bytes".to_owned(), "memory:1048576 (built-in)".to_owned());
    assert_eq!(notes.refusals(), [refusal]);
}

#[test]
fn c3_many_memories_count_together() {
    let text = r#"(component
        (core module $m (memory 9))
        (core module $f (func (export "f")))
        (core instance (instantiate $m))
        (core instance (instantiate $m))
        (core instance $f (instantiate $f))
        (func (export "f") (canon lift (core func $f "f"))))"#;
    let (mut plugin, notes) = plugin(text, &[], false);
    assert_eq!(trap_code(call(&mut plugin, "f", "{}")), "excess");
    assert_eq!(notes.refusals().len(), 1);
}

#[test]
fn c3_more_memories_than_there_may_be_are_refused_and_recorded() {
    let memories = "(memory 0)".repeat(65);
    let text = format!(
        r#"(component
            (core module $m {memories} (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "f"))))"#
    );
    let (mut plugin, notes) = plugin(&text, &[], false);
    assert_eq!(trap_code(call(&mut plugin, "f", "{}")), "excess");
    let refusal = ("memory".to_owned(), "memory count too high at 65".to_owned());
    let left: Vec<_> = notes.refusals().into_iter().map(|(operation, what, _)| (operation, what)).collect();
    assert_eq!(left, [refusal]);
}

#[test]
fn c9_handles_of_the_guests_own_are_bounded_and_have_a_code() {
    let text = r#"(component
        (type $mine (resource (rep i32)))
        (core func $make (canon resource.new $mine))
        (core module $m
            (import "" "make" (func $make (param i32) (result i32)))
            (func (export "f") (loop $more (drop (call $make (i32.const 1))) br $more)))
        (core instance $i (instantiate $m (with "" (instance (export "make" (func $make))))))
        (func (export "f") (canon lift (core func $i "f"))))"#;
    let (mut plugin, _) = plugin(text, &[], false);
    assert_eq!(trap_code(call(&mut plugin, "f", "{}")), "resource");
}

use wasmtime::component::Type;
use wasmtime::component::types::ComponentItem;

use super::{component, engine};
use crate::json::{Unwritten, arguments, text};

const PRELUDE: &str = r#"
    (type $point' (record (field "x" s32) (field "y" (option u8))))
    (import "point" (type $point (eq $point')))
"#;

/// The types of a function with one parameter, `value`, of the type that the text defines.
fn params(definition: &str) -> Vec<(String, Type)> {
    let component = component(&format!(
        r#"(component {PRELUDE}
            (type $t' {definition})
            (import "t" (type $t (eq $t')))
            (import "f" (func (param "value" $t))))"#
    ));
    let engine = engine();
    let ty = component.component_type();
    let Some(ComponentItem::ComponentFunc(function)) = ty.get_import(&engine, "f").map(|f| f.ty) else {
        panic!("no function")
    };
    function.params().map(|(name, ty)| (name.to_owned(), ty)).collect()
}

fn there_and_back(definition: &str, json: &str) -> Result<String, String> {
    let params = params(definition);
    let read =
        arguments(&format!("{{\"value\":{json}}}"), params.iter().map(|(n, t)| (n.as_str(), t.clone())));
    let values = read.map_err(|misfit| misfit.to_string())?;
    text(values.first(), 1000).map_err(|unwritten| format!("{unwritten:?}"))
}

#[test]
fn values_come_back_as_they_went() {
    let cases = [
        ("bool", "true"),
        ("u8", "255"),
        ("s8", "-128"),
        ("u64", "9007199254740992"),
        ("u64", r#""18446744073709551615""#),
        ("s64", r#""-9223372036854775808""#),
        ("float32", "1.5"),
        ("float64", "-0.1"),
        ("char", r#""🦀""#),
        ("string", r#""\n\u0000ü""#),
        ("(list u8)", "[1,2,3]"),
        ("(list (list u32))", "[[],[1]]"),
        ("(tuple u8 string)", r#"[1,"a"]"#),
        ("(option string)", "null"),
        ("(option string)", r#""a""#),
        ("(record (field \"a\" u8) (field \"b\" $point))", r#"{"a":1,"b":{"x":-1,"y":2}}"#),
        ("(enum \"a\" \"b-c\")", r#""b-c""#),
        ("(flags \"a\" \"b\")", r#"["b"]"#),
        ("(variant (case \"none\") (case \"some\" u8))", r#""none""#),
        ("(variant (case \"none\") (case \"some\" u8))", r#"{"some":1}"#),
        ("(result u8 (error string))", r#"{"ok":1}"#),
        ("(result u8 (error string))", r#"{"err":"no"}"#),
        ("(result)", r#"{"ok":null}"#),
    ];
    for (definition, json) in cases {
        assert_eq!(there_and_back(definition, json).as_deref(), Ok(json), "{definition}");
    }
}

#[test]
fn other_spellings_are_taken() {
    assert_eq!(there_and_back("u64", r#""7""#).as_deref(), Ok("7"));
    assert_eq!(there_and_back("u64", "18446744073709551615").as_deref(), Ok(r#""18446744073709551615""#));
    assert_eq!(there_and_back("u8", "1.0").as_deref(), Ok("1"));
    assert_eq!(there_and_back("float64", "1").as_deref(), Ok("1.0"));
    let left_out = there_and_back("(record (field \"b\" $point))", r#"{"b":{"x":1}}"#);
    assert_eq!(left_out.as_deref(), Ok(r#"{"b":{"x":1,"y":null}}"#));
}

#[test]
fn misfits_name_their_place() {
    let cases = [
        ("u8", "256", "$.value: 256 is not a u8"),
        ("u8", "-1", "$.value: -1 is not a u8"),
        ("u8", "1.5", "$.value: 1.5 is not a u8"),
        ("u8", r#""1""#, "$.value: expected an integer (u8), found a string"),
        ("s64", r#""1e3""#, "$.value: expected an integer (s64), found a string"),
        ("float32", "1e300", "$.value: is out of the range of f32"),
        ("char", r#""ab""#, "$.value: expected a string of one character"),
        ("(list u8)", "[1,true]", "$.value[1]: expected an integer (u8), found a boolean"),
        ("(tuple u8 u8)", "[1]", "$.value: expected 2 items, found 1"),
        ("(record (field \"b\" $point))", r#"{"b":{}}"#, "$.value.b.x: is missing"),
        ("(record (field \"b\" $point))", r#"{"b":{"x":1,"z":1}}"#, "$.value.b.z: is unknown"),
        ("(enum \"a\")", r#""b""#, "$.value: has no case \"b\""),
        ("(flags \"a\")", r#"["a","a"]"#, "$.value[1]: \"a\" is no flag, or there twice"),
        ("(variant (case \"a\" u8))", r#""a""#, "$.value: case \"a\" needs a payload"),
        ("(variant (case \"a\"))", r#"{"a":1}"#, "$.value: case \"a\" has no payload"),
        ("(result u8)", r#"{"okay":1}"#, "$.value: expected {\"ok\": ..} or {\"err\": ..}"),
    ];
    for (definition, json, message) in cases {
        assert_eq!(there_and_back(definition, json).unwrap_err(), message);
    }
}

#[test]
fn arguments_that_are_no_object_are_refused() {
    let none = || std::iter::empty::<(&str, Type)>();
    assert!(arguments("{}", none()).unwrap().is_empty());
    for text in ["", "[]", "null", "{", "{} {}", r#"{"a":1}"#] {
        assert!(arguments(text, none()).is_err(), "{text}");
    }
}

#[test]
fn deep_nesting_is_refused_before_it_recurses() {
    let deep = format!("{{\"value\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let params = params("(list u8)");
    let read = arguments(&deep, params.iter().map(|(n, t)| (n.as_str(), t.clone())));
    assert!(read.unwrap_err().to_string().contains("recursion limit"));
}

#[test]
fn what_json_cannot_say_is_an_error() {
    use wasmtime::component::Val;
    for value in [Val::Float64(f64::NAN), Val::Float32(f32::INFINITY)] {
        assert!(matches!(text(Some(&value), 100), Err(Unwritten::NoForm(_))));
    }
    assert_eq!(text(Some(&Val::String("a".repeat(100))), 100), Err(Unwritten::TooLong));
    assert_eq!(text(None, 100).as_deref(), Ok("null"));
}

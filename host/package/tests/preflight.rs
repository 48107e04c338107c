//! What a component imports and exports, and the tools that come of it.

use serde_json::{Value, json};
use stockade_ipc::{Export, Import, Param, TypeId, WitType, World};
use stockade_package::{Explain, Package, PackageError, Tool, check_contract, check_imports, tools_of_world};
use stockade_policy::PluginType;

fn world(types: Vec<WitType>, params: &[(&str, TypeId)], result: Option<TypeId>) -> World {
    let params = params.iter().map(|(name, ty)| Param { name: (*name).into(), ty: *ty }).collect();
    World { types, exports: vec![Export { name: "f".into(), params, result }], ..World::default() }
}

/// The one parameter's schema, for the last of the types.
fn schema(types: Vec<WitType>) -> Value {
    let last = TypeId::try_from(types.len() - 1).expect("few types");
    let tool = tool(&world(types, &[("p", last)], None));
    tool.input["properties"]["p"].clone()
}

fn tool(world: &World) -> Tool {
    tools_of_world(world).expect("tools").remove(0)
}

fn problem(error: &PackageError) -> String {
    let problem = error.problem();
    format!("{}\n  {}\n  at {}\n  {}", problem.code, problem.message, problem.field, problem.next_step)
}

fn import(name: &str) -> World {
    World { imports: vec![Import { name: name.into() }], ..World::default() }
}

#[test]
fn every_type_has_the_schema_of_its_json_form() {
    use WitType::{
        Bool, Char, Enum, F32, Flags, List, Option, Record, Result, S64, String, Tuple, U8, U64, Variant,
    };
    let field = |name: &str, ty| Param { name: name.into(), ty };
    insta::assert_snapshot!(schema(vec![Bool]), @r#"{"type":"boolean"}"#);
    insta::assert_snapshot!(schema(vec![U8]), @r#"{"maximum":255,"minimum":0,"type":"integer"}"#);
    insta::assert_snapshot!(schema(vec![U64]), @r#"{"maxLength":20,"maximum":18446744073709551615,"minLength":1,"minimum":0,"type":["integer","string"]}"#);
    insta::assert_snapshot!(schema(vec![S64]), @r#"{"maxLength":20,"maximum":9223372036854775807,"minLength":1,"minimum":-9223372036854775808,"type":["integer","string"]}"#);
    insta::assert_snapshot!(schema(vec![F32]), @r#"{"type":"number"}"#);
    insta::assert_snapshot!(schema(vec![Char]), @r#"{"maxLength":1,"minLength":1,"type":"string"}"#);
    insta::assert_snapshot!(schema(vec![String, List(0)]), @r#"{"items":{"type":"string"},"type":"array"}"#);
    insta::assert_snapshot!(schema(vec![String, Option(0)]), @r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#);
    insta::assert_snapshot!(schema(vec![String, U8, Tuple(vec![0, 1])]), @r#"{"items":false,"maxItems":2,"minItems":2,"prefixItems":[{"type":"string"},{"maximum":255,"minimum":0,"type":"integer"}],"type":"array"}"#);
    insta::assert_snapshot!(schema(vec![Enum(vec!["a".into(), "b".into()])]), @r#"{"enum":["a","b"]}"#);
    insta::assert_snapshot!(schema(vec![Flags(vec!["a".into(), "b".into()])]), @r#"{"items":{"enum":["a","b"]},"type":"array","uniqueItems":true}"#);
    insta::assert_snapshot!(schema(vec![U8, Option(0), Record(vec![field("a", 0), field("b", 1)])]), @r#"{"additionalProperties":false,"properties":{"a":{"maximum":255,"minimum":0,"type":"integer"},"b":{"anyOf":[{"maximum":255,"minimum":0,"type":"integer"},{"type":"null"}]}},"required":["a"],"type":"object"}"#);
    insta::assert_snapshot!(schema(vec![U8, Variant(vec![("a".into(), None), ("b".into(), Some(0))])]), @r#"{"oneOf":[{"enum":["a"]},{"additionalProperties":false,"properties":{"b":{"maximum":255,"minimum":0,"type":"integer"}},"required":["b"],"type":"object"}]}"#);
    insta::assert_snapshot!(schema(vec![U8, Result(Some(0), None)]), @r#"{"oneOf":[{"additionalProperties":false,"properties":{"ok":{"maximum":255,"minimum":0,"type":"integer"}},"required":["ok"],"type":"object"},{"additionalProperties":false,"properties":{"err":{"type":"null"}},"required":["err"],"type":"object"}]}"#);
}

#[test]
fn parameters_that_are_options_may_be_left_out_and_no_others() {
    let types = vec![WitType::String, WitType::Option(0)];
    let tool = tool(&world(types, &[("name", 0), ("title", 1)], None));
    let check = |arguments: &str| tool.check_arguments(arguments).is_ok();
    assert!(check(r#"{"name":"Ada"}"#) && check(r#"{"name":"Ada","title":null}"#));
    assert!(check(r#"{"name":"Ada","title":"Lady"}"#));
    assert!(!check("{}") && !check(r#"{"name":"Ada","nam":1}"#) && !check(r#"["Ada"]"#));
}

#[test]
fn variants_take_exactly_one_of_their_forms() {
    let cases = vec![("off".into(), None), ("at".into(), Some(0))];
    let tool = tool(&world(vec![WitType::U8, WitType::Variant(cases)], &[("p", 1)], None));
    let check = |p: Value| tool.check_arguments(&json!({ "p": p }).to_string()).is_ok();
    assert!(check(json!("off")) && check(json!({ "at": 255 })));
    for bad in
        [json!("at"), json!({ "off": null }), json!({ "at": 256 }), json!({ "at": 1, "off": 1 }), json!({})]
    {
        assert!(!check(bad.clone()), "{bad}");
    }
}

#[test]
fn wide_integers_are_numbers_or_digits() {
    let tool = tool(&world(vec![WitType::U64], &[("p", 0)], None));
    let check = |p: &str| tool.check_arguments(&format!("{{\"p\":{p}}}")).is_ok();
    assert!(check("18446744073709551615") && check("\"18446744073709551615\"") && check("0"));
    assert!(!check("-1") && !check("18446744073709551616") && !check("1.5") && !check("\"\""));
}

#[test]
fn a_functions_own_result_is_not_wrapped() {
    let types =
        vec![WitType::String, WitType::U8, WitType::Result(Some(1), Some(0)), WitType::Result(None, None)];
    let output = |result| tool(&world(types.clone(), &[], result)).output;
    assert_eq!(output(Some(0)), Some(json!({ "type": "string" })));
    assert_eq!(output(Some(2)), Some(json!({ "type": "integer", "minimum": 0, "maximum": 255 })));
    assert_eq!(output(Some(3)), Some(json!({ "type": "null" })));
    assert_eq!(output(None), Some(json!({ "type": "null" })));
}

#[test]
fn types_without_a_json_form_are_refused_by_name() {
    let types =
        vec![WitType::Unsupported("own<file>".into()), WitType::List(0), WitType::Result(None, Some(1))];
    let error = tools_of_world(&world(types.clone(), &[("p", 1)], None)).expect_err("refused");
    insta::assert_snapshot!(problem(&error), @r#"
    unsupported-type
      the exported function "f" uses "own<file>", which has no JSON form
      at f
      export functions over plain values (no resources, streams or futures), or the tool interface
    "#);
    let error = tools_of_world(&world(types, &[], Some(2))).expect_err("refused");
    assert_eq!(error.problem().code, "unsupported-type");
}

/// Each type is a pair of the one before: the last would be 2^31 once written out.
#[test]
fn types_that_double_are_refused_before_they_are_written_out() {
    let pairs = (0..31).map(|n| WitType::Tuple(vec![n, n]));
    let types: Vec<WitType> = [WitType::Bool].into_iter().chain(pairs).collect();
    let error = tools_of_world(&world(types, &[("p", 31)], None)).expect_err("refused");
    insta::assert_snapshot!(problem(&error), @r#"
    world-too-large
      the exported functions' types are too large once they are written out
      at component
      export fewer functions, or smaller types
    "#);
}

#[test]
fn names_that_are_written_out_at_every_reference_are_counted() {
    let names = (0..256).map(|n| format!("{n:0>256}")).collect();
    let params: Vec<_> = (0..255).map(|_| ("p", 0)).collect();
    let error = tools_of_world(&world(vec![WitType::Enum(names)], &params, None)).expect_err("refused");
    assert_eq!(error.problem().code, "world-too-large");
}

#[test]
fn what_a_toolchain_exports_for_itself_is_no_tool() {
    let mut world = world(Vec::new(), &[], None);
    world.exports[0].name = "init".into();
    insta::assert_snapshot!(problem(&tools_of_world(&world).expect_err("refused")), @r#"
    nothing-exported
      the component exports neither the tool interface nor a function
      at component
      export stockade:plugin/tool, or functions of the world itself
    "#);
}

#[test]
fn imports_are_known_or_named() {
    let known = check_imports(&import("wasi:clocks/wall-clock@0.2.6")).expect("known");
    assert_eq!(known[0].1.name, "wasi:clocks/wall-clock");
    insta::assert_snapshot!(problem(&check_imports(&import("acme:gpu/render@1.0.0")).expect_err("unknown")), @r#"
    unknown-import
      the component imports "acme:gpu/render@1.0.0", which this host does not know
      at acme:gpu/render@1.0.0
      build for stockade:plugin 0.1 and WASI 0.2; interfaces of other hosts are not offered
    "#);
    for name in
        ["wasi:clocks/wall-clock@0.3.0", "wasi:clocks/wall-clock", "stockade:plugin/tool@0.1.0", "", "x"]
    {
        assert!(check_imports(&import(name)).is_err(), "{name}");
    }
}

#[test]
fn the_tool_interface_is_of_the_manifests_contract() {
    let world = |interface: &str| World { tool_interface: Some(interface.into()), ..World::default() };
    assert!(check_contract(&world("stockade:plugin/tool@0.1.0"), "0.1").is_ok());
    assert!(check_contract(&world("stockade:plugin/tool@0.1.7"), "0.1").is_ok());
    for other in
        ["stockade:plugin/tool@0.2.0", "stockade:plugin/tool@0.10.0", "stockade:plugin/tool@0.1", "x"]
    {
        assert!(check_contract(&world(other), "0.1").is_err(), "{other}");
    }
    let error = check_contract(&world("stockade:plugin/tool@0.2.0"), "0.1").expect_err("another");
    insta::assert_snapshot!(problem(&error), @r#"
    contract-mismatch
      the component exports "stockade:plugin/tool@0.2.0", and its manifest says contract "0.1"
      at stockade:plugin/tool@0.2.0
      correct `contract` in plugin.toml, or rebuild the plugin
    "#);
}

fn package(tools: &str) -> Package {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = "manifest = 1\nname = \"a/b\"\nversion = \"1.2.3\"\ntype = \"node\"\ncontract = \"0.1\"\n\
                    description = \"d\"\ncomponent = \"c.wasm\"\n";
    std::fs::write(folder.path().join("plugin.toml"), format!("{manifest}{tools}")).expect("written");
    std::fs::write(folder.path().join("c.wasm"), b"\0asm\x0d\0\x01\0").expect("written");
    Package::open(folder.path(), Some(PluginType::Node)).expect("a package")
}

fn declared(name: &str) -> String {
    format!("[[tools]]\nname = \"{name}\"\ndescription = \"d\"\ninput = 'true'\n")
}

#[test]
fn the_manifest_says_the_tools_of_a_tool_interface() {
    let world = World { tool_interface: Some("stockade:plugin/tool@0.1.0".into()), ..World::default() };
    assert_eq!(package(&declared("scan")).tools(&world).expect("tools")[0].name, "scan");
    let error = package("").tools(&world).expect_err("no tools");
    insta::assert_snapshot!(problem(&error), @r#"
    tools-not-declared
      the component exports stockade:plugin/tool, and no manifest declares its tools
      at component
      put it into a folder with a plugin.toml that has a [[tools]] for each
    "#);
}

#[test]
fn the_manifest_may_choose_among_exported_functions() {
    let world = world(vec![WitType::Bool], &[("p", 0)], None);
    assert_eq!(package("").tools(&world).expect("tools")[0].input["required"], json!(["p"]));
    assert_eq!(package(&declared("f")).tools(&world).expect("tools")[0].input, json!(true));
    let error = package(&declared("g")).tools(&world).expect_err("not exported");
    insta::assert_snapshot!(problem(&error), @r#"
    tool-not-exported
      the manifest declares the tool "g", and the component exports no such function
      at g
      correct the name, or remove the tool from plugin.toml
    "#);
}

#[test]
fn arguments_that_do_not_fit_are_told_where_and_without_their_value() {
    let types = vec![WitType::U8, WitType::Record(vec![Param { name: "n".into(), ty: 0 }]), WitType::List(1)];
    let tool = tool(&world(types, &[("items", 2)], None));
    let problem = |arguments: &str| {
        let problem = tool.check_arguments(arguments).expect_err("a problem").problem();
        format!("{}\n  {}\n  at {}\n  {}", problem.code, problem.message, problem.field, problem.next_step)
    };
    insta::assert_snapshot!(problem("{\n  \"items\": [}"), @r#"
    arguments-not-json
      the arguments are not JSON: expected value at line 2 column 13
      at arguments:2:13
      give one JSON object, as {"name": "value"}
    "#);
    insta::assert_snapshot!(problem(""), @r#"
    arguments-not-json
      the arguments are not JSON: EOF while parsing a value at line 1 column 0
      at arguments:1:0
      give one JSON object, as {"name": "value"}
    "#);
    insta::assert_snapshot!(problem(r#"{"items":[{"n":1},{"n":"hunter2"}]}"#), @r#"
    bad-arguments
      the arguments do not fit the tool: value is not of type "integer"
      at arguments#/items/1/n
      give what the tool's input schema describes
    "#);
    insta::assert_snapshot!(problem(r#"{"items":[{"n":1,"m":2}]}"#), @r#"
    bad-arguments
      the arguments do not fit the tool: Additional properties are not allowed ('m' was unexpected)
      at arguments#/items/0
      give what the tool's input schema describes
    "#);
    insta::assert_snapshot!(problem("{}"), @r#"
    bad-arguments
      the arguments do not fit the tool: "items" is a required property
      at arguments#
      give what the tool's input schema describes
    "#);
    assert!(!problem(r#"{"items":[{"n":"hunter2"}]}"#).contains("hunter2"));
    assert_eq!(&problem(&"[".repeat(100_000))[..18], "arguments-not-json");
    assert_eq!(&problem(&" ".repeat(5 << 20))[..18], "arguments-too-long");
}

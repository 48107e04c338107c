//! What a manifest may say, and what is said of one that says anything else.

use stockade_package::{Explain, InstanceMode, Manifest};
use stockade_policy::{Capability, PluginType};

const GOOD: &str = r#"manifest = 1
name = "stockade/secret-scan"
version = "0.1.0"
type = "quality_gate"
contract = "0.1"
description = "Finds leaked credentials in a source tree."
component = "secret_scan.wasm"

[[tools]]
name = "scan"
description = "Reads a tree."
input = '''{ "type": "object", "properties": { "path": { "type": "string" } }, "required": ["path"] }'''

[[permissions]]
capability = "fs.read"
resource = "/src"
reason = "reads the tree that it scans"
"#;

/// The good manifest with one text in it replaced; the text must be there.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

fn with_schema(schema: &str) -> String {
    let start = GOOD.find("'''").expect("a schema") + 3;
    let end = GOOD.rfind("'''").expect("a schema");
    format!("{}{schema}{}", &GOOD[..start], &GOOD[end..])
}

fn with_permission(lines: &str) -> String {
    let start = GOOD.find("[[permissions]]").expect("permissions");
    format!("{}[[permissions]]\n{lines}\nreason = \"r\"\n", &GOOD[..start])
}

/// The problem of a bad manifest, a line for each of its four parts.
fn problem(text: &str) -> String {
    let problem = Manifest::parse(text).expect_err(text).problem();
    format!("{}\n  {}\n  at {}\n  {}", problem.code, problem.message, problem.field, problem.next_step)
}

fn code(text: &str) -> &'static str {
    Manifest::parse(text).expect_err(text).problem().code
}

#[test]
fn a_good_manifest_is_read_whole() {
    let manifest = Manifest::parse(GOOD).expect("a manifest");
    assert_eq!(manifest.name, "stockade/secret-scan");
    assert_eq!(manifest.plugin_type, PluginType::QualityGate);
    assert_eq!(manifest.instance, InstanceMode::Fresh);
    assert_eq!(manifest.tools.len(), 1);
    assert_eq!(manifest.permissions[0].request.scope.capability(), Capability::FsRead);
    assert_eq!(manifest.permissions[0].request.approved_by, None);
}

#[test]
fn optional_keys_are_read() {
    let more = changed("component = ", "license = \"MIT\"\ninstance = \"reused\"\ncomponent = ");
    let manifest = Manifest::parse(&more).expect("a manifest");
    assert_eq!((manifest.instance, manifest.license.as_deref()), (InstanceMode::Reused, Some("MIT")));
}

#[test]
fn documents_that_are_no_manifest_are_told_with_line_and_column() {
    insta::assert_snapshot!(problem("manifest = \n"), @r#"
    manifest-syntax
      the manifest is not TOML: string values must be quoted, expected literal string
      at plugin.toml:1:12
      correct the TOML
    "#);
    insta::assert_snapshot!(problem(&changed("version =", "name = \"a/b\"\nversion =")), @r#"
    manifest-duplicate-key
      a key stands twice in one table
      at plugin.toml:3:1
      keep one of the two
    "#);
    insta::assert_snapshot!(problem(&changed("description = \"Finds", "descripton = \"Finds")), @r#"
    manifest-unknown-key
      the manifest has an unknown key "descripton"
      at plugin.toml:6:1
      remove it or correct it; the keys here are manifest, name, version, type, runtime, host, contract, description, component, license, instance, links, dependencies, tools, hooks, permissions
    "#);
    insta::assert_snapshot!(problem(&changed("version = \"0.1.0\"\n", "")), @r#"
    manifest-missing-key
      the manifest lacks the key "version"
      at plugin.toml:1:1
      add version = ...
    "#);
    insta::assert_snapshot!(problem(&changed("version = \"0.1.0\"", "version = 1")), @r#"
    manifest-wrong-kind
      expected a string, found integer
      at plugin.toml:3:11 version
      give a value of the expected kind
    "#);
    insta::assert_snapshot!(problem(&changed("manifest = 1", "manifest = 2")), @r#"
    manifest-format
      manifest format 2 is not known; this version reads format 1
      at plugin.toml:1:12 manifest
      write manifest = 1, or use a later version of stockade
    "#);
}

#[test]
fn hooks_are_read_and_call_tools_of_the_plugins_own() {
    let hook = |event: &str, tool: &str| format!("[[hooks]]\nevent = \"{event}\"\ntool = \"{tool}\"\n");
    let with = |hooks: &str| format!("{GOOD}\n{hooks}");
    let manifest = Manifest::parse(&with(&hook("repo.pushed", "scan"))).expect("a manifest");
    assert_eq!((manifest.hooks[0].event.as_str(), manifest.hooks[0].tool.as_str()), ("repo.pushed", "scan"));
    assert_eq!(code(&with(&hook("repo pushed", "scan"))), "bad-event");
    assert_eq!(code(&with(&hook("repo.pushed", "scam"))), "unknown-hook-tool");
    assert_eq!(code(&with(&hook("a", "scan").repeat(2))), "duplicate-hook");
    assert_eq!(code(&with(&hook("a", "scan").replace("event", "events"))), "manifest-unknown-key");
}

#[test]
fn identities_that_are_none_are_told_with_the_form() {
    insta::assert_snapshot!(problem(&changed("stockade/secret-scan", "Secret Scan")), @r#"
    bad-name
      "Secret Scan" is not a plugin name
      at plugin.toml:2:8 name
      write publisher/name, each of a-z, 0-9 and -, not starting with -, up to 64
    "#);
    insta::assert_snapshot!(problem(&changed("\"0.1.0\"", "\"1.0\"")), @r#"
    bad-version
      "1.0" is not a semantic version: unexpected end of input while parsing minor version number
      at plugin.toml:3:11 version
      write a semantic version, as 1.2.3
    "#);
    insta::assert_snapshot!(problem(&changed("quality_gate", "gate")), @r#"
    unknown-type
      unknown plugin type "gate"
      at plugin.toml:4:8 type
      the types are node, integration, agent, quality_gate
    "#);
    insta::assert_snapshot!(problem(&changed("contract = \"0.1\"", "contract = \"9\"")), @r#"
    unsupported-contract
      the plugin is built for contract "9"
      at plugin.toml:5:12 contract
      this host speaks 0.1: rebuild the plugin for it
    "#);
    for name in ["", "a", "a/", "/b", "a/b/c", "a/-b", "A/b", "a/b_c", "../b", "a/b\u{202e}"] {
        assert_eq!(code(&changed("stockade/secret-scan", name)), "bad-name", "{name}");
    }
}

#[test]
fn component_paths_stay_in_the_folder() {
    insta::assert_snapshot!(problem(&changed("secret_scan.wasm", "../x.wasm")), @r#"
    bad-component-path
      "../x.wasm" does not name a file inside the plugin's folder
      at plugin.toml:7:13 component
      write a relative path without `..`, as plugin.wasm
    "#);
    for path in ["", "/x.wasm", "a/../../x.wasm", "..", "a/", "a\\u0000b"] {
        assert_eq!(code(&changed("secret_scan.wasm", path)), "bad-component-path", "{path}");
    }
    for path in ["x.wasm", "./x.wasm", "target/x.wasm", "a..b"] {
        assert!(Manifest::parse(&changed("secret_scan.wasm", path)).is_ok(), "{path}");
    }
}

#[test]
fn tools_that_are_none_are_told() {
    let tool =
        &GOOD[GOOD.find("[[tools]]").expect("tools")..GOOD.find("[[permissions]]").expect("permissions")];
    insta::assert_snapshot!(problem(&changed(tool, &format!("{tool}{tool}"))), @r#"
    duplicate-tool
      the tool "scan" is declared twice
      at plugin.toml:15:8 tools[1].name
      give each tool a name of its own
    "#);
    insta::assert_snapshot!(problem(&changed("\"scan\"", "\"scan it\"")), @r#"
    bad-tool-name
      "scan it" is not a tool name
      at plugin.toml:10:8 tools[0].name
      start with a letter; letters, digits, -, _ and . follow, up to 128
    "#);
    insta::assert_snapshot!(problem(&changed("component = ", "instance = \"new\"\ncomponent = ")), @r#"
    unknown-instance-mode
      unknown instance mode "new"
      at plugin.toml:7:12 instance
      write fresh or reused
    "#);
    insta::assert_snapshot!(problem(&changed("description = \"Reads a tree.\"", "args = 1")), @r#"
    manifest-unknown-key
      the manifest has an unknown key "args"
      at plugin.toml:11:1 tools[0]
      remove it or correct it; the keys here are name, description, input, output
    "#);
    assert_eq!(code(&changed(tool, &tool.repeat(65))), "manifest-too-many");
    assert_eq!(code(&changed("Reads a tree.", &"x".repeat(1025))), "manifest-too-long");
}

#[test]
fn schemas_that_are_none_are_told() {
    insta::assert_snapshot!(problem(&with_schema("{ \"type\": ")), @r#"
    schema-not-json
      the schema is not JSON: EOF while parsing a value at line 1 column 10
      at plugin.toml:12:9 tools[0].input
      correct the JSON inside the text
    "#);
    insta::assert_snapshot!(problem(&with_schema(r#"{ "properties": { "a/b": { "type": "text" } } }"#)), @r#"
    bad-schema
      the schema is not a JSON Schema 2020-12: value is not valid under any of the schemas listed in the 'anyOf' keyword
      at plugin.toml:12:9 tools[0].input#/properties/a~1b/type
      correct the schema; patterns are without look-around
    "#);
    insta::assert_snapshot!(problem(&with_schema(r#"{ "$schema": "http://json-schema.org/draft-07/schema#" }"#)), @r#"
    bad-schema
      the schema is not a JSON Schema 2020-12: $schema is not that of 2020-12, or not at the top
      at plugin.toml:12:9 tools[0].input#
      correct the schema; patterns are without look-around
    "#);
    assert_eq!(code(&with_schema("3")), "bad-schema");
    assert_eq!(code(&with_schema(r#"{ "pattern": "(?=a)b" }"#)), "bad-schema");
}

#[test]
fn schemas_refer_to_themselves_only_and_never_in_circles() {
    insta::assert_snapshot!(problem(&with_schema(r#"{ "items": { "$ref": "https://example.org/s.json" } }"#)), @r##"
    schema-reference
      the schema refers to "https://example.org/s.json"
      at plugin.toml:12:9 tools[0].input#/items
      refer only to parts of the same schema, as "#/$defs/name", and to nothing that refers back; $id, $anchor and $dynamicRef are not taken
    "##);
    for schema in [
        r##"{ "$ref": "#" }"##,
        r##"{ "properties": { "child": { "$ref": "#" } } }"##,
        r##"{ "$defs": { "a": { "allOf": [{ "$ref": "#/$defs/a" }] } }, "$ref": "#/$defs/a" }"##,
        r##"{ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }"##,
        r##"{ "$ref": "#/$defs/none" }"##,
        r##"{ "$ref": "#/%24defs/a", "$defs": { "a": true } }"##,
        r##"{ "$ref": "file:///etc/passwd" }"##,
        r##"{ "items": { "$id": "https://example.org/", "type": "string" } }"##,
        r##"{ "$dynamicAnchor": "a", "items": { "$dynamicRef": "#a" } }"##,
        r##"{ "$anchor": "a" }"##,
    ] {
        assert_eq!(code(&with_schema(schema)), "schema-reference", "{schema}");
    }
    let fine =
        r##"{ "$defs": { "p": { "type": "string" } }, "properties": { "a": { "$ref": "#/$defs/p" } } }"##;
    let manifest = Manifest::parse(&with_schema(fine)).expect("a manifest");
    assert!(manifest.tools[0].check_arguments(r#"{"a":"b"}"#).is_ok());
    assert!(manifest.tools[0].check_arguments(r#"{"a":1}"#).is_err());
}

/// Forty definitions, each of which refers twice to the next: 2^40 once written out.
#[test]
fn schemas_that_double_with_every_reference_are_refused() {
    let defs: Vec<String> = (0..40)
        .map(|n| {
            let next = n + 1;
            format!(r##""d{n}":{{"allOf":[{{"$ref":"#/$defs/d{next}"}},{{"$ref":"#/$defs/d{next}"}}]}}"##)
        })
        .collect();
    let schema = format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d40":true}}}}"##, defs.join(","));
    assert_eq!(code(&with_schema(&schema)), "schema-too-large");
}

#[test]
fn schemas_that_are_too_deep_or_have_large_patterns_are_refused() {
    let deep = format!("{}{}{}", "{\"not\":".repeat(70), "true", "}".repeat(70));
    assert_eq!(code(&with_schema(&deep)), "schema-too-large");
    assert_eq!(code(&with_schema(r#"{ "pattern": "((\\w{50}){50}){50}" }"#)), "bad-schema");
    let many: Vec<String> = (0..130).map(|n| format!(r#""p{n}":{{"pattern":"a"}}"#)).collect();
    assert_eq!(
        code(&with_schema(&format!(r#"{{"properties":{{{}}}}}"#, many.join(",")))),
        "schema-too-large"
    );
}

#[test]
fn permissions_that_are_none_are_told() {
    insta::assert_snapshot!(problem(&with_permission("capability = \"fs.raed\"\nresource = \"/src\"")), @r#"
    unknown-capability
      unknown capability "fs.raed"
      at plugin.toml:15:14 permissions[0].capability
      the capabilities are fs.read, fs.write, fs.create, fs.delete, http, secret, kv, config, log, clock, random, tool, model
    "#);
    insta::assert_snapshot!(problem(&with_permission("capability = \"fs.read\"")), @r#"
    resource-missing
      fs.read is granted for a resource, and none is named
      at plugin.toml:14:1 permissions[0]
      add resource = ..., an absolute path in the plugin's view, as "/src"
    "#);
    insta::assert_snapshot!(problem(&with_permission("capability = \"log\"\nresource = \"x\"")), @r#"
    resource-superfluous
      log is granted as a whole and takes no resource
      at plugin.toml:16:12 permissions[0].resource
      remove `resource`
    "#);
    insta::assert_snapshot!(problem(&with_permission("capability = \"fs.read\"\nresource = \"src\"")), @r#"
    bad-resource
      "src" is no resource of fs.read
      at plugin.toml:16:12 permissions[0].resource
      write an absolute path in the plugin's view, as "/src"
    "#);
    insta::assert_snapshot!(
        problem(&with_permission("capability = \"http\"\nresource = \"a.org\"\nreason = \"r\"\n[[permissions]]\ncapability = \"http\"\nresource = \"a.org\"")),
        @r#"
    duplicate-permission
      the same permission is asked for twice
      at plugin.toml:19:14 permissions[1].capability
      ask once
    "#
    );
}

#[test]
fn resources_have_one_spelling() {
    let permission = |capability: &str, resource: &str| {
        let text = with_permission(&format!("capability = \"{capability}\"\nresource = \"{resource}\""));
        Manifest::parse(&text).map(drop).map_err(|error| error.problem().code)
    };
    for (capability, resource) in [
        ("http", "api.example.org"),
        ("http", "*.example.org"),
        ("http", "GET,POST http://api.example.org:8080/v1"),
        ("http", "127.0.0.1"),
        ("config", "db.*"),
        ("config", "*"),
        ("secret", "TOKEN_1@api.example.org"),
        ("tool", "a/b#c"),
    ] {
        assert_eq!(permission(capability, resource), Ok(()), "{capability} {resource}");
    }
    for (capability, resource) in [
        ("http", "API.example.org"),
        ("http", "example.org."),
        ("http", "example.org:0"),
        ("http", "ftp://example.org"),
        ("http", "127.1"),
        ("http", "[0::1]"),
        ("http", "get example.org"),
        ("http", "example.org/a/../b"),
        ("http", "*"),
        ("http", "*.*.org"),
        ("http", "exa mple.org"),
        ("config", ""),
        ("config", "a*b"),
        ("secret", "TOKEN_1"),
        ("secret", "a/b@api.example.org"),
        ("tool", "a#b"),
        ("fs.read", "/a/../../b"),
    ] {
        assert_eq!(permission(capability, resource), Err("bad-resource"), "{capability} {resource}");
    }
}

#[test]
fn hostile_names_come_back_quoted() {
    let text = changed("description = \"Finds", "\"a\\u001b[2J\" = \"Finds");
    assert!(!problem(&text).contains('\u{1b}'));
}

#[test]
fn configuration_values_have_a_schema_and_a_default() {
    let with = |more: &str| {
        let text = with_permission(&format!("capability = \"config\"\nresource = \"limit\"\n{more}"));
        Manifest::parse(&text).map(|manifest| manifest.settings).map_err(|error| error.problem().code)
    };
    assert_eq!(with("").unwrap(), Vec::new());
    let settings = with("schema = '{ \"type\": \"integer\", \"maximum\": 10 }'\ndefault = '5'").unwrap();
    assert_eq!((settings[0].key.as_str(), settings[0].default.as_deref()), ("limit", Some("5")));
    assert!(settings[0].check("10").is_ok());
    let problem = settings[0].check("11").unwrap_err().problem();
    assert_eq!((problem.code, problem.field.as_str()), ("config-mismatch", "config limit#"));
    assert!(!problem.message.contains("11"), "{}", problem.message);
    assert!(settings[0].check("five").is_err());
    assert_eq!(with("schema = 'five'"), Err("schema-not-json"));
    assert_eq!(with("schema = '{ \"type\": 5 }'"), Err("bad-schema"));
    assert_eq!(with("schema = '{ \"type\": \"integer\" }'\ndefault = '\"five\"'"), Err("bad-default"));
    assert_eq!(with("default = '5'"), Err("schema-misplaced"));
    let misplaced = with_permission("capability = \"config\"\nresource = \"db.*\"\nschema = '{}'");
    assert_eq!(Manifest::parse(&misplaced).unwrap_err().problem().code, "schema-misplaced");
    let elsewhere = with_permission("capability = \"secret\"\nresource = \"a@b.org\"\nschema = '{}'");
    assert_eq!(Manifest::parse(&elsewhere).unwrap_err().problem().code, "schema-misplaced");
}

const MORE: &str = r#"
runtime = "wasm-component"
host = ">=0.1, <99"
contract = "0.1"

[links]
homepage = "https://example.org"
source = "https://example.org/scan.git"
documentation = "https://example.org/scan/docs?v=1#top"
issues = "https://example.org/scan/issues"

[[dependencies]]
plugin = "acme/words"
version = "^1.2"
optional = true
reason = "knows more words"
"#;

/// The good manifest with every key that there is.
fn whole() -> String {
    let tail = GOOD.find("[[tools]]").expect("tools");
    let keys = GOOD[..tail].replace("contract = \"0.1\"\n", "license = \"MIT\"\ninstance = \"reused\"\n");
    let hooks = "[[hooks]]\nevent = \"push\"\ntool = \"scan\"\n";
    let setting = "[[permissions]]\ncapability = \"config\"\nresource = \"n\"\nreason = \"r\"\n";
    format!("{keys}{MORE}{}{hooks}{setting}schema = \"true\"\ndefault = \"1\"\n", &GOOD[tail..])
}

#[test]
fn a_manifest_says_for_which_hosts_it_is_and_what_it_works_with() {
    let manifest = Manifest::parse(&whole()).expect("a manifest");
    assert_eq!(manifest.host.expect("a range").to_string(), ">=0.1, <99");
    let [dependency] = &manifest.dependencies[..] else { panic!("{:?}", manifest.dependencies) };
    assert_eq!((dependency.plugin.as_str(), dependency.optional), ("acme/words", true));
    assert_eq!(dependency.versions.to_string(), "^1.2");
    assert_eq!(manifest.links.issues.as_deref(), Some("https://example.org/scan/issues"));
}

#[test]
fn a_manifest_for_other_hosts_is_refused() {
    let later = whole().replace(">=0.1, <99", ">=99");
    insta::assert_snapshot!(problem(&later).replace(stockade_package::HOST_VERSION, "VERSION"), @r#"
    host-version
      the plugin is for versions >=99 of the host, and this is VERSION
      at plugin.toml:12:8 host
      use a version of stockade that the plugin is for, or one of the plugin for this host
    "#);
}

#[test]
fn links_lead_where_they_seem_to() {
    for link in
        ["http://example.org", "https://", "https:///x", "https://a@b/", "https://a b/", "https://\u{e4}/"]
    {
        let text = whole().replace("https://example.org\"", &format!("{link}\""));
        assert_eq!(code(&text), "bad-link", "{link}");
    }
}

#[test]
fn all_that_is_wrong_is_found() {
    let text = whole().replace("\"reused\"", "\"mine\"").replace("acme/words", "stockade/secret-scan");
    let faults = Manifest::read(&text).expect_err("two faults");
    let codes: Vec<_> = faults.iter().map(|fault| fault.problem().code).collect();
    assert_eq!(codes, ["unknown-instance-mode", "depends-on-itself"]);
}

/// docs/schema/plugin.v1.json, which editors have.
#[test]
fn the_published_schema_takes_what_is_a_manifest() {
    let schema = include_str!("../../../docs/schema/plugin.v1.json");
    let schema: serde_json::Value = serde_json::from_str(schema).expect("JSON");
    let validator = jsonschema::options().offline().build(&schema).expect("a schema");
    let fits = |text: &str| validator.is_valid(&toml::from_str(text).expect("TOML"));
    assert!(fits(GOOD) && fits(&whole()));
    for example in ["assistant", "dependency-audit", "hostile", "secret-scan", "text-stats"] {
        let path = format!("{}/../../examples/{example}/plugin.toml", env!("CARGO_MANIFEST_DIR"));
        assert!(fits(&std::fs::read_to_string(path).expect("an example")), "{example}");
    }
    // Each key at each place is known to both, and no other is.
    let manifest: serde_json::Value = toml::from_str(&whole()).expect("TOML");
    let keys = |value: &serde_json::Value| {
        value.as_object().expect("an object").keys().cloned().collect::<std::collections::BTreeSet<_>>()
    };
    let properties = &schema["properties"];
    assert_eq!(keys(properties), keys(&manifest));
    assert_eq!(keys(&properties["links"]["properties"]), keys(&manifest["links"]));
    assert_eq!(keys(&properties["dependencies"]["items"]["properties"]), keys(&manifest["dependencies"][0]));
    assert!(!fits(&GOOD.replace("description = \"Finds", "descripton = \"Finds")));
    let capabilities = properties["permissions"]["items"]["properties"]["capability"]["enum"].clone();
    let all: Vec<_> = Capability::ALL.iter().map(|capability| capability.as_str()).collect();
    assert_eq!(capabilities, serde_json::json!(all));
}

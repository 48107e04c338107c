//! `stockade preflight`: a broken plugin for every code, what people and programs are told of it, and what else it does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use stockade_audit::Reader;
use stockade_package::signature::{SigningKey, sign_plugin};
use stockade_package::{CODES, HOST_VERSION, sha256};
use stockade_tests::served::Site;
use stockade_tests::{document, example, guest, text};

const MANIFEST: &str = r#"manifest = 1
name = "acme/greet"
version = "1.2.0"
type = "integration"
contract = "0.1"
description = "Greets."
component = "greet.wasm"
"#;

const TOOL: &str = "[[tools]]\nname = \"greet\"\ndescription = \"d\"\ninput = '{ \"type\": \"object\" }'\n";
const WISH: &str = "[[permissions]]\nreason = \"r\"\n";
const HOOK: &str = "[[hooks]]\nevent = \"e\"\ntool = \"greet\"\n";
const NEEDS: &str = "[[dependencies]]\nreason = \"r\"\n";

/// A core module that takes strings, behind exported functions.
const LIFTED: &str = r#"(core module $m (memory (export "memory") 1)
    (func (export "f") (param i32 i32))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m))"#;

/// Plugins in folders, by the code that each is to show.
struct Broken {
    site: Site,
}

impl Broken {
    fn folder(&self, name: &str) -> PathBuf {
        self.site.path("plugins").join(name)
    }

    /// A plugin with this manifest, and a component that is sound.
    fn manifest(&self, name: &str, manifest: impl AsRef<[u8]>) -> PathBuf {
        let folder = self.folder(name);
        fs::create_dir_all(&folder).expect("writable");
        fs::write(folder.join("plugin.toml"), manifest).expect("writable");
        fs::copy(guest("greet-rust.wasm"), folder.join("greet.wasm")).expect("the guest is built");
        folder
    }

    /// The sound manifest with more behind it.
    fn more(&self, name: &str, more: &str) -> PathBuf {
        self.manifest(name, format!("{MANIFEST}{more}"))
    }

    /// The sound manifest with one text in it replaced.
    fn changed(&self, name: &str, from: &str, to: &str) -> PathBuf {
        assert!(MANIFEST.contains(from), "{from}");
        self.manifest(name, MANIFEST.replacen(from, to, 1))
    }

    /// A plugin with another component.
    fn component(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let folder = self.more(name, "");
        fs::write(folder.join("greet.wasm"), bytes).expect("writable");
        folder
    }

    fn wat(&self, name: &str, text: &str) -> PathBuf {
        self.component(name, wat::parse_str(text).expect("a component"))
    }

    /// A sound package, after `change`.
    fn package(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let folder = self.more("for-a-package", "");
        let file = self.folder(&format!("{name}.tar"));
        let (folder, path) = (folder.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
        let packed = self.site.run(&["pack", folder, "-o", path]);
        assert!(packed.status.success(), "{packed:?}");
        let mut bytes = fs::read(&file).expect("it was made");
        change(&mut bytes);
        fs::write(&file, bytes).expect("writable");
        fs::remove_dir_all(folder).expect("it is ours");
    }

    fn preflight(&self, arguments: &[&str]) -> Output {
        let mut command = self.site.command(&["preflight"]);
        command.args(arguments).current_dir(self.site.path("plugins")).output().expect("the program is there")
    }

    fn report(&self, arguments: &[&str]) -> Value {
        document(&self.preflight(&[arguments, &["--format", "json"]].concat()))
    }
}

fn broken() -> Broken {
    let site = Site::new();
    fs::create_dir(site.path("plugins")).expect("writable");
    Broken { site }
}

/// A plugin for each code of files and manifests.
fn files_and_manifests(broken: &Broken) {
    let b = broken;
    symlink("plugin-unreadable", b.folder("plugin-unreadable")).expect("writable");
    fs::create_dir(b.folder("no-manifest")).expect("writable");
    fs::copy(guest("greet-rust.wasm"), b.folder("type-needed")).expect("writable");
    fs::create_dir_all(b.folder("not-a-file/plugin.toml")).expect("writable");
    fs::remove_file(b.more("component-missing", "").join("greet.wasm")).expect("it is there");
    let outside = b.more("component-outside", "").join("greet.wasm");
    fs::remove_file(&outside).expect("it is there");
    symlink("/etc/passwd", &outside).expect("writable");
    b.component("not-wasm", "not wasm at all");
    b.component("core-module", fs::read(guest("core-module.wasm")).expect("the guest is built"));
    b.component("unsupported-wasm", b"\0asm\x0c\0\x01\0");
    let large = fs::File::create(b.more("too-large", "").join("greet.wasm")).expect("writable");
    large.set_len(64 * 1024 * 1024 + 1).expect("a hole");
    b.package("not-a-package", |bytes| bytes.truncate(4096));
    b.package("package-not-canonical", |bytes| *bytes.last_mut().expect("bytes") = 1);
    b.package("package-format", |bytes| {
        let format = br#""dev.stockade.plugin":{"format":"#;
        let at = bytes.windows(format.len()).position(|window| window == format).expect("a format");
        bytes[at + format.len()] = b'3';
    });

    let claims = |name: &str, text: &str| {
        fs::write(b.more(name, "").join("provenance.json"), text).expect("writable");
    };
    claims("provenance-malformed", "{}");
    claims(
        "provenance-of-something-else",
        r#"{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1",
           "subject":[{"name":"other.wasm","digest":{"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}}],
           "predicate":{"buildDefinition":{"buildType":"b","externalParameters":{}},"runDetails":{"builder":{"id":"i"}}}}"#,
    );

    b.manifest("manifest-not-utf8", b"manifest = 1\n# \xff\n");
    b.changed("manifest-syntax", "version = \"1.2.0\"", "version = 1.2.0");
    b.changed("manifest-duplicate-key", "contract =", "name = \"a/b\"\ncontract =");
    b.changed("manifest-unknown-key", "description =", "descripton =");
    b.changed("manifest-missing-key", "version = \"1.2.0\"\n", "");
    b.changed("manifest-wrong-kind", "\"1.2.0\"", "1");
    b.changed("manifest-format", "manifest = 1", "manifest = 2");
    b.changed("manifest-too-long", "Greets.", &"Greets. ".repeat(200));
    b.more("manifest-too-many", &HOOK.repeat(65));
    b.changed("bad-name", "acme/greet", "Acme Greet");
    b.changed("bad-version", "1.2.0", "1.2");
    b.changed("unknown-type", "integration", "helper");
    b.changed("unsupported-runtime", "contract =", "runtime = \"docker\"\ncontract =");
    b.changed("bad-version-range", "contract =", "host = \"newest\"\ncontract =");
    b.more("bad-link", "[links]\nhomepage = \"https://acme.example@evil.example/\"\n");
    b.changed("bad-component-path", "greet.wasm", "../greet.wasm");
    b.changed("unknown-instance-mode", "contract =", "instance = \"shared\"\ncontract =");
    b.more("bad-tool-name", &TOOL.replace("\"greet\"", "\"1 greet\""));
    b.more("duplicate-tool", &TOOL.repeat(2));
    b.more("bad-event", &HOOK.replace("\"e\"", "\"on start\""));
    b.more("unknown-hook-tool", &format!("{TOOL}{}", HOOK.replace("greet", "farewell")));
    b.more("duplicate-hook", &HOOK.repeat(2));
    b.changed("host-version", "contract =", "host = \">=99\"\ncontract =");
    b.changed("unsupported-contract", "contract = \"0.1\"", "contract = \"0.9\"");
}

/// A plugin for each code of what is asked for, of schemas, of signatures.
fn wishes_and_signatures(broken: &Broken) {
    let b = broken;
    b.more("unknown-capability", &format!("{WISH}capability = \"fs.raed\"\n"));
    b.more("resource-missing", &format!("{WISH}capability = \"fs.read\"\n"));
    b.more("resource-superfluous", &format!("{WISH}capability = \"log\"\nresource = \"x\"\n"));
    b.more("bad-resource", &format!("{WISH}capability = \"fs.read\"\nresource = \"../src\"\n"));
    b.more("duplicate-permission", &format!("{WISH}capability = \"log\"\n").repeat(2));
    let wish = format!("{WISH}capability = \"fs.read\"\nresource = \"/src\"\n");
    b.manifest("above-ceiling", format!("{}{wish}", MANIFEST.replace("integration", "node")));
    b.more("needs-approval", &format!("{WISH}capability = \"http\"\nresource = \"api.example.org\"\n"));
    b.more("depends-on-itself", &format!("{NEEDS}plugin = \"acme/greet\"\nversion = \"1\"\n"));
    b.more("duplicate-dependency", &format!("{NEEDS}plugin = \"acme/other\"\nversion = \"1\"\n").repeat(2));
    b.more("dependency-missing", &format!("{NEEDS}plugin = \"acme/nowhere\"\nversion = \"^1\"\n"));
    b.more("dependency-version", &format!("{NEEDS}plugin = \"acme/needed\"\nversion = \"^2\"\n"));
    let schema = |schema: &str| TOOL.replace("{ \"type\": \"object\" }", schema);
    b.more("schema-not-json", &schema("{ type: object }"));
    b.more("bad-schema", &schema(r#"{ "type": "objekt" }"#));
    b.more("schema-reference", &schema(r#"{ "$ref": "https://evil.example/" }"#));
    let deep = format!("{}true{}", r#"{"not":"#.repeat(80), "}".repeat(80));
    b.more("schema-too-large", &schema(&deep));
    b.more("schema-misplaced", &format!("{WISH}capability = \"log\"\nschema = \"true\"\n"));
    let setting = "capability = \"config\"\nresource = \"n\"\nschema = '{ \"type\": \"integer\" }'\n";
    b.more("bad-default", &format!("{WISH}{setting}default = '\"one\"'\n"));

    let key = SigningKey::generate().expect("random bytes");
    let changed = b.more("signature-of-other-files", "");
    sign_plugin(&changed, &key).expect("signed");
    fs::write(changed.join("plugin.toml"), format!("{MANIFEST}# later\n")).expect("writable");
    let forged = b.more("signature-forged", "");
    sign_plugin(&forged, &key).expect("signed");
    let envelope = forged.join("plugin.dsse.json");
    let mut document: Value =
        serde_json::from_slice(&fs::read(&envelope).expect("it is there")).expect("JSON");
    let other = b.more("for-a-signature", "# other\n");
    sign_plugin(&other, &key).expect("signed");
    let foreign: Value =
        serde_json::from_slice(&fs::read(other.join("plugin.dsse.json")).expect("it is there"))
            .expect("JSON");
    document["signatures"][0]["sig"] = foreign["signatures"][0]["sig"].clone();
    fs::write(&envelope, document.to_string()).expect("writable");
    fs::remove_dir_all(other).expect("it is ours");
    fs::write(b.more("signature-malformed", "").join("plugin.dsse.json"), "{}").expect("writable");
    b.more("not-signed", "");
}

/// A plugin for each code of what the compiler and a worker say.
fn components(broken: &Broken) {
    let b = broken;
    b.component("unknown-import", fs::read(guest("unknown-import.wasm")).expect("the guest is built"));
    b.component("import-without-permission", fs::read(guest("http-tour.wasm")).expect("the guest is built"));
    b.more("permission-without-import", &format!("{WISH}capability = \"kv\"\n"));
    b.component("unsupported-type", fs::read(guest("resource-export.wasm")).expect("the guest is built"));
    b.component("nothing-exported", fs::read(guest("no-export.wasm")).expect("the guest is built"));
    b.component(
        "tools-not-declared",
        fs::read(example("text-stats").join("text_stats.wasm")).expect("built"),
    );
    b.more("tool-not-exported", &TOOL.replace("\"greet\"", "\"farewell\""));
    b.wat(
        "contract-mismatch",
        &format!(
            r#"(component {LIFTED}
              (func $call (param "p" (list u8))
                (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
              (instance $tool (export "call" (func $call)))
              (export "stockade:plugin/tool@0.2.0" (instance $tool)))"#
        ),
    );
    let names = |count: usize| (0..count).map(|n| format!(" \"n{n}\"")).collect::<String>();
    let flat = |count: usize, cases: usize| {
        let params: String = (0..16).map(|n| format!(" (param \"p{n}\" $e)")).collect();
        let functions: String = (0..count)
            .map(|n| format!("(func (export \"f{n}\"){params} (canon lift (core func $i \"f\")))"))
            .collect();
        let core = format!("(func (export \"f\") (param{}))", " i32".repeat(16));
        format!(
            r#"(component (type $t (enum {})) (export $e "e" (type $t))
              (core module $m {core}) (core instance $i (instantiate $m)) {functions})"#,
            names(cases)
        )
    };
    b.wat("world-too-large", &flat(20, 64));
    b.wat("component-too-large", &flat(1, 2000));
    b.component("invalid-component", [b"\0asm\x0d\0\x01\0".as_slice(), &[0xff; 64]].concat());
    let started = |code: &str| {
        format!(
            r#"(component (core module $m (func $start {code}) (start $start) (func (export "f")))
              (core instance $i (instantiate $m)) (func (export "f") (canon lift (core func $i "f"))))"#
        )
    };
    b.wat("instantiation-trapped", &started("unreachable"));
    b.wat("instantiation-ended", &started("(loop (br 0))"));
    b.component("compile-cap", compile_bomb());
}

/// One function whose 400,000 values all live at once: it takes the compiler more time than it has.
fn compile_bomb() -> Vec<u8> {
    let loads: String = (0..400_000).map(|n| format!("local.get 0 i32.load offset={}\n", 4 * n)).collect();
    let joined = "i32.xor\n".repeat(399_999);
    let text =
        format!("(component (core module (memory 1) (func (param i32) (result i32) {loads}{joined})))");
    wat::parse_str(text).expect("a component")
}

/// The findings of a report, by plugin.
fn findings(report: &Value) -> BTreeMap<String, Vec<Value>> {
    let plugins = report["plugins"].as_array().expect("a list");
    plugins
        .iter()
        .map(|plugin| {
            let path = plugin["path"].as_str().expect("a path").trim_start_matches("./");
            let name = path.trim_end_matches("/plugin.toml").trim_end_matches(".tar").to_owned();
            (name, plugin["findings"].as_array().expect("a list").clone())
        })
        .collect()
}

/// Every code that there is, and the finding of a plugin that has it.
fn shown() -> BTreeMap<&'static str, Value> {
    let b = broken();
    files_and_manifests(&b);
    wishes_and_signatures(&b);
    components(&b);
    let needed = b.site.path("needed");
    fs::create_dir(&needed).expect("writable");
    let manifest = MANIFEST.replace("acme/greet", "acme/needed");
    fs::write(needed.join("plugin.toml"), manifest).expect("writable");

    let mut paths: Vec<String> = fs::read_dir(b.site.path("plugins"))
        .expect("it is there")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    paths.sort();
    paths.push("plugin-not-found".to_owned());
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut found = findings(&b.report(&[&paths[..], &["--available", "../needed"]].concat()));

    // What takes a policy, or an option.
    let two = format!("{WISH}capability = \"http\"\nresource = \"a.example.org\"\n");
    let two = two.clone() + &two.replace("a.example", "b.example");
    b.more("too-many-grants", &two);
    b.more("forbidden-by-policy", &two);
    for name in ["publisher-not-signed", "unknown-publisher", "revoked"] {
        b.more(name, "");
    }
    let component = sha256(&fs::read(guest("greet-rust.wasm")).expect("the guest is built"));
    let key = SigningKey::generate().expect("random bytes").public();
    let policies = [
        ("too-many-grants", "[[rules]]\nid = \"few\"\nceiling = { http = 1 }\n".to_owned()),
        ("forbidden-by-policy", "[[rules]]\nid = \"no-a\"\nforbid = [\"http:a.example.org\"]\n".to_owned()),
        ("unknown-publisher", "[trust]\nothers = \"refuse\"\n".to_owned()),
        ("revoked", format!("[trust]\nrevoked = [\"sha256:{component}\"]\n")),
        ("publisher-not-signed", format!("[publishers.acme]\nkeys = [\"{key}\"]\n")),
    ];
    for (name, policy) in policies {
        let path = b.site.path(&format!("{name}.toml"));
        fs::write(&path, format!("format = 1\nversion = 1\n{policy}")).expect("writable");
        let path = path.to_str().expect("UTF-8");
        found.extend(findings(&b.report(&[name, "--policy", path])));
    }
    b.more("type-conflict", "");
    found.extend(findings(&b.report(&["type-conflict", "--type", "agent"])));

    CODES
        .iter()
        .map(|(code, check)| {
            let findings = found.get(*code).unwrap_or_else(|| panic!("no plugin for {code}"));
            let finding = findings.iter().find(|finding| finding["code"] == *code);
            let finding = finding.unwrap_or_else(|| panic!("{code}: {findings:#?}"));
            assert_eq!(finding["check"], check.as_str(), "{finding}");
            assert_ne!(finding["next_step"], "", "{finding}");
            (*code, finding.clone())
        })
        .collect()
}

/// A text without what differs from run to run and from machine to machine: keys, digests, and what compiling took until it was ended.
fn lasting(text: &str) -> String {
    let text = text.replace(HOST_VERSION, "VERSION");
    let words = text.split(' ').map(|word| match word.split_once(':') {
        Some(("ed25519", _)) => "KEY",
        // Of a guest, which each toolchain builds otherwise.
        Some(("sha256", _)) => "DIGEST",
        _ => word,
    });
    let words = words.collect::<Vec<_>>().join(" ");
    match words.strip_prefix("compiling took more than it may: ") {
        Some(_) => "compiling took more than it may".to_owned(),
        None => words,
    }
}

/// The table of docs/preflight.md.
fn table(shown: &BTreeMap<&str, Value>) -> String {
    let mut table = "| check | code | | for example | what to do |\n|---|---|---|---|---|\n".to_owned();
    for (code, check) in CODES {
        let finding = &shown[code];
        let cell = |key: &str| {
            let text = lasting(finding[key].as_str().expect("a text"));
            let text: String = text.chars().take(240).collect();
            text.replace('|', "\\|").replace('<', "&lt;")
        };
        let row = [
            check.as_str().to_owned(),
            format!("`{code}`"),
            cell("severity"),
            cell("message"),
            cell("next_step"),
        ];
        writeln!(table, "| {} |", row.join(" | ")).expect("a string");
    }
    table
}

#[test]
fn every_code_is_shown_by_a_plugin_that_has_it_and_stands_in_the_docs_as_it_is_told() {
    const BEGIN: &str = "<!-- codes: written by tests/tests/preflight.rs -->\n";
    const END: &str = "<!-- end of codes -->";
    let codes: BTreeSet<_> = CODES.iter().map(|(code, _)| code).collect();
    assert_eq!(codes.len(), CODES.len(), "a code twice");
    let table = table(&shown());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/preflight.md");
    let docs = fs::read_to_string(&path).expect("the docs are there");
    let (before, rest) = docs.split_once(BEGIN).expect("where the table begins");
    let (written, after) = rest.split_once(END).expect("where it ends");
    if std::env::var_os("STOCKADE_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("writable");
    } else {
        assert_eq!(written, table, "write it anew: STOCKADE_WRITE_DOCS=1");
    }
}

#[test]
fn people_are_shown_the_line_and_what_to_do_and_how_far_it_came() {
    let b = broken();
    b.more("typo", &format!("{WISH}capability = \"fs.raed\"\nresource = \"/src\"\n"));
    b.changed("syntax", "version = \"1.2.0\"", "version = 1.2.0");
    let told = b.preflight(&["typo", "syntax"]);
    assert_eq!(told.status.code(), Some(4));
    assert_eq!(text(&told.stderr), "");
    insta::assert_snapshot!(text(&told.stdout));

    // Within a package, the line is one of its manifest.
    b.package("packed", |_| {});
    let told = text(&b.preflight(&["packed.tar"]).stdout);
    assert!(told.contains("  --> packed.tar\n"), "{told}");
    let links = "[links]\nsource = \"https://example.org/x.git\"\n";
    let works = b.more("works-with", &format!("{links}{NEEDS}plugin = \"acme/other\"\nversion = \"^1\"\n"));
    let inspected = text(&b.site.run(&["inspect", works.to_str().expect("UTF-8")]).stdout);
    for part in ["WORKS WITH\n  acme/other ^1\n", "LINKS\n  source: https://example.org/x.git\n"] {
        assert!(inspected.contains(part), "{inspected}");
    }
    let told = text(&b.preflight(&["typo/plugin.toml", "--format", "github"]).stdout);
    assert!(told.starts_with("::error file=typo/plugin.toml,line=10,"), "{told}");

    let sound = b.more("sound", "");
    sign_plugin(&sound, &SigningKey::generate().expect("random bytes")).expect("signed");
    let told = b.preflight(&["sound"]);
    assert_eq!(text(&told.stdout), "acme/greet 1.2.0 (sound) can be installed: nothing found\n");
    assert_eq!(told.status.code(), Some(0));
    // Nobody has signed this one: a warning.
    b.more("unsigned", "");
    assert_eq!(b.preflight(&["unsigned"]).status.code(), Some(0));
    assert_eq!(b.preflight(&["unsigned", "--strict"]).status.code(), Some(4));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let b = broken();
    let folder = b.manifest(
        "many",
        MANIFEST.replace("1.2.0", "1.2").replace("integration", "helper")
            + &TOOL.replace("{ \"type\": \"object\" }", "{")
            + &format!("{WISH}capability = \"telepathy\"\n"),
    );
    fs::remove_file(folder.join("greet.wasm")).expect("it is there");
    let report = b.report(&["many"]);
    let codes: Vec<_> = findings(&report)["many"].iter().map(|finding| finding["code"].clone()).collect();
    assert_eq!(codes, ["bad-version", "unknown-type", "unknown-capability", "schema-not-json"]);
    let states = &report["plugins"][0]["checks"];
    let state = |check: &str| {
        let checks = states.as_array().expect("a list");
        checks.iter().find(|entry| entry["check"] == check).expect("it is there")["state"].clone()
    };
    assert_eq!(states.as_array().map(Vec::len), Some(13));
    assert_eq!(state("archive"), "passed");
    assert_eq!((state("manifest"), state("capabilities")), (json!("failed"), json!("failed")));
    assert_eq!((state("host"), state("compile")), (json!("passed"), json!("not-reached")));
}

/// Of the plugin nothing runs but what it does by itself when it is brought up; and that has no grant.
#[test]
fn nothing_of_a_plugin_runs_but_an_instance_without_grants() {
    let b = broken();
    let asks = format!("{WISH}capability = \"http\"\nresource = \"api.example.org\"\n");
    b.more("asks", &asks);
    assert_eq!(b.report(&["asks"])["ok"], true);
    let log = Reader::open(b.site.state().join("audit")).expect("a log");
    let records: Vec<_> = log.map(|entry| entry.expect("a record").record).collect();
    let launched = records.iter().filter(|record| record.event == "attested");
    let filters: Vec<_> = launched.filter_map(|record| record.detail.text("filter")).collect();
    assert_eq!(filters, ["compiler", "integration"]);
    assert!(records.iter().all(|record| record.event != "granted"), "nothing is granted");
}

#[test]
fn a_plugin_for_another_host_runs_nowhere() {
    let b = broken();
    let folder = b.changed("later", "contract =", "host = \">=99\"\ncontract =");
    let ran = b.site.run(&["run", folder.to_str().expect("UTF-8"), "--tool", "greet", "--format", "json"]);
    assert_eq!(ran.status.code(), Some(4));
    assert_eq!(document(&ran)["error"]["code"], "host-version");
}

#[test]
fn code_scanning_and_workflows_get_what_they_read() {
    let b = broken();
    b.more("a b", &format!("{WISH}capability = \"fs.raed\"\nresource = \"/src\"\n"));
    b.more("c", "");
    let told = b.preflight(&["a b", "c", "--format", "sarif"]);
    assert_eq!(told.status.code(), Some(4));
    let sarif = document(&told);
    // As somebody else's implementation of the published schema reads it, which loses nothing of it.
    let read: serde_sarif::sarif::Sarif = serde_json::from_value(sarif.clone()).expect("SARIF");
    assert_eq!(serde_json::to_value(&read).expect("JSON"), sarif);
    let results = sarif["runs"][0]["results"].as_array().expect("a list");
    let result = &results[0];
    assert_eq!((&result["ruleId"], &result["level"]), (&json!("unknown-capability"), &json!("error")));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20b/plugin.toml");
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&json!(10), &json!(14)));
    let rule = sarif["runs"][0]["tool"]["driver"]["rules"]
        [result["ruleIndex"].as_u64().expect("a number") as usize]
        .clone();
    assert_eq!(rule["id"], result["ruleId"]);

    let told = text(&b.preflight(&["a b", "c", "--format", "github"]).stdout);
    let lines: Vec<_> = told.lines().collect();
    assert!(
        lines[0].starts_with("::error file=a b/plugin.toml,line=10,col=14,title=unknown-capability::unknown"),
        "{told}"
    );
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[1].starts_with("::warning file=c/plugin.toml,title=not-signed::"), "{told}");
}

fn git(folder: &Path, arguments: &[&str]) {
    let ran = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .output()
        .expect("git is there");
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
fn of_a_repository_those_are_looked_at_that_have_changed_and_those_that_depend_on_them() {
    let b = broken();
    let named = |name: &str| MANIFEST.replace("acme/greet", &format!("acme/{name}"));
    let needs = |name: &str| format!("{NEEDS}plugin = \"acme/{name}\"\nversion = \"^1\"\n");
    for name in ["base", "left"] {
        b.manifest(&format!("group/{name}"), named(name));
    }
    b.manifest("group/upon", named("upon") + &needs("base"));
    b.manifest("group/upon-that", named("upon-that") + &needs("upon"));
    fs::create_dir_all(b.folder("target/x")).expect("writable");
    fs::write(b.folder("target/x/plugin.toml"), "made").expect("writable");
    let root = b.site.path("plugins");
    git(&root, &["init", "-q"]);
    git(&root, &["add", "-A"]);
    git(&root, &["commit", "-q", "-m", "first"]);

    let chosen = |revision: &str| -> Vec<String> {
        let report = b.report(&[".", "--changed-since", revision]);
        findings(&report).into_keys().map(|name| name.trim_start_matches("group/").to_owned()).collect()
    };
    assert!(chosen("HEAD").is_empty());
    fs::write(b.folder("group/base/new.rs"), "").expect("writable");
    assert_eq!(chosen("HEAD"), ["base", "upon", "upon-that"]);
    git(&root, &["add", "-A"]);
    git(&root, &["commit", "-q", "-m", "second"]);
    assert!(chosen("HEAD").is_empty());
    assert_eq!(chosen("HEAD~1"), ["base", "upon", "upon-that"]);
    let all = b.report(&["."]);
    assert_eq!(findings(&all).len(), 4);
    assert_eq!(all["ok"], true, "{all:#}");

    let failed = b.preflight(&[".", "--changed-since=--output=made", "--format", "json"]);
    assert_eq!(failed.status.code(), Some(2));
    assert_eq!(document(&failed)["error"]["code"], "git-failed");
    assert!(!b.folder("made").exists(), "a revision is no option");
}

#[test]
fn the_document_is_what_its_schema_says() {
    let b = broken();
    b.more("unsigned", "");
    b.changed("bad", "1.2.0", "1.2");
    let report = b.report(&["unsigned", "bad"]);
    let schema: Value =
        serde_json::from_str(include_str!("../../docs/schema/preflight.v1.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let wrong: Vec<_> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let mut other = report;
    other["plugins"][0]["checks"][0]["state"] = json!("maybe");
    assert!(!validator.is_valid(&other));
}

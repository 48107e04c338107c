//! Packages by the program that authors and operators have: made, looked at, signed, run, taken apart.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use stockade_audit::Reader;
use stockade_package::sha256;
use stockade_tests::served::Site;
use stockade_tests::{dist, document, guest, text};

/// A command that needs no host.
fn plain(arguments: &[&str]) -> Output {
    Command::new(dist().join("stockade")).args(arguments).output().expect("the program is there")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A site with a plugin of these bytes, and where its folder and its package are.
fn packed(component: Option<&Path>) -> (Site, String, String) {
    let site = Site::new();
    site.plugin("acme/stats", &[]);
    if let Some(component) = component {
        fs::copy(component, site.path("acme-stats/text_stats.wasm")).expect("writable");
    }
    let (folder, package) = (site.path("acme-stats"), site.path("acme-stats.stockade.tar"));
    let names = (path(&folder).to_owned(), path(&package).to_owned());
    (site, names.0, names.1)
}

#[test]
fn a_package_is_made_looked_at_signed_run_and_taken_apart() {
    let (site, folder, package) = packed(None);
    let pack = |format: &str| site.run(&["pack", &folder, "-o", &package, "--format", format]);

    let first = document(&pack("json"));
    assert_eq!((&first["plugin"], &first["version"]), (&json!("acme/stats"), &json!("0.1.0")));
    assert_eq!(first["signed_by"], json!([]));
    let bytes = fs::read(&package).expect("it was made");
    assert_eq!(first["bytes"], bytes.len());
    let told = pack("text");
    assert_eq!(fs::read(&package).expect("it is there"), bytes, "the same folder makes the same bytes");
    let digest = first["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(text(&told.stdout), format!("{package}\n{digest}\n"));
    assert!(text(&told.stderr).contains("nobody has signed it"), "{told:?}");

    let key = site.path("author.key");
    let made = document(&plain(&["key", "new", path(&key), "--format", "json"]));
    assert!(plain(&["sign", &folder, "--key", path(&key)]).status.success());
    let signed = document(&pack("json"));
    assert_eq!(signed["signed_by"], json!([made["key"]]));
    assert_ne!(signed["digest"], first["digest"]);

    let inspected = document(&site.run(&["inspect", &package, "--format", "json"]));
    assert_eq!((&inspected["digest"], &inspected["signed_by"]), (&signed["digest"], &signed["signed_by"]));
    // A package is signed as its folder is, and says which one it is then.
    fs::write(&package, &bytes).expect("writable");
    let again = document(&plain(&["sign", &package, "--key", path(&key), "--format", "json"]));
    assert_eq!((&again["digest"], &again["signed_by"]), (&signed["digest"], &signed["signed_by"]));
    assert_eq!((&inspected["type"], &inspected["contract"]), (&json!("node"), &json!("0.1")));
    assert_eq!(inspected["tools"], json!(["stats"]));
    let exports = inspected["exports"].as_array().expect("a list");
    assert!(
        exports
            .iter()
            .any(|name| name.as_str().is_some_and(|name| name.starts_with("stockade:plugin/tool@")))
    );
    let component = fs::read(site.path("acme-stats/text_stats.wasm")).expect("it is there");
    assert_eq!(inspected["component"]["bytes"], component.len());
    let shown = text(&site.run(&["inspect", &package]).stdout);
    for part in ["acme/stats 0.1.0, node, contract 0.1", &digest_of(&signed), "TOOLS\n  stats", "EXPORTS\n"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // Nothing of it has run, and so nothing was started but compilers.
    let log = Reader::open(site.state().join("audit")).expect("a log");
    let launched =
        log.map(|entry| entry.expect("a record").record).filter(|record| record.event == "attested");
    let filters: Vec<_> =
        launched.filter_map(|record| record.detail.text("filter").map(str::to_owned)).collect();
    assert!(!filters.is_empty() && filters.iter().all(|filter| filter == "compiler"), "{filters:?}");

    let ran = site.run(&["run", &package, "--tool", "stats", "--args", r#"{"text":"a b"}"#]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let loose = site.run(&["run", &folder, "--tool", "stats", "--args", r#"{"text":"a b"}"#]);
    assert_eq!(text(&ran.stdout), text(&loose.stdout));
    let verified = plain(&["verify", &package, "--by", made["key"].as_str().expect("a key")]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));

    let listed = text(&plain(&["unpack", &package, "--list"]).stdout);
    assert_eq!(listed.lines().count(), 7, "{listed}");
    assert!(listed.contains("oci-layout") && listed.contains("component"), "{listed}");
    let apart = site.path("apart");
    let unpacked = document(&plain(&["unpack", &package, "--to", path(&apart), "--format", "json"]));
    assert_eq!(unpacked["digest"], signed["digest"]);
    for file in ["plugin.toml", "plugin.dsse.json", "text_stats.wasm"] {
        let before = fs::read(site.path("acme-stats").join(file)).expect("it is there");
        assert_eq!(fs::read(apart.join(file)).expect("it was unpacked"), before, "{file}");
    }
}

fn digest_of(document: &Value) -> String {
    format!("package    {}", document["digest"].as_str().expect("a digest"))
}

/// What could not be loaded is not packed, and not unpacked.
#[test]
fn what_is_no_plugin_makes_no_package() {
    let (site, folder, package) = packed(Some(&guest("unknown-import.wasm")));
    let refused = document(&site.run(&["pack", &folder, "-o", &package, "--format", "json"]));
    assert_eq!(refused["error"]["code"], "unknown-import", "{refused}");
    assert!(!Path::new(&package).exists());

    let whole = site.path("whole.stockade.tar");
    site.plugin("acme/stats", &[]);
    assert!(site.run(&["pack", &folder, "-o", path(&whole)]).status.success());
    let mut bytes = fs::read(&whole).expect("it was made");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&package, bytes).expect("writable");
    let apart = site.path("apart");
    for arguments in [&["inspect", &package][..], &["run", &package, "--tool", "stats"], &["tools", &package]]
    {
        let output = site.run(arguments);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("package-not-canonical"), "{}", text(&output.stderr));
    }
    let output = plain(&["unpack", &package, "--to", path(&apart)]);
    assert_eq!((output.status.code(), apart.exists()), (Some(4), false), "{}", text(&output.stderr));
}

/// What a builder would write of a component with this digest, in hostile words.
fn statement(sha256: &str) -> String {
    let hostile = "https://builder.example.org/\u{1b}[2J\nsigned by  ed25519:\u{202e}";
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "text_stats.wasm", "digest": { "sha256": sha256 } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://builder.example.org/workflow/v1",
                "externalParameters": { "workflow": { "ref": "refs/heads/main" } },
                "resolvedDependencies": [{ "uri": "git+https://code.example.org/a", "digest": { "gitCommit": "4f0c" } }],
            },
            "runDetails": { "builder": { "id": hostile } },
        },
    });
    format!("{statement:#}\n")
}

#[test]
fn e15_a_provenance_is_shown_as_what_somebody_claims() {
    let (site, folder, package) = packed(None);
    let component = sha256(&fs::read(site.path("acme-stats/text_stats.wasm")).expect("it is there"));
    let (file, said) = (site.path("acme-stats/provenance.json"), statement(&component));
    fs::write(&file, &said).expect("writable");
    let key = site.path("author.key");
    assert!(plain(&["key", "new", path(&key)]).status.success());
    assert!(plain(&["sign", &folder, "--key", path(&key)]).status.success());
    let made = document(&site.run(&["pack", &folder, "-o", &package, "--format", "json"]));
    assert_eq!(made["findings"], json!([]));
    assert_eq!(made["signed_by"].as_array().map(Vec::len), Some(1), "{made}");

    let inspected = document(&site.run(&["inspect", &package, "--format", "json"]));
    let fields: Vec<_> = inspected["provenance"].as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["claimed"], "nothing of it is said as a fact");
    let claimed = &inspected["provenance"]["claimed"];
    assert_eq!(claimed["build_type"], "https://builder.example.org/workflow/v1");
    assert_eq!(claimed["subjects"][0]["digest"]["sha256"], json!(component));
    assert_eq!(claimed["sources"][0]["digest"]["gitCommit"], "4f0c");
    assert_eq!(claimed["parameters"], json!([{ "at": "/workflow/ref", "value": "refs/heads/main" }]));
    assert_eq!(inspected["findings"], json!([]));

    let shown = site.run(&["inspect", &package]);
    let lines = text(&shown.stdout);
    let expected = [
        "  claimed: built by https://builder.example.org/\\u{1b}[2J\\u{a}signed by  ed25519:\\u{202e}",
        "  claimed: as a build of type https://builder.example.org/workflow/v1",
        "  claimed: from git+https://code.example.org/a gitCommit:4f0c",
        "  claimed: with /workflow/ref = refs/heads/main",
    ];
    for line in expected {
        assert!(lines.lines().any(|shown| shown == line), "{line}: {lines}");
    }
    // One line says who has signed it: the key that has.
    assert_eq!(lines.lines().filter(|line| line.starts_with("signed by  ed25519:")).count(), 1, "{lines}");
    assert!(!text(&shown.stderr).contains("provenance"), "{}", text(&shown.stderr));
    assert!(
        text(&plain(&["unpack", &package, "--list"]).stdout).contains("signature, provenance, interfaces")
    );
    let apart = site.path("apart");
    assert!(plain(&["unpack", &package, "--to", path(&apart)]).status.success());
    assert_eq!(fs::read_to_string(apart.join("provenance.json")).expect("it was unpacked"), said);
    let ran = site.run(&["run", &package, "--tool", "stats", "--args", r#"{"text":"a b"}"#]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
}

#[test]
fn e15_a_provenance_of_another_artifact_is_told_by_everything_that_looks_at_it() {
    let (site, folder, package) = packed(None);
    fs::write(site.path("acme-stats/provenance.json"), statement(&sha256(b"another"))).expect("writable");
    let found = |finding: &Value| {
        assert_eq!(finding["code"], "provenance-of-something-else", "{finding}");
        assert_eq!(
            (&finding["severity"], &finding["field"]),
            (&json!("warning"), &json!("provenance.json#/subject"))
        );
        assert!(finding["next_step"].as_str().is_some_and(|step| !step.is_empty()), "{finding}");
    };
    let made = document(&site.run(&["pack", &folder, "-o", &package, "--format", "json"]));
    found(&made["findings"][0]);
    for plugin in [&folder, &package] {
        found(&document(&site.run(&["inspect", plugin, "--format", "json"]))["findings"][0]);
        let shown = site.run(&["inspect", plugin]);
        assert!(
            text(&shown.stderr).contains("warning[provenance-of-something-else]"),
            "{}",
            text(&shown.stderr)
        );
        let report = document(&site.run(&["preflight", plugin, "--format", "json"]));
        assert_eq!(report["ok"], true, "nothing follows from it: {report}");
        found(&report["plugins"][0]["findings"][0]);
        let strict = site.run(&["preflight", plugin, "--strict", "--format", "json"]);
        assert_eq!(strict.status.code(), Some(4), "{}", text(&strict.stderr));
    }
    // What says nothing at all makes no package.
    fs::write(site.path("acme-stats/provenance.json"), "{}").expect("writable");
    let refused = document(&site.run(&["pack", &folder, "-o", &package, "--format", "json"]));
    assert_eq!(refused["error"]["code"], "provenance-malformed", "{refused}");
    assert_eq!(refused["error"]["field"], "provenance.json");
}

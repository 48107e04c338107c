//! How a plugin is said to have been built: what is read of it, that it stays somebody's claim, and that packages without it are
//! what they were.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use stockade_package::archive::{self, Archive, Interfaces, Parts};
use stockade_package::signature::{SigningKey, sign_plugin};
use stockade_package::{
    Check, Explain, MAX_PROVENANCE, PROVENANCE_FILE, Package, Provenance, ProvenanceError, Severity, sha256,
};
use tempfile::TempDir;

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0 and what comes after it";
const MANIFEST: &str = "manifest = 1\nname = \"a/b\"\nversion = \"1.2.3\"\ntype = \"node\"\ncontract = \"0.1\"\n\
     description = \"d\"\ncomponent = \"c.wasm\"\n";

fn folder(provenance: Option<&str>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plugin.toml"), MANIFEST).unwrap();
    fs::write(folder.path().join("c.wasm"), COMPONENT).unwrap();
    if let Some(text) = provenance {
        fs::write(folder.path().join(PROVENANCE_FILE), text).unwrap();
    }
    folder
}

/// What a builder would write of this component.
fn statement() -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "c.wasm", "digest": { "sha256": sha256(COMPONENT), "sha512": "x" } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://example.org/build/v1",
                "externalParameters": { "workflow": { "ref": "refs/heads/main", "a/b": [1, null] }, "none": {} },
                "internalParameters": { "anything": [{}] },
                "resolvedDependencies": [{ "uri": "git+https://example.org/a", "digest": { "gitCommit": "4f" } }],
            },
            "runDetails": { "builder": { "id": "https://example.org/builder", "version": {} }, "metadata": {} },
        },
    })
}

fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut statement = statement();
    change(&mut statement);
    statement.to_string()
}

fn read(text: &str) -> Result<Provenance, ProvenanceError> {
    Provenance::parse(text.as_bytes())
}

fn parts(folder: &Path) -> Parts {
    let interfaces = Interfaces { exports: vec!["f".into()], imports: Vec::new() };
    Parts { interfaces, ..Parts::of_folder(folder).unwrap() }
}

fn code(folder: &Path) -> &'static str {
    Package::open(folder, None).expect_err("refused").problem().code
}

#[test]
fn what_is_claimed_is_read_in_the_words_of_who_claims_it() {
    let provenance = read(&statement().to_string()).unwrap();
    assert_eq!(provenance.builder, "https://example.org/builder");
    assert_eq!(provenance.build_type, "https://example.org/build/v1");
    assert_eq!(provenance.sources[0].uri.as_deref(), Some("git+https://example.org/a"));
    assert_eq!(provenance.sources[0].digest["gitCommit"], "4f");
    assert_eq!(provenance.subjects[0].digest.len(), 2);
    let mut parameters: Vec<_> =
        provenance.parameters.iter().map(|one| (one.at.as_str(), one.value.as_str())).collect();
    parameters.sort_unstable();
    let expected = [
        ("/none", "{}"),
        ("/workflow/a~1b/0", "1"),
        ("/workflow/a~1b/1", "null"),
        ("/workflow/ref", "refs/heads/main"),
    ];
    assert_eq!(parameters, expected);
    assert!(provenance.speaks_of(&sha256(COMPONENT)) && !provenance.speaks_of(&sha256(b"other")));
}

#[test]
fn e15_what_has_two_readings_or_no_end_is_no_provenance() {
    let twice = |key: &str, more: &str| statement().to_string().replacen(key, &format!("{more},{key}"), 1);
    let many = |count: usize| vec![json!({ "name": "n", "digest": {} }); count];
    let definition = |statement: &mut Value, key: &str, value: Value| {
        statement["predicate"]["buildDefinition"][key] = value;
    };
    let cases = [
        // Another reader would take the other of the two.
        twice("\"subject\":", "\"subject\":[]"),
        twice("\"sha512\":", "\"sha512\":\"y\""),
        twice("\"gitCommit\":", "\"gitCommit\":\"9\""),
        twice("\"ref\":", "\"ref\":\"other\""),
        twice("\"id\":", "\"id\":\"other\""),
        twice("\"_type\":", "\"_type\":\"https://in-toto.io/Statement/v0.1\""),
        changed(|statement| statement["_type"] = json!("https://in-toto.io/Statement/v0.1")),
        changed(|statement| statement["predicateType"] = json!("https://slsa.dev/provenance/v0.2")),
        changed(|statement| statement["subject"][0]["digest"]["sha256"] = json!("AA")),
        changed(|statement| statement["subject"][0]["digest"]["sha256"] = json!(sha256(b"").to_uppercase())),
        changed(|statement| statement["subject"][0]["digest"] = json!(["sha256"])),
        changed(|statement| statement["subject"] = json!(many(257))),
        changed(|statement| definition(statement, "resolvedDependencies", json!(many(257)))),
        changed(|statement| definition(statement, "externalParameters", json!({ "a": vec![1; 257] }))),
        changed(|statement| definition(statement, "externalParameters", json!("main"))),
        changed(|statement| definition(statement, "buildType", json!("t".repeat(4097)))),
        changed(|statement| definition(statement, "buildType", json!(1))),
        changed(|statement| statement["predicate"]["runDetails"] = json!({})),
        changed(|statement| statement["more"] = json!(" ".repeat(64 * 1024))),
        format!("{}{}{}", "{\"a\":".repeat(200), 1, "}".repeat(200)),
        "{}".to_owned(),
        "[]".to_owned(),
        format!("{} x", statement()),
        String::new(),
    ];
    for text in cases {
        assert!(read(&text).is_err(), "{}", text.chars().take(300).collect::<String>());
        let folder = folder(Some(&text));
        assert_eq!(code(folder.path()), "provenance-malformed");
    }
    // As many as may be; and what is not shown may be anything.
    for text in [
        changed(|statement| statement["subject"] = json!(many(256))),
        changed(|statement| definition(statement, "externalParameters", json!({ "a": vec![1; 256] }))),
        changed(|statement| definition(statement, "buildType", json!("t".repeat(4096)))),
        changed(|statement| _ = statement["predicate"]["buildDefinition"]["resolvedDependencies"].take())
            .replace("\"resolvedDependencies\":null", "\"byproducts\":[{\"a\":1,\"a\":2}]"),
    ] {
        assert!(read(&text).is_ok(), "{:?}", read(&text));
    }
}

#[test]
fn e15_too_large_and_not_utf8_are_told_as_what_they_are() {
    let folder = folder(None);
    let file = folder.path().join(PROVENANCE_FILE);
    for bytes in [vec![b' '; MAX_PROVENANCE as usize + 1], b"\xff{}".to_vec()] {
        fs::write(&file, bytes).unwrap();
        let problem = Package::open(folder.path(), None).expect_err("refused").problem();
        assert_eq!((problem.code, problem.field.as_str()), ("provenance-malformed", PROVENANCE_FILE));
        assert!(problem.next_step.contains("docs/packaging.md"), "{problem:?}");
    }
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
    assert_eq!(code(folder.path()), "component-outside", "nothing of the host's is read");
}

#[test]
fn e15_a_provenance_of_another_artifact_is_found_out() {
    let good = folder(Some(&statement().to_string()));
    assert_eq!(Package::open(good.path(), None).unwrap().of_something_else(), None);
    assert_eq!(Package::open(folder(None).path(), None).unwrap().of_something_else(), None);
    let other = "b\u{1b}[2J\n\u{202e}";
    let names = |count: usize| {
        let subject =
            json!({ "name": other, "digest": { "sha256": sha256(b"other"), "sha1": sha256(COMPONENT) } });
        changed(|statement| statement["subject"] = json!(vec![subject; count]))
    };
    for (count, said) in [(0, "is about nothing"), (1, "and not about the component"), (9, "and 6 more")] {
        let folder = folder(Some(&names(count)));
        let package =
            Package::open(folder.path(), None).expect("it is loaded all the same: nothing follows from it");
        let finding = package.of_something_else().expect("it was noticed");
        assert_eq!((finding.check, finding.severity), (Check::Archive, Severity::Warning));
        assert_eq!(finding.problem.code, "provenance-of-something-else");
        assert_eq!(finding.problem.field, "provenance.json#/subject");
        assert!(finding.problem.message.contains(said), "{finding:?}");
        assert!(!finding.problem.message.contains(['\n', '\u{1b}', '\u{202e}']), "{finding:?}");
        assert!(!finding.problem.next_step.is_empty());
    }
}

#[test]
fn a_package_has_it_and_gives_it_back() {
    let text = format!("{:#}\n", statement());
    let folder = folder(Some(&text));
    let parts = parts(folder.path());
    assert_eq!(parts.provenance.as_deref(), Some(text.as_str()), "as it was written, byte by byte");
    let packed = archive::pack(&parts);
    assert_eq!(archive::pack(&parts), packed);
    let read = Archive::read(&packed.bytes).unwrap();
    assert_eq!((&read.parts, &read.digest), (&parts, &packed.digest));
    assert!(read.members[3].what.contains("provenance"), "{:?}", read.members);
    assert!(Package::of_parts(&parts).unwrap().provenance.is_some());
    // By way of a registry.
    let blobs = archive::blobs(&parts);
    let pulled = Parts::of_blobs(&blobs.manifest.bytes, &blobs.config.bytes, &blobs.component.bytes).unwrap();
    assert_eq!((pulled.0, pulled.1.bytes), (parts.clone(), packed.bytes));
    let config = String::from_utf8(blobs.config.bytes).unwrap();
    assert!(
        config.contains("\"format\":2,"),
        "a host that knows no provenance says that it is too old: {config}"
    );

    let again = folder.path().join("again");
    parts.write_into(&again).unwrap();
    assert_eq!(fs::read_to_string(again.join(PROVENANCE_FILE)).unwrap(), text);
}

#[test]
fn a_package_without_it_is_what_it_was() {
    let folder = folder(None);
    let parts = parts(folder.path());
    let packed = archive::pack(&parts);
    // `archive.rs` holds the digest of one that was made before there was any provenance.
    let config = String::from_utf8(archive::blobs(&parts).config.bytes).unwrap();
    assert!(config.contains("\"format\":1,") && !config.contains("provenance"), "{config}");
    let read = Archive::read(&packed.bytes).unwrap();
    assert_eq!(read.parts.provenance, None);
    assert!(!read.members.iter().any(|member| member.what.contains("provenance")));
}

#[test]
fn e4_whoever_signs_signs_it_too() {
    let text = statement().to_string();
    let key = SigningKey::generate().unwrap();
    let signed = folder(Some(&text));
    assert_eq!(sign_plugin(signed.path(), &key).unwrap(), [key.public()]);
    let file = signed.path().join(PROVENANCE_FILE);
    assert_eq!(Package::open(signed.path(), None).unwrap().signed_by, [key.public()]);
    // Changed, taken away, and put beside what was signed without it.
    fs::write(
        &file,
        changed(|statement| statement["predicate"]["runDetails"]["builder"]["id"] = json!("other")),
    )
    .unwrap();
    assert_eq!(code(signed.path()), "signature-of-other-files");
    fs::remove_file(&file).unwrap();
    assert_eq!(code(signed.path()), "signature-of-other-files");
    let bare = folder(None);
    sign_plugin(bare.path(), &key).unwrap();
    fs::write(bare.path().join(PROVENANCE_FILE), &text).unwrap();
    assert_eq!(code(bare.path()), "signature-of-other-files");
}

#[test]
fn a_component_may_be_called_like_it_where_there_is_no_other() {
    for name in [PROVENANCE_FILE, "./provenance.json"] {
        let folder = folder(None);
        fs::write(folder.path().join("plugin.toml"), MANIFEST.replace("c.wasm", name)).unwrap();
        fs::rename(folder.path().join("c.wasm"), folder.path().join(PROVENANCE_FILE)).unwrap();
        let package = Package::open(folder.path(), None).unwrap();
        assert_eq!((package.component.as_slice(), package.provenance), (COMPONENT, None));
        let mut parts = parts(folder.path());
        assert_eq!(
            (Package::of_parts(&parts).unwrap().component.as_slice(), &parts.provenance),
            (COMPONENT, &None)
        );
        // Unpacked, that would be a plugin with another component.
        parts.provenance = Some(statement().to_string());
        assert_eq!(Package::of_parts(&parts).expect_err("refused").problem().code, "provenance-malformed");
    }
}

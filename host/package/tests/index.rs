//! What an index may say, what is said of one that says anything else, what a reader remembers, and lock files.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use semver::Version;
use serde_json::{Value, json};
use stockade_package::archive::{Interfaces, Parts, pack};
use stockade_package::index::{
    Index, IndexError, Lock, MAX_AHEAD, MAX_INDEX, MAX_INDEX_VERSION, MAX_LOCK, MAX_PLUGINS, MAX_VERSIONS,
    Seen, Source,
};
use stockade_package::signature::{
    Envelope, Signed, SignedFile, SigningKey, fetched_index_signers, index_signers, sign, sign_index,
    sign_policy,
};
use stockade_package::{Explain, Package, Problem};
use stockade_policy::PluginType;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// 2027-01-31T00:00:00Z
const EXPIRES: u64 = 1_801_353_600;

/// An index with each key that there is.
fn whole() -> Value {
    json!({
        "schema": 1, "name": "example.org/plugins", "version": 12, "expires": "2027-01-31T00:00:00Z",
        "plugins": [{
            "name": "acme/scan", "description": "Finds leaked credentials.",
            "versions": [{
                "version": "1.4.0", "type": "quality_gate", "digest": DIGEST, "bytes": 12345,
                "source": format!("oci://registry.example.org/acme/scan@{DIGEST}"), "host": ">=0.1", "contract": "0.1",
                "dependencies": [{ "plugin": "acme/words", "version": "^1", "optional": true }],
                "yanked": "reports nothing",
            }],
        }],
    })
}

/// The whole index with one value replaced, by its JSON pointer.
fn with(pointer: &str, value: Value) -> Value {
    let mut index = whole();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match index.pointer_mut(parent).unwrap() {
        Value::Array(list) => list.push(value),
        parent => parent[key] = value,
    }
    index
}

fn problem(text: &str) -> Problem {
    Index::parse(text.as_bytes()).expect_err(text).problem()
}

/// Code and field.
fn said(text: &str) -> String {
    let Problem { code, field, next_step, .. } = problem(text);
    assert!(!next_step.is_empty());
    format!("{code} at {field}")
}

#[test]
fn a_whole_index_is_read() {
    let index = Index::parse(whole().to_string().as_bytes()).unwrap();
    assert_eq!((index.name(), index.version(), index.expires()), ("example.org/plugins", 12, EXPIRES));
    let release = index.plugin("acme/scan").unwrap().version(&Version::new(1, 4, 0)).unwrap();
    assert_eq!(release.plugin_type, PluginType::QualityGate);
    assert!(matches!(release.source, Source::Oci(_)));
    assert_eq!(release.yanked.as_deref(), Some("reports nothing"));
    assert!(release.dependencies[0].optional);
    assert_eq!(index.plugin("acme/other"), None);
}

#[test]
fn what_no_index_says_is_refused_where_it_stands() {
    let version = "/plugins/0/versions/0";
    let at = |key: &str| format!("{version}/{key}");
    let other = "oci://registry.example.org/acme/scan@sha256:".to_owned() + &"0".repeat(64);
    let twice = |pointer: &str| with(&format!("{pointer}/-"), whole().pointer(pointer).unwrap()[0].clone());
    let mut build = whole().pointer(version).unwrap().clone();
    build["version"] = json!("1.4.0+again");
    let long = "x".repeat(3000);
    let all = [
        (with("/schema", json!(2)), "index-format at schema"),
        (with("/name", json!("Example")), "bad-index-name at name"),
        (with("/name", json!("a/../b")), "bad-index-name at name"),
        (with("/name", json!(long)), "index-too-long at name"),
        (with("/version", json!(0)), "index-number at version"),
        (with("/version", json!(MAX_INDEX_VERSION + 1)), "index-number at version"),
        (with("/version", json!(-1)), "index-shape at version"),
        (with("/expires", json!("2027-01-31")), "bad-time at expires"),
        (with("/expires", json!("2027-01-31T01:00:00+01:00")), "bad-time at expires"),
        (with("/expires", json!("2027-01-31T00:00:00.5Z")), "bad-time at expires"),
        (with("/expires", json!("1969-01-31T00:00:00Z")), "bad-time at expires"),
        (with("/more", json!(1)), "index-shape at more"),
        (with("/plugins", json!({})), "index-shape at plugins"),
        (with("/plugins/0/name", json!("scan")), "bad-name at plugins[0].name"),
        (with("/plugins/0/description", json!(long)), "index-too-long at plugins[0].description"),
        (twice("/plugins"), "duplicate-plugin at plugins[1].name"),
        (with(&at("version"), json!("1.4")), "bad-version at plugins[0].versions[0].version"),
        (with(&at("type"), json!("tool")), "unknown-type at plugins[0].versions[0].type"),
        (with(&at("digest"), json!(&DIGEST[7..])), "bad-digest at plugins[0].versions[0].digest"),
        (with(&at("digest"), json!(DIGEST.to_uppercase())), "bad-digest at plugins[0].versions[0].digest"),
        (with(&at("bytes"), json!(0)), "index-number at plugins[0].versions[0].bytes"),
        (with(&at("bytes"), json!(1_u64 << 40)), "index-number at plugins[0].versions[0].bytes"),
        (with(&at("bytes"), json!(1.5)), "index-shape at plugins[0].versions[0].bytes"),
        (with(&at("source"), json!("../a.stockade.tar")), "bad-source at plugins[0].versions[0].source"),
        (with(&at("source"), json!(other)), "source-of-another at plugins[0].versions[0].source"),
        (with(&at("host"), json!("new")), "bad-version-range at plugins[0].versions[0].host"),
        (with(&at("host"), Value::Null), "index-shape at plugins[0].versions[0].host"),
        (with(&at("contract"), json!("1")), "bad-contract at plugins[0].versions[0].contract"),
        (with(&at("yanked"), json!(long)), "index-too-long at plugins[0].versions[0].yanked"),
        (with(&at("yanked"), Value::Null), "index-shape at plugins[0].versions[0].yanked"),
        (twice("/plugins/0/versions"), "duplicate-version at plugins[0].versions[1].version"),
        (with("/plugins/0/versions/-", build), "duplicate-version at plugins[0].versions[1].version"),
        (
            twice("/plugins/0/versions/0/dependencies"),
            "duplicate-dependency at plugins[0].versions[0].dependencies[1].plugin",
        ),
        (
            with(&at("dependencies/0/plugin"), json!("acme/scan")),
            "depends-on-itself at plugins[0].versions[0].dependencies[0].plugin",
        ),
        (
            with(&at("dependencies/0/plugin"), json!("scan")),
            "bad-name at plugins[0].versions[0].dependencies[0].plugin",
        ),
        (
            with(&at("dependencies/0/version"), json!("new")),
            "bad-version-range at plugins[0].versions[0].dependencies[0].version",
        ),
    ];
    for (index, expected) in all {
        assert_eq!(said(&index.to_string()), expected);
    }
}

#[test]
fn each_key_that_has_to_be_there_is_missed() {
    let keys =
        ["/schema", "/name", "/version", "/expires", "/plugins", "/plugins/0/name", "/plugins/0/versions"];
    let of_version = ["version", "type", "digest", "bytes", "source", "contract", "dependencies/0/plugin"];
    let of_version = of_version.map(|key| format!("/plugins/0/versions/0/{key}"));
    for pointer in keys.into_iter().map(str::to_owned).chain(of_version) {
        let mut index = whole();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        index.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        assert_eq!(problem(&index.to_string()).code, "index-shape", "{pointer}");
    }
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let text = whole().to_string();
    for key in [
        "\"schema\":1",
        "\"version\":12",
        "\"name\":\"acme/scan\"",
        "\"bytes\":12345",
        "\"plugin\":\"acme/words\"",
    ] {
        assert!(text.contains(key), "{key}");
        let twice = text.replacen(key, &format!("{key},{key}"), 1);
        assert_eq!(problem(&twice).code, "index-shape", "{key}");
    }
}

#[test]
fn what_is_no_json_is_told_as_that_and_shown_escaped() {
    let text = whole().to_string();
    assert_eq!(problem(&text[..text.len() - 1]).code, "index-syntax");
    assert_eq!(problem(&format!("{text}{{}}")).code, "index-syntax");
    assert_eq!(problem(&"[".repeat(100_000)).code, "index-shape");
    assert_eq!(Index::parse(b"\xff").expect_err("no UTF-8").problem().code, "index-syntax");
    let hostile = problem(&with("/\u{1b}[2J\u{202e}", json!(1)).to_string());
    assert!(!format!("{}{}", hostile.field, hostile.message).contains(['\u{1b}', '\u{202e}']), "{hostile:?}");
    let long = problem(&with(&format!("/{}", "x".repeat(1 << 20)), json!(1)).to_string());
    assert!(long.field.len() + long.message.len() < 2048);
}

#[test]
fn an_index_has_bounds() {
    let too_large = vec![b' '; MAX_INDEX as usize + 1];
    assert_eq!(Index::parse(&too_large).expect_err("too large").problem().code, "index-too-large");
    let plugin = |at: usize| json!({ "name": format!("a/p{at}"), "description": "", "versions": [] });
    let plugins: Vec<Value> = (0..=MAX_PLUGINS).map(plugin).collect();
    assert!(Index::parse(with("/plugins", json!(plugins[1..])).to_string().as_bytes()).is_ok());
    assert_eq!(said(&with("/plugins", json!(plugins)).to_string()), "index-too-many at plugins");
    let version = |at: usize| {
        let mut version = whole().pointer("/plugins/0/versions/0").unwrap().clone();
        version["version"] = json!(format!("1.{at}.0"));
        version
    };
    let versions: Vec<Value> = (0..=MAX_VERSIONS).map(version).collect();
    assert!(Index::parse(with("/plugins/0/versions", json!(versions[1..])).to_string().as_bytes()).is_ok());
    assert_eq!(
        said(&with("/plugins/0/versions", json!(versions)).to_string()),
        "index-too-many at plugins[0].versions"
    );
    let need = |at: usize| json!({ "plugin": format!("a/p{at}"), "version": "*" });
    let needs: Vec<Value> = (0..65).map(need).collect();
    assert_eq!(
        said(&with("/plugins/0/versions/0/dependencies", json!(needs)).to_string()),
        "index-too-many at plugins[0].versions[0].dependencies"
    );
}

// ---------------------------------------------------------------- freshness

fn of_version(version: u64) -> Vec<u8> {
    with("/version", json!(version)).to_string().into_bytes()
}

fn fresh(bytes: &[u8], seen: &Seen) -> Result<Seen, &'static str> {
    Index::fresh(bytes, Some(seen), EXPIRES - 10).map(|(_, seen)| seen).map_err(|error| error.problem().code)
}

fn seen(version: u64) -> Seen {
    Index::fresh(&of_version(version), None, EXPIRES - 1000).unwrap().1
}

#[test]
fn what_was_seen_is_kept_and_the_next_one_follows() {
    let first = seen(12);
    assert_eq!((first.version, first.at), (12, EXPIRES - 1000));
    assert_eq!(fresh(&of_version(12), &first).unwrap().at, EXPIRES - 10);
    assert_eq!(fresh(&of_version(13), &first).unwrap().version, 13);
    let kept: Seen = serde_json::from_str(&serde_json::to_string(&first).unwrap()).unwrap();
    assert_eq!(kept, first);
}

#[test]
fn e5_an_older_index_is_refused() {
    assert_eq!(fresh(&of_version(11), &seen(12)), Err("index-rolled-back"));
}

#[test]
fn e5_two_indexes_of_one_version_are_refused() {
    let mut other = of_version(12);
    other.push(b'\n');
    assert_eq!(fresh(&other, &seen(12)), Err("index-forked"));
}

#[test]
fn e5_an_index_that_expired_is_refused_and_no_clock_brings_it_back() {
    let at = |now, seen: Option<&Seen>| Index::fresh(&of_version(12), seen, now).map(|_| ());
    assert!(at(EXPIRES - 1, None).is_ok());
    let problem = at(EXPIRES, None).expect_err("it expired").problem();
    assert_eq!((problem.code, problem.field.as_str()), ("index-expired", "expires"));
    assert!(problem.message.contains("2027-01-31T00:00:00Z"), "{}", problem.message);
    let later = Seen { at: EXPIRES + 5, ..seen(12) };
    assert_eq!(at(1, Some(&later)).expect_err("it was later before").problem().code, "index-expired");
}

#[test]
fn e5_an_index_far_ahead_is_refused() {
    assert!(fresh(&of_version(12 + MAX_AHEAD), &seen(12)).is_ok());
    assert_eq!(fresh(&of_version(13 + MAX_AHEAD), &seen(12)), Err("index-ahead"));
    assert_eq!(fresh(&of_version(MAX_INDEX_VERSION), &seen(12)), Err("index-ahead"));
}

#[test]
fn e5_another_index_of_the_same_key_is_refused() {
    let index = Index::parse(whole().to_string().as_bytes()).unwrap();
    assert!(index.is_named("example.org/plugins").is_ok());
    let error = index.is_named("example.org/tested").expect_err("another");
    assert_eq!(error.problem().code, "index-of-another-name");
}

#[test]
fn an_index_is_signed_in_a_file_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.json");
    let (ann, bob) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let (text, next) = (of_version(12), of_version(13));
    fs::write(&path, &text).unwrap();
    assert_eq!(index_signers(&path, &text).unwrap(), []);
    assert_eq!(sign_index(&path, &text, &ann).unwrap(), [ann.public()]);
    assert_eq!(sign_index(&path, &text, &bob).unwrap(), [ann.public(), bob.public()]);
    let signature = fs::read(folder.path().join("plugins.json.sig")).unwrap();
    assert_eq!(fetched_index_signers(&text, &signature).unwrap(), [ann.public(), bob.public()]);
    let error = index_signers(&path, &next).expect_err("another");
    let problem = error.problem();
    assert_eq!(problem.code, "signature-of-other-files");
    assert!(
        problem.field.ends_with("plugins.json.sig") && problem.message.contains("plugins.json"),
        "{problem:?}"
    );
    assert_eq!(
        fetched_index_signers(&next, &signature).expect_err("another").code(),
        "signature-of-other-files"
    );
    // Who signs the next one signs for nobody else.
    assert_eq!(sign_index(&path, &next, &bob).unwrap(), [bob.public()]);
}

#[test]
fn e4_a_signature_of_a_policy_is_none_of_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (folder.path().join("index.json"), SigningKey::generate().unwrap());
    let text = of_version(12);
    sign_policy(&path, &text, &key).unwrap();
    let signature = fs::read(folder.path().join("index.json.dsse.json")).unwrap();
    assert_eq!(
        fetched_index_signers(&text, &signature).expect_err("a policy's").code(),
        "signature-malformed"
    );
    // Of the same name, too.
    let files = [SignedFile { name: "index.json", bytes: &text }];
    let envelope: Envelope = sign(Signed::Policy, &files, &key, None).unwrap();
    let error = fetched_index_signers(&text, envelope.to_json().as_bytes()).expect_err("a policy's");
    assert_eq!(error.code(), "signature-malformed");
}

// ---------------------------------------------------------------- making, searching

fn package(name: &str, version: &str, more: &str) -> (Package, u64) {
    let manifest = format!(
        "manifest = 1\nname = \"{name}\"\nversion = \"{version}\"\ntype = \"node\"\ncontract = \"0.1\"\nhost = \">=0.1\"\n\
         description = \"What {name} {version} does\"\ncomponent = \"c.wasm\"\n{more}"
    );
    let component = b"\0asm\x0d\0\x01\0".to_vec();
    let parts =
        Parts { manifest, signature: None, provenance: None, interfaces: Interfaces::default(), component };
    let packed = pack(&parts);
    let package = Package { digest: Some(packed.digest), ..Package::of_parts(&parts).unwrap() };
    (package, packed.bytes.len() as u64)
}

const NEEDS: &str =
    "[[dependencies]]\nplugin = \"a/words\"\nversion = \"^1\"\noptional = true\nreason = \"r\"\n";

#[test]
fn an_index_is_made_of_packages_and_is_the_same_each_time() {
    let (scan, scan_bytes) = package("a/scan", "1.0.0", NEEDS);
    let (later, later_bytes) = package("a/scan", "1.1.0", "");
    let (words, words_bytes) = package("a/words", "1.0.0", "");
    let entries =
        [("scan", &scan, scan_bytes), ("later", &later, later_bytes), ("words", &words, words_bytes)];
    let make = |order: [usize; 3]| {
        let entries = order.map(|at| entries[at]);
        let entries = entries.map(|(file, package, bytes)| (format!("{file}.stockade.tar"), package, bytes));
        Index::of_packages("example.org", 1, EXPIRES, entries.into()).unwrap()
    };
    let index = make([0, 1, 2]);
    assert_eq!(index.to_json(), make([2, 1, 0]).to_json());
    assert_eq!(Index::parse(index.to_json().as_bytes()).unwrap(), index);
    let listed = index.plugin("a/scan").unwrap();
    assert_eq!(listed.description, "What a/scan 1.1.0 does");
    let release = &listed.versions[0];
    assert_eq!((Some(&release.digest), release.bytes), (scan.digest.as_ref(), scan_bytes));
    assert_eq!(release.host, scan.host);
    assert_eq!(
        (release.dependencies[0].plugin.as_str(), release.dependencies[0].optional),
        ("a/words", true)
    );

    // What is there stays, a place can change, and a version is one package.
    let moved = vec![("moved.stockade.tar".to_owned(), &scan, scan_bytes)];
    let next = index.with_packages(2, EXPIRES, moved).unwrap();
    assert_eq!((next.version(), next.plugins().len()), (2, 2));
    assert_eq!(next.plugin("a/scan").unwrap().versions[0].source.as_str(), "moved.stockade.tar");
    let (other, bytes) = package("a/scan", "1.0.0", "");
    let error = next.with_packages(3, EXPIRES, vec![("x.stockade.tar".into(), &other, bytes)]);
    assert_eq!(code(error), "version-taken");
}

fn code(result: Result<Index, IndexError>) -> &'static str {
    result.expect_err("no index").problem().code
}

#[test]
fn what_is_added_keeps_what_is_yanked() {
    let (scan, bytes) = package("a/scan", "1.0.0", "");
    let make = |source: &str| vec![(source.to_owned(), &scan, bytes)];
    let index = Index::of_packages("example.org", 1, EXPIRES, make("a.stockade.tar")).unwrap();
    let mut document: Value = serde_json::from_str(&index.to_json()).unwrap();
    document["plugins"][0]["versions"][0]["yanked"] = json!("reports nothing");
    let index = Index::parse(document.to_string().as_bytes()).unwrap();
    let next = index.with_packages(2, EXPIRES, make("b.stockade.tar")).unwrap();
    assert_eq!(next.plugins()[0].versions[0].yanked.as_deref(), Some("reports nothing"));
}

#[test]
fn what_cannot_be_listed_is_said() {
    let (scan, bytes) = package("a/scan", "1.0.0", "");
    let make = |name: &str, version, expires, source: &str, package: &Package| {
        Index::of_packages(name, version, expires, vec![(source.to_owned(), package, bytes)])
    };
    let good = "a.stockade.tar";
    let folder = Package { digest: None, ..scan.clone() };
    assert_eq!(code(make("a", 1, EXPIRES, good, &folder)), "not-packed");
    assert_eq!(code(make("a", 1, EXPIRES, "a.tar", &scan)), "bad-source");
    assert_eq!(code(make("A", 1, EXPIRES, good, &scan)), "bad-index-name");
    assert_eq!(code(make("a", 0, EXPIRES, good, &scan)), "index-number");
    assert_eq!(code(make("a", u64::MAX, EXPIRES, good, &scan)), "index-number");
    assert_eq!(code(make("a", 1, u64::MAX, good, &scan)), "bad-time");
}

#[test]
fn a_search_finds_all_words_and_names_first() {
    let plugin =
        |name: &str, description: &str| json!({ "name": name, "description": description, "versions": [] });
    let plugins = json!([
        plugin("zoo/words", "Counts."),
        plugin("acme/text", "Counts WORDS and lines."),
        plugin("acme/keywords", "Counts keys."),
        plugin("words/lines", "Something else."),
        plugin("acme/other", "Nothing."),
    ]);
    let index = Index::parse(with("/plugins", plugins).to_string().as_bytes()).unwrap();
    let found = |words: &[&str]| {
        index.search(words).into_iter().map(|listed| listed.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(found(&["Words"]), ["words/lines", "zoo/words", "acme/keywords", "acme/text"]);
    assert_eq!(found(&["zoo/words"]), ["zoo/words"]);
    assert_eq!(found(&["words", "lines"]), ["words/lines", "acme/text"]);
    assert_eq!(found(&["words", "nowhere"]), [""; 0]);
    assert_eq!(found(&[]).len(), 5);
}

// ---------------------------------------------------------------- lock files

fn lock() -> String {
    format!(
        "# mine\nversion = 1\n\n[[plugin]]\nname = \"b/c\"\nversion = \"1.2.0\"\ndigest = \"{DIGEST}\"\n\
         source = \"c.stockade.tar\"\ndependencies = [\"a/b 1.0.0\"]\n\n[[plugin]]\nname = \"a/b\"\n\
         version = \"1.0.0\"\ndigest = \"{DIGEST}\"\nsource = \"https://example.org/b.stockade.tar\"\n"
    )
}

#[test]
fn a_lock_file_is_read_and_written_sorted() {
    let read = Lock::parse(lock().as_bytes()).unwrap();
    assert_eq!(read.pins("b/c").unwrap().dependencies, [("a/b".to_owned(), Version::new(1, 0, 0))]);
    assert_eq!(read.pins("c/d"), None);
    assert_eq!(Lock::parse(read.to_toml().as_bytes()).unwrap(), read);
    insta::assert_snapshot!(read.to_toml(), @r#"
    # Written by stockade: which packages were taken. To be kept under version control.
    version = 1

    [[plugin]]
    name = "a/b"
    version = "1.0.0"
    digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    source = "https://example.org/b.stockade.tar"
    dependencies = []

    [[plugin]]
    name = "b/c"
    version = "1.2.0"
    digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    source = "c.stockade.tar"
    dependencies = ["a/b 1.0.0"]
    "#);
    assert_eq!(read.without(&["a/b"]).plugins().len(), 1);
}

#[test]
fn what_is_no_lock_file_is_refused_with_line_and_column() {
    let other = format!("oci://example.org/r@sha256:{}", "0".repeat(64));
    for (from, to, expected) in [
        ("version = 1\n", "version = 2\n", "lock-format at stockade.lock"),
        ("version = 1\n", "", "lock-shape at stockade.lock:1:1"),
        ("# mine", "more = 1", "lock-shape at stockade.lock:1:1"),
        ("# mine", "version = 1", "lock-shape at stockade.lock:2:1"),
        ("# mine", "]", "lock-shape at stockade.lock:1:1"),
        ("name = \"b/c\"", "name = \"b\"", "lock-value at stockade.lock:5:8"),
        ("name = \"b/c\"", "name = 1", "lock-shape at stockade.lock:5:8"),
        ("name = \"b/c\"", "name = \"a/b\"", "lock-duplicate at stockade.lock:9:17"),
        ("\"1.2.0\"", "\"1.2\"", "lock-value at stockade.lock:6:11"),
        ("\"sha256:", "\"sha512:", "lock-value at stockade.lock:7:10"),
        ("c.stockade.tar", "/c.stockade.tar", "lock-value at stockade.lock:8:10"),
        ("c.stockade.tar", &other, "lock-value at stockade.lock:8:10"),
        ("\"a/b 1.0.0\"", "\"a/b\"", "lock-value at stockade.lock:9:17"),
        ("\"a/b 1.0.0\"", "\"b/c 1.0.0\"", "lock-duplicate at stockade.lock:9:17"),
        ("\"a/b 1.0.0\"", "\"a/b 1.0.0\", \"a/b 1.0.1\"", "lock-duplicate at stockade.lock:9:30"),
    ] {
        assert!(lock().contains(from), "{from}");
        let Problem { code, field, next_step, .. } =
            Lock::parse(lock().replacen(from, to, 1).as_bytes()).expect_err(to).problem();
        assert!(!next_step.is_empty());
        assert_eq!(format!("{code} at {field}"), expected, "{to}");
    }
    let twice = lock().replace("name = \"a/b\"", "name = \"b/c\"");
    let problem = Lock::parse(twice.as_bytes()).expect_err("twice").problem();
    assert_eq!((problem.code, problem.field.as_str()), ("lock-duplicate", "stockade.lock:12:8"));
    let too_large = vec![b'#'; MAX_LOCK as usize + 1];
    assert_eq!(Lock::parse(&too_large).expect_err("too large").problem().code, "lock-too-large");
    let many = format!("[{}]", "\"a/x 1.0.0\",".repeat(65));
    let many = lock().replace("[\"a/b 1.0.0\"]", &many);
    assert_eq!(Lock::parse(many.as_bytes()).expect_err("too many").problem().code, "lock-too-many");
    assert_eq!(Lock::parse(b"version = 1\n\xff").expect_err("no UTF-8").problem().field, "stockade.lock:2:1");
}

// ---------------------------------------------------------------- the schema, and what holds of all

/// docs/schema/index.v1.json, which editors have.
#[test]
fn the_published_schema_takes_what_is_an_index() {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/schema/index.v1.json")).unwrap();
    let validator = jsonschema::options().offline().build(&schema).unwrap();
    assert!(validator.is_valid(&whole()));
    let (scan, bytes) = package("a/scan", "1.0.0", NEEDS);
    let made = Index::of_packages("a", 1, EXPIRES, vec![("a.stockade.tar".into(), &scan, bytes)]).unwrap();
    assert!(validator.is_valid(&serde_json::from_str(&made.to_json()).unwrap()));
    // Each key at each place is known to both, and no other is.
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let index = whole();
    let (properties, version) = (&schema["properties"], &schema["$defs"]["version"]["properties"]);
    assert_eq!(keys(properties), keys(&index));
    assert_eq!(keys(&properties["plugins"]["items"]["properties"]), keys(&index["plugins"][0]));
    let whole_version = &index["plugins"][0]["versions"][0];
    assert_eq!(keys(version), keys(whole_version));
    assert_eq!(
        keys(&version["dependencies"]["items"]["properties"]),
        keys(&whole_version["dependencies"][0])
    );
    // What the schema lets out, the parser does, and the other way round.
    let required = |schema: &Value| {
        schema["required"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for key in keys(whole_version) {
        let mut without = whole();
        without["plugins"][0]["versions"][0].as_object_mut().unwrap().remove(&key);
        let is_required = required(&schema["$defs"]["version"]).contains(&key);
        assert_eq!(Index::parse(without.to_string().as_bytes()).is_err(), is_required, "{key}");
    }
    assert_eq!(properties["plugins"]["maxItems"], json!(MAX_PLUGINS));
    assert_eq!(properties["version"]["maximum"], json!(MAX_INDEX_VERSION));
    let of_plugin = &properties["plugins"]["items"]["properties"];
    assert_eq!(of_plugin["versions"]["maxItems"], json!(MAX_VERSIONS));
    for (pointer, value) in [
        ("/plugins/0/versions/0/source", json!("a.tar")),
        ("/plugins/0/versions/0/digest", json!("sha256:0")),
        ("/plugins/0/name", json!("scan")),
        ("/version", json!(0)),
        ("/more", json!(1)),
    ] {
        assert!(!validator.is_valid(&with(pointer, value)), "{pointer}");
    }
}

fn indexes() -> impl Strategy<Value = Value> {
    let range =
        prop_oneof![Just("^1.2"), Just("1"), Just(">=1, <3"), Just("*"), Just("=1.0.0-rc.1"), Just("~0.3")];
    let need = ("[a-z]/[x-z]", range.clone(), any::<Option<bool>>());
    let version = (
        "(0|[1-9][0-9]{0,3})\\.[0-9]\\.[0-9](-(rc|a)\\.[1-9])?(\\+[a-z]{1,3})?",
        (1_u64..1000, "[a-z]{1,4}", proptest::option::of(range), proptest::option::of("\\PC{0,20}")),
        proptest::collection::vec(need, 0..3),
    );
    let plugin = ("[a-z]/[a-f]{1,2}", "\\PC{0,20}", proptest::collection::vec(version, 0..4));
    let plugins = proptest::collection::vec(plugin, 0..4);
    (1..=MAX_INDEX_VERSION, plugins).prop_map(|(version, plugins)| {
        let plugins = plugins.into_iter().map(|(name, description, versions)| {
            let versions = versions.into_iter().map(|(version, (bytes, file, host, yanked), needs)| {
                let needs = needs.into_iter().map(|(plugin, version, optional)| {
                    let mut need = json!({ "plugin": plugin, "version": version });
                    optional.into_iter().for_each(|optional| need["optional"] = json!(optional));
                    need
                });
                let mut release = json!({
                    "version": version, "type": "agent", "digest": DIGEST, "bytes": bytes,
                    "source": format!("{file}.stockade.tar"), "contract": "0.1",
                    "dependencies": needs.collect::<Vec<_>>(),
                });
                host.into_iter().for_each(|host| release["host"] = json!(host));
                yanked.into_iter().for_each(|yanked| release["yanked"] = json!(yanked));
                release
            });
            json!({ "name": name, "description": description, "versions": versions.collect::<Vec<_>>() })
        });
        let plugins: Vec<Value> = plugins.collect();
        json!({
            "schema": 1, "name": "a", "version": version, "expires": "2027-01-31T00:00:00Z", "plugins": plugins,
        })
    })
}

proptest! {
    /// What is read is written so that it is read again, in one spelling, and the schema takes it.
    #[test]
    fn what_is_written_is_read(document in indexes()) {
        match Index::parse(document.to_string().as_bytes()) {
            Ok(index) => {
                let json = index.to_json();
                let again = Index::parse(json.as_bytes()).unwrap();
                prop_assert_eq!(&again, &index);
                prop_assert_eq!(again.to_json(), json);
            }
            // Made at random, the same can be there twice.
            Err(error) => {
                let code = error.problem().code;
                prop_assert!(code.starts_with("duplicate-") || code == "depends-on-itself", "{code}");
            }
        }
    }

    #[test]
    fn any_bytes_are_an_index_or_are_not(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(Index::parse(text.as_bytes()).is_err());
        prop_assert!(Index::parse(&bytes).is_err());
        let _ = Lock::parse(&bytes).map_err(|error| error.problem());
    }
}

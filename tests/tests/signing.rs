//! Signatures of plugins and of the policy: what they are bound to, and each way to get past one.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use stockade_audit::{Layer, Reader};
use stockade_tests::served::{Site, lives, until};
use stockade_tests::{dist, example, skipped};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)))
}

/// The code of a command that must fail.
fn code(output: &Output) -> String {
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{}{said}", text(&output.stdout));
    said.split_once("error[")
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or(said.clone(), |(code, _)| code.to_owned())
}

/// A site whose plugin asks for one host.
struct Yard(Site);

impl Yard {
    fn new() -> Yard {
        let yard = Yard(Site::new());
        yard.write("acme/deps", "1.0.0", "text-stats");
        yard
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.0.path(&name.replace('/', "-"))
    }

    fn write(&self, name: &str, version: &str, component: &str) {
        let folder = self.folder(name);
        fs::create_dir_all(&folder).unwrap();
        let wasm = example(component).join(format!("{}.wasm", component.replace('-', "_")));
        fs::copy(wasm, folder.join("plugin.wasm")).unwrap();
        let manifest = format!(
            "manifest = 1\nname = \"{name}\"\nversion = \"{version}\"\ntype = \"integration\"\ncontract = \"0.1\"\n\
             description = \"Asks.\"\ncomponent = \"plugin.wasm\"\n\
             [[tools]]\nname = \"stats\"\ndescription = \"Counts.\"\ninput = '{{}}'\n\
             [[permissions]]\ncapability = \"http\"\nresource = \"api.example.org\"\nreason = \"it asks\"\n"
        );
        fs::write(folder.join("plugin.toml"), manifest).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.folder(name).to_str().unwrap().to_owned()
    }

    /// A command that needs no host and no state.
    fn plain(&self, arguments: &[&str]) -> Output {
        Command::new(dist().join("stockade")).args(arguments).output().expect("the program is there")
    }

    /// A new key; its public half.
    fn key(&self, name: &str) -> String {
        let path = self.0.path(name);
        let made = self.plain(&["key", "new", path.to_str().unwrap(), "--format", "json"]);
        document(&made)["key"].as_str().unwrap().to_owned()
    }

    fn sign(&self, path: &str, key: &str) -> Output {
        self.plain(&["sign", path, "--key", self.0.path(key).to_str().unwrap()])
    }

    fn policy(&self, text: &str) -> String {
        let path = self.0.path("policy.toml");
        fs::write(&path, format!("format = 1\nversion = 1\n{text}")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, policy: &str) -> Output {
        let path = self.path("acme/deps");
        self.0.run(&["run", &path, "--policy", policy, "--tool", "stats", "--args", r#"{"text":"a b"}"#])
    }

    fn granted(&self, policy: &str) -> usize {
        let shown =
            self.0.run(&["grants", "show", &self.path("acme/deps"), "--policy", policy, "--format", "json"]);
        let shown = document(&shown);
        let granted = shown["grants"]["granted"].as_array().unwrap();
        granted.iter().filter(|grant| grant["scope"] == "http:api.example.org").count()
    }
}

#[test]
fn a_publishers_plugins_run_signed_by_it_and_not_otherwise() {
    let yard = Yard::new();
    let (key, other) = (yard.key("acme.pem"), yard.key("other.pem"));
    let policy = yard.policy(&format!("[publishers.acme]\nkeys = [\"{key}\"]\n"));
    let path = yard.path("acme/deps");
    assert_eq!(code(&yard.run(&policy)), "publisher-not-signed");
    assert_eq!(yard.sign(&path, "other.pem").status.code(), Some(0));
    assert_eq!(code(&yard.run(&policy)), "publisher-not-signed", "somebody else's key");
    assert_eq!(yard.sign(&path, "acme.pem").status.code(), Some(0));
    let run = yard.run(&policy);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let verified = yard.plain(&["verify", &path, "--by", &key]);
    assert_eq!(verified.status.code(), Some(0));
    assert_eq!(text(&verified.stdout), format!("signed by {other}\nsigned by {key}\n"));
    // Another publisher's plugins are not asked for one.
    fs::write(
        yard.folder("acme/deps").join("plugin.toml"),
        fs::read_to_string(yard.folder("acme/deps").join("plugin.toml")).unwrap().replace("acme/", "ecma/"),
    )
    .unwrap();
    assert_eq!(code(&yard.run(&policy)), "signature-of-other-files", "a broken signature is not none");
    fs::remove_file(yard.folder("acme/deps").join("plugin.dsse.json")).unwrap();
    assert_eq!(yard.run(&policy).status.code(), Some(0));

    let records = Reader::open(yard.0.state().join("audit")).unwrap().map(Result::unwrap);
    let records: Vec<_> = records.filter(|entry| entry.record.layer == Layer::Policy).collect();
    let refused = records.iter().filter(|entry| entry.record.operation == "signature").count();
    assert_eq!(refused, 2);
    let signed: Vec<_> = records.iter().filter_map(|entry| entry.record.detail.text("signed_by")).collect();
    assert_eq!(signed, [&key], "only the publisher's counts");
}

#[test]
fn what_was_changed_after_it_was_signed_is_refused() {
    let yard = Yard::new();
    yard.key("acme.pem");
    let policy = yard.policy("");
    let path = yard.path("acme/deps");
    let signed = |yard: &Yard| {
        yard.write("acme/deps", "1.0.0", "text-stats");
        let _ = fs::remove_file(yard.folder("acme/deps").join("plugin.dsse.json"));
        assert_eq!(yard.sign(&path, "acme.pem").status.code(), Some(0));
        assert_eq!(yard.run(&policy).status.code(), Some(0));
    };
    let change = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        signed(&yard);
        let file = yard.folder("acme/deps").join(name);
        let mut bytes = fs::read(&file).unwrap();
        change(&mut bytes);
        fs::write(&file, bytes).unwrap();
        code(&yard.run(&policy))
    };
    assert_eq!(change("plugin.wasm", &|bytes| bytes.push(0)), "signature-of-other-files");
    assert_eq!(change("plugin.wasm", &|bytes| *bytes.last_mut().unwrap() ^= 1), "signature-of-other-files");
    assert_eq!(change("plugin.toml", &|bytes| bytes.push(b'\n')), "signature-of-other-files");
    assert_eq!(change("plugin.dsse.json", &|bytes| bytes.clear()), "signature-malformed");
    // One letter of the signature, and of the statement.
    let envelope = |bytes: &mut Vec<u8>, field: &str| {
        let mut envelope: Value = serde_json::from_slice(bytes).unwrap();
        let place = match field {
            "sig" => &mut envelope["signatures"][0]["sig"],
            _ => &mut envelope["payload"],
        };
        let mut changed = place.as_str().unwrap().to_owned().into_bytes();
        changed[20] = if changed[20] == b'A' { b'B' } else { b'A' };
        *place = json!(text(&changed));
        *bytes = serde_json::to_vec(&envelope).unwrap();
    };
    assert_eq!(change("plugin.dsse.json", &|bytes| envelope(bytes, "sig")), "signature-forged");
    assert_eq!(change("plugin.dsse.json", &|bytes| envelope(bytes, "payload")), "signature-forged");
    let nobody = |bytes: &mut Vec<u8>| {
        let mut envelope: Value = serde_json::from_slice(bytes).unwrap();
        envelope["signatures"] = json!([]);
        *bytes = serde_json::to_vec(&envelope).unwrap();
    };
    assert_eq!(change("plugin.dsse.json", &nobody), "signature-malformed");
    // Another plugin's signature.
    signed(&yard);
    yard.write("acme/other", "1.0.0", "text-stats");
    fs::copy(
        yard.folder("acme/deps").join("plugin.dsse.json"),
        yard.folder("acme/other").join("plugin.dsse.json"),
    )
    .unwrap();
    let other = yard.path("acme/other");
    let run = yard.0.run(&["run", &other, "--tool", "stats", "--args", r#"{"text":"a b"}"#]);
    assert_eq!(code(&run), "signature-of-other-files");
}

/// An approval of a range of versions is one of what the same key signs.
#[test]
fn an_approval_of_versions_is_bound_to_the_key() {
    let yard = Yard::new();
    let (key, other) = (yard.key("acme.pem"), yard.key("other.pem"));
    let policy = yard.policy(&format!("[publishers.acme]\nkeys = [\"{key}\", \"{other}\"]\n"));
    let path = yard.path("acme/deps");
    assert_eq!(yard.sign(&path, "acme.pem").status.code(), Some(0));
    let approve = yard.0.run(&[
        "approvals",
        "approve",
        &path,
        "--policy",
        &policy,
        "--versions",
        "^1",
        "--why",
        "reviewed",
        "--yes",
        "--format",
        "json",
    ]);
    let approval = document(&approve);
    assert_eq!(approval["approval"]["signed_by"], json!(key));
    assert_eq!(yard.granted(&policy), 1);
    let update = |version: &str, signed: &str| {
        yard.write("acme/deps", version, "secret-scan");
        fs::remove_file(yard.folder("acme/deps").join("plugin.dsse.json")).unwrap();
        if !signed.is_empty() {
            assert_eq!(yard.sign(&path, signed).status.code(), Some(0));
        }
    };
    update("1.1.0", "acme.pem");
    assert_eq!(yard.granted(&policy), 1, "the same key");
    update("1.1.0", "other.pem");
    assert_eq!(yard.granted(&policy), 0, "signed anew by another of the publisher's keys");
    update("2.0.0", "acme.pem");
    assert_eq!(yard.granted(&policy), 0, "another version");
    update("1.1.0", "acme.pem");
    fs::remove_file(yard.folder("acme/deps").join("plugin.dsse.json")).unwrap();
    let unnamed = yard.policy("");
    assert_eq!(yard.granted(&unnamed), 0, "signed by nobody, where nobody has to");
}

#[test]
fn a_policy_that_has_to_be_signed_holds_only_so() {
    let yard = Yard::new();
    let key = yard.key("policy.pem");
    yard.key("other.pem");
    let policy = yard.policy("");
    assert_eq!(yard.run(&policy).status.code(), Some(0), "nobody has to sign");
    let keys = yard.0.state().join("policy.pub");
    fs::copy(yard.0.path("policy.pem.pub"), &keys).unwrap();
    assert_eq!(code(&yard.run(&policy)), "policy-not-signed");
    assert_eq!(yard.sign(&policy, "other.pem").status.code(), Some(0));
    assert_eq!(code(&yard.run(&policy)), "policy-not-signed");
    assert_eq!(yard.sign(&policy, "policy.pem").status.code(), Some(0));
    assert_eq!(yard.run(&policy).status.code(), Some(0));
    let verified = document(&yard.plain(&["verify", &policy, "--by", &key, "--format", "json"]));
    assert_eq!(verified["signed_by"].as_array().unwrap().len(), 2);
    // Changed since, another document's signature, none at all, and no policy at all.
    yard.policy("[[rules]]\nid = \"open\"\naddresses = [\"10.0.0.0/8\"]\n");
    assert_eq!(code(&yard.run(&policy)), "signature-of-other-files");
    yard.sign(&yard.path("acme/deps"), "policy.pem");
    let beside = yard.0.path("policy.toml.dsse.json");
    fs::copy(yard.folder("acme/deps").join("plugin.dsse.json"), &beside).unwrap();
    assert_eq!(code(&yard.run(&policy)), "signature-malformed", "a plugin's");
    fs::remove_file(&beside).unwrap();
    assert_eq!(code(&yard.run(&policy)), "policy-not-signed");
    let path = yard.path("acme/deps");
    let run = yard.0.run(&["run", &path, "--tool", "stats", "--args", r#"{"text":"a b"}"#]);
    assert_eq!(code(&run), "policy-missing");
    // A list of keys without one is not a way to need none.
    fs::write(&keys, "# nobody\n").unwrap();
    assert_eq!(code(&yard.run(&policy)), "bad-policy-keys");
}

#[test]
fn a_running_host_keeps_its_policy_where_the_new_one_is_not_signed() {
    let yard = Yard::new();
    yard.key("policy.pem");
    let policy = yard.policy("[[rules]]\nid = \"first\"\nforbid = [\"http\"]\n");
    yard.sign(&policy, "policy.pem");
    fs::create_dir_all(yard.0.state()).unwrap();
    set_private(&yard.0.state());
    fs::copy(yard.0.path("policy.pem.pub"), yard.0.state().join("policy.pub")).unwrap();
    yard.0.configure("policy = \"policy.toml\"\n");
    let served = yard.0.serve();
    yard.policy("[[rules]]\nid = \"second\"\naddresses = [\"10.0.0.0/8\"]\n");
    let reload = yard.0.run(&["reload"]);
    assert_eq!(code(&reload), "signature-of-other-files");
    yard.sign(&policy, "policy.pem");
    until("the signed one is taken", || yard.0.run(&["reload"]).status.success());
    drop(served);
}

/// Both while it runs and when it is loaded next; and what was not revoked is not touched.
#[test]
fn e6_a_revoked_plugin_ends_while_it_runs_and_does_not_come_back() {
    let yard = Yard::new();
    let key = yard.key("acme.pem");
    let path = yard.path("acme/deps");
    assert_eq!(yard.sign(&path, "acme.pem").status.code(), Some(0));
    let component = fs::read(yard.folder("acme/deps").join("plugin.wasm")).unwrap();
    let digest = format!("sha256:{}", stockade_package::sha256(&component));
    let trust = |revoked: &[&str]| {
        let revoked: Vec<_> = revoked.iter().map(|what| format!("\"{what}\"")).collect();
        let publishers = format!("[publishers.acme]\nkeys = [\"{key}\"]\n");
        yard.policy(&format!("[trust]\nrevoked = [{}]\n{publishers}", revoked.join(", ")))
    };
    let policy = trust(&[]);
    // Another's, of another component.
    yard.write("ecma/quiet", "1.0.0", "secret-scan");
    yard.0.configure("policy = \"policy.toml\"\n");
    for name in ["acme/deps", "ecma/quiet"] {
        yard.0.file(name, "enabled = true\n");
    }
    let served = yard.0.serve();
    let call = || yard.0.run(&["call", "acme/deps", "stats", "--args", r#"{"text":"a b"}"#]);
    assert_eq!(call().status.code(), Some(0));
    let (worker, quiet) = (served.status("acme/deps").workers, served.status("ecma/quiet").workers);
    assert!(!worker.is_empty());

    for revoked in [digest.as_str(), key.as_str()] {
        trust(&[revoked]);
        assert_eq!(yard.0.run(&["reload"]).status.code(), Some(0), "{}", served.said());
        assert!(worker.iter().all(|pid| !lives(*pid)), "its worker lives on");
        assert_ne!(call().status.code(), Some(0), "{revoked}");
        let expected = if revoked == key { "publisher-not-signed" } else { "revoked" };
        assert!(served.status("acme/deps").reason.starts_with(expected), "{:?}", served.status("acme/deps"));
        assert_eq!(code(&yard.run(&policy)), "state-in-use", "a host runs here");
        assert_eq!(served.status("ecma/quiet").workers, quiet, "nobody else is touched");
    }
    trust(&[]);
    assert_eq!(yard.0.run(&["reload"]).status.code(), Some(0), "{}", served.said());
    assert_eq!(call().status.code(), Some(0), "what is revoked no more runs again");
    drop(served);

    trust(&[&digest]);
    assert_eq!(code(&yard.run(&policy)), "revoked");
    trust(&[&key]);
    assert_eq!(code(&yard.run(&policy)), "publisher-not-signed");
    let records = Reader::open(yard.0.state().join("audit")).unwrap().map(Result::unwrap);
    let why: Vec<String> = records
        .filter(|entry| entry.record.operation == "signature" && entry.record.event == "refused")
        .map(|entry| entry.record.reason.to_string())
        .collect();
    assert!(why.iter().any(|why| why.contains("was revoked (policy v1, rule trust")), "{why:?}");
    assert!(why.len() >= 4, "while it ran, and each time that it was to be loaded: {why:?}");
}

#[test]
fn e4_a_publisher_may_need_two_and_others_may_be_kept_out() {
    let yard = Yard::new();
    let (one, two) = (yard.key("one.pem"), yard.key("two.pem"));
    let path = yard.path("acme/deps");
    let policy = yard.policy(&format!("[publishers.acme]\nkeys = [\"{one}\", \"{two}\"]\nneeded = 2\n"));
    yard.sign(&path, "one.pem");
    yard.sign(&path, "one.pem");
    assert_eq!(code(&yard.run(&policy)), "publisher-not-signed", "one key twice");
    yard.sign(&path, "two.pem");
    assert_eq!(yard.run(&policy).status.code(), Some(0));
    let ended = format!("{{ key = \"{two}\", until = 2026-01-01 }}");
    let policy = yard.policy(&format!("[publishers.acme]\nkeys = [\"{one}\", {ended}]\nneeded = 2\n"));
    assert_eq!(code(&yard.run(&policy)), "publisher-not-signed", "its day is over");
    let policy = yard.policy("[trust]\nothers = \"refuse\"\n");
    assert_eq!(code(&yard.run(&policy)), "unknown-publisher");
}

fn set_private(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_key_is_kept_from_others_and_not_written_over() {
    let yard = Yard::new();
    yard.key("acme.pem");
    let path = yard.0.path("acme.pem");
    let again = yard.plain(&["key", "new", path.to_str().unwrap()]);
    assert_eq!(code(&again), "key-file");
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    assert_eq!(code(&yard.sign(&yard.path("acme/deps"), "acme.pem")), "key-exposed");
    set_private(&path);
    fs::write(&path, "no key").unwrap();
    assert_eq!(code(&yard.sign(&yard.path("acme/deps"), "acme.pem")), "bad-key");
}

/// Keys and signatures are those of others: OpenSSL makes the key, and checks what was signed with it.
#[test]
fn openssl_makes_a_key_and_checks_the_signature() {
    const TEST: &str = "openssl_makes_a_key_and_checks_the_signature";
    let openssl = |arguments: &[&str]| Command::new("openssl").args(arguments).output();
    if !openssl(&["version"]).is_ok_and(|output| text(&output.stdout).starts_with("OpenSSL 3")) {
        return skipped(TEST, "there is no OpenSSL 3 (Debian: apt-get install openssl)");
    }
    let yard = Yard::new();
    let file = |name: &str| yard.0.path(name).to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        let output = openssl(arguments).unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    };
    run(&["genpkey", "-algorithm", "ed25519", "-out", &file("theirs.pem")]);
    run(&["pkey", "-in", &file("theirs.pem"), "-pubout", "-out", &file("theirs.pub")]);
    assert_eq!(yard.sign(&yard.path("acme/deps"), "theirs.pem").status.code(), Some(0));
    let envelope = fs::read(yard.folder("acme/deps").join("plugin.dsse.json")).unwrap();
    let envelope: Value = serde_json::from_slice(&envelope).unwrap();
    for (name, base64) in [("payload", &envelope["payload"]), ("sig", &envelope["signatures"][0]["sig"])] {
        fs::write(file(&format!("{name}.base64")), base64.as_str().unwrap()).unwrap();
        run(&["base64", "-d", "-A", "-in", &file(&format!("{name}.base64")), "-out", &file(name)]);
    }
    // As https://github.com/secure-systems-lab/dsse writes it.
    let payload = fs::read(file("payload")).unwrap();
    let mut signed = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len()).into_bytes();
    signed.extend(&payload);
    fs::write(file("signed"), signed).unwrap();
    run(&[
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        &file("theirs.pub"),
        "-rawin",
        "-in",
        &file("signed"),
        "-sigfile",
        &file("sig"),
    ]);
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    let names: Vec<_> = statement["subject"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["plugin.toml", "plugin.wasm"]);
}

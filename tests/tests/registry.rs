//! Packages in registries: Debian's registry server, somebody else's client, and registries that are up to something.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stockade_package::archive::{Blobs, Parts, blobs, pack};
use stockade_package::sha256;
use stockade_tests::served::Site;
use stockade_tests::site::Authority;
use stockade_tests::{dist, document, skipped, text};

/// The user of the registry, and what its server keeps of the password (bcrypt).
const USER: &str = "author:correct-horse";
const KEPT: &str = "author:$2y$05$.7sFXvhMsvm838BSHnYTd.nT8icW5QxLFv/aZ2LvGprebm2pSFl0i\n";

/// A package that was made by the program, and what is in it.
struct Made {
    site: Site,
    file: PathBuf,
    digest: String,
}

/// How a plugin is said to have been built; of which, a registry does not care.
const PROVENANCE: &str = r#"{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1",
"subject":[],"predicate":{"buildDefinition":{"buildType":"b","externalParameters":{}},"runDetails":{"builder":{"id":"i"}}}}"#;

fn made() -> Made {
    let site = Site::new();
    site.plugin("acme/stats", &[]);
    let (folder, file) = (site.path("acme-stats"), site.path("stats.tar"));
    // With all that a package can have.
    fs::write(folder.join("provenance.json"), PROVENANCE).expect("writable");
    let arguments = ["pack", path(&folder), "-o", path(&file), "--format", "json"];
    let digest = document(&site.run(&arguments))["digest"].as_str().expect("a digest").to_owned();
    Made { site, file, digest }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

impl Made {
    /// `stockade` without any state, by the credentials of the site's folder `docker`.
    fn stockade(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(dist().join("stockade"));
        command.args(arguments).args(["--format", "json"]).env("DOCKER_CONFIG", self.site.path("docker"));
        command.current_dir(self.site.path("")).output().expect("the program is there")
    }

    /// Why a command fails.
    fn error(&self, arguments: &[&str]) -> Value {
        let output = self.stockade(arguments);
        assert!(!output.status.success(), "{output:?}");
        document(&output)["error"].clone()
    }

    fn code(&self, arguments: &[&str]) -> String {
        self.error(arguments)["code"].as_str().expect("a code").to_owned()
    }

    /// Writes Docker's configuration, as `docker login` would.
    fn log_in(&self, registry: &str, user: &str) {
        use base64::Engine;
        let auth = base64::engine::general_purpose::STANDARD.encode(user);
        let folder = self.site.path("docker");
        fs::create_dir_all(&folder).expect("writable");
        let config = json!({ "auths": { registry: { "auth": auth } } });
        fs::write(folder.join("config.json"), config.to_string()).expect("writable");
    }

    fn blobs(&self) -> Blobs {
        blobs(&stockade_package::archive::Archive::open(&self.file).expect("a package").parts)
    }
}

/// Debian's registry server, on the loopback device.
struct Registry {
    server: Child,
    name: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Registry {
    /// Over TLS by `authority` and with a password, where one is given.
    fn start(made: &Made, authority: Option<&Authority>) -> Option<Registry> {
        let program = std::env::var_os("STOCKADE_REGISTRY")?;
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let write = |name: &str, content: &str| {
            let path = made.site.path(name);
            fs::write(&path, content).expect("writable");
            path.display().to_string()
        };
        let mut config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            made.site.path("registry").display()
        );
        if let Some(authority) = authority {
            let (certificate, key) = authority.issue(&["localhost"]);
            let (certificate, key) = (write("server.pem", &certificate), write("server.key", &key));
            let kept = write("htpasswd", KEPT);
            config.push_str(&format!("  tls:\n    certificate: {certificate}\n    key: {key}\n"));
            config.push_str(&format!("auth:\n  htpasswd:\n    realm: here\n    path: {kept}\n"));
        }
        let config = write("registry.yml", &config);
        let server = Command::new(program)
            .args(["serve", &config])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let registry = Registry { server, name: format!("localhost:{port}") };
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "the registry does not come up");
            thread::sleep(Duration::from_millis(20));
        }
        Some(registry)
    }
}

const NO_REGISTRY: &str = "no docker-registry here (cargo xtask test fetches it from Debian)";

#[test]
fn a_package_goes_to_a_real_registry_and_comes_back_the_same() {
    let (made, authority) = (made(), Authority::new());
    let Some(registry) = Registry::start(&made, Some(&authority)) else {
        return skipped("a_package_goes_to_a_real_registry_and_comes_back_the_same", NO_REGISTRY);
    };
    fs::write(made.site.path("ca.pem"), authority.pem()).expect("writable");
    let (file, tag) = (path(&made.file), format!("oci://{}/acme/stats:0.1.0", registry.name));
    let trust = ["--trust", "ca.pem"];
    assert_eq!(open(&made).provenance.as_deref(), Some(PROVENANCE));

    assert_eq!(made.code(&["push", file, &tag]), "registry-unreachable", "nobody vouches for it");
    assert_eq!(made.code(&[&["push", file, &tag], &trust[..]].concat()), "registry-unauthorized");
    made.log_in(&registry.name, "author:wrong");
    assert_eq!(made.code(&[&["push", file, &tag], &trust[..]].concat()), "registry-unauthorized");
    made.log_in(&registry.name, USER);
    for _ in 0..2 {
        let pushed = document(&made.stockade(&[&["push", file, &tag], &trust[..]].concat()));
        assert_eq!(pushed["digest"], made.digest, "{pushed}");
    }
    let by_digest = format!("oci://{}/acme/stats@{}", registry.name, made.digest);
    for reference in [&tag, &by_digest] {
        let pulled =
            document(&made.stockade(&[&["pull", reference, "-o", "again.tar"], &trust[..]].concat()));
        assert_eq!((&pulled["digest"], &pulled["plugin"]), (&json!(made.digest), &json!("acme/stats")));
        assert_eq!(fs::read(made.site.path("again.tar")).expect("pulled"), fs::read(file).expect("made"));
        fs::remove_file(made.site.path("again.tar")).expect("it is ours");
    }
    let none = format!("oci://{}/acme/stats:9.9.9", registry.name);
    assert_eq!(made.code(&[&["pull", &none], &trust[..]].concat()), "not-in-registry");
    assert_eq!(made.code(&[&["push", file, &by_digest], &trust[..]].concat()), "tag-needed");
    let ran = made.site.run(&["run", file, "--tool", "stats", "--args", r#"{"text":"a b"}"#]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
}

#[test]
fn another_client_gets_the_same_digest_and_gives_the_same_package() {
    let made = made();
    let skopeo = std::env::var_os("STOCKADE_SKOPEO").map(PathBuf::from);
    let (Some(skopeo), Some(registry)) = (skopeo, Registry::start(&made, None)) else {
        return skipped("another_client_gets_the_same_digest_and_gives_the_same_package", NO_REGISTRY);
    };
    let root = skopeo.ancestors().nth(3).expect("below usr/bin");
    let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|lib| root.join(lib));
    let libraries = std::env::join_paths(libraries).expect("paths");
    let copy = |from: &str, to: &str| {
        let copied = Command::new(&skopeo)
            .args(["--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"])
            .args(["--preserve-digests", from, to])
            .env("LD_LIBRARY_PATH", &libraries)
            .env("HOME", made.site.path(""))
            .env("TMPDIR", made.site.path(""))
            .output()
            .expect("it starts");
        assert!(copied.status.success(), "{}", text(&copied.stderr));
    };

    let ours = format!("oci://{}/acme/stats:ours", registry.name);
    assert!(made.stockade(&["push", path(&made.file), &ours, "--plain-http"]).status.success());
    let layout = made.site.path("layout");
    copy(&format!("docker://{}/acme/stats:ours", registry.name), &format!("oci:{}", layout.display()));
    let index: Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).expect("a layout")).expect("JSON");
    assert_eq!(index["manifests"][0]["digest"], made.digest);

    copy(
        &format!("oci-archive:{}", made.file.display()),
        &format!("docker://{}/acme/other:theirs", registry.name),
    );
    let theirs = format!("oci://{}/acme/other:theirs", registry.name);
    let pulled = document(&made.stockade(&["pull", &theirs, "-o", "theirs.tar", "--plain-http"]));
    assert_eq!(pulled["digest"], made.digest);
    assert_eq!(fs::read(made.site.path("theirs.tar")).expect("pulled"), fs::read(&made.file).expect("made"));
}

/// What a registry of the test's own answers: to the request line and the head.
type Answers = Box<dyn Fn(&str, &str) -> Vec<u8> + Send>;

/// Serves until the test ends; the requests that came.
fn serve(answers: Answers) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let name = format!("localhost:{}", listener.local_addr().expect("an address").port());
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&seen);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let head = head(&mut stream);
            let line = head.lines().next().unwrap_or_default().to_owned();
            noted.lock().expect("no panic").push(head.clone());
            let _ = stream.write_all(&answers(&line, &head));
        }
    });
    (name, seen)
}

/// The head of a request, in small letters.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).to_ascii_lowercase()
}

fn answer(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A registry that has this package, and what it says in the place of some of it.
fn lying(blobs: &Blobs, lie: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static) -> String {
    let Blobs { manifest, config, component } = blobs.clone();
    let (name, _) = serve(Box::new(move |line, _| {
        if let Some(lie) = lie(line) {
            return lie;
        }
        if line.starts_with("get /v2/ ") {
            return answer("200 OK", "", b"{}");
        }
        if line.contains("/manifests/") {
            return answer("200 OK", "", &manifest.bytes);
        }
        let blob = [&config, &component].into_iter().find(|blob| line.contains(&blob.digest));
        blob.map_or_else(|| answer("404 Not Found", "", b""), |blob| answer("200 OK", "", &blob.bytes))
    }));
    name
}

#[test]
fn e13_what_a_registry_sends_is_what_was_asked_for_or_nothing_is_kept() {
    let made = made();
    let blobs = made.blobs();
    let pull = |made: &Made, name: &str, which: &str| {
        made.error(&["pull", &format!("oci://{name}/acme/stats{which}"), "-o", "x.tar", "--plain-http"])
    };
    // It has the package: what follows is refused for the lie alone.
    let honest = lying(&blobs, |_| None);
    let reference = format!("oci://{honest}/acme/stats:1");
    let pulled = made.stockade(&["pull", &reference, "-o", "honest.tar", "--plain-http"]);
    assert_eq!(document(&pulled)["digest"], made.digest);

    let component = blobs.component.clone();
    let changed = [&component.bytes[..], b"x"].concat();
    let swapped = component.bytes.iter().rev().copied().collect::<Vec<_>>();
    let other = Parts { manifest: "other".to_owned(), ..open(&made) };
    let other = stockade_package::archive::blobs(&other);
    let two = text(&blobs.manifest.bytes).replace("\"layers\":[", &format!("\"layers\":[{},", layer(&blobs)));
    let spaced = [&blobs.manifest.bytes[..], b"\n"].concat();
    let huge = text(&blobs.manifest.bytes)
        .replace(&format!("\"size\":{}", component.bytes.len()), "\"size\":99999999999");
    let of_blob =
        move |line: &str, digest: &str, lie: &[u8]| line.contains(digest).then(|| answer("200 OK", "", lie));
    let of_manifest =
        |lie: Vec<u8>| move |line: &str| line.contains("/manifests/").then(|| answer("200 OK", "", &lie));
    let digest = component.digest.clone();
    let endless = {
        let digest = digest.clone();
        move |line: &str| {
            line.contains(&digest).then(|| {
                let mut endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
                endless.resize(8 << 20, b'x');
                endless
            })
        }
    };
    let longer = {
        let digest = digest.clone();
        move |line: &str| of_blob(line, &digest, &changed)
    };
    let swap = {
        let digest = digest.clone();
        move |line: &str| of_blob(line, &digest, &swapped)
    };
    let html = of_manifest(b"<html>Sign in</html>".to_vec());
    type Lie = Box<dyn Fn(&str) -> Option<Vec<u8>> + Send>;
    let lies: Vec<(&str, Lie, &str)> = vec![
        ("a blob without an end", Box::new(endless), "registry-unreachable"),
        ("a longer blob", Box::new(longer), "registry-unreachable"),
        ("other bytes", Box::new(swap), "registry-answer"),
        ("a page", Box::new(html), "not-a-package"),
        ("two layers", Box::new(of_manifest(two.into_bytes())), "not-a-package"),
        ("another spelling", Box::new(of_manifest(spaced)), "not-a-package"),
        ("an absurd size", Box::new(of_manifest(huge.into_bytes())), "not-a-package"),
        ("a long manifest", Box::new(of_manifest(vec![b' '; 20_000])), "registry-unreachable"),
        ("another package's manifest", Box::new(of_manifest(other.manifest.bytes)), "not-in-registry"),
        (
            "an error",
            Box::new(|line: &str| line.contains("/manifests/").then(|| answer("500 No", "", b"\x1b[2J"))),
            "registry-refused",
        ),
    ];
    for (what, lie, code) in lies {
        let error = pull(&made, &lying(&blobs, lie), ":1");
        assert_eq!(error["code"], code, "{what}");
        // What has no end is left at its bound, and not for another reason.
        let is_bound = error["message"].as_str().expect("a text").contains("the answer is longer than");
        assert_eq!(is_bound, code == "registry-unreachable", "{what}: {error}");
        assert!(!made.site.path("x.tar").exists(), "{what}");
    }
    // A digest names one package, whatever the registry has there.
    let wrong = format!("@sha256:{}", sha256(b"another"));
    assert_eq!(pull(&made, &lying(&blobs, |_| None), &wrong)["code"], "registry-answer");
}

/// Twenty seconds, so among the slow tests.
#[test]
#[ignore = "waits for 20 seconds"]
fn e13_a_registry_that_drips_is_left() {
    let made = made();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let name = format!("localhost:{}", listener.local_addr().expect("an address").port());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            head(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(200));
            }
        }
    });
    let began = Instant::now();
    assert_eq!(
        made.code(&["pull", &format!("oci://{name}/acme/stats:1"), "-o", "x.tar", "--plain-http"]),
        "registry-unreachable"
    );
    let waited = began.elapsed();
    assert!((Duration::from_secs(15)..Duration::from_secs(60)).contains(&waited), "{waited:?}");
}

fn open(made: &Made) -> Parts {
    stockade_package::archive::Archive::open(&made.file).expect("a package").parts
}

/// The entry of a manifest for its layer.
fn layer(blobs: &Blobs) -> String {
    let manifest: Value = serde_json::from_slice(&blobs.manifest.bytes).expect("JSON");
    manifest["layers"][0].to_string()
}

#[test]
fn e13_nobody_else_is_sent_the_package_or_asked_for_it() {
    let made = made();
    let blobs = made.blobs();
    let (elsewhere, asked) = serve(Box::new(|_, _| answer("200 OK", "", b"")));
    made.log_in("localhost", USER);

    // An upload that is to go to another origin.
    let place = elsewhere.clone();
    let (name, _) = serve(Box::new(move |line, _| match line {
        line if line.starts_with("post ") => {
            answer("202 Accepted", &format!("Location: http://{place}/upload\r\n"), b"")
        }
        line if line.starts_with("head ") => answer("404 Not Found", "", b""),
        _ => answer("200 OK", "", b"{}"),
    }));
    let push = ["push", path(&made.file), &format!("oci://{name}/acme/stats:1"), "--plain-http"];
    assert_eq!(made.code(&push), "registry-answer");

    // A blob that is to be fetched from within the operator's own network: without TLS, and with it.
    for scheme in ["http", "https"] {
        let place = elsewhere.clone();
        let component = blobs.component.digest.clone();
        let name = lying(&blobs, move |line| {
            let there = format!("Location: {scheme}://{place}/blob\r\n");
            line.contains(&component).then(|| answer("307 Temporary Redirect", &there, b""))
        });
        let pull = ["pull", &format!("oci://{name}/acme/stats:1"), "-o", "x.tar", "--plain-http"];
        let output = made.stockade(&pull);
        let error = &document(&output)["error"];
        match scheme {
            "http" => assert_eq!(error["code"], "registry-answer", "{error}"),
            _ => assert!(error["message"].as_str().is_some_and(|text| text.contains("is closed")), "{error}"),
        }
    }
    assert!(asked.lock().expect("no panic").is_empty(), "somebody else was asked: {asked:?}");
}

/// <https://distribution.github.io/distribution/spec/auth/token/>
#[test]
fn a_registry_with_tokens_is_told_the_password_by_its_realm_alone() {
    let made = made();
    let blobs = made.blobs();
    let (tokens, asked) = serve(Box::new(|line, head| {
        assert!(line.contains("scope=repository%3aacme%2fstats%3apull&service=here"), "{line}");
        match head.contains("authorization: basic ") {
            true => answer("200 OK", "", br#"{"token":"the-token"}"#),
            false => answer("401 Unauthorized", "", b""),
        }
    }));
    let Blobs { manifest, config, component } = blobs;
    let realm = tokens.clone();
    let (name, seen) = serve(Box::new(move |line, head| {
        if !head.contains("authorization: bearer the-token") {
            let challenge =
                format!("WWW-Authenticate: Bearer realm=\"http://{realm}/token\",service=\"here\"\r\n");
            return answer("401 Unauthorized", &challenge, b"");
        }
        let all = [&manifest, &config, &component];
        let blob = all.into_iter().find(|blob| line.contains(&blob.digest)).unwrap_or(&manifest);
        answer("200 OK", "", &blob.bytes)
    }));
    let reference = format!("oci://{name}/acme/stats:1");
    let pull = ["pull", &reference, "-o", "x.tar", "--plain-http"];
    assert_eq!(made.code(&pull), "registry-unauthorized", "nobody has logged in");
    made.log_in(&name, USER);
    assert_eq!(document(&made.stockade(&pull))["digest"], made.digest);
    assert_eq!(asked.lock().expect("no panic").len(), 2);
    assert!(seen.lock().expect("no panic").iter().all(|head| !head.contains("basic")), "{seen:?}");
    assert_eq!(fs::read(made.site.path("x.tar")).expect("pulled"), pack(&open(&made)).bytes);
}

#[test]
fn a_helper_has_the_password() {
    use std::os::unix::fs::PermissionsExt;
    let made = made();
    let Some(registry) = Registry::start(&made, Some(&Authority::new())) else {
        return skipped("a_helper_has_the_password", NO_REGISTRY);
    };
    let folder = made.site.path("docker");
    fs::create_dir_all(&folder).expect("writable");
    let helper = made.site.path("docker-credential-test");
    let script = "#!/bin/sh\nread registry\necho \"asked for $registry\" >&2\n\
                  printf '{\"Username\":\"author\",\"Secret\":\"wrong\"}'\n";
    fs::write(&helper, script).expect("writable");
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::write(folder.join("config.json"), r#"{"credsStore":"test"}"#).expect("writable");
    let reference = format!("oci://{}/acme/stats:1", registry.name);
    let mut command = Command::new(dist().join("stockade"));
    command.args(["pull", &reference, "--format", "json"]).env("DOCKER_CONFIG", &folder);
    let without = command.output().expect("the program is there");
    assert_eq!(document(&without)["error"]["code"], "registry-credentials", "there is no such helper");
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", made.site.path("").display()));
    let with = command.output().expect("the program is there");
    assert_eq!(document(&with)["error"]["code"], "registry-unreachable", "it came as far as the certificate");
}

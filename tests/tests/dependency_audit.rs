//! An example plugin as its users meet it: it asks a database over TLS, with a token that it never sees, and
//! remembers the answers.

use std::fs;

use serde_json::{Value as Json, json};
use stockade_audit::{Decision, Layer};
use stockade_host::{GrantRequest, LoadRequest, Outcome, Plugin, SecretSource, Status};
use stockade_package::{Explain, Package};
use stockade_tests::site::{Authority, Site};
use stockade_tests::{Bench, call, dist, example, value};

const TOKEN: &str = "osv-0123456789abcdef";
const LOCKFILE: &str = r#"
version = 4

[[package]]
name = "own"
version = "0.1.0"
dependencies = ["bad-one"]

[[package]]
name = "bad-one"
version = "1.2.3"
source = "registry+https://index.example"

[[package]]
name = "good"
version = "2.0.0"
source = "registry+https://index.example"
"#;

fn load(bench: &Bench, site: &Site, granted: bool) -> Plugin {
    let token = bench.state.path().join("token");
    fs::write(&token, TOKEN).unwrap();
    let package = Package::open(example("dependency-audit"), None).expect("the example is built");
    let database = format!("POST {}/v1/querybatch", site.authority());
    let mut request = LoadRequest::new(package)
        .config("endpoint", format!("\"https://{}\"", site.authority()))
        .config("token", "true")
        .store("dependency-audit");
    if granted {
        request = request
            .grant(GrantRequest::http(database.parse().unwrap()))
            .grant(GrantRequest::secret(format!("osv-token@{database}").parse().unwrap()))
            .secret("osv-token", SecretSource::File(token))
            .allow_addresses("127.0.0.0/8".parse().unwrap());
    }
    bench.host.load_blocking(request).unwrap()
}

fn audit(plugin: &Plugin, max_age_hours: u32) -> Outcome {
    call(plugin, "audit", json!({ "lockfile": LOCKFILE, "max_age_hours": max_age_hours }))
}

#[test]
fn it_asks_once_remembers_and_never_sees_the_token() {
    let authority = Authority::new();
    let pem = authority.pem();
    let bench = Bench::build(&dist(), |host| host.trust(pem));
    let site = Site::secure(&authority);
    let plugin = load(&bench, &site, true);
    let report = |asked: u32, remembered: u32| -> Json {
        let vulnerable = json!([{ "name": "bad-one", "version": "1.2.3", "ids": ["TEST-bad-one"] }]);
        json!({ "packages": 2, "asked": asked, "remembered": remembered, "vulnerable": vulnerable })
    };
    assert_eq!(value(&audit(&plugin, 24)), report(2, 0));
    let seen = site.seen();
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0].starts_with("POST") && seen[0].contains(&format!("authorization: Bearer {TOKEN}")),
        "{seen:?}"
    );
    // From the store: by the next worker, and without a word to anybody.
    plugin.stop_worker();
    assert_eq!(value(&audit(&plugin, 24)), report(0, 2));
    assert_eq!(site.seen().len(), 1);
    assert_eq!(value(&audit(&plugin, 0)), report(2, 0));
    let log = fs::read_to_string(bench.state.path().join("state/audit/audit.jsonl")).unwrap();
    assert!(log.contains("osv-token") && !log.contains(TOKEN));
}

#[test]
fn without_grants_it_says_what_it_lacks() {
    let authority = Authority::new();
    let pem = authority.pem();
    let bench = Bench::build(&dist(), |host| host.trust(pem));
    let site = Site::secure(&authority);
    let plugin = load(&bench, &site, false);
    let pending: Vec<_> = plugin.lacking().iter().map(|lacking| lacking.scope.clone()).collect();
    assert_eq!(
        pending,
        ["http:POST api.osv.dev/v1/querybatch", "secret:osv-token@POST api.osv.dev/v1/querybatch"]
    );
    let outcome = audit(&plugin, 24);
    assert_eq!(outcome.status, Status::Denied, "{outcome:?}");
    assert!(site.seen().is_empty());
    let invalid = call(&plugin, "audit", json!({ "lockfile": "= =" }));
    assert_eq!(invalid.reason.expect("a reason").code, "invalid-arguments");
}

#[test]
fn its_lines_have_values_beside_them() {
    let state = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(dist().join("stockade"))
        .arg("run")
        .arg(example("dependency-audit"))
        .args(["--tool", "audit", "--store", "audit", "--args", &json!({ "lockfile": LOCKFILE }).to_string()])
        .arg("--state")
        .arg(state.path())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(r#"stockade/dependency-audit | asking {"packages":"2"}"#), "{said}");
    assert_eq!(output.status.code(), Some(3), "{said}");
}

#[test]
fn configuration_values_are_what_the_manifest_says() {
    let bench = Bench::new();
    let package = || Package::open(example("dependency-audit"), None).unwrap();
    for (key, json) in
        [("endpoint", "5"), ("endpoint", "\"ftp://x\""), ("token", "\"yes\""), ("token", "yes")]
    {
        let refused = bench.host.load_blocking(LoadRequest::new(package()).config(key, json));
        let problem = refused.expect_err("a value of another type").problem();
        assert_eq!((problem.code, problem.field), ("config-mismatch", format!("config {key}#")));
    }
    assert!(bench.host.load_blocking(LoadRequest::new(package()).config("token", "true")).is_ok());
    let refused = bench.found(Layer::Policy, "config", Decision::Denied);
    assert_eq!(refused.len(), 4);
}

//! `secret`: a plugin names it, the host fills it in, and nobody else ever sees it.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use stockade_audit::{Decision, Layer};
use stockade_host::{GrantRequest, HostError, LoadRequest, Plugin, SecretSource};
use stockade_package::{Explain, Package};
use stockade_policy::PluginType;
use stockade_tests::site::Site;
use stockade_tests::{Bench, call, dist, guest, skipped, value};

const CANARY: &str = "canary-4f1d0c9b7a6e5d3c";
const OTHER: &str = "another-plugins-secret";

fn tour() -> Package {
    Package::open(guest("http-tour.wasm"), Some(PluginType::Integration)).unwrap()
}

/// The tour, with a secret for one of two sites that it may send requests to.
fn load(bench: &Bench, bound: &Site, unbound: &Site) -> Plugin {
    let folder = bench.state.path().join("secrets");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("token"), format!("{CANARY}\n")).unwrap();
    let to = |site: &Site| format!("http://{}", site.authority());
    let request = LoadRequest::new(tour())
        .grant(GrantRequest::http(to(bound).parse().unwrap()))
        .grant(GrantRequest::http(to(unbound).parse().unwrap()))
        .grant(GrantRequest::secret(format!("token@{}", to(bound)).parse().unwrap()))
        .secret("token", SecretSource::File(folder.join("token")))
        .secret("other", SecretSource::Command(vec!["echo".into(), OTHER.into()]))
        .allow_addresses("127.0.0.0/8".parse().unwrap());
    bench.host.load_blocking(request).unwrap()
}

fn send(plugin: &Plugin, url: &str, field: &str, body: Option<&str>) -> Result<Json, String> {
    let method = if body.is_some() { "POST" } else { "GET" };
    let headers = [["authorization", field], ["accept-encoding", "gzip"]];
    let arguments = json!({ "method": method, "url": url, "headers": headers, "body": body });
    let outcome = call(plugin, "fetch", arguments);
    if outcome.is_ok() { Ok(value(&outcome)) } else { Err(outcome.reason.expect("a reason").message) }
}

fn url(site: &Site, path: &str) -> String {
    format!("http://{}/{path}", site.authority())
}

#[test]
fn a_secret_is_filled_in_by_the_host_and_masked_where_it_comes_back() {
    let bench = Bench::new();
    let (bound, unbound) = (Site::plain(), Site::plain());
    let plugin = load(&bench, &bound, &unbound);
    let answer = send(&plugin, &url(&bound, "fields"), "Bearer {{secret:token}}", None).unwrap();
    assert!(bound.seen()[0].contains(&format!("authorization: Bearer {CANARY}")), "{:?}", bound.seen());
    // The site echoes every field: the plugin sees that there was something, and how long it was.
    let body = answer["body"].as_str().unwrap();
    assert!(body.contains(&format!("authorization: Bearer {}", "*".repeat(CANARY.len()))), "{body}");
    // Nothing comes back in a form that hides it.
    assert!(bound.seen()[0].contains("accept-encoding: identity"));

    let body = r#"{"a":"{{secret:token}}","b":"{{secret:}}"}"#;
    let echoed = send(&plugin, &url(&bound, "echo"), "x", Some(body)).unwrap();
    let masked = format!("{{\"a\":\"{}\",\"b\":\"{{{{secret:}}}}\"}}", "*".repeat(CANARY.len()));
    assert_eq!(echoed["body"], json!(masked));
    let length = send(&plugin, &url(&bound, "length"), "x", Some(body)).unwrap();
    assert_eq!(length["body"], json!(masked.len().to_string()));
    // A long body goes as it is.
    let long = format!("{}{{{{secret:token}}}}", "x".repeat(70_000));
    let length = send(&plugin, &url(&bound, "length"), "x", Some(&long)).unwrap();
    assert_eq!(length["body"], json!(long.len().to_string()));

    let used = bench.found(Layer::Host, "secret", Decision::Allowed);
    assert_eq!(used.len(), 3);
    let to = format!(" http://{}/", bound.authority());
    let named = |resource: &str| resource.starts_with("token@") && resource.contains(&to);
    assert!(used.iter().all(|entry| named(&entry.record.resource)), "{used:?}");
}

#[test]
fn d12_a_secret_goes_only_where_it_is_bound_and_only_to_whom_it_was_granted() {
    let bench = Bench::new();
    let (bound, unbound) = (Site::plain(), Site::plain());
    let plugin = load(&bench, &bound, &unbound);
    for (site, field, body) in [
        (&unbound, "Bearer {{secret:token}}", None),
        (&bound, "Bearer {{secret:other}}", None),
        (&bound, "{{secret:token}}{{secret:nowhere}}", None),
        (&bound, "x", Some("{{secret:other}}")),
    ] {
        let error = send(&plugin, &url(site, "fields"), field, body).unwrap_err();
        assert!(error.contains("HttpRequestDenied"), "{error}");
    }
    assert!(bound.seen().is_empty() && unbound.seen().is_empty());
    let refused = bench.found(Layer::Host, "secret", Decision::Denied);
    let resources: Vec<_> = refused.iter().map(|entry| entry.record.resource.to_string()).collect();
    let to =
        |name: &str, method: &str, site: &Site| format!("{name}@{method} http://{}/fields", site.authority());
    let expected = [
        to("token", "GET", &unbound),
        to("other", "GET", &bound),
        to("nowhere", "GET", &bound),
        to("other", "POST", &bound),
    ];
    assert_eq!(resources, expected);
    // What looks like a name and is none is text, and no other secret's file is ever looked for.
    assert!(send(&plugin, &url(&bound, "fields"), "{{secret:../token}}", None).is_ok());
    assert!(bound.seen()[0].contains("authorization: {{secret:../token}}"));
    // Who has no secret for a site may write what looks like one into a body.
    assert!(send(&plugin, &url(&unbound, "echo"), "x", Some("{{secret:token}}")).is_ok());
}

#[test]
fn a_secret_that_cannot_be_had_keeps_the_plugin_from_loading() {
    let bench = Bench::new();
    let grant = || GrantRequest::secret("token@api.example.org".parse().unwrap());
    let code = |request: LoadRequest| match bench.host.load_blocking(request) {
        Err(error @ HostError::Secret { .. }) => error.problem(),
        other => panic!("{other:?}"),
    };
    let missing = code(LoadRequest::new(tour()).grant(grant()));
    assert_eq!((missing.code, missing.field.as_str()), ("secret-unavailable", "secret token"));
    let file = SecretSource::File("/nonexistent".into());
    code(LoadRequest::new(tour()).grant(grant()).secret("token", file));
    let short = SecretSource::Command(vec!["echo".into(), "short".into()]);
    let problem = code(LoadRequest::new(tour()).grant(grant()).secret("token", short));
    assert!(!problem.message.contains("short"), "{}", problem.message);
}

/// Everything that a process can be seen to hold.
fn memory_holds(pid: u32, text: &str) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("root may look");
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).expect("root may look");
    maps.lines().any(|line| {
        let (range, rest) = line.split_once(' ').expect("a range");
        let (from, to) = range.split_once('-').expect("a range");
        let bound = |hex| u64::from_str_radix(hex, 16).expect("a number");
        let (from, to) = (bound(from), bound(to));
        if !rest.starts_with('r') || rest.contains("[v") || to - from > 1 << 30 {
            return false;
        }
        let mut bytes = vec![0; (to - from) as usize];
        let read = memory.seek(SeekFrom::Start(from)).and_then(|_| memory.read(&mut bytes)).unwrap_or(0);
        bytes[..read].windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[test]
fn d12_the_canary_is_nowhere_in_the_worker() {
    if !nix::unistd::geteuid().is_root() {
        skipped("d12_the_canary_is_nowhere_in_the_worker", "only root may look into a worker's memory");
        return;
    }
    let bench = Bench::new();
    let (bound, unbound) = (Site::plain(), Site::plain());
    let plugin = load(&bench, &bound, &unbound);
    let field = "Bearer {{secret:token}} and-this-is-there";
    send(&plugin, &url(&bound, "fields"), field, Some("{{secret:token}}")).unwrap();
    send(&plugin, &url(&bound, "echo"), field, Some("{{secret:token}}")).unwrap();
    let pid = plugin.worker_pid().expect("it runs");
    assert!(memory_holds(pid, "and-this-is-there"), "nothing was found at all");
    assert!(!memory_holds(pid, CANARY));
}

fn holds(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holds(&path, text));
        } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes())) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn d12_the_canary_is_in_no_output_log_or_file_of_the_program() {
    let state = tempfile::tempdir().unwrap();
    let site = Site::plain();
    let authority = site.authority();
    let run = |tool: &str, arguments: Json, grant: &str| {
        let output = Command::new(dist().join("stockade"))
            .args(["--log", "trace", "run"])
            .arg(guest("http-tour.wasm"))
            .args(["--type", "integration", "--tool", tool, "--args", &arguments.to_string()])
            .args(["--grant", &format!("http=http://{authority}")])
            .args(["--grant", &format!("secret=token@http://{grant}"), "--secret", "token=env:CANARY"])
            .args(["--allow-address", "127.0.0.1", "--format", "json", "--state"])
            .arg(state.path().join("state"))
            .env("CANARY", CANARY)
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(!text.contains(CANARY), "{text}");
        text
    };
    let fetch = |path: &str| {
        let url = format!("http://{authority}/{path}");
        let headers = [["authorization", "{{secret:token}}"]];
        json!({ "method": "POST", "url": url, "headers": headers, "body": "{{secret:token}}" })
    };
    assert!(run("fetch", fetch("fields"), &authority).contains("*****"));
    assert!(run("fetch", fetch("echo"), &authority).contains("*****"));
    assert!(run("fetch", fetch("status/500"), &authority).contains("500"));
    assert!(run("fetch", fetch("fields"), "elsewhere.example").contains("HttpRequestDenied"));
    assert!(run("fetch", fetch("fields"), "elsewhere.example:0").contains("bad-grant"));
    assert!(site.seen()[0].contains(CANARY), "it was not filled in at all");
    assert_eq!(holds(state.path(), CANARY), Vec::<String>::new());
    assert!(!holds(state.path(), "secret:token").is_empty() || !holds(state.path(), "token").is_empty());
}

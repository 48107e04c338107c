//! `model`: agents ask language models that the operator set up, for as much as they may cost and no more.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use serde_json::{Value as Json, json};
use stockade_audit::{Decision, Layer};
use stockade_host::{CallOptions, GrantRequest, Host, LoadRequest, Model, OutputLimit, Plugin, SecretSource};
use stockade_package::{Explain, Package};
use stockade_policy::{Budget, PluginType};
use stockade_tests::chance::Chance;
use stockade_tests::site::{Authority, Raw, Site};
use stockade_tests::{Bench, call, code, cycles, dist, guest, value};

const KEY: &str = "key-5d1e7b90c3a2f486";

fn tour() -> Package {
    Package::open(guest("agent-tour.wasm"), Some(PluginType::Agent)).unwrap()
}

fn model(site: &Site) -> Model {
    // A token read costs 2, one written 5.
    let endpoint = format!("http://{}/v1", site.authority());
    Model::at(&endpoint, "test-model").unwrap().prices(2_000_000, 5_000_000)
}

fn with(model: Model) -> Bench {
    Bench::build(&dist(), |host| host.model("small", model))
}

fn load(bench: &Bench, limits: impl FnOnce(LoadRequest) -> LoadRequest) -> Plugin {
    let request = LoadRequest::new(tour()).grant(GrantRequest::model("small"));
    bench.host.load_blocking(limits(request)).unwrap()
}

fn told(plugin: &Plugin, export: &str, arguments: Json) -> Result<Json, String> {
    let outcome = call(plugin, export, arguments);
    if outcome.is_ok() {
        return Ok(value(&outcome));
    }
    Err(serde_json::from_str(&outcome.reason.expect("a reason").message).expect("a text"))
}

fn ask(plugin: &Plugin, text: &str) -> Result<Json, String> {
    told(plugin, "ask", json!({ "model": "small", "text": text, "max-tokens": null }))
}

/// What is left of calls, tokens and cost.
fn left(plugin: &Plugin) -> [u64; 3] {
    let left = told(plugin, "left", json!({})).unwrap();
    [1, 2, 3].map(|unit| left[unit].as_u64().unwrap())
}

fn budget(model_calls: u64, tokens: u64, cost: u64) -> Budget {
    Budget { tool_calls: 8, model_calls, tokens, cost, http_bytes: 0 }
}

#[test]
fn an_agent_asks_a_model_over_tls_and_pays_what_it_took() {
    let authority = Authority::new();
    let site = Site::secure(&authority);
    let key = tempfile::tempdir().unwrap();
    fs::write(key.path().join("key"), format!("{KEY}\n")).unwrap();
    let endpoint = format!("https://{}/v1/", site.authority());
    let model = Model::at(&endpoint, "test-model").unwrap().prices(2_000_000, 5_000_000);
    let model =
        model.key(SecretSource::File(key.path().join("key"))).output_limit(OutputLimit::MaxCompletionTokens);
    let bench = Bench::build(&dist(), |host| host.trust(authority.pem()).model("small", model));
    let plugin = load(&bench, |it| it.budget_per_call(budget(4, 5_000, 50_000)));
    assert_eq!(told(&plugin, "models", json!({})).unwrap(), json!(["small"]));
    // Three words read, two written: 3 * 2 + 2 * 5.
    assert_eq!(ask(&plugin, "say good morning").unwrap(), json!(["good morning", false, 3, 2, 16]));
    let seen = site.seen();
    assert!(
        seen[0].starts_with("POST ") && seen[0].contains(&format!("authorization: Bearer {KEY}")),
        "{seen:?}"
    );
    let body: Json = serde_json::from_str(&seen[1]).unwrap();
    assert_eq!(body["model"], "test-model");
    assert_eq!(body["messages"], json!([{ "role": "user", "content": "say good morning" }]));
    assert!(
        body["max_completion_tokens"].as_u64().unwrap() <= 4096 && body["max_tokens"].is_null(),
        "{body}"
    );
    let keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["max_completion_tokens", "messages", "model", "stream"]);

    let allowed = bench.found(Layer::Host, "model", Decision::Allowed);
    assert_eq!((allowed.len(), &*allowed[0].record.resource), (1, "small"));
    let reckoned = &bench.found(Layer::Host, "model", Decision::Noted)[0].record.detail;
    assert_eq!((reckoned.number("tokens"), reckoned.number("cost")), (Some(5), Some(16)));
    // The key is in the request, and nowhere else.
    drop(plugin);
    bench.host.stop_blocking();
    for entry in walk(bench.state.path()) {
        let bytes = fs::read(&entry).unwrap();
        assert!(!bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes()), "{}", entry.display());
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn an_agent_calls_what_the_model_wants_called() {
    let site = Site::plain();
    let bench = with(model(&site));
    let _greeter = bench.component(&guest("greet-rust.wasm"), PluginType::Node);
    let agent = load(&bench, |it| it.grant(GrantRequest::tool("local/greet-rust#greet")));
    let said = told(&agent, "talk", json!({ "model": "small", "text": r#"call tool_0 {"name":"Ada"}"# }));
    assert_eq!(said.unwrap(), json!("it says \"Hello, Ada!\""));
    // The conversation is the standard's: what was wanted, and what came of it under the same name.
    let last: Json = serde_json::from_str(site.seen().last().unwrap()).unwrap();
    let roles: Vec<_> =
        last["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool"]);
    let call = &last["messages"][2]["tool_calls"][0];
    assert_eq!((&call["id"], &last["messages"][3]["tool_call_id"]), (&json!("call-1"), &json!("call-1")));
    assert_eq!(call["function"], json!({ "name": "tool_0", "arguments": "{\"name\":\"Ada\"}" }));
    assert_eq!(last["tools"][0]["function"]["parameters"]["type"], "object");
}

#[test]
fn what_a_model_cannot_be_asked_is_an_answer() {
    let site = Site::plain();
    let key = tempfile::NamedTempFile::new().unwrap();
    fs::write(key.path(), KEY).unwrap();
    let bench = with(model(&site).key(SecretSource::File(key.path().to_owned())));
    let plugin = load(&bench, |it| it);
    let other = told(&plugin, "ask", json!({ "model": "large", "text": "say x", "max-tokens": null }));
    assert!(other.unwrap_err().starts_with("denied"));
    assert_eq!(bench.found(Layer::Worker, "model", Decision::Denied).len(), 1);
    let odd = |schema: &str, temperature: f32, messages: u32| {
        let arguments =
            json!({ "model": "small", "schema": schema, "temperature": temperature, "messages": messages });
        told(&plugin, "odd", arguments)
    };
    assert_eq!(odd("{}", 0.25, 1).unwrap(), "odd");
    let body: Json = serde_json::from_str(site.seen().last().unwrap()).unwrap();
    assert_eq!(body["temperature"], 0.25);
    assert!(odd("{", 0.5, 1).unwrap_err().starts_with("invalid: the schema of \"f\""));
    assert!(odd("{}", 2.5, 1).unwrap_err().starts_with("invalid: a temperature"));
    assert!(odd("{}", -1.0, 1).unwrap_err().starts_with("invalid: a temperature"));
    assert!(odd("{}", 1.0, 1025).unwrap_err().starts_with("invalid: at most"));
    // A server may say anything: what it says of the key is masked.
    let refused = ask(&plugin, "status 429").unwrap_err();
    assert!(refused.starts_with("failed: status 429") && refused.contains("Bearer ********"), "{refused}");
    assert!(!refused.contains(KEY));
    let garbage = ask(&plugin, "what?").unwrap_err();
    assert!(garbage.starts_with("failed: ") && garbage.contains("something else"), "{garbage}");
    // A redirect is an answer as any other: it is not followed.
    assert!(ask(&plugin, "status 302").unwrap_err().starts_with("failed: status 302"));
}

#[test]
fn a_model_that_is_not_set_up_is_no_model() {
    let site = Site::plain();
    let bench = with(model(&site).key(SecretSource::File("/nowhere/key".into())));
    for (name, why) in [("small", "cannot be read"), ("large", "was not set up")] {
        let request = LoadRequest::new(tour()).grant(GrantRequest::model(name));
        let problem = bench.host.load_blocking(request).unwrap_err().problem();
        assert_eq!((problem.code, problem.field), ("model-unavailable", format!("model {name}")));
        assert!(problem.message.contains(why), "{}", problem.message);
    }
    for bad in [
        "",
        "api.example.org",
        "ftp://x/v1",
        "https://u@x/v1",
        "https://x/v1?k=1",
        "https://x/../v1",
        "https:///",
    ] {
        assert!(Model::at(bad, "m").is_err(), "{bad}");
    }
    assert!(Model::at("https://x", "").is_err());
    assert!(Model::at("https://x", "m").unwrap().max_output_tokens(0).is_err());
}

#[test]
fn d14_a_budget_holds_by_call_and_by_day_to_the_token() {
    let site = Site::plain();
    let bench = with(model(&site));
    let plugin = load(&bench, |it| {
        it.budget_per_call(budget(2, 1_000, 4_000)).budget_per_day(budget(10, 10_000, 100))
    });
    // A hundred are left of the day: what reading can come to at most is 2 * (20 + 32) already.
    assert_eq!(ask(&plugin, "say aaaaaaaaaaaaaaaa").unwrap_err(), "exhausted: cost of the day");
    // Reading 43 at most costs 86; two tokens may be written for what is left.
    assert_eq!(left(&plugin), [2, 1_000, 100]);
    assert_eq!(ask(&plugin, "long say xx").unwrap(), json!(["and so on", true, 3, 2, 16]));
    assert_eq!(left(&plugin), [2, 1_000, 84]);
    assert_eq!(ask(&plugin, "long say xx").unwrap_err(), "exhausted: cost of the day");
    let denied = bench.found(Layer::Limits, "model", Decision::Denied);
    assert_eq!(denied[0].record.rule.as_ref().unwrap().id, "per_day.cost");

    // By call: two questions, whatever they come to; and so many tokens.
    let other = bench.state.path().join("other.wasm");
    fs::copy(guest("agent-tour.wasm"), &other).unwrap();
    let package = || Package::open(&other, Some(PluginType::Agent)).unwrap();
    let load = |per_call| {
        let request =
            LoadRequest::new(package()).grant(GrantRequest::model("small")).budget_per_call(per_call);
        bench.host.load_blocking(request.budget_per_day(budget(100, 1_000_000, 1_000_000))).unwrap()
    };
    let few = load(budget(0, 10_000, 10_000));
    assert_eq!(ask(&few, "say x").unwrap_err(), "exhausted: model_calls of the call");
    let short = load(budget(4, 40, 10_000));
    // 7 + 32 are taken for reading: one token may be written.
    assert_eq!(ask(&short, "say x y").unwrap(), json!(["x y", false, 3, 2, 16]));
    assert_eq!(ask(&short, "say xx y").unwrap_err(), "exhausted: tokens of the call");
    // What one question came to is not there for the next of the same call.
    let once = load(budget(1, 10_000, 10_000));
    let twice = told(&once, "talk", json!({ "model": "small", "text": "call list" })).unwrap_err();
    assert_eq!(twice, "exhausted: model_calls of the call");
    // Each call has its own.
    assert_eq!(left(&short), [4, 40, 10_000]);
}

/// An address that somebody has and where nobody listens: a port that was let go of may be another's by now.
fn nobodys() -> (OwnedFd, SocketAddr) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = getsockname(&socket).unwrap();
    (socket, address.try_into().unwrap())
}

#[test]
fn what_was_not_billed_is_given_back_and_what_may_have_been_is_not() {
    let site = Site::plain();
    let day = budget(100, 100_000, 100_000);
    let all = |it: LoadRequest| it.budget_per_day(day).budget_per_call(day);
    let bench = with(model(&site).max_output_tokens(100).unwrap());
    let plugin = load(&bench, all);
    let spent = |plugin: &Plugin, since: [u64; 3]| {
        let now = left(plugin);
        [0, 1, 2].map(|unit| since[unit] - now[unit])
    };
    let before = left(&plugin);
    ask(&plugin, "status 500").unwrap_err();
    assert_eq!(spent(&plugin, before), [1, 0, 0]);
    // Without a word of what it came to, it came to the most: 8 + 32 read, 100 written.
    let before = left(&plugin);
    assert_eq!(ask(&plugin, "free ask").unwrap()[0], "free");
    assert_eq!(spent(&plugin, before), [1, 140, 80 + 500]);
    // Past its deadline, or cancelled: the connection is closed, and what was taken stays taken.
    let before = left(&plugin);
    let options = CallOptions::within(Duration::from_millis(200));
    let arguments = json!({ "model": "small", "text": "wait 10000", "max-tokens": null }).to_string();
    assert_eq!(code(&plugin.call_blocking("ask", &arguments, options)), "deadline");
    assert_eq!(spent(&plugin, before), [1, 142, 84 + 500]);
    let (_held, address) = nobodys();
    let absent = Model::at(&format!("http://{address}/v1"), "m").unwrap().prices(2_000_000, 5_000_000);
    let elsewhere = with(absent.max_output_tokens(100).unwrap());
    let plugin = load(&elsewhere, all);
    let before = left(&plugin);
    assert_eq!(ask(&plugin, "say x").unwrap_err(), "unavailable: its endpoint is not reached");
    assert_eq!(spent(&plugin, before), [1, 0, 0]);

    // A server that breaks off may have done it all.
    let raw = Raw::answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", "");
    let broken = Model::at(&format!("http://{}/v1", raw.address), "m").unwrap().prices(2_000_000, 5_000_000);
    let bench = with(broken.max_output_tokens(100).unwrap());
    let plugin = load(&bench, all);
    let before = left(&plugin);
    assert_eq!(ask(&plugin, "say x").unwrap_err(), "unavailable: its endpoint broke off");
    assert_eq!(spent(&plugin, before), [1, 137, 74 + 500]);
    // One that does not end is ended at the bound.
    let raw = Raw::answering("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 65_536]);
    let bench = with(Model::at(&format!("http://{}/v1", raw.address), "m").unwrap());
    assert_eq!(ask(&load(&bench, all), "say x").unwrap_err(), "unavailable: its answer is too long");
}

/// Whoever is cancelled is no longer waited for: the endpoint sees the connection close.
#[test]
fn a_cancelled_call_closes_the_connection() {
    let site = Site::plain();
    let bench = with(model(&site));
    let plugin = load(&bench, |it| it);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let arguments = json!({ "model": "small", "text": "wait 60000", "max-tokens": null }).to_string();
    let began = Instant::now();
    runtime.block_on(async {
        let asked = plugin.call("ask", &arguments, CallOptions::default());
        assert!(tokio::time::timeout(Duration::from_millis(300), asked).await.is_err());
    });
    while open_connections(site.address.port()) > 0 {
        assert!(began.elapsed() < Duration::from_secs(5), "the connection stays open");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(ask(&plugin, "say x").is_ok());
}

/// Established connections of this machine to a port.
fn open_connections(port: u16) -> usize {
    let to = format!(":{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields[2].ends_with(&to) && fields[3] == "01").count()
}

/// A host is killed at any moment. No question was sent that is not on the books, nothing is on them twice, and
/// what was answered is there to the token.
#[test]
fn d14_budgets_are_exact_after_kills() {
    let site = Site::plain();
    let state = tempfile::tempdir().unwrap();
    let models = state.path().join("models.toml");
    let endpoint = format!("http://{}/v1", site.authority());
    fs::write(
        &models,
        format!(
            "[small]\nendpoint = \"{endpoint}\"\nmodel = \"test-model\"\ninput_price = 2_000_000\n\
             output_price = 5_000_000\nmax_output_tokens = 50\n"
        ),
    )
    .unwrap();
    let run = || {
        let mut command = Command::new(dist().join("stockade"));
        command
            .args(["run", "--type", "agent", "--grant", "model=small", "--tool", "ask"])
            .args(["--per-day", "model_calls=100000", "--per-day", "tokens=100000000"])
            .args(["--per-day", "cost=1000000000"])
            .args(["--args", r#"{"model":"small","text":"wait 20","max-tokens":null}"#, "--models"])
            .arg(&models)
            .arg("--state")
            .arg(state.path().join("state"))
            .arg(guest("agent-tour.wasm"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let first = run().output().unwrap();
    assert!(first.status.success(), "{first:?}");
    // Two words read and one written; at most 7 bytes and what is around them, and fifty.
    let (tokens, cost) = (3, 2 * 2 + 5);
    let (most_tokens, most_cost) = (7 + 32 + 50, (7 + 32) * 2 + 50 * 5);
    let mut chance = Chance::new("d14_budgets_are_exact_after_kills");
    let (mut answered, mut killed) = (1, 0);
    for _ in 0..cycles(20, 200) {
        let mut child = run().spawn().unwrap();
        std::thread::sleep(chance.micros(100_000));
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        if output.stdout.starts_with(b"[") { answered += 1 } else { killed += 1 }
    }
    let asked = site.seen().iter().filter(|line| line.starts_with("POST ")).count() as u64;
    let books = Connection::open(state.path().join("state/ledger.sqlite")).unwrap();
    let day: (u64, u64, u64) = books
        .query_row("SELECT model_calls, tokens, cost FROM day", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    let open: (u64, u64, u64) = books
        .query_row("SELECT count(*), ifnull(sum(tokens), 0), ifnull(sum(cost), 0) FROM open", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    let settled = day.0 - open.0;
    println!(
        "{answered} answered, {killed} killed; the endpoint saw {asked}; the books have {} of which {} are open",
        day.0, open.0
    );
    assert!(day.0 >= asked && settled <= asked && settled >= answered, "{day:?} {open:?}");
    assert!(open.0 <= killed);
    assert_eq!((open.1, open.2), (open.0 * most_tokens, open.0 * most_cost));
    assert_eq!((day.1 - open.1, day.2 - open.2), (settled * tokens, settled * cost));
}

/// Parallel hosts draw on one day, and never on more than there is.
#[test]
fn d14_hosts_beside_each_other_never_overdraw() {
    let site = Site::plain();
    let bench = with(model(&site));
    let state = bench.state.path().join("state");
    let hosts: Vec<_> = (0..3)
        .map(|number| {
            let audit = bench.state.path().join(format!("audit-{number}"));
            let host = Host::builder().state_dir(&state).audit_dir(audit).programs_dir(dist());
            host.model("small", model(&site)).build().unwrap()
        })
        .collect();
    let day = budget(20, 1_000_000, 1_000_000);
    std::thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(move || {
                let request = LoadRequest::new(tour()).grant(GrantRequest::model("small"));
                let plugin = host.load_blocking(request.budget_per_day(day)).unwrap();
                (0..12).for_each(|_| drop(ask(&plugin, "say x")));
            });
        }
    });
    assert_eq!(site.seen().iter().filter(|line| line.starts_with("POST ")).count(), 20);
    hosts.iter().for_each(Host::stop_blocking);
}

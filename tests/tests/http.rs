//! `http`: what a stock component's requests reach under which grant, and what they never reach. Group D of the
//! attack cases, over real sockets, with real TLS.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use stockade_audit::{Decision, Layer};
use stockade_host::{CallOptions, GrantRequest, HostBuilder, LoadRequest, Namespaces, Plugin};
use stockade_package::Package;
use stockade_policy::PluginType;
use stockade_tests::accounts::{Account, resident_kib};
use stockade_tests::resolver::Resolver;
use stockade_tests::site::{Authority, Raw, Site};
use stockade_tests::{Bench, call, code, dist, guest, probe_programs, scene, skipped, value};

/// A stock component: another project's client over `wasi:http`, no word of Stockade in it.
fn tour() -> Package {
    Package::open(guest("http-tour.wasm"), Some(PluginType::Integration)).unwrap()
}

fn grant(to: &str) -> GrantRequest {
    GrantRequest::http(to.parse().unwrap_or_else(|error| panic!("{to}: {error}")))
}

/// A bench whose host trusts an authority, and what it grants.
struct Stage {
    bench: Bench,
    authority: Authority,
}

impl Stage {
    fn new() -> Stage {
        let authority = Authority::new();
        let pem = authority.pem();
        Stage { bench: Bench::build(&dist(), |host: HostBuilder| host.trust(pem)), authority }
    }

    /// Loads the tour with these grants, where loopback is open.
    fn tour(&self, grants: &[&str]) -> Plugin {
        self.load(grants, &["127.0.0.0/8", "::1/128"])
    }

    fn load(&self, grants: &[&str], opened: &[&str]) -> Plugin {
        let mut request = LoadRequest::new(tour());
        for to in grants {
            request = request.grant(grant(to));
        }
        for range in opened {
            request = request.allow_addresses(range.parse().unwrap());
        }
        self.bench.host.load_blocking(request).unwrap()
    }

    /// The rules by which requests were refused so far.
    fn rules(&self) -> Vec<String> {
        let refused = self.bench.found(Layer::Host, "http", Decision::Denied);
        refused
            .iter()
            .filter_map(|entry| entry.record.rule.as_ref().map(|rule| rule.id.to_string()))
            .collect()
    }
}

fn told(plugin: &Plugin, export: &str, arguments: Json) -> Result<Json, String> {
    let outcome = call(plugin, export, arguments);
    if outcome.is_ok() { Ok(value(&outcome)) } else { Err(outcome.reason.expect("a reason").message) }
}

fn fetch(plugin: &Plugin, method: &str, url: &str, body: Option<&str>) -> Result<Json, String> {
    told(plugin, "fetch", json!({ "method": method, "url": url, "headers": [], "body": body }))
}

fn get(plugin: &Plugin, url: &str) -> Result<Json, String> {
    fetch(plugin, "GET", url, None)
}

#[test]
fn a_stock_component_sends_requests_under_grants() {
    let stage = Stage::new();
    let (secure, plain) = (Site::secure(&stage.authority), Site::plain());
    let (https, http) = (secure.authority(), plain.authority());
    let plugin = stage.tour(&[&https, &format!("http://{http}")]);
    for (scheme, authority, site) in [("https", &https, &secure), ("http", &http, &plain)] {
        let answer = get(&plugin, &format!("{scheme}://{authority}/hello?a=b")).unwrap();
        assert_eq!(answer["status"], json!(200));
        assert_eq!(answer["body"], json!("hello from /hello"));
        let answer = fetch(&plugin, "POST", &format!("{scheme}://{authority}/echo"), Some("back")).unwrap();
        assert_eq!(answer["body"], json!("back"));
        assert_eq!(
            get(&plugin, &format!("{scheme}://{authority}/status/404")).unwrap()["status"],
            json!(404)
        );
        let seen = site.seen();
        assert!(
            seen[0].starts_with(&format!(
                "GET {}",
                if scheme == "http" { "/hello?a=b HTTP/1.1" } else { "https://" }
            )),
            "{seen:?}"
        );
        // A client that opens a body for every request: it is closed at once, so there is none.
        assert!(!seen[0].contains("transfer-encoding"), "{seen:?}");
    }
    assert!(secure.seen()[0].contains("HTTP/2"), "{:?}", secure.seen());
    let allowed = stage.bench.found(Layer::Host, "http", Decision::Allowed);
    assert_eq!(allowed.len(), 6);
    // No query: it may hold what no record should.
    assert_eq!(allowed[0].record.resource, format!("GET https://{https}/hello"));
}

#[test]
fn what_no_grant_covers_is_an_ordinary_error_and_leaves_a_record() {
    let stage = Stage::new();
    let site = Site::plain();
    let authority = site.authority();
    let port = site.address.port();
    let plugin = stage.tour(&[&format!("GET http://{authority}/open")]);
    assert!(get(&plugin, &format!("http://{authority}/open/it")).is_ok());
    for (method, url) in [
        ("POST", format!("http://{authority}/open")),
        ("GET", format!("http://{authority}/opened")),
        ("GET", format!("http://{authority}/")),
        ("GET", format!("https://{authority}/open")),
        ("GET", format!("http://127.0.0.1:{port}/open")),
        ("GET", "http://localhost/open".to_owned()),
        ("GET", format!("http://localhost.example:{port}/open")),
    ] {
        let error = fetch(&plugin, method, &url, None).unwrap_err();
        assert!(error.contains("HttpRequestDenied"), "{method} {url}: {error}");
    }
    for path in ["/open/../x", "/open/%2e%2e/x", "/open/..%2fx"] {
        let error = get(&plugin, &format!("http://{authority}{path}")).unwrap_err();
        assert!(error.contains("HttpRequestUriInvalid"), "{path}: {error}");
    }
    assert_eq!(site.seen().len(), 1, "{:?}", site.seen());
    let claims = stage.bench.found(Layer::Worker, "http", Decision::Denied);
    assert_eq!(claims.len(), 10);
    assert!(claims.iter().all(|entry| entry.record.rule.is_some()));
}

#[test]
fn without_any_grant_nothing_is_sent_and_the_guest_goes_on() {
    let stage = Stage::new();
    let site = Site::plain();
    let plugin = stage.tour(&[]);
    let error = get(&plugin, &format!("http://{}/", site.authority())).unwrap_err();
    assert!(error.contains("HttpRequestDenied"), "{error}");
    assert!(site.seen().is_empty());
}

#[test]
fn d1_addresses_of_this_machine_are_closed_whatever_is_granted() {
    let stage = Stage::new();
    let site = Site::plain();
    let port = site.address.port();
    let hosts =
        ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "0.0.0.0"];
    let grants: Vec<_> = hosts.iter().map(|host| format!("http://{host}:{port}")).collect();
    let grants: Vec<_> = grants
        .iter()
        .map(String::as_str)
        .filter(|grant| grant.parse::<stockade_policy::HttpScope>().is_ok())
        .collect();
    let plugin = stage.load(&grants, &[]);
    for grant in &grants {
        let error = get(&plugin, &format!("{grant}/")).unwrap_err();
        assert!(error.contains("DestinationIpProhibited"), "{grant}: {error}");
    }
    assert_eq!(stage.rules(), vec!["http.address"; grants.len()]);
    assert!(site.seen().is_empty());
    // One range opens nothing else.
    let plugin = stage.load(&grants, &["127.0.0.1/32"]);
    assert!(get(&plugin, &format!("http://127.0.0.1:{port}/")).is_ok());
    assert!(get(&plugin, &format!("http://10.0.0.1:{port}/")).unwrap_err().contains("Prohibited"));
}

#[test]
fn d3_a_redirect_is_followed_by_nobody_and_its_target_decided_anew() {
    let stage = Stage::new();
    let (open, closed) = (Site::plain(), Site::plain());
    let plugin = stage.tour(&[&format!("http://{}", open.authority())]);
    let elsewhere = format!("http://{}/secret", closed.authority());
    let answer = get(&plugin, &format!("http://{}/redirect?{elsewhere}", open.authority())).unwrap();
    assert_eq!(answer["status"], json!(302));
    assert!(answer["headers"].to_string().contains(&elsewhere));
    assert!(get(&plugin, &elsewhere).unwrap_err().contains("HttpRequestDenied"));
    assert!(closed.seen().is_empty());
}

#[test]
fn d5_fields_of_the_connection_are_the_hosts() {
    let stage = Stage::new();
    let site = Site::plain();
    let url = format!("http://{}/fields", site.authority());
    let plugin = stage.tour(&[&format!("http://{}", site.authority())]);
    let with = |name: &str, text: &str| {
        told(
            &plugin,
            "fetch",
            json!({ "method": "GET", "url": url, "headers": [[name, text]], "body": null }),
        )
    };
    assert!(with("x-mine", "1").unwrap()["body"].as_str().unwrap().contains("x-mine: 1"));
    for name in ["host", "connection", "transfer-encoding", "te", "upgrade", "proxy-authorization", "expect"]
    {
        assert!(with(name, "x").is_err(), "{name}");
    }
    assert_eq!(site.seen().len(), 1);
    assert!(site.seen()[0].contains(&format!("host: {}", site.authority())));
}

#[test]
fn d6_no_proxy_of_the_environment_is_used() {
    const TEST: &str = "d6_no_proxy_of_the_environment_is_used";
    if let Some(proxy) = scene::part(TEST) {
        let stage = Stage::new();
        let site = Site::plain();
        assert!(std::env::var("HTTP_PROXY").is_ok_and(|value| value.ends_with(&proxy)));
        let plugin = stage.tour(&[&format!("http://{}", site.authority())]);
        get(&plugin, &format!("http://{}/", site.authority())).unwrap();
        assert_eq!(site.seen().len(), 1);
        return;
    }
    let proxy = Site::plain();
    let mut command = scene::command(TEST, &proxy.address.port().to_string());
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"] {
        command.env(name, format!("http://{}", proxy.authority()));
    }
    scene::Actor::start(TEST, command).finish();
    assert!(proxy.seen().is_empty());
}

#[test]
fn d7_responses_that_do_not_end_cost_their_reader_only() {
    let stage = Stage::new();
    let site = Site::plain();
    let authority = site.authority();
    let fields =
        Raw::answering("HTTP/1.1 200 OK\r\n", "x-more: 0123456789012345678901234567890123456789\r\n");
    let continues = Raw::answering("", "HTTP/1.1 100 Continue\r\n\r\n");
    let garbage = Raw::answering("SSH-2.0-OpenSSH_9.2\r\n", "");
    let cut = Raw::answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", "");
    let switched = Raw::answering("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", "");
    let raw = |server: &Raw| format!("http://{}", server.address);
    let grants = [
        format!("http://{authority}"),
        raw(&fields),
        raw(&continues),
        raw(&garbage),
        raw(&cut),
        raw(&switched),
    ];
    let grants: Vec<_> = grants.iter().map(String::as_str).collect();
    let plugin = stage.tour(&grants);
    let before = resident_kib();
    for (server, words) in [
        (&fields, ["SectionSize", "Protocol"]),
        (&garbage, ["Protocol", "Protocol"]),
        (&cut, ["Incomplete", "Terminated"]),
        (&switched, ["Protocol", "Protocol"]),
    ] {
        let error = get(&plugin, &raw(server)).unwrap_err();
        assert!(words.iter().any(|word| error.contains(word)), "{error}");
    }
    // These last until the call's deadline, and no longer.
    for url in [format!("http://{authority}/silence"), format!("http://{authority}/halfway"), raw(&continues)]
    {
        let began = Instant::now();
        let arguments = json!({ "method": "GET", "url": url, "headers": [], "body": null }).to_string();
        let short = CallOptions::within(Duration::from_millis(200));
        // The deadline comes before the next worker has started, where the machine is busy.
        let code = code(&plugin.call_blocking("fetch", &arguments, short));
        assert!(["deadline", "timed-out"].contains(&code), "{url}: {code}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    // Longer than the profile allows: known before the first byte.
    let long = Raw::answering("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", "");
    let plugin = stage.tour(&[&raw(&long)]);
    assert!(get(&plugin, &raw(&long)).unwrap_err().contains("BodySize"));
    assert!(resident_kib() < before + 32 * 1024, "{before} KiB, {} KiB after", resident_kib());
}

#[test]
fn d8_servers_have_to_prove_who_they_are() {
    let stage = Stage::new();
    let localhost = ["localhost", "127.0.0.1"];
    let stranger = Authority::new();
    let past = |days| time::OffsetDateTime::now_utc() - time::Duration::days(days);
    let expired = Site::with_certificate(&stage.authority, &localhost, |certificate| {
        certificate.not_before = past(20);
        certificate.not_after = past(10);
    });
    let other_name = Site::with_certificate(&stage.authority, &["other.example"], |_| {});
    let unknown = Site::secure(&stranger);
    let plain = Site::plain();
    let good = Site::secure(&stage.authority);
    let sites = [&expired, &other_name, &unknown, &plain, &good];
    let grants: Vec<_> = sites.iter().map(|site| site.authority()).collect();
    let grants: Vec<_> = grants.iter().map(String::as_str).collect();
    let plugin = stage.tour(&grants);
    for site in [&expired, &other_name, &unknown] {
        let error = get(&plugin, &format!("https://{}/", site.authority())).unwrap_err();
        assert!(error.contains("TlsCertificateError"), "{error}");
        assert!(site.seen().is_empty());
    }
    assert_eq!(stage.rules(), ["http.certificate"; 3]);
    let error = get(&plugin, &format!("https://{}/", plain.authority())).unwrap_err();
    assert!(error.contains("Tls"), "{error}");
    assert!(get(&plugin, &format!("https://{}/", good.authority())).is_ok());
}

#[test]
fn bodies_stream_both_ways_and_wait_for_whoever_is_slower() {
    const TEST: &str = "bodies_stream_both_ways_and_wait_for_whoever_is_slower";
    scene::alone(TEST, || {
        let stage = Stage::new();
        let site = Site::plain();
        let url = |path: &str| format!("http://{}/{path}", site.authority());
        let plugin = stage.tour(&[&format!("http://{}", site.authority())]);
        let before = resident_kib();
        // 64 MiB down, 15 up; the worker has 128 in all, and the host holds next to nothing of it.
        assert_eq!(told(&plugin, "count", json!({ "url": url("blocks?1024") })).unwrap(), json!(64 << 20));
        let up = told(&plugin, "upload", json!({ "url": url("length"), "blocks": 240 })).unwrap();
        assert_eq!(up, json!((240_u32 << 16).to_string()));
        assert_eq!(
            told(&plugin, "echo", json!({ "url": url("echo"), "blocks": 2 })).unwrap(),
            json!(2 << 16)
        );
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 4 * 1024, "{grown} KiB more");
        // One more than a request may have.
        let error = told(&plugin, "upload", json!({ "url": url("length"), "blocks": 257 })).unwrap_err();
        assert!(error.contains("BodySize") || error.contains("Terminated"), "{error}");
    });
}

#[test]
fn requests_of_one_call_run_at_once() {
    let stage = Stage::new();
    let site = Site::plain();
    let plugin = stage.tour(&[&format!("http://{}", site.authority())]);
    let urls: Vec<_> = (0..10).map(|_| format!("http://{}/wait?200", site.authority())).collect();
    let began = Instant::now();
    let answers = told(&plugin, "fetch-all", json!({ "urls": urls })).unwrap();
    assert!(
        answers.as_array().unwrap().iter().all(|answer| answer == &json!({ "ok": "waited" })),
        "{answers}"
    );
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
}

#[test]
fn d14_too_many_requests_are_refused_and_counted() {
    let stage = Stage::new();
    let site = Site::plain();
    let url = format!("http://{}/silence", site.authority());
    let plugin = stage.tour(&[&format!("http://{}", site.authority())]);
    // Seventeen at once: one is refused, and no deadline is needed to see it.
    let urls = vec![url.clone(); 17];
    let arguments = json!({ "urls": urls }).to_string();
    let short = CallOptions::within(Duration::from_millis(300));
    assert_eq!(code(&plugin.call_blocking("fetch-all", &arguments, short)), "deadline");
    let quota = || stage.bench.found(Layer::Limits, "http", Decision::Denied);
    assert_eq!(quota().len(), 1);
    // Fifty a second, whatever becomes of them, and however many workers they come from.
    let url = format!("http://{}/hello", site.authority());
    let (mut refused, began) = (0, Instant::now());
    for _ in 0..120 {
        let answer = get(&plugin, &url);
        refused += usize::from(answer.is_err_and(|error| error.contains("LimitReached")));
    }
    // Fifty that were saved up, and as many as came meanwhile: on a machine that has much else to do, all of them.
    let came = 50 + (began.elapsed().as_secs_f64() * 50.0).ceil() as usize + 1;
    assert!((120_usize.saturating_sub(came)..=100).contains(&refused), "{refused}, {came} came");
    assert_eq!(quota().len(), 1 + refused);
}

#[test]
fn requests_that_nobody_waits_for_are_over() {
    const TEST: &str = "requests_that_nobody_waits_for_are_over";
    scene::alone(TEST, || {
        let stage = Stage::new();
        let site = Site::plain();
        // By its address: a look-up keeps a thread for a while.
        let authority = site.address.to_string();
        let plugin = stage.tour(&[&format!("http://{authority}")]);
        get(&plugin, &format!("http://{authority}/hello")).unwrap();
        plugin.stop_worker();
        let before = Account::own();
        // Responses that are dropped unread, one after the other: more than can be open at once.
        let url = format!("http://{authority}/blocks?100000");
        assert_eq!(told(&plugin, "abandon", json!({ "url": url, "times": 30 })).unwrap(), json!(30));
        // A call that ends at its deadline, with its worker.
        let short = CallOptions::within(Duration::from_millis(100));
        let arguments = json!({ "url": format!("http://{authority}/halfway") }).to_string();
        assert_eq!(code(&plugin.call_blocking("count", &arguments, short)), "deadline");
        assert!(get(&plugin, &format!("http://{authority}/hello")).is_ok());
        plugin.stop_worker();
        // Every connection is closed: descriptors are what they were.
        Account::settle(&before);
    });
}

#[test]
fn requests_work_from_tasks_of_any_runtime_and_end_with_them() {
    let stage = Stage::new();
    let site = Site::plain();
    let plugin = stage.tour(&[&format!("http://{}", site.authority())]);
    let arguments = |path: &str| {
        let url = format!("http://{}/{path}", site.authority());
        json!({ "method": "GET", "url": url, "headers": [], "body": null }).to_string()
    };
    for runtime in [
        // Without a clock: requests have their own.
        tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap(),
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
    ] {
        let outcome = runtime.block_on(plugin.call("fetch", &arguments("hello"), CallOptions::default()));
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let silent = arguments("silence");
        let call = plugin.call("fetch", &silent, CallOptions::default());
        assert!(tokio::time::timeout(Duration::from_millis(100), call).await.is_err());
        // The runtime is free while a request is waited for, and the next call gets a new worker.
        let outcome = plugin.call("fetch", &arguments("hello"), CallOptions::default()).await;
        assert!(outcome.is_ok(), "{outcome:?}");
    });
}

fn probe(bench: &Bench, grants: &[&str]) -> Plugin {
    let folder = bench.state.path().join("probe-integration");
    let package = stockade_tests::probe_package(&folder, PluginType::Integration);
    let request = grants.iter().fold(LoadRequest::new(package), |request, to| request.grant(grant(to)));
    bench.host.load_blocking(request.allow_addresses("127.0.0.0/8".parse().unwrap())).unwrap()
}

/// A worker whose own check is gone: the host refuses by the same rule, and nothing is sent.
#[test]
fn b18_past_the_workers_check_the_host_decides() {
    let bench = Bench::build(probe_programs().path(), |host| host.namespaces(Namespaces::Cheap));
    let site = Site::plain();
    let authority = site.authority();
    let plugin = probe(&bench, &[&format!("GET http://{authority}/open")]);
    let ask = |method: &str, path: &str, field: &str| {
        let ask = json!({ "kind": "http-send", "method": method, "authority": authority, "path": path, "field": field });
        value(&call(&plugin, "ask", ask)).to_string()
    };
    assert!(ask("GET", "/open", "x-a").contains("HttpSent"));
    assert!(ask("POST", "/open", "x-a").contains("denied"));
    assert!(ask("GET", "/closed", "x-a").contains("denied"));
    assert!(ask("GET", "/open/../closed", "x-a").contains("denied"));
    assert!(ask("GET", "/open\r\nx: y", "x-a").contains("denied"));
    assert!(ask("GET", "/open", "transfer-encoding").contains("denied"));
    assert!(ask("GET", "/open", "a b").contains("denied"));
    for kind in ["http-write", "http-finish", "http-head", "http-read", "http-close"] {
        assert!(
            value(&call(&plugin, "ask", json!({ "kind": kind, "request": 99 })))
                .to_string()
                .contains("denied")
        );
    }
    let rules: Vec<_> = bench
        .found(Layer::Host, "http", Decision::Denied)
        .iter()
        .map(|entry| entry.record.rule.as_ref().expect("a rule").id.to_string())
        .collect();
    let mut expected = vec!["default-deny:http"; 2];
    expected.extend(["http.target"; 4]);
    expected.extend(["http.requests"; 5]);
    assert_eq!(rules, expected);
    assert!(site.seen().len() <= 1);
}

/// JavaScript with nothing but `fetch`, as its toolchain makes it.
#[test]
fn a_stock_javascript_component_fetches_under_grants() {
    let stage = Stage::new();
    let (open, closed) = (Site::secure(&stage.authority), Site::plain());
    let package = Package::open(guest("fetch-js.wasm"), Some(PluginType::Integration)).unwrap();
    let request = LoadRequest::new(package)
        .grant(grant(&open.authority()))
        .allow_addresses("127.0.0.0/8".parse().unwrap());
    let plugin = stage.bench.host.load_blocking(request).unwrap();
    let url = |path: &str| format!("https://{}/{path}", open.authority());
    assert_eq!(
        told(&plugin, "get", json!({ "url": url("hello") })).unwrap()["body"],
        json!("hello from /hello")
    );
    let posted = told(&plugin, "post", json!({ "url": url("echo"), "body": "from JavaScript" })).unwrap();
    assert_eq!(posted, json!({ "status": 200, "body": "from JavaScript" }));
    let elsewhere = format!("http://{}/", closed.authority());
    assert!(told(&plugin, "get", json!({ "url": elsewhere })).unwrap_err().contains("Error"));
    let urls = [url("wait?100"), elsewhere, url("wait?50")];
    let all = told(&plugin, "get-all", json!({ "urls": urls })).unwrap();
    assert_eq!((&all[0], &all[2]), (&json!("waited"), &json!("waited")));
    assert!(all[1].as_str().unwrap().contains("Error"), "{all}");
    assert!(closed.seen().is_empty());
    assert_eq!(stage.bench.found(Layer::Worker, "http", Decision::Denied).len(), 2);
}

/// Python's own client wants a socket, which nobody has: it gets an error of the system. The interface is there.
#[test]
fn a_python_component_fetches_under_grants_and_has_no_socket() {
    let file = guest("fetch-python.wasm");
    if !file.exists() {
        skipped("a_python_component_fetches_under_grants_and_has_no_socket", "the guest was not built");
        return;
    }
    let bench = Bench::new();
    let (open, closed) = (Site::plain(), Site::plain());
    let package = Package::open(file, Some(PluginType::Integration)).unwrap();
    let request = LoadRequest::new(package)
        .grant(GrantRequest::http(format!("http://{}", open.authority()).parse().unwrap()))
        .allow_addresses("127.0.0.0/8".parse().unwrap());
    let plugin = bench.host.load_blocking(request).unwrap();
    let said = |export: &str, arguments: Json| {
        let patient = CallOptions::within(Duration::from_secs(60));
        let outcome = plugin.call_blocking(export, &arguments.to_string(), patient);
        if outcome.is_ok() { Ok(value(&outcome)) } else { Err(outcome.reason.expect("a reason").message) }
    };
    let fetched = said("fetch", json!({ "host": open.authority(), "path": "/hello" }));
    assert_eq!(fetched.unwrap(), json!([200, "hello from /hello"]));
    let refused = said("fetch", json!({ "host": closed.authority(), "path": "/" })).unwrap_err();
    assert!(refused.contains("RequestDenied"), "{refused}");
    let url = format!("http://{}/hello", open.address);
    let socket = said("open-socket", json!({ "url": url })).unwrap_err();
    assert!(socket.contains("Error"), "{socket}");
    assert!(closed.seen().is_empty() && open.seen().len() == 1);
    assert_eq!(bench.found(Layer::Worker, "http", Decision::Denied).len(), 1);
    assert!(!bench.found(Layer::Worker, "socket", Decision::Denied).is_empty());
}

#[test]
fn d2_a_name_is_looked_up_once_and_each_of_its_addresses_is_checked() {
    const TEST: &str = "d2_a_name_is_looked_up_once_and_each_of_its_addresses_is_checked";
    if !nix::unistd::geteuid().is_root() {
        skipped(TEST, "only root may give a process another name server");
        return;
    }
    scene::alone(TEST, || {
        let here = || IpAddr::from([127, 0, 0, 1]);
        let closed = || IpAddr::from([127, 0, 0, 2]);
        let resolver = Resolver::instead(vec![
            ("good.example", vec![vec![here()]]),
            ("rebound.example", vec![vec![here()], vec![closed()]]),
            ("both.example", vec![vec![here(), closed()]]),
            ("other-way.example", vec![vec![closed(), here()]]),
            ("six.example", vec![vec![here(), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16])]]),
            ("mapped.example", vec![vec![IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1_u16])]]),
            ("nothing.example", vec![vec![]]),
        ]);
        let stage = Stage::new();
        let site = Site::plain();
        let port = site.address.port();
        let grants = [format!("http://*.example:{port}"), format!("http://metadata:{port}")];
        let plugin = stage.load(&[&grants[0], &grants[1]], &["127.0.0.1/32"]);
        let try_it = |name: &str| get(&plugin, &format!("http://{name}:{port}/"));
        assert_eq!(try_it("good.example").unwrap()["status"], json!(200));
        assert!(site.seen()[0].contains(&format!("host: good.example:{port}")));
        assert_eq!(resolver.asked().iter().filter(|asked| *asked == "good.example 1").count(), 1);
        // The answer changes between two requests, and each request is held to its own.
        assert_eq!(try_it("rebound.example").unwrap()["status"], json!(200));
        assert!(try_it("rebound.example").unwrap_err().contains("DestinationIpProhibited"));
        for name in ["both.example", "other-way.example", "six.example", "mapped.example"] {
            let error = try_it(name).unwrap_err();
            assert!(error.contains("DestinationIpProhibited"), "{name}: {error}");
        }
        assert_eq!(stage.rules(), ["http.address"; 5]);
        for name in ["nothing.example", "unknown.example", "metadata"] {
            let error = try_it(name).unwrap_err();
            assert!(error.contains("DnsError"), "{name}: {error}");
        }
        assert_eq!(site.seen().len(), 2);
    });
}

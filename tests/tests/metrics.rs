//! Metrics as a scraper sees them: over HTTP, and by a Prometheus.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use stockade_tests::served::{Served, Site, until};
use stockade_tests::skipped;

/// Asks by HTTP; status line, headers and body.
fn get(address: SocketAddr, path: &str, host: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_ascii_lowercase(), body.to_owned())
}

/// Where a host serves its metrics.
fn address(served: &Served<'_>) -> SocketAddr {
    let said = served.said();
    let at = said.split("metrics are at http://").nth(1).expect("it says where");
    at.split("/metrics").next().expect("an address").parse().expect("an address")
}

fn site() -> Site {
    let site = Site::with_probe();
    site.configure("[metrics]\nlisten = \"127.0.0.1:0\"\n");
    site.enable("local/p", "");
    site
}

#[test]
fn metrics_and_health_are_served() {
    let site = site();
    let served = site.serve();
    served.ask(&["call", "local/p", "echo"]);
    let (head, body) = get(address(&served), "/metrics", "localhost");
    assert!(
        head.starts_with("http/1.1 200") && head.contains("application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(
        body.contains("stockade_calls_total{plugin=\"local/p\",tool=\"echo\",status=\"ok\"} 1"),
        "{body}"
    );
    // Nothing that a plugin says is among the labels' names or values but its own name and its tools'.
    let printed = String::from_utf8(site.run(&["metrics"]).stdout).unwrap();
    assert!(
        printed.contains("stockade_workers{plugin=\"local/p\"} 1") && printed.ends_with("# EOF\n"),
        "{printed}"
    );
    let (head, body) = get(address(&served), "/health/ready", "127.0.0.1:1");
    assert!(head.starts_with("http/1.1 200") && body.contains("\"ready\":true"), "{head}\n{body}");
    assert!(get(address(&served), "/health/live", "[::1]:1").0.starts_with("http/1.1 200"));
    assert!(get(address(&served), "/other", "localhost").0.starts_with("http/1.1 404"));
}

#[test]
fn a_page_from_elsewhere_reads_no_metrics() {
    let site = site();
    let served = site.serve();
    for host in ["evil.example", "localhost.evil.example:9464", "127.0.0.1.evil.example", "10.0.0.1:9464", ""]
    {
        let (head, body) = get(address(&served), "/metrics", host);
        assert!(head.starts_with("http/1.1 421"), "{host}: {head}");
        assert!(!body.contains("stockade_"), "{host}: {body}");
    }
}

#[test]
fn metrics_are_for_this_machine_alone() {
    let site = Site::new();
    site.configure("[metrics]\nlisten = \"0.0.0.0:0\"\n");
    let mut served = site.serve_unready();
    assert_eq!(served.ended().code(), Some(2));
    assert!(served.said().contains("error[metrics-address]"), "{}", served.said());
}

/// A Prometheus, until it is dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(program: &PathBuf, target: SocketAddr) -> Prometheus {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "global:\n  scrape_interval: 250ms\n  scrape_timeout: 250ms\nscrape_configs:\n- job_name: stockade\n  static_configs:\n  - targets: ['{target}']\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Prometheus starts");
        until("Prometheus listens", || TcpStream::connect(address).is_ok());
        Prometheus { child, address, _folder: folder }
    }

    fn api(&self, path: &str) -> Value {
        let (_, body) = get(self.address, &format!("/api/v1/{path}"), "localhost");
        // It may come in chunks, whose lengths stand between.
        let json = body.find('{').zip(body.rfind('}')).map(|(from, to)| &body[from..=to]).unwrap_or_default();
        serde_json::from_str(json).unwrap_or(Value::Null)
    }

    /// The value of the one series that a query finds.
    fn value(&self, query: &str) -> Option<f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.api(&format!("query?query={encoded}"));
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

#[test]
fn a_prometheus_scrapes_it_and_agrees() {
    let Some(program) = std::env::var_os("STOCKADE_PROMETHEUS").map(PathBuf::from) else {
        return skipped(
            "a_prometheus_scrapes_it_and_agrees",
            "there is no Prometheus (Debian: apt-get download prometheus)",
        );
    };
    if Command::new(&program).arg("--version").output().is_err() {
        return skipped(
            "a_prometheus_scrapes_it_and_agrees",
            "this user may not run the Prometheus that was fetched",
        );
    }
    let site = site();
    let served = site.serve();
    let prometheus = Prometheus::start(&program, address(&served));
    let (mut good, mut bad) = (0.0, 0.0);
    for round in 0..12 {
        if round % 4 == 3 {
            served.ask(&["call", "local/p", "exit", "--args", r#"{"code":1}"#]);
            bad += 1.0;
        } else {
            served.ask(&["call", "local/p", "echo"]);
            good += 1.0;
        }
    }
    let echo = r#"{plugin="local/p",tool="echo"}"#;
    until("the counts of the test's own", || {
        // It has other things to do than to answer.
        std::thread::sleep(Duration::from_millis(250));
        prometheus.value(r#"stockade_calls_total{plugin="local/p",tool="echo",status="ok"}"#) == Some(good)
            && prometheus.value(r#"stockade_call_errors_total{plugin="local/p",code="worker-died"}"#)
                == Some(bad)
            && prometheus.value(&format!("stockade_call_duration_seconds_count{echo}")) == Some(good)
            && prometheus.value(r#"stockade_worker_starts_total{plugin="local/p"}"#) == Some(bad + 1.0)
    });
    assert_eq!(prometheus.value("up"), Some(1.0));
    let p99 =
        prometheus.value(&format!("histogram_quantile(0.99, stockade_call_duration_seconds_bucket{echo})"));
    assert!(p99.is_some_and(|p99| p99 > 0.0 && p99 < 60.0), "{p99:?}");
    // Each metric has its type and its help, and no scrape failed.
    let targets = prometheus.api("targets");
    assert_eq!(targets["data"]["activeTargets"][0]["lastError"], "");
    let metadata = prometheus.api("metadata?metric=stockade_calls");
    let kinds = [
        &metadata["data"]["stockade_calls"][0]["type"],
        &prometheus.api("metadata?metric=stockade_call_duration_seconds")["data"]["stockade_call_duration_seconds"]
            [0]["type"],
    ];
    assert_eq!(kinds, ["counter", "histogram"]);
}

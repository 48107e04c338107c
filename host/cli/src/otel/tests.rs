#[cfg(not(feature = "otel"))]
#[test]
fn a_program_without_the_feature_says_how_to_get_it() {
    let failure = super::start("http://127.0.0.1:4318/v1/traces").err().expect("refused");
    assert!(matches!(failure.exit, crate::exit::Exit::Usage));
    assert_eq!((failure.problem.code, &*failure.problem.field), ("otel-missing", "tracing.otlp"));
    assert!(failure.problem.next_step.contains("--features otel"));
}

#[cfg(feature = "otel")]
mod collected {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

    use tracing::level_filters::LevelFilter;

    use crate::logging;
    use crate::otel::start;

    /// One request: its head, and its body.
    fn received(stream: TcpStream, answer: &[u8]) -> (String, Vec<u8>) {
        let mut reader = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a head");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(said) = line.strip_prefix("content-length:") {
                length = said.trim().parse().expect("a length");
            }
            head.push_str(&format!("{line}\n"));
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        reader.get_mut().write_all(answer).expect("someone who listens");
        (head, body)
    }

    fn has(body: &[u8], text: &str) -> bool {
        body.windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// As a host makes them (`host/core/src/plugin`).
    fn one_call() {
        let call = "0198c0de";
        let span = tracing::info_span!(target: "stockade::call", "call", call = %call, plugin = "local/a", tool = "t");
        span.in_scope(|| {
            tracing::info_span!(target: "stockade::call", "launch", plugin = "local/a").in_scope(|| {
                tracing::info!(target: "stockade::host", "told within");
                tracing::debug!(target: "stockade::host", "too much");
            });
        });
        tracing::info_span!(target: "elsewhere", "nobodys").in_scope(|| {});
    }

    fn closed_port() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.local_addr().expect("an address").port()
    }

    #[test]
    fn a_collector_gets_the_spans_of_a_call_and_the_terminal_nothing_more() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let collector = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a batch");
            received(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        });
        let (spans, exporter) = start(&format!("http://localhost:{port}/v1/traces")).expect("started");
        let (subscriber, lines, level) = logging::for_long(LevelFilter::ERROR, Some(spans));
        tracing::subscriber::with_default(subscriber, || {
            one_call();
            assert_eq!(lines.kept(), 0, "the level holds for what is told");
            level.set(LevelFilter::INFO);
            one_call();
            assert_eq!(lines.kept(), 1, "and can be changed beside the spans");
        });
        drop(exporter);
        let (head, body) = collector.join().expect("a request");
        assert!(head.starts_with("post /v1/traces http/1.1\n"), "{head}");
        assert!(head.contains(&format!("host: localhost:{port}\n")), "{head}");
        assert!(head.contains("content-type: application/x-protobuf\n"), "{head}");
        let wanted = ["call", "launch", "0198c0de", "local/a", "tool", "told within"];
        for text in wanted.into_iter().chain(["service.name", "stockade", env!("CARGO_PKG_VERSION")]) {
            assert!(has(&body, text), "{text} is not in {}", String::from_utf8_lossy(&body));
        }
        for text in ["nobodys", "too much", file!()] {
            assert!(!has(&body, text), "{text} is in {}", String::from_utf8_lossy(&body));
        }
    }

    /// Calls cost nothing, and the end comes within the time that it has.
    fn costs_nothing(otlp: &str, within: Duration) {
        let (spans, exporter) = start(otlp).expect("started");
        let (subscriber, _lines, _level) = logging::for_long(LevelFilter::OFF, Some(spans));
        let began = Instant::now();
        // More than wait for their turn.
        tracing::subscriber::with_default(subscriber, || (0..3000).for_each(|_| one_call()));
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        let began = Instant::now();
        drop(exporter);
        assert!(began.elapsed() < within, "{:?}", began.elapsed());
    }

    #[test]
    fn a_dead_collector_costs_nothing() {
        costs_nothing(&format!("http://127.0.0.1:{}/v1/traces", closed_port()), Duration::from_secs(2));
    }

    #[test]
    fn a_collector_that_never_answers_keeps_nobody_from_the_end() {
        // It takes connections, and nobody reads them.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        costs_nothing(&format!("http://127.0.0.1:{port}/v1/traces"), Duration::from_secs(6));
    }

    #[test]
    fn spans_go_to_this_machine_alone() {
        for good in ["http://127.0.0.1:4318/v1/traces", "http://[::1]:4318/v1/traces", "http://LOCALHOST/"] {
            assert!(start(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "collector",
            "/v1/traces",
            "https://127.0.0.1:4318/v1/traces",
            "http://192.0.2.1:4318/v1/traces",
            "http://0.0.0.0:4318/v1/traces",
            "http://localhost.example.org/v1/traces",
            "http://me@localhost:4318/v1/traces",
            "http://127.0.0.1:70000/v1/traces",
        ] {
            let failure = start(bad).err().unwrap_or_else(|| panic!("{bad} is taken"));
            assert_eq!((failure.problem.code, &*failure.problem.field), ("bad-collector", "tracing.otlp"));
            assert!(matches!(failure.exit, crate::exit::Exit::Usage));
        }
    }
}

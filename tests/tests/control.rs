//! The control socket, attacked: by users who may not, and by clients that send what they like.

use std::fs;
use std::io::{IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::json;
use stockade_audit::{Decision, Reader};
use stockade_control::{MAX_REQUEST, PROTOCOL, Reply, Request};
use stockade_tests::accounts::{Account, resident_kib_of};
use stockade_tests::chance::Chance;
use stockade_tests::served::{Served, Site, until};
use stockade_tests::skipped;

fn connect(served: &Served<'_>) -> UnixStream {
    let socket = UnixStream::connect(served.site.state().join("control.sock")).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    socket
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend([PROTOCOL, 0, 0, 0]);
    frame.extend(body);
    frame
}

/// Sends bytes, hears what comes to the end; the code of a refusal, or nothing where there was no word.
fn told(served: &Served<'_>, bytes: &[u8]) -> Option<String> {
    let mut socket = connect(served);
    // It may be hung up on in the middle.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    let reply: Reply = serde_json::from_slice(answer.get(8..)?).expect("a reply");
    match reply {
        Reply::Refused(problem) => Some(problem.code),
        other => panic!("{other:?}"),
    }
}

/// The host answers, a plugin is served, and nobody waits for it.
fn serves(served: &Served<'_>) {
    let began = Instant::now();
    let call = Request::Call {
        plugin: "local/p".to_owned(),
        tool: "echo".to_owned(),
        arguments: "1".to_owned(),
        deadline_ms: None,
    };
    let reply = served.client().ask(&call);
    assert!(matches!(&reply, Ok(Reply::Called(result)) if result.value.as_deref() == Some("1")), "{reply:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn frames_that_are_none_are_refused_and_the_host_serves_on() {
    let site = Site::with_probe();
    site.enable("local/p", "");
    let served = site.serve();
    serves(&served);
    let deep = [&b"{\"do\":"[..], &[b'['; 200_000]].concat();
    let header = |length: u32, rest: [u8; 4]| [&length.to_le_bytes()[..], &rest].concat();
    let cases: Vec<(&str, Vec<u8>, Option<&str>)> = vec![
        ("nothing", Vec::new(), None),
        ("half a header", vec![1, 0, 0], Some("control-broken")),
        ("a header and no body", header(10, [PROTOCOL, 0, 0, 0]), Some("control-broken")),
        ("a claim of 4 GiB", header(u32::MAX, [PROTOCOL, 0, 0, 0]), Some("too-long")),
        ("one byte more than may be", header(MAX_REQUEST as u32 + 1, [PROTOCOL, 0, 0, 0]), Some("too-long")),
        ("another version", header(2, [PROTOCOL + 1, 0, 0, 0]), Some("control-version")),
        ("reserved bytes", header(2, [PROTOCOL, 0, 1, 0]), Some("control-broken")),
        ("an empty body", frame(b""), Some("control-broken")),
        ("no JSON", frame(b"\xff\xfe\x00"), Some("control-broken")),
        (
            "another protocol",
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            Some("control-version"),
        ),
        ("an unknown request", frame(br#"{"do":"shell"}"#), Some("control-broken")),
        ("two texts", frame(br#"{"do":"health"}{"do":"health"}"#), Some("control-broken")),
        (
            "one field too many",
            frame(br#"{"do":"start","plugin":"a/b","force":true}"#),
            Some("control-broken"),
        ),
        ("one field too few", frame(br#"{"do":"start"}"#), Some("control-broken")),
        ("a field of another kind", frame(br#"{"do":"start","plugin":7}"#), Some("control-broken")),
        (
            // Of a plugin that is none: a flipped bit makes a good request of it, below.
            "a negative time",
            frame(br#"{"do":"stop","plugin":"local/q","grace_ms":-1}"#),
            Some("control-broken"),
        ),
        ("a plugin that is none", frame(br#"{"do":"start","plugin":"../../etc"}"#), Some("unknown-plugin")),
        ("nesting", frame(&deep), Some("control-broken")),
    ];
    for (what, bytes, code) in &cases {
        assert_eq!(told(&served, bytes).as_deref(), *code, "{what}");
        serves(&served);
    }
    // Once warm, nothing of it stays.
    let before = (Account::of(served.pid()).descriptors, resident_kib_of(served.pid()));
    let mut chance = Chance::new("control");
    for _ in 0..stockade_tests::cycles(20, 200) {
        for (_, bytes, _) in &cases {
            let mut bytes = bytes.clone();
            if !bytes.is_empty() {
                let at = chance.below(bytes.len().min(64) as u64) as usize;
                bytes[at] ^= 1 << chance.below(8);
            }
            let mut socket = connect(&served);
            let _ = socket.write_all(&bytes);
        }
        // They are gone, and the host gets round to it.
        until("descriptors are given back", || Account::of(served.pid()).descriptors <= before.0);
    }
    serves(&served);
    let grown = resident_kib_of(served.pid()).saturating_sub(before.1);
    assert!(grown < 8 << 10, "{grown} KiB more");
}

#[test]
fn clients_that_wait_are_told_apart_from_those_that_ask() {
    let site = Site::with_probe();
    site.enable("local/p", "");
    let served = site.serve();
    serves(&served);
    let before = Account::of(served.pid()).descriptors;
    // Silent, half a frame, and one that never reads: nobody else waits for them.
    let silent: Vec<_> = (0..10).map(|_| connect(&served)).collect();
    let half: Vec<_> = (0..10)
        .map(|_| {
            let mut socket = connect(&served);
            socket.write_all(&frame(b"{\"do\":\"metrics\"}")[..12]).unwrap();
            socket
        })
        .collect();
    let deaf: Vec<_> = (0..10)
        .map(|_| {
            let mut socket = connect(&served);
            (0..50).for_each(|_| drop(socket.write_all(&frame(b"{\"do\":\"metrics\"}"))));
            socket
        })
        .collect();
    serves(&served);
    drop((silent, half, deaf));
    until("they are let go of", || Account::of(served.pid()).descriptors <= before);

    // As many as may, and the next is told so.
    let all: Vec<_> = (0..128).map(|_| connect(&served)).collect();
    until("a full house", || {
        let mut socket = connect(&served);
        let mut answer = [0; 512];
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let length = socket.read(&mut answer).unwrap_or(0);
        String::from_utf8_lossy(&answer[..length]).contains("\"busy\"")
    });
    drop(all);
    until("room again", || served.client().ask(&Request::Health).is_ok());
    serves(&served);
}

#[test]
fn a_client_that_goes_takes_its_call_with_it() {
    let site = Site::with_probe();
    site.enable("local/p", "");
    let served = site.serve();
    let spin =
        frame(br#"{"do":"call","plugin":"local/p","tool":"spin","arguments":"{}","deadline_ms":30000}"#);
    let mut last = 0;
    // It hangs up, or it speaks out of turn.
    for more in [None, Some(frame(br#"{"do":"health"}"#))] {
        let mut socket = connect(&served);
        socket.write_all(&spin).unwrap();
        // The one before may be ending still.
        let mut worker = 0;
        until("the call", || {
            let status = served.status("local/p");
            worker = status.workers.first().copied().unwrap_or_default();
            status.running == 1 && worker != 0 && worker != last
        });
        last = worker;
        match more {
            None => drop(socket),
            Some(more) => {
                socket.write_all(&more).unwrap();
                assert_eq!(socket.read(&mut [0; 64]).unwrap_or(0), 0, "it was answered");
            }
        }
        until("the call's end", || served.status("local/p").running == 0);
        until("the worker's end", || !stockade_tests::served::lives(worker));
    }
    serves(&served);
}

#[test]
fn descriptors_that_clients_send_do_not_stay() {
    let site = Site::with_probe();
    site.enable("local/p", "");
    let served = site.serve();
    serves(&served);
    let before = Account::of(served.pid()).descriptors;
    let file = fs::File::open("/dev/null").unwrap();
    let health = frame(br#"{"do":"health"}"#);
    let open: Vec<_> = (0..20)
        .map(|_| {
            let socket = connect(&served);
            let files = [file.as_raw_fd(); 50];
            let control = [ControlMessage::ScmRights(&files)];
            let bytes = [IoSlice::new(&health)];
            sendmsg::<()>(socket.as_raw_fd(), &bytes, &control, MsgFlags::empty(), None).unwrap();
            socket
        })
        .collect();
    // Each is answered, and has one descriptor at the host: its own.
    for mut socket in &open {
        assert!(socket.read(&mut [0; 64]).unwrap() > 0);
    }
    let now = Account::of(served.pid()).descriptors;
    assert!(now <= before + 20 + 2, "{before} before, {now} now");
    drop(open);
    until("descriptors are given back", || Account::of(served.pid()).descriptors <= before);
}

#[test]
fn another_user_is_refused_and_recorded_unless_it_is_named() {
    const OTHER: u32 = 65_533;
    if !nix::unistd::geteuid().is_root() {
        return skipped("another_user_is_refused_and_recorded", "only root can be another user");
    }
    for (uids, code) in [("", 3), ("uids = [65533]\n", 0)] {
        let site = Site::new();
        // The user has to come as far as the socket: what is refused there is not the folder's doing.
        let socket = site.path("control.sock");
        site.configure(&format!("[control]\nsocket = \"control.sock\"\n{uids}"));
        let served = site.serve();
        if code == 3 {
            fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        }
        let mut command = std::process::Command::new(stockade_tests::dist().join("stockade"));
        command.args(["health", "--format", "json", "--socket"]).arg(&socket).uid(OTHER).gid(OTHER);
        let output = command.output().expect("the program can be run by everybody");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(output.status.code(), Some(code), "{answer}");
        if code == 0 {
            assert_eq!(answer["ready"], true);
            continue;
        }
        assert_eq!(answer["error"]["code"], "not-permitted");
        let records = Reader::open(site.state().join("audit")).unwrap().map(Result::unwrap);
        let refused: Vec<_> = records.filter(|entry| entry.record.operation == "control").collect();
        assert_eq!(refused.len(), 1);
        // As often as it likes: each attempt is counted, and few have records of their own.
        let attempts = 60;
        for _ in 0..attempts {
            command.output().expect("the program can be run by everybody");
        }
        let of_them = || {
            let records = Reader::open(site.state().join("audit")).unwrap().map(Result::unwrap);
            let refused: Vec<_> =
                records.filter(|entry| entry.record.operation == "control").skip(1).collect();
            let counted =
                refused.iter().map(|entry| entry.record.detail.number("count").unwrap_or(1)).sum::<i64>();
            (counted, refused.len())
        };
        until("every attempt is counted", || of_them().0 == attempts);
        assert!(of_them().1 < attempts as usize / 2, "{:?}", of_them());
        assert_eq!(refused[0].record.decision, Decision::Denied);
        assert_eq!(refused[0].record.detail.text("uid"), Some("65533"));
        assert!(served.said().contains("a client was refused"), "{}", served.said());
    }
}

#[test]
fn what_an_operator_sees_says_what_why_and_what_next() {
    let site = Site::with_probe();
    site.enable("local/p", "[supervision.breaker]\nwindow = 4\npause = \"60s\"");
    site.enable("local/q", "[supervision.breaker]\noff = true");
    let served = site.serve();
    let mut seen = Vec::new();
    let mut see = |what: &str, arguments: &[&str]| {
        let output = site.run(arguments);
        let told = String::from_utf8(output.stderr).unwrap();
        seen.push(format!("## {what}: exit {}\n{told}", output.status.code().unwrap_or(-1)));
    };
    for _ in 0..4 {
        served.ask(&["call", "local/p", "exit", "--args", r#"{"code":1}"#]);
    }
    see("a call while the breaker is open", &["call", "local/p", "echo"]);
    for _ in 0..4 {
        served.ask(&["call", "local/q", "exit", "--args", r#"{"code":1}"#]);
    }
    see("a call while its plugin backs off", &["call", "local/q", "echo", "--deadline", "10ms"]);
    site.run(&["stop", "local/q"]);
    see("a call of a stopped plugin", &["call", "local/q", "echo"]);
    site.file("local/q", "enabled = true\n[supervision]\nworkers = 0\n");
    see("a reload that is refused", &["reload"]);
    site.file("local/q", "enabled = perhaps\n");
    see("a reload of what cannot be read", &["reload"]);
    let folder = site.path("").display().to_string();
    let said = served.said();
    let logged: Vec<_> = said.lines().filter(|line| !line.starts_with("info: metrics")).collect();
    seen.push(format!("## what the host tells\n{}\n", logged.join("\n")));
    let seen = seen.join("\n");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&regex_of(&folder), "SITE/");
    settings.add_filter(r"next starts in [0-9.]+m?s", "next starts in TIME");
    settings.add_filter(r"tried in [0-9.]+s", "tried in TIME");
    settings.bind(|| insta::assert_snapshot!(seen));
}

/// A pattern that is this text and nothing else.
fn regex_of(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_alphanumeric() || c == '/' { c.to_string() } else { format!("\\{c}") })
        .collect()
}

#[test]
fn the_health_of_a_host_is_its_exit_code() {
    let site = Site::new();
    site.configure("[metrics]\nlisten = \"127.0.0.1:0\"\n");
    let mut served = site.serve();
    assert_eq!(site.run(&["health"]).status.code(), Some(0));
    assert_eq!(served.ask(&["health"])["problems"], json!([]));
    served.signal(nix::sys::signal::Signal::SIGTERM);
    served.ended();
    assert_eq!(site.run(&["health"]).status.code(), Some(8));
}

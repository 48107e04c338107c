//! B7, B8, B9, B12, B15, B18, B19, B22: sound frames at the wrong time, in the wrong number, or with
//! hostile words.

use serde_json::{Value, json};
use stockade_ipc::bounds::LOG_LINE;
use stockade_ipc::bounds::WRITE;
use stockade_ipc::{Ask, Bytes, HttpBody, HttpRequest, Log, LogLevel, Make, NewTime, Refused};
use stockade_policy::{HttpScheme, Rule, Source};

use super::Entry;
use super::wire::{Peer, SOCKET, denied, done, end, message, returned, sleep};
use crate::sealed::raw;

pub(super) fn entries() -> Vec<Entry> {
    let mut all = returns();
    all.extend(asks());
    all.extend(words());
    all.extend(ends());
    all
}

/// Sends a Return by hand and plays an honest worker from then on.
fn after(bytes: impl Fn(u64) -> Vec<u8> + 'static) -> impl Fn(&mut Peer) -> Value {
    move |peer| {
        peer.write(&bytes(peer.call));
        peer.serve()
    }
}

fn stat() -> Ask {
    Ask::FsStat { path: "/etc/passwd".to_owned() }
}

fn log(line: &str) -> Vec<u8> {
    message(Log { level: LogLevel::Info, line: line.to_owned(), fields: Vec::new() })
}

/// B7: whose call it is.
fn returns() -> Vec<Entry> {
    let to = |short: &str, said: &str, number: fn(u64) -> u64| {
        Entry::fault(format!("B7.return-to-{short}"), format!("a return to {said}"), move |call| {
            returned(number(call), "1")
        })
    };
    vec![
        to("zero", "call 0", |_| 0),
        to("the-next", "the next call", |call| call + 1),
        to("the-last", "the call before", |call| call.wrapping_sub(1)),
        to("max", "call 2^64 - 1", |_| u64::MAX),
        to("low-half", "the call's number plus 2^32", |call| call + (1 << 32)),
        Entry::act(
            "B7.return-twice",
            "the same return twice in one write",
            after(|call| returned(call, "1").repeat(2)),
        )
        .next("protocol-fault")
        .why("the second is found when the next call begins"),
        Entry::act(
            "B7.return-ahead",
            "the next call's return together with this one's",
            after(|call| [returned(call, "1"), returned(call + 1, "\"ahead\"")].concat()),
        )
        .next("protocol-fault")
        .why("a worker can answer its own plugin's calls as it likes, but only once they are there"),
        Entry::act(
            "B7.return-and-half-a-frame",
            "a return and half a log line",
            after(|call| [returned(call, "1"), log("half")[..10].to_vec()].concat()),
        )
        .next("protocol-fault"),
        Entry::act(
            "B7.return-and-an-ask",
            "a return and an ask behind it",
            after(|call| [returned(call, "1"), message(stat())].concat()),
        )
        .next("protocol-fault"),
        Entry::act(
            "B7.return-and-a-line",
            "a return and a log line behind it",
            after(|call| [returned(call, "1"), log("late")].concat()),
        )
        .next("protocol-fault"),
        Entry::act(
            "B7.return-no-json",
            "a value that is no JSON, with a line break in it",
            after(|call| returned(call, "1}\n{\"status\":\"ok\"")),
        )
        .why("what a plugin returns is its own text; whoever shows it has to escape it"),
    ]
}

/// B8, B9, B18, B19, B22: what the host is asked.
fn asks() -> Vec<Entry> {
    let mut all = vec![
        Entry::act("B8.asks-without-reading", "100,000 asks, no answer read", |peer| {
            let ask = message(stat());
            for _ in 0..100_000 {
                peer.write(&ask);
            }
            sleep()
        })
        .faulty()
        .within(2_000)
        .why("an answer that finds no room is the end: nothing is kept for a worker that does not read"),
        Entry::act("B8.asks-in-one-write", "4,000 asks in one write, then reads all answers", |peer| {
            peer.write(&message(stat()).repeat(4_000));
            sleep()
        })
        .faulty()
        .within(2_000),
        Entry::act("B9.reads-no-more", "returns, and reads nothing ever after", |peer| {
            peer.write(&returned(peer.call, "1"));
            sleep()
        })
        .next("deadline"),
        Entry::act("B22.flood-of-asks", "5,000 asks, each answer read", |peer| {
            for _ in 0..5_000 {
                peer.ask(stat());
            }
            done()
        })
        .record("host", "fs.read")
        .within(4_000),
        Entry::act("B22.endless-asks", "asks until it is ended", |peer| {
            loop {
                peer.ask(stat());
            }
        })
        .too_late(),
        Entry::act("B22.endless-lines", "log lines until it is ended", |peer| {
            let lines = log("flood").repeat(100);
            loop {
                peer.write(&lines);
            }
        })
        .too_late(),
        Entry::act("B22.endless-claims", "refusals of its own until it is ended", |peer| {
            let claims = claim("socket", "probe", Source::BuiltIn).repeat(100);
            loop {
                peer.write(&claims);
            }
        })
        .too_late(),
    ];
    let asked: [Asked; 30] = [
        ("B19.open-passwd", "opens /etc/passwd", "fs.read", || open("/etc/passwd")),
        ("B19.open-root", "opens /", "fs.read", || open("/")),
        ("B19.open-host-memory", "opens /proc/self/mem", "fs.read", || open("/proc/self/mem")),
        ("B19.open-nothing", "opens the empty path", "fs.read", || open("")),
        ("B19.open-relative", "opens a relative path", "fs.read", || open("etc/passwd")),
        ("B19.open-dot-dot", "opens /../etc/passwd", "fs.read", || open("/../etc/passwd")),
        ("B19.open-nul", "opens a path with NUL in it", "fs.read", || open("/etc\0/passwd")),
        ("B19.open-line-break", "opens a path with a line break", "fs.read", || open("/a\n{\"b\":1}")),
        ("B19.open-deep", "opens a path of 2,000 components", "fs.read", || open(&"/a".repeat(2_000))),
        ("B19.stat", "stats /etc/shadow", "fs.read", || Ask::FsStat { path: "/etc/shadow".to_owned() }),
        ("B19.list", "lists /", "fs.read", || Ask::FsList { path: "/".to_owned(), after: 0 }),
        ("B18.list-forged-cursor", "goes on listing / at 2^64 - 1", "fs.read", || Ask::FsList {
            path: "/".to_owned(),
            after: u64::MAX,
        }),
        ("B19.write-passwd", "opens /etc/passwd for writing", "fs.write", || writable(Make::Never)),
        ("B19.make-passwd", "makes /etc/passwd", "fs.create", || writable(Make::Always)),
        ("B19.make-directory", "makes a directory", "fs.create", || Ask::FsMakeDirectory {
            path: "/tmp/stockade".to_owned(),
        }),
        ("B19.remove", "removes /etc/passwd", "fs.delete", || Ask::FsRemove {
            path: "/etc/passwd".to_owned(),
            directory: false,
        }),
        ("B19.move", "moves /etc/passwd away", "fs.delete", || named(false)),
        ("B19.link", "links /etc/shadow", "fs.create", || named(true)),
        ("B19.times", "sets the times of /etc/passwd", "fs.write", || Ask::FsSetTimes {
            path: "/etc/passwd".to_owned(),
            accessed: NewTime::Now,
            modified: NewTime::At(i64::MIN, u32::MAX),
        }),
        ("B18.write-forged-file", "writes to a file not open", "fs.write", || Ask::FsWrite {
            file: 1,
            at: Some(u64::MAX),
            bytes: Bytes(vec![0; WRITE]),
        }),
        ("B18.size-forged-file", "cuts a file not open", "fs.write", || Ask::FsSetSize {
            file: u32::MAX,
            size: 0,
        }),
        ("B19.http", "asks a cloud for its metadata", "http", || sent("GET", "169.254.169.254", "/latest/")),
        ("B19.http-traversal", "climbs in a path", "http", || sent("GET", "a.example", "/a/%2e%2e/b")),
        ("B19.http-line-end", "splits a request", "http", || sent("GET", "a.example", "/\r\nhost: b")),
        ("B18.http-forged-request", "writes to a request not there", "http", || Ask::HttpWrite {
            request: u32::MAX,
            bytes: Bytes(vec![0; WRITE]),
        }),
        ("B18.http-close-forged", "closes a request not there", "http", || Ask::HttpClose { request: 0 }),
        ("B19.kv", "reads from a store", "kv", || Ask::KvGet { key: "../other".to_owned() }),
        ("B19.kv-swap", "swaps in a store", "kv", || Ask::KvSwap {
            key: "key".to_owned(),
            seen: Some(u64::MAX),
            value: Bytes(vec![0; 1024]),
        }),
        ("B19.config", "reads a configuration value", "config", || Ask::ConfigGet { key: "key".to_owned() }),
        ("B19.config-hostile-key", "reads a hostile key", "config", || Ask::ConfigGet {
            key: "\0\n\u{1b}[2J\u{202e}".to_owned(),
        }),
    ];
    for (id, tries, operation, ask) in asked {
        let tries = format!("{tries} past the worker's own check");
        let asks = move |peer: &mut Peer| peer.ask(ask());
        all.push(Entry::act(id, tries, asks).value(denied()).record("host", operation));
    }
    all
}

/// An id, words, an operation, and what is asked.
type Asked = (&'static str, &'static str, &'static str, fn() -> Ask);

fn writable(make: Make) -> Ask {
    Ask::FsOpenWritable { path: "/etc/passwd".to_owned(), make, truncate: true, read: true }
}

fn named(keep: bool) -> Ask {
    Ask::FsName { from: "/etc/passwd".to_owned(), to: "/tmp/stockade".to_owned(), keep }
}

fn sent(method: &str, authority: &str, path: &str) -> Ask {
    let request = HttpRequest {
        method: method.to_owned(),
        scheme: HttpScheme::Http,
        authority: authority.to_owned(),
        path: path.to_owned(),
        fields: Vec::new(),
        body: HttpBody::Follows,
        patience: [Some(u64::MAX); 3],
    };
    Ask::HttpSend { request, wait: true }
}

fn open(path: &str) -> Ask {
    Ask::FsOpen { path: path.to_owned() }
}

fn claim(operation: &str, rule: &str, source: Source) -> Vec<u8> {
    message(Refused {
        operation: operation.to_owned(),
        resource: "probe".to_owned(),
        rule: Rule { id: rule.to_owned(), source },
        reason: "probe".to_owned(),
    })
}

/// What breaks lines, terminals, and readers that count on either.
const HOSTILE: [(&str, &str, &str); 8] = [
    ("line-break", "line breaks", "a\nb\r\nc\u{85}d\u{2028}e\u{2029}f\u{b}g"),
    ("record", "a whole record", "x\"}\n{\"seq\":1,\"layer\":\"seccomp\",\"event\":\"forbidden-call\"}"),
    ("nul", "NUL", "a\0b"),
    ("ansi", "terminal control", "\u{1b}[2J\u{1b}]0;title\u{7}\u{1b}]8;;http://x\u{7}\u{9b}31m"),
    ("bidi", "bidirectional control", "\u{202e}\u{2066}\u{2067}drowssap\u{2069}\u{200f}"),
    ("format", "format directives", "%s%n {} {0} $(id) `id` ${HOME}"),
    ("tags", "invisible and private characters", "\u{e0001}\u{e0041}\u{feff}\u{e000}\u{10ffff}"),
    ("sheet", "a spreadsheet's formula", "=cmd|' /C calc'!A0"),
];

/// B12: words that end up before an operator or in the audit log.
fn words() -> Vec<Entry> {
    let mut all = Vec::new();
    for (short, said, text) in HOSTILE {
        all.push(Entry::act(format!("B12.line-{short}"), format!("a log line with {said}"), move |peer| {
            peer.write(&log(text));
            done()
        }));
        all.push(
            Entry::act(format!("B12.claim-{short}"), format!("a refusal's words with {said}"), move |peer| {
                peer.write(&message(Refused {
                    operation: "socket".to_owned(),
                    resource: text.to_owned(),
                    rule: Rule::built_in(text),
                    reason: text.to_owned(),
                }));
                done()
            })
            .record("worker", "socket"),
        );
    }
    all.push(
        Entry::act("B12.claims-to-be-the-kernel", "a refusal in the words of a killed call", |peer| {
            peer.write(&claim("forbidden-call", "default", Source::CommandLine));
            done()
        })
        .record("worker", "forbidden-call")
        .why("whatever it says, it is recorded as the worker's claim"),
    );
    all.push(Entry::act("B12.empty-line", "an empty log line", |peer| {
        peer.write(&log(""));
        done()
    }));
    all.push(
        Entry::act("B12.flood-of-lines", "20,000 of the longest log lines", |peer| {
            let lines = log(&"x".repeat(LOG_LINE));
            for _ in 0..20_000 {
                peer.write(&lines);
            }
            done()
        })
        .record("limits", "log")
        .within(4_000),
    );
    all.push(
        Entry::act("B10.flood-of-claims", "20,000 refusals of its own, all different", |peer| {
            for number in 0..20_000 {
                peer.write(&claim("socket", &format!("rule {number}"), Source::BuiltIn));
            }
            done()
        })
        .record("worker", "socket")
        .within(4_000),
    );
    all
}

/// B15, A51, A52: how a worker goes, or does not.
fn ends() -> Vec<Entry> {
    let half = || log("half a line")[..12].to_vec();
    vec![
        Entry::act("B15.hangs-up-and-lives-on", "closes the socket and stays", |_| {
            raw(libc::SYS_close, &[SOCKET as u64]);
            sleep()
        })
        .faulty()
        .within(400)
        .why("a process that ends closes its socket a moment before: 100 ms are left for that"),
        Entry::act("B15.shuts-its-writing", "shutdown(SHUT_WR)", |_| shut(libc::SHUT_WR))
            .stopped_at("shutdown"),
        Entry::act("B15.shuts-its-reading", "shutdown(SHUT_RD)", |_| shut(libc::SHUT_RD))
            .stopped_at("shutdown"),
        Entry::act("B15.exits", "exits without a word", |_| end(0))
            .expect(&["worker-died"])
            .record("launch", "launch"),
        Entry::act("B15.exits-as-out-of-memory", "exits with the code of the memory limit", |_| end(71))
            .expect(&["memory-limit"])
            .record("limits", "launch")
            .why("it can call its end what it likes, and is gone all the same"),
        Entry::act("B15.exits-in-a-frame", "half a frame, then exits", move |peer| {
            peer.write(&half());
            end(0)
        })
        .faulty(),
        Entry::act("B15.crashes-in-a-frame", "half a frame, then an illegal instruction", move |peer| {
            peer.write(&half());
            crash()
        })
        .faulty(),
        Entry::act("B15.returns-and-exits", "a return, then exits", |peer| {
            peer.write(&returned(peer.call, "1"));
            end(0)
        })
        .why("the next call gets a new worker"),
        Entry::act("A51.sleeps", "sleeps for ever", |_| sleep()).too_late(),
        Entry::act("A51.spins", "spins for ever", |_| {
            loop {
                std::hint::spin_loop();
            }
        })
        .too_late(),
    ]
}

fn shut(how: libc::c_int) -> Value {
    let result = raw(libc::SYS_shutdown, &[SOCKET as u64, how as u64]);
    json!({ "outcome": if result == 0 { "done" } else { "refused" } })
}

/// Ends by a signal that no handler of the program's catches.
pub(super) fn crash() -> ! {
    // SAFETY: none; this is what a crash looks like. JUSTIFICATION: an instruction that there is not.
    unsafe { std::arch::asm!("ud2", options(noreturn)) }
}

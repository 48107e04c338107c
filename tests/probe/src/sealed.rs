//! The probe in the worker's place: sealed by the same code, speaking the same protocol, running native
//! code where the worker would run a guest. Each tool is one thing to try; arguments are JSON.

use std::os::fd::RawFd;

use serde_json::{Value, json};
use stockade_ipc::{
    Answer, Ask, Bytes, Call, Delegate, Delegated, HttpBody, HttpRequest, Loaded, Log, LogLevel, Make,
    ModelMessage, ModelRequest, NewTime, Outcome, Refused, Return, ToHost, ToWorker,
};
use stockade_policy::{HttpScheme, Rule};
use stockade_seal::{Bare, Channel, SealError};

use crate::{attacks, peer};

/// Seals itself as the worker does, then does what it is told.
pub(crate) fn run() -> Result<(), SealError> {
    let environment: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    if let Some(misbehaviour) = peer::at_boot() {
        match misbehaviour.strip_prefix("denials=") {
            Some(order) => be_refused_before_the_seal(order),
            None if misbehaviour == "claims-ready" => claim_to_be_ready(),
            None => return peer::boot(&misbehaviour),
        }
    }
    let (_, files, mut channel) = Bare::enter()?.confine()?.attested()?;
    // The one stretch in which the host lets an open pass: what it names is Landlock's to judge.
    let opened_while_loading = raw(
        libc::SYS_openat,
        &[libc::AT_FDCWD as u64, c"/etc/passwd".as_ptr() as u64, (libc::O_RDONLY | libc::O_CLOEXEC) as u64],
    );
    channel.send(&Loaded.into())?;
    loop {
        let call = match channel.receive() {
            Ok(ToWorker::Call(call)) => call,
            Ok(_) => continue,
            Err(SealError::Closed) => return Ok(()),
            Err(e) => return Err(e),
        };
        let arguments = serde_json::from_str(&call.arguments).unwrap_or(Value::Null);
        let value = match call.tool.as_str() {
            "opened_while_loading" => json!(opened_while_loading),
            "attempt" => attacks::attempt(&arguments),
            "peer" => peer::misbehave(&mut channel, &call, &arguments)?,
            _ => attempt(&mut channel, &call, &arguments, &environment, files.len())?,
        };
        let outcome = Outcome::Value(value.to_string());
        channel.send(&Return { call: call.call, outcome }.into())?;
    }
}

/// Opens a file so many times, `20000 /tmp/file`, where nothing but the host's Landlock domain is there to refuse it,
/// under a name that looks like a field of the kernel's records.
fn be_refused_before_the_seal(order: &str) {
    let (times, path) = order.split_once(' ').unwrap_or((order, "/etc/passwd"));
    let path = std::ffi::CString::new(path).unwrap_or_default();
    raw(libc::SYS_prctl, &[libc::PR_SET_NAME as u64, c"x\nfake=1".as_ptr() as u64]);
    for _ in 0..times.parse::<u32>().unwrap_or(0) {
        let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as u64;
        raw(libc::SYS_openat, &[libc::AT_FDCWD as u64, path.as_ptr() as u64, flags]);
    }
}

/// Says what the reader of the kernel's records says once its filter stands, without one.
fn claim_to_be_ready() -> ! {
    write_raw(b"\"ready\"\n");
    loop {
        raw(libc::SYS_pause, &[]);
    }
}

#[expect(clippy::disallowed_methods, reason = "one of the attempts is to end without a word")]
fn attempt(
    channel: &mut Channel,
    call: &Call,
    arguments: &Value,
    environment: &[String],
    files: usize,
) -> Result<Value, SealError> {
    let number = |key: &str| arguments[key].as_u64().unwrap_or(0);
    let text = |key: &str| arguments[key].as_str().unwrap_or_default().to_owned();
    Ok(match call.tool.as_str() {
        "echo" => arguments.clone(),
        "environment" => json!(environment),
        "files_received" => json!(files),
        "descriptors" => json!((0..4096).filter(|&fd| is_open(fd)).collect::<Vec<RawFd>>()),
        "syscall" => {
            let args: Vec<u64> =
                arguments["args"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
            json!(raw(number("nr") as i64, &args))
        }
        "crash" => {
            // SAFETY: none; this is what a crash looks like. (Not a bad address: Rust's own handler for
            // those would try to put the default one back, and be ended for that call instead.)
            unsafe { std::arch::asm!("ud2") };
            Value::Null
        }
        "int80" => {
            // SAFETY: a foreign system call; the kernel ends the process.
            unsafe { std::arch::asm!("int 0x80", inlateout("rax") 20_u64 => _) };
            Value::Null
        }
        "exit" => std::process::exit(number("code") as i32),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "allocate" => {
            let mut blocks: Vec<Vec<u8>> = Vec::new();
            let mut total = 0_u64;
            while total < number("bytes") {
                let mut block = Vec::new();
                if block.try_reserve_exact(1 << 20).is_err() {
                    break;
                }
                block.resize(1 << 20, 1_u8);
                blocks.push(block);
                total += 1 << 20;
            }
            json!(total)
        }
        "bytes" => {
            let bytes: Vec<u8> = arguments["bytes"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_u64)
                .map(|b| b as u8)
                .collect();
            write_raw(&bytes);
            Value::Null
        }
        "flood" => {
            let line = "x".repeat(number("len") as usize);
            for _ in 0..number("lines") {
                channel
                    .send(&Log { level: LogLevel::Info, line: line.clone(), fields: Vec::new() }.into())?;
            }
            Value::Null
        }
        "claim" => {
            for _ in 0..number("times").max(1) {
                let claim = Refused {
                    operation: text("operation"),
                    resource: text("resource"),
                    rule: Rule::built_in("probe"),
                    reason: "probe".to_owned(),
                };
                channel.send(&claim.into())?;
            }
            Value::Null
        }
        // Past every check that the worker has: straight to the host.
        "ask" => {
            let ask = match text("kind").as_str() {
                "open" => Ask::FsOpen { path: text("path") },
                "stat" => Ask::FsStat { path: text("path") },
                "write" => Ask::FsOpenWritable {
                    path: text("path"),
                    make: [Make::Never, Make::IfMissing, Make::Always][number("make") as usize % 3],
                    truncate: number("truncate") != 0,
                    read: number("read") != 0,
                },
                "put" => Ask::FsWrite {
                    file: number("file") as u32,
                    at: None,
                    bytes: Bytes(vec![0x5a; number("len") as usize]),
                },
                "size" => Ask::FsSetSize { file: number("file") as u32, size: number("size") },
                "close" => Ask::FsClose { file: number("file") as u32 },
                "times" => {
                    Ask::FsSetTimes { path: text("path"), accessed: NewTime::Now, modified: NewTime::Now }
                }
                "make" => Ask::FsMakeDirectory { path: text("path") },
                "remove" => Ask::FsRemove { path: text("path"), directory: number("directory") != 0 },
                "name" => Ask::FsName { from: text("from"), to: text("to"), keep: number("keep") != 0 },
                "list" => Ask::FsList { path: text("path"), after: number("after") },
                "http-send" => Ask::HttpSend {
                    request: HttpRequest {
                        method: text("method"),
                        scheme: HttpScheme::Http,
                        authority: text("authority"),
                        path: text("path"),
                        fields: vec![(text("field"), Bytes(b"1".to_vec()))],
                        body: HttpBody::None,
                        patience: [None; 3],
                    },
                    wait: number("wait") != 0,
                },
                "kv" => Ask::KvGet { key: text("key") },
                "http-write" => {
                    Ask::HttpWrite { request: number("request") as u32, bytes: Bytes(b"x".to_vec()) }
                }
                "http-finish" => Ask::HttpFinish { request: number("request") as u32, trailers: Vec::new() },
                "http-head" => Ask::HttpHead { request: number("request") as u32, wait: true },
                "http-read" => Ask::HttpRead { request: number("request") as u32, wait: true },
                "http-close" => Ask::HttpClose { request: number("request") as u32 },
                _ => Ask::ConfigGet { key: text("key") },
            };
            // All of them before the first answer is read.
            let ask = ToHost::Ask(ask);
            for _ in 0..number("times").max(1) {
                channel.send(&ask)?;
            }
            let mut answer = channel.receive()?;
            for _ in 1..number("answers") {
                answer = channel.receive()?;
            }
            match answer {
                ToWorker::Answer(Answer::Denied) => json!("denied"),
                ToWorker::Answer(answer) => json!(format!("{answer:?}")),
                other => json!(format!("{other:?}")),
            }
        }
        "delegate" => {
            let what = match text("kind").as_str() {
                "tools" => Delegate::Tools,
                "left" => Delegate::Left,
                "tool" => Delegate::ToolCall { name: text("name"), arguments: "{}".to_owned() },
                _ => Delegate::ModelAsk(ModelRequest {
                    model: text("name"),
                    messages: vec![ModelMessage::User("say hello".to_owned())],
                    functions: Vec::new(),
                    max_tokens: None,
                    temperature: None,
                }),
            };
            channel.send(&what.into())?;
            match channel.receive()? {
                ToWorker::Delegated(Delegated::Denied) => json!("denied"),
                other => json!(format!("{other:?}")),
            }
        }
        "hang_up" => {
            raw(libc::SYS_close, &[3]);
            loop {
                std::hint::spin_loop();
            }
        }
        "wrong_call_number" => {
            channel.send(&Return { call: call.call + 1, outcome: Outcome::Value("1".into()) }.into())?;
            Value::Null
        }
        other => json!({ "unknown": other }),
    })
}

/// A read of nothing fails only where there is no descriptor.
fn is_open(fd: RawFd) -> bool {
    raw(libc::SYS_read, &[fd as u64, 0, 0]) != -i64::from(libc::EBADF)
}

fn write_raw(bytes: &[u8]) {
    raw(libc::SYS_write, &[3, bytes.as_ptr() as u64, bytes.len() as u64]);
}

/// A raw system call; the negative error number where it fails.
pub(crate) fn raw(number: i64, args: &[u64]) -> i64 {
    let arg = |index: usize| args.get(index).copied().unwrap_or(0);
    // SAFETY: none is claimed; the point is to see what the kernel lets through.
    let result = unsafe { libc::syscall(number, arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)) };
    if result < 0 { -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { result }
}

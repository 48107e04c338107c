//! The probe without a host: lists its attacks, and runs one under one layer or none.

mod world;

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::stat::{SFlag, fstat};
use nix::sys::wait::{WaitStatus, waitpid};
use serde_json::{Value, json};

use crate::attacks::{self, Attack, Context, signal_name};
use world::{Layer, World};

/// How long one attack may take; what takes longer waits for something that will not come.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Prints the catalogue.
pub(crate) fn list() -> ExitCode {
    let lines: Value = attacks::all().map(Attack::json).collect();
    println!("{lines:#}");
    ExitCode::SUCCESS
}

/// Runs one attack in a process of its own and prints what came of it.
pub(crate) fn run() -> ExitCode {
    match ordered().and_then(|order| order.carry_out()) {
        Ok(outcome) => {
            println!("{outcome}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Sleeps until its parent ends or closes the pipe to it, with a secret in its memory and environment.
pub(crate) fn victim() -> ExitCode {
    let secret = std::env::var("STOCKADE_CANARY").unwrap_or_else(|_| "a victim's secret".to_owned());
    if nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).is_err() {
        return ExitCode::FAILURE;
    }
    let input = io::stdin();
    if fstat(&input).is_ok_and(|status| SFlag::from_bits_truncate(status.st_mode).contains(SFlag::S_IFIFO)) {
        let _ = io::copy(&mut input.lock(), &mut io::sink());
        return ExitCode::SUCCESS;
    }
    loop {
        nix::unistd::pause();
        std::hint::black_box(&secret);
    }
}

struct Order {
    attack: &'static Attack,
    layer: Layer,
    context: Context,
}

fn ordered() -> io::Result<Order> {
    let words: Vec<String> = std::env::args().skip(2).collect();
    let option = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1).map(String::as_str)
    };
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let number = |name: &str| option(name).and_then(|text| text.parse::<u32>().ok());
    let id = words.first().ok_or_else(|| wrong("run: name an attack; `list` shows them"))?;
    let attack = attacks::named(id).ok_or_else(|| wrong("run: no attack has this id; `list` shows them"))?;
    let layer = match (option("--layer"), number("--landlock-fd")) {
        (Some("control"), _) => Layer::Control,
        (Some("seccomp"), _) => Layer::Seccomp,
        (Some("landlock"), Some(ruleset)) => Layer::Landlock(ruleset as RawFd),
        (Some("landlock"), None) => {
            return Err(wrong("--layer landlock: pass a ruleset with --landlock-fd"));
        }
        _ => return Err(wrong("--layer: control, landlock or seccomp")),
    };
    let mut fixtures = String::new();
    io::stdin().read_to_string(&mut fixtures)?;
    let fixtures = serde_json::from_str(&fixtures)
        .map_err(|error| wrong(&format!("standard input: the fixtures are no JSON: {error}")))?;
    let context = Context::new(&fixtures, number("--variant").unwrap_or(0));
    Ok(Order { attack, layer, context })
}

impl Order {
    fn carry_out(mut self) -> io::Result<Value> {
        let world = World::new(&mut self.context)?;
        let child = world.enter(self.attack, self.layer, &self.context)?;
        let deadline = Instant::now() + TIME_LIMIT;
        let tried = match self.layer {
            Layer::Seccomp => listen(&world, &child.pidfd, deadline)?,
            Layer::Control | Layer::Landlock(_) => {
                wait(&[child.pidfd.as_fd()], deadline)?;
                None
            }
        };
        let hung = tried.is_none() && wait(&[child.pidfd.as_fd()], Instant::now())?.is_none();
        // Nobody has waited for it yet, so the number is still its own.
        nix::sys::signal::kill(child.pid, Signal::SIGKILL)?;
        let end = waitpid(child.pid, None)?;
        Ok(match (tried, world.reported(), end) {
            (Some(tried), ..) => tried,
            (None, Some(outcome), _) => outcome,
            (None, None, _) if hung => json!({ "outcome": "hung" }),
            (None, None, WaitStatus::Signaled(_, signal, _)) => {
                json!({ "outcome": "signal", "signal": signal_name(signal as i32) })
            }
            (None, None, WaitStatus::Exited(_, code)) => json!({ "outcome": "ended", "code": code }),
            (None, None, other) => json!({ "outcome": "ended", "how": format!("{other:?}") }),
        })
    }
}

/// `AUDIT_ARCH_I386`
const I386: u32 = 0x4000_0003;

/// Waits for the listener and then for the first call that the filter does not allow.
fn listen(world: &World, pidfd: &OwnedFd, deadline: Instant) -> io::Result<Option<Value>> {
    if wait(&[world.ours(), pidfd.as_fd()], deadline)?.is_none_or(|(ready, _)| ready != 0) {
        return Ok(None);
    }
    let (_, mut files) = stockade_ipc::fds::receive(world.ours(), &mut [0; 1])?;
    let Some(listener) = files.pop() else { return Ok(None) };
    let data = match wait(&[listener.as_fd(), pidfd.as_fd()], deadline)? {
        Some((0, events)) if events.contains(PollFlags::POLLIN) => world::first_notification(&listener),
        // Hung up: nobody is left under the filter, and asking it would wait for ever.
        Some((0, _)) => None,
        _ => return Ok(None),
    };
    let Some(data) = data else {
        wait(&[pidfd.as_fd()], deadline)?;
        return Ok(None);
    };
    let args = data.args.map(|argument| format!("{argument:#x}"));
    let name = if data.arch == I386 { attacks::foreign_name(data.nr) } else { attacks::name(data.nr) };
    Ok(Some(json!({ "outcome": "notified", "call": name, "args": args })))
}

/// Which of these is ready first, and what for; none before the deadline.
fn wait(files: &[BorrowedFd<'_>], deadline: Instant) -> io::Result<Option<(usize, PollFlags)>> {
    let mut polled: Vec<_> = files.iter().map(|&file| PollFd::new(file, PollFlags::POLLIN)).collect();
    let left = deadline.saturating_duration_since(Instant::now());
    poll(&mut polled, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO))?;
    let ready = |file: &PollFd<'_>| file.revents().filter(|events| !events.is_empty());
    Ok(polled.iter().enumerate().find_map(|(index, file)| Some((index, ready(file)?))))
}

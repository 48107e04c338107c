//! Tests that change their process for good (limits, filters, signals, users), or whose process is killed,
//! play in a process of their own: the test program starts itself again with the one test, and the
//! environment says which part that process has.
//!
//! A part writes messages as lines that begin with `@ ` to its error output; everything else that it
//! writes is shown if it fails. Lines of measurements and skips are passed on to whoever runs the tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;

/// Test and part, with a slash between.
const SCENE: &str = "STOCKADE_SCENE";
/// A part that takes longer is stuck.
const STUCK: Duration = Duration::from_secs(15 * 60);
/// A message that takes longer is not coming.
const SILENT: Duration = Duration::from_secs(60);

/// The part that this process plays in `test`; none where it is the test itself.
pub fn part(test: &str) -> Option<String> {
    let scene = std::env::var(SCENE).ok()?;
    let (of, part) = scene.split_once('/')?;
    assert_eq!(of, test, "the test names itself wrongly: its process plays {of}");
    Some(part.to_owned())
}

/// Runs `body` in a process of its own, and passes its failure on.
pub fn alone(test: &str, body: impl FnOnce()) {
    match part(test) {
        Some(_) => body(),
        None => start(test, "alone").finish(),
    }
}

/// Runs `body` in a process of its own for every part, one after the other.
pub fn each(test: &str, parts: &[&str], body: impl FnOnce(&str)) {
    match part(test) {
        Some(part) => body(&part),
        None => parts.iter().for_each(|part| start(test, part).finish()),
    }
}

/// Starts a part of `test` in a process of its own.
pub fn start(test: &str, part: &str) -> Actor {
    Actor::start(test, command(test, part))
}

/// The command that starts a part, for who wants to add to it.
pub fn command(test: &str, part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command
        .args(["--exact", test, "--nocapture", "--include-ignored", "--test-threads=1"])
        .env(SCENE, format!("{test}/{part}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Sends a message to whoever started this part.
pub fn tell(message: &str) {
    // One write: other threads and programs may write there, too.
    let line = format!("@ {message}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("whoever started this part listens");
}

/// Shows a line of measurements to whoever runs the tests.
pub fn show(line: &str) {
    println!("\nSHOWN: {line}");
}

/// A process that plays a part. Dropped, it is killed.
#[derive(Debug)]
pub struct Actor {
    test: String,
    child: Child,
    messages: Receiver<String>,
    written: Arc<Mutex<String>>,
    listening: Vec<JoinHandle<()>>,
    ended: Option<ExitStatus>,
    /// For its temporary files: nothing of a part that was killed is left.
    _temporary: TempDir,
}

impl Actor {
    /// Starts a part by a command that [`command`] made.
    pub fn start(test: &str, mut command: Command) -> Actor {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        if command.get_envs().all(|(name, _)| name != "TMPDIR") {
            command.env("TMPDIR", temporary.path());
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{test}: {error}"));
        let (sender, messages) = mpsc::channel();
        let written = Arc::new(Mutex::new(String::new()));
        let errors = child.stderr.take().expect("a pipe");
        let listening = vec![
            listen(errors, Arc::clone(&written), Some(sender)),
            listen(child.stdout.take().expect("a pipe"), Arc::clone(&written), None),
        ];
        Actor {
            test: test.to_owned(),
            child,
            messages,
            written,
            listening,
            ended: None,
            _temporary: temporary,
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next message.
    pub fn hear(&self) -> String {
        self.hear_within(SILENT).unwrap_or_else(|| panic!("{} said nothing:\n{}", self.test, self.written()))
    }

    /// The next message, if there is one in time.
    pub fn hear_within(&self, time: Duration) -> Option<String> {
        self.messages.recv_timeout(time).ok()
    }

    /// Sends it a line on its input.
    pub fn tell(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{line}").expect("the part listens");
    }

    /// Kills it and waits for its end.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        self.ended = Some(self.child.wait().expect("it is ours to wait for"));
    }

    /// Waits for its end, which must be a success.
    pub fn finish(mut self) {
        // Its input ends, for a part that waits for that.
        drop(self.child.stdin.take());
        let status = self.wait();
        for thread in self.listening.drain(..) {
            thread.join().expect("it only listens");
        }
        let written = self.written();
        assert!(
            status.success() && written.contains("1 passed"),
            "{} failed in a process of its own ({status}):\n{written}",
            self.test
        );
        for line in written.lines() {
            if let Some(shown) = line.strip_prefix("SHOWN: ") {
                println!("{shown}");
            } else if let Some(at) = line.find("SKIPPED: ") {
                println!("{}", &line[at..]);
            }
        }
    }

    fn wait(&mut self) -> ExitStatus {
        // Asleep until it ends: some parts measure, and whoever looks again and again takes a processor from them.
        let process = Pid::from_child(&self.child);
        let ends = pidfd_open(process, PidfdFlags::empty()).expect("it is ours to wait for");
        let mut ends = [PollFd::new(&ends, PollFlags::IN)];
        let stuck = Timespec::try_from(STUCK).expect("minutes");
        if retry_on_intr(|| poll(&mut ends, Some(&stuck))).expect("one descriptor") == 0 {
            let _ = self.child.kill();
        }
        let status = self.child.wait().expect("it is ours to wait for");
        self.ended = Some(status);
        status
    }

    /// What it has written so far.
    pub fn written(&self) -> String {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn listen(
    stream: impl Read + Send + 'static,
    written: Arc<Mutex<String>>,
    messages: Option<mpsc::Sender<String>>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line);
            if let (Some(message), Some(messages)) = (line.strip_prefix("@ "), &messages) {
                // Who started it may not care for this one any more.
                let _ = messages.send(message.to_owned());
                continue;
            }
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            written.push_str(&line);
            written.push('\n');
        }
    })
}

//! Programs that the runner starts itself. Each leads a process group of its own, so that what it does to
//! its group it does to itself, and so that nothing of it is left over.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// A started program, ended with everything in its group when this goes.
#[derive(Debug)]
pub(crate) struct Started(Child);

/// How a program ended, and the last line that it said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It said this last.
    Line(String),
    /// It said nothing, and this was its end.
    Nothing(String),
    /// This signal was its end.
    Signal(&'static str),
    /// It was not over in time.
    TooLong,
}

/// The most that any program of the suite says: the probe's list of some hundred attacks.
const MAX_OUTPUT: u64 = 4 * 1024 * 1024;
/// How long a program that lists something may take.
const LIST_TIME: Duration = Duration::from_secs(10);

impl Started {
    pub(crate) fn new(command: &mut Command) -> io::Result<Started> {
        command.process_group(0).spawn().map(Started)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended, without taking it out of the process table: its number stays its own.
    fn has_ended(&self) -> io::Result<bool> {
        let pid = i32::try_from(self.0.id()).map_err(io::Error::other)?;
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        Ok(waitid(Id::Pid(Pid::from_raw(pid)), flags)? != WaitStatus::StillAlive)
    }

    /// Ends its group. Its leader is not waited for yet, so the number is still its own.
    fn end(&mut self) -> io::Result<ExitStatus> {
        let group = i32::try_from(self.0.id()).map(Pid::from_raw).map_err(io::Error::other)?;
        // It may have ended already, or have become somebody whom this user may not signal.
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.0.kill();
        self.0.wait()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Everything that a program says, where it ends well.
pub(crate) fn output(program: &Path, arguments: &[&str]) -> io::Result<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    let (text, status) = run(&mut command, "", LIST_TIME)?;
    match status {
        Some(status) if status.success() => Ok(text),
        Some(status) => Err(io::Error::other(format!("it ended with {status}"))),
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Runs a program with `input` and says what it said last.
pub(crate) fn last_line(command: &mut Command, input: &str, time: Duration) -> io::Result<Said> {
    let (text, status) = run(command, input, time)?;
    let Some(status) = status else { return Ok(Said::TooLong) };
    let signal = status.signal().and_then(|signal| Signal::try_from(signal).ok());
    Ok(match (text.lines().rev().find(|line| !line.trim().is_empty()), signal) {
        (_, Some(signal)) => Said::Signal(signal.as_str()),
        (Some(line), None) => Said::Line(line.trim().to_owned()),
        (None, None) => Said::Nothing(status.to_string()),
    })
}

/// No status where it was not over in time.
fn run(command: &mut Command, input: &str, time: Duration) -> io::Result<(String, Option<ExitStatus>)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let until = Instant::now() + time;
    let mut started = Started::new(command)?;
    if let Some(mut stdin) = started.0.stdin.take() {
        // One that does not read its input has its reasons; what it says is judged.
        let _ = stdin.write_all(input.as_bytes());
    }
    let mut said = Vec::new();
    let mut stdout = started.0.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?.take(MAX_OUTPUT);
    let in_time = loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break false;
        }
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let mut ready = [PollFd::new(stdout.get_ref().as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, timeout)? == 0 {
            continue;
        }
        let mut piece = [0; 16 * 1024];
        match stdout.read(&mut piece)? {
            0 => break true,
            length => said.extend_from_slice(&piece[..length]),
        }
    };
    // A program that closed its output may need a moment to end; what is left of its group has to go.
    let mut ended = false;
    while in_time && !ended && Instant::now() < until {
        ended = started.has_ended()?;
        if !ended {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    let status = started.end()?;
    Ok((String::from_utf8_lossy(&said).into_owned(), ended.then_some(status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Said {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        last_line(&mut command, "input\n", Duration::from_millis(500)).expect("it starts")
    }

    #[test]
    fn the_last_line_is_what_counts() {
        assert_eq!(shell("echo one; echo two; echo"), Said::Line("two".into()));
        assert_eq!(shell("read line; echo got $line"), Said::Line("got input".into()));
        assert_eq!(shell("exit 3"), Said::Nothing("exit status: 3".into()));
    }

    #[test]
    fn an_end_by_signal_counts_whatever_was_said_before() {
        assert_eq!(shell("echo one; kill -SEGV $$"), Said::Signal("SIGSEGV"));
    }

    #[test]
    fn one_that_does_not_end_is_ended_with_what_it_started() {
        assert_eq!(shell("sleep 60"), Said::TooLong);
        assert_eq!(shell("sleep 60 & echo started"), Said::TooLong);
    }

    #[test]
    fn what_is_left_running_silently_is_ended() {
        let Said::Line(pid) = shell("sleep 60 >/dev/null 2>&1 & echo $!") else { panic!("no line") };
        let gone = || {
            std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .map_or(true, |stat| stat.contains(") Z ") || stat.contains(") X "))
        };
        let until = Instant::now() + Duration::from_secs(2);
        while !gone() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(gone(), "{pid} lives on");
    }
}

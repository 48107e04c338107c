//! Where checkpoints go to be kept out of reach of whoever can write the log.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

/// Takes checkpoints. Each sink has a thread of its own: a slow one holds up neither the log nor another. Where
/// notes come faster than it takes them, it gets the latest, which speaks for all before it.
pub trait Sink: Send {
    /// What the log's record of a failure calls it.
    fn name(&self) -> String;

    /// Takes a signed note. A failure is recorded in the log, and the next note is tried.
    ///
    /// # Errors
    ///
    /// It was not taken.
    fn deliver(&mut self, note: &str) -> io::Result<()>;
}

/// Adds each note to a file, with an empty line after it, and brings it to the disk. The file is best on a
/// machine or a disk of somebody else's, or one that can only be added to.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
}

/// Runs a command for each note, which it gets on its standard input. An exit code other than 0 is a failure.
#[derive(Debug)]
pub struct CommandSink {
    arguments: Vec<String>,
    timeout: Duration,
}

impl FileSink {
    /// The file is made where it is missing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Sink for FileSink {
    fn name(&self) -> String {
        format!("file {}", self.path.display())
    }

    fn deliver(&mut self, note: &str) -> io::Result<()> {
        // Opened each time: the file may have been collected and begun anew.
        let mut file = File::options()
            .append(true)
            .create(true)
            .mode(0o644)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(&self.path)?;
        file.write_all(format!("{note}\n").as_bytes())?;
        file.sync_all()
    }
}

impl CommandSink {
    /// `arguments` begin with the program, which is looked for in `PATH`; no shell is between. It is killed
    /// after `timeout`.
    pub const fn new(arguments: Vec<String>, timeout: Duration) -> Self {
        Self { arguments, timeout }
    }
}

/// How long a wait for the end of a command is at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(50);

impl Sink for CommandSink {
    fn name(&self) -> String {
        format!("command {}", self.arguments.first().map_or("", String::as_str))
    }

    fn deliver(&mut self, note: &str) -> io::Result<()> {
        let Some((program, arguments)) = self.arguments.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        // A checkpoint is smaller than any pipe, so this does not wait for the reader. One that reads nothing
        // is judged by its exit code.
        let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(note.as_bytes()));
        let written = match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        };
        let deadline = Instant::now() + self.timeout;
        let mut wait = FIRST_WAIT;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => std::thread::sleep(wait),
                other => {
                    child.kill()?;
                    child.wait()?;
                    other?;
                    let problem = format!("it was killed after {} s", self.timeout.as_secs_f32());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, problem));
                }
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        };
        written?;
        if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_note_after_note_and_a_command_gets_it_on_its_input() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = FileSink::new(dir.path().join("kept"));
        file.deliver("a\n\n— n x\n").unwrap();
        file.deliver("b\n\n— n x\n").unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("kept")).unwrap(), "a\n\n— n x\n\nb\n\n— n x\n\n");

        let taken = dir.path().join("taken");
        let script = vec!["sh".into(), "-c".into(), "cat > \"$0\"".into(), taken.display().to_string()];
        CommandSink::new(script, Duration::from_secs(60)).deliver("note\n").unwrap();
        assert_eq!(std::fs::read_to_string(taken).unwrap(), "note\n");
    }

    #[test]
    fn a_command_that_fails_hangs_or_is_not_there_is_a_failure_in_bounded_time() {
        let run = |line: &[&str], timeout| {
            let line = line.iter().map(ToString::to_string).collect();
            CommandSink::new(line, timeout).deliver("note\n").unwrap_err()
        };
        let long = Duration::from_secs(60);
        assert!(run(&["sh", "-c", "exit 3"], long).to_string().contains('3'));
        assert_eq!(run(&["/nowhere/at-all"], long).kind(), io::ErrorKind::NotFound);
        assert_eq!(run(&[], long).kind(), io::ErrorKind::InvalidInput);
        let hanging = run(&["sleep", "1000"], Duration::from_millis(50));
        assert_eq!(hanging.kind(), io::ErrorKind::TimedOut);
        CommandSink::new(vec!["true".into()], long).deliver("note\n").unwrap();
    }
}

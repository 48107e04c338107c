use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use crate::error::AuditorError;
use crate::exit::Exit;

/// A program that reads along. It is started once, directly and not by a shell.
#[derive(Debug)]
pub struct Pipe {
    program: String,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Pipe {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(words: &[String]) -> Result<Self, AuditorError> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(AuditorError::Usage("--command names no program"));
        };
        let failed = |source| AuditorError::Command { step: "start", program: program.clone(), source };
        let mut child =
            Command::new(program).args(arguments).stdin(Stdio::piped()).spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        Ok(Self { program: program.clone(), child, stdin })
    }

    /// Gives it some bytes. False where it does not read any more.
    ///
    /// # Errors
    ///
    /// They cannot be written for another reason than that.
    pub fn give(&mut self, bytes: &[u8]) -> Result<bool, AuditorError> {
        let Some(stdin) = &mut self.stdin else { return Ok(false) };
        match stdin.write_all(bytes).and_then(|()| stdin.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(source) => {
                Err(AuditorError::Command { step: "write to", program: self.program.clone(), source })
            }
        }
    }

    /// How it ended, where it has.
    ///
    /// # Errors
    ///
    /// The kernel does not say.
    pub fn ended(&mut self) -> Result<Option<Exit>, AuditorError> {
        let failed =
            |source| AuditorError::Command { step: "wait for", program: self.program.clone(), source };
        Ok(self.child.try_wait().map_err(failed)?.map(exit_of))
    }

    /// Closes its input and waits for its end.
    ///
    /// # Errors
    ///
    /// The kernel does not say.
    pub fn finish(mut self) -> Result<Exit, AuditorError> {
        drop(self.stdin.take());
        let failed =
            |source| AuditorError::Command { step: "wait for", program: self.program.clone(), source };
        self.child.wait().map(exit_of).map_err(failed)
    }
}

/// Its exit code; 128 and the signal, as a shell has it, where a signal ended it.
fn exit_of(status: ExitStatus) -> Exit {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Exit(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Splits a command line into words: at spaces, but for what stands in quotes or behind a backslash. Nothing else has a
/// meaning; no shell sees it. None where a quote has no end.
pub fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().push(chars.next()?),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_written_and_nothing_in_it_is_run() {
        let split = |text: &str| words(text).unwrap();
        assert_eq!(split("logger -n host"), ["logger", "-n", "host"]);
        assert_eq!(split(r#"a 'b c' "d\"e" f\ g ''"#), ["a", "b c", "d\"e", "f g", ""]);
        assert_eq!(split("echo $(id) `id` | cat; >x"), ["echo", "$(id)", "`id`", "|", "cat;", ">x"]);
        assert_eq!((words("a 'b"), words("a\\")), (None, None));
        assert!(split("  ").is_empty());
    }

    #[test]
    fn its_exit_status_is_told() {
        let run = |command: &str| Pipe::start(&words(command).unwrap()).unwrap().finish().unwrap();
        assert_eq!(run("sh -c 'exit 7'"), Exit(7));
        assert_eq!(run("sh -c 'kill -9 $$'"), Exit(137));
        assert!(Pipe::start(&[]).is_err());
    }

    #[test]
    fn one_that_does_not_read_ends_the_giving() {
        let mut pipe = Pipe::start(&words("true").unwrap()).unwrap();
        while pipe.give(&[b'x'; 4096]).unwrap() {}
        assert_eq!(pipe.finish().unwrap(), Exit::OK);
    }
}

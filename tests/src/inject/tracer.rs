//! Runs a program from one of its system calls to the next.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::step::{Step, step};
use super::{Fault, Ran};

/// Longer than any command takes, under a tracer and beside other load.
const PATIENCE: Duration = Duration::from_secs(60);
/// The number of no system call: the kernel does nothing for it.
const NO_CALL: u64 = u64::MAX;
/// Another thread, another program, and a stop that is no signal: what a tracer is told of besides.
const STOP: i32 = Event::PTRACE_EVENT_STOP as i32;
const EXEC: i32 = Event::PTRACE_EVENT_EXEC as i32;

/// What becomes of a call that has begun, when the kernel is done with it.
#[derive(Clone, Copy)]
enum Then {
    /// Nothing.
    On,
    /// This is its result, which it is not done for.
    Fails(Errno),
    /// The program is killed.
    Killed,
}

/// A traced program.
struct Tracer {
    pid: Pid,
    state: PathBuf,
    fault: Option<(usize, Fault)>,
    /// It is the program, and no longer what starts it.
    begun: bool,
    /// There is no room from here on.
    full: bool,
    faulted: bool,
    steps: Vec<Step>,
    /// The threads that are in a call.
    inside: HashMap<Pid, Then>,
}

pub(super) fn run(program: &Command, state: &Path, fault: Option<(usize, Fault)>) -> Ran {
    #[expect(clippy::zombie_processes, reason = "the tracer waits for it")]
    let mut child = start(program);
    let pid = Pid::from_raw(child.id().cast_signed());
    // The folder may not be there yet; the one that it is in has to be.
    let (place, name) =
        (state.parent().expect("a folder in another"), state.file_name().expect("with a name"));
    let state = place.canonicalize().expect("it is there").join(name);
    let mut tracer = Tracer {
        pid,
        state,
        fault,
        begun: false,
        full: false,
        faulted: false,
        steps: Vec::new(),
        inside: HashMap::new(),
    };
    let status = watched(pid, || tracer.trace());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    // Both fit into a pipe: they are read when it has ended.
    child.stdout.take().expect("a pipe").read_to_end(&mut stdout).expect("a pipe");
    child.stderr.take().expect("a pipe").read_to_end(&mut stderr).expect("a pipe");
    let Tracer { steps, faulted, .. } = tracer;
    Ran { code: status.code(), stdout, stderr, steps, faulted }
}

/// Starts a program that stops before it is there, so that nothing of it is missed.
fn start(program: &Command) -> Child {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "kill -STOP $$; exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("there is a shell")
}

/// Does something with a process that is killed if it takes too long.
fn watched<R>(pid: Pid, work: impl FnOnce() -> R) -> R {
    let (done, over) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        // Gone with this, also where the work fails: nobody waits then.
        let done = done;
        let watch = scope.spawn(move || match over.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => {
                let _ = kill(pid, Signal::SIGKILL);
                true
            }
            _ => false,
        });
        let result = work();
        drop(done);
        assert!(!watch.join().expect("it only waits"), "it has not ended within {PATIENCE:?}");
        result
    })
}

impl Tracer {
    /// Goes with it to its end.
    fn trace(&mut self) -> ExitStatus {
        let stopped = waitpid(self.pid, Some(WaitPidFlag::WUNTRACED)).expect("it is ours");
        assert!(matches!(stopped, WaitStatus::Stopped(_, Signal::SIGSTOP)), "{stopped:?}");
        let options = Options::PTRACE_O_EXITKILL
            | Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC;
        ptrace::seize(self.pid, options).expect("a parent may");
        kill(self.pid, Signal::SIGCONT).expect("it is ours");
        loop {
            // Of this thread alone: others trace others.
            let told =
                waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).expect("it is ours");
            match told {
                WaitStatus::Exited(pid, code) if pid == self.pid => return ExitStatus::from_raw(code << 8),
                WaitStatus::Signaled(pid, signal, _) if pid == self.pid => {
                    return ExitStatus::from_raw(signal as i32);
                }
                WaitStatus::PtraceSyscall(thread) if self.at_call(thread).is_ok() => {
                    self.let_go(thread, None)
                }
                WaitStatus::PtraceEvent(thread, _, event) => {
                    self.begun |= event == EXEC;
                    // A thread that is new, or was in the call when another program took its number, is in none.
                    if event == STOP {
                        self.inside.remove(&thread);
                    }
                    self.let_go(thread, None);
                }
                WaitStatus::Stopped(thread, signal) => self.let_go(thread, Some(signal)),
                _ => {}
            }
        }
    }

    /// To its next call; or, where nothing is to happen any more, to its end.
    fn let_go(&self, thread: Pid, signal: Option<Signal>) {
        let is_over = self.faulted && !self.full && matches!(self.inside.get(&thread), None | Some(Then::On));
        // One that was killed meanwhile is no longer there.
        let _ = if is_over { ptrace::cont(thread, signal) } else { ptrace::syscall(thread, signal) };
    }

    /// A thread is about to make a call, or the kernel is done with it.
    fn at_call(&mut self, thread: Pid) -> nix::Result<()> {
        match self.inside.remove(&thread) {
            None => {
                let then = self.enters(thread)?;
                self.inside.insert(thread, then);
            }
            Some(Then::On) => {}
            Some(Then::Fails(errno)) => {
                let mut registers = ptrace::getregs(thread)?;
                registers.rax = (-(i64::from(errno as i32))).cast_unsigned();
                ptrace::setregs(thread, registers)?;
            }
            Some(Then::Killed) => kill(self.pid, Signal::SIGKILL)?,
        }
        Ok(())
    }

    fn enters(&mut self, thread: Pid) -> nix::Result<Then> {
        let mut registers = ptrace::getregs(thread)?;
        if !self.begun {
            return Ok(Then::On);
        }
        let Some(step) = step(thread, &registers, &self.state) else { return Ok(Then::On) };
        let due = self.due(&step);
        self.steps.push(step.clone());
        let Some(fault) = due else { return Ok(Then::On) };
        self.faulted = true;
        self.full |= matches!(fault, Fault::Full | Fault::HalfFull);
        match fault {
            Fault::KillBefore => {
                kill(self.pid, Signal::SIGKILL)?;
                return Ok(Then::On);
            }
            Fault::KillAfter => return Ok(Then::Killed),
            Fault::Broken | Fault::Full => registers.orig_rax = NO_CALL,
            // One byte has no half.
            Fault::Torn | Fault::HalfFull => registers.rdx = registers.rdx.div_ceil(2),
        }
        ptrace::setregs(thread, registers)?;
        Ok(match fault {
            Fault::Broken => Then::Fails(step.kind.failure()),
            Fault::Full => Then::Fails(Errno::ENOSPC),
            Fault::Torn => Then::Killed,
            _ => Then::On,
        })
    }

    /// What is to happen at the next step.
    fn due(&self, step: &Step) -> Option<Fault> {
        if self.full {
            return step.kind.needs_room().then_some(Fault::Full);
        }
        let (at, fault) = self.fault?;
        // Another thread may have come first: then it happens at the next step that it can happen at.
        (!self.faulted && self.steps.len() >= at && fault.suits(step)).then_some(fault)
    }
}

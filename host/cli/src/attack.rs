//! `stockade doctor --attack`: what the confinement of this machine withstands.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::Command;

use stockade_attack::{CANARY, Options, run as attack};
use stockade_package::Problem;

use crate::args::Doctor;
use crate::doctor;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::progress::Steps;

/// The table's width: what a terminal of usual size has.
const WIDTH: usize = 120;

pub(crate) fn run(arguments: Doctor) -> Result<Exit, Failure> {
    if std::env::var_os(CANARY).is_none() {
        return Err(failed(&again_with_secret()));
    }
    let programs = doctor::programs_folder(&arguments);
    let options = Options { programs, cases: arguments.cases };
    let steps = Steps::start();
    let report = attack(&options, &|progress| steps.next(progress.done, progress.total, progress.case));
    drop(steps);
    let report = report.map_err(|error| Failure::of(&error))?;
    match arguments.output.format {
        Format::Json => output::document(&serde_json::json!(report)),
        Format::Text => report.text(WIDTH).lines().for_each(output::line),
    }
    Ok(if report.is_sound() { Exit::Ok } else { Exit::Attack })
}

/// Executes this program once more with a secret in its environment, where that of a service would be when
/// it starts: workers look for it. Comes back only with an error.
fn again_with_secret() -> io::Error {
    let mut bytes = [0; 16];
    match File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)) {
        Ok(()) => {}
        Err(error) => return error,
    }
    let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).env(CANARY, secret).exec()
}

fn failed(error: &io::Error) -> Failure {
    Failure::new(
        Exit::UnsupportedHost,
        Problem {
            code: "attack-fixtures",
            field: CANARY.to_owned(),
            message: format!(
                "this program cannot start itself with a secret for workers to look for: {error}"
            ),
            next_step: format!("set {CANARY} to 32 hexadecimal digits and run it again"),
        },
    )
}

//! Target `index`: an index of plugins by a hostile publisher, and a lock file that somebody has written in.

use stockade_package::index::{Index, Lock, Question, ResolveError, Wanted, resolve};
use stockade_package::{Explain, HOST_VERSION, Problem};

/// The first byte says what the rest is.
pub fn index(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 2 {
        0 => listed(rest),
        _ => locked(rest),
    }
}

/// What is taken is written so that it is taken again, and all of it together is resolved or is not.
fn listed(bytes: &[u8]) {
    let index = match Index::parse(bytes) {
        Ok(index) => index,
        Err(error) => return explained(&error.problem()),
    };
    let again = Index::parse(index.to_json().as_bytes()).expect("what was written is read");
    assert_eq!(again, index);
    let wanted =
        |listed: &stockade_package::index::Listed| Wanted { plugin: listed.name.clone(), versions: None };
    let wanted: Vec<Wanted> = index.plugins().iter().map(wanted).collect();
    let host = HOST_VERSION.parse().expect("a crate's version");
    match resolve(&Question::new(&index, &wanted, &host)) {
        Ok(plan) => {
            let lock = plan.lock().expect("a plan can be locked");
            assert_eq!(Lock::parse(lock.to_toml().as_bytes()).expect("what was written is read"), lock);
        }
        Err(
            error @ (ResolveError::NoVersionFits { .. }
            | ResolveError::NotListed { .. }
            | ResolveError::TooHard { .. }),
        ) => {
            explained(&error.problem());
        }
        Err(error) => panic!("{error}"),
    }
}

fn locked(bytes: &[u8]) {
    match Lock::parse(bytes) {
        Ok(lock) => {
            assert_eq!(Lock::parse(lock.to_toml().as_bytes()).expect("what was written is read"), lock);
        }
        Err(error) => explained(&error.problem()),
    }
}

fn explained(problem: &Problem) {
    assert!(!problem.code.is_empty() && !problem.next_step.is_empty(), "{problem:?} explains nothing");
}

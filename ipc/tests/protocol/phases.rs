use stockade_ipc::phase::{Sender, TABLE};
use stockade_ipc::{Fault, Kind, Phase, Phases};

use crate::made::session;

const PHASES: [Phase; 6] =
    [Phase::Boot, Phase::Confined, Phase::Loading, Phase::Idle, Phase::Calling, Phase::Closed];

/// The whole table once more, told from the phases' side: what may come, and where it leads.
const LEGAL: [(Phase, &[(Kind, Phase)]); 6] = [
    (Phase::Boot, &[(Kind::Hello, Phase::Boot), (Kind::Confined, Phase::Confined)]),
    (Phase::Confined, &[(Kind::Load, Phase::Loading), (Kind::Compile, Phase::Loading)]),
    (
        Phase::Loading,
        &[
            (Kind::Loaded, Phase::Idle),
            (Kind::Rejected, Phase::Closed),
            (Kind::Compiled, Phase::Closed),
            (Kind::Refused, Phase::Loading),
        ],
    ),
    (Phase::Idle, &[(Kind::Call, Phase::Calling), (Kind::Rest, Phase::Idle)]),
    (
        Phase::Calling,
        &[
            (Kind::Return, Phase::Idle),
            (Kind::Ask, Phase::Calling),
            (Kind::Answer, Phase::Calling),
            (Kind::Log, Phase::Calling),
            (Kind::Refused, Phase::Calling),
            (Kind::Delegate, Phase::Calling),
            (Kind::Delegated, Phase::Calling),
        ],
    ),
    (Phase::Closed, &[]),
];

#[test]
fn b13_every_message_in_every_phase() {
    for (phase, legal) in LEGAL {
        for row in &TABLE {
            let phases = session(phase);
            let other = if row.sender == Sender::Host { Sender::Worker } else { Sender::Host };
            assert_eq!(phases.check(other, row.kind, 0), Err(Fault::Direction(row.kind)));
            let checked = phases.check(row.sender, row.kind, 0);
            match legal.iter().find(|(kind, _)| *kind == row.kind) {
                Some(&(kind, next)) => {
                    assert_eq!(checked, Ok(()), "{kind:?} in {phase:?}");
                    let mut after = phases.clone();
                    after.advance(kind);
                    assert_eq!(after.now(), next, "{kind:?} in {phase:?}");
                }
                None => assert!(
                    matches!(checked, Err(Fault::OutOfPhase { .. } | Fault::Repeated(_))),
                    "{:?} in {phase:?}: {checked:?}",
                    row.kind
                ),
            }
        }
    }
}

#[test]
fn checking_changes_nothing() {
    let phases = Phases::default();
    for _ in 0..2 {
        assert_eq!(phases.check(Sender::Worker, Kind::Hello, 1), Ok(()));
    }
    assert_eq!(phases.now(), Phase::Boot);
}

#[test]
fn b13_what_comes_once_comes_once() {
    let mut phases = session(Phase::Idle);
    assert_eq!(phases.check(Sender::Host, Kind::Load, 0), Err(Fault::Repeated(Kind::Load)));
    assert_eq!(phases.check(Sender::Worker, Kind::Loaded, 0), Err(Fault::Repeated(Kind::Loaded)));
    for _ in 0..1000 {
        phases.check(Sender::Host, Kind::Call, 0).unwrap();
        phases.advance(Kind::Call);
        assert!(phases.check(Sender::Host, Kind::Call, 0).is_err(), "a call within a call");
        phases.check(Sender::Worker, Kind::Return, 0).unwrap();
        phases.advance(Kind::Return);
        assert!(phases.check(Sender::Worker, Kind::Return, 0).is_err(), "a second return");
    }
}

/// From any phase, whatever legal messages come, a session stays within the phases and Closed is final.
#[test]
fn every_walk_stays_on_the_table() {
    let mut open: Vec<(Phases, usize)> = vec![(Phases::default(), 0)];
    let mut reached = Vec::new();
    while let Some((phases, depth)) = open.pop() {
        if !reached.contains(&phases.now()) {
            reached.push(phases.now());
        }
        for row in &TABLE {
            if depth < 8 && phases.check(row.sender, row.kind, 0).is_ok() {
                let mut next = phases.clone();
                next.advance(row.kind);
                open.push((next, depth + 1));
            }
        }
        if phases.now() == Phase::Closed {
            assert!(TABLE.iter().all(|row| phases.check(row.sender, row.kind, 0).is_err()));
        }
    }
    assert!(PHASES.iter().all(|phase| reached.contains(phase)), "{reached:?}");
}

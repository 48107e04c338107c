//! Judging: expectations and what happened go in, a verdict and its reason come out. Nothing else.

use std::time::Duration;

use crate::came::{Came, Expect};
use crate::report::Verdict;

/// What must come of a native attack, by layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expects {
    /// In a worker.
    pub(crate) all: Expect,
    /// The same for each variant, where they differ.
    pub(crate) each: Vec<Expect>,
    /// With no layer: that it works, or that it is refused by how the thing itself was made.
    pub(crate) control: Expect,
    pub(crate) landlock: Expect,
    pub(crate) seccomp: Expect,
}

/// What came of it outside of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alone {
    pub(crate) control: Came,
    pub(crate) landlock: Came,
    pub(crate) seccomp: Came,
}

/// What came of one variant in a worker of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) came: Came,
    /// The number of the record that it must leave, none where it leaves none; what is wrong with it.
    pub(crate) record: Result<Option<u64>, String>,
    /// How long the host took to answer.
    pub(crate) elapsed: Duration,
    /// How long it may take.
    pub(crate) allowance: Duration,
    /// How long a second plugin took to be served afterwards, by the worker that it had before.
    pub(crate) neighbour: Result<Duration, String>,
}

/// How long the second plugin may take. It has nothing to do but to answer.
pub(crate) const SERVED: Duration = Duration::from_millis(100);

/// How many broken variants, and how many complaints, a row lists. More than that is one cause.
const LISTED: usize = 20;

impl Tried {
    /// Everything that is not as it must be.
    pub(crate) fn complaints(&self, expect: &Expect) -> Vec<String> {
        let mut complaints = Vec::new();
        if !expect.meets(&self.came) {
            complaints.push(format!("in a worker it {} and must {expect}", self.came.clause()));
        } else if let Err(problem) = &self.record {
            complaints.push(problem.clone());
        }
        if self.elapsed > self.allowance {
            complaints.push(format!(
                "the host answered after {} ms and has {} ms",
                self.elapsed.as_millis(),
                self.allowance.as_millis()
            ));
        }
        complaints.extend(unserved(&self.neighbour));
        complaints
    }
}

/// What is wrong with how the second plugin was served, if anything is.
pub(crate) fn unserved(neighbour: &Result<Duration, String>) -> Option<String> {
    match neighbour {
        Ok(took) if *took <= SERVED => None,
        Ok(took) => Some(format!("a second plugin was served after {} ms", took.as_millis())),
        Err(problem) => Some(format!("a second plugin was not served: {problem}")),
    }
}

impl Expects {
    /// What must come of a variant in a worker.
    pub(crate) fn variant(&self, number: usize) -> &Expect {
        self.each.get(number).unwrap_or(&self.all)
    }
}

/// Judges a native attack; `alone` is none for one that makes sense in a worker only. `note` is what the
/// attack says of itself.
pub(crate) fn native(
    expects: &Expects,
    alone: Option<&Alone>,
    tried: &[Tried],
    note: &str,
) -> (Verdict, String) {
    // What cannot be tried at all cannot be tried in a worker either, and proves nothing there.
    let unavailable = alone.is_some_and(|alone| matches!(alone.control, Came::Unavailable(_)));
    let nowhere = |tried: &Tried| {
        unavailable && matches!(tried.came, Came::Unavailable(_)) && unserved(&tried.neighbour).is_none()
    };
    let mut found: Vec<(String, Vec<usize>)> = Vec::new();
    for (number, one) in tried.iter().enumerate().filter(|(_, tried)| !nowhere(tried)) {
        for complaint in one.complaints(expects.variant(number)) {
            match found.iter_mut().find(|(known, _)| *known == complaint) {
                Some((_, numbers)) => numbers.push(number),
                None => found.push((complaint, vec![number])),
            }
        }
    }
    let label = |(complaint, numbers): (String, Vec<usize>)| match tried.len() {
        1 => complaint,
        _ => format!("{}: {complaint}", variants(&numbers)),
    };
    let mut complaints: Vec<String> = found.into_iter().map(label).collect();
    if tried.is_empty() {
        complaints.push("it was not tried in a worker".to_owned());
    }
    let vacuous = alone.filter(|alone| !expects.control.meets(&alone.control));
    // Where it fails without any layer, Landlock is not what decides; the filter comes before everything
    // else that could refuse a call, and still does.
    let filter_decides = matches!(expects.seccomp, Expect::Stopped(_));
    for (layer, expect, came, judged) in alone.into_iter().flat_map(|alone| {
        [
            ("Landlock", &expects.landlock, &alone.landlock, vacuous.is_none()),
            (
                "the filter",
                &expects.seccomp,
                &alone.seccomp,
                vacuous.is_none() || (filter_decides && !unavailable),
            ),
        ]
    }) {
        if judged && !expect.meets(came) {
            complaints.push(format!("with {layer} alone it {} and must {expect}", came.clause()));
        }
    }
    if !complaints.is_empty() {
        return (Verdict::Broken, listed(complaints));
    }
    let Some(alone) = vacuous else { return (Verdict::Held, note.to_owned()) };
    let mut why = match &alone.control {
        Came::Unavailable(why) => format!("cannot be tried here: {why}"),
        other => format!("without any confinement it {} too", other.clause()),
    };
    if !note.is_empty() {
        why.push_str(&format!(" ({note})"));
    }
    (Verdict::Vacuous, why)
}

/// `variants 1, 2, 7`; of many the first.
fn variants(numbers: &[usize]) -> String {
    let shown: Vec<String> = numbers.iter().take(LISTED).map(ToString::to_string).collect();
    let more = numbers.len() - shown.len();
    let plural = if numbers.len() > 1 { "s" } else { "" };
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("variant{plural} {}{rest}", shown.join(", "))
}

/// Judges what has no layers to compare.
pub(crate) fn plain(complaints: Vec<String>, note: &str) -> (Verdict, String) {
    if complaints.is_empty() {
        (Verdict::Held, note.to_owned())
    } else {
        (Verdict::Broken, listed(complaints))
    }
}

fn listed(mut complaints: Vec<String>) -> String {
    let more = complaints.len().saturating_sub(LISTED);
    complaints.truncate(LISTED);
    if more > 0 {
        complaints.push(format!("and {more} more"));
    }
    complaints.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expects() -> Expects {
        Expects {
            all: Expect::Stopped(vec!["openat".into()]),
            each: Vec::new(),
            control: Expect::Done,
            landlock: Expect::Refused(vec!["EACCES".into()]),
            seccomp: Expect::Stopped(vec!["openat".into()]),
        }
    }

    fn alone() -> Alone {
        Alone {
            control: Came::Done,
            landlock: Came::Refused("EACCES".into()),
            seccomp: Came::Stopped("openat".into()),
        }
    }

    fn tried() -> Tried {
        Tried {
            came: Came::Stopped("openat".into()),
            record: Ok(Some(7)),
            elapsed: Duration::from_millis(3),
            allowance: Duration::from_millis(100),
            neighbour: Ok(Duration::from_micros(50)),
        }
    }

    fn verdict(alone: &Alone, tried: Tried) -> (Verdict, String) {
        native(&expects(), Some(alone), &[tried], "")
    }

    #[test]
    fn everything_as_expected_is_held() {
        assert_eq!(verdict(&alone(), tried()), (Verdict::Held, String::new()));
    }

    #[test]
    fn every_single_deviation_is_broken_and_named() {
        let cases: Vec<(Alone, Tried, &str)> = vec![
            (alone(), Tried { came: Came::Done, ..tried() }, "in a worker it worked"),
            (alone(), Tried { came: Came::Stopped("open".into()), ..tried() }, "stopped at open and"),
            (alone(), Tried { came: Came::Refused("EPERM".into()), ..tried() }, "refused with EPERM"),
            (alone(), Tried { came: Came::Ended("deadline".into()), ..tried() }, "answered with deadline"),
            (alone(), Tried { came: Came::Unavailable("x".into()), ..tried() }, "cannot be tried: x"),
            (alone(), Tried { came: Came::Unclear("x".into()), ..tried() }, "nothing that can be judged"),
            (alone(), Tried { record: Err("no record".into()), ..tried() }, "no record"),
            (alone(), Tried { elapsed: Duration::from_millis(101), ..tried() }, "after 101 ms"),
            (alone(), Tried { neighbour: Err("gone".into()), ..tried() }, "not served: gone"),
            (alone(), Tried { neighbour: Ok(Duration::from_secs(1)), ..tried() }, "served after 1000 ms"),
            (Alone { landlock: Came::Done, ..alone() }, tried(), "with Landlock alone it worked"),
            (Alone { seccomp: Came::Done, ..alone() }, tried(), "with the filter alone it worked"),
        ];
        for (alone, tried, said) in cases {
            let (verdict, why) = verdict(&alone, tried);
            assert_eq!(verdict, Verdict::Broken, "{said}");
            assert!(why.contains(said), "{said}: {why}");
        }
    }

    #[test]
    fn what_fails_unconfined_is_vacuous_and_says_with_what() {
        let control = Alone { control: Came::Refused("ENOSYS".into()), ..alone() };
        let (verdict, why) = native(&expects(), Some(&control), &[tried()], "built without");
        assert_eq!(verdict, Verdict::Vacuous);
        assert!(why.contains("ENOSYS") && why.contains("built without"), "{why}");
        // Landlock then refuses nothing that would have worked.
        let control = Alone { landlock: Came::Refused("ENOSYS".into()), ..control };
        assert_eq!(native(&expects(), Some(&control), &[tried()], "").0, Verdict::Vacuous);
    }

    #[test]
    fn a_vacuous_case_that_a_worker_gets_through_is_broken_all_the_same() {
        let control = Alone { control: Came::Refused("EPERM".into()), ..alone() };
        assert_eq!(verdict(&control, Tried { came: Came::Done, ..tried() }).0, Verdict::Broken);
        assert_eq!(verdict(&control, Tried { record: Err("none".into()), ..tried() }).0, Verdict::Broken);
        let control = Alone { seccomp: Came::Done, ..control };
        assert_eq!(verdict(&control, tried()).0, Verdict::Broken);
    }

    #[test]
    fn what_is_available_nowhere_is_vacuous_and_what_is_missing_only_inside_is_not() {
        let gone = || Came::Unavailable("no IPv6".into());
        let nowhere = Alone { control: gone(), landlock: gone(), seccomp: gone() };
        assert_eq!(verdict(&nowhere, Tried { came: gone(), ..tried() }).0, Verdict::Vacuous);
        assert_eq!(verdict(&nowhere, tried()).0, Verdict::Vacuous);
        let down = Tried { came: gone(), neighbour: Err("gone".into()), ..tried() };
        assert_eq!(verdict(&nowhere, down).0, Verdict::Broken);
    }

    #[test]
    fn what_is_refused_by_how_it_was_made_is_held_where_nothing_gets_through_anywhere() {
        let made = Expects {
            control: Expect::Refused(vec!["EBADF".into()]),
            landlock: Expect::Refused(vec!["EBADF".into()]),
            ..expects()
        };
        let refused = || Came::Refused("EBADF".into());
        let shown = Alone { control: refused(), landlock: refused(), ..alone() };
        assert_eq!(native(&made, Some(&shown), &[tried()], "").0, Verdict::Held);
        let worked = Alone { control: Came::Done, ..shown };
        assert_eq!(native(&made, Some(&worked), &[tried()], "").0, Verdict::Vacuous);
    }

    #[test]
    fn each_variant_is_judged_by_its_own_expectation() {
        let each = Expects { each: vec![expects().all, Expect::Done], ..expects() };
        let done = Tried { came: Came::Done, ..tried() };
        assert_eq!(native(&each, None, &[tried(), done.clone()], "").0, Verdict::Held);
        assert_eq!(native(&each, None, &[done, tried()], "").0, Verdict::Broken);
    }

    #[test]
    fn any_is_shown_and_not_judged() {
        let any = Expects { landlock: Expect::Any, seccomp: Expect::Any, ..expects() };
        let alone = Alone { landlock: Came::Done, seccomp: Came::Done, ..alone() };
        assert_eq!(native(&any, Some(&alone), &[tried()], "").0, Verdict::Held);
    }

    #[test]
    fn a_broken_variant_is_named_and_many_are_counted() {
        let broken = || Tried { came: Came::Done, ..tried() };
        let (verdict, why) = native(&expects(), Some(&alone()), &[tried(), broken()], "");
        assert_eq!(verdict, Verdict::Broken);
        assert!(why.starts_with("variant 1: "), "{why}");
        let many: Vec<Tried> = std::iter::repeat_with(broken).take(30).collect();
        let (_, why) = native(&expects(), Some(&alone()), &many, "");
        assert!(why.starts_with("variants 0, 1, ") && why.contains(", 19 and 10 more: in a worker"), "{why}");
    }

    #[test]
    fn nothing_tried_is_broken() {
        assert_eq!(native(&expects(), Some(&alone()), &[], "").0, Verdict::Broken);
    }
}

//! Properties of `decide`.

use crate::made::{OwnedAsk, ask, covered_by_the_book, grant, grants};
use proptest::prelude::*;
use stockade_policy::{
    Ask, Capability, Decision, Grant, Grants, GuestPath, Rule, Scope, Source, Why, decide, decide_naming,
};

proptest! {
    #[test]
    fn one_more_grant_anywhere_never_denies_what_was_allowed(
        before in grants(), extra in grant(), at in any::<prop::sample::Index>(), ask in ask(),
    ) {
        let was_allowed = decide(&before, &ask.borrow()).is_allowed();
        let mut list: Vec<Grant> = before.iter().cloned().collect();
        list.insert(at.index(list.len() + 1), extra);
        let after: Grants = list.into_iter().collect();
        prop_assert!(!was_allowed || decide(&after, &ask.borrow()).is_allowed());
    }

    #[test]
    fn nothing_granted_nothing_allowed(ask in ask()) {
        let grants = Grants::none();
        let Decision::Deny(denial) = decide(&grants, &ask.borrow()) else { panic!("allowed by no grant") };
        let why = if matches!(ask, OwnedAsk::Socket) { Why::NeverGranted } else { Why::NothingGranted };
        prop_assert_eq!(denial.why, why);
        prop_assert_eq!(denial.rule.source, Source::BuiltIn);
        prop_assert_eq!(denial.rule.id, format!("default-deny:{}", ask.borrow().operation()));
    }

    #[test]
    fn allowed_means_that_a_single_grant_covers_it_and_is_named(grants in grants(), ask in ask()) {
        let covering: Vec<&Grant> = grants.iter().filter(|g| covered_by_the_book(&g.scope, &ask)).collect();
        match decide(&grants, &ask.borrow()) {
            Decision::Allow(rule) => {
                prop_assert!(covering.iter().any(|g| g.rule == *rule));
            }
            Decision::Deny(denial) => match denial.why {
                Why::NotCovered => {
                    prop_assert!(covering.is_empty());
                    let operation = ask.borrow().operation();
                    prop_assert!(grants.iter().any(|g| g.scope.capability().as_str() == operation));
                }
                Why::NothingGranted => {
                    let operation = ask.borrow().operation();
                    prop_assert!(grants.iter().all(|g| g.scope.capability().as_str() != operation));
                }
                Why::NeverGranted => prop_assert!(matches!(ask, OwnedAsk::Socket)),
                Why::Forbidden => prop_assert!(false, "nothing is forbidden here"),
            },
        }
    }

    #[test]
    fn the_order_of_grants_never_changes_yes_or_no(
        (first, second) in grants().prop_flat_map(|g| {
            let list: Vec<Grant> = g.iter().cloned().collect();
            (Just(g), Just(list).prop_shuffle())
        }),
        ask in ask(),
    ) {
        let second: Grants = second.into_iter().collect();
        prop_assert_eq!(
            decide(&first, &ask.borrow()).is_allowed(),
            decide(&second, &ask.borrow()).is_allowed()
        );
    }

    /// The index of long lists finds what looking through them finds: the same rule, not only the same answer.
    #[test]
    fn long_lists_are_decided_as_short_ones(
        many in prop::collection::vec(grant(), 0..80), ask in ask(),
    ) {
        let first = many.iter().find(|grant| covered_by_the_book(&grant.scope, &ask)).map(|grant| &grant.rule);
        let grants: Grants = many.iter().cloned().collect();
        match decide(&grants, &ask.borrow()) {
            Decision::Allow(rule) => prop_assert_eq!(Some(rule), first),
            Decision::Deny(_) => prop_assert_eq!(None, first),
        }
    }

    /// Whatever is granted, and wherever the prohibition stands among others.
    #[test]
    fn what_is_forbidden_is_refused_by_that_rule(
        grants in grants(), forbidden in prop::collection::vec(grant(), 0..40), ask in ask(),
    ) {
        let mut less = grants.clone();
        forbidden.iter().for_each(|grant| less.forbid(grant.clone()));
        let first = forbidden.iter().find(|grant| covered_by_the_book(&grant.scope, &ask));
        match (decide(&less, &ask.borrow()), first) {
            (Decision::Deny(denial), Some(grant)) => {
                prop_assert_eq!(denial.why, Why::Forbidden);
                prop_assert_eq!(&denial.rule, &grant.rule);
            }
            (Decision::Allow(_), Some(_)) => prop_assert!(false, "allowed and forbidden"),
            (decision, None) => prop_assert_eq!(decision, decide(&grants, &ask.borrow())),
        }
    }

    #[test]
    fn a_socket_is_never_allowed(grants in grants()) {
        prop_assert!(!decide(&grants, &Ask::Socket).is_allowed());
    }
}

fn granted(scope: Scope) -> Grants {
    [Grant { scope, rule: Rule { id: "the-rule".into(), source: Source::CommandLine } }].into_iter().collect()
}

#[test]
fn tools_and_models_are_granted_by_their_whole_names() {
    let granted = granted(Scope::Tool { name: "a/b#c".into() });
    assert!(decide(&granted, &Ask::Tool { name: "a/b#c" }).is_allowed());
    for other in ["a/b#c2", "a/b", "a/b#", "", "A/b#c", "a/b#c ", "*"] {
        assert!(!decide(&granted, &Ask::Tool { name: other }).is_allowed(), "{other}");
        assert!(!decide(&granted, &Ask::Model { name: other }).is_allowed(), "{other}");
    }
}

#[test]
fn reading_is_not_writing() {
    let root = GuestPath::parse("/src").unwrap();
    let inside = GuestPath::parse("/src/a").unwrap();
    assert!(
        decide(&granted(Scope::FsRead { root: root.clone() }), &Ask::FsRead { path: &inside }).is_allowed()
    );
    assert!(
        !decide(&granted(Scope::FsRead { root: root.clone() }), &Ask::FsWrite { path: &inside }).is_allowed()
    );
    assert!(!decide(&granted(Scope::FsWrite { root }), &Ask::FsRead { path: &inside }).is_allowed());
}

#[test]
fn a_config_star_covers_its_prefix_only() {
    let grants = granted(Scope::Config { key: "db.*".into() });
    for (key, expected) in
        [("db.", true), ("db.host", true), ("db", false), ("dbx", false), ("a.db.host", false)]
    {
        assert_eq!(decide(&grants, &Ask::Config { key }).is_allowed(), expected, "{key}");
    }
    let exact = granted(Scope::Config { key: "db".into() });
    assert!(!decide(&exact, &Ask::Config { key: "db.host" }).is_allowed());
}

#[test]
fn every_capability_has_its_name_once() {
    let mut names: Vec<&str> = Capability::ALL.into_iter().map(Capability::as_str).collect();
    for capability in Capability::ALL {
        assert_eq!(capability.as_str().parse(), Ok(capability));
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Capability::ALL.len());
    assert!("FS.READ".parse::<Capability>().is_err());
}

fn path(text: &str) -> GuestPath {
    GuestPath::parse(text).unwrap()
}

#[test]
fn a_new_name_is_worth_no_grant() {
    let grants = |scopes: &[Scope]| -> Grants {
        scopes.iter().map(|scope| Grant { scope: scope.clone(), rule: Rule::built_in("a rule") }).collect()
    };
    let (box_, open) = (path("/box"), path("/open"));
    let create = Scope::FsCreate { root: open.clone() };
    let read = |root: &GuestPath| Scope::FsRead { root: root.clone() };
    let write = |root: &GuestPath| Scope::FsWrite { root: root.clone() };
    let named = |scopes: &[Scope], to: &str| {
        decide_naming(&grants(scopes), &path("/box/secret"), &path(to)).is_allowed()
    };
    // Into a place where no more is allowed than before.
    assert!(named(std::slice::from_ref(&create), "/open/x"));
    assert!(named(&[create.clone(), read(&open), read(&box_)], "/open/x"));
    assert!(named(&[create.clone(), write(&box_)], "/open/x"));
    // Into one where it could be read or changed, and could not before.
    assert!(!named(&[create.clone(), read(&open)], "/open/x"));
    assert!(!named(&[create.clone(), write(&open), read(&box_)], "/open/x"));
    // A directory, of which something deeper could be.
    assert!(!named(&[create.clone(), read(&path("/open/x/deep"))], "/open/x"));
    // One that holds what is forbidden keeps its name: another would not be forbidden.
    let mut forbidding = grants(&[create.clone(), read(&open), read(&box_)]);
    forbidding.forbid(Grant { scope: read(&path("/box/secret/deep")), rule: Rule::built_in("no") });
    let moved = |from: &str| decide_naming(&forbidding, &path(from), &path("/open/x")).is_allowed();
    assert!(moved("/box/other") && moved("/box/secretly"));
    assert!(
        !moved("/box/secret")
            && !moved("/box/secret/deep")
            && !moved("/box/secret/deep/er")
            && !moved("/box")
    );
    // And where nothing may be made.
    assert!(!named(&[read(&open), read(&box_)], "/open/x"));
    assert!(!named(&[create], "/opened/x"));
}

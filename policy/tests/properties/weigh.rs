//! Properties of the way from documents to grants.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::made::{ask, scope};
use crate::resolve::{profile, requests};
use proptest::prelude::*;
use semver::Version;
use stockade_policy::{
    Approval, Bound, Capability, Person, Policy, PolicyRule, Profile, PublicKey, Request, Resolution, Scope,
    Source, Standard, Subject, decide, weigh,
};

/// The key that has signed the plugin.
const SIGNER: PublicKey = PublicKey::new([1; 32]);

fn rule() -> impl Strategy<Value = PolicyRule> {
    let pattern = || {
        (any::<bool>(), scope()).prop_map(|(all, scope)| {
            let capability = scope.capability();
            let all = all && capability.takes_resource();
            let text = if all { capability.to_string() } else { scope.to_string() };
            // A name that is none is one of another world.
            text.parse().ok()
        })
    };
    let patterns =
        || prop::collection::vec(pattern(), 0..3).prop_map(|list| list.into_iter().flatten().collect());
    let ceiling = prop::collection::btree_map(prop::sample::select(Capability::ALL.to_vec()), 0..3_u32, 0..3);
    let plugin = prop::option::of(prop::sample::select(vec!["a/b", "a/c"]));
    (patterns(), patterns(), ceiling, plugin).prop_map(|(forbid, approve, ceiling, plugin)| PolicyRule {
        id: "rule".to_owned(),
        line: 1,
        why: None,
        plugin_type: None,
        publisher: None,
        plugin: plugin.map(str::to_owned),
        forbid,
        approve,
        ceiling,
        addresses: Vec::new(),
        limits: Default::default(),
        per_call: Default::default(),
        per_day: Default::default(),
        observe: None,
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    (prop::collection::vec(rule(), 0..4), any::<bool>()).prop_map(|(rules, command_line)| {
        let mut policy = Policy::built_in().clone();
        policy.version = 1;
        policy.approvals.command_line = command_line;
        policy.rules = rules;
        policy
    })
}

fn approvals() -> impl Strategy<Value = Vec<Approval>> {
    let key = prop::option::of((0..2_u8).prop_map(|key| PublicKey::new([key; 32])));
    let one = (prop::collection::vec(scope(), 0..4), any::<bool>(), prop::option::of(8..12_u64), key);
    let one = one.prop_map(|(scopes, ours, until, signed_by)| Approval {
        number: 7,
        plugin: if ours { "a/b" } else { "a/c" }.to_owned(),
        bound: Bound::Component("digest".to_owned()),
        signed_by,
        scopes,
        by: vec![Person { uid: 0, name: None }],
        until,
    });
    prop::collection::vec(one, 0..3)
}

fn weighed(profile: &Profile, policy: &Policy, requests: &[Request], approvals: &[Approval]) -> Resolution {
    let version = Version::new(1, 0, 0);
    let subject = Subject { plugin: "a/b", version: &version, component: "digest", signed_by: &[SIGNER] };
    weigh(&Standard::of(profile, policy, "a/b"), &subject, requests.to_vec(), approvals, 10)
}

fn scopes(resolution: &Resolution) -> HashSet<Scope> {
    resolution.grants.iter().map(|grant| grant.scope.clone()).collect()
}

proptest! {
    /// A prohibition, or the wish to be asked, takes away or does nothing, whatever else stands there.
    #[test]
    fn a_stricter_policy_never_yields_more(
        profile in profile(), policy in policy(), mut stricter in rule(), at in any::<prop::sample::Index>(),
        requests in requests(), approvals in approvals(), ask in ask(),
    ) {
        stricter.ceiling.clear();
        let mut less = policy.clone();
        less.rules.insert(at.index(policy.rules.len() + 1), stricter);
        let (before, after) = (
            weighed(&profile, &policy, &requests, &approvals),
            weighed(&profile, &less, &requests, &approvals),
        );
        prop_assert!(scopes(&after).is_subset(&scopes(&before)));
        let allowed = |resolution: &Resolution| decide(&resolution.grants, &ask.borrow()).is_allowed();
        prop_assert!(!allowed(&after) || allowed(&before));
    }

    #[test]
    fn a_lower_ceiling_never_yields_more(
        profile in profile(), mut policy in policy(), which in any::<prop::sample::Index>(),
        requests in requests(), approvals in approvals(),
    ) {
        let before = weighed(&profile, &policy, &requests, &approvals);
        let mut ceilings: Vec<&mut u32> =
            policy.rules.iter_mut().flat_map(|rule| rule.ceiling.values_mut()).collect();
        if !ceilings.is_empty() {
            let at = which.index(ceilings.len());
            *ceilings[at] = ceilings[at].saturating_sub(1);
        }
        let after = weighed(&profile, &policy, &requests, &approvals);
        prop_assert!(scopes(&after).is_subset(&scopes(&before)));
    }

    /// Where a ceiling's number is reached, who comes first has it: then there are as many, or fewer.
    #[test]
    fn fewer_approvals_never_yield_more(
        profile in profile(), policy in policy(), requests in requests(), approvals in approvals(),
    ) {
        let all = weighed(&profile, &policy, &requests, &approvals);
        let fewer = weighed(&profile, &policy, &requests, approvals.get(1..).unwrap_or_default());
        prop_assert!(fewer.grants.iter().count() <= all.grants.iter().count());
    }

    #[test]
    fn the_order_of_rules_is_nothing(
        profile in profile(),
        (policy, shuffled) in policy().prop_flat_map(|policy| {
            let rules = Just(policy.rules.clone()).prop_shuffle();
            (Just(policy), rules)
        }),
        requests in requests(), approvals in approvals(), ask in ask(),
    ) {
        let other = Policy { rules: shuffled, ..policy.clone() };
        let (one, other) = (
            weighed(&profile, &policy, &requests, &approvals),
            weighed(&profile, &other, &requests, &approvals),
        );
        prop_assert_eq!(scopes(&one), scopes(&other));
        let allowed = |resolution: &Resolution| decide(&resolution.grants, &ask.borrow()).is_allowed();
        prop_assert_eq!(allowed(&one), allowed(&other));
    }

    /// What is granted was asked for or is given to all, and is within the ceiling; above the defaults somebody
    /// said yes.
    #[test]
    fn grants_are_asked_for_within_the_ceiling_and_approved(
        profile in profile(), policy in policy(), requests in requests(), approvals in approvals(),
    ) {
        let standard = Standard::of(&profile, &policy, "a/b");
        let resolution = weighed(&profile, &policy, &requests, &approvals);
        for grant in resolution.grants.iter() {
            let capability = grant.scope.capability();
            let asked = requests.iter().any(|request| request.scope == grant.scope);
            let given = standard.profile.always.contains(&capability);
            prop_assert!(asked || given);
            let by_default = given || standard.profile.on_request.contains(&capability);
            let within = standard.profile.ceiling.get(&capability).is_some_and(|&most| most > 0);
            prop_assert!(by_default || within);
            match &grant.rule.source {
                Source::Approval { number: 7, .. } => {
                    let approved = approvals.iter().any(|approval| {
                        approval.plugin == "a/b"
                            && approval.until.is_none_or(|until| until > 10)
                            && approval.scopes.iter().any(|scope| scope.contains(&grant.scope))
                    });
                    prop_assert!(approved);
                }
                Source::CommandLine | Source::Embedder => prop_assert!(policy.approvals.command_line),
                source => prop_assert!(by_default, "{}", source),
            }
        }
    }

    #[test]
    fn each_request_is_granted_or_missed(
        profile in profile(), policy in policy(), requests in requests(), approvals in approvals(),
    ) {
        let resolution = weighed(&profile, &policy, &requests, &approvals);
        for request in &requests {
            let granted = resolution.grants.iter().any(|grant| grant.scope == request.scope);
            let missed = resolution.unresolved.iter().any(|missed| *missed.scope() == request.scope);
            prop_assert!(granted || missed);
        }
    }

    #[test]
    fn no_text_is_too_odd_for_a_policy(text in any::<String>()) {
        let _ = Policy::parse(&text);
    }

    /// Documents that are nearly policies.
    #[test]
    fn nor_one_that_has_some_of_its_words(
        words in prop::collection::vec(prop::sample::select(vec![
            "format = 1\n", "version = 1\n", "[[rules]]\n", "id = \"a\"\n", "id = \"b\"\n",
            "forbid = [\"http\"]\n", "forbid = [\"\u{e9}\"]\n", "ceiling = { http = 1 }\n", "[approvals]\n",
            "needed = 2\n", "people = [\"a\"]\n", "limits = { memory_bytes = 1 }\n", "= \n", "[rules.limits]\n",
            "\u{0}", "\"\"\"", "{",
        ]), 0..12),
    ) {
        if let Err(error) = Policy::parse(&words.concat()) {
            prop_assert!(error.line >= 1 && error.column >= 1);
        }
    }
}

#[test]
fn ten_thousand_rules_are_a_document() {
    let mut text = "format = 1\nversion = 3\n".to_owned();
    for number in 0..10_000 {
        let _ = writeln!(text, "[[rules]]\nid = \"r{number}\"\nplugin = \"acme/p{number}\"");
        let _ = writeln!(text, "forbid = [\"http:host{number}.example\"]");
    }
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.rules.len(), 10_000);
    assert_eq!(policy.rules[9_999].line, 3 + 4 * 9_999);
}

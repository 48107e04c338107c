//! Properties of `resolve`.

use std::collections::{BTreeMap, HashSet};

use crate::made::{scope, source};
use proptest::prelude::*;
use stockade_policy::{
    Capability, GuestPath, PluginType, Policy, Profile, Request, Resolution, Scope, Source, Standard,
    Unresolved,
};

/// By the profile alone.
fn resolve(profile: &Profile, requests: &[Request]) -> Resolution {
    stockade_policy::resolve(&Standard::of(profile, Policy::built_in(), "a/b"), requests)
}

/// A document with every capability in one of the three lists or in none.
pub(crate) fn profile() -> impl Strategy<Value = Profile> {
    let place = prop::collection::vec(0..4_u8, Capability::ALL.len());
    (place, prop::collection::vec(0..3_u32, Capability::ALL.len())).prop_map(|(places, numbers)| {
        let mut profile = Profile::of(PluginType::Node).clone();
        (profile.always, profile.on_request, profile.ceiling) = (Vec::new(), Vec::new(), BTreeMap::new());
        for ((capability, place), number) in Capability::ALL.into_iter().zip(places).zip(numbers) {
            match place {
                0 if !capability.takes_resource() => profile.always.push(capability),
                1 => profile.on_request.push(capability),
                2 => drop(profile.ceiling.insert(capability, number)),
                _ => {}
            }
        }
        profile
    })
}

pub(crate) fn requests() -> impl Strategy<Value = Vec<Request>> {
    let request = (scope(), prop::option::of(source()));
    let request = request.prop_map(|(scope, approved_by)| Request { scope, approved_by });
    prop::collection::vec(request, 0..12)
}

proptest! {
    #[test]
    fn a_ceiling_is_never_passed(profile in profile(), requests in requests()) {
        let resolution = resolve(&profile, &requests);
        let mut number: BTreeMap<Capability, u32> = BTreeMap::new();
        for grant in resolution.grants.iter() {
            *number.entry(grant.scope.capability()).or_default() += 1;
        }
        for (capability, number) in number {
            let within = profile.always.contains(&capability)
                || profile.on_request.contains(&capability)
                || profile.ceiling.get(&capability).is_some_and(|&most| number <= most);
            prop_assert!(within, "{} granted {} times", capability, number);
        }
    }

    #[test]
    fn what_is_granted_was_asked_for_or_is_a_default(profile in profile(), requests in requests()) {
        for grant in resolve(&profile, &requests).grants.iter() {
            let asked = requests.iter().any(|request| request.scope == grant.scope);
            prop_assert!(asked || profile.always.contains(&grant.scope.capability()));
        }
    }

    #[test]
    fn above_the_defaults_somebody_said_yes_and_is_named(profile in profile(), requests in requests()) {
        for grant in resolve(&profile, &requests).grants.iter() {
            if profile.ceiling.contains_key(&grant.scope.capability()) {
                let approved = requests.iter().any(|request| {
                    request.scope == grant.scope && request.approved_by.as_ref() == Some(&grant.rule.source)
                });
                prop_assert!(approved, "{}", grant.rule);
            }
        }
    }

    #[test]
    fn every_request_is_either_granted_or_named_as_unresolved(profile in profile(), requests in requests()) {
        let resolution = resolve(&profile, &requests);
        let granted: HashSet<&Scope> = resolution.grants.iter().map(|grant| &grant.scope).collect();
        let refused: HashSet<&Scope> = resolution.unresolved.iter().map(Unresolved::scope).collect();
        for request in &requests {
            let times = usize::from(granted.contains(&request.scope)) + usize::from(refused.contains(&request.scope));
            prop_assert_eq!(times, 1, "{:?}", &request.scope);
        }
        prop_assert_eq!(granted.len(), resolution.grants.iter().count(), "a scope was granted twice");
    }

    #[test]
    fn the_same_documents_give_the_same_grants(profile in profile(), requests in requests()) {
        prop_assert_eq!(resolve(&profile, &requests), resolve(&profile, &requests));
    }

    /// Where the ceiling's numbers are not reached, order is nothing.
    #[test]
    fn order_matters_only_for_who_is_too_many(
        profile in profile(),
        (requests, shuffled) in requests().prop_flat_map(|r| (Just(r.clone()), Just(r).prop_shuffle())),
    ) {
        let (one, other) = (resolve(&profile, &requests), resolve(&profile, &shuffled));
        let too_many = |unresolved: &Unresolved| matches!(unresolved, Unresolved::TooMany { .. });
        let scopes = |resolution: &stockade_policy::Resolution| -> HashSet<Scope> {
            resolution.grants.iter().map(|grant| grant.scope.clone()).collect()
        };
        if one.unresolved.iter().any(too_many) {
            prop_assert_eq!(scopes(&one).len(), scopes(&other).len());
        } else {
            prop_assert_eq!(scopes(&one), scopes(&other));
        }
    }

    #[test]
    fn one_request_more_never_takes_a_grant_away(profile in profile(), requests in requests(), more in scope()) {
        let before = resolve(&profile, &requests);
        let mut longer = requests.clone();
        longer.push(Request { scope: more, approved_by: Some(Source::CommandLine) });
        let after = resolve(&profile, &longer);
        for grant in before.grants.iter() {
            prop_assert!(after.grants.iter().any(|other| other.scope == grant.scope));
        }
    }
}

fn fs(path: &str, approved_by: Option<Source>) -> Request {
    Request { scope: Scope::FsRead { root: GuestPath::parse(path).unwrap() }, approved_by }
}

#[test]
fn a_manifest_request_that_the_operator_grants_too_is_not_left_waiting() {
    let profile = Profile::of(PluginType::QualityGate);
    let resolution = resolve(profile, &[fs("/src", None), fs("/src", Some(Source::CommandLine))]);
    assert_eq!(resolution.unresolved, []);
    assert_eq!(resolution.grants.roots().len(), 1);
}

#[test]
fn a_node_gets_no_files_whoever_approves() {
    let profile = Profile::of(PluginType::Node);
    let resolution = resolve(profile, &[fs("/src", Some(Source::CommandLine))]);
    assert!(matches!(resolution.unresolved[..], [Unresolved::AboveCeiling { .. }]));
    assert_eq!(resolution.grants.roots().len(), 0);
}

#[test]
fn the_seventeenth_tree_of_a_quality_gate_is_one_too_many() {
    let profile = Profile::of(PluginType::QualityGate);
    let requests: Vec<_> = (0..17).map(|n| fs(&format!("/{n}"), Some(Source::Embedder))).collect();
    let resolution = resolve(profile, &requests);
    assert_eq!(resolution.grants.roots().len(), 16);
    assert!(matches!(resolution.unresolved[..], [Unresolved::TooMany { ceiling: 16, .. }]));
}

#[test]
fn rules_name_their_resource_and_their_document() {
    let profile = Profile::of(PluginType::QualityGate);
    let resolution = resolve(profile, &[fs("/src", Some(Source::CommandLine))]);
    let shown: Vec<String> = resolution.grants.iter().map(|grant| grant.rule.to_string()).collect();
    assert!(shown.contains(&"log (profile quality_gate v4)".to_owned()), "{shown:?}");
    assert!(shown.contains(&"fs.read:/src (command line)".to_owned()), "{shown:?}");
}

//! Every combination of a small world: each place that two capabilities can have in a profile, each two rules of a
//! policy, each two approvals, weighed for the same asking plugin. What comes out is held against the rules as they are
//! told in docs/policy.md, in other words than the library's.

use std::collections::BTreeMap;

use semver::Version;
use stockade_policy::{
    Approval, Approvers, Bound, Capability, Person, PluginType, Policy, Profile, PublicKey, Request, Source,
    Standard, Subject, weigh,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    OnRequest,
    Ceiling(u32),
}

const PLACES: [Place; 4] = [Place::Nowhere, Place::OnRequest, Place::Ceiling(1), Place::Ceiling(2)];
/// What one rule of a policy can say, in the document's words; and two of them together are a policy.
const RULES: [&str; 10] = [
    "",
    "forbid = [\"http\"]",
    "forbid = [\"http:a.example\"]",
    "approve = [\"http:a.example\"]",
    "approve = [\"config\"]",
    "ceiling = { http = 0 }",
    "ceiling = { http = 1 }",
    "ceiling = { http = 2 }",
    "plugin = \"p/q\"\nceiling = { http = 2 }",
    "plugin = \"p/other\"\nforbid = [\"http\"]",
];
const ASKED: [&str; 3] = ["http:a.example", "http:b.example", "config:x"];

fn profile(http: Place, config: Place) -> Profile {
    let mut profile = Profile::of(PluginType::Node).clone();
    (profile.always, profile.on_request, profile.ceiling) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (capability, place) in [(Capability::Http, http), (Capability::Config, config)] {
        match place {
            Place::Nowhere => {}
            Place::OnRequest => profile.on_request.push(capability),
            Place::Ceiling(most) => drop(profile.ceiling.insert(capability, most)),
        }
    }
    profile
}

fn policy(rules: [&str; 2]) -> Policy {
    let mut text = "format = 1\nversion = 1\n[approvals]\npeople = [\"1\"]\n".to_owned();
    for (number, rule) in rules.into_iter().enumerate().filter(|(_, rule)| !rule.is_empty()) {
        text.push_str(&format!("[[rules]]\nid = \"r{number}\"\n{rule}\n"));
    }
    Policy::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The key that has signed the plugin.
const SIGNER: PublicKey = PublicKey::new([7; 32]);

/// An approval that holds, one of another plugin, of other bytes, one that is over, and one by somebody who may not;
/// one of what the plugin's signer signs, and one of what another does.
fn approvals() -> Vec<(bool, Approval)> {
    let signed = |number, plugin: &str, component: &str, until, uid, signed_by| Approval {
        number,
        plugin: plugin.to_owned(),
        bound: Bound::Component(component.to_owned()),
        signed_by,
        scopes: vec!["http:a.example".parse().unwrap(), "config:*".parse().unwrap()],
        by: vec![Person { uid, name: None }],
        until,
    };
    let one = |number, plugin, component, until, uid| signed(number, plugin, component, until, uid, None);
    vec![
        (true, one(1, "p/q", "c0", Some(11), 1)),
        (false, one(2, "p/r", "c0", None, 1)),
        (false, one(3, "p/q", "c1", None, 1)),
        (false, one(4, "p/q", "c0", Some(10), 1)),
        (false, one(5, "p/q", "c0", None, 2)),
        (true, signed(6, "p/q", "c0", None, 1, Some(SIGNER))),
        (false, signed(7, "p/q", "c0", None, 1, Some(PublicKey::new([8; 32])))),
    ]
}

/// What a ceiling comes to: the rule for the plugin itself before those for all, and of these the lowest.
fn ceiling(place: Place, rules: [&str; 2]) -> Option<u32> {
    let number = |rule: &str| rule.split("http = ").nth(1).and_then(|rest| rest[..1].parse::<u32>().ok());
    let own = rules.iter().filter(|rule| rule.starts_with("plugin = \"p/q\"")).find_map(|rule| number(rule));
    let of_all =
        rules.iter().filter(|rule| rule.starts_with("ceiling")).filter_map(|rule| number(rule)).min();
    own.or(of_all).or(match place {
        Place::Ceiling(most) => Some(most),
        Place::Nowhere | Place::OnRequest => None,
    })
}

fn expected(http: Place, config: Place, rules: [&str; 2], approved: bool) -> Vec<String> {
    let says = |text: &str| rules.contains(&text);
    let most = ceiling(http, rules);
    let mut granted = Vec::new();
    let mut taken = 0;
    for asked in &ASKED[..2] {
        let approved = approved && *asked == "http:a.example";
        let by_default = http == Place::OnRequest && most != Some(0);
        let known = by_default || most.is_some_and(|most| most > 0);
        if !known || !(by_default || approved) {
            continue;
        }
        let room = most.is_none_or(|most| taken < most);
        taken += u32::from(room);
        let forbidden = says("forbid = [\"http\"]")
            || *asked == "http:a.example" && says("forbid = [\"http:a.example\"]");
        let waits = *asked == "http:a.example" && says("approve = [\"http:a.example\"]") && !approved;
        if room && !forbidden && !waits {
            granted.push((*asked).to_owned());
        }
    }
    let waits = says("approve = [\"config\"]") && !approved;
    let given = match config {
        Place::Nowhere => false,
        Place::OnRequest => !waits,
        Place::Ceiling(_) => approved,
    };
    if given {
        granted.push("config:x".to_owned());
    }
    granted
}

#[test]
fn every_combination_comes_out_as_it_is_told() {
    let version = Version::new(1, 0, 0);
    let subject = Subject { plugin: "p/q", version: &version, component: "c0", signed_by: &[SIGNER] };
    let requests: Vec<Request> =
        ASKED.iter().map(|asked| Request { scope: asked.parse().unwrap(), approved_by: None }).collect();
    let approvals = approvals();
    let policies: Vec<([&str; 2], Policy)> = RULES
        .iter()
        .flat_map(|first| RULES.map(|second| ([*first, second], policy([*first, second]))))
        .collect();
    let mut worlds = 0;
    for (http, config) in PLACES.iter().flat_map(|http| PLACES.map(|config| (*http, config))) {
        let profile = profile(http, config);
        for (rules, policy) in &policies {
            let standard = Standard::of(&profile, policy, "p/q");
            for (one, other) in
                approvals.iter().flat_map(|one| approvals.iter().map(move |other| (one, other)))
            {
                let given = [one.1.clone(), other.1.clone()];
                let resolution = weigh(&standard, &subject, requests.clone(), &given, 10);
                let granted: Vec<String> =
                    resolution.grants.iter().map(|grant| grant.scope.to_string()).collect();
                let expected = expected(http, config, *rules, one.0 || other.0);
                assert_eq!(granted, expected, "{http:?} {config:?} {rules:?} {given:?}");
                for grant in resolution.grants.iter() {
                    if let Source::Approval { number, .. } = grant.rule.source {
                        assert!([1, 6].contains(&number), "{http:?} {config:?} {rules:?} {given:?}");
                    }
                }
                worlds += 1;
            }
        }
    }
    assert_eq!(worlds, 4 * 4 * 100 * 49);
}

#[test]
fn two_people_are_two_people() {
    let approvers = |needed| Approvers {
        people: vec!["ann".to_owned(), "2".to_owned()],
        needed,
        command_line: false,
        longest: None,
    };
    let ann = Person { uid: 1, name: Some("ann".to_owned()) };
    let again = Person { uid: 1, name: None };
    let bob = Person { uid: 2, name: Some("bob".to_owned()) };
    let eve = Person { uid: 3, name: Some("eve".to_owned()) };
    assert!(approvers(1).may(&ann) && approvers(1).may(&bob) && !approvers(1).may(&eve));
    assert_eq!(approvers(2).lacking(std::slice::from_ref(&ann)), 1);
    assert_eq!(approvers(2).lacking(&[ann.clone(), ann.clone(), again, eve]), 1);
    assert_eq!(approvers(2).lacking(&[ann, bob]), 0);
}

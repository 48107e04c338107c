//! What a decision takes among many grants, and a large policy.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;

use stockade_policy::{
    Ask, Grant, Grants, HttpScheme, HttpTarget, PluginType, Policy, Profile, Rule, Standard, decide,
};

use super::{Figure, Spread, measure, timed};

/// Decisions in one sample: one takes less than a clock can tell.
const AT_ONCE: u32 = 1000;

fn each(times: usize, mut run: impl FnMut()) -> Spread {
    measure(times, || timed(|| (0..AT_ONCE).for_each(|_| run())) / AT_ONCE)
}

pub(super) fn figures(times: usize) -> Vec<Figure> {
    let scopes: Vec<String> = (0..1000)
        .map(|number| match number % 4 {
            0 => format!("http:GET,POST host{number}.example.org/v1"),
            1 => format!("http:*.domain{number}.example.org"),
            2 => format!("fs.read:/srv/tree{number}/deep"),
            _ => format!("config:section{number}.*"),
        })
        .collect();
    let grants: Grants = scopes
        .iter()
        .map(|scope| Grant { scope: scope.parse().expect("a scope"), rule: Rule::built_in(scope) })
        .collect();
    let granted = target("host996.example.org", "/v1/items");
    let refused = target("nobody.example.net", "/v1/items");
    let map: HashMap<&str, usize> =
        scopes.iter().enumerate().map(|(at, scope)| (scope.as_str(), at)).collect();
    let floor = each(times, || {
        black_box(map.get(black_box("http:GET,POST host996.example.org/v1")));
    });
    let decision = |what: &str, target: &HttpTarget, allowed: bool| {
        let value = each(times, || {
            let decision = decide(black_box(&grants), &Ask::Http { target });
            assert_eq!(decision.is_allowed(), allowed);
        });
        Figure {
            what: format!("policy: a decision among 1,000 grants, {what}"),
            floor: "one look into a map of as many texts".into(),
            value,
            base: Some(floor),
            goal: "≤ 1 µs",
            unit: "µs",
        }
    };
    let mut figures =
        vec![decision("the last that fits", &granted, true), decision("none that fits", &refused, false)];

    let mut text = "format = 1\nversion = 1\n".to_owned();
    for number in 0..10_000 {
        let _ = writeln!(text, "[[rules]]\nid = \"r{number}\"\nplugin = \"acme/p{number}\"");
        let _ = writeln!(text, "forbid = [\"http:host{number}.example\"]");
    }
    let repeat = (times / 20).max(10);
    let parse = |run: &dyn Fn()| measure(repeat, || timed(run));
    let base = parse(&|| drop(black_box(toml::de::DeTable::parse(&text).expect("TOML"))));
    let value = parse(&|| drop(black_box(Policy::parse(&text).expect("a policy"))));
    figures.push(Figure {
        what: "policy: a document of 10,000 rules".into(),
        floor: "the TOML parser's tree of the same text".into(),
        value,
        base: Some(base),
        goal: "≤ 50 ms",
        unit: "µs",
    });
    let policy = Policy::parse(&text).expect("a policy");
    let profile = Profile::of(PluginType::Integration);
    figures.push(Figure {
        what: "policy: the standard of one plugin by 10,000 rules".into(),
        floor: String::new(),
        value: measure(repeat, || timed(|| drop(black_box(Standard::of(profile, &policy, "acme/p7"))))),
        base: None::<Spread>,
        goal: "none yet",
        unit: "µs",
    });
    figures
}

fn target(host: &str, path: &str) -> HttpTarget {
    HttpTarget::parse("GET", HttpScheme::Https, host, path).expect("a target")
}

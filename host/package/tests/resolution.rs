//! Which versions are picked, which are not, why none fit, and what an index that is made to be hard costs.

use std::collections::BTreeMap;

use proptest::prelude::*;
use semver::{Version, VersionReq};
use serde_json::{Value, json};
use stockade_package::index::{
    Index, Installed, Lock, Locked, MAX_STEPS, Need, Plan, Question, ResolveError, Source, Wanted, Why,
    resolve,
};
use stockade_package::{Explain, sha256};

fn digest(name: &str, version: &str) -> String {
    format!("sha256:{}", sha256(format!("{name} {version}").as_bytes()))
}

/// `a/b` at a version, with what it needs; `?` before a name makes that optional.
fn release(name: &str, version: &str, needs: &[(&str, &str)]) -> Value {
    let need = |(plugin, version): &(&str, &str)| {
        let optional = plugin.starts_with('?');
        json!({ "plugin": plugin.trim_start_matches('?'), "version": version, "optional": optional })
    };
    json!({
        "version": version, "type": "node", "digest": digest(name, version), "bytes": 1, "contract": "0.1",
        "source": format!("{name}-{version}.stockade.tar"),
        "dependencies": needs.iter().map(need).collect::<Vec<_>>(),
    })
}

#[derive(Default)]
struct Plugins(BTreeMap<String, Vec<Value>>);

impl Plugins {
    fn with(mut self, name: &str, version: &str, needs: &[(&str, &str)]) -> Plugins {
        self.0.entry(name.to_owned()).or_default().push(release(name, version, needs));
        self
    }

    /// The version that was added last gets a key more.
    fn but(mut self, name: &str, key: &str, value: &str) -> Plugins {
        self.0.get_mut(name).unwrap().last_mut().unwrap()[key] = json!(value);
        self
    }

    fn index(self) -> Index {
        let plugins: Vec<Value> = self
            .0
            .into_iter()
            .map(|(name, versions)| json!({ "name": name, "description": "d", "versions": versions }))
            .collect();
        let index = json!({
            "schema": 1, "name": "example.org", "version": 1, "expires": "2027-01-31T00:00:00Z", "plugins": plugins,
        });
        Index::parse(index.to_string().as_bytes()).unwrap()
    }
}

fn wanted(texts: &[&str]) -> Vec<Wanted> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Name, version, and what it needs.
type Had<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

fn installed(plugins: &[Had<'_>]) -> BTreeMap<String, Installed> {
    let one = |(name, version, needs): &Had<'_>| {
        let needs = needs.iter().map(|(plugin, versions)| Need {
            plugin: (*plugin).to_owned(),
            versions: versions.parse().unwrap(),
            optional: false,
        });
        let installed = Installed {
            version: version.parse().unwrap(),
            digest: Some(digest(name, version)),
            dependencies: needs.collect(),
        };
        ((*name).to_owned(), installed)
    };
    plugins.iter().map(one).collect()
}

fn host() -> Version {
    Version::new(0, 1, 0)
}

fn asked(index: &Index, texts: &[&str]) -> Result<Plan, ResolveError> {
    resolve(&Question::new(index, &wanted(texts), &host()))
}

fn picks(plan: &Plan) -> Vec<String> {
    plan.picks.iter().map(|pick| format!("{} {}", pick.name, pick.version)).collect()
}

fn stays(plan: &Plan) -> Vec<String> {
    plan.stays.iter().map(|stay| format!("{} {}", stay.name, stay.version)).collect()
}

fn picked(index: &Index, texts: &[&str]) -> Vec<String> {
    picks(&asked(index, texts).unwrap())
}

fn code(result: Result<Plan, ResolveError>) -> &'static str {
    result.expect_err("no plan").problem().code
}

/// Each pigeon needs a hole for itself, and there is one hole less: small to write, and long to find out.
fn pigeons(count: usize) -> Index {
    let mut plugins = Plugins::default();
    for pigeon in 0..count {
        for hole in 1..count {
            let (name, hole) = (format!("pigeon/p{pigeon}"), format!("hole/h{hole}"));
            let version = format!("{}.0.0", hole.trim_start_matches("hole/h"));
            plugins = plugins.with(&name, &version, &[(&hole, &format!("={}.0.0", pigeon + 1))]);
        }
    }
    for hole in 1..count {
        for pigeon in 0..count {
            plugins = plugins.with(&format!("hole/h{hole}"), &format!("{}.0.0", pigeon + 1), &[]);
        }
    }
    plugins.index()
}

#[test]
fn the_newest_that_fits_comes_after_what_it_needs() {
    let index = Plugins::default()
        .with("a/app", "1.0.0", &[("a/lib", "^1")])
        .with("a/app", "1.1.0", &[("a/lib", "^1.1"), ("a/log", "*")])
        .with("a/lib", "1.1.0", &[("a/log", "^2")])
        .with("a/lib", "1.2.0", &[("a/log", "^3")])
        .with("a/lib", "2.0.0", &[])
        .with("a/log", "2.5.0", &[])
        .index();
    let plan = asked(&index, &["a/app@^1"]).unwrap();
    assert_eq!(picks(&plan), ["a/log 2.5.0", "a/lib 1.1.0", "a/app 1.1.0"]);
    assert_eq!(plan.picks[2].why, Why::Asked);
    assert_eq!(plan.picks[1].why, Why::Needed { by: "a/app".into(), versions: "^1.1".into() });
    assert_eq!(plan.picks[1].digest, digest("a/lib", "1.1.0"));
    assert_eq!(plan.picks[1].source.as_str(), "a/lib-1.1.0.stockade.tar");
    assert_eq!(plan.picks[1].dependencies, [("a/log".to_owned(), Version::new(2, 5, 0))]);
    assert_eq!(picked(&index, &["a/app@1.0.0"]), ["a/log 2.5.0", "a/lib 1.1.0", "a/app 1.0.0"]);
}

#[test]
fn plugins_that_need_each_other_are_both_there() {
    let index = Plugins::default()
        .with("a/x", "1.0.0", &[("a/y", "^1")])
        .with("a/y", "1.0.0", &[("a/x", "^1")])
        .index();
    assert_eq!(picked(&index, &["a/x"]), ["a/y 1.0.0", "a/x 1.0.0"]);
}

#[test]
fn a_whole_version_is_that_one_and_a_part_is_a_range() {
    for (text, shown) in [
        ("a/b", "a/b"),
        ("a/b@1.4.0", "a/b@=1.4.0"),
        ("a/b@1.4.0-rc.1", "a/b@=1.4.0-rc.1"),
        ("a/b@1.4", "a/b@^1.4"),
        ("a/b@>=1, <2", "a/b@>=1, <2"),
        ("a/b@*", "a/b@*"),
    ] {
        let wanted: Wanted = text.parse().unwrap();
        assert_eq!(wanted.to_string(), shown);
        assert_eq!(shown.parse::<Wanted>().unwrap(), wanted);
    }
    let long = format!("a/b@={}", "1".repeat(300));
    for (bad, code) in [
        ("a", "bad-name"),
        ("A/b@1", "bad-name"),
        ("a/b@", "bad-version-range"),
        ("a/b@one", "bad-version-range"),
        (&long, "bad-version-range"),
    ] {
        assert_eq!(bad.parse::<Wanted>().expect_err(bad).problem().code, code, "{bad}");
    }
    let index = Plugins::default()
        .with("a/b", "1.4.0", &[])
        .with("a/b", "1.4.1", &[])
        .with("a/b", "1.5.0", &[])
        .index();
    assert_eq!(picked(&index, &["a/b@1.4.0"]), ["a/b 1.4.0"]);
    assert_eq!(picked(&index, &["a/b@1.4"]), ["a/b 1.5.0"]);
    assert_eq!(picked(&index, &["a/b@~1.4"]), ["a/b 1.4.1"]);
    assert_eq!(picked(&index, &["a/b@>=1.4", "a/b@<1.5"]), ["a/b 1.4.1"]);
}

#[test]
fn a_pre_release_is_for_those_who_ask_for_one() {
    let index = Plugins::default()
        .with("a/b", "1.0.0", &[])
        .with("a/b", "2.0.0-rc.1", &[])
        .with("a/b", "2.0.0-rc.2", &[])
        .with("a/c", "1.0.0", &[("a/b", "^2.0.0-rc.1")])
        .index();
    assert_eq!(picked(&index, &["a/b"]), ["a/b 1.0.0"]);
    assert_eq!(picked(&index, &["a/b@^2.0.0-rc.1"]), ["a/b 2.0.0-rc.2"]);
    assert_eq!(picked(&index, &["a/b@2.0.0-rc.1"]), ["a/b 2.0.0-rc.1"]);
    assert_eq!(code(asked(&index, &["a/c"])), "no-version-fits");
    assert_eq!(picked(&index, &["a/c", "a/b@^2.0.0-rc"]), ["a/b 2.0.0-rc.2", "a/c 1.0.0"]);
}

#[test]
fn what_is_yanked_is_for_those_who_have_it_or_name_it() {
    let index = Plugins::default()
        .with("a/b", "1.0.0", &[])
        .with("a/b", "1.1.0", &[])
        .but("a/b", "yanked", "loses data")
        .with("a/c", "1.0.0", &[("a/b", "^1.1")])
        .index();
    assert_eq!(picked(&index, &["a/b"]), ["a/b 1.0.0"]);
    assert_eq!(code(asked(&index, &["a/b@^1.1"])), "no-version-fits");
    let plan = asked(&index, &["a/b@1.1.0"]).unwrap();
    assert_eq!(plan.picks[0].yanked.as_deref(), Some("loses data"));
    assert_eq!(code(asked(&index, &["a/c"])), "no-version-fits");

    let (wanted, host) = (wanted(&["a/c"]), host());
    let installed = installed(&[("a/b", "1.1.0", &[])]);
    let question = Question { installed: Some(&installed), ..Question::new(&index, &wanted, &host) };
    let plan = resolve(&question).unwrap();
    assert_eq!((picks(&plan), stays(&plan)), (vec!["a/c 1.0.0".into()], vec!["a/b 1.1.0".into()]));

    let lock = Lock::of(vec![locked("a/b", "1.1.0", &[])]).unwrap();
    let question = Question { lock: Some(&lock), ..Question::new(&index, &wanted, &host) };
    assert_eq!(picks(&resolve(&question).unwrap()), ["a/b 1.1.0", "a/c 1.0.0"]);
}

#[test]
fn versions_for_other_hosts_are_left_out() {
    let index = Plugins::default()
        .with("a/b", "1.0.0", &[])
        .with("a/b", "1.1.0", &[])
        .but("a/b", "host", ">=0.2")
        .with("a/b", "1.2.0", &[])
        .but("a/b", "contract", "0.9")
        .index();
    assert_eq!(picked(&index, &["a/b"]), ["a/b 1.0.0"]);
    // Who has locked one on another host cannot have it on this one.
    let (all, here) = (wanted(&["a/b"]), host());
    for version in ["1.1.0", "1.2.0"] {
        let lock = Lock::of(vec![locked("a/b", version, &[])]).unwrap();
        let question = Question { lock: Some(&lock), ..Question::new(&index, &all, &here) };
        assert_eq!(picks(&resolve(&question).unwrap()), ["a/b 1.0.0"]);
    }
    let (wanted, host) = (wanted(&["a/b"]), Version::new(0, 2, 0));
    let question = Question { contracts: &["0.1", "0.9"], ..Question::new(&index, &wanted, &host) };
    assert_eq!(picks(&resolve(&question).unwrap()), ["a/b 1.2.0"]);
}

#[test]
fn what_is_optional_is_not_pulled_in_and_its_range_holds() {
    let index = Plugins::default()
        .with("a/app", "1.0.0", &[("?a/cache", "<2"), ("?a/none", "^1")])
        .with("a/cache", "1.0.0", &[])
        .with("a/cache", "2.0.0", &[])
        .with("a/late", "1.0.0", &[("a/mid", "^1")])
        .with("a/mid", "1.0.0", &[("a/cache", "*")])
        .index();
    assert_eq!(picked(&index, &["a/app"]), ["a/app 1.0.0"]);
    assert_eq!(picked(&index, &["a/cache"]), ["a/cache 2.0.0"]);
    assert_eq!(picked(&index, &["a/app", "a/cache"]), ["a/cache 1.0.0", "a/app 1.0.0"]);
    let both = ["a/cache 1.0.0", "a/app 1.0.0", "a/mid 1.0.0", "a/late 1.0.0"];
    assert_eq!(picked(&index, &["a/app", "a/late"]), both);
    assert_eq!(code(asked(&index, &["a/app", "a/cache@^2"])), "no-version-fits");
}

#[test]
fn what_is_installed_stays_or_is_raised_and_only_who_names_versions_goes_back() {
    let index = Plugins::default()
        .with("a/lib", "1.0.0", &[])
        .with("a/lib", "1.1.0", &[])
        .with("a/lib", "1.2.0", &[])
        .with("a/app", "1.0.0", &[("a/lib", "^1")])
        .with("a/app", "2.0.0", &[("a/lib", "^1.2")])
        .with("a/old", "1.0.0", &[("a/lib", "=1.0.0")])
        .with("a/user", "1.0.0", &[("a/lib", "<1.2")])
        .with("a/user", "1.1.0", &[("a/lib", "^1")])
        .index();
    let host = host();
    let installed = installed(&[("a/lib", "1.1.0", &[]), ("a/user", "1.0.0", &[("a/lib", "<1.2")])]);
    let plan = |texts: &[&str]| {
        resolve(&Question { installed: Some(&installed), ..Question::new(&index, &wanted(texts), &host) })
    };
    let kept = plan(&["a/app@1"]).unwrap();
    assert_eq!(picks(&kept), ["a/app 1.0.0"]);
    assert_eq!(stays(&kept), ["a/lib 1.1.0", "a/user 1.0.0"]);
    // What the plugin needs raises another, and what does not go with that is raised as well.
    let raised = plan(&["a/app@2.0.0"]).unwrap();
    assert_eq!(picks(&raised), ["a/lib 1.2.0", "a/app 2.0.0", "a/user 1.1.0"]);
    assert_eq!(raised.picks[0].replaces, Some(Version::new(1, 1, 0)));
    assert_eq!(raised.picks[2].why, Why::Fits);
    assert_eq!(code(plan(&["a/old"])), "no-version-fits");
    assert_eq!(picks(&plan(&["a/old", "a/lib@1.0.0"]).unwrap()), ["a/lib 1.0.0", "a/old 1.0.0"]);
    assert_eq!(picks(&plan(&["a/lib"]).unwrap()), ["a/lib 1.2.0", "a/user 1.1.0"]);
}

#[test]
fn what_is_installed_needs_what_its_own_manifest_says() {
    let index = Plugins::default().with("a/b", "1.0.0", &[]).with("a/b", "2.0.0", &[]).index();
    let (wanted, host) = (wanted(&["a/b"]), host());
    let installed = installed(&[("local/own", "0.0.0", &[("a/b", "^1")])]);
    let question = Question { installed: Some(&installed), ..Question::new(&index, &wanted, &host) };
    assert_eq!(picks(&resolve(&question).unwrap()), ["a/b 1.0.0"]);
}

#[test]
fn e14_an_installed_version_that_is_another_package_in_the_index_is_told() {
    let index = Plugins::default()
        .with("a/app", "1.0.0", &[("a/lib", "^1")])
        .with("a/lib", "1.0.0", &[])
        .with("a/other", "1.0.0", &[])
        .index();
    let host = host();
    let mut installed = installed(&[("a/lib", "1.0.0", &[])]);
    installed.get_mut("a/lib").unwrap().digest = Some(digest("a/lib", "as it was"));
    let plan = |texts: &[&str]| {
        resolve(&Question { installed: Some(&installed), ..Question::new(&index, &wanted(texts), &host) })
    };
    assert_eq!(code(plan(&["a/app"])), "installed-drift");
    assert_eq!(stays(&plan(&["a/other"]).unwrap()), ["a/lib 1.0.0"]);
}

fn locked(name: &str, version: &str, dependencies: &[(&str, &str)]) -> Locked {
    let dependency = |(name, version): &(&str, &str)| ((*name).to_owned(), version.parse().unwrap());
    Locked {
        name: name.to_owned(),
        version: version.parse().unwrap(),
        digest: digest(name, version),
        source: Source::parse("from/the/lock.stockade.tar").unwrap(),
        dependencies: dependencies.iter().map(dependency).collect(),
    }
}

#[test]
fn what_is_locked_is_taken_again_and_gives_way_to_who_asks_for_more() {
    let plugins = || {
        Plugins::default()
            .with("a/app", "1.0.0", &[("a/lib", "^1")])
            .with("a/app", "1.1.0", &[("a/lib", "^1.1")])
            .with("a/lib", "1.0.0", &[])
    };
    let lock = asked(&plugins().index(), &["a/app@1.0.0"]).unwrap().lock().unwrap();
    let later = plugins().with("a/lib", "1.1.0", &[]).with("a/lib", "1.2.0", &[]).index();
    let host = host();
    let plan = |lock: &Lock, texts: &[&str]| {
        picks(
            &resolve(&Question { lock: Some(lock), ..Question::new(&later, &wanted(texts), &host) }).unwrap(),
        )
    };
    assert_eq!(plan(&lock, &["a/app"]), ["a/lib 1.0.0", "a/app 1.0.0"]);
    assert_eq!(plan(&lock.without(&["a/lib"]), &["a/app"]), ["a/lib 1.2.0", "a/app 1.0.0"]);
    assert_eq!(plan(&lock, &["a/app@^1.1"]), ["a/lib 1.2.0", "a/app 1.1.0"]);
}

#[test]
fn what_is_locked_and_not_listed_any_more_comes_from_where_it_was() {
    let index = Plugins::default().with("a/app", "2.0.0", &[]).index();
    let lock = Lock::of(vec![locked("a/app", "1.0.0", &[("a/lib", "1.0.0")]), locked("a/lib", "1.0.0", &[])])
        .unwrap();
    let (wanted, host) = (wanted(&["a/app"]), host());
    let plan = resolve(&Question { lock: Some(&lock), ..Question::new(&index, &wanted, &host) }).unwrap();
    assert_eq!(picks(&plan), ["a/lib 1.0.0", "a/app 1.0.0"]);
    assert_eq!(plan.picks[0].source.as_str(), "from/the/lock.stockade.tar");
    assert_eq!(plan.lock().unwrap(), lock);
}

#[test]
fn e14_a_version_that_was_published_anew_is_not_what_was_locked() {
    let index = Plugins::default().with("a/b", "1.0.0", &[]).with("a/c", "1.0.0", &[]).index();
    let (wanted, host) = (wanted(&["a/c"]), host());
    let mut drifted = locked("a/b", "1.0.0", &[]);
    drifted.digest = digest("a/b", "as it was");
    let lock = Lock::of(vec![drifted]).unwrap();
    let result = resolve(&Question { lock: Some(&lock), ..Question::new(&index, &wanted, &host) });
    let problem = result.expect_err("another package").problem();
    assert_eq!((problem.code, problem.field.as_str()), ("lock-drift", "a/b 1.0.0"));
}

#[test]
fn why_nothing_fits_is_said_in_sentences() {
    let index = Plugins::default()
        .with("a/app", "1.0.0", &[("a/lib", "^2")])
        .with("a/app", "1.1.0", &[("a/lib", "^2")])
        .with("a/lib", "1.0.0", &[])
        .with("a/lib", "2.0.0", &[])
        .but("a/lib", "yanked", "\u{1b}[2Jloses data")
        .with("a/lib", "2.1.0-rc.1", &[])
        .with("a/lib", "2.2.0", &[])
        .but("a/lib", "host", ">=0.5")
        .with("a/lib", "2.3.0", &[])
        .but("a/lib", "contract", "0.2")
        .with("a/lost", "1.0.0", &[("a/gone", "^1"), ("?a/lib", "^2")])
        .index();
    let problem = |texts: &[&str]| {
        let problem = asked(&index, texts).expect_err("nothing fits").problem();
        format!(
            "{} at {}\n{}\n{}",
            problem.code,
            problem.field,
            problem.message.replace("; ", "\n  "),
            problem.next_step
        )
    };
    insta::assert_snapshot!(problem(&["a/app@^1"]), @r#"
    no-version-fits at a/app@^1
    no versions fit together: a/app@^1 was asked for
      a/app 1.0.0 and 1.1.0 need a/lib ^2
      of a/app there is 1.0.0 and 1.1.0
      of a/lib there is 1.0.0, left out are 2.3.0 (for contract 0.2), 2.2.0 (for hosts >=0.5), 2.1.0-rc.1 (a pre-release, and not asked for), 2.0.0 (yanked: "\u{1b}[2Jloses data")
    ask for other versions, or raise or remove what is in the way
    "#);
    insta::assert_snapshot!(problem(&["a/lost"]), @r#"
    no-version-fits at a/lost
    no versions fit together: a/lost was asked for
      a/lost 1.0.0 needs a/gone ^1
      of a/lost there is 1.0.0
      the index has no a/gone
    ask for other versions, or raise or remove what is in the way
    "#);
    insta::assert_snapshot!(problem(&["a/app@^3", "a/lib@^1"]), @r#"
    no-version-fits at a/app@^3 a/lib@^1
    no versions fit together: a/app@^3 was asked for
      of a/app there is 1.0.0 and 1.1.0
    ask for other versions, or raise or remove what is in the way
    "#);
    insta::assert_snapshot!(problem(&["a/nothing"]), @r#"
    not-in-index at a/nothing
    the index has no a/nothing
    correct the name (stockade search), or add the index that has it
    "#);
}

#[test]
fn an_explanation_has_an_end() {
    let mut plugins = Plugins::default();
    for at in 0..40 {
        plugins = plugins.with(
            &format!("a/p{at}"),
            "1.0.0",
            &[("a/gone", "^1"), (&format!("a/p{}", at + 1), "^1")],
        );
    }
    let texts: Vec<String> = (0..40).map(|at| format!("a/p{at}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let Err(ResolveError::NoVersionFits { facts, .. }) = asked(&plugins.index(), &texts) else {
        panic!("there is no a/gone");
    };
    assert!(facts.len() <= 17, "{facts:?}");
}

/// As deep as steps allow, with what is missing at its end: neither the order of a plan nor an explanation recurses.
#[test]
fn a_long_chain_overflows_nothing() {
    let chain = |last: u32| {
        let mut plugins = Plugins::default();
        for at in 0..last {
            plugins = plugins.with(&format!("a/p{at}"), "1.0.0", &[(&format!("a/p{}", at + 1), "^1")]);
        }
        plugins
    };
    let length = MAX_STEPS / 2 - 8;
    let run = move || {
        let plan =
            asked(&chain(length).with(&format!("a/p{length}"), "1.0.0", &[]).index(), &["a/p0"]).unwrap();
        assert_eq!(plan.picks.len(), length as usize + 1);
        assert_eq!(code(asked(&chain(length).index(), &["a/p0"])), "no-version-fits");
    };
    std::thread::Builder::new().stack_size(256 * 1024).spawn(run).unwrap().join().unwrap();
}

#[test]
fn a_puzzle_is_given_up() {
    let holes = |count: usize| {
        let names: Vec<String> = (0..count).map(|pigeon| format!("pigeon/p{pigeon}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        code(asked(&pigeons(count), &names))
    };
    assert_eq!(holes(5), "no-version-fits");
    assert_eq!(holes(8), "resolution-too-hard");
}

const NAMES: [&str; 5] = ["p/a", "p/b", "p/c", "p/d", "p/e"];
const RANGES: [&str; 6] = ["*", "^1", "^2", "=1.1.0", "<2", ">=1.1"];

/// By place: of each plugin its versions, and of each of those the plugin that it needs, the range, and whether that is
/// optional; what is asked for; what is installed.
type SmallWorld = (Vec<Vec<Vec<(usize, usize, bool)>>>, Vec<(usize, usize)>, Vec<usize>);

fn worlds() -> impl Strategy<Value = SmallWorld> {
    let need = (0..NAMES.len(), 0..RANGES.len(), any::<bool>());
    let version = proptest::collection::vec(need, 0..3);
    let plugin = proptest::collection::vec(version, 0..4);
    let wanted = proptest::collection::vec((0..NAMES.len(), 0..RANGES.len()), 1..3);
    let installed = proptest::collection::vec(0..NAMES.len(), 0..2);
    (proptest::collection::vec(plugin, NAMES.len()), wanted, installed)
}

const VERSIONS: [&str; 4] = ["1.0.0", "1.1.0", "2.0.0", "2.1.0"];

/// All that a plan has to be, asked of any choice of versions; by trying every choice there is.
struct Small<'a> {
    index: &'a Index,
    wanted: &'a [Wanted],
    installed: &'a BTreeMap<String, Installed>,
}

impl Small<'_> {
    fn is_sound(&self, choice: &BTreeMap<&str, Version>) -> bool {
        let takes = |range: &Option<VersionReq>, version: &Version| {
            range.as_ref().is_none_or(|range| range.matches(version))
        };
        let asked = |name: &str| self.wanted.iter().any(|wanted| wanted.plugin == name);
        self.wanted.iter().all(|w| choice.get(w.plugin.as_str()).is_some_and(|v| takes(&w.versions, v)))
            && self.installed.iter().all(|(name, had)| {
                choice.get(name.as_str()).is_some_and(|version| asked(name) || *version >= had.version)
            })
            && choice.iter().all(|(name, version)| {
                let release = self.index.plugin(name).unwrap().version(version).unwrap();
                release.dependencies.iter().all(|need| match choice.get(need.plugin.as_str()) {
                    Some(other) => need.versions.matches(other),
                    None => need.optional,
                })
            })
    }

    fn exists(&self, names: &[&'static str], choice: &mut BTreeMap<&'static str, Version>) -> bool {
        let Some((name, rest)) = names.split_first() else { return self.is_sound(choice) };
        let versions = self.index.plugin(name).map_or(&[][..], |listed| &listed.versions);
        let found = versions.iter().any(|release| {
            choice.insert(name, release.version.clone());
            self.exists(rest, choice)
        });
        choice.remove(name);
        found || self.exists(rest, choice)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// A plan keeps to every range, and there is one wherever any choice of versions does.
    #[test]
    fn a_plan_is_sound_and_is_found_where_there_is_one((plugins, asked, had) in worlds()) {
        let mut all = Plugins::default();
        for (name, versions) in NAMES.iter().zip(&plugins) {
            for (version, needs) in VERSIONS.iter().zip(versions) {
                let mut needed: Vec<(String, &str)> = Vec::new();
                for &(on, range, optional) in needs {
                    let on = NAMES[on];
                    if on != *name && !needed.iter().any(|(other, _)| other.trim_start_matches('?') == on) {
                        needed.push((format!("{}{on}", if optional { "?" } else { "" }), RANGES[range]));
                    }
                }
                let needed: Vec<(&str, &str)> = needed.iter().map(|(on, range)| (on.as_str(), *range)).collect();
                all = all.with(name, version, &needed);
            }
        }
        let index = all.index();
        let wanted: Vec<Wanted> =
            asked.iter().map(|&(name, range)| format!("{}@{}", NAMES[name], RANGES[range]).parse().unwrap()).collect();
        // As the index has it, so that the two do not differ in what they need.
        let first = |name: &'static str| Some((name, index.plugin(name)?.versions.first()?));
        let installed: BTreeMap<String, Installed> = had.iter().filter_map(|&at| first(NAMES[at])).map(|(name, release)| {
            let (version, dependencies) = (release.version.clone(), release.dependencies.clone());
            (name.to_owned(), Installed { version, digest: Some(release.digest.clone()), dependencies })
        }).collect();
        let (host, small) = (host(), Small { index: &index, wanted: &wanted, installed: &installed });
        let question = Question { installed: Some(&installed), ..Question::new(&index, &wanted, &host) };
        let exists = small.exists(&NAMES, &mut BTreeMap::new());
        match resolve(&question) {
            Ok(plan) => {
                let picks = plan.picks.iter().map(|pick| (pick.name.as_str(), pick.version.clone()));
                let stays = plan.stays.iter().map(|stay| (stay.name.as_str(), stay.version.clone()));
                let choice: BTreeMap<&str, Version> = picks.chain(stays).collect();
                prop_assert_eq!(choice.len(), plan.picks.len() + plan.stays.len());
                prop_assert!(small.is_sound(&choice), "{choice:?}");
                // Nothing is there that nobody needs.
                for pick in &plan.picks {
                    prop_assert!(pick.why != Why::Fits || pick.replaces.is_some(), "{pick:?}");
                }
                let lock = plan.lock().unwrap();
                prop_assert_eq!(&Lock::parse(lock.to_toml().as_bytes()).unwrap(), &lock);
                prop_assert_eq!(resolve(&Question { lock: Some(&lock), ..question }).unwrap(), plan);
            }
            Err(ResolveError::NoVersionFits { .. } | ResolveError::NotListed { .. }) => prop_assert!(!exists),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

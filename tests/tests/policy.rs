//! What the organisation's policy makes of plugins' grants: in the documents, and when they run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use stockade_audit::{Decision as Recorded, Layer};
use stockade_host::{ApprovalRequest, GrantRequest, HostError, LoadRequest, Namespaces};
use stockade_package::{Explain, Package};
use stockade_policy::{
    Attempt, Capability, Decision, GuestPath, Limit, Person, PluginType, Policy, Profile, Unit, decide,
};
use stockade_tests::chance::Chance;
use stockade_tests::served::Site;
use stockade_tests::{Bench, call, code, example, probe_package, value};
use tempfile::TempDir;

fn policy(rules: &str) -> Policy {
    Policy::parse(&format!("format = 1\nversion = 3\n{rules}"))
        .unwrap_or_else(|error| panic!("{error}: {rules}"))
}

fn tree(folder: &TempDir) -> GrantRequest {
    GrantRequest::read_tree(folder.path(), GuestPath::parse("/src").unwrap())
}

fn refused(bench: &Bench, request: LoadRequest) -> HostError {
    match bench.host.load_blocking(request) {
        Ok(plugin) => panic!("{} was loaded", plugin.name()),
        Err(error) => error,
    }
}

fn probe(bench: &Bench, plugin_type: PluginType) -> LoadRequest {
    LoadRequest::new(probe_package(&bench.state.path().join("probe"), plugin_type))
}

#[test]
fn a_rule_takes_away_what_the_operator_has_granted_and_says_so() {
    let bench = Bench::with_probe(Namespaces::Cheap);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("keys")).unwrap();
    fs::write(folder.path().join("keys/private"), "secret").unwrap();
    fs::write(folder.path().join("open"), "open").unwrap();
    let rules = "[[rules]]\nid = \"no-keys\"\nforbid = [\"fs.read:/src/keys\"]\n";
    bench.host.set_policy(policy(rules)).unwrap();
    let plugin =
        bench.host.load_blocking(probe(&bench, PluginType::QualityGate).grant(tree(&folder))).unwrap();
    let stat = |path: &str| value(&call(&plugin, "ask", json!({ "kind": "stat", "path": path })));
    assert_ne!(stat("/src/open"), json!("denied"));
    assert_eq!(stat("/src/keys/private"), json!("denied"));
    assert_eq!(stat("/src/keys"), json!("denied"));
    let denied = bench.found(Layer::Host, "fs.read", Recorded::Denied);
    let rule = denied[0].record.rule.as_ref().unwrap();
    assert_eq!((&*rule.id, &*rule.source), ("forbid:fs.read:/src/keys", "policy v3, rule no-keys, line 3"));
    // All of it, against an operator who grants it by hand.
    bench.host.set_policy(policy("[[rules]]\nid = \"none\"\nforbid = [\"fs.read\"]\n")).unwrap();
    let error = refused(&bench, probe(&bench, PluginType::QualityGate).grant(tree(&folder)));
    let problem = error.problem();
    assert_eq!(problem.code, "forbidden-by-policy");
    assert!(problem.message.contains("policy v3, rule none, line 3"), "{}", problem.message);
}

#[test]
fn ceilings_limits_budgets_and_addresses_are_the_policys() {
    let bench = Bench::with_probe(Namespaces::Cheap);
    let folder = tempfile::tempdir().unwrap();
    let rules = "[[rules]]\nid = \"r\"\n";
    let with = |more: &str| bench.host.set_policy(policy(&format!("{rules}{more}\n"))).unwrap();
    with("ceiling = { \"fs.read\" = 0 }");
    let error = refused(&bench, probe(&bench, PluginType::QualityGate).grant(tree(&folder)));
    assert_eq!(error.problem().message, "fs.read:/src is above the ceiling of policy v3, rule r, line 3");
    // A node has no files by its profile; a rule can say otherwise, and the operator's grant is the approval.
    with("type = \"node\"\nceiling = { \"fs.read\" = 1 }");
    let plugin = bench.host.load_blocking(probe(&bench, PluginType::Node).grant(tree(&folder))).unwrap();
    assert_ne!(value(&call(&plugin, "ask", json!({ "kind": "stat", "path": "/src" }))), json!("denied"));
    with("limits = { memory_bytes_max = 67108864 }");
    let error = refused(&bench, probe(&bench, PluginType::Node).memory_bytes(128 << 20));
    assert_eq!(error.problem().code, "limit-above-maximum");
    with("limits = { written_bytes = 10 }");
    let error = refused(&bench, probe(&bench, PluginType::QualityGate).write_quota(11, 1));
    assert_eq!((error.problem().code, error.problem().field.as_str()), ("above-policy", "written_bytes"));
    with("per_day = { tokens = 10 }");
    let budget = stockade_policy::Budget { tokens: 11, ..Default::default() };
    let error = refused(&bench, probe(&bench, PluginType::Agent).budget_per_day(budget));
    assert_eq!((error.problem().code, error.problem().field.as_str()), ("above-policy", "per_day.tokens"));
    // Addresses, where the policy does not leave them to whoever types them.
    bench
        .host
        .set_policy(policy(
            "[approvals]\npeople = [\"0\"]\n[[rules]]\nid = \"lan\"\naddresses = [\"10.0.0.0/8\"]\n",
        ))
        .unwrap();
    let open = |range: &str| probe(&bench, PluginType::Integration).allow_addresses(range.parse().unwrap());
    assert_eq!(refused(&bench, open("127.0.0.0/8")).problem().code, "addresses-not-allowed");
    assert!(bench.host.load_blocking(open("10.1.0.0/16")).is_ok());
}

/// For who embeds a host: a plugin whose approval has ended answers no call, whoever holds it.
#[test]
fn a_plugin_whose_approval_is_revoked_has_ended_wherever_it_is_held() {
    let bench = Bench::with_probe(Namespaces::Cheap);
    let folder = tempfile::tempdir().unwrap();
    bench.host.set_policy(policy("[approvals]\npeople = [\"1\", \"2\"]\nneeded = 2\n")).unwrap();
    let request = || probe(&bench, PluginType::QualityGate).grant(tree(&folder));
    let weighed = bench.host.weigh(&request());
    let wish = ApprovalRequest {
        plugin: weighed.plugin.clone(),
        component: Some(weighed.component.clone()),
        versions: None,
        signed_by: None,
        scopes: weighed.lacking.iter().map(|lacking| lacking.scope.clone()).collect(),
        seconds: None,
        why: "for the test".to_owned(),
    };
    let person = |uid| Person { uid, name: None };
    bench.host.approve(&wish, &person(1)).unwrap();
    let waiting = bench.host.load_blocking(request()).unwrap();
    assert!(!waiting.grants().has(Capability::FsRead) && waiting.lacking().len() == 1);
    let given = bench.host.approve(&wish, &person(2)).unwrap();
    // Two of one name: the first is held, and found no more.
    let [first, second] = [(); 2].map(|()| bench.host.load_blocking(request()).unwrap());
    for plugin in [&first, &second] {
        assert_eq!(plugin.grants().roots().len(), 1);
        assert_eq!(value(&call(plugin, "echo", json!(1))), json!(1));
    }
    let workers = [first.worker_pid().unwrap(), second.worker_pid().unwrap()];
    bench.host.revoke(given.number, &person(1), "no longer").unwrap();
    for (plugin, worker) in [&first, &second].into_iter().zip(workers) {
        assert!(!stockade_tests::served::lives(worker));
        assert_eq!(code(&call(plugin, "echo", json!(1))), "approval-ended");
        assert_eq!(plugin.start_blocking().unwrap_err().problem().code, "approval-ended");
        assert_eq!(plugin.restart_blocking(Duration::ZERO).unwrap_err().problem().code, "approval-ended");
        assert!(plugin.is_withdrawn());
    }
    // What did not run by it runs on.
    assert_eq!(value(&call(&waiting, "echo", json!(1))), json!(1));
}

/// A config key, a path or the store: what the probe can ask for without any other host.
fn random_attempt(chance: &mut Chance) -> (Attempt, serde_json::Value) {
    let names = ["a", "ab", "b", "b.c", "x"];
    let name = |chance: &mut Chance| names[chance.below(names.len() as u64) as usize];
    match chance.below(4) {
        0 => {
            let key = name(chance);
            (Attempt::parse("config", key).unwrap(), json!({ "kind": "config", "key": key }))
        }
        1 => (Attempt::parse("kv", "").unwrap(), json!({ "kind": "kv", "key": name(chance) })),
        _ => {
            let path = format!("/{}/{}", name(chance), name(chance));
            (Attempt::parse("fs.read", &path).unwrap(), json!({ "kind": "stat", "path": path }))
        }
    }
}

fn random_policy(chance: &mut Chance) -> Policy {
    let patterns = [
        "config:a",
        "config:b*",
        "kv",
        "fs.read:/b",
        "fs.read:/a/a",
        "fs.read:/a/b",
        "fs.read:/a/x",
        "fs.read:/b/b.c",
        "fs.read:/b/ab",
        "fs.read:/x/x/a",
    ];
    let mut rules = String::new();
    for number in 0..2 + chance.below(6) {
        let verb = if chance.below(3) == 0 { "approve" } else { "forbid" };
        let pattern = patterns[chance.below(patterns.len() as u64) as usize];
        rules.push_str(&format!("[[rules]]\nid = \"r{number}\"\n{verb} = [\"{pattern}\"]\n"));
    }
    policy(&rules)
}

/// What `explain` names is what stands in the record: 10,000 random pairs of a policy and an attempt.
#[test]
fn what_is_explained_is_what_is_recorded() {
    let mut chance = Chance::new("explain");
    let folder = tempfile::tempdir().unwrap();
    let policies = stockade_tests::cycles(20, 100);
    let mut seen: BTreeMap<bool, u32> = BTreeMap::new();
    for number in 0..policies {
        let bench = Bench::with_probe(Namespaces::Cheap);
        // The first forbids a good part of what is granted: by chance alone that may come about in none.
        let first = number == 0;
        let most = "[[rules]]\nid = \"r\"\nforbid = [\"fs.read:/a/a\", \"fs.read:/a/ab\", \"fs.read:/a/b\", \"fs.read:/a/x\"]\n";
        let documents = if first { policy(most) } else { random_policy(&mut chance) };
        bench.host.set_policy(documents).unwrap();
        let mut request = probe(&bench, PluginType::QualityGate);
        for (key, granted) in [("a", chance.below(2)), ("b.c", chance.below(2))] {
            if granted == 1 {
                request = request.config(key, "1");
            }
        }
        for root in ["/a", "/b", "/x/x"] {
            if first || chance.below(2) == 1 {
                let root = GuestPath::parse(root).unwrap();
                request = request.grant(GrantRequest::read_tree(folder.path(), root));
            }
        }
        let weighed = bench.host.weigh(&request);
        let Ok(plugin) = bench.host.load_blocking(request) else {
            // Given by hand, and forbidden.
            assert!(weighed.refusal().is_some());
            continue;
        };
        assert!(weighed.refusal().is_none());
        for _ in 0..100 {
            let (attempt, asked) = random_attempt(&mut chance);
            let answer = value(&call(&plugin, "ask", asked));
            let records = bench.found(Layer::Host, attempt.ask().operation(), Recorded::Denied);
            match decide(&weighed.resolution.grants, &attempt.ask()) {
                Decision::Allow(_) => assert_ne!(answer, json!("denied"), "{attempt:?}"),
                Decision::Deny(denial) => {
                    assert_eq!(answer, json!("denied"), "{attempt:?}");
                    // Of a flood only the first are written.
                    if let Some(last) =
                        records.iter().rfind(|last| last.record.resource == attempt.ask().resource())
                    {
                        let rule = last.record.rule.as_ref().expect("a rule");
                        assert_eq!(
                            (&*rule.id, &*rule.source),
                            (&*denial.rule.id, &*denial.rule.source.to_string())
                        );
                        assert_eq!(last.record.reason, denial.why.to_string());
                        *seen.entry(denial.why == stockade_policy::Why::Forbidden).or_default() += 1;
                    }
                }
            }
        }
    }
    assert!(seen.values().all(|times| *times > 0) && seen.len() == 2, "{seen:?}");
}

#[test]
fn a_broken_new_policy_is_refused_and_the_old_one_stays() {
    let site = Site::with_probe();
    site.configure("policy = \"policy.toml\"\n");
    let write = |text: &str| fs::write(site.path("policy.toml"), text).unwrap();
    write("format = 1\nversion = 1\n[[rules]]\nid = \"r\"\nforbid = [\"config:a\"]\n");
    site.plugin("local/p", &[]);
    site.file("local/p", "enabled = true\nconfig = [\"b=1\"]\n");
    let served = site.serve();
    let report = || served.ask(&["grants", "show", "local/p"])["grants"].clone();
    assert!(report()["granted"].as_array().unwrap().iter().any(|granted| granted["scope"] == "config:b"));
    write("format = 1\nversion = 2\n[[rules]]\nid = \"r\"\nforbid = [\"confg:a\"]\n");
    let output = site.run(&["reload"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("error[policy-pattern]") && said.contains("policy.toml:5:11"), "{said}");
    // The old one is in force still, also for what is loaded from here on.
    write(
        "format = 1\nversion = 3\n[[rules]]\nid = \"r\"\napprove = [\"config\"]\n[approvals]\npeople = [\"nobody\"]\n",
    );
    assert_eq!(site.run(&["reload"]).status.code(), Some(0), "{}", served.said());
    assert_eq!(report()["lacking"][0]["scope"], "config:b");
}

#[test]
fn every_example_runs_under_its_profile_and_asks_for_no_more_than_its_ceiling() {
    for name in ["assistant", "dependency-audit", "hostile", "secret-scan", "text-stats"] {
        let package = Package::open(example(name), None).unwrap_or_else(|error| panic!("{name}: {error}"));
        let weighed = LoadRequest::new(package).weigh(Policy::built_in(), &[], 0);
        assert!(weighed.refusal().is_none(), "{name}: {:?}", weighed.refusal());
        assert!(weighed.lacking.iter().all(|lacking| lacking.approvable), "{name}: {:?}", weighed.lacking);
        assert!(weighed.lacking.iter().all(|lacking| lacking.reason.is_some()), "{name}");
    }
}

/// A number as the page writes it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for start in (first..digits.len()).step_by(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&digits[start..start + 3]);
    }
    text
}

#[test]
fn the_page_on_profiles_has_their_numbers() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/profiles.md");
    let page = fs::read_to_string(page).unwrap();
    let row = |start: &str| {
        page.lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("no row {start}"))
            .to_owned()
    };
    let types = [PluginType::Node, PluginType::Integration, PluginType::Agent, PluginType::QualityGate];
    for plugin_type in types {
        let profile = Profile::of(plugin_type);
        let row = row(&format!("| `{plugin_type}` |"));
        assert!(
            row.starts_with(&format!("| `{plugin_type}` | {} | {} |", profile.version, profile.purpose)),
            "{row}"
        );
        let ceiling = row.split(" | ").last().unwrap();
        assert_eq!(ceiling.matches('`').count(), 2 * profile.ceiling.len(), "{row}");
        for (capability, most) in &profile.ceiling {
            assert!(ceiling.contains(&format!("`{capability}` {most}")), "{row}");
        }
    }
    for limit in Limit::ALL {
        let of_types = types.map(|of| grouped(limit.of(&Profile::of(of).limits)));
        assert_eq!(row(&format!("| `{limit}` |")), format!("| `{limit}` | {} |", of_types.join(" | ")));
    }
    for unit in Unit::ALL {
        let of_types = types.map(|of| {
            let profile = Profile::of(of);
            format!("{} / {}", grouped(profile.per_call.get(unit)), grouped(profile.per_day.get(unit)))
        });
        let unit = unit.as_str();
        assert_eq!(row(&format!("| `{unit}` |")), format!("| `{unit}` | {} |", of_types.join(" | ")));
    }
}

/// The blocks of a page that are marked as a file, by their names.
fn files_of(page: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(page).unwrap();
    let mut files = BTreeMap::new();
    for block in text.split("\n```toml ").skip(1) {
        let (head, rest) = block.split_once('\n').unwrap();
        files.insert(head.to_owned(), rest.split("\n```").next().unwrap().to_owned() + "\n");
    }
    files
}

#[test]
fn the_examples_of_the_page_on_policies_do_what_it_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md");
    let files = files_of(&page);
    let site = Site::new();
    for (name, text) in &files {
        fs::write(site.path(name), text).unwrap();
    }
    assert!(files.len() >= 2, "{:?}", files.keys());
    for name in files.keys() {
        let verb = if name.ends_with("cases.toml") { "test" } else { "check" };
        let path = site.path(name);
        let output = stockade(&["policy", verb, path.to_str().unwrap()]);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{name}: {said}");
    }
    // And one that is wrong comes out wrong.
    let cases = files.iter().find(|(name, _)| name.ends_with("cases.toml")).unwrap().1;
    fs::write(site.path("cases.toml"), cases.replacen("gets = [\"", "gets = [\"kv\", \"", 1)).unwrap();
    let output = stockade(&["policy", "test", site.path("cases.toml").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("it does not get kv: nobody asks for it"));
}

fn stockade(arguments: &[&str]) -> std::process::Output {
    std::process::Command::new(stockade_tests::dist().join("stockade"))
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program is there")
}

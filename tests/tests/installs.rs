//! Installed plugins, by the program that operators have: what is let in, what becomes of a change that fails or is killed,
//! and what a host runs of them.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::json;
use stockade_audit::{Decision, Reader};
use stockade_tests::chance::Chance;
use stockade_tests::installed::Place;
use stockade_tests::{cycles, dist, document, skipped};

#[test]
fn a_plugin_is_installed_enabled_updated_rolled_back_and_removed() {
    let place = Place::new();
    let (old, new) = (place.plugin("acme/stats", "1.3.2", ""), place.plugin("acme/stats", "1.4.0", ""));
    assert_eq!(place.done(&["list"])["plugins"], json!([]));

    let installed = place.done(&["install", &old]);
    assert_eq!((&installed["did"], &installed["plugin"]), (&json!("installed"), &json!("acme/stats")));
    assert_eq!(installed["installed"]["enabled"], json!(false));
    assert_eq!(place.version("acme/stats").as_deref(), Some("1.3.2"));
    let offers = place.done(&["capabilities"]);
    assert_eq!(offers["offers"][0]["name"], json!("stats"), "{offers}");
    // It is there, and nobody runs it.
    {
        let _host = place.site.serve();
        assert_eq!(document(&place.run(&["ps"]))["plugins"], json!([]));
    }
    place.done(&["enable", "acme/stats"]);
    {
        let _host = place.site.serve();
        let called = place.done(&["call", "acme/stats", "stats", "--args", r#"{"text":"a b"}"#]);
        assert_eq!(called["value"]["words"], json!(2), "{called}");
    }
    let loads = place.done(&["ledger"]);
    assert_eq!(
        (&loads["loads"][0]["state"], &loads["loads"][0]["version"]),
        (&json!("loaded"), &json!("1.3.2"))
    );

    let updated = place.done(&["update", "acme/stats", &new]);
    assert_eq!((&updated["before"], &updated["installed"]["version"]), (&json!("1.3.2"), &json!("1.4.0")));
    assert_eq!(updated["installed"]["enabled"], json!(true), "what ran runs on");
    assert_eq!(place.refused(&["update", "acme/stats", &new]), ("up-to-date".to_owned(), 0));
    let back = place.done(&["rollback", "acme/stats"]);
    assert_eq!((&back["before"], &back["installed"]["version"]), (&json!("1.4.0"), &json!("1.3.2")));
    assert_eq!(place.refused(&["rollback", "acme/stats"]), ("nothing-before".to_owned(), 2));
    let doctor = place.done(&["doctor", "--strict"]);
    assert_eq!(doctor["plugins"][0]["problems"], json!([]), "{doctor}");
    // By its name, wherever a plugin can be named.
    let ran = place.done(&["run", "acme/stats", "--tool", "stats", "--args", r#"{"text":"a b"}"#]);
    assert_eq!(ran["value"]["words"], json!(2), "{ran}");
    assert_eq!(place.done(&["tools", "acme/stats"])["tools"][0]["name"], json!("stats"));
    place.done(&["show", "acme/stats"]);
    place.done(&["disable", "acme/stats"]);
    place.done(&["uninstall", "acme/stats"]);
    assert_eq!(place.version("acme/stats"), None);
    assert_eq!(fs::read_dir(place.site.state().join("packages")).expect("it is there").count(), 0);

    let did: Vec<String> = place.records().iter().map(|entry| entry.record.event.to_string()).collect();
    let expected = [
        "installed",
        "enabled",
        "updated",
        "not-changed",
        "rolled-back",
        "not-changed",
        "disabled",
        "uninstalled",
    ];
    assert_eq!(did, expected);
    let changes = place.done(&["changes", "acme/stats"]);
    let states: Vec<_> =
        changes["changes"].as_array().expect("a list").iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["done", "done", "failed", "done", "failed", "done", "done", "done"]);
}

#[test]
fn e12_a_running_host_takes_changes_in_and_no_call_fails_of_them() {
    let place = Place::new();
    let versions = ["1.0.0", "1.1.0", "1.2.0"].map(|version| place.plugin("acme/stats", version, ""));
    place.done(&["install", &versions[0]]);
    let _host = place.site.serve();
    let running = || document(&place.run(&["ps"]))["plugins"].clone();
    assert_eq!(running(), json!([]));
    place.done(&["enable", "acme/stats"]);
    assert_eq!(running()[0]["version"], json!("1.0.0"));

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut calls = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let called =
                            place.done(&["call", "acme/stats", "stats", "--args", r#"{"text":"a b"}"#]);
                        assert_eq!(called["value"]["words"], json!(2), "{called}");
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        place.done(&["update", "acme/stats", &versions[1]]);
        assert_eq!(running()[0]["version"], json!("1.1.0"));
        // One that is refused changes nothing of what runs.
        let error = document(&place.run(&["update", "acme/stats", &versions[0]]))["error"].clone();
        assert_eq!(error["code"], json!("older-version"), "{error}");
        place.done(&["update", "acme/stats", &versions[2]]);
        place.done(&["rollback", "acme/stats"]);
        assert_eq!(running()[0]["version"], json!("1.1.0"));
        stop.store(true, Ordering::Relaxed);
        let calls: u32 = callers.into_iter().map(|caller| caller.join().expect("no call failed")).sum();
        assert!(calls > 0, "nobody called meanwhile");
    });
    let (code, exit) = place.refused(&["update", "acme/stats", &versions[2], "--policy", "policy.toml"]);
    assert_eq!((code.as_str(), exit), ("host-decides", 2));
    place.done(&["disable", "acme/stats"]);
    assert_eq!(running(), json!([]));
    place.done(&["enable", "acme/stats"]);
    place.done(&["uninstall", "acme/stats"]);
    assert_eq!(running(), json!([]));
}

#[test]
fn e12_of_two_installs_at_once_one_installs_and_the_other_is_told() {
    let place = Place::new();
    let folder = place.plugin("acme/stats", "1.0.0", "");
    let codes: Vec<_> = std::thread::scope(|scope| {
        let one = || document(&place.run(&["install", &folder]))["error"]["code"].clone();
        let both = [scope.spawn(one), scope.spawn(one)];
        both.into_iter().map(|one| one.join().expect("it ended")).collect()
    });
    assert!(codes.contains(&json!(null)) && codes.contains(&json!("installed-already")), "{codes:?}");
    assert_eq!(place.version("acme/stats").as_deref(), Some("1.0.0"));
    assert_eq!(fs::read_dir(place.site.state().join("packages")).expect("it is there").count(), 1);
    assert_eq!(place.done(&["doctor", "--strict"])["plugins"][0]["problems"], json!([]));
}

#[test]
fn e10_what_a_compiler_made_is_no_component() {
    fn artifact(folder: &Path) -> Option<PathBuf> {
        let entries = fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path());
        entries.into_iter().find_map(|path| match path.is_dir() {
            true => artifact(&path),
            false => path.extension().is_some_and(|end| end == "cwasm").then_some(path),
        })
    }
    let place = Place::new();
    place.done(&["install", &place.plugin("acme/stats", "1.0.0", "")]);
    let made = artifact(&place.site.state()).expect("it was compiled here");
    let folder = place.signed("acme/made", "1.0.0", "", None);
    fs::copy(made, Path::new(&folder).join("text_stats.wasm")).expect("writable");
    assert_eq!(place.refused(&["install", &folder, "--allow-unsigned"]), ("not-wasm".to_owned(), 4));
}

#[test]
fn only_the_user_whose_host_it_is_changes_what_is_installed() {
    const OTHER: u32 = 65_533;
    if !nix::unistd::geteuid().is_root() {
        return skipped("only_the_user_whose_host_it_is", "only root can be another user");
    }
    let place = Place::new();
    place.done(&["install", &place.plugin("acme/stats", "1.0.0", ""), "--enable"]);
    // One that may control the host: it is not the socket's doing.
    place.site.configure(&format!("[control]\nsocket = \"control.sock\"\nuids = [{OTHER}]\n"));
    let _host = place.site.serve();
    let index = place.site.path("index.json");
    fs::write(&index, "[]").expect("writable");
    let index = index.to_str().expect("UTF-8");
    for asked in [&["disable", "acme/stats"][..], &["search", "--index", index]] {
        let mut command = std::process::Command::new(dist().join("stockade"));
        command.args(asked).args(["--format", "json", "--socket"]).arg(place.site.path("control.sock"));
        let output = command.uid(OTHER).gid(OTHER).output().expect("the program can be run by everybody");
        assert_eq!(document(&output)["error"]["code"], json!("not-permitted"), "{output:?}");
    }
    assert_eq!(document(&place.run(&["ps"]))["plugins"][0]["version"], json!("1.0.0"));
    let records = Reader::open(place.site.state().join("audit")).expect("there is a log").map(Result::unwrap);
    let refused: Vec<_> = records.filter(|entry| entry.record.operation == "control").collect();
    assert_eq!((refused.len(), refused[0].record.decision), (2, Decision::Denied));
}

#[test]
fn what_nobody_signed_or_somebody_else_or_what_is_old_is_refused_and_changes_nothing() {
    let place = Place::new();
    let unsigned = place.signed("acme/stats", "1.0.0", "", None);
    assert_eq!(place.refused(&["install", &unsigned]), ("not-signed".to_owned(), 3));
    let (first, second) = (place.plugin("acme/stats", "1.0.0", ""), place.plugin("acme/stats", "1.1.0", ""));
    let wrong = format!("sha256:{}", "0".repeat(64));
    assert_eq!(place.refused(&["install", &first, "--digest", &wrong]), ("digest-mismatch".to_owned(), 3));
    let component = format!("{first}/text_stats.wasm");
    assert_eq!(place.refused(&["install", &component]), ("manifest-needed".to_owned(), 2));
    assert_eq!(place.version("acme/stats"), None);

    place.done(&["install", &first]);
    assert_eq!(place.refused(&["install", &second]), ("installed-already".to_owned(), 2));
    let other = place.signed("acme/stats", "1.2.0", "", Some("somebody"));
    assert_eq!(place.refused(&["update", "acme/stats", &other]), ("other-signer".to_owned(), 3));
    let another = place.plugin("acme/other", "1.0.0", "");
    assert_eq!(place.refused(&["update", "acme/stats", &another]), ("other-plugin".to_owned(), 2));
    assert_eq!(place.refused(&["update", "acme/other", &another]), ("not-installed".to_owned(), 2));
    assert_eq!(place.version("acme/stats").as_deref(), Some("1.0.0"));

    // An older one, whether or not the later one is still there.
    place.done(&["update", "acme/stats", &second]);
    assert_eq!(place.refused(&["update", "acme/stats", &first]), ("older-version".to_owned(), 3));
    place.done(&["uninstall", "acme/stats"]);
    assert_eq!(place.refused(&["install", &first]), ("older-version".to_owned(), 3));
    // The same version, and other bytes.
    let again = place.plugin("acme/stats", "1.1.0", "# changed\n");
    assert_eq!(place.refused(&["install", &again]), ("version-republished".to_owned(), 3));
    place.done(&["install", &first, "--allow-downgrade"]);
    assert_eq!(place.version("acme/stats").as_deref(), Some("1.0.0"));
}

#[test]
fn what_others_need_stays_and_in_a_version_that_will_do() {
    let place = Place::new();
    let needs = "[[dependencies]]\nplugin = \"acme/base\"\nversion = \"^1\"\nreason = \"asks it\"\n";
    let user = place.plugin("acme/user", "1.0.0", needs);
    assert_eq!(place.refused(&["install", &user]), ("dependency-missing".to_owned(), 4));
    place.done(&["install", &place.plugin("acme/base", "1.0.0", "")]);
    place.done(&["install", &user]);
    assert_eq!(place.refused(&["uninstall", "acme/base"]), ("still-needed".to_owned(), 3));
    let next = place.plugin("acme/base", "2.0.0", "");
    assert_eq!(place.refused(&["update", "acme/base", &next]), ("still-needed".to_owned(), 3));
    place.done(&["uninstall", "acme/base", "--even-if-needed"]);
    let output = place.run(&["doctor"]);
    assert_eq!(output.status.code(), Some(4));
    let problems = document(&output)["plugins"][0]["problems"].to_string();
    assert!(problems.contains("dependency-missing"), "{problems}");
}

#[test]
fn an_update_that_asks_for_more_waits_for_an_approval_and_the_old_one_stays() {
    let place = Place::new();
    // A node can have none of it.
    let integration = |version: &str, more: &str| {
        let folder = place.signed("acme/stats", version, more, None);
        let manifest = Path::new(&folder).join("plugin.toml");
        let text = fs::read_to_string(&manifest).expect("it is there");
        fs::write(&manifest, text.replace("type = \"node\"", "type = \"integration\"")).expect("writable");
        folder
    };
    place.done(&["install", &integration("1.0.0", ""), "--enable", "--allow-unsigned"]);
    let asks = "[[permissions]]\ncapability = \"http\"\nresource = \"GET https://api.example.org\"\nreason = \"asks it\"\n";
    let more = integration("1.1.0", asks);
    assert_eq!(
        place.refused(&["update", "acme/stats", &more, "--allow-unsigned"]),
        ("waits-for-approval".to_owned(), 3)
    );
    let list = place.done(&["list"]);
    let plugin = &list["plugins"][0];
    assert_eq!((&plugin["version"], &plugin["next"]["version"]), (&json!("1.0.0"), &json!("1.1.0")));
    // Nobody has said yes yet; and enabling is not saying yes.
    assert_eq!(place.refused(&["update", "acme/stats"]), ("waits-for-approval".to_owned(), 3));
    place.done(&["enable", "acme/stats"]);
    let package = plugin["next"]["package"].as_str().expect("a digest").replace(':', "-");
    let package = place.site.state().join("packages").join(format!("{package}.stockade.tar"));
    place.done(&["approvals", "approve", package.to_str().expect("UTF-8"), "--why", "reviewed", "--yes"]);
    let updated = place.done(&["update", "acme/stats"]);
    assert_eq!((&updated["before"], &updated["installed"]["version"]), (&json!("1.0.0"), &json!("1.1.0")));
    assert_eq!(place.refused(&["update", "acme/stats"]), ("up-to-date".to_owned(), 0));
}

#[test]
fn e5_a_list_that_was_exchanged_or_edited_is_not_run_by() {
    let place = Place::new();
    let list = place.site.state().join("installed.sqlite");
    place.done(&["install", &place.plugin("acme/stats", "1.0.0", "")]);
    let older = place.site.path("older.sqlite");
    place.done(&["backup", older.to_str().expect("UTF-8")]);
    place.done(&["update", "acme/stats", &place.plugin("acme/stats", "1.1.0", "")]);
    place.done(&["enable", "acme/stats"]);
    let now = place.site.path("now.sqlite");
    place.done(&["backup", now.to_str().expect("UTF-8")]);
    let put = |file: &Path| {
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(place.site.state().join(format!("installed.sqlite{end}")));
        }
        fs::copy(file, &list).expect("writable");
    };
    // The log knows that there was more.
    put(&older);
    assert_eq!(place.refused(&["disable", "acme/stats"]), ("inventory-exchanged".to_owned(), 6));
    let found = document(&place.run(&["doctor"]));
    assert_eq!(found["inventory"][0]["code"], json!("inventory-exchanged"), "{found}");
    // One in which another version is said to be installed.
    let mut edited = fs::read(&now).expect("it is there");
    let places: Vec<_> = (0..edited.len() - 5).filter(|&at| &edited[at..at + 5] == b"1.1.0").collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| edited[at + 4] = b'9');
    let file = place.site.path("edited.sqlite");
    fs::write(&file, &edited).expect("writable");
    put(&file);
    assert_eq!(place.refused(&["disable", "acme/stats"]), ("inventory-exchanged".to_owned(), 6));
    // One in which another package is said to have been there before: nobody goes back to that.
    put(&now);
    {
        let list = rusqlite::Connection::open(&list).expect("it is a list");
        let edit = "UPDATE generation SET package = 'sha256:0' WHERE version = '1.0.0'";
        assert_eq!(list.execute(edit, []).expect("writable"), 1);
    }
    assert_eq!(place.refused(&["rollback", "acme/stats"]), ("inventory-exchanged".to_owned(), 6));
    put(&now);
    place.done(&["disable", "acme/stats"]);
}

#[test]
fn e9_a_package_that_was_exchanged_does_not_run() {
    let place = Place::new();
    let (one, other) = (place.plugin("acme/stats", "1.0.0", ""), place.plugin("acme/stats", "1.1.0", ""));
    let installed = place.done(&["install", &one, "--enable"]);
    let digest = installed["installed"]["package"].as_str().expect("a digest").replace(':', "-");
    let package = place.site.state().join("packages").join(format!("{digest}.stockade.tar"));
    let packed = place.done(&["pack", &other, "-o", place.site.path("other.tar").to_str().expect("UTF-8")]);
    fs::copy(place.site.path("other.tar"), &package).expect("writable");
    {
        let _host = place.site.serve();
        let (code, _) = place.refused(&["call", "acme/stats", "stats"]);
        assert_eq!(code, "unknown-plugin");
    }
    let loads = place.done(&["ledger"]);
    assert_eq!(loads["loads"][0]["code"], json!("package-changed"), "{loads}");
    let output = place.run(&["doctor"]);
    let problems = document(&output)["plugins"][0]["problems"].to_string();
    assert!(
        problems.contains("package-changed") && problems.contains(packed["digest"].as_str().expect("one")),
        "{problems}"
    );
    fs::remove_file(&package).expect("it is there");
    let problems = document(&place.run(&["doctor"]))["plugins"][0]["problems"].to_string();
    assert!(problems.contains("package-missing"), "{problems}");
}

#[test]
fn one_name_is_one_plugin_and_both_places_are_named() {
    let place = Place::new();
    place.done(&["install", &place.plugin("acme/stats", "1.0.0", ""), "--enable"]);
    place.site.enable("acme/stats", "");
    let output = place.run(&["serve", place.site.path("stockade.toml").to_str().expect("UTF-8")]);
    let error = document(&output)["error"].clone();
    assert_eq!(error["code"], json!("plugin-twice"));
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains("acme-stats.toml") && message.contains(place.site.state().to_str().expect("UTF-8")),
        "{message}"
    );
}

#[test]
fn g7_whenever_a_change_is_killed_the_old_or_the_new_version_is_there_and_works() {
    let place = Place::new();
    let versions = ["1.0.0", "1.1.0"];
    let folders = versions.map(|version| place.plugin("acme/stats", version, ""));
    place.done(&["install", &folders[0]]);
    // So long a whole one takes.
    let began = Instant::now();
    place.done(&["update", "acme/stats", &folders[1]]);
    let whole = began.elapsed();
    let mut chance = Chance::new("g7");
    let (mut at, mut new, mut old) = (1, 0, 0);
    for _ in 0..cycles(12, 500) {
        let to = 1 - at;
        let mut command = place.site.command(&["update", "acme/stats", &folders[to], "--allow-downgrade"]);
        let mut child = command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        std::thread::sleep(chance.micros(u64::try_from(whole.as_micros()).expect("seconds")));
        let _ = child.kill();
        child.wait().expect("it ended");
        let version = place.version("acme/stats").expect("it is never gone");
        match version.as_str() {
            found if found == versions[at] => old += 1,
            found if found == versions[to] => {
                at = to;
                new += 1;
            }
            found => panic!("{found} is neither the old nor the new one"),
        }
        // Nobody had to do anything for it.
        let doctor = place.done(&["doctor", "--strict"]);
        assert_eq!(doctor["plugins"][0]["problems"], json!([]), "{doctor}");
    }
    println!("killed {} times: {old} old, {new} new", old + new);
    // The next change works, and has swept up.
    let to = 1 - at;
    place.done(&["update", "acme/stats", &folders[to], "--allow-downgrade"]);
    let changes = place.done(&["changes", "-n", "1000"]);
    assert!(
        changes["changes"].as_array().expect("a list").iter().all(|change| change["state"] != "open"),
        "{changes}"
    );
    let packages = fs::read_dir(place.site.state().join("packages")).expect("it is there");
    let names: Vec<_> = packages.map(|entry| entry.expect("readable").file_name()).collect();
    assert!(
        names.len() <= 2 && names.iter().all(|name| name.to_string_lossy().starts_with("sha256-")),
        "{names:?}"
    );
}

//! Plugins by index, by the program that operators have: searched, resolved, locked, and taken only from indexes that are
//! whose and of when they should be.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use stockade_tests::document;
use stockade_tests::installed::{Place, plain};

/// An author's index, and the packages beside it.
struct Author<'a> {
    place: &'a Place,
    index: String,
}

impl<'a> Author<'a> {
    fn new(place: &'a Place) -> Author<'a> {
        let folder = place.site.path("published");
        fs::create_dir(&folder).expect("writable");
        Author { place, index: folder.join("index.json").to_str().expect("UTF-8").to_owned() }
    }

    /// Packs a plugin beside the index.
    fn pack(&self, name: &str, version: &str, more: &str) -> String {
        let folder = self.place.plugin(name, version, more);
        let file = Path::new(&self.index)
            .with_file_name(format!("{}-{version}.stockade.tar", name.replace('/', "-")));
        let file = file.to_str().expect("UTF-8").to_owned();
        self.place.done(&["pack", &folder, "-o", &file]);
        file
    }

    /// The next version of the index, signed.
    fn publish(&self, packages: &[String]) -> Value {
        let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
        let make = ["index", "make", &self.index, "--name", "example.org/plugins"];
        let made = made(&[&make[..], &packages].concat());
        self.sign("author");
        made
    }

    fn sign(&self, who: &str) {
        let key = self.place.site.path(&format!("{who}.key"));
        let key = key.to_str().expect("UTF-8");
        if !Path::new(key).exists() {
            assert!(plain(&["key", "new", key]).status.success());
        }
        // Somebody else's index has no signature of the first.
        let _ = fs::remove_file(format!("{}.sig", self.index));
        made(&["sign", &self.index, "--key", key]);
    }

    fn read(&self) -> (Vec<u8>, Vec<u8>) {
        let read = |path: &str| fs::read(path).expect("it is there");
        (read(&self.index), read(&format!("{}.sig", self.index)))
    }

    fn write(&self, (index, signature): &(Vec<u8>, Vec<u8>)) {
        fs::write(&self.index, index).expect("writable");
        fs::write(format!("{}.sig", self.index), signature).expect("writable");
    }

    fn with<'b>(&'b self, arguments: &[&'b str]) -> Vec<&'b str> {
        [arguments, &["--index", &self.index]].concat()
    }

    fn done(&self, arguments: &[&str]) -> Value {
        self.place.done(&self.with(arguments))
    }

    fn refused(&self, arguments: &[&str]) -> (String, i32) {
        self.place.refused(&self.with(arguments))
    }
}

/// A command that needs no state folder, and works.
fn made(arguments: &[&str]) -> Value {
    let output = plain(&[arguments, &["--format", "json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    document(&output)
}

const NEEDS: &str = "[[dependencies]]\nplugin = \"acme/base\"\nversion = \"^1\"\nreason = \"asks it\"\n";
const NEEDS_NEXT: &str = "[[dependencies]]\nplugin = \"acme/base\"\nversion = \"^2\"\nreason = \"asks it\"\n";

#[test]
fn plugins_are_searched_and_installed_by_name_with_what_they_need_all_or_none() {
    let place = Place::new();
    let author = Author::new(&place);
    let made = author.publish(&[
        author.pack("acme/base", "1.0.0", ""),
        author.pack("acme/base", "1.2.0", ""),
        author.pack("acme/user", "1.0.0", NEEDS),
    ]);
    assert_eq!((&made["version"], &made["plugins"]), (&json!(1), &json!(2)));
    let found = author.done(&["search", "USER"]);
    assert_eq!(found["plugins"][0]["plugin"], json!("acme/user"), "{found}");
    assert_eq!(author.done(&["search", "nothing-like-it"])["plugins"], json!([]));

    let done = author.done(&["install", "acme/user@^1", "--enable"]);
    assert_eq!(
        (&done["plugin"], &done["installed"]["enabled"]),
        (&json!("acme/user"), &json!(true)),
        "{done}"
    );
    assert_eq!(done["with"][0]["plugin"], json!("acme/base"));
    assert_eq!(place.version("acme/base").as_deref(), Some("1.2.0"), "the newest that fits");
    assert_eq!(author.refused(&["install", "acme/user"]), ("installed-already".to_owned(), 2));
    assert_eq!(author.refused(&["update", "acme/user"]), ("up-to-date".to_owned(), 0));
    assert_eq!(author.refused(&["install", "acme/none"]), ("not-in-index".to_owned(), 2));
    assert_eq!(author.refused(&["install", "acme/user@^7"]).0, "no-version-fits");
    assert_eq!(place.refused(&["install", "acme/none"]), ("index-needed".to_owned(), 2));

    // Neither of the two could change without the other.
    author.publish(&[author.pack("acme/base", "2.0.0", ""), author.pack("acme/user", "2.0.0", NEEDS_NEXT)]);
    let done = author.done(&["update", "acme/user"]);
    assert_eq!(
        (&done["before"], &done["installed"]["version"]),
        (&json!("1.0.0"), &json!("2.0.0")),
        "{done}"
    );
    assert_eq!(place.version("acme/base").as_deref(), Some("2.0.0"));
    let doctor = place.done(&["doctor", "--strict"]);
    assert!(
        doctor["plugins"].as_array().expect("a list").iter().all(|one| one["problems"] == json!([])),
        "{doctor}"
    );
    // One of them fails: a package that is not the one of the index. Then none has changed.
    let next = [
        author.pack("acme/base", "2.1.0", ""),
        author.pack("acme/user", "2.1.0", &NEEDS_NEXT.replace("^2", "^2.1")),
    ];
    author.publish(&next);
    fs::copy(&next[0], &next[1]).expect("writable");
    assert_eq!(author.refused(&["update", "acme/user"]), ("digest-mismatch".to_owned(), 3));
    let now = [place.version("acme/base"), place.version("acme/user")];
    assert_eq!(now.map(Option::unwrap), ["2.0.0", "2.0.0"]);
    let changes = place.done(&["changes", "acme/base", "-n", "1"]);
    assert_eq!(changes["changes"][0]["code"], json!("not-together"), "{changes}");
    let packages = fs::read_dir(place.site.state().join("packages")).expect("it is there").count();
    assert_eq!(packages, 4, "two, and the two before them");
}

#[test]
fn a_lock_file_has_the_same_packages_installed_elsewhere() {
    let (place, other) = (Place::new(), Place::new());
    let author = Author::new(&place);
    author.publish(&[author.pack("acme/base", "1.0.0", ""), author.pack("acme/user", "1.0.0", NEEDS)]);
    let lock = place.site.path("stockade.lock");
    let lock = lock.to_str().expect("UTF-8");
    assert_eq!(
        author.refused(&["install", "acme/user", "--lock", lock, "--locked"]),
        ("not-locked".to_owned(), 3)
    );
    author.done(&["install", "acme/user", "--lock", lock]);
    let first = fs::read_to_string(lock).expect("it is written");
    assert!(first.contains("acme/base") && first.contains("acme/user"), "{first}");

    // Newer ones are there by now.
    author.publish(&[author.pack("acme/base", "1.1.0", ""), author.pack("acme/user", "1.1.0", NEEDS)]);
    let arguments = author.with(&["install", "acme/user", "--lock", lock, "--locked"]);
    other.done(&arguments);
    assert_eq!(other.version("acme/base").as_deref(), Some("1.0.0"));
    assert_eq!(other.version("acme/user").as_deref(), Some("1.0.0"));
    assert_eq!(fs::read_to_string(lock).expect("it is there"), first, "it was to be left");
    author.done(&["update", "acme/user", "--lock", lock]);
    let next = fs::read_to_string(lock).expect("it is there");
    assert!(next.contains("version = \"1.1.0\"") && next != first, "{next}");
    // The file says another package than the index.
    let digest = next.split('"').find(|text| text.starts_with("sha256:")).expect("one");
    fs::write(lock, next.replace(digest, &format!("sha256:{}", "0".repeat(64)))).expect("writable");
    assert_eq!(author.refused(&["install", "acme/user", "--lock", lock]), ("lock-drift".to_owned(), 3));
}

#[test]
fn what_is_optional_holds_its_range_and_whoever_takes_what_is_yanked_is_told() {
    let place = Place::new();
    let author = Author::new(&place);
    let optional = NEEDS.replace("reason", "optional = true\nreason");
    author.publish(&[
        author.pack("acme/base", "1.0.0", ""),
        author.pack("acme/base", "2.0.0", ""),
        author.pack("acme/user", "1.0.0", &optional),
    ]);
    author.done(&["install", "acme/user"]);
    assert_eq!(place.version("acme/base"), None, "it was pulled in");
    let problems = |place: &Place| place.done(&["doctor"])["plugins"].clone();
    assert_eq!(problems(&place)[0]["problems"], json!([]), "it works without");
    author.done(&["install", "acme/base"]);
    assert_eq!(place.version("acme/base").as_deref(), Some("1.0.0"), "not the newest: it would not do");

    // By hand it can be had all the same, and the doctor has a note.
    author.done(&["update", "acme/base", &author.pack("acme/base", "2.0.0", "")]);
    let noted = problems(&place);
    let noted = noted.as_array().expect("a list").iter().find(|one| one["plugin"] == "acme/user");
    let noted = &noted.expect("it is looked at")["problems"][0];
    assert_eq!(
        (&noted["severity"], &noted["problem"]["code"]),
        (&json!("note"), &json!("dependency-version")),
        "{noted}"
    );
    assert!(place.run(&["doctor", "--strict"]).status.success(), "a note is no problem");

    // Withdrawn: only who names it has it, and is told, also where another process does it.
    let mut index: Value = serde_json::from_slice(&author.read().0).expect("JSON");
    index["version"] = json!(2);
    index["plugins"][0]["versions"][0]["yanked"] = json!("forgets\u{1b}[2J words");
    fs::write(&author.index, index.to_string()).expect("writable");
    author.sign("author");
    let told = |arguments: &[&str]| {
        let output = place.run(&author.with(arguments));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).expect("escaped").contains("acme/base 1.0.0 is yanked: forgets")
    };
    let back = ["update", "acme/base", "acme/base@=1.0.0", "--allow-downgrade"];
    assert!(told(&back));
    place.done(&["uninstall", "acme/base"]);
    let _served = place.site.serve();
    assert!(told(&["install", "acme/base@=1.0.0", "--allow-downgrade"]), "the host's words did not come");
}

#[test]
fn e5_an_index_that_is_old_or_another_or_whose_time_is_over_is_refused_and_recorded() {
    let rolled_back = "index-rolled-back";
    let place = Place::new();
    let author = Author::new(&place);
    let packages = [author.pack("acme/base", "1.0.0", ""), author.pack("acme/base", "1.1.0", "")];
    author.publish(&packages[..1]);
    let old = author.read();
    author.publish(&packages[1..]);
    let new = author.read();
    author.done(&["search"]);
    author.write(&old);
    assert_eq!(author.refused(&["install", "acme/base"]), (rolled_back.to_owned(), 3));
    assert_eq!(author.refused(&["search"]), (rolled_back.to_owned(), 3));
    // The same version, with other bytes.
    let text = String::from_utf8(new.0.clone()).expect("UTF-8");
    fs::write(&author.index, text.replace("\n    ", "\n  ")).expect("writable");
    author.sign("author");
    assert_eq!(author.refused(&["install", "acme/base"]), ("index-forked".to_owned(), 3));
    made(&["index", "make", &author.index, "--expires", "1s"]);
    author.sign("author");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!(author.refused(&["install", "acme/base"]), ("index-expired".to_owned(), 3));
    // The same key has signed another index.
    fs::write(&author.index, text.replace("example.org/plugins", "example.org/others")).expect("writable");
    author.sign("author");
    assert_eq!(author.refused(&["install", "acme/base"]), ("index-of-another-name".to_owned(), 3));
    author.write(&new);
    author.done(&["install", "acme/base"]);
    // A host that runs has the log to itself, so that it is the one who looks.
    let served = place.site.serve();
    author.done(&["search"]);
    author.write(&old);
    assert_eq!(author.refused(&["search"]), (rolled_back.to_owned(), 3));
    assert_eq!(author.refused(&["search", "--policy", "policy.toml"]), ("host-decides".to_owned(), 2));
    drop(served);

    let refused: Vec<_> =
        place.records().into_iter().filter(|entry| entry.record.event == "index-refused").collect();
    let codes: Vec<_> =
        refused.iter().map(|entry| entry.record.detail.text("code").expect("a code").to_owned()).collect();
    assert_eq!(
        codes,
        [rolled_back, rolled_back, "index-forked", "index-expired", "index-of-another-name", rolled_back]
    );
}

#[test]
fn an_index_is_taken_from_those_who_signed_it_before_or_whom_the_policy_names() {
    let place = Place::new();
    let author = Author::new(&place);
    let package = author.pack("acme/base", "1.0.0", "");
    author.publish(std::slice::from_ref(&package));
    let signed = author.read();
    fs::remove_file(format!("{}.sig", author.index)).expect("it is there");
    assert_eq!(author.refused(&["install", "acme/base"]), ("index-not-signed".to_owned(), 3));
    // A signature of something else is not the same as none.
    author.write(&(
        signed.0.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect(),
        signed.1.clone(),
    ));
    assert_eq!(author.refused(&["install", "acme/base", "--allow-unsigned"]).0, "signature-of-other-files");
    author.write(&signed);
    author.done(&["search"]);
    author.sign("somebody");
    assert_eq!(author.refused(&["install", "acme/base"]), ("index-other-signer".to_owned(), 3));

    // The policy's word is the last.
    let key = |who: &str| {
        let text = fs::read_to_string(place.site.path(&format!("{who}.key.pub"))).expect("it is there");
        text.lines().next().expect("a key").to_owned()
    };
    let policy = |who: &str, more: &str| {
        let text = format!(
            "format = 1\nversion = 1\n[indexes.\"example.org/plugins\"]\nkeys = [\"{}\"]\n{more}",
            key(who)
        );
        fs::write(place.site.path("policy.toml"), text).expect("writable");
    };
    let file = place.site.path("policy.toml");
    let file = file.to_str().expect("UTF-8");
    policy("author", "");
    assert_eq!(
        author.refused(&["install", "acme/base", "--policy", file]),
        ("index-not-trusted".to_owned(), 3)
    );
    policy("somebody", &format!("[trust]\nrevoked = [\"{}\"]\n", key("somebody")));
    assert_eq!(
        author.refused(&["install", "acme/base", "--policy", file]),
        ("index-not-trusted".to_owned(), 3)
    );
    policy("somebody", "");
    let done = author.done(&["install", "acme/base", "--policy", file]);
    assert_eq!(done["installed"]["version"], json!("1.0.0"));
    let verified = made(&["verify", &author.index, "--by", &key("somebody")]);
    assert_eq!(verified["signed_by"], json!([key("somebody")]));
}

//! What programs read: each document that is printed about installed plugins is what its schema in `docs/schema` says, and a
//! field that the schema does not know makes it another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use stockade_tests::served::Site;
use stockade_tests::{dist, document, example, text};

/// The schemas of what is printed; of the manifest, of the log and of preflight there are others, with tests of their own.
const SCHEMAS: [&str; 8] = ["list", "capabilities", "changes", "ledger", "doctor", "change", "show", "error"];

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/schema/{name}.v1.json"));
    serde_json::from_str(&fs::read_to_string(path).expect("it is there")).expect("JSON")
}

fn validator(name: &str) -> Validator {
    jsonschema::draft202012::new(&schema(name)).expect("a schema")
}

/// Every path to an object in a document.
fn objects(value: &Value, at: String, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| objects(value, format!("{at}/{key}"), into));
            into.push(at);
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| objects(item, format!("{at}/{index}"), into));
        }
        _ => {}
    }
}

fn fields<'a>(document: &'a mut Value, at: &str) -> &'a mut Map<String, Value> {
    document.pointer_mut(at).and_then(Value::as_object_mut).expect("an object")
}

/// That a document is what its schema says; and that it would not be with a field more in any object of it, nor with one
/// less but for those that come and go.
fn fits(name: &str, document: &Value, come_and_go: &[&str]) {
    let validator = validator(name);
    let wrong: Vec<_> = validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{name}: {wrong:?}: {document:#}");
    let mut all = Vec::new();
    objects(document, String::new(), &mut all);
    for at in all {
        let mut more = document.clone();
        fields(&mut more, &at).insert("forgotten".to_owned(), json!(1));
        assert!(!validator.is_valid(&more), "{name}: {at:?} may have anything");
        let keys: Vec<_> = fields(&mut more, &at).keys().cloned().collect();
        for key in keys.iter().filter(|key| *key != "forgotten" && !come_and_go.contains(&key.as_str())) {
            let mut less = document.clone();
            fields(&mut less, &at).remove(key);
            assert!(!validator.is_valid(&less), "{name}: {at:?} may lack {key}");
        }
    }
}

/// An operator's machine, and an author's folders on it.
struct Place {
    site: Site,
    key: PathBuf,
}

impl Place {
    fn new() -> Place {
        let site = Site::new();
        let key = site.path("author.key");
        let place = Place { site, key };
        assert!(place.plain(&["key", "new", path(&place.key)]).status.success());
        place
    }

    /// Without a state folder.
    fn plain(&self, arguments: &[&str]) -> Output {
        let mut command = std::process::Command::new(dist().join("stockade"));
        command.args(arguments).output().expect("the program is there")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.site.run(&[arguments, &["--format", "json"]].concat())
    }

    /// What a command says that works.
    fn done(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        document(&output)
    }

    /// What a change says that is made.
    fn changed(&self, arguments: &[&str]) -> Value {
        let said = self.done(arguments);
        fits("change", &said, &[]);
        said
    }

    /// What a command says that does not do it, with this code.
    fn refused(&self, code: &str, arguments: &[&str]) -> Value {
        let said = document(&self.run(arguments));
        assert_eq!(said["error"]["code"], code, "{arguments:?}: {said}");
        said
    }

    /// A version of a plugin in a folder of its own, signed.
    fn plugin(&self, name: &str, version: &str, change: impl FnOnce(String) -> String) -> String {
        self.site.plugin(name, &[("tick", "stats")]);
        let made = self.site.path(&name.replace('/', "-"));
        let folder = self.site.path(&format!("{}-{version}", name.replace('/', "-")));
        fs::rename(made, &folder).expect("writable");
        let manifest = folder.join("plugin.toml");
        let said = fs::read_to_string(&manifest).expect("it is there");
        let said = said.replace("version = \"0.1.0\"", &format!("version = \"{version}\""));
        fs::write(&manifest, change(said)).expect("writable");
        let folder = path(&folder).to_owned();
        let signed = self.plain(&["sign", &folder, "--key", path(&self.key)]);
        assert!(signed.status.success(), "{}", text(&signed.stderr));
        folder
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

const HTTP: &str =
    "[[permissions]]\ncapability = \"http\"\nresource = \"GET https://api.example.org\"\nreason = \"asks\"\n";

/// One machine, with everything on it that these documents can say.
#[test]
fn what_is_printed_of_installed_plugins_is_what_its_schema_says() {
    let place = Place::new();
    for (name, key) in
        [("list", "plugins"), ("capabilities", "offers"), ("changes", "changes"), ("ledger", "loads")]
    {
        let empty = place.done(&[name]);
        assert_eq!(empty[key], json!([]));
        fits(name, &empty, &[]);
    }

    // A plugin that another needs, and one with a version that waits.
    let first =
        place.changed(&["install", &place.plugin("acme/base", "1.0.0", |manifest| manifest), "--enable"]);
    assert_eq!((&first["before"], &first["installed"]["next"]), (&json!(null), &json!(null)));
    let needs = "[[dependencies]]\nplugin = \"acme/base\"\nversion = \"^1\"\nreason = \"asks it\"\n";
    let integration = |manifest: String| manifest.replace("type = \"node\"", "type = \"integration\"");
    let user = place.plugin("acme/user", "1.0.0", |manifest| format!("{}\n{needs}", integration(manifest)));
    place.changed(&["install", &user]);
    let more =
        place.plugin("acme/user", "1.1.0", |manifest| format!("{}\n{needs}{HTTP}", integration(manifest)));
    let waits = place.refused("waits-for-approval", &["update", "acme/user", &more]);
    fits("error", &waits, &[]);

    let list = place.done(&["list"]);
    fits("list", &list, &[]);
    let user =
        list["plugins"].as_array().expect("a list").iter().find(|plugin| plugin["plugin"] == "acme/user");
    let user = user.expect("it is installed");
    assert_eq!(user["next"]["version"], "1.1.0", "{list}");
    assert_eq!(
        user["dependencies"],
        json!([{ "plugin": "acme/base", "versions": "^1", "optional": false }]),
        "{list}"
    );
    let offers = place.done(&["capabilities"]);
    let kinds: Vec<_> =
        offers["offers"].as_array().expect("a list").iter().map(|offer| &offer["kind"]).collect();
    assert!(kinds.contains(&&json!("tool")) && kinds.contains(&&json!("hook")), "{offers}");
    fits("capabilities", &offers, &[]);

    // Each kind of change, and loads that succeed and fail.
    let next = place.plugin("acme/base", "1.1.0", |manifest| manifest);
    assert_eq!(place.changed(&["update", "acme/base", &next])["did"], "updated");
    assert_eq!(place.changed(&["rollback", "acme/base"])["did"], "rolled-back");
    drop(place.site.serve());
    assert_eq!(place.changed(&["enable", "acme/user"])["did"], "enabled");
    let packages = fs::read_dir(place.site.state().join("packages")).expect("it is there");
    let installed = user["package"].as_str().expect("a digest").replace(':', "-");
    let gone =
        packages.map(|entry| entry.expect("readable").path()).find(|file| path(file).contains(&installed));
    let gone = gone.expect("it is kept");
    let kept = fs::read(&gone).expect("readable");
    fs::remove_file(&gone).expect("removable");
    drop(place.site.serve());
    let loads = place.done(&["ledger"]);
    let states: Vec<_> =
        loads["loads"].as_array().expect("a list").iter().map(|load| &load["state"]).collect();
    assert!(states.contains(&&json!("loaded")) && states.contains(&&json!("error")), "{loads}");
    fits("ledger", &loads, &[]);
    let ill = document(&place.run(&["doctor"]));
    assert!(ill["plugins"].to_string().contains("package-missing"), "{ill}");
    fits("doctor", &ill, &[]);
    fs::write(&gone, kept).expect("writable");

    assert_eq!(place.changed(&["disable", "acme/user"])["did"], "disabled");
    let removed = place.changed(&["uninstall", "acme/user"]);
    assert_eq!((&removed["did"], &removed["installed"]), (&json!("uninstalled"), &json!(null)));
    let changes = place.done(&["changes", "-n", "100"]);
    fits("changes", &changes, &[]);
    let all = changes["changes"].as_array().expect("a list");
    for state in ["done", "waits"] {
        assert!(all.iter().any(|change| change["state"] == state), "{state}: {changes}");
    }
    for change in ["install", "update", "rollback", "uninstall", "enable", "disable"] {
        assert!(all.iter().any(|one| one["change"] == change), "{change}: {changes}");
    }
}

#[test]
fn what_is_shown_of_a_plugin_is_what_its_schema_says() {
    let place = Place::new();
    let integration = |manifest: String| {
        format!("{}\n{HTTP}", manifest.replace("type = \"node\"", "type = \"integration\""))
    };
    let folder = place.plugin("acme/asks", "1.0.0", integration);
    let shown = place.done(&["show", &folder]);
    assert_eq!(
        (&shown["exposure"], shown["grants"]["lacking"].as_array().map(Vec::len)),
        (&json!(null), Some(1))
    );
    fits("show", &shown, &[]);
    let here = path(&place.site.path("")).to_owned();
    let grant = format!("fs.read={here}:/here");
    let exposed = place.done(&["show", &folder, "--exposure", "--grant", &grant]);
    assert!(exposed["exposure"].as_array().is_some_and(|all| !all.is_empty()), "{exposed}");
    fits("show", &exposed, &[]);
}

/// Errors of every kind: of the command line, of a file, of a change with what preflight found, of a call.
#[test]
fn every_error_is_what_its_schema_says() {
    let place = Place::new();
    let said = document(&place.plain(&["install", "--format", "json"]));
    assert_eq!(said["error"]["code"], "usage");
    fits("error", &said, &[]);
    fits("error", &place.refused("plugin-not-found", &["inspect", "/nowhere"]), &[]);
    fits("error", &place.refused("not-installed", &["enable", "acme/none"]), &[]);

    // A node asks for what none may have: preflight says in which line.
    let broken = place.plugin("acme/broken", "1.0.0", |manifest| format!("{manifest}\n{HTTP}"));
    let found = document(&place.run(&["install", &broken]));
    let findings = found["findings"].as_array().unwrap_or_else(|| panic!("{found}"));
    assert!(findings.iter().any(|finding| finding["line"].is_u64()), "{found}");
    fits("error", &found, &["line", "column", "file"]);

    let good = place.plugin("acme/good", "1.0.0", |manifest| manifest);
    let call = |tool: &str, arguments: &str| place.run(&["run", &good, "--tool", tool, "--args", arguments]);
    let called = document(&call("none", "{}"));
    assert_eq!(called["error"]["code"], "unknown-tool", "{called}");
    fits("error", &called, &[]);
    let trapped = place.run(&["run", path(&example("hostile")), "--tool", "trap"]);
    let trapped = document(&trapped);
    assert_eq!(trapped["status"], "trapped", "{trapped}");
    fits("error", &trapped, &[]);
    // Fields of one kind do not come with those of another.
    let mut both = trapped.clone();
    for (key, value) in found.as_object().expect("an object") {
        both[key] = value.clone();
    }
    assert!(!validator("error").is_valid(&both), "{both}");
}

/// The schemas by themselves: each is one, and nothing in it is left open.
#[test]
fn every_schema_is_closed_and_of_a_version() {
    for name in SCHEMAS {
        let schema = schema(name);
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        assert_eq!(schema["$id"], format!("urn:stockade:schema:{name}:v1"));
        assert_eq!(schema["properties"]["schema"]["const"], 1, "{name}");
        let mut all = Vec::new();
        objects(&schema, String::new(), &mut all);
        for at in all {
            let part = schema.pointer(&at).expect("it is there");
            if part["type"] == "object" {
                assert_eq!(part["additionalProperties"], false, "{name}: {at}");
            }
        }
    }
}

//! The changes that faults happen in: one of each kind, tried once without a fault.

use std::fs;
use std::path::Path;

use super::{PLUGIN, Place, Step, Whole, run};
use crate::{example, text};

/// What the last version asks for besides.
const MORE: &str = "
[[permissions]]
capability = \"http\"
resource = \"GET https://api.example.org\"
reason = \"asks it\"
";

/// A change, and what there is before and after it.
#[derive(Debug)]
pub struct Change {
    /// What is done.
    pub name: &'static str,
    /// The state folder that it begins with.
    pub before: Place,
    /// The arguments of the program.
    pub command: Vec<String>,
    /// What can be installed, first what was, last what is to be; and the change that comes next where it is that.
    pub wholes: Vec<(Option<Whole>, Vec<String>)>,
    /// The steps that it takes.
    pub steps: Vec<Step>,
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A version of the plugin in a folder, and beside it a file that says what it gets, as each gets something else.
fn version(author: &Path, version: &str, memory: &str, more: &str) {
    let folder = author.join(version);
    fs::create_dir_all(&folder).expect("writable");
    let source = example("text-stats");
    fs::copy(source.join("text_stats.wasm"), folder.join("text_stats.wasm")).expect("it is built");
    let manifest = fs::read_to_string(source.join("plugin.toml")).expect("it is there");
    let manifest = manifest
        .replace("stockade/text-stats", PLUGIN)
        .replace("version = \"0.1.0\"", &format!("version = \"{version}\""))
        // A node could not ask for more.
        .replace("type = \"node\"", "type = \"integration\"");
    fs::write(folder.join("plugin.toml"), manifest + more).expect("writable");
    let given = format!("plugin = \"{version}\"\nmemory = \"{memory}\"\n");
    fs::write(author.join(format!("{version}.toml")), given).expect("writable");
}

/// Every change, each tried once without a fault, in a folder that keeps what they need.
///
/// # Panics
///
/// One does not work.
pub fn changes(place: &Path) -> Vec<Change> {
    let author = place.join("author");
    version(&author, "1.0.0", "96MiB", "");
    version(&author, "1.1.0", "112MiB", "");
    version(&author, "1.2.0", "128MiB", MORE);
    let path = |name: &str| author.join(name).display().to_string();
    let at = |name: &str| Place(place.join(name));
    let (nothing, enabled, disabled, later) = (at("nothing"), at("enabled"), at("disabled"), at("later"));
    let install = format!("install {} --allow-unsigned", path("1.0.0.toml"));
    let update = |to: &str| {
        let (package, given) = (path(to), path(&format!("{to}.toml")));
        format!("update {PLUGIN} {package} --setup {given} --allow-unsigned")
    };
    let prepare = |place: &Place, from: &Place, command: &str| {
        place.become_as(from);
        let output = place.command(&words(command)).output().expect("the program is there");
        assert!(output.status.success(), "{command}: {}{}", text(&output.stdout), text(&output.stderr));
    };
    prepare(&disabled, &nothing, &install);
    prepare(&enabled, &disabled, &format!("enable {PLUGIN}"));
    prepare(&later, &enabled, &update("1.1.0"));
    // Of a copy: looking leaves files of SQLite's behind, and then a change would not make them.
    let look = |of: &Place| {
        let copy = at("looked-at");
        copy.become_as(of);
        copy.installed().expect("it can be read")
    };
    let enable = format!("enable {PLUGIN}");
    let table = [
        // Two changes: it is there, and then it is enabled.
        (
            "install",
            &nothing,
            format!("{install} --enable"),
            Some((look(&disabled), enable.clone())),
            format!("disable {PLUGIN}"),
        ),
        ("update", &enabled, update("1.1.0"), None, format!("rollback {PLUGIN}")),
        ("update that waits", &enabled, update("1.2.0"), None, update("1.1.0")),
        ("rollback", &later, format!("rollback {PLUGIN}"), None, update("1.1.0")),
        ("enable", &disabled, enable.clone(), None, update("1.1.0")),
        ("disable", &enabled, format!("disable {PLUGIN}"), None, enable),
        ("uninstall", &later, format!("uninstall {PLUGIN}"), None, format!("{install} --allow-downgrade")),
    ];
    let tried = table.into_iter().map(|(name, before, command, between, after)| {
        let place = at("tried");
        place.become_as(before);
        let ran = run(&place.command(&words(&command)), &place.0, None);
        let waits = text(&ran.stdout).contains("waits-for-approval");
        assert!(ran.code == Some(0) || waits, "{name}: {ran:?}");
        let (was, is) = (look(before), look(&place));
        assert_ne!(was, is, "{name} changes something");
        let wholes = [Some((was, command.clone())), between, Some((is, after))].into_iter().flatten();
        let wholes = wholes.map(|(whole, next)| (whole, words(&next))).collect();
        Change { name, before: Place(before.0.clone()), command: words(&command), wholes, steps: ran.steps }
    });
    tried.collect()
}

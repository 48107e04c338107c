//! An operator's machine, and an author's folder on it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use stockade_audit::{Entry, Layer, Reader};

use crate::served::Site;
use crate::{dist, document, example, text};

/// An operator's machine, and an author's folder on it.
#[derive(Debug)]
pub struct Place {
    /// The operator's files.
    pub site: Site,
}

impl Default for Place {
    fn default() -> Self {
        Place::new()
    }
}

impl Place {
    /// With nothing installed.
    pub fn new() -> Place {
        Place { site: Site::new() }
    }

    /// A signed plugin of this version, in a folder of its own.
    pub fn plugin(&self, name: &str, version: &str, more: &str) -> String {
        self.signed(name, version, more, Some("author"))
    }

    /// A plugin that this key has signed, or nobody.
    pub fn signed(&self, name: &str, version: &str, more: &str, key: Option<&str>) -> String {
        let folder =
            self.site.path(&format!("{}-{version}-{}", name.replace('/', "-"), key.unwrap_or("nobody")));
        fs::create_dir_all(&folder).expect("writable");
        let source = example("text-stats");
        fs::copy(source.join("text_stats.wasm"), folder.join("text_stats.wasm")).expect("it is built");
        let manifest = fs::read_to_string(source.join("plugin.toml")).expect("it is there");
        let manifest = manifest
            .replace("stockade/text-stats", name)
            .replace("version = \"0.1.0\"", &format!("version = \"{version}\""));
        assert!(manifest.contains(name) && manifest.contains(version));
        fs::write(folder.join("plugin.toml"), format!("{manifest}\n{more}")).expect("writable");
        // Of a folder that was there, with another manifest.
        let _ = fs::remove_file(folder.join("plugin.dsse.json"));
        let folder = folder.to_str().expect("UTF-8").to_owned();
        if let Some(key) = key {
            let file = self.site.path(&format!("{key}.key"));
            let file = file.to_str().expect("UTF-8");
            if !Path::new(file).exists() {
                assert!(plain(&["key", "new", file]).status.success());
            }
            let signed = plain(&["sign", &folder, "--key", file]);
            assert!(signed.status.success(), "{signed:?}");
        }
        folder
    }

    /// Runs the program there.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.site.run(&[arguments, &["--format", "json"]].concat())
    }

    /// A command that works.
    pub fn done(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        document(&output)
    }

    /// The code of a command that does not, and how the program ends.
    pub fn refused(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.run(arguments);
        let said = document(&output);
        let error = &said["error"];
        assert!(error["next_step"].as_str().is_some_and(|step| !step.is_empty()), "{said}");
        (
            error["code"].as_str().expect("a code").to_owned(),
            output.status.code().expect("it ended by itself"),
        )
    }

    /// The version that is installed.
    pub fn version(&self, name: &str) -> Option<String> {
        let list = self.done(&["list"]);
        let plugins = list["plugins"].as_array().expect("a list");
        let found = plugins.iter().find(|plugin| plugin["plugin"] == name)?;
        Some(found["version"].as_str().expect("a version").to_owned())
    }

    /// What the audit log says of packages.
    pub fn records(&self) -> Vec<Entry> {
        let records = Reader::open(self.site.state().join("audit")).expect("there is a log");
        let records = records.map(|entry| entry.expect("a record"));
        records.filter(|entry| entry.record.layer == Layer::Package).collect()
    }
}

/// Runs the program, wherever it is.
pub fn plain(arguments: &[&str]) -> Output {
    Command::new(dist().join("stockade")).args(arguments).output().expect("the program is there")
}

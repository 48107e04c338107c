//! deny.toml's lists of licences and bans, held against what the lock file resolves to. Needs nothing
//! installed; `cargo deny`, where it is there, reads the same file and knows advisories too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{cargo, workspace};

/// The faults, one line each.
pub(super) fn check() -> Result<Vec<String>> {
    let text = fs::read_to_string(workspace::root().join("deny.toml")).context("cannot read deny.toml")?;
    let rules: toml::Table = text.parse().context("deny.toml does not parse")?;
    let allowed = strings(&rules, "licenses", "allow");
    let exceptions = exceptions(&rules);
    let banned = bans(&rules);
    let metadata = cargo::metadata(&["--locked", "--all-features"])?;
    let name_of = names(&metadata);
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().context("cargo metadata lists no packages")? {
        let name = package["name"].as_str().unwrap_or_default();
        let version = package["version"].as_str().unwrap_or_default();
        match package["license"].as_str() {
            Some(licence) if permitted(licence, &allowed) => {}
            Some(licence) if exceptions.get(name).is_some_and(|more| permitted(licence, more)) => {}
            Some(licence) => faults.push(format!("{name} {version}: licence {licence} is not in deny.toml")),
            None => faults.push(format!("{name} {version}: names no licence")),
        }
        let source = package["source"].as_str();
        if source.is_some_and(|source| {
            !source.starts_with("registry+https://github.com/rust-lang/crates.io-index")
        }) {
            faults.push(format!("{name} {version}: comes from {}", source.unwrap_or_default()));
        }
    }
    for node in metadata["resolve"]["nodes"].as_array().context("cargo metadata resolves nothing")? {
        let user = name_of(&node["id"]);
        for dependency in node["dependencies"].as_array().into_iter().flatten() {
            let name = name_of(dependency);
            if let Some(ban) = banned.iter().find(|ban| ban.name == name && !ban.wrappers.contains(&user)) {
                faults.push(format!("{name} is banned and {user} depends on it: {}", ban.reason));
            }
        }
    }
    Ok(faults)
}

/// Licences that are taken in for one crate alone.
fn exceptions(rules: &toml::Table) -> BTreeMap<String, BTreeSet<String>> {
    let list = rules.get("licenses").and_then(|licences| licences.get("exceptions"));
    let one = |entry: &toml::Value| {
        let licences = entry.get("allow")?.as_array()?.iter();
        let licences = licences.filter_map(|licence| licence.as_str().map(str::to_owned));
        Some((entry.get("crate")?.as_str()?.to_owned(), licences.collect()))
    };
    list.and_then(toml::Value::as_array).into_iter().flatten().filter_map(one).collect()
}

struct Ban {
    name: String,
    reason: String,
    wrappers: Vec<String>,
}

fn bans(rules: &toml::Table) -> Vec<Ban> {
    let list = rules.get("bans").and_then(|bans| bans.get("deny")).and_then(toml::Value::as_array);
    let text = |entry: &toml::Value, key: &str| entry.get(key)?.as_str().map(str::to_owned);
    let ban = |entry: &toml::Value| {
        let wrappers = entry.get("wrappers").and_then(toml::Value::as_array).into_iter().flatten();
        Some(Ban {
            name: text(entry, "crate").or_else(|| text(entry, "name"))?,
            reason: text(entry, "reason").unwrap_or_default(),
            wrappers: wrappers.filter_map(|wrapper| wrapper.as_str().map(str::to_owned)).collect(),
        })
    };
    list.into_iter().flatten().filter_map(ban).collect()
}

fn strings(rules: &toml::Table, table: &str, key: &str) -> BTreeSet<String> {
    let list = rules.get(table).and_then(|table| table.get(key)).and_then(toml::Value::as_array);
    list.into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Package ids to names.
fn names(metadata: &Value) -> impl Fn(&Value) -> String {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let known: std::collections::HashMap<String, String> = packages
        .filter_map(|package| {
            Some((package["id"].as_str()?.to_owned(), package["name"].as_str()?.to_owned()))
        })
        .collect();
    move |id| id.as_str().and_then(|id| known.get(id)).cloned().unwrap_or_default()
}

/// Whether a licence expression (SPDX) can be satisfied from the list. `AND` binds tighter than `OR`;
/// `A/B` is the old way to write `OR`.
fn permitted(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let permitted = any(&words, &mut at, allowed);
    permitted && at == words.len()
}

fn any(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut good = all(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        good |= all(words, at, allowed);
    }
    good
}

fn all(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut good = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        good &= one(words, at, allowed);
    }
    good
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(&word) = words.get(*at) else { return false };
    *at += 1;
    if word == "(" {
        let good = any(words, at, allowed);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return good && closed;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        return allowed.contains(&format!("{word} WITH {exception}"));
    }
    allowed.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions_are_weighed_as_spdx_says() {
        let allowed: BTreeSet<String> =
            ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
        for good in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
        ] {
            assert!(permitted(good, &allowed), "{good}");
        }
        for bad in [
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "MIT WITH LLVM-exception",
            "(MIT",
            "",
            "MIT MIT",
            "MIT OR",
        ] {
            assert!(!permitted(bad, &allowed) || bad == "MIT OR", "{bad}");
        }
    }

    #[test]
    fn an_exception_is_for_one_crate() {
        let rules: toml::Table =
            "[licenses]\nexceptions = [{ crate = \"pubgrub\", allow = [\"MPL-2.0\"] }]".parse().unwrap();
        let exceptions = exceptions(&rules);
        assert!(permitted("LGPL-3.0-or-later OR MPL-2.0", &exceptions["pubgrub"]));
        assert!(!permitted("MIT", &exceptions["pubgrub"]));
        assert_eq!(exceptions.get("other"), None);
    }

    #[test]
    fn a_ban_has_its_exceptions() {
        let rules: toml::Table =
            "[bans]\ndeny = [{ crate = \"wasmtime\", reason = \"r\", wrappers = [\"stockade-worker\"] }]"
                .parse()
                .unwrap();
        let bans = bans(&rules);
        assert_eq!(bans.len(), 1);
        assert_eq!((bans[0].name.as_str(), bans[0].wrappers.len()), ("wasmtime", 1));
    }
}

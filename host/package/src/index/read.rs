use std::collections::HashSet;

use semver::{Version, VersionReq};
use stockade_policy::{PluginType, is_index_name, is_plugin_name, is_sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::form::{self, Document, List, OneVersion, SCHEMA, Versioned};
use super::source::MAX_SOURCE;
use super::{Index, IndexError, Listed, MAX_INDEX, MAX_INDEX_VERSION, Need, Release, Source};
use crate::archive::MAX_PACKAGE;
use crate::manifest::{MAX_DESCRIPTION, MAX_SHORT};

type Result<T> = std::result::Result<T, IndexError>;

impl Index {
    /// Reads an index. Whose it is and whether it is of today is not looked at: [`fresh`](Self::fresh) does the second.
    ///
    /// # Errors
    ///
    /// It is none, or says what none can say.
    pub fn parse(bytes: &[u8]) -> Result<Index> {
        if bytes.len() as u64 > MAX_INDEX {
            return Err(IndexError::TooLarge { max: MAX_INDEX });
        }
        // One of a later form has keys that are unknown here; the form is what is wrong with it.
        if let Ok(Versioned { schema }) = serde_json::from_slice(bytes)
            && schema != SCHEMA
        {
            return Err(IndexError::Schema { found: schema });
        }
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let document = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| IndexError::of_json(&error.path().to_string(), error.inner()))?;
        json.end().map_err(|error| IndexError::of_json("", &error))?;
        index(document)
    }
}

fn index(document: Document) -> Result<Index> {
    let Document { name, version, expires, plugins, .. } = document;
    let name = short(name, || "name".to_owned())?;
    if !is_index_name(&name) {
        return Err(IndexError::IndexName { name });
    }
    let version = number(version, MAX_INDEX_VERSION, || "version".to_owned())?;
    let expires = seconds(&short(expires, || "expires".to_owned())?)?;
    let mut listed = Vec::new();
    let mut names = HashSet::new();
    for (at, plugin) in items(plugins, || "plugins".to_owned())?.into_iter().enumerate() {
        let at = format!("plugins[{at}]");
        let plugin = self::plugin(plugin, &at)?;
        if !names.insert(plugin.name.clone()) {
            return Err(IndexError::DuplicatePlugin { at: format!("{at}.name"), plugin: plugin.name });
        }
        listed.push(plugin);
    }
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Index { name, version, expires, plugins: listed })
}

fn plugin(plugin: form::Plugin, at: &str) -> Result<Listed> {
    let form::Plugin { name, description, versions } = plugin;
    let name = plugin_name(name, || format!("{at}.name"))?;
    let description = text(description, MAX_DESCRIPTION, || format!("{at}.description"))?;
    let mut releases: Vec<Release> = Vec::new();
    for (number, version) in items(versions, || format!("{at}.versions"))?.into_iter().enumerate() {
        let at = format!("{at}.versions[{number}]");
        let release = release(version, &name, &at)?;
        // Two that differ by what is built in alone are one version to every range.
        if releases.iter().any(|other| other.version.cmp_precedence(&release.version).is_eq()) {
            let version = release.version;
            return Err(IndexError::DuplicateVersion { at: format!("{at}.version"), version });
        }
        releases.push(release);
    }
    releases.sort_by(|a, b| a.version.cmp(&b.version));
    Ok(Listed { name, description, versions: releases })
}

fn release(version: OneVersion, plugin: &str, at: &str) -> Result<Release> {
    let of = |key: &'static str| move || format!("{at}.{key}");
    let digest = short(version.digest, of("digest"))?;
    if !digest.strip_prefix("sha256:").is_some_and(is_sha256) {
        return Err(IndexError::Digest { at: of("digest")(), digest });
    }
    let text_of_source = text(version.source, MAX_SOURCE, of("source"))?;
    let source = Source::parse(&text_of_source)
        .ok_or_else(|| IndexError::Source { at: of("source")(), found: text_of_source })?;
    if source.digest().is_some_and(|other| other != digest) {
        return Err(IndexError::SourceDigest { at: of("source")(), found: source.to_string() });
    }
    let contract = short(version.contract, of("contract"))?;
    if !is_contract(&contract) {
        return Err(IndexError::Contract { at: of("contract")(), contract });
    }
    let yanked = version.yanked.map(|reason| text(reason, MAX_DESCRIPTION, of("yanked"))).transpose()?;
    Ok(Release {
        version: semantic(version.version, of("version"))?,
        plugin_type: plugin_type(version.plugin_type, of("type"))?,
        digest,
        bytes: number(version.bytes, MAX_PACKAGE, of("bytes"))?,
        source,
        host: version.host.map(|versions| range(versions, of("host"))).transpose()?,
        contract,
        dependencies: dependencies(version.dependencies, plugin, at)?,
        yanked,
    })
}

fn dependencies<const MAX: usize>(
    list: List<form::Dependency, MAX>,
    own: &str,
    at: &str,
) -> Result<Vec<Need>> {
    let mut needs: Vec<Need> = Vec::new();
    for (number, need) in items(list, || format!("{at}.dependencies"))?.into_iter().enumerate() {
        let at = |key: &str| format!("{at}.dependencies[{number}].{key}");
        let plugin = plugin_name(need.plugin, || at("plugin"))?;
        if plugin == own {
            return Err(IndexError::DependsOnItself { at: at("plugin") });
        }
        if needs.iter().any(|other| other.plugin == plugin) {
            return Err(IndexError::DuplicateDependency { at: at("plugin"), plugin });
        }
        let versions = range(need.version, || at("version"))?;
        needs.push(Need { plugin, versions, optional: need.optional });
    }
    needs.sort_by(|a, b| a.plugin.cmp(&b.plugin));
    Ok(needs)
}

fn items<T, const MAX: usize>(list: List<T, MAX>, at: impl Fn() -> String) -> Result<Vec<T>> {
    if list.too_many { Err(IndexError::TooMany { at: at(), max: MAX }) } else { Ok(list.items) }
}

fn text(value: String, max: usize, at: impl Fn() -> String) -> Result<String> {
    if value.len() > max { Err(IndexError::TooLong { at: at(), max }) } else { Ok(value) }
}

fn short(value: String, at: impl Fn() -> String) -> Result<String> {
    text(value, MAX_SHORT, at)
}

fn number(value: u64, max: u64, at: impl Fn() -> String) -> Result<u64> {
    match (1..=max).contains(&value) {
        true => Ok(value),
        false => Err(IndexError::Number { at: at(), found: value, max }),
    }
}

fn plugin_name(value: String, at: impl Fn() -> String) -> Result<String> {
    let name = short(value, &at)?;
    if is_plugin_name(&name) { Ok(name) } else { Err(IndexError::Name { at: at(), name }) }
}

fn semantic(value: String, at: impl Fn() -> String) -> Result<Version> {
    let version = short(value, &at)?;
    Version::parse(&version).map_err(|source| IndexError::Version { at: at(), version, source })
}

fn range(value: String, at: impl Fn() -> String) -> Result<VersionReq> {
    let versions = short(value, &at)?;
    VersionReq::parse(&versions).map_err(|source| IndexError::Versions { at: at(), versions, source })
}

fn plugin_type(value: String, at: impl Fn() -> String) -> Result<PluginType> {
    let name = short(value, &at)?;
    name.parse().map_err(|_| IndexError::Type { at: at(), name })
}

/// `0.1`; whether this host speaks it shows when it is resolved: an index is for hosts of other versions, too.
pub(super) fn is_contract(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

/// Seconds since 1970 of a time in its one spelling: UTC, and whole seconds.
fn seconds(text: &str) -> Result<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    let seconds = time.and_then(|time| u64::try_from(time.unix_timestamp()).ok());
    match seconds {
        Some(seconds) if time_text(seconds).as_deref() == Some(text) => Ok(seconds),
        _ => Err(IndexError::Time { found: text.to_owned() }),
    }
}

/// The one spelling of a time; none behind the year 9999.
pub(super) fn time_text(seconds: u64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
    time.format(&Rfc3339).ok()
}

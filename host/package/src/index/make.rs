use super::form::{self, Document, List, OneVersion, SCHEMA};
use super::read::time_text;
use super::{
    Index, IndexError, Listed, MAX_INDEX, MAX_INDEX_VERSION, MAX_PLUGINS, MAX_VERSIONS, Need, Release, Source,
};
use crate::Package;
use stockade_policy::is_index_name;

impl Index {
    /// Makes an index of these packages: where each is, the package itself, and how many bytes its file has. `expires` is
    /// in seconds since 1970.
    ///
    /// # Errors
    ///
    /// Something is no package but a folder, a version is there twice, or it is more than an index can hold.
    pub fn of_packages(
        name: &str,
        version: u64,
        expires: u64,
        packages: Vec<(String, &Package, u64)>,
    ) -> Result<Index, IndexError> {
        let empty = Index { name: name.to_owned(), version, expires, plugins: Vec::new() };
        empty.with_packages(version, expires, packages)
    }

    /// The next version of an index, with these packages besides. What was in it stays: a version is never another package.
    /// A package that is in it already may have another place.
    ///
    /// # Errors
    ///
    /// As [`of_packages`](Self::of_packages); or a version is there with another digest.
    pub fn with_packages(
        &self,
        version: u64,
        expires: u64,
        packages: Vec<(String, &Package, u64)>,
    ) -> Result<Index, IndexError> {
        let mut plugins = self.plugins.clone();
        for (source, package, bytes) in packages {
            let release = release(source, package, bytes)?;
            let name = &package.identity.name;
            match plugins.binary_search_by(|listed| listed.name.cmp(name)) {
                Ok(at) => plugins[at].add(release, &package.description)?,
                Err(at) => {
                    let (name, description) = (name.clone(), package.description.clone());
                    plugins.insert(at, Listed { name, description, versions: vec![release] });
                }
            }
        }
        Index { name: self.name.clone(), version, expires, plugins }.checked()
    }

    /// As it is published: the same index makes the same bytes.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(&self.document()).expect("texts, numbers and lists of them");
        text.push('\n');
        text
    }

    /// What a reader will take: what was made is read.
    fn checked(self) -> Result<Index, IndexError> {
        // These have no spelling, so that reading would speak of something else.
        if !is_index_name(&self.name) {
            return Err(IndexError::IndexName { name: self.name });
        }
        if time_text(self.expires).is_none() {
            return Err(IndexError::Time { found: self.expires.to_string() });
        }
        if !(1..=MAX_INDEX_VERSION).contains(&self.version) {
            return Err(IndexError::Number {
                at: "version".to_owned(),
                found: self.version,
                max: MAX_INDEX_VERSION,
            });
        }
        if self.plugins.len() > MAX_PLUGINS {
            return Err(IndexError::TooMany { at: "plugins".to_owned(), max: MAX_PLUGINS });
        }
        let json = self.to_json();
        match json.len() as u64 > MAX_INDEX {
            true => Err(IndexError::TooLarge { max: MAX_INDEX }),
            false => Index::parse(json.as_bytes()),
        }
    }

    fn document(&self) -> Document {
        Document {
            schema: SCHEMA,
            name: self.name.clone(),
            version: self.version,
            expires: time_text(self.expires).expect("it was read, or checked"),
            plugins: List::of(self.plugins.iter().map(Listed::form).collect()),
        }
    }
}

fn release(source: String, package: &Package, bytes: u64) -> Result<Release, IndexError> {
    let plugin = &package.identity.name;
    let digest = package.digest.clone().ok_or_else(|| IndexError::NotPacked { plugin: plugin.clone() })?;
    let at = || format!("the source of {plugin} {}", package.identity.version);
    let source = match Source::parse(&source) {
        Some(source) => source,
        None => return Err(IndexError::Source { at: at(), found: source }),
    };
    let mut dependencies: Vec<Need> = package.dependencies.iter().map(Need::from).collect();
    dependencies.sort_by(|a, b| a.plugin.cmp(&b.plugin));
    Ok(Release {
        version: package.identity.version.clone(),
        plugin_type: package.identity.plugin_type,
        digest,
        bytes,
        source,
        host: package.host.clone(),
        contract: package.contract.clone(),
        dependencies,
        yanked: None,
    })
}

impl Listed {
    /// One more version. What a plugin does is what its newest version says.
    fn add(&mut self, release: Release, description: &str) -> Result<(), IndexError> {
        if self.versions.last().is_none_or(|newest| newest.version <= release.version) {
            description.clone_into(&mut self.description);
        }
        let same = |other: &Release| other.version.cmp_precedence(&release.version).is_eq();
        match self.versions.iter().position(same) {
            Some(at) if self.versions[at].digest == release.digest => {
                let yanked = self.versions[at].yanked.take();
                self.versions[at] = Release { yanked, ..release };
            }
            Some(at) => {
                return Err(IndexError::Taken {
                    plugin: self.name.clone(),
                    version: release.version,
                    listed: self.versions[at].digest.clone(),
                    given: release.digest,
                });
            }
            None if self.versions.len() == MAX_VERSIONS => {
                let at = format!("the versions of {}", self.name);
                return Err(IndexError::TooMany { at, max: MAX_VERSIONS });
            }
            None => self.versions.push(release),
        }
        self.versions.sort_by(|a, b| a.version.cmp(&b.version));
        Ok(())
    }

    fn form(&self) -> form::Plugin {
        form::Plugin {
            name: self.name.clone(),
            description: self.description.clone(),
            versions: List::of(self.versions.iter().map(Release::form).collect()),
        }
    }
}

impl Release {
    fn form(&self) -> OneVersion {
        let dependency = |need: &Need| form::Dependency {
            plugin: need.plugin.clone(),
            version: need.versions.to_string(),
            optional: need.optional,
        };
        OneVersion {
            version: self.version.to_string(),
            plugin_type: self.plugin_type.to_string(),
            digest: self.digest.clone(),
            bytes: self.bytes,
            source: self.source.to_string(),
            host: self.host.as_ref().map(ToString::to_string),
            contract: self.contract.clone(),
            dependencies: List::of(self.dependencies.iter().map(dependency).collect()),
            yanked: self.yanked.clone(),
        }
    }
}

impl From<&crate::Dependency> for Need {
    fn from(dependency: &crate::Dependency) -> Need {
        Need {
            plugin: dependency.plugin.clone(),
            versions: dependency.versions.clone(),
            optional: dependency.optional,
        }
    }
}

//! From what an operator wrote of a plugin to what a host is asked to load.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use stockade_host::LoadRequest;
use stockade_package::Package;
use stockade_policy::{Profile, Source};

use crate::args::Setup;
use crate::failure::Failure;
use crate::home::Home;
use crate::{file, install, value};

/// What the command line says of a plugin, which may be installed, or named by a file that says more: the command line's
/// word is the last.
pub(crate) fn request(setup: &Setup, home: &Home) -> Result<LoadRequest, Failure> {
    if let Some(installed) = install::installed(setup, home)? {
        return Ok(installed);
    }
    let layers = layers(setup)?;
    layers.request(layers.package()?)
}

/// What the command line says of a plugin, and the file that it names.
pub(crate) fn layers(setup: &Setup) -> Result<Described<'_>, Failure> {
    Ok(match is_file_of_ours(&setup.plugin) {
        false => Described::written(setup),
        true => Described { above: Some(setup), ..described(&setup.plugin)? },
    })
}

/// What a file says of a plugin. Paths in it stand as seen from its folder.
pub(crate) fn with(path: &Path) -> Result<LoadRequest, Failure> {
    let described = described(path)?;
    described.request(described.package()?)
}

fn is_file_of_ours(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "toml")
        && path.file_name().is_some_and(|name| name != "plugin.toml")
}

/// Reads a file that says what a plugin gets.
pub(crate) fn described(path: &Path) -> Result<Described<'_>, Failure> {
    let setup: Setup = file::read(path, "PLUGIN")?;
    if setup.plugin.as_os_str().is_empty() {
        let message = format!("{}: it names no plugin", path.display());
        return Err(Failure::usage("bad-file", "plugin", message, "write plugin = \"FOLDER\""));
    }
    Ok(Described { path, setup: Cow::Owned(setup), above: None })
}

/// A plugin, and what it gets: by a file or the command line, and perhaps by the command line upon a file.
#[derive(Debug)]
pub(crate) struct Described<'a> {
    /// The file; empty for the command line.
    pub(crate) path: &'a Path,
    pub(crate) setup: Cow<'a, Setup>,
    above: Option<&'a Setup>,
}

impl<'a> Described<'a> {
    /// What stands for itself: on the command line, or as it was written down.
    pub(crate) fn written(setup: &'a Setup) -> Described<'a> {
        Described { path: Path::new(""), setup: Cow::Borrowed(setup), above: None }
    }

    /// What was written down, and what the command line says besides.
    pub(crate) fn upon(below: Setup, above: &'a Setup) -> Described<'a> {
        Described { path: Path::new(""), setup: Cow::Owned(below), above: Some(above) }
    }

    /// The plugin, as it is named, and from where that is seen.
    pub(crate) fn plugin(&self) -> (&Path, &Path) {
        (&self.setup.plugin, self.path.parent().unwrap_or(Path::new("")))
    }

    /// All of it in one, with paths that mean the same wherever somebody stands; without the plugin itself.
    pub(crate) fn absolute(&self, absolute: impl Fn(&Path) -> PathBuf) -> Result<Setup, Failure> {
        let mut all = Setup::default();
        for (setup, base) in self.layers() {
            let setup = setup.clone();
            for text in &setup.grants {
                all.grants.push(value::absolute_grant(text, |path| absolute(&base.join(path)))?);
            }
            for text in &setup.secrets {
                all.secrets.push(value::absolute_secret(text, |path| absolute(&base.join(path))));
            }
            all.config.extend(setup.config);
            all.addresses.extend(setup.addresses);
            all.per_call.extend(setup.per_call);
            all.per_day.extend(setup.per_day);
            all.memory = setup.memory.or(all.memory);
            all.write_limit = setup.write_limit.or(all.write_limit);
            all.store = setup.store.or(all.store);
            all.scratch |= setup.scratch;
            // Only files say it, and there is one at most.
            if setup.supervision != Default::default() {
                all.supervision = setup.supervision;
            }
        }
        Ok(all)
    }

    /// Each that says something, and from where its paths are seen.
    fn layers(&self) -> impl Iterator<Item = (&Setup, &Path)> {
        let base = self.path.parent().unwrap_or(Path::new(""));
        [(&*self.setup, base)].into_iter().chain(self.above.map(|above| (above, Path::new(""))))
    }

    /// Reads the plugin.
    pub(crate) fn package(&self) -> Result<Package, Failure> {
        let mut plugin_type = None;
        for (setup, _) in self.layers() {
            plugin_type = setup.plugin_type()?.or(plugin_type);
        }
        let base = self.path.parent().unwrap_or(Path::new(""));
        Package::open(base.join(&self.setup.plugin), plugin_type)
            .map_err(|error| Failure::of(&error).of_file(self.path))
    }

    /// What the host is asked to load.
    pub(crate) fn request(&self, package: Package) -> Result<LoadRequest, Failure> {
        self.request_unnamed(package).map_err(|failure| failure.of_file(self.path))
    }

    fn request_unnamed(&self, package: Package) -> Result<LoadRequest, Failure> {
        let profile = Profile::of(package.identity.plugin_type);
        let (mut per_call, mut per_day) = (profile.per_call, profile.per_day);
        let mut request = LoadRequest::new(package).set_by(Source::CommandLine);
        for (setup, base) in self.layers() {
            per_call = value::budget("--per-call", &setup.per_call, per_call)?;
            per_day = value::budget("--per-day", &setup.per_day, per_day)?;
            for text in &setup.grants {
                request = request.grant(value::grant(text, base)?);
            }
            for text in &setup.config {
                let (key, json) = value::config(text)?;
                request = request.config(key, json);
            }
            if let Some(text) = &setup.memory {
                request = request.memory_bytes(value::size("--memory", text)?);
            }
            if let Some(text) = &setup.write_limit {
                let bytes = value::size("--write-limit", text)?;
                request = request.write_quota(bytes, profile.limits.written_files);
            }
            if setup.scratch {
                request = request.scratch();
            }
            if let Some(name) = &setup.store {
                request = request.store(name);
            }
            for text in &setup.secrets {
                let (name, source) = value::secret(text, base)?;
                request = request.secret(name, source);
            }
            for text in &setup.addresses {
                request = request.allow_addresses(value::addresses(text)?);
            }
        }
        Ok(request.budget_per_call(per_call).budget_per_day(per_day))
    }
}

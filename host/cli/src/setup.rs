//! From what an operator wrote of a plugin to what a host is asked to load.

use std::path::Path;

use stockade_host::LoadRequest;
use stockade_package::Package;
use stockade_policy::Profile;

use crate::args::Setup;
use crate::failure::Failure;
use crate::{file, value};

/// What the command line says of a plugin, which may be named by a file that says more: the command line's word is
/// the last.
pub(crate) fn request(setup: &Setup) -> Result<LoadRequest, Failure> {
    if !is_file_of_ours(&setup.plugin) {
        return combined(&[(setup, Path::new(""))]);
    }
    let below = read(&setup.plugin, "PLUGIN")?;
    combined(&[(&below, folder(&setup.plugin)), (setup, Path::new(""))])
}

/// What a file says of a plugin. Paths in it stand as seen from its folder.
pub(crate) fn with(path: &Path) -> Result<LoadRequest, Failure> {
    combined(&[(&read(path, "--with")?, folder(path))])
}

fn is_file_of_ours(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "toml")
        && path.file_name().is_some_and(|name| name != "plugin.toml")
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn read(path: &Path, option: &str) -> Result<Setup, Failure> {
    let setup: Setup = file::read(path, option)?;
    if setup.plugin.as_os_str().is_empty() {
        let message = format!("{}: it names no plugin", path.display());
        return Err(Failure::usage("bad-file", option, message, "write plugin = \"FOLDER\""));
    }
    Ok(setup)
}

/// One upon the other. The first says which plugin it is.
fn combined(layers: &[(&Setup, &Path)]) -> Result<LoadRequest, Failure> {
    let mut plugin_type = None;
    for (setup, _) in layers {
        plugin_type = setup.plugin_type()?.or(plugin_type);
    }
    let [(first, base), ..] = layers else { unreachable!("the callers have one") };
    let package =
        Package::open(base.join(&first.plugin), plugin_type).map_err(|error| Failure::of(&error))?;
    let profile = Profile::of(package.identity.plugin_type);
    let (mut per_call, mut per_day) = (profile.per_call, profile.per_day);
    let mut request = LoadRequest::new(package);
    for (setup, base) in layers {
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
            request = request.write_quota(value::size("--write-limit", text)?, profile.limits.written_files);
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

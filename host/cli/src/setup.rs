//! From what an operator wrote of a plugin to what a host is asked to load.

use std::path::Path;

use stockade_host::LoadRequest;
use stockade_package::Package;
use stockade_policy::Profile;

use crate::args::Setup;
use crate::failure::Failure;
use crate::value;

/// Reads everything. Paths stand as seen from `base`.
pub(crate) fn request(setup: &Setup, base: &Path) -> Result<LoadRequest, Failure> {
    let plugin_type = setup.plugin_type()?;
    let grants = setup.grants.iter().map(|text| value::grant(text, base)).collect::<Result<Vec<_>, _>>()?;
    let config = setup.config.iter().map(|text| value::config(text)).collect::<Result<Vec<_>, _>>()?;
    let memory = setup.memory.as_deref().map(|text| value::size("--memory", text)).transpose()?;
    let size = |text: &String| value::size("--write-limit", text);
    let write_limit = setup.write_limit.as_ref().map(size).transpose()?;
    let addresses =
        setup.addresses.iter().map(|text| value::addresses(text)).collect::<Result<Vec<_>, _>>()?;
    let secrets =
        setup.secrets.iter().map(|text| value::secret(text, base)).collect::<Result<Vec<_>, _>>()?;

    let package =
        Package::open(base.join(&setup.plugin), plugin_type).map_err(|error| Failure::of(&error))?;
    let profile = Profile::of(package.identity.plugin_type);
    let per_call = value::budget("--per-call", &setup.per_call, profile.per_call)?;
    let per_day = value::budget("--per-day", &setup.per_day, profile.per_day)?;
    let mut request = LoadRequest::new(package).budget_per_call(per_call).budget_per_day(per_day);
    for grant in grants {
        request = request.grant(grant);
    }
    for (key, json) in config {
        request = request.config(key, json);
    }
    if let Some(bytes) = memory {
        request = request.memory_bytes(bytes);
    }
    if let Some(bytes) = write_limit {
        request = request.write_quota(bytes, profile.limits.written_files);
    }
    if setup.scratch {
        request = request.scratch();
    }
    if let Some(name) = &setup.store {
        request = request.store(name);
    }
    for (name, source) in secrets {
        request = request.secret(name, source);
    }
    for range in addresses {
        request = request.allow_addresses(range);
    }
    Ok(request)
}

//! `stockade push` and `pull`: packages in OCI registries.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::json;
use stockade_host::oci::{Credentials, Pulled, Reference, Registries};
use stockade_package::Package;
use stockade_package::archive::{self, Archive};

use crate::args::{PullCommand, PushCommand, Reaching};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format, SCHEMA, safe};
use crate::progress::Progress;
use crate::{package, run};

fn reach(reaching: &Reaching) -> Result<Registries, Failure> {
    let pems = reaching.trust.iter().map(|path| run::certificates(path)).collect::<Result<Vec<_>, _>>()?;
    Registries::new(&pems, reaching.plain_http).map_err(|error| Failure::of(&error))
}

/// Who we are to a registry.
pub(crate) fn credentials(reference: &Reference) -> Result<Option<Credentials>, Failure> {
    let folder = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".docker")));
    let Some(folder) = folder else { return Ok(None) };
    Credentials::find(&folder.join("config.json"), &reference.registry).map_err(|error| Failure::of(&error))
}

pub(crate) fn parse(reference: &str) -> Result<Reference, Failure> {
    reference.parse().map_err(|error| Failure::of(&error))
}

pub(crate) fn push(command: &PushCommand) -> Result<Exit, Failure> {
    let PushCommand { file, reference, reaching, output } = command;
    let reference = parse(reference)?;
    let parts = Archive::open(file).map_err(|error| Failure::of(&error).of_file(file))?.parts;
    // What is no plugin is nobody's to pull.
    let package = Package::of_parts(&parts).map_err(|error| Failure::of(&error).of_file(file))?;
    let (registries, credentials) = (reach(reaching)?, credentials(&reference)?);
    let progress = Progress::start("pushing");
    let pushed = registries.push(&reference, &parts, credentials);
    drop(progress);
    let digest = pushed.map_err(|error| Failure::of(&error))?;
    match output.format {
        Format::Json => output::document(&json!({
            "schema": SCHEMA, "plugin": package.identity.name, "version": package.identity.version.to_string(),
            "reference": reference.to_string(), "digest": digest, "signed_by": package.signed_by,
        })),
        Format::Text => {
            output::line(&safe(&reference.to_string()));
            output::line(&digest);
        }
    }
    Ok(Exit::Ok)
}

pub(crate) fn pull(command: &PullCommand) -> Result<Exit, Failure> {
    let PullCommand { reference, out, reaching, output } = command;
    let reference = parse(reference)?;
    let (registries, credentials) = (reach(reaching)?, credentials(&reference)?);
    let progress = Progress::start("pulling");
    let pulled = registries.pull(&reference, credentials);
    drop(progress);
    let Pulled { parts, packed } = pulled.map_err(|error| Failure::of(&error))?;
    let package = Package::of_parts(&parts).map_err(|error| Failure::of(&error))?;
    let path = out.clone().unwrap_or_else(|| package::usual_name(&package.identity));
    archive::write(&path, &packed.bytes).map_err(|error| Failure::of(&error))?;
    match output.format {
        Format::Json => output::document(&json!({
            "schema": SCHEMA, "plugin": package.identity.name, "version": package.identity.version.to_string(),
            "reference": reference.to_string(), "package": path, "digest": packed.digest,
            "bytes": packed.bytes.len(), "signed_by": package.signed_by,
        })),
        Format::Text => {
            output::line(&safe(&path.display().to_string()));
            output::line(&packed.digest);
            if package.signed_by.is_empty() {
                output::note("nobody has signed it");
            }
        }
    }
    Ok(Exit::Ok)
}

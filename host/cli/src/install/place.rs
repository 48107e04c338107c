//! Where a package is, in an operator's words.

use std::path::Path;

use stockade_control::Place;
use stockade_host::install::Origin;
use stockade_package::index::Wanted;

use super::absolute;
use crate::args::Indexed;
use crate::failure::Failure;
use crate::{index, registry};

/// Reads where a package is; paths stand as seen from `base`. `publisher/name` can be a folder or a plugin of an index: it is
/// the index's where one is named, and `./publisher/name` is the folder.
pub(super) fn read(text: &str, base: &Path, indexed: &Indexed) -> Result<Place, Failure> {
    if text.contains("://") {
        return Ok(Place::At(text.to_owned()));
    }
    let path = base.join(text);
    let is_path = text.starts_with(['.', '/']) || text.is_empty() || indexed.index.is_none() && path.exists();
    match text.parse::<Wanted>() {
        Ok(wanted) if !is_path => {
            let index = index::at(indexed.index.as_deref()).map_err(|mut failure| {
                let message = failure.problem.message;
                failure.problem.message = format!("{text}: there is no such file, and {message}");
                failure
            })?;
            Ok(Place::Listed {
                wanted: wanted.to_string(),
                index: index.to_string(),
                lock: indexed.lock.as_deref().map(absolute),
                locked: indexed.locked,
            })
        }
        // A range that is none is told as that, unless it is a file.
        Err(error) if !is_path && text.contains('@') && !path.exists() => Err(Failure::of(&error)),
        _ => {
            let path = absolute(&path);
            let path = path.to_str().ok_or_else(|| {
                let message = format!("{}: its name is not UTF-8", path.display());
                Failure::usage("plugin-not-found", "PLUGIN", message, "rename it, or what it is in")
            })?;
            Ok(Place::At(path.to_owned()))
        }
    }
}

/// Where a package comes from, and who we are there.
pub(super) fn origin(text: &str) -> Result<Origin, Failure> {
    if text.starts_with("oci://") {
        let reference = registry::parse(text)?;
        let credentials = registry::credentials(&reference)?;
        return Ok(Origin::Registry(reference, credentials));
    }
    if text.contains("://") {
        return Ok(Origin::Url(text.to_owned()));
    }
    Ok(Origin::Path(text.into()))
}

//! Where packages come from.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap};

use stockade_package::archive::{self, Archive, MAX_PACKAGE, Packed, Parts};
use stockade_package::{Package, PackageError};
use stockade_policy::{HttpScheme, HttpTarget};

use super::InstallError;
use crate::egress::plain::{all, anywhere, send};
use crate::egress::{Egress, parts};
use crate::host::Host;
use crate::oci::{Credentials, Reference, Registries};

/// For the head of an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// For the rest of it, besides what its length takes on a slow line.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a package comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A plugin's folder, or a package.
    Path(PathBuf),
    /// An address: over https, or over http where that is said. It is not to be elsewhere.
    Url(String),
    /// A registry, and who we are to it.
    Registry(Reference, Option<Credentials>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
            Self::Registry(reference, _) => write!(f, "{reference}"),
        }
    }
}

impl Host {
    /// Gets a package: the same bytes that `stockade pack` makes of what is in it.
    pub(super) fn fetch(&self, origin: &Origin, plain_http: bool) -> Result<Packed, InstallError> {
        match origin {
            Origin::Path(path) if path.is_dir() => {
                let mut parts = Parts::of_folder(path)?;
                let package = Package::of_parts(&parts)?;
                let (world, _) = self.world_blocking(&package)?;
                parts.interfaces = (&world).into();
                Ok(archive::pack(&parts))
            }
            Origin::Path(path) if !Archive::is_at(path) => match Package::open(path, None) {
                Err(PackageError::TypeNeeded) | Ok(_) => Err(InstallError::Bare { path: path.clone() }),
                Err(error) => Err(error.into()),
            },
            Origin::Path(path) => Ok(archive::pack(&Archive::open(path)?.parts)),
            Origin::Registry(reference, credentials) => {
                let registries = Registries::by(Arc::clone(self.egress()), plain_http);
                Ok(registries.pull(reference, credentials.clone())?.packed)
            }
            Origin::Url(url) => {
                let bytes = download(self.egress(), url, plain_http, MAX_PACKAGE)?;
                Ok(archive::pack(&Archive::read(&bytes).map_err(PackageError::from)?.parts))
            }
        }
    }
}

/// All that stands at an address, at most so much.
pub(super) fn download(
    egress: &Arc<Egress>,
    url: &str,
    plain_http: bool,
    most: u64,
) -> Result<Bytes, InstallError> {
    download_if_there(egress, url, plain_http, most)?.ok_or_else(|| InstallError::Download {
        url: url.to_owned(),
        why: "the server has nothing there".to_owned(),
    })
}

/// The same; none where the server has nothing there.
pub(super) fn download_if_there(
    egress: &Arc<Egress>,
    url: &str,
    plain_http: bool,
    most: u64,
) -> Result<Option<Bytes>, InstallError> {
    let failed = |why: String| InstallError::Download { url: url.to_owned(), why };
    let (scheme, authority, path) =
        parts(url).ok_or_else(|| failed("it is no address of https".to_owned()))?;
    if scheme == HttpScheme::Http && !plain_http {
        return Err(failed("anybody on the way could change it: use https, or say --plain-http".to_owned()));
    }
    let target = HttpTarget::parse("GET", scheme, authority, &format!("/{path}"))
        .map_err(|error| failed(error.to_string()))?;
    let runtime = egress.runtime().map_err(|error| failed(error.to_string()))?;
    runtime.block_on(async {
        let answer = send(egress, &target, &anywhere(), (HeaderMap::new(), Bytes::new()), ANSWER).await;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
            status if status.is_redirection() => {
                let to = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("");
                return Err(failed(format!("it is elsewhere, at {to:?}: name that if you trust it")));
            }
            status => return Err(failed(format!("the server answers {status}"))),
        }
        let body = all(answer.into_body(), most, PATIENCE).await;
        body.map(Some).map_err(|error| failed(error.to_string()))
    })
}

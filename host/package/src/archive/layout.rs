//! The five files of a package: an OCI image layout with one manifest in it.
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>

use serde::{Deserialize, Serialize};

use super::{ArchiveError, Blob, BlobName, Blobs, MAX_CONFIG, Parts};
use crate::package::MAX_COMPONENT;
use crate::sha256;

/// The first file, which says that the rest is a layout.
pub(super) const FIRST: &str = "oci-layout";
const INDEX: &str = "index.json";
const BLOBS: &str = "blobs/sha256/";

const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
const COMPONENT_TYPE: &str = "application/wasm";

/// The form of what is ours in the configuration: manifest and signature.
const FORMAT: u32 = 1;
/// The same with a provenance. A host that does not know of it says that it is too old for the package, and not that it is
/// none; packages without one are what they were.
const WITH_PROVENANCE: u32 = 2;
/// The same input makes the same bytes at any time.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

/// The interfaces of a component, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interfaces {
    /// What it offers.
    pub exports: Vec<String>,
    /// What it wants.
    pub imports: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    created: String,
    architecture: String,
    os: String,
    layer_digests: Vec<String>,
    component: Interfaces,
    #[serde(rename = "dev.stockade.plugin")]
    plugin: Plugin,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plugin {
    format: u32,
    manifest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provenance: Option<String>,
}

/// Of which format it is, whatever else may be in it by then.
#[derive(Deserialize)]
struct Versioned {
    #[serde(rename = "dev.stockade.plugin")]
    plugin: Version,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: &'a str,
    size: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: Descriptor<'a>,
    layers: [Descriptor<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u32,
    media_type: &'a str,
    manifests: [Descriptor<'a>; 1],
}

/// What a manifest says of a blob.
#[derive(Deserialize)]
struct Named {
    digest: String,
    size: u64,
}

#[derive(Deserialize)]
struct Naming {
    config: Named,
    layers: Vec<Named>,
}

/// The files of a package, in their order.
pub(super) struct Files<'a> {
    index: Vec<u8>,
    manifest: Vec<u8>,
    config: Vec<u8>,
    component: &'a [u8],
    /// Paths of manifest, configuration and component.
    paths: [String; 3],
    pub(super) digest: String,
    with_provenance: bool,
}

/// Path, content, and what it is.
pub(super) type File<'a> = (&'a str, &'a [u8], &'static str);

impl Files<'_> {
    /// What a registry keeps of it.
    pub(super) fn blobs(self) -> Blobs {
        let digest = |path: &str| path.replacen(BLOBS, "sha256:", 1);
        let [_, config, component] = &self.paths;
        Blobs {
            config: Blob { digest: digest(config), bytes: self.config },
            component: Blob { digest: digest(component), bytes: self.component.to_vec() },
            manifest: Blob { digest: self.digest, bytes: self.manifest },
        }
    }

    /// Whether these are its manifest and its configuration.
    pub(super) fn are(&self, manifest: &[u8], config: &[u8]) -> bool {
        self.manifest == manifest && self.config == config
    }

    pub(super) fn list(&self) -> [File<'_>; 5] {
        let [manifest, config, component] = &self.paths;
        [
            (FIRST, LAYOUT.as_bytes(), "says that this is an OCI image layout"),
            (INDEX, &self.index, "names the manifest"),
            (manifest, &self.manifest, "OCI manifest: its digest is the package's"),
            (
                config,
                &self.config,
                match self.with_provenance {
                    true => "configuration: plugin.toml, signature, provenance, interfaces",
                    false => "configuration: plugin.toml, signature, interfaces",
                },
            ),
            (component, self.component, "component"),
        ]
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

fn path(digest: &str) -> String {
    digest.replacen("sha256:", BLOBS, 1)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts, numbers and lists of them")
}

/// What these parts make.
pub(super) fn files(parts: &Parts) -> Files<'_> {
    let Parts { manifest, signature, provenance, interfaces, component } = parts;
    let layer = digest(component);
    let config = json(&Config {
        created: NO_TIME.to_owned(),
        architecture: "wasm".to_owned(),
        os: "wasip2".to_owned(),
        layer_digests: vec![layer.clone()],
        component: interfaces.clone(),
        plugin: Plugin {
            format: if provenance.is_some() { WITH_PROVENANCE } else { FORMAT },
            manifest: manifest.clone(),
            signature: signature.clone(),
            provenance: provenance.clone(),
        },
    });
    let descriptor = |media_type, digest, size| Descriptor { media_type, digest, size };
    let of_config = digest(&config);
    let manifest = json(&Manifest {
        schema_version: 2,
        media_type: MANIFEST_TYPE,
        config: descriptor(CONFIG_TYPE, &of_config, config.len()),
        layers: [descriptor(COMPONENT_TYPE, &layer, component.len())],
    });
    let of_manifest = digest(&manifest);
    let index = json(&Index {
        schema_version: 2,
        media_type: INDEX_TYPE,
        manifests: [descriptor(MANIFEST_TYPE, &of_manifest, manifest.len())],
    });
    let paths = [path(&of_manifest), path(&of_config), path(&layer)];
    Files {
        index,
        manifest,
        config,
        component,
        paths,
        digest: of_manifest,
        with_provenance: provenance.is_some(),
    }
}

/// The blobs that a manifest names: configuration and component. What else it says, and whether it is the manifest of what
/// they are, shows when it is made again.
pub(super) fn named(manifest: &[u8]) -> Result<[BlobName; 2], ArchiveError> {
    let naming: Naming = serde_json::from_slice(manifest)
        .map_err(|_| ArchiveError::Shape("its manifest in the registry is not that of a package"))?;
    let layers: [Named; 1] = naming
        .layers
        .try_into()
        .map_err(|_| ArchiveError::Shape("it has other layers than the one of a package"))?;
    let [component] = layers;
    let bounded = |named: Named, most: u64| match named.size <= most {
        true => Ok(BlobName { digest: named.digest, bytes: named.size }),
        false => Err(ArchiveError::Shape("it is larger than a package can be")),
    };
    Ok([bounded(naming.config, MAX_CONFIG)?, bounded(component, MAX_COMPONENT)?])
}

/// What a configuration and a component say. Digests and everything else that follows from them is not looked at here: the
/// files that they make are compared with those that came.
pub(super) fn parts(config: &[u8], component: &[u8]) -> Result<Parts, ArchiveError> {
    let Versioned { plugin: Version { format } } =
        serde_json::from_slice(config).map_err(ArchiveError::Config)?;
    if !matches!(format, FORMAT | WITH_PROVENANCE) {
        return Err(ArchiveError::Format(format));
    }
    let Config { component: interfaces, plugin: Plugin { manifest, signature, provenance, .. }, .. } =
        serde_json::from_slice(config).map_err(ArchiveError::Config)?;
    Ok(Parts { manifest, signature, provenance, interfaces, component: component.to_vec() })
}

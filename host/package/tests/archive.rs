//! Packages: that there is one spelling of each, that others read it, and what is not taken for one.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stockade_package::archive::{self, Archive, Interfaces, Parts};
use stockade_package::signature::{SigningKey, sign_plugin};
use stockade_package::{ArchiveError, Explain, Package, sha256};
use tempfile::TempDir;

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0 and what comes after it";

const MANIFEST: &str = "manifest = 1\nname = \"a/b\"\nversion = \"1.2.3\"\ntype = \"node\"\ncontract = \"0.1\"\n\
     description = \"d \u{202e} \u{0}\"\ncomponent = \"out/c.wasm\"\n";

fn manifest() -> String {
    MANIFEST.replace('\u{0}', "\\u0000")
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("plugin.toml"), manifest()).unwrap();
    fs::write(folder.path().join("out/c.wasm"), COMPONENT).unwrap();
    folder
}

fn interfaces() -> Interfaces {
    Interfaces {
        exports: vec!["stockade:plugin/tool@0.1.0".into()],
        imports: vec!["wasi:cli/stdout@0.2.6".into()],
    }
}

fn parts(folder: &Path) -> Parts {
    Parts { interfaces: interfaces(), ..Parts::of_folder(folder).unwrap() }
}

fn pack(parts: &Parts) -> Vec<u8> {
    archive::pack(parts).bytes
}

fn package() -> Vec<u8> {
    pack(&parts(folder().path()))
}

/// A package in a file of its own.
fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a-b-1.2.3.stockade.tar");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn code(bytes: &[u8]) -> &'static str {
    let (_folder, path) = written(bytes);
    let archive = Archive::open(&path).expect_err("no package").problem();
    // The same for whoever loads it, but for what does not even look like a package.
    let package = Package::open(&path, None).expect_err("no plugin").problem();
    assert!(package.code == archive.code || !bytes.starts_with(b"oci-layout"), "{package:?}");
    archive.code
}

/// Path and content of each file, by a reader that knows nothing of packages.
fn files(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    entries
        .map(|mut entry| {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), content)
        })
        .collect()
}

/// An archive of these files, in the form that packages have.
fn archived(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    archive.into_inner().unwrap()
}

#[test]
fn a_package_is_the_folder_in_one_file() {
    let folder = folder();
    SigningKey::generate().map(|key| sign_plugin(folder.path(), &key).unwrap()).unwrap();
    let (_kept, path) = written(&pack(&parts(folder.path())));
    let (loose, packed) = (Package::open(folder.path(), None).unwrap(), Package::open(&path, None).unwrap());
    assert_eq!(packed.identity, loose.identity);
    assert_eq!(packed.component, loose.component);
    assert_eq!((packed.signed_by.len(), &packed.signed_by), (1, &loose.signed_by));
    assert_eq!(packed.digest, Some(archive::pack(&parts(folder.path())).digest));
    assert_eq!(loose.digest, None);

    let again = _kept.path().join("again");
    Archive::open(&path).unwrap().parts.write_into(&again).unwrap();
    assert_eq!(pack(&parts(&again)), fs::read(&path).unwrap());
    let there = Archive::open(&path).unwrap().parts.write_into(&again).expect_err("it is there").problem();
    assert_eq!(there.code, "unwritable");
}

#[test]
fn the_same_folder_makes_the_same_bytes() {
    let (one, two) = (folder(), folder());
    let old = fs::File::options().write(true).open(two.path().join("plugin.toml")).unwrap();
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(pack(&parts(one.path())), pack(&parts(two.path())));
}

#[test]
fn a_package_is_signed_as_a_folder_is() {
    let (folder, key) = (folder(), SigningKey::generate().unwrap());
    let (_kept, path) = written(&pack(&parts(folder.path())));
    assert!(Archive::is_at(&path) && !Archive::is_at(folder.path()));
    let signers = sign_plugin(&path, &key).unwrap();
    assert_eq!(signers, sign_plugin(folder.path(), &key).unwrap());
    assert_eq!(fs::read(&path).unwrap(), pack(&parts(folder.path())));
}

/// Who packs with another version makes the same package: else a plugin that nobody changed would have another digest.
#[test]
fn the_bytes_are_those_of_format_1() {
    assert_eq!(
        archive::pack(&parts(folder().path())).digest,
        "sha256:ee33c48ff767e34bfd80cb0b059f2acb3ddb7b603052055f11b82f114cb6c354"
    );
    assert_eq!(sha256(&package()), "a52382711d48fe3f7adb0306f5b795b3e4c8457a7180c59f5bea8fe73494e008");
}

/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>
#[test]
fn a_package_is_an_oci_image_layout() {
    let files = files(&package());
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        let path = format!("blobs/{}", digest.replace(':', "/"));
        let (_, content) = files.iter().find(|(name, _)| *name == path).expect("the blob is there");
        assert_eq!(format!("sha256:{}", sha256(content)), digest);
        assert_eq!(Sha256::digest(content).len(), 32);
        assert_eq!(descriptor["size"], content.len());
        content.clone()
    };
    let named = |name: &str| {
        let (_, content) = files.iter().find(|(found, _)| found == name).unwrap();
        serde_json::from_slice::<Value>(content).unwrap()
    };
    assert_eq!(named("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }));
    let index = named("index.json");
    let described = &index["manifests"][0];
    assert_eq!(described["digest"], archive::pack(&parts(folder().path())).digest);
    let manifest: Value = serde_json::from_slice(&blob(described)).unwrap();
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(blob(&manifest["layers"][0]), COMPONENT);
    let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
    assert_eq!((&config["architecture"], &config["os"]), (&json!("wasm"), &json!("wasip2")));
    assert_eq!(config["layerDigests"], json!([manifest["layers"][0]["digest"]]));
    assert_eq!(config["component"], json!(interfaces()));
}

#[test]
fn e3_no_byte_of_a_package_can_be_changed() {
    let bytes = package();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Archive::read(&changed).is_err(), "byte {at}");
    }
    for len in 0..bytes.len() {
        assert!(Archive::read(&bytes[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn e1_archives_of_another_spelling_are_not_taken() {
    let whole = package();
    let good = files(&whole);
    assert_eq!(archived(&good), whole, "what is changed here is a package before");
    let with = |at: usize, path: &str, content: &[u8]| {
        let mut files = good.clone();
        files.insert(at, (path.to_owned(), content.to_vec()));
        archived(&files)
    };
    // What a writer would not write: the path is put into the header by hand.
    let spelled = |path: &[u8]| {
        let mut bytes = with(5, "x", b"");
        let at = bytes.len() - 1024 - 512;
        bytes[at..at + path.len()].copy_from_slice(path);
        bytes[at + 148..at + 156].fill(b' ');
        let sum: u32 = bytes[at..at + 512].iter().map(|&byte| u32::from(byte)).sum();
        bytes[at + 148..at + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes
    };
    let header = |change: &dyn Fn(&mut tar::Header)| {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in &good {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            change(&mut header);
            archive.append_data(&mut header, path, content.as_slice()).unwrap();
        }
        archive.into_inner().unwrap()
    };
    let without = |at: usize| {
        let mut files = good.clone();
        files.remove(at);
        archived(&files)
    };
    let swapped = {
        let mut files = good.clone();
        files.swap(1, 2);
        archived(&files)
    };
    let gnu = {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in &good {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, content.as_slice()).unwrap();
        }
        archive.into_inner().unwrap()
    };
    let pax = {
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_pax_extensions([("size", &b"7"[..])]).unwrap();
        let mut bytes = archive.into_inner().unwrap();
        bytes.truncate(bytes.len() - 1024);
        [&bytes[..], &whole].concat()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a path out of the folder", spelled(b"../../etc/cron.d/x")),
        ("an absolute path", spelled(b"/etc/cron.d/x")),
        ("a drive letter", spelled(b"C:\\x")),
        ("a name of control characters", spelled(b"\x1b[2J")),
        ("a second plugin's component", with(5, "blobs/sha256/x", COMPONENT)),
        ("a file twice", with(5, "index.json", b"{}")),
        ("a file twice, the other first", with(1, "index.json", b"{}")),
        ("an entry in front", with(0, "README", b"")),
        ("the component is missing", without(4)),
        ("the index is missing", without(1)),
        ("another order", swapped),
        ("setuid", header(&|header| header.set_mode(0o4755))),
        ("a time", header(&|header| header.set_mtime(1))),
        ("an owner", header(&|header| header.set_uid(1000))),
        ("links", header(&|header| header.set_entry_type(tar::EntryType::Symlink))),
        ("hard links", header(&|header| header.set_entry_type(tar::EntryType::Link))),
        ("folders", header(&|header| header.set_entry_type(tar::EntryType::Directory))),
        ("pipes", header(&|header| header.set_entry_type(tar::EntryType::Fifo))),
        ("devices", header(&|header| header.set_entry_type(tar::EntryType::Char))),
        ("GNU's headers", gnu),
        ("a PAX header whose size is another", pax),
        ("bytes behind its end", [&whole[..], &[0; 512]].concat()),
        ("another archive behind its end", [&whole[..], &whole].concat()),
        ("nothing", Vec::new()),
        ("zeros", vec![0; 10_240]),
        ("gzip", b"\x1f\x8b\x08\0".to_vec()),
        ("zip", b"PK\x03\x04".to_vec()),
        ("a component", COMPONENT.to_vec()),
    ];
    for (what, bytes) in cases {
        assert_ne!(bytes, whole, "{what}");
        let code = code(&bytes);
        assert!(["not-a-package", "package-not-canonical"].contains(&code), "{what}: {code}");
    }
}

/// A package whose configuration somebody wrote himself; every digest is right.
fn with_config(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut files = files(&package());
    let blob = |content: &[u8]| format!("blobs/sha256/{}", sha256(content));
    let mut config: Value = serde_json::from_slice(&files[3].1).unwrap();
    change(&mut config);
    files[3].1 = serde_json::to_vec(&config).unwrap();
    files[3].0 = blob(&files[3].1);
    let mut manifest: Value = serde_json::from_slice(&files[2].1).unwrap();
    manifest["config"]["digest"] = json!(format!("sha256:{}", sha256(&files[3].1)));
    manifest["config"]["size"] = json!(files[3].1.len());
    files[2].1 = serde_json::to_vec(&manifest).unwrap();
    files[2].0 = blob(&files[2].1);
    archived(&files)
}

#[test]
fn e7_configurations_that_are_no_packages_are_told_why() {
    let plugin = |config: &mut Value| config["dev.stockade.plugin"].take();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (with_config(|config| config["dev.stockade.plugin"]["format"] = json!(3)), "package-format"),
        // That is the format of those with a provenance, and this one has none.
        (with_config(|config| config["dev.stockade.plugin"]["format"] = json!(2)), "package-not-canonical"),
        (with_config(|config| config["dev.stockade.plugin"]["more"] = json!(1)), "not-a-package"),
        (with_config(|config| config["more"] = json!(1)), "not-a-package"),
        (with_config(|config| _ = plugin(config)), "not-a-package"),
        (with_config(|config| *config = json!([])), "not-a-package"),
        (with_config(|config| config["created"] = json!("2026-01-01T00:00:00Z")), "package-not-canonical"),
        (with_config(|config| config["layerDigests"] = json!([])), "package-not-canonical"),
        (with_config(|config| config["os"] = json!("linux")), "package-not-canonical"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(code(&bytes), expected);
    }
}

#[test]
fn e4_a_signature_of_something_else_counts_for_nothing() {
    let (one, two) = (folder(), folder());
    fs::write(two.path().join("out/c.wasm"), [COMPONENT, b"!"].concat()).unwrap();
    SigningKey::generate().map(|key| sign_plugin(two.path(), &key).unwrap()).unwrap();
    let signature = parts(two.path()).signature;
    let (_folder, path) = written(&pack(&Parts { signature, ..parts(one.path()) }));
    assert_eq!(Package::open(&path, None).expect_err("refused").problem().code, "signature-of-other-files");
}

#[test]
fn where_it_differs_is_told() {
    let mut bytes = package();
    bytes[700] ^= 1;
    let error = Archive::read(&bytes).expect_err("it was changed");
    assert!(matches!(error, ArchiveError::NotCanonical { at: 700 }), "{error:?}");
}

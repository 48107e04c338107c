//! Target `package`: a plugin in one file, by hostile authors.

use stockade_package::archive::{Archive, Interfaces, Parts, pack};
use stockade_package::{Explain, Package, PackageError};

/// The least that looks like a component.
pub(crate) const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// The first byte says what the rest is: an archive; the configuration of one whose other files are as they have to be; or
/// a manifest, of which a package is made, with signature and provenance behind it. Mutations of an archive's bytes alone end at its digests.
pub fn package(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 3 {
        0 => read(rest),
        1 => read(&archive_of(rest)),
        _ => made_of(rest),
    }
}

/// What is taken is spelled in the one way that there is.
fn read(bytes: &[u8]) {
    match Archive::read(bytes) {
        Ok(archive) => {
            let packed = pack(&archive.parts);
            assert!(packed.bytes == bytes, "another spelling was taken");
            assert_eq!(packed.digest, archive.digest);
            plugin(&archive.parts);
        }
        Err(error) => explained(&error.into()),
    }
}

fn plugin(parts: &Parts) {
    if let Err(error) = Package::of_parts(parts) {
        explained(&error);
    }
}

fn explained(error: &PackageError) {
    let problem = error.problem();
    assert!(!problem.code.is_empty() && !problem.next_step.is_empty(), "{error:?} explains nothing");
}

/// Of the first three files a reader takes nothing.
fn archive_of(config: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let files = [("oci-layout", &b""[..]), ("b", b""), ("c", b""), ("d", config), ("e", COMPONENT)];
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content).expect("a short path");
    }
    archive.into_inner().expect("memory")
}

fn made_of(rest: &[u8]) {
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let mut files = text.splitn(3, '\0');
    let manifest = files.next().unwrap_or_default();
    let (signature, provenance) = (files.next().filter(|text| !text.is_empty()), files.next());
    let parts = Parts {
        manifest: manifest.to_owned(),
        signature: signature.map(str::to_owned),
        provenance: provenance.map(str::to_owned),
        interfaces: Interfaces { exports: vec![manifest.chars().take(9).collect()], imports: Vec::new() },
        component: COMPONENT.to_vec(),
    };
    let packed = pack(&parts);
    let read = Archive::read(&packed.bytes).expect("what was packed is a package");
    assert_eq!(read.parts, parts);
    plugin(&parts);
}

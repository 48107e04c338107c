//! Compiled components, kept under a key that names everything they depend on.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stockade_ipc::World;
use stockade_policy::stands;

use crate::memfd::{SealedFile, Use, hex};
use crate::private::{self, open_own, private_folder};

/// The largest artifact that is written or read: a 20 MB component of an embedded interpreter makes
/// 37 MB of code.
pub(crate) const MAX_ARTIFACT: u64 = 256 * 1024 * 1024;

/// Artifacts by key. Entries carry a MAC under a key that lies outside of the folder: whoever can write
/// to the folder can remove entries, not make them.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    secret: [u8; 32],
    /// Compiler, worker and processor: with the component's digest, all that an artifact depends on.
    /// The programs' digests stand for engine version and configuration, which are built into them.
    environment: [u8; 32],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    world: World,
    artifact_sha256: String,
    mac: String,
}

impl Cache {
    pub(crate) fn open(state: &Path, compiler: [u8; 32], worker: [u8; 32]) -> io::Result<Cache> {
        let folder = state.join("artifacts");
        private_folder(state)?;
        private_folder(&folder)?;
        remove_leftovers(&folder);
        let mut environment = Sha256::new();
        environment.update(compiler);
        environment.update(worker);
        environment.update(processor_features()?);
        Ok(Cache {
            folder,
            secret: private::key(&state.join("artifacts.key"))?,
            environment: environment.finalize().into(),
        })
    }

    fn key(&self, component: [u8; 32]) -> String {
        let mut key = Sha256::new();
        if stands("cache.component") {
            key.update(component);
        }
        if stands("cache.programs") {
            key.update(self.environment);
        }
        hex(&key.finalize())
    }

    fn mac(&self, key: &str, artifact: &str, world: &World) -> io::Result<String> {
        private::mac(&self.secret, &[key.as_bytes(), artifact.as_bytes(), &serde_json::to_vec(world)?])
    }

    /// The artifact of a component, if it is there and is what was put there. Anything else counts as
    /// not there.
    pub(crate) fn get(&self, component: [u8; 32]) -> Option<(SealedFile, World)> {
        let key = self.key(component);
        let text = read_bounded(&self.folder.join(format!("{key}.json"))).ok()?;
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        let mac = self.mac(&key, &entry.artifact_sha256, &entry.world).ok()?;
        // The MAC is not secret and guards no remote caller; a plain comparison does.
        if mac != entry.mac && stands("cache.mac") {
            return None;
        }
        let mut file = open_own(&self.folder.join(format!("{key}.cwasm"))).ok()?;
        let artifact = SealedFile::copy("artifact", Use::Data, &mut file, MAX_ARTIFACT).ok()?;
        (hex(&artifact.digest()) == entry.artifact_sha256 || !stands("cache.digest"))
            .then_some((artifact, entry.world))
    }

    /// Keeps an artifact. Other hosts see it whole or not at all.
    pub(crate) fn put(&self, component: [u8; 32], artifact: &SealedFile, world: &World) -> io::Result<()> {
        let key = self.key(component);
        let artifact_sha256 = hex(&artifact.digest());
        let mac = self.mac(&key, &artifact_sha256, world)?;
        let entry = Entry { world: world.clone(), artifact_sha256, mac };
        self.place(&format!("{key}.cwasm"), &artifact.bytes()?)?;
        self.place(&format!("{key}.json"), &serde_json::to_vec(&entry)?)
    }

    fn place(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let temporary = self.folder.join(format!(".{name}.{}", std::process::id()));
        let _ = fs::remove_file(&temporary);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| file.write_all(content))
            .and_then(|()| fs::rename(&temporary, self.folder.join(name)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

/// Removes what hosts have half written that were killed meanwhile: up to [`MAX_ARTIFACT`] each. A host that
/// is only not seen from here loses an entry that it could have kept, and compiles once more.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let writer = name.to_str().filter(|name| name.starts_with('.')).and_then(|name| {
            let (_, pid) = name.rsplit_once('.')?;
            pid.parse::<u32>().ok()
        });
        if let Some(pid) = writer
            && !Path::new(&format!("/proc/{pid}")).exists()
        {
            // Another host may have been faster.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The report of a component is at most a frame; written out as JSON a few times that.
const MAX_ENTRY: u64 = 16 * 1024 * 1024;

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    open_own(path)?.take(MAX_ENTRY).read_to_end(&mut text)?;
    Ok(text)
}

/// What the compiler may have made use of: a digest of the processor's feature flags.
fn processor_features() -> io::Result<[u8; 32]> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let flags = cpus.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    Ok(Sha256::digest(flags).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(state: &Path) -> Cache {
        Cache::open(state, [1; 32], [2; 32]).unwrap()
    }

    #[test]
    fn what_was_put_is_got_and_nothing_else() {
        let state = tempfile::tempdir().unwrap();
        let artifact = SealedFile::of("artifact", Use::Data, b"code").unwrap();
        cache(state.path()).put([7; 32], &artifact, &World::default()).unwrap();
        let (got, _) = cache(state.path()).get([7; 32]).unwrap();
        assert_eq!(got.bytes().unwrap(), b"code");
        assert!(cache(state.path()).get([8; 32]).is_none());
        let other_engine = Cache::open(state.path(), [3; 32], [2; 32]).unwrap();
        assert!(other_engine.get([7; 32]).is_none());
    }

    #[test]
    fn g1_what_a_killed_host_has_half_written_is_removed_by_the_next() {
        let state = tempfile::tempdir().unwrap();
        cache(state.path());
        let at = |name: String| state.path().join("artifacts").join(name);
        // Above the largest process number that there can be.
        let (gone, running) =
            (at(".key.cwasm.4194305".into()), at(format!(".key.cwasm.{}", std::process::id())));
        let (kept, odd) = (at("key.cwasm".into()), at(".key".into()));
        for path in [&gone, &running, &kept, &odd] {
            fs::write(path, "half").unwrap();
        }
        cache(state.path());
        assert!(!gone.exists());
        assert!(running.exists() && kept.exists() && odd.exists());
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let state = tempfile::tempdir().unwrap();
        Cache::open(state.path(), [1; 32], [2; 32]).expect("a private folder serves");
        fs::set_permissions(state.path(), fs::Permissions::from_mode(0o770)).unwrap();
        assert!(Cache::open(state.path(), [1; 32], [2; 32]).is_err());
    }

    #[test]
    fn e11_a_replaced_artifact_or_report_counts_as_absent() {
        let state = tempfile::tempdir().unwrap();
        let artifact = SealedFile::of("artifact", Use::Data, b"code").unwrap();
        let cache = cache(state.path());
        for suffix in ["cwasm", "json"] {
            cache.put([7; 32], &artifact, &World::default()).unwrap();
            let path = state.path().join("artifacts").join(format!("{}.{suffix}", cache.key([7; 32])));
            let mut bytes = fs::read(&path).unwrap();
            let last = bytes.len() - 3;
            bytes[last] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(cache.get([7; 32]).is_none(), "{suffix}");
        }
    }

    #[test]
    fn c18_an_entry_moved_to_another_component_counts_as_absent() {
        let state = tempfile::tempdir().unwrap();
        let artifact = SealedFile::of("artifact", Use::Data, b"code").unwrap();
        let cache = cache(state.path());
        cache.put([7; 32], &artifact, &World::default()).unwrap();
        for suffix in ["cwasm", "json"] {
            let folder = state.path().join("artifacts");
            fs::rename(
                folder.join(format!("{}.{suffix}", cache.key([7; 32]))),
                folder.join(format!("{}.{suffix}", cache.key([8; 32]))),
            )
            .unwrap();
        }
        assert!(cache.get([8; 32]).is_none());
    }
}

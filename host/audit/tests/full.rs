//! Attack case F4 with segments: a disk that is full or read-only. A small file system of its own, which needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use stockade_audit::{
    AuditError, CheckpointPolicy, Decision, FloodLimits, Layer, Log, Options, Record, SegmentPolicy, Trust,
    verify_with,
};

/// A tmpfs, gone with the test.
struct Disk {
    path: PathBuf,
    _mounted: Mounted,
    _folder: tempfile::TempDir,
}

/// Taken off again however the test ends.
struct Mounted(PathBuf);

impl Disk {
    fn new(test: &str, size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        fs::create_dir(&path).unwrap();
        let options = format!("size={size},mode=700");
        match mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())) {
            Ok(()) => Some(Self { _mounted: Mounted(path.clone()), path, _folder: folder }),
            Err(errno) => {
                println!("SKIPPED: {test}: cannot mount a tmpfs: {errno}");
                None
            }
        }
    }

    fn remount(&self, flags: MsFlags) {
        mount(None::<&str>, &self.path, None::<&str>, MsFlags::MS_REMOUNT | flags, None::<&str>).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn options() -> Options {
    Options {
        floods: FloodLimits { burst: u32::MAX, ..FloodLimits::default() },
        segments: SegmentPolicy { records: 40, compress: false, ..SegmentPolicy::default() },
        checkpoints: CheckpointPolicy { records: 10, ..CheckpointPolicy::default() },
        ..Options::default()
    }
}

fn refusal(call: u64) -> Record {
    Record::new(Layer::Host, "refused", Decision::Denied)
        .operation("fs.read")
        .call(call)
        .reason("x".repeat(300))
}

fn trust(dir: &Path) -> Trust {
    let key = fs::read_to_string(dir.join("audit.vkey")).unwrap().trim().parse().unwrap();
    Trust { keys: vec![key], ..Trust::default() }
}

#[test]
fn f4_a_disk_that_fills_up_in_the_middle_of_segments_costs_no_acknowledged_record() {
    let test = "f4_a_disk_that_fills_up_in_the_middle_of_segments_costs_no_acknowledged_record";
    let Some(disk) = Disk::new(test, "256k") else { return };
    let dir = disk.path.join("audit");
    // Sizes differ, so that the disk is full now in an append, now in a checkpoint, now in a rotation.
    for ballast in [0, 9, 17, 26, 38] {
        let _ = fs::remove_dir_all(&dir);
        fs::write(disk.path.join("ballast"), vec![1; ballast * 1024]).unwrap();
        let log = Log::open_with(&dir, options()).unwrap();
        let mut last = None;
        let full = (0..2000).find(|call| match log.append(&refusal(*call)) {
            Ok(receipt) => {
                last = Some(receipt.head());
                false
            }
            Err(error) => {
                assert!(matches!(error, AuditError::Write(_)), "{error:?}");
                true
            }
        });
        assert!(full.is_some() && log.is_refusing(), "ballast {ballast}: the disk is full");
        let trust = Trust { head: last, ..trust(&dir) };
        let report = verify_with(&dir, &trust).unwrap();
        assert!(report.is_sound(), "ballast {ballast}: {:?}", report.findings);
        // There is room again: the gap is recorded, and the log goes on and rotates.
        fs::remove_file(disk.path.join("ballast")).unwrap();
        mount(None::<&str>, &disk.path, None::<&str>, MsFlags::MS_REMOUNT, Some("size=4m")).unwrap();
        for call in 0..100 {
            log.append(&refusal(call)).unwrap();
        }
        log.close().unwrap();
        drop(log);
        let report = verify_with(&dir, &trust).unwrap();
        assert!(report.is_sound() && report.summary.gaps == 1, "ballast {ballast}: {:?}", report.findings);
        assert_eq!(report.summary.recoveries, 0, "nothing torn was left behind");
        fs::remove_dir_all(&dir).unwrap();
        mount(None::<&str>, &disk.path, None::<&str>, MsFlags::MS_REMOUNT, Some("size=256k")).unwrap();
    }
}

#[test]
fn f4_a_disk_that_becomes_read_only_refuses_and_is_gone_on_with_afterwards() {
    let test = "f4_a_disk_that_becomes_read_only_refuses_and_is_gone_on_with_afterwards";
    let Some(disk) = Disk::new(test, "4m") else { return };
    let dir = disk.path.join("audit");
    let log = Log::open_with(&dir, options()).unwrap();
    for call in 0..50 {
        log.append(&refusal(call)).unwrap();
    }
    let head = log.close().unwrap();
    drop(log);
    disk.remount(MsFlags::MS_RDONLY);
    assert!(Log::open_with(&dir, options()).is_err());
    let report = verify_with(&dir, &Trust { head: Some(head), ..trust(&dir) }).unwrap();
    assert!(report.is_sound(), "an auditor can read it all the same: {:?}", report.findings);
    disk.remount(MsFlags::empty());
    let log = Log::open_with(&dir, options()).unwrap();
    log.append(&refusal(1)).unwrap();
    drop(log);
    assert!(verify_with(&dir, &trust(&dir)).unwrap().is_sound());
}

/// Real power cuts of a real file system: a file is its disk, and copies of that file are what a cut leaves.
#[test]
fn g8_copies_of_a_mounted_disk_under_a_writing_log_open_and_have_what_was_promised() {
    let test = "g8_copies_of_a_mounted_disk_under_a_writing_log_open_and_have_what_was_promised";
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let image = folder.path().join("disk.img");
    let run = |program: &str, arguments: &[&Path]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
    let mounted = folder.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    let attach = |image: &Path, at: &Path| run("mount", &[Path::new("-o"), Path::new("loop"), image, at]);
    if !run("mkfs.ext4", &[Path::new("-q"), &image]) || !attach(&image, &mounted) {
        println!("SKIPPED: {test}: cannot make and mount an ext4 in a file here");
        return;
    }
    let _mounted = Mounted(mounted.clone());
    let full = std::env::var("STOCKADE_CYCLES").is_ok_and(|size| size == "full");
    let cuts = if full { 200 } else { 8 };
    let mut copies = Vec::new();
    {
        let dir = mounted.join("audit");
        let log = Log::open_with(&dir, options()).unwrap();
        let trust = trust(&dir);
        for cut in 0..cuts {
            for call in 0..23 {
                log.append(&refusal(call)).unwrap();
            }
            let head = log.append_durable(&refusal(99)).unwrap().head();
            log.append(&refusal(100)).unwrap();
            let copy = folder.path().join(format!("copy-{cut}.img"));
            // A cut is one moment: a copy during which the disk was written to is taken again.
            while {
                fs::copy(&image, &copy).unwrap();
                fs::read(&image).unwrap() != fs::read(&copy).unwrap()
            } {}
            copies.push((copy, Trust { head: Some(head), ..trust.clone() }));
            if copies.len() == 8 {
                copies
                    .drain(..)
                    .for_each(|(copy, trust)| after_the_cut(&copy, &trust, folder.path(), &attach));
            }
        }
    }
    copies.drain(..).for_each(|(copy, trust)| after_the_cut(&copy, &trust, folder.path(), &attach));
}

fn after_the_cut(copy: &Path, trust: &Trust, folder: &Path, attach: &impl Fn(&Path, &Path) -> bool) {
    let at = folder.join("after");
    fs::create_dir_all(&at).unwrap();
    assert!(attach(copy, &at), "the copy can be mounted: its journal is replayed");
    let mounted = Mounted(at.clone());
    let dir = at.join("audit");
    Log::open_with(&dir, options()).map(drop).unwrap_or_else(|error| panic!("{}: {error:?}", copy.display()));
    let report = verify_with(&dir, trust).unwrap();
    assert!(report.is_sound(), "{}: {:?}", copy.display(), report.findings);
    drop(mounted);
    fs::remove_file(copy).unwrap();
}

//! The corpus: inputs that the fuzzer found worth keeping, one file each, replayed by every test run.

use std::fs;
use std::path::{Path, PathBuf};

/// A target's folder in the repository.
pub fn folder(target: &str) -> PathBuf {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo and `cargo xtask test` say where we are");
    Path::new(&root).join("corpus").join(target)
}

/// Puts its seeds and then every input of its corpus, in the order of their names, through a target. Says
/// how many came from the corpus.
///
/// # Panics
/// Where the target does; the input is named on stderr.
pub fn replay(target: &str, seeds: &[Vec<u8>], run: fn(&[u8])) -> usize {
    for (number, seed) in seeds.iter().enumerate() {
        let name = PathBuf::from(format!("seed-{number:03} of tests/fuzz/src/seeds.rs"));
        let told = Told { file: &name, target };
        run(seed);
        drop(told);
    }
    let mut files: Vec<PathBuf> = fs::read_dir(folder(target))
        .expect("the corpus is checked in")
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    files.sort();
    for file in &files {
        let input = fs::read(file).expect("the input can be read");
        let told = Told { file, target };
        run(&input);
        drop(told);
    }
    files.len()
}

/// Names the input if the run does not come to its end.
struct Told<'a> {
    file: &'a Path,
    target: &'a str,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.file.display());
            if self.file.is_file() {
                eprintln!(
                    "to run it alone: cargo xtask fuzz {} --replay {}",
                    self.target,
                    self.file.display()
                );
            }
        }
    }
}

//! Builds the components that the suite brings along from their text form: the stand-in for the probe, and
//! the hostile ones below `src/guests/wat`, each as NAME.wasm in the output folder.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the folder"));
    build(Path::new("src/stand_in.wat"), &out);
    let guests = Path::new("src/guests/wat");
    println!("cargo::rerun-if-changed=src/guests");
    let Ok(entries) = fs::read_dir(guests) else { return };
    for entry in entries {
        let path = entry.expect("a folder that can be read").path();
        if path.extension().is_some_and(|extension| extension == "wat") {
            build(&path, &out);
        }
    }
}

fn build(source: &Path, out: &Path) {
    println!("cargo::rerun-if-changed={}", source.display());
    let bytes = wat::parse_file(source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    let name = source.with_extension("wasm");
    let name = name.file_name().expect("a file has a name");
    fs::write(out.join(name), bytes).expect("the output folder is writable");
}

//! The guest in C: bindings from wit-bindgen, clang, wasi-libc.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

use super::component::component;
use super::process::{is_installed, need, run};
use super::{GUESTS, Made, Places, Progress};

const PACKAGES: [&str; 4] = ["clang-19", "lld-19", "libclang-rt-19-dev-wasm32", "wasi-libc"];

pub(super) fn build(places: &Places, wasi: bool, progress: Progress<'_>) -> Result<Made> {
    let present = || {
        is_installed("clang-19") && is_installed("wasm-ld-19") && is_installed("/usr/lib/wasm32-wasi/libc.a")
    };
    need("clang 19 for WebAssembly", &PACKAGES, present, progress)?;

    let folder = places.work.join("c");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (name, content) in bindings(places)?.iter() {
        fs::write(folder.join(name), content).with_context(|| format!("cannot write {name}"))?;
    }
    let source = places.root.join(GUESTS).join("c").join(if wasi { "greet_wasi.c" } else { "greet.c" });
    let module = folder.join("core.wasm");
    let mut clang = Command::new("clang-19");
    clang.current_dir(&folder).arg("-I.");
    clang.args(["--target=wasm32-wasi", "--sysroot=/usr", "-Oz", "-mexec-model=reactor"]);
    clang.args(["-fuse-ld=/usr/bin/wasm-ld-19", "-Wl,-s", "-Wall", "-Werror"]);
    clang.arg("-o").arg(&module).arg(source).args(["greet.c", "greet_component_type.o"]);
    run(&mut clang, progress)?;
    let wasm = fs::read(&module).with_context(|| format!("clang left no {}", module.display()))?;
    Ok((component(&wasm)?, "clang-19, wasi-libc".into()))
}

fn bindings(places: &Places) -> Result<Files> {
    let mut resolve = Resolve::default();
    let package = resolve.push_file(places.root.join(GUESTS).join("wit/greet.wit"))?;
    let world = resolve.select_world(&[package], None)?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    Ok(files)
}

//! Guests in Rust, with the targets of the installed toolchain or, where none can be had, with
//! Debian's compiler and a standard library built on the spot.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::component::component;
use super::process::{is_installed, need, output, run};
use super::{Made, Places, Progress};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// No WASI at all.
    Bare,
    Wasip1,
    Wasip2,
}

impl Target {
    fn triple(self) -> &'static str {
        match self {
            Self::Bare => "wasm32-unknown-unknown",
            Self::Wasip1 => "wasm32-wasip1",
            Self::Wasip2 => "wasm32-wasip2",
        }
    }
}

#[derive(Clone, Copy)]
enum Toolchain {
    /// `cargo` of this build, its target installed.
    Installed,
    /// Debian's rustc-web with `-Z build-std`.
    Debian,
}

/// Set to `debian` to take Debian's compiler though the target is installed: so the way of a machine
/// without rustup can be tested on one with it.
const CHOICE: &str = "STOCKADE_GUEST_RUST";

/// What cargo sets for us and must not pass on to a build for another target.
const INHERITED: [&str; 8] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CARGO_MANIFEST_DIR",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
];

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19", "wasi-libc"];
const WASI_LIBC: &str = "/usr/lib/wasm32-wasi";

/// Builds `package` of the guest workspace in `folder` as a component.
pub(super) fn build(
    places: &Places,
    folder: &str,
    package: &str,
    target: Target,
    progress: Progress<'_>,
) -> Result<Made> {
    let toolchain = find(target, progress)?;
    // Debian has no linker for wasip2; wasip1 and the adapter give the same imports.
    let built_for = match (toolchain, target) {
        (Toolchain::Debian, Target::Wasip2) => Target::Wasip1,
        _ => target,
    };
    let (mut cargo, name) = match toolchain {
        Toolchain::Installed => (Command::new("cargo"), "cargo"),
        Toolchain::Debian => (debian(built_for), "cargo-web -Z build-std"),
    };
    let out = places.work.join(match toolchain {
        Toolchain::Installed => "cargo",
        Toolchain::Debian => "cargo-debian",
    });
    let manifest = places.root.join(folder).join("Cargo.toml");
    cargo.args(["build", "--release", "--locked", "--package", package, "--target", built_for.triple()]);
    cargo.arg("--manifest-path").arg(&manifest).arg("--target-dir").arg(&out);
    if matches!(toolchain, Toolchain::Installed) {
        for variable in INHERITED {
            cargo.env_remove(variable);
        }
    }
    run(&mut cargo, progress)?;

    let file =
        out.join(built_for.triple()).join("release").join(format!("{}.wasm", package.replace('-', "_")));
    let wasm = fs::read(&file).with_context(|| format!("cargo left no {}", file.display()))?;
    Ok((component(&wasm)?, format!("{name}, {}", built_for.triple())))
}

fn find(target: Target, progress: Progress<'_>) -> Result<Toolchain> {
    if env::var_os(CHOICE).is_none_or(|choice| choice != "debian") {
        if has_target(target) {
            return Ok(Toolchain::Installed);
        }
        if is_installed("rustup") {
            progress(&format!("rustup target add {}", target.triple()));
            let added = run(Command::new("rustup").args(["target", "add", target.triple()]), progress);
            if added.is_ok() && has_target(target) {
                return Ok(Toolchain::Installed);
            }
        }
    }
    let present = || {
        let standard_library =
            output(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"])).is_some_and(|sysroot| {
                Path::new(&sysroot).join("lib/rustlib/src/rust/library/std/Cargo.toml").exists()
            });
        standard_library
            && is_installed(DEBIAN_CARGO)
            && is_installed("wasm-ld-19")
            && Path::new(WASI_LIBC).exists()
    };
    need("a Rust toolchain for WebAssembly", &DEBIAN_PACKAGES, present, progress).with_context(|| {
        format!("`rustup target add {}` did not help, and Debian's compiler is not there", target.triple())
    })?;
    Ok(Toolchain::Debian)
}

fn has_target(target: Target) -> bool {
    let folder =
        output(Command::new("rustc").args(["--print", "target-libdir", "--target", target.triple()]));
    folder.and_then(|folder| fs::read_dir(folder).ok()).is_some_and(|mut files| {
        files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
    })
}

fn debian(target: Target) -> Command {
    let mut cargo = Command::new(DEBIAN_CARGO);
    for variable in INHERITED.iter().chain(&["CARGO", "RUSTUP_TOOLCHAIN", "RUSTDOC"]) {
        cargo.env_remove(variable);
    }
    let triple = target.triple().to_uppercase().replace('-', "_");
    // build-std is unstable; the variable is how a stable compiler takes it.
    cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
    cargo.env(format!("CARGO_TARGET_{triple}_LINKER"), "wasm-ld-19");
    if target == Target::Wasip1 {
        // Debian's standard library brings no C library of its own.
        let flags = format!(
            "-Clink-self-contained=no -Clinker-flavor=wasm-ld -L{WASI_LIBC} -Clink-arg={WASI_LIBC}/crt1-reactor.o"
        );
        cargo.env(format!("CARGO_TARGET_{triple}_RUSTFLAGS"), flags);
    }
    cargo.args(["-Z", "build-std=std,panic_abort"]);
    cargo
}

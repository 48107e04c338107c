//! Folders and files that may or may not be plugins.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use stockade_package::{Explain, MAX_COMPONENT, Package};
use stockade_policy::PluginType;
use tempfile::TempDir;

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

const MANIFEST: &str = "manifest = 1\nname = \"a/b\"\nversion = \"1.2.3\"\ntype = \"node\"\ncontract = \"0.1\"\n\
     description = \"d\"\ncomponent = \"c.wasm\"\n";

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("plugin.toml"), MANIFEST).expect("written");
    fs::write(folder.path().join("c.wasm"), COMPONENT).expect("written");
    folder
}

/// The problem without the folder's random name.
fn problem(path: &Path, plugin_type: Option<PluginType>) -> String {
    let problem = Package::open(path, plugin_type).expect_err("no plugin").problem();
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    format!("{}\n  {}\n  at {}\n  {}", problem.code, problem.message, problem.field, problem.next_step)
        .replace(&folder.display().to_string(), "DIR")
}

fn code(path: &Path) -> &'static str {
    Package::open(path, Some(PluginType::Node)).expect_err("no plugin").problem().code
}

#[test]
fn a_folder_is_read_once_and_whole() {
    let folder = folder();
    let package = Package::open(folder.path(), None).expect("a package");
    assert_eq!(
        (package.identity.name.as_str(), package.identity.version.to_string()),
        ("a/b", "1.2.3".into())
    );
    assert_eq!(package.component, COMPONENT);
    assert!(Package::open(folder.path(), Some(PluginType::Node)).is_ok());
}

#[test]
fn a_bare_component_is_named_after_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    for (file, name) in
        [("Hello World.wasm", "local/hello-world"), ("-.wasm", "local/plugin"), ("ü", "local/plugin")]
    {
        let path = folder.path().join(file);
        fs::write(&path, COMPONENT).expect("written");
        let package = Package::open(&path, Some(PluginType::Agent)).expect("a package");
        assert_eq!(package.identity.name, name);
        assert_eq!(package.identity.version.to_string(), "0.0.0");
    }
}

#[test]
fn what_is_no_component_is_told_with_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    };
    let node = Some(PluginType::Node);
    insta::assert_snapshot!(problem(&file("text.wasm", b"#!/bin/sh\necho"), node), @r#"
    not-wasm
      "DIR/text.wasm" is not WebAssembly
      at DIR/text.wasm
      name a WebAssembly component in the binary format
    "#);
    insta::assert_snapshot!(problem(&file("module.wasm", MODULE), node), @r#"
    core-module
      "DIR/module.wasm" is a core module, not a component
      at DIR/module.wasm
      make a component of it: wasm-tools component new MODULE.wasm -o COMPONENT.wasm
    "#);
    insta::assert_snapshot!(problem(&file("future.wasm", b"\0asm\x0e\0\x01\0"), node), @r#"
    unsupported-wasm
      "DIR/future.wasm" is WebAssembly of an unknown version 0xe, layer 0x1
      at DIR/future.wasm
      rebuild with a toolchain that makes components of version 0xd
    "#);
    insta::assert_snapshot!(problem(&file("bare.wasm", COMPONENT), None), @r#"
    type-needed
      a bare component does not say of what type it is
      at --type
      say --type node, integration, agent or quality_gate
    "#);
    insta::assert_snapshot!(problem(&folder.path().join("none.wasm"), node), @r#"
    plugin-not-found
      there is no plugin at "DIR/none.wasm"
      at DIR/none.wasm
      name a folder with a plugin.toml, or a component file
    "#);
    insta::assert_snapshot!(problem(folder.path(), node), @r#"
    no-manifest
      the folder "DIR" has no plugin.toml
      at DIR
      name the component file itself with --type, or write a plugin.toml
    "#);
    assert_eq!(code(&file("empty.wasm", b"")), "not-wasm");
    assert_eq!(code(&file("short.wasm", &COMPONENT[..7])), "not-wasm");
    assert_eq!(code(&file("text.wasm", b"(component)")), "not-wasm");
    assert_eq!(code(&folder.path().join("text.wasm/x")), "plugin-not-found");
}

#[test]
fn a_type_that_contradicts_the_manifest_is_refused() {
    insta::assert_snapshot!(problem(folder().path(), Some(PluginType::Agent)), @r#"
    type-conflict
      the manifest says that this plugin is of type node, not agent
      at --type
      leave --type out; the type of a plugin with a manifest is the manifest's
    "#);
}

#[test]
fn a_component_that_is_not_there_is_named() {
    let folder = folder();
    fs::remove_file(folder.path().join("c.wasm")).expect("removed");
    insta::assert_snapshot!(problem(folder.path(), None), @r#"
    component-missing
      the component "c.wasm" is not in the plugin's folder
      at c.wasm
      build the plugin, or correct `component` in plugin.toml
    "#);
}

#[test]
fn links_lead_to_files_of_the_folder_and_nowhere_else() {
    let (folder, outside) = (folder(), folder());
    let component = folder.path().join("c.wasm");
    let relink = |target: &Path| {
        fs::remove_file(&component).expect("removed");
        symlink(target, &component).expect("linked");
    };
    fs::write(folder.path().join("real.wasm"), COMPONENT).expect("written");
    relink(Path::new("real.wasm"));
    assert!(Package::open(folder.path(), None).is_ok());
    relink(&outside.path().join("c.wasm"));
    insta::assert_snapshot!(problem(folder.path(), None), @r#"
    component-outside
      the file "c.wasm" is reached through a link that leaves the plugin's folder
      at c.wasm
      put the file itself into the plugin's folder instead of the link
    "#);
    relink(Path::new("../../../../../../../../etc/passwd"));
    assert_eq!(code(folder.path()), "component-outside");
    relink(Path::new("/proc/self/exe"));
    assert_eq!(code(folder.path()), "component-outside");
    relink(Path::new("c.wasm"));
    assert_eq!(code(folder.path()), "component-outside");
}

#[test]
fn a_manifest_that_is_a_link_to_a_secret_does_not_come_back_in_the_error() {
    let folder = folder();
    let manifest = folder.path().join("plugin.toml");
    fs::remove_file(&manifest).expect("removed");
    symlink("/etc/passwd", &manifest).expect("linked");
    assert!(!problem(folder.path(), None).contains("root:"));
    assert_eq!(code(folder.path()), "component-outside");
}

#[test]
fn what_is_not_a_regular_file_is_not_waited_for() {
    let folder = folder();
    fs::remove_file(folder.path().join("c.wasm")).expect("removed");
    fs::create_dir(folder.path().join("c.wasm")).expect("made");
    assert_eq!(code(folder.path()), "not-a-file");
    fs::remove_dir(folder.path().join("c.wasm")).expect("removed");
    let fifo = std::process::Command::new("mkfifo").arg(folder.path().join("c.wasm")).status();
    assert!(fifo.expect("mkfifo").success());
    assert_eq!(code(folder.path()), "not-a-file");
    assert_eq!(code(Path::new("/dev/zero")), "not-a-file");
}

#[test]
fn files_over_their_caps_are_refused_unread() {
    let folder = folder();
    let component = fs::File::options().write(true).open(folder.path().join("c.wasm")).expect("a file");
    component.set_len(MAX_COMPONENT + 1).expect("grown");
    insta::assert_snapshot!(problem(folder.path(), None), @r#"
    too-large
      "DIR/c.wasm" is larger than 67108864 bytes
      at DIR/c.wasm
      build for size and strip debug information
    "#);
    fs::write(folder.path().join("plugin.toml"), format!("{MANIFEST}#{}", "x".repeat(64 * 1024)))
        .expect("written");
    assert_eq!(code(folder.path()), "too-large");
}

#[test]
fn a_manifest_that_is_not_a_text_is_told() {
    let folder = folder();
    fs::write(folder.path().join("plugin.toml"), b"manifest = 1\nname = \"\xff\"").expect("written");
    insta::assert_snapshot!(problem(folder.path(), None), @r#"
    manifest-not-utf8
      the manifest is not UTF-8
      at plugin.toml:2:9
      save plugin.toml as UTF-8
    "#);
}

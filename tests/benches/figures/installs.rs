//! What an install takes besides compiling, and looking at a thousand plugins that are installed.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use stockade_tests::{dist, guest, served};

use super::{Figure, measure, timed};

const PLUGINS: u32 = 1000;

fn stockade(arguments: &[&str]) {
    let output =
        Command::new(dist().join("stockade")).args(arguments).output().expect("the program is there");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

pub(super) fn figures(times: usize) -> Vec<Figure> {
    let site = served::Site::new();
    let folder = site.path("author");
    fs::create_dir(&folder).expect("writable");
    fs::copy(guest("greet-js.wasm"), folder.join("greet.wasm")).expect("the guest is built");
    let manifest = "manifest = 1\nname = \"acme/greet\"\nversion = \"1.0.0\"\ndescription = \"Greets.\"\n\
                    type = \"node\"\ncontract = \"0.1\"\ncomponent = \"greet.wasm\"\nlicense = \"Apache-2.0\"\n";
    fs::write(folder.join("plugin.toml"), manifest).expect("writable");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (key, package) = (text(&site.path("author.key")), text(&site.path("greet.stockade.tar")));
    stockade(&["key", "new", &key]);
    stockade(&["sign", &text(&folder), "--key", &key]);
    let run = |arguments: &[&str]| {
        let output = site.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    run(&["pack", &text(&folder), "-o", &package]);

    let bytes = fs::read(&package).expect("it is there");
    let (from, to) = (site.path("coming"), site.path("kept"));
    let floor = measure(times, || {
        timed(|| {
            let mut file = File::create(&from).expect("writable");
            file.write_all(&bytes).and_then(|()| file.sync_all()).expect("there is room");
            fs::rename(&from, &to).expect("writable");
            File::open(to.parent().expect("a folder"))
                .and_then(|folder| folder.sync_all())
                .expect("readable");
        })
    });
    // The artifact is compiled with the first, and kept.
    run(&["install", &package]);
    let install = measure(times, || {
        run(&["uninstall", "acme/greet"]);
        timed(|| run(&["install", &package]))
    });
    fill(&site);
    let list = measure(times, || timed(|| run(&["list"])));
    let version = measure(times, || timed(|| drop(site.run(&["--version"]))));
    let size = bytes.len() as f64 / f64::from(1 << 20);
    vec![
        Figure {
            what: format!("install: a package of {size:.1} MiB that is compiled"),
            floor: "write, rename and sync of the same bytes".into(),
            value: install.in_milliseconds(),
            base: Some(floor.in_milliseconds()),
            goal: "≤ 150 ms",
            unit: "ms",
        },
        Figure {
            what: format!("install: `stockade list` of {PLUGINS} plugins"),
            floor: "`stockade --version`".into(),
            value: list.in_milliseconds(),
            base: Some(version.in_milliseconds()),
            goal: "≤ 50 ms",
            unit: "ms",
        },
    ]
}

/// As many plugins as that, by copies of the one that is installed: looking at the list holds it against nothing.
fn fill(site: &served::Site) {
    let mut list = rusqlite::Connection::open(site.state().join("installed.sqlite")).expect("it is a list");
    let filling = list.transaction().expect("nobody else is at it");
    for number in 1..PLUGINS {
        let name = format!("acme/p{number}");
        let copy = "INSERT INTO generation (plugin, version, type, package, component, bytes, origin, setup, signed_by, \
                    dependencies, made) SELECT ?1, version, type, package, component, bytes, origin, setup, signed_by, \
                    dependencies, made FROM generation LIMIT 1";
        filling.execute(copy, [&name]).expect("a row");
        let of = "INSERT INTO plugin SELECT ?1, last_insert_rowid(), NULL, 0, highest FROM plugin LIMIT 1";
        filling.execute(of, [&name]).expect("a row");
    }
    filling.commit().expect("there is room");
}

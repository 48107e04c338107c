//! Ways out of the granted folders. Each is tried through the standard library and again below it:
//! libc refuses some paths by itself, and then nobody but the plugin would know.

use std::fs;

use serde::Deserialize;
use stockade_sdk::ToolError;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

use crate::attempt::Attempt;

const SECRET: &str = "/etc/passwd";

pub(crate) fn read_outside() -> Attempt {
    let mut ways = vec![("std".to_owned(), read(SECRET))];
    ways.extend(through_each_folder(SECRET, PathFlags::empty()));
    Attempt::any(format!("read {SECRET}"), ways)
}

pub(crate) fn dot_dot() -> Attempt {
    let mut ways = Vec::new();
    for (_, name) in get_directories() {
        let root = name.trim_end_matches('/');
        for path in [
            format!("{root}/../../../../../../../..{SECRET}"),
            format!("{root}/./../.././..{SECRET}"),
            format!("{root}/..//..//..{SECRET}"),
        ] {
            let result = read(&path);
            ways.push((path, result));
        }
    }
    for path in [
        "..",
        "../etc/passwd",
        "./../../etc/passwd",
        "a/../../etc/passwd",
        "..\\..\\etc\\passwd",
        "\0/../etc",
    ] {
        ways.extend(through_each_folder(path, PathFlags::SYMLINK_FOLLOW));
    }
    if ways.is_empty() {
        ways.push(("..".into(), Err("no folder is granted to start from".into())));
    }
    Attempt::any("leave a granted folder by `..`", ways)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    path: String,
}

pub(crate) fn symlink(Link { path }: Link) -> Result<Attempt, ToolError> {
    Ok(Attempt::new(format!("read through the link {path}"), read(&path)))
}

pub(crate) fn write() -> Attempt {
    let mut ways = Vec::new();
    for (folder, name) in get_directories() {
        let root = name.trim_end_matches('/');
        ways.push((
            format!("{root}/planted"),
            fs::write(format!("{root}/planted"), "x")
                .map(|()| "written".into())
                .map_err(|error| error.to_string()),
        ));
        let created =
            folder.open_at(PathFlags::empty(), "planted", OpenFlags::CREATE, DescriptorFlags::WRITE);
        ways.push((
            format!("create in {name}"),
            created.map(|_| "created".into()).map_err(|code| code.message().into()),
        ));
        let made = folder.create_directory_at("planted.d");
        ways.push((
            format!("mkdir in {name}"),
            made.map(|()| "made".into()).map_err(|code| code.message().into()),
        ));
        let linked = folder.symlink_at(SECRET, "planted.link");
        ways.push((
            format!("symlink in {name}"),
            linked.map(|()| "linked".into()).map_err(|code| code.message().into()),
        ));
    }
    if ways.is_empty() {
        ways.push((
            "/planted".into(),
            fs::write("/planted", "x").map(|()| "written".into()).map_err(|error| error.to_string()),
        ));
    }
    Attempt::any("write into a granted folder", ways)
}

fn read(path: &str) -> Result<String, String> {
    fs::read(path).map(|bytes| format!("{} bytes", bytes.len())).map_err(|error| error.to_string())
}

fn through_each_folder(path: &str, follow: PathFlags) -> Vec<(String, Result<String, String>)> {
    let open = |(folder, name): (wasip2::filesystem::types::Descriptor, String)| {
        let opened = folder.open_at(follow, path, OpenFlags::empty(), DescriptorFlags::READ);
        let result = opened.map(|_| "opened".to_owned()).map_err(|code| code.message().to_owned());
        (format!("open {} under {name}", path.escape_debug()), result)
    };
    get_directories().into_iter().map(open).collect()
}

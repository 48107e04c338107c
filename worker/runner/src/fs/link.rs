//! Which function of `wasi:filesystem` is which.

use stockade_policy::{GuestPath, Rule};
use wasmtime::component::{LinkerInstance, Resource, Val};

use super::directory::Handle;
use super::wit::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, MetadataHash, OpenFlags, PathFlags,
};
use super::{Descriptor, Listing};
use crate::io::{InputStream, IoError, READ};
use crate::state::{Cx, State};

pub(crate) fn preopens(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    if name != "get-directories" {
        return Ok(false);
    }
    at.func_wrap(name, |mut cx: Cx<'_>, ()| {
        let state = cx.data_mut();
        let mut roots: Vec<GuestPath> = state.grants.read_roots().cloned().collect();
        // A libc answers for paths below no preopen by itself. Through `/` every attempt gets here, is
        // decided like any other, and leaves its record.
        if !roots.iter().any(GuestPath::is_root) {
            roots.push(GuestPath::root());
        }
        let named = roots.into_iter().map(|root| {
            let name = root.as_str().to_owned();
            Ok((state.table.push(Descriptor::Directory(root))?, name))
        });
        Ok((named.collect::<wasmtime::Result<Vec<(Handle, String)>>>()?,))
    })?;
    Ok(true)
}

pub(crate) fn types(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    match name {
        "[method]descriptor.read-via-stream" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it, from): (Handle, u64)| {
                let table = &mut cx.data_mut().table;
                let stream = match table.get(&it)? {
                    Descriptor::File { file, .. } => InputStream::File(file.clone(), from),
                    Descriptor::Directory(_) => return Ok((Err(ErrorCode::IsDirectory),)),
                };
                Ok((Ok(table.push(stream)?),))
            })?;
        }
        "[method]descriptor.read" => {
            at.func_wrap(name, |cx: Cx<'_>, (it, len, from): (Handle, u64, u64)| {
                Ok((match cx.data().table.get(&it)? {
                    Descriptor::Directory(_) => Err(ErrorCode::IsDirectory),
                    Descriptor::File { file, .. } => match file.read_at(len.min(READ), from) {
                        Ok(bytes) => {
                            let end = bytes.is_empty() && len > 0;
                            Ok((bytes, end))
                        }
                        Err(_) => Err(ErrorCode::Io),
                    },
                },))
            })?
        }
        "[method]descriptor.advise" => {
            at.func_wrap(name, |_: Cx<'_>, _: (Handle, u64, u64, Advice)| Ok((Ok::<(), ErrorCode>(()),)))?;
        }
        // There is nothing to bring to the disk.
        "[method]descriptor.sync" | "[method]descriptor.sync-data" => {
            at.func_wrap(name, |_: Cx<'_>, _: (Handle,)| Ok((Ok::<(), ErrorCode>(()),)))?;
        }
        "[method]descriptor.get-flags" => {
            at.func_wrap(name, |_: Cx<'_>, _: (Handle,)| Ok((Ok::<_, ErrorCode>(DescriptorFlags::READ),)))?
        }
        "[method]descriptor.get-type" => at.func_wrap(name, |cx: Cx<'_>, (it,): (Handle,)| {
            Ok((Ok::<_, ErrorCode>(match cx.data().table.get(&it)? {
                Descriptor::Directory(_) => DescriptorType::Directory,
                Descriptor::File { .. } => DescriptorType::RegularFile,
            }),))
        })?,
        "[method]descriptor.stat" => at.func_wrap(name, |mut cx: Cx<'_>, (it,): (Handle,)| {
            Ok((cx.data_mut().stat(&it)?.map(|stat| DescriptorStat::from(&stat)),))
        })?,
        "[method]descriptor.stat-at" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it, flags, path): (Handle, PathFlags, String)| {
                Ok((cx.data_mut().stat_at(&it, flags, &path)?.map(|stat| DescriptorStat::from(&stat)),))
            })?;
        }
        "[method]descriptor.metadata-hash" => at.func_wrap(name, |mut cx: Cx<'_>, (it,): (Handle,)| {
            Ok((cx.data_mut().stat(&it)?.map(|stat| hash(stat.identity)),))
        })?,
        "[method]descriptor.metadata-hash-at" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it, flags, path): (Handle, PathFlags, String)| {
                Ok((cx.data_mut().stat_at(&it, flags, &path)?.map(|stat| hash(stat.identity)),))
            })?;
        }
        "[method]descriptor.is-same-object" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (a, b): (Handle, Handle)| {
                let state = cx.data_mut();
                let (a, b) = (state.stat(&a)?, state.stat(&b)?);
                Ok((matches!((a, b), (Ok(a), Ok(b)) if a.identity == b.identity),))
            })?;
        }
        "[method]descriptor.readlink-at" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it, path): (Handle, String)| {
                Ok((cx.data_mut().read_link(&it, &path)?,))
            })?;
        }
        "[method]descriptor.open-at" => {
            type Args = (Handle, PathFlags, String, OpenFlags, DescriptorFlags);
            at.func_wrap(name, |mut cx: Cx<'_>, (it, _, path, open, flags): Args| {
                Ok((cx.data_mut().open_at(&it, &path, open, flags)?,))
            })?;
        }
        "[method]descriptor.read-directory" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it,): (Handle,)| Ok((cx.data_mut().list(&it)?,)))?
        }
        "[method]directory-entry-stream.read-directory-entry" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (listing,): (Resource<Listing>,)| {
                Ok((cx.data_mut().next_entry(&listing)?,))
            })?;
        }
        "filesystem-error-code" => at.func_wrap(name, |_: Cx<'_>, _: (Resource<IoError>,)| {
            // Streams here are files, and reading is all that can fail.
            Ok((Some(ErrorCode::Io),))
        })?,
        // What a link would point to is not what would change.
        "[method]descriptor.symlink-at" => at.func_new(name, |mut cx, _, params, results| {
            results[0] = refuse_change(&mut cx, &[params[0].clone(), params[2].clone()])?;
            Ok(())
        })?,
        changing if CHANGING.contains(&changing) => at.func_new(name, |mut cx, _, params, results| {
            results[0] = refuse_change(&mut cx, params)?;
            Ok(())
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Everything that would change something. All of them return `result<.., error-code>`.
const CHANGING: [&str; 11] = [
    "[method]descriptor.write-via-stream",
    "[method]descriptor.append-via-stream",
    "[method]descriptor.write",
    "[method]descriptor.set-size",
    "[method]descriptor.set-times",
    "[method]descriptor.set-times-at",
    "[method]descriptor.create-directory-at",
    "[method]descriptor.remove-directory-at",
    "[method]descriptor.unlink-file-at",
    "[method]descriptor.rename-at",
    "[method]descriptor.link-at",
];

fn refuse_change(cx: &mut Cx<'_>, params: &[Val]) -> wasmtime::Result<Val> {
    let mut path = None;
    let mut name = None;
    for param in params {
        match param {
            Val::Resource(handle) => {
                let handle = handle.try_into_resource::<Descriptor>(&mut *cx)?;
                let found = cx.data().table.get(&handle)?.path().clone();
                path.get_or_insert(found);
            }
            Val::String(text) => {
                name.get_or_insert(text);
            }
            _ => {}
        }
    }
    let mut path = path.unwrap_or_else(GuestPath::root);
    if let Some(name) = name {
        match path.resolve(name) {
            Ok(whole) => path = whole,
            Err(error) => {
                let resource = format!("{path}: {name}");
                let rule = Rule::built_in("guest-path");
                cx.data_mut().refused("fs.write", &resource, rule, &error.to_string());
                return Ok(read_only());
            }
        }
    }
    // The guest learns the same whatever the reason.
    let _: ErrorCode = cx.data_mut().no_write(&path);
    Ok(read_only())
}

fn read_only() -> Val {
    Val::Result(Err(Some(Box::new(Val::Enum("read-only".to_owned())))))
}

fn hash((lower, upper): (u64, u64)) -> MetadataHash {
    MetadataHash { lower, upper }
}

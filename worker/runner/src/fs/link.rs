//! Which function of `wasi:filesystem` is which.

use stockade_policy::GuestPath;
use wasmtime::component::{LinkerInstance, Resource};

use super::directory::Handle;
use super::wit::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, MetadataHash, NewTimestamp,
    OpenFlags, PathFlags,
};
use super::{Descriptor, Listing};
use crate::io::{InputStream, IoError, OutputStream, READ};
use crate::state::{Cx, State};

pub(crate) fn preopens(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    if name != "get-directories" {
        return Ok(false);
    }
    at.func_wrap(name, |mut cx: Cx<'_>, ()| {
        let state = cx.data_mut();
        let mut roots: Vec<GuestPath> = state.grants.roots().into_iter().cloned().collect();
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
                    Descriptor::File { file: Some(file), .. } => InputStream::File(file.clone(), from),
                    Descriptor::File { .. } => return Ok((Err(ErrorCode::BadDescriptor),)),
                    Descriptor::Directory(_) => return Ok((Err(ErrorCode::IsDirectory),)),
                };
                Ok((Ok(table.push(stream)?),))
            })?;
        }
        "[method]descriptor.read" => {
            at.func_wrap(name, |cx: Cx<'_>, (it, len, from): (Handle, u64, u64)| {
                Ok((match cx.data().table.get(&it)? {
                    Descriptor::Directory(_) => Err(ErrorCode::IsDirectory),
                    Descriptor::File { file: None, .. } => Err(ErrorCode::BadDescriptor),
                    Descriptor::File { file: Some(file), .. } => match file.read_at(len.min(READ), from) {
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
        "[method]descriptor.sync" | "[method]descriptor.sync-data" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it,): (Handle,)| Ok((cx.data_mut().sync(&it)?,)))?;
        }
        "[method]descriptor.get-flags" => at.func_wrap(name, |cx: Cx<'_>, (it,): (Handle,)| {
            Ok((Ok::<_, ErrorCode>(match cx.data().table.get(&it)? {
                Descriptor::Directory(_) => cx.data().directory_flags(),
                Descriptor::File { file, writing, .. } => {
                    let read = file.as_ref().map_or(DescriptorFlags::default(), |_| DescriptorFlags::READ);
                    let write =
                        writing.as_ref().map_or(DescriptorFlags::default(), |_| DescriptorFlags::WRITE);
                    read | write
                }
            }),))
        })?,
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
                Ok((cx.data_mut().identity_at(&it, flags, &path)?.map(hash),))
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
        "filesystem-error-code" => at.func_wrap(name, |cx: Cx<'_>, (error,): (Resource<IoError>,)| {
            Ok((cx.data().table.get(&error)?.code,))
        })?,
        "[method]descriptor.write-via-stream" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it, from): (Handle, u64)| {
                output(cx.data_mut(), &it, Some(from))
            })?;
        }
        "[method]descriptor.append-via-stream" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it,): (Handle,)| output(cx.data_mut(), &it, None))?;
        }
        "[method]descriptor.write" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it, bytes, from): (Handle, Vec<u8>, u64)| {
                let state = cx.data_mut();
                let to = state.writing(&it)?;
                let written = to.and_then(|to| state.write_file(&to, Some(from), &bytes));
                Ok((written.map(|()| bytes.len() as u64),))
            })?;
        }
        "[method]descriptor.set-size" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it, size): (Handle, u64)| {
                Ok((cx.data_mut().set_size(&it, size)?,))
            })?;
        }
        "[method]descriptor.set-times" => {
            type Args = (Handle, NewTimestamp, NewTimestamp);
            at.func_wrap(name, |mut cx: Cx<'_>, (it, accessed, modified): Args| {
                Ok((cx.data_mut().set_times(&it, [accessed, modified])?,))
            })?;
        }
        "[method]descriptor.set-times-at" => {
            type Args = (Handle, PathFlags, String, NewTimestamp, NewTimestamp);
            at.func_wrap(name, |mut cx: Cx<'_>, (it, _, path, accessed, modified): Args| {
                Ok((cx.data_mut().set_times_at(&it, &path, [accessed, modified])?,))
            })?;
        }
        "[method]descriptor.create-directory-at" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it, path): (Handle, String)| {
                Ok((cx.data_mut().make_directory(&it, &path)?,))
            })?;
        }
        "[method]descriptor.remove-directory-at" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it, path): (Handle, String)| {
                Ok((cx.data_mut().remove(&it, &path, true)?,))
            })?;
        }
        "[method]descriptor.unlink-file-at" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it, path): (Handle, String)| {
                Ok((cx.data_mut().remove(&it, &path, false)?,))
            })?;
        }
        "[method]descriptor.rename-at" => {
            type Args = (Handle, String, Handle, String);
            at.func_wrap(name, |mut cx: Cx<'_>, (it, from, new, to): Args| {
                Ok((cx.data_mut().name((&it, &from), (&new, &to), false)?,))
            })?;
        }
        "[method]descriptor.link-at" => {
            type Args = (Handle, PathFlags, String, Handle, String);
            at.func_wrap(name, |mut cx: Cx<'_>, (it, _, from, new, to): Args| {
                Ok((cx.data_mut().name((&it, &from), (&new, &to), true)?,))
            })?;
        }
        "[method]descriptor.symlink-at" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (it, _, path): (Handle, String, String)| {
                Ok((cx.data_mut().no_symlink(&it, &path)?,))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// A stream of what is written to a file.
fn output(
    state: &mut State,
    it: &Handle,
    from: Option<u64>,
) -> wasmtime::Result<(Result<Resource<OutputStream>, ErrorCode>,)> {
    Ok((match state.writing(it)? {
        Ok(to) => Ok(state.table.push(OutputStream::File(to, from))?),
        Err(error) => Err(error),
    },))
}

fn hash((lower, upper): (u64, u64)) -> MetadataHash {
    MetadataHash { lower, upper }
}

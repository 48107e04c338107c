//! `wasi:keyvalue`: the plugin's own store. What is in it is the host's to keep.

use stockade_ipc::bounds::{KV_ENTRIES, KV_KEYS, NAME, fit};
use stockade_ipc::{Answer, Ask, Bytes};
use wasmtime::component::{ComponentType, LinkerInstance, Lower, Resource};

use crate::state::{Cx, State};

/// `bucket`: there is one.
pub(crate) struct Bucket;

/// `cas`: a value as it was seen.
pub(crate) struct Cas {
    key: String,
    seen: Option<(Vec<u8>, u64)>,
}

#[derive(Clone, ComponentType, Lower)]
#[component(variant)]
enum StoreError {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

#[derive(ComponentType, Lower)]
#[component(variant)]
enum CasError {
    #[component(name = "store-error")]
    Store(StoreError),
    #[component(name = "cas-failed")]
    Failed(Resource<Cas>),
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct KeyResponse {
    keys: Vec<String>,
    cursor: Option<u64>,
}

type Stored<T> = Result<T, StoreError>;
type Linked = wasmtime::Result<bool>;
type This = Resource<Bucket>;

/// What the answer means that is not the one that was hoped for.
impl From<Answer> for StoreError {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Denied => Self::AccessDenied,
            Answer::KvFull => Self::Other("the store is full".to_owned()),
            _ => Self::Other("the store failed".to_owned()),
        }
    }
}

/// Decides, and asks.
fn ask(state: &mut State, ask: Ask) -> Stored<Answer> {
    state.decide(&stockade_policy::Ask::Kv).map_err(|_| StoreError::AccessDenied)?;
    Ok(state.ask(ask).0)
}

fn checked(key: &str) -> Stored<()> {
    if (1..=NAME).contains(&key.len()) {
        Ok(())
    } else {
        Err(StoreError::Other(format!("a key has 1 to {NAME} bytes")))
    }
}

fn get(state: &mut State, key: String) -> Stored<Option<(Vec<u8>, u64)>> {
    checked(&key)?;
    match ask(state, Ask::KvGet { key })? {
        Answer::KvValue(value) => Ok(value.map(|(Bytes(value), number)| (value, number))),
        other => Err(other.into()),
    }
}

fn set(state: &mut State, entries: Vec<(String, Vec<u8>)>) -> Stored<()> {
    entries.iter().try_for_each(|(key, _)| checked(key))?;
    let entries: Vec<_> = entries.into_iter().map(|(key, value)| (key, Bytes(value))).collect();
    fits(entries.iter().map(|(key, value)| key.len() + value.0.len()))?;
    done(ask(state, Ask::KvSet { entries })?)
}

fn delete(state: &mut State, keys: Vec<String>) -> Stored<()> {
    keys.iter().try_for_each(|key| checked(key))?;
    fits(keys.iter().map(String::len))?;
    done(ask(state, Ask::KvDelete { keys })?)
}

fn done(answer: Answer) -> Stored<()> {
    match answer {
        Answer::KvDone => Ok(()),
        other => Err(other.into()),
    }
}

/// Whether what is asked fits into one ask.
fn fits(sizes: impl Iterator<Item = usize>) -> Stored<()> {
    if fit(sizes, KV_KEYS, KV_ENTRIES) {
        Ok(())
    } else {
        Err(StoreError::Other(format!("at most {KV_KEYS} entries of {KV_ENTRIES} bytes together at once")))
    }
}

pub(crate) fn store(name: &str, at: &mut LinkerInstance<'_, State>) -> Linked {
    match name {
        "open" => at.func_wrap(name, |mut cx: Cx<'_>, (identifier,): (String,)| {
            let state = cx.data_mut();
            let opened = match identifier.as_str() {
                "" | "default" => {
                    state.decide(&stockade_policy::Ask::Kv).map_err(|_| StoreError::AccessDenied)
                }
                _ => Err(StoreError::NoSuchStore),
            };
            Ok((match opened {
                Ok(()) => Stored::Ok(state.table.push(Bucket)?),
                Err(error) => Err(error),
            },))
        })?,
        "[method]bucket.get" => at.func_wrap(name, |mut cx: Cx<'_>, (_, key): (This, String)| {
            Ok((get(cx.data_mut(), key).map(|value| value.map(|(value, _)| value)),))
        })?,
        "[method]bucket.set" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (_, key, value): (This, String, Vec<u8>)| {
                Ok((set(cx.data_mut(), vec![(key, value)]),))
            })?;
        }
        "[method]bucket.delete" => at.func_wrap(name, |mut cx: Cx<'_>, (_, key): (This, String)| {
            Ok((delete(cx.data_mut(), vec![key]),))
        })?,
        "[method]bucket.exists" => at.func_wrap(name, |mut cx: Cx<'_>, (_, key): (This, String)| {
            Ok((get(cx.data_mut(), key).map(|value| value.is_some()),))
        })?,
        "[method]bucket.list-keys" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (_, cursor): (This, Option<u64>)| {
                Ok((match ask(cx.data_mut(), Ask::KvKeys { after: cursor.unwrap_or(0) }) {
                    Ok(Answer::KvKeys { keys, next }) => Ok(KeyResponse { keys, cursor: next }),
                    Ok(other) => Err(other.into()),
                    Err(error) => Err(error),
                },))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

pub(crate) fn batch(name: &str, at: &mut LinkerInstance<'_, State>) -> Linked {
    match name {
        "get-many" => at.func_wrap(name, |mut cx: Cx<'_>, (_, keys): (This, Vec<String>)| {
            let mut found = Vec::with_capacity(keys.len().min(1024));
            for key in keys {
                match get(cx.data_mut(), key.clone()) {
                    Ok(value) => found.push(value.map(|(value, _)| (key, value))),
                    Err(error) => return Ok((Err(error),)),
                }
            }
            Ok((Ok(found),))
        })?,
        "set-many" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (_, entries): (This, Vec<(String, Vec<u8>)>)| {
                Ok((set(cx.data_mut(), entries),))
            })?;
        }
        "delete-many" => at.func_wrap(name, |mut cx: Cx<'_>, (_, keys): (This, Vec<String>)| {
            Ok((delete(cx.data_mut(), keys),))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

pub(crate) fn atomics(name: &str, at: &mut LinkerInstance<'_, State>) -> Linked {
    match name {
        "increment" => at.func_wrap(name, |mut cx: Cx<'_>, (_, key, delta): (This, String, u64)| {
            let summed = checked(&key).and_then(|()| ask(cx.data_mut(), Ask::KvAdd { key, delta }));
            Ok((match summed {
                Ok(Answer::KvSum(Some(sum))) => Ok(sum),
                Ok(Answer::KvSum(None)) => Err(StoreError::Other("no number, or none after that".to_owned())),
                Ok(other) => Err(other.into()),
                Err(error) => Err(error),
            },))
        })?,
        "[static]cas.new" => at.func_wrap(name, |mut cx: Cx<'_>, (_, key): (This, String)| {
            let seen = get(cx.data_mut(), key.clone());
            Ok((match seen {
                Ok(seen) => Stored::Ok(cx.data_mut().table.push(Cas { key, seen })?),
                Err(error) => Err(error),
            },))
        })?,
        "[method]cas.current" => at.func_wrap(name, |cx: Cx<'_>, (this,): (Resource<Cas>,)| {
            let cas = cx.data().table.get(&this)?;
            Ok((Stored::Ok(cas.seen.as_ref().map(|(value, _)| value.clone())),))
        })?,
        "swap" => at.func_wrap(name, |mut cx: Cx<'_>, (cas, value): (Resource<Cas>, Vec<u8>)| {
            let state = cx.data_mut();
            let Cas { key, seen } = state.table.delete(cas)?;
            let seen = seen.map(|(_, number)| number);
            let swapped = fits([key.len() + value.len()].into_iter())
                .and_then(|()| ask(state, Ask::KvSwap { key: key.clone(), seen, value: Bytes(value) }));
            Ok((match swapped {
                Ok(Answer::KvDone) => Ok(()),
                // What is there now, to try again with.
                Ok(Answer::KvLost) => match get(state, key.clone()) {
                    Ok(seen) => Err(CasError::Failed(state.table.push(Cas { key, seen })?)),
                    Err(error) => Err(CasError::Store(error)),
                },
                Ok(other) => Err(CasError::Store(other.into())),
                Err(error) => Err(CasError::Store(error)),
            },))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

//! `kv`: the plugin's own store, if the operator gave it one.

use stockade_ipc::bounds::KV_KEYS;
use stockade_ipc::{Answer, Ask, Bytes};

use super::{Broker, Reply, denied};
use crate::store::{Changed, Store};
use crate::trail::{Trail, Unrecorded};

impl Broker {
    pub(super) fn kv(&self, ask: &Ask, trail: &Trail) -> Result<Reply, Unrecorded> {
        if self.allowed(&stockade_policy::Ask::Kv, trail)?.is_none() {
            return denied();
        }
        // Granted, and no store was given: the plugin finds none.
        let Some(store) = &self.store else { return Ok((Answer::KvFailed, None)) };
        let answer = answer(ask, store).unwrap_or_else(|error| {
            tracing::error!(target: "stockade::host", plugin = trail.plugin_name(), %error, "the store failed");
            Answer::KvFailed
        });
        if answer == Answer::KvFull {
            trail.store_is_full()?;
        }
        Ok((answer, None))
    }
}

fn answer(ask: &Ask, store: &Store) -> rusqlite::Result<Answer> {
    Ok(match ask {
        Ask::KvGet { key } => Answer::KvValue(store.get(key)?.map(|(value, number)| (Bytes(value), number))),
        Ask::KvSet { entries } => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| (key.as_str(), value.0.as_slice())).collect();
            said(store.set(&entries)?)
        }
        Ask::KvDelete { keys } => said(store.delete(&keys.iter().map(String::as_str).collect::<Vec<_>>())?),
        Ask::KvKeys { after } => {
            let keys = store.keys(*after, KV_KEYS)?;
            let next = keys.last().filter(|_| keys.len() == KV_KEYS).map(|(place, _)| *place);
            Answer::KvKeys { keys: keys.into_iter().map(|(_, key)| key).collect(), next }
        }
        Ask::KvAdd { key, delta } => match store.add(key, *delta)? {
            (Changed::Done, sum) => Answer::KvSum(sum),
            (changed, _) => said(changed),
        },
        Ask::KvSwap { key, seen, value } => said(store.swap(key, *seen, &value.0)?),
        _ => Answer::KvFailed,
    })
}

fn said(changed: Changed) -> Answer {
    match changed {
        Changed::Done => Answer::KvDone,
        Changed::Full => Answer::KvFull,
        Changed::Lost => Answer::KvLost,
    }
}

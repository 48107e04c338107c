//! The whole of what a worker can have the host do: one arm for each [`Ask`]. Every arm decides first,
//! by the same [`decide`] as the worker and over the host's own copy of the grants, and leaves a record
//! of each refusal before it answers.

mod change;
mod config;
mod delegate;
mod fs;
mod http;
mod kv;
mod model;
mod tool;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use stockade_ipc::{Answer, Ask};
use stockade_policy::{Budget, Decision, Grants, GuestPath, Rule, decide, stands};

use crate::registry::Number;
use crate::store::Store;
use crate::trail::{Trail, Unrecorded};
use change::Change;
pub(crate) use change::{Growth, OpenFiles};
pub(crate) use delegate::Delegation;
pub(crate) use fs::Tree;
pub(crate) use http::{Awaited, Http, Requests};

/// Does for one worker what only the host can.
#[derive(Debug)]
pub(crate) struct Broker {
    grants: Grants,
    trees: Vec<Tree>,
    config: BTreeMap<String, String>,
    growth: Growth,
    http: Http,
    store: Option<Store>,
    delegation: Delegation,
    identity: std::hash::RandomState,
}

/// What one worker has open at the host.
#[derive(Debug, Default)]
pub(crate) struct Open {
    pub(crate) files: OpenFiles,
    pub(crate) requests: Requests,
}

impl Open {
    /// The instance that opened it is gone.
    pub(crate) fn clear(&mut self) {
        self.files.clear();
        self.requests.clear();
    }
}

/// An answer and the descriptor that goes with it.
type Reply = (Answer, Option<OwnedFd>);

impl Broker {
    pub(crate) fn new(
        grants: Grants,
        trees: Vec<Tree>,
        config: BTreeMap<String, String>,
        growth: Growth,
        http: Http,
    ) -> Broker {
        let (identity, delegation) = (std::hash::RandomState::new(), Delegation::default());
        Broker { grants, trees, config, growth, http, store: None, delegation, identity }
    }

    /// Gives the plugin its ways to others.
    pub(crate) fn with_delegation(mut self, delegation: Delegation) -> Broker {
        self.delegation = delegation;
        self
    }

    /// Which plugin it is that this does for.
    pub(crate) fn number(&self) -> Number {
        self.delegation.number
    }

    /// What is left of the plugin's day, where it has a budget.
    pub(crate) fn left_of_day(&self) -> Option<Budget> {
        self.delegation.page.as_ref()?.left()
    }

    /// Gives the plugin a store.
    pub(crate) fn with_store(mut self, store: Option<Store>) -> Broker {
        self.store = store;
        self
    }

    /// Decides, then does.
    pub(crate) fn answer(
        &self,
        ask: &Ask,
        Open { files, requests }: &mut Open,
        trail: &Arc<Trail>,
    ) -> Result<Reply, Unrecorded> {
        match ask {
            Ask::FsOpen { path } => self.reading(path, trail, |path| self.open(path, trail)),
            Ask::FsStat { path } => self.reading(path, trail, |path| self.stat(path, trail)),
            Ask::FsList { path, after } => self.reading(path, trail, |path| self.list(path, *after, trail)),
            Ask::FsOpenWritable { path, make, truncate, read } => self.at("fs.write", path, trail, |path| {
                self.open_writable(path, (*make, *truncate, *read), files, trail)
            }),
            Ask::FsWrite { file, at, bytes } => {
                self.change(*file, Change::Write { at: *at, bytes: &bytes.0 }, files, trail)
            }
            Ask::FsSetSize { file, size } => self.change(*file, Change::SetSize(*size), files, trail),
            Ask::FsStatOpen { file } => self.change(*file, Change::Stat, files, trail),
            Ask::FsSync { file } => self.change(*file, Change::Sync, files, trail),
            Ask::FsClose { file } => self.change(*file, Change::Close, files, trail),
            Ask::FsSetTimes { path, accessed, modified } => {
                self.at("fs.write", path, trail, |path| self.set_times(path, [*accessed, *modified], trail))
            }
            Ask::FsMakeDirectory { path } => {
                self.at("fs.create", path, trail, |path| self.make_directory(path, trail))
            }
            Ask::FsRemove { path, directory } => {
                self.at("fs.delete", path, trail, |path| self.remove(path, *directory, trail))
            }
            Ask::FsName { from, to, keep } => self.at("fs.delete", from, trail, |from| {
                self.at("fs.create", to, trail, |to| self.name(from, to, *keep, trail))
            }),
            Ask::ConfigGet { key } => {
                let ask = stockade_policy::Ask::Config { key };
                self.allowed(&ask, trail)?.map_or(denied(), |_| Ok(self.config(key)))
            }
            Ask::KvGet { .. }
            | Ask::KvSet { .. }
            | Ask::KvDelete { .. }
            | Ask::KvKeys { .. }
            | Ask::KvAdd { .. }
            | Ask::KvSwap { .. } => self.kv(ask, trail),
            Ask::HttpSend { request, .. } => self.http_send(request, requests, trail),
            Ask::HttpWrite { request, bytes } => self.http_write(*request, &bytes.0, requests, trail),
            Ask::HttpFinish { request, trailers } => self.http_finish(*request, trailers, requests, trail),
            Ask::HttpHead { request, .. } => self.http_head(*request, requests, trail),
            Ask::HttpRead { request, .. } => self.http_read(*request, requests, trail),
            Ask::HttpWait { on, .. } => Ok(self.http_ready(on, requests)),
            Ask::HttpClose { request } => self.http_close(*request, requests, trail),
        }
    }

    /// Parses a path that a worker named.
    fn at(
        &self,
        operation: &'static str,
        path: &str,
        trail: &Trail,
        act: impl FnOnce(&GuestPath) -> Result<Reply, Unrecorded>,
    ) -> Result<Reply, Unrecorded> {
        match GuestPath::parse(path) {
            Ok(path) => act(&path),
            // The worker sends only whole, normalised paths; this one went past it.
            Err(error) => {
                trail.malformed_path(operation, path, error)?;
                denied()
            }
        }
    }

    /// Parses and decides a path that is to be read.
    fn reading(
        &self,
        path: &str,
        trail: &Trail,
        act: impl FnOnce(&GuestPath) -> Result<Reply, Unrecorded>,
    ) -> Result<Reply, Unrecorded> {
        self.at("fs.read", path, trail, |path| {
            match self.allowed(&stockade_policy::Ask::FsRead { path }, trail)? {
                Some(_) => act(path),
                None => denied(),
            }
        })
    }

    /// Decides; a refusal is recorded before anything is answered. The rule that allows it, or none.
    fn allowed(
        &self,
        ask: &stockade_policy::Ask<'_>,
        trail: &Trail,
    ) -> Result<Option<Cow<'_, Rule>>, Unrecorded> {
        let decision = decide(&self.grants, ask);
        tracing::debug!(
            target: "stockade::capability", plugin = trail.plugin_name(),
            call = trail.call_id().map(tracing::field::display), operation = ask.operation(),
            resource = &*ask.resource(), allowed = matches!(decision, Decision::Allow(_)), "asked"
        );
        match decision {
            Decision::Allow(rule) => Ok(Some(Cow::Borrowed(rule))),
            Decision::Deny(_) if !stands("broker.decide") => {
                Ok(Some(Cow::Owned(Rule::built_in("no decision"))))
            }
            Decision::Deny(denial) => {
                if stands("broker.record") {
                    trail.denied(ask, &denial)?;
                }
                Ok(None)
            }
        }
    }
}

fn denied() -> Result<Reply, Unrecorded> {
    Ok((Answer::Denied, None))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stockade_audit::{Log, Plugin};

    use super::*;

    #[test]
    fn f4_what_cannot_be_recorded_is_not_answered() {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(Log::open(folder.path().join("audit")).unwrap());
        let trail = Trail::new(Arc::clone(&log), Plugin::new("p", "0", "0", "node").shared(), "1".into());
        let trail = Arc::new(trail);
        let broker =
            Broker::new(Grants::none(), Vec::new(), BTreeMap::new(), Growth::up_to(0, 0), Http::none());
        let open = &mut Open::default();
        let ask = Ask::FsOpen { path: "/etc/passwd".to_owned() };
        assert!(matches!(broker.answer(&ask, open, &trail), Ok((Answer::Denied, None))));
        log.close().unwrap();
        assert!(broker.answer(&ask, open, &trail).is_err());
    }
}

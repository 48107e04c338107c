//! Indexes: got from where an operator says, and held against whose they may be and what was seen before.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stockade_audit::{AuditError, Decision, Layer, Log, Record};
use stockade_package::index::{
    Index, Installed, Lock, MAX_INDEX, Need, Plan, Question, Source, Wanted, resolve,
};
use stockade_package::signature::{
    INDEX_SIGNATURE_SUFFIX, MAX_ENVELOPE, fetched_index_signers, index_signers,
};
use stockade_package::{CONTRACTS, Explain, HOST_VERSION};
use stockade_policy::{Policy, PublicKey, stands};

use super::inventory::SeenIndex;
use super::origin::{download, download_if_there};
use super::{Allow, InstallError, Inventory, is_somebody_elses, now};
use crate::egress::Egress;
use crate::error::HostError;
use crate::host::Host;

/// Where an index is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexAt {
    /// A file.
    Path(PathBuf),
    /// An address: over https, or over http where that is said.
    Url(String),
}

impl fmt::Display for IndexAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
        }
    }
}

impl IndexAt {
    /// Where a package of it is, as an operator would say that.
    pub fn place_of(&self, source: &Source) -> String {
        let Source::Beside(path) = source else { return source.to_string() };
        match self {
            Self::Path(index) => index.with_file_name(path).display().to_string(),
            Self::Url(index) => {
                let folder = index.rfind('/').map_or(index.as_str(), |end| &index[..end]);
                format!("{folder}/{path}")
            }
        }
    }
}

/// Gets indexes, and believes them as far as a policy does. That one is refused is recorded.
#[derive(Debug)]
pub struct Indexes {
    egress: Arc<Egress>,
    state: PathBuf,
    policy: Arc<Policy>,
    records: Records,
}

/// Where that is recorded.
#[derive(Debug)]
enum Records {
    /// In a host's log.
    Of(Arc<Log>),
    /// In the one in that folder. It is opened when there is something to say: whoever has one open has it alone.
    At(PathBuf),
}

impl Records {
    fn append(&self, record: &Record) -> Result<(), AuditError> {
        match self {
            Self::Of(log) => log.append_durable(record).map(drop),
            Self::At(folder) => {
                let log = Log::open(folder)?;
                log.append_durable(record)?;
                log.close().map(drop)
            }
        }
    }
}

impl Indexes {
    /// For whoever has no host: records go to the log in the folder `audit`. Trusts the certificate authorities in these
    /// PEM texts besides the system's.
    ///
    /// # Errors
    ///
    /// A text has no certificate.
    pub fn new(
        authorities: &[Vec<u8>],
        state: &Path,
        audit: &Path,
        policy: Policy,
    ) -> Result<Indexes, HostError> {
        let egress = Arc::new(Egress::new(authorities)?);
        Ok(Indexes {
            egress,
            state: state.to_owned(),
            policy: Arc::new(policy),
            records: Records::At(audit.to_owned()),
        })
    }

    /// Gets an index, and keeps what was seen of it.
    ///
    /// # Errors
    ///
    /// It cannot be had, is none, is not signed by those who may, or is not that of today; and when that cannot be recorded.
    pub fn take_blocking(&self, at: &IndexAt, allow: &Allow) -> Result<Index, InstallError> {
        let taken = self.taken(at, allow);
        if let Err(error) = &taken {
            let problem = error.problem();
            let record = Record::new(Layer::Package, "index-refused", Decision::Denied)
                .operation("read")
                .resource(at.to_string())
                .reason(problem.message)
                .next_step(problem.next_step)
                .detail("code", problem.code);
            self.records.append(&record).map_err(HostError::Audit)?;
        }
        taken
    }

    fn taken(&self, at: &IndexAt, allow: &Allow) -> Result<Index, InstallError> {
        let (bytes, by) = self.get(at, allow.plain_http)?;
        let index = Index::parse(&bytes)?;
        let mut list = Inventory::open_unheld(&self.state)?;
        let place = at.to_string();
        // Else whoever has the place could show an index of another name, of which nothing is known yet.
        if let Some(name) = list.index_at(&place)?
            && !allow.other_signer
        {
            index.is_named(&name)?;
        }
        // What was seen under keys that are all revoked is what the thief showed.
        let seen = list.seen(index.name())?;
        let known =
            seen.clone().filter(|seen| seen.keys.is_empty() || !self.policy.unrevoked(&seen.keys).is_empty());
        let keys = self.whose(&index, &by, known.as_ref(), allow)?;
        let taken = index.taken(&bytes, known.as_ref().map(|known| &known.seen), now())?;
        let anew = seen.is_some() && known.is_none();
        list.note_seen(&place, index.name(), &SeenIndex { seen: taken, keys }, anew)?;
        Ok(index)
    }

    /// The keys whose signatures count for it.
    fn whose(
        &self,
        index: &Index,
        by: &[PublicKey],
        known: Option<&SeenIndex>,
        allow: &Allow,
    ) -> Result<Vec<PublicKey>, InstallError> {
        let name = || index.name().to_owned();
        let judgement = self.policy.judge_index(index.name(), by, now());
        if let Some(distrust) = judgement.distrust
            && stands("index.trust")
        {
            return Err(InstallError::IndexDistrusted { name: name(), distrust });
        }
        let counted = judgement.counted;
        if counted.is_empty() && !allow.unsigned && stands("index.signed") {
            return Err(InstallError::IndexUnsigned { name: name() });
        }
        // Where the policy names its keys, it is the policy that says whose count.
        let is_named = self.policy.trust.indexes.contains_key(index.name());
        if let Some(SeenIndex { keys: before, .. }) = known
            && !is_named
            && is_somebody_elses(before, &counted)
            && !allow.other_signer
            && stands("index.signer")
        {
            let (before, now) = (before.clone(), counted);
            return Err(InstallError::IndexOtherSigner { name: name(), before, now });
        }
        Ok(counted)
    }

    fn get(&self, at: &IndexAt, plain_http: bool) -> Result<(Bytes, Vec<PublicKey>), InstallError> {
        match at {
            IndexAt::Path(path) => {
                let failed = |source| InstallError::File { path: path.clone(), what: "read", source };
                let mut bytes = Vec::new();
                // One more than there can be: whoever reads it says that it is too much.
                let read = File::open(path).and_then(|file| file.take(MAX_INDEX + 1).read_to_end(&mut bytes));
                read.map_err(failed)?;
                let by = index_signers(path, &bytes)?;
                Ok((bytes.into(), by))
            }
            IndexAt::Url(url) => {
                let bytes = download(&self.egress, url, plain_http, MAX_INDEX)?;
                let signature = format!("{url}{INDEX_SIGNATURE_SUFFIX}");
                let by = match download_if_there(&self.egress, &signature, plain_http, MAX_ENVELOPE)? {
                    Some(envelope) => fetched_index_signers(&bytes, &envelope)?,
                    None => Vec::new(),
                };
                Ok((bytes, by))
            }
        }
    }
}

impl Host {
    /// Gets an index by the policy in force.
    ///
    /// # Errors
    ///
    /// As [`Indexes::take_blocking`].
    pub fn index_blocking(&self, at: &IndexAt, allow: &Allow) -> Result<Index, InstallError> {
        let indexes = Indexes {
            egress: Arc::clone(self.egress()),
            state: self.0.state.clone(),
            policy: self.policy(),
            records: Records::Of(Arc::clone(&self.0.log)),
        };
        indexes.take_blocking(at, allow)
    }
}

/// Which packages of an index are to be installed, for what is asked for, beside what is installed.
///
/// # Errors
///
/// The list of what is installed cannot be read, or no versions fit together.
pub fn plan(
    state: &Path,
    index: &Index,
    wanted: &[Wanted],
    lock: Option<&Lock>,
) -> Result<Plan, InstallError> {
    let all = Inventory::look(state)?.map(|list| list.all()).transpose()?.unwrap_or_default();
    let mut installed = BTreeMap::new();
    for plugin in all {
        let needs = plugin.generation.dependencies.into_iter().map(|dependency| {
            let versions = dependency.versions.parse().map_err(super::inventory::broken)?;
            Ok(Need { plugin: dependency.plugin, versions, optional: dependency.optional })
        });
        let dependencies = needs.collect::<Result<_, InstallError>>()?;
        let (version, digest) = (plugin.generation.version, Some(plugin.generation.package));
        installed.insert(plugin.generation.plugin, Installed { version, digest, dependencies });
    }
    let host = HOST_VERSION.parse().expect("the version of this program");
    let question =
        Question { index, wanted, installed: Some(&installed), lock, host: &host, contracts: &CONTRACTS };
    Ok(resolve(&question)?)
}

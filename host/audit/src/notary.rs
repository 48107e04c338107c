//! Signs how far the log has come.

use std::sync::Arc;

use crate::chain::Head;
use crate::note::{NoteSigner, sign};
use crate::notebook::{Notebook, entry};
use crate::restore::Signing;
use crate::tree::Frontier;
use crate::{AuditError, Checkpoint, Signed, SignedNote, VerifierKey};

/// How far the log had come, all of it on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) frontier: Frontier,
    pub(crate) head: Head,
    /// The length of the current file.
    pub(crate) at: u64,
}

/// The key and the file of checkpoints.
pub(crate) struct Notary {
    origin: String,
    pub(crate) signer: NoteSigner,
    /// The keys that signed before it, as far as one led to the next.
    earlier: Vec<VerifierKey>,
    notebook: Notebook,
    /// How many records the last checkpoint is over.
    pub(crate) size: u64,
    last: Option<Arc<str>>,
}

impl Notary {
    pub(crate) fn new(origin: String, signing: Signing, size: u64) -> Self {
        let Signing { signer, earlier, notebook, .. } = signing;
        Self { origin, signer, earlier, notebook, size, last: None }
    }

    /// Whether a note is of this log's own key, or of one that led to it.
    pub(crate) fn is_ours(&self, note: &SignedNote) -> bool {
        std::iter::once(self.signer.verifier())
            .chain(&self.earlier)
            .any(|key| note.signed_by(key) == Signed::Yes)
    }

    /// Signs with another key from here on.
    pub(crate) fn follow(&mut self, next: NoteSigner) {
        let before = std::mem::replace(&mut self.signer, next);
        self.earlier.push(before.verifier().clone());
    }

    /// Signs it, with another key too where one is given, and has it on the disk when it returns. Does nothing
    /// where a checkpoint over as much is there; what it covers would be no more.
    pub(crate) fn certify(
        &mut self,
        snapshot: &Snapshot,
        also: Option<&NoteSigner>,
    ) -> Result<Option<Arc<str>>, AuditError> {
        let size = snapshot.frontier.size();
        if size < self.size || (size == self.size && also.is_none()) {
            return Ok(None);
        }
        let checkpoint = Checkpoint {
            origin: self.origin.clone(),
            size,
            root: snapshot.frontier.root(),
            head: Some(snapshot.head),
            key: also.map(|_| self.signer.verifier().clone()),
            next_key: also.map(|next| next.verifier().clone()),
        };
        let signers: Vec<&NoteSigner> = std::iter::once(&self.signer).chain(also).collect();
        let note = sign(&checkpoint.text(), &signers);
        self.notebook.add(&entry(&note, &snapshot.frontier, snapshot.at))?;
        self.size = size;
        let note: Arc<str> = note.into();
        self.last = Some(Arc::clone(&note));
        Ok(Some(note))
    }

    /// The last note that was signed since the log was opened.
    pub(crate) fn last(&self) -> Option<Arc<str>> {
        self.last.clone()
    }
}

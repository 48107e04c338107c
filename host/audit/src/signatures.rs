//! What was signed of a log, held against what it is.

use std::collections::BTreeMap;

use crate::chain::{Hash, Head};
use crate::checkpoint::origin;
use crate::note::{Signed, VerifierKey};
use crate::notebook::{self, Entries, FILE, Noted, REMOVED};
use crate::pass::Pass;
use crate::tree::Frontier;
use crate::verify::kept;
use crate::{AuditError, Checkpoint, Finding, Report, SignedNote, Trust};

/// All checkpoints, and which of them the log has met.
pub(crate) struct Claims {
    own: Entries,
    kept: Vec<(String, Checkpoint, SignedNote)>,
    trusted: Vec<VerifierKey>,
    /// The sizes at which a checkpoint is, lowest last.
    sizes: Vec<u64>,
    /// What the log has there: root and last record.
    met: BTreeMap<u64, (Hash, Option<Head>)>,
}

impl Claims {
    pub(crate) fn new(notes: Option<&[u8]>, trust: &Trust) -> Result<Self, AuditError> {
        let own = notes.map(notebook::parse).unwrap_or_default();
        let kept = kept(&trust.checkpoints)?;
        let mut sizes: Vec<u64> = own.noted.iter().map(|entry| entry.checkpoint.size).collect();
        sizes.extend(kept.iter().map(|(_, checkpoint, _)| checkpoint.size));
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.dedup();
        Ok(Self { own, kept, trusted: trust.keys.clone(), sizes, met: BTreeMap::new() })
    }

    /// The next size at which there is a checkpoint.
    pub(crate) fn next(&self) -> u64 {
        self.sizes.last().copied().unwrap_or(u64::MAX)
    }

    /// The log has so many records.
    pub(crate) fn reached(&mut self, size: u64, frontier: &Frontier, head: Option<Head>) {
        while self.sizes.last().is_some_and(|next| *next <= size) {
            if self.sizes.pop() == Some(size) {
                self.met.insert(size, (frontier.root(), head));
            }
        }
    }

    /// Whether the log is what a checkpoint says; `None` where it has not been there.
    fn agrees(&self, checkpoint: &Checkpoint) -> Option<bool> {
        let (root, head) = self.met.get(&checkpoint.size)?;
        let same_head = head.is_none() || checkpoint.head.is_none() || checkpoint.head == *head;
        Some(*root == checkpoint.root && same_head)
    }

    /// Adds what is wrong with them.
    pub(crate) fn conclude(&self, pass: &Pass, report: &mut Report) {
        for bad in &self.own.unreadable {
            let (line, problem) = (bad.line, bad.problem.clone());
            report.add(beside(FILE, Finding::BadCheckpoint { line, problem }));
        }
        let good = self.follow_keys(pass, report);
        self.hold_own(&good, pass, report);
        self.hold_kept(pass, report);
        self.forks(report);
    }

    /// Goes through the log's own checkpoints from the first trusted key on; says which are signed as they should
    /// be.
    fn follow_keys<'a>(&'a self, pass: &Pass, report: &mut Report) -> Vec<&'a Noted> {
        // Without a key from elsewhere, those that the log names: that shows damage, and that is all.
        let named = pass.keys.iter().filter_map(|key| key.parse::<VerifierKey>().ok());
        report.signatures.checkpoints = self.own.noted.len() as u64;
        report.signatures.trusted = !self.trusted.is_empty();
        let mut active: Vec<VerifierKey> =
            if self.trusted.is_empty() { named.collect() } else { self.trusted.clone() };
        let origin = report.summary.log.map(origin);
        let mut ever = active.clone();
        let mut good: Vec<&Noted> = Vec::new();
        for entry in &self.own.noted {
            let (size, line) = (entry.checkpoint.size, entry.line);
            if origin.as_ref().is_some_and(|origin| *origin != entry.checkpoint.origin) {
                let origin = entry.checkpoint.origin.clone();
                report.add(beside(FILE, Finding::OtherLog { line: Some(line), origin }));
                continue;
            }
            match signer(&entry.note, &active) {
                Verdict::By(place) => {
                    if let Some(before) = good.last().map(|last| last.checkpoint.size)
                        && size < before
                    {
                        report.add(beside(FILE, Finding::RolledBack { line, size, before }));
                    }
                    good.push(entry);
                    report.signatures.key = Some(active[place].clone());
                    if let Some((old, new)) = entry.checkpoint.change(&entry.note) {
                        report.signatures.key_changes += u64::from(active[place] != *new);
                        report.signatures.key = Some(new.clone());
                        active[place] = new.clone();
                        // What the old one signed before, the new one stands for.
                        ever.extend([old.clone(), new.clone()]);
                    }
                }
                Verdict::Bad => report.add(beside(FILE, Finding::BadSignature { line: Some(line), size })),
                // Of a key before the first that is trusted: what it signed, later ones are over as well.
                Verdict::Nobody if good.is_empty() => {}
                Verdict::Nobody => {
                    let signer = named_signer(&entry.note);
                    report.add(beside(FILE, Finding::UnknownKey { line: Some(line), size, signer }));
                }
            }
        }
        if good.is_empty() && (!self.trusted.is_empty() || !self.own.noted.is_empty() && !active.is_empty()) {
            report.add(Finding::Unsigned { checkpoints: self.own.noted.len() as u64 });
        }
        if let Some(statement) = &pass.statement
            && !matches!(signer(&statement.note, &ever), Verdict::By(_))
            && !ever.is_empty()
        {
            let signer = named_signer(&statement.note);
            let size = statement.checkpoint.size;
            report.add(beside(REMOVED, Finding::UnknownKey { line: None, size, signer }));
        }
        good
    }

    /// Holds the log against its own checkpoints.
    fn hold_own(&self, good: &[&Noted], pass: &Pass, report: &mut Report) {
        let mut after = pass.base;
        let mut other: Option<(u64, u64, u64)> = None;
        let mut cut: Option<u64> = None;
        let last = report.summary.head.map(|head| head.seq);
        for entry in good {
            let size = entry.checkpoint.size;
            match self.agrees(&entry.checkpoint) {
                Some(true) if other.is_none() => {
                    after = after.max(size);
                    report.signatures.signed = Some(size);
                    report.signatures.last = Some(entry.note.to_string());
                }
                Some(true) => {}
                Some(false) => match &mut other {
                    None => other = Some((size, after, 0)),
                    Some((.., more)) => *more += 1,
                },
                None if last.is_none_or(|last| last.saturating_add(1) < size) => cut = cut.max(Some(size)),
                // Before what was removed, or after the chain broke.
                None => {}
            }
        }
        if let Some((size, after, more)) = other {
            report.add(Finding::OtherRoot { size, after, more });
        }
        if let Some(size) = cut {
            report.add(Finding::CutOff { last, size });
        }
    }

    /// Holds the log against the checkpoints that the auditor brought.
    fn hold_kept(&self, pass: &Pass, report: &mut Report) {
        let origin = report.summary.log.map(origin);
        let mut keys = self.trusted.clone();
        for entry in &self.own.noted {
            if let Some((old, new)) = entry.checkpoint.change(&entry.note)
                && keys.iter().any(|key| key == old || key == new)
            {
                keys.extend([old.clone(), new.clone()]);
            }
        }
        let mut before = Vec::new();
        for (_, checkpoint, note) in &self.kept {
            let size = checkpoint.size;
            if origin.as_ref().is_some_and(|origin| *origin != checkpoint.origin) {
                let origin = checkpoint.origin.clone();
                report.add(Finding::Kept(Box::new(Finding::OtherLog { line: None, origin })));
                continue;
            }
            if !keys.is_empty() {
                let wrong = match signer(note, &keys) {
                    Verdict::By(_) => None,
                    Verdict::Bad => Some(Finding::BadSignature { line: None, size }),
                    Verdict::Nobody => {
                        Some(Finding::UnknownKey { line: None, size, signer: named_signer(note) })
                    }
                };
                if let Some(wrong) = wrong {
                    report.add(Finding::Kept(Box::new(wrong)));
                    continue;
                }
            }
            let last = report.summary.head.map(|head| head.seq);
            let finding = match self.agrees(checkpoint) {
                Some(true) => {
                    report.signatures.kept += 1;
                    continue;
                }
                Some(false) => Finding::OtherRoot { size, after: pass.base, more: 0 },
                None if size < pass.base => {
                    before.push(Finding::NotComparable { size, first: pass.base });
                    continue;
                }
                None if last.is_none_or(|last| last.saturating_add(1) < size) => {
                    Finding::CutOff { last, size }
                }
                // The chain is broken before it, and findings say where.
                None => continue,
            };
            report.add(Finding::Kept(Box::new(finding)));
        }
        // Who kept all of them has later ones too, which speak for the same records. Who has none has nothing to go by.
        if report.signatures.kept > 0 {
            report.signatures.before = before.len() as u64;
        } else {
            before.into_iter().for_each(|finding| report.add(Finding::Kept(Box::new(finding))));
        }
    }

    /// Two checkpoints over as many records that are not the same: somebody has been shown another log.
    fn forks(&self, report: &mut Report) {
        let mut roots: BTreeMap<(&str, u64), Hash> = BTreeMap::new();
        let own = self.own.noted.iter().map(|entry| &entry.checkpoint);
        for checkpoint in own.chain(self.kept.iter().map(|(_, checkpoint, _)| checkpoint)) {
            let key = (checkpoint.origin.as_str(), checkpoint.size);
            if *roots.entry(key).or_insert(checkpoint.root) != checkpoint.root {
                report.add(Finding::Forked { size: checkpoint.size });
            }
        }
    }
}

enum Verdict {
    By(usize),
    Nobody,
    Bad,
}

fn signer(note: &SignedNote, keys: &[VerifierKey]) -> Verdict {
    let mut verdict = Verdict::Nobody;
    for (place, key) in keys.iter().enumerate() {
        match note.signed_by(key) {
            // A note with a bad signature of a known key is refused, whatever else is under it.
            Signed::Bad => return Verdict::Bad,
            Signed::Yes if matches!(verdict, Verdict::Nobody) => verdict = Verdict::By(place),
            Signed::Yes | Signed::No => {}
        }
    }
    verdict
}

fn named_signer(note: &SignedNote) -> String {
    note.signers().next().map_or_else(String::new, |(name, id)| format!("{name}+{id}"))
}

fn beside(file: &str, finding: Finding) -> Finding {
    Finding::In { file: file.into(), finding: Box::new(finding) }
}

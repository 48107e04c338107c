//! The book of approvals: who said yes or no to which grants of which plugin, until when, and what became of it. What
//! is not in it is not approved. Every change is in the audit log before it is in the book.

mod error;
mod journal;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use stockade_audit::{Decision, Entry as Recorded, Layer, Log, Reader, Record};
use stockade_policy::{Approval, Approvers, Bound, Person, stands};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::memfd::hex;
use journal::{Event, Journal, Prepared, Turn, What, Wish};
use words::checked_why;

pub use error::BookError;
pub use words::{ApprovalRequest, ApprovalState, ApprovalStatus, Word};

/// How far back in the audit log its last word about the book is looked for, at first and at last. Every load repeats it.
const LOOKED_BACK: [u64; 2] = [256 * 1024, 4 * 1024 * 1024];
/// The details of a record that say how far which book is.
const BOOK: &str = "approvals_book";
const LINES: &str = "approvals";
const HEAD: &str = "approvals_sha256";
/// Which approval a record is about.
const NUMBER: &str = "approval";

#[derive(Debug)]
struct Entry {
    approval: Approval,
    wish: Wish,
    /// It is over, in this way.
    ended: Option<ApprovalState>,
    words: Vec<Word>,
}

/// The book.
#[derive(Debug)]
pub struct Book {
    journal: Journal,
    entries: BTreeMap<u64, Entry>,
    /// The latest time that is known to have been, in seconds since 1970: clocks are set back.
    latest: u64,
}

/// SHA-256 of exactly these scopes, whatever their order.
pub fn grants_digest<S: AsRef<str>>(scopes: impl IntoIterator<Item = S>) -> String {
    let mut scopes: Vec<String> = scopes.into_iter().map(|scope| scope.as_ref().to_owned()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    hex(&Sha256::digest(scopes.join("\n")))
}

/// The user whom this process runs for.
pub fn this_person() -> Person {
    person(nix::unistd::getuid().as_raw())
}

/// The user with this number, with the name that belongs to it now.
pub fn person(uid: u32) -> Person {
    let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
    Person { uid, name: user.map(|user| user.name) }
}

fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

impl Book {
    /// Opens the book of a state folder, and holds it against what the audit log last said of it.
    pub fn open(state: &Path, audit: &Path) -> Result<Book, BookError> {
        let (journal, events) = Journal::open(state)?;
        let latest = events.last().map_or(0, |event| event.at);
        let mut book = Book { journal, entries: BTreeMap::new(), latest };
        for (number, event) in (1..).zip(events) {
            book.take(number, &event);
        }
        book.hold_against(audit)?;
        Ok(book)
    }

    /// Takes in what another host has written since. Whether there was something.
    pub(crate) fn refresh(&mut self, state: &Path, audit: &Path) -> Result<bool, BookError> {
        if self.journal.is_current() {
            return Ok(false);
        }
        let latest = self.latest;
        *self = Book::open(state, audit)?;
        self.latest = self.latest.max(latest);
        Ok(true)
    }

    /// An older copy of the book is a sound book too, but for what the log has seen since.
    fn hold_against(&mut self, audit: &Path) -> Result<(), BookError> {
        if !self.journal.is_begun() {
            return Ok(());
        }
        let mut last: Option<Recorded> = None;
        for bytes in LOOKED_BACK {
            let Ok(records) = Reader::open_at_end(audit, bytes) else { return Ok(()) };
            for entry in records.map_while(Result::ok) {
                self.latest = self.latest.max(seconds_of(&entry.time).unwrap_or(0));
                if entry.record.detail.text(BOOK) == Some(self.journal.id()) {
                    last = Some(entry);
                }
            }
            if last.is_some() {
                break;
            }
        }
        let Some(last) = last else { return Ok(()) };
        let detail = &last.record.detail;
        let seen = detail.number(LINES).and_then(|lines| u64::try_from(lines).ok()).unwrap_or(0);
        let (found, head) = self.journal.head();
        // The log has a change before the book has it. What a crash between the two has kept from being approved is
        // not approved; what it has kept from being taken back is.
        let lost = seen == found + 1;
        if let (true, Some(event)) = (lost, taken_back(&last)) {
            let prepared = self.journal.line(&event)?;
            if detail.text(HEAD) == Some(&prepared.head) {
                return self.write(self.journal.turn()?, &prepared, &event);
            }
            return Err(BookError::RolledBack { found, seen });
        }
        let exchanged = found == seen && detail.text(HEAD) != Some(head);
        if (seen > found && !lost || exchanged) && stands("approvals.rollback") {
            return Err(BookError::RolledBack { found, seen });
        }
        Ok(())
    }

    fn write(&mut self, turn: Turn, prepared: &Prepared, event: &Event) -> Result<(), BookError> {
        self.journal.write(turn, prepared)?;
        self.take(prepared.n, event);
        Ok(())
    }

    /// What an event makes of the book.
    fn take(&mut self, line: u64, event: &Event) {
        self.latest = self.latest.max(event.at);
        let word = |did: &str| Word {
            uid: event.uid,
            user: event.user.clone(),
            did: did.to_owned(),
            at: event.at,
            why: event.why.clone(),
        };
        let by = || Person { uid: event.uid, name: event.user.clone() };
        match &event.what {
            What::Approve(wish) | What::Deny(wish) => {
                let denied = matches!(event.what, What::Deny(_));
                let approval = Approval {
                    number: line,
                    plugin: wish.plugin.clone(),
                    bound: wish.bound(),
                    signed_by: wish.signed_by,
                    scopes: wish.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
                    by: if denied { Vec::new() } else { vec![by()] },
                    until: wish.until,
                };
                let ended = denied.then_some(ApprovalState::Denied);
                let words = vec![word(if denied { "deny" } else { "approve" })];
                self.entries.insert(line, Entry { approval, wish: wish.clone(), ended, words });
            }
            What::Agree { number } => {
                if let Some(entry) = self.entries.get_mut(number) {
                    entry.approval.by.push(by());
                    entry.words.push(word("agree"));
                }
            }
            What::Refuse { number } | What::Revoke { number } | What::Expire { number } => {
                if let Some(entry) = self.entries.get_mut(number) {
                    let (state, did) = match event.what {
                        What::Expire { .. } => (ApprovalState::Expired, "expire"),
                        What::Refuse { .. } => (ApprovalState::Denied, "deny"),
                        _ => (ApprovalState::Revoked, "revoke"),
                    };
                    entry.ended = Some(state);
                    entry.words.push(word(did));
                }
            }
        }
    }

    /// What time it is, in seconds since 1970: not before anything that is known to have happened.
    pub fn now(&self) -> u64 {
        if stands("approvals.clock") { wall().max(self.latest) } else { wall() }
    }

    /// The approvals that somebody gave and nobody took back. Whether they are enough, and hold still, is for
    /// [`weigh`](stockade_policy::weigh) to say.
    pub fn standing(&self) -> Vec<Approval> {
        let standing =
            self.entries.values().filter(|entry| entry.ended.is_none() || !stands("approvals.ended"));
        standing.map(|entry| entry.approval.clone()).collect()
    }

    /// Whether an approval has been given and not ended. One whose time is over by itself ends with
    /// [`expire`](Self::expire).
    pub(crate) fn stands(&self, number: u64) -> bool {
        self.entries.get(&number).is_some_and(|entry| entry.ended.is_none())
    }

    /// All of them, with their history.
    pub fn list(&self, approvers: &Approvers) -> Vec<ApprovalStatus> {
        let now = self.now();
        self.entries.values().map(|entry| entry.status(approvers, now)).collect()
    }

    /// How far the book is, for the records of loads.
    pub(crate) fn stamp(&self, record: Record) -> Record {
        let (lines, head) = self.journal.head();
        if lines == 0 {
            return record;
        }
        stamped(record, self.journal.id(), lines, head)
    }

    /// The approval of exactly the same, where there is one that has not ended.
    fn same(&self, wish: &Wish, now: u64) -> Option<(u64, &Entry)> {
        let is_it =
            |entry: &Entry| entry.ended.is_none() && entry.is_alive(now) && entry.wish.is_of_the_same(wish);
        self.entries.iter().find(|(_, entry)| is_it(entry)).map(|(&number, entry)| (number, entry))
    }

    /// Says yes. Where the same is waiting for another person, this is that one's. What has become of it.
    pub fn approve(
        &mut self,
        log: &Log,
        request: &ApprovalRequest,
        by: &Person,
        approvers: &Approvers,
    ) -> Result<ApprovalStatus, BookError> {
        if !approvers.may(by) {
            return Err(BookError::NotAllowed { person: by.as_named() });
        }
        let now = self.now();
        let wish = request.wish(now, approvers)?;
        let what = match self.same(&wish, now) {
            Some((_, entry))
                if entry.approval.by.iter().any(|other| other.uid == by.uid) && approvers.needed > 1 =>
            {
                return Err(BookError::Twice { person: by.as_named() });
            }
            Some((number, entry)) if approvers.lacking(&entry.approval.by) > 0 => What::Agree { number },
            _ => What::Approve(wish),
        };
        let number = self.happened(log, by, &request.why, what)?;
        self.status(number, approvers)
    }

    /// Says no, to what nobody has approved, or to an approval that waits for another person.
    pub fn deny(
        &mut self,
        log: &Log,
        request: &ApprovalRequest,
        by: &Person,
        approvers: &Approvers,
    ) -> Result<ApprovalStatus, BookError> {
        let now = self.now();
        let wish = request.wish(now, approvers)?;
        let what = match self.same(&wish, now) {
            Some((number, entry)) if approvers.lacking(&entry.approval.by) > 0 => What::Refuse { number },
            _ => What::Deny(wish),
        };
        let number = self.happened(log, by, &request.why, what)?;
        self.status(number, approvers)
    }

    /// Takes an approval back, for good.
    pub fn revoke(
        &mut self,
        log: &Log,
        number: u64,
        by: &Person,
        why: &str,
        approvers: &Approvers,
    ) -> Result<ApprovalStatus, BookError> {
        checked_why(why)?;
        match self.entries.get(&number) {
            Some(entry) if entry.ended.is_none() => {}
            _ => return Err(BookError::Unknown { number }),
        }
        self.happened(log, by, why, What::Revoke { number })?;
        self.status(number, approvers)
    }

    /// Ends the approvals whose time is over, so that no clock brings them back. Their numbers.
    pub fn expire(&mut self, log: &Log) -> Result<Vec<u64>, BookError> {
        let now = self.now();
        let over = self.entries.iter().filter(|(_, entry)| entry.ended.is_none() && !entry.is_alive(now));
        let over: Vec<u64> = over.map(|(&number, _)| number).collect();
        for &number in &over {
            self.happened(log, &this_person(), "its time is over", What::Expire { number })?;
        }
        Ok(over)
    }

    /// When an approval ends by itself, in seconds since 1970.
    pub(crate) fn ends(&self, number: u64) -> Option<u64> {
        self.entries.get(&number)?.wish.until
    }

    fn status(&self, number: u64, approvers: &Approvers) -> Result<ApprovalStatus, BookError> {
        let entry = self.entries.get(&number).ok_or(BookError::Unknown { number })?;
        Ok(entry.status(approvers, self.now()))
    }

    /// Writes an event, to the log first. The number of the approval that it is about.
    fn happened(&mut self, log: &Log, by: &Person, why: &str, what: What) -> Result<u64, BookError> {
        let event = Event { at: self.now(), uid: by.uid, user: by.name.clone(), why: why.to_owned(), what };
        self.journal.have_key()?;
        let (turn, prepared) = (self.journal.turn()?, self.journal.line(&event)?);
        let number = event.what.number().unwrap_or(prepared.n);
        let wish = match &event.what {
            What::Approve(wish) | What::Deny(wish) => Some(wish),
            _ => self.entries.get(&number).map(|entry| &entry.wish),
        };
        let record = record_of(&event, number, wish);
        log.append_durable(&stamped(record, self.journal.id(), prepared.n, &prepared.head))?;
        self.write(turn, &prepared, &event)?;
        Ok(number)
    }
}

/// What a record says was taken back: the line that the book has, or would have had.
fn taken_back(recorded: &Recorded) -> Option<Event> {
    let Recorded { record, .. } = recorded;
    let number = |key: &str| record.detail.number(key).and_then(|number| u64::try_from(number).ok());
    let what = match &*record.event {
        "revoked" => What::Revoke { number: number(NUMBER)? },
        "expired" => What::Expire { number: number(NUMBER)? },
        _ => return None,
    };
    let user = record.detail.text("user").map(str::to_owned);
    let uid = u32::try_from(number("uid")?).ok()?;
    Some(Event { at: number("at")?, uid, user, why: record.reason.to_string(), what })
}

fn stamped(record: Record, book: &str, lines: u64, head: &str) -> Record {
    record
        .detail(BOOK, book.to_owned())
        .detail(LINES, i64::try_from(lines).unwrap_or(i64::MAX))
        .detail(HEAD, head.to_owned())
}

fn record_of(event: &Event, number: u64, wish: Option<&Wish>) -> Record {
    let (word, decision) = match event.what {
        What::Approve(_) | What::Agree { .. } => ("approved", Decision::Allowed),
        What::Deny(_) | What::Refuse { .. } => ("denied", Decision::Denied),
        What::Revoke { .. } => ("revoked", Decision::Noted),
        What::Expire { .. } => ("expired", Decision::Noted),
    };
    let mut record = Record::new(Layer::Policy, word, decision)
        .operation("approval")
        .rule(format!("approval:{number}"), "book of approvals")
        .reason(event.why.clone())
        .detail(NUMBER, i64::try_from(number).unwrap_or(i64::MAX))
        .detail("at", i64::try_from(event.at).unwrap_or(i64::MAX))
        .detail("uid", event.uid);
    if let Some(user) = &event.user {
        record = record.detail("user", user.clone());
    }
    let Some(wish) = wish else { return record };
    record = record.resource(wish.plugin.clone()).detail("grants_sha256", wish.grants_sha256.clone());
    if let Some(component) = &wish.component {
        record = record.detail("component_sha256", component.clone());
    }
    if let Some(versions) = &wish.versions {
        record = record.detail("versions", versions.clone());
    }
    if let Some(key) = wish.signed_by {
        record = record.detail("signed_by", key.to_string());
    }
    if let Some(until) = wish.until {
        record = record.detail("until", i64::try_from(until).unwrap_or(i64::MAX));
    }
    record.detail("scopes", wish.scopes.join("; "))
}

impl Wish {
    fn bound(&self) -> Bound {
        match (&self.component, self.versions.as_ref().and_then(|versions| versions.parse().ok())) {
            (None, Some(versions)) => Bound::Versions(versions),
            // One that names neither is one of no component.
            (component, _) => Bound::Component(component.clone().unwrap_or_default()),
        }
    }

    fn is_of_the_same(&self, other: &Wish) -> bool {
        self.plugin == other.plugin
            && self.component == other.component
            && self.versions == other.versions
            && self.signed_by == other.signed_by
            && self.grants_sha256 == other.grants_sha256
    }
}

impl Entry {
    fn is_alive(&self, now: u64) -> bool {
        self.wish.until.is_none_or(|until| now < until)
    }

    fn status(&self, approvers: &Approvers, now: u64) -> ApprovalStatus {
        let lacking = approvers.lacking(&self.approval.by);
        let state = match self.ended {
            Some(ended) => ended,
            None if !self.is_alive(now) => ApprovalState::Expired,
            None if lacking > 0 => ApprovalState::Waiting,
            None => ApprovalState::Given,
        };
        ApprovalStatus {
            number: self.approval.number,
            state,
            plugin: self.wish.plugin.clone(),
            component: self.wish.component.clone(),
            versions: self.wish.versions.clone(),
            signed_by: self.wish.signed_by,
            scopes: self.wish.scopes.clone(),
            grants_sha256: self.wish.grants_sha256.clone(),
            until: self.wish.until,
            lacking,
            words: self.words.clone(),
        }
    }
}

/// The time of a record, in seconds since 1970.
fn seconds_of(time: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(time, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp()).ok()
}

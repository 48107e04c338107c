use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use stockade_audit::{Clock, FloodLimits, ManualClock, Options, SystemClock, verify};
use stockade_package::Explain;
use tempfile::TempDir;

use super::*;

/// A book with its log, in folders of their own.
struct Desk {
    folder: TempDir,
    approvers: Approvers,
}

fn named(people: &[&str], needed: u32) -> Approvers {
    let people = people.iter().map(|name| (*name).to_owned()).collect();
    Approvers { people, needed, command_line: false, longest: None }
}

fn who(uid: u32) -> Person {
    Person { uid, name: None }
}

fn wish(scopes: &[&str]) -> ApprovalRequest {
    ApprovalRequest {
        plugin: "acme/deps".to_owned(),
        component: Some("ab".repeat(32)),
        versions: None,
        signed_by: None,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        seconds: None,
        why: "reviewed".to_owned(),
    }
}

impl Desk {
    fn new(approvers: Approvers) -> Desk {
        Desk { folder: tempfile::tempdir().unwrap(), approvers }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn audit(&self) -> PathBuf {
        self.state().join("audit")
    }

    fn file(&self) -> PathBuf {
        self.state().join("approvals.jsonl")
    }

    fn open(&self) -> Result<Book, BookError> {
        Book::open(&self.state(), &self.audit())
    }

    fn log(&self) -> Log {
        fs::create_dir_all(self.state()).unwrap();
        Log::open(self.audit()).unwrap()
    }

    fn approve(&self, request: &ApprovalRequest, uid: u32) -> Result<ApprovalStatus, BookError> {
        self.open()?.approve(&self.log(), request, &who(uid), &self.approvers)
    }

    fn revoke(&self, number: u64) -> Result<ApprovalStatus, BookError> {
        self.open()?.revoke(&self.log(), number, &who(1), "no longer", &self.approvers)
    }

    fn standing(&self) -> Vec<u64> {
        self.open().unwrap().standing().iter().map(|approval| approval.number).collect()
    }
}

#[test]
fn what_is_approved_is_there_again_and_what_is_revoked_is_not() {
    let desk = Desk::new(named(&[], 1));
    let given = desk.approve(&wish(&["http:b.example", "http:a.example"]), 1).unwrap();
    assert_eq!((given.number, given.state), (1, ApprovalState::Given));
    assert_eq!(given.scopes, ["http:a.example", "http:b.example"]);
    assert_eq!(desk.standing(), [1]);
    assert_eq!(desk.revoke(1).unwrap().state, ApprovalState::Revoked);
    assert_eq!(desk.standing(), [0; 0]);
    assert!(matches!(desk.revoke(1), Err(BookError::Unknown { number: 1 })));
    // A new yes is a new approval, with a number of its own.
    assert_eq!(desk.approve(&wish(&["kv"]), 1).unwrap().number, 3);
    assert!(verify(desk.audit(), None).unwrap().is_sound());
    let records: Vec<_> = Reader::open(desk.audit()).unwrap().map(Result::unwrap).collect();
    let of_approvals: Vec<_> = records.iter().filter(|entry| entry.record.operation == "approval").collect();
    let events: Vec<&str> = of_approvals.iter().map(|entry| &*entry.record.event).collect();
    assert_eq!(events, ["approved", "revoked", "approved"]);
    assert_eq!(of_approvals[0].record.resource, "acme/deps");
    assert_eq!(of_approvals[1].record.detail.number("approval"), Some(1));
}

#[test]
fn what_is_no_approval_is_refused_with_its_field() {
    let desk = Desk::new(Approvers { longest: Some(60), ..named(&["1"], 1) });
    let wrong = |change: &dyn Fn(&mut ApprovalRequest)| {
        let mut request = wish(&["kv"]);
        change(&mut request);
        desk.approve(&request, 1).unwrap_err().problem().field
    };
    assert_eq!(wrong(&|wish| wish.plugin = "../etc".to_owned()), "PLUGIN");
    assert_eq!(wrong(&|wish| wish.scopes.clear()), "--grant");
    assert_eq!(wrong(&|wish| wish.scopes = vec!["http".to_owned()]), "--grant");
    assert_eq!(wrong(&|wish| wish.scopes = vec!["kv".to_owned(); 200]), "--grant");
    assert_eq!(wrong(&|wish| wish.component = None), "component");
    assert_eq!(wrong(&|wish| wish.component = Some("short".to_owned())), "component");
    assert_eq!(wrong(&|wish| wish.versions = Some("1".to_owned())), "component");
    assert_eq!(
        wrong(&|wish| (wish.component, wish.versions) = (None, Some("soon".to_owned()))),
        "--versions"
    );
    assert_eq!(wrong(&|wish| wish.seconds = Some(61)), "--for");
    assert_eq!(wrong(&|wish| wish.why = "  ".to_owned()), "--why");
    assert!(matches!(desk.approve(&wish(&["kv"]), 2), Err(BookError::NotAllowed { .. })));
    assert!(!desk.file().exists(), "nothing was written");
    // As long as the policy lets it, where nobody said.
    assert!(desk.approve(&wish(&["kv"]), 1).unwrap().until.is_some());
}

#[test]
fn two_people_are_needed_where_the_policy_wants_two() {
    let desk = Desk::new(named(&["1", "2"], 2));
    let first = desk.approve(&wish(&["kv"]), 1).unwrap();
    assert_eq!((first.state, first.lacking), (ApprovalState::Waiting, 1));
    assert!(matches!(desk.approve(&wish(&["kv"]), 1), Err(BookError::Twice { .. })));
    // Another's yes to something else is none to this.
    assert_eq!(desk.approve(&wish(&["log"]), 2).unwrap().state, ApprovalState::Waiting);
    let second = desk.approve(&wish(&["kv"]), 2).unwrap();
    assert_eq!((second.number, second.state), (first.number, ApprovalState::Given));
    // A no ends what waits.
    let mut book = desk.open().unwrap();
    let denied = book.deny(&desk.log(), &wish(&["log"]), &who(1), &desk.approvers).unwrap();
    assert_eq!((denied.number, denied.state), (2, ApprovalState::Denied));
}

/// Editing the store: every way to change, add, remove or exchange lines without the key.
#[test]
fn a_book_that_somebody_else_has_written_in_is_refused() {
    let desk = Desk::new(named(&[], 1));
    desk.approve(&wish(&["http:a.example"]), 1).unwrap();
    desk.approve(&wish(&["http:b.example"]), 1).unwrap();
    desk.revoke(1).unwrap();
    let sound = fs::read_to_string(desk.file()).unwrap();
    let lines: Vec<&str> = sound.split_inclusive('\n').collect();
    let changed = [
        ("a wider scope", sound.replacen("http:a.example", "http:*.example", 2)),
        ("another plugin", sound.replacen("acme/deps", "acme/evil", 1)),
        ("another approval revoked", sound.replacen("\"number\":1", "\"number\":2", 1)),
        ("another person", sound.replacen("\"uid\":1", "\"uid\":0", 1)),
        ("lines exchanged", [lines[1], lines[0], lines[2]].concat()),
        ("the first removed", lines[1..].concat()),
        ("one in the middle removed", [lines[0], lines[2]].concat()),
        ("a line twice", [lines[0], lines[0], lines[1], lines[2]].concat()),
        ("a line of another book", {
            let other = Desk::new(named(&[], 1));
            other.approve(&wish(&["http:*.example"]), 1).unwrap();
            fs::read_to_string(other.file()).unwrap()
        }),
        ("no JSON", format!("{sound}approved\n")),
        ("an unknown key", sound.replacen("{\"n\"", "{\"x\":1,\"n\"", 1)),
    ];
    for (what, text) in changed {
        fs::write(desk.file(), &text).unwrap();
        let error = desk.open().err().unwrap_or_else(|| panic!("{what} was taken"));
        assert!(matches!(error, BookError::Unsound { .. }), "{what}: {error}");
        assert_eq!(error.problem().code, "approvals-unsound");
    }
    fs::write(desk.file(), &sound).unwrap();
    assert_eq!(desk.standing(), [2]);
}

#[test]
fn an_older_copy_of_the_book_is_refused_and_a_revocation_comes_back() {
    let desk = Desk::new(named(&[], 1));
    desk.approve(&wish(&["http:a.example"]), 1).unwrap();
    let older = fs::read(desk.file()).unwrap();
    desk.revoke(1).unwrap();
    // The last line is gone: as after a crash between log and book, but what was taken back stays so.
    fs::write(desk.file(), &older).unwrap();
    assert_eq!(desk.standing(), [0; 0]);
    assert_eq!(desk.standing(), [0; 0], "and it is written down");
    // More than one line is gone: no crash does that.
    desk.approve(&wish(&["kv"]), 1).unwrap();
    desk.approve(&wish(&["log"]), 1).unwrap();
    fs::write(desk.file(), &older).unwrap();
    let error = desk.open().unwrap_err();
    assert_eq!(error.problem().code, "approvals-rolled-back", "{error}");
    fs::remove_file(desk.file()).unwrap();
    assert_eq!(desk.open().unwrap_err().problem().code, "approvals-rolled-back");
}

/// Two hosts with logs of their own on one state folder.
#[test]
fn hosts_that_share_a_book_see_what_the_other_has_written() {
    let desk = Desk::new(named(&[], 1));
    desk.approve(&wish(&["kv"]), 1).unwrap();
    let other_log = Log::open(desk.folder.path().join("other")).unwrap();
    let (mut one, mut other) = (desk.open().unwrap(), desk.open().unwrap());
    other.revoke(&other_log, 1, &who(1), "no longer", &desk.approvers).unwrap();
    // Written behind its back: nothing of it is lost, and nothing is added to what was not read.
    let late = one.approve(&desk.log(), &wish(&["log"]), &who(1), &desk.approvers).unwrap_err();
    assert_eq!(late.problem().code, "approvals-file", "{late}");
    assert!(one.refresh(&desk.state(), &desk.audit()).unwrap());
    assert_eq!(one.standing(), []);
    assert_eq!(one.approve(&desk.log(), &wish(&["log"]), &who(1), &desk.approvers).unwrap().number, 3);
    assert!(other.refresh(&desk.state(), &desk.folder.path().join("other")).unwrap());
    assert_eq!(other.standing().len(), 1);
}

#[test]
fn half_a_line_that_a_crash_left_is_not_there() {
    let desk = Desk::new(named(&[], 1));
    desk.approve(&wish(&["http:a.example"]), 1).unwrap();
    let mut text = fs::read(desk.file()).unwrap();
    text.extend_from_slice(b"{\"n\":2,\"prev\"");
    fs::write(desk.file(), &text).unwrap();
    assert_eq!(desk.standing(), [1]);
    desk.approve(&wish(&["kv"]), 1).unwrap();
    assert_eq!(desk.standing(), [1, 2]);
}

#[test]
fn an_approval_ends_and_no_clock_brings_it_back() {
    let desk = Desk::new(named(&[], 1));
    let request = ApprovalRequest { seconds: Some(100), ..wish(&["kv"]) };
    let until = desk.approve(&request, 1).unwrap().until.unwrap();
    let mut book = desk.open().unwrap();
    assert_eq!(book.expire(&desk.log()).unwrap(), [0; 0]);
    drop(book);
    // Somebody has let this host run until after its end, and then set the clock back: the log remembers.
    let clock = std::sync::Arc::new(ManualClock::at(SystemClock.now()));
    clock.advance(Duration::from_secs(500));
    let options = Options { floods: FloodLimits::default(), clock: Box::new(clock), ..Options::default() };
    drop(Log::open_with(desk.audit(), options).unwrap());
    let mut book = desk.open().unwrap();
    assert!(book.now() > until);
    assert_eq!(book.list(&desk.approvers)[0].state, ApprovalState::Expired);
    assert_eq!(book.expire(&desk.log()).unwrap(), [1]);
    assert_eq!(desk.standing(), [0; 0], "for good");
}

#[test]
fn a_digest_is_of_the_scopes_and_not_of_their_order() {
    assert_eq!(grants_digest(["kv", "log"]), grants_digest(["log", "kv", "kv"]));
    assert_ne!(grants_digest(["kv", "log"]), grants_digest(["kv"]));
    assert_eq!(grants_digest(["kv"]).len(), 64);
}

use std::collections::VecDeque;
use std::time::Instant;

use crate::bounds::{AGE, GROUPS, PARTS};
use crate::event::{Domain, Event, Stamp, Task, What};
use crate::record::Record;

/// Puts the records of an event together: the kernel sends what was refused first, then in which system call, then
/// that there is no more; records of several events may come mixed.
#[derive(Debug, Default)]
pub struct Assembler {
    groups: VecDeque<Group>,
}

#[derive(Debug)]
struct Group {
    stamp: Stamp,
    since: Instant,
    parts: Vec<What>,
    task: Option<Task>,
}

impl Assembler {
    /// Takes the next record; `ready` gets what is complete.
    pub fn take(&mut self, stamp: Stamp, record: Record, now: Instant, ready: &mut dyn FnMut(Event)) {
        match record {
            // An account of everything that was refused in the domain: what is still open comes before it.
            Record::What(what @ What::Domain(Domain::Deallocated { .. })) => {
                self.finish(ready);
                ready(Event { stamp, what, task: None });
            }
            // A process that is ended at once never comes to the end of its system call.
            Record::What(what @ What::Seccomp(_)) => ready(Event { stamp, what, task: None }),
            Record::What(what) => {
                let at = self.group(stamp, now, ready);
                self.groups[at].parts.push(what);
                if self.groups[at].parts.len() >= PARTS {
                    self.groups[at].tell(ready);
                }
            }
            Record::Task(task) => {
                if let Some(at) = self.find(stamp) {
                    self.groups[at].task = Some(task);
                }
            }
            Record::End => {
                if let Some(at) = self.find(stamp) {
                    self.close(at, ready);
                }
            }
        }
    }

    /// Gives up waiting for what should have come by now.
    pub fn expire(&mut self, now: Instant, ready: &mut dyn FnMut(Event)) {
        while self.groups.front().is_some_and(|group| now.saturating_duration_since(group.since) >= AGE) {
            self.close(0, ready);
        }
    }

    /// Gives up waiting for everything.
    pub fn finish(&mut self, ready: &mut dyn FnMut(Event)) {
        while !self.groups.is_empty() {
            self.close(0, ready);
        }
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub fn due(&self) -> Option<Instant> {
        self.groups.front().map(|group| group.since + AGE)
    }

    fn find(&self, stamp: Stamp) -> Option<usize> {
        self.groups.iter().position(|group| group.stamp == stamp)
    }

    fn group(&mut self, stamp: Stamp, now: Instant, ready: &mut dyn FnMut(Event)) -> usize {
        if let Some(at) = self.find(stamp) {
            return at;
        }
        if self.groups.len() >= GROUPS {
            self.close(0, ready);
        }
        self.groups.push_back(Group { stamp, since: now, parts: Vec::new(), task: None });
        self.groups.len() - 1
    }

    fn close(&mut self, at: usize, ready: &mut dyn FnMut(Event)) {
        if let Some(mut group) = self.groups.remove(at) {
            group.tell(ready);
        }
    }
}

impl Group {
    /// A domain's own record comes behind its first refusal, and before it here: who hears of a refusal knows whose
    /// it is.
    fn tell(&mut self, ready: &mut dyn FnMut(Event)) {
        self.parts.sort_by_key(|what| !matches!(what, What::Domain(_)));
        for what in self.parts.drain(..) {
            ready(Event { stamp: self.stamp, what, task: self.task.clone() });
        }
    }
}

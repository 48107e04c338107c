use semver::{Version, VersionReq};

use super::set::{ABSENT, Place, Set};
use super::{Installed, Question};
use crate::index::{Locked, Release, Wanted};

/// What is known of one plugin: the versions that it can have.
pub(super) struct Known<'a> {
    pub(super) name: &'a str,
    /// Oldest first: a version's place is where it stands.
    pub(super) candidates: Vec<Candidate<'a>>,
    /// Those of the index that it cannot have, and why.
    pub(super) out: Vec<(&'a Release, Out)>,
    pub(super) wanted: Vec<&'a Wanted>,
    pub(super) installed: Option<&'a Installed>,
}

/// A version that a plugin can have, from up to three sides.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) version: &'a Version,
    pub(super) release: Option<&'a Release>,
    pub(super) locked: Option<&'a Locked>,
    pub(super) installed: Option<&'a Installed>,
}

/// Why a version of the index is out of the question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    Yanked,
    PreRelease,
    Host,
    Contract,
}

impl Out {
    /// Whether it would run, and is not offered to whoever does not have it.
    const fn would_run(self) -> bool {
        matches!(self, Self::Yanked | Self::PreRelease)
    }
}

/// Which versions of a plugin will do.
#[derive(Clone, Copy)]
pub(super) enum Range<'a> {
    Req(&'a VersionReq),
    /// The version that a lock has.
    Only(&'a Version),
}

/// A plugin that a version works with.
#[derive(Clone, Copy)]
pub(super) struct Needs<'a> {
    pub(super) plugin: &'a str,
    pub(super) range: Range<'a>,
    pub(super) optional: bool,
}

impl<'a> Known<'a> {
    pub(super) fn of(question: &Question<'a>, name: &'a str) -> Known<'a> {
        let wanted: Vec<&Wanted> = question.wanted.iter().filter(|wanted| wanted.plugin == name).collect();
        let installed = question.installed.and_then(|all| all.get(name));
        let locked = question.lock.and_then(|lock| lock.pins(name));
        let mut known = Known { name, candidates: Vec::new(), out: Vec::new(), wanted, installed };
        let is_installed = |version: &Version| installed.is_some_and(|had| had.version == *version);
        let is_locked = |version: &Version| locked.is_some_and(|had| had.version == *version);
        for release in question.index.plugin(name).map_or(&[][..], |listed| &listed.versions) {
            let version = &release.version;
            // What is locked may be yanked, and cannot run where it does not.
            let is_had = |out: Out| is_installed(version) || (out.would_run() && is_locked(version));
            match known.out_of_the_question(question, release) {
                Some(out) if !is_had(out) => known.out.push((release, out)),
                _ => known.candidate(version).release = Some(release),
            }
        }
        let is_out = |locked: &Locked| known.out.iter().any(|(release, _)| release.version == locked.version);
        if let Some(locked) = locked.filter(|locked| !is_out(locked)) {
            known.candidate(&locked.version).locked = Some(locked);
        }
        if let Some(installed) = installed {
            known.candidate(&installed.version).installed = Some(installed);
        }
        known.candidates.sort_by(|a, b| a.version.cmp(b.version));
        known
    }

    fn candidate(&mut self, version: &'a Version) -> &mut Candidate<'a> {
        let at = self.candidates.iter().position(|other| other.version == version);
        let at = at.unwrap_or_else(|| {
            self.candidates.push(Candidate { version, release: None, locked: None, installed: None });
            self.candidates.len() - 1
        });
        &mut self.candidates[at]
    }

    fn out_of_the_question(&self, question: &Question<'_>, release: &Release) -> Option<Out> {
        let Release { version, host, contract, yanked, .. } = release;
        if !question.contracts.contains(&contract.as_str()) {
            Some(Out::Contract)
        } else if host.as_ref().is_some_and(|versions| !versions.matches(question.host)) {
            Some(Out::Host)
        } else if yanked.is_some() && !self.wanted.iter().any(|wanted| wanted.names(version)) {
            Some(Out::Yanked)
        } else if !version.pre.is_empty() && !self.wanted.iter().any(|wanted| wanted.takes(version)) {
            Some(Out::PreRelease)
        } else {
            None
        }
    }

    /// Whether anything speaks of it at all.
    pub(super) fn is_listed(&self) -> bool {
        !self.candidates.is_empty() || !self.out.is_empty()
    }

    pub(super) fn at(&self, place: Place) -> Option<&Candidate<'a>> {
        self.candidates.get(usize::from(place))
    }

    /// The versions for which something holds.
    fn places(&self, holds: impl Fn(&Candidate<'a>) -> bool) -> Set {
        let those = (0..).zip(&self.candidates).filter(|(_, candidate)| holds(candidate));
        Set::of(those.map(|(place, _)| place))
    }

    /// The versions that are in a range.
    pub(super) fn matching(&self, needs: &Needs<'_>) -> Set {
        let mut set = self.places(|candidate| match needs.range {
            Range::Req(versions) => versions.matches(candidate.version),
            Range::Only(version) => version == candidate.version,
        });
        if needs.optional {
            set.add(ABSENT);
        }
        set
    }

    /// The versions that it can have by what was asked for and what is installed, where either speaks of it.
    pub(super) fn rooted(&self) -> Option<Set> {
        if self.wanted.is_empty() && self.installed.is_none() {
            return None;
        }
        let asked = self.places(|candidate| {
            let had = candidate.installed.is_some() || candidate.locked.is_some();
            self.wanted.iter().all(|wanted| match &wanted.versions {
                None => had || wanted.takes(candidate.version),
                Some(versions) => versions.matches(candidate.version),
            })
        });
        // Who names versions may go back; nothing else does.
        let names_versions = self.wanted.iter().any(|wanted| wanted.versions.is_some());
        let Some(installed) = self.installed.filter(|_| !names_versions) else { return Some(asked) };
        let above = self.places(|candidate| *candidate.version >= installed.version);
        Some(pubgrub::VersionSet::intersection(&asked, &above))
    }

    /// Which of these it gets: what is locked; what is installed, unless it was asked for; the newest.
    pub(super) fn choose(&self, from: &Set) -> Option<Place> {
        if from.has(ABSENT) {
            return Some(ABSENT);
        }
        let first = |holds: &dyn Fn(&Candidate<'a>) -> bool| {
            (0..).zip(&self.candidates).find(|(place, candidate)| from.has(*place) && holds(candidate))
        };
        let locked = first(&|candidate| candidate.locked.is_some());
        let kept = || first(&|candidate| candidate.installed.is_some() && self.wanted.is_empty());
        let newest = || (0..).zip(&self.candidates).filter(|(place, _)| from.has(*place)).last();
        Some(locked.or_else(kept).or_else(newest)?.0)
    }
}

impl<'a> Candidate<'a> {
    /// What it works with: by its own manifest where it is installed, else as the index says, else as the lock does.
    pub(super) fn needs(&self) -> Vec<Needs<'a>> {
        let of = |need: &'a crate::index::Need| Needs {
            plugin: &need.plugin,
            range: Range::Req(&need.versions),
            optional: need.optional,
        };
        if let Some(installed) = self.installed {
            installed.dependencies.iter().map(of).collect()
        } else if let Some(release) = self.release {
            release.dependencies.iter().map(of).collect()
        } else {
            let locked = self.locked.map_or(&[][..], |locked| &locked.dependencies);
            let only = |(plugin, version): &'a (String, Version)| Needs {
                plugin,
                range: Range::Only(version),
                optional: false,
            };
            locked.iter().map(only).collect()
        }
    }
}

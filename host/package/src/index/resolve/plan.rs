use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use semver::Version;
use stockade_policy::stands;

use super::known::{Candidate, Known, Needs, Range};
use super::set::Place;
use super::{Question, ResolveError};
use crate::index::{Lock, LockError, Locked, Source};

/// What is to be installed, and what stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is to be installed or replaced: what others need before them. Where plugins need each other, one of them comes
    /// first.
    pub picks: Vec<Pick>,
    /// What is installed and stays, by name.
    pub stays: Vec<Stay>,
}

/// A package that is to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// `publisher/name`.
    pub name: String,
    /// Which version.
    pub version: Version,
    /// The package's digest, which what is fetched has to have.
    pub digest: String,
    /// Where it is.
    pub source: Source,
    /// How large it is, where the index lists it.
    pub bytes: Option<u64>,
    /// Why.
    pub why: Why,
    /// The version that it takes the place of.
    pub replaces: Option<Version>,
    /// Why nobody should install it any more, where the index says so. Hostile text.
    pub yanked: Option<String>,
    /// The plugins of the plan that it works with, by name.
    pub dependencies: Vec<(String, Version)>,
}

/// A plugin that is installed and stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// `publisher/name`.
    pub name: String,
    /// Which version.
    pub version: Version,
    /// The package's digest, where it is a package.
    pub digest: Option<String>,
    /// Where it is, where index or lock have this package.
    pub source: Option<Source>,
    /// The plugins of the plan that it works with, by name.
    pub dependencies: Vec<(String, Version)>,
}

/// Why a package is in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was asked for.
    Asked,
    /// Another plugin of the plan needs it.
    Needed {
        /// Which one.
        by: String,
        /// Which versions that takes.
        versions: String,
    },
    /// It is installed in a version that does not fit with the rest.
    Fits,
}

pub(super) type Chosen<'a> = BTreeMap<&'a str, (Rc<Known<'a>>, Place)>;

impl Plan {
    /// The lock file that holds to this plan. What stays and is nowhere to be had from is not in it.
    ///
    /// # Errors
    ///
    /// Never of a plan that was resolved; see [`Lock::of`].
    pub fn lock(&self) -> Result<Lock, LockError> {
        let picked = self.picks.iter().map(|pick| Locked {
            name: pick.name.clone(),
            version: pick.version.clone(),
            digest: pick.digest.clone(),
            source: pick.source.clone(),
            dependencies: pick.dependencies.clone(),
        });
        let stays = self.stays.iter().filter_map(|stay| {
            Some(Locked {
                name: stay.name.clone(),
                version: stay.version.clone(),
                digest: stay.digest.clone()?,
                source: stay.source.clone()?,
                dependencies: stay.dependencies.clone(),
            })
        });
        Lock::of(picked.chain(stays).collect())
    }

    pub(super) fn of(question: &Question<'_>, chosen: &Chosen<'_>) -> Result<Plan, ResolveError> {
        let mut plan = Plan { picks: Vec::new(), stays: Vec::new() };
        for name in order(chosen) {
            let (known, place) = &chosen[name];
            let candidate = known.at(*place).expect("it was chosen from there");
            let dependencies = there(candidate, chosen);
            match candidate.installed {
                Some(installed) => plan.stays.push(Stay {
                    name: name.to_owned(),
                    version: installed.version.clone(),
                    digest: installed.digest.clone(),
                    source: source(candidate, installed.digest.as_deref()).cloned(),
                    dependencies,
                }),
                None => plan.picks.push(pick(known, candidate, chosen, dependencies)),
            }
        }
        plan.stays.sort_by(|a, b| a.name.cmp(&b.name));
        drift(question, chosen)?;
        Ok(plan)
    }
}

fn pick(
    known: &Known<'_>,
    candidate: &Candidate<'_>,
    chosen: &Chosen<'_>,
    dependencies: Vec<(String, Version)>,
) -> Pick {
    // What is locked has the digest of the lock, and may have moved.
    let locked = candidate.locked.map(|locked| (&locked.digest, &locked.source));
    let listed = candidate.release.map(|release| (&release.digest, &release.source));
    let (digest, source) = match (locked, listed) {
        (Some((digest, _)), Some((same, source))) if digest == same => (digest, source),
        (Some(locked), _) => locked,
        (None, listed) => listed.expect("what is neither installed nor locked is in the index"),
    };
    Pick {
        name: known.name.to_owned(),
        version: candidate.version.clone(),
        digest: digest.clone(),
        source: source.clone(),
        bytes: candidate.release.map(|release| release.bytes),
        why: why(known, chosen),
        replaces: known.installed.map(|installed| installed.version.clone()),
        yanked: candidate.release.and_then(|release| release.yanked.clone()),
        dependencies,
    }
}

fn why(known: &Known<'_>, chosen: &Chosen<'_>) -> Why {
    if !known.wanted.is_empty() {
        return Why::Asked;
    }
    for (by, (other, place)) in chosen {
        let needs = other.at(*place).map(Candidate::needs).unwrap_or_default();
        if let Some(Needs { range, .. }) =
            needs.iter().find(|needs| needs.plugin == known.name && !needs.optional)
        {
            let versions = match range {
                Range::Req(versions) => versions.to_string(),
                Range::Only(version) => format!("={version}"),
            };
            return Why::Needed { by: (*by).to_owned(), versions };
        }
    }
    Why::Fits
}

/// Where a package is, by whoever has it with this digest.
fn source<'a>(candidate: &Candidate<'a>, digest: Option<&str>) -> Option<&'a Source> {
    let digest = digest?;
    let listed = candidate.release.filter(|release| release.digest == digest).map(|release| &release.source);
    let locked = || candidate.locked.filter(|locked| locked.digest == digest).map(|locked| &locked.source);
    listed.or_else(locked)
}

/// The plugins of the plan that a version works with.
fn there(candidate: &Candidate<'_>, chosen: &Chosen<'_>) -> Vec<(String, Version)> {
    let version = |name: &str| chosen.get(name).and_then(|(known, place)| known.at(*place));
    let needs = candidate.needs().into_iter();
    let mut there: Vec<(String, Version)> = needs
        .filter_map(|needs| Some((needs.plugin.to_owned(), version(needs.plugin)?.version.clone())))
        .collect();
    there.sort();
    there
}

/// All of them, what others work with before those. Without recursion: a crafted index makes chains as long as it likes.
fn order<'a>(chosen: &Chosen<'a>) -> Vec<&'a str> {
    let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
    for name in chosen.keys() {
        let mut open = vec![(*name, false)];
        while let Some((name, done)) = open.pop() {
            if done {
                order.push(name);
                continue;
            }
            if !seen.insert(name) {
                continue;
            }
            open.push((name, true));
            let mut below = below(name, chosen);
            // What is pushed last comes first.
            below.reverse();
            open.extend(below.into_iter().filter(|name| !seen.contains(name)).map(|name| (name, false)));
        }
    }
    order
}

/// The plugins of the plan that one works with, by name.
fn below<'a>(name: &str, chosen: &Chosen<'a>) -> Vec<&'a str> {
    let candidate = chosen.get(name).and_then(|(known, place)| known.at(*place));
    let needs = candidate.map(Candidate::needs).unwrap_or_default();
    let mut below: Vec<&str> =
        needs.iter().filter_map(|needs| Some(chosen.get_key_value(needs.plugin)?.0)).copied().collect();
    below.sort_unstable();
    below
}

/// Whether what was asked for comes down to something installed that the index knows as another package. Of what has
/// nothing to do with the question, that is not asked: a plugin of one's own may have the version of a published one.
fn drift(question: &Question<'_>, chosen: &Chosen<'_>) -> Result<(), ResolveError> {
    let mut open: Vec<&str> = question.wanted.iter().map(|wanted| wanted.plugin.as_str()).collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        let Some((known, place)) = chosen.get(name) else { continue };
        if !seen.insert(known.name) {
            continue;
        }
        if let Some(Candidate { version, release: Some(release), installed: Some(installed), .. }) =
            known.at(*place)
            && let Some(digest) = &installed.digest
            && *digest != release.digest
            && stands("resolve.drift")
        {
            return Err(ResolveError::InstalledDrift {
                plugin: name.to_owned(),
                version: (*version).clone(),
                installed: digest.clone(),
                listed: release.digest.clone(),
            });
        }
        open.extend(below(name, chosen));
    }
    Ok(())
}

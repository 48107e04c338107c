//! Why nothing fits, in sentences. pubgrub tells it as a tree of conclusions, whose leaves are what people can do
//! something about: what was asked for, which version needs what, and what there is.

use std::collections::BTreeSet;
use std::sync::Arc;

use pubgrub::{DerivationTree, External};
use semver::Version;

use super::known::{Candidate, Known, Out, Range};
use super::set::Set;
use super::solve::{Node, ROOT, Tree, World};
use crate::index::Release;
use crate::index::error::cut;

/// Sentences of an explanation: 16. The first are of what was asked for.
const MAX_FACTS: usize = 16;
/// Versions that are named one by one, newest first: 6.
const MAX_NAMED: usize = 6;
/// Characters of a reason that is shown.
const MAX_REASON: usize = 80;

/// A leaf: who needs what.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    /// Of what was asked for, and is installed.
    Root(String),
    /// Of which version needs what.
    Needs(String),
    /// Of what there is.
    There(String),
}

/// The sentences, and how many more there were.
pub(super) fn explain(world: &World<'_>, tree: Tree) -> Vec<String> {
    let mut facts = BTreeSet::new();
    leaves(tree, |leaf| {
        let External::FromDependencyOf(of, versions, on, _) = leaf else { return };
        let on = world.known(on);
        match of {
            ROOT => facts.insert(Fact::Root(rooted(&on))),
            of => needs(&world.known(of), &versions, on.name)
                .map(|text| facts.insert(Fact::Needs(text)))
                .is_some(),
        };
        facts.insert(Fact::There(there(&on)));
    });
    let more = facts.len().saturating_sub(MAX_FACTS);
    let text = |fact| match fact {
        Fact::Root(text) | Fact::Needs(text) | Fact::There(text) => text,
    };
    let mut sentences: Vec<String> = facts.into_iter().map(text).take(MAX_FACTS).collect();
    if more > 0 {
        sentences.push(format!("and {more} more"));
    }
    sentences
}

/// Takes the tree apart from the top, and each part once. It can be thousands of conclusions deep, as deep as a crafted
/// index likes, and to follow or to drop it by recursion would overflow the stack.
fn leaves(tree: Tree, mut each: impl FnMut(External<Node, Set, String>)) {
    let mut left = vec![tree];
    while let Some(tree) = left.pop() {
        match tree {
            DerivationTree::External(leaf) => each(leaf),
            DerivationTree::Derived(derived) => {
                left.extend([derived.cause1, derived.cause2].into_iter().filter_map(Arc::into_inner));
            }
        }
    }
}

fn rooted(known: &Known<'_>) -> String {
    let mut parts: Vec<String> =
        known.wanted.iter().map(|wanted| format!("{wanted} was asked for")).collect();
    if let Some(installed) = known.installed {
        parts.push(format!("{} {} is installed", known.name, installed.version));
    }
    parts.join(" and ")
}

/// `a/b 1.0.0 and 1.1.0 need c/d ^2`. Versions that pubgrub has put together need the same versions, if in other words.
fn needs(known: &Known<'_>, versions: &Set, on: &str) -> Option<String> {
    let them = (0..).zip(&known.candidates).filter(|(place, _)| versions.has(*place));
    let them: Vec<&Candidate<'_>> = them.map(|(_, candidate)| candidate).collect();
    let needs = them.last()?.needs().into_iter().find(|needs| needs.plugin == on)?;
    let range = match needs.range {
        Range::Req(versions) => versions.to_string(),
        Range::Only(version) => format!("={version}"),
    };
    let one = them.len() == 1;
    let who = format!("{} {}", known.name, list(them.iter().map(|candidate| candidate.version)));
    Some(match (needs.optional, one) {
        (false, true) => format!("{who} needs {on} {range}"),
        (false, false) => format!("{who} need {on} {range}"),
        (true, true) => format!("{who} works with no other {on} than {range}"),
        (true, false) => format!("{who} work with no other {on} than {range}"),
    })
}

fn there(known: &Known<'_>) -> String {
    if !known.is_listed() {
        return format!("the index has no {}", known.name);
    }
    let can_be = match known.candidates.is_empty() {
        true => "none that can be had".to_owned(),
        false => list(known.candidates.iter().map(|candidate| candidate.version)),
    };
    let mut out: Vec<String> = known.out.iter().rev().take(MAX_NAMED).map(left_out).collect();
    if known.out.len() > MAX_NAMED {
        out.push(format!("{} older", known.out.len() - MAX_NAMED));
    }
    match out.is_empty() {
        true => format!("of {} there is {can_be}", known.name),
        false => format!("of {} there is {can_be}, left out are {}", known.name, out.join(", ")),
    }
}

fn left_out((release, out): &(&Release, Out)) -> String {
    let why = match out {
        Out::Yanked => {
            format!("yanked: \"{}\"", cut(release.yanked.as_deref().unwrap_or_default(), MAX_REASON))
        }
        Out::PreRelease => "a pre-release, and not asked for".to_owned(),
        Out::Host => {
            format!("for hosts {}", release.host.as_ref().map(ToString::to_string).unwrap_or_default())
        }
        Out::Contract => format!("for contract {}", cut(&release.contract, MAX_REASON)),
    };
    format!("{} ({why})", release.version)
}

/// The newest of them, oldest first.
fn list<'v>(versions: impl Iterator<Item = &'v Version>) -> String {
    let all: Vec<String> = versions.map(ToString::to_string).collect();
    let older = all.len().saturating_sub(MAX_NAMED);
    match &all[older..] {
        [] => String::new(),
        shown if older > 0 => format!("{older} older, {}", shown.join(", ")),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

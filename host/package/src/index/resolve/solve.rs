//! What is known, as pubgrub asks for it. A plugin that others need only where it is there has one version more, which
//! stands for its not being there: that is taken as long as nobody needs the plugin, and decided last.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;

use pubgrub::{
    Dependencies, DependencyProvider, DerivationTree, PackageResolutionStatistics, PubGrubError, VersionSet,
};
use stockade_policy::stands;

use super::known::Known;
use super::set::{ABSENT, Place, Set};
use super::{MAX_STEPS, Question};

/// A plugin, by when it was first spoken of. Numbers, since pubgrub hashes what it is given without a secret: names could
/// be made to collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node(u32);

/// Whoever asks: it needs what was asked for, and what is installed.
pub(super) const ROOT: Node = Node(0);

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// More steps than there may be.
#[derive(Debug, thiserror::Error)]
#[error("more than {MAX_STEPS} steps")]
pub(super) struct Endless;

/// Why nothing fits, as pubgrub tells it.
pub(super) type Tree = DerivationTree<Node, Set, String>;

pub(super) enum Unsolved {
    Nothing(Tree),
    Endless,
}

pub(super) struct World<'a> {
    question: &'a Question<'a>,
    nodes: RefCell<HashMap<&'a str, Node>>,
    /// By node; the first is nobody.
    known: RefCell<Vec<Rc<Known<'a>>>>,
    steps: Cell<u32>,
}

impl<'a> World<'a> {
    pub(super) fn of(question: &'a Question<'a>) -> World<'a> {
        let nobody =
            Known { name: "", candidates: Vec::new(), out: Vec::new(), wanted: Vec::new(), installed: None };
        World {
            question,
            nodes: RefCell::default(),
            known: RefCell::new(vec![Rc::new(nobody)]),
            steps: Cell::new(0),
        }
    }

    fn node(&self, name: &'a str) -> Node {
        *self.nodes.borrow_mut().entry(name).or_insert_with(|| {
            let mut known = self.known.borrow_mut();
            known.push(Rc::new(Known::of(self.question, name)));
            Node(u32::try_from(known.len() - 1).expect("steps are bounded"))
        })
    }

    pub(super) fn known(&self, node: Node) -> Rc<Known<'a>> {
        Rc::clone(&self.known.borrow()[node.0 as usize])
    }

    /// The names of whatever was asked for or is installed, each once.
    pub(super) fn roots(&self) -> impl Iterator<Item = &'a str> {
        let asked = self.question.wanted.iter().map(|wanted| wanted.plugin.as_str());
        let installed = self.question.installed.into_iter().flat_map(BTreeMap::keys).map(String::as_str);
        asked.chain(installed).collect::<std::collections::BTreeSet<_>>().into_iter()
    }

    /// The version that each plugin gets.
    pub(super) fn solve(&self) -> Result<BTreeMap<&'a str, (Rc<Known<'a>>, Place)>, Unsolved> {
        let solution = pubgrub::resolve(self, ROOT, 0_u16).map_err(|error| match error {
            PubGrubError::NoSolution(tree) => Unsolved::Nothing(tree),
            _ => Unsolved::Endless,
        })?;
        let there = solution.into_iter().filter(|&(node, place)| node != ROOT && place != ABSENT);
        Ok(there
            .map(|(node, place)| {
                let known = self.known(node);
                (known.name, (known, place))
            })
            .collect())
    }

    fn step(&self, count: usize) -> Result<(), Endless> {
        let steps = self.steps.get().saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.steps.set(steps);
        if steps > MAX_STEPS && stands("resolve.steps") { Err(Endless) } else { Ok(()) }
    }
}

impl DependencyProvider for World<'_> {
    type P = Node;
    type V = Place;
    type VS = Set;
    /// What has to be there before what need not be; what was asked for before others; what others have conflicts with;
    /// what there are few versions of.
    type Priority = (bool, bool, u32, Reverse<u32>);
    type M = String;
    type Err = Endless;

    fn prioritize(
        &self,
        node: &Node,
        range: &Set,
        statistics: &PackageResolutionStatistics,
    ) -> Self::Priority {
        let asked = !self.known(*node).wanted.is_empty();
        // What was in a conflict is looked at again after each: it is conflicts that make a search long.
        self.steps.set(self.steps.get().saturating_add(statistics.conflict_count().min(1)));
        (!range.has(ABSENT), asked, statistics.conflict_count(), Reverse(range.count()))
    }

    fn choose_version(&self, node: &Node, range: &Set) -> Result<Option<Place>, Endless> {
        Ok(match *node {
            ROOT => Some(0),
            node => self.known(node).choose(range),
        })
    }

    fn get_dependencies(
        &self,
        node: &Node,
        place: &Place,
    ) -> Result<Dependencies<Node, Set, String>, Endless> {
        let mut dependencies = Vec::new();
        if *node == ROOT {
            for name in self.roots() {
                let node = self.node(name);
                dependencies.push((node, self.known(node).rooted().unwrap_or_else(Set::full)));
            }
        } else if let Some(candidate) = self.known(*node).at(*place) {
            for needs in candidate.needs() {
                let node = self.node(needs.plugin);
                dependencies.push((node, self.known(node).matching(&needs)));
            }
        }
        self.step(dependencies.len())?;
        Ok(Dependencies::Available(dependencies.into_iter().collect()))
    }

    fn should_cancel(&self) -> Result<(), Endless> {
        self.step(1)
    }
}

//! Walks over the lineage: finds the stages and their order. Every walk has its own stack and
//! visits a node once, so neither a long chain nor repeated diamonds can overflow the stack or take
//! exponential time.

use crate::ids::ShuffleId;
use crate::lineage::{Dependency, LineageNode, ShuffleDependency};
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// A shuffle in the plan of a job.
pub(super) struct PlannedShuffle {
    pub shuffle: Arc<dyn ShuffleDependency>,
    /// The shuffles that its map tasks read, or `None` if all of its outputs are stored.
    pub inputs: Option<Vec<Arc<dyn ShuffleDependency>>>,
}

/// Returns the shuffles that a task of `root` reads: the first ones on every path, not beyond
/// stored nodes.
pub(super) fn direct_shuffles(root: &Arc<LineageNode>) -> Vec<Arc<dyn ShuffleDependency>> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    walk_narrow(root, LineageNode::is_stored, |shuffle| {
        if seen.insert(shuffle.id()) {
            found.push(Arc::clone(shuffle));
        }
    });
    found
}

/// Returns the shuffle `wanted`, if a task of `root` may read it, also beyond a node that was
/// stored when the job was planned and has lost a block since.
pub(super) fn find_shuffle(
    root: &Arc<LineageNode>,
    wanted: ShuffleId,
) -> Option<Arc<dyn ShuffleDependency>> {
    let mut found = None;
    walk_narrow(
        root,
        |_| false,
        |shuffle| {
            if shuffle.id() == wanted {
                found = Some(Arc::clone(shuffle));
            }
        },
    );
    found
}

/// Visits the nodes that are computed in the task of `root`, and their shuffles.
fn walk_narrow(
    root: &Arc<LineageNode>,
    stop_at: impl Fn(&LineageNode) -> bool,
    mut on_shuffle: impl FnMut(&Arc<dyn ShuffleDependency>),
) {
    let mut seen = HashSet::new();
    let mut stack = vec![root];
    while let Some(node) = stack.pop() {
        if !seen.insert(Arc::as_ptr(node)) || stop_at(node) {
            continue;
        }
        // Shuffles on the left come first, so that stage numbers follow the text of the program.
        for dependency in node.dependencies().iter().rev() {
            if let Dependency::Narrow(parent) = dependency {
                stack.push(parent);
            }
        }
        for dependency in node.dependencies() {
            if let Dependency::Shuffle(shuffle) = dependency {
                on_shuffle(shuffle);
            }
        }
    }
}

/// Returns `roots` and all shuffles that they need, parents first. `inputs_of` returns the shuffles
/// that a shuffle reads, or `None` if all of its outputs are stored; its parents are then not
/// visited.
pub(super) fn parents_first_shuffles(
    roots: &[Arc<dyn ShuffleDependency>],
    mut inputs_of: impl FnMut(&Arc<dyn ShuffleDependency>) -> Option<Vec<Arc<dyn ShuffleDependency>>>,
) -> Vec<PlannedShuffle> {
    let open = |shuffle: Arc<dyn ShuffleDependency>| {
        let inputs = inputs_of(&shuffle);
        let parents = inputs.clone().unwrap_or_default();
        Some((PlannedShuffle { shuffle, inputs }, parents))
    };
    walk_parents_first(roots.to_vec(), |shuffle| shuffle.id(), open)
}

/// Returns `root` and its ancestors across narrow and shuffle dependencies, parents first, without
/// the ancestors of stored nodes.
pub(crate) fn parents_first(root: &Arc<LineageNode>) -> Vec<&Arc<LineageNode>> {
    ancestors_first(root, |node| node.is_stored())
}

/// Returns `root` and its ancestors, parents first, without the ancestors of nodes for which
/// `is_first` returns true.
pub(crate) fn ancestors_first<'a>(
    root: &'a Arc<LineageNode>,
    mut is_first: impl FnMut(&'a Arc<LineageNode>) -> bool,
) -> Vec<&'a Arc<LineageNode>> {
    let open = |node: &'a Arc<LineageNode>| {
        let parents = || node.dependencies().iter().map(Dependency::parent).collect();
        Some((node, if is_first(node) { Vec::new() } else { parents() }))
    };
    walk_parents_first(vec![root], |node| Arc::as_ptr(node), open)
}

/// Visits `roots` and their ancestors once each, and returns the results of `open`, parents first.
/// `open` also returns the parents of a node; a node for which it returns `None` is left out.
fn walk_parents_first<N, I: Eq + Hash, T>(
    roots: Vec<N>,
    id_of: impl Fn(&N) -> I,
    mut open: impl FnMut(N) -> Option<(T, Vec<N>)>,
) -> Vec<T> {
    enum Visit<N, T> {
        Enter(N),
        Leave(T),
    }
    let mut seen = HashSet::new();
    let mut order = Vec::new();
    let mut stack: Vec<_> = roots.into_iter().rev().map(Visit::Enter).collect();
    while let Some(visit) = stack.pop() {
        match visit {
            Visit::Leave(opened) => order.push(opened),
            Visit::Enter(node) if seen.insert(id_of(&node)) => {
                let Some((opened, parents)) = open(node) else { continue };
                stack.push(Visit::Leave(opened));
                stack.extend(parents.into_iter().rev().map(Visit::Enter));
            }
            Visit::Enter(_) => {}
        }
    }
    order
}

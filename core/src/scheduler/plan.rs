//! Reading a lineage: where to cut it into stages, and in which order. Every walk keeps its own
//! stack and visits a node once, so neither a long chain nor a tower of diamonds can hurt it.

use crate::ids::ShuffleId;
use crate::lineage::{Dependency, LineageNode, ShuffleDependency};
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// A shuffle in the plan of a job.
pub(super) struct Planned {
    pub shuffle: Arc<dyn ShuffleDependency>,
    /// What its map tasks read, or nothing if its outputs are all there.
    pub inputs: Option<Vec<Arc<dyn ShuffleDependency>>>,
}

/// The shuffles that a task of `root` reads: the first ones on every path, not past stored nodes.
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

/// The shuffle called `wanted`, if a task of `root` can come to read it: also behind a node that
/// was stored when the job was planned and has lost a block since.
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
        // Shuffles on the left come first, so that stage numbers follow the program's text.
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

/// `roots` and all that they need, parents first. `inputs_of` answers what a shuffle reads, or
/// nothing if its outputs are all there; then its own parents are not looked at.
pub(super) fn parents_first_shuffles(
    roots: &[Arc<dyn ShuffleDependency>],
    mut inputs_of: impl FnMut(&Arc<dyn ShuffleDependency>) -> Option<Vec<Arc<dyn ShuffleDependency>>>,
) -> Vec<Planned> {
    let open = |shuffle: Arc<dyn ShuffleDependency>| {
        let inputs = inputs_of(&shuffle);
        let parents = inputs.clone().unwrap_or_default();
        Some((Planned { shuffle, inputs }, parents))
    };
    walk_parents_first(roots.to_vec(), |shuffle| shuffle.id(), open)
}

/// `root` and its ancestors across narrow and shuffle dependencies, parents before children; what is
/// behind stored nodes is left out.
pub(crate) fn parents_first(root: &Arc<LineageNode>) -> Vec<&LineageNode> {
    walk_parents_first(
        vec![root],
        |node| Arc::as_ptr(node),
        |node| {
            let parents = || node.dependencies().iter().map(Dependency::parent).collect();
            Some((&**node, if node.is_stored() { Vec::new() } else { parents() }))
        },
    )
}

/// Visits `roots` and their ancestors once each, and gives what `open` makes of them, parents first.
/// `open` also names a node's parents; a node that it answers with nothing is left out.
fn walk_parents_first<N, I: Eq + Hash, T>(
    roots: Vec<N>,
    id_of: impl Fn(&N) -> I,
    mut open: impl FnMut(N) -> Option<(T, Vec<N>)>,
) -> Vec<T> {
    enum Visit<N, T> {
        Enter(N),
        Leave(T),
    }
    let (mut seen, mut order) = (HashSet::new(), Vec::new());
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

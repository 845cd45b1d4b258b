//! Reading a lineage: where to cut it into stages, and in which order. Every walk keeps its own
//! stack and visits a node once, so neither a long chain nor a tower of diamonds can hurt it.

use crate::ids::ShuffleId;
use crate::lineage::{Dependency, Lineage, ShuffleStep};
use std::collections::HashSet;
use std::sync::Arc;

/// A shuffle in the plan of a job.
pub(super) struct Planned {
    pub shuffle: Arc<dyn ShuffleStep>,
    /// What its map tasks read, or nothing if its outputs are all there.
    pub inputs: Option<Vec<Arc<dyn ShuffleStep>>>,
}

/// The shuffles that a task of `root` reads: the first ones on every path, not past stored nodes.
pub(super) fn direct_shuffles(root: &Arc<Lineage>) -> Vec<Arc<dyn ShuffleStep>> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    walk_narrow(root, Lineage::is_stored, |shuffle| {
        if seen.insert(shuffle.id()) {
            found.push(Arc::clone(shuffle));
        }
    });
    found
}

/// The shuffle called `wanted`, if a task of `root` can come to read it: also behind a node that
/// was stored when the job was planned and has lost a block since.
pub(super) fn find_shuffle(root: &Arc<Lineage>, wanted: ShuffleId) -> Option<Arc<dyn ShuffleStep>> {
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
    root: &Arc<Lineage>,
    stop_at: impl Fn(&Lineage) -> bool,
    mut on_shuffle: impl FnMut(&Arc<dyn ShuffleStep>),
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
    roots: &[Arc<dyn ShuffleStep>],
    mut inputs_of: impl FnMut(&Arc<dyn ShuffleStep>) -> Option<Vec<Arc<dyn ShuffleStep>>>,
) -> Vec<Planned> {
    enum Visit {
        Enter(Arc<dyn ShuffleStep>),
        Leave(Planned),
    }
    let mut seen = HashSet::new();
    let mut order = Vec::new();
    let enter = |shuffles: &[Arc<dyn ShuffleStep>]| {
        shuffles.iter().rev().cloned().map(Visit::Enter).collect::<Vec<_>>()
    };
    let mut stack = enter(roots);
    while let Some(visit) = stack.pop() {
        match visit {
            Visit::Leave(planned) => order.push(planned),
            Visit::Enter(shuffle) => {
                if !seen.insert(shuffle.id()) {
                    continue;
                }
                let inputs = inputs_of(&shuffle);
                let below = enter(inputs.as_deref().unwrap_or_default());
                stack.push(Visit::Leave(Planned { shuffle, inputs }));
                stack.extend(below);
            }
        }
    }
    order
}

/// `root` and its ancestors across narrow and shuffle dependencies, parents before children; stored
/// nodes and what is behind them are left out.
pub(crate) fn parents_first(root: &Arc<Lineage>) -> Vec<&Lineage> {
    enum Visit<'a> {
        Enter(&'a Arc<Lineage>),
        Leave(&'a Lineage),
    }
    let mut seen = HashSet::new();
    let mut order = Vec::new();
    let mut stack = vec![Visit::Enter(root)];
    while let Some(visit) = stack.pop() {
        match visit {
            Visit::Leave(node) => order.push(node),
            Visit::Enter(node) => {
                if !seen.insert(Arc::as_ptr(node)) || node.is_stored() {
                    continue;
                }
                stack.push(Visit::Leave(node));
                let parents = node.dependencies().iter().rev().map(Dependency::parent);
                stack.extend(parents.map(Visit::Enter));
            }
        }
    }
    order
}

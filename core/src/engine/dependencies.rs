//! Finds the accumulator updates that a job must count.

use crate::job::JobDependencies;
use crate::lineage::{Dependency, LineageNode};
use crate::scheduler::ancestors_first;
use std::sync::Arc;

/// Returns the dependencies of a job that reads `nodes` of a lineage, and those of the ancestors of
/// stored nodes whose accumulator updates may not have counted.
pub(super) fn dependencies_of<'a>(
    lineage: &'a Arc<LineageNode>,
    nodes: Vec<&'a Arc<LineageNode>>,
) -> JobDependencies {
    let mut stored = Vec::new();
    let nodes = match nodes.iter().any(|node| node.may_hide_updates()) {
        false => nodes,
        true => ancestors_first(lineage, |node| {
            let is_stored = node.is_stored();
            let hides_updates = node.may_hide_updates();
            if is_stored && hides_updates {
                stored.push(Arc::clone(node));
            }
            is_stored && !hides_updates
        }),
    };
    let edges = nodes.iter().flat_map(|node| node.dependencies());
    JobDependencies {
        prerequisites: nodes.iter().filter_map(|node| node.prerequisite.clone()).collect(),
        shuffles: edges.filter_map(Dependency::shuffle).cloned().collect(),
        blocks: nodes.iter().filter_map(|node| node.blocks.clone()).collect(),
        stored,
    }
}

//! Finds the stages of a lineage, without recursion: a lineage may have any length.

use super::size;
use crate::display::printable;
use emberline_core::lineage::{Dependency, LineageNode, ShuffleDependency, StorageStats};
use std::collections::{HashMap, HashSet};
use std::ptr;

/// The tasks between two shuffles.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub partitions: usize,
    /// Partitions of the shuffle it writes; `None` for the result stage.
    pub writes: Option<usize>,
    /// Indices of the stages it reads, ascending.
    pub reads: Vec<usize>,
    /// The state of its map outputs, or the rows that the result stage has read, after a run.
    pub stats: Option<StorageStats>,
    /// Its operations, parents first.
    pub nodes: Vec<Node>,
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub operation: &'static str,
    /// Call site, and the name of the RDD.
    pub location: String,
    /// Indices of its narrow parents, in the order of its inputs.
    pub parents: Vec<usize>,
    /// Stages it reads, partitioner, and storage.
    pub details: Vec<String>,
    pub is_cached: bool,
    pub problem: Option<String>,
}

/// The end of a stage: its last node, and the shuffle it writes.
#[derive(Clone, Copy)]
struct Cut<'a> {
    end: &'a LineageNode,
    shuffle: Option<&'a dyn ShuffleDependency>,
}

/// A stage on the stack, with its nodes once its parent stages are on the stack too.
type Visit<'a> = (Cut<'a>, Option<Vec<&'a LineageNode>>);

/// Returns the stages that an action on `result` needs, parents first.
pub(super) fn stages_of(result: &LineageNode) -> Vec<Stage> {
    let mut stages = Vec::new();
    let mut numbers = HashMap::new();
    let mut seen = HashSet::new();
    let mut stack: Vec<Visit<'_>> = vec![(Cut { end: result, shuffle: None }, None)];
    while let Some((cut, nodes)) = stack.pop() {
        if let Some(nodes) = nodes {
            let number = stages.len();
            numbers.extend(cut.shuffle.map(|shuffle| (key_of(shuffle), number)));
            stages.push(stage(cut, &nodes, &numbers));
        } else if cut.shuffle.is_none_or(|shuffle| seen.insert(key_of(shuffle))) {
            let nodes = parents_first(cut.end);
            let reads = nodes.iter().flat_map(|node| shuffles(node));
            let parents =
                reads.map(|shuffle| Cut { end: shuffle.parent(), shuffle: Some(shuffle) });
            let parents: Vec<Visit<'_>> = parents.map(|parent| (parent, None)).collect();
            stack.push((cut, Some(nodes)));
            stack.extend(parents.into_iter().rev());
        }
    }
    stages
}

/// Returns the address of a shuffle. Ids would be ambiguous in a lineage that mixes two contexts.
fn key_of(shuffle: &dyn ShuffleDependency) -> *const () {
    ptr::from_ref(shuffle).cast()
}

fn shuffles(node: &LineageNode) -> impl Iterator<Item = &dyn ShuffleDependency> {
    node.dependencies().iter().filter_map(|dependency| match dependency {
        Dependency::Shuffle(shuffle) => Some(shuffle.as_ref()),
        Dependency::Narrow(_) => None,
    })
}

fn narrow_parents(node: &LineageNode) -> impl DoubleEndedIterator<Item = &LineageNode> {
    node.dependencies().iter().filter_map(|dependency| match dependency {
        Dependency::Narrow(parent) => Some(parent.as_ref()),
        Dependency::Shuffle(_) => None,
    })
}

/// Returns the nodes of the stage that ends in `end`, each once, parents first.
fn parents_first(end: &LineageNode) -> Vec<&LineageNode> {
    let mut nodes = Vec::new();
    let mut seen = HashSet::new();
    let mut stack = vec![(end, false)];
    while let Some((node, parents_done)) = stack.pop() {
        if parents_done {
            nodes.push(node);
        } else if seen.insert(ptr::from_ref(node)) {
            stack.push((node, true));
            stack.extend(narrow_parents(node).rev().map(|parent| (parent, false)));
        }
    }
    nodes
}

fn stage(cut: Cut<'_>, nodes: &[&LineageNode], numbers: &HashMap<*const (), usize>) -> Stage {
    let indices: HashMap<*const LineageNode, usize> =
        nodes.iter().enumerate().map(|(at, node)| (ptr::from_ref(*node), at)).collect();
    let reads_of = |node: &LineageNode| -> Vec<usize> {
        shuffles(node).map(|shuffle| numbers[&key_of(shuffle)]).collect()
    };
    let mut reads: Vec<usize> = nodes.iter().flat_map(|node| reads_of(node)).collect();
    reads.sort_unstable();
    reads.dedup();
    let nodes = nodes.iter().map(|node| Node {
        operation: node.operation().name,
        location: location(node),
        parents: narrow_parents(node).map(|parent| indices[&ptr::from_ref(parent)]).collect(),
        details: details(node, &reads_of(node)),
        is_cached: node.blocks.is_some(),
        problem: node.problem().map(|problem| printable(&problem.kind().to_string())),
    });
    let rows_read = |rows_read| StorageStats { rows_read, ..StorageStats::default() };
    let stats = match cut.shuffle {
        Some(shuffle) => Some(shuffle.storage_stats()).filter(|stats| stats.stored_partitions > 0),
        None => cut.end.rows_read().map(rows_read),
    };
    Stage {
        partitions: cut.end.partitions(),
        writes: cut.shuffle.map(|shuffle| shuffle.partitions()),
        reads,
        stats,
        nodes: nodes.collect(),
    }
}

fn location(node: &LineageNode) -> String {
    let site = printable(&node.operation().call_site.to_string());
    let name = node.name().map(|name| printable(&format!(" {name:?}")));
    format!("at {site}{}", name.unwrap_or_default())
}

fn details(node: &LineageNode, reads: &[usize]) -> Vec<String> {
    let reads = reads.iter().map(|stage| format!("reads stage {stage}"));
    let partitioner = node.info.partitioner.as_ref();
    let partitioner = partitioner.map(|by| format!("partitioned by {}", printable(by)));
    let stored = node.blocks.as_ref().map(|blocks| {
        let stats = blocks.storage_stats();
        let level = blocks.level().map(|level| format!("{level}: ")).unwrap_or_default();
        let stored = format!(
            "{level}{} of {} partitions stored",
            stats.stored_partitions,
            node.partitions()
        );
        if stats.stored_partitions == 0 { stored } else { format!("{stored}, {}", size(&stats)) }
    });
    reads.chain(partitioner).chain(stored).collect()
}

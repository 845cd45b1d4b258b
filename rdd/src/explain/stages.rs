//! The stages behind a result, by walks without recursion: lineages may be of any length.

use super::size;
use crate::display::printable;
use emberline_core::lineage::{Dependency, LineageNode, ShuffleDependency, StorageStats};
use std::collections::{HashMap, HashSet};
use std::ptr;

/// The tasks between two shuffles.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub partitions: usize,
    /// Partitions after the shuffle it writes; nothing for the stage of the result.
    pub writes: Option<usize>,
    /// The stages it reads, as indices, in their order.
    pub reads: Vec<usize>,
    /// What is there of its outputs; of the result's stage only the rows it read. Nothing before it
    /// has run.
    pub kept: Option<StorageStats>,
    /// Its operations, parents first.
    pub nodes: Vec<Node>,
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub operation: &'static str,
    /// Where it was called, and its name.
    pub place: String,
    /// The nodes of this stage whose rows it takes, as indices, in the order it takes them.
    pub parents: Vec<usize>,
    /// What else is known of it.
    pub details: Vec<String>,
    /// Whether its partitions are cached.
    pub is_cached: bool,
    pub problem: Option<String>,
}

/// A stage to be: what ends it, and the shuffle it writes.
#[derive(Clone, Copy)]
struct Cut<'a> {
    end: &'a LineageNode,
    shuffle: Option<&'a dyn ShuffleDependency>,
}

/// A stage on the stack, and its nodes once the stages it reads are on the stack too.
type Visit<'a> = (Cut<'a>, Option<Vec<&'a LineageNode>>);

/// The stages that an action on `result` needs, parents first.
pub(super) fn behind(result: &LineageNode) -> Vec<Stage> {
    let (mut stages, mut numbers) = (Vec::new(), HashMap::new());
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
                reads.map(|operation| Cut { end: operation.parent(), shuffle: Some(operation) });
            let parents: Vec<Visit<'_>> = parents.map(|parent| (parent, None)).collect();
            stack.push((cut, Some(nodes)));
            stack.extend(parents.into_iter().rev());
        }
    }
    stages
}

/// Nodes and shuffles are told apart by where they are: their ids are those of one context, and an
/// RDD that mixes two can be explained too.
fn key_of(operation: &dyn ShuffleDependency) -> *const () {
    ptr::from_ref(operation).cast()
}

fn shuffles(node: &LineageNode) -> impl Iterator<Item = &dyn ShuffleDependency> {
    node.dependencies().iter().filter_map(|dependency| match dependency {
        Dependency::Shuffle(operation) => Some(operation.as_ref()),
        Dependency::Narrow(_) => None,
    })
}

fn narrow_parents(node: &LineageNode) -> impl DoubleEndedIterator<Item = &LineageNode> {
    node.dependencies().iter().filter_map(|dependency| match dependency {
        Dependency::Narrow(parent) => Some(parent.as_ref()),
        Dependency::Shuffle(_) => None,
    })
}

/// The nodes of the stage that `end` ends, each once, parents first.
fn parents_first(end: &LineageNode) -> Vec<&LineageNode> {
    let (mut nodes, mut seen, mut stack) = (Vec::new(), HashSet::new(), vec![(end, false)]);
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
    let places: HashMap<*const LineageNode, usize> =
        nodes.iter().enumerate().map(|(at, node)| (ptr::from_ref(*node), at)).collect();
    let reads_of = |node: &LineageNode| -> Vec<usize> {
        shuffles(node).map(|operation| numbers[&key_of(operation)]).collect()
    };
    let mut reads: Vec<usize> = nodes.iter().flat_map(|node| reads_of(node)).collect();
    reads.sort_unstable();
    reads.dedup();
    let nodes = nodes.iter().map(|node| Node {
        operation: node.operation().name,
        place: place(node),
        parents: narrow_parents(node).map(|parent| places[&ptr::from_ref(parent)]).collect(),
        details: details(node, &reads_of(node)),
        is_cached: node.blocks.is_some(),
        problem: node.problem.as_ref().map(|problem| printable(&problem.kind().to_string())),
    });
    let rows_read = |rows_read| StorageStats { rows_read, ..StorageStats::default() };
    let kept = match cut.shuffle {
        Some(operation) => Some(operation.storage_stats()).filter(|kept| kept.parts > 0),
        None => cut.end.rows_read().map(rows_read),
    };
    Stage {
        partitions: cut.end.partitions(),
        writes: cut.shuffle.map(|operation| operation.partitions()),
        reads,
        kept,
        nodes: nodes.collect(),
    }
}

fn place(node: &LineageNode) -> String {
    let site = printable(&node.operation().call_site.to_string());
    let name = node.name().map(|name| printable(&format!(" {name:?}")));
    format!("at {site}{}", name.unwrap_or_default())
}

fn details(node: &LineageNode, reads: &[usize]) -> Vec<String> {
    let reads = reads.iter().map(|stage| format!("reads stage {stage}"));
    let partitioner = node.partitioner.as_ref();
    let partitioner = partitioner.map(|by| format!("partitioned by {}", printable(by)));
    let stored = node.blocks.as_ref().map(|blocks| {
        let kept = blocks.storage_stats();
        let level = blocks.level().map(|level| format!("{level}: ")).unwrap_or_default();
        let stored = format!("{level}{} of {} partitions stored", kept.parts, node.partitions());
        if kept.parts == 0 { stored } else { format!("{stored}, {}", size(&kept)) }
    });
    reads.chain(partitioner).chain(stored).collect()
}

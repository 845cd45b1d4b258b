//! `explain`: the stages of an RDD as text, before anything has run.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::ids::{RddId, ShuffleId};
use emberline_core::lineage::{Dependency, Lineage};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Says what an action on this RDD would run: the stages, their partitions, the operations in
    /// them with the lines they were called at, and what is wrong with a source.
    ///
    /// It is a value that displays as text, and never fails.
    ///
    /// - **Shape**: `Rdd<T>` to `Explain`
    /// - **Partitions**: not read
    /// - **Partitioner**: shown
    /// - **Shuffle**: none runs
    /// - **Memory**: a line for each operation
    /// - **Order**: stages in the order they would run
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let sums = ctx.range_with(4, 0..9_u64).map(|n| (n % 2, n)).reduce_by_key_with(2, |a, b| a + b);
    /// let text = sums.explain().to_string();
    /// assert!(text.contains("stage 0: 4 partitions, writes a shuffle into 2"), "{text}");
    /// assert!(text.contains("stage 1: 2 partitions, reads stage 0, gives the result"), "{text}");
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn explain(&self) -> Explain {
        Explain::of(&self.lineage)
    }
}

/// What an action would run; made by [`Rdd::explain`] and shown with `Display`.
#[derive(Clone, Debug)]
pub struct Explain {
    stages: Vec<Stage>,
}

#[derive(Clone, Debug)]
struct Stage {
    partitions: usize,
    /// Partitions after the shuffle this stage writes; nothing for the stage of the result.
    writes: Option<usize>,
    /// The stages it reads, as indices.
    reads: Vec<usize>,
    /// Its operations, last first.
    lines: Vec<String>,
}

/// A stage to be: what ends it, and the shuffle it writes.
struct Cut {
    end: Arc<Lineage>,
    shuffle: Option<(ShuffleId, usize)>,
}

impl Explain {
    fn of(result: &Arc<Lineage>) -> Explain {
        let cuts = cut(result);
        let numbers: HashMap<ShuffleId, usize> =
            cuts.iter().enumerate().filter_map(|(n, cut)| Some((cut.shuffle?.0, n))).collect();
        let stages = cuts.iter().map(|cut| {
            let (nodes, shuffles) = nodes_of(&cut.end);
            let mut reads: Vec<usize> = shuffles.iter().map(|id| numbers[id]).collect();
            reads.sort_unstable();
            Stage {
                partitions: cut.end.partitions(),
                writes: cut.shuffle.map(|(_, partitions)| partitions),
                reads,
                lines: nodes.iter().map(|node| describe(node)).collect(),
            }
        });
        Explain { stages: stages.collect() }
    }
}

/// The stages behind a result, parents first, by depth-first search without recursion.
fn cut(result: &Arc<Lineage>) -> Vec<Cut> {
    let (mut cuts, mut seen) = (Vec::new(), HashSet::new());
    let mut stack = vec![(Cut { end: Arc::clone(result), shuffle: None }, false)];
    while let Some((stage, parents_done)) = stack.pop() {
        if parents_done {
            cuts.push(stage);
            continue;
        }
        if stage.shuffle.is_some_and(|(id, _)| !seen.insert(id)) {
            continue;
        }
        let parents = shuffles_into(&stage.end);
        stack.push((stage, true));
        stack.extend(parents.into_iter().rev().map(|parent| (parent, false)));
    }
    cuts
}

fn shuffles_into(end: &Arc<Lineage>) -> Vec<Cut> {
    let mut parents = Vec::new();
    walk(end, |node| {
        for dependency in node.dependencies() {
            if let Dependency::Shuffle(step) = dependency {
                let shuffle = Some((step.id(), step.partitions()));
                parents.push(Cut { end: Arc::clone(step.parent()), shuffle });
            }
        }
    });
    parents
}

/// The nodes of one stage, last first, and the shuffles it reads.
fn nodes_of(end: &Arc<Lineage>) -> (Vec<Arc<Lineage>>, HashSet<ShuffleId>) {
    let (mut nodes, mut shuffles) = (Vec::new(), HashSet::new());
    walk(end, |node| {
        nodes.push(Arc::clone(node));
        for dependency in node.dependencies() {
            if let Dependency::Shuffle(step) = dependency {
                shuffles.insert(step.id());
            }
        }
    });
    (nodes, shuffles)
}

/// Visits each node of a stage once, without recursion.
fn walk(end: &Arc<Lineage>, mut visit: impl FnMut(&Arc<Lineage>)) {
    let mut seen: HashSet<RddId> = HashSet::from([end.id()]);
    let mut stack = vec![Arc::clone(end)];
    while let Some(node) = stack.pop() {
        visit(&node);
        for dependency in node.dependencies().iter().rev() {
            if let Dependency::Narrow(parent) = dependency
                && seen.insert(parent.id())
            {
                stack.push(Arc::clone(parent));
            }
        }
    }
}

fn describe(node: &Lineage) -> String {
    let mut line = node.step().to_string();
    if let Some(name) = node.name() {
        line.push_str(&format!(" {name:?}"));
    }
    if let Some(partitioner) = &node.partitioner {
        line.push_str(&format!(", partitioned by {partitioner}"));
    }
    if let Some(blocks) = &node.blocks {
        let stored = (0..node.partitions()).filter(|partition| blocks.is_stored(*partition));
        line.push_str(&format!(", {} of {} partitions stored", stored.count(), node.partitions()));
    }
    if let Some(problem) = &node.problem {
        line.push_str(&format!("\n      problem: {}", problem.kind()));
    }
    line
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, stage) in self.stages.iter().enumerate() {
            write!(f, "stage {number}: {} partitions", stage.partitions)?;
            for parent in &stage.reads {
                write!(f, ", reads stage {parent}")?;
            }
            match stage.writes {
                Some(partitions) => writeln!(f, ", writes a shuffle into {partitions}")?,
                None => writeln!(f, ", gives the result")?,
            }
            for line in stage.lines.iter().rev() {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}

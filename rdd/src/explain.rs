//! `explain`: the stages of an RDD as text, before anything has run.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::ids::{RddId, ShuffleId};
use emberline_core::lineage::{Dependency, Lineage};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Shows the lineage as stages: their partitions, the operations in them with the lines they were
    /// called at, what is stored, and what is wrong with a source. An action runs these stages, but
    /// for those whose outputs are there from an earlier job or that lie behind stored partitions;
    /// before a sort it also runs a job that samples the keys.
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
            let (nodes, shuffles) = stage_behind(&cut.end);
            let read = shuffles.iter().filter_map(|parent| parent.shuffle);
            let mut reads: Vec<usize> = read.map(|(id, _)| numbers[&id]).collect();
            reads.sort_unstable();
            reads.dedup();
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
        let (_, parents) = stage_behind(&stage.end);
        stack.push((stage, true));
        stack.extend(parents.into_iter().rev().map(|parent| (parent, false)));
    }
    cuts
}

/// The nodes of the stage that `end` ends, last first, each once, and the shuffles it reads; without
/// recursion.
fn stage_behind(end: &Arc<Lineage>) -> (Vec<Arc<Lineage>>, Vec<Cut>) {
    let (mut nodes, mut parents) = (Vec::new(), Vec::new());
    let mut seen: HashSet<RddId> = HashSet::from([end.id()]);
    let mut stack = vec![Arc::clone(end)];
    while let Some(node) = stack.pop() {
        for dependency in node.dependencies().iter().rev() {
            match dependency {
                Dependency::Narrow(parent) if seen.insert(parent.id()) => {
                    stack.push(Arc::clone(parent));
                }
                Dependency::Narrow(_) => {}
                Dependency::Shuffle(step) => {
                    let shuffle = Some((step.id(), step.partitions()));
                    parents.push(Cut { end: Arc::clone(step.parent()), shuffle });
                }
            }
        }
        nodes.push(node);
    }
    (nodes, parents)
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

//! The parents of a boxed union. A union of unions has the parents of both, in a balanced tree, so
//! that 10,000 unions one on another cost 10,000 times as much as one: a partition is found in a few
//! steps, and its rows pass through none of the unions.

use super::boxed::{Boxed, Chunks, Node, RowChunks};
use super::materialized::MaterializedRows;
use super::{Element, Pipeline};
use emberline_core::task::TaskContext;
use std::sync::Arc;

/// The partitions of a union, given those of its parents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Each partition has the rows of the partitions of all parents with its index.
    ByIndex,
    /// The partitions of a parent follow those of the one before it.
    Consecutive,
}

/// The parents of a union, in order.
pub(crate) struct Parents<T: 'static> {
    layout: Layout,
    tree: Arc<Tree<T>>,
}

impl<T: Element> Parents<T> {
    /// Returns the boxed union of parents, each with its number of partitions. There is at least
    /// one.
    pub fn union(layout: Layout, parents: Vec<(Boxed<T>, usize)>) -> Boxed<T> {
        let trees = parents.into_iter().map(|(parent, partitions)| match parent.parents() {
            Some(own) if own.layout == layout => Arc::clone(&own.tree),
            _ => Arc::new(Tree::Leaf { parent, partitions }),
        });
        let tree = join_all(trees.collect());
        let depth = tree.depth();
        Boxed::from_node(Parents { layout, tree }, depth)
    }

    /// Returns the parent, and its partition, that a partition consists of, if it is only one.
    pub fn single(&self, partition: usize) -> Option<(&Boxed<T>, usize)> {
        match self.layout {
            Layout::ByIndex => None,
            Layout::Consecutive => Some(self.tree.find(partition)),
        }
    }

    /// Returns the rows of all parents in the partition with this index.
    fn chained(&self, partition: usize, task: &TaskContext) -> impl Iterator<Item = T> + use<T> {
        let mut left = vec![Arc::clone(&self.tree)];
        let task = task.clone();
        let opened = std::iter::from_fn(move || {
            loop {
                match &*left.pop()? {
                    Tree::Leaf { parent, .. } => return Some(parent.open(partition, &task)),
                    Tree::Branch { children, .. } => left.extend(children.iter().rev().cloned()),
                }
            }
        });
        opened.flatten()
    }
}

impl<T: Element> Node<T> for Parents<T> {
    fn open_chunks(&self, partition: usize, task: &TaskContext) -> Box<dyn Chunks<T>> {
        match self.single(partition) {
            Some((parent, partition)) => {
                Box::new(RowChunks::new(parent.open(partition, task), |_: &T| 0))
            }
            None => Box::new(RowChunks::new(self.chained(partition, task), |_: &T| 0)),
        }
    }

    fn materialized(&self, partition: usize, task: &TaskContext) -> Option<MaterializedRows<T>> {
        let (parent, partition) = self.single(partition)?;
        parent.materialized(partition, task)
    }

    fn parents(&self) -> Option<&Parents<T>> {
        Some(self)
    }
}

/// A balanced tree: the heights of two children differ by at most one.
enum Tree<T: 'static> {
    Leaf {
        parent: Boxed<T>,
        partitions: usize,
    },
    Branch {
        children: [Arc<Tree<T>>; 2],
        height: usize,
        /// The partitions of all leaves.
        partitions: usize,
        /// The depth of the deepest parent.
        depth: usize,
    },
}

impl<T: Element> Tree<T> {
    fn height(&self) -> usize {
        match self {
            Tree::Leaf { .. } => 0,
            Tree::Branch { height, .. } => *height,
        }
    }

    fn partitions(&self) -> usize {
        match self {
            Tree::Leaf { partitions, .. } | Tree::Branch { partitions, .. } => *partitions,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Tree::Leaf { parent, .. } => parent.depth(),
            Tree::Branch { depth, .. } => *depth,
        }
    }

    fn find(&self, partition: usize) -> (&Boxed<T>, usize) {
        let mut node = self;
        let mut rest = partition;
        loop {
            match node {
                Tree::Leaf { parent, .. } => return (parent, rest),
                Tree::Branch { children: [left, right], .. } => {
                    match rest.checked_sub(left.partitions()) {
                        None => node = left,
                        Some(in_right) => (node, rest) = (right, in_right),
                    }
                }
            }
        }
    }
}

fn branch<T: Element>(left: Arc<Tree<T>>, right: Arc<Tree<T>>) -> Arc<Tree<T>> {
    let height = 1 + left.height().max(right.height());
    let partitions = left.partitions().saturating_add(right.partitions());
    let depth = left.depth().max(right.depth());
    Arc::new(Tree::Branch { children: [left, right], height, partitions, depth })
}

fn join_all<T: Element>(mut trees: Vec<Arc<Tree<T>>>) -> Arc<Tree<T>> {
    while trees.len() > 1 {
        let pairs = trees.chunks(2).map(|pair| match pair {
            [left, right] => join(Arc::clone(left), Arc::clone(right)),
            _ => Arc::clone(&pair[0]),
        });
        trees = pairs.collect();
    }
    trees.pop().expect("a union has a parent")
}

/// Joins two balanced trees to one.
fn join<T: Element>(left: Arc<Tree<T>>, right: Arc<Tree<T>>) -> Arc<Tree<T>> {
    match (&*left, &*right) {
        (Tree::Branch { children: [outer, inner], .. }, _)
            if left.height() > right.height() + 1 =>
        {
            balanced(Arc::clone(outer), join(Arc::clone(inner), right))
        }
        (_, Tree::Branch { children: [inner, outer], .. })
            if right.height() > left.height() + 1 =>
        {
            balanced(join(left, Arc::clone(inner)), Arc::clone(outer))
        }
        _ => branch(left, right),
    }
}

/// Returns a balanced tree of two whose heights differ by at most two.
fn balanced<T: Element>(left: Arc<Tree<T>>, right: Arc<Tree<T>>) -> Arc<Tree<T>> {
    match (&*left, &*right) {
        (_, Tree::Branch { children: [inner, outer], .. })
            if right.height() > left.height() + 1 =>
        {
            let [inner, outer] = [inner, outer].map(Arc::clone);
            match &*inner {
                Tree::Branch { children: [first, second], .. }
                    if inner.height() > outer.height() =>
                {
                    let [first, second] = [first, second].map(Arc::clone);
                    branch(branch(left, first), branch(second, outer))
                }
                _ => branch(branch(left, inner), outer),
            }
        }
        (Tree::Branch { children: [outer, inner], .. }, _)
            if left.height() > right.height() + 1 =>
        {
            let [outer, inner] = [outer, inner].map(Arc::clone);
            match &*inner {
                Tree::Branch { children: [first, second], .. }
                    if inner.height() > outer.height() =>
                {
                    let [first, second] = [first, second].map(Arc::clone);
                    branch(branch(outer, first), branch(second, right))
                }
                _ => branch(outer, branch(inner, right)),
            }
        }
        _ => branch(left, right),
    }
}

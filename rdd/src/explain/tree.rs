//! The operations of one stage as lines of a tree, source first.
//!
//! A straight chain stays in one column. An operation with several parents closes a block: each
//! branch begins at a corner or a tee, has a rail at its left, and the rail ends at the operation. A
//! first branch that holds blocks itself has no rail, so that a loop that adds one branch a round
//! does not move to the right.

use super::stages::Node;
use crate::display::with_separators;
use std::collections::HashMap;
use std::fmt;

/// Blocks inside blocks that are drawn; deeper ones share the last rail.
const MAX_RAILS: usize = 12;

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub rails: Vec<Rail>,
    pub node: &'a Node,
    pub what: What,
}

/// What a line says of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The operation; a number if later lines refer to it.
    Operation(Option<usize>),
    /// That the operation is the one of that number.
    Rewind(usize),
    /// Why the operation can never run.
    Problem,
    /// That so many lines are left out here.
    LeftOut(usize),
}

/// What a line has in one column of rails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rail {
    /// The first branch of a block begins.
    First,
    /// Another branch begins.
    Next,
    /// A branch goes on.
    Through,
    /// The operation that the branches meet in.
    Last,
    /// More about that operation: nothing to draw.
    Ended,
}

/// What is left to do, on a stack.
enum Todo {
    Visit(usize),
    Line(usize),
    Begin(Rail),
    Branch(Rail),
    End,
}

/// The lines of a stage.
pub(super) fn rows(nodes: &[Node]) -> Vec<Row<'_>> {
    let (labels, holds_blocks) = (labels(nodes), holds_blocks(nodes));
    let (mut rows, mut rails) = (Vec::new(), Vec::new());
    let mut printed = vec![false; nodes.len()];
    let mut stack: Vec<Todo> = nodes.len().checked_sub(1).map(Todo::Visit).into_iter().collect();
    while let Some(todo) = stack.pop() {
        match todo {
            Todo::Visit(at) if printed[at] => {
                add(&mut rows, &mut rails, &nodes[at], What::Rewind(labels[&at]));
            }
            Todo::Visit(at) => {
                printed[at] = true;
                stack.extend(block(at, &nodes[at].parents, &holds_blocks).into_iter().rev());
            }
            Todo::Line(at) => {
                let what = What::Operation(labels.get(&at).copied());
                add(&mut rows, &mut rails, &nodes[at], what);
                if nodes[at].problem.is_some() {
                    add(&mut rows, &mut rails, &nodes[at], What::Problem);
                }
            }
            Todo::Begin(rail) => rails.push(rail),
            Todo::Branch(rail) => {
                rails.pop();
                rails.push(rail);
            }
            Todo::End => drop(rails.pop()),
        }
    }
    rows
}

/// The first and last lines of a stage, `most` in all, if it has more.
pub(super) fn abbreviated(nodes: &[Node], most: usize) -> Vec<Row<'_>> {
    let mut rows = rows(nodes);
    if rows.len() > most {
        let (head, tail) = (most / 2 - 1, rows.len() - most / 2);
        let left_out = What::LeftOut(tail - head);
        rows[head] = Row { rails: Vec::new(), what: left_out, ..rows[head] };
        rows.drain(head + 1..tail);
    }
    rows
}

/// How to draw a node below its parents.
fn block(at: usize, parents: &[usize], holds_blocks: &[bool]) -> Vec<Todo> {
    let (first, others) = match parents {
        [] => return vec![Todo::Line(at)],
        [parent] => return vec![Todo::Visit(*parent), Todo::Line(at)],
        [first, others @ ..] => (*first, others),
    };
    let mut todo = match holds_blocks[first] {
        true => vec![Todo::Visit(first), Todo::Begin(Rail::Through)],
        false => vec![Todo::Begin(Rail::First), Todo::Visit(first)],
    };
    todo.extend(others.iter().flat_map(|other| [Todo::Branch(Rail::Next), Todo::Visit(*other)]));
    todo.extend([Todo::Branch(Rail::Last), Todo::Line(at), Todo::End]);
    todo
}

/// Adds a line, below which the branches that it began go on.
fn add<'a>(rows: &mut Vec<Row<'a>>, rails: &mut [Rail], node: &'a Node, what: What) {
    let mut shown = rails[..rails.len().min(MAX_RAILS)].to_vec();
    if let (Some(deepest), Some(rail)) = (shown.last_mut(), rails.last()) {
        *deepest = *rail;
    }
    rows.push(Row { rails: shown, node, what });
    // A rail is new only where all behind it are.
    for rail in rails.iter_mut().rev().take_while(|rail| **rail != Rail::Through) {
        *rail = if *rail == Rail::Last { Rail::Ended } else { Rail::Through };
    }
}

/// Numbers for the nodes that more than one line reaches.
fn labels(nodes: &[Node]) -> HashMap<usize, usize> {
    let mut uses = vec![0; nodes.len()];
    nodes.iter().flat_map(|node| &node.parents).for_each(|parent| uses[*parent] += 1);
    let shared = (0..nodes.len()).filter(|at| uses[*at] > 1);
    shared.enumerate().map(|(label, at)| (at, label + 1)).collect()
}

/// For each node whether it or a node behind it has several parents.
fn holds_blocks(nodes: &[Node]) -> Vec<bool> {
    let mut holds = vec![false; nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        holds[at] = node.parents.len() > 1 || node.parents.iter().any(|parent| holds[*parent]);
    }
    holds
}

impl Row<'_> {
    /// What is written large: the operation, and behind it where it was called.
    pub fn head(&self) -> (&str, String) {
        let Node { operation, place, problem, .. } = self.node;
        match self.what {
            What::Operation(None) => (operation, place.clone()),
            What::Operation(Some(label)) => (operation, format!("{place} [{label}]")),
            What::Rewind(label) => (operation, format!("{place}, see [{label}]")),
            What::Problem => ("problem:", problem.clone().unwrap_or_default()),
            What::LeftOut(count) => {
                ("...", format!("{} more steps ...", with_separators(count as u64)))
            }
        }
    }

    /// What is written small.
    pub fn details(&self) -> String {
        match self.what {
            What::Operation(_) => self.node.details.join(", "),
            _ => String::new(),
        }
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rail in &self.rails {
            f.write_str(match rail {
                Rail::First => "┌─ ",
                Rail::Next => "├─ ",
                Rail::Through => "│  ",
                Rail::Last => "└─ ",
                Rail::Ended => "   ",
            })?;
        }
        let (operation, place) = self.head();
        let indent = if self.what == What::Problem { "    " } else { "" };
        write!(f, "{indent}{operation} {place}")?;
        match self.details() {
            details if details.is_empty() => Ok(()),
            details => write!(f, ", {details}"),
        }
    }
}

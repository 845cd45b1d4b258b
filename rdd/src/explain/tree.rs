//! The operations of one stage as lines of a tree, source first.
//!
//! A straight chain stays in one column. An operation with several parents closes a block: each
//! branch begins with a corner or a tee and has a rail on its left, which ends at the operation. A
//! first branch with blocks has no rail, so that a loop of unions does not move to the right.

use super::stages::Node;
use crate::display::with_separators;
use std::collections::HashMap;
use std::fmt;

/// Maximum nesting that is drawn; deeper blocks share the last rail.
const MAX_RAILS: usize = 12;

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub rails: Vec<Rail>,
    pub node: &'a Node,
    pub content: Content,
}

/// The content of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The operation, with a number if later lines refer to it.
    Operation(Option<usize>),
    /// A reference to the operation with that number.
    Reference(usize),
    /// The error of a source.
    Problem,
    /// The number of lines left out here.
    Omitted(usize),
}

/// One column of rails in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rail {
    /// The first branch of a block begins.
    First,
    /// Another branch begins.
    Next,
    /// A branch continues.
    Through,
    /// The operation that joins the branches.
    Last,
    /// A further line of that operation: nothing to draw.
    Ended,
}

/// A pending step of the walk, on a stack.
enum Todo {
    Visit(usize),
    Line(usize),
    Begin(Rail),
    Branch(Rail),
    End,
}
pub(super) fn rows(nodes: &[Node]) -> Vec<Row<'_>> {
    let labels = labels(nodes);
    let has_blocks = has_blocks(nodes);
    let mut rows = Vec::new();
    let mut rails = Vec::new();
    let mut printed = vec![false; nodes.len()];
    let mut stack: Vec<Todo> = nodes.len().checked_sub(1).map(Todo::Visit).into_iter().collect();
    while let Some(todo) = stack.pop() {
        match todo {
            Todo::Visit(at) if printed[at] => {
                add(&mut rows, &mut rails, &nodes[at], Content::Reference(labels[&at]));
            }
            Todo::Visit(at) => {
                printed[at] = true;
                stack.extend(block(at, &nodes[at].parents, &has_blocks).into_iter().rev());
            }
            Todo::Line(at) => {
                let content = Content::Operation(labels.get(&at).copied());
                add(&mut rows, &mut rails, &nodes[at], content);
                if nodes[at].problem.is_some() {
                    add(&mut rows, &mut rails, &nodes[at], Content::Problem);
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

/// Returns the lines of a stage, at most `max_rows`: the first and last ones if it has more.
pub(super) fn abbreviated(nodes: &[Node], max_rows: usize) -> Vec<Row<'_>> {
    let mut rows = rows(nodes);
    if rows.len() > max_rows {
        let head = max_rows / 2 - 1;
        let tail = rows.len() - max_rows / 2;
        let omitted = Content::Omitted(tail - head);
        rows[head] = Row { rails: Vec::new(), content: omitted, ..rows[head] };
        rows.drain(head + 1..tail);
    }
    rows
}

/// Returns the steps that draw a node after its parents.
fn block(at: usize, parents: &[usize], has_blocks: &[bool]) -> Vec<Todo> {
    let (first, others) = match parents {
        [] => return vec![Todo::Line(at)],
        [parent] => return vec![Todo::Visit(*parent), Todo::Line(at)],
        [first, others @ ..] => (*first, others),
    };
    let mut todo = match has_blocks[first] {
        true => vec![Todo::Visit(first), Todo::Begin(Rail::Through)],
        false => vec![Todo::Begin(Rail::First), Todo::Visit(first)],
    };
    todo.extend(others.iter().flat_map(|other| [Todo::Branch(Rail::Next), Todo::Visit(*other)]));
    todo.extend([Todo::Branch(Rail::Last), Todo::Line(at), Todo::End]);
    todo
}

/// Adds a line; the branches that it begins continue in the next lines.
fn add<'a>(rows: &mut Vec<Row<'a>>, rails: &mut [Rail], node: &'a Node, content: Content) {
    let mut shown = rails[..rails.len().min(MAX_RAILS)].to_vec();
    if let (Some(deepest), Some(rail)) = (shown.last_mut(), rails.last()) {
        *deepest = *rail;
    }
    rows.push(Row { rails: shown, node, content });
    // A rail is new only if all deeper ones are.
    for rail in rails.iter_mut().rev().take_while(|rail| **rail != Rail::Through) {
        *rail = if *rail == Rail::Last { Rail::Ended } else { Rail::Through };
    }
}

/// Returns numbers for the nodes that are reached more than once.
fn labels(nodes: &[Node]) -> HashMap<usize, usize> {
    let mut uses = vec![0; nodes.len()];
    nodes.iter().flat_map(|node| &node.parents).for_each(|parent| uses[*parent] += 1);
    let shared = (0..nodes.len()).filter(|at| uses[*at] > 1);
    shared.enumerate().map(|(label, at)| (at, label + 1)).collect()
}

/// Returns for each node whether it or one of its ancestors has several parents.
fn has_blocks(nodes: &[Node]) -> Vec<bool> {
    let mut has = vec![false; nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        has[at] = node.parents.len() > 1 || node.parents.iter().any(|parent| has[*parent]);
    }
    has
}

impl Row<'_> {
    /// Returns the operation and its call site.
    pub fn head(&self) -> (&str, String) {
        let Node { operation, location, problem, .. } = self.node;
        match self.content {
            Content::Operation(None) => (operation, location.clone()),
            Content::Operation(Some(label)) => (operation, format!("{location} [{label}]")),
            Content::Reference(label) => (operation, format!("{location}, see [{label}]")),
            Content::Problem => ("problem:", problem.clone().unwrap_or_default()),
            Content::Omitted(count) => {
                ("...", format!("{} more operations ...", with_separators(count as u64)))
            }
        }
    }
    pub fn details(&self) -> String {
        match self.content {
            Content::Operation(_) => self.node.details.join(", "),
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
        let (operation, location) = self.head();
        let indent = if self.content == Content::Problem { "    " } else { "" };
        write!(f, "{indent}{operation} {location}")?;
        match self.details() {
            details if details.is_empty() => Ok(()),
            details => write!(f, ", {details}"),
        }
    }
}

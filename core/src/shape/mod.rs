//! The shape of a row type: the kinds of its values and the names of its fields and variants, as
//! serde sees them. A durable file records it, since its bytes do not say whether `2` was written as
//! a `u64` or as an `i64`.
//!
//! The shape follows from the type alone: [`Shape::of`] deserializes a few sample values of it, one
//! for each variant of its enums, and records what the type asks for (`tracer`). So it is the
//! same for rows with and without `None`, and for no rows. A part that asks for nothing in
//! particular, or that refuses every sample, is *unknown*, and equals everything.
//!
//! | equal shapes | different shapes |
//! |---|---|
//! | types with other names, and `T`, `Box<T>`, `Arc<T>` and a newtype of `T` | numbers of another width, sign or kind |
//! | `Vec<T>`, `HashSet<T>`, any list; `HashMap<K, V>`, `BTreeMap<K, V>` | a string, bytes, a `char`, a list |
//! | `(T, T)`, `[T; 2]`, a tuple struct | a tuple of another length; a tuple and a struct |
//! | fields and variants with an alias, and those with one of its names | fields or variants with other names, or in another order |
//!
//! - `tracer`: the deserializer with sample values.
//! - `drafts`: the parts of a type that were seen, and the choice of samples.
//! - `text`: a shape for people.

mod drafts;
mod text;
mod tracer;

use crate::codec::{decode_rows, encode_into};
use crate::error::{Error, Result};
use crate::nesting::on_deep_stack;
use crate::unwind::{restore_failure, take_failure};
use drafts::Drafts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The shape of a row type. Its root is the first node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape(Vec<Node>);

/// One type within a shape. Other nodes are named by their index, so a recursive type is a circle.
///
/// Durable: see `FORMAT.md` of the shuffle crate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Node {
    Unknown,
    /// A value without parts, by its name in Rust, or `string`, `bytes` or `()`.
    Plain(String),
    Option(u32),
    Sequence(u32),
    Map(u32, u32),
    /// The parts of a tuple, each with the number of times that it follows itself.
    Tuple(Vec<(u64, u32)>),
    Struct {
        /// The names of the fields, which include aliases.
        names: Vec<String>,
        parts: Vec<u32>,
        /// False if there may be more parts.
        is_whole: bool,
    },
    Enum {
        /// The names of the variants, which include aliases.
        names: Vec<String>,
        contents: Vec<u32>,
    },
}

/// The first difference of two shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The part that differs, such as `.items[].price`; empty for the whole row.
    pub path: String,
    /// The part in each of both shapes.
    pub parts: [String; 2],
}

impl Shape {
    /// Returns the shape of `T`, from sample values that its `Deserialize` accepts. A panic of it
    /// leaves parts unknown.
    pub fn of<T: DeserializeOwned>() -> Shape {
        let failure_of_caller = take_failure();
        let mut drafts = Drafts::default();
        on_deep_stack(|| while tracer::trace::<T>(&mut drafts) {});
        let _ = take_failure();
        restore_failure(failure_of_caller);
        Shape(drafts.into_nodes())
    }

    /// Returns the shape as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A list of nodes is not deep, and no part of it fails. Without bytes the shape is unknown.
        let _ = encode_into(self, &mut bytes);
        bytes
    }

    /// Reads the bytes of a shape.
    pub fn decode(bytes: &[u8]) -> Result<Shape> {
        let shape: Option<Shape> = decode_rows(bytes, 1)?.pop();
        let shape = shape.unwrap_or_default();
        let nodes = 0..shape.0.len();
        if nodes.is_empty() || shape.0.iter().flat_map(Node::parts).any(|id| !nodes.contains(&id)) {
            return Err(Error::corrupt("the shape of the rows refers to a part that is not there"));
        }
        Ok(shape)
    }

    /// Returns the first difference from another shape.
    pub fn difference(&self, other: &Shape) -> Option<Difference> {
        let mut compared = HashSet::new();
        let mut waiting = vec![(0, 0, String::new())];
        while let Some((left, right, path)) = waiting.pop() {
            // Nodes in a circle are equal unless something else in it differs.
            if !compared.insert((left, right)) {
                continue;
            }
            match self.0[left].against(&other.0[right]) {
                Some(parts) => {
                    let parts = parts.into_iter().rev();
                    waiting.extend(parts.map(|(own, its, name)| (own, its, path.clone() + &name)));
                }
                None => {
                    let parts = [self.text(left), other.text(right)];
                    return Some(Difference { path, parts });
                }
            }
        }
        None
    }
}

/// Returns the shape that equals all others.
impl Default for Shape {
    fn default() -> Self {
        Shape(vec![Node::Unknown])
    }
}

/// Two nodes that must be equal, and their path in those around them.
type Pair = (usize, usize, String);

impl Node {
    /// Returns the nodes that this one names.
    fn parts(&self) -> Vec<usize> {
        let ids = match self {
            Node::Unknown | Node::Plain(_) => vec![],
            Node::Option(part) | Node::Sequence(part) => vec![*part],
            Node::Map(key, value) => vec![*key, *value],
            Node::Tuple(runs) => runs.iter().map(|(_, part)| *part).collect(),
            Node::Struct { parts, .. } => parts.clone(),
            Node::Enum { contents, .. } => contents.clone(),
        };
        ids.into_iter().map(|id| id as usize).collect()
    }

    /// Returns the pairs of parts that must be equal for both nodes to be so, or `None` if they
    /// differ.
    fn against(&self, other: &Node) -> Option<Vec<Pair>> {
        let pair = |own: &u32, its: &u32, name: String| (*own as usize, *its as usize, name);
        match (self, other) {
            (Node::Unknown, _) | (_, Node::Unknown) => Some(vec![]),
            (Node::Plain(own), Node::Plain(its)) => (own == its).then(Vec::new),
            (Node::Option(own), Node::Option(its)) => Some(vec![pair(own, its, "?".into())]),
            (Node::Sequence(own), Node::Sequence(its)) => Some(vec![pair(own, its, "[]".into())]),
            (Node::Map(own, own_value), Node::Map(its, its_value)) => Some(vec![
                pair(own, its, "[key]".into()),
                pair(own_value, its_value, "[value]".into()),
            ]),
            (Node::Tuple(own), Node::Tuple(its)) => pairs_of_runs(own, its),
            (
                Node::Struct { names: own_names, parts: own, is_whole: own_whole },
                Node::Struct { names: its_names, parts: its, is_whole: its_whole },
            ) => {
                let are_whole = *own_whole && *its_whole;
                let have_aliases = own.len() < own_names.len() || its.len() < its_names.len();
                if !are_same_names(own_names, its_names, are_whole && have_aliases)
                    || (are_whole && own.len() != its.len())
                {
                    return None;
                }
                let named = own.iter().zip(its).zip(own_names);
                Some(named.map(|((own, its), name)| pair(own, its, format!(".{name}"))).collect())
            }
            (
                Node::Enum { names: own_names, contents: own },
                Node::Enum { names: its_names, contents: its },
            ) => {
                let have_aliases = own.len() < own_names.len() || its.len() < its_names.len();
                if !are_same_names(own_names, its_names, have_aliases) || own.len() != its.len() {
                    return None;
                }
                let named = own.iter().zip(its).zip(own_names);
                Some(named.map(|((own, its), name)| pair(own, its, format!("::{name}"))).collect())
            }
            _ => None,
        }
    }
}

/// Returns the pairs of parts of two tuples of the same length.
fn pairs_of_runs(left: &[(u64, u32)], right: &[(u64, u32)]) -> Option<Vec<Pair>> {
    let mut pairs = Vec::new();
    let mut index = 0_u64;
    let [mut left, mut right] = [left, right].map(|runs| runs.iter().copied().peekable());
    loop {
        let (own, its) = match (left.peek_mut(), right.peek_mut()) {
            (Some(own), Some(its)) => (own, its),
            (None, None) => return Some(pairs),
            _ => return None,
        };
        let both = own.0.min(its.0);
        pairs.push((own.1 as usize, its.1 as usize, format!(".{index}")));
        index = index.saturating_add(both);
        own.0 -= both;
        its.0 -= both;
        left.next_if(|(count, _)| *count == 0);
        right.next_if(|(count, _)| *count == 0);
    }
}

/// Compares the names of fields or variants. Names with aliases are equal to those with some of the
/// aliases.
fn are_same_names(left: &[String], right: &[String], have_aliases: bool) -> bool {
    if left == right || !have_aliases {
        return left == right;
    }
    let (few, many) = if left.len() < right.len() { (left, right) } else { (right, left) };
    let mut rest = many.iter();
    few.iter().all(|name| rest.any(|other| other == name))
}

#[cfg(test)]
#[path = "../shape_tests.rs"]
mod tests;

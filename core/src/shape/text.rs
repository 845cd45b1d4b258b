//! Shapes as texts for error messages.
//!
//! With aliases there are more names than fields or variants, and it is not known which name is that
//! of which field. Then the names come first: `{id, old_id, sum} of (u64, f64)`.

use super::{Node, Shape};
use std::fmt::{self, Display, Write};

/// The length at which the text of a shape is cut, in bytes.
const MAX_TEXT_BYTES: usize = 2_000;
/// The depth at which the text of a shape is cut.
const MAX_TEXT_LEVELS: usize = 32;
/// The number of equal parts of a tuple from which on they are written as an array.
const MIN_ARRAY_PARTS: u64 = 4;

impl Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(0))
    }
}

impl Shape {
    /// Returns the text of a node with its parts.
    pub(super) fn text(&self, node: usize) -> String {
        let mut text = ShapeText { shape: self, out: String::new(), around: Vec::new() };
        // The writer fails where the text is cut.
        if text.node(node).is_err() {
            text.out.push_str("...");
        }
        text.out
    }
}

/// The text so far.
struct ShapeText<'a> {
    shape: &'a Shape,
    out: String,
    /// The nodes that contain the next one.
    around: Vec<usize>,
}

impl Write for ShapeText<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.out.len() + text.len() > MAX_TEXT_BYTES {
            return Err(fmt::Error);
        }
        self.out.push_str(text);
        Ok(())
    }
}

impl ShapeText<'_> {
    fn node(&mut self, node: usize) -> fmt::Result {
        if self.around.contains(&node) {
            return self.write_str("(recursive)");
        }
        if self.around.len() >= MAX_TEXT_LEVELS {
            return self.write_str("...");
        }
        self.around.push(node);
        let shape = self.shape;
        let outcome = match &shape.0[node] {
            Node::Unknown => self.write_str("?"),
            Node::Plain(name) => self.write_str(name),
            Node::Option(part) => self.between("Option<", &[*part], ">"),
            Node::Sequence(part) => self.between("[", &[*part], "]"),
            Node::Map(key, value) => self.between("map<", &[*key, *value], ">"),
            Node::Tuple(runs) => self.tuple(runs),
            Node::Struct { names, parts, is_whole } => self.fields(names, parts, *is_whole),
            Node::Enum { names, contents } => self.variants(names, contents),
        };
        self.around.pop();
        outcome
    }

    fn between(&mut self, open: &str, parts: &[u32], close: &str) -> fmt::Result {
        self.write_str(open)?;
        for (at, part) in parts.iter().enumerate() {
            self.write_str(if at > 0 { ", " } else { "" })?;
            self.node(*part as usize)?;
        }
        self.write_str(close)
    }

    fn tuple(&mut self, runs: &[(u64, u32)]) -> fmt::Result {
        if let [(count, part)] = runs
            && *count >= MIN_ARRAY_PARTS
        {
            return self.between("[", &[*part], &format!("; {count}]"));
        }
        let is_single = matches!(runs, [(1, _)]);
        self.write_str("(")?;
        for (at, (count, part)) in runs.iter().enumerate() {
            for again in 0..*count {
                self.write_str(if at > 0 || again > 0 { ", " } else { "" })?;
                self.node(*part as usize)?;
            }
        }
        self.write_str(if is_single { ",)" } else { ")" })
    }

    fn fields(&mut self, names: &[String], parts: &[u32], is_whole: bool) -> fmt::Result {
        self.write_str("{")?;
        let are_named = parts.len() == names.len() || !is_whole;
        for (at, name) in names.iter().enumerate() {
            self.write_str(if at > 0 { ", " } else { "" })?;
            self.write_str(name)?;
            if are_named {
                self.write_str(": ")?;
                match parts.get(at) {
                    Some(part) => self.node(*part as usize)?,
                    None => self.write_str("?")?,
                }
            }
        }
        self.write_str("}")?;
        if are_named { Ok(()) } else { self.between(" of (", parts, ")") }
    }

    fn variants(&mut self, names: &[String], contents: &[u32]) -> fmt::Result {
        self.write_str("enum {")?;
        if names.len() != contents.len() {
            self.write_str(&names.join(", "))?;
            return self.between("} of (", contents, ")");
        }
        for (at, name) in names.iter().enumerate() {
            self.write_str(if at > 0 { ", " } else { "" })?;
            self.write_str(name)?;
            let Some(content) = contents.get(at).map(|content| *content as usize) else { continue };
            match &self.shape.0[content] {
                Node::Plain(unit) if unit == "()" => {}
                Node::Tuple(_) | Node::Struct { .. } => self.node(content)?,
                _ => self.between("(", &[contents[at]], ")")?,
            }
        }
        self.write_str("}")
    }
}

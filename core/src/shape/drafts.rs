//! The parts of a type that were seen so far, and the choice of the sample values that show more.
//!
//! A type is deserialized several times, since one value has one variant of each enum. Each time
//! passes through all types that may still show something new, and takes the first new variant of
//! each enum. A type inside itself, or one that has shown everything, gets the shortest value that
//! is known to end: `None`, an empty list, a variant without recursion.
//!
//! If a type refuses a value, the last sample before that is exchanged for the next one of a short
//! list, at this path only. If none helps, the innermost option, list or variant around it is left
//! out, and its content is unknown from there on.

use super::Node;
use std::collections::{HashMap, HashSet};

/// The node of a part that is not known.
pub(super) const UNKNOWN: u32 = 0;
/// The node of `()`.
pub(super) const UNIT: u32 = 1;
/// The mark of a part that has not asked for anything yet.
const UNSET: u32 = u32::MAX;
/// The number of values after which a type is left as it is known then.
const MAX_VALUES: usize = 500_000;

/// The identity of a type while it is traced: its visitor, and what it asks for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub visitor: &'static str,
    pub asks_for: &'static str,
    pub names: &'static [&'static str],
    pub len: usize,
}

/// A type of which some parts were seen.
enum Draft {
    Unknown,
    Plain(&'static str),
    Option(u32),
    Sequence(u32),
    Map(u32, u32),
    Tuple(Vec<u32>),
    Struct { names: &'static [&'static str], parts: Vec<u32>, is_whole: bool },
    Enum { names: &'static [&'static str], variants: Vec<Variant>, ends: Option<usize> },
}

/// One variant of an enum.
#[derive(Clone, Copy)]
struct Variant {
    content: u32,
    state: VariantState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum VariantState {
    New,
    Seen,
    /// No sample of its content is accepted.
    Refused,
    /// The type has no variant of this index: the list of names has aliases.
    Absent,
}

/// The part of a type that may be left out.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Escape {
    /// The content of the option or list at a path.
    Content(Vec<u32>),
    Variant(u32, usize),
}

/// A type that was opened.
#[derive(Clone, Copy)]
pub(super) struct Opened {
    pub id: u32,
    /// True if its parts are new. Otherwise a short value is wanted.
    pub is_recorded: bool,
}

/// All that is known of the types within a row type.
pub(super) struct Drafts {
    drafts: Vec<Draft>,
    is_done: Vec<bool>,
    is_open: Vec<bool>,
    ids: HashMap<Key, u32>,
    root: u32,
    /// The node of the value that was read last.
    result: u32,
    /// The number of types around the next value of which a short value is wanted.
    short_values: usize,
    /// The variants that are being read, of each enum.
    open_variants: Vec<(u32, usize)>,
    /// The path of the next value: the index of each part around it.
    path: Vec<u32>,
    /// The samples that are taken at places where the first was refused.
    samples: HashMap<Vec<u32>, usize>,
    left_out: HashSet<Escape>,
    /// The last sample of this pass, and the number of samples there are in its path.
    last_sample: Option<(Vec<u32>, usize)>,
    /// The innermost part around a failure that could be left out.
    escape: Option<Escape>,
    has_progress: bool,
    values_left: usize,
}

impl Default for Drafts {
    fn default() -> Self {
        Drafts {
            drafts: vec![Draft::Unknown, Draft::Plain("()")],
            is_done: vec![true, true],
            is_open: vec![false, false],
            ids: HashMap::new(),
            root: UNKNOWN,
            result: UNSET,
            short_values: 0,
            open_variants: Vec::new(),
            path: Vec::new(),
            samples: HashMap::new(),
            left_out: HashSet::new(),
            last_sample: None,
            escape: None,
            has_progress: false,
            values_left: MAX_VALUES,
        }
    }
}

impl Drafts {
    /// Begins to deserialize a value of the whole type.
    pub fn begin(&mut self) {
        self.result = UNSET;
        self.short_values = 0;
        self.open_variants.clear();
        self.path.clear();
        self.last_sample = None;
        self.escape = None;
        self.has_progress = false;
        self.is_open.fill(false);
    }

    /// Ends the value that was begun last. Returns true if another one may show more.
    pub fn end(&mut self, is_accepted: bool) -> bool {
        self.root = match self.take_result(is_accepted) {
            UNKNOWN => self.root,
            root => root,
        };
        if self.values_left == 0 {
            return false;
        }
        match is_accepted {
            true => !self.is_done[self.root as usize] && self.has_progress,
            false => self.has_progress || self.try_another_sample() || self.leave_out(),
        }
    }

    fn try_another_sample(&mut self) -> bool {
        let Some((path, count)) = self.last_sample.take() else { return false };
        let sample = self.samples.entry(path).or_default();
        if *sample + 1 < count {
            *sample += 1;
            return true;
        }
        *sample = 0;
        false
    }

    fn leave_out(&mut self) -> bool {
        let Some(escape) = self.escape.take() else { return false };
        if let Escape::Variant(id, index) = escape
            && let Draft::Enum { variants, .. } = &mut self.drafts[id as usize]
        {
            variants[index].state = VariantState::Refused;
        }
        self.left_out.insert(escape)
    }

    /// Counts a value. Returns false if there were too many.
    pub fn count_value(&mut self) -> bool {
        self.values_left = self.values_left.saturating_sub(1);
        self.values_left > 0
    }

    /// Enters the part `index` of the value that is read.
    pub fn enter(&mut self, index: u32) {
        self.path.push(index);
        self.result = UNSET;
    }

    /// Leaves the part that was entered last, and returns its node.
    pub fn leave(&mut self, is_accepted: bool) -> u32 {
        self.path.pop();
        self.take_result(is_accepted)
    }

    /// Returns the node of the last value. A type that asks for nothing is like `()`.
    fn take_result(&mut self, is_accepted: bool) -> u32 {
        match std::mem::replace(&mut self.result, UNSET) {
            UNSET if is_accepted => UNIT,
            UNSET => UNKNOWN,
            id => id,
        }
    }

    /// Records a value without parts, and returns the index of the sample to take of `samples`.
    pub fn plain(&mut self, name: &'static str, samples: usize) -> usize {
        let key = Key { visitor: "", asks_for: name, names: &[], len: 0 };
        let id = self.ids.get(&key).copied().unwrap_or_else(|| {
            let id = if name == "()" { UNIT } else { self.add(Draft::Plain(name)) };
            self.is_done[id as usize] = true;
            self.ids.insert(key, id);
            id
        });
        self.result = id;
        self.sample(samples)
    }

    /// Records that a type asks for something that it does not name.
    pub fn unknown(&mut self) {
        self.result = UNKNOWN;
        self.last_sample = None;
    }

    /// Records that the value is not read again with another sample at the last path.
    pub fn no_other_sample(&mut self) {
        self.last_sample = None;
    }

    /// Returns the sample of `count` that is to be taken here.
    pub fn sample(&mut self, count: usize) -> usize {
        self.last_sample = Some((self.path.clone(), count));
        self.samples.get(&self.path).copied().unwrap_or(0)
    }

    fn add(&mut self, draft: Draft) -> u32 {
        self.drafts.push(draft);
        self.is_done.push(false);
        self.is_open.push(false);
        self.drafts.len() as u32 - 1
    }

    /// Opens a type with parts.
    pub fn open(&mut self, key: Key) -> Opened {
        let id = match self.ids.get(&key) {
            Some(id) => *id,
            None => {
                let Key { asks_for, names, len, .. } = key;
                let id = self.add(match asks_for {
                    "option" => Draft::Option(UNKNOWN),
                    "sequence" => Draft::Sequence(UNKNOWN),
                    "map" => Draft::Map(UNKNOWN, UNKNOWN),
                    "struct" => Draft::Struct { names, parts: Vec::new(), is_whole: false },
                    "enum" => {
                        let new = Variant { content: UNKNOWN, state: VariantState::New };
                        Draft::Enum { names, variants: vec![new; names.len()], ends: None }
                    }
                    _ => Draft::Tuple(vec![UNKNOWN; len.min(MAX_VALUES)]),
                });
                self.ids.insert(key, id);
                id
            }
        };
        let at = id as usize;
        let is_recorded = self.short_values == 0 && !self.is_open[at] && !self.is_done[at];
        if is_recorded {
            self.is_open[at] = true;
        } else {
            self.short_values += 1;
        }
        Opened { id, is_recorded }
    }

    /// Closes the type that was opened last.
    pub fn close(&mut self, Opened { id, is_recorded }: Opened, is_accepted: bool) {
        self.result = id;
        if !is_recorded {
            self.short_values -= 1;
            return;
        }
        if is_accepted && let Draft::Struct { is_whole, .. } = &mut self.drafts[id as usize] {
            *is_whole = true;
        }
        let is_done = is_accepted && self.parts_are_done(id);
        self.is_open[id as usize] = false;
        self.is_done[id as usize] = is_done;
        self.has_progress |= is_accepted && is_done;
    }

    /// Returns true if no part of a type can show more. A type around it is visited again anyway.
    fn parts_are_done(&self, id: u32) -> bool {
        let done = |part: &u32| self.is_done[*part as usize] || self.is_open[*part as usize];
        match &self.drafts[id as usize] {
            Draft::Unknown | Draft::Plain(_) => true,
            Draft::Option(part) | Draft::Sequence(part) => done(part),
            Draft::Map(key, value) => done(key) && done(value),
            Draft::Tuple(parts) | Draft::Struct { parts, .. } => parts.iter().all(done),
            Draft::Enum { variants, .. } => variants.iter().all(|variant| match variant.state {
                VariantState::New => false,
                VariantState::Seen => done(&variant.content),
                VariantState::Refused | VariantState::Absent => true,
            }),
        }
    }

    /// Returns true if an option or a list has content in the sample.
    pub fn has_content(&self, opened: Opened) -> bool {
        opened.is_recorded && !self.left_out.contains(&Escape::Content(self.path.clone()))
    }

    /// Records that the content of the option or list that is read was refused.
    pub fn content_refused(&mut self) {
        let path = self.path.clone();
        self.escape.get_or_insert(Escape::Content(path));
    }

    /// Records the node of a part.
    pub fn set_part(&mut self, id: u32, index: usize, node: u32) {
        let part = match &mut self.drafts[id as usize] {
            Draft::Option(part) | Draft::Sequence(part) => part,
            Draft::Map(key, value) => match index % 2 {
                0 => key,
                _ => value,
            },
            Draft::Tuple(parts) => match parts.get_mut(index) {
                Some(part) => part,
                None => return,
            },
            Draft::Struct { parts, .. } => {
                if index >= parts.len() {
                    parts.resize(index + 1, UNKNOWN);
                }
                &mut parts[index]
            }
            Draft::Unknown | Draft::Plain(_) | Draft::Enum { .. } => return,
        };
        if *part == UNKNOWN {
            *part = node;
        }
    }

    /// Chooses the variant of a sample, and opens it.
    pub fn open_variant(&mut self, Opened { id, is_recorded }: Opened) -> Option<usize> {
        let Draft::Enum { variants, ends, .. } = &self.drafts[id as usize] else { return None };
        let is_usable =
            |variant: &Variant| matches!(variant.state, VariantState::New | VariantState::Seen);
        let is_open = |index: usize| self.open_variants.contains(&(id, index));
        let is_new = |variant: &Variant| variant.state == VariantState::New;
        let has_new_parts = |variant: &Variant| {
            variant.state == VariantState::Seen && !self.is_done[variant.content as usize]
        };
        let new = || {
            let new = variants.iter().position(is_new);
            new.or_else(|| variants.iter().position(has_new_parts)).filter(|_| is_recorded)
        };
        let any = || {
            let usable = variants.iter().enumerate().filter(|(_, variant)| is_usable(variant));
            usable.map(|(index, _)| index).find(|index| !is_open(*index))
        };
        let chosen = new().or(*ends).or_else(any)?;
        self.open_variants.push((id, chosen));
        Some(chosen)
    }

    /// Closes the variant that was opened last.
    pub fn close_variant(&mut self, opened: Opened, is_accepted: bool) {
        let Some((id, index)) = self.open_variants.pop() else { return };
        let Draft::Enum { variants, ends, .. } = &mut self.drafts[id as usize] else { return };
        if !is_accepted {
            self.escape.get_or_insert(Escape::Variant(id, index));
            return;
        }
        // Variants inside this one were closed before, so the first to end has none of them inside.
        ends.get_or_insert(index);
        if opened.is_recorded && variants[index].state == VariantState::New {
            variants[index].state = VariantState::Seen;
            self.has_progress = true;
        }
    }

    /// Records the content of the variant that is read.
    pub fn set_content(&mut self, opened: Opened, index: usize, node: u32) {
        if let Draft::Enum { variants, .. } = &mut self.drafts[opened.id as usize]
            && opened.is_recorded
            && variants[index].content == UNKNOWN
        {
            variants[index].content = node;
        }
    }

    /// Records that a type has no variant of an index.
    pub fn no_variant(&mut self, opened: Opened, index: usize) {
        if let Draft::Enum { variants, .. } = &mut self.drafts[opened.id as usize] {
            variants[index].state = VariantState::Absent;
            self.has_progress = true;
        }
    }

    /// Returns the nodes of the shape, in the order in which they are first named.
    pub fn into_nodes(self) -> Vec<Node> {
        let mut order = vec![self.root];
        let mut new_ids = HashMap::from([(self.root, 0)]);
        let mut nodes = Vec::new();
        while let Some(id) = order.get(nodes.len()).copied() {
            let mut named = |part: u32| {
                *new_ids.entry(part).or_insert_with(|| {
                    order.push(part);
                    order.len() as u32 - 1
                })
            };
            nodes.push(self.drafts[id as usize].node(&mut named));
        }
        nodes
    }
}

impl Draft {
    /// Returns the node of a type. `named` gives the new ids of its parts.
    fn node(&self, named: &mut dyn FnMut(u32) -> u32) -> Node {
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        match self {
            Draft::Unknown => Node::Unknown,
            Draft::Plain(name) => Node::Plain(name.to_string()),
            Draft::Option(part) => Node::Option(named(*part)),
            Draft::Sequence(part) => Node::Sequence(named(*part)),
            Draft::Map(key, value) => Node::Map(named(*key), named(*value)),
            Draft::Tuple(parts) => {
                let runs = parts.chunk_by(|left, right| left == right);
                Node::Tuple(runs.map(|run| (run.len() as u64, named(run[0]))).collect())
            }
            Draft::Struct { names, parts, is_whole } => Node::Struct {
                names: owned(names),
                parts: parts.iter().map(|part| named(*part)).collect(),
                is_whole: *is_whole,
            },
            Draft::Enum { names, variants, .. } => {
                let is_there = |variant: &Variant| variant.state != VariantState::Absent;
                let count = variants.iter().rposition(is_there).map_or(0, |last| last + 1);
                let contents = variants[..count].iter().map(|variant| named(variant.content));
                Node::Enum { names: owned(names), contents: contents.collect() }
            }
        }
    }
}

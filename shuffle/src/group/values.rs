//! [`Group`]: the values of one key, in memory or in a file.

use crate::sort::run::RunFile;
use emberline_core::bounds::Stored;
use emberline_core::size::{estimate_rows, heap_bytes};
use emberline_core::task::check_running_task;
use emberline_core::unwind::watch;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::convert::Infallible;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::option;
use std::slice;
use std::sync::Arc;
use std::vec;

/// The values of one key, as returned by `group_by_key_iter` and `cogroup_iter`. It can be iterated
/// any number of times, by value or through `iter`.
///
/// Values that exceed a part of the task memory limit stay in the map outputs or in a file of their
/// own, which lives as long as the last clone of the group. Values that cannot be read fail the
/// task, or panic outside of tasks.
///
/// It can be mapped, filtered, counted and collected. It cannot be shuffled or cached, which the
/// compiler rejects: use `map_values` to make a row that can. If lists fit in the task memory
/// limit, `group_by_key` returns lists.
///
/// A collected `Group` retains the memory or the files that hold its values.
#[derive(Clone)]
pub struct Group<V>(Location<V>);

#[derive(Clone)]
enum Location<V> {
    /// One value, which costs no allocation.
    One(V),
    InMemory(Vec<V>),
    InFile {
        rows: usize,
        values: Arc<dyn Reread<V>>,
    },
}

/// Values outside of memory that can be read several times, a chunk at a time.
pub(crate) trait Reread<V>: Send + Sync {
    fn read(&self) -> Box<dyn Iterator<Item = Vec<V>>>;
}

/// Some consecutive files.
impl<V: Stored> Reread<V> for Vec<RunFile<V>> {
    fn read(&self) -> Box<dyn Iterator<Item = Vec<V>>> {
        Box::new(self.clone().into_iter().flat_map(|file| file.chunks()))
    }
}

/// Values of a file while they are read.
pub(crate) struct FileValues<V> {
    chunks: Box<dyn Iterator<Item = Vec<V>>>,
    chunk: vec::IntoIter<V>,
    left: usize,
}

impl<V> FileValues<V> {
    fn new(rows: usize, values: &dyn Reread<V>) -> Self {
        FileValues { chunks: values.read(), chunk: Vec::new().into_iter(), left: rows }
    }
}

impl<V> Iterator for FileValues<V> {
    type Item = V;

    #[inline]
    fn next(&mut self) -> Option<V> {
        loop {
            if let Some(value) = self.chunk.next() {
                self.left = self.left.saturating_sub(1);
                return Some(value);
            }
            check_running_task();
            self.chunk = watch(|| self.chunks.next())?.into_iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }

    fn fold<B, G: FnMut(B, V) -> B>(self, init: B, mut g: G) -> B {
        let FileValues { mut chunks, chunk, .. } = self;
        let mut accumulated = chunk.fold(init, &mut g);
        while let Some(chunk) = watch(|| chunks.next()) {
            check_running_task();
            accumulated = chunk.into_iter().fold(accumulated, &mut g);
        }
        accumulated
    }
}

impl<V> Group<V> {
    /// Makes a group of values in memory.
    pub fn new(values: Vec<V>) -> Self {
        Group(Location::InMemory(values))
    }

    /// Makes a group of one value.
    pub(crate) fn one(value: V) -> Self {
        Group(Location::One(value))
    }

    /// Makes a group of `rows` values, which `values` reads.
    pub(crate) fn reread(rows: usize, values: impl Reread<V> + 'static) -> Self {
        Group(Location::InFile { rows, values: Arc::new(values) })
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        match &self.0 {
            Location::One(_) => 1,
            Location::InMemory(values) => values.len(),
            Location::InFile { rows, .. } => *rows,
        }
    }

    /// Returns true if there is no value, as on a side of `cogroup_iter` that does not have the
    /// key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the values, in the order of the input's partitions and rows.
    pub fn iter(&self) -> GroupIter<'_, V> {
        GroupIter(match &self.0 {
            Location::One(value) => Iter::InMemory(slice::from_ref(value).iter()),
            Location::InMemory(values) => Iter::InMemory(values.iter()),
            Location::InFile { rows, values } => Iter::InFile(FileValues::new(*rows, &**values)),
        })
    }

    /// Returns the memory of the values; those in a file take none.
    pub fn heap_bytes(&self) -> u64
    where
        V: Stored,
    {
        match &self.0 {
            Location::One(value) => heap_bytes(value),
            Location::InMemory(values) => estimate_rows(values),
            Location::InFile { .. } => 0,
        }
    }

    /// Returns the values in memory, or else a reader of those in a file.
    pub(crate) fn as_slice(&self) -> Result<&[V], impl FnOnce() -> FileValues<V>> {
        match &self.0 {
            Location::One(value) => Ok(slice::from_ref(value)),
            Location::InMemory(values) => Ok(values),
            Location::InFile { rows, values } => Err(|| FileValues::new(*rows, &**values)),
        }
    }
}

impl<V> Default for Group<V> {
    fn default() -> Self {
        Group::new(Vec::new())
    }
}

/// The values of a [`Group`], as clones.
pub struct GroupIter<'a, V>(Iter<'a, V>);

enum Iter<'a, V> {
    InMemory(slice::Iter<'a, V>),
    InFile(FileValues<V>),
}

impl<V: Clone> Iterator for GroupIter<'_, V> {
    type Item = V;

    #[inline]
    fn next(&mut self) -> Option<V> {
        match &mut self.0 {
            Iter::InMemory(values) => watch(|| values.next().cloned()),
            Iter::InFile(values) => values.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Iter::InMemory(values) => values.size_hint(),
            Iter::InFile(values) => values.size_hint(),
        }
    }

    fn fold<B, G: FnMut(B, V) -> B>(self, init: B, g: G) -> B {
        match self.0 {
            Iter::InMemory(values) => values.cloned().fold(init, g),
            Iter::InFile(values) => values.fold(init, g),
        }
    }
}

impl<V: Clone> ExactSizeIterator for GroupIter<'_, V> {}

impl<'a, V: Clone> IntoIterator for &'a Group<V> {
    type Item = V;
    type IntoIter = GroupIter<'a, V>;

    fn into_iter(self) -> GroupIter<'a, V> {
        self.iter()
    }
}

/// The values of a [`Group`] that was consumed.
pub struct GroupValues<V>(Values<V>);

enum Values<V> {
    One(option::IntoIter<V>),
    InMemory(vec::IntoIter<V>),
    InFile(FileValues<V>),
}

impl<V> Iterator for GroupValues<V> {
    type Item = V;

    #[inline]
    fn next(&mut self) -> Option<V> {
        match &mut self.0 {
            Values::One(value) => value.next(),
            Values::InMemory(values) => values.next(),
            Values::InFile(values) => values.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Values::One(value) => value.size_hint(),
            Values::InMemory(values) => values.size_hint(),
            Values::InFile(values) => values.size_hint(),
        }
    }

    fn fold<B, G: FnMut(B, V) -> B>(self, init: B, g: G) -> B {
        match self.0 {
            Values::One(value) => value.fold(init, g),
            Values::InMemory(values) => values.fold(init, g),
            Values::InFile(values) => values.fold(init, g),
        }
    }
}

impl<V> ExactSizeIterator for GroupValues<V> {}

impl<V> From<Group<V>> for GroupValues<V> {
    fn from(group: Group<V>) -> Self {
        group.into_iter()
    }
}

impl<V> IntoIterator for Group<V> {
    type Item = V;
    type IntoIter = GroupValues<V>;

    fn into_iter(self) -> GroupValues<V> {
        GroupValues(match self.0 {
            Location::One(value) => Values::One(Some(value).into_iter()),
            Location::InMemory(values) => Values::InMemory(values.into_iter()),
            Location::InFile { rows, values } => Values::InFile(FileValues::new(rows, &*values)),
        })
    }
}

impl<V: Clone + fmt::Debug> fmt::Debug for Group<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<V: Clone + PartialEq> PartialEq for Group<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other)
    }
}

impl<V: Clone + Eq> Eq for Group<V> {}

impl<V: Clone + PartialOrd> PartialOrd for Group<V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.iter().partial_cmp(other)
    }
}

impl<V: Clone + Ord> Ord for Group<V> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other)
    }
}

impl<V: Clone + Hash> Hash for Group<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|value| value.hash(state));
    }
}

/// A bound that no type meets. A [`Group`] has serde's traits only under this bound, so that the
/// compiler's message says what to use instead: every estimate of its size would read all values,
/// and reading it back would hold all of them in memory.
#[diagnostic::on_unimplemented(
    message = "a `Group` cannot be shuffled, cached or serialized, since it may be larger than memory",
    label = "rows here must be serializable; a `Group` can only be iterated",
    note = "reduce it with `map_values` before this operation, or use `group_by_key` (or `cogroup`), whose \
            groups are `Vec`s that fit in the task memory limit"
)]
pub trait KeepsGroups {
    #[doc(hidden)]
    const NEVER: Infallible;
}

impl<V: KeepsGroups> Serialize for Group<V> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        match V::NEVER {}
    }
}

impl<'de, V: KeepsGroups> Deserialize<'de> for Group<V> {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        match V::NEVER {}
    }
}

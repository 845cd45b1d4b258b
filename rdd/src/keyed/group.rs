//! [`Group`]: the values of one key, as `grouped` and its kin hand them out.

use emberline_core::error::{Error, ErrorKind};
use emberline_core::step::{Step, raise};
use serde::{Deserialize, Serialize};
use std::slice;
use std::vec;

/// The values of one key. It can be iterated any number of times, by value or through `iter`.
///
/// Code that only iterates keeps working when groups larger than memory are read from disk; that is
/// why a group is not a `Vec` and gives its rows by value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group<V>(Vec<V>);

impl<V> Group<V> {
    pub(crate) fn new(values: Vec<V>) -> Self {
        Group(values)
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no value: the side of [`cogrouped`](crate::Rdd::cogrouped) that lacks the key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values, in the order of the input's partitions and rows.
    pub fn iter(&self) -> GroupIter<'_, V> {
        GroupIter(self.0.iter())
    }
}

/// The values of a [`Group`], as clones.
#[derive(Clone, Debug)]
pub struct GroupIter<'a, V>(slice::Iter<'a, V>);

impl<V: Clone> Iterator for GroupIter<'_, V> {
    type Item = V;

    fn next(&mut self) -> Option<V> {
        self.0.next().cloned()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
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

impl<V> IntoIterator for Group<V> {
    type Item = V;
    type IntoIter = vec::IntoIter<V>;

    fn into_iter(self) -> vec::IntoIter<V> {
        self.0.into_iter()
    }
}

/// Refuses a list whose rows alone pass a task's share, and names the operation that streams them.
pub(super) fn refuse_too_large<V>(
    step: Step,
    share_bytes: u64,
    values: &[V],
    streaming: &'static str,
) {
    if size_of_val(values) as u64 > share_bytes {
        let rows = values.len();
        raise(Error::new(ErrorKind::GroupTooLarge { rows, share_bytes, streaming }).in_step(step));
    }
}

//! The pairs of two groups of one key. A group in a file is read several times and never held in
//! memory.

use crate::group::values::{FileValues, Group, GroupValues};

/// Rows that can be read several times.
pub trait Rewind {
    /// The type of the rows.
    type Item;

    /// Returns the next row, or nothing after the last.
    fn next(&mut self) -> Option<Self::Item>;
    /// Returns to the first row.
    fn rewind(&mut self);
}

/// The values of a group, which can be read several times.
pub struct GroupRewind<V> {
    group: Group<V>,
    at: usize,
    /// The reader of a file.
    file: Option<FileValues<V>>,
}

impl<V> From<Group<V>> for GroupRewind<V> {
    fn from(group: Group<V>) -> Self {
        GroupRewind { group, at: 0, file: None }
    }
}

impl<V: Clone> Rewind for GroupRewind<V> {
    type Item = V;

    #[inline]
    fn next(&mut self) -> Option<V> {
        match self.group.as_slice() {
            Ok(values) => {
                let value = values.get(self.at)?;
                self.at += 1;
                Some(value.clone())
            }
            Err(file) => self.file.get_or_insert_with(file).next(),
        }
    }

    fn rewind(&mut self) {
        (self.at, self.file) = (0, None);
    }
}

/// The values of a group, or one `None` if it has none, as in an outer join.
pub struct OrNone<R> {
    rows: R,
    is_empty: bool,
    gave_none: bool,
}

impl<V> From<Group<V>> for OrNone<GroupRewind<V>> {
    fn from(group: Group<V>) -> Self {
        OrNone { is_empty: group.is_empty(), rows: group.into(), gave_none: false }
    }
}

impl<V> From<Group<V>> for OrNone<GroupValues<V>> {
    fn from(group: Group<V>) -> Self {
        OrNone { is_empty: group.is_empty(), rows: group.into_iter(), gave_none: false }
    }
}

impl<R> OrNone<R> {
    fn next_of<V>(&mut self, next: impl FnOnce(&mut R) -> Option<V>) -> Option<Option<V>> {
        if self.is_empty {
            return (!std::mem::replace(&mut self.gave_none, true)).then_some(None);
        }
        next(&mut self.rows).map(Some)
    }
}

impl<R: Rewind> Rewind for OrNone<R> {
    type Item = Option<R::Item>;

    #[inline]
    fn next(&mut self) -> Option<Option<R::Item>> {
        self.next_of(R::next)
    }

    fn rewind(&mut self) {
        self.gave_none = false;
        self.rows.rewind();
    }
}

impl<R: Iterator> Iterator for OrNone<R> {
    type Item = Option<R::Item>;

    #[inline]
    fn next(&mut self) -> Option<Option<R::Item>> {
        self.next_of(R::next)
    }
}

/// Every left value with every right value, in the order of the left and then of the right.
pub struct CrossProduct<K, L: Iterator, R> {
    key: K,
    left: L,
    value: Option<L::Item>,
    right: R,
}

impl<K, L: Iterator, R: Rewind> CrossProduct<K, L, R> {
    /// Returns the pairs of `left` and `right`, with their key.
    pub fn new(key: K, left: impl Into<L>, right: impl Into<R>) -> Self {
        let mut left = left.into();
        CrossProduct { value: left.next(), key, left, right: right.into() }
    }
}

impl<K: Clone, L: Iterator<Item: Clone>, R: Rewind> Iterator for CrossProduct<K, L, R> {
    type Item = (K, (L::Item, R::Item));

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let value = self.value.as_ref()?;
        if let Some(other) = self.right.next() {
            return Some((self.key.clone(), (value.clone(), other)));
        }
        self.value = self.left.next();
        self.right.rewind();
        let value = self.value.as_ref()?;
        let other = self.right.next()?;
        Some((self.key.clone(), (value.clone(), other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs<L, R>(left: &[u8], right: &[char]) -> Vec<(L::Item, R::Item)>
    where
        L: Iterator<Item: Clone> + From<Group<u8>>,
        R: Rewind + From<Group<char>>,
    {
        let (left, right) = (Group::new(left.to_vec()), Group::new(right.to_vec()));
        CrossProduct::<_, L, R>::new((), left, right).map(|((), pair)| pair).collect()
    }

    #[test]
    fn every_left_value_is_paired_with_every_right_value() {
        let all = pairs::<GroupValues<u8>, GroupRewind<char>>(&[1, 2], &['a', 'b']);
        assert_eq!(all, [(1, 'a'), (1, 'b'), (2, 'a'), (2, 'b')]);
        assert_eq!(pairs::<GroupValues<u8>, GroupRewind<char>>(&[1], &[]), []);
        assert_eq!(pairs::<GroupValues<u8>, GroupRewind<char>>(&[], &['a']), []);
    }

    #[test]
    fn an_optional_side_without_values_is_one_none() {
        type Left = OrNone<GroupValues<u8>>;
        type Right = OrNone<GroupRewind<char>>;
        assert_eq!(pairs::<Left, Right>(&[], &['a']), [(None, Some('a'))]);
        assert_eq!(pairs::<Left, Right>(&[1, 2], &[]), [(Some(1), None), (Some(2), None)]);
        assert_eq!(pairs::<Left, Right>(&[], &[]), [(None, None)]);
        assert_eq!(pairs::<Left, GroupRewind<char>>(&[], &['a', 'b']), [(None, 'a'), (None, 'b')]);
    }
}

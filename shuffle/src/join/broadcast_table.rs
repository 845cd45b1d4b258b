//! The build side of a broadcast join: a table in memory from each key to its values.

use crate::keys::hash::{Hashed, hash_of};
use crate::map_output::reader::SegmentReader;
use emberline_core::bounds::{Key, Stored};
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::size::heap_bytes;
use emberline_core::task::{OperatorMemory, TaskContext};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use std::ops::Range;

/// A table that is built once and then only read. All values are in one list, those of a key
/// consecutive and in the order of the input: a lookup returns a range of the list and allocates
/// nothing.
#[derive(Debug)]
pub struct BroadcastTable<K, V> {
    index: HashTable<Entry<K>>,
    values: Vec<V>,
    bytes: u64,
}

/// A key and the indexes of its values. While the table is built, `from` is the number of the key.
#[derive(Debug)]
struct Entry<K> {
    key: K,
    from: u32,
    to: u32,
}

impl<K: Eq, V> BroadcastTable<K, V> {
    /// Returns the indexes of the values of `key`, whose hash is `hash`.
    #[inline]
    pub fn range_of(&self, hash: u64, key: &K) -> Range<usize> {
        match self.index.find(hash, |entry| entry.key == *key) {
            Some(entry) => entry.from as usize..entry.to as usize,
            None => 0..0,
        }
    }

    /// Returns all values.
    #[inline]
    pub fn values(&self) -> &[V] {
        &self.values
    }

    /// Returns its estimated memory, with the heap that keys and values own: by the number of rows,
    /// without unused capacity.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl<K: Key, V: Stored> BroadcastTable<K, V> {
    /// Reads the table of all rows of a segment. The row that makes it exceed `limit_bytes` is the
    /// error [`BroadcastTooLarge`](ErrorKind::BroadcastTooLarge), which depends on the rows and the
    /// limit alone.
    pub fn read(
        mut rows: SegmentReader<Hashed<K, V>>,
        limit_bytes: u64,
        task: &TaskContext,
    ) -> Result<Self> {
        let mut building = Building::new();
        let mut held = OperatorMemory::new(task);
        while let Some(chunk) = rows.next_chunk()? {
            // Rows that this task owns are cloned too: they come from a file, and are few.
            for row in chunk.rows() {
                building.add(row);
                building.check(limit_bytes)?;
            }
            held.set(building.bytes);
        }
        Ok(building.finish())
    }
}

/// A table that is being built: its rows in the order of the input, each with the number of its
/// key.
struct Building<K, V> {
    index: HashTable<Entry<K>>,
    /// The number of values of each key.
    counts: Vec<u32>,
    rows: Vec<(u32, V)>,
    bytes: u64,
}

impl<K: Key, V: Stored> Building<K, V> {
    /// The memory of a key: the index has up to twice as many slots as keys, with one more byte
    /// each.
    const KEY_BYTES: u64 = 2 * (size_of::<Entry<K>>() as u64 + 1) + size_of::<u32>() as u64;
    const ROW_BYTES: u64 = size_of::<(u32, V)>() as u64;

    fn new() -> Self {
        Building { index: HashTable::new(), counts: Vec::new(), rows: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, row: &Hashed<K, V>) {
        let same = |entry: &Entry<K>| entry.key == row.key;
        let mut bytes = Self::ROW_BYTES.saturating_add(heap_bytes(&row.value));
        let number = match self.index.entry(row.hash, same, |entry| hash_of(&entry.key)) {
            Slot::Occupied(known) => known.get().from,
            Slot::Vacant(free) => {
                // There are no more keys than rows, whose number `check` limits.
                let number = self.counts.len() as u32;
                free.insert(Entry { key: row.key.clone(), from: number, to: 0 });
                self.counts.push(0);
                bytes = bytes.saturating_add(Self::KEY_BYTES).saturating_add(heap_bytes(&row.key));
                number
            }
        };
        self.counts[number as usize] += 1;
        self.rows.push((number, row.value.clone()));
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Returns an error if the table exceeds the limit. The number of rows has a limit too: indexes
    /// have 32 bits, and rows may have no size.
    fn check(&self, limit_bytes: u64) -> Result<()> {
        let rows = self.rows.len();
        let bytes = self.bytes;
        if bytes <= limit_bytes && rows < u32::MAX as usize {
            return Ok(());
        }
        Err(Error::new(ErrorKind::BroadcastTooLarge { rows, bytes, limit_bytes }))
    }

    fn finish(self) -> BroadcastTable<K, V> {
        let Building { mut index, counts, mut rows, bytes } = self;
        // If each key has one value, the rows are already in the order of the keys.
        if counts.len() < rows.len() {
            rows.sort_by_key(|(number, _)| *number);
        }
        let ends = counts.iter().scan(0, |end, count| {
            *end += count;
            Some(*end)
        });
        let ends: Vec<u32> = ends.collect();
        for entry in &mut index {
            let number = entry.from as usize;
            entry.from = ends[number] - counts[number];
            entry.to = ends[number];
        }
        let mut values: Vec<V> = rows.into_iter().map(|(_, value)| value).collect();
        values.shrink_to_fit();
        BroadcastTable { index, values, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map_output::output::MapOutputs;
    use crate::map_output::writer::MapWriter;
    use emberline_core::config::Config;

    fn table(rows: &[(&str, u32)], limit: u64) -> Result<BroadcastTable<String, u32>> {
        let task = TaskContext::for_test(Config::default());
        let mut writer = MapWriter::new(1, &task);
        for (key, value) in rows {
            let hash = hash_of(*key);
            let key = key.to_string();
            writer.push_keyed(0, hash, Hashed { hash, key, value: *value });
        }
        let outputs = MapOutputs::own(writer.finish()?);
        BroadcastTable::read(outputs.read(None, 0, &task), limit, &task)
    }

    fn values(table: &BroadcastTable<String, u32>, key: &str) -> Vec<u32> {
        table.values()[table.range_of(hash_of(key), &key.to_string())].to_vec()
    }

    #[test]
    fn the_values_of_a_key_are_consecutive_and_in_input_order() {
        let rows = [("b", 5), ("a", 9), ("b", 1), ("c", 2), ("a", 3), ("b", 4)];
        let table = table(&rows, 1 << 20).unwrap();
        assert_eq!(values(&table, "b"), [5, 1, 4]);
        assert_eq!((values(&table, "a"), values(&table, "c")), (vec![9, 3], vec![2]));
        assert_eq!(values(&table, "d"), []);
        assert_eq!(table.values().len(), 6);
    }

    #[test]
    fn a_table_of_no_rows_has_no_values() {
        assert_eq!(values(&table(&[], 0).unwrap(), "a"), []);
    }

    #[test]
    fn the_row_that_exceeds_the_limit_is_an_error_with_rows_and_bytes() {
        let rows: Vec<(String, u32)> = (0..100).map(|n| (n.to_string(), n)).collect();
        let rows: Vec<(&str, u32)> = rows.iter().map(|row| (row.0.as_str(), row.1)).collect();
        let bytes = table(&rows, u64::MAX).unwrap().bytes();
        assert!((5_000..20_000).contains(&bytes), "{bytes}");
        assert_eq!(values(&table(&rows, bytes).unwrap(), "99"), [99]);
        let error = table(&rows, bytes - 1).unwrap_err();
        let ErrorKind::BroadcastTooLarge { rows, bytes: got, limit_bytes } = *error.kind() else {
            panic!("not the expected kind: {error}");
        };
        assert_eq!((rows, got, limit_bytes), (100, bytes, bytes - 1));
    }
}

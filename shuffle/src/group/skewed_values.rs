//! The values of a skewed key, read from the map outputs.

use crate::group::values::Reread;
use crate::keys::hash::Hashed;
use crate::map_output::reader::Chunk;
use crate::map_output::segment_source::SegmentSource;
use crate::sort::run::{Batches, RunFile};
use emberline_core::bounds::{Key, Stored};
use emberline_core::config::Config;
use emberline_core::scratch::Scratch;
use emberline_core::task::TaskContext;
use std::iter::from_fn;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// The values of a skewed key, read from its sub-partition. If they are read several times, as by a
/// join with several values on its other side, they are copied to a file of their own.
pub(crate) struct SkewedValues<K, V> {
    source: SegmentSource<Hashed<K, V>>,
    hash: u64,
    key: K,
    reads: AtomicUsize,
    copy: OnceLock<RunFile<V>>,
    scratch: Arc<Scratch>,
    config: Arc<Config>,
    batch_bytes: u64,
}

/// The number of readings of the whole sub-partition before the values of a key are copied.
const READS_BEFORE_COPY: usize = 2;

impl<K: Key, V: Stored> SkewedValues<K, V> {
    pub(crate) fn new(
        source: SegmentSource<Hashed<K, V>>,
        hash: u64,
        key: K,
        task: &TaskContext,
    ) -> Self {
        SkewedValues {
            source,
            hash,
            key,
            reads: AtomicUsize::new(0),
            copy: OnceLock::new(),
            scratch: Arc::clone(&task.scratch),
            config: Arc::clone(&task.config),
            batch_bytes: task.operator_memory_limit() / 8,
        }
    }

    fn scan(&self) -> impl Iterator<Item = Vec<V>> + use<K, V> {
        let hash = self.hash;
        let key = self.key.clone();
        let ranges = self.source.chunks(None).flat_map(chunk_ranges);
        ranges.map(move |range| values_of(range, hash, &key))
    }

    /// Returns the values in a file of their own, if they were copied.
    fn copied(&self) -> Option<&RunFile<V>> {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        if self.copy.get().is_none() && reads >= READS_BEFORE_COPY {
            let batches = Batches::of_bytes(self.scan().flatten(), self.batch_bytes);
            // A disk that fails costs time only: the values can be read from the map outputs.
            let file = RunFile::write_to(batches.measured(), &self.scratch, &self.config).ok()?;
            // Another thread may have copied them first.
            let _ = self.copy.set(file);
        }
        self.copy.get()
    }
}

impl<K: Key, V: Stored> Reread<V> for SkewedValues<K, V> {
    fn read(&self) -> Box<dyn Iterator<Item = Vec<V>>> {
        match self.copied() {
            Some(file) => Box::new(file.chunks()),
            None => Box::new(self.scan()),
        }
    }
}

/// The rows of a shared chunk whose values are cloned together.
const CLONED_AT_ONCE: usize = 1024;

/// Some rows of a chunk: all rows if the reader owns them, or a few of those that are shared.
type ChunkRange<R> = (Chunk<R>, Range<usize>);

fn chunk_ranges<R: Clone>(chunk: Chunk<R>) -> impl Iterator<Item = ChunkRange<R>> {
    let rows = chunk.rows().len();
    let mut at = 0;
    let mut chunk = Some(chunk);
    from_fn(move || {
        let end = match chunk.as_ref()? {
            Chunk::Shared(_) => rows.min(at + CLONED_AT_ONCE),
            Chunk::Owned(_) => rows,
        };
        let range = std::mem::replace(&mut at, end)..end;
        let part = if end == rows { chunk.take() } else { chunk.clone() };
        Some((part?, range))
    })
}

/// Clones the values of one key in a part of a chunk.
fn values_of<K: Key, V: Stored>(
    (chunk, range): ChunkRange<Hashed<K, V>>,
    hash: u64,
    key: &K,
) -> Vec<V> {
    let is_wanted = |row: &Hashed<K, V>| row.hash == hash && row.key == *key;
    match chunk {
        Chunk::Shared(rows) => {
            let wanted = rows[range].iter().filter(|row| is_wanted(row));
            wanted.map(|row| row.value.clone()).collect()
        }
        Chunk::Owned(rows) => rows.into_iter().filter(is_wanted).map(|row| row.value).collect(),
    }
}

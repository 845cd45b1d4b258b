//! The values of a hot key, where they lie.

use crate::group_stream::SliceSource;
use crate::hash::Hashed;
use crate::map_output::Chunk;
use crate::run::{Batches, RunFile};
use crate::values::Reread;
use emberline_core::bounds::{Key, Stored};
use emberline_core::config::Config;
use emberline_core::scratch::Scratch;
use emberline_core::task::TaskContext;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// The values of a hot key, read from the slice they lie in. Who reads them again and again, as a
/// join does that has many values on its other side, gets a file of them alone.
pub(crate) struct HotValues<K, V> {
    slice: SliceSource<Hashed<K, V>>,
    hash: u64,
    key: K,
    reads: AtomicUsize,
    copy: OnceLock<RunFile<V>>,
    scratch: Arc<Scratch>,
    config: Arc<Config>,
    batch_bytes: u64,
}

/// So often the whole slice is read for the values of one key before they are copied.
const READS_BEFORE_COPY: usize = 2;

impl<K: Key, V: Stored> HotValues<K, V> {
    pub(crate) fn new(
        slice: SliceSource<Hashed<K, V>>,
        hash: u64,
        key: K,
        task: &TaskContext,
    ) -> Self {
        let (reads, copy) = (AtomicUsize::new(0), OnceLock::new());
        let (scratch, config) = (Arc::clone(&task.scratch), Arc::clone(&task.config));
        let batch_bytes = task.operator_bytes() / 8;
        HotValues { slice, hash, key, reads, copy, scratch, config, batch_bytes }
    }

    fn scan(&self) -> impl Iterator<Item = V> + use<K, V> {
        let (hash, key) = (self.hash, self.key.clone());
        let chunks = self.slice.chunks(None);
        chunks.flat_map(move |chunk| ValuesOf { chunk, at: 0, hash, key: key.clone() })
    }

    /// The values in a file of their own, if there is one by now.
    fn copied(&self) -> Option<&RunFile<V>> {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        if self.copy.get().is_none() && reads >= READS_BEFORE_COPY {
            let batches = Batches::of_bytes(self.scan(), self.batch_bytes);
            // A disk that refuses costs time only: they can be read where they lie.
            let file = RunFile::write_in(batches, &self.scratch, &self.config).ok()?;
            // Someone else may have been faster.
            let _ = self.copy.set(file);
        }
        self.copy.get()
    }
}

impl<K: Key, V: Stored> Reread<V> for HotValues<K, V> {
    fn read(&self) -> Box<dyn Iterator<Item = V>> {
        match self.copied() {
            Some(file) => Box::new(file.rows()),
            None => Box::new(self.scan()),
        }
    }
}

/// The values of one key in a chunk.
struct ValuesOf<K, V> {
    chunk: Chunk<Hashed<K, V>>,
    at: usize,
    hash: u64,
    key: K,
}

impl<K: Key, V: Stored> Iterator for ValuesOf<K, V> {
    type Item = V;

    fn next(&mut self) -> Option<V> {
        let rest = &self.chunk.rows()[self.at..];
        let is_wanted = |row: &Hashed<K, V>| row.hash == self.hash && row.key == self.key;
        let found = rest.iter().position(is_wanted)?;
        self.at += found + 1;
        Some(rest[found].value.clone())
    }
}

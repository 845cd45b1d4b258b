//! The block store: the partitions of persisted RDDs, as values that the store cannot read. They
//! are in memory while the memory pool has room, and in files where their storage level allows it.
//!
//! - `eviction`: the eviction policy. The README of this directory explains it.

mod eviction;
#[cfg(test)]
mod tests;

use crate::event::Event;
use crate::ids::RddId;
use crate::lineage::StorageStats;
use crate::memory::{MemoryPool, Reservation};
use crate::quiet::drop_quietly;
use crate::sync::{Mutex, MutexGuard};
use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// One persisted partition. Its type is known to the code that stored it.
pub trait Block: Any + Send + Sync {
    /// Returns the number of rows.
    fn rows(&self) -> u64;

    /// Returns the bytes of its files.
    fn file_bytes(&self) -> u64 {
        0
    }

    /// Returns true if the block can be recomputed.
    fn can_be_recomputed(&self) -> bool {
        true
    }

    /// Evicts the block from memory: writes it to a file if its storage level includes the disk.
    fn evict(&self) -> EvictOutcome {
        EvictOutcome::Dropped
    }
}

/// The outcome of an eviction.
pub enum EvictOutcome {
    /// The block is recomputed when it is read again.
    Dropped,
    /// The block was written to a file; this is its replacement.
    Spilled(Arc<dyn Block>),
    /// The block stays in memory: it cannot be recomputed, and it could not be written.
    Retained,
}

/// A block in the store. While a reader holds it, it is not evicted, and its memory counts until
/// the last reader drops it.
pub struct StoredBlock {
    block: Arc<dyn Block>,
    reservation: Option<Reservation>,
}

impl StoredBlock {
    /// Returns the block, for a downcast to its type.
    pub fn block(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::clone(&self.block) as Arc<dyn Any + Send + Sync>
    }

    fn memory_bytes(&self) -> u64 {
        self.reservation.as_ref().map_or(0, Reservation::bytes)
    }

    fn storage_stats(&self) -> StorageStats {
        StorageStats {
            stored_partitions: 1,
            rows: self.block.rows(),
            memory_bytes: self.memory_bytes(),
            file_bytes: self.block.file_bytes(),
            ..StorageStats::default()
        }
    }
}

/// The persisted partitions of one context. Their bytes are reserved in its memory pool.
///
/// No block is written or dropped under the lock, because that runs code of the user, which may be
/// slow, panic, or call the store.
pub struct BlockStore {
    memory: Arc<MemoryPool>,
    emit: Box<dyn Fn(Event) + Send + Sync>,
    blocks: Mutex<Blocks>,
}

#[derive(Default)]
struct Blocks {
    of_rdd: HashMap<RddId, HashMap<usize, BlockEntry>>,
    /// Increases with each use of a block.
    clock: u64,
}

struct BlockEntry {
    stored: Arc<StoredBlock>,
    last_use: u64,
    /// True while a thread is evicting the block. It can still be read.
    is_being_evicted: bool,
}

impl Blocks {
    fn entry(&mut self, rdd: RddId, partition: usize) -> Option<&mut BlockEntry> {
        self.of_rdd.get_mut(&rdd)?.get_mut(&partition)
    }

    /// Advances the clock.
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

impl BlockStore {
    /// Returns an empty store that reserves memory in `memory` and is evictable there. `emit`
    /// receives an event for each evicted block.
    pub fn new(memory: Arc<MemoryPool>, emit: Box<dyn Fn(Event) + Send + Sync>) -> Arc<Self> {
        let store = Arc::new(BlockStore { memory, emit, blocks: Mutex::default() });
        let weak = Arc::downgrade(&store);
        store.memory.set_evictable(weak);
        store
    }

    /// Returns the block of a partition, if it is stored.
    pub fn get(&self, rdd: RddId, partition: usize) -> Option<Arc<StoredBlock>> {
        let mut blocks = self.lock();
        let now = blocks.tick();
        let entry = blocks.entry(rdd, partition)?;
        entry.last_use = now;
        Some(Arc::clone(&entry.stored))
    }

    /// Stores a block with its memory reservation. Returns the stored block and true if this call
    /// stored it. The first put wins: two tasks may compute the same partition, and readers of the
    /// first block hold it.
    pub fn put(
        &self,
        rdd: RddId,
        partition: usize,
        block: Arc<dyn Block>,
        reservation: Option<Reservation>,
    ) -> (Arc<StoredBlock>, bool) {
        let new = Arc::new(StoredBlock { block, reservation });
        // A block that comes second is dropped after the lock is released, because it is bound
        // before the lock.
        let stored = Arc::clone(&new);
        let mut blocks = self.lock();
        let last_use = blocks.tick();
        match blocks.of_rdd.entry(rdd).or_default().entry(partition) {
            Entry::Occupied(entry) => (Arc::clone(&entry.get().stored), false),
            Entry::Vacant(entry) => {
                entry.insert(BlockEntry { stored, last_use, is_being_evicted: false });
                drop(blocks);
                (new, true)
            }
        }
    }

    /// Returns true if the block of a partition is stored.
    pub fn contains(&self, rdd: RddId, partition: usize) -> bool {
        self.lock().of_rdd.get(&rdd).is_some_and(|of_rdd| of_rdd.contains_key(&partition))
    }

    /// Returns the size of the stored blocks of an RDD.
    pub fn storage_stats(&self, rdd: RddId) -> StorageStats {
        let blocks = self.lock();
        let of_rdd = blocks.of_rdd.get(&rdd).into_iter().flat_map(HashMap::values);
        of_rdd.map(|entry| entry.stored.storage_stats()).sum()
    }

    /// Removes a block that a reader found damaged, unless another block has replaced it. Returns
    /// true if it was removed.
    pub fn forget(&self, rdd: RddId, partition: usize, damaged: &Arc<StoredBlock>) -> bool {
        let mut blocks = self.lock();
        let Some(of_rdd) = blocks.of_rdd.get_mut(&rdd) else { return false };
        let is_damaged = |entry: &BlockEntry| Arc::ptr_eq(&entry.stored, damaged);
        let forgotten = of_rdd.get(&partition).is_some_and(is_damaged);
        let dropped = forgotten.then(|| of_rdd.remove(&partition));
        drop(blocks);
        drop_quietly(dropped);
        forgotten
    }

    /// Drops the blocks of an RDD and returns their number.
    pub fn drop_rdd(&self, rdd: RddId) -> usize {
        let dropped = self.lock().of_rdd.remove(&rdd).unwrap_or_default();
        let count = dropped.len();
        // One by one: a map frees no more blocks after a destructor has panicked.
        dropped.into_values().for_each(drop_quietly);
        count
    }

    /// Locks the map. It is consistent after any panic, because no user code runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock()
    }
}

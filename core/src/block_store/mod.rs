//! The partitions of persisted RDDs, kept as values that the store cannot read: in memory while the
//! budget has room, in files where their level says so.

mod eviction;
#[cfg(test)]
mod tests;

use crate::event::Event;
use crate::ids::RddId;
use crate::lineage::StorageStats;
use crate::memory::{MemoryPool, Reservation};
use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One persisted partition. Who put it knows its type.
pub trait Block: Any + Send + Sync {
    /// Its rows.
    fn rows(&self) -> u64;

    /// What it takes in files.
    fn file_bytes(&self) -> u64 {
        0
    }

    /// Whether it can be computed again.
    fn can_be_lost(&self) -> bool {
        true
    }

    /// What becomes of it when its memory is wanted for something else.
    fn leave(&self) -> EvictOutcome {
        EvictOutcome::Dropped
    }
}

/// What becomes of a block that leaves the memory.
pub enum EvictOutcome {
    /// It is computed again when it is read.
    Dropped,
    /// It was written to a file, and this is what is kept of it.
    Moved(Arc<dyn Block>),
    /// It cannot leave: nothing could compute it again, and it could not be written.
    Stays,
}

/// A block in the store. Whoever holds one reads it: it is not evicted meanwhile, and its memory
/// counts as taken until the last reader lets go.
pub struct StoredBlock {
    block: Arc<dyn Block>,
    held: Option<Reservation>,
}

impl StoredBlock {
    /// The block, to be given its type back.
    pub fn block(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::clone(&self.block) as Arc<dyn Any + Send + Sync>
    }

    fn memory_bytes(&self) -> u64 {
        self.held.as_ref().map_or(0, Reservation::bytes)
    }

    fn storage_stats(&self) -> StorageStats {
        let (rows, memory_bytes) = (self.block.rows(), self.memory_bytes());
        let file_bytes = self.block.file_bytes();
        StorageStats { parts: 1, rows, memory_bytes, file_bytes, ..StorageStats::default() }
    }
}

/// The persisted partitions of one context. Their bytes are taken from its memory budget.
///
/// No block is written or dropped under the lock: that runs the user's code, which may be slow,
/// panic, or come back here.
pub struct BlockStore {
    memory: Arc<MemoryPool>,
    emit: Box<dyn Fn(Event) + Send + Sync>,
    blocks: Mutex<Blocks>,
}

#[derive(Default)]
struct Blocks {
    of_rdd: HashMap<RddId, HashMap<usize, Place>>,
    /// Grows with each use of a block.
    clock: u64,
}

struct Place {
    stored: Arc<StoredBlock>,
    last_use: u64,
    /// Whether a thread is just moving it out of the memory. It can still be read.
    is_leaving: bool,
}

impl Blocks {
    fn place(&mut self, rdd: RddId, partition: usize) -> Option<&mut Place> {
        self.of_rdd.get_mut(&rdd)?.get_mut(&partition)
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

impl BlockStore {
    /// An empty store that takes what it holds from `memory` and gives it back when running work
    /// needs it. `emit` hears what is evicted.
    pub fn new(memory: Arc<MemoryPool>, emit: Box<dyn Fn(Event) + Send + Sync>) -> Arc<Self> {
        let store = Arc::new(BlockStore { memory, emit, blocks: Mutex::default() });
        let weak = Arc::downgrade(&store);
        store.memory.set_evictable(weak);
        store
    }

    /// The block of a partition, if it is stored.
    pub fn get(&self, rdd: RddId, partition: usize) -> Option<Arc<StoredBlock>> {
        let mut blocks = self.lock();
        let now = blocks.tick();
        let place = blocks.place(rdd, partition)?;
        place.last_use = now;
        Some(Arc::clone(&place.stored))
    }

    /// Stores a block whose memory, if it takes any, is `held`; gives it back as it is stored, and
    /// says whether this call did that. The first put wins: two tasks may compute the same partition,
    /// and readers of the first block keep it.
    pub fn put(
        &self,
        rdd: RddId,
        partition: usize,
        block: Arc<dyn Block>,
        held: Option<Reservation>,
    ) -> (Arc<StoredBlock>, bool) {
        let new = Arc::new(StoredBlock { block, held });
        // A block that came second drops behind the lock: it is bound before it.
        let stored = Arc::clone(&new);
        let mut blocks = self.lock();
        let last_use = blocks.tick();
        match blocks.of_rdd.entry(rdd).or_default().entry(partition) {
            Entry::Occupied(place) => (Arc::clone(&place.get().stored), false),
            Entry::Vacant(place) => {
                place.insert(Place { stored, last_use, is_leaving: false });
                drop(blocks);
                (new, true)
            }
        }
    }

    /// Whether the block of a partition is stored.
    pub fn contains(&self, rdd: RddId, partition: usize) -> bool {
        self.lock().of_rdd.get(&rdd).is_some_and(|of_rdd| of_rdd.contains_key(&partition))
    }

    /// How much of an RDD is stored.
    pub fn storage_stats(&self, rdd: RddId) -> StorageStats {
        let blocks = self.lock();
        let of_rdd = blocks.of_rdd.get(&rdd).into_iter().flat_map(HashMap::values);
        of_rdd.map(|place| place.stored.storage_stats()).sum()
    }

    /// Drops one block, unless another took its place meanwhile: a reader found it damaged.
    pub fn forget(&self, rdd: RddId, partition: usize, damaged: &Arc<StoredBlock>) -> bool {
        let mut blocks = self.lock();
        let Some(of_rdd) = blocks.of_rdd.get_mut(&rdd) else { return false };
        let is_it = |place: &Place| Arc::ptr_eq(&place.stored, damaged);
        let forgotten = of_rdd.get(&partition).is_some_and(is_it);
        let dropped = forgotten.then(|| of_rdd.remove(&partition));
        drop(blocks);
        drop(dropped);
        forgotten
    }

    /// Drops the blocks of an RDD; says how many.
    pub fn drop_rdd(&self, rdd: RddId) -> usize {
        let dropped = self.lock().of_rdd.remove(&rdd);
        dropped.map_or(0, |of_rdd| of_rdd.len())
    }

    /// The map is whole after any panic: no user code runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

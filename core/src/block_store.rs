//! The partitions of persisted RDDs, kept in memory as values that the store cannot read.

use crate::ids::RddId;
use crate::lineage::Kept;
use crate::memory::{MemoryBudget, Reservation};
use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One persisted partition. Who put it knows its type.
pub type Block = Arc<dyn Any + Send + Sync>;

/// The persisted partitions of one context. Their bytes are taken from its memory budget.
///
/// No block is dropped under the lock: dropping rows runs the user's code, which may be slow,
/// panic, or come back here.
pub struct BlockStore {
    memory: Arc<MemoryBudget>,
    blocks: Mutex<HashMap<RddId, HashMap<usize, Stored>>>,
}

struct Stored {
    block: Block,
    rows: u64,
    held: Reservation,
}

impl BlockStore {
    /// An empty store that takes what it holds from `memory`.
    pub fn new(memory: Arc<MemoryBudget>) -> Self {
        BlockStore { memory, blocks: Mutex::default() }
    }

    /// The block of a partition, if it is stored.
    pub fn get(&self, rdd: RddId, partition: usize) -> Option<Block> {
        self.lock().get(&rdd)?.get(&partition).map(|stored| Arc::clone(&stored.block))
    }

    /// Stores a block of `rows` rows in about `bytes` bytes; says whether this call did. The first put wins: two
    /// tasks may compute the same partition, and readers of the first block keep it. A block the
    /// budget has no room for is not stored, which is no error: it is computed again when read.
    pub fn put(&self, rdd: RddId, partition: usize, block: Block, rows: u64, bytes: u64) -> bool {
        // A block that is refused drops behind the lock: a parameter outlives what is bound here.
        let mut blocks = self.lock();
        let place = blocks.entry(rdd).or_default().entry(partition);
        let Entry::Vacant(place) = place else { return false };
        let Some(held) = self.memory.try_reserve(bytes) else { return false };
        place.insert(Stored { block, rows, held });
        true
    }

    /// Whether the block of a partition is stored.
    pub fn contains(&self, rdd: RddId, partition: usize) -> bool {
        self.lock().get(&rdd).is_some_and(|of_rdd| of_rdd.contains_key(&partition))
    }

    /// How much of an RDD is stored.
    pub fn kept(&self, rdd: RddId) -> Kept {
        let size = |stored: &Stored| {
            let (rows, memory_bytes) = (stored.rows, stored.held.bytes());
            Kept { parts: 1, rows, memory_bytes, ..Kept::default() }
        };
        self.lock().get(&rdd).map(|of_rdd| of_rdd.values().map(size).sum()).unwrap_or_default()
    }

    /// Drops the blocks of an RDD; says how many.
    pub fn drop_rdd(&self, rdd: RddId) -> usize {
        let dropped = self.lock().remove(&rdd);
        dropped.map_or(0, |of_rdd| of_rdd.len())
    }

    /// The map is whole after any panic: no user code runs under the lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<RddId, HashMap<usize, Stored>>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Weak;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const RDD: RddId = RddId(3);

    fn store(limit: u64) -> (Arc<BlockStore>, Arc<MemoryBudget>) {
        let memory = Arc::new(MemoryBudget::new(limit));
        (Arc::new(BlockStore::new(Arc::clone(&memory))), memory)
    }

    fn rows(block: Option<Block>) -> Option<Vec<u32>> {
        block?.downcast_ref::<Vec<u32>>().cloned()
    }

    #[test]
    fn a_block_is_found_under_its_rdd_and_partition_alone() {
        let (store, _) = store(100);
        assert!(store.put(RDD, 1, Arc::new(vec![7_u32]), 1, 4));
        assert_eq!(rows(store.get(RDD, 1)), Some(vec![7]));
        assert!(store.get(RDD, 0).is_none() && store.get(RddId(4), 1).is_none());
        assert!(store.contains(RDD, 1) && !store.contains(RDD, 0));
    }

    #[test]
    fn the_first_put_wins_and_the_second_takes_no_memory() {
        let (store, memory) = store(100);
        assert!(store.put(RDD, 0, Arc::new(vec![1_u32]), 1, 10));
        assert!(!store.put(RDD, 0, Arc::new(vec![2_u32]), 1, 10));
        assert_eq!(rows(store.get(RDD, 0)), Some(vec![1]));
        assert_eq!(memory.used_bytes(), 10);
    }

    #[test]
    fn a_block_past_the_budget_is_not_stored() {
        let (store, memory) = store(10);
        assert!(store.put(RDD, 0, Arc::new(()), 1, 8));
        assert!(!store.put(RDD, 1, Arc::new(()), 1, 3));
        assert!(!store.contains(RDD, 1));
        assert!(store.contains(RDD, 0));
        assert_eq!(memory.used_bytes(), 8);
    }

    #[test]
    fn dropping_an_rdd_frees_its_memory_and_leaves_the_others() {
        let (store, memory) = store(100);
        for partition in 0..3 {
            store.put(RDD, partition, Arc::new(()), 1, 5);
        }
        store.put(RddId(9), 0, Arc::new(()), 1, 7);
        let kept = Kept { parts: 3, rows: 3, memory_bytes: 15, ..Kept::default() };
        assert_eq!(store.kept(RDD), kept);
        assert_eq!((store.drop_rdd(RDD), store.drop_rdd(RDD)), (3, 0));
        assert_eq!(store.kept(RDD), Kept::default());
        assert_eq!(memory.used_bytes(), 7);
    }

    #[test]
    fn the_store_can_be_used_while_its_values_drop() {
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        struct Curious(Weak<BlockStore>);
        impl Drop for Curious {
            fn drop(&mut self) {
                if let Some(store) = self.0.upgrade() {
                    assert!(!store.contains(RDD, 5));
                }
                DROPPED.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (store, _) = store(10);
        let curious = || -> Block { Arc::new(Curious(Arc::downgrade(&store))) };
        assert!(store.put(RDD, 0, curious(), 1, 10));
        assert!(!store.put(RDD, 0, curious(), 1, 1));
        assert!(!store.put(RDD, 1, curious(), 1, 1));
        store.drop_rdd(RDD);
        assert_eq!(DROPPED.load(Ordering::SeqCst), 3);
    }
}

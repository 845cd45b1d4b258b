//! The eviction policy.
//!
//! A block that is stored evicts blocks of other RDDs, never of its own: an RDD larger than memory
//! would otherwise evict each of its blocks just before it is read again. Running work evicts
//! blocks of any RDD, as long as all blocks together hold more than half of the memory pool. The
//! least recently used blocks are evicted first, a block that is being read is never evicted, and
//! nothing is evicted unless it frees enough.

use super::{BlockEntry, BlockStore, Blocks, EvictOutcome, StoredBlock};
use crate::event::Event;
use crate::ids::RddId;
use crate::memory::{Evictable, Reservation};
use crate::quiet::drop_quietly;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The number of evictions before a caller is refused, because other threads may take the freed
/// memory first.
const MAX_EVICTIONS: usize = 4;

/// The blocks that may be evicted.
struct Limit {
    /// The RDD whose blocks may not be evicted.
    protected: Option<RddId>,
    /// The maximum number of bytes to evict.
    max_bytes: u64,
}

/// A block that is being evicted.
struct Victim {
    rdd: RddId,
    partition: usize,
    stored: Arc<StoredBlock>,
}

impl BlockStore {
    /// Reserves `bytes` for a block of `rdd`, and evicts blocks of other RDDs if necessary. Returns
    /// `None` if there is not enough memory to free; then nothing was evicted.
    pub fn reserve_for(&self, rdd: RddId, bytes: u64) -> Option<Reservation> {
        let limit = Limit { protected: Some(rdd), max_bytes: u64::MAX };
        for _ in 0..MAX_EVICTIONS {
            if let Some(held) = self.memory.try_reserve_free(bytes) {
                return Some(held);
            }
            if !self.evict(bytes, &limit) {
                return None;
            }
        }
        self.memory.try_reserve_free(bytes)
    }

    /// Evicts until `bytes` are free. Returns false, and evicts nothing, if the evictable blocks
    /// are not enough.
    fn evict(&self, bytes: u64, limit: &Limit) -> bool {
        let free = self.memory.limit_bytes().saturating_sub(self.memory.used_bytes());
        let needed = bytes.saturating_sub(free);
        let victims = self.lock().choose(needed, limit);
        let is_enough = needed == 0 || !victims.is_empty();
        victims.into_iter().for_each(|victim| self.evict_block(victim));
        is_enough
    }

    /// Evicts a block on the calling thread.
    fn evict_block(&self, victim: Victim) {
        let Victim { rdd, partition, stored } = victim;
        // A panic while a row is written must not fail the task that needs memory.
        let outcome = catch_unwind(AssertUnwindSafe(|| stored.block.evict()));
        let outcome = outcome.unwrap_or_else(|panic| {
            drop_quietly(panic);
            match stored.block.can_be_recomputed() {
                true => EvictOutcome::Dropped,
                false => EvictOutcome::Retained,
            }
        });
        let mut blocks = self.lock();
        let is_victim = |entry: &&mut BlockEntry| Arc::ptr_eq(&entry.stored, &stored);
        // If `unpersist` has dropped the block meanwhile, the written file is dropped as well.
        let Some(entry) = blocks.entry(rdd, partition).filter(is_victim) else {
            drop(blocks);
            drop_quietly((outcome, stored));
            return;
        };
        let (old, file_bytes) = match outcome {
            EvictOutcome::Retained => {
                entry.is_being_evicted = false;
                return;
            }
            EvictOutcome::Spilled(block) => {
                let file_bytes = block.file_bytes();
                let spilled = Arc::new(StoredBlock { block, reservation: None });
                entry.is_being_evicted = false;
                (Some(std::mem::replace(&mut entry.stored, spilled)), file_bytes)
            }
            EvictOutcome::Dropped => {
                let of_rdd = blocks.of_rdd.get_mut(&rdd);
                (of_rdd.and_then(|of_rdd| of_rdd.remove(&partition)).map(|entry| entry.stored), 0)
            }
        };
        drop(blocks);
        let memory_bytes = stored.memory_bytes();
        drop_quietly((old, stored));
        (self.emit)(Event::BlockEvicted { rdd, partition, memory_bytes, file_bytes });
    }
}

impl Evictable for BlockStore {
    fn evict(&self, bytes: u64) -> bool {
        let held = self.lock().memory_bytes();
        let max_bytes = held.saturating_sub(self.memory.limit_bytes() / 2);
        self.evict(bytes, &Limit { protected: None, max_bytes })
    }
}

impl Blocks {
    fn memory_bytes(&self) -> u64 {
        let entries = self.of_rdd.values().flat_map(|of_rdd| of_rdd.values());
        entries.map(|entry| entry.stored.memory_bytes()).sum()
    }

    /// Marks the least recently used blocks that together free `needed` bytes, or none.
    fn choose(&mut self, needed: u64, limit: &Limit) -> Vec<Victim> {
        if needed > limit.max_bytes {
            return Vec::new();
        }
        let others = self.of_rdd.iter_mut().filter(|(rdd, _)| limit.protected != Some(**rdd));
        let mut candidates: Vec<(RddId, usize, &mut BlockEntry)> = others
            .flat_map(|(rdd, of_rdd)| of_rdd.iter_mut().map(|(at, entry)| (*rdd, *at, entry)))
            .filter(|(_, _, entry)| entry.is_evictable())
            .collect();
        candidates.sort_by_key(|(_, _, entry)| entry.last_use);
        let sizes = candidates.iter().map(|(_, _, entry)| entry.stored.memory_bytes());
        let chosen = choose_victims(&sizes.collect::<Vec<_>>(), needed, limit.max_bytes);
        let mut victims = Vec::new();
        for ((rdd, partition, entry), is_chosen) in candidates.into_iter().zip(chosen) {
            if is_chosen {
                entry.is_being_evicted = true;
                victims.push(Victim { rdd, partition, stored: Arc::clone(&entry.stored) });
            }
        }
        victims
    }
}

/// Chooses blocks to evict, given the sizes of all candidates, oldest first. The chosen blocks free
/// at least `needed` and at most `max` bytes.
///
/// It takes the oldest blocks and skips those that would exceed `max`. If these are not enough, it
/// takes one block that is enough alone, or else none.
fn choose_victims(sizes: &[u64], needed: u64, max: u64) -> Vec<bool> {
    let mut freed = 0_u64;
    let chosen = sizes.iter().map(|bytes| {
        let is_chosen = freed < needed && freed.saturating_add(*bytes) <= max;
        freed += if is_chosen { *bytes } else { 0 };
        is_chosen
    });
    let chosen: Vec<bool> = chosen.collect();
    if freed >= needed {
        return chosen;
    }
    let alone = sizes.iter().position(|bytes| (needed..=max).contains(bytes));
    (0..sizes.len()).map(|at| Some(at) == alone).collect()
}

impl BlockEntry {
    /// Returns true if the block holds memory and has no reader.
    fn is_evictable(&self) -> bool {
        let is_read = Arc::strong_count(&self.stored) > 1;
        !self.is_being_evicted && !is_read && self.stored.memory_bytes() > 0
    }
}

//! Who makes room for whom.
//!
//! A block that is put pushes out blocks of other RDDs, never of its own: an RDD that is larger than
//! the memory would otherwise push itself out from behind, and a second read would find nothing.
//! Running work pushes out blocks of any RDD, as long as all blocks together hold more than half of
//! the budget. The least recently used go first, a block that is being read never, and none goes
//! unless those that can make the room there is a need for.

use super::{BlockStore, Blocks, EvictOutcome, Place, StoredBlock};
use crate::event::Event;
use crate::ids::RddId;
use crate::memory::{Evictable, Reservation};
use crate::runner::drop_quietly;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How often room is made before the caller is refused: others may be quicker to take it.
const TRIES: usize = 4;

/// Whose blocks may go, and how many bytes of them.
struct Limit {
    spared: Option<RddId>,
    most_bytes: u64,
}

/// A block on its way out.
struct Victim {
    rdd: RddId,
    partition: usize,
    stored: Arc<StoredBlock>,
}

impl BlockStore {
    /// Takes `bytes` of the budget for a block of `rdd`, in place of blocks of other RDDs if that is
    /// what it takes. Nothing if there is no way to have so much; then nothing was evicted.
    pub fn room_for(&self, rdd: RddId, bytes: u64) -> Option<Reservation> {
        let limit = Limit { spared: Some(rdd), most_bytes: u64::MAX };
        for _ in 0..TRIES {
            if let Some(held) = self.memory.try_reserve_free(bytes) {
                return Some(held);
            }
            if !self.evict(bytes, &limit) {
                return None;
            }
        }
        self.memory.try_reserve_free(bytes)
    }

    /// Evicts until `bytes` more fit, and says so; evicts none if those that may go are not enough.
    fn evict(&self, bytes: u64, limit: &Limit) -> bool {
        let free = self.memory.limit_bytes().saturating_sub(self.memory.used_bytes());
        let wanted = bytes.saturating_sub(free);
        let victims = self.lock().choose(wanted, limit);
        let makes_room = wanted == 0 || !victims.is_empty();
        victims.into_iter().for_each(|victim| self.evict_block(victim));
        makes_room
    }

    /// Moves a block out of the memory, on the thread that wants the room.
    fn evict_block(&self, victim: Victim) {
        let Victim { rdd, partition, stored } = victim;
        // A row that panics while it is written is not the fault of the task that needs room.
        let left = catch_unwind(AssertUnwindSafe(|| stored.block.leave()));
        let left = left.unwrap_or_else(|panic| {
            drop_quietly(panic);
            if stored.block.can_be_lost() { EvictOutcome::Dropped } else { EvictOutcome::Stays }
        });
        let mut blocks = self.lock();
        let is_it = |place: &&mut Place| Arc::ptr_eq(&place.stored, &stored);
        // An `unpersist` may have come meanwhile: then what was written goes again.
        let Some(place) = blocks.place(rdd, partition).filter(is_it) else {
            drop(blocks);
            drop_quietly((left, stored));
            return;
        };
        let (old, file_bytes) = match left {
            EvictOutcome::Stays => {
                place.is_leaving = false;
                return;
            }
            EvictOutcome::Moved(block) => {
                let file_bytes = block.file_bytes();
                let moved = Arc::new(StoredBlock { block, held: None });
                place.is_leaving = false;
                (Some(std::mem::replace(&mut place.stored, moved)), file_bytes)
            }
            EvictOutcome::Dropped => {
                let of_rdd = blocks.of_rdd.get_mut(&rdd);
                (of_rdd.and_then(|of_rdd| of_rdd.remove(&partition)).map(|place| place.stored), 0)
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
        let most_bytes = held.saturating_sub(self.memory.limit_bytes() / 2);
        self.evict(bytes, &Limit { spared: None, most_bytes })
    }
}

impl Blocks {
    fn memory_bytes(&self) -> u64 {
        let places = self.of_rdd.values().flat_map(|of_rdd| of_rdd.values());
        places.map(|place| place.stored.memory_bytes()).sum()
    }

    /// Marks the least recently used blocks that free `wanted` bytes together, or none.
    fn choose(&mut self, wanted: u64, limit: &Limit) -> Vec<Victim> {
        if wanted > limit.most_bytes {
            return Vec::new();
        }
        let others = self.of_rdd.iter_mut().filter(|(rdd, _)| limit.spared != Some(**rdd));
        let mut places: Vec<(RddId, usize, &mut Place)> = others
            .flat_map(|(rdd, of_rdd)| of_rdd.iter_mut().map(|(at, place)| (*rdd, *at, place)))
            .filter(|(_, _, place)| place.can_leave())
            .collect();
        places.sort_by_key(|(_, _, place)| place.last_use);
        let sizes = places.iter().map(|(_, _, place)| place.stored.memory_bytes());
        let goes = choose_victims(&sizes.collect::<Vec<_>>(), wanted, limit.most_bytes);
        let leave = |(rdd, partition, place): (RddId, usize, &mut Place)| {
            place.is_leaving = true;
            Victim { rdd, partition, stored: Arc::clone(&place.stored) }
        };
        let chosen = places.into_iter().zip(goes).filter(|(_, goes)| *goes);
        chosen.map(|(place, _)| leave(place)).collect()
    }
}

/// Which of some blocks, oldest first, go to free `wanted` bytes and no more than `most`: the oldest,
/// without those that are too large beside what goes already; else one that is enough alone; else
/// none.
fn choose_victims(sizes: &[u64], wanted: u64, most: u64) -> Vec<bool> {
    let mut freed = 0_u64;
    let goes = sizes.iter().map(|bytes| {
        let goes = freed < wanted && freed.saturating_add(*bytes) <= most;
        freed += if goes { *bytes } else { 0 };
        goes
    });
    let goes: Vec<bool> = goes.collect();
    if freed >= wanted {
        return goes;
    }
    let alone = sizes.iter().position(|bytes| (wanted..=most).contains(bytes));
    (0..sizes.len()).map(|at| Some(at) == alone).collect()
}

impl Place {
    /// Whether it holds memory that nobody is reading.
    fn can_leave(&self) -> bool {
        let is_read = Arc::strong_count(&self.stored) > 1;
        !self.is_leaving && !is_read && self.stored.memory_bytes() > 0
    }
}

//! Tests of the block store, with blocks without rows.

use super::*;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};

const RDD: RddId = RddId(3);
const OTHER: RddId = RddId(9);

/// A block of one row, and the outcome of its eviction.
struct Plain(u32, fn() -> EvictOutcome);

impl Block for Plain {
    fn rows(&self) -> u64 {
        1
    }

    fn evict(&self) -> EvictOutcome {
        (self.1)()
    }
}

struct InFile;

impl Block for InFile {
    fn rows(&self) -> u64 {
        1
    }

    fn file_bytes(&self) -> u64 {
        6
    }
}

type Events = Arc<Mutex<Vec<Event>>>;

fn store(limit: u64) -> (Arc<BlockStore>, Arc<MemoryPool>, Events) {
    let memory = Arc::new(MemoryPool::new(limit));
    let events = Events::default();
    let received = Arc::clone(&events);
    let emit = Box::new(move |event| received.lock().push(event));
    (BlockStore::new(Arc::clone(&memory), emit), memory, events)
}

/// Stores a block of `bytes` bytes if there is memory for it.
fn put_evictable(
    store: &BlockStore,
    rdd: RddId,
    partition: usize,
    bytes: u64,
    evict: fn() -> EvictOutcome,
) -> bool {
    let Some(reservation) = store.reserve_for(rdd, bytes) else { return false };
    store.put(rdd, partition, Arc::new(Plain(partition as u32, evict)), Some(reservation)).1
}

fn put(store: &BlockStore, rdd: RddId, partition: usize, bytes: u64) -> bool {
    put_evictable(store, rdd, partition, bytes, || EvictOutcome::Dropped)
}

fn stored(store: &BlockStore, rdd: RddId) -> Vec<usize> {
    (0..20).filter(|partition| store.contains(rdd, *partition)).collect()
}

#[test]
fn a_block_is_found_by_its_rdd_and_partition() {
    let (store, _, _) = store(100);
    assert!(put(&store, RDD, 1, 4));
    let found = store.get(RDD, 1).unwrap().block().downcast::<Plain>().unwrap();
    assert_eq!(found.0, 1);
    assert!(store.get(RDD, 0).is_none() && store.get(RddId(4), 1).is_none());
    assert!(store.contains(RDD, 1) && !store.contains(RDD, 0));
}

#[test]
fn the_first_put_wins_and_the_second_takes_no_memory() {
    let (store, memory, _) = store(100);
    assert!(put(&store, RDD, 0, 10));
    assert!(!put(&store, RDD, 0, 20));
    assert_eq!((memory.used_bytes(), store.storage_stats(RDD).memory_bytes), (10, 10));
}

#[test]
fn dropping_an_rdd_frees_its_memory_and_leaves_the_others() {
    let (store, memory, _) = store(100);
    assert!((0..3).all(|partition| put(&store, RDD, partition, 5)));
    assert!(put(&store, OTHER, 0, 7));
    let expected =
        StorageStats { stored_partitions: 3, rows: 3, memory_bytes: 15, ..StorageStats::default() };
    assert_eq!(store.storage_stats(RDD), expected);
    assert_eq!((store.drop_rdd(RDD), store.drop_rdd(RDD)), (3, 0));
    assert_eq!(store.storage_stats(RDD), StorageStats::default());
    assert_eq!(memory.used_bytes(), 7);
}

// Case F064 of tests/PROMISES.md.
#[test]
fn the_least_recently_used_blocks_of_other_rdds_are_evicted_first() {
    let (store, _, events) = store(30);
    assert!((0..3).all(|partition| put(&store, OTHER, partition, 10)));
    drop(store.get(OTHER, 0));
    assert!(put(&store, RDD, 0, 10));
    assert_eq!((stored(&store, OTHER), stored(&store, RDD)), (vec![0, 2], vec![0]));
    let evicted = Event::BlockEvicted { rdd: OTHER, partition: 1, memory_bytes: 10, file_bytes: 0 };
    assert_eq!(*events.lock(), [evicted]);
}

// Case F064 of tests/PROMISES.md.
#[test]
fn a_put_never_evicts_blocks_of_its_own_rdd() {
    let (store, memory, events) = store(30);
    let count = (0..9).filter(|partition| put(&store, RDD, *partition, 10)).count();
    assert_eq!((count, stored(&store, RDD)), (3, vec![0, 1, 2]));
    assert_eq!((memory.used_bytes(), events.lock().len()), (30, 0));
}

// Case F064 of tests/PROMISES.md.
#[test]
fn a_block_that_is_being_read_is_never_evicted() {
    let (store, _, _) = store(20);
    assert!((0..2).all(|partition| put(&store, OTHER, partition, 10)));
    let reading = store.get(OTHER, 0);
    assert!(put(&store, RDD, 0, 10));
    assert_eq!(stored(&store, OTHER), [0]);
    assert!(!put(&store, RDD, 1, 10));
    drop(reading);
    assert!(put(&store, RDD, 1, 10));
    assert!(stored(&store, OTHER).is_empty());
}

// Case F064 of tests/PROMISES.md.
#[test]
fn a_block_that_is_too_large_is_refused_and_evicts_nothing() {
    let (store, memory, events) = store(30);
    assert!(put(&store, OTHER, 0, 10) && put(&store, RDD, 0, 10));
    assert!(!put(&store, RDD, 1, 31));
    // Larger than the free memory and the blocks of other RDDs together, but not than the pool.
    assert!(!put(&store, RDD, 1, 21));
    assert_eq!((stored(&store, OTHER), stored(&store, RDD)), (vec![0], vec![0]));
    assert_eq!((memory.used_bytes(), events.lock().len()), (20, 0));
}

#[test]
fn a_block_with_a_disk_level_is_spilled_and_one_that_cannot_be_recomputed_is_retained() {
    let (store, memory, events) = store(20);
    let to_file = || EvictOutcome::Spilled(Arc::new(InFile));
    assert!(put_evictable(&store, OTHER, 0, 10, to_file));
    assert!(put_evictable(&store, OTHER, 1, 10, || EvictOutcome::Retained));
    assert!(put(&store, RDD, 0, 10));
    assert_eq!(stored(&store, OTHER), [0, 1]);
    assert!(store.get(OTHER, 0).unwrap().block().downcast::<InFile>().is_ok());
    let expected = StorageStats {
        stored_partitions: 2,
        rows: 2,
        memory_bytes: 10,
        file_bytes: 6,
        ..StorageStats::default()
    };
    assert_eq!((store.storage_stats(OTHER), memory.used_bytes()), (expected, 20));
    let moved = Event::BlockEvicted { rdd: OTHER, partition: 0, memory_bytes: 10, file_bytes: 6 };
    assert_eq!(*events.lock(), [moved]);
    assert!(!put(&store, RDD, 1, 10), "a retained block frees no memory");
}

#[test]
fn a_block_that_panics_during_eviction_is_dropped_and_the_put_succeeds() {
    let (store, _, _) = store(10);
    assert!(put_evictable(&store, OTHER, 0, 10, || std::panic::resume_unwind(Box::new("no"))));
    assert!(put(&store, RDD, 0, 10));
    assert!(stored(&store, OTHER).is_empty());
}

#[test]
fn running_work_evicts_blocks_down_to_half_of_the_pool() {
    let (store, memory, _) = store(40);
    assert!((0..4).all(|partition| put(&store, RDD, partition, 10)));
    let work = memory.try_reserve(20).unwrap();
    assert_eq!(stored(&store, RDD), [2, 3]);
    assert!(memory.try_reserve(1).is_none(), "the rest belongs to the block store");
    drop(work);
    assert!(memory.try_reserve(21).is_none());
    assert_eq!(stored(&store, RDD), [2, 3]);
}

#[test]
fn the_memory_of_a_dropped_block_counts_until_its_last_reader_ends() {
    let (store, memory, _) = store(10);
    assert!(put(&store, RDD, 0, 10));
    let reading = store.get(RDD, 0).unwrap();
    store.drop_rdd(RDD);
    assert!(!put(&store, RDD, 1, 1));
    drop(reading);
    assert_eq!(memory.used_bytes(), 0);
}

// Case F063 of tests/PROMISES.md.
#[test]
fn a_damaged_block_is_forgotten_and_its_replacement_is_not() {
    let (store, _, _) = store(10);
    assert!(put(&store, RDD, 0, 1));
    let damaged = store.get(RDD, 0).unwrap();
    assert!(store.forget(RDD, 0, &damaged) && !store.forget(RDD, 0, &damaged));
    assert!(put(&store, RDD, 0, 1));
    assert!(!store.forget(RDD, 0, &damaged));
    assert!(store.contains(RDD, 0));
}

#[test]
fn the_store_can_be_used_while_blocks_are_evicted_and_dropped() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Reentrant(Weak<BlockStore>);
    impl Reentrant {
        fn use_store(&self) {
            if let Some(store) = self.0.upgrade() {
                assert!(!store.contains(RDD, 5));
            }
        }
    }
    impl Block for Reentrant {
        fn rows(&self) -> u64 {
            0
        }

        fn evict(&self) -> EvictOutcome {
            self.use_store();
            EvictOutcome::Dropped
        }
    }
    impl Drop for Reentrant {
        fn drop(&mut self) {
            self.use_store();
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (store, _, _) = store(10);
    let put = |rdd: RddId, partition: usize| {
        let reservation = store.reserve_for(rdd, 5);
        let block = Arc::new(Reentrant(Arc::downgrade(&store)));
        store.put(rdd, partition, block, reservation).1
    };
    assert!(put(RDD, 0) && !put(RDD, 0) && put(RDD, 1));
    assert!(put(OTHER, 0), "one of the first two is evicted");
    store.drop_rdd(RDD);
    store.drop_rdd(OTHER);
    assert_eq!(DROPPED.load(Ordering::SeqCst), 4);
}

#[test]
fn concurrent_puts_and_reads_never_exceed_the_pool() {
    testkit::within(testkit::DEADLINE, put_and_read_at_once);
}

fn put_and_read_at_once() {
    let (store, memory, _) = store(100);
    std::thread::scope(|scope| {
        for rdd in 0..4 {
            let store = &store;
            let memory = &memory;
            scope.spawn(move || {
                for round in 0..500 {
                    let partition = round % 7;
                    put(store, RddId(rdd), partition, 5 + round as u64 % 30);
                    let reading = store.get(RddId((rdd + 1) % 4), partition);
                    assert!(memory.used_bytes() <= 100);
                    drop(reading);
                    drop((round % 11 == 0).then(|| memory.try_reserve(20)));
                }
            });
        }
    });
    (0..4).for_each(|rdd| assert!(store.drop_rdd(RddId(rdd)) <= 7));
    assert_eq!(memory.used_bytes(), 0);
}

#[test]
fn an_old_block_that_is_too_large_to_evict_is_skipped() {
    let (store, memory, _) = store(40);
    assert!(put(&store, RDD, 0, 25) && put(&store, RDD, 1, 10));
    // 20 bytes must stay, so 15 may be evicted: not the oldest block, but the other one.
    let work = memory.try_reserve(10);
    assert_eq!((work.is_some(), stored(&store, RDD)), (true, vec![0]));
}

#[test]
fn if_the_oldest_blocks_are_not_enough_one_that_is_enough_alone_is_evicted() {
    let (store, memory, _) = store(40);
    assert!([8, 14, 12].iter().enumerate().all(|(at, bytes)| put(&store, RDD, at, *bytes)));
    // 14 of 34 bytes may be evicted, and with the free memory all of them are needed.
    let work = memory.try_reserve(20);
    assert_eq!((work.is_some(), stored(&store, RDD)), (true, vec![0, 2]));
    drop(work);
    assert!(memory.try_reserve(21).is_none(), "no further block may be evicted");
    assert_eq!(stored(&store, RDD), [0, 2]);
}

//! The store against its promises, with blocks of no rows.

use super::*;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};

const RDD: RddId = RddId(3);
const OTHER: RddId = RddId(9);

/// A block of one row, and what it does when it is to leave.
struct Plain(u32, fn() -> EvictOutcome);

impl Block for Plain {
    fn rows(&self) -> u64 {
        1
    }

    fn leave(&self) -> EvictOutcome {
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
    let (memory, events) = (Arc::new(MemoryPool::new(limit)), Events::default());
    let heard = Arc::clone(&events);
    let emit = Box::new(move |event| heard.lock().unwrap().push(event));
    (BlockStore::new(Arc::clone(&memory), emit), memory, events)
}

/// Puts a block of `bytes` bytes, if there is room for it.
fn put_leaving(
    store: &BlockStore,
    (rdd, partition): (RddId, usize),
    bytes: u64,
    leave: fn() -> EvictOutcome,
) -> bool {
    let Some(held) = store.room_for(rdd, bytes) else { return false };
    store.put(rdd, partition, Arc::new(Plain(partition as u32, leave)), Some(held)).1
}

fn put(store: &BlockStore, place: (RddId, usize), bytes: u64) -> bool {
    put_leaving(store, place, bytes, || EvictOutcome::Dropped)
}

fn there(store: &BlockStore, rdd: RddId) -> Vec<usize> {
    (0..20).filter(|partition| store.contains(rdd, *partition)).collect()
}

#[test]
fn a_block_is_found_under_its_rdd_and_partition_alone() {
    let (store, _, _) = store(100);
    assert!(put(&store, (RDD, 1), 4));
    let found = store.get(RDD, 1).unwrap().block().downcast::<Plain>().unwrap();
    assert_eq!(found.0, 1);
    assert!(store.get(RDD, 0).is_none() && store.get(RddId(4), 1).is_none());
    assert!(store.contains(RDD, 1) && !store.contains(RDD, 0));
}

#[test]
fn the_first_put_wins_and_the_second_takes_no_memory() {
    let (store, memory, _) = store(100);
    assert!(put(&store, (RDD, 0), 10));
    assert!(!put(&store, (RDD, 0), 20));
    assert_eq!((memory.used_bytes(), store.storage_stats(RDD).memory_bytes), (10, 10));
}

#[test]
fn dropping_an_rdd_frees_its_memory_and_leaves_the_others() {
    let (store, memory, _) = store(100);
    assert!((0..3).all(|partition| put(&store, (RDD, partition), 5)));
    assert!(put(&store, (OTHER, 0), 7));
    let kept = StorageStats { parts: 3, rows: 3, memory_bytes: 15, ..StorageStats::default() };
    assert_eq!(store.storage_stats(RDD), kept);
    assert_eq!((store.drop_rdd(RDD), store.drop_rdd(RDD)), (3, 0));
    assert_eq!(store.storage_stats(RDD), StorageStats::default());
    assert_eq!(memory.used_bytes(), 7);
}

#[test]
fn f064_the_least_recently_used_blocks_of_other_rdds_go_first() {
    let (store, _, events) = store(30);
    assert!((0..3).all(|partition| put(&store, (OTHER, partition), 10)));
    drop(store.get(OTHER, 0));
    assert!(put(&store, (RDD, 0), 10));
    assert_eq!((there(&store, OTHER), there(&store, RDD)), (vec![0, 2], vec![0]));
    let gone = Event::BlockEvicted { rdd: OTHER, partition: 1, memory_bytes: 10, file_bytes: 0 };
    assert_eq!(*events.lock().unwrap(), [gone]);
}

#[test]
fn f064_a_put_never_evicts_blocks_of_its_own_rdd() {
    let (store, memory, events) = store(30);
    let stored = (0..9).filter(|partition| put(&store, (RDD, *partition), 10)).count();
    assert_eq!((stored, there(&store, RDD)), (3, vec![0, 1, 2]));
    assert_eq!((memory.used_bytes(), events.lock().unwrap().len()), (30, 0));
}

#[test]
fn f064_a_block_that_is_being_read_is_never_evicted() {
    let (store, _, _) = store(20);
    assert!((0..2).all(|partition| put(&store, (OTHER, partition), 10)));
    let reading = store.get(OTHER, 0);
    assert!(put(&store, (RDD, 0), 10));
    assert_eq!(there(&store, OTHER), [0]);
    assert!(!put(&store, (RDD, 1), 10));
    drop(reading);
    assert!(put(&store, (RDD, 1), 10));
    assert!(there(&store, OTHER).is_empty());
}

#[test]
fn f064_a_block_that_is_too_large_is_refused_and_the_old_ones_stay() {
    let (store, memory, events) = store(30);
    assert!(put(&store, (OTHER, 0), 10) && put(&store, (RDD, 0), 10));
    assert!(!put(&store, (RDD, 1), 31));
    // Larger than what is free and what others hold, though not than the budget.
    assert!(!put(&store, (RDD, 1), 21));
    assert_eq!((there(&store, OTHER), there(&store, RDD)), (vec![0], vec![0]));
    assert_eq!((memory.used_bytes(), events.lock().unwrap().len()), (20, 0));
}

#[test]
fn a_block_that_can_be_written_moves_to_its_file_and_one_that_cannot_be_lost_stays() {
    let (store, memory, events) = store(20);
    let to_file = || EvictOutcome::Moved(Arc::new(InFile));
    assert!(put_leaving(&store, (OTHER, 0), 10, to_file));
    assert!(put_leaving(&store, (OTHER, 1), 10, || EvictOutcome::Stays));
    assert!(put(&store, (RDD, 0), 10));
    assert_eq!(there(&store, OTHER), [0, 1]);
    assert!(store.get(OTHER, 0).unwrap().block().downcast::<InFile>().is_ok());
    let kept = StorageStats {
        parts: 2,
        rows: 2,
        memory_bytes: 10,
        file_bytes: 6,
        ..StorageStats::default()
    };
    assert_eq!((store.storage_stats(OTHER), memory.used_bytes()), (kept, 20));
    let moved = Event::BlockEvicted { rdd: OTHER, partition: 0, memory_bytes: 10, file_bytes: 6 };
    assert_eq!(*events.lock().unwrap(), [moved]);
    assert!(!put(&store, (RDD, 1), 10), "what stays makes no room");
}

#[test]
fn a_block_that_panics_on_its_way_out_is_dropped_and_the_put_succeeds() {
    let (store, _, _) = store(10);
    assert!(put_leaving(&store, (OTHER, 0), 10, || std::panic::resume_unwind(Box::new("no"))));
    assert!(put(&store, (RDD, 0), 10));
    assert!(there(&store, OTHER).is_empty());
}

#[test]
fn blocks_give_way_to_running_work_down_to_half_of_the_budget() {
    let (store, memory, _) = store(40);
    assert!((0..4).all(|partition| put(&store, (RDD, partition), 10)));
    let work = memory.try_reserve(20).unwrap();
    assert_eq!(there(&store, RDD), [2, 3]);
    assert!(memory.try_reserve(1).is_none(), "what is left is the cache's");
    drop(work);
    assert!(memory.try_reserve(21).is_none());
    assert_eq!(there(&store, RDD), [2, 3]);
}

#[test]
fn a_reader_keeps_the_memory_of_a_dropped_block_counted() {
    let (store, memory, _) = store(10);
    assert!(put(&store, (RDD, 0), 10));
    let reading = store.get(RDD, 0).unwrap();
    store.drop_rdd(RDD);
    assert!(!put(&store, (RDD, 1), 1));
    drop(reading);
    assert_eq!(memory.used_bytes(), 0);
}

#[test]
fn f063_a_damaged_block_is_forgotten_and_one_that_took_its_place_is_not() {
    let (store, _, _) = store(10);
    assert!(put(&store, (RDD, 0), 1));
    let damaged = store.get(RDD, 0).unwrap();
    assert!(store.forget(RDD, 0, &damaged) && !store.forget(RDD, 0, &damaged));
    assert!(put(&store, (RDD, 0), 1));
    assert!(!store.forget(RDD, 0, &damaged));
    assert!(store.contains(RDD, 0));
}

#[test]
fn the_store_can_be_used_while_its_values_leave_and_drop() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Curious(Weak<BlockStore>);
    impl Curious {
        fn look(&self) {
            if let Some(store) = self.0.upgrade() {
                assert!(!store.contains(RDD, 5));
            }
        }
    }
    impl Block for Curious {
        fn rows(&self) -> u64 {
            0
        }

        fn leave(&self) -> EvictOutcome {
            self.look();
            EvictOutcome::Dropped
        }
    }
    impl Drop for Curious {
        fn drop(&mut self) {
            self.look();
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (store, _, _) = store(10);
    let put = |place: (RddId, usize)| {
        let held = store.room_for(place.0, 5);
        store.put(place.0, place.1, Arc::new(Curious(Arc::downgrade(&store))), held).1
    };
    assert!(put((RDD, 0)) && !put((RDD, 0)) && put((RDD, 1)));
    assert!(put((OTHER, 0)), "one of the first two leaves");
    store.drop_rdd(RDD);
    store.drop_rdd(OTHER);
    assert_eq!(DROPPED.load(Ordering::SeqCst), 4);
}

#[test]
fn threads_that_put_and_read_at_once_never_pass_the_budget() {
    testkit::within(testkit::DEADLINE, put_and_read_at_once);
}

fn put_and_read_at_once() {
    let (store, memory, _) = store(100);
    std::thread::scope(|scope| {
        for rdd in 0..4 {
            let (store, memory) = (&store, &memory);
            scope.spawn(move || {
                for round in 0..500 {
                    let partition = round % 7;
                    put(store, (RddId(rdd), partition), 5 + round as u64 % 30);
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
fn an_old_block_that_is_too_large_to_go_does_not_keep_smaller_ones_from_it() {
    let (store, memory, _) = store(40);
    assert!(put(&store, (RDD, 0), 25) && put(&store, (RDD, 1), 10));
    // Blocks may go until 20 bytes are left: that is 15, so not the oldest, but the other.
    let work = memory.try_reserve(10);
    assert_eq!((work.is_some(), there(&store, RDD)), (true, vec![0]));
}

#[test]
fn where_old_blocks_do_not_add_up_one_that_makes_the_room_alone_goes() {
    let (store, memory, _) = store(40);
    assert!([8, 14, 12].iter().enumerate().all(|(at, bytes)| put(&store, (RDD, at), *bytes)));
    // 14 of 34 bytes may go, and beside what is free it takes all of them.
    let work = memory.try_reserve(20);
    assert_eq!((work.is_some(), there(&store, RDD)), (true, vec![0, 2]));
    drop(work);
    assert!(memory.try_reserve(21).is_none(), "nothing more may go");
    assert_eq!(there(&store, RDD), [0, 2]);
}

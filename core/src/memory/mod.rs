//! The memory pool of a context. Everything the engine holds between tasks takes a reservation from
//! it, which is freed on drop. The README of this directory explains limits, the task memory limit
//! and eviction.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// The memory pool of a context. A reservation is one atomic addition, made once for a block or
/// segment and never for a row.
pub struct MemoryPool {
    limit: u64,
    used: AtomicU64,
    evictable: OnceLock<Weak<dyn Evictable>>,
}

/// A holder of memory that running work may reclaim: the block store.
pub trait Evictable: Send + Sync {
    /// Frees memory until the pool has `bytes` free, if possible, and returns true if it freed any.
    /// The caller must hold no lock, because eviction runs code of the user.
    fn evict(&self, bytes: u64) -> bool;
}

impl fmt::Debug for MemoryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryPool({} of {} bytes)", self.used_bytes(), self.limit)
    }
}

/// Bytes taken from a memory pool.
#[derive(Debug)]
pub struct Reservation {
    pool: Arc<MemoryPool>,
    bytes: u64,
}

impl MemoryPool {
    /// Returns a pool of `limit` bytes without reservations.
    pub fn new(limit: u64) -> Self {
        MemoryPool { limit, used: AtomicU64::new(0), evictable: OnceLock::new() }
    }

    /// Registers the evictable holder of memory. Later calls are ignored.
    pub fn set_evictable(&self, holder: Weak<dyn Evictable>) {
        let _ = self.evictable.set(holder);
    }

    /// Reserves `bytes` for running work, and evicts blocks if the pool is full. Returns `None` if
    /// the limit would still be exceeded; the caller then writes to disk. It never waits.
    ///
    /// The caller must hold no lock, because eviction runs code of the user.
    pub fn try_reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        self.try_reserve_free(bytes).or_else(|| {
            let holder = self.evictable.get()?.upgrade()?;
            holder.evict(bytes).then(|| self.try_reserve_free(bytes))?
        })
    }

    /// Reserves `bytes` of the free memory, without eviction.
    pub fn try_reserve_free(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let take = |used: u64| used.checked_add(bytes).filter(|after| *after <= self.limit);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).ok()?;
        Some(Reservation { pool: Arc::clone(self), bytes })
    }

    /// Reserves `bytes` that cannot be written to disk, even beyond the limit. Blocks are evicted
    /// for them, and running work gets less.
    ///
    /// The caller must hold no lock, because eviction runs code of the user.
    pub fn reserve_needed(self: &Arc<Self>, bytes: u64) -> Reservation {
        self.try_reserve(bytes).unwrap_or_else(|| {
            self.used.fetch_add(bytes, Ordering::AcqRel);
            Reservation { pool: Arc::clone(self), bytes }
        })
    }

    /// Returns the size of the pool in bytes.
    pub fn limit_bytes(&self) -> u64 {
        self.limit
    }

    /// Returns the reserved bytes.
    pub fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }
}

impl Reservation {
    /// Returns the size of the reservation in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds the bytes of another reservation of the same pool.
    pub fn join(&mut self, mut other: Reservation) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Frees all bytes beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let freed = self.bytes.saturating_sub(bytes);
        self.bytes -= freed;
        self.pool.used.fetch_sub(freed, Ordering::AcqRel);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_reservation_beyond_the_limit_is_refused_and_takes_nothing() {
        let pool = Arc::new(MemoryPool::new(10));
        let held = pool.try_reserve(7).unwrap();
        assert!(pool.try_reserve(4).is_none());
        assert!(pool.try_reserve(u64::MAX).is_none());
        assert_eq!(pool.used_bytes(), 7);
        drop(held);
        assert_eq!(pool.used_bytes(), 0);
    }

    #[test]
    fn reservations_join_and_shrink_without_losing_a_byte() {
        let pool = Arc::new(MemoryPool::new(10));
        let mut held = pool.try_reserve(3).unwrap();
        held.join(pool.try_reserve(4).unwrap());
        assert_eq!((held.bytes(), pool.used_bytes()), (7, 7));
        held.shrink_to(5);
        held.shrink_to(9);
        assert_eq!((held.bytes(), pool.used_bytes()), (5, 5));
        drop(held);
        assert_eq!(pool.used_bytes(), 0);
    }

    #[test]
    fn needed_bytes_are_reserved_beyond_the_limit_and_then_nothing_else_is() {
        let pool = Arc::new(MemoryPool::new(10));
        let needed = pool.reserve_needed(25);
        assert!(pool.try_reserve(1).is_none());
        assert_eq!((needed.bytes(), pool.used_bytes()), (25, 25));
        drop(needed);
        assert!(pool.try_reserve(10).is_some());
    }

    #[test]
    fn running_work_evicts_and_a_free_reservation_does_not() {
        struct Holder(Mutex<Option<Reservation>>);
        impl Evictable for Holder {
            fn evict(&self, _: u64) -> bool {
                self.0.lock().unwrap().take().is_some()
            }
        }
        let pool = Arc::new(MemoryPool::new(10));
        let holder = Arc::new(Holder(Mutex::new(pool.try_reserve(8))));
        let weak = Arc::downgrade(&holder);
        pool.set_evictable(weak);
        assert!(pool.try_reserve_free(5).is_none());
        let held = pool.try_reserve(5).unwrap();
        assert!(pool.try_reserve(6).is_none());
        drop(holder);
        assert!(pool.try_reserve(6).is_none());
        assert_eq!(pool.used_bytes(), held.bytes());
    }
}

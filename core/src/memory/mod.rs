//! One memory budget for everything the engine holds. A reservation is freed when it drops.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// The budget of one context. Reserving is an atomic add, done once a block or segment, never once
/// a row.
pub struct MemoryPool {
    limit: u64,
    used: AtomicU64,
    gives_way: OnceLock<Weak<dyn Evictable>>,
}

/// What holds memory that running work may have instead: the cache.
pub trait Evictable: Send + Sync {
    /// Frees memory until the budget has room for `bytes`, if that is possible; says whether it freed
    /// any. Never called with a lock of the caller held, since it runs the user's code.
    fn evict(&self, bytes: u64) -> bool;
}

impl fmt::Debug for MemoryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryPool({} of {} bytes)", self.used_bytes(), self.limit)
    }
}

/// A part of the budget that someone holds.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<MemoryPool>,
    bytes: u64,
}

impl MemoryPool {
    /// A budget of `limit` bytes with nothing taken.
    pub fn new(limit: u64) -> Self {
        MemoryPool { limit, used: AtomicU64::new(0), gives_way: OnceLock::new() }
    }

    /// Names what gives way to running work. Only the first call counts.
    pub fn set_evictable(&self, holder: Weak<dyn Evictable>) {
        let _ = self.gives_way.set(holder);
    }

    /// Takes `bytes` for running work, or nothing if that would pass the limit even after the cache
    /// gave way. Whoever gets nothing writes to disk: it never waits.
    ///
    /// No lock may be held here: what gives way runs the user's code.
    pub fn try_reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        self.try_reserve_free(bytes).or_else(|| {
            let holder = self.gives_way.get()?.upgrade()?;
            holder.evict(bytes).then(|| self.try_reserve_free(bytes))?
        })
    }

    /// Takes `bytes` of what is free now, or nothing.
    pub fn try_reserve_free(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let take = |used: u64| used.checked_add(bytes).filter(|after| *after <= self.limit);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).ok()?;
        Some(Reservation { budget: Arc::clone(self), bytes })
    }

    /// What can be taken at most, in bytes.
    pub fn limit_bytes(&self) -> u64 {
        self.limit
    }

    /// What is taken now, in bytes.
    pub fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }
}

impl Reservation {
    /// How much is held, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds what `other` holds of the same budget.
    pub fn join(&mut self, mut other: Reservation) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Gives back what is held beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let beyond = self.bytes.saturating_sub(bytes);
        self.bytes -= beyond;
        self.budget.used.fetch_sub(beyond, Ordering::AcqRel);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_reservation_past_the_limit_is_refused_and_takes_nothing() {
        let budget = Arc::new(MemoryPool::new(10));
        let held = budget.try_reserve(7).unwrap();
        assert!(budget.try_reserve(4).is_none());
        assert!(budget.try_reserve(u64::MAX).is_none());
        assert_eq!(budget.used_bytes(), 7);
        drop(held);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn reservations_join_and_shrink_without_losing_a_byte() {
        let budget = Arc::new(MemoryPool::new(10));
        let mut held = budget.try_reserve(3).unwrap();
        held.join(budget.try_reserve(4).unwrap());
        assert_eq!((held.bytes(), budget.used_bytes()), (7, 7));
        held.shrink_to(5);
        held.shrink_to(9);
        assert_eq!((held.bytes(), budget.used_bytes()), (5, 5));
        drop(held);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn running_work_is_given_room_and_a_free_reservation_is_not() {
        struct Holder(Mutex<Option<Reservation>>);
        impl Evictable for Holder {
            fn evict(&self, _: u64) -> bool {
                self.0.lock().unwrap().take().is_some()
            }
        }
        let budget = Arc::new(MemoryPool::new(10));
        let holder = Arc::new(Holder(Mutex::new(budget.try_reserve(8))));
        let weak = Arc::downgrade(&holder);
        budget.set_evictable(weak);
        assert!(budget.try_reserve_free(5).is_none());
        let held = budget.try_reserve(5).unwrap();
        assert!(budget.try_reserve(6).is_none());
        drop(holder);
        assert!(budget.try_reserve(6).is_none());
        assert_eq!(budget.used_bytes(), held.bytes());
    }
}

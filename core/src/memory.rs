//! One memory budget for everything the engine holds. A reservation is freed when it drops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The budget of one context. Reserving is an atomic add, done once a block or segment, never once
/// a row.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: u64,
    used: AtomicU64,
}

/// A part of the budget that someone holds.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: u64,
}

impl MemoryBudget {
    /// A budget of `limit` bytes with nothing taken.
    pub fn new(limit: u64) -> Self {
        MemoryBudget { limit, used: AtomicU64::new(0) }
    }

    /// Takes `bytes`, or nothing if that would pass the limit.
    pub fn try_reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let take = |used: u64| used.checked_add(bytes).filter(|after| *after <= self.limit);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).ok()?;
        Some(Reservation { budget: Arc::clone(self), bytes })
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
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_past_the_limit_is_refused_and_takes_nothing() {
        let budget = Arc::new(MemoryBudget::new(10));
        let held = budget.try_reserve(7).unwrap();
        assert!(budget.try_reserve(4).is_none());
        assert!(budget.try_reserve(u64::MAX).is_none());
        assert_eq!(budget.used_bytes(), 7);
        drop(held);
        assert_eq!(budget.used_bytes(), 0);
    }
}

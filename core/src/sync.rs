//! The locks of the engine. All locks of core, shuffle and rdd are these; a house rule forbids others.
//!
//! No user code runs while an engine lock is held: a closure, or a method such as `Clone`, `Hash` or
//! `Drop` of a row, may call back into the context, and would wait for its own thread. In debug
//! builds each thread counts the locks that it holds. Tests run row types that check in every method
//! that [`held_locks`] is zero.
//!
//! A lock is never poisoned: a panic inside the engine leaves data that is consistent between two
//! statements, and panics of users are caught outside of locks.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{self, PoisonError};
use std::time::Duration;

/// A mutual exclusion lock that is never poisoned.
#[derive(Default)]
pub struct Mutex<T: ?Sized>(sync::Mutex<T>);

/// The right to use the value of a [`Mutex`], until it is dropped.
#[must_use = "the lock is released when the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    guard: sync::MutexGuard<'a, T>,
    count: LockCount,
}

impl<T> Mutex<T> {
    /// Returns an unlocked lock of `value`.
    pub const fn new(value: T) -> Self {
        Mutex(sync::Mutex::new(value))
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock and takes it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        MutexGuard { guard, count: LockCount::one() }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let guard = match self.0.try_lock() {
            Ok(guard) => guard,
            Err(sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(sync::TryLockError::WouldBlock) => return None,
        };
        Some(MutexGuard { guard, count: LockCount::one() })
    }

    /// Returns the value, which no other thread can use.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    /// Writes no value: its `Debug` may be code of the user, and would run under the lock.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// A condition that threads wait for while they release a [`Mutex`].
#[derive(Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// Returns a condition without waiting threads.
    pub const fn new() -> Self {
        Condvar(sync::Condvar::new())
    }

    /// Wakes one waiting thread.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all waiting threads.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Releases the lock, waits for a notification, and takes the lock again. It may also return
    /// without a notification.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let MutexGuard { guard, count } = guard;
        let guard = self.0.wait(guard).unwrap_or_else(PoisonError::into_inner);
        MutexGuard { guard, count }
    }

    /// Waits like [`wait`](Condvar::wait), at most for `timeout`. Returns true if the time is over.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let MutexGuard { guard, count } = guard;
        let waited = self.0.wait_timeout(guard, timeout);
        let (guard, result) = waited.unwrap_or_else(PoisonError::into_inner);
        (MutexGuard { guard, count }, result.timed_out())
    }
}

/// Returns the number of engine locks that this thread holds. It is always zero in release builds.
pub fn held_locks() -> usize {
    counting::held_locks()
}

use counting::LockCount;

#[cfg(debug_assertions)]
mod counting {
    use std::cell::Cell;
    use std::marker::PhantomData;

    thread_local! {
        static HELD: Cell<usize> = const { Cell::new(0) };
    }

    /// Counts one held lock of this thread, until it is dropped on the same thread.
    pub(super) struct LockCount(PhantomData<*const ()>);

    impl LockCount {
        pub fn one() -> LockCount {
            HELD.set(HELD.get() + 1);
            LockCount(PhantomData)
        }
    }

    impl Drop for LockCount {
        fn drop(&mut self) {
            HELD.set(HELD.get() - 1);
        }
    }

    pub(super) fn held_locks() -> usize {
        HELD.get()
    }
}

#[cfg(not(debug_assertions))]
mod counting {
    /// Counts nothing in release builds.
    pub(super) struct LockCount;

    impl LockCount {
        pub fn one() -> LockCount {
            LockCount
        }
    }

    pub(super) fn held_locks() -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_counts_the_locks_that_it_holds() {
        testkit::within(testkit::DEADLINE, || {
            let first = Mutex::new(1);
            let second = Mutex::new(2);
            let outer = first.lock();
            let inner = second.try_lock().expect("the lock is free");
            assert_eq!((held_locks(), *outer + *inner), (2, 3));
            assert!(second.try_lock().is_none());
            std::thread::scope(|scope| scope.spawn(|| assert_eq!(held_locks(), 0)).join().unwrap());
            drop(outer);
            assert_eq!(held_locks(), 1);
            let (inner, has_timed_out) =
                Condvar::new().wait_timeout(inner, Duration::from_millis(1));
            assert!(has_timed_out || *inner == 2);
            drop(inner);
            assert_eq!(held_locks(), 0);
        });
    }

    #[test]
    fn a_panic_does_not_poison_a_lock() {
        let lock = Mutex::new(1);
        let panic = std::panic::AssertUnwindSafe(|| {
            let _guard = lock.lock();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(std::panic::catch_unwind(panic).is_err());
        let value = *lock.lock();
        assert_eq!((value, held_locks()), (1, 0));
    }
}

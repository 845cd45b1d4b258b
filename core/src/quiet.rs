//! Values of users that are dropped where they are of no use any more: handles, stored rows, closures
//! of finished jobs.
//!
//! A destructor of a user may panic. The job that used the value has ended, so there is no result
//! that could be wrong and no caller that could handle the error; the panic hook has reported it.
//! Passing it on would skip the destructors of the engine that run after it, and would abort the
//! process if the thread is unwinding already.
//!
//! A destructor that panics while the same value is already unwinding aborts the process: that is a
//! rule of Rust (see `docs/limits.md`).

use std::fmt::Display;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A value whose destructor may panic without an effect on the owner.
pub struct Quiet<T>(Option<T>);

impl<T> Quiet<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Quiet(Some(value))
    }
}

impl<T> Deref for Quiet<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_ref().expect("the value is there until it is dropped")
    }
}

impl<T> Drop for Quiet<T> {
    fn drop(&mut self) {
        drop_quietly(self.0.take());
    }
}

/// Returns the text of a value of the user, or a remark if its `Display` implementation panics or
/// returns an error.
pub fn text_of(value: &(impl Display + ?Sized)) -> String {
    catch_unwind(AssertUnwindSafe(|| value.to_string())).unwrap_or_else(|payload| {
        drop_quietly(payload);
        "(its Display implementation panicked)".into()
    })
}

/// Drops a value of the user, whose destructor may panic.
pub fn drop_quietly<T>(value: T) {
    if std::mem::needs_drop::<T>() {
        let mut value = Some(value);
        catch_drop(&mut || drop(value.take()));
    }
}

/// Calls `drop_value` and ignores a panic. It is not generic, since it would be compiled again for
/// each type of a program.
fn catch_drop(drop_value: &mut dyn FnMut()) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(drop_value)) else { return };
    // The payload is a value of the user as well.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    struct Panics(#[expect(dead_code, reason = "dropped after the panic")] Arc<()>);

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    #[test]
    fn a_quiet_value_is_freed_although_its_destructor_panics() {
        let shared = Arc::new(());
        let quiet = Quiet::new(Panics(Arc::clone(&shared)));
        assert_eq!(Arc::strong_count(&shared), 2);
        drop(quiet);
        assert_eq!(Arc::strong_count(&shared), 1);
    }

    #[test]
    fn a_payload_that_panics_in_its_own_destructor_is_caught_too() {
        struct Throws(Arc<()>);
        impl Drop for Throws {
            fn drop(&mut self) {
                std::panic::panic_any(Panics(Arc::clone(&self.0)));
            }
        }
        let shared = Arc::new(());
        drop_quietly(Throws(Arc::clone(&shared)));
        assert_eq!(Arc::strong_count(&shared), 1);
    }

    #[test]
    fn a_value_is_dropped_quietly_while_the_thread_unwinds() {
        let shared = Arc::new(());
        let owner = Arc::clone(&shared);
        let unwinds = move || {
            let _quiet = Quiet::new(Panics(owner));
            panic!("first");
        };
        assert!(catch_unwind(AssertUnwindSafe(unwinds)).is_err());
        assert_eq!(Arc::strong_count(&shared), 1);
    }
}

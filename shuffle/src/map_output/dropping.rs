//! Dropping what nobody reads any more, on several threads if there is much of it.

use super::{MapOutput, MapOutputs};
use emberline_core::size::owns_heap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::vec;

/// With fewer rows that own memory it is not worth a thread.
const MANY_ROWS: u64 = 1 << 17;

/// Outputs that wait to be dropped.
type Queue<R> = Mutex<vec::IntoIter<Arc<MapOutput<R>>>>;

impl<R: Send + Sync> MapOutputs<R> {
    /// Drops the outputs, if these are the last hands on them: millions of strings take one thread as
    /// long as a stage. It has happened when this returns.
    pub fn drop_on(&mut self, threads: usize) {
        let Some(slots) = Arc::get_mut(&mut self.slots) else { return };
        let taken = slots
            .iter_mut()
            .filter_map(|slot| slot.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        let outputs: Vec<_> = taken.collect();
        let rows: u64 = outputs.iter().map(|output| output.rows()).sum();
        let helpers =
            if owns_heap::<R>() && rows >= MANY_ROWS { threads.saturating_sub(1) } else { 0 };
        drop_with(helpers, Mutex::new(outputs.into_iter()));
    }
}

fn drop_with<R: Send + Sync>(helpers: usize, queue: Queue<R>) {
    thread::scope(|scope| {
        let help = |_| thread::Builder::new().spawn_scoped(scope, || drop_all(&queue)).ok();
        let helping: Vec<_> = (0..helpers).filter_map(help).collect();
        drop_all(&queue);
        for helper in helping {
            // A row that panics when it is dropped does so for the caller.
            if let Err(panic) = helper.join()
                && !thread::panicking()
            {
                resume_unwind(panic);
            }
        }
    });
}

fn drop_all<R>(queue: &Queue<R>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        if next.is_none() {
            return;
        }
    }
}

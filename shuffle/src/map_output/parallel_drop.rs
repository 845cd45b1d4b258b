//! Drops outputs that are no longer read, on several threads if they have many rows: dropping
//! millions of strings takes one thread as long as a stage.

use super::output::{OutputTable, UntypedOutput};
use emberline_core::quiet::drop_quietly;
use emberline_core::size::owns_heap;
use emberline_core::sync::Mutex;
use std::sync::Arc;
use std::thread;
use std::vec;

/// The fewest rows that own memory for which a second thread pays off.
const MIN_PARALLEL_ROWS: usize = 1 << 17;

/// Outputs to be dropped.
type Queue = Mutex<vec::IntoIter<Arc<UntypedOutput>>>;

/// Drops the outputs of `table` if it is the last handle to them, on up to `threads` threads. They
/// are dropped when this returns.
pub(super) fn drop_on<R>(table: &mut OutputTable, threads: usize) {
    drop_outputs(table, if owns_heap::<R>() { threads } else { 1 });
}

fn drop_outputs(table: &mut OutputTable, threads: usize) {
    let Some(slots) = Arc::get_mut(&mut table.slots) else { return };
    let taken = slots.iter_mut().filter_map(|slot| slot.get_mut().take());
    let outputs: Vec<_> = taken.collect();
    let rows: usize = outputs.iter().map(|output| output.rows_in_memory()).sum();
    let threads = if rows >= MIN_PARALLEL_ROWS { threads.min(outputs.len()) } else { 1 };
    let helpers = threads.saturating_sub(1);
    drop_with(helpers, Mutex::new(outputs.into_iter()));
}

fn drop_with(helpers: usize, queue: Queue) {
    thread::scope(|scope| {
        let help = |_| thread::Builder::new().spawn_scoped(scope, || drop_all(&queue)).ok();
        let helping: Vec<_> = (0..helpers).filter_map(help).collect();
        drop_all(&queue);
        drop(helping);
    });
}

fn drop_all(queue: &Queue) {
    loop {
        let Some(next) = queue.lock().next() else { return };
        drop_quietly(next);
    }
}

#[cfg(test)]
mod tests {
    use crate::map_output::output::MapOutputs;
    use crate::map_output::writer::MapWriter;
    use emberline_core::config::Config;
    use emberline_core::task::TaskContext;
    use serde::{Deserialize, Serialize};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use testkit::{DEADLINE, within};

    static DROPPED: AtomicUsize = AtomicUsize::new(0);

    /// A row that counts its end; number 7 panics there.
    #[derive(Clone, Serialize, Deserialize)]
    struct Mortal(u64);

    impl Drop for Mortal {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            assert!(self.0 != 7, "row 7 panics when it is dropped");
        }
    }

    #[test]
    fn all_rows_are_dropped_when_it_returns_although_one_panics() {
        within(DEADLINE, || {
            const ROWS: u64 = 60_000;
            let task = TaskContext::for_test(Config::default());
            let mut outputs = MapOutputs::new(4);
            for map in 0..4 {
                let mut writer = MapWriter::new(2, &task);
                let rows = map * ROWS + 10..(map + 1) * ROWS + 10;
                rows.for_each(|n| {
                    writer.push((n % 2) as usize, Mortal(if n == 100_000 { 7 } else { n }));
                });
                assert!(outputs.put(map as usize, writer.finish().unwrap()).is_ok());
            }
            let held = outputs.clone();
            outputs.drop_on(3);
            assert_eq!(DROPPED.load(Ordering::Relaxed), 0, "someone else may read them");
            drop(held);
            outputs.drop_on(3);
            assert_eq!(DROPPED.load(Ordering::Relaxed) as u64, 4 * ROWS);
            assert_eq!(task.memory.used_bytes(), 0);
        });
    }
}

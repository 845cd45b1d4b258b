//! The size limit of the values of one key that are collected into a `Vec`.

use emberline_core::bounds::Stored;
use emberline_core::error::{Error, ErrorKind};
use emberline_core::operation::Operation;
use emberline_core::size::{heap_bytes, owns_heap};
use emberline_core::unwind::raise;
use emberline_shuffle::Group;

/// Collects the values of a key. Raises `GroupTooLarge`, which names the `streaming` operation to
/// use instead, if they exceed the task memory limit.
pub(super) fn collect_group<V: Stored>(
    operation: Operation,
    task_memory_limit_bytes: u64,
    group: Group<V>,
    streaming: &'static str,
) -> Vec<V> {
    let rows = group.len();
    let too_large = || {
        raise(
            Error::new(ErrorKind::GroupTooLarge { rows, task_memory_limit_bytes, streaming })
                .in_operation(operation),
        )
    };
    let mut bytes = (rows * size_of::<V>()) as u64;
    if bytes > task_memory_limit_bytes {
        too_large();
    }
    if !owns_heap::<V>() {
        return group.into_iter().collect();
    }
    let mut values = Vec::with_capacity(rows);
    for value in group {
        bytes = bytes.saturating_add(heap_bytes(&value));
        if bytes > task_memory_limit_bytes {
            too_large();
        }
        values.push(value);
    }
    values
}

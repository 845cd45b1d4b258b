//! What limits the lists of one key that operations hand out whole.

use emberline_core::error::{Error, ErrorKind};
use emberline_core::step::{Step, raise};
use emberline_shuffle::Group;

/// The values of a key as a list, unless their rows alone pass a task's share: then the error names
/// the operation that streams them.
pub(super) fn into_list<V: Clone>(
    step: Step,
    share_bytes: u64,
    group: Group<V>,
    streaming: &'static str,
) -> Vec<V> {
    let rows = group.len();
    if (rows * size_of::<V>()) as u64 > share_bytes {
        raise(Error::new(ErrorKind::GroupTooLarge { rows, share_bytes, streaming }).in_step(step));
    }
    group.into_iter().collect()
}

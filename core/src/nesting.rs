//! The depth of values in rows. Serializing and deserializing a value that contains values recurses,
//! in the user's code and in ours, so our serializers count the levels and refuse a row with too
//! many, before the stack overflows.
//!
//! A level is opened by each sequence, map, tuple and struct, by `Some`, by a newtype, and by a
//! variant with fields. So a node of a linked list (`struct Node { next: Option<Box<Node>> }`) takes
//! two. `Box` and `Arc` are not seen.
//!
//! A row is first read with a limit of `SHALLOW_LEVELS`, for which any stack has room. A deeper
//! row fails, and is read again on a stack of its own, where [`MAX_LEVELS`] have room in a debug
//! build too. So a row of ordinary depth never pays for a look at the stack.

use crate::error::{Error, ErrorKind};

/// The maximum number of levels of a row that is measured, encoded or decoded.
///
/// Methods of the user that recurse, such as `Clone` and `Drop`, run on the stack of their caller,
/// so the limit is one at which derived ones need less than the 2 MiB of a thread of std.
pub const MAX_LEVELS: u32 = 2048;

/// The number of levels for which the stack of any caller has room.
pub(crate) const SHALLOW_LEVELS: u32 = 64;

/// The stack for [`MAX_LEVELS`] levels of 32 KiB. Its pages are allocated when they are used.
const DEEP_STACK_BYTES: usize = 64 << 20;

/// Runs `call` with enough stack for [`MAX_LEVELS`].
#[cold]
pub(crate) fn on_deep_stack<R>(call: impl FnOnce() -> R) -> R {
    stacker::grow(DEEP_STACK_BYTES, call)
}

/// Returns the error of a row of the type `type_name` with more than [`MAX_LEVELS`].
#[cold]
pub(crate) fn too_deep(type_name: String) -> Error {
    let what = format!(
        "a row is nested more than {MAX_LEVELS} levels deep: replace links between values by a `Vec` \
         of them and indexes into it"
    );
    Error::new(ErrorKind::NotEncodable { type_name, what })
}

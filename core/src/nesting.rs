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

/// The stack that a caller leaves to code that measures, encodes or decodes rows.
pub const MIN_STACK_BYTES: usize = 256 << 10;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec, size};
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct List {
        name: String,
        number: u128,
        next: Option<Box<List>>,
    }

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    enum Tree {
        Leaf(String),
        Branch { name: String, children: Vec<Tree> },
        Named(BTreeMap<String, Tree>),
    }

    fn list(levels: u32) -> List {
        (0..levels / 2).fold(List { name: "end".into(), number: 0, next: None }, |next, number| {
            List { name: "node".into(), number: number.into(), next: Some(Box::new(next)) }
        })
    }

    fn tree(levels: u32) -> Tree {
        (0..levels / 2).fold(Tree::Leaf("leaf".into()), |child, number| match number % 2 {
            0 => Tree::Branch { name: "branch".into(), children: vec![child] },
            _ => Tree::Named(BTreeMap::from([("name".into(), child)])),
        })
    }

    fn comes_back<T: Serialize + DeserializeOwned + Debug + PartialEq>(row: &T) {
        assert!(size::measure(row).heap_bytes > 0);
        let mut bytes = Vec::new();
        codec::encode_into(row, &mut bytes).unwrap();
        assert_eq!(&codec::decode_rows::<T>(&bytes, 1).unwrap()[0], row);
    }

    #[test]
    fn rows_of_shallow_levels_need_half_of_the_stack_that_boxed_pipelines_leave() {
        // The other half is for frames between the pipeline and the row, and for larger rows.
        testkit::on_stack(MIN_STACK_BYTES / 2, || {
            for levels in [2, SHALLOW_LEVELS / 2, SHALLOW_LEVELS, SHALLOW_LEVELS + 2] {
                comes_back(&list(levels));
                comes_back(&tree(levels));
            }
        });
    }
}

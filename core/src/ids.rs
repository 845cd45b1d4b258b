//! Newtype ids. A partition is a plain `usize` named `partition`; a number of partitions is named
//! `partitions`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $word:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($word, " {}"), self.0)
            }
        }
    };
}

id!(
    /// The id of a lineage node.
    RddId, "rdd"
);
id!(
    /// The id of a shuffle.
    ShuffleId, "shuffle"
);
id!(
    /// The id of a job: the work of one action.
    JobId, "job"
);
id!(
    /// The id of a stage.
    StageId, "stage"
);
id!(
    /// The id of one attempt of a task.
    TaskId, "task"
);

/// A counter of increasing numbers. A context has one for each type of id.
#[derive(Debug, Default)]
pub struct IdCounter(AtomicU64);

impl IdCounter {
    /// Returns the next number, counted from 0.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

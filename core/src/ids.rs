//! Names of things, as numbers that cannot be mixed up. A partition is a plain `usize` called
//! `partition`; a number of partitions is called `partitions`.

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
    /// One node of the lineage.
    RddId, "rdd"
);
id!(
    /// One shuffle: the move of rows between two stages.
    ShuffleId, "shuffle"
);
id!(
    /// One job: the work of one action.
    JobId, "job"
);
id!(
    /// One stage: the tasks between two shuffles.
    StageId, "stage"
);
id!(
    /// One attempt of one task.
    TaskId, "task"
);

/// Hands out increasing numbers, one counter for each context.
#[derive(Debug, Default)]
pub struct IdCounter(AtomicU64);

impl IdCounter {
    /// The next number, from 0 up.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

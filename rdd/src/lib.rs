//! The RDD layer of emberline: handles, sources, operations and actions.
//!
//! An operation adds a node to the lineage, and an action passes the last node to the engine
//! (`emberline-core`). Programs use the crate `emberline`. The modules follow the data: a `source`
//! makes an RDD; `narrow` operations compute a partition from the same partition of the parent in
//! one loop; `keyed` operations move rows between partitions; an `action` runs a job.

#![deny(missing_docs)]

pub mod accumulator;
mod action;
pub mod bounds;
mod checkpoint;
mod context;
mod display;
mod driver;
pub mod explain;
mod jobs;
mod keyed;
mod narrow;
mod partitioner;
mod persist;
pub mod pipeline;
pub mod prelude;
mod random;
mod rdd;
pub mod report;
pub mod source;
pub mod table;

pub use accumulator::Accumulator;
pub use action::Stats;
pub use context::{Context, ContextBuilder};
pub use error::{BoxError, Error, ErrorKind, Result};
pub use group::Group;
pub use job::JobHandle;
pub use partition::{Partitioner, Partitioning};
pub use persist::StorageLevel;
pub use rdd::Rdd;
pub use source::Text;
pub use table::AsTable;

pub mod config {
    //! Types and limits of the settings of [`ContextBuilder`](crate::ContextBuilder).

    pub use emberline_core::config::{Compression, MAX_PARTITIONS, Speculation};
}

pub mod disk {
    //! The filesystem of a context, for [`ContextBuilder::disk`](crate::ContextBuilder::disk).

    pub use emberline_core::disk::{Access, Disk, DiskReader, DiskWriter, FaultyDisk, RealDisk};
}

pub mod error {
    //! Errors: their kinds, and the operation, call site and attempt that they name.

    pub use emberline_core::error::{BoxError, Error, ErrorKind, Result, TaskAttemptId};
    pub use emberline_core::operation::{CallSite, Operation};
}

pub mod event {
    //! Events that a context sends to its listeners
    //! ([`ContextBuilder::listener`](crate::ContextBuilder::listener)).

    pub use emberline_core::event::{
        EVENT_VERSION, Event, EventRecord, Listener, StageInfo, TaskMetrics,
    };
}

pub mod fault {
    //! Fault injection for tests, by [`ContextBuilder::faults`](crate::ContextBuilder::faults).

    pub use emberline_core::faults::{Damage, FailPoint, FaultPlan, Faults};
}

pub mod group {
    //! Groups whose values are iterated and may be larger than memory
    //! ([`Rdd::group_by_key_iter`](crate::Rdd::group_by_key_iter)).

    pub use emberline_shuffle::{Group, GroupIter, GroupValues};
}

pub mod id {
    //! Ids of jobs, stages, tasks, shuffles and RDDs, as events and fault plans use them.

    pub use emberline_core::ids::{JobId, RddId, ShuffleId, StageId, TaskId};
}

pub mod job {
    //! Jobs in the background ([`Context::spawn`](crate::Context::spawn)) and abandoned tasks.

    pub use crate::jobs::JobHandle;
    pub use emberline_core::job::Progress;
    pub use emberline_core::runner::AbandonedTask;
}

pub mod partition {
    //! Partitioners, and the view [`WithPartitions`] that sets the partitions of one operation.

    pub use crate::keyed::WithPartitions;
    pub use emberline_shuffle::{HashPartitioner, Partitioner, Partitioning};
}

//! The RDDs of emberline. This crate describes work it does not run: every operation makes a node
//! that remembers its parents; only an action hands the last node to the engine.
//!
//! In the order of the data: [`Context`] makes an RDD from a `source`; `narrow` steps compute a
//! partition from the same partition of a parent and fuse into one loop; `keyed` steps move rows
//! between partitions; an `action` asks for a result.
//!
//! Users meet all of it through the `emberline` crate.

#![deny(missing_docs)]

pub mod faults {
    //! What goes wrong on purpose, for tests and for teaching: a [`FaultPlan`] is given to
    //! [`ContextBuilder::faults`](crate::ContextBuilder::faults), and the engine inflicts it on the real thing.
    pub use emberline_core::faults::{Damage, FailPoint, FaultPlan, Faults};
}

mod accumulator;
mod action;
mod boxed;
mod checkpoint;
mod context;
mod display;
mod explain;
mod held;
mod jobs;
mod keyed;
mod narrow;
mod partitioner;
mod persist;
mod pipeline;
pub mod prelude;
mod random;
mod rdd;
mod report;
mod source;
mod table;

pub use accumulator::{Accumulate, Accumulator};
pub use action::{RunningStats, Stats};
pub use boxed::Boxed;
pub use context::{Context, ContextBuilder};
pub use emberline_core::bounds::{Key, Stored};
pub use emberline_core::config::{Compression, Speculation};
pub use emberline_core::disk;
pub use emberline_core::error::{BoxError, Error, ErrorKind, Result, TaskAttemptId};
pub use emberline_core::event::{
    EVENT_VERSION, Event, EventRecord, Listener, StageInfo, TaskMetrics,
};
pub use emberline_core::ids::{JobId, RddId, ShuffleId, StageId, TaskId};
pub use emberline_core::job::Progress;
pub use emberline_core::operation::{CallSite, Operation};
pub use emberline_core::runner::AbandonedTask;
pub use emberline_shuffle::{
    Group, GroupIter, GroupValues, HashPartitioner, Partitioner, Partitioning,
};
pub use explain::Explain;
pub use jobs::JobHandle;
pub use narrow::{Out, Refs, RefsWith, With};
pub use persist::StorageLevel;
pub use pipeline::{Element, Fused, Pipeline};
pub use rdd::Rdd;
pub use report::{JobReport, StageReport};
pub use source::{RangeItem, TextPaths};
pub use table::{AsTable, Table};

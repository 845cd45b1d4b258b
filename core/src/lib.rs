//! The engine of emberline. It schedules work that it cannot read: it knows lineage, stages, tasks,
//! blocks and files, and no row types.
//!
//! An action passes a [`job::JobRequest`] to the [`engine`]. The [`scheduler`] divides its
//! [`lineage`] into stages, and the [`runner`] runs their tasks on threads of its own. Everything that
//! happens is an [`event`].
//!
//! # Plan: what an action requests
//!
//! - [`lineage`]: the untyped graph of nodes from which any partition can be recomputed.
//! - [`operation`]: operations of the user's program and their call sites.
//! - [`job`]: the request of an action and the progress of its job.
//! - [`ids`]: newtype ids of nodes, shuffles, jobs, stages and tasks.
//! - [`bounds`]: the trait bounds of rows and keys.
//!
//! # Run: how tasks are executed
//!
//! - [`engine`]: the threads of a context, cancellation, spawned closures, delivery of events.
//! - [`scheduler`]: the state machine of jobs, stages and attempts, without threads or clock.
//! - [`runner`]: runs tasks and replaces stuck threads.
//! - `workers`: the threads of tasks and their queue.
//! - `threads`: starts threads, and reports those that cannot be started.
//! - [`task`]: the context of a running task: memory limits and cancellation checks.
//! - [`attempt`]: the cancellation flag and the commit right of a task attempt.
//! - [`unwind`]: attribution of panics, and errors that unwind out of an iteration.
//! - [`exclusive`]: work that one thread at a time runs without a lock.
//! - [`quiet`]: values of users whose destructors may panic without an effect.
//!
//! # Store: memory and files
//!
//! - [`memory`]: the memory pool and its reservations.
//! - [`block_store`]: the partitions of persisted RDDs, and their eviction.
//! - [`scratch`]: scratch directories, scratch files, orphans and the quota.
//! - [`files`]: paths, listings, and regular files that are read as they were listed.
//! - [`disk`]: all file system access, real or with injected faults.
//! - [`codec`]: encoding of rows to bytes.
//! - [`size`]: estimates of the memory size of rows.
//! - [`shape`]: the shape of a row type, for files that outlive the program.
//! - [`nesting`]: the maximum depth of values in rows.
//!
//! # Report: what users see, and settings
//!
//! - [`error`]: the error type.
//! - [`event`]: events as data, and task metrics.
//! - [`counters`]: the metrics of a running task.
//! - `console`: progress on a terminal (feature `console`).
//! - [`config`]: the settings of a context.
//! - [`faults`]: fault injection.

#![deny(missing_docs)]

pub mod attempt;
pub mod block_store;
pub mod bounds;
pub mod codec;
pub mod config;
#[cfg(feature = "console")]
pub mod console;
pub mod counters;
pub mod disk;
pub mod engine;
pub mod error;
pub mod event;
pub mod exclusive;
pub mod faults;
pub mod files;
pub mod ids;
pub mod job;
pub mod lineage;
pub mod memory;
pub mod nesting;
pub mod operation;
pub mod quiet;
pub mod runner;
pub mod scheduler;
pub mod scratch;
pub mod shape;
pub mod size;
pub mod sync;
pub mod task;
mod threads;
pub mod unwind;
mod workers;

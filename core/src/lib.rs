//! The engine of emberline. It schedules work it cannot read: it knows lineage, stages, tasks,
//! blocks and files, and never an element.
//!
//! In the order of a job: an action hands a [`job::JobRequest`] to the [`engine`], which lets the
//! [`scheduler`] cut its [`lineage`] into stages; the [`runner`] runs their tasks on a pool; what
//! happens is an [`event`].

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
pub mod faults;
pub mod ids;
pub mod job;
pub mod lineage;
pub mod memory;
pub mod operation;
pub mod runner;
pub mod scheduler;
pub mod scratch;
pub mod size;
pub mod task;
pub mod unwind;

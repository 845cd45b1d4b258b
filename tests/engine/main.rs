//! The engine as a user sees it: every operation against plain Rust, over partitions, threads, memory
//! and files; random programs; and the promises that cut across operations.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails at that line")]

mod accumulators;
mod actions;
mod answers;
mod broadcast;
mod cancellation;
mod cleanup;
mod cogroup_iter;
mod contexts;
mod determinism;
mod errors;
mod events;
mod explain;
mod fault_injection;

mod joins;
mod keyed;
mod layout;
mod laziness;
mod memory;
mod metrics;
mod model;
mod narrow;
mod outputs;
mod partitioning;
mod properties;
mod refs;
mod reports;
mod scratch;
mod sets;
mod sharing;
mod snapshots;
mod sorting;
mod speculation;
mod spilling;
mod storage;
mod support;
mod text;

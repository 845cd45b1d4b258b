//! Accumulators: all additions of an action count together, or none does, in any nesting of actions.
//!
//! - `commits`: actions that fail, succeed, run inside each other or at the same time.
//! - `reentrant`: accumulators whose methods use the accumulator itself.
//! - `sums`: the sum of no rows, and the signs of zero.
//! - `programs`: random programs of nested actions, compared with a model.

mod commits;
mod programs;
mod reentrant;
mod sums;

use crate::support::{LEVELS, test};
use emberline::accumulator::{Accumulate, Accumulator, RunningStats};
use emberline::event::{Event, EventRecord, Listener};
use emberline::fault::{Damage, FaultPlan};
use emberline::id::{RddId, ShuffleId};
use emberline::prelude::*;
use emberline::{ErrorKind, StorageLevel};
use proptest::prelude::*;
use std::collections::HashSet;
use std::iter::successors;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use testkit::{DEADLINE, scaled, within};

fn context() -> Context {
    Context::builder().threads(2).build().unwrap()
}

fn is_panic(result: Result<impl Sized>) -> bool {
    matches!(
        result.err().map(|error| matches!(error.kind(), ErrorKind::Panicked { .. })),
        Some(true)
    )
}

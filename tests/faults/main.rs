//! Hostile inputs of every kind that fault reports of other engines describe, generated: iterators, rows whose
//! methods panic or call back, files that change, hidden and looping paths, threads that cannot be started.
//!
//! Each module begins with named samples of a kind, followed by the generator of the kind. `EMBERLINE_TEST_SCALE`
//! multiplies the number of generated cases.
//!
//! - `hooked`: a row type that calls a hook in every method.
//! - `support`: what several modules use.

mod accumulators;
mod bookkeeping;
mod checkpoints;
mod hooked;
mod inputs;
mod iterators;
mod locks;
mod panics;
mod recovery;
mod shutdown;
mod support;
mod threads;

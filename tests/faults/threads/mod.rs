//! Tasks never begin inside tasks, whatever rayon work their closures wait for, and threads that cannot be started are
//! errors, and are tried again.
//!
//! - `rayon_work`: closures that use rayon: no task begins inside another.
//! - `refused`: threads that the system refuses to start.
//! - `limits`: processes that reach a limit of the system.

mod limits;
mod rayon_work;
mod refused;

use emberline::fault::FaultPlan;
use emberline::prelude::*;
use rayon::prelude::*;
use std::cell::{Cell, RefCell};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier, Mutex, RwLock};
use std::thread;
use std::time::Duration;
use testkit::{DEADLINE, eventually, scaled, within};

fn context(threads: usize) -> Context {
    Context::builder().threads(threads).build().unwrap()
}

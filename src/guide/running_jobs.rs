//! Jobs in the background, cancelling them, stragglers, and closures that do not behave.
//!
//! # In the background
//!
//! An action waits for its job. [`spawn`](crate::Context::spawn) runs a closure of any number of actions
//! on a thread of the context's own and gives a [`JobHandle`](crate::JobHandle) at once:
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let orders = ctx.range(0..10_000_u64).map(|n| (n % 10, n)).cache();
//! let (sums, kept) = (orders.reduce_by_key(|a, b| a + b), orders.clone());
//! let sums = ctx.spawn(move || sums.collect_as_map());
//! let rows = ctx.spawn(move || kept.count());
//! assert_eq!((sums.wait()?.len(), rows.wait()?), (10, 10_000));
//! # Ok::<(), Error>(())
//! ```
//!
//! The handle is a future for any executor (`handle.await?`), and without one it has `wait`,
//! `wait_timeout`, `is_finished` and `progress`. Jobs run at the same time and share the threads and the
//! budget. Dropping the handle changes nothing: what was spawned runs to its end.
//!
//! # Cancelling
//!
//! `cancel` gives the handle its error at once; the tasks stop within a few thousand rows, and what
//! they were writing is removed. A timeout does the same when its time has come:
//!
//! ```
//! # use emberline::prelude::*;
//! use std::time::Duration;
//!
//! # let ctx = Context::local()?;
//! let endless = ctx.range(0..8_u64).flat_map(|_| 0..u64::MAX);
//! let handle = ctx.spawn(move || endless.count()).timeout(Duration::from_millis(50));
//! let error = handle.wait().unwrap_err();
//! assert!(matches!(error.kind(), ErrorKind::TimedOut { .. }));
//! # Ok::<(), Error>(())
//! ```
//!
//! [`job_group`](crate::Context::job_group) names all jobs of a block, those of closures that it spawns
//! included, and [`cancel_group`](crate::Context::cancel_group) ends them from any thread, with a reason
//! that is in their errors. [`cancel_all`](crate::Context::cancel_all) ends everything in the context, and
//! with [`cancel_on_ctrl_c`](crate::ContextBuilder::cancel_on_ctrl_c) Ctrl-C does that, and so does a request
//! to end (SIGTERM). emberline touches no signal unless a context asks for it.
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let endless = ctx.range(0..8_u64).flat_map(|_| 0..u64::MAX);
//! let handle = ctx.job_group("report 7", || ctx.spawn(move || endless.count()));
//! ctx.cancel_group("report 7", "the page was closed");
//! assert!(handle.wait().unwrap_err().to_string().contains("the page was closed"));
//! # Ok::<(), Error>(())
//! ```
//!
//! # Closures that do not come back
//!
//! The look at the cancel flag is between rows. A closure that never returns from one row cannot be
//! stopped, in no program: so nobody waits for it. Whoever asked for the job has the error, other
//! threads take the place of its thread after half a second, and
//! [`left_behind`](crate::Context::left_behind) lists it until it does come back. What it holds, it holds.
//!
//! # Failures and further attempts
//!
//! A closure that fails fails its job; [`max_attempts`](crate::ContextBuilder::max_attempts) gives it more
//! tries. Faults of the disk and lost outputs get four in any case. The error is that of the last
//! attempt, and [`Error::earlier`](crate::Error::earlier) has those before it:
//!
//! ```
//! # use emberline::prelude::*;
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! let ctx = Context::builder().max_attempts(3).build()?;
//! let calls = AtomicU32::new(0);
//! let rows = ctx.range_with(1, 0..1_u64).try_map(move |_| -> Result<u64, BoxError> {
//!     Err(format!("no answer to call {}", calls.fetch_add(1, Ordering::Relaxed)).into())
//! });
//! let error = rows.collect().unwrap_err();
//! assert_eq!((error.attempts(), error.earlier().len()), (3, 2));
//! assert!(error.to_string().contains("no answer to call 2"));
//! assert!(error.earlier()[0].to_string().contains("no answer to call 0"));
//! # Ok::<(), Error>(())
//! ```
//!
//! # Stragglers
//!
//! With [`speculation`](crate::ContextBuilder::speculation) a task that runs far longer than the others of
//! its stage is started a second time. The first of the two gives the result; the other one is
//! cancelled and leaves nothing. It helps against a disk or a service that is slow now and then, and
//! not against a partition with more rows than the others. Closures are called twice, so leave it off
//! where they do something to the outside.
//!
//! # The same rows each time
//!
//! What is lost is computed again, and what has read the old rows must fit to the new ones. So sources
//! and closures have to give the same rows each time: no clocks, no random numbers but those seeded by
//! the partition, no files that change. A map output that comes out with other keys or another number
//! of rows is [`NotDeterministic`](crate::ErrorKind::NotDeterministic), which names the operations that
//! it may come from. It compares numbers of rows and a sum over the keys, which costs nothing; other
//! values under the same keys are not seen. What cannot be repeated is written once, with
//! [`checkpoint`](crate::Rdd::checkpoint), and read from there.

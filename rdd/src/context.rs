//! A context: the settings, the threads and the memory that its RDDs share.

use crate::report::History;
use emberline_core::config::{Compression, Config, Speculation};
use emberline_core::disk::Disk;
use emberline_core::engine::Engine;
use emberline_core::error::{Error, Result};
use emberline_core::event::Listener;
use emberline_core::faults::Faults;
use emberline_core::lineage::{Dependency, LineageNode};
use emberline_core::operation::Operation;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

/// Where RDDs begin. A context owns a pool of threads, a memory budget and a scratch folder; any
/// number of contexts may live in one process. It is a handle: the threads end and the scratch
/// folder goes when the last clone and the last RDD made from it are dropped.
///
/// ```
/// # use emberline_rdd as emberline;
/// use emberline::prelude::*;
///
/// let ctx = Context::local()?;
/// assert_eq!(ctx.range(1..101_u64).reduce(|a, b| a + b)?, Some(5050));
/// # Ok::<(), emberline_rdd::Error>(())
/// ```
#[derive(Clone)]
pub struct Context {
    pub(crate) engine: Arc<Engine>,
    pub(crate) history: History,
    _owner: Option<Arc<Owner>>,
}

/// The program's own handles to a context, as opposed to those of RDDs. When the last one drops, what
/// was spawned is cancelled.
struct Owner(Weak<Engine>);

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(engine) = self.0.upgrade() {
            engine.cancel_scopes(&Error::cancelled("the context was dropped"));
        }
    }
}

impl Context {
    /// A context with the default settings: every core, and a memory budget from the machine.
    ///
    /// # Errors
    ///
    /// If the process was built with `panic = "abort"`, or the threads cannot be started.
    pub fn local() -> Result<Context> {
        Context::builder().build()
    }

    /// The settings of a context to be.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::builder().app_name("words").threads(2).memory_limit_bytes(64 << 20).build()?;
    /// assert_eq!(ctx.threads(), 2);
    ///
    /// let refused = Context::builder().threads(0).max_attempts(0).build().unwrap_err();
    /// assert!(refused.to_string().contains("threads") && refused.to_string().contains("max_attempts"));
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn builder() -> ContextBuilder {
        ContextBuilder {
            config: Config::default(),
            listeners: Vec::new(),
            #[cfg(feature = "ctrl-c")]
            ctrl_c: false,
        }
    }

    /// The number of tasks that run at the same time.
    pub fn threads(&self) -> usize {
        self.engine.config().threads
    }

    /// The number of partitions of a source that was given none.
    pub fn default_partitions(&self) -> usize {
        self.engine.config().default_partitions
    }

    /// What map outputs, kept partitions and finished runs hold of the memory budget now, in bytes. It
    /// goes back to 0 when the handles drop.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let kept = ctx.range(0..1000_u64).cache();
    /// kept.count()?;
    /// assert!(ctx.memory_used_bytes() >= 8000);
    /// drop(kept);
    /// assert_eq!(ctx.memory_used_bytes(), 0);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn memory_used_bytes(&self) -> u64 {
        self.engine.memory().used_bytes()
    }

    /// Returns when the listeners have seen everything that happened before this call, or when one of
    /// them has not come back from an event for five seconds.
    pub fn flush_listeners(&self) {
        self.engine.flush_listeners();
    }

    /// A handle for an RDD, which does not keep alive what was spawned.
    pub(crate) fn without_owner(&self) -> Context {
        let (engine, history) = (Arc::clone(&self.engine), self.history.clone());
        Context { engine, history, _owner: None }
    }

    /// A new lineage node of this context.
    pub(crate) fn lineage(
        &self,
        operation: Operation,
        partitions: usize,
        dependencies: Vec<Dependency>,
    ) -> LineageNode {
        LineageNode::new(self.engine.next_rdd_id(), operation, partitions, dependencies)
    }

    /// A lineage node of a source that may have been asked for no partitions at all: that is the
    /// error of its first action.
    pub(crate) fn source_lineage(&self, operation: Operation, partitions: usize) -> LineageNode {
        let mut lineage = self.lineage(operation, partitions, Vec::new());
        lineage.problem = no_partitions(operation, partitions);
        lineage
    }
}

/// The error of an operation on RDDs of two contexts: neither could run the other's tasks.
pub(crate) fn two_contexts(operation: Operation, one: &Context, other: &Context) -> Option<Error> {
    let what = "the two RDDs belong to two contexts; make both from one, or collect one and \
                parallelize its rows in the other's context";
    let apart = !Arc::ptr_eq(&one.engine, &other.engine);
    apart.then(|| Error::invalid_argument(what).in_operation(operation))
}

/// The error of an operation that was asked for zero partitions.
pub(crate) fn no_partitions(operation: Operation, partitions: usize) -> Option<Error> {
    let what = "the number of partitions is 0; give at least 1";
    (partitions == 0).then(|| Error::invalid_argument(what).in_operation(operation))
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.engine.config();
        write!(f, "Context({:?}, {} threads)", config.app_name, config.threads)
    }
}

/// The settings of a context. Each has a default; [`build`](ContextBuilder::build) refuses what
/// cannot work and names all of it at once.
#[must_use = "a builder does nothing until `build`"]
pub struct ContextBuilder {
    config: Config,
    listeners: Vec<Box<dyn Listener>>,
    #[cfg(feature = "ctrl-c")]
    ctrl_c: bool,
}

impl ContextBuilder {
    /// What the run is called in events. Default: `emberline`.
    pub fn app_name(mut self, name: impl Into<String>) -> Self {
        self.config.app_name = name.into();
        self
    }

    /// Tasks that run at the same time, in threads, 1 to 4096. Default: the machine's cores. It
    /// never changes a result.
    pub fn threads(mut self, threads: usize) -> Self {
        self.config.threads = threads;
        self
    }

    /// What the engine may hold in memory, in bytes, at least 1 MiB. Default: 60 % of what the
    /// machine or its control group has. Runs of tables, sorts and map outputs that do not fit go to
    /// disk, and kept partitions where their level says. It never changes a result.
    pub fn memory_limit_bytes(mut self, bytes: u64) -> Self {
        self.config.memory_limit_bytes = bytes;
        self
    }

    /// What one task may hold of the budget, in bytes, at least 4 KiB. Default: 256 MiB; never more than
    /// an eighth of the budget. Tables, sorts and groups are cut into runs by it, so it is part of what a float sum
    /// depends on. A group of `group_by_key` past it is an error.
    pub fn task_memory_bytes(mut self, bytes: u64) -> Self {
        self.config.task_memory_bytes = bytes;
        self
    }

    /// The folder in which the scratch folder is made: the same as
    /// [`scratch_dirs`](ContextBuilder::scratch_dirs) with one.
    pub fn scratch_dir(self, folder: impl Into<PathBuf>) -> Self {
        self.scratch_dirs([folder])
    }

    /// The folders in which scratch folders are made, such as one for each disk. They must exist.
    /// Files take them in turn, and a folder that is full or refuses is left out. `build` looks in
    /// them for what processes left that died, and removes it. Default: the system's temporary
    /// folder.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
    /// let folders = [one.path(), two.path()];
    /// let ctx = Context::builder().scratch_dirs(folders).force_spill(true).build()?;
    /// let sums = ctx.range_with(4, 0..100_u64).map(|n| (n % 3, n)).reduce_by_key(|a, b| a + b);
    /// sums.count()?;
    /// assert!(folders.iter().all(|folder| std::fs::read_dir(folder).unwrap().count() == 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scratch_dirs<D: Into<PathBuf>>(mut self, folders: impl IntoIterator<Item = D>) -> Self {
        self.config.scratch_dirs = folders.into_iter().map(Into::into).collect();
        self
    }

    /// What all scratch files together may take on disk, in bytes, at least 1. Default: as much as
    /// there is. A write past it is the error `ScratchQuotaExceeded`; the bytes of a file are given
    /// back when it goes.
    pub fn scratch_quota_bytes(mut self, bytes: u64) -> Self {
        self.config.scratch_quota_bytes = Some(bytes);
        self
    }

    /// Partitions of a source that was given no number, at least 1. Default: 16, whatever the
    /// machine, so that the same program gives the same bytes everywhere; use a few for each core.
    pub fn default_partitions(mut self, partitions: usize) -> Self {
        self.config.default_partitions = partitions;
        self
    }

    /// What the rows that one action hands to the program may take, in bytes, at least 1. Default: as
    /// much as the budget. A `collect` past it is the error `ResultTooLarge`, and its tasks stop
    /// within a few thousand rows. It counts the rows that `collect`, `collect_as_map`, `take`, `top`,
    /// `lookup`, `count_by_key` and their siblings give; of `to_local_iterator` one partition at a
    /// time. What `take` and `top` only look at does not count: they look at fewer partitions at once
    /// where it would pass the limit. A row counts as it lies in memory, `size_of` its type: what it points to,
    /// such as the letters of a `String`, is not counted, since rows need not be serialisable.
    /// What lies between stages does not count.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::builder().max_result_bytes(8_000).build()?;
    /// let numbers = ctx.range_with(4, 0..1_001_u64);
    /// let error = numbers.collect().unwrap_err();
    /// assert!(matches!(error.kind(), ErrorKind::ResultTooLarge { limit_bytes: 8_000, .. }));
    /// assert_eq!(numbers.take(500)?.len(), 500);
    /// assert_eq!(numbers.to_local_iterator().count(), 1_001);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn max_result_bytes(mut self, bytes: u64) -> Self {
        self.config.max_result_bytes = Some(bytes);
        self
    }

    /// The seed of everything random, such as the sample behind a sort. Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Attempts of a task whose closure panics or returns an error, at least 1. Default: 1. Faults
    /// of the disk are tried at least four times.
    pub fn max_attempts(mut self, attempts: usize) -> Self {
        self.config.max_attempts = attempts;
        self
    }

    /// Lets stragglers have a copy: a task that runs far longer than the others of its stage is started
    /// a second time, and the first of the two to end gives the result. Default: no. See
    /// [`Speculation`] for when, and for what it helps against. It never changes a result.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::{config::Speculation, prelude::*};
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use std::{thread, time::Duration};
    ///
    /// let speculation = Speculation { min_runtime: Duration::from_millis(20), ..Speculation::default() };
    /// let ctx = Context::builder().threads(4).speculation(speculation).build()?;
    /// static IS_STUCK: AtomicBool = AtomicBool::new(true);
    /// let rows = ctx.range_with(8, 0..8_u64).map(|n| {
    ///     if n == 7 && IS_STUCK.swap(false, Ordering::Relaxed) {
    ///         thread::sleep(Duration::from_millis(400)); // a slow disk, the first time
    ///     }
    ///     n
    /// });
    /// assert_eq!(rows.collect()?, [0, 1, 2, 3, 4, 5, 6, 7]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn speculation(mut self, speculation: Speculation) -> Self {
        self.config.speculation = Some(speculation);
        self
    }

    /// Whether Ctrl-C cancels everything that runs in the context, as [`cancel_all`](Context::cancel_all)
    /// does, instead of ending the process; a request to end (SIGTERM, SIGHUP) does the same. Default: no.
    /// A second one within two seconds, or one when nothing runs in such a context, ends the process with
    /// status 130, whichever signal it was.
    ///
    /// The handler of Ctrl-C belongs to the whole process: the first context that asks for it installs
    /// it for good, and `build` fails if the program has installed one with the same crate, `ctrlc`.
    /// Needs the feature `ctrl-c`, which is on by default.
    #[cfg(feature = "ctrl-c")]
    pub fn cancel_on_ctrl_c(mut self, cancels: bool) -> Self {
        self.ctrl_c = cancels;
        self
    }

    /// Whether map outputs go to files even while they fit in memory. Default: no. It never changes
    /// a result; tests use it.
    pub fn force_spill(mut self, files: bool) -> Self {
        self.config.force_spill = files;
        self
    }

    /// How rows that go to disk are made smaller. Default: [`Compression::Lz4`]. It never changes a
    /// result. [`Compression::Zstd`] needs the feature `zstd`.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::{config::Compression, prelude::*};
    ///
    /// // Every map output goes to files, and they are written as they are.
    /// let builder = Context::builder().force_spill(true);
    /// let ctx = builder.spill_compression(Compression::None).build()?;
    /// let sums = ctx.range(0..10_u64).map(|n| (n % 2, n)).reduce_by_key(|a, b| a + b);
    /// assert_eq!(sums.collect_as_map()?[&1], 25);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn spill_compression(mut self, compression: Compression) -> Self {
        self.config.spill_compression = compression;
        self
    }

    /// Whether progress is drawn on standard error while it is a terminal. Default: no. Needs the
    /// feature `console`, which is on by default.
    pub fn progress(mut self, progress: bool) -> Self {
        self.config.progress = progress;
        self
    }

    /// The door to the disk. Default: the real one.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.config.disk = disk;
        self
    }

    /// What goes wrong on purpose, for tests and for teaching: a [`FaultPlan`](crate::fault::FaultPlan),
    /// or one that was armed before so that it can be asked what happened. Default: nothing, at no
    /// cost.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::fault::{FaultPlan, Damage};
    /// use emberline::{id::ShuffleId, prelude::*};
    ///
    /// // The file of the second map output is removed as soon as it is there.
    /// let faults = FaultPlan::new().damage_map_output(ShuffleId(0), 1, Damage::Lost).arm();
    /// let ctx = Context::builder().force_spill(true).faults(&faults).build()?;
    /// let sums = ctx.range_with(4, 0..100_u64).map(|n| (n % 2, n)).reduce_by_key(|a, b| a + b);
    /// assert_eq!(sums.collect_as_map()?[&0], 2450);
    /// assert_eq!(faults.fired(), 1);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn faults(mut self, faults: impl Into<Faults>) -> Self {
        self.config.faults = Some(faults.into());
        self
    }

    /// Adds a listener that hears every event, in order, on a thread of its own.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::{event::{Event, EventRecord}, prelude::*};
    /// use std::sync::{Arc, Mutex};
    ///
    /// let jobs = Arc::new(Mutex::new(0));
    /// let counter = Arc::clone(&jobs);
    /// let ctx = Context::builder()
    ///     .listener(move |record: &EventRecord| {
    ///         if let Event::JobFinished { .. } = record.event {
    ///             *counter.lock().unwrap() += 1;
    ///         }
    ///     })
    ///     .build()?;
    /// ctx.range(0..10_u32).count()?;
    /// ctx.flush_listeners();
    /// assert_eq!(*jobs.lock().unwrap(), 1);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn listener(mut self, listener: impl Listener + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Starts the context.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with one sentence for each setting that cannot work; an I/O error if the
    /// threads cannot be started.
    pub fn build(self) -> Result<Context> {
        let (history, mut listeners) = (History::default(), self.listeners);
        // In front, so that a report has what the user's listeners have heard of.
        listeners.insert(0, Box::new(history.listener()));
        let engine = Engine::start(self.config, listeners)?;
        #[cfg(feature = "ctrl-c")]
        if self.ctrl_c {
            crate::jobs::ctrl_c::listen(&engine)?;
        }
        let _owner = Some(Arc::new(Owner(Arc::downgrade(&engine))));
        Ok(Context { engine, history, _owner })
    }
}

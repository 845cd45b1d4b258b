//! The context: settings, threads and memory that its RDDs use, and its builder.

use crate::pipeline::gather;
use crate::report::History;
use emberline_core::config::{Compression, Config, Speculation};
use emberline_core::disk::Disk;
use emberline_core::engine::Engine;
use emberline_core::error::{Error, Result};
use emberline_core::event::Listener;
use emberline_core::faults::Faults;
use emberline_core::files;
use emberline_core::lineage::{Dependency, LineageNode};
use emberline_core::operation::Operation;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The entry point of a program: owns the threads, memory and scratch directory of its RDDs.
///
/// A context is a handle to threads that its clones share. When the last clone and the last RDD
/// made from it are dropped, the threads end and the scratch directory is deleted, after at most
/// the [`shutdown_timeout`](ContextBuilder::shutdown_timeout). A process may have several contexts.
///
/// ```
/// # use emberline_rdd::prelude::*;
/// let ctx = Context::local()?;
/// assert_eq!(ctx.range(1..101_u64).reduce(|a, b| a + b)?, Some(5050));
/// # Ok::<(), Error>(())
/// ```
#[doc(alias = "SparkContext")]
#[derive(Clone)]
pub struct Context {
    // Dropped in this order: spawned closures end, then the threads.
    _owner: Option<Arc<Owner>>,
    _user: Option<Arc<User>>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) history: History,
}

/// The program's own handles to a context. Dropping the last one cancels spawned jobs, and waits a
/// limited time for their closures, which hold RDDs.
struct Owner(Weak<Engine>);

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(engine) = self.0.upgrade() {
            engine.cancel_scopes(&Error::cancelled("the context was dropped"));
            engine.wait_for_spawned();
        }
    }
}

/// The handles that can request jobs: those of the program and those of RDDs. Dropping the last one
/// ends the context, although a task that still runs may hold lineage.
struct User(Arc<Engine>);

impl Drop for User {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

/// # Configuration
impl Context {
    /// Returns a context with the default settings: every core, and 60 % of the machine's memory.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` if the process was built with `panic = "abort"`, and an I/O error if threads
    /// cannot be started.
    pub fn local() -> Result<Context> {
        Context::builder().build()
    }

    /// Returns a builder with the default settings.
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// let ctx = Context::builder().threads(2).memory_limit_bytes(64 << 20).build()?;
    /// assert_eq!(ctx.threads(), 2);
    ///
    /// let error = Context::builder().threads(0).max_attempts(0).build().unwrap_err().to_string();
    /// assert!(error.contains("threads") && error.contains("max_attempts"));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "SparkConf")]
    pub fn builder() -> ContextBuilder {
        ContextBuilder {
            config: Config::default(),
            listeners: Vec::new(),
            #[cfg(feature = "ctrl-c")]
            ctrl_c: false,
        }
    }

    /// Returns the number of tasks that run at the same time.
    pub fn threads(&self) -> usize {
        self.engine.config().threads
    }

    /// Returns the number of partitions of a source without an explicit number.
    #[doc(alias = "defaultParallelism")]
    pub fn default_partitions(&self) -> usize {
        self.engine.config().default_partitions
    }
}

/// # Monitoring
impl Context {
    /// Returns the bytes of memory that map outputs, stored partitions and finished runs hold.
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// let ctx = Context::local()?;
    /// let cached = ctx.range(0..1000_u64).cache();
    /// cached.count()?;
    /// assert!(ctx.memory_used_bytes() >= 8000);
    /// drop(cached);
    /// assert_eq!(ctx.memory_used_bytes(), 0);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn memory_used_bytes(&self) -> u64 {
        self.engine.memory().used_bytes()
    }

    /// Waits until the listeners have received every event so far, or one of them has been busy
    /// with an event for five seconds.
    pub fn flush_listeners(&self) {
        self.engine.flush_listeners();
    }
}

impl Context {
    /// Returns a handle for an RDD, which does not keep spawned jobs alive.
    pub(crate) fn without_owner(&self) -> Context {
        Context { _owner: None, ..self.clone() }
    }

    /// Returns a handle for lineage, which does not keep the context running.
    pub(crate) fn for_lineage(&self) -> Context {
        Context { _owner: None, _user: None, ..self.clone() }
    }

    pub(crate) fn lineage(
        &self,
        operation: Operation,
        partitions: usize,
        dependencies: Vec<Dependency>,
    ) -> LineageNode {
        LineageNode::new(self.engine.next_rdd_id(), operation, partitions, dependencies)
    }

    /// Returns the lineage node of a source. Zero partitions fail the first action.
    pub(crate) fn source_lineage(&self, operation: Operation, partitions: usize) -> LineageNode {
        let mut lineage = self.lineage(operation, partitions, Vec::new());
        lineage.set_problem(no_partitions(operation, partitions));
        lineage
    }
}

/// Returns the error of an operation on RDDs of two contexts: neither can run the other's tasks.
pub(crate) fn two_contexts(operation: Operation, one: &Context, other: &Context) -> Option<Error> {
    let message = "the two RDDs belong to two contexts; make both from one context, or collect one and \
                   parallelize its rows in the other's context";
    let differ = !Arc::ptr_eq(&one.engine, &other.engine);
    differ.then(|| Error::invalid_argument(message).in_operation(operation))
}

/// Returns the error of an operation with zero partitions.
pub(crate) fn no_partitions(operation: Operation, partitions: usize) -> Option<Error> {
    let message = "the number of partitions is 0; set at least 1";
    (partitions == 0).then(|| Error::invalid_argument(message).in_operation(operation))
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.engine.config();
        write!(f, "Context({:?}, {} threads)", config.app_name, config.threads)
    }
}

/// The settings of a context, each with a default. A setting changes a result only if its
/// documentation mentions it. [`build`](ContextBuilder::build) reports all errors together.
#[must_use = "a builder does nothing until `build`"]
pub struct ContextBuilder {
    config: Config,
    listeners: Vec<Box<dyn Listener>>,
    #[cfg(feature = "ctrl-c")]
    ctrl_c: bool,
}

impl ContextBuilder {
    /// Sets the name of the program in events. Default: `emberline`.
    #[doc(alias = "setAppName")]
    pub fn app_name(mut self, name: impl Into<String>) -> Self {
        self.config.app_name = name.into();
        self
    }

    /// Sets the number of tasks that run at the same time, 1 to 4096. Default: the number of cores.
    ///
    /// Each of these threads has a helper, which sleeps until a closure uses rayon (`par_iter`,
    /// `join`, `scope`): that work runs on the two, and no other task begins while it waits.
    /// Closures of `n` tasks that use rayon thus run on up to `2 * n` threads.
    #[doc(alias = "setMaster")]
    pub fn threads(mut self, threads: usize) -> Self {
        self.config.threads = threads;
        self
    }

    /// Sets the bytes that the engine may hold in memory, at least 1 MiB. Default: 60 % of the
    /// memory of the machine or its control group.
    ///
    /// Tables, sorts and map outputs beyond it spill; stored partitions if their level allows it.
    #[doc(alias = "spark.executor.memory")]
    pub fn memory_limit_bytes(mut self, bytes: u64) -> Self {
        self.config.memory_limit_bytes = bytes;
        self
    }

    /// Sets the bytes that one task may hold, at least 4 KiB. Default: 256 MiB, or an eighth of the
    /// memory limit if that is less.
    ///
    /// Tables, sorts and groups are split into runs by it, so the last bits of a float sum depend
    /// on it. A group of `group_by_key` beyond it is an error.
    pub fn task_memory_bytes(mut self, bytes: u64) -> Self {
        self.config.task_memory_bytes = bytes;
        self
    }

    /// Sets one directory; see [`scratch_dirs`](ContextBuilder::scratch_dirs).
    pub fn scratch_dir(self, folder: impl Into<PathBuf>) -> Self {
        self.scratch_dirs([folder])
    }

    /// Sets the directories in which scratch directories are made, such as one per disk. Default:
    /// the system's temporary directory.
    ///
    /// They must exist; relative paths are resolved by this call. Files alternate between them, except for full or unwritable ones. `build`
    /// deletes the scratch directories in them of processes that have died.
    #[doc(alias = "spark.local.dir")]
    pub fn scratch_dirs<D: Into<PathBuf>>(mut self, folders: impl IntoIterator<Item = D>) -> Self {
        let absolute = |folder: PathBuf| files::absolute(&folder).unwrap_or(folder);
        self.config.scratch_dirs = gather(folders.into_iter().map(Into::into).map(absolute));
        self
    }

    /// Sets the bytes that all scratch files may take on disk, at least 1. Default: no limit.
    ///
    /// A write beyond it fails with `ScratchQuotaExceeded`. Deleted files no longer count.
    pub fn scratch_quota_bytes(mut self, bytes: u64) -> Self {
        self.config.scratch_quota_bytes = Some(bytes);
        self
    }

    /// Sets the number of partitions of a source without an explicit number, at least 1. Default:
    /// 16 on every machine, so that results are the same too.
    ///
    /// A few per core are enough. The number changes the order of rows after a shuffle.
    #[doc(alias = "spark.default.parallelism")]
    pub fn default_partitions(mut self, partitions: usize) -> Self {
        self.config.default_partitions = partitions;
        self
    }

    /// Sets the bytes of rows that one action may return, at least 1. Default: the memory limit.
    ///
    /// An action beyond it fails with `ResultTooLarge`, and its tasks stop within a few thousand
    /// rows. It applies to `collect`, `take`, `top`, `lookup`, `count_by_key` and similar actions,
    /// and to each partition of `to_local_iterator`. A row counts with the `size_of` of its type,
    /// without memory that it points to, such as the text of a `String`.
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// let ctx = Context::builder().max_result_bytes(8_000).build()?;
    /// let numbers = ctx.range_with(4, 0..1_001_u64);
    /// let error = numbers.collect().unwrap_err();
    /// assert!(matches!(error.kind(), ErrorKind::ResultTooLarge { limit_bytes: 8_000, .. }));
    /// assert_eq!(numbers.take(500)?.len(), 500);
    /// assert_eq!(numbers.to_local_iterator().count(), 1_001);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "spark.driver.maxResultSize")]
    pub fn max_result_bytes(mut self, bytes: u64) -> Self {
        self.config.max_result_bytes = Some(bytes);
        self
    }

    /// Sets the seed of random choices, such as the sample that a sort takes. Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Sets the number of attempts of a task whose closure panics or returns an error, at least 1.
    /// Default: 1.
    ///
    /// I/O errors and lost map outputs are retried up to four times in any case.
    #[doc(alias = "spark.task.maxFailures")]
    pub fn max_attempts(mut self, attempts: usize) -> Self {
        self.config.max_attempts = attempts;
        self
    }

    /// Enables speculative execution: a task that runs far longer than the others of its stage is
    /// started a second time, and the first attempt to finish provides the result. Default: off.
    /// See [`Speculation`] for the thresholds.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::{config::Speculation, prelude::*};
    /// use std::time::Duration;
    /// let min_runtime = Duration::from_secs(1);
    /// let speculation = Speculation { min_runtime, ..Speculation::default() };
    /// let ctx = Context::builder().speculation(speculation).build()?;
    /// assert_eq!(ctx.range(0..8_u64).count()?, 8);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[doc(alias = "spark.speculation")]
    pub fn speculation(mut self, speculation: Speculation) -> Self {
        self.config.speculation = Some(speculation);
        self
    }

    /// Sets whether Ctrl-C, SIGTERM or SIGHUP cancels all jobs, as
    /// [`cancel_all`](Context::cancel_all) does, instead of ending the process. Default: no.
    ///
    /// A second signal within two seconds, or one while no job runs, ends the process with status
    /// 130. The handler stays installed; `build` fails if the program has installed one with the
    /// crate `ctrlc`. Needs the feature `ctrl-c`, which is on by default.
    #[cfg(feature = "ctrl-c")]
    pub fn cancel_on_ctrl_c(mut self, cancels: bool) -> Self {
        self.ctrl_c = cancels;
        self
    }

    /// Sets whether map outputs that fit in memory are written to files, for tests. Default: no.
    pub fn force_spill(mut self, files: bool) -> Self {
        self.config.force_spill = files;
        self
    }

    /// Sets the compression of spilled rows. Default: [`Compression::Lz4`]. [`Compression::Zstd`]
    /// needs the feature `zstd`.
    #[doc(alias = "spark.io.compression.codec")]
    pub fn spill_compression(mut self, compression: Compression) -> Self {
        self.config.spill_compression = compression;
        self
    }

    /// Sets the time that dropping the last handle waits for tasks that still run, such as those of
    /// a cancelled job. Default: 2 seconds.
    ///
    /// Then the scratch directories are deleted in any case. A task that still runs gets an error
    /// from the scratch files that it uses after that; its thread ends when its closure returns.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.config.shutdown_timeout = timeout;
        self
    }

    /// Sets whether progress is drawn on standard error while it is a terminal. Default: no. Needs
    /// the feature `console`, which is on by default.
    #[doc(alias = "spark.ui.showConsoleProgress")]
    pub fn progress(mut self, progress: bool) -> Self {
        self.config.progress = progress;
        self
    }

    /// Sets the filesystem backend. Default: the operating system's.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.config.disk = disk;
        self
    }

    /// Injects the faults of a [`FaultPlan`](crate::fault::FaultPlan), or of one that was armed
    /// before so that the program can read which faults happened. Default: none, at no cost.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::fault::{FaultPlan, Damage};
    /// use emberline::{id::ShuffleId, prelude::*};
    /// // The file of the second map output is deleted once it is written.
    /// let faults = FaultPlan::new().damage_map_output(ShuffleId(0), 1, Damage::Lost).arm();
    /// let ctx = Context::builder().force_spill(true).faults(&faults).build()?;
    /// let sums = ctx.range_with(4, 0..100_u64).map(|n| (n % 2, n)).reduce_by_key(|a, b| a + b);
    /// assert_eq!(sums.collect_as_map()?[&0], 2450);
    /// assert_eq!(faults.fired(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn faults(mut self, faults: impl Into<Faults>) -> Self {
        self.config.faults = Some(faults.into());
        self
    }

    /// Adds a listener, which receives every event in order on its own thread.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::{event::EventRecord, prelude::*};
    /// use std::sync::mpsc;
    /// let (sender, events) = mpsc::channel();
    /// let listener = move |record: &EventRecord| sender.send(record.event.clone()).unwrap();
    /// let ctx = Context::builder().listener(listener).build()?;
    /// ctx.range(0..10_u32).count()?;
    /// ctx.flush_listeners();
    /// assert!(events.try_iter().count() > 0);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "addSparkListener")]
    pub fn listener(mut self, listener: impl Listener + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Validates the settings and starts the context.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with one sentence per invalid setting, and an I/O error if threads cannot be
    /// started.
    pub fn build(self) -> Result<Context> {
        let history = History::default();
        let mut listeners = self.listeners;
        // First, so that a report covers every event that the user's listeners have received.
        listeners.insert(0, Box::new(history.listener()));
        let engine = Engine::start(self.config, listeners)?;
        #[cfg(feature = "ctrl-c")]
        if self.ctrl_c {
            crate::jobs::ctrl_c::listen(&engine)?;
        }
        let _owner = Some(Arc::new(Owner(Arc::downgrade(&engine))));
        let _user = Some(Arc::new(User(Arc::clone(&engine))));
        Ok(Context { _owner, _user, engine, history })
    }
}

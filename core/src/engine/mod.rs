//! The engine of one context: it owns the threads, accepts jobs and delivers events.
//!
//! One thread feeds inputs to the [`Scheduler`](crate::scheduler::Scheduler) and executes its
//! commands. Callers of actions, tasks and dropped handles talk to it through one channel, so no
//! two of them wait for the same lock. The README of this directory explains cancellation, spawned
//! closures, abandoned threads and speculation.
//!
//! - `event_loop`: the thread around the pure scheduler.
//! - `scope`: cancellation scopes of spawned closures and job groups.
//! - `spawner`: the threads of spawned closures.
//! - `bus`: delivers events to listeners on a separate thread.
//! - `dependencies`: finds the accumulator updates that a job must count.

mod bus;
mod dependencies;
mod event_loop;
mod scope;
mod spawner;

pub use scope::{CancelScope, OpenScope, commit_point, in_scopes};
pub use spawner::{MAX_SPAWNED, Spawned, SpawnedWork};

use crate::block_store::BlockStore;
use crate::config::Config;
use crate::disk::FaultyDisk;
use crate::error::{Error, ErrorKind, Result, internal};
use crate::event::{Event, Listener};
use crate::ids::{IdCounter, JobId, RddId, ShuffleId};
use crate::job::{JobDependencies, JobRequest, Progress};
use crate::memory::{MemoryPool, Reservation};
use crate::operation::Operation;
use crate::runner::{AbandonedTask, AbandonedTasks, PoolId, Runner, TaskEnv};
use crate::scheduler::{Input, Limits, parents_first};
use crate::scratch::Scratch;
use crate::sync::Mutex;
use crate::task::refuse_nested;
use crate::threads::start_thread;
use bus::Emitter;
use crossbeam::channel::{Sender, bounded, unbounded};
use dependencies::dependencies_of;
use event_loop::{EventLoop, reporter};
use scope::{CancelScopes, current_scopes};
use spawner::Spawner;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

/// The memory of a task that is not running: its slots in the scheduler, its result, its place in
/// the job report.
const TASK_BYTES: u64 = 48;
/// The fewest tasks whose memory is counted.
const MIN_COUNTED_TASKS: usize = 8192;
/// The memory for tasks that a context may take beyond its memory limit: half of the 64 MiB that a
/// process may take in addition to 1.25 times the limit.
const FIXED_BYTES: u64 = 32 << 20;

/// Everything that runs in one context. The threads end when it drops.
pub struct Engine {
    /// The process that owns the threads.
    owner_pid: u32,
    config: Arc<Config>,
    memory: Arc<MemoryPool>,
    blocks: Arc<BlockStore>,
    rdds: IdCounter,
    shuffles: IdCounter,
    jobs: IdCounter,
    /// The number of actions that wait for their job.
    waiting_actions: AtomicUsize,
    pool_id: PoolId,
    scopes: Arc<CancelScopes>,
    spawner: Spawner,
    abandoned: AbandonedTasks,
    messages: Sender<Message>,
    scheduler_id: ThreadId,
    scheduler: Mutex<Option<JoinHandle<()>>>,
    emitter: Emitter,
    listeners: Mutex<Option<JoinHandle<()>>>,
}

/// A message to the thread of the scheduler.
enum Message {
    Submit {
        job: JobId,
        request: Arc<JobRequest>,
        reply: Sender<Ended>,
    },
    Input(Input),
    CancelAll {
        error: Error,
    },
    Progress {
        job: JobId,
        reply: Sender<Progress>,
    },
    /// Cancels a scope at a point in time.
    Timeout {
        at: Instant,
        limit: Duration,
        scope: Weak<CancelScope>,
    },
    /// Starts missing threads of spawned closures a little later.
    RetrySpawns,
    Stop,
}

/// The result of a job and its progress at the end.
type Ended = (Result<()>, Progress);

impl Engine {
    /// Starts the threads of a context.
    pub fn start(mut config: Config, mut listeners: Vec<Box<dyn Listener>>) -> Result<Arc<Engine>> {
        config.check()?;
        config.resolve_paths();
        add_console(&config, &mut listeners);
        if let Some(faults) = &config.faults {
            config.disk = Arc::new(FaultyDisk::new(Arc::clone(&config.disk), faults));
        }
        let config = Arc::new(config);
        let memory = Arc::new(MemoryPool::new(config.storage_memory_bytes()));
        let scratch = Arc::new(Scratch::new(&config));
        scratch.probe()?;
        let pool_id = PoolId::default();
        let abandoned = AbandonedTasks::default();
        let (messages, inbox) = unbounded();
        let env = TaskEnv {
            config: Arc::clone(&config),
            memory: Arc::clone(&memory),
            scratch: Arc::clone(&scratch),
        };
        let report = reporter(messages.clone());
        let runner = Runner::start(pool_id.clone(), env, report, abandoned.clone())?;
        let (emitter, listeners) = Emitter::start(listeners, config.faults.as_ref())?;
        let block_events = emitter.clone();
        let emit = Box::new(move |event| block_events.emit(event));
        let blocks = BlockStore::new(Arc::clone(&memory), emit);
        let spawner = Spawner::new(messages.clone(), config.faults.clone());
        let event_loop = {
            let spawns = Arc::clone(spawner.queue());
            EventLoop::new(Limits::of(&config), runner, emitter.clone(), spawns)
        };
        let orphans_in = Arc::clone(&scratch);
        let shutdown_timeout = config.shutdown_timeout;
        let scheduler = start_thread(
            thread::Builder::new().name("emberline-scheduler".into()),
            config.faults.as_ref(),
            "the scheduler",
            move || event_loop.run(&inbox, shutdown_timeout, &scratch),
        );
        let scheduler = scheduler.inspect_err(|_| {
            emitter.stop();
            emitter.wait_for_end();
        })?;
        emitter.emit(Event::ContextStarted {
            app_name: config.app_name.clone(),
            threads: config.threads,
            memory_limit_bytes: config.memory_limit_bytes,
        });
        orphans_in.remove_orphans().into_iter().for_each(|event| emitter.emit(event));
        Ok(Arc::new(Engine {
            owner_pid: std::process::id(),
            config,
            memory,
            blocks,
            rdds: IdCounter::default(),
            shuffles: IdCounter::default(),
            jobs: IdCounter::default(),
            waiting_actions: AtomicUsize::new(0),
            pool_id,
            scopes: Arc::default(),
            spawner,
            abandoned,
            messages,
            scheduler_id: scheduler.thread().id(),
            scheduler: Mutex::new(Some(scheduler)),
            emitter,
            listeners: Mutex::new(listeners),
        }))
    }

    /// Returns the settings.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Returns the memory pool.
    pub fn memory(&self) -> &MemoryPool {
        &self.memory
    }

    /// Returns the blocks of persisted RDDs.
    pub fn blocks(&self) -> &BlockStore {
        &self.blocks
    }

    /// Returns the id of a new node.
    pub fn next_rdd_id(&self) -> RddId {
        RddId(self.rdds.next())
    }

    /// Returns the id of a new shuffle.
    pub fn next_shuffle_id(&self) -> ShuffleId {
        ShuffleId(self.shuffles.next())
    }

    /// Runs a job, waits for its end, and returns the shuffles and blocks that it needed. When it
    /// returns `Ok`, no thread of the engine holds anything of the request.
    pub fn run_job(&self, request: JobRequest) -> Result<JobDependencies> {
        let action = request.action;
        self.refuse_fork(action)?;
        self.refuse_own_threads(action)?;
        let scopes = current_scopes();
        scopes.iter().for_each(|scope| scope.resume());
        if let Some(error) = scopes.iter().find_map(|scope| scope.cancel_error()) {
            return Err(error.in_action(action));
        }
        let dependencies =
            self.run_prerequisites(&request).map_err(|error| error.in_action(action))?;
        let maps = dependencies.shuffles.iter().map(|shuffle| shuffle.parent().partitions());
        let _bookkeeping = self.reserve_tasks(maps.fold(0, usize::saturating_add))?;
        let job = JobId(self.jobs.next());
        // This handle outlives the job, so that the values captured by closures are dropped here
        // and not on a thread of the engine.
        let request = Arc::new(request);
        let (reply, end) = bounded(1);
        let submit = Message::Submit { job, request: Arc::clone(&request), reply };
        let stopped = || internal("the scheduler has stopped").in_action(action);
        self.messages.send(submit).map_err(|_| stopped())?;
        // After the submission, so that a cancellation finds the job, and the scheduler knows it.
        scopes.iter().for_each(|scope| scope.enter(job, &self.messages));
        self.waiting_actions.fetch_add(1, Ordering::Relaxed);
        let ended = end.recv().map_err(|_| stopped());
        self.waiting_actions.fetch_sub(1, Ordering::Relaxed);
        let progress = ended.as_ref().map_or(Progress::default(), |(_, progress)| *progress);
        scopes.iter().for_each(|scope| scope.leave(job, &self.messages, progress));
        ended?.0.map(|()| dependencies)
    }

    /// Reserves the memory that the engine needs to schedule `tasks` tasks and to hold their
    /// results, while a job runs. A few tasks need next to nothing, and are not counted.
    ///
    /// # Errors
    ///
    /// If the tasks alone cannot fit in the memory limit.
    pub fn reserve_tasks(&self, tasks: usize) -> Result<Option<Reservation>> {
        if tasks < MIN_COUNTED_TASKS {
            return Ok(None);
        }
        let bytes = (tasks as u64).saturating_mul(TASK_BYTES);
        let limit_bytes = self.config.memory_limit_bytes;
        if bytes > limit_bytes.saturating_add(FIXED_BYTES) {
            return Err(Error::invalid_argument(format!(
                "a job of {tasks} tasks needs about {bytes} bytes of memory to schedule them, and \
                 memory_limit_bytes is {limit_bytes}: use fewer partitions, or a larger memory limit"
            )));
        }
        Ok(Some(self.memory.reserve_needed(bytes)))
    }

    /// Opens a scope inside those of this thread, as a member of the group `name` if one is given.
    pub fn open_scope(&self, name: Option<&str>) -> OpenScope {
        self.scopes.open(&self.pool_id, name)
    }

    /// Cancels the open scopes of a job group, or everything that runs or waits in this context.
    pub fn cancel(&self, group: Option<&str>, error: Error) {
        self.scopes.cancel(group, &error);
        if group.is_none() {
            let _ = self.messages.send(Message::CancelAll { error });
        }
    }

    /// Returns true if there is anything to cancel: a job, a spawned closure, or a job group.
    pub fn is_busy(&self) -> bool {
        self.waiting_actions.load(Ordering::Relaxed) > 0 || self.scopes.are_open()
    }

    /// Cancels the spawned closures and the job groups, and no other jobs.
    pub fn cancel_scopes(&self, error: &Error) {
        self.scopes.cancel(None, error);
    }

    /// Cancels a scope with [`TimedOut`](ErrorKind::TimedOut) after `limit`.
    pub fn cancel_after(&self, limit: Duration, scope: &Arc<CancelScope>) {
        let Some(at) = Instant::now().checked_add(limit) else { return };
        let scope = Arc::downgrade(scope);
        let _ = self.messages.send(Message::Timeout { at, limit, scope });
    }

    /// Runs `work`, which must catch its panics, on a thread of this context that runs no tasks.
    pub fn spawn(&self, work: SpawnedWork) -> Arc<Spawned> {
        self.spawner.spawn(work)
    }

    /// Returns the cancelled tasks that did not return from a closure within the grace period.
    pub fn abandoned_tasks(&self) -> Vec<AbandonedTask> {
        self.abandoned.tasks()
    }

    /// Forgets the outputs of a shuffle. It is called when its last handle drops.
    pub fn forget_shuffle(&self, shuffle: ShuffleId) {
        // An error means that the scheduler has stopped, and its state is dropped.
        let _ = self.messages.send(Message::Input(Input::ShuffleDropped { shuffle }));
    }

    /// Sends an event to the listeners.
    pub fn emit(&self, event: Event) {
        self.emitter.emit(event);
    }

    /// Waits until the listeners have handled every event so far, or one of them takes seconds for
    /// a single event. On the thread of the listeners it returns at once.
    pub fn flush_listeners(&self) {
        if !self.is_forked() {
            self.emitter.flush();
        }
    }

    /// Returns true if this process was forked from the one that built the context. Only the
    /// forking thread exists here, so waiting for the others would never end.
    fn is_forked(&self) -> bool {
        self.owner_pid != std::process::id()
    }

    fn refuse_fork(&self, action: Operation) -> Result<()> {
        if !self.is_forked() {
            return Ok(());
        }
        let kind = ErrorKind::Forked { built_pid: self.owner_pid, current_pid: std::process::id() };
        Err(Error::new(kind).in_action(action))
    }

    /// Refuses an action on a thread that must not wait for a job: one that runs a task of any
    /// context or its rayon work, or the scheduler.
    fn refuse_own_threads(&self, action: Operation) -> Result<()> {
        refuse_nested(action)?;
        if !self.is_scheduler_thread() {
            return Ok(());
        }
        let outer = "the scheduler".to_string();
        let kind = ErrorKind::NestedAction { inner: action.to_string(), outer };
        Err(Error::new(kind).in_action(action))
    }

    /// Fails if a node can never be computed, then runs the prerequisites of all nodes. Returns the
    /// dependencies of the job.
    fn run_prerequisites(&self, request: &JobRequest) -> Result<JobDependencies> {
        let nodes = parents_first(&request.lineage);
        if let Some(problem) = nodes.iter().find_map(|node| node.problem()) {
            return Err(problem.clone());
        }
        let mut prerequisites = nodes.iter().filter_map(|node| node.prerequisite.as_ref());
        prerequisites.try_for_each(|prerequisite| prerequisite.prepare())?;
        Ok(dependencies_of(&request.lineage, nodes))
    }

    /// Returns true if this thread runs tasks or the rayon work of their closures.
    pub fn is_pool_thread(&self) -> bool {
        self.pool_id.is_on_this_thread()
    }

    fn is_scheduler_thread(&self) -> bool {
        self.scheduler_id == thread::current().id()
    }

    /// Waits at most for the `shutdown_timeout` until no spawned closure runs. A thread of the
    /// engine does not wait.
    pub fn wait_for_spawned(&self) {
        if !self.is_forked() && !self.is_scheduler_thread() && !self.is_pool_thread() {
            self.spawner.wait_until_idle(self.config.shutdown_timeout);
        }
    }

    /// Cancels everything, ends the threads and deletes the scratch files. It waits for tasks that
    /// still run at most for the `shutdown_timeout`. On a thread of the engine it does not wait,
    /// and the scheduler does it meanwhile. In a forked process there are no threads.
    pub fn shut_down(&self) {
        if self.is_forked() {
            return;
        }
        let _ = self.messages.send(Message::Stop);
        if self.is_scheduler_thread() || self.is_pool_thread() {
            return;
        }
        let scheduler = self.scheduler.lock().take();
        let listeners = self.listeners.lock().take();
        // The panic of a thread was reported when it happened.
        let _ = scheduler.map(JoinHandle::join);
        self.emitter.stop();
        if self.emitter.wait_for_end() {
            let _ = listeners.map(JoinHandle::join);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Adds the console listener if progress is enabled.
#[cfg(feature = "console")]
fn add_console(config: &Config, listeners: &mut Vec<Box<dyn Listener>>) {
    if config.progress
        && let Some(console) = crate::console::ConsoleListener::new()
    {
        listeners.push(Box::new(console));
    }
}

#[cfg(not(feature = "console"))]
fn add_console(_: &Config, _: &mut Vec<Box<dyn Listener>>) {}

#[cfg(test)]
mod tests;

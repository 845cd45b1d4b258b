//! One context's machine room: the threads, and the door through which actions come in.
//!
//! A thread of its own feeds the [`Scheduler`](crate::scheduler::Scheduler) with what happens and
//! does what it answers. Callers of actions, tasks and handles that drop talk to it through one
//! channel, so no two of them ever wait for each other's lock.

mod bus;
mod event_loop;
mod scope;
mod spawner;

pub use scope::{CancelScope, OpenScope, commit_point, in_scopes};
pub use spawner::{MAX_SPAWNED, Spawned};

use crate::block_store::BlockStore;
use crate::config::Config;
use crate::disk::FaultyDisk;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Listener};
use crate::ids::{IdCounter, JobId, RddId, ShuffleId};
use crate::job::{JobRequest, Progress, Ran};
use crate::lineage::Dependency;
use crate::memory::MemoryPool;
use crate::operation::Operation;
use crate::runner::{AbandonedTask, AbandonedTasks, Pool, PoolId, Runner, TaskEnv};
use crate::scheduler::{Input, Limits, parents_first};
use crate::scratch::Scratch;
use crate::task::refuse_nested;
use bus::Emitter;
use crossbeam::channel::{Sender, bounded, unbounded};
use event_loop::{EventLoop, reporter};
use scope::{CancelScopes, scopes_here};
use spawner::Spawner;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Everything that runs in one context. The threads end when it drops.
pub struct Engine {
    /// The process that has the threads.
    built_in: u32,
    config: Arc<Config>,
    memory: Arc<MemoryPool>,
    blocks: Arc<BlockStore>,
    rdds: IdCounter,
    shuffles: IdCounter,
    jobs: IdCounter,
    /// Actions that wait for their job.
    waiting: AtomicUsize,
    mark: PoolId,
    scopes: Arc<CancelScopes>,
    spawner: Spawner,
    left: AbandonedTasks,
    messages: Sender<Message>,
    scheduler: Option<JoinHandle<()>>,
    emitter: Emitter,
    listeners: Option<JoinHandle<()>>,
}

enum Message {
    Submit {
        job: JobId,
        request: Arc<JobRequest>,
        tell: Sender<Ended>,
    },
    Input(Input),
    CancelAll {
        why: Error,
    },
    Progress {
        job: JobId,
        tell: Sender<Progress>,
    },
    /// Cancel a scope when it has had its time.
    Timeout {
        at: Instant,
        limit: Duration,
        scope: Weak<CancelScope>,
    },
    Stop,
}

/// How a job ended, and how far it had come.
type Ended = (Result<()>, Progress);

impl Engine {
    /// Starts the threads of a context.
    pub fn start(mut config: Config, mut listeners: Vec<Box<dyn Listener>>) -> Result<Arc<Engine>> {
        config.check()?;
        add_console(&config, &mut listeners);
        if let Some(faults) = &config.faults {
            config.disk = Arc::new(FaultyDisk::new(Arc::clone(&config.disk), faults));
        }
        let config = Arc::new(config);
        let memory = Arc::new(MemoryPool::new(config.storage_memory_bytes()));
        let scratch = Arc::new(Scratch::new(&config));
        scratch.probe()?;
        let (mark, left) = (PoolId::default(), AbandonedTasks::default());
        let pool = Pool::build(config.task_threads(), mark.clone())?;
        let (emitter, listeners) = Emitter::start(listeners)?;
        let told = emitter.clone();
        let blocks = BlockStore::new(Arc::clone(&memory), Box::new(move |event| told.emit(event)));
        emitter.emit(Event::ContextStarted {
            app_name: config.app_name.clone(),
            threads: config.threads,
            memory_limit_bytes: config.memory_limit_bytes,
        });
        scratch.remove_orphans().into_iter().for_each(|event| emitter.emit(event));
        let (messages, inbox) = unbounded();
        let scheduler = {
            let (limits, report) = (Limits::of(&config), reporter(messages.clone()));
            let (config, memory) = (Arc::clone(&config), Arc::clone(&memory));
            let surroundings = TaskEnv { config, memory, scratch };
            let runner = Runner::new(pool, surroundings, report, left.clone());
            let shell = EventLoop::new(limits, runner, emitter.clone());
            thread::Builder::new()
                .name("emberline-scheduler".into())
                .spawn(move || shell.run(&inbox))
                .map_err(|error| Error::io("starting the thread of the scheduler", error))?
        };
        let (rdds, shuffles, jobs) = Default::default();
        let (waiting, scopes, spawner) = Default::default();
        Ok(Arc::new(Engine {
            built_in: std::process::id(),
            config,
            memory,
            blocks,
            rdds,
            shuffles,
            jobs,
            waiting,
            mark,
            scopes,
            spawner,
            left,
            messages,
            scheduler: Some(scheduler),
            emitter,
            listeners,
        }))
    }

    /// The settings.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The budget that caches, shuffles and sorts share.
    pub fn memory(&self) -> &MemoryPool {
        &self.memory
    }

    /// The blocks of persisted RDDs.
    pub fn blocks(&self) -> &BlockStore {
        &self.blocks
    }

    /// A number for a new node.
    pub fn next_rdd_id(&self) -> RddId {
        RddId(self.rdds.next())
    }

    /// A number for a new shuffle.
    pub fn next_shuffle_id(&self) -> ShuffleId {
        ShuffleId(self.shuffles.next())
    }

    /// Runs a job, waits for its end and says what it needed.
    /// When this returns `Ok`, no thread of the engine holds anything of the request any more.
    pub fn run_job(&self, request: JobRequest) -> Result<Ran> {
        let action = request.action;
        self.refuse_fork(action)?;
        self.refuse_own_threads(action)?;
        let scopes = scopes_here();
        scopes.iter().for_each(|scope| scope.resume());
        if let Some(why) = scopes.iter().find_map(|scope| scope.cancelled()) {
            return Err(why.in_action(action));
        }
        let ran = self.prepare(&request).map_err(|error| error.in_action(action))?;
        let job = JobId(self.jobs.next());
        // This handle outlives the job, so that whatever the user's closures captured is dropped
        // here and not on a thread of the engine.
        let request = Arc::new(request);
        let (tell, told) = bounded(1);
        let submit = Message::Submit { job, request: Arc::clone(&request), tell };
        let gone = |_| {
            let what = "the scheduler has stopped".into();
            Error::new(ErrorKind::Internal { what }).in_action(action)
        };
        self.messages.send(submit).map_err(|_| gone(()))?;
        // After it was submitted: who cancels from now on finds the job, and the scheduler knows it.
        scopes.iter().for_each(|scope| scope.enter(job, &self.messages));
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let ended = told.recv().map_err(|_| gone(()));
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let progress = ended.as_ref().map_or(Progress::default(), |(_, progress)| *progress);
        scopes.iter().for_each(|scope| scope.leave(job, &self.messages, progress));
        ended?.0.map(|()| ran)
    }

    /// A new scope inside those of this thread, and of the group `name` if one is given.
    pub fn open_scope(&self, name: Option<&str>) -> OpenScope {
        self.scopes.open(&self.mark, name)
    }

    /// Cancels what is open of a job group, or everything that runs or waits in this context.
    pub fn cancel(&self, group: Option<&str>, why: Error) {
        self.scopes.cancel(group, &why);
        if group.is_none() {
            let _ = self.messages.send(Message::CancelAll { why });
        }
    }

    /// Whether there is anything to cancel: a job, a spawned closure, or a job group.
    pub fn is_busy(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0 || self.scopes.are_open()
    }

    /// Cancels the closures that were spawned and the job groups, and leaves other jobs alone.
    pub fn cancel_scopes(&self, why: &Error) {
        self.scopes.cancel(None, why);
    }

    /// Cancels a scope once `limit` has passed, with [`TimedOut`](ErrorKind::TimedOut).
    pub fn cancel_after(&self, limit: Duration, scope: &Arc<CancelScope>) {
        let Some(at) = Instant::now().checked_add(limit) else { return };
        let scope = Arc::downgrade(scope);
        let _ = self.messages.send(Message::Timeout { at, limit, scope });
    }

    /// Runs `work`, which must catch its panics, on a thread of this context that is none of its
    /// tasks'.
    pub fn spawn(&self, work: Box<dyn FnOnce() + Send>) -> Result<Arc<Spawned>> {
        self.spawner.spawn(work)
    }

    /// The cancelled tasks that have not come back from a closure.
    pub fn abandoned_tasks(&self) -> Vec<AbandonedTask> {
        self.left.tasks()
    }

    /// Forgets what a shuffle has computed; called when its last handle drops.
    pub fn forget_shuffle(&self, shuffle: ShuffleId) {
        // An error means that the scheduler is gone, and its memory with it.
        let _ = self.messages.send(Message::Input(Input::ShuffleDropped { shuffle }));
    }

    /// Tells the listeners.
    pub fn emit(&self, event: Event) {
        self.emitter.emit(event);
    }

    /// Waits until the listeners have heard every event so far, or one of them does not come back from
    /// an event for seconds. On their own thread it returns at once.
    pub fn flush_listeners(&self) {
        if !self.is_forked() {
            self.emitter.flush();
        }
    }

    /// Whether this is a fork of the process that built the context. Only the thread that forks is in
    /// it, and would wait for the others for ever.
    fn is_forked(&self) -> bool {
        self.built_in != std::process::id()
    }

    fn refuse_fork(&self, action: Operation) -> Result<()> {
        if !self.is_forked() {
            return Ok(());
        }
        let (built_in, here) = (self.built_in, std::process::id());
        Err(Error::new(ErrorKind::Forked { built_in, here }).in_action(action))
    }

    /// An action must not wait on a thread that is needed for its end. The first look finds a task
    /// of any context; the second also a closure's rayon work that this pool has stolen.
    fn refuse_own_threads(&self, action: Operation) -> Result<()> {
        refuse_nested(action)?;
        if !self.is_pool_thread() && !self.is_scheduler_thread() {
            return Ok(());
        }
        let outer = "this context's own threads".to_string();
        let kind = ErrorKind::NestedAction { inner: action.to_string(), outer };
        Err(Error::new(kind).in_action(action))
    }

    /// Looks for nodes that can never be computed, and then does the work that must come before
    /// the stages of the others. Says what it met.
    fn prepare(&self, request: &JobRequest) -> Result<Ran> {
        let nodes = parents_first(&request.lineage);
        if let Some(problem) = nodes.iter().find_map(|node| node.problem.as_ref()) {
            return Err(problem.clone());
        }
        let preparations = nodes.iter().filter_map(|node| node.preparation.as_ref());
        preparations.into_iter().try_for_each(|preparation| preparation.prepare())?;
        let edges = nodes.iter().flat_map(|node| node.dependencies());
        let shuffles = edges.filter_map(Dependency::shuffle).cloned().collect();
        let blocks = nodes.iter().filter_map(|node| node.blocks.clone()).collect();
        Ok(Ran { shuffles, blocks })
    }

    /// Whether this is a thread that runs tasks, or pieces of them.
    pub fn is_pool_thread(&self) -> bool {
        self.mark.is_on_this_thread()
    }

    fn is_scheduler_thread(&self) -> bool {
        let scheduler = self.scheduler.as_ref().map(|handle| handle.thread().id());
        scheduler == Some(thread::current().id())
    }
}

impl Drop for Engine {
    /// Stops what runs and waits for the two threads. On a thread of the engine itself it waits for
    /// nothing: they end by themselves. In a fork of the process there is none of them.
    fn drop(&mut self) {
        if self.is_forked() {
            return;
        }
        let _ = self.messages.send(Message::Stop);
        if self.is_scheduler_thread() || self.is_pool_thread() {
            return;
        }
        // A thread that panicked has nothing more to say.
        let _ = self.scheduler.take().map(JoinHandle::join);
        self.emitter.stop();
        if self.emitter.has_ended() {
            let _ = self.listeners.take().map(JoinHandle::join);
        }
    }
}

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

//! Runs tasks on a pool of the context's own. It knows nothing of jobs and stages: a task goes in,
//! and its start and end come out as inputs of the scheduler.

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::event::TaskMetrics;
use crate::faults;
use crate::ids::TaskId;
use crate::memory::MemoryBudget;
use crate::scheduler::{Input, Task, Work};
use crate::scratch::Scratch;
use crate::step::{Raised, Step, restore_failure, take_failure};
use crate::task::{TaskContext, as_task_of};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What every task of one context shares.
pub struct Surroundings {
    /// The settings.
    pub config: Arc<Config>,
    /// The budget.
    pub memory: Arc<MemoryBudget>,
    /// Where files go.
    pub scratch: Arc<Scratch>,
}

/// Hands an input to the scheduler; called on the pool's threads.
pub type Report = Arc<dyn Fn(Input) + Send + Sync>;

/// The tasks on the pool. Dropping it lets the pool's threads end by themselves.
pub struct Runner {
    pool: Arc<ThreadPool>,
    surroundings: Arc<Surroundings>,
    report: Report,
    live: HashMap<TaskId, Arc<Ticket>>,
}

/// A task on its way to a thread. Cancelling takes the task out again, so that nothing waits in
/// the pool's queue with a lineage in its hands.
struct Ticket {
    cancelled: Arc<AtomicBool>,
    task: Mutex<Option<Task>>,
}

impl Ticket {
    fn take(&self) -> Option<Task> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A stack of 8 MiB, as main threads have: closures may recurse.
const STACK_BYTES: usize = 8 << 20;

/// The pool of a context.
pub fn build_pool(threads: usize) -> Result<Arc<ThreadPool>> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|number| format!("emberline-{number}"))
        .stack_size(STACK_BYTES)
        // Tasks are caught where they run; without this a surprise would abort the process.
        .panic_handler(|_| {})
        .build();
    let what = || ErrorKind::Io { what: format!("starting {threads} threads") };
    pool.map(Arc::new).map_err(|error| Error::new(what()).caused_by(error))
}

impl Runner {
    /// A runner with no task yet.
    pub fn new(pool: Arc<ThreadPool>, surroundings: Surroundings, report: Report) -> Self {
        Runner { pool, surroundings: Arc::new(surroundings), report, live: HashMap::new() }
    }

    /// Queues a task behind those queued before.
    pub fn launch(&mut self, task: Task) {
        let id = task.id;
        let ticket = Ticket { cancelled: Arc::default(), task: Mutex::new(Some(task)) };
        let ticket = Arc::new(ticket);
        self.live.insert(id, Arc::clone(&ticket));
        let (surroundings, report) = (Arc::clone(&self.surroundings), Arc::clone(&self.report));
        self.pool.spawn_fifo(move || {
            let Some(task) = ticket.take() else { return };
            report(Input::TaskStarted { task: id });
            let result = run(task, surroundings, &ticket.cancelled);
            report(Input::TaskEnded { task: id, result });
        });
    }

    /// Stops a task: if it has not begun it never will, else it stops at its next look.
    pub fn cancel(&mut self, task: TaskId) {
        if let Some(ticket) = self.live.remove(&task) {
            ticket.cancelled.store(true, Ordering::Relaxed);
            drop_quietly(ticket.take());
        }
    }

    /// Forgets a task that has ended.
    pub fn forget(&mut self, task: TaskId) {
        self.live.remove(&task);
    }

    /// Stops every task.
    pub fn cancel_all(&mut self) {
        let live: Vec<TaskId> = self.live.keys().copied().collect();
        live.into_iter().for_each(|task| self.cancel(task));
    }
}

/// Runs a task to its end. When this returns, the thread holds nothing of the task and the context:
/// an action that returns after the last report leaves no handle behind on the pool.
fn run(
    task: Task,
    surroundings: Arc<Surroundings>,
    cancelled: &Arc<AtomicBool>,
) -> Result<TaskMetrics> {
    let began = Instant::now();
    let Surroundings { config, memory, scratch } = &*surroundings;
    let (config, memory, scratch) = (Arc::clone(config), Arc::clone(memory), Arc::clone(scratch));
    let context = TaskContext::new(task.place, config, memory, scratch, Arc::clone(cancelled));
    let outcome = attempt(&task, &context);
    let metrics = TaskMetrics {
        run_us: began.elapsed().as_micros().try_into().unwrap_or(u64::MAX),
        ..context.metrics()
    };
    drop(context);
    drop_quietly(task);
    drop(surroundings);
    outcome.map(|()| metrics)
}

/// The work under `catch_unwind`. What the thread noted decides over what the work returned: an
/// error that user code caught and swallowed still fails the task.
fn attempt(task: &Task, context: &TaskContext) -> Result<()> {
    let of_the_outer_task = take_failure();
    let work = || {
        faults::begin_task(&context.config, &task.place);
        match &task.work {
            Work::ShuffleMap(shuffle) => shuffle.run_map(task.place.partition, context),
            Work::Result(request) => (request.task)(context),
        }?;
        faults::end_task(&context.config, &task.place)
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| as_task_of(task.owner, work)));
    let (blamed, raised) = take_failure();
    restore_failure(of_the_outer_task);
    let outcome = outcome.unwrap_or_else(|payload| Err(error_of(payload, blamed)));
    let outcome = raised.map_or(outcome, Err);
    outcome.map_err(|error| error.in_step(task.owner))
}

/// What a caught unwinding means: the error that was raised, or a panic of the `blamed` step.
pub fn error_of(payload: Box<dyn Any + Send>, blamed: Option<Step>) -> Error {
    let payload = match payload.downcast::<Raised>() {
        Ok(raised) => return raised.0,
        Err(payload) => payload,
    };
    let message = match (payload.downcast_ref::<String>(), payload.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).into(),
        (None, None) => "(a value that is not text)".into(),
    };
    drop_quietly(payload);
    let error = Error::new(ErrorKind::Panicked { message });
    match blamed {
        Some(step) => error.in_step(step),
        None => error,
    }
}

/// Drops a value of the user's, whose destructor may panic.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        std::mem::forget(again);
    }
}

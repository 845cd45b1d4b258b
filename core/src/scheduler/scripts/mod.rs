//! The vocabulary of the scheduler's test scripts. A script lists inputs and the launches it
//! expects; nothing is computed.
//!
//! - `graphs`: cutting the lineage into stages.
//! - `faults`: failed tasks and lost outputs.
//! - `sharing`: jobs that run at the same time.
//! - `speculation`: stragglers.
//! - `windows`: stages with more tasks than are launched at a time.
//! - `random`: random graphs, orders and losses.

mod faults;
mod graphs;
mod random;
mod sharing;
mod speculation;
mod windows;

use super::{Command, Input, Limits, Scheduler};
use crate::attempt::CommitRight;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, StageInfo, TaskMetrics};
use crate::ids::{JobId, RddId, ShuffleId, TaskId};
use crate::job::{JobRequest, Progress};
use crate::lineage::{Dependency, LineageNode, ShuffleDependency, StoredBlocks};
use crate::operation::Operation;
use crate::quiet::Quiet;
use crate::task::TaskContext;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use testkit::{DEADLINE, Deadline, deadline};

/// A shuffle whose map tasks must never run.
pub(super) struct FakeShuffle {
    id: ShuffleId,
    operation: Operation,
    parent: Arc<LineageNode>,
}

impl ShuffleDependency for FakeShuffle {
    fn id(&self) -> ShuffleId {
        self.id
    }
    fn operation(&self) -> Operation {
        self.operation
    }
    fn parent(&self) -> &Arc<LineageNode> {
        &self.parent
    }
    fn partitions(&self) -> usize {
        2
    }
    fn run_map(&self, _: usize, _: &TaskContext) -> Result<()> {
        panic!("computed")
    }
}

/// Blocks that are all stored or all missing.
#[derive(Default)]
pub(super) struct FakeBlocks(AtomicBool);

impl FakeBlocks {
    fn set(&self, stored: bool) {
        self.0.store(stored, Ordering::Relaxed);
    }
}

impl StoredBlocks for FakeBlocks {
    fn is_stored(&self, _: usize) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

type Node = Arc<LineageNode>;
type Shuffle = Arc<dyn ShuffleDependency>;

fn node(partitions: usize, dependencies: Vec<Dependency>) -> LineageNode {
    LineageNode::new(RddId(0), Operation::new("fake"), partitions, dependencies)
}

fn source(partitions: usize) -> Node {
    Arc::new(node(partitions, vec![]))
}

fn narrow(partitions: usize, parents: &[&Node]) -> Node {
    let parents = parents.iter().map(|parent| Dependency::Narrow(Arc::clone(parent)));
    Arc::new(node(partitions, parents.collect()))
}

fn shuffle(id: u64, parent: &Node) -> Shuffle {
    let operation = Operation::new("shuffle");
    Arc::new(FakeShuffle { id: ShuffleId(id), operation, parent: Arc::clone(parent) })
}

fn read(partitions: usize, shuffles: &[&Shuffle]) -> Node {
    let shuffles = shuffles.iter().map(|shuffle| Dependency::Shuffle(Arc::clone(shuffle)));
    Arc::new(node(partitions, shuffles.collect()))
}

fn stored(partitions: usize, shuffle: &Shuffle) -> (Node, Arc<FakeBlocks>) {
    let blocks = Arc::new(FakeBlocks::default());
    blocks.set(true);
    let mut node = node(partitions, vec![Dependency::Shuffle(Arc::clone(shuffle))]);
    node.blocks = Some(blocks.clone());
    (Arc::new(node), blocks)
}

/// The task that an attempt runs: map partition `p` of shuffle 3 is `map(3, p)`, the task for
/// partition `p` of job 0 is `result(0, p)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum TaskKey {
    Map(u64, usize),
    Result(u64, usize),
}

fn map(shuffle: u64, partition: usize) -> TaskKey {
    TaskKey::Map(shuffle, partition)
}

fn maps(shuffle: u64, partitions: usize) -> Vec<TaskKey> {
    (0..partitions).map(|partition| map(shuffle, partition)).collect()
}

fn result(job: u64, partition: usize) -> TaskKey {
    TaskKey::Result(job, partition)
}

fn results(job: u64, partitions: usize) -> Vec<TaskKey> {
    (0..partitions).map(|partition| result(job, partition)).collect()
}

fn panicked() -> Error {
    Error::new(ErrorKind::Panicked { message: "boom".into() })
}

fn disk_fault() -> Error {
    Error::io("writing", std::io::Error::other("no space"))
}

fn lost(shuffle: u64, map_partition: usize) -> Error {
    all_lost(shuffle, map_partition, [])
}

/// Returns the error of a reader that found an output lost, checked the others, and found `others`
/// lost as well.
fn all_lost<const N: usize>(shuffle: u64, map_partition: usize, others: [usize; N]) -> Error {
    Error::new(ErrorKind::FetchFailed {
        shuffle: ShuffleId(shuffle),
        map_partition,
        others: others.to_vec(),
    })
}

/// Returns the limits of a context with the given attempts for closures.
fn limits(max_attempts: usize) -> Limits {
    Limits::of(&Config { max_attempts, ..Config::default() })
}

/// A scheduler and the test that drives it.
struct Script {
    scheduler: Scheduler,
    /// The live attempt of each task.
    live: BTreeMap<TaskKey, TaskId>,
    /// The speculative attempt that runs at the same time.
    speculative: BTreeMap<TaskKey, TaskId>,
    keys: HashMap<TaskId, TaskKey>,
    rights: HashMap<TaskId, Arc<CommitRight>>,
    launched: Vec<TaskKey>,
    cancelled: Vec<TaskKey>,
    /// Cancelled attempts whose end has not been reported.
    late: Vec<TaskId>,
    finished: BTreeMap<u64, Result<()>>,
    events: Vec<Event>,
    actions: BTreeMap<u64, Weak<JobRequest>>,
    /// The state machine never blocks, but it might loop forever.
    _ends: Deadline,
}

impl Script {
    fn new() -> Self {
        Script::with(limits(1))
    }

    fn with(limits: Limits) -> Self {
        Script {
            scheduler: Scheduler::new(limits),
            live: BTreeMap::new(),
            speculative: BTreeMap::new(),
            keys: HashMap::new(),
            rights: HashMap::new(),
            launched: Vec::new(),
            cancelled: Vec::new(),
            late: Vec::new(),
            finished: BTreeMap::new(),
            events: Vec::new(),
            actions: BTreeMap::new(),
            _ends: deadline(DEADLINE),
        }
    }

    fn submit(&mut self, job: u64, lineage: &Node) -> &mut Self {
        self.submit_partitions(job, lineage, (0..lineage.partitions()).collect())
    }

    fn submit_partitions(&mut self, job: u64, lineage: &Node, partitions: Vec<usize>) -> &mut Self {
        let request = Arc::new(JobRequest {
            action: Operation::new("collect"),
            lineage: Arc::clone(lineage),
            partitions,
            task: Quiet::new(Arc::new(|_| panic!("computed"))),
        });
        self.actions.insert(job, Arc::downgrade(&request));
        self.on(Input::JobSubmitted { job: JobId(job), request })
    }

    fn on(&mut self, input: Input) -> &mut Self {
        for command in self.scheduler.on(input) {
            match command {
                Command::Launch(task) => {
                    let key = match &task.work {
                        super::Work::ShuffleMap(shuffle) => {
                            map(shuffle.id().0, task.attempt_id.partition)
                        }
                        super::Work::Result(request) => {
                            let mut jobs = self.actions.iter();
                            let job = jobs.find(|(_, it)| it.as_ptr() == Arc::as_ptr(request));
                            result(*job.unwrap().0, task.attempt_id.partition)
                        }
                    };
                    match self.live.entry(key) {
                        Entry::Vacant(free) => {
                            free.insert(task.id);
                        }
                        Entry::Occupied(_) => {
                            let before = self.speculative.insert(key, task.id);
                            assert_eq!(before, None, "two copies of {key:?}");
                            let may_copy = self.scheduler.limits.speculation.is_some();
                            assert!(may_copy, "{key:?} is live");
                        }
                    }
                    self.keys.insert(task.id, key);
                    self.rights.insert(task.id, task.right);
                    self.launched.push(key);
                }
                Command::CancelTask(task) => {
                    let key = self.keys[&task];
                    self.forget(key, task);
                    self.cancelled.push(key);
                    self.late.push(task);
                }
                Command::FinishJob { job, result, progress } => {
                    assert!(progress.tasks_done <= progress.tasks, "{progress:?}");
                    let is_complete = progress.tasks_done == progress.tasks;
                    assert!(result.is_err() || is_complete, "{progress:?}");
                    let before = self.finished.insert(job.0, result);
                    assert!(before.is_none(), "{job} ended twice");
                    let request = self.actions.remove(&job.0).unwrap();
                    assert!(request.upgrade().is_none() || self.holds(job.0), "{job} is held");
                }
                Command::Emit(event) => self.events.push(event),
            }
        }
        self
    }

    /// Removes a live attempt. A speculative attempt, if there is one, becomes the only one.
    #[track_caller]
    fn forget(&mut self, key: TaskKey, task: TaskId) {
        if self.speculative.get(&key) == Some(&task) {
            self.speculative.remove(&key);
            return;
        }
        assert_eq!(self.live.remove(&key), Some(task), "{key:?} was not live");
        if let Some(copy) = self.speculative.remove(&key) {
            self.live.insert(key, copy);
        }
    }

    /// Returns true if a task of the job is live, which may hold the request.
    fn holds(&self, job: u64) -> bool {
        self.live.keys().any(|key| matches!(key, TaskKey::Result(owner, _) if *owner == job))
    }

    /// Asserts that exactly these tasks were launched since the last check, in this order.
    #[track_caller]
    fn expect(&mut self, keys: impl IntoIterator<Item = TaskKey>) -> &mut Self {
        let keys: Vec<TaskKey> = keys.into_iter().collect();
        assert_eq!(std::mem::take(&mut self.launched), keys);
        self
    }

    #[track_caller]
    fn expect_nothing(&mut self) -> &mut Self {
        self.expect([])
    }

    #[track_caller]
    fn expect_cancelled(&mut self, keys: impl IntoIterator<Item = TaskKey>) -> &mut Self {
        let keys: Vec<TaskKey> = keys.into_iter().collect();
        assert_eq!(std::mem::take(&mut self.cancelled), keys);
        self
    }

    #[track_caller]
    fn task(&self, key: TaskKey) -> TaskId {
        *self.live.get(&key).unwrap_or_else(|| panic!("{key:?} is not live"))
    }

    #[track_caller]
    fn start(&mut self, key: TaskKey) -> &mut Self {
        let task = self.task(key);
        self.on(Input::TaskStarted { task })
    }

    #[track_caller]
    fn end(&mut self, key: TaskKey, result: Result<TaskMetrics>) -> &mut Self {
        let task = self.task(key);
        self.end_task(task, result)
    }

    #[track_caller]
    fn end_task(&mut self, task: TaskId, result: Result<TaskMetrics>) -> &mut Self {
        self.forget(self.keys[&task], task);
        self.on(Input::TaskEnded { task, result })
    }

    #[track_caller]
    fn succeed(&mut self, keys: impl IntoIterator<Item = TaskKey>) -> &mut Self {
        for key in keys {
            self.end(key, Ok(TaskMetrics::default()));
        }
        self
    }

    #[track_caller]
    fn fail(&mut self, key: TaskKey, error: Error) -> &mut Self {
        self.end(key, Err(error))
    }

    fn cancel(&mut self, job: u64) -> &mut Self {
        let error = Error::cancelled("by the test");
        self.on(Input::JobCancelled { job: JobId(job), error })
    }

    fn drop_shuffle(&mut self, shuffle: u64) -> &mut Self {
        self.on(Input::ShuffleDropped { shuffle: ShuffleId(shuffle) })
    }

    #[track_caller]
    fn expect_done(&mut self, job: u64) -> &mut Self {
        let result = self.finished.remove(&job).unwrap_or_else(|| panic!("job {job} runs"));
        result.unwrap();
        self
    }

    #[track_caller]
    fn expect_failed(&mut self, job: u64) -> Error {
        let result = self.finished.remove(&job).unwrap_or_else(|| panic!("job {job} runs"));
        let error = result.unwrap_err();
        assert_eq!(error.action().map(|operation| operation.name), Some("collect"), "{error}");
        error
    }

    #[track_caller]
    fn expect_running(&mut self, job: u64) -> &mut Self {
        assert!(!self.finished.contains_key(&job), "job {job} has ended");
        self
    }

    /// Asserts that nothing is stored but the outputs of these shuffles.
    #[track_caller]
    fn expect_idle(&mut self, shuffles: &[u64]) -> &mut Self {
        let it = &self.scheduler;
        assert_eq!((it.jobs.len(), it.stages.len(), it.tasks.len()), (0, 0, 0));
        let mut known: Vec<u64> = it.outputs.keys().map(|shuffle| shuffle.0).collect();
        known.sort_unstable();
        assert_eq!(known, shuffles);
        assert!(it.outputs.values().all(|it| it.stage.is_none() && it.readers.is_empty()));
        self
    }

    fn stages_of(&self, wanted: u64) -> Vec<StageInfo> {
        let find = |event: &Event| match event {
            Event::JobStarted { job, stages, .. } if job.0 == wanted => Some(stages.clone()),
            _ => None,
        };
        self.events.iter().find_map(find).unwrap()
    }

    fn count(&self, is_it: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| is_it(event)).count()
    }
}

//! The scheduler, a pure state machine: inputs report what has happened, commands state what to do.
//! It has no clock, thread, lock or disk, so a test can play any order of inputs and check the
//! commands. See the README of this directory.
//!
//! - `plan`: walks over the lineage.
//! - `stage`: the state: jobs, stages, map outputs.
//! - `slots`: the partitions of a stage: pending, live or done.
//! - `graph`: the graph of running stages.
//! - `attempts`: starts and cancels attempts, and speculates.
//! - `completion`: handles task start and completion.

mod attempts;
mod completion;
mod graph;
mod plan;
mod slots;
mod stage;

pub(crate) use plan::{ancestors_first, parents_first};

use crate::attempt::CommitRight;
use crate::config::{Config, Speculation};
use crate::error::{Error, Result, TaskAttemptId};
use crate::event::{Event, StageInfo, TaskMetrics};
use crate::ids::{JobId, ShuffleId, StageId, TaskId};
use crate::job::{JobRequest, Progress};
use crate::lineage::ShuffleDependency;
use crate::operation::Operation;
use stage::{EventSeq, Job, Outputs, RunningAttempt, Stage, StageKind};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The attempts of a task that fails with disk errors, unless more are configured.
const MIN_TRANSIENT_ATTEMPTS: usize = 4;
/// The consecutive attempts of a stage that may find inputs lost without progress: without an output
/// among them that the stage had not found lost before.
const MAX_STAGE_ATTEMPTS: usize = 4;

/// The tasks that a stage launches ahead, for each thread.
const TASKS_PER_THREAD: usize = 4;
/// The tasks that a stage launches at least, if it has as many. A launched task takes about a
/// kilobyte until it ends, and a stage may have a million.
const MIN_WINDOW: usize = 256;

/// The limits of retries, and the rule of speculation.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The attempts of a task whose closure fails.
    pub closure_attempts: usize,
    /// The attempts of a task that fails with a disk error.
    pub transient_attempts: usize,
    /// The consecutive attempts of a stage that may find inputs lost without progress.
    pub stage_attempts: usize,
    /// The tasks of a stage that are launched at most, whether they run or wait for a thread.
    pub window: usize,
    /// The rule for speculative attempts, if enabled.
    pub speculation: Option<Speculation>,
}

impl Limits {
    /// Returns the limits of a context.
    pub fn of(config: &Config) -> Self {
        Limits {
            closure_attempts: config.max_attempts,
            transient_attempts: config.max_attempts.max(MIN_TRANSIENT_ATTEMPTS),
            stage_attempts: MAX_STAGE_ATTEMPTS,
            window: MIN_WINDOW.max(TASKS_PER_THREAD.saturating_mul(config.threads)),
            speculation: config.speculation,
        }
    }
}

/// An input: something that happened.
pub enum Input {
    /// An action requests a job.
    JobSubmitted {
        /// The id of the new job.
        job: JobId,
        /// The work.
        request: Arc<JobRequest>,
    },
    /// A task started.
    TaskStarted {
        /// The attempt.
        task: TaskId,
    },
    /// A task ended.
    TaskEnded {
        /// The attempt.
        task: TaskId,
        /// The metrics of the task, or its error.
        result: Result<TaskMetrics>,
    },
    /// A job was cancelled.
    JobCancelled {
        /// The job.
        job: JobId,
        /// The error of the job.
        error: Error,
    },
    /// Time has passed. The scheduler has no clock, so this is how it detects stragglers.
    Tick {
        /// The run times of the running tasks so far, in microseconds.
        running: Vec<(TaskId, u64)>,
    },
    /// The outputs of a shuffle were dropped.
    ShuffleDropped {
        /// The shuffle.
        shuffle: ShuffleId,
    },
}

/// A command: something to do. Commands must be executed in order.
pub enum Command {
    /// Run a task.
    Launch(Task),
    /// Cancel a task if that is still possible. Its end changes nothing any more.
    CancelTask(TaskId),
    /// Report the end of a job to its action.
    FinishJob {
        /// The job.
        job: JobId,
        /// The result of the job.
        result: Result<()>,
        /// Its progress at the end.
        progress: Progress,
    },
    /// Send an event to the listeners.
    Emit(Event),
}

/// One attempt of a task.
pub struct Task {
    /// The id of the attempt.
    pub id: TaskId,
    /// The job, stage, partition and number of the attempt.
    pub attempt_id: TaskAttemptId,
    /// The work.
    pub work: Work,
    /// The operation or action for which it runs. Failures without a more precise operation are
    /// attributed to it.
    pub owner: Operation,
    /// The right to commit, shared by the live attempts of the slot.
    pub right: Arc<CommitRight>,
}

/// The work of a task.
#[derive(Clone)]
pub enum Work {
    /// One map partition of a shuffle.
    ShuffleMap(Arc<dyn ShuffleDependency>),
    /// One partition of the result.
    Result(Arc<JobRequest>),
}

/// The state machine.
pub struct Scheduler {
    limits: Limits,
    jobs: BTreeMap<JobId, Job>,
    stages: BTreeMap<StageId, Stage>,
    /// The map outputs. They outlive jobs and hold no lineage.
    outputs: HashMap<ShuffleId, Outputs>,
    tasks: HashMap<TaskId, RunningAttempt>,
    next_stage: u64,
    next_task: u64,
    now: EventSeq,
    commands: Vec<Command>,
}

impl Scheduler {
    /// Returns a scheduler without jobs.
    pub fn new(limits: Limits) -> Self {
        Scheduler {
            limits,
            jobs: BTreeMap::new(),
            stages: BTreeMap::new(),
            outputs: HashMap::new(),
            tasks: HashMap::new(),
            next_stage: 0,
            next_task: 0,
            now: 0,
            commands: Vec::new(),
        }
    }

    /// Processes an input and returns the commands to execute.
    pub fn on(&mut self, input: Input) -> Vec<Command> {
        self.now += 1;
        match input {
            Input::JobSubmitted { job, request } => self.submit(job, request),
            Input::TaskStarted { task } => self.task_started(task),
            Input::TaskEnded { task, result } => self.task_ended(task, result),
            Input::JobCancelled { job, error } => self.finish_job(job, Err(error)),
            Input::Tick { running } => self.speculate(&running),
            Input::ShuffleDropped { shuffle } => self.drop_outputs(shuffle),
        }
        std::mem::take(&mut self.commands)
    }

    /// Returns the jobs that have not ended.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.jobs.keys().copied()
    }

    /// Returns the progress of a job that has not ended.
    pub fn progress(&self, job: JobId) -> Progress {
        let stages = self.jobs.get(&job).into_iter().flat_map(|job| &job.stages);
        let mut all = Progress::default();
        for stage in stages.filter_map(|id| self.stages.get(id)) {
            all.add(stage.slots.progress());
        }
        all
    }

    /// Validates the partitions of a job and plans it.
    fn submit(&mut self, job: JobId, request: Arc<JobRequest>) {
        let partitions = request.lineage.partitions();
        let outside = request.partitions.iter().find(|partition| **partition >= partitions);
        let refusal = outside.map(|partition| {
            Error::invalid_argument(format!(
                "partition {partition} out of range: `{}` has {partitions} partitions",
                request.lineage.operation()
            ))
        });
        let action = request.action;
        if refusal.is_some() || request.partitions.is_empty() {
            self.emit_job_started(job, action, Vec::new());
            let result = refusal.map_or(Ok(()), Err);
            self.end_job(job, action, result, Progress::default());
            return;
        }
        self.plan_job(job, request);
    }

    /// Creates the stages of a job, parents first, and launches those that can start.
    fn plan_job(&mut self, job: JobId, request: Arc<JobRequest>) {
        let action = request.action;
        let inputs = plan::direct_shuffles(&request.lineage);
        let order = plan::parents_first_shuffles(&inputs, |shuffle| self.inputs_to_run(shuffle));
        let mut infos = Vec::with_capacity(order.len() + 1);
        let mut attached = Vec::with_capacity(order.len() + 1);
        let mut skipped = Vec::new();
        for planned in order {
            let id = self.stage_of(&planned.shuffle);
            let parents = planned.inputs.as_deref().map(|inputs| self.stage_ids(inputs));
            match planned.inputs {
                Some(inputs) => self.set_inputs(id, inputs),
                None => skipped.push(id),
            }
            infos.push(self.stages[&id].info(id, parents.unwrap_or_default()));
            attached.push(id);
        }
        let slots = 0..request.partitions.len();
        let result_stage = self.add_stage(Stage::new(StageKind::Result(request), slots));
        let parents = self.stage_ids(&inputs);
        infos.push(self.stages[&result_stage].info(result_stage, parents));
        self.set_inputs(result_stage, inputs);
        attached.push(result_stage);
        self.jobs.insert(job, Job { action, result_stage, stages: BTreeSet::new() });
        for id in attached {
            self.attach(&BTreeSet::from([job]), id);
        }
        self.emit_job_started(job, action, infos);
        for stage in skipped {
            self.emit(Event::StageSkipped { job, stage });
        }
        self.advance(result_stage);
    }

    /// Ends a job: removes it, cancels tasks that no other job needs, and reports the result.
    fn finish_job(&mut self, job: JobId, result: Result<()>) {
        let mut progress = self.progress(job);
        if result.is_ok() {
            // Outputs that another job found lost meanwhile are not part of this job.
            progress.tasks = progress.tasks_done;
        }
        let Some(ended) = self.jobs.remove(&job) else { return };
        let mut shared = Vec::new();
        for id in ended.stages {
            let Some(stage) = self.stages.get_mut(&id) else { continue };
            stage.jobs.remove(&job);
            if stage.jobs.is_empty() {
                self.remove_stage(id);
            } else {
                shared.push(id);
            }
        }
        self.park_unneeded(&shared);
        self.end_job(job, ended.action, result, progress);
    }

    fn end_job(&mut self, job: JobId, action: Operation, result: Result<()>, progress: Progress) {
        let result = result.map_err(|error| error.in_action(action));
        let error = result.as_ref().err().map(Error::to_string);
        self.emit(Event::JobFinished { job, error });
        self.commands.push(Command::FinishJob { job, result, progress });
    }

    /// Forgets the outputs of a shuffle that cannot be read any more.
    fn drop_outputs(&mut self, shuffle: ShuffleId) {
        let Some(outputs) = self.outputs.get_mut(&shuffle) else { return };
        let stage = outputs.stage;
        let stored = (0..outputs.len()).filter(|it| outputs.finished_at(*it).is_some());
        let stored: Vec<usize> = stored.collect();
        stored.iter().for_each(|partition| outputs.mark_lost(*partition));
        if let Some(stage) = stage.and_then(|id| self.stages.get_mut(&id)) {
            stored.iter().for_each(|partition| stage.slots.set_pending(*partition));
            stage.starts_new_attempt = true;
        }
        self.stop_launching_readers(shuffle);
        for reader in self.waiting_readers(shuffle) {
            self.advance(reader);
        }
        self.prune(shuffle);
    }

    fn emit_job_started(&mut self, job: JobId, action: Operation, stages: Vec<StageInfo>) {
        self.emit(Event::JobStarted {
            job,
            action: action.name.into(),
            call_site: action.call_site.to_string(),
            stages,
        });
    }

    fn emit(&mut self, event: Event) {
        self.commands.push(Command::Emit(event));
    }
}

#[cfg(test)]
mod scripts;

//! The scheduler: what has happened goes in, what must be done comes out. It has no clock, thread,
//! lock or disk, so a test can play any order of events and read the answers; see the README beside
//! this file.
//!
//! `plan` reads lineage, `stage` holds what is remembered, `graph` keeps the graph of running stages,
//! `attempts` launches and stops the attempts of a task, `completion` reacts to their end.

mod attempts;
mod completion;
mod graph;
mod plan;
mod stage;

pub(crate) use plan::parents_first;

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

/// How often something may fail.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Attempts of a task whose closure fails.
    pub closure_attempts: usize,
    /// Attempts of a task that the disk fails.
    pub transient_attempts: usize,
    /// Attempts of a stage, one after the other, that find inputs lost.
    pub stage_attempts: usize,
    /// When stragglers get copies, if they do.
    pub speculation: Option<Speculation>,
}

impl Limits {
    /// The limits of a context.
    pub fn of(config: &Config) -> Self {
        Limits {
            closure_attempts: config.max_attempts,
            transient_attempts: config.max_attempts.max(4),
            stage_attempts: 4,
            speculation: config.speculation,
        }
    }
}

/// Something that happened.
pub enum Input {
    /// An action asks for a job.
    JobSubmitted {
        /// The new job's number.
        job: JobId,
        /// What to run.
        request: Arc<JobRequest>,
    },
    /// A task began to run.
    TaskStarted {
        /// The attempt.
        task: TaskId,
    },
    /// A task ended.
    TaskEnded {
        /// The attempt.
        task: TaskId,
        /// What it counted, or why it failed.
        result: Result<TaskMetrics>,
    },
    /// Nobody wants the job any more.
    JobCancelled {
        /// The job.
        job: JobId,
        /// By whom or why: the job's error.
        why: Error,
    },
    /// Time has passed. The scheduler has no clock, so this is how it learns of stragglers.
    Tick {
        /// How long tasks have been running by now, in microseconds.
        running: Vec<(TaskId, u64)>,
    },
    /// The outputs of a shuffle are gone for good.
    ShuffleDropped {
        /// The shuffle.
        shuffle: ShuffleId,
    },
}

/// Something that must be done, in the order of the answer.
pub enum Command {
    /// Run a task.
    Launch(Task),
    /// Stop a task if that is still possible; its end does not matter any more.
    CancelTask(TaskId),
    /// Tell whoever asked for the job how it ended.
    FinishJob {
        /// The job.
        job: JobId,
        /// How it ended.
        result: Result<()>,
        /// How far it had come.
        progress: Progress,
    },
    /// Tell the listeners.
    Emit(Event),
}

/// One attempt of one task.
pub struct Task {
    /// The attempt's number.
    pub id: TaskId,
    /// Where in the run it stands.
    pub place: TaskAttemptId,
    /// What to run.
    pub work: Work,
    /// The operation or action it works for: blamed for a failure that has no closer step.
    pub owner: Operation,
    /// The right to leave a result, shared with the attempts beside it.
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
    /// Outlives jobs, and holds no lineage.
    outputs: HashMap<ShuffleId, Outputs>,
    tasks: HashMap<TaskId, RunningAttempt>,
    next_stage: u64,
    next_task: u64,
    now: EventSeq,
    commands: Vec<Command>,
}

impl Scheduler {
    /// A scheduler that has seen nothing.
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

    /// Takes in what happened and answers what must be done.
    pub fn on(&mut self, input: Input) -> Vec<Command> {
        self.now += 1;
        match input {
            Input::JobSubmitted { job, request } => self.submit(job, request),
            Input::TaskStarted { task } => self.task_started(task),
            Input::TaskEnded { task, result } => self.task_ended(task, result),
            Input::JobCancelled { job, why } => self.finish_job(job, Err(why)),
            Input::Tick { running } => self.copy_stragglers(&running),
            Input::ShuffleDropped { shuffle } => self.drop_outputs(shuffle),
        }
        std::mem::take(&mut self.commands)
    }

    /// The jobs that have not ended.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.jobs.keys().copied()
    }

    /// How far a job has come that has not ended.
    pub fn progress(&self, job: JobId) -> Progress {
        let stages = self.jobs.get(&job).into_iter().flat_map(|job| &job.stages);
        let mut all = Progress::default();
        for stage in stages.filter_map(|id| self.stages.get(id)) {
            all.add(stage.progress());
        }
        all
    }

    fn submit(&mut self, job: JobId, request: Arc<JobRequest>) {
        let partitions = request.lineage.partitions();
        let outside = request.partitions.iter().find(|partition| **partition >= partitions);
        let refusal = outside.map(|partition| {
            Error::invalid_argument(format!(
                "partition {partition} was asked for, but `{}` has {partitions}",
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

    /// Makes the stages of a job, parents first, and starts what can start.
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
        let slots = (0..request.partitions.len()).collect();
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

    /// Ends a job: forgets it, stops what only it needed, and tells.
    fn finish_job(&mut self, job: JobId, result: Result<()>) {
        let mut progress = self.progress(job);
        if result.is_ok() {
            // What another job found lost behind its back was not its work.
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

    /// Forgets the outputs of a shuffle that nobody can read any more.
    fn drop_outputs(&mut self, shuffle: ShuffleId) {
        let Some(outputs) = self.outputs.get_mut(&shuffle) else { return };
        let stage = outputs.stage;
        let there = (0..outputs.len()).filter(|partition| outputs.done_at(*partition).is_some());
        let there: Vec<usize> = there.collect();
        there.iter().for_each(|partition| outputs.lose(*partition));
        if let Some(stage) = stage.and_then(|id| self.stages.get_mut(&id)) {
            stage.pending.extend(there);
            stage.renew = true;
        }
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

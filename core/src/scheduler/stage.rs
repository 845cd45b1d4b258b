//! The state of the scheduler: jobs, stages while a job needs them, and map outputs until their
//! shuffle is dropped.

use crate::error::{Error, TaskAttemptId};
use crate::event::StageInfo;
use crate::ids::{JobId, ShuffleId, StageId, TaskId};
use crate::job::JobRequest;
use crate::lineage::{LineageNode, ShuffleDependency};
use crate::operation::Operation;
use crate::scheduler::Work;
use crate::scheduler::slots::Slots;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// Logical time: the number of inputs processed.
pub(super) type EventSeq = u64;

/// A running job.
pub(super) struct Job {
    pub action: Operation,
    pub result_stage: StageId,
    /// The stages attached to it. A stage lives while at least one job is attached.
    pub stages: BTreeSet<StageId>,
}

/// The tasks that run one pipeline, while at least one job is attached.
pub(super) struct Stage {
    pub kind: StageKind,
    pub jobs: BTreeSet<JobId>,
    /// The shuffles that its tasks read, once they have been determined.
    pub inputs: Option<Vec<Arc<dyn ShuffleDependency>>>,
    pub slots: Slots,
    /// The slots of a result stage that are not done. Those of a map stage are in [`Outputs`].
    pub unfinished: usize,
    /// The attempts of the stage started so far.
    pub attempts: usize,
    /// True if the next launch starts a new attempt of the stage.
    pub starts_new_attempt: bool,
    /// The attempts that found inputs lost.
    fetch_failures: FetchFailures,
    /// True from a launch until an input is found lost: then pending slots may be launched.
    pub is_ready: bool,
    /// True if it was stopped because no job needs it at the moment.
    pub parked: bool,
    /// The run times of its finished tasks in microseconds, recorded only if speculation is
    /// enabled.
    pub run_times_us: Vec<u64>,
}

/// The kind of a stage.
pub(super) enum StageKind {
    Map(Arc<dyn ShuffleDependency>),
    Result(Arc<JobRequest>),
}

/// A launched attempt whose end has not been reported.
pub(super) struct RunningAttempt {
    pub attempt_id: TaskAttemptId,
    pub slot: usize,
    /// The attempt of its stage that launched it, counted like [`Stage::attempts`].
    pub stage_attempt: usize,
    /// The time when it started, or was launched if it has not started.
    pub started_at: EventSeq,
    /// True if it has started.
    pub has_started: bool,
}

/// The attempts of a stage that found inputs lost.
///
/// An attempt that found an output lost for the first time has made progress: that output is
/// recomputed, and later attempts do not find its damage again. So the count begins again. A stage
/// has at most as many such attempts as its inputs have outputs, and after each of them a limited
/// number without progress, so every stage ends.
#[derive(Default)]
struct FetchFailures {
    /// The consecutive attempts since the stage last made progress or succeeded, the one that made
    /// progress included.
    attempts: usize,
    last_attempt: Option<usize>,
    /// The first error of each of these attempts but the last.
    failures: Vec<Error>,
    /// Every output that an attempt found lost. It is not cleared by a success.
    found: HashSet<(ShuffleId, usize)>,
}

/// The map outputs of one shuffle.
pub(super) struct Outputs {
    /// For each map partition, the time when its output was finished, or 0 if there is none.
    finished_at: Vec<EventSeq>,
    pub missing: usize,
    /// The stage that computes the missing outputs, if a job needs any.
    pub stage: Option<StageId>,
    /// The stages that read the shuffle.
    pub readers: BTreeSet<StageId>,
}

impl Stage {
    /// Returns a stage whose slots are done, except for `pending`.
    pub fn new(kind: StageKind, pending: impl IntoIterator<Item = usize>) -> Self {
        let slots = match &kind {
            StageKind::Map(shuffle) => shuffle.parent().partitions(),
            StageKind::Result(request) => request.partitions.len(),
        };
        let slots = Slots::new(slots, pending);
        Stage {
            kind,
            jobs: BTreeSet::new(),
            inputs: None,
            unfinished: slots.pending(),
            slots,
            attempts: 0,
            starts_new_attempt: true,
            fetch_failures: FetchFailures::default(),
            is_ready: false,
            parked: false,
            run_times_us: Vec::new(),
        }
    }

    /// Returns the node whose partitions the tasks compute.
    pub fn lineage(&self) -> &Arc<LineageNode> {
        match &self.kind {
            StageKind::Map(shuffle) => shuffle.parent(),
            StageKind::Result(request) => &request.lineage,
        }
    }

    pub fn shuffle(&self) -> Option<ShuffleId> {
        match &self.kind {
            StageKind::Map(shuffle) => Some(shuffle.id()),
            StageKind::Result(_) => None,
        }
    }

    /// Returns the partition that a slot computes.
    pub fn partition(&self, slot: usize) -> usize {
        match &self.kind {
            StageKind::Map(_) => slot,
            StageKind::Result(request) => request.partitions[slot],
        }
    }

    /// Returns the operation or action for which the tasks run.
    pub fn owner(&self) -> Operation {
        match &self.kind {
            StageKind::Map(shuffle) => shuffle.operation(),
            StageKind::Result(request) => request.action,
        }
    }

    pub fn work(&self) -> Work {
        match &self.kind {
            StageKind::Map(shuffle) => Work::ShuffleMap(Arc::clone(shuffle)),
            StageKind::Result(request) => Work::Result(Arc::clone(request)),
        }
    }

    pub fn info(&self, stage: StageId, parents: Vec<StageId>) -> StageInfo {
        StageInfo {
            stage,
            shuffle: self.shuffle(),
            operation: self.owner().name.into(),
            call_site: self.owner().call_site.to_string(),
            partitions: self.slots.len(),
            parents,
        }
    }

    /// Returns true if half of `window` has ended, more tasks wait, and no input is missing. Tasks
    /// are launched in groups, since a thread that finds no task sleeps and has to be woken.
    pub fn may_launch(&self, window: usize) -> bool {
        self.is_ready && self.slots.pending() > 0 && self.slots.live() <= window / 2
    }

    /// Counts an attempt that found outputs of `shuffle` lost, and returns the last error if it is
    /// the `limit`th in a row without progress. All such tasks of one attempt count as one failure,
    /// and late ones of an older attempt do not count.
    pub fn count_fetch_failure(
        &mut self,
        stage_attempt: usize,
        shuffle: ShuffleId,
        lost: &[usize],
        error: Error,
        limit: usize,
    ) -> Option<Error> {
        let failed = &mut self.fetch_failures;
        let known = failed.found.len();
        failed.found.extend(lost.iter().map(|map_partition| (shuffle, *map_partition)));
        let is_progress = failed.found.len() > known;
        if stage_attempt != self.attempts {
            return None;
        }
        self.starts_new_attempt = true;
        let is_first_of_attempt = failed.last_attempt.replace(stage_attempt) != Some(stage_attempt);
        if is_progress {
            failed.attempts = 1;
            failed.failures.clear();
        } else if is_first_of_attempt {
            failed.attempts += 1;
        } else {
            return None;
        }
        if failed.attempts < limit {
            failed.failures.push(error);
            return None;
        }
        Some(error.after_attempts(failed.attempts, std::mem::take(&mut failed.failures)))
    }

    /// Resets the count of fetch failures, because the stage has succeeded. The outputs that were
    /// found lost stay known, so that successes in between do not make a lost output new again.
    pub fn reset_fetch_failures(&mut self) {
        let found = std::mem::take(&mut self.fetch_failures.found);
        self.fetch_failures = FetchFailures { found, ..FetchFailures::default() };
    }

    /// Parks the stage and resets all counts of failures, because no job needs it any more. Returns
    /// the attempts that were live.
    pub fn park(&mut self) -> Vec<TaskId> {
        self.parked = true;
        self.is_ready = false;
        self.starts_new_attempt = true;
        self.fetch_failures = FetchFailures::default();
        self.slots.stop()
    }
}

impl Outputs {
    pub fn new(partitions: usize) -> Self {
        Outputs {
            finished_at: vec![0; partitions],
            missing: partitions,
            stage: None,
            readers: BTreeSet::new(),
        }
    }

    /// Returns the number of map partitions.
    pub fn len(&self) -> usize {
        self.finished_at.len()
    }

    pub fn missing_partitions(&self) -> impl Iterator<Item = usize> {
        let numbered = self.finished_at.iter().enumerate();
        numbered.filter(|(_, finished_at)| **finished_at == 0).map(|(partition, _)| partition)
    }

    /// Returns the time when the output was finished, if there is one.
    pub fn finished_at(&self, partition: usize) -> Option<EventSeq> {
        Some(self.finished_at[partition]).filter(|finished_at| *finished_at != 0)
    }

    /// Records an output that was finished at `now`.
    pub fn record(&mut self, partition: usize, now: EventSeq) {
        if std::mem::replace(&mut self.finished_at[partition], now) == 0 {
            self.missing -= 1;
        }
    }

    /// Records that an output is lost.
    pub fn mark_lost(&mut self, partition: usize) {
        if std::mem::take(&mut self.finished_at[partition]) != 0 {
            self.missing += 1;
        }
    }

    /// Returns true if the entry holds no information.
    pub fn is_unused(&self) -> bool {
        self.missing == self.finished_at.len() && self.stage.is_none() && self.readers.is_empty()
    }
}

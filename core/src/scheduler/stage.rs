//! The state of the scheduler: jobs, stages while a job needs them, and map outputs until their
//! shuffle is dropped.

use crate::attempt::CommitRight;
use crate::error::{Error, TaskAttemptId};
use crate::event::StageInfo;
use crate::ids::{JobId, ShuffleId, StageId, TaskId};
use crate::job::{JobRequest, Progress};
use crate::lineage::{LineageNode, ShuffleDependency};
use crate::operation::Operation;
use crate::scheduler::{Limits, Work};
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
///
/// Each slot (one partition) is in exactly one of three states: in `pending`, live, or done.
pub(super) struct Stage {
    pub kind: StageKind,
    pub jobs: BTreeSet<JobId>,
    /// The shuffles that its tasks read, once they have been determined.
    pub inputs: Option<Vec<Arc<dyn ShuffleDependency>>>,
    pub slots: Vec<Slot>,
    pub pending: Vec<usize>,
    /// The slots of a result stage that are not done. Those of a map stage are in [`Outputs`].
    pub unfinished: usize,
    /// The attempts of the stage started so far.
    pub attempts: usize,
    /// True if the next launch starts a new attempt of the stage.
    pub starts_new_attempt: bool,
    /// The attempts that found inputs lost.
    fetch_failures: FetchFailures,
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

/// One partition of a stage.
#[derive(Clone, Default)]
pub(super) struct Slot {
    /// The running attempt, and its speculative attempt if there is one.
    pub live: Vec<TaskId>,
    /// The attempts launched so far.
    pub launches: u32,
    /// The commit right that the live attempts share.
    pub right: Option<Arc<CommitRight>>,
    transient_failures: u32,
    closure_failures: u32,
    /// The errors of the failed attempts.
    failures: Vec<Error>,
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
    pub fn new(kind: StageKind, pending: Vec<usize>) -> Self {
        let slots = match &kind {
            StageKind::Map(shuffle) => shuffle.parent().partitions(),
            StageKind::Result(request) => request.partitions.len(),
        };
        Stage {
            kind,
            jobs: BTreeSet::new(),
            inputs: None,
            unfinished: pending.len(),
            slots: vec![Slot::default(); slots],
            pending,
            attempts: 0,
            starts_new_attempt: true,
            fetch_failures: FetchFailures::default(),
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

    /// Returns the number of slots that are done.
    pub fn slots_done(&self) -> usize {
        let live = self.slots.iter().filter(|slot| !slot.live.is_empty()).count();
        self.slots.len() - self.pending.len() - live
    }

    /// Returns the progress of the slots that were launched or wait to be launched, without those
    /// that were done before.
    pub fn progress(&self) -> Progress {
        let launched = self.slots.iter().filter(|slot| slot.launches > 0).count();
        let never_launched =
            self.pending.iter().filter(|slot| self.slots[**slot].launches == 0).count();
        let live = self.slots.iter().filter(|slot| !slot.live.is_empty()).count();
        let tasks = launched + never_launched;
        Progress { tasks_done: tasks - self.pending.len() - live, tasks }
    }

    /// Resets the count of fetch failures, because the stage has succeeded. The outputs that were
    /// found lost stay known, so that successes in between do not make a lost output new again.
    pub fn reset_fetch_failures(&mut self) {
        let found = std::mem::take(&mut self.fetch_failures.found);
        self.fetch_failures = FetchFailures { found, ..FetchFailures::default() };
    }

    /// Parks the stage and resets all counts of failures, because no job needs it any more.
    pub fn park(&mut self) {
        self.parked = true;
        self.starts_new_attempt = true;
        self.fetch_failures = FetchFailures::default();
        for slot in &mut self.slots {
            slot.reset_failures();
        }
    }
}

impl Slot {
    /// Counts a failed attempt, and returns the last error if no further attempt is allowed.
    pub fn count_failure(&mut self, error: Error, limits: &Limits) -> Option<Error> {
        let is_last = if error.is_transient() {
            self.transient_failures += 1;
            self.transient_failures as usize >= limits.transient_attempts
        } else {
            self.closure_failures += 1;
            self.closure_failures as usize >= limits.closure_attempts
        };
        if is_last || error.is_final() {
            let attempts = self.failures.len() + 1;
            return Some(error.after_attempts(attempts, std::mem::take(&mut self.failures)));
        }
        self.failures.push(error);
        None
    }

    /// Resets the counts of failures.
    pub fn reset_failures(&mut self) {
        self.transient_failures = 0;
        self.closure_failures = 0;
        self.failures.clear();
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

    pub fn missing_partitions(&self) -> Vec<usize> {
        let numbered = self.finished_at.iter().enumerate();
        numbered
            .filter(|(_, finished_at)| **finished_at == 0)
            .map(|(partition, _)| partition)
            .collect()
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

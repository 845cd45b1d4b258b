//! What the scheduler remembers: stages while a job needs them, and map outputs until their shuffle
//! is dropped.

use crate::attempt::CommitRight;
use crate::error::{Error, TaskAttemptId};
use crate::event::StageInfo;
use crate::ids::{JobId, ShuffleId, StageId, TaskId};
use crate::job::{JobRequest, Progress};
use crate::lineage::{LineageNode, ShuffleDependency};
use crate::operation::Operation;
use crate::scheduler::{Limits, Work};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A point in the scheduler's time: how many inputs it had seen.
pub(super) type EventSeq = u64;

/// A job that runs.
pub(super) struct Job {
    pub action: Operation,
    pub result_stage: StageId,
    /// The stages it is attached to: a stage lives while a job is.
    pub stages: BTreeSet<StageId>,
}

/// The tasks between two shuffles, while at least one job is attached.
///
/// Each slot (one partition) is in exactly one of three states: in `pending`, live, or done.
pub(super) struct Stage {
    pub goal: StageKind,
    pub jobs: BTreeSet<JobId>,
    /// The shuffles its tasks read, once someone asked.
    pub inputs: Option<Vec<Arc<dyn ShuffleDependency>>>,
    pub slots: Vec<Slot>,
    pub pending: Vec<usize>,
    /// Slots of a result stage that are not done. Those of a map stage are in [`Outputs`].
    pub left: usize,
    /// Attempts of the stage started so far.
    pub attempts: usize,
    /// Whether the next launch opens a new attempt.
    pub renew: bool,
    /// The attempts that found inputs lost since the stage last ended well.
    losses: Losses,
    /// Whether it was stopped because no job waits for it at the moment.
    pub parked: bool,
    /// How long its finished tasks ran, in microseconds; noted only where stragglers get copies.
    pub times: Vec<u64>,
}

/// What a stage is for.
pub(super) enum StageKind {
    Map(Arc<dyn ShuffleDependency>),
    Result(Arc<JobRequest>),
}

/// One partition of a stage.
#[derive(Clone, Default)]
pub(super) struct Slot {
    /// The attempt that runs, and the copy it has if it is a straggler.
    pub live: Vec<TaskId>,
    /// Attempts launched so far.
    pub launches: u32,
    /// What the live attempts share.
    pub right: Option<Arc<CommitRight>>,
    transient_failures: u32,
    closure_failures: u32,
    /// Why they failed.
    failures: Vec<Error>,
}

/// One attempt of one task that was launched and has not been heard of again.
pub(super) struct RunningAttempt {
    pub place: TaskAttemptId,
    pub slot: usize,
    /// Which attempt of its stage launched it, counted like [`Stage::attempts`].
    pub stage_attempt: usize,
    /// When it began, or was launched if it has not.
    pub began: EventSeq,
    /// Whether it has begun.
    pub has_begun: bool,
}

/// The attempts of a stage, one after the other, that found outputs gone.
#[derive(Default)]
struct Losses {
    attempts: usize,
    last_attempt: Option<usize>,
    /// What the first task of each attempt said.
    failures: Vec<Error>,
}

/// Which map outputs of one shuffle are there.
pub(super) struct Outputs {
    /// For each map partition, when its output was finished; 0 if it is not there.
    done_at: Vec<EventSeq>,
    pub missing: usize,
    /// The stage that computes the missing ones, if a job needs any.
    pub stage: Option<StageId>,
    /// The stages that read the shuffle.
    pub readers: BTreeSet<StageId>,
}

impl Stage {
    pub fn new(goal: StageKind, pending: Vec<usize>) -> Self {
        let slots = match &goal {
            StageKind::Map(shuffle) => shuffle.parent().partitions(),
            StageKind::Result(request) => request.partitions.len(),
        };
        Stage {
            goal,
            jobs: BTreeSet::new(),
            inputs: None,
            left: pending.len(),
            slots: vec![Slot::default(); slots],
            pending,
            attempts: 0,
            renew: true,
            losses: Losses::default(),
            parked: false,
            times: Vec::new(),
        }
    }

    /// The node whose partitions the tasks compute.
    pub fn lineage(&self) -> &Arc<LineageNode> {
        match &self.goal {
            StageKind::Map(shuffle) => shuffle.parent(),
            StageKind::Result(request) => &request.lineage,
        }
    }

    pub fn shuffle(&self) -> Option<ShuffleId> {
        match &self.goal {
            StageKind::Map(shuffle) => Some(shuffle.id()),
            StageKind::Result(_) => None,
        }
    }

    /// The partition that a slot computes.
    pub fn partition(&self, slot: usize) -> usize {
        match &self.goal {
            StageKind::Map(_) => slot,
            StageKind::Result(request) => request.partitions[slot],
        }
    }

    /// The operation or action that the tasks work for.
    pub fn owner(&self) -> Operation {
        match &self.goal {
            StageKind::Map(shuffle) => shuffle.operation(),
            StageKind::Result(request) => request.action,
        }
    }

    pub fn work(&self) -> Work {
        match &self.goal {
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

    /// Notes that a task of the running attempt found inputs gone, and answers with the last error if
    /// that is the `limit`th attempt in a row. Many such tasks count as one failed attempt, and late
    /// ones of an older attempt not at all.
    pub fn count_fetch_failure(
        &mut self,
        stage_attempt: usize,
        error: Error,
        limit: usize,
    ) -> Option<Error> {
        let losses = &mut self.losses;
        if stage_attempt != self.attempts || losses.last_attempt == Some(stage_attempt) {
            return None;
        }
        losses.attempts += 1;
        losses.last_attempt = Some(stage_attempt);
        self.renew = true;
        if losses.attempts < limit {
            losses.failures.push(error);
            return None;
        }
        Some(error.after_attempts(losses.attempts, std::mem::take(&mut losses.failures)))
    }

    /// How many slots are done.
    pub fn slots_done(&self) -> usize {
        let live = self.slots.iter().filter(|slot| !slot.live.is_empty()).count();
        self.slots.len() - self.pending.len() - live
    }

    /// The slots that were ever launched or wait for it: not those that were done before.
    pub fn progress(&self) -> Progress {
        let launched = self.slots.iter().filter(|slot| slot.launches > 0).count();
        let never = self.pending.iter().filter(|slot| self.slots[**slot].launches == 0).count();
        let live = self.slots.iter().filter(|slot| !slot.live.is_empty()).count();
        let tasks = launched + never;
        Progress { tasks_done: tasks - self.pending.len() - live, tasks }
    }

    /// Starts counting afresh: the stage has ended well.
    pub fn forget_losses(&mut self) {
        self.losses = Losses::default();
    }

    /// Stops counting: nobody needs the stage any more, and whoever does later starts afresh.
    pub fn park(&mut self) {
        (self.parked, self.renew) = (true, true);
        self.forget_losses();
        for slot in &mut self.slots {
            slot.clear_blame();
        }
    }
}

impl Slot {
    /// Counts a failed attempt. Answers with the last error if no other attempt is allowed.
    pub fn count_failure(&mut self, error: Error, limits: &Limits) -> Option<Error> {
        let (count, limit) = if error.is_transient() {
            (&mut self.transient_failures, limits.transient_attempts)
        } else {
            (&mut self.closure_failures, limits.closure_attempts)
        };
        *count += 1;
        if *count as usize >= limit || error.is_final() {
            let attempts = self.failures.len() + 1;
            return Some(error.after_attempts(attempts, std::mem::take(&mut self.failures)));
        }
        self.failures.push(error);
        None
    }

    pub fn clear_blame(&mut self) {
        (self.transient_failures, self.closure_failures) = (0, 0);
        self.failures.clear();
    }
}

impl Outputs {
    pub fn new(partitions: usize) -> Self {
        Outputs {
            done_at: vec![0; partitions],
            missing: partitions,
            stage: None,
            readers: BTreeSet::new(),
        }
    }

    /// The number of map partitions.
    pub fn len(&self) -> usize {
        self.done_at.len()
    }

    pub fn missing_partitions(&self) -> Vec<usize> {
        let numbered = self.done_at.iter().enumerate();
        numbered.filter(|(_, done_at)| **done_at == 0).map(|(partition, _)| partition).collect()
    }

    /// When the output was finished, if it is there.
    pub fn done_at(&self, partition: usize) -> Option<EventSeq> {
        Some(self.done_at[partition]).filter(|done_at| *done_at != 0)
    }

    pub fn keep(&mut self, partition: usize, now: EventSeq) {
        if std::mem::replace(&mut self.done_at[partition], now) == 0 {
            self.missing -= 1;
        }
    }

    pub fn lose(&mut self, partition: usize) {
        if std::mem::take(&mut self.done_at[partition]) != 0 {
            self.missing += 1;
        }
    }

    /// Whether nothing would be lost by forgetting the entry.
    pub fn is_idle(&self) -> bool {
        self.missing == self.done_at.len() && self.stage.is_none() && self.readers.is_empty()
    }
}

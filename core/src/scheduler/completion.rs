//! What the start and the end of a task change.

use super::Scheduler;
use super::attempts::cancelled;
use super::plan;
use super::stage::{EventSeq, RunningAttempt};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, TaskMetrics};
use crate::ids::{ShuffleId, StageId, TaskId};
use crate::lineage::ShuffleDependency;
use std::error::Error as _;
use std::sync::Arc;

impl Scheduler {
    pub(super) fn task_started(&mut self, task: TaskId) {
        let Some(live) = self.tasks.get_mut(&task) else { return };
        (live.began, live.has_begun) = (self.now, true);
        let place = live.place;
        self.emit(Event::TaskStarted {
            task,
            stage: place.stage,
            partition: place.partition,
            attempt: place.attempt,
        });
    }

    /// A task that is not live was cancelled: its end changes nothing.
    pub(super) fn task_ended(&mut self, task: TaskId, result: Result<TaskMetrics>) {
        let Some(ended) = self.tasks.remove(&task) else { return };
        if let Some(stage) = self.stages.get_mut(&ended.place.stage) {
            stage.slots[ended.slot].live.retain(|live| *live != task);
        }
        match result {
            Ok(metrics) => self.task_succeeded(task, &ended, metrics),
            Err(error) => self.task_failed(task, &ended, error),
        }
    }

    fn task_succeeded(&mut self, task: TaskId, ended: &RunningAttempt, metrics: TaskMetrics) {
        let (id, partition) = (ended.place.stage, ended.place.partition);
        self.emit(Event::TaskFinished { task, stage: id, partition, metrics });
        let Some(stage) = self.stages.get_mut(&id) else { return };
        let slot = &mut stage.slots[ended.slot];
        slot.clear_blame();
        let losers = std::mem::take(&mut slot.live);
        if self.limits.speculation.is_some() {
            stage.times.push(metrics.run_us);
        }
        losers.into_iter().for_each(|loser| self.cancel_attempt(loser));
        let Some(stage) = self.stages.get_mut(&id) else { return };
        let Some(shuffle) = stage.shuffle() else {
            stage.left -= 1;
            if stage.left == 0 {
                self.emit(Event::StageFinished { stage: id });
                self.finish_job(ended.place.job, Ok(()));
            }
            return;
        };
        let Some(outputs) = self.outputs.get_mut(&shuffle) else { return };
        outputs.keep(ended.slot, self.now);
        if outputs.missing == 0 {
            stage.forget_losses();
            self.emit(Event::StageFinished { stage: id });
            self.launch_ready_readers(shuffle);
        }
    }

    fn task_failed(&mut self, task: TaskId, ended: &RunningAttempt, error: Error) {
        let place = ended.place;
        let is_late = matches!(error.kind(), ErrorKind::Superseded);
        self.emit(match is_late {
            true => cancelled(task, place),
            false => Event::TaskFailed {
                task,
                stage: place.stage,
                partition: place.partition,
                attempt: place.attempt,
                error: error.to_string(),
            },
        });
        let Some(stage) = self.stages.get_mut(&place.stage) else { return };
        if stage.slots[ended.slot].live.is_empty() {
            stage.pending.push(ended.slot);
        }
        if is_late {
            // The other one has left its result and is about to say so, or failed just after that.
            self.advance(place.stage);
            return;
        }
        let error = error.in_task(place);
        if let ErrorKind::FetchFailed { shuffle, map_partition, others } = error.kind() {
            let lost: Vec<usize> = others.iter().copied().chain([*map_partition]).collect();
            self.fetch_failed(ended, *shuffle, &lost, error);
            return;
        }
        match stage.slots[ended.slot].count_failure(error, &self.limits) {
            Some(last) => self.fail_stage(place.stage, &last),
            None => self.advance(place.stage),
        }
    }

    /// A task could not read one map output, and may have seen that others are gone as well: they are
    /// computed again, and then the task runs again. The task itself is not to blame, but its stage
    /// has only so many attempts.
    fn fetch_failed(
        &mut self,
        ended: &RunningAttempt,
        shuffle: ShuffleId,
        lost: &[usize],
        error: Error,
    ) {
        let id = ended.place.stage;
        let Some(input) = self.input_of(id, shuffle) else {
            self.fail_stage(id, &read_elsewhere(error));
            return;
        };
        if lost.iter().any(|map_partition| *map_partition >= input.parent().partitions()) {
            let what = format!("a task reported {error}, which has no such map partition");
            let error = Error::new(ErrorKind::Internal { what }).in_task(ended.place);
            self.fail_stage(id, &error);
            return;
        }
        lost.iter().for_each(|map_partition| self.lose(&input, *map_partition, ended.began));
        let limit = self.limits.stage_attempts;
        let Some(stage) = self.stages.get_mut(&id) else { return };
        if let Some(last) = stage.count_fetch_failure(ended.stage_attempt, error, limit) {
            self.fail_stage(id, &last);
        }
        for reader in self.waiting_readers(shuffle) {
            self.advance(reader);
        }
    }

    /// The shuffle, if tasks of the stage read it. It was not planned for if a stored block in
    /// front of it got lost; from now on it is.
    fn input_of(&mut self, id: StageId, shuffle: ShuffleId) -> Option<Arc<dyn ShuffleDependency>> {
        let stage = self.stages.get_mut(&id)?;
        let known = stage.inputs.iter().flatten().find(|input| input.id() == shuffle);
        if known.is_some() {
            return known.cloned();
        }
        let found = plan::find_shuffle(stage.lineage(), shuffle)?;
        stage.inputs.get_or_insert_default().push(Arc::clone(&found));
        self.outputs_of(&found).readers.insert(id);
        Some(found)
    }

    /// Marks a map output lost, on the word of a reader that began at `reader_began`. A reader that
    /// is older than the output speaks of the one before it. An output that is being computed again
    /// is not there to be lost: should it come out bad as well, the next reader will say so.
    fn lose(
        &mut self,
        shuffle: &Arc<dyn ShuffleDependency>,
        map_partition: usize,
        reader_began: EventSeq,
    ) {
        let outputs = self.outputs_of(shuffle);
        if outputs.done_at(map_partition).is_none_or(|done_at| reader_began < done_at) {
            return;
        }
        outputs.lose(map_partition);
        if let Some(stage) = outputs.stage.and_then(|id| self.stages.get_mut(&id)) {
            stage.pending.push(map_partition);
            stage.renew = true;
        }
        self.emit(Event::OutputLost { shuffle: shuffle.id(), map_partition });
    }

    /// Ends every job that needs the stage.
    fn fail_stage(&mut self, id: StageId, error: &Error) {
        let Some(stage) = self.stages.get(&id) else { return };
        let jobs: Vec<_> = stage.jobs.iter().copied().filter(|job| self.needs(*job, id)).collect();
        for job in jobs {
            self.finish_job(job, Err(error.clone()));
        }
        self.park(id);
    }
}

/// The error of a task that read a shuffle which its job does not. Only the values of a group do that:
/// an action handed the group over, and a closure of another action reads it.
fn read_elsewhere(error: Error) -> Error {
    let why = error.source().map_or(String::new(), |cause| format!(": {cause}"));
    error.caused_by(format!(
        "it holds the values of a Group that an earlier action handed over, and the action at hand \
         cannot compute them again; run the earlier action again and use the groups that it gives, \
         or use the groups in the steps behind `group_by_key_iter` or `cogroup_iter`{why}"
    ))
}

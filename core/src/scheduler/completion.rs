//! Handles task start and completion.

use super::Scheduler;
use super::attempts::cancelled_event;
use super::plan;
use super::stage::{EventSeq, RunningAttempt};
use crate::error::{Error, ErrorKind, Result, internal, is_superseded};
use crate::event::{Event, TaskMetrics};
use crate::ids::{ShuffleId, StageId, TaskId};
use crate::lineage::ShuffleDependency;
use std::error::Error as _;
use std::sync::Arc;

impl Scheduler {
    /// Handles the start of a task.
    pub(super) fn task_started(&mut self, task: TaskId) {
        let Some(live) = self.tasks.get_mut(&task) else { return };
        live.started_at = self.now;
        live.has_started = true;
        let attempt_id = live.attempt_id;
        self.emit(Event::TaskStarted {
            task,
            stage: attempt_id.stage,
            partition: attempt_id.partition,
            attempt: attempt_id.attempt,
        });
    }

    /// Handles the end of a task. The end of a task that is not live, because it was cancelled,
    /// changes nothing.
    pub(super) fn task_ended(&mut self, task: TaskId, result: Result<TaskMetrics>) {
        let Some(ended) = self.tasks.remove(&task) else { return };
        match result {
            Ok(metrics) => self.task_succeeded(task, &ended, metrics),
            Err(error) => self.task_failed(task, &ended, error),
        }
    }

    fn task_succeeded(&mut self, task: TaskId, ended: &RunningAttempt, metrics: TaskMetrics) {
        let id = ended.attempt_id.stage;
        let partition = ended.attempt_id.partition;
        self.emit(Event::TaskFinished { task, stage: id, partition, metrics });
        let Some(stage) = self.stages.get_mut(&id) else { return };
        let other_attempt = stage.slots.succeed(ended.slot, task);
        if self.limits.speculation.is_some() {
            stage.run_times_us.push(metrics.run_us);
        }
        let may_launch = stage.may_launch(self.limits.window);
        if let Some(other) = other_attempt {
            self.cancel_attempt(other);
        }
        let Some(stage) = self.stages.get_mut(&id) else { return };
        let Some(shuffle) = stage.shuffle() else {
            stage.unfinished -= 1;
            if stage.unfinished == 0 {
                self.emit(Event::StageFinished { stage: id });
                self.finish_job(ended.attempt_id.job, Ok(()));
            } else if may_launch {
                self.launch(id);
            }
            return;
        };
        let Some(outputs) = self.outputs.get_mut(&shuffle) else { return };
        outputs.record(ended.slot, self.now);
        if outputs.missing == 0 {
            stage.reset_fetch_failures();
            self.emit(Event::StageFinished { stage: id });
            self.launch_ready_readers(shuffle);
        } else if may_launch {
            self.launch(id);
        }
    }

    fn task_failed(&mut self, task: TaskId, ended: &RunningAttempt, error: Error) {
        let attempt_id = ended.attempt_id;
        let is_superseded = is_superseded(&error);
        self.emit(match is_superseded {
            true => cancelled_event(task, attempt_id),
            false => Event::TaskFailed {
                task,
                stage: attempt_id.stage,
                partition: attempt_id.partition,
                attempt: attempt_id.attempt,
                error: error.to_string(),
            },
        });
        let Some(stage) = self.stages.get_mut(&attempt_id.stage) else { return };
        stage.slots.fail(ended.slot, task);
        if is_superseded {
            // The other attempt has committed and is about to report, or failed after its commit.
            self.advance(attempt_id.stage);
            return;
        }
        let error = error.in_task(attempt_id);
        if let ErrorKind::FetchFailed { shuffle, map_partition, others } = error.kind() {
            let lost: Vec<usize> = others.iter().copied().chain([*map_partition]).collect();
            self.fetch_failed(ended, *shuffle, &lost, error);
            return;
        }
        match stage.slots.count_failure(ended.slot, error, &self.limits) {
            Some(last) => self.fail_stage(attempt_id.stage, &last),
            None => self.advance(attempt_id.stage),
        }
    }

    /// Handles a task that found one or more map outputs lost: the outputs are recomputed, and then
    /// the task runs again. The failure is not counted against the task, but its stage has a
    /// limited number of attempts that find no output lost that it had not found lost before.
    fn fetch_failed(
        &mut self,
        ended: &RunningAttempt,
        shuffle: ShuffleId,
        lost: &[usize],
        error: Error,
    ) {
        let id = ended.attempt_id.stage;
        let Some(input) = self.input_of(id, shuffle) else {
            self.fail_stage(id, &group_of_earlier_job(error));
            return;
        };
        if lost.iter().any(|map_partition| *map_partition >= input.parent().partitions()) {
            let what = format_args!("a task reported {error}, which has no such map partition");
            let error = internal(what).in_task(ended.attempt_id);
            self.fail_stage(id, &error);
            return;
        }
        lost.iter()
            .for_each(|map_partition| self.mark_lost(&input, *map_partition, ended.started_at));
        let limit = self.limits.stage_attempts;
        let Some(stage) = self.stages.get_mut(&id) else { return };
        stage.is_ready = false;
        let attempt = ended.stage_attempt;
        if let Some(last) = stage.count_fetch_failure(attempt, shuffle, lost, error, limit) {
            self.fail_stage(id, &last);
        }
        for reader in self.waiting_readers(shuffle) {
            self.advance(reader);
        }
    }

    /// Returns the shuffle, if tasks of the stage read it. A shuffle before a stored block that was
    /// lost is not in the plan of the stage yet, and is added.
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

    /// Marks a map output lost that a reader, which started at `reader_started_at`, reported. A
    /// reader that started before the output was finished refers to the previous output. An output
    /// that is being recomputed is not marked: if it is damaged as well, the next reader reports
    /// it.
    fn mark_lost(
        &mut self,
        shuffle: &Arc<dyn ShuffleDependency>,
        map_partition: usize,
        reader_started_at: EventSeq,
    ) {
        let outputs = self.outputs_of(shuffle);
        if outputs
            .finished_at(map_partition)
            .is_none_or(|finished_at| reader_started_at < finished_at)
        {
            return;
        }
        outputs.mark_lost(map_partition);
        if let Some(stage) = outputs.stage.and_then(|id| self.stages.get_mut(&id)) {
            stage.slots.set_pending(map_partition);
            stage.starts_new_attempt = true;
        }
        self.stop_launching_readers(shuffle.id());
        self.emit(Event::OutputLost { shuffle: shuffle.id(), map_partition });
    }

    /// Fails every job that needs the stage.
    fn fail_stage(&mut self, id: StageId, error: &Error) {
        let Some(stage) = self.stages.get(&id) else { return };
        let jobs: Vec<_> = stage.jobs.iter().copied().filter(|job| self.needs(*job, id)).collect();
        for job in jobs {
            self.finish_job(job, Err(error.clone()));
        }
        self.park(id);
    }
}

/// Returns the error of a task that read a shuffle outside the lineage of its job. Only the values
/// of a group do that: an earlier action returned the group, and a closure of this job reads it.
fn group_of_earlier_job(error: Error) -> Error {
    let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
    error.caused_by(format!(
        "it holds the values of a `Group` from an earlier action, which this action cannot recompute; \
         run the earlier action again and use the groups that it returns, or use the groups in the \
         operations after `group_by_key_iter` or `cogroup_iter`{cause}"
    ))
}

//! The graph of running stages: which stage reads which, which can start, and which is no longer
//! needed.

use super::plan;
use super::stage::{Outputs, Stage, StageKind};
use super::{Command, Scheduler};
use crate::event::Event;
use crate::ids::{JobId, ShuffleId, StageId};
use crate::lineage::ShuffleDependency;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

impl Scheduler {
    /// Returns true if all map outputs of the shuffle are stored.
    pub(super) fn is_complete(&self, shuffle: &Arc<dyn ShuffleDependency>) -> bool {
        match self.outputs.get(&shuffle.id()) {
            Some(outputs) => outputs.missing == 0,
            None => shuffle.parent().partitions() == 0,
        }
    }

    /// Returns the shuffles that the map tasks of a shuffle read, or `None` if no map task has to
    /// run.
    pub(super) fn inputs_to_run(
        &self,
        shuffle: &Arc<dyn ShuffleDependency>,
    ) -> Option<Vec<Arc<dyn ShuffleDependency>>> {
        if self.is_complete(shuffle) {
            return None;
        }
        let stage = self.outputs.get(&shuffle.id()).and_then(|outputs| outputs.stage);
        let known = stage.and_then(|id| self.stages.get(&id)?.inputs.clone());
        Some(known.unwrap_or_else(|| plan::direct_shuffles(shuffle.parent())))
    }

    /// Returns the outputs of a shuffle, and adds an entry if there is none.
    pub(super) fn outputs_of(&mut self, shuffle: &Arc<dyn ShuffleDependency>) -> &mut Outputs {
        let new = || Outputs::new(shuffle.parent().partitions());
        self.outputs.entry(shuffle.id()).or_insert_with(new)
    }

    /// Returns the stage that computes a shuffle, and creates it if there is none.
    pub(super) fn stage_of(&mut self, shuffle: &Arc<dyn ShuffleDependency>) -> StageId {
        let outputs = self.outputs_of(shuffle);
        if let Some(stage) = outputs.stage {
            return stage;
        }
        let stage = Stage::new(StageKind::Map(Arc::clone(shuffle)), outputs.missing_partitions());
        let id = self.add_stage(stage);
        self.outputs_of(shuffle).stage = Some(id);
        id
    }

    pub(super) fn add_stage(&mut self, stage: Stage) -> StageId {
        let id = StageId(self.next_stage);
        self.next_stage += 1;
        self.stages.insert(id, stage);
        id
    }

    pub(super) fn stage_ids(&self, shuffles: &[Arc<dyn ShuffleDependency>]) -> Vec<StageId> {
        shuffles.iter().filter_map(|shuffle| self.outputs.get(&shuffle.id())?.stage).collect()
    }

    /// Records the shuffles that a stage reads, unless they are known.
    pub(super) fn set_inputs(&mut self, id: StageId, inputs: Vec<Arc<dyn ShuffleDependency>>) {
        if self.stages.get(&id).is_none_or(|stage| stage.inputs.is_some()) {
            return;
        }
        for input in &inputs {
            self.outputs_of(input).readers.insert(id);
        }
        if let Some(stage) = self.stages.get_mut(&id) {
            stage.inputs = Some(inputs);
        }
    }

    /// Advances a stage: launches its pending tasks if all of its inputs are stored; otherwise
    /// advances the stages of the missing inputs, for the same jobs.
    pub(super) fn advance(&mut self, first: StageId) {
        let mut ready = BTreeSet::new();
        let mut seen = HashSet::new();
        let mut stack = vec![first];
        while let Some(id) = stack.pop() {
            let Some(stage) = self.stages.get_mut(&id) else { continue };
            if !seen.insert(id) || stage.slots.pending() == 0 {
                continue;
            }
            stage.parked = false;
            let jobs = stage.jobs.clone();
            if stage.inputs.is_none() {
                let inputs = plan::direct_shuffles(stage.lineage());
                self.set_inputs(id, inputs);
            }
            let missing = self.missing_inputs(id);
            if missing.is_empty() {
                ready.insert(id);
            }
            for input in missing {
                let parent = self.stage_of(&input);
                self.attach(&jobs, parent);
                stack.push(parent);
            }
        }
        for id in ready {
            self.launch(id);
        }
    }

    fn missing_inputs(&self, id: StageId) -> Vec<Arc<dyn ShuffleDependency>> {
        let inputs = self.stages.get(&id).and_then(|stage| stage.inputs.as_ref());
        let inputs = inputs.into_iter().flatten();
        inputs.filter(|input| !self.is_complete(input)).cloned().collect()
    }

    /// Attaches jobs to a stage.
    pub(super) fn attach(&mut self, jobs: &BTreeSet<JobId>, id: StageId) {
        if let Some(stage) = self.stages.get_mut(&id) {
            stage.jobs.extend(jobs);
        }
        for job in jobs {
            if let Some(job) = self.jobs.get_mut(job) {
                job.stages.insert(id);
            }
        }
    }

    /// Launches the readers of a shuffle that have no other missing input.
    pub(super) fn launch_ready_readers(&mut self, shuffle: ShuffleId) {
        for id in self.waiting_readers(shuffle) {
            if self.missing_inputs(id).is_empty() {
                self.launch(id);
            }
        }
    }

    /// Returns the stages with pending tasks that read the shuffle.
    pub(super) fn waiting_readers(&self, shuffle: ShuffleId) -> Vec<StageId> {
        let readers = self.outputs.get(&shuffle).into_iter().flat_map(|it| &it.readers);
        let waits = |id: &&StageId| {
            self.stages.get(id).is_some_and(|stage| stage.slots.pending() > 0 && !stage.parked)
        };
        readers.filter(waits).copied().collect()
    }

    /// Launches the first pending tasks of a stage, whose inputs are all stored. The others are
    /// launched when some of these have ended.
    pub(super) fn launch(&mut self, id: StageId) {
        let window = self.limits.window;
        let Some(stage) = self.stages.get_mut(&id) else { return };
        stage.is_ready = true;
        if std::mem::take(&mut stage.starts_new_attempt) {
            stage.attempts += 1;
            let attempt = stage.attempts - 1;
            let tasks = stage.slots.pending();
            let started = Event::StageStarted { stage: id, attempt, tasks };
            self.commands.push(Command::Emit(started));
        }
        while let Some(stage) = self.stages.get_mut(&id)
            && stage.slots.live() < window
            && let Some(slot) = stage.slots.pop_pending()
        {
            self.launch_attempt(id, slot);
        }
    }

    /// Launches no more tasks of the stages that read a shuffle, until all its outputs are stored.
    pub(super) fn stop_launching_readers(&mut self, shuffle: ShuffleId) {
        for id in self.outputs.get(&shuffle).into_iter().flat_map(|outputs| &outputs.readers) {
            if let Some(stage) = self.stages.get_mut(id) {
                stage.is_ready = false;
            }
        }
    }

    /// Returns true if an unfinished stage of the job reads, directly or indirectly, the output of
    /// stage `id`. Only then does the job fail with it.
    pub(super) fn needs(&self, job: JobId, id: StageId) -> bool {
        self.needed_stages(job).contains(&id)
    }

    /// Returns the stages that the job still needs.
    fn needed_stages(&self, job: JobId) -> HashSet<StageId> {
        let mut needed = HashSet::new();
        let mut stack: Vec<StageId> =
            self.jobs.get(&job).map(|it| it.result_stage).into_iter().collect();
        while let Some(id) = stack.pop() {
            if needed.insert(id) {
                stack.extend(self.stage_ids(&self.missing_inputs(id)));
            }
        }
        needed
    }

    /// Parks those of the stages that have tasks but that no job needs at the moment.
    pub(super) fn park_unneeded(&mut self, stages: &[StageId]) {
        let is_incomplete = |stage: &Stage| match stage.shuffle() {
            Some(shuffle) => self.outputs.get(&shuffle).is_some_and(|it| it.missing > 0),
            None => false,
        };
        let has_tasks = |id: &&StageId| self.stages.get(id).is_some_and(is_incomplete);
        let incomplete: Vec<StageId> = stages.iter().filter(has_tasks).copied().collect();
        let jobs =
            incomplete.iter().filter_map(|id| self.stages.get(id)).flat_map(|stage| &stage.jobs);
        let jobs: BTreeSet<JobId> = jobs.copied().collect();
        let needed: HashSet<StageId> =
            jobs.into_iter().flat_map(|job| self.needed_stages(job)).collect();
        for id in incomplete {
            if !needed.contains(&id) {
                self.park(id);
            }
        }
    }

    /// Cancels the tasks of a stage and returns them to its pending slots.
    pub(super) fn park(&mut self, id: StageId) {
        let Some(stage) = self.stages.get_mut(&id) else { return };
        let live = stage.park();
        live.into_iter().for_each(|task| self.cancel_attempt(task));
    }

    /// Removes a stage to which no job is attached, and cancels its tasks.
    pub(super) fn remove_stage(&mut self, id: StageId) {
        self.park(id);
        let Some(stage) = self.stages.remove(&id) else { return };
        for input in stage.inputs.iter().flatten() {
            if let Some(outputs) = self.outputs.get_mut(&input.id()) {
                outputs.readers.remove(&id);
            }
            self.prune(input.id());
        }
        if let Some(shuffle) = stage.shuffle() {
            if let Some(outputs) = self.outputs.get_mut(&shuffle) {
                outputs.stage = None;
            }
            self.prune(shuffle);
        }
    }

    /// Removes the entry of a shuffle that holds no information.
    pub(super) fn prune(&mut self, shuffle: ShuffleId) {
        if self.outputs.get(&shuffle).is_some_and(Outputs::is_unused) {
            self.outputs.remove(&shuffle);
        }
    }
}

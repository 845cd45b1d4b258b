//! Random graphs, random order, random losses, copies of random tasks, late ends of cancelled ones:
//! every job ends, and no map task leaves its output twice unless it was lost.

use super::*;
use crate::attempt::Attempt;
use crate::config::Speculation;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// For each shuffle: its map partitions, and which of the shuffles before it they read.
type Graph = Vec<(usize, Vec<prop::sample::Index>)>;

fn graphs() -> impl Strategy<Value = Graph> {
    let reads = prop::collection::vec(any::<prop::sample::Index>(), 0..3);
    prop::collection::vec((1_usize..4, reads), 1..7)
}

fn build(graph: &Graph) -> Vec<Shuffle> {
    let mut shuffles: Vec<Shuffle> = Vec::new();
    for (id, (partitions, reads)) in graph.iter().enumerate() {
        let reads = if shuffles.is_empty() { &[][..] } else { reads };
        let reads: Vec<&Shuffle> = reads.iter().map(|index| index.get(&shuffles)).collect();
        let parent = read(*partitions, &reads);
        shuffles.push(shuffle(id as u64, &parent));
    }
    shuffles
}

/// One play: the world outside the scheduler, with the outputs that really are there. A task looks
/// at its inputs (and writes its output) at one moment and is heard of at a later one.
struct Play {
    it: Stage,
    shuffles: Vec<Shuffle>,
    seen: HashMap<TaskId, Result<TaskMetrics>>,
    there: BTreeMap<(u64, usize), bool>,
    runs: BTreeMap<(u64, usize), usize>,
    /// How often a map task may run: once, and once more for each loss and each cancelled attempt.
    allowed: BTreeMap<(u64, usize), usize>,
    reads: BTreeMap<u64, Vec<u64>>,
    losses_left: usize,
}

impl Play {
    /// What a task reads: the shuffles, by number.
    fn inputs(&self, goal: StageKind) -> Vec<u64> {
        let direct = |node: &Node| {
            super::super::plan::direct_shuffles(node).iter().map(|it| it.id().0).collect()
        };
        match goal {
            StageKind::Map(id, _) => direct(self.shuffles[id as usize].parent()),
            StageKind::Result(job, _) => self.reads[&job].clone(),
        }
    }

    /// One task goes one step on: it runs, or its end is heard of. Also one that was cancelled, which
    /// may have begun before.
    fn operation(&mut self, choice: u64) -> Result<(), TestCaseError> {
        let live = self.it.live.values().chain(self.it.copies.values());
        let all: Vec<TaskId> = live.chain(&self.it.late).copied().collect();
        let task = all[choice as usize % all.len()];
        if self.it.late.contains(&task) && (self.seen.contains_key(&task) || choice & 64 == 0) {
            return self.end_late(task);
        }
        let goal = self.it.goals[&task];
        let inputs = self.inputs(goal);
        if self.losses_left > 0 && choice.is_multiple_of(5) {
            self.lose_one(&inputs, choice);
        }
        if let Some(result) = self.seen.remove(&task) {
            self.it.end_task(task, result);
            self.allow_for_cancelled();
            return Ok(());
        }
        if !choice.is_multiple_of(11) {
            self.it.on(Input::TaskStarted { task });
        }
        let gone = |id: &u64| {
            let partitions = self.shuffles[*id as usize].parent().partitions();
            (0..partitions).map(|it| (*id, it)).find(|it| !self.there.get(it).unwrap_or(&false))
        };
        if let Some((id, partition)) = inputs.iter().find_map(gone) {
            self.seen.insert(task, Err(lost(id, partition)));
            return Ok(());
        }
        let right = Arc::clone(&self.it.rights[&task]);
        if let Err(late) = Attempt::new(task, right).commit(|| Ok(())) {
            self.seen.insert(task, Err(late));
            return Ok(());
        }
        self.seen.insert(task, Ok(TaskMetrics::default()));
        if let StageKind::Map(id, partition) = goal {
            let key = (id, partition);
            *self.runs.entry(key).or_default() += 1;
            self.there.insert(key, true);
            let allowed = 1 + self.allowed.get(&key).unwrap_or(&0);
            prop_assert!(self.runs[&key] <= allowed, "{:?} ran too often", goal);
        }
        Ok(())
    }

    /// A cancelled task comes back, if it ever began: nobody is waiting for it.
    fn end_late(&mut self, task: TaskId) -> Result<(), TestCaseError> {
        self.it.late.retain(|late| *late != task);
        if let Some(result) = self.seen.remove(&task) {
            let commands = self.it.scheduler.on(Input::TaskEnded { task, result });
            prop_assert!(commands.is_empty(), "{:?} came too late", self.it.goals[&task]);
        }
        Ok(())
    }

    /// Every task seems slow.
    fn tick(&mut self) {
        let running = self.it.live.values().map(|task| (*task, 1)).collect();
        self.it.on(Input::Tick { running });
    }

    /// A cancelled map task may have left an output that the scheduler does not know of.
    fn allow_for_cancelled(&mut self) {
        for goal in std::mem::take(&mut self.it.cancelled) {
            if let StageKind::Map(id, partition) = goal {
                *self.allowed.entry((id, partition)).or_default() += 1;
            }
        }
    }

    fn lose_one(&mut self, inputs: &[u64], choice: u64) {
        let of_inputs = |((id, _), there): &(&(u64, usize), &bool)| **there && inputs.contains(id);
        let candidates: Vec<_> = self.there.iter().filter(of_inputs).map(|(key, _)| *key).collect();
        if candidates.is_empty() {
            return;
        }
        let key = candidates[choice as usize / 7 % candidates.len()];
        self.there.insert(key, false);
        *self.allowed.entry(key).or_default() += 1;
        self.losses_left -= 1;
    }
}

/// Each task may have a copy once another one of its stage has ended.
const EAGER: Speculation =
    Speculation { quantile: 0.0, multiplier: 1.0, min_runtime: std::time::Duration::ZERO };

/// An endless row of choices (splitmix64), so that a failure is one small number.
fn choices_from(mut seed: u64) -> impl Iterator<Item = u64> {
    std::iter::repeat_with(move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_job_ends_and_nothing_runs_twice_without_a_loss(
        graph in graphs(),
        jobs in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4),
        seed in any::<u64>(),
        losses_left in 0_usize..12,
        cancel in prop::option::of(1_usize..40),
        copies in any::<bool>(),
        is_patient in any::<bool>(),
    ) {
        let speculation = copies.then_some(EAGER);
        let stage_attempts = if is_patient { 1_000 } else { limits(1).stage_attempts };
        let limits = Limits { stage_attempts, speculation, ..limits(1) };
        let shuffles = build(&graph);
        let mut play = Play {
            it: Stage::with(limits),
            shuffles,
            there: BTreeMap::new(),
            runs: BTreeMap::new(),
            allowed: BTreeMap::new(),
            seen: HashMap::new(),
            reads: BTreeMap::new(),
            losses_left,
        };
        let mut choices = choices_from(seed).enumerate();
        for (job, (left, right)) in jobs.iter().enumerate() {
            let (left, right) = (left.get(&play.shuffles), right.get(&play.shuffles));
            let node = read(2, &[left, right]);
            play.reads.insert(job as u64, vec![left.id().0, right.id().0]);
            play.it.submit(job as u64, &node);
            for (_, choice) in choices.by_ref().take(job * 3) {
                if !play.it.live.is_empty() {
                    play.operation(choice)?;
                }
            }
        }
        while !play.it.live.is_empty() {
            let (number, choice) = choices.next().expect("it is endless");
            prop_assert!(number < 20_000, "no end in sight");
            if cancel == Some(number) {
                play.it.cancel(0);
                play.allow_for_cancelled();
                continue;
            }
            if copies && choice.is_multiple_of(3) {
                play.tick();
            }
            play.operation(choice)?;
        }
        while let Some(task) = play.it.late.first() {
            play.end_late(*task)?;
        }
        for job in 0..jobs.len() as u64 {
            let well = |it: &Result<()>| match it {
                Ok(()) => true,
                Err(error) if error.fetch_failure().is_some() => !is_patient && error.attempts() == 4,
                Err(_) => job == 0 && cancel.is_some(),
            };
            prop_assert!(play.it.finished.get(&job).is_some_and(well), "job {} did not end well", job);
        }
        let shuffles: Vec<u64> = play.it.scheduler.outputs.keys().map(|id| id.0).collect();
        for shuffle in shuffles {
            play.it.drop_shuffle(shuffle);
        }
        play.it.expect_idle(&[]);
    }
}

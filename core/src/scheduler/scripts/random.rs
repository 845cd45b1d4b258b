//! A randomized test: random graphs, orders, losses, speculative attempts, and late ends of
//! cancelled attempts. Every job ends, and no map task commits its output twice unless it was lost.

use super::*;
use crate::attempt::Attempt;
use crate::config::Speculation;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// For each shuffle: its map partitions, and the earlier shuffles that they read.
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

/// The world outside the scheduler, with the outputs that really exist. A task reads its inputs
/// (and commits its output) at one time, and its end is reported at a later one.
struct Simulation {
    it: Script,
    shuffles: Vec<Shuffle>,
    ended: HashMap<TaskId, Result<TaskMetrics>>,
    exists: BTreeMap<(u64, usize), bool>,
    runs: BTreeMap<(u64, usize), usize>,
    /// The number of commits allowed for a map task: one, and one more for each loss and each
    /// cancelled attempt.
    allowed: BTreeMap<(u64, usize), usize>,
    reads: BTreeMap<u64, Vec<u64>>,
    remaining_losses: usize,
}

impl Simulation {
    /// Returns the ids of the shuffles that a task reads.
    fn inputs(&self, key: TaskKey) -> Vec<u64> {
        let direct = |node: &Node| {
            super::super::plan::direct_shuffles(node).iter().map(|it| it.id().0).collect()
        };
        match key {
            TaskKey::Map(id, _) => direct(self.shuffles[id as usize].parent()),
            TaskKey::Result(job, _) => self.reads[&job].clone(),
        }
    }

    /// Advances one task: it runs, or its end is reported. The task may be a cancelled one, which
    /// may have started before.
    fn advance_one(&mut self, choice: u64) -> Result<(), TestCaseError> {
        let live = self.it.live.values().chain(self.it.speculative.values());
        let all: Vec<TaskId> = live.chain(&self.it.late).copied().collect();
        let task = all[choice as usize % all.len()];
        if self.it.late.contains(&task) && (self.ended.contains_key(&task) || choice & 64 == 0) {
            return self.end_late(task);
        }
        let key = self.it.keys[&task];
        let inputs = self.inputs(key);
        if self.remaining_losses > 0 && choice.is_multiple_of(5) {
            self.lose_one(&inputs, choice);
        }
        if let Some(result) = self.ended.remove(&task) {
            self.it.end_task(task, result);
            self.allow_for_cancelled();
            return Ok(());
        }
        if !choice.is_multiple_of(11) {
            self.it.on(Input::TaskStarted { task });
        }
        let find_missing = |id: &u64| {
            let partitions = self.shuffles[*id as usize].parent().partitions();
            (0..partitions).map(|it| (*id, it)).find(|it| !self.exists.get(it).unwrap_or(&false))
        };
        if let Some((id, partition)) = inputs.iter().find_map(find_missing) {
            self.ended.insert(task, Err(lost(id, partition)));
            return Ok(());
        }
        let right = Arc::clone(&self.it.rights[&task]);
        if let Err(late) = Attempt::new(task, right).commit(|| Ok(())) {
            self.ended.insert(task, Err(late));
            return Ok(());
        }
        self.ended.insert(task, Ok(TaskMetrics::default()));
        if let TaskKey::Map(id, partition) = key {
            let key = (id, partition);
            *self.runs.entry(key).or_default() += 1;
            self.exists.insert(key, true);
            let allowed = 1 + self.allowed.get(&key).unwrap_or(&0);
            prop_assert!(self.runs[&key] <= allowed, "{:?} ran too often", key);
        }
        Ok(())
    }

    /// Reports the end of a cancelled task, if it ever started. The scheduler must ignore it.
    fn end_late(&mut self, task: TaskId) -> Result<(), TestCaseError> {
        self.it.late.retain(|late| *late != task);
        if let Some(result) = self.ended.remove(&task) {
            let commands = self.it.scheduler.on(Input::TaskEnded { task, result });
            prop_assert!(commands.is_empty(), "{:?} was not ignored", self.it.keys[&task]);
        }
        Ok(())
    }

    /// Reports every task as slow.
    fn tick(&mut self) {
        let running = self.it.live.values().map(|task| (*task, 1)).collect();
        self.it.on(Input::Tick { running });
    }

    /// Allows one more commit of cancelled map tasks: one may have committed an output that the
    /// scheduler does not know.
    fn allow_for_cancelled(&mut self) {
        for key in std::mem::take(&mut self.it.cancelled) {
            if let TaskKey::Map(id, partition) = key {
                *self.allowed.entry((id, partition)).or_default() += 1;
            }
        }
    }

    fn lose_one(&mut self, inputs: &[u64], choice: u64) {
        let of_inputs =
            |((id, _), exists): &(&(u64, usize), &bool)| **exists && inputs.contains(id);
        let candidates: Vec<_> =
            self.exists.iter().filter(of_inputs).map(|(key, _)| *key).collect();
        if candidates.is_empty() {
            return;
        }
        let key = candidates[choice as usize / 7 % candidates.len()];
        self.exists.insert(key, false);
        *self.allowed.entry(key).or_default() += 1;
        self.remaining_losses -= 1;
    }
}

/// A rule that speculates every task as soon as another one of its stage has finished.
const EAGER: Speculation =
    Speculation { quantile: 0.0, multiplier: 1.0, min_runtime: std::time::Duration::ZERO };

/// Returns an endless sequence of random numbers (splitmix64), so that a failure is described by
/// one small number.
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
        remaining_losses in 0_usize..12,
        cancel in prop::option::of(1_usize..40),
        speculates in any::<bool>(),
        allows_many_losses in any::<bool>(),
        window in 1_usize..6,
    ) {
        let speculation = speculates.then_some(EAGER);
        let stage_attempts = if allows_many_losses { 1_000 } else { limits(1).stage_attempts };
        let limits = Limits { stage_attempts, window, speculation, ..limits(1) };
        let shuffles = build(&graph);
        let mut simulation = Simulation {
            it: Script::with(limits),
            shuffles,
            exists: BTreeMap::new(),
            runs: BTreeMap::new(),
            allowed: BTreeMap::new(),
            ended: HashMap::new(),
            reads: BTreeMap::new(),
            remaining_losses,
        };
        let mut choices = choices_from(seed).enumerate();
        for (job, (left, right)) in jobs.iter().enumerate() {
            let left = left.get(&simulation.shuffles);
            let right = right.get(&simulation.shuffles);
            let node = read(2, &[left, right]);
            simulation.reads.insert(job as u64, vec![left.id().0, right.id().0]);
            simulation.it.submit(job as u64, &node);
            for (_, choice) in choices.by_ref().take(job * 3) {
                if !simulation.it.live.is_empty() {
                    simulation.advance_one(choice)?;
                }
            }
        }
        while !simulation.it.live.is_empty() {
            let (number, choice) = choices.next().expect("it is endless");
            prop_assert!(number < 20_000, "the jobs do not end");
            if cancel == Some(number) {
                simulation.it.cancel(0);
                simulation.allow_for_cancelled();
                continue;
            }
            if speculates && choice.is_multiple_of(3) {
                simulation.tick();
            }
            simulation.advance_one(choice)?;
        }
        while let Some(task) = simulation.it.late.first() {
            simulation.end_late(*task)?;
        }
        for job in 0..jobs.len() as u64 {
            let is_expected = |it: &Result<()>| match it {
                Ok(()) => true,
                Err(error) if error.fetch_failure().is_some() => !allows_many_losses && error.attempts() == 4,
                Err(_) => job == 0 && cancel.is_some(),
            };
            prop_assert!(simulation.it.finished.get(&job).is_some_and(is_expected), "job {} ended unexpectedly", job);
        }
        let shuffles: Vec<u64> = simulation.it.scheduler.outputs.keys().map(|id| id.0).collect();
        for shuffle in shuffles {
            simulation.it.drop_shuffle(shuffle);
        }
        simulation.it.expect_idle(&[]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(testkit::scaled(400) as u32))]

    // Case R-B6 of tests/PROMISES.md.
    #[test]
    fn a_job_ends_with_the_fourth_attempt_in_a_row_that_finds_no_new_output_lost(
        outputs in 1_usize..9,
        rounds in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 1..4), 0..40),
    ) {
        let mut it = Script::new();
        let pairs = shuffle(0, &source(outputs));
        it.submit(0, &read(1, &[&pairs])).succeed(maps(0, outputs)).launched.clear();
        let (mut known, mut in_a_row) = (std::collections::BTreeSet::new(), 0);
        for round in rounds {
            let found: std::collections::BTreeSet<usize> = round.iter().map(|it| it.index(outputs)).collect();
            let others = found.iter().skip(1).copied().collect();
            let first = *found.first().expect("at least one");
            in_a_row = if found.is_subset(&known) { in_a_row + 1 } else { 1 };
            known.extend(&found);
            let kind = ErrorKind::FetchFailed { shuffle: ShuffleId(0), map_partition: first, others };
            it.fail(result(0, 0), Error::new(kind));
            if in_a_row == 4 {
                prop_assert_eq!(it.expect_nothing().expect_failed(0).attempts(), 4);
                return Ok(());
            }
            let lost: Vec<TaskKey> = found.into_iter().map(|partition| map(0, partition)).collect();
            it.expect(lost.clone()).succeed(lost).expect([result(0, 0)]).expect_running(0);
        }
        it.succeed([result(0, 0)]).expect_done(0);
    }
}

//! The job before a sort: a sample of the keys yields the bounds of the ranges (see the README).

use crate::accumulator::CommittedDeltas;
use crate::driver::{ActionFrame, run_part};
use crate::pipeline::Pipeline;
use crate::random::Random;
use crate::rdd::Rdd;
use emberline_core::bounds::Stored;
use emberline_core::error::{Error, Result};
use emberline_core::exclusive::Exclusive;
use emberline_core::lineage::{Prerequisite, Updates};
use emberline_core::operation::Operation;
use emberline_core::size::estimate_rows;
use emberline_core::unwind::blame;
use emberline_shuffle::{RangePartitioner, RangeSubPartitions, range_bounds};
use std::cmp::Ordering;
use std::mem::needs_drop;
use std::slice::from_ref;
use std::sync::Arc;

/// Keys sampled for each partition of the sorted RDD.
const SAMPLE_PER_PARTITION: usize = 100;
/// Keys sampled in all.
const MAX_SAMPLE: usize = 1_000_000;
/// Keys that an input partition may contribute, relative to an even distribution of the rows.
const OVERSAMPLING: usize = 3;

/// The sampling job, which runs before the first stage of a sort.
pub(super) struct SampleKeys<T: 'static, P, K, F, C> {
    pub rdd: Rdd<T, P>,
    pub range: Arc<RangePartitioner<K>>,
    pub sub_partitions: Arc<RangeSubPartitions<K>>,
    pub key_of: Arc<F>,
    pub compare: C,
    pub operation: Operation,
    /// Of two concurrent actions the second waits for the sample.
    pub sampling: Exclusive,
    /// The accumulator updates of the job.
    pub deltas: Arc<CommittedDeltas>,
}

impl<T, P, K, F, C> Prerequisite for SampleKeys<T, P, K, F, C>
where
    T: Stored,
    P: Pipeline<Item = T>,
    K: Clone + Send + Sync + 'static,
    F: Fn(&T) -> K + Send + Sync + 'static,
    C: Fn(&K, &K) -> Ordering + Send + Sync,
{
    fn prepare(&self) -> Result<()> {
        let sampled = self.sampling.run(|| {
            if self.range.has_bounds() {
                return Ok(());
            }
            // The sample reads nothing that the sort does not read, so updates that are stored with
            // outputs count with those.
            let ((), updates) = run_part(self.operation, |frame| self.set_bounds(frame))?;
            for (at, deltas) in updates.into_iter().enumerate() {
                self.deltas.store(at, deltas);
            }
            Ok(())
        });
        sampled.unwrap_or_else(|| Err(needs_itself()))
    }

    fn updates(&self) -> Option<Arc<Updates>> {
        Some(Arc::clone(&self.deltas) as Arc<Updates>)
    }
}

impl<T, P, K, F, C> SampleKeys<T, P, K, F, C>
where
    T: Stored,
    P: Pipeline<Item = T>,
    K: Clone + Send + Sync + 'static,
    F: Fn(&T) -> K + Send + Sync + 'static,
    C: Fn(&K, &K) -> Ordering + Send + Sync,
{
    fn set_bounds(&self, frame: &ActionFrame) -> Result<()> {
        let partitions = self.range.count();
        let inputs = self.rdd.num_partitions();
        if partitions <= 1 || inputs == 0 {
            self.range.set_bounds(Vec::new());
            return Ok(());
        }
        let mut sample = self.sample(frame, partitions, inputs)?;
        sample.sort_by(|a, b| (self.compare)(&a.0, &b.0));
        let bounds = range_bounds(&sample, partitions, &self.compare);
        self.sub_partitions.set(&bounds, &sample, partitions, &self.compare);
        self.range.set_bounds(bounds);
        Ok(())
    }
}

impl<T, P, K, F, C> SampleKeys<T, P, K, F, C>
where
    T: Stored,
    P: Pipeline<Item = T>,
    K: Clone + Send + Sync + 'static,
    F: Fn(&T) -> K + Send + Sync + 'static,
{
    /// Returns sampled keys of all partitions, each with the number of rows that it represents.
    fn sample(
        &self,
        frame: &ActionFrame,
        partitions: usize,
        inputs: usize,
    ) -> Result<Vec<(K, f64)>> {
        let wanted = (SAMPLE_PER_PARTITION * partitions).min(MAX_SAMPLE);
        let max_keys = (OVERSAMPLING * wanted).div_ceil(inputs);
        let config = self.rdd.context.engine.config();
        let max_bytes = (config.task_memory_limit() / inputs as u64).max(1);
        let seed = config.seed ^ self.rdd.lineage.fingerprint();
        let operation = self.operation;
        let key_of = Arc::clone(&self.key_of);
        let samples = self.rdd.run(frame, 0..inputs, move |rows, task| {
            let random = Random::new(seed ^ ((task.attempt_id.partition as u64) << 32));
            let key_of = |row: &T| blame(&operation, || sized_key(row, &*key_of));
            let mut reservoir = Reservoir::new(max_keys, max_bytes, random);
            rows.for_each(|row| reservoir.offer(|| key_of(&row)));
            Ok(reservoir.finish())
        })?;
        let weighted = samples
            .into_iter()
            .flat_map(|(keys, weight)| keys.into_iter().map(move |(key, _)| (key, weight)));
        Ok(weighted.collect())
    }
}

#[cold]
fn needs_itself() -> Error {
    let text = "the sample of a sort needs itself: a key or an order of the sort runs an action on the sorted \
                RDD; sort by values that were computed before";
    Error::invalid_argument(text)
}

/// Returns the key of a row with its size, estimated from the row if the key owns memory.
fn sized_key<T: Stored, K>(row: &T, key_of: impl Fn(&T) -> K) -> (K, u64) {
    let row_bytes = if needs_drop::<K>() { estimate_rows(from_ref(row)) } else { 0 };
    (key_of(row), row_bytes.max(size_of::<K>() as u64))
}

/// A uniform random sample of keys, limited in number and in bytes.
struct Reservoir<K> {
    max_keys: usize,
    max_bytes: u64,
    random: Random,
    rows: u64,
    keys: Vec<(K, u64)>,
    bytes: u64,
}

impl<K> Reservoir<K> {
    fn new(max_keys: usize, max_bytes: u64, random: Random) -> Self {
        Reservoir { max_keys, max_bytes, random, rows: 0, keys: Vec::new(), bytes: 0 }
    }

    #[inline]
    fn offer(&mut self, key: impl FnOnce() -> (K, u64)) {
        self.rows += 1;
        if self.keys.len() < self.max_keys {
            self.insert(None, key());
            return;
        }
        let index = self.random.below(self.rows);
        if index < self.max_keys as u64 {
            self.insert(Some(index as usize), key());
        }
    }

    /// Appends a key or replaces the one at `index`, and halves the sample while it is too large.
    fn insert(&mut self, index: Option<usize>, key: (K, u64)) {
        self.bytes = self.bytes.saturating_add(key.1);
        match index {
            None => self.keys.push(key),
            Some(index) => self.bytes -= std::mem::replace(&mut self.keys[index], key).1,
        }
        while self.bytes > self.max_bytes && self.keys.len() > 1 {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.max_keys = self.keys.len() / 2;
        while self.keys.len() > self.max_keys {
            let index = self.random.below(self.keys.len() as u64);
            self.bytes -= self.keys.swap_remove(index as usize).1;
        }
    }

    /// Returns the keys and the number of rows that each represents. A single key larger than the
    /// limit is returned with the probability `limit / size`, and then represents the rows of the
    /// partitions that return none.
    fn finish(mut self) -> (Vec<(K, u64)>, f64) {
        let mut weight = self.rows as f64 / self.keys.len().max(1) as f64;
        if self.bytes > self.max_bytes {
            let probability = self.max_bytes as f64 / self.bytes as f64;
            weight /= probability;
            if self.random.unit() >= probability {
                self.keys.clear();
            }
        }
        (self.keys, weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: u64, bytes: u64, max_bytes: u64, seed: u64) -> (Vec<(u64, u64)>, f64) {
        let mut reservoir = Reservoir::new(100, max_bytes, Random::new(seed));
        (0..rows).for_each(|row| reservoir.offer(|| (row, bytes)));
        reservoir.finish()
    }

    #[test]
    fn reservoir_is_limited_in_keys_and_in_bytes() {
        for (bytes, min, max) in [(8, 100, 100), (10, 100, 100), (100, 5, 10), (1000, 1, 1)] {
            let (keys, weight) = sample(5000, bytes, 1000, 7);
            assert!((min..=max).contains(&keys.len()), "{} keys of {bytes} bytes", keys.len());
            assert_eq!(weight, 5000.0 / keys.len() as f64);
        }
        assert_eq!(sample(3, 8, 1000, 7).0, [(0, 8), (1, 8), (2, 8)]);
    }

    #[test]
    fn sample_stays_uniform_after_halving() {
        let mut per_tenth = [0; 10];
        for seed in 0..2000 {
            let (keys, _) = sample(500, 100, 1000, seed << 20);
            keys.iter().for_each(|(row, _)| per_tenth[*row as usize / 50] += 1);
        }
        let total: usize = per_tenth.iter().sum();
        let even = total / 10 * 9 / 10..total / 10 * 11 / 10;
        assert!(per_tenth.iter().all(|tenth| even.contains(tenth)), "{per_tenth:?}");
    }

    #[test]
    fn a_key_above_the_limit_is_returned_by_some_partitions_and_represents_the_others() {
        let samples: Vec<_> = (0..1000).map(|seed| sample(50, 4000, 1000, seed << 20)).collect();
        let returned: Vec<_> = samples.iter().filter(|(keys, _)| !keys.is_empty()).collect();
        assert!((200..300).contains(&returned.len()), "{} of 1000", returned.len());
        assert!(returned.iter().all(|(keys, weight)| (keys.len(), *weight) == (1, 200.0)));
    }
}

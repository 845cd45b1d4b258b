//! The job before a sort: a sample of the keys gives the bounds of the ranges.

use crate::driver::run_on_driver;
use crate::pipeline::Pipeline;
use crate::random::Random;
use crate::rdd::Rdd;
use emberline_core::bounds::Stored;
use emberline_core::error::Result;
use emberline_core::lineage::Prerequisite;
use emberline_core::operation::Operation;
use emberline_core::size::estimate_rows;
use emberline_core::unwind::blame;
use emberline_shuffle::{RangePartitioner, RangeSubPartitions, range_bounds};
use std::cmp::Ordering;
use std::mem::needs_drop;
use std::slice::from_ref;
use std::sync::{Arc, Mutex, PoisonError};

/// Keys sampled for each partition after the sort, and at most in all.
const SAMPLE_PER_PARTITION: usize = 100;
const SAMPLE_AT_MOST: usize = 1_000_000;

/// What must be known of a sort before its first stage.
pub(super) struct SampleKeys<T: 'static, P, K, F, C> {
    pub rdd: Rdd<T, P>,
    pub range: Arc<RangePartitioner<K>>,
    pub slices: Arc<RangeSubPartitions<K>>,
    pub key_of: Arc<F>,
    pub compare: C,
    pub operation: Operation,
    pub running: Mutex<()>,
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
        // Two actions at once: the second waits for the first one's sample.
        let _running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if self.range.has_bounds() {
            return Ok(());
        }
        let (partitions, inputs) = (self.range.count(), self.rdd.num_partitions());
        if partitions <= 1 || inputs == 0 {
            self.range.set_bounds(Vec::new());
            return Ok(());
        }
        let mut sample = self.sample(partitions, inputs)?;
        run_on_driver(self.operation, || {
            sample.sort_by(|a, b| (self.compare)(&a.0, &b.0));
            let bounds = range_bounds(&sample, partitions, &self.compare);
            self.slices.set(&bounds, &sample, partitions, &self.compare);
            self.range.set_bounds(bounds);
        })
    }
}

impl<T, P, K, F, C> SampleKeys<T, P, K, F, C>
where
    T: Stored,
    P: Pipeline<Item = T>,
    K: Clone + Send + Sync + 'static,
    F: Fn(&T) -> K + Send + Sync + 'static,
{
    /// Keys of all partitions, each with the number of rows it stands for. All of them together are
    /// bounded by the share of one task, since the program's thread holds them.
    fn sample(&self, partitions: usize, inputs: usize) -> Result<Vec<(K, f64)>> {
        let wanted = (SAMPLE_PER_PARTITION * partitions).min(SAMPLE_AT_MOST);
        let most_keys = (3 * wanted).div_ceil(inputs);
        let config = self.rdd.context.engine.config();
        let most_bytes = (config.task_memory_limit() / inputs as u64).max(1);
        let seed = config.seed ^ self.rdd.lineage.fingerprint();
        let (operation, key_of) = (self.operation, Arc::clone(&self.key_of));
        let samples = self.rdd.run(operation, 0..inputs, move |rows, task| {
            let random = Random::new(seed ^ ((task.place.partition as u64) << 32));
            let key_of = |row: &T| blame(&operation, || sized_key(row, &*key_of));
            let mut reservoir = Reservoir::new(most_keys, most_bytes, random);
            rows.for_each(|row| reservoir.offer(|| key_of(&row)));
            Ok(reservoir.finish())
        })?;
        let weighted = samples
            .into_iter()
            .flat_map(|(keys, weight)| keys.into_iter().map(move |(key, _)| (key, weight)));
        Ok(weighted.collect())
    }
}

/// A key and the bytes it takes. What it owns on the heap is judged by its row, since keys need not be
/// serialisable.
fn sized_key<T: Stored, K>(row: &T, key_of: impl Fn(&T) -> K) -> (K, u64) {
    let row_bytes = if needs_drop::<K>() { estimate_rows(from_ref(row)) } else { 0 };
    (key_of(row), row_bytes.max(size_of::<K>() as u64))
}

/// Some of the keys that it was offered, each row being as likely as any other. Where they are too
/// large together, half of them go.
struct Reservoir<K> {
    most_keys: usize,
    most_bytes: u64,
    random: Random,
    seen: u64,
    keys: Vec<(K, u64)>,
    bytes: u64,
}

impl<K> Reservoir<K> {
    fn new(most_keys: usize, most_bytes: u64, random: Random) -> Self {
        Reservoir { most_keys, most_bytes, random, seen: 0, keys: Vec::new(), bytes: 0 }
    }

    #[inline]
    fn offer(&mut self, key: impl FnOnce() -> (K, u64)) {
        self.seen += 1;
        if self.keys.len() < self.most_keys {
            self.keep(None, key());
            return;
        }
        let place = self.random.below(self.seen);
        if place < self.most_keys as u64 {
            self.keep(Some(place as usize), key());
        }
    }

    fn keep(&mut self, place: Option<usize>, key: (K, u64)) {
        self.bytes = self.bytes.saturating_add(key.1);
        match place {
            None => self.keys.push(key),
            Some(place) => self.bytes -= std::mem::replace(&mut self.keys[place], key).1,
        }
        while self.bytes > self.most_bytes && self.keys.len() > 1 {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.most_keys = self.keys.len() / 2;
        while self.keys.len() > self.most_keys {
            let goes = self.random.below(self.keys.len() as u64);
            self.bytes -= self.keys.swap_remove(goes as usize).1;
        }
    }

    /// The keys, and how many rows each stands for. A single key that is too large for its
    /// partition's part of the sample stands for several such partitions, most of which keep none.
    fn finish(mut self) -> (Vec<(K, u64)>, f64) {
        let mut weight = self.seen as f64 / self.keys.len().max(1) as f64;
        if self.bytes > self.most_bytes {
            let likely = self.most_bytes as f64 / self.bytes as f64;
            weight /= likely;
            if self.random.unit() >= likely {
                self.keys.clear();
            }
        }
        (self.keys, weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: u64, bytes: u64, most_bytes: u64, seed: u64) -> (Vec<(u64, u64)>, f64) {
        let mut reservoir = Reservoir::new(100, most_bytes, Random::new(seed));
        (0..rows).for_each(|row| reservoir.offer(|| (row, bytes)));
        reservoir.finish()
    }

    #[test]
    fn small_keys_fill_the_reservoir_and_large_ones_the_bytes() {
        for (bytes, least, most) in [(8, 100, 100), (10, 100, 100), (100, 5, 10), (1000, 1, 1)] {
            let (keys, weight) = sample(5000, bytes, 1000, 7);
            assert!((least..=most).contains(&keys.len()), "{} keys of {bytes} bytes", keys.len());
            assert_eq!(weight, 5000.0 / keys.len() as f64);
        }
        assert_eq!(sample(3, 8, 1000, 7).0, [(0, 8), (1, 8), (2, 8)]);
    }

    #[test]
    fn a_row_is_as_likely_as_any_other_after_the_keys_were_halved() {
        let mut of_each_tenth = [0; 10];
        for seed in 0..2000 {
            let (keys, _) = sample(500, 100, 1000, seed << 20);
            keys.iter().for_each(|(row, _)| of_each_tenth[*row as usize / 50] += 1);
        }
        let all: usize = of_each_tenth.iter().sum();
        let even = all / 10 * 9 / 10..all / 10 * 11 / 10;
        assert!(of_each_tenth.iter().all(|tenth| even.contains(tenth)), "{of_each_tenth:?}");
    }

    #[test]
    fn of_keys_too_large_for_their_part_some_partitions_keep_one_and_it_stands_for_the_others() {
        let samples: Vec<_> = (0..1000).map(|seed| sample(50, 4000, 1000, seed << 20)).collect();
        let kept: Vec<_> = samples.iter().filter(|(keys, _)| !keys.is_empty()).collect();
        assert!((200..300).contains(&kept.len()), "{} of 1000", kept.len());
        assert!(kept.iter().all(|(keys, weight)| (keys.len(), *weight) == (1, 200.0)));
    }
}

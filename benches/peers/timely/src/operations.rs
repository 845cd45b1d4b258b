//! Two operations that timely leaves to its users: a combine by key and a join.

use crate::part_of;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::{Operator, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

pub type Totals = (u64, u64, u64);
type Input<D> = InputHandle<usize, CapacityContainerBuilder<Vec<D>>>;
type Table<K, V> = HashMap<K, V, FixedState>;

pub fn plus(a: Totals, b: Totals) -> Totals {
    (a.0.wrapping_add(b.0), a.1.wrapping_add(b.1), a.2.wrapping_add(b.2))
}

fn hash_of(key: &impl Hash) -> u64 {
    FixedState::with_seed(1).hash_one(key) >> 32
}

/// Combines the values of each key: first those of each worker, then those it receives by hash.
pub fn by_key<K, V, I>(
    threads: usize,
    pairs: impl Fn(u64, u64) -> I + Send + Sync + 'static,
    add: fn(&mut V, V),
    of_key: fn(&K, &V) -> Totals,
) -> Totals
where
    K: ExchangeData + Clone + Hash + Eq,
    V: ExchangeData + Clone + Default,
    I: Iterator<Item = (K, V)>,
{
    let totals = Arc::new(Mutex::new((0, 0, 0)));
    let sums = Arc::clone(&totals);
    let workers = timely::execute(timely::Config::process(threads), move |worker| {
        let mut input = Input::<(K, V)>::new_with_builder();
        let probe = ProbeHandle::new();
        let sums = Arc::clone(&sums);
        worker.dataflow::<usize, _, _>(|scope| {
            input
                .to_stream(scope)
                .unary_frontier(Pipeline, "CombineHere", |capability, _| {
                    let mut end = Some(capability);
                    let mut table = Table::<K, V>::default();
                    move |(input, frontier), output| {
                        input.for_each_stamp(|_, batches| {
                            combine(&mut table, batches.flat_map(|batch| batch.drain(..)), add);
                        });
                        if let Some(end) = end.take_if(|_| frontier.is_empty()) {
                            let mut session = output.session(&end);
                            table.drain().for_each(|row| session.give(row));
                        }
                    }
                })
                .container::<Vec<(K, V)>>()
                .unary_frontier(Exchange::new(|row: &(K, V)| hash_of(&row.0)), "Combine", |capability, _| {
                    let mut end = Some(capability);
                    let mut table = Table::<K, V>::default();
                    move |(input, frontier), output| {
                        input.for_each_stamp(|_, batches| {
                            combine(&mut table, batches.flat_map(|batch| batch.drain(..)), add);
                        });
                        if let Some(end) = end.take_if(|_| frontier.is_empty()) {
                            let all = table.iter().map(|(key, value)| of_key(key, value));
                            let all = all.fold((0, 0, 0), plus);
                            let mut sums = sums.lock().expect("no worker panics");
                            *sums = plus(*sums, all);
                            output.session(&end).give(());
                        }
                    }
                })
                .container::<Vec<()>>()
                .probe_with(&probe);
        });
        let rows = pairs(worker.index() as u64, worker.peers() as u64);
        feed(&mut input, rows, || _ = worker.step());
        input.close();
        while !probe.done() {
            worker.step();
        }
    });
    workers.expect("workers start").join().into_iter().for_each(|end| end.expect("no panic"));
    *totals.lock().expect("no worker panics")
}

fn combine<K, V>(table: &mut Table<K, V>, rows: impl Iterator<Item = (K, V)>, add: fn(&mut V, V))
where
    K: Hash + Eq,
    V: Default,
{
    rows.for_each(|(key, value)| add(table.entry(key).or_default(), value));
}

/// Returns the number of matching pairs, and the sum of the left value and three times the right one.
pub fn joined(
    rows: u64,
    threads: usize,
    left: fn(u64) -> (u64, u64),
    right: fn(u64) -> (u64, u64),
) -> (u64, u64) {
    let totals = Arc::new(Mutex::new((0_u64, 0_u64)));
    let sums = Arc::clone(&totals);
    let workers = timely::execute(timely::Config::process(threads), move |worker| {
        type Row = (u64, u64);
        let mut lefts = Input::<Row>::new_with_builder();
        let mut rights = Input::<Row>::new_with_builder();
        let probe = ProbeHandle::new();
        let sums = Arc::clone(&sums);
        worker.dataflow::<usize, _, _>(|scope| {
            let by_hash = || Exchange::new(|row: &Row| hash_of(&row.0));
            let others = rights.to_stream(scope);
            lefts
                .to_stream(scope)
                .binary_frontier(others, by_hash(), by_hash(), "Join", |capability, _| {
                    let mut end = Some(capability);
                    let mut chains = Chains::default();
                    let mut waiting = Vec::new();
                    move |(lefts, left_ends), (rights, right_ends), output| {
                        lefts.for_each_stamp(|_, batches| {
                            batches.flat_map(|batch| batch.drain(..)).for_each(|row| chains.add(row));
                        });
                        rights.for_each_stamp(|_, batches| {
                            batches.for_each(|batch| waiting.append(batch));
                        });
                        if let Some(end) = end.take_if(|_| left_ends.is_empty() && right_ends.is_empty()) {
                            let all = chains.matches(&waiting);
                            let mut sums = sums.lock().expect("no worker panics");
                            *sums = (sums.0 + all.0, sums.1.wrapping_add(all.1));
                            output.session(&end).give(());
                        }
                    }
                })
                .container::<Vec<()>>()
                .probe_with(&probe);
        });
        let part = || part_of(rows, worker.index() as u64, worker.peers() as u64);
        let left_rows = part().map(left);
        let right_rows = part().map(right);
        feed(&mut lefts, left_rows, || _ = worker.step());
        feed(&mut rights, right_rows, || _ = worker.step());
        lefts.close();
        rights.close();
        while !probe.done() {
            worker.step();
        }
    });
    workers.expect("workers start").join().into_iter().for_each(|end| end.expect("no panic"));
    *totals.lock().expect("no worker panics")
}

/// The values of each key, as chains in one vector.
#[derive(Default)]
struct Chains {
    last: Table<u64, u32>,
    /// A value, and the index of the previous one plus one, or 0.
    values: Vec<(u64, u32)>,
}

impl Chains {
    fn add(&mut self, (key, value): (u64, u64)) {
        let last = self.last.entry(key).or_insert(0);
        self.values.push((value, *last));
        *last = self.values.len() as u32;
    }

    fn matches(&self, rights: &[(u64, u64)]) -> (u64, u64) {
        let mut matches = 0;
        let mut sum = 0_u64;
        for (key, right) in rights {
            let mut at = self.last.get(key).copied().unwrap_or(0);
            while at > 0 {
                let (left, before) = self.values[at as usize - 1];
                (matches, sum, at) = (matches + 1, sum.wrapping_add(left + 3 * right), before);
            }
        }
        (matches, sum)
    }
}

fn feed<D: 'static + Clone>(input: &mut Input<D>, rows: impl Iterator<Item = D>, mut step: impl FnMut()) {
    let mut batch = Vec::with_capacity(1024);
    for row in rows {
        batch.push(row);
        if batch.len() == 1024 {
            input.send_batch(&mut batch);
            batch.clear();
            step();
        }
    }
    input.send_batch(&mut batch);
}

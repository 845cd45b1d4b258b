//! The actions of a random program, run by emberline.

use crate::model::{Action, pair};
use crate::support::sorted;
use emberline::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

pub fn run_action(action: Action, rdd: &Rdd<i64>) -> Result<Vec<i64>> {
    match action {
        Action::Collect => rdd.collect(),
        Action::LocalIterator => rdd.to_local_iterator().collect(),
        Action::Count => Ok(vec![rdd.count()? as i64]),
        Action::Reduce => Ok(rdd.reduce(i64::wrapping_add)?.into_iter().collect()),
        Action::Fold => Ok(vec![rdd.fold(0, i64::wrapping_add)?]),
        Action::Aggregate => rdd.aggregate(
            Vec::new(),
            |mut rows, row| {
                rows.push(row);
                rows
            },
            |rows, more| [rows, more].concat(),
        ),
        Action::Accumulate => {
            let rows = rdd.context().accumulator(Vec::new());
            let log = rows.clone();
            rdd.for_each(move |row| log.add(row))?;
            Ok(rows.take())
        }
        Action::Sum => Ok(vec![rdd.map(|n| n % 1000).sum()?]),
        Action::Min => Ok(rdd.min()?.into_iter().collect()),
        Action::Max => Ok(rdd.max()?.into_iter().collect()),
        Action::Stats => {
            let stats = rdd.map(|n| (n % 1000) as f64).stats()?;
            let ends = [stats.min() as i64, stats.max() as i64, stats.mean().to_bits() as i64];
            let count = [stats.count() as i64];
            Ok(if count == [0] { count.to_vec() } else { [&count[..], &ends].concat() })
        }
        Action::First => Ok(rdd.first()?.into_iter().collect()),
        Action::IsEmpty => Ok(vec![i64::from(rdd.is_empty()?)]),
        Action::Take(n) => rdd.take(n),
        Action::Top(n) => rdd.top(n),
        Action::TakeOrdered(n) => rdd.take_ordered(n),
        Action::CountByValue => Ok(listed(rdd.count_by_value()?)),
        Action::CountByKey => Ok(listed(rdd.map(pair).count_by_key()?)),
        Action::CollectAsMap => Ok(listed(rdd.map(pair).collect_as_map()?)),
        Action::Lookup(key, None) => rdd.map(pair).lookup(&key),
        Action::Lookup(key, Some(partitions)) => {
            rdd.map(pair).partition_by(partitions).lookup(&key)
        }
        Action::ForEachPartition => {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let log = Arc::clone(&seen);
            rdd.for_each_partition(move |rows| log.lock().unwrap().push(rows.collect::<Vec<_>>()))?;
            let parts = std::mem::take(&mut *seen.lock().unwrap());
            Ok(sorted(parts).concat())
        }
        Action::Sample(percent, seed) => rdd.sample(f64::from(percent) / 100.0, seed).collect(),
        Action::Draw(percent, seed) => {
            rdd.sample_with_replacement(f64::from(percent) / 100.0, seed).collect()
        }
    }
}

/// Returns the entries of a map in key order.
fn listed<V: TryInto<i64>>(map: HashMap<i64, V>) -> Vec<i64> {
    let entries = BTreeMap::from_iter(map).into_iter();
    entries.flat_map(|(key, value)| [key, value.try_into().ok().unwrap()]).collect()
}

//! `top`, `top_by_key` and `take_ordered`: the ends of an order, without sorting everything.

use crate::driver::{run_action, run_on_driver};
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use emberline_core::unwind::blame;
use std::cmp::Ordering;
use std::sync::Arc;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns the `n` largest rows in descending order, the first of equal ones first.
    ///
    /// A task holds at most `2 * n` rows (64 or more). Runs several jobs if `n` rows of every
    /// partition would exceed the result limit.
    ///
    /// # Errors
    ///
    /// `ResultTooLarge` if the returned rows exceed
    /// [`max_result_bytes`](crate::ContextBuilder::max_result_bytes).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.parallelize(vec![10, 4, 2, 12, 3]).top(2)?, [12, 10]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn top(&self, n: usize) -> Result<Vec<T>>
    where
        T: Ord,
    {
        self.top_n((Operation::new("top"), size_of::<T>()), n, |a, b| b.cmp(a))
    }

    /// Returns the `n` rows with the largest keys in descending order, the first of equal ones
    /// first.
    ///
    /// Resources are those of [`top`](Rdd::top).
    ///
    /// # Errors
    ///
    /// `ResultTooLarge` if the returned rows exceed
    /// [`max_result_bytes`](crate::ContextBuilder::max_result_bytes).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["a", "ccc", "bb"]);
    /// assert_eq!(words.top_by_key(2, |word| word.len())?, ["ccc", "bb"]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "top")]
    #[track_caller]
    pub fn top_by_key<K, F>(&self, n: usize, key_of: F) -> Result<Vec<T>>
    where
        K: Ord + Send + 'static,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        let action = Operation::new("top_by_key");
        let keyed =
            self.mapped(action, size_of::<F>(), crate::rdd::KeyEffect::Changed, move |row| {
                (key_of(&row), row)
            });
        let by_key = |a: &(K, T), b: &(K, T)| b.0.cmp(&a.0);
        let pairs = keyed.top_n((action, size_of::<T>()), n, by_key)?;
        Ok(pairs.into_iter().map(|(_, row)| row).collect())
    }

    /// Returns the `n` smallest rows in ascending order, the first of equal ones first.
    ///
    /// Resources are those of [`top`](Rdd::top).
    ///
    /// # Errors
    ///
    /// `ResultTooLarge` if the returned rows exceed
    /// [`max_result_bytes`](crate::ContextBuilder::max_result_bytes).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.parallelize(vec![10, 1, 2, 9, 3]).take_ordered(3)?, [1, 2, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "takeOrdered")]
    #[track_caller]
    pub fn take_ordered(&self, n: usize) -> Result<Vec<T>>
    where
        T: Ord,
    {
        self.top_n((Operation::new("take_ordered"), size_of::<T>()), n, |a, b| a.cmp(b))
    }

    /// The first `n` rows of an order. Of a row the action gives `row_bytes`.
    fn top_n<C>(
        &self,
        (action, row_bytes): (Operation, usize),
        n: usize,
        compare: C,
    ) -> Result<Vec<T>>
    where
        C: Fn(&T, &T) -> Ordering + Send + Sync + 'static,
    {
        let compare = Arc::new(move |a: &T, b: &T| blame(&action, || compare(a, b)));
        let (limit, all) = (self.result_limit(), self.num_partitions());
        run_action(action, || {
            let (mut top_n, mut next) = (Vec::new(), 0_usize);
            loop {
                let (of_task, in_task) = (limit.clone(), Arc::clone(&compare));
                let work = move |rows: P::Rows, _: &_| {
                    let mut part = of_task.reserve(row_bytes, 0);
                    let rows = top_n_of(rows, n, &*in_task, |rows| part.charge(rows));
                    part.end(rows.len());
                    Ok(rows)
                };
                let end = next.saturating_add(limit.partitions_per_job(row_bytes, n)).min(all);
                let parts = self.run(action, next..end, work)?;
                let rows = top_n.into_iter().chain(parts.into_iter().flatten());
                top_n = run_on_driver(action, || top_n_of(rows, n, &*compare, |_| ()))?;
                if end == all {
                    break;
                }
                next = end;
            }
            let fits = limit.check(row_bytes, top_n.len());
            fits.map_err(|error| error.in_operation(action).in_action(action))?;
            Ok(top_n)
        })
    }
}

/// The first `n` rows of an order, by sorting each time that twice as many are held: no row costs
/// more than the logarithm of `n` comparisons. `reach` hears how many will stay at least.
fn top_n_of<T>(
    rows: impl Iterator<Item = T>,
    n: usize,
    compare: impl Fn(&T, &T) -> Ordering,
    mut reach: impl FnMut(usize),
) -> Vec<T> {
    let shorten = |held: &mut Vec<T>| {
        held.sort_by(&compare);
        held.truncate(n);
    };
    let full = n.saturating_mul(2).max(64);
    let mut top_n = rows.fold(Vec::new(), |mut held, row| {
        if n > 0 {
            held.push(row);
            reach(held.len().min(n));
        }
        if held.len() >= full {
            shorten(&mut held);
        }
        held
    });
    shorten(&mut top_n);
    top_n
}

#[cfg(test)]
mod tests {
    use super::top_n_of;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_leading_rows_are_those_of_a_stable_sort(
            rows in proptest::collection::vec((0_u8..9, any::<u8>()), 0..300),
            n in 0_usize..90,
        ) {
            let mut sorted = rows.clone();
            sorted.sort_by_key(|row| row.0);
            sorted.truncate(n);
            prop_assert_eq!(top_n_of(rows.into_iter(), n, |a, b| a.0.cmp(&b.0), |_| ()), sorted);
        }
    }
}

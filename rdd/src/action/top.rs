//! `top`, `top_by_key`, `take_ordered` and `bottom_by_key`: the first rows of an order.

use crate::driver::{ActionFrame, run_action};
use crate::pipeline::{Element, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use emberline_core::unwind::blame;
use std::cmp::Ordering;
use std::sync::Arc;

/// # Actions
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns the `n` largest rows in descending order, the first of equal ones first.
    ///
    /// A task holds at most `2 * n` rows (64 or more). Runs several jobs if `n` rows of every
    /// partition would exceed the result limit.
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
        let order = |a: &T, b: &T| b.cmp(a);
        run_action(Operation::new("top"), |frame| self.top_n(frame, size_of::<T>(), n, order))
    }

    /// Returns the `n` rows with the largest keys, descending, the first of equal ones first.
    ///
    /// See [`top`](Rdd::top) for memory and jobs.
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
        self.top_n_by_key(Operation::new("top_by_key"), n, key_of, |a, b| b.cmp(a))
    }

    /// Returns the `n` rows with the smallest keys, ascending, the first of equal ones first.
    ///
    /// See [`top`](Rdd::top) for memory and jobs.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["ccc", "a", "bb"]);
    /// assert_eq!(words.bottom_by_key(2, |word| word.len())?, ["a", "bb"]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "takeOrdered")]
    #[track_caller]
    pub fn bottom_by_key<K, F>(&self, n: usize, key_of: F) -> Result<Vec<T>>
    where
        K: Ord + Send + 'static,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        self.top_n_by_key(Operation::new("bottom_by_key"), n, key_of, K::cmp)
    }

    /// Returns the `n` smallest rows in ascending order, the first of equal ones first.
    ///
    /// See [`top`](Rdd::top) for memory and jobs.
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
        let order = |a: &T, b: &T| a.cmp(b);
        let action = Operation::new("take_ordered");
        run_action(action, |frame| self.top_n(frame, size_of::<T>(), n, order))
    }

    fn top_n_by_key<K, F, C>(
        &self,
        action: Operation,
        n: usize,
        key_of: F,
        compare: C,
    ) -> Result<Vec<T>>
    where
        K: Send + 'static,
        F: Fn(&T) -> K + Send + Sync + 'static,
        C: Fn(&K, &K) -> Ordering + Send + Sync + 'static,
    {
        run_action(action, move |frame| {
            let add_key = move |row| (key_of(&row), row);
            let keyed = self.mapped(action, size_of::<F>(), KeyEffect::Changed, add_key);
            let pairs = keyed.top_n(frame, size_of::<T>(), n, move |a, b| compare(&a.0, &b.0))?;
            Ok(pairs.into_iter().map(|(_, row)| row).collect())
        })
    }

    /// Returns the first `n` rows by `compare`, of each of which the action returns `row_bytes`.
    fn top_n<C>(
        &self,
        frame: &ActionFrame,
        row_bytes: usize,
        n: usize,
        compare: C,
    ) -> Result<Vec<T>>
    where
        C: Fn(&T, &T) -> Ordering + Send + Sync + 'static,
    {
        let action = frame.action();
        let compare = Arc::new(move |a: &T, b: &T| blame(&action, || compare(a, b)));
        let limit = self.result_limit();
        let all = self.num_partitions();
        let mut top_n = Vec::new();
        let mut next = 0_usize;
        loop {
            let task_limit = limit.clone();
            let task_compare = Arc::clone(&compare);
            let work = move |rows: P::Rows, _: &_| {
                let mut part = task_limit.reserve(row_bytes, 0);
                let rows = top_n_of(rows, n, &*task_compare, |rows| part.charge(rows));
                part.finish(rows.len());
                Ok(rows)
            };
            let end = next.saturating_add(limit.partitions_per_job(row_bytes, n)).min(all);
            let parts = self.run(frame, next..end, work)?;
            let rows = top_n.into_iter().chain(parts.into_iter().flatten());
            top_n = top_n_of(rows, n, &*compare, |_| ());
            if end == all {
                break;
            }
            next = end;
        }
        limit.check(row_bytes, top_n.len())?;
        Ok(top_n)
    }
}

const MIN_HELD_ROWS: usize = 64;

/// Returns the first `n` rows in the order of `compare`; equal rows keep their order.
///
/// Sorts and truncates the rows each time that `2 * n` are held, at `log(n)` comparisons per row.
/// `charge` is called with the number of rows held that will be returned.
fn top_n_of<T>(
    rows: impl Iterator<Item = T>,
    n: usize,
    compare: impl Fn(&T, &T) -> Ordering,
    mut charge: impl FnMut(usize),
) -> Vec<T> {
    let shorten = |held: &mut Vec<T>| {
        held.sort_by(&compare);
        held.truncate(n);
    };
    let full = n.saturating_mul(2).max(MIN_HELD_ROWS);
    let mut top_n = rows.fold(Vec::new(), |mut held, row| {
        if n > 0 {
            held.push(row);
            charge(held.len().min(n));
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
        fn the_first_rows_are_those_of_a_stable_sort(
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

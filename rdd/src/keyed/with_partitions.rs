//! `with_partitions`: sets the partitions of the shuffle that follows.

use super::combine_by_key::Aggregator;
use super::join::inner_rows;
use super::outer_join::{full_rows, left_rows, right_rows};
use super::sets::{in_both, left_only};
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::{Group, Partitioning};
use std::cmp::Ordering;

/// # Views
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Sets the partitions of the operation that follows: a number, or a partitioner.
    ///
    /// It returns a view with those operations of `Rdd` that shuffle, such as `reduce_by_key` and
    /// `join`. Their result has the given partitions. Other operations, such as `map` and
    /// `collect`, are called before it or on the result.
    ///
    /// A number partitions by hash. A partitioner applies to keys, or to whole rows in `distinct`,
    /// `intersection` and `subtract`. Pairs that have the same partitioner already are not
    /// shuffled. Sorts take only a number, because they compute ranges from a sample of their keys.
    /// The action fails with [`PartitionOutOfRange`](crate::ErrorKind::PartitionOutOfRange) if the
    /// partitioner returns a partition that does not exist.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// use emberline_rdd::partition::HashPartitioner;
    /// # let ctx = Context::local()?;
    /// let sales = ctx.parallelize(vec![(1, 30), (2, 40), (1, 5)]);
    /// let totals = sales.with_partitions(8).reduce_by_key(|a, b| a + b);
    /// assert_eq!((totals.num_partitions(), totals.count()?), (8, 2));
    /// let joined = totals.with_partitions(HashPartitioner { partitions: 8 }).join(&sales);
    /// assert_eq!((joined.num_partitions(), joined.count()?), (8, 3));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "numPartitions")]
    pub fn with_partitions<B>(&self, partitions: B) -> WithPartitions<T, P, B> {
        WithPartitions { rdd: self.clone(), partitions }
    }
}

/// A view of an RDD that sets the partitions of a shuffle, made by [`Rdd::with_partitions`].
///
/// It is not an RDD: for `map`, `count` or `collect` the compiler reports that it "is not an
/// iterator". Call these before it, or on the result of the operation that shuffles.
#[must_use = "partitions do nothing until an operation such as `reduce_by_key` uses them"]
pub struct WithPartitions<T: 'static, P, B> {
    rdd: Rdd<T, P>,
    partitions: B,
}

impl<T, P: Clone, B: Clone> Clone for WithPartitions<T, P, B> {
    fn clone(&self) -> Self {
        WithPartitions { rdd: self.rdd.clone(), partitions: self.partitions.clone() }
    }
}

impl<T, P, B: Clone> WithPartitions<T, P, B> {
    /// Returns the partitions as the operation needs them: a `Partitioning`, or a sort's count.
    fn partitions<N>(&self) -> N
    where
        B: Into<N>,
    {
        self.partitions.clone().into()
    }
}

/// Defines operations that call a private method of `Rdd` with operation and partitions.
macro_rules! operations {
    ($(
        pub fn $name:ident $(<$($type:ident),+>)? ($($arg:ident: $arg_type:ty),*) -> $out:ty
        where { $($bounds:tt)* }
        => $method:ident($($passed:expr),*);
    )+) => {$(
        #[doc = concat!("Calls [`Rdd::", stringify!($name), "`] with the given partitions.")]
        #[track_caller]
        pub fn $name $(<$($type),+>)? (&self, $($arg: $arg_type),*) -> $out
        where
            $($bounds)*
        {
            self.rdd.$method(Operation::new(stringify!($name)), self.partitions(), $($passed),*)
        }
    )+};
}

/// # Aggregation by key
impl<K, V, P, B> WithPartitions<(K, V), P, B>
where
    K: Element,
    V: Element,
    P: Pipeline<Item = (K, V)>,
    B: Into<Partitioning<K>> + Clone,
{
    operations! {
        pub fn reduce_by_key<F>(f: F) -> Rdd<(K, V)>
        where { K: Key, V: Stored, F: Fn(V, V) -> V + Send + Sync + 'static }
        => reduced(f);

        pub fn fold_by_key<F>(zero: V, f: F) -> Rdd<(K, V)>
        where { K: Key, V: Stored, F: Fn(V, V) -> V + Send + Sync + 'static }
        => folded(zero, f);

        pub fn aggregate_by_key<A, G, H>(zero: A, merge_value: G, merge_accumulators: H) -> Rdd<(K, A)>
        where {
            K: Key,
            A: Stored,
            G: Fn(A, V) -> A + Send + Sync + 'static,
            H: Fn(A, A) -> A + Send + Sync + 'static,
        }
        => aggregated(zero, merge_value, merge_accumulators);

        pub fn combine_by_key<C, F, G, H>(create: F, merge_value: G, merge_combiners: H) -> Rdd<(K, C)>
        where {
            K: Key,
            C: Stored,
            F: Fn(V) -> C + Send + Sync + 'static,
            G: Fn(C, V) -> C + Send + Sync + 'static,
            H: Fn(C, C) -> C + Send + Sync + 'static,
        }
        => combined(Aggregator { create, merge_value, merge_combiners });
    }
}

/// # Grouping
impl<K, V, P, B> WithPartitions<(K, V), P, B>
where
    K: Element,
    V: Element,
    P: Pipeline<Item = (K, V)>,
    B: Into<Partitioning<K>> + Clone,
{
    operations! {
        pub fn group_by_key() -> Rdd<(K, Vec<V>)>
        where { K: Key, V: Stored }
        => grouped_lists();

        pub fn group_by_key_iter() -> Rdd<(K, Group<V>)>
        where { K: Key, V: Stored }
        => grouped_groups();

        pub fn group_sorted_by_key<S, F>(sort_key_of: F) -> Rdd<(K, Vec<V>)>
        where { K: Key, V: Stored, S: Ord, F: Fn(&V) -> S + Send + Sync + 'static }
        => grouped_and_sorted(sort_key_of);
    }
}

/// # Joins
impl<K, V, P, B> WithPartitions<(K, V), P, B>
where
    K: Element,
    V: Element,
    P: Pipeline<Item = (K, V)>,
    B: Into<Partitioning<K>> + Clone,
{
    operations! {
        pub fn join<W, Q>(other: &Rdd<(K, W), Q>) -> Rdd<(K, (V, W))>
        where { K: Key, V: Stored, W: Stored, Q: Pipeline<Item = (K, W)> }
        => cogrouped_by(other, inner_rows);

        pub fn left_outer_join<W, Q>(other: &Rdd<(K, W), Q>) -> Rdd<(K, (V, Option<W>))>
        where { K: Key, V: Stored, W: Stored, Q: Pipeline<Item = (K, W)> }
        => cogrouped_by(other, left_rows);

        pub fn right_outer_join<W, Q>(other: &Rdd<(K, W), Q>) -> Rdd<(K, (Option<V>, W))>
        where { K: Key, V: Stored, W: Stored, Q: Pipeline<Item = (K, W)> }
        => cogrouped_by(other, right_rows);

        pub fn full_outer_join<W, Q>(other: &Rdd<(K, W), Q>) -> Rdd<(K, (Option<V>, Option<W>))>
        where { K: Key, V: Stored, W: Stored, Q: Pipeline<Item = (K, W)> }
        => cogrouped_by(other, full_rows);

        pub fn cogroup<W, Q>(other: &Rdd<(K, W), Q>) -> Rdd<(K, (Vec<V>, Vec<W>))>
        where { K: Key, V: Stored, W: Stored, Q: Pipeline<Item = (K, W)> }
        => cogrouped_lists(other);

        pub fn cogroup_iter<W, Q>(other: &Rdd<(K, W), Q>) -> Rdd<(K, (Group<V>, Group<W>))>
        where { K: Key, V: Stored, W: Stored, Q: Pipeline<Item = (K, W)> }
        => cogrouped_groups(other);

        pub fn cogroup3<W, X, Q, R>(second: &Rdd<(K, W), Q>, third: &Rdd<(K, X), R>) -> Rdd<(K, (Vec<V>, Vec<W>, Vec<X>))>
        where {
            K: Key,
            V: Stored,
            W: Stored,
            X: Stored,
            Q: Pipeline<Item = (K, W)>,
            R: Pipeline<Item = (K, X)>,
        }
        => cogrouped3(second, third);

        pub fn subtract_by_key<W, Q>(other: &Rdd<(K, W), Q>) -> Rdd<(K, V)>
        where { K: Key, V: Stored, W: Element, Q: Pipeline<Item = (K, W)> }
        => without_keys(other);
    }
}

/// # Sets of rows
impl<T, P, B> WithPartitions<T, P, B>
where
    T: Element,
    P: Pipeline<Item = T>,
    B: Into<Partitioning<T>> + Clone,
{
    operations! {
        pub fn distinct() -> Rdd<T>
        where { T: Key }
        => deduplicated();

        pub fn intersection<Q>(other: &Rdd<T, Q>) -> Rdd<T>
        where { T: Key, Q: Pipeline<Item = T> }
        => cogrouped_rows(other, in_both);

        pub fn subtract<Q>(other: &Rdd<T, Q>) -> Rdd<T>
        where { T: Key, Q: Pipeline<Item = T> }
        => cogrouped_rows(other, left_only);
    }
}

/// # Grouping
impl<T: Element, P: Pipeline<Item = T>, B: Clone> WithPartitions<T, P, B> {
    operations! {
        pub fn group_by<K, F>(key_of: F) -> Rdd<(K, Vec<T>)>
        where { T: Stored, K: Key, F: Fn(&T) -> K + Send + Sync + 'static, B: Into<Partitioning<K>> }
        => grouped_by(key_of);
    }
}

/// # Sorting and partitioning
impl<T: Element, P: Pipeline<Item = T>> WithPartitions<T, P, usize> {
    operations! {
        pub fn sort_by_key<K, F>(key_of: F) -> Rdd<T>
        where {
            T: Stored,
            K: Ord + Clone + Send + Sync + 'static,
            F: Fn(&T) -> K + Send + Sync + 'static,
        }
        => sorted_by_key(key_of);

        pub fn sort_by<F>(compare: F) -> Rdd<T>
        where { T: Stored, F: Fn(&T, &T) -> Ordering + Send + Sync + 'static }
        => sorted_by(compare);
    }
}

/// # Sorting and partitioning
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> WithPartitions<(K, V), P, usize> {
    operations! {
        pub fn sort_pairs() -> Rdd<(K, V)>
        where { K: Stored + Ord, V: Stored }
        => sorted_pairs();
    }
}

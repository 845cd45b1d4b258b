//! `broadcast_join` and `broadcast_left_outer_join`: joins with a side that is small enough for a
//! table in memory, so that the other one stays where it is.

use super::shuffled::{Outputs, shuffle};
use crate::context::two_contexts;
use crate::narrow::adapted::{Adapted, Adaptor, At};
use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::error::Result;
use emberline_core::lineage::Dependency;
use emberline_core::memory::Reservation;
use emberline_core::operation::Operation;
use emberline_core::task::{CancelCheck, OperatorMemory, TaskContext};
use emberline_core::unwind::{blame, raise};
use emberline_shuffle::{BroadcastTable, Hashed, MapWriter, hash_of};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A row with a value of either side.
type Both<K, V, W> = (K, (V, W));
/// The same, where the small side may have none.
type LeftBoth<K, V, W> = (K, (V, Option<W>));

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Pairs each value with each value of the same key in `small`; keys that only one side has are
    /// left out: a [`join`](Rdd::join) with a side that fits into memory. Every task looks its rows up in
    /// a table of `small`, one after the other, so this side is not moved at all.
    ///
    /// The first tasks build the table, and it is kept as long as the RDD if the budget has room; else
    /// it is built for each partition, of what the one shuffle left. A `small` that is not small is the
    /// error [`BroadcastTooLarge`](crate::ErrorKind::BroadcastTooLarge), and never half a table.
    ///
    /// - **Shape**: `Rdd<(K, V)>` and `Rdd<(K, W)>` to `Rdd<(K, (V, W))>`
    /// - **Partitions**: kept
    /// - **Partitioner**: kept
    /// - **Shuffle**: one, of `small` into one partition; none of this side
    /// - **Memory**: `small` as its shuffle leaves it, and a table of it (one for each running task until
    ///   one is kept), which may take a third of a task's share, a quarter behind one
    ///   operation of the same stage that holds rows, and less behind more; what passes it is the error
    ///   `BroadcastTooLarge`, and [`join`](Rdd::join) is the way
    /// - **Order**: kept; the values of a key in `small` in the order of partitions and rows
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let sales = ctx.parallelize(vec![(2, 40), (1, 30), (9, 7), (2, 41)]);
    /// let names = ctx.parallelize(vec![(1, 'a'), (2, 'b')]);
    /// let named = sales.broadcast_join(&names);
    /// assert_eq!(named.collect()?, [(2, (40, 'b')), (1, (30, 'a')), (2, (41, 'b'))]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn broadcast_join<W, Q>(
        &self,
        small: &Rdd<(K, W), Q>,
    ) -> Rdd<Both<K, V, W>, impl Fused<Item = Both<K, V, W>> + use<K, V, P, W, Q>>
    where
        K: Key,
        V: Clone,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        self.looked_up::<Matched, _, _, _>(Operation::new("broadcast_join"), small)
    }

    /// Pairs each value with each value of the same key in `small`, or with `None` if `small` does not
    /// have the key; keys that only `small` has are left out: [`broadcast_join`](Rdd::broadcast_join)
    /// that keeps every row of this side.
    ///
    /// - **Shape**: `Rdd<(K, V)>` and `Rdd<(K, W)>` to `Rdd<(K, (V, Option<W>))>`
    /// - **Partitions**: kept
    /// - **Partitioner**: kept
    /// - **Shuffle**: one, of `small` into one partition; none of this side
    /// - **Memory**: a table of `small`; `BroadcastTooLarge` as `broadcast_join`, and then
    ///   [`left_outer_join`](Rdd::left_outer_join) is the way
    /// - **Order**: kept; the values of a key in `small` in the order of partitions and rows
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let sales = ctx.parallelize(vec![(2, 40), (9, 7)]);
    /// let names = ctx.parallelize(vec![(1, 'a'), (2, 'b')]);
    /// let named = sales.broadcast_left_outer_join(&names);
    /// assert_eq!(named.collect()?, [(2, (40, Some('b'))), (9, (7, None))]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn broadcast_left_outer_join<W, Q>(
        &self,
        small: &Rdd<(K, W), Q>,
    ) -> Rdd<LeftBoth<K, V, W>, impl Fused<Item = LeftBoth<K, V, W>> + use<K, V, P, W, Q>>
    where
        K: Key,
        V: Clone,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        self.looked_up::<OrNone, _, _, _>(Operation::new("broadcast_left_outer_join"), small)
    }

    fn looked_up<M, O, W, Q>(
        &self,
        operation: Operation,
        small: &Rdd<(K, W), Q>,
    ) -> Rdd<Both<K, V, O>, impl Fused<Item = Both<K, V, O>> + use<K, V, P, M, O, W, Q>>
    where
        K: Key,
        V: Clone,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
        O: Element,
        M: JoinKind<W, Out = O>,
    {
        let write = move |rows: Q::Rows, _, to: &mut MapWriter<Hashed<K, W>>| {
            rows.for_each(|(key, value)| {
                let hash = blame(&operation, || hash_of(&key));
                to.push_keyed(0, hash, Hashed { hash, key, value });
            });
        };
        let (outputs, edge) = shuffle(small, operation, (1, 1), write);
        let edges = vec![Dependency::Narrow(Arc::clone(&self.lineage)), edge];
        let mut lineage = self.context.lineage(operation, self.num_partitions(), edges);
        lineage.problem = two_contexts(operation, &self.context, &small.context);
        lineage.holds_rows();
        let operators = lineage.operators();
        let small = Small { outputs, operators, kept: Mutex::new(None) };
        let pipeline = Adapted::<_, _, HashProbe<M>>::new(self.pipeline.clone(), small, operation);
        Rdd::partitioned(&self.context, lineage, pipeline, self.partitioner.clone())
    }
}

/// What a row becomes with the values of its key.
trait JoinKind<W>: 'static {
    type Out: Element;
    /// So many rows at least.
    const LEAST: usize;

    /// The other half of a pair: one value of the key, or nothing if it has none.
    fn half(value: Option<&W>) -> Option<Self::Out>;
}

enum Matched {}

impl<W: Stored> JoinKind<W> for Matched {
    type Out = W;
    const LEAST: usize = 0;

    #[inline]
    fn half(value: Option<&W>) -> Option<W> {
        value.cloned()
    }
}

enum OrNone {}

impl<W: Stored> JoinKind<W> for OrNone {
    type Out = Option<W>;
    const LEAST: usize = 1;

    #[inline]
    fn half(value: Option<&W>) -> Option<Option<W>> {
        Some(value.cloned())
    }
}

/// The small side: the output of its shuffle, and its table once a task has built it.
struct Small<K: Key, W: Stored> {
    outputs: Arc<Outputs<Hashed<K, W>>>,
    operators: usize,
    kept: Mutex<Option<Arc<Table<K, W>>>>,
}

/// A table, and what it takes of the budget if it is kept between tasks.
struct Table<K, W> {
    rows: BroadcastTable<K, W>,
    _reserved: Option<Reservation>,
}

/// A table as a task holds it. One that is the task's own counts to what the task holds.
type OwnTable<K, W> = (Arc<Table<K, W>>, Option<OperatorMemory>);

impl<K: Key, W: Stored> Small<K, W> {
    /// The table that is kept, or a new one. No task waits for another that builds it, and one that
    /// fails leaves nothing: so tasks that begin at the same time each build one, and the first stays.
    ///
    /// It stays also if an output that it was made of is lost later. Whatever comes in its place has
    /// the same keys and as many rows, or is refused: the old one was read.
    fn table(&self, task: &TaskContext) -> Result<OwnTable<K, W>> {
        if let Some(kept) = self.kept() {
            return Ok((kept, None));
        }
        let reader = self.outputs.read(0, task);
        let rows = BroadcastTable::read(reader, task.operator_memory_limit(), task)?;
        if let Some(kept) = self.kept() {
            // Another task was first: no cache is to give way for a table that goes.
            return Ok((kept, None));
        }
        let bytes = rows.bytes();
        match task.memory.try_reserve(bytes) {
            Some(reserved) => Ok((self.keep(Table { rows, _reserved: Some(reserved) }), None)),
            None => {
                let mut held = OperatorMemory::new(task);
                held.set(bytes);
                Ok((Arc::new(Table { rows, _reserved: None }), Some(held)))
            }
        }
    }

    fn kept(&self) -> Option<Arc<Table<K, W>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps a table, unless another task was first; gives the one that is kept. What comes second is
    /// dropped without the lock: that runs the user's code.
    fn keep(&self, table: Table<K, W>) -> Arc<Table<K, W>> {
        let table = Arc::new(table);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(kept.get_or_insert_with(|| Arc::clone(&table)))
    }
}

/// The step in the loop: each row of the large side is looked up.
struct HashProbe<M>(PhantomData<fn() -> M>);

impl<R, K, V, W, M> Adaptor<R, Small<K, W>> for HashProbe<M>
where
    R: Iterator<Item = (K, V)> + 'static,
    K: Key,
    V: Element + Clone,
    W: Stored,
    M: JoinKind<W>,
{
    type Item = Both<K, V, M::Out>;
    type Rows = ProbedRows<R, K, V, W, M>;

    fn adapt(rows: R, small: Arc<Small<K, W>>, operation: Operation, at: At<'_>) -> Self::Rows {
        let table = blame(&operation, || small.table(&at.task.with_operators(small.operators)));
        let (table, held) = table.unwrap_or_else(|error| raise(error.in_operation(operation)));
        let (at_hand, pairing, pace) =
            (PendingMatches::default(), PhantomData, CancelCheck::new(at.task));
        ProbedRows { rows, at_hand, table, operation, pace, pairing, _held: held }
    }
}

struct ProbedRows<R, K: Key, V, W: Stored, M> {
    rows: R,
    at_hand: PendingMatches<K, V>,
    table: Arc<Table<K, W>>,
    operation: Operation,
    /// A row may have as many rows as the small side.
    pace: CancelCheck,
    pairing: PhantomData<fn() -> M>,
    _held: Option<OperatorMemory>,
}

/// A row that was looked up, and what is still to be made of it.
struct PendingMatches<K, V> {
    row: Option<(K, V)>,
    /// The values that are left.
    places: Range<usize>,
    /// The rows that are left.
    left: usize,
}

impl<K, V> Default for PendingMatches<K, V> {
    fn default() -> Self {
        PendingMatches { row: None, places: 0..0, left: 0 }
    }
}

impl<K: Key, V: Clone> PendingMatches<K, V> {
    #[inline]
    fn new<W: Stored, M: JoinKind<W>>(row: (K, V), places: Range<usize>) -> Self {
        PendingMatches { row: Some(row), left: places.len().max(M::LEAST), places }
    }

    /// The next row: key and value are clones, but for the last.
    #[inline]
    fn next<W: Stored, M: JoinKind<W>>(&mut self, values: &[W]) -> Option<Both<K, V, M::Out>> {
        self.left = self.left.checked_sub(1)?;
        let row = if self.left == 0 { self.row.take() } else { self.row.clone() };
        let half = M::half(self.places.next().and_then(|at| values.get(at)))?;
        row.map(|(key, value)| (key, (value, half)))
    }

    /// All rows. Neither inlined nor expected: most keys have one value, and the loop over their rows, which
    /// has the steps behind this one in it, is to have no state for a row.
    #[cold]
    #[inline(never)]
    fn fold_all<W: Stored, M: JoinKind<W>, B>(
        mut self,
        values: &[W],
        init: B,
        (operation, pace): (&Operation, &mut CancelCheck),
        g: &mut impl FnMut(B, Both<K, V, M::Out>) -> B,
    ) -> B {
        let mut accumulated = init;
        while let Some(row) = blame(operation, || self.next::<W, M>(values)) {
            pace.tick();
            accumulated = g(accumulated, row);
        }
        accumulated
    }
}

impl<R, K, V, W, M> Iterator for ProbedRows<R, K, V, W, M>
where
    R: Iterator<Item = (K, V)>,
    K: Key,
    V: Clone,
    W: Stored,
    M: JoinKind<W>,
{
    type Item = Both<K, V, M::Out>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let table = &self.table.rows;
        loop {
            let next = blame(&self.operation, || self.at_hand.next::<W, M>(table.values()));
            if next.is_some() {
                self.pace.tick();
                return next;
            }
            let row = self.rows.next()?;
            let places = blame(&self.operation, || table.places_of(hash_of(&row.0), &row.0));
            self.at_hand = PendingMatches::new::<W, M>(row, places);
        }
    }

    #[inline]
    fn fold<B, G: FnMut(B, Self::Item) -> B>(self, init: B, mut g: G) -> B {
        let ProbedRows { rows, at_hand, table, operation, mut pace, .. } = self;
        let (table, values) = (&table.rows, table.rows.values());
        let accumulated =
            at_hand.fold_all::<W, M, B>(values, init, (&operation, &mut pace), &mut g);
        rows.fold(accumulated, |accumulated, row| {
            let places = blame(&operation, || table.places_of(hash_of(&row.0), &row.0));
            if places.len() > 1 {
                let at_hand = PendingMatches::new::<W, M>(row, places);
                let task = (&operation, &mut pace);
                return at_hand.fold_all::<W, M, B>(values, accumulated, task, &mut g);
            }
            match blame(&operation, || M::half(values[places].first())) {
                Some(half) => g(accumulated, (row.0, (row.1, half))),
                None => accumulated,
            }
        })
    }
}

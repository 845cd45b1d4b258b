//! Accumulators: values that tasks add to, and that the program reads after the action.
//!
//! A task adds to its own partial value without a lock. The partial value is stored with the
//! result, the map output or the block of its task; a later attempt replaces an earlier one. All
//! are merged when the action has succeeded, in the order of stages and partitions. So every
//! partition counts once, and float sums have the same bits on any number of threads.
//!
//! Merging is a transaction of the action: it works on copies, which replace the values of all
//! accumulators together, or of none. No user code runs under a lock.
//! - `deltas`: the partial values of a task.
//! - `committed`: partial values that belong to map outputs and stored partitions.
//! - `value`: the value that the program reads.
//! - `transaction`: merges the partial values of an action.
//! - `turns`: repeats what another thread has overtaken.

mod committed;
mod deltas;
mod transaction;
mod turns;
mod value;

pub use crate::action::RunningStats;

pub(crate) use committed::CommittedDeltas;
pub(crate) use deltas::{TaskDeltas, with_accumulators, without_accumulators};
pub(crate) use transaction::Transaction;
pub(crate) use turns::until_done;

use self::value::Value;
use crate::context::Context;
use emberline_core::engine::Engine;
use emberline_core::error::{Error, Result};
use emberline_core::unwind::{raise, record_in_rayon_work};
use std::fmt;
use std::sync::{Arc, Weak};

/// A value that an [`Accumulator`] can hold: a number (summed), a `Vec`, or a type of your own.
///
/// ```
/// # use emberline_rdd as emberline;
/// use emberline::{accumulator::Accumulate, prelude::*};
/// #[derive(Clone)]
/// struct Longest(String);
///
/// impl Accumulate for Longest {
///     type Input = String;
///     fn zero(&self) -> Self {
///         Longest(String::new())
///     }
///     fn add(&mut self, word: String) {
///         if word.len() > self.0.len() {
///             self.0 = word;
///         }
///     }
///     fn merge(&mut self, later: Self) {
///         self.add(later.0);
///     }
/// }
/// let ctx = Context::local()?;
/// let longest = ctx.accumulator(Longest(String::new()));
/// let seen = longest.clone();
/// let words = ctx.parallelize(vec!["an", "ember", "glows", "on"]);
/// words.for_each(move |word| seen.add(word.to_string()))?;
/// assert_eq!(longest.value().0, "ember");
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of an accumulator",
    note = "use a number, a `Vec` or `RunningStats`, or implement `Accumulate` for a type of your own"
)]
pub trait Accumulate: Clone + Send + Sync + 'static {
    /// The type of the inputs.
    type Input;

    /// Returns the value with which each task begins.
    fn zero(&self) -> Self;

    /// Adds one input.
    fn add(&mut self, input: Self::Input);

    /// Adds the partial value of a later task or partition.
    ///
    /// It may run again with the same values, if another thread has changed the accumulator
    /// meanwhile. It may use other accumulators and run actions, whose additions count even if this
    /// one is repeated. If it changes its own accumulator each time, the action fails.
    fn merge(&mut self, later: Self);
}

/// A value that closures add to and the program reads; made by [`Context::accumulator`]. Clones
/// share the value.
#[doc(alias = "AccumulatorV2")]
pub struct Accumulator<A: Accumulate> {
    value: Arc<Value<A>>,
    engine: Weak<Engine>,
}

/// # Shared values
impl Context {
    /// Returns an accumulator with the value `start`: closures add to a clone of it while tasks
    /// run, and the program reads its value after the action.
    ///
    /// An addition in the stage of the result counts once per result partition, however many
    /// attempts a task needs. An addition before a shuffle or a [`cache`](crate::Rdd::cache) counts
    /// once per partition, with the first action that succeeds, even if the output is recomputed
    /// later. A failed action adds nothing. An operation that two actions compute counts in both,
    /// and so does a partition that did not fit in the cache. A sort computes its input twice,
    /// first for a sample.
    ///
    /// Call `add` on the thread of the closure. In rayon work that a closure starts it is an error
    /// on any other thread; count locally there, and add the count once.
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// let ctx = Context::local()?;
    /// let skipped = ctx.accumulator(0_u64);
    /// let counter = skipped.clone();
    /// let numbers = ctx.parallelize(vec!["1", "two", "3"]).filter_map(move |text| {
    ///     text.parse::<u32>().inspect_err(|_| counter.add(1)).ok()
    /// });
    /// assert_eq!(numbers.collect()?, [1, 3]);
    /// assert_eq!(skipped.value(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "longAccumulator")]
    #[doc(alias = "doubleAccumulator")]
    #[doc(alias = "collectionAccumulator")]
    pub fn accumulator<A: Accumulate>(&self, start: A) -> Accumulator<A> {
        Accumulator { value: Arc::new(Value::new(start)), engine: Arc::downgrade(&self.engine) }
    }
}

impl<A: Accumulate> Accumulator<A> {
    /// Adds `input` to the partial value of the current task, or to the value itself on a thread
    /// that runs no task, such as one that a closure starts.
    pub fn add(&self, input: A::Input) {
        match TaskDeltas::take_out(self) {
            Some(mut delta) => {
                delta.value.add(input);
                TaskDeltas::put_back(delta);
            }
            None => {
                self.refuse_rayon_work();
                self.add_now(input);
            }
        }
    }

    /// Raises an error on a pool thread that runs no task: it runs rayon work of some closure.
    fn refuse_rayon_work(&self) {
        if self.engine.upgrade().is_some_and(|engine| engine.is_pool_thread()) {
            let message = "accumulator updated from rayon work inside a closure; accumulate locally and add \
                           once, in the closure itself";
            let error = Error::invalid_argument(message);
            record_in_rayon_work(&error);
            raise(error);
        }
    }

    /// Adds `input` to the value. The user's code runs without a lock.
    fn add_now(&self, input: A::Input) {
        let mut delta = self.value.snapshot().value.zero();
        delta.add(input);
        let delta = Arc::new(delta);
        or_panic(until_done(|| Ok(self.value.try_merge(&delta).then_some(()))));
    }

    /// Returns the start plus the additions of successful actions and of the program itself.
    pub fn value(&self) -> A {
        A::clone(&self.value.snapshot().value)
    }

    /// Returns the value and resets it to zero, for one count per iteration.
    #[doc(alias = "reset")]
    pub fn take(&self) -> A {
        let taken = or_panic(until_done(|| {
            let now = self.value.snapshot();
            let mut next = Arc::new(now.value.zero());
            Ok(self.value.replace(now.version, &mut next).then_some(next))
        }));
        Arc::unwrap_or_clone(taken)
    }

    /// Returns an address that identifies the accumulator while a handle to it exists.
    fn address(&self) -> usize {
        Arc::as_ptr(&self.value).addr()
    }
}

impl<A: Accumulate> Clone for Accumulator<A> {
    fn clone(&self) -> Self {
        Accumulator { value: Arc::clone(&self.value), engine: Weak::clone(&self.engine) }
    }
}

impl<A: Accumulate + fmt::Debug> fmt::Debug for Accumulator<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Accumulator").field(&*self.value.snapshot().value).finish()
    }
}

/// Returns the result, or panics with the error: the calls have no other way to report it.
fn or_panic<R>(result: Result<R>) -> R {
    result.unwrap_or_else(|error| panic!("{error}"))
}

macro_rules! accumulate_integers {
    ($($number:ty)*) => {$(
        /// The sum. Overflow panics in the operation that adds.
        impl Accumulate for $number {
            type Input = $number;

            fn zero(&self) -> Self {
                0
            }

            #[inline]
            fn add(&mut self, input: $number) {
                let sum = self.checked_add(input);
                *self = sum.expect(concat!("accumulator overflowed ", stringify!($number)));
            }

            fn merge(&mut self, later: Self) {
                self.add(later);
            }
        }
    )*};
}
accumulate_integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

macro_rules! accumulate_floats {
    ($($number:ty)*) => {$(
        /// The sum, rounded at each addition; [`RunningStats`] rounds once.
        impl Accumulate for $number {
            type Input = $number;

            fn zero(&self) -> Self {
                0.0
            }

            #[inline]
            fn add(&mut self, input: $number) {
                *self += input;
            }

            fn merge(&mut self, later: Self) {
                *self += later;
            }
        }
    )*};
}
accumulate_floats!(f32 f64);

/// The list of all inputs, in the order of partitions and rows.
impl<T: Clone + Send + Sync + 'static> Accumulate for Vec<T> {
    type Input = T;

    fn zero(&self) -> Self {
        Vec::new()
    }

    fn add(&mut self, input: T) {
        self.push(input);
    }

    fn merge(&mut self, mut later: Self) {
        self.append(&mut later);
    }
}

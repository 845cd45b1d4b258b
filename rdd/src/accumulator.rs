//! Accumulators: values that tasks add to, and that the program reads once the action is done.
//!
//! A task adds to a part of its own, without a lock. The parts of a job are merged when it has ended
//! well, in the order of stages and partitions; a later attempt of a partition takes the place of
//! an earlier one. So nothing is counted twice, and float sums have the same bits on any number of
//! threads.

use crate::context::Context;
use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What an [`Accumulator`] keeps: numbers are added up and a `Vec` collects; implement it for more.
///
/// ```
/// # use emberline_rdd as emberline;
/// use emberline::{Accumulate, prelude::*};
///
/// /// The longest word so far; the first of equals.
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
///
/// let ctx = Context::local()?;
/// let longest = ctx.accumulator(Longest(String::new()));
/// let seen = longest.clone();
/// let words = ctx.parallelize(vec!["an", "ember", "glows", "on"]);
/// words.for_each(move |word| seen.add(word.to_string()))?;
/// assert_eq!(longest.value().0, "ember");
/// # Ok::<(), emberline_rdd::Error>(())
/// ```
pub trait Accumulate: Clone + Send + 'static {
    /// What is added.
    type Input;

    /// A value like this one to which nothing was added: where each task begins.
    fn zero(&self) -> Self;

    /// Adds one input.
    fn add(&mut self, input: Self::Input);

    /// Adds all that was added to `later`, which comes behind in the order of partitions.
    fn merge(&mut self, later: Self);
}

/// A value that closures add to and the program reads; made by [`Context::accumulator`]. It is a
/// handle: clones of it share the value.
pub struct Accumulator<A: Accumulate>(Arc<Mutex<A>>);

impl Context {
    /// An accumulator: closures [`add`](Accumulator::add) to a clone of it while tasks run, and the
    /// program reads its [`value`](Accumulator::value) after the action. It begins with `start`.
    ///
    /// What is added in an action, or in a step of the stage that gives its result, counts once for
    /// each partition of the result, however often a task was tried. What is added in a step before
    /// a shuffle counts once for each partition of that step, even if the output is lost and
    /// computed again. An action that fails adds nothing.
    ///
    /// A step that two actions compute counts in both; [`cache`](crate::Rdd::cache) it to count
    /// once. A sort computes what is before it twice, first for a sample.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let skipped = ctx.accumulator(0_u64);
    /// let counter = skipped.clone();
    /// let numbers = ctx.parallelize(vec!["1", "two", "3"]).filter_map(move |text| {
    ///     let number = text.parse::<u32>().ok();
    ///     if number.is_none() {
    ///         counter.add(1);
    ///     }
    ///     number
    /// });
    /// assert_eq!(numbers.collect()?, [1, 3]);
    /// assert_eq!(skipped.value(), 1);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn accumulator<A: Accumulate>(&self, start: A) -> Accumulator<A> {
        Accumulator(Arc::new(Mutex::new(start)))
    }
}

impl<A: Accumulate> Accumulator<A> {
    /// Adds `input`: in a task, to the task's own part; on the program's threads, to the value. A
    /// thread that a closure starts is one of the program's.
    pub fn add(&self, input: A::Input) {
        let not_in_a_task = PARTS.with_borrow_mut(|parts| match parts {
            Some(parts) => {
                parts.of(self).add(input);
                None
            }
            None => Some(input),
        });
        if let Some(input) = not_in_a_task {
            self.lock().add(input);
        }
    }

    /// The value: the start, and what jobs that have ended well and the program itself have added.
    pub fn value(&self) -> A {
        self.lock().clone()
    }

    /// The value, leaving zero in its place: for one count a round.
    pub fn take(&self) -> A {
        let mut value = self.lock();
        let zero = value.zero();
        std::mem::replace(&mut value, zero)
    }

    fn lock(&self) -> MutexGuard<'_, A> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Accumulate> Clone for Accumulator<A> {
    fn clone(&self) -> Self {
        Accumulator(Arc::clone(&self.0))
    }
}

impl<A: Accumulate + fmt::Debug> fmt::Debug for Accumulator<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Accumulator").field(&*self.lock()).finish()
    }
}

macro_rules! accumulate_integers {
    ($($number:ty)*) => {$(
        /// The sum; one that does not fit is a panic of the step that adds.
        impl Accumulate for $number {
            type Input = $number;

            fn zero(&self) -> Self {
                0
            }

            #[inline]
            fn add(&mut self, input: $number) {
                let sum = self.checked_add(input);
                *self = sum.expect(concat!("the sum of an accumulator is past ", stringify!($number)));
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
        /// The sum, rounded at each step; [`RunningStats`](crate::RunningStats) rounds once.
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

/// All inputs, in the order of partitions and rows.
impl<T: Clone + Send + 'static> Accumulate for Vec<T> {
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

thread_local! {
    /// What the task on this thread has added; nothing on a thread without one.
    static PARTS: RefCell<Option<Parts>> = const { RefCell::new(None) };
}

/// What one task has added, to each accumulator it has met.
#[derive(Default)]
pub(crate) struct Parts(Vec<Box<dyn AnyPart>>);

struct Part<A: Accumulate> {
    whole: Accumulator<A>,
    part: A,
}

/// A part of an accumulator whose type is not named.
trait AnyPart: Any + Send {
    fn merge(self: Box<Self>);
}

impl<A: Accumulate> AnyPart for Part<A> {
    fn merge(self: Box<Self>) {
        self.whole.lock().merge(self.part);
    }
}

impl Parts {
    /// The part of `whole`. A task has few accumulators, so looking along a list is the fastest.
    #[inline]
    fn of<A: Accumulate>(&mut self, whole: &Accumulator<A>) -> &mut A {
        let is_part = |part: &dyn AnyPart| {
            let part = (part as &dyn Any).downcast_ref::<Part<A>>();
            part.is_some_and(|part| Arc::ptr_eq(&part.whole.0, &whole.0))
        };
        let at = self.0.iter().position(|part| is_part(&**part)).unwrap_or_else(|| {
            let part = whole.lock().zero();
            self.0.push(Box::new(Part { whole: whole.clone(), part }));
            self.0.len() - 1
        });
        let part = (&mut *self.0[at] as &mut dyn Any).downcast_mut::<Part<A>>();
        &mut part.expect("the part was found, or made, as one of this type").part
    }

    /// Adds the parts to their accumulators.
    pub(crate) fn merge(self) {
        self.0.into_iter().for_each(AnyPart::merge);
    }
}

/// Runs the work of a task, and gives what it added beside its result.
pub(crate) fn counted<R>(work: impl FnOnce() -> R) -> (R, Parts) {
    /// Gives back what the outer task has added: a task may run while another waits.
    struct Restore(Option<Parts>);
    impl Drop for Restore {
        fn drop(&mut self) {
            PARTS.replace(self.0.take());
        }
    }
    let _restore = Restore(PARTS.replace(Some(Parts::default())));
    let result = work();
    (result, PARTS.take().unwrap_or_default())
}

/// What the map tasks of one shuffle have added. Each map partition counts once, however often it is
/// computed.
#[derive(Default)]
pub(crate) struct MapParts(Mutex<BTreeMap<usize, Option<Parts>>>);

impl MapParts {
    /// Keeps what a map partition added, in place of an earlier attempt, until a job ends well.
    pub(crate) fn keep(&self, partition: usize, parts: Parts) {
        if parts.0.is_empty() {
            return;
        }
        let mut kept = self.lock();
        let older = match kept.entry(partition).or_insert_with(|| Some(Parts::default())) {
            Some(older) => std::mem::replace(older, parts),
            None => parts, // the partition was merged, and is computed again
        };
        // Dropped after the lock: dropping a part may run the user's code.
        drop(kept);
        drop(older);
    }

    /// Adds all that is kept to its accumulators.
    pub(crate) fn merge(&self) {
        let kept: Vec<Parts> = self.lock().values_mut().filter_map(Option::take).collect();
        kept.into_iter().for_each(Parts::merge);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Option<Parts>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

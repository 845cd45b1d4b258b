//! How to use emberline, as programs that are compiled and run with the tests.
//!
//! - [`tutorial`]: from one line to a join and a cached iteration, a few lines more each time.
//! - [`cookbook`]: short answers to "how do I".
//! - [`when_to_box`]: what the second type parameter of [`Rdd`](crate::Rdd) is, and when to drop it.
//! - [`tuning`]: partitions, memory, caching, reading `explain()`, and notebooks.
//! - [`when_not`]: what to use instead.
//!
//! - [`coming_from_spark`]: Spark's programs beside emberline's.

#[doc = include_str!("../../docs/coming-from-spark.md")]
pub mod coming_from_spark {}

pub mod cookbook;
pub mod tuning;
pub mod tutorial;
pub mod when_not;
pub mod when_to_box;

//! Short answers.
//!
//! # Skip the header of a CSV file
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let lines = ctx.parallelize(vec!["city,people", "Ulm,126000", "Bonn,336000"]);
//! let rows = lines.filter(|line| !line.starts_with("city,"));
//! assert_eq!(rows.count()?, 2);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Parse rows that may be wrong
//!
//! Fail at the first, and say which row it was, or keep what can be parsed. The error also names the
//! line of your program and the partition.
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let texts = ctx.parallelize(vec!["1", "two", "3"]);
//! let numbers = texts.try_map(|text| {
//!     text.parse::<i32>().map_err(|error| format!("{text:?}: {error}").into())
//! });
//! assert!(numbers.collect().unwrap_err().to_string().contains(r#""two": invalid digit"#));
//! assert_eq!(texts.filter_map(|text| text.parse::<i32>().ok()).collect()?, [1, 3]);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Count what was skipped
//!
//! An [accumulator](crate::Context::accumulator) is added to in closures and read after the action.
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let skipped = ctx.accumulator(0_u64);
//! let counter = skipped.clone();
//! let numbers = ctx.parallelize(vec!["1", "two", "3"]).filter_map(move |text| {
//!     let number = text.parse::<i32>();
//!     number.inspect_err(|_| counter.add(1)).ok()
//! });
//! assert_eq!((numbers.collect()?, skipped.value()), (vec![1, 3], 1));
//! # Ok::<(), Error>(())
//! ```
//!
//! # The mean of each key
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let ages = ctx.parallelize(vec![('a', 30.0), ('a', 40.0)]);
//! let sums = ages.aggregate_by_key(
//!     (0.0, 0),
//!     |(sum, n), age| (sum + age, n + 1),
//!     |(sum, n), (more, m)| (sum + more, n + m),
//! );
//! assert_eq!(sums.map_values(|(sum, n)| sum / f64::from(n)).collect()?, [('a', 35.0)]);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Join with a small table, without a shuffle
//!
//! Hand the table to every task.
//!
//! ```
//! # use emberline::prelude::*;
//! # use std::collections::HashMap;
//! # let ctx = Context::local()?;
//! let names = HashMap::from([(1, "tea".to_string())]);
//! let sales = ctx.parallelize(vec![(1, 250), (9, 10)]);
//! let named = sales
//!     .with(names)
//!     .filter_map(|names, (id, cents)| Some((names.get(&id)?.clone(), cents)));
//! assert_eq!(named.collect()?, [("tea".to_string(), 250)]);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Keys that only one of two tables has
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let old = ctx.parallelize(vec![(1, 'a'), (2, 'b')]);
//! let new = ctx.parallelize(vec![(2, 'b'), (3, 'c')]);
//! assert_eq!(new.subtract_by_key(&old).collect()?, [(3, 'c')]);
//! assert_eq!(old.left_outer_join(&new).filter(|(_, (_, new))| new.is_none()).count()?, 1);
//! # Ok::<(), Error>(())
//! ```
//!
//! # The latest row of each key, and rows of a key in order
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let visits = ctx.parallelize(vec![('a', (9, "home".to_string())), ('a', (3, "shop".to_string()))]);
//! let latest = visits.reduce_by_key(|a, b| if b.0 > a.0 { b } else { a });
//! assert_eq!(latest.collect()?, [('a', (9, "home".to_string()))]);
//! let paths = visits.group_sorted_by_key(|(time, _)| *time);
//! assert_eq!(paths.collect()?, [('a', vec![(3, "shop".to_string()), (9, "home".to_string())])]);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Sort floats
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let sorted = ctx.parallelize(vec![0.5, f64::NEG_INFINITY, -2.0]).sort_by_cmp(f64::total_cmp);
//! assert_eq!(sorted.collect()?, [f64::NEG_INFINITY, -2.0, 0.5]);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Use a program's error type
//!
//! Actions return [`Error`](crate::Error), which `?` turns into a `Box<dyn Error>`.
//!
//! ```
//! # use emberline::prelude::*;
//! fn rows() -> std::result::Result<u64, Box<dyn std::error::Error>> {
//!     Ok(Context::local()?.range(0..3_u32).count()?)
//! }
//! assert_eq!(rows().unwrap(), 3);
//! ```
//!
//! # Test a pipeline
//!
//! Write it as a function of RDDs and give it small ones; a context takes well under a millisecond.
//!
//! ```
//! # use emberline::prelude::*;
//! fn long(lines: &Rdd<String>) -> Rdd<String> {
//!     lines.filter(|line| line.len() > 3).boxed()
//! }
//!
//! let ctx = Context::builder().threads(1).build()?;
//! let lines = ctx.parallelize(vec!["abc".to_string(), "abcd".to_string()]);
//! assert_eq!(long(&lines).collect()?, ["abcd"]);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Let something go wrong on purpose
//!
//! [`faults`](crate::ContextBuilder::faults) takes a plan of what a disk, a cleaner of temporary files or a
//! bad closure may do, and inflicts it on the real thing: in a test of your own error handling, or to show
//! what recovery is. `cargo run --release --example lost_partition` prints what happens then.
//!
//! ```
//! # use emberline::prelude::*;
//! use emberline::StageId;
//! use emberline::faults::FaultPlan;
//!
//! let sums = |plan| {
//!     let ctx = Context::builder().shuffle_to_files(true).faults(plan).build()?;
//!     ctx.range_with(4, 0..100_u64).map(|n| (n % 2, n)).reduce_by_key(|a, b| a + b).collect_as_map()
//! };
//! // A disk that fails once, and a task that does, are made good; a disk that is gone is an error.
//! let mended = FaultPlan::new().fail_operation(3).fail_task(StageId(1), 0, 0);
//! assert_eq!(sums(mended)?[&0], 2450);
//! let error = sums(FaultPlan::new().fail_from(3)).unwrap_err();
//! assert!(matches!(error.kind(), ErrorKind::Io { .. }) && error.attempts() == 4);
//! # Ok::<(), Error>(())
//! ```

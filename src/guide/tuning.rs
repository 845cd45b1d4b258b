//! Partitions, memory, caching, and reading `explain()`.
//!
//! # Partitions
//!
//! A task computes one partition, so a stage keeps at most as many threads busy as it has
//! partitions. Sources have [`default_partitions`](crate::ContextBuilder::default_partitions), 16,
//! whatever the machine, so that a program gives the same bytes everywhere; text is cut by size. On a
//! machine with many cores give a few for each core. A partition that is being sorted, grouped or
//! joined lies in memory: more partitions need less at once.
//!
//! ```
//! # use emberline::prelude::*;
//! let ctx = Context::builder().default_partitions(64).build()?;
//! assert_eq!(ctx.range(0..1_000_u64).num_partitions(), 64);
//! assert_eq!(ctx.range(0..1_000_u64).map(|n| (n % 7, n)).group_by_key_with(8).num_partitions(), 8);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Combine before you group
//!
//! `reduce_by_key` and `aggregate_by_key` send one value for each key and partition over the shuffle;
//! `group_by_key` sends all. To sum, count or pick, combine.
//!
//! # Partition once
//!
//! What is keyed the same way again is not moved again. `map_values` and `filter` keep a
//! partitioner, `map` drops it.
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let users = ctx.range(0..100_u64).map(|id| (id, id * 10)).partition_by(4);
//! let visits = users.map_values(|n| n + 1).reduce_by_key(|a, b| a + b);
//! assert_eq!(users.join(&visits).explain().to_string().matches("stage").count(), 3); // one shuffle
//! # Ok::<(), Error>(())
//! ```
//!
//! # Cache what is read twice
//!
//! Every action computes its RDD again, back to the last finished shuffle or cached RDD. `cache`
//! keeps partitions in memory while the budget has room, and `unpersist` or dropping the last handle
//! frees them. A sort reads its input twice, once for a sample.
//!
//! Closures over cached rows are given clones, which costs where rows own memory.
//! [`refs`](crate::Rdd::refs) lends them instead:
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let points = ctx.range(0..100_u32).map(|n| vec![f64::from(n); 8]).cache();
//! let norms = points.refs().map(|point| point.iter().map(|x| x * x).sum::<f64>().sqrt());
//! assert_eq!(norms.count()?, 100);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Memory
//!
//! [`budget_bytes`](crate::ContextBuilder::budget_bytes) bounds cached partitions and the outputs of
//! shuffles: outputs that do not fit go to files, partitions that do not fit are computed again.
//!
//! # Scratch folders
//!
//! What does not fit in memory goes to files in the system's temporary folder, which may be small, or
//! be memory itself. [`scratch_dirs`](crate::ContextBuilder::scratch_dirs) names other folders, one
//! for each disk: files take them in turn, and a disk that is full or refuses is left out.
//! [`scratch_quota_bytes`](crate::ContextBuilder::scratch_quota_bytes) bounds what all files take
//! together, so that a run fails before the disk of everyone else is full.
//!
//! ```
//! # use emberline::prelude::*;
//! # let (fast, large) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
//! let builder = Context::builder().scratch_dirs([fast.path(), large.path()]);
//! let ctx = builder.scratch_quota_bytes(1_000).shuffle_to_files(true).build()?;
//! let pairs = ctx.range(0..10_000_u64).map(|n| (n, n));
//! let error = pairs.group_by_key().count().unwrap_err();
//! assert!(matches!(error.kind(), ErrorKind::ScratchQuotaExceeded { quota_bytes: 1_000, .. }));
//! # Ok::<(), Error>(())
//! ```
//!
//! Everything is removed as handles drop. A process that is killed cannot do that; the next one to
//! build a context with the same folders does, and tells
//! [`Event::OrphanRemoved`](crate::Event::OrphanRemoved).
//!
//! # Read `explain()`
//!
//! Stages come in the order they run; each line is an operation and where you called it.
//!
//! ```text
//! stage 0: 16 partitions, writes a shuffle into 16
//!   text_file at src/main.rs:11
//!   flat_map at src/main.rs:12
//!   map at src/main.rs:13
//! stage 1: 16 partitions, reads stage 0, gives the result
//!   reduce_by_key at src/main.rs:14, partitioned by Hash(16)
//! ```

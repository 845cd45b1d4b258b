//! Partitions, memory, caching, reading `explain()`, and notebooks.
//!
//! # Partitions
//!
//! A task computes one partition, so a stage keeps at most as many threads busy as it has
//! partitions. Sources have [`default_partitions`](crate::ContextBuilder::default_partitions), 16,
//! whatever the machine, so that a program gives the same bytes everywhere; text is cut by size. On a
//! machine with many cores give a few for each core.
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
//! let plan = users.join(&visits).explain().to_string();
//! assert_eq!(plan.matches("writes a shuffle").count(), 1);
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
//! # Choose where partitions are kept
//!
//! `cache` keeps rows in memory and computes again what does not fit. [`persist`](crate::Rdd::persist)
//! takes a [`StorageLevel`](crate::StorageLevel):
//!
//! | level | choose it when |
//! |---|---|
//! | `Memory` | rows fit, or are cheap to compute |
//! | `MemoryAndDisk` | rows are dear to compute and may not all fit |
//! | `SerialisedMemory`, `SerialisedMemoryAndDisk` | rows own much memory, and bytes of them fit |
//! | `Disk` | the memory is better used for something else |
//!
//! ```
//! # use emberline::prelude::*;
//! use emberline::StorageLevel;
//!
//! # let ctx = Context::local()?;
//! let words = ctx.range(0..1_000_u64).map(|n| format!("word {}", n % 10));
//! let kept = words.persist(StorageLevel::SerialisedMemoryAndDisk);
//! assert_eq!(kept.distinct().count()?, 10);
//! # Ok::<(), Error>(())
//! ```
//!
//! A partition that needs room takes it from the RDDs that were not read for the longest time, never
//! from its own RDD: of one that is larger than the memory, a part stays and is used. What a task is
//! reading stays too. Each move is an event, [`Event::BlockEvicted`](crate::Event::BlockEvicted).
//!
//! # Cut a long lineage
//!
//! An iteration whose lineage grows with each round plans longer each time, and a late fault computes
//! much again. [`local_checkpoint`](crate::Rdd::local_checkpoint) keeps the rows for this run and
//! forgets where they came from; [`checkpoint`](crate::Rdd::checkpoint) writes them into a folder that
//! survives the program, and [`read_checkpoint`](crate::Context::read_checkpoint) reads it in another
//! run:
//!
//! ```
//! # use emberline::prelude::*;
//! # let folder = tempfile::tempdir().unwrap();
//! # let ctx = Context::local()?;
//! let mut numbers = ctx.range(0..100_u64).boxed();
//! for round in 1..=10 {
//!     numbers = numbers.map(|n| n + 1).boxed();
//!     if round % 5 == 0 {
//!         numbers = numbers.checkpoint(folder.path().join(format!("round-{round}")))?;
//!     }
//! }
//! let later = Context::local()?;
//! let saved = later.read_checkpoint::<u64>(folder.path().join("round-10"));
//! assert_eq!(saved.first()?, Some(10));
//! # Ok::<(), Error>(())
//! ```
//!
//! # Memory
//!
//! There is one number: [`budget_bytes`](crate::ContextBuilder::budget_bytes). Unless it is set, it is 60 %
//! of the memory of the machine or of the control groups that the process is in (a container's limit),
//! whichever is least, and of 2 GiB where neither can be read. Each context has a budget of its own:
//! give several in one process a part each.
//!
//! The promise: the process takes at most 1.25 times the budget and 64 MiB, beside what is your
//! program's: what its closures hold, what actions hand to it, and what serde does not show of a row
//! (spare capacity, a skipped field). One row is never cut.
//!
//! Running tasks have a share each, at most
//! [`task_share_bytes`](crate::ContextBuilder::task_share_bytes) and an eighth of the budget; the rest is
//! for what is kept: outputs of shuffles and cached partitions. As many tasks run at once as half of
//! the budget has shares for.
//!
//! A table, a sort or a group that passes its part of the share is cut into a run. A run stays in
//! memory while the budget has room and else goes to disk, so a budget that is too small costs time
//! and never a row: the answer is the same, in the same order. Only the grouping of float sums depends
//! on the share. A list of one key that must lie in memory, as in `group_by_key`, may be as large as
//! the share; [`grouped`](crate::Rdd::grouped) reads a group of any size. Such a [`Group`](crate::Group)
//! is for iterating: keep what you make of it.
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! # let pairs = ctx.range(0..9_u64).map(|n| (n % 3, n));
//! let largest = pairs.grouped().map_values(|group| group.into_iter().max()).cache();
//! assert_eq!(largest.lookup(&2)?, [Some(8)]);
//! # Ok::<(), Error>(())
//! ```
//!
//! A group itself is not kept, since it may be larger than memory:
//!
//! ```compile_fail,E0277
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! # let pairs = ctx.range(0..9_u64).map(|n| (n % 3, n));
//! let groups = pairs.grouped().cache();
//! # Ok::<(), Error>(())
//! ```
//!
//! Running work may take memory from kept partitions while they hold more than half of what is kept;
//! beyond that it goes to disk itself.
//!
//! ```
//! # use emberline::prelude::*;
//! let ctx = Context::builder().budget_bytes(1 << 20).build()?; // a megabyte
//! let sums = ctx.range(0..300_000_u64).map(|n| (n % 100_000, n)).reduce_by_key(|a, b| a + b);
//! assert_eq!(sums.sort_by_key().first()?, Some((0, 300_000)));
//! # Ok::<(), Error>(())
//! ```
//!
//! [`result_limit_bytes`](crate::ContextBuilder::result_limit_bytes) bounds what one action hands to the
//! program, which no one can spill: a `collect` of too many rows is an error that says so, instead of
//! the end of the process. It is as much as the budget if nothing else is said.
//!
//! # What did it cost?
//!
//! [`Context::last_job`](crate::Context::last_job) says what the job that ended last did and cost, and
//! [`Context::jobs`](crate::Context::jobs) has the last hundred. Its text is a table with a line for each
//! stage:
//!
//! ```
//! # use emberline::prelude::*;
//! let ctx = Context::builder().task_share_bytes(64 << 10).shuffle_to_files(true).build()?;
//! let pairs = ctx.range_with(4, 0..100_000_u64).map(|n| (n % 50_000, n));
//! pairs.group_by_key_with(4).count()?;
//!
//! let job = ctx.last_job().unwrap();
//! println!("{job}");
//! let map = &job.stages()[0];
//! assert_eq!((map.tasks(), map.totals().rows_read), (4, 100_000));
//! assert!(map.totals().files_spilled > 0 && map.totals().peak_bytes <= 64 << 10);
//! # Ok::<(), Error>(())
//! ```
//!
//! Read it from the right. A **skew** far above 1 says that one task took so many times as long as the
//! median one: more partitions, or another key, share the work better. **Of it i/o** is the part of the
//! tasks' time that went into reading shuffles and writing files; where it is most of the time, look at
//! **spilled**: a larger budget keeps that in memory, combining makes it fewer. **Attempts** beyond the
//! tasks were failures, or outputs that got lost. **Peak** is the most that one task held in tables and
//! buckets; near [`task_share_bytes`](crate::ContextBuilder::task_share_bytes) a larger share means fewer
//! files, far below it more tasks could run on the same budget.
//!
//! The numbers are values too ([`TaskMetrics`](crate::TaskMetrics) has all of them, reports are serde), and
//! `estimated_bytes` beside `encoded_bytes` says how good the estimate is by which tables are cut.
//!
//! # Compression
//!
//! Outputs that go to files are compressed with LZ4, frame by frame; what does not get smaller is
//! stored as it is and costs nothing. [`spill_compression`](crate::ContextBuilder::spill_compression)
//! chooses: `Zstd` (feature `zstd`) for smaller files on a slow or full disk, `None` where
//! [`scratch_dir`](crate::ContextBuilder::scratch_dir) is in memory or on a disk that writes faster than about
//! 300 MB/s for each busy core.
//!
//! ```
//! # use emberline::prelude::*;
//! use emberline::Compression;
//!
//! let ctx = Context::builder().spill_compression(Compression::None).build()?;
//! assert_eq!(ctx.range(0..100_u64).map(|n| (n % 7, n)).group_by_key().count()?, 7);
//! # Ok::<(), Error>(())
//! ```
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
//! Its stages are numbered from 0. An error counts the stages of all jobs of the context, so its
//! number may be another one; the operation and the line it names are those of `explain`.
//!
//! Stages come in the order they run; each line is an operation and where you called it, from the
//! source down. Before anything has run:
//!
//! ```text
//! stage 0: 16 partitions, writes a shuffle into 16
//!   text_file at src/main.rs:11
//!   flat_map at src/main.rs:12
//!   map at src/main.rs:13
//! stage 1: 16 partitions, reads stage 0, gives the result
//!   reduce_by_key at src/main.rs:14, reads stage 0, partitioned by Hash(16)
//! ```
//!
//! Where an operation has several inputs, each is a branch with a line at its left, from its first
//! operation down to the one that brings them together. What is reached twice is written once, with
//! a number. One round of a page rank, after an action:
//!
//! ```text
//! stage 0: 3 partitions, writes a shuffle into 3
//!   (read 6,273 rows; 3 of 3 map outputs hold 6,273 rows, 848.1 KiB in memory)
//!   text_file at src/main.rs:38
//!   try_map at src/main.rs:39
//! stage 1: 3 partitions, reads stage 0, writes a shuffle into 3
//!   (read 7,562 rows; 3 of 3 map outputs hold 2,277 rows, 235.7 KiB in memory)
//!   ┌─ group_by_key at src/main.rs:40, reads stage 0, partitioned by Hash(3)
//!   │  cache at src/main.rs:41 [1], partitioned by Hash(3), 3 of 3 partitions stored, 1,289 rows, 424.8 KiB in memory
//!   ├─ cache at src/main.rs:41, see [1]
//!   │  map_values at src/main.rs:42, partitioned by Hash(3)
//!   └─ join at src/main.rs:45, partitioned by Hash(3)
//!   flat_map at src/main.rs:46
//! stage 2: 3 partitions, reads stage 1, gives the result
//!   (read 2,277 rows)
//!   reduce_by_key at src/main.rs:47, reads stage 1, partitioned by Hash(3)
//! ```
//!
//! The numbers are what is there when you ask: outputs that an action left are used by the next
//! one; what `unpersist` dropped, and outputs that were found damaged, no longer count. Bytes in
//! memory are as the budget counts them. Rows of a collection or of a stored partition count as
//! read when it is opened, even if `take` stops after a few; those of a partition that is computed
//! in order to be stored count once, where they come from. Look for a stage that writes as many
//! rows as it reads (combine before you group), for fewer partitions stored than there are (the
//! budget is short), and for two stages with equal lines (cache what they share, or partition it
//! once).
//!
//! [`Explain::svg`](crate::Explain::svg) draws the same as a picture:
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let path = std::env::temp_dir().join(format!("plan-{}.svg", std::process::id()));
//! let sums = ctx.range(0..100_u64).map(|n| (n % 7, n)).reduce_by_key(|a, b| a + b);
//! sums.count()?;
//! std::fs::write(&path, sums.explain().svg())?; // open it in a browser
//! # assert!(std::fs::read_to_string(&path)?.contains("100 rows"));
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), BoxError>(())
//! ```
//!
//! # In a notebook
//!
//! A Jupyter notebook with the Rust kernel [evcxr](https://github.com/evcxr/evcxr) shows an RDD as its
//! picture and collected rows as a table. Nothing has to be added: a value is shown when a cell ends in
//! it without a semicolon. Give the path to the sources of emberline, and to serde if you derive it:
//!
//! ```text
//! :dep emberline = { path = "../emberline" }
//! :dep serde = { version = "1", features = ["derive"] }
//! use emberline::prelude::*;
//! ```
//!
//! Variables that later cells use need a type that can be named, so box chains of narrow steps:
//!
//! ```text
//! let ctx: Context = Context::local()?;
//! let lines: Rdd<String> = ctx.text_file("corpus/*.txt").boxed();
//! let words: Rdd<(String, u64)> = lines
//!     .flat_map(|line| line.split(' ').map(String::from).collect::<Vec<_>>())
//!     .map(|word| (word, 1))
//!     .reduce_by_key(|a, b| a + b);
//! words
//! ```
//!
//! ```text
//! words.top_by(20, |(_, n)| *n)?
//! ```
//!
//! A table shows the first 50 rows. [`AsTable::table`](crate::AsTable::table) gives it to any program,
//! as text or as HTML:
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let rows = ctx.parallelize(vec!["tea", "rye"]).map(|name| (name, name.len())).collect()?;
//! println!("{}", rows.table());
//! assert!(rows.table().html().contains("<td style=\"text-align:left\">tea</td>"));
//! # Ok::<(), Error>(())
//! ```

//! A ladder of programs, each a few lines longer than the one before.
//!
//! Make a project and add emberline to it:
//!
//! ```sh
//! cargo new first && cd first
//! cargo add emberline --path PATH/TO/emberline
//! cargo add serde --features derive          # for rows of your own types
//! ```
//!
//! Each program below is a whole `src/main.rs`; `cargo run --release` runs it.
//!
//! # 1. A collection, a closure, an answer
//!
//! A [`Context`](crate::Context) owns the threads. [`parallelize`](crate::Context::parallelize) makes
//! an RDD: a typed collection in partitions. [`map`](crate::Rdd::map) is a *transformation*: it runs
//! nothing. [`collect`](crate::Rdd::collect) is an *action*: it runs a job and returns a `Result`.
//!
//! ```
//! use emberline::prelude::*;
//!
//! fn main() -> Result<()> {
//!     let ctx = Context::local()?;
//!     let words = ctx.parallelize(vec!["ember", "line"]);
//!     let lengths = words.map(|word| word.len());
//!     assert_eq!(lengths.collect()?, [5, 4]);
//!     Ok(())
//! }
//! ```
//!
//! # 2. Nothing runs until it must
//!
//! The chain below is only remembered. `first` computes one row of it.
//!
//! ```
//! use emberline::prelude::*;
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicUsize, Ordering};
//!
//! fn main() -> Result<()> {
//!     let ctx = Context::local()?;
//!     let calls = Arc::new(AtomicUsize::new(0));
//!     let counter = Arc::clone(&calls);
//!     let squares = ctx.range(0..1_000_000_u64).map(move |n| {
//!         counter.fetch_add(1, Ordering::Relaxed);
//!         n * n
//!     });
//!     assert_eq!(calls.load(Ordering::Relaxed), 0);
//!     assert_eq!(squares.first()?, Some(0));
//!     assert_eq!(calls.load(Ordering::Relaxed), 1);
//!     Ok(())
//! }
//! ```
//!
//! # 3. Lines of a file
//!
//! [`text_file`](crate::Context::text_file) cuts files into partitions so that each line is read
//! once. A closure owns what it uses: the row it is given is its own.
//!
//! ```
//! use emberline::prelude::*;
//!
//! fn main() -> Result<(), BoxError> {
//!     let path = std::env::temp_dir().join(format!("lines-{}.txt", std::process::id()));
//!     std::fs::write(&path, "the ember\nof the line\n")?;
//!     let ctx = Context::local()?;
//!     let words = ctx
//!         .text_file(&path)
//!         .flat_map(|line| line.split(' ').map(str::to_string).collect::<Vec<_>>());
//!     assert_eq!(words.count()?, 5);
//!     std::fs::remove_file(&path)?;
//!     Ok(())
//! }
//! ```
//!
//! # 4. Values of one key together
//!
//! Rows that are pairs have a key. [`reduce_by_key`](crate::Rdd::reduce_by_key) merges the values of
//! each key: first inside every partition, then, over a *shuffle*, between them.
//!
//! ```
//! use emberline::prelude::*;
//!
//! fn main() -> Result<()> {
//!     let ctx = Context::local()?;
//!     let words = ctx.parallelize(vec!["the", "ember", "of", "the", "line"]);
//!     let counts = words.map(|word| (word.to_string(), 1)).reduce_by_key(|a, b| a + b);
//!     println!("{}", counts.explain()); // two stages, with the lines they were called at
//!     assert_eq!(counts.top_by(1, |(_, n)| *n)?, [("the".to_string(), 2)]);
//!     Ok(())
//! }
//! ```
//!
//! # 5. A join
//!
//! [`join`](crate::Rdd::join) pairs the values that share a key.
//!
//! ```
//! use emberline::prelude::*;
//!
//! fn main() -> Result<()> {
//!     let ctx = Context::local()?;
//!     let prices = ctx.parallelize(vec![(1, 3.0), (2, 5.0)]);
//!     let names = ctx.parallelize(vec![(1, "tea".to_string()), (2, "rye".to_string())]);
//!     let mut list = names.join(&prices).map(|(_, (name, price))| (name, price)).collect()?;
//!     list.sort_by(|a, b| a.0.cmp(&b.0));
//!     assert_eq!(list, [("rye".to_string(), 5.0), ("tea".to_string(), 3.0)]);
//!     Ok(())
//! }
//! ```
//!
//! # 6. Rows of your own
//!
//! A row that crosses a shuffle or is cached can also be written to disk, so it needs serde.
//!
//! ```
//! use emberline::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
//! struct Sale {
//!     shop: String,
//!     cents: u64,
//! }
//!
//! fn main() -> Result<()> {
//!     let ctx = Context::local()?;
//!     let sale = |shop: &str, cents| Sale { shop: shop.into(), cents };
//!     let sales = ctx.parallelize(vec![sale("north", 250), sale("south", 100), sale("north", 50)]);
//!     let largest = sales.sort_by(|sale| std::cmp::Reverse(sale.cents)).first()?;
//!     assert_eq!(largest, Some(sale("north", 250)));
//!     let takings = sales.map(|sale| (sale.shop, sale.cents)).reduce_by_key(|a, b| a + b);
//!     assert_eq!(takings.filter(|(shop, _)| shop == "north").collect()?, [("north".into(), 300)]);
//!     Ok(())
//! }
//! ```
//!
//! # 7. A cached iteration
//!
//! An RDD is computed again by every action that needs it, unless it is
//! [cached](crate::Rdd::cache). [`refs`](crate::Rdd::refs) reads the cached rows where they lie,
//! and [`with`](crate::Refs::with) hands one shared value to every task. The loop looks for the middle
//! of the points by moving a guess towards their mean.
//!
//! ```
//! use emberline::prelude::*;
//!
//! fn main() -> Result<()> {
//!     let ctx = Context::local()?;
//!     let points = ctx.range(0..1_000_u64).map(|n| n as f64).cache();
//!     let n = points.count()? as f64; // computes and keeps the partitions
//!     let mut guess = 0.0;
//!     for _ in 0..60 {
//!         let errors = points.refs().with(guess).map(|guess, point| point - guess);
//!         guess += 0.5 * errors.reduce(|a, b| a + b)?.unwrap_or(0.0) / n;
//!     }
//!     assert!((guess - 499.5).abs() < 1e-9);
//!     Ok(())
//! }
//! ```
//!
//! # 8. A loop over RDDs
//!
//! A loop variable keeps one type when the chain is [boxed](crate::Rdd::boxed). `links` is
//! partitioned by key once, so no round moves it again: see `examples/page_rank.rs` for the whole.
//!
//! ```
//! use emberline::prelude::*;
//!
//! fn main() -> Result<()> {
//!     let ctx = Context::local()?;
//!     let links = ctx.parallelize(vec![(1, 2), (2, 3), (3, 1), (3, 2)]).group_by_key().cache();
//!     let mut ranks: Rdd<(i32, f64)> = links.map_values(|_| 1.0).boxed();
//!     for _ in 0..10 {
//!         ranks = links
//!             .join(&ranks)
//!             .flat_map(|(_, (to, rank))| {
//!                 let share = rank / to.len() as f64;
//!                 to.into_iter().map(move |page| (page, share))
//!             })
//!             .reduce_by_key(|a, b| a + b)
//!             .map_values(|sum| 0.15 + 0.85 * sum)
//!             .boxed();
//!     }
//!     let total = ranks.map(|(_, rank)| rank).reduce(|a, b| a + b)?.unwrap_or(0.0);
//!     assert!((total - 3.0).abs() < 1e-9);
//!     Ok(())
//! }
//! ```

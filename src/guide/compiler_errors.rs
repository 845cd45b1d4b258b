//! Compiler errors and what they mean.
//!
//! Each section is a common mistake, the first lines of the compiler's message, and the fix. Most
//! full messages are recorded in `tests/ui/`.
//!
//! # A row without serde
//!
//! ```text
//! error[E0277]: `Sale` cannot be shuffled or cached
//!    |     sales.key_by(|sale| sale.shop).group_by_key();
//!    |                                    ^^^^^^^^^^^^ rows here must be `Clone + Send + Sync + Serialize + Deserialize`
//! help: the trait `Serialize` is not implemented for `Sale`
//! ```
//!
//! A row that is shuffled or cached may be written to disk. Derive serde's traits and `Clone`:
//!
//! ```
//! # use emberline::prelude::*;
//! #[derive(Clone, serde::Serialize, serde::Deserialize)]
//! struct Sale {
//!     shop: u32,
//!     cents: u64,
//! }
//! # let ctx = Context::local()?;
//! # let sales = ctx.parallelize(vec![Sale { shop: 1, cents: 250 }]);
//! let by_shop = sales.key_by(|sale| sale.shop).group_by_key();
//! # assert_eq!(by_shop.map_values(|sales| sales[0].cents).collect()?, [(1, 250)]);
//! # Ok::<(), Error>(())
//! ```
//!
//! # A `&str` in a shuffle
//!
//! ```text
//! error: implementation of `Deserialize` is not general enough
//!    |     words.map(|word| (word, 1)).reduce_by_key(|a, b| a + b);
//!    = note: `&str` must implement `Deserialize<'0>`, for any lifetime `'0`...
//! ```
//!
//! The message of this mistake cannot be replaced, so remember it: a row of a shuffle or cache owns
//! its data. Convert to `String`:
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! # let words = ctx.parallelize(vec!["the", "ember", "the"]);
//! let counts = words.map(|word| (word.to_string(), 1)).reduce_by_key(|a, b| a + b);
//! # assert_eq!(counts.count()?, 2);
//! # Ok::<(), Error>(())
//! ```
//!
//! # A float as a key
//!
//! ```text
//! error[E0277]: `{float}` cannot be a key of a shuffle
//!    |     prices.map(|price| (price, 1)).reduce_by_key(|a, b| a + b);
//!    |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ a key must also be `Hash + Eq`
//! ```
//!
//! Floats have no `Eq`: NaN differs from itself. Key by an integer such as cents, or by the bits:
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! # let prices = ctx.parallelize(vec![1.5_f64, 2.5, 1.5]);
//! let counts = prices.map(|price| (price.to_bits(), 1)).reduce_by_key(|a, b| a + b);
//! let counts = counts.map(|(bits, n)| (f64::from_bits(bits), n));
//! # assert_eq!(counts.count()?, 2);
//! # Ok::<(), Error>(())
//! ```
//!
//! # A float where `Ord` is needed
//!
//! ```text
//! error[E0277]: the trait bound `{float}: Ord` is not satisfied
//!    |     prices.top_by_key(2, |row| row.1)?;
//!    |            ^^^^^^^^^^ the trait `Ord` is not implemented for `{float}`
//! ```
//!
//! Sort with `total_cmp`, and write the type of the first float (`1.5_f64`): without it, the
//! message is "can't call method `total_cmp` on ambiguous numeric type `{float}`".
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let prices = ctx.parallelize(vec![(1, 1.5_f64), (2, 0.5), (3, 2.5)]);
//! let top = prices.sort_by(|a, b| b.1.total_cmp(&a.1)).take(2)?;
//! assert_eq!(top, [(3, 2.5), (1, 1.5)]);
//! # Ok::<(), Error>(())
//! ```
//!
//! # A key without `Hash`
//!
//! ```text
//! error[E0277]: `Plane` cannot be a key of a shuffle
//!    |     flights.reduce_by_key(|a, b| a + b);
//!    |     ^^^^^^^ a key must also be `Hash + Eq`
//! ```
//!
//! Derive all traits of a key: `#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]`.
//!
//! # A `Group` in the cache
//!
//! ```text
//! error[E0277]: a `Group` cannot be shuffled, cached or serialized, since it may be larger than memory
//!    |     pairs.group_by_key_iter().cache();
//!    |                               ^^^^^ rows here must be serializable; a `Group` can only be iterated
//! ```
//!
//! Reduce the groups first, or use `group_by_key`, whose groups are lists:
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! # let pairs = ctx.parallelize(vec![(1, 30_u64), (1, 5)]);
//! let sums = pairs.group_by_key_iter().map_values(|group| group.into_iter().sum::<u64>()).cache();
//! let lists = pairs.group_by_key().cache();
//! # assert_eq!((sums.collect()?, lists.count()?), (vec![(1, 35)], 1));
//! # Ok::<(), Error>(())
//! ```
//!
//! # A loop variable or a branch without `boxed`
//!
//! ```text
//! error[E0308]: mismatched types
//!    |         numbers = numbers.map(|n| n + 1);
//!    |                   ^^^^^^^^^^^^^^^^^^^^^^ expected `Rdd<u64>`, found `Rdd<u64, ...>`
//! ```
//!
//! ```text
//! error[E0308]: `if` and `else` have incompatible types
//!    = note: expected struct `Rdd<u64, impl Fused + Pipeline<Item = u64>>`
//!               found struct `Rdd<u64, impl Fused + Pipeline<Item = u64>>`
//! ```
//!
//! Each chain of operations has a type of its own. [`boxed`](crate::Rdd::boxed) erases it; see
//! [`when_to_box`](super::when_to_box):
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! let mut numbers: Rdd<u64> = ctx.range(0..10_u64).boxed();
//! for _ in 0..3 {
//!     numbers = numbers.map(|n| n + 1).boxed();
//! }
//! let only_even = true;
//! let chosen = if only_even { numbers.filter(|n| n % 2 == 0).boxed() } else { numbers };
//! # assert_eq!(chosen.count()?, 5);
//! # Ok::<(), Error>(())
//! ```
//!
//! # A comparator passed to `sort_by_key`
//!
//! ```text
//! error[E0593]: closure is expected to take 1 argument, but it takes 2 arguments
//!    |     rows.sort_by_key(|a, b| b.cmp(a));
//!    |          ^^^^^^^^^^^ ------ takes 2 arguments
//! ```
//!
//! As in std, `sort_by_key` takes the key of a row, and `sort_by` compares two rows. Descending is
//! `Reverse`:
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! # let rows = ctx.parallelize(vec![3, 1, 2]);
//! use std::cmp::Reverse;
//!
//! let descending = rows.sort_by_key(|n| Reverse(*n));
//! # assert_eq!(descending.collect()?, rows.sort_by(|a, b| b.cmp(a)).collect()?);
//! # Ok::<(), Error>(())
//! ```
//!
//! # An operation that does not shuffle, after `with_partitions`
//!
//! ```text
//! error[E0599]: `WithPartitions<u64, ...>` is not an iterator
//!    |     numbers.with_partitions(8).map(|n| (n % 3, n)).reduce_by_key(|a, b| a + b);
//!    |                                ^^^ `WithPartitions<u64, ...>` is not an iterator
//! ```
//!
//! [`with_partitions`](crate::Rdd::with_partitions) sets the partitions of the one operation that
//! follows, and only operations that shuffle have them. Put it directly before that operation:
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! # let numbers = ctx.range(0..10_u64);
//! let sums = numbers.map(|n| (n % 3, n)).with_partitions(8).reduce_by_key(|a, b| a + b);
//! # assert_eq!((sums.num_partitions(), sums.count()?), (8, 3));
//! # Ok::<(), Error>(())
//! ```
//!
//! # Pairs that are saved as text
//!
//! ```text
//! error[E0277]: `(String, u64)` doesn't implement `std::fmt::Display`
//!    |     counts.save_as_text_file("out")?;
//!    |            ^^^^^^^^^^^^^^^^^ the trait `std::fmt::Display` is not implemented for `(String, u64)`
//! ```
//!
//! Each row is written with `Display`. Map it to a `String` first:
//!
//! ```
//! # use emberline::prelude::*;
//! # let ctx = Context::local()?;
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path().join("counts");
//! # let counts = ctx.parallelize(vec![("tea".to_string(), 2_u64)]);
//! counts.map(|(k, v)| format!("{k},{v}")).save_as_text_file(&folder)?;
//! # Ok::<(), Error>(())
//! ```
//!
//! # A `sum` without a type
//!
//! ```text
//! error[E0277]: a value of type `!` cannot be made by summing an iterator over elements of type `u64`
//!    |     println!("{}", ctx.range(0..5_u64).sum()?);
//!    |                                        ^^^ value of type `!` cannot be made by summing a `std::iter::Iterator<Item=u64>`
//! ```
//!
//! As with [`Iterator::sum`], the type of the result is not inferred from the rows. Write
//! `sum::<u64>()?`, or `let total: u64 = numbers.sum()?;`.
//!
//! # A join of different key types
//!
//! ```text
//! error[E0308]: mismatched types
//!    |     prices.join(&names)
//!    |            ---- ^^^^^^ expected `&Rdd<(u32, _), _>`, found `&Rdd<(u64, String), ...>`
//! ```
//!
//! Convert the keys of one side: `names.map(|(id, name)| (id as u32, name))`. `&i32` and `i32` are
//! different keys too.
//!
//! # An `Rc` in a closure
//!
//! ```text
//! error[E0277]: `Rc<u64>` cannot be sent between threads safely
//!    |     ctx.range(0..10_u64).map(move |n| n + *offset);
//!    |                          --- --------^^^^^^^^^^^^
//! ```
//!
//! Closures run on several threads. Use `Arc` in place of `Rc`, and an
//! [accumulator](crate::Context::accumulator) in place of `RefCell`: it needs no lock, and counts
//! each row once even if a task is retried. A `Mutex` compiles too, but a panic while it is locked
//! poisons it. Then every other task that calls `lock().unwrap()` panics and prints the poison
//! error, and the first panic is hard to find among these.
//!
//! # A closure that borrows a local variable
//!
//! ```text
//! error[E0373]: closure may outlive the current function, but it borrows `limit`
//! ```
//!
//! Transformations are lazy, so a closure may run after the function has returned. Add `move`, as
//! the message says. If the variable is needed later, clone it before:
//! `let limits = limits.clone();`. A large value is shared without copies by
//! [`with`](crate::Rdd::with).
//!
//! # A transformation that never runs, or an error that is not read
//!
//! ```text
//! warning: unused `Rdd` that must be used
//!   = note: an RDD is lazy and does nothing until an action such as `collect` asks for its rows
//! warning: unused `Result` that must be used
//! ```
//!
//! Call an action on the RDD, and `?` on the result of the action. `for_each` is the action for
//! side effects.
//!
//! # An action inside a closure
//!
//! The compiler cannot detect this one. The action fails at run time with
//! [`NestedAction`](crate::ErrorKind::NestedAction), which names both lines. Run the inner action
//! first and pass its result with [`with`](crate::Rdd::with), or use a join.

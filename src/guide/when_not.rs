//! When not to use emberline.
//!
//! - **The data fits in a `Vec` and one pass will do.** Use [rayon](https://docs.rs/rayon): its
//!   iterators need no `'static` closures, no serde and no context.
//! - **The data are tables and the questions are SQL.** A query engine such as
//!   [DataFusion](https://docs.rs/datafusion) plans, prunes columns and vectorises; closures cannot
//!   be looked into.
//! - **Rows arrive for ever.** This is for batches; look at
//!   [timely dataflow](https://docs.rs/timely).
//! - **One machine is not enough.** Not yet.
//! - **A partition that must be sorted, grouped or joined is larger than memory.** Not yet: use more
//!   partitions.

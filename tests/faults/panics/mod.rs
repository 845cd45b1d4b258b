//! User code that panics where no task runs it, destructors that panic, and absurd sizes.
//!
//! - `destructors`: handles of rows whose destructors panic.
//! - `methods`: each method of a row panics at each of its calls.
//! - `sizes`: numbers of partitions, rows, bytes and seconds that cannot be meant.
//! - `unusual`: errors, payloads, partitioners and iterators of users whose methods panic.

mod destructors;
mod methods;
mod sizes;
mod unusual;

//! User code that panics where no task runs it, destructors that panic, and absurd sizes.
//!
//! - `methods`: each method of a row panics at each of its calls.

mod methods;

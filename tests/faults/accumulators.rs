//! Accumulators count all of an action or nothing, in any nesting.

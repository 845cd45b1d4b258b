//! User code that calls back into the context finds no engine lock held.

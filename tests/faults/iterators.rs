//! Iterators of users: the first end is the end, and a panic is not an end.

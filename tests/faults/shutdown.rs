//! Dropping a context waits a bounded time and leaves no file.

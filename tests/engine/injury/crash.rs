//! A process is killed.

//! Random programs against a model in plain Rust.

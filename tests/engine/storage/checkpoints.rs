//! Durable checkpoints.

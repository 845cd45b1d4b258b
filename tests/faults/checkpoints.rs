//! Checkpoints say which rows they hold, and errors name the part that is damaged.

//! The bookkeeping of each partition stays small, and its cost grows linearly.

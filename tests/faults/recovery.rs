//! Recovery continues as long as it makes progress.

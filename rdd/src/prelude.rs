//! The names most programs need: `use emberline::prelude::*;`.

pub use crate::{
    Accumulator, AsTable, BoxError, Context, Error, ErrorKind, Group, JobHandle, Rdd, Result,
    StorageLevel, Text,
};

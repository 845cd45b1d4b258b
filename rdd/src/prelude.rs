//! What a program needs in scope: `use emberline::prelude::*;`.

pub use crate::{
    Accumulator, AsTable, BoxError, Context, Error, ErrorKind, Group, JobHandle, Rdd, Result,
};

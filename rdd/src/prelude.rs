//! What a program needs in scope: `use emberline::prelude::*;`.

pub use crate::{AsTable, BoxError, Context, Error, ErrorKind, Group, Rdd, Result};

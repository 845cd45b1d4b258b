//! The bounds of rows that are stored or shuffled, and of the keys of a shuffle.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::hash::Hash;

/// A row that can be cached, shared between tasks and written to disk. It is implemented for every
/// type that has the traits it requires.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shuffled or cached",
    label = "rows here must be `Clone + Send + Sync + Serialize + Deserialize`",
    note = "add `#[derive(Clone, serde::Serialize, serde::Deserialize)]` to types of your own; rows own \
            their data, so use `String` in place of `&str`"
)]
pub trait Stored: Clone + Send + Sync + Serialize + DeserializeOwned + 'static {}

impl<T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static> Stored for T {}

/// A key of a shuffle: a [`Stored`] row that is also `Hash + Eq`. It is implemented for every type
/// that has these traits.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key of a shuffle",
    label = "a key must also be `Hash + Eq`",
    note = "add `#[derive(Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]` to types of your own; \
            floats are not `Eq`, so key by an integer (cents, or `to_bits`) or a string"
)]
pub trait Key: Stored + Hash + Eq {}

#[diagnostic::do_not_recommend]
impl<T: Stored + Hash + Eq> Key for T {}

//! What a row must be able to do, asked only where it is needed. A narrow step asks `Send +
//! 'static`; rows that are kept or moved must be [`Stored`]; keys must be a [`Key`].

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::hash::Hash;

/// A row that can be kept in memory, shared between tasks and written to disk: what a shuffle and
/// `cache` need. Every type with these bounds is one; there is nothing to implement.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shuffled or cached",
    note = "rows that are shuffled or cached need `Clone + Send + Sync + Serialize + Deserialize`: \
            add `#[derive(Clone, serde::Serialize, serde::Deserialize)]`"
)]
pub trait Stored: Clone + Send + Sync + Serialize + DeserializeOwned + 'static {}

impl<T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static> Stored for T {}

/// A key of a shuffle: equal keys meet in one partition. Every type with these bounds is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a shuffle key",
    note = "a key needs `Hash + Eq` beside what a stored row needs; floats have neither, so key by \
            an integer (cents, bits) or a string"
)]
pub trait Key: Stored + Hash + Eq {}

impl<T: Stored + Hash + Eq> Key for T {}

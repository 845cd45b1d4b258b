//! The bounds of rows and keys. Every type that meets them is a row or a key.

pub use emberline_core::bounds::{Key, Stored};

/// A row of an RDD: any type that is `Send` and owns its data.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a row of an RDD",
    label = "rows move between threads, so they must be `Send` and own their data",
    note = "use `Arc` in place of `Rc`, and `String` in place of `&str`"
)]
pub trait Element: Send + 'static {}

impl<T: Send + 'static> Element for T {}

//! Files of users and of the engine: the only place that resolves paths, lists folders, opens files for reading and
//! compares a file with the one that was listed.
//!
//! | function | promise |
//! |---|---|
//! | [`absolute`] | a path means the same file in every task, wherever the program changes its directory to |
//! | [`list()`] | patterns, hidden names, folders and links follow one table; each folder is visited once; the listing is bounded and can be cancelled |
//! | [`open()`] | opens regular files only, and never waits for another process |
//! | [`FileIdentity`] | distinguishes a file from its replacement, and from itself with other bytes |
//! | [`ListedFile::open`] | reads the bytes that were listed, or fails |
//! | [`compression_of`] | recognizes compressed files by name, [`compression_of_bytes`] by their first bytes |

mod compressed;
mod identity;
mod list;
mod listed;
mod open;
mod order;
mod resolve;
mod walk;

pub use compressed::{MAX_MAGIC_BYTES, compression_of, compression_of_bytes};
pub use identity::FileIdentity;
pub use list::{MAX_LISTED_NAMES, compressed, list};
pub use listed::{ListedFile, ListedReader, is_changed};
pub use open::{is_no_file, open, open_dir, open_with};
pub use resolve::absolute;

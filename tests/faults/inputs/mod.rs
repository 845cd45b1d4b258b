//! Files that are not as the engine expects them: that change while they are read, that links name twice, that are
//! compressed, that are no files at all, or whose paths mean something else later.
//!
//! - `changes`: a file that changes after it was listed.
//! - `compressed`: compressed files under any name.
//! - `listing`: patterns, hidden names, folders and links.
//! - `not_files`: FIFOs, folders, devices, sockets and circular links in place of files.
//! - `paths`: relative paths, long names and many files.

mod changes;
mod compressed;
mod listing;
mod not_files;
mod paths;

use std::fs;
use tempfile::TempDir;

/// Makes a folder of files, each with its name as its only line.
fn folder_of(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{name}\n")).unwrap();
    }
    folder
}

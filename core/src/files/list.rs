//! Lists the files of paths and patterns.

use super::compressed::compression_of;
use super::identity::FileIdentity;
use super::listed::ListedFile;
use super::order::{SortedName, compare_paths};
use super::resolve::absolute;
use super::walk::{Pattern, walk};
use crate::error::{Error, ErrorKind, Result};
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The number of names that one listing may look at. A file takes about 200 bytes.
pub const MAX_LISTED_NAMES: usize = 4_000_000;

/// The number of names that are looked at between two checks for a cancellation.
const NAMES_PER_CHECK: usize = 1024;

/// Lists the files of `paths`, in the order of the list, and those of one folder or pattern in the
/// order of their paths, compared component by component; the numbers of `part-N` count as numbers.
///
/// A path that exists is read as named, whatever its characters. Any other path with `*`, `?` or
/// `[` is a pattern:
///
/// | path | files |
/// |---|---|
/// | `a.txt` | this file, also if its name begins with `.` or `_` |
/// | `folder` | its files that are not hidden; a folder in it is an error |
/// | `*`, `?` | match any characters, or one, of one name |
/// | `[ab]`, `[a-z]`, `[!a]` | matches one of these characters, or one other |
/// | `**` | matches any number of folders, none included: `d/**/*` has all files below `d` |
/// | `[*]`, `[?]`, `[[]` | the escape: match `*`, `?` and `[` themselves |
/// | a pattern that matches a file | this file |
/// | a pattern that matches a folder | the files of the folder, as if it were named |
/// | a hidden name (`.x`, `_x`) | matched only by a part of the pattern that begins with the same `.` or `_`, and never by `**` |
/// | a link to a file | read under its own name |
/// | a link to a folder | followed, but each folder is visited once for each entry of the list, whatever its names |
/// | a file that a pattern matches in two ways | listed once; a file of two entries of the list is listed twice |
///
/// A listing looks at [`MAX_LISTED_NAMES`] names at most. It calls `check` for every 1024 names and
/// for every folder, and ends with its error.
///
/// # Errors
///
/// - `InputNotFound` if a path names nothing or a pattern matches nothing, or for an empty list.
/// - `InvalidInput` for a file that is not regular or has the name of a compressed file, for a
///   folder inside a named folder, and for too many names.
/// - I/O errors of folders and files that cannot be read.
pub fn list(paths: &[PathBuf], check: &dyn Fn() -> Result<()>) -> Result<Vec<ListedFile>> {
    list_at_most(MAX_LISTED_NAMES, paths, check)
}

fn list_at_most(
    max_names: usize,
    paths: &[PathBuf],
    check: &dyn Fn() -> Result<()>,
) -> Result<Vec<ListedFile>> {
    if paths.is_empty() {
        return Err(not_found(Path::new("[]"), "the list of paths is empty"));
    }
    let mut listing = Listing { files: Vec::new(), names: 0, max_names, check };
    for path in paths {
        listing.add_path(path)?;
    }
    Ok(listing.files)
}

/// The files that were found so far, and the names that were looked at.
pub(super) struct Listing<'a> {
    files: Vec<ListedFile>,
    names: usize,
    max_names: usize,
    check: &'a dyn Fn() -> Result<()>,
}

impl Listing<'_> {
    /// Adds the files of one path of a user.
    fn add_path(&mut self, given: &Path) -> Result<()> {
        (self.check)()?;
        let path = absolute(given).map_err(|cause| not_found(given, "no path").caused_by(cause))?;
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => walk(&Pattern::of_folder(path), self).map(drop),
            Ok(found) => self.add_file(path, &found),
            Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
                Err(unreadable(&path, cause))
            }
            Err(cause) => {
                let Some(pattern) = Pattern::parse(given, &path)? else {
                    return Err(not_found(given, &cause_of(&cause)));
                };
                match walk(&pattern, self)? {
                    true => Ok(()),
                    false => Err(not_found(given, "the pattern matches no files")),
                }
            }
        }
    }

    /// Adds a file that a path or a pattern names.
    pub(super) fn add_file(&mut self, path: PathBuf, found: &Metadata) -> Result<()> {
        if let Some(compression) = compression_of(&path) {
            return Err(compressed(path, compression));
        }
        refuse_unmeasured(&path, found)?;
        self.files.push(ListedFile { path, identity: FileIdentity::of(found) });
        Ok(())
    }

    /// Returns the number of files.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Sorts the files from `first` on by their paths.
    pub(super) fn sort_from(&mut self, first: usize) {
        self.files[first..].sort_by(|one, other| compare_paths(&one.path, &other.path));
    }

    /// Returns the paths in a folder, sorted. Counts them, and ends the listing if it was
    /// cancelled.
    pub(super) fn read_folder(&mut self, folder: &Path) -> Result<Vec<fs::DirEntry>> {
        (self.check)()?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(|cause| unreadable(folder, cause))? {
            entries.push(entry.map_err(|cause| unreadable(folder, cause))?);
            self.count_name(folder)?;
        }
        entries.sort_by_cached_key(|entry| SortedName(entry.file_name()));
        Ok(entries)
    }

    fn count_name(&mut self, folder: &Path) -> Result<()> {
        self.names += 1;
        if self.names > self.max_names {
            let max = self.max_names;
            let what = format!(
                "there are more than {max} names to look at when this folder is listed; name fewer folders"
            );
            return Err(invalid(folder.to_path_buf(), what));
        }
        if self.names.is_multiple_of(NAMES_PER_CHECK) {
            (self.check)()?;
        }
        Ok(())
    }
}

/// Returns the error of a compressed file.
pub fn compressed(path: PathBuf, compression: &str) -> Error {
    let what = format!("compressed text ({compression}) is not supported yet; decompress it first");
    invalid(path, what)
}

/// Refuses pipes, devices and kernel files, which have no length that could be split.
fn refuse_unmeasured(path: &Path, found: &Metadata) -> Result<()> {
    let unmeasured = || {
        let what =
            "not a regular file with a length (a pipe or a device?); copy it to a file first";
        Err(invalid(path.to_path_buf(), what.into()))
    };
    if !found.is_file() {
        return unmeasured();
    }
    if found.len() > 0 {
        return Ok(());
    }
    match super::open(path).and_then(|mut file| file.read(&mut [0])) {
        Ok(0) => Ok(()),
        Ok(_) => unmeasured(),
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => unmeasured(),
        Err(cause) => Err(unreadable(path, cause)),
    }
}

/// Returns the description of a path that cannot be found.
fn cause_of(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::NotFound => "no such file or directory".into(),
        _ => cause.to_string(),
    }
}

pub(super) fn not_found(given: &Path, what: &str) -> Error {
    let path = given.display().to_string();
    Error::new(ErrorKind::InputNotFound { path, what: what.into() })
}

pub(super) fn invalid(path: PathBuf, what: String) -> Error {
    Error::new(ErrorKind::InvalidInput { path, what })
}

pub(super) fn unreadable(path: &Path, cause: io::Error) -> Error {
    Error::io(format!("reading `{}` failed", path.display()), cause)
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;

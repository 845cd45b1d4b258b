//! Walks the folders that a pattern matches.

use super::list::{Listing, invalid, not_found, unreadable};
use crate::error::Result;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, Metadata};
use std::path::{Component, Path, PathBuf};

/// A pattern: a folder, and parts for the names below it.
pub(super) struct Pattern {
    folder: PathBuf,
    parts: Vec<Part>,
}

/// The condition on one name on the way to a file.
enum Part {
    /// Exactly this name.
    Name(OsString),
    /// A name that this pattern matches, hidden or not.
    Wild { pattern: glob::Pattern, names_hidden: bool },
    /// Any number of names that are not hidden: `**`.
    Folders,
}

/// The parts of a pattern that the names of a folder may match, as indexes, ascending. The number
/// of parts stands for a folder that the whole pattern matches.
type Positions = Vec<usize>;

impl Pattern {
    /// Returns the pattern of all files in one folder.
    pub fn of_folder(folder: PathBuf) -> Pattern {
        Pattern { folder, parts: Vec::new() }
    }

    /// Returns the pattern in an absolute path, or nothing if it has no wildcard.
    pub fn parse(given: &Path, path: &Path) -> Result<Option<Pattern>> {
        let is_named = |component: &Component<'_>| !has_wildcard(component.as_os_str());
        let folder: PathBuf = path.components().take_while(is_named).collect();
        let rest = path.components().skip_while(is_named);
        let parts = rest.map(|component| Part::parse(given, component.as_os_str()));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        Ok((!parts.is_empty()).then_some(Pattern { folder, parts }))
    }

    /// Adds the positions that follow without a name, since `**` matches no folder as well.
    fn closure(&self, mut positions: Positions) -> Positions {
        let mut next = 0;
        while let Some(&position) = positions.get(next) {
            if matches!(self.parts.get(position), Some(Part::Folders)) {
                positions.push(position + 1);
            }
            next += 1;
        }
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// Returns the positions below a folder with this name.
    fn after(&self, positions: &[usize], name: &OsStr) -> Positions {
        let next = |position: &usize| match self.parts.get(*position)? {
            Part::Folders => (!is_hidden(name)).then_some(*position),
            part => part.matches(name).then_some(position + 1),
        };
        self.closure(positions.iter().filter_map(next).collect())
    }

    /// Returns true if a file with this name matches.
    fn has_file(&self, positions: &[usize], name: &OsStr) -> bool {
        positions.iter().any(|position| match self.parts.get(*position) {
            None => !is_hidden(name),
            Some(part) => position + 1 == self.parts.len() && part.matches(name),
        })
    }

    fn matches_folder(&self, positions: &[usize]) -> bool {
        positions.contains(&self.parts.len())
    }
}

impl Part {
    fn parse(given: &Path, name: &OsStr) -> Result<Part> {
        if name == "**" {
            return Ok(Part::Folders);
        }
        if !has_wildcard(name) {
            return Ok(Part::Name(name.to_os_string()));
        }
        let text = name.to_str().ok_or_else(|| not_found(given, "the pattern is not UTF-8"))?;
        let pattern = glob::Pattern::new(text)
            .map_err(|cause| not_found(given, "invalid pattern").caused_by(cause))?;
        Ok(Part::Wild { pattern, names_hidden: is_hidden(name) })
    }

    /// Returns true if the part matches this name of a file or folder.
    fn matches(&self, name: &OsStr) -> bool {
        match self {
            Part::Name(wanted) => wanted == name,
            Part::Wild { pattern, names_hidden } => {
                let is_visible = !is_hidden(name) || (*names_hidden && name != "..");
                is_visible && pattern.matches(&name.to_string_lossy())
            }
            Part::Folders => false,
        }
    }
}

fn has_wildcard(name: &OsStr) -> bool {
    name.as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
}

/// Returns true for marker files such as `_SUCCESS` and for dot files, which are not data, and for
/// `..`, which no wildcard matches.
fn is_hidden(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"_") || name.starts_with(b".")
}

/// A folder that will be visited.
struct Visit {
    path: PathBuf,
    positions: Positions,
}

/// Adds the files that a pattern matches. Returns false if it matches neither a file nor a folder.
///
/// Each folder is visited once for each position of the pattern, whatever its names, so links in a
/// circle end. The walk needs no recursion, so folders may be nested to any depth.
pub(super) fn walk(pattern: &Pattern, listing: &mut Listing<'_>) -> Result<bool> {
    let first_file = listing.len();
    let mut visited: HashMap<FolderId, Positions> = HashMap::new();
    let mut visits =
        vec![Visit { path: pattern.folder.clone(), positions: pattern.closure(vec![0]) }];
    let mut has_match = false;
    while let Some(Visit { path, positions }) = visits.pop() {
        let Some(found) = folder_at(&path)? else { continue };
        let seen = visited.entry(FolderId::of(&path, &found)?).or_default();
        let new: Positions = positions.into_iter().filter(|it| !seen.contains(it)).collect();
        if new.is_empty() {
            continue;
        }
        let before = seen.clone();
        seen.extend(&new);
        has_match |= pattern.matches_folder(&new);
        let mut folder = Folder { pattern, path: &path, new, before, below: Vec::new() };
        folder.visit(listing)?;
        // The last one is visited first.
        visits.extend(folder.below.into_iter().rev());
    }
    listing.sort_from(first_file);
    Ok(has_match || listing.len() > first_file)
}

/// Returns the folder that a path names, or nothing if it does not name one.
fn folder_at(path: &Path) -> Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found).filter(Metadata::is_dir)),
        Err(cause) if super::is_no_file(&cause) => Ok(None),
        Err(cause) => Err(unreadable(path, cause)),
    }
}

/// One visit of a folder.
struct Folder<'a> {
    pattern: &'a Pattern,
    path: &'a Path,
    /// The positions of this visit, and those of earlier visits under other names.
    new: Positions,
    before: Positions,
    /// Folders in it that will be visited.
    below: Vec<Visit>,
}

impl Folder<'_> {
    fn visit(&mut self, listing: &mut Listing<'_>) -> Result<()> {
        let names: Option<Vec<&OsString>> = self.new.iter().map(|it| self.name_at(*it)).collect();
        if let Some(names) = names {
            // A folder may be passed through without the right to list it.
            let mut paths: Vec<PathBuf> = names.iter().map(|name| self.path.join(name)).collect();
            paths.sort();
            paths.dedup();
            return paths.into_iter().try_for_each(|path| self.add_named(path, listing));
        }
        let entries = listing.read_folder(self.path)?;
        entries.iter().try_for_each(|entry| self.add_entry(entry, listing))?;
        // A folder does not list its parent.
        let parent = OsStr::new("..");
        match self.new.iter().any(|it| self.name_at(*it).is_some_and(|name| name == parent)) {
            true => self.add_named(self.path.join(parent), listing),
            false => Ok(()),
        }
    }

    /// Returns the name that a position asks for, if it asks for one.
    fn name_at(&self, position: usize) -> Option<&OsString> {
        match self.pattern.parts.get(position) {
            Some(Part::Name(name)) => Some(name),
            _ => None,
        }
    }

    /// Adds what a name of the pattern names, if it exists.
    fn add_named(&mut self, path: PathBuf, listing: &mut Listing<'_>) -> Result<()> {
        let name = path.components().next_back().map(|it| it.as_os_str().to_os_string());
        match fs::metadata(&path) {
            Ok(found) => self.add(path, &name.unwrap_or_default(), &found, listing),
            Err(cause) if super::is_no_file(&cause) => Ok(()),
            Err(cause) => Err(unreadable(&path, cause)),
        }
    }

    fn add_entry(&mut self, entry: &DirEntry, listing: &mut Listing<'_>) -> Result<()> {
        let name = entry.file_name();
        let is_file = entry.file_type().is_ok_and(|it| it.is_file());
        let is_wanted = self.pattern.has_file(&self.new, &name);
        if !is_wanted && (is_file || self.pattern.after(&self.new, &name).is_empty()) {
            return Ok(());
        }
        let path = entry.path();
        match fs::metadata(&path) {
            Ok(found) => self.add(path, &name, &found, listing),
            // A link to nothing is a folder on no way.
            Err(cause) if !is_wanted && super::is_no_file(&cause) => Ok(()),
            Err(cause) => Err(unreadable(&path, cause)),
        }
    }

    /// Adds a file, or a folder that will be visited.
    fn add(
        &mut self,
        path: PathBuf,
        name: &OsStr,
        found: &Metadata,
        listing: &mut Listing<'_>,
    ) -> Result<()> {
        if !found.is_dir() {
            let is_new = self.pattern.has_file(&self.new, name)
                && !self.pattern.has_file(&self.before, name);
            return if is_new { listing.add_file(path, found) } else { Ok(()) };
        }
        let positions = self.pattern.after(&self.new, name);
        if !positions.is_empty() {
            self.below.push(Visit { path, positions });
            return Ok(());
        }
        let is_visited = !self.pattern.after(&self.before, name).is_empty();
        if self.pattern.matches_folder(&self.new) && !is_hidden(name) && !is_visited {
            let recursive = self.path.join("**").join("*");
            let what =
                format!("nested directory; use `{}` to read recursively", recursive.display());
            return Err(invalid(path, what));
        }
        Ok(())
    }
}

/// The identity of a folder, which all its names have in common.
#[derive(PartialEq, Eq, Hash)]
struct FolderId(#[cfg(unix)] (u64, u64), #[cfg(not(unix))] PathBuf);

impl FolderId {
    #[cfg(unix)]
    fn of(_path: &Path, found: &Metadata) -> Result<FolderId> {
        use std::os::unix::fs::MetadataExt;
        Ok(FolderId((found.dev(), found.ino())))
    }

    #[cfg(not(unix))]
    fn of(path: &Path, _found: &Metadata) -> Result<FolderId> {
        let real = fs::canonicalize(path).map_err(|cause| unreadable(path, cause))?;
        Ok(FolderId(real))
    }
}

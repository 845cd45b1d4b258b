//! The paths that `text_file` accepts, and the files that they list.

use emberline_core::error::{Error, ErrorKind, Result};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A path, a folder, a pattern such as `corpus/*.txt`, or a list of them.
pub trait TextPaths {
    #[doc(hidden)]
    fn paths(&self) -> Vec<PathBuf>;
}

macro_rules! one_path {
    ($($path:ty),*) => {$(
        impl TextPaths for $path {
            fn paths(&self) -> Vec<PathBuf> {
                vec![PathBuf::from(self)]
            }
        }
    )*};
}

one_path!(&str, String, &String, &Path, PathBuf, &PathBuf);

impl<S: AsRef<Path>> TextPaths for Vec<S> {
    fn paths(&self) -> Vec<PathBuf> {
        self.as_slice().paths()
    }
}

impl<S: AsRef<Path>> TextPaths for &Vec<S> {
    fn paths(&self) -> Vec<PathBuf> {
        self.as_slice().paths()
    }
}

impl<S: AsRef<Path>, const N: usize> TextPaths for &[S; N] {
    fn paths(&self) -> Vec<PathBuf> {
        self.as_slice().paths()
    }
}

impl<S: AsRef<Path>, const N: usize> TextPaths for [S; N] {
    fn paths(&self) -> Vec<PathBuf> {
        self.as_slice().paths()
    }
}

impl<S: AsRef<Path>> TextPaths for &[S] {
    fn paths(&self) -> Vec<PathBuf> {
        self.iter().map(|path| path.as_ref().to_path_buf()).collect()
    }
}

/// A file as it was when it was listed.
#[derive(Clone, Debug)]
pub(crate) struct InputFile {
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    modified: Option<SystemTime>,
}

impl InputFile {
    fn list(path: PathBuf) -> Result<InputFile> {
        refuse_compressed(&path)?;
        let about = fs::metadata(&path).map_err(|cause| unreadable(&path, cause))?;
        refuse_unmeasured(&path, &about)?;
        Ok(InputFile { len: about.len(), modified: about.modified().ok(), path })
    }

    /// Opens the file if it is still the one that was listed.
    pub(crate) fn open(&self) -> Result<fs::File> {
        let changed = || Error::new(ErrorKind::InputChanged { path: self.path.clone() });
        let file = fs::File::open(&self.path).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => changed().caused_by(cause),
            _ => Error::io(format!("opening `{}` failed", self.path.display()), cause),
        })?;
        let about = file.metadata().map_err(|cause| unreadable(&self.path, cause))?;
        if about.len() != self.len || about.modified().ok() != self.modified {
            return Err(changed());
        }
        Ok(file)
    }
}

/// Lists the files of the given paths in order, those of a folder or pattern by name.
pub(crate) fn list_files(paths: &[PathBuf]) -> Result<Vec<InputFile>> {
    if paths.is_empty() {
        return Err(Error::new(ErrorKind::InputNotFound {
            path: "[]".into(),
            what: "the list of paths is empty".into(),
        }));
    }
    let mut files = Vec::new();
    for path in paths {
        match fs::metadata(path) {
            Ok(_) => list_path(path, &mut files)?,
            Err(cause) if cause.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(unreadable(path, cause));
            }
            Err(_) => list_pattern(path, &mut files)?,
        }
    }
    Ok(files)
}

fn list_path(path: &Path, files: &mut Vec<InputFile>) -> Result<()> {
    if !path.is_dir() {
        files.push(InputFile::list(path.to_path_buf())?);
        return Ok(());
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = entries.map_err(|cause| unreadable(path, cause))?;
    let mut inside: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    inside.sort();
    for entry in inside.into_iter().filter(|entry| !is_hidden(entry)) {
        if entry.is_dir() {
            let pattern = path.join("**").join("*");
            let what = format!("nested directory; use `{}` to read recursively", pattern.display());
            return Err(Error::new(ErrorKind::InvalidInput { path: entry, what }));
        }
        files.push(InputFile::list(entry)?);
    }
    Ok(())
}

fn list_pattern(path: &Path, files: &mut Vec<InputFile>) -> Result<()> {
    let not_found = |what: &str| {
        let path = path.display().to_string();
        Error::new(ErrorKind::InputNotFound { path, what: what.into() })
    };
    let pattern = path.to_str().ok_or_else(|| not_found("the pattern is not UTF-8"))?;
    if !pattern.contains(['*', '?', '[']) {
        return Err(not_found("no such file or directory"));
    }
    let matches =
        glob::glob(pattern).map_err(|cause| not_found("invalid pattern").caused_by(cause))?;
    let files_before = files.len();
    let literal = |part: &std::path::Component<'_>| {
        !part.as_os_str().to_string_lossy().contains(['*', '?', '['])
    };
    let named = path.components().take_while(literal).count();
    // glob gives matches sorted by name. Folders among them are skipped: `**/*` names both a folder
    // and what is in it.
    for found in matches {
        let found =
            found.map_err(|cause| not_found("a directory cannot be read").caused_by(cause))?;
        let matched = found.components().skip(named);
        let hidden = matched.into_iter().any(|part| is_hidden(Path::new(part.as_os_str())));
        if !found.is_dir() && !hidden {
            files.push(InputFile::list(found)?);
        }
    }
    if files.len() == files_before {
        return Err(not_found("the pattern matches no files"));
    }
    Ok(())
}

/// Returns true for marker files such as `_SUCCESS` and for dot files, which are not data.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    name.is_some_and(|name| name.starts_with(['_', '.']))
}

/// Refuses pipes, devices and kernel files, which have no length that could be split.
fn refuse_unmeasured(path: &Path, about: &fs::Metadata) -> Result<()> {
    let readable = || fs::File::open(path).and_then(|mut file| file.read(&mut [0]));
    let unmeasured = !about.is_file() || (about.len() == 0 && readable().is_ok_and(|n| n > 0));
    if !unmeasured {
        return Ok(());
    }
    let what =
        "not a regular file with a length (a pipe or a device?); copy it to a file first".into();
    Err(Error::new(ErrorKind::InvalidInput { path: path.to_path_buf(), what }))
}

fn refuse_compressed(path: &Path) -> Result<()> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    if !["gz", "bz2", "xz", "zst", "lz4", "zip"].contains(&extension) {
        return Ok(());
    }
    let what = format!("compressed text (.{extension}) is not supported yet; decompress it first");
    Err(Error::new(ErrorKind::InvalidInput { path: path.to_path_buf(), what }))
}

fn unreadable(path: &Path, cause: std::io::Error) -> Error {
    Error::io(format!("reading `{}` failed", path.display()), cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            fs::write(folder.path().join(name), "x\n").unwrap();
        }
        folder
    }

    fn names(listed: Result<Vec<InputFile>>) -> Vec<String> {
        let name = |file: &InputFile| file.path.file_name().unwrap().to_string_lossy().into_owned();
        listed.unwrap().iter().map(name).collect()
    }

    #[test]
    fn a_folder_lists_its_files_by_name_without_markers_and_dot_files() {
        let folder = folder_with(&["b.txt", "a.txt", "_SUCCESS", ".hidden"]);
        assert_eq!(names(list_files(&[folder.path().to_path_buf()])), ["a.txt", "b.txt"]);
    }

    #[test]
    fn a_pattern_descends_into_nested_folders_and_a_folder_refuses_them() {
        let folder = folder_with(&["a.txt", "sub/b.txt", "sub/c.md"]);
        let pattern = folder.path().join("**").join("*.txt");
        assert_eq!(names(list_files(&[pattern])), ["a.txt", "b.txt"]);
        let error = list_files(&[folder.path().to_path_buf()]).unwrap_err().to_string();
        assert!(error.contains("to read recursively"), "{error}");
    }

    #[test]
    fn a_list_keeps_its_order() {
        let folder = folder_with(&["a.txt", "b.txt"]);
        let list = [folder.path().join("b.txt"), folder.path().join("a.txt")];
        assert_eq!(names(list_files(&list)), ["b.txt", "a.txt"]);
    }

    #[test]
    fn errors_name_missing_and_compressed_files() {
        let folder = folder_with(&["a.gz"]);
        for name in ["none.txt", "*.csv", "a.gz"] {
            let error = list_files(&[folder.path().join(name)]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_pattern_does_not_descend_into_hidden_folders() {
        let folder = folder_with(&["a/x", ".out.writing-1/part-00000", "_temporary/y", "b/.z"]);
        assert_eq!(names(list_files(&[folder.path().join("**").join("*")])), ["x"]);
        let named = folder.path().join("_temporary").join("*");
        assert_eq!(names(list_files(&[named])), ["y"]);
    }

    #[test]
    fn an_empty_list_and_a_file_without_a_length_are_refused() {
        assert!(list_files(&[]).unwrap_err().to_string().contains("empty"));
        let kernel_file = Path::new("/proc/cpuinfo");
        if !kernel_file.exists() {
            println!("skipped: there is no /proc here");
            return;
        }
        let error = list_files(&[kernel_file.to_path_buf()]).unwrap_err().to_string();
        assert!(error.contains("not a regular file with a length"), "{error}");
    }

    #[test]
    fn a_file_whose_name_looks_like_a_pattern_is_a_file() {
        let folder = folder_with(&["a[1].txt"]);
        assert_eq!(names(list_files(&[folder.path().join("a[1].txt")])), ["a[1].txt"]);
    }
}

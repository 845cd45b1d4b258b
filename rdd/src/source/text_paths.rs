//! The paths that `text_file` accepts.

use std::path::{Path, PathBuf};

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

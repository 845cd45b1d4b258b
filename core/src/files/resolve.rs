//! Paths that mean the same file wherever the program changes its directory to.

use std::io;
use std::path::{Path, PathBuf};

/// Returns the absolute form of a path. Every path of a user is resolved once, by the call that
/// takes it, and never when a task runs.
///
/// | path | result in the directory `/home/me` |
/// |---|---|
/// | `/data/a` | `/data/a` |
/// | `a`, `./a`, `.//a` | `/home/me/a` |
/// | `../a` | `/home/me/../a`, since `me` may be a link |
/// | the target of a link | not read: a link is followed when it is opened |
/// | an empty path | an error |
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Case R-D5 of tests/PROMISES.md.
    #[test]
    fn a_path_is_resolved_from_the_directory_of_the_program() {
        let here = std::env::current_dir().unwrap();
        for (path, wanted) in [("a", "a"), ("./a", "a"), ("a//b/./c", "a/b/c"), ("../a", "../a")] {
            assert_eq!(absolute(Path::new(path)).unwrap(), here.join(wanted), "{path}");
        }
        assert_eq!(absolute(&here).unwrap(), here);
        assert!(absolute(Path::new("")).is_err());
    }
}

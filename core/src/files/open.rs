//! Opens regular files, and nothing for which a program could wait.

use std::fmt;
use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a regular file for reading.
///
/// | what the path names | outcome |
/// |---|---|
/// | a regular file, or a link to one | it is opened |
/// | a FIFO, with or without a writer | an error at once |
/// | a device such as `/dev/zero`, or a terminal | an error; it is not read |
/// | a socket, a folder | an error |
/// | links in a circle, a link to nothing, nothing | an error |
///
/// All these errors are [`is_no_file`]; others are not, such as a missing permission or too many
/// open files.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens a regular file like [`open`], with options of the caller.
pub fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    never_wait(options);
    let file = options.open(path)?;
    let file_type = file.metadata()?.file_type();
    match file_type.is_file() {
        true => Ok(file),
        false => Err(io::Error::other(NotAFile(kind_of(file_type)))),
    }
}

/// Opens a folder, to make the names in it durable.
#[cfg(unix)]
pub fn open_dir(path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    let flags = OFlags::DIRECTORY | OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
}

/// Sets the flags of a file that is opened without waiting: a FIFO would wait for its other end, a
/// serial line for its carrier. A terminal does not become the one of this process.
#[cfg(unix)]
fn never_wait(options: &mut OpenOptions) {
    use rustix::fs::OFlags;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits() as i32);
}

#[cfg(not(unix))]
fn never_wait(_options: &mut OpenOptions) {}

/// The reason why an opened path is refused.
#[derive(Debug)]
struct NotAFile(&'static str);

impl fmt::Display for NotAFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a regular file, but {}", self.0)
    }
}

impl std::error::Error for NotAFile {}

#[cfg(unix)]
fn kind_of(file_type: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match file_type {
        it if it.is_dir() => "a folder",
        it if it.is_fifo() => "a FIFO",
        it if it.is_socket() => "a socket",
        it if it.is_char_device() || it.is_block_device() => "a device",
        _ => "something else",
    }
}

#[cfg(not(unix))]
fn kind_of(file_type: FileType) -> &'static str {
    if file_type.is_dir() { "a folder" } else { "something else" }
}

/// Returns true if an error of [`open`] means that the path names no regular file: nothing,
/// something else, or links in a circle. Opening it again gives the same error.
pub fn is_no_file(cause: &io::Error) -> bool {
    let is_refused = cause.get_ref().is_some_and(|inner| inner.is::<NotAFile>());
    is_refused || is_missing(cause.kind()) || has_no_file_code(cause)
}

fn is_missing(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound, StaleNetworkFileHandle};
    matches!(kind, NotFound | NotADirectory | IsADirectory | StaleNetworkFileHandle)
}

/// Returns true for links in a circle, sockets, and devices without a driver.
#[cfg(unix)]
fn has_no_file_code(cause: &io::Error) -> bool {
    use rustix::io::Errno;
    let codes = [Errno::LOOP, Errno::NXIO, Errno::NODEV, Errno::OPNOTSUPP];
    cause.raw_os_error().is_some_and(|code| codes.iter().any(|it| it.raw_os_error() == code))
}

#[cfg(not(unix))]
fn has_no_file_code(_cause: &io::Error) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    // Case R-B1 of tests/PROMISES.md.
    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert!(open(&file).is_ok());
        for path in [folder.path().to_path_buf(), folder.path().join("none"), file.join("below")] {
            assert!(is_no_file(&open(&path).unwrap_err()), "{}", path.display());
        }
    }

    // Case R-B1 of tests/PROMISES.md.
    #[cfg(unix)]
    #[test]
    fn nothing_that_could_wait_is_opened() {
        use rustix::fs::{CWD, FileType, Mode};
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        rustix::fs::mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        symlink("/dev/zero", path("zero")).unwrap();
        symlink(path("fifo"), path("link")).unwrap();
        symlink("circle", path("circle")).unwrap();
        symlink(path("nothing"), path("dangling")).unwrap();
        testkit::within(testkit::DEADLINE, move || {
            for name in ["fifo", "socket", "zero", "link", "circle", "dangling"] {
                let error = open(&folder.path().join(name)).unwrap_err();
                assert!(is_no_file(&error), "{name}: {error}");
            }
        });
    }

    #[cfg(unix)]
    #[test]
    fn too_many_open_files_and_missing_rights_are_other_errors() {
        for code in [rustix::io::Errno::MFILE, rustix::io::Errno::ACCESS, rustix::io::Errno::IO] {
            assert!(!is_no_file(&io::Error::from_raw_os_error(code.raw_os_error())));
        }
    }
}

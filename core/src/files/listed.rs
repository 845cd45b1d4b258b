//! Files that are read as they were listed, or not at all.

use super::identity::FileIdentity;
use super::open::{is_no_file, open};
use crate::error::{Error, ErrorKind, Result};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// A file as it was when it was listed.
#[derive(Clone, Debug)]
pub struct ListedFile {
    /// The absolute path.
    pub path: PathBuf,
    /// The identity that the file had.
    pub identity: FileIdentity,
}

impl ListedFile {
    /// Opens the file if it is still the one that was listed.
    ///
    /// The reader compares the identity after each read, before it hands the bytes out. So no byte of
    /// a later version of the file is ever returned, and none beyond the listed length.
    ///
    /// # Errors
    ///
    /// `InputChanged` if the path names another file, a file that has changed, or no file.
    pub fn open(&self) -> Result<ListedReader> {
        self.identity.wait_for_clock();
        let file = open(&self.path).map_err(|cause| self.not_opened(cause))?;
        let reader = ListedReader { file, listed: self.identity };
        reader.check().map_err(|cause| self.read_error(cause))?;
        Ok(reader)
    }

    /// Returns the error of a failed read. A file that ends before its listed length has changed,
    /// unless its length is still the same: that of a kernel file is not the number of its bytes.
    pub fn read_error(&self, cause: io::Error) -> Error {
        let kind = cause.kind();
        let has_ended = kind == io::ErrorKind::UnexpectedEof;
        if has_ended && !self.has_changed() {
            let length = self.identity.length();
            let what = format!(
                "it ends before its length of {length} bytes (a kernel file?); copy it to a file first"
            );
            let path = self.path.clone();
            return Error::new(ErrorKind::InvalidInput { path, what }).caused_by(cause);
        }
        if has_ended || is_changed(&cause) || kind == io::ErrorKind::StaleNetworkFileHandle {
            return self.changed(cause);
        }
        Error::io(format!("reading `{}` failed", self.path.display()), cause)
    }

    /// Returns true if the path names another file than the one that was listed, or a changed one.
    fn has_changed(&self) -> bool {
        match std::fs::metadata(&self.path) {
            Ok(found) => FileIdentity::of(&found) != self.identity,
            Err(cause) => is_no_file(&cause),
        }
    }

    fn not_opened(&self, cause: io::Error) -> Error {
        if is_no_file(&cause) || self.has_changed() {
            return self.changed(cause);
        }
        Error::io(format!("opening `{}` failed", self.path.display()), cause)
    }

    fn changed(&self, cause: io::Error) -> Error {
        Error::new(ErrorKind::InputChanged { path: self.path.clone() }).caused_by(cause)
    }
}

/// An open file that fails as soon as it is no longer the one that was listed.
#[derive(Debug)]
pub struct ListedReader {
    file: File,
    listed: FileIdentity,
}

impl ListedReader {
    /// Fails if the file has changed since it was listed.
    pub fn check(&self) -> io::Result<()> {
        match FileIdentity::of(&self.file.metadata()?) == self.listed {
            true => Ok(()),
            false => Err(io::Error::other(Changed)),
        }
    }
}

impl Read for ListedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A writer stamps the file before its bytes can be read, so bytes are unchanged if the
        // stamp is, when it is compared after they were read.
        let read = self.file.read(buffer)?;
        self.check()?;
        Ok(read)
    }
}

impl Seek for ListedReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// The error of a reader whose file has changed.
#[derive(Debug)]
struct Changed;

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file has another identity than the one that was listed")
    }
}

impl std::error::Error for Changed {}

/// Returns true if an error of a [`ListedReader`] means that the file has changed.
pub fn is_changed(cause: &io::Error) -> bool {
    cause.get_ref().is_some_and(|inner| inner.is::<Changed>())
}

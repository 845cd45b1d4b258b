//! The identity of a file and of its bytes, as far as the file system shows them.

use std::fs::Metadata;
use std::time::{Duration, SystemTime};

/// The time within which two changes of a file may get the same time stamp: before version 6.13,
/// Linux stamps files with the time of the last timer interrupt, which is at most 10 ms old.
const MAX_CLOCK_TICK: Duration = Duration::from_millis(20);

/// The identity of a file. Two equal identities mean the same bytes.
///
/// | change | noticed by |
/// |---|---|
/// | bytes are overwritten in place | the times of modification and of change |
/// | bytes are appended or removed | the length |
/// | another file is renamed to the name | device and inode |
/// | the modification time is set back after a change | the time of change, which no program can set |
/// | the file is deleted, renamed, or gets other rights or names | the time of change |
/// | the file is read | nothing: it is no change |
///
/// Where there is no inode or no time of change (not on Unix), only length and modification time
/// are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    length: u64,
    modified: Option<SystemTime>,
    inode: Inode,
}

impl FileIdentity {
    /// Returns the identity of the file that `found` describes.
    pub fn of(found: &Metadata) -> FileIdentity {
        FileIdentity {
            length: found.len(),
            modified: found.modified().ok(),
            inode: Inode::of(found),
        }
    }

    /// Returns the length of the file in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Waits, for at most 20 ms, until a change of the file would get another time stamp than its
    /// last change. After that, a change cannot hide behind an equal identity.
    pub fn wait_for_clock(&self) {
        let Some(changed) = self.inode.changed().or(self.modified) else { return };
        // An error means that the file is of the future: its clock is not ours.
        let age = SystemTime::now().duration_since(changed);
        if let Some(rest) = age.ok().and_then(|age| MAX_CLOCK_TICK.checked_sub(age)) {
            std::thread::sleep(rest);
        }
    }
}

/// The position of a file on its device, and the time of the last change of the file.
#[cfg(unix)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inode {
    device: u64,
    number: u64,
    changed_s: i64,
    changed_ns: i64,
}

#[cfg(unix)]
impl Inode {
    fn of(found: &Metadata) -> Inode {
        use std::os::unix::fs::MetadataExt;
        Inode {
            device: found.dev(),
            number: found.ino(),
            changed_s: found.ctime(),
            changed_ns: found.ctime_nsec(),
        }
    }

    fn changed(&self) -> Option<SystemTime> {
        let since_epoch = u64::try_from(self.changed_s).ok().map(Duration::from_secs)?;
        let nanoseconds = Duration::from_nanos(u64::try_from(self.changed_ns).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since_epoch + nanoseconds)
    }
}

#[cfg(not(unix))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inode;

#[cfg(not(unix))]
impl Inode {
    fn of(_found: &Metadata) -> Inode {
        Inode
    }

    fn changed(&self) -> Option<SystemTime> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn identity(path: &Path) -> FileIdentity {
        FileIdentity::of(&fs::metadata(path).unwrap())
    }

    #[test]
    fn reading_a_file_does_not_change_its_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "text").unwrap();
        let before = identity(&path);
        before.wait_for_clock();
        fs::read(&path).unwrap();
        assert_eq!(identity(&path), before);
        assert_eq!(before.length(), 4);
    }

    // Case R-A2 of tests/PROMISES.md.
    #[cfg(unix)]
    #[test]
    fn after_the_clock_has_advanced_no_change_in_place_can_hide() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "text").unwrap();
        for round in 0..testkit::scaled(20) {
            let before = identity(&path);
            before.wait_for_clock();
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            std::io::Write::write_all(&mut &file, b"TEXT").unwrap();
            file.set_modified(modified).unwrap();
            assert_ne!(identity(&path), before, "round {round}");
        }
    }
}

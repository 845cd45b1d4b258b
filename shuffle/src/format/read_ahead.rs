//! Reads many small parts of a file with few reads.

use emberline_core::disk::DiskReader;
use emberline_core::sync::Mutex;
use std::sync::Arc;
use std::{io, mem};

/// A reader for requests of consecutive small parts: it reads a window of the file at once.
pub(super) struct ReadAhead {
    disk: Arc<dyn DiskReader>,
    file_bytes: u64,
    window_bytes: usize,
    window: Mutex<Window>,
}

/// Bytes of the file from `offset`.
#[derive(Default)]
struct Window {
    offset: u64,
    bytes: Vec<u8>,
}

impl ReadAhead {
    /// Reads a file of `file_bytes` in windows of `window_bytes`.
    pub(super) fn new(disk: Arc<dyn DiskReader>, file_bytes: u64, window_bytes: usize) -> Self {
        ReadAhead { disk, file_bytes, window_bytes, window: Mutex::default() }
    }
}

impl ReadAhead {
    /// Reads a part from the window, which is moved there if necessary.
    fn read_in(&self, window: &mut Window, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if window.part(offset, buffer.len()).is_none() {
            let left = self.file_bytes.saturating_sub(offset);
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(self.window_bytes);
            // A request that crosses the end of the window reads its first bytes twice, so a window
            // pays off only for requests that are small compared with it.
            if wanted / 2 < buffer.len() {
                return self.disk.read_at(offset, buffer);
            }
            window.read(&*self.disk, offset, wanted)?;
        }
        let part = window.part(offset, buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}

impl DiskReader for ReadAhead {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        // The window is taken out while the disk reads, which may be code of the user. Another
        // thread then reads a window of its own, and so does the next call after a panic.
        let mut window = mem::take(&mut *self.window.lock());
        let read = self.read_in(&mut window, offset, buffer);
        let unused = mem::replace(&mut *self.window.lock(), window);
        drop(unused);
        read
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file_bytes)
    }
}

impl Window {
    fn part(&self, offset: u64, bytes: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        self.bytes.get(start..start.checked_add(bytes)?)
    }

    fn read(&mut self, disk: &dyn DiskReader, offset: u64, bytes: usize) -> io::Result<()> {
        let mut read = mem::take(&mut self.bytes);
        read.resize(bytes, 0);
        disk.read_at(offset, &mut read)?;
        (self.offset, self.bytes) = (offset, read);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Memory;
    use super::*;
    use proptest::prelude::*;

    fn read(disk: &dyn DiskReader, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; bytes];
        disk.read_at(offset, &mut buffer).map(|()| buffer)
    }

    proptest! {
        #[test]
        fn parts_are_those_of_the_file_and_reading_past_its_end_is_an_error(
            parts in prop::collection::vec((0..300_u64, 0..60_usize), 1..40),
            window in 0..100_usize,
            cut in 0..2_usize,
        ) {
            let bytes: Vec<u8> = (0..=255).collect();
            let direct = Memory(bytes[..256 - 50 * cut].to_vec());
            // The file may have been truncated since it was opened.
            let ahead = ReadAhead::new(Arc::new(Memory(direct.0.clone())), 256, window);
            for (offset, bytes) in parts {
                let (expected, found) = (read(&direct, offset, bytes), read(&ahead, offset, bytes));
                match expected {
                    // A window that ends after the end of the file fails slightly early.
                    Ok(expected) => prop_assert!(found.map_or(cut == 1, |found| found == expected)),
                    Err(_) => prop_assert!(found.is_err(), "{} bytes at {}", bytes, offset),
                }
            }
        }
    }

    #[test]
    fn small_consecutive_parts_are_one_read() {
        struct Counted(Memory, Mutex<usize>);
        impl DiskReader for Counted {
            fn len(&self) -> io::Result<u64> {
                self.0.len()
            }
            fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
                *self.1.lock() += 1;
                self.0.read_at(offset, buffer)
            }
        }
        let counted = Arc::new(Counted(Memory(vec![7; 4096]), Mutex::default()));
        let ahead = ReadAhead::new(Arc::clone(&counted) as Arc<dyn DiskReader>, 4096, 1024);
        for part in 0..64 {
            assert_eq!(read(&ahead, part * 64, 64).unwrap(), [7; 64]);
        }
        assert_eq!(*counted.1.lock(), 4);
    }
}

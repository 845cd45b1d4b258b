//! Serialized rows in memory: frames without a file.

use crate::format::{FileIndex, FileWriter, FrameReader, OpenFile};
use crate::memory::row_sizes::RowSizes;
use emberline_core::bounds::Stored;
use emberline_core::config::Config;
use emberline_core::disk::DiskReader;
use emberline_core::error::Result;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

/// Rows as frames in memory. A clone shares them.
pub struct SerializedRows<T> {
    bytes: Arc<Vec<u8>>,
    index: Arc<FileIndex>,
    row: PhantomData<fn() -> T>,
}

impl<T> Clone for SerializedRows<T> {
    fn clone(&self) -> Self {
        SerializedRows {
            bytes: Arc::clone(&self.bytes),
            index: Arc::clone(&self.index),
            row: PhantomData,
        }
    }
}

impl<T: Stored> SerializedRows<T> {
    /// Serializes rows of known sizes, compressed as configured.
    pub fn pack(rows: &[T], sizes: RowSizes, config: &Config) -> Result<Self> {
        let mut writer = FileWriter::in_memory(config)?;
        writer.write_measured_segment(rows, sizes)?;
        let (bytes, index) = writer.finish_in_memory();
        Ok(SerializedRows { bytes: Arc::new(bytes), index: Arc::new(index), row: PhantomData })
    }

    /// Returns their memory.
    pub fn bytes(&self) -> u64 {
        let index = size_of::<FileIndex>() + size_of_val(&*self.index.segments);
        (self.bytes.capacity() + index) as u64
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.index.segments.iter().map(|location| location.rows as usize).sum()
    }

    /// Returns true if there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads them, a frame at a time.
    pub fn frames(&self) -> Frames<T> {
        let reader = Box::new(Bytes(Arc::clone(&self.bytes)));
        let open = OpenFile::new(reader, "rows in memory");
        Frames(FrameReader::new(open, self.index.segments[0]))
    }
}

/// The frames of serialized rows.
pub struct Frames<T>(FrameReader<T>);

impl<T: Stored> Frames<T> {
    /// Returns the rows of the next frame, or nothing after the last.
    pub fn next_rows(&mut self) -> Result<Option<Vec<T>>> {
        self.0.next_frame()
    }
}

/// Bytes in memory as an open file.
struct Bytes(Arc<Vec<u8>>);

impl DiskReader for Bytes {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(buf.len());
        let bytes = self.0.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialized_rows_are_read_in_frames_and_take_less_memory() {
        let config = Config { task_memory_bytes: 1 << 20, ..Config::default() };
        for count in [0, 1, 50_000] {
            let rows: Vec<(u64, String)> = (0..count).map(|n| (n, "word".into())).collect();
            let sizes = RowSizes::measure(&rows);
            let serialized = SerializedRows::pack(&rows, sizes, &config).unwrap();
            assert_eq!(serialized.len(), rows.len());
            assert!(
                serialized.bytes() < 100 + rows.len() as u64 * 16,
                "{} bytes",
                serialized.bytes()
            );
            let (mut frames, mut back, mut most) = (serialized.frames(), Vec::new(), 0);
            while let Some(some) = frames.next_rows().unwrap() {
                most = most.max(some.len());
                back.extend(some);
            }
            assert_eq!(back, rows);
            assert!(most < 50_000, "one frame held all rows");
        }
    }
}

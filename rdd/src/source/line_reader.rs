//! The lines of a byte range of an input.

use emberline_core::task::TaskContext;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

const BUFFER_BYTES: usize = 256 << 10;

/// The lines whose first byte is in a byte range of an input.
pub(super) struct LineReader<R> {
    input: R,
    /// Bytes that were read and not yet returned are `buffer[at..filled]`.
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    offset: u64,
    end: u64,
    length: u64,
    at_end: bool,
    /// Lines that were returned and not yet counted as read.
    lines: usize,
    task: TaskContext,
}

impl<R: Read + Seek> LineReader<R> {
    /// Returns the lines of the byte range `bytes` of an input of `length` bytes.
    pub(super) fn new(
        mut input: R,
        bytes: Range<u64>,
        length: u64,
        task: &TaskContext,
    ) -> io::Result<Self> {
        // Begin one byte before the range: if that byte is a newline, the range begins with a whole
        // line.
        let offset = bytes.start.saturating_sub(1);
        input.seek(SeekFrom::Start(offset))?;
        let mut reader = LineReader {
            input,
            buffer: vec![0; BUFFER_BYTES],
            at: 0,
            filled: 0,
            offset,
            end: bytes.end,
            length,
            at_end: false,
            lines: 0,
            task: task.clone(),
        };
        if bytes.start > 0 {
            reader.skip_line()?;
        }
        Ok(reader)
    }

    /// Skips the rest of a line without buffering it, at most to the end of the range.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            if let Some(newline) = memchr::memchr(b'\n', &self.buffer[self.at..self.filled]) {
                self.advance(newline + 1);
                return Ok(());
            }
            self.advance(self.filled - self.at);
            if self.at_end || self.offset >= self.end {
                return Ok(());
            }
            self.fill_buffer()?;
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        self.offset += bytes as u64;
    }

    /// Returns the next line without its line ending, and the offset of its first byte.
    #[inline]
    pub(super) fn next_line(&mut self) -> io::Result<Option<(&[u8], u64)>> {
        let start = self.offset;
        if start >= self.end {
            self.count_lines();
            return Ok(None);
        }
        let mut seen = 0;
        let found = loop {
            match memchr::memchr(b'\n', &self.buffer[self.at + seen..self.filled]) {
                Some(newline) => break Some(seen + newline),
                None if self.at_end => break None,
                None => {
                    seen = self.filled - self.at;
                    self.fill_buffer()?;
                }
            }
        };
        let first = self.at;
        let length = found.unwrap_or(self.filled - first);
        let taken = length + usize::from(found.is_some());
        if taken == 0 {
            self.count_lines();
            return Ok(None);
        }
        self.advance(taken);
        self.lines += 1;
        let line = &self.buffer[first..first + length];
        let line = match line.strip_suffix(b"\r") {
            Some(stripped) if found.is_some() => stripped,
            _ => line,
        };
        Ok(Some((line, start)))
    }

    /// Reads more bytes after those that are left, and grows the buffer for a line that is longer.
    /// Never reads beyond the length of the input, to which another process may append. Fails if
    /// the input ends before its length, since it was truncated while it was read.
    #[cold]
    fn fill_buffer(&mut self) -> io::Result<()> {
        self.task.check_cancelled();
        self.count_lines();
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.filled * 2, 0);
        }
        let left = self.length.saturating_sub(self.offset + self.filled as u64);
        if left == 0 {
            self.at_end = true;
            return Ok(());
        }
        let room = self.buffer.len() - self.filled;
        let wanted = usize::try_from(left).map_or(room, |left| left.min(room));
        match self.input.read(&mut self.buffer[self.filled..self.filled + wanted]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.filled += read;
                Ok(())
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(cause) => Err(cause),
        }
    }

    /// Returns the input.
    pub(super) fn input(&self) -> &R {
        &self.input
    }

    fn count_lines(&mut self) {
        self.task.count_read(std::mem::take(&mut self.lines));
    }
}

#[cfg(test)]
mod tests {
    use super::super::split_range;
    use super::*;
    use emberline_core::config::Config;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn lines_of(bytes: &[u8], partitions: usize) -> Vec<Vec<u8>> {
        let range_of = |partition| split_range(bytes.len() as u64, partitions, partition);
        let mut lines = Vec::new();
        for (start, end) in (0..partitions).map(range_of).filter(|(start, end)| start < end) {
            let task = TaskContext::for_test(Config::default());
            let length = bytes.len() as u64;
            let mut reader =
                LineReader::new(Cursor::new(bytes), start..end, length, &task).unwrap();
            while let Some((line, offset)) = reader.next_line().unwrap() {
                assert!((start..end).contains(&offset));
                lines.push(line.to_vec());
            }
        }
        lines
    }

    fn expected_lines(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let last = lines.pop().unwrap();
        for line in &mut lines {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        lines.extend(Some(last).filter(|last| !last.is_empty()));
        lines
    }

    proptest! {
        #[test]
        fn every_line_is_read_exactly_once_for_any_partitioning(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..60),
            partitions in 1_usize..70,
        ) {
            prop_assert_eq!(lines_of(&bytes, partitions), expected_lines(&bytes));
        }
    }

    #[test]
    fn a_line_longer_than_the_buffer_is_one_line() {
        let long = vec![b'x'; 3 * BUFFER_BYTES];
        let bytes = [b"a\n".as_slice(), &long, b"\nb"].concat();
        let lines = lines_of(&bytes, 3);
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3 * BUFFER_BYTES, 1]);
    }

    #[test]
    fn an_input_that_ends_before_its_length_is_an_error() {
        let task = TaskContext::for_test(Config::default());
        let mut reader = LineReader::new(Cursor::new(b"one\ntw"), 0..9, 9, &task).unwrap();
        assert_eq!(reader.next_line().unwrap().unwrap().0, b"one");
        let error = reader.next_line().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_range_inside_a_line_reads_no_more_than_its_own_bytes() {
        struct Counted(Cursor<Vec<u8>>, usize);
        impl Read for &mut Counted {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let read = self.0.read(buffer)?;
                self.1 += read;
                Ok(read)
            }
        }
        impl Seek for &mut Counted {
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                self.0.seek(to)
            }
        }
        let task = TaskContext::for_test(Config::default());
        let length = 20 * BUFFER_BYTES as u64;
        let mut input = Counted(Cursor::new(vec![b'x'; length as usize]), 0);
        let range = length / 2..length / 2 + 100;
        let mut reader = LineReader::new(&mut input, range, length, &task).unwrap();
        assert!(reader.next_line().unwrap().is_none());
        assert!(input.1 <= 2 * BUFFER_BYTES, "read {} bytes", input.1);
    }
}

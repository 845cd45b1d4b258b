//! Reads text files in parallel: as one array of bytes that is split, or block by block.

use rayon::prelude::*;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

const BLOCK: usize = 1 << 20;

/// Maps each block of a file. A block has the lines that begin in it; its buffer is reused.
pub fn map_blocks<A: Send>(
    path: &Path,
    of_block: impl Fn(&[u8]) -> A + Send + Sync,
) -> impl ParallelIterator<Item = A> {
    let length = path.metadata().expect("the file is there").len() as usize;
    (0..length.div_ceil(BLOCK)).into_par_iter().map_init(Vec::new, move |buffer, number| {
        let start = number * BLOCK;
        let end = ((number + 1) * BLOCK).min(length);
        of_block(read_block(path, start, end, buffer))
    })
}

fn read_block<'a>(path: &Path, start: usize, end: usize, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    const LONGEST_LINE: usize = 64 << 10;
    let before = start.saturating_sub(1); // a line end here means that a line begins at `start`
    let mut file = File::open(path).expect("the file opens");
    file.seek(SeekFrom::Start(before as u64)).expect("the file is that long");
    buffer.clear();
    let length = (end - before + LONGEST_LINE) as u64;
    file.take(length).read_to_end(buffer).expect("the file can be read");
    let line_end = |from: usize| {
        let found = memchr::memchr(b'\n', buffer.get(from..).unwrap_or_default());
        found.map_or(buffer.len(), |at| from + at + 1)
    };
    let first = if start == 0 { 0 } else { line_end(0) };
    &buffer[first..line_end(end - 1 - before).max(first)]
}

/// Reads a whole file with all threads.
pub fn read(path: &Path) -> Vec<u8> {
    let length = path.metadata().expect("the file is there").len();
    let mut bytes = vec![0; length as usize];
    bytes.par_chunks_mut(BLOCK).enumerate().for_each(|(number, block)| {
        let mut file = File::open(path).expect("the file opens");
        file.seek(SeekFrom::Start((number * BLOCK) as u64)).expect("the file is that long");
        file.read_exact(block).expect("the file is not being written");
    });
    bytes
}

/// Splits a text into about `count` pieces of whole lines. Returns the start of each, and its bytes.
pub fn pieces(bytes: &[u8], count: usize) -> Vec<(usize, &[u8])> {
    let mut pieces = Vec::with_capacity(count);
    let mut start = 0;
    for number in 1..=count {
        let wanted = (bytes.len() * number / count).max(start);
        let line_end = memchr::memchr(b'\n', &bytes[wanted..]).map(|at| wanted + at + 1);
        let end = line_end.unwrap_or(bytes.len());
        pieces.push((start, &bytes[start..end]));
        start = end;
    }
    pieces
}

/// Calls `word` with the start and the end of everything between spaces and line ends.
#[inline(always)]
pub fn each_word(text: &[u8], mut word: impl FnMut(usize, usize)) {
    let mut start = 0;
    for end in memchr::memchr2_iter(b' ', b'\n', text) {
        if end > start {
            word(start, end);
        }
        start = end + 1;
    }
    if start < text.len() {
        word(start, text.len());
    }
}

/// Returns the first 19 fields of a line of CSV without quotes. Fields are short, so a loop over the bytes
/// costs less than a search for each comma.
#[inline(always)]
pub fn fields(line: &str) -> [&str; 19] {
    let mut row = [""; 19];
    let mut start = 0;
    let mut field = 0;
    for (at, byte) in line.bytes().enumerate() {
        if byte == b',' && field < row.len() - 1 {
            row[field] = &line[start..at];
            (start, field) = (at + 1, field + 1);
        }
    }
    row[field] = &line[start..];
    row
}

/// Returns the number of lines of a text, and their bytes.
pub type Lines = (u64, u64);

pub fn plus(a: Lines, b: Lines) -> Lines {
    (a.0 + b.0, a.1 + b.1)
}

/// Creates a `String` per line, as `text_file` does.
pub fn lines_by_hand(path: &Path) -> Lines {
    let of_block = |block: &[u8]| {
        let mut lines = (0, 0);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', block) {
            let line = str::from_utf8(&block[start..end]).expect("the text is UTF-8").to_string();
            lines = plus(lines, (1, line.len() as u64));
            start = end + 1;
        }
        lines
    };
    map_blocks(path, of_block).reduce(|| (0, 0), plus)
}

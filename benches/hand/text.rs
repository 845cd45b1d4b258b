//! Text files as one array of bytes, and the pieces of it for the threads.

use rayon::prelude::*;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// All bytes of a file, read by all threads.
pub fn read(path: &Path) -> Vec<u8> {
    const BLOCK: usize = 4 << 20;
    let length = path.metadata().expect("the file is there").len();
    let mut bytes = vec![0; length as usize];
    bytes.par_chunks_mut(BLOCK).enumerate().for_each(|(number, block)| {
        let mut file = File::open(path).expect("the file opens");
        file.seek(SeekFrom::Start((number * BLOCK) as u64)).expect("the file is that long");
        file.read_exact(block).expect("the file is not being written");
    });
    bytes
}

/// About so many pieces, each of whole lines: where one begins, and its bytes.
pub fn pieces(bytes: &[u8], count: usize) -> Vec<(usize, &[u8])> {
    let (mut pieces, mut start) = (Vec::with_capacity(count), 0);
    for number in 1..=count {
        let wanted = (bytes.len() * number / count).max(start);
        let line_end = memchr::memchr(b'\n', &bytes[wanted..]).map(|behind| wanted + behind + 1);
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

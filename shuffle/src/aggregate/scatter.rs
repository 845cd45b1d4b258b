//! Rows that wait, each with others of its slice, in pieces of one size: a list grows without a copy,
//! and a piece that was emptied is filled again or freed.

use std::mem;

pub(crate) struct ScatterBuffers<R> {
    /// The last piece of each slice. What every row needs lies close together.
    open: Vec<Vec<R>>,
    /// The pieces before it, which are full.
    full: Vec<Vec<Vec<R>>>,
    /// Pieces without rows.
    spare: Vec<Vec<R>>,
    most_spare: usize,
    piece_rows: usize,
    rows: usize,
    most_rows: usize,
}

/// The most bytes of a piece: few enough that it matters little if most of it is never used.
const PIECE_BYTES: usize = 4 << 10;
/// So many empty pieces are kept, and no more than this part of all that may wait: to free all of a small
/// task's would cost more than to fill them.
const MAX_SPARE: usize = 1024;
const SPARE_PART: usize = 16;

impl<R> ScatterBuffers<R> {
    /// No rows yet; so many may wait.
    pub(crate) fn new(slices: usize, most_rows: usize) -> Self {
        let most_in_piece = PIECE_BYTES / size_of::<R>().max(1);
        let piece_rows = most_in_piece.min(most_rows / slices.max(1) / 2).max(1);
        let (mut open, mut full) = (Vec::new(), Vec::new());
        open.resize_with(slices, Vec::new);
        full.resize_with(slices, Vec::new);
        let most_spare = MAX_SPARE.min(most_rows / piece_rows / SPARE_PART);
        ScatterBuffers { open, full, spare: Vec::new(), most_spare, piece_rows, rows: 0, most_rows }
    }

    /// What the rows take, and the room that was made for others.
    pub(crate) fn bytes(&self) -> u64 {
        let open = self.open.iter().filter(|piece| piece.capacity() > 0).count();
        let pieces = self.full.iter().map(Vec::len).sum::<usize>() + open + self.spare.len();
        (pieces * self.piece_rows * size_of::<R>()) as u64
    }

    /// Adds a row; says whether this was the last for which there is room.
    #[inline]
    pub(crate) fn push(&mut self, slice: usize, row: R) -> bool {
        let open = &mut self.open[slice];
        if open.len() == open.capacity() {
            self.push_into_next(slice, row);
        } else {
            open.push(row);
        }
        self.rows += 1;
        self.rows >= self.most_rows
    }

    #[cold]
    fn push_into_next(&mut self, slice: usize, row: R) {
        let new_piece = || Vec::with_capacity(self.piece_rows);
        let mut piece = self.spare.pop().unwrap_or_else(new_piece);
        piece.push(row);
        let filled = mem::replace(&mut self.open[slice], piece);
        if !filled.is_empty() {
            self.full[slice].push(filled);
        }
    }

    /// How many rows wait.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// How many of them are of a slice.
    pub(crate) fn rows_of(&self, slice: usize) -> usize {
        self.full[slice].iter().map(Vec::len).sum::<usize>() + self.open[slice].len()
    }

    /// Takes the rows of a slice out, in their order.
    pub(crate) fn take(&mut self, slice: usize, mut each: impl FnMut(R)) {
        for mut piece in self.full[slice].drain(..).chain([mem::take(&mut self.open[slice])]) {
            self.rows -= piece.len();
            piece.drain(..).for_each(&mut each);
            if piece.capacity() >= self.piece_rows && self.spare.len() < self.most_spare {
                self.spare.push(piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_in_their_order_and_make_room_again() {
        let mut waiting = ScatterBuffers::new(3, 40_000);
        for round in 0..3_u64 {
            let full = (0..40_000).filter(|n| waiting.push(*n as usize % 2, round + n)).count();
            assert_eq!((full, waiting.rows()), (1, 40_000), "the last row takes the last room");
            assert!((40_000 * 8..44_000 * 8).contains(&waiting.bytes()), "{}", waiting.bytes());
            for slice in 0..3_u64 {
                let mut rows = Vec::new();
                let many = waiting.rows_of(slice as usize);
                waiting.take(slice as usize, |row| rows.push(row));
                let expected = (0..40_000).filter(|n| n % 2 == slice).map(|n| round + n);
                assert!(rows.len() == many && rows.into_iter().eq(expected));
            }
            assert_eq!(waiting.rows(), 0);
            assert!(waiting.spare.iter().all(|piece| piece.capacity() == waiting.piece_rows));
        }
    }

    #[test]
    fn rows_without_a_size_wait_too() {
        let mut waiting = ScatterBuffers::new(2, 1);
        assert!(waiting.push(1, ()));
        assert_eq!((waiting.rows_of(0), waiting.rows_of(1), waiting.bytes()), (0, 1, 0));
        waiting.take(1, |()| ());
        assert_eq!(waiting.rows(), 0);
    }
}

//! An iterator of the user's, where the engine takes it over. Nothing that it claims is trusted: it
//! may return rows after its end, or report a wrong size.

/// The rows of an iterator that a closure returned. The first `None` is the end: the iterator is
/// dropped, and not pulled again.
pub(crate) struct UserRows<R>(Option<R>);

/// Maximum number of rows that the size hint of a user's iterator promises. It is only used to
/// reserve memory.
const MAX_PROMISED_ROWS: usize = 1 << 20;

impl<R: Iterator> UserRows<R> {
    pub(crate) fn new(rows: R) -> Self {
        UserRows(Some(rows))
    }

    /// Returns the size hint of the iterator, as it is.
    pub(crate) fn claimed_size(&self) -> (usize, Option<usize>) {
        self.0.as_ref().map_or((0, Some(0)), R::size_hint)
    }
}

impl<R: Iterator> Iterator for UserRows<R> {
    type Item = R::Item;

    #[inline]
    fn next(&mut self) -> Option<R::Item> {
        let row = self.0.as_mut()?.next();
        if row.is_none() {
            self.0 = None;
        }
        row
    }

    #[inline]
    fn fold<B, G: FnMut(B, R::Item) -> B>(self, init: B, g: G) -> B {
        match self.0 {
            Some(rows) => rows.fold(init, g),
            None => init,
        }
    }

    /// Returns a hint without an upper bound, for which others would reserve all memory.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.claimed_size().0.min(MAX_PROMISED_ROWS), None)
    }
}

#[cfg(test)]
mod tests {
    use super::UserRows;
    use std::iter::from_fn;

    #[test]
    fn no_row_follows_the_first_end_however_often_it_is_pulled() {
        let mut answers = [Some(1), None, Some(2), None].into_iter();
        let mut rows = UserRows::new(from_fn(|| answers.next().expect("pulled after the end")));
        assert_eq!(
            [rows.next(), rows.next(), rows.next(), rows.next()],
            [Some(1), None, None, None]
        );
        assert_eq!((rows.claimed_size(), rows.sum::<i32>()), ((0, Some(0)), 0));
    }
}

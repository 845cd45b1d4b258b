//! The index of the segments of a run, in about eight bytes each. A task that spills has an entry
//! for each segment of each run, and their memory decides how often runs are merged.

use crate::format::SegmentLocation;
use emberline_core::codec::{decode_rows, encode_into};
use emberline_core::error::Result;

/// The locations of the segments of a run that have rows, in the order of their numbers.
#[derive(Default)]
pub(crate) struct SegmentIndex {
    blocks: Vec<Block>,
    /// The entries of all blocks.
    encoded: Vec<u8>,
    /// The end of the last segment, at which the next begins if it is consecutive.
    end: u64,
    file_tag: u32,
}

/// A few segments that are consecutive in the file.
struct Block {
    /// The number of the first, and its offset.
    number: u32,
    offset: u64,
    /// The offset of its first entry in the encoded entries.
    at: usize,
    entries: usize,
}

/// A segment: its number relative to the first of its block, and its bytes, rows and frames.
type Entry = (u32, u64, u64, u64);

/// The most entries that a lookup decodes.
const MAX_ENTRIES: usize = 32;

impl SegmentIndex {
    /// Adds a segment, whose number is above all before.
    pub(crate) fn push(&mut self, number: u32, location: SegmentLocation) -> Result<()> {
        let SegmentLocation { offset, bytes, rows, frames, file_tag } = location;
        let is_open = |block: &Block| block.entries < MAX_ENTRIES && offset == self.end;
        if !self.blocks.last().is_some_and(is_open) {
            self.blocks.push(Block { number, offset, at: self.encoded.len(), entries: 0 });
        }
        if let Some(block) = self.blocks.last_mut() {
            let entry: Entry = (number - block.number, bytes, rows, frames);
            encode_into(&entry, &mut self.encoded)?;
            block.entries += 1;
        }
        (self.end, self.file_tag) = (offset + bytes, file_tag);
        Ok(())
    }

    /// Releases unused capacity.
    pub(crate) fn shrink(&mut self) {
        self.blocks.shrink_to_fit();
        self.encoded.shrink_to_fit();
    }

    /// Returns its memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Block>() + self.encoded.capacity()
    }

    /// Returns the location of a segment, if it has rows.
    pub(crate) fn find(&self, number: usize) -> Result<Option<SegmentLocation>> {
        let after = self.blocks.partition_point(|block| block.number as usize <= number);
        let Some(block) = after.checked_sub(1) else { return Ok(None) };
        let found = self.of_block(block)?.into_iter().find(|(other, _)| *other == number);
        Ok(found.map(|(_, location)| location))
    }

    /// Returns all segments that have rows, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<(usize, SegmentLocation)>> + '_ {
        (0..self.blocks.len()).flat_map(|block| {
            let (locations, failed) = match self.of_block(block) {
                Ok(locations) => (locations, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            locations.into_iter().map(Ok).chain(failed)
        })
    }

    fn of_block(&self, number: usize) -> Result<Vec<(usize, SegmentLocation)>> {
        let block = &self.blocks[number];
        let end = self.blocks.get(number + 1).map_or(self.encoded.len(), |next| next.at);
        let entries: Vec<Entry> = decode_rows(&self.encoded[block.at..end], block.entries)?;
        let mut offset = block.offset;
        let file_tag = self.file_tag;
        let location = |(above, bytes, rows, frames): Entry| {
            let location = SegmentLocation { offset, bytes, rows, frames, file_tag };
            offset += bytes;
            ((block.number + above) as usize, location)
        };
        Ok(entries.into_iter().map(location).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Generates segments: the gap of numbers and of bytes before each, its bytes, rows and frames.
    fn segments() -> impl Strategy<Value = Vec<(u32, u64, u64, u64, u64)>> {
        let gap = prop_oneof![9 => Just(0_u64), 1 => any::<u32>().prop_map(u64::from)];
        let bytes = prop_oneof![3 => 1..2000_u64, 1 => 0..u64::MAX >> 12];
        prop::collection::vec((1..40_u32, gap, bytes, any::<u64>(), any::<u64>()), 0..200)
    }

    proptest! {
        #[test]
        fn every_location_is_found_as_it_was_pushed_and_no_other(segments in segments()) {
            let (mut locations, mut expected) = (SegmentIndex::default(), Vec::new());
            let (mut number, mut offset) = (0, 7_u64);
            for (step, gap, bytes, rows, frames) in segments {
                number += step;
                offset += gap;
                let location = SegmentLocation { offset, bytes, rows, frames, file_tag: 9 };
                locations.push(number, location).unwrap();
                expected.push((number, location));
                offset += bytes;
            }
            locations.shrink();
            for wanted in 0..number + 50 {
                let found = expected.iter().find(|(number, _)| *number == wanted);
                let found = found.map(|(_, location)| *location);
                prop_assert_eq!(locations.find(wanted as usize).unwrap(), found, "{}", wanted);
            }
            let expected = expected.into_iter().map(|(number, location)| (number as usize, location));
            prop_assert!(locations.iter().map(|location| location.unwrap()).eq(expected));
        }
    }

    #[test]
    fn an_entry_takes_about_eight_bytes() {
        let (mut locations, mut offset) = (SegmentIndex::default(), 0);
        for number in 0..256 {
            let location = SegmentLocation { offset, bytes: 900, rows: 54, frames: 1, file_tag: 1 };
            locations.push(number, location).unwrap();
            offset += 900;
        }
        locations.shrink();
        assert!(locations.bytes() <= 8 * 256, "{}", locations.bytes());
    }
}

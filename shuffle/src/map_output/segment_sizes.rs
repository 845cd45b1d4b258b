//! The sizes of the segments of a map output, for planning, in one byte each.
//!
//! A shuffle of ten thousand map tasks into two thousand partitions has twenty million segments. A
//! size is rounded up to a unit of eight bytes and then to four significant bits, so it is never too
//! small, and above 64 bytes at most an eighth too large.

/// The memory of the rows of each segment.
#[derive(Default)]
pub(crate) struct SegmentSizes(Box<[u8]>);

/// The bytes that the smallest size stands for.
const UNIT_BYTES: u64 = 8;
/// The number of sizes between two powers of two, and its logarithm.
const STEPS: u64 = 8;
const STEPS_LOG2: u32 = 3;

impl SegmentSizes {
    /// Returns the sizes of segments of the given bytes.
    pub(crate) fn of(bytes: &[u64]) -> Self {
        SegmentSizes(bytes.iter().map(|bytes| encode(*bytes)).collect())
    }

    /// Returns the number of segments.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the bytes of a segment, rounded up.
    pub(crate) fn bytes(&self, segment: usize) -> u64 {
        decode(self.0[segment])
    }
}

fn encode(bytes: u64) -> u8 {
    let units = bytes.div_ceil(UNIT_BYTES);
    if units < 2 * STEPS {
        return units as u8;
    }
    let shift = units.ilog2() - STEPS_LOG2;
    let top = units.div_ceil(1 << shift);
    u8::try_from(u64::from(shift) * STEPS + top).unwrap_or(u8::MAX)
}

fn decode(code: u8) -> u64 {
    let code = u64::from(code);
    if code < 2 * STEPS {
        return code * UNIT_BYTES;
    }
    ((code % STEPS + STEPS) << (code / STEPS - 1)) * UNIT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_size_is_never_too_small_and_at_most_an_eighth_too_large(
            bytes in (0..37_u32).prop_flat_map(|log2| 0..1_u64 << log2),
        ) {
            let sizes = SegmentSizes::of(&[bytes, 0]);
            let rounded = sizes.bytes(0);
            prop_assert!(rounded >= bytes && rounded <= bytes + bytes / 8 + 7, "{} as {}", bytes, rounded);
            prop_assert_eq!((sizes.bytes(1), sizes.len()), (0, 2));
        }
    }

    #[test]
    fn every_code_is_larger_than_the_one_before_and_the_code_of_its_size() {
        for code in 1..=u8::MAX {
            assert!(decode(code) > decode(code - 1), "{code}");
            assert_eq!(encode(decode(code)), code);
        }
        assert_eq!(encode(u64::MAX), u8::MAX, "above 120 GiB all sizes are alike");
    }
}

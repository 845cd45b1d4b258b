//! The fuzzers' entries, on any compiler: with any bytes, and with bytes that pass the first
//! checks.

#[allow(dead_code, reason = "another test uses the rest")]
#[path = "../../fuzz/entries.rs"]
mod entries;

use proptest::prelude::*;

/// Makes bytes that reach deep into the entries: small numbers, lengths, their limits, and repeated
/// bytes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::collection::vec(0..8_u8, 1..8),
        2 => prop::collection::vec(any::<u8>(), 1..40),
        1 => Just(vec![0xff; 9]),
        1 => (250..=255_u8, any::<u64>()).prop_map(|(width, n)| [&[width][..], &n.to_le_bytes()].concat()),
        1 => (any::<u8>(), 1..300_usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_bytes_are_rows_or_corrupt(data in bytes()) {
        entries::codec(&data);
    }

    #[test]
    fn any_location_has_its_rows_or_is_corrupt(data in bytes()) {
        entries::index(&data);
    }

    #[test]
    fn any_segment_is_its_rows_or_corrupt(way in 0..2_u8, data in bytes()) {
        entries::frame_reader(&[&[way][..], &data].concat());
    }

    #[test]
    fn a_changed_file_is_corrupt_where_it_was_changed(data in bytes()) {
        entries::frame_reader(&[&[2][..], &data].concat());
    }

    #[test]
    fn any_manifest_is_read_as_it_was_written_or_refused(
        sealed in any::<bool>(),
        parts in 0..4_u8,
        data in bytes(),
    ) {
        let announced = [&[u8::from(!sealed), 3, parts, 0, 0, 0, 0, 0, 0, 0][..], &data].concat();
        entries::manifest(&announced);
        entries::manifest(&[announced, vec![0; usize::from(parts) * 32]].concat());
        entries::manifest(&data);
    }
}

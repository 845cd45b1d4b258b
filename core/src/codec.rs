//! Rows to bytes and back. This is the only file that names bincode: its format is the scratch
//! format of one build, behind [`CODEC_ID`], and a better codec changes nothing else.

use crate::error::{Error, ErrorKind, Result};
use bincode::config::{Configuration, Limit};
use bincode::de::read::Reader;
use bincode::error::DecodeError;
use bincode::serde::OwnedSerdeDecoder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::type_name;

/// What a file's header says its rows are encoded with.
pub const CODEC_ID: u8 = 1;

/// The steps of the decode limit, in bytes: bincode takes it as a constant.
const LIMITS: [usize; 2] = [16 << 20, LARGEST_ROW];

/// What one row may take in memory, in bytes, to survive the way through a file.
pub const LARGEST_ROW: usize = 1 << 30;

/// bincode counts values towards the limit by their width in memory: a `u128` that was written as
/// one byte counts 16, and nothing counts more.
const COUNTED_PER_BYTE: usize = 16;

/// Writes `row` at the end of `out`. If that fails, `out` is as it was.
pub fn encode_into<T: Serialize>(row: &T, out: &mut Vec<u8>) -> Result<()> {
    let before = out.len();
    let encoded = bincode::serde::encode_into_writer(row, Tail(out), bincode::config::standard());
    let problem = match encoded {
        Err(error) => error.to_string(),
        Ok(()) if out.len() - before > LARGEST_ROW => too_large(),
        Ok(()) => return Ok(()),
    };
    out.truncate(before);
    Err(not_encodable::<T>(problem))
}

/// Reads exactly `count` rows, which must be all that `bytes` holds.
///
/// Both come from a frame whose checksum held. Should they lie all the same, this ends in an error:
/// no length in `bytes` and no `count` makes it reserve more than 16 MiB, or [`LARGEST_ROW`] if
/// `bytes` are more than 1 MiB. Only values that take no bytes, such as `()`, may be as many as is
/// said, since any number of them is right.
pub fn decode_rows<T: DeserializeOwned>(bytes: &[u8], count: usize) -> Result<Vec<T>> {
    match bytes.len().saturating_mul(COUNTED_PER_BYTE) {
        most if most <= LIMITS[0] => decode_within::<T, { LIMITS[0] }>(bytes, count),
        _ => decode_within::<T, { LIMITS[1] }>(bytes, count),
    }
}

fn decode_within<T: DeserializeOwned, const LIMIT: usize>(
    bytes: &[u8],
    count: usize,
) -> Result<Vec<T>> {
    let config: Configuration<_, _, Limit<LIMIT>> =
        bincode::config::standard().with_limit::<LIMIT>();
    // Rows may be more than the bytes (`()`), or much larger (`None`); the vector then grows.
    let accounted = bytes.len().saturating_mul(COUNTED_PER_BYTE) / size_of::<T>().max(1);
    let mut rows = Vec::with_capacity(count.min(bytes.len()).min(accounted));
    let mut rest = Rest(bytes);
    // One decoder for all rows, whose limit they share: it follows from all bytes.
    let mut decoder = OwnedSerdeDecoder::from_reader(&mut rest, config);
    for index in 0..count {
        let row = T::deserialize(decoder.as_deserializer());
        rows.push(row.map_err(|error| undecodable::<T>(&error, index, bytes.len()))?);
    }
    if !rest.0.is_empty() {
        let (left, name) = (rest.0.len(), type_name::<T>());
        return Err(Error::corrupt(format!(
            "{left} bytes are left after {count} rows of `{name}`"
        )));
    }
    Ok(rows)
}

/// A type that bincode can never decode is the user's to mend; anything else is a damaged file.
#[cold]
fn undecodable<T>(error: &DecodeError, index: usize, bytes: usize) -> Error {
    // So few bytes never hold a row that passes the limit: they only say so.
    let can_be_too_large = bytes.saturating_mul(COUNTED_PER_BYTE) > LARGEST_ROW;
    match error {
        DecodeError::Serde(error) => not_encodable::<T>(format!("{error:?}")),
        DecodeError::LimitExceeded if can_be_too_large => not_encodable::<T>(too_large()),
        error => Error::corrupt(format!(
            "row {index} does not decode as `{}`: {error} (if the disk is well, the row does not read \
             what it writes: serde's `skip_serializing_if` needs a self-describing format)",
            type_name::<T>()
        )),
    }
}

fn not_encodable<T>(what: String) -> Error {
    Error::new(ErrorKind::NotEncodable { type_name: type_name::<T>(), what })
}

fn too_large() -> String {
    format!("one row takes more than {LARGEST_ROW} bytes; split it into several")
}

/// The end of a vector as bincode's writer.
struct Tail<'a>(&'a mut Vec<u8>);

impl bincode::enc::write::Writer for Tail<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Bytes that are left as bincode's reader.
struct Rest<'a>(&'a [u8]);

impl Reader for Rest<'_> {
    #[inline(always)]
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), DecodeError> {
        let Some((read, rest)) = self.0.split_at_checked(bytes.len()) else {
            return Err(DecodeError::UnexpectedEnd { additional: bytes.len() - self.0.len() });
        };
        bytes.copy_from_slice(read);
        self.0 = rest;
        Ok(())
    }

    #[inline(always)]
    fn peek_read(&mut self, bytes: usize) -> Option<&[u8]> {
        self.0.get(..bytes)
    }

    #[inline(always)]
    fn consume(&mut self, bytes: usize) {
        self.0 = self.0.get(bytes..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::collections::{BTreeMap, HashMap};
    use std::fmt::Debug;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Dot,
        Circle(f64),
        Text { at: (i32, u128), words: Vec<Option<String>> },
    }

    fn encode<T: Serialize>(rows: &[T]) -> Vec<u8> {
        let mut bytes = Vec::new();
        rows.iter().for_each(|row| encode_into(row, &mut bytes).unwrap());
        bytes
    }

    fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug>(rows: &[T]) {
        assert_eq!(decode_rows::<T>(&encode(rows), rows.len()).unwrap(), rows);
    }

    fn is_corrupt<T>(outcome: Result<T>) -> bool {
        outcome.is_err_and(|error| matches!(error.kind(), ErrorKind::Corrupt { .. }))
    }

    fn is_not_encodable<T>(outcome: Result<T>) -> bool {
        outcome.is_err_and(|error| matches!(error.kind(), ErrorKind::NotEncodable { .. }))
    }

    fn shapes() -> impl Strategy<Value = Vec<Shape>> {
        let words = prop::collection::vec(any::<Option<String>>(), 0..4);
        let text = (any::<(i32, u128)>(), words).prop_map(|(at, words)| Shape::Text { at, words });
        let circle = (-1e300..1e300).prop_map(Shape::Circle);
        prop::collection::vec(prop_oneof![Just(Shape::Dot), circle, text], 0..8)
    }

    #[test]
    fn rows_of_many_types_survive() {
        survives(&[u64::MAX, 0, 251]);
        survives(&[(String::from("a"), -1_i64), (String::new(), i64::MIN)]);
        survives(&[BTreeMap::from([('x', vec![1.5_f32])])]);
        survives(&[HashMap::from([(1_u8, true)])]);
        survives::<Box<str>>(&["boxed".into()]);
        survives(&[std::net::IpAddr::from([127, 0, 0, 1])]);
        survives::<String>(&[]);
    }

    #[test]
    fn rows_that_encode_to_nothing_survive() {
        survives(&[(); 1000]);
        assert!(is_corrupt(decode_rows::<()>(&[0], 3)));
    }

    #[test]
    fn rows_whose_bytes_are_much_fewer_than_their_memory_survive() {
        for len in [5_000, 70_000, 1_100_000] {
            survives(&[vec![1_u128; len]]);
            survives(&[vec![Shape::Dot; len]]);
        }
    }

    #[test]
    fn large_rows_survive_at_every_step_of_the_limit() {
        for len in [1 << 12, 1 << 16, 1 << 20, 17 << 20] {
            survives(&["x".repeat(len)]);
        }
    }

    #[test]
    fn rows_cut_at_any_byte_are_corrupt() {
        let text = Shape::Text { at: (-3, 1 << 90), words: vec![Some("word".into()), None] };
        let rows = [Shape::Circle(1.5), text];
        let bytes = encode(&rows);
        for cut in 0..bytes.len() {
            assert!(is_corrupt(decode_rows::<Shape>(&bytes[..cut], rows.len())), "cut at {cut}");
        }
    }

    #[test]
    fn a_wrong_count_is_corrupt() {
        let bytes = encode(&[1_u32, 2, 3]);
        for count in [0, 2, 4, usize::MAX] {
            assert!(is_corrupt(decode_rows::<u32>(&bytes, count)), "{count}");
        }
    }

    #[test]
    fn an_announced_length_never_reserves_its_memory() {
        for length in [1 << 33, 1 << 62, u64::MAX] {
            let bytes = encode(&[length]);
            assert!(is_corrupt(decode_rows::<String>(&bytes, 1)));
            assert!(is_corrupt(decode_rows::<Vec<u8>>(&bytes, 1)));
            assert!(is_corrupt(decode_rows::<Vec<[u64; 4]>>(&bytes, 1)));
            assert!(is_corrupt(decode_rows::<HashMap<u64, String>>(&bytes, 1)));
        }
    }

    /// The larger the bytes, the more they can account for; and only bytes that could hold a row past
    /// the limit may be called such.
    #[test]
    fn an_announced_length_is_corrupt_at_every_step_of_the_limit() {
        for filler in [0, 1 << 10, 1 << 16, (1 << 20) - 9, 1 << 20, 2 << 20, 20 << 20] {
            for length in [1 << 25, 1 << 30, 1 << 33, u64::MAX] {
                let bytes = [encode(&[length]), vec![1; filler]].concat();
                assert!(is_corrupt(decode_rows::<String>(&bytes, 1)), "{filler}, {length}");
                assert!(is_corrupt(decode_rows::<Vec<u8>>(&bytes, 1)), "{filler}, {length}");
                assert!(is_corrupt(decode_rows::<Vec<f64>>(&bytes, 1)), "{filler}, {length}");
            }
        }
    }

    #[test]
    fn rows_that_are_large_in_memory_and_small_in_bytes_survive_and_reserve_little() {
        type Wide = Option<[[u64; 32]; 32]>;
        survives::<Wide>(&[None; 500]);
        let bytes = encode::<Wide>(&[None; 500]);
        assert!(is_corrupt(decode_rows::<Wide>(&bytes, usize::MAX)));
        assert!(is_corrupt(decode_rows::<Wide>(&[1; 500], 500)));
    }

    #[test]
    fn a_row_that_fails_to_encode_leaves_the_bytes_before_it() {
        struct Refuses;
        impl Serialize for Refuses {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::{Error, SerializeTuple};
                let mut tuple = serializer.serialize_tuple(2)?;
                tuple.serialize_element(&7_u64)?;
                Err(S::Error::custom("no"))
            }
        }
        let mut bytes = vec![1, 2];
        assert!(is_not_encodable(encode_into(&Refuses, &mut bytes)));
        assert_eq!(bytes, [1, 2]);
    }

    #[test]
    fn a_type_that_needs_a_self_describing_format_is_named() {
        #[derive(Debug, Serialize, Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
        }
        let error = decode_rows::<Either>(&encode(&[Either::Number(1)]), 1).unwrap_err();
        assert!(error.to_string().contains("Either"), "{error}");
        assert!(is_not_encodable::<()>(Err(error)));
    }

    proptest! {
        #[test]
        fn random_rows_survive(rows in shapes()) {
            survives(&rows);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), count in 0..9_usize) {
            let _ = decode_rows::<Shape>(&bytes, count);
            let _ = decode_rows::<(String, BTreeMap<char, Vec<u8>>)>(&bytes, count);
            let _ = decode_rows::<Option<Vec<f64>>>(&bytes, count);
        }

        #[test]
        fn a_flipped_bit_never_panics(rows in shapes(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = encode(&rows);
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= 1_u8 << bit;
                let _ = decode_rows::<Shape>(&bytes, rows.len());
            }
        }
    }
}

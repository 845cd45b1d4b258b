//! The row codec: encodes rows to bytes and decodes them. No other folder names bincode. The
//! encoding is the scratch format of one build, identified by [`CODEC_ID`], so a better codec
//! changes nothing else.
//!
//! - `encoder`, `decoder`: a serializer and a deserializer of the format of `bincode::serde`, which
//!   count the nesting of a row.

mod decoder;
mod encoder;

use crate::error::{Error, ErrorKind, Result};
use crate::nesting::{MAX_LEVELS, SHALLOW_LEVELS, on_deep_stack, too_deep};
use bincode::config::{Configuration, Limit};
use bincode::de::read::Reader;
use bincode::de::{Decoder, DecoderImpl};
use bincode::enc::EncoderImpl;
use bincode::error::{DecodeError, EncodeError};
use decoder::RowDecoder;
use encoder::RowEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::type_name;

/// The id of the codec in the header of a file.
pub const CODEC_ID: u8 = 1;

/// The decode limits in bytes. They are a fixed list because bincode takes the limit as a constant.
const DECODE_LIMITS_BYTES: [usize; 2] = [16 << 20, MAX_ROW_BYTES];

/// The maximum size of one row in memory, in bytes, that can be written to a file.
pub const MAX_ROW_BYTES: usize = 1 << 30;

/// The maximum number of bytes by which one encoded byte counts toward a decode limit. bincode
/// counts the width of a value in memory, so a `u128` that is encoded in one byte counts 16.
const MAX_COUNTED_PER_BYTE: usize = 16;

/// The message of the encoder and the decoder for a value with too many levels.
const TOO_DEEP: &str = "too many levels";

/// Appends the encoded `row` to `out`. On failure `out` is unchanged.
pub fn encode_into<T: Serialize>(row: &T, out: &mut Vec<u8>) -> Result<()> {
    let before = out.len();
    let error = match encode_levels(row, out, SHALLOW_LEVELS) {
        Err(error) => match encode_again(row, out, before, error) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        },
        Ok(()) if out.len() - before > MAX_ROW_BYTES => not_encodable::<T>(too_large()),
        Ok(()) => return Ok(()),
    };
    out.truncate(before);
    Err(error)
}

/// Appends an encoded row of at most `max_levels` levels.
#[inline]
fn encode_levels<T: Serialize>(
    row: &T,
    out: &mut Vec<u8>,
    max_levels: u32,
) -> Result<(), EncodeError> {
    let mut encoder = EncoderImpl::new(VecWriter(out), bincode::config::standard());
    row.serialize(RowEncoder::new(&mut encoder, max_levels))
}

/// Encodes a row again that failed with `error`, if it is only deeper than most rows.
#[cold]
fn encode_again<T: Serialize>(
    row: &T,
    out: &mut Vec<u8>,
    before: usize,
    error: EncodeError,
) -> Result<()> {
    let mut outcome = Err(error);
    if matches!(outcome, Err(EncodeError::Other(TOO_DEEP))) {
        out.truncate(before);
        outcome = on_deep_stack(|| encode_levels(row, out, MAX_LEVELS));
    }
    match outcome {
        Ok(()) if out.len() - before > MAX_ROW_BYTES => Err(not_encodable::<T>(too_large())),
        Ok(()) => Ok(()),
        Err(EncodeError::Other(TOO_DEEP)) => Err(too_deep(row_type_name(type_name::<T>()))),
        Err(error) => Err(unsupported::<T>(&error.to_string())),
    }
}

/// Decodes exactly `count` rows, which must use all of `bytes`.
///
/// Both arguments come from a frame whose checksum was correct, so the bytes are those that
/// [`encode_into`] wrote. If they do not decode, `Serialize` and `Deserialize` of the row disagree,
/// and the error is [`NotEncodable`](ErrorKind::NotEncodable): another attempt would read the same
/// bytes.
///
/// If the arguments are wrong nevertheless, no length in `bytes` and no `count` reserves more than
/// 16 MiB, or [`MAX_ROW_BYTES`] if `bytes` is longer than 1 MiB. Only values that take no bytes,
/// such as `()`, may have any count, since every count is valid for them.
pub fn decode_rows<T: DeserializeOwned>(bytes: &[u8], count: usize) -> Result<Vec<T>> {
    match bytes.len().saturating_mul(MAX_COUNTED_PER_BYTE) {
        max_bytes if max_bytes <= DECODE_LIMITS_BYTES[0] => {
            decode_with_limit::<T, { DECODE_LIMITS_BYTES[0] }>(bytes, count)
        }
        _ => decode_with_limit::<T, { DECODE_LIMITS_BYTES[1] }>(bytes, count),
    }
}

fn decode_with_limit<T: DeserializeOwned, const LIMIT: usize>(
    bytes: &[u8],
    count: usize,
) -> Result<Vec<T>> {
    let config: Configuration<_, _, Limit<LIMIT>> =
        bincode::config::standard().with_limit::<LIMIT>();
    // There may be more rows than bytes (`()`), and rows may be much larger in memory (`None`):
    // then the vector grows.
    let accounted = bytes.len().saturating_mul(MAX_COUNTED_PER_BYTE) / size_of::<T>().max(1);
    let mut rows = Vec::with_capacity(count.min(bytes.len()).min(accounted));
    // One decoder for all rows, so that they share the limit, which is derived from all bytes.
    let mut decoder = DecoderImpl::new(SliceReader(bytes), config, ());
    for index in 0..count {
        let unread = decoder.reader().0;
        let row = T::deserialize(RowDecoder::new(&mut decoder, SHALLOW_LEVELS));
        let row = row.or_else(|error| decode_again::<T, _>(&mut decoder, unread, error, config));
        rows.push(row.map_err(|error| undecodable::<T>(&error, index, bytes.len()))?);
    }
    let left = decoder.reader().0.len();
    if left > 0 {
        return Err(asymmetric::<T>(format!("{left} bytes follow the last of {count} rows")));
    }
    Ok(rows)
}

/// Decodes the row at the start of `unread` again, which failed with `error`, if it is only deeper
/// than most rows. It has the limit of all rows for itself.
#[cold]
fn decode_again<'a, T: DeserializeOwned, C: bincode::config::Config>(
    decoder: &mut DecoderImpl<SliceReader<'a>, C, ()>,
    unread: &'a [u8],
    error: DecodeError,
    config: C,
) -> Result<T, DecodeError> {
    if !matches!(error, DecodeError::Other(TOO_DEEP)) {
        return Err(error);
    }
    let mut again = DecoderImpl::new(SliceReader(unread), config, ());
    let row = on_deep_stack(|| T::deserialize(RowDecoder::new(&mut again, MAX_LEVELS)))?;
    decoder.reader().0 = again.reader().0;
    Ok(row)
}

/// Returns the error of a row that does not decode.
#[cold]
fn undecodable<T>(error: &DecodeError, index: usize, bytes: usize) -> Error {
    // An input this short cannot hold a row beyond the limit, whatever length it contains.
    let can_be_too_large = bytes.saturating_mul(MAX_COUNTED_PER_BYTE) > MAX_ROW_BYTES;
    match error {
        DecodeError::Serde(error) => unsupported::<T>(&format!("{error:?}")),
        DecodeError::LimitExceeded if can_be_too_large => not_encodable::<T>(too_large()),
        DecodeError::Other(TOO_DEEP) => too_deep(row_type_name(type_name::<T>())),
        error => asymmetric::<T>(format!("row {index} does not decode ({})", describe(error))),
    }
}

/// Describes an error of bincode in words, since its `Display` is the name of a Rust enum variant.
fn describe(error: &DecodeError) -> String {
    match error {
        DecodeError::UnexpectedEnd { additional: 1 } => "its bytes end 1 byte too early".into(),
        DecodeError::UnexpectedEnd { additional } => {
            format!("its bytes end {additional} bytes too early")
        }
        DecodeError::LimitExceeded => "a length exceeds the bytes of the row".into(),
        DecodeError::UnexpectedVariant { type_name, found, .. } => {
            format!("`{type_name}` has no variant {found}")
        }
        DecodeError::Utf8 { .. } => "a string is not UTF-8".into(),
        DecodeError::InvalidBooleanValue(value) => format!("{value} is not a boolean"),
        DecodeError::InvalidCharEncoding(_) => "a character is not UTF-8".into(),
        DecodeError::Other(problem) => (*problem).into(),
        DecodeError::OtherString(problem) => problem.clone(),
        _ => "its bytes are not a value of its type".into(),
    }
}

/// Returns the error of a type whose implementations of serde need what the codec does not have.
#[cold]
fn unsupported<T>(problem: &str) -> Error {
    not_encodable::<T>(format!(
        "{problem} (serde attributes such as `flatten`, `tag` and `untagged` need a self-describing \
         format: use plain fields)"
    ))
}

/// Returns the error of a type that does not deserialize what it serializes.
#[cold]
fn asymmetric<T>(problem: String) -> Error {
    not_encodable::<T>(format!(
        "{problem}: the type's implementations of `Serialize` and `Deserialize` disagree (remove attributes \
         such as `skip_serializing` and `skip_serializing_if`, or correct an implementation that was \
         written by hand)"
    ))
}

#[cold]
fn not_encodable<T>(what: String) -> Error {
    Error::new(ErrorKind::NotEncodable { type_name: row_type_name(type_name::<T>()), what })
}

/// Returns the name of a row type as the user wrote it. Pairs are stored in a generic struct of the
/// engine, whose arguments are the types of the key and the value.
pub(crate) fn row_type_name(name: &str) -> String {
    let wrapper = name.strip_prefix("emberline_").and_then(|it| it.strip_suffix('>'));
    match wrapper.and_then(|it| it.split_once('<')) {
        Some((path, arguments)) if path.ends_with("::Hashed") => format!("({arguments})"),
        _ => name.to_string(),
    }
}

fn too_large() -> String {
    format!("one row exceeds {MAX_ROW_BYTES} bytes; split it into several rows")
}

/// A bincode writer that appends to a vector.
struct VecWriter<'a>(&'a mut Vec<u8>);

impl bincode::enc::write::Writer for VecWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// A bincode reader of a byte slice.
struct SliceReader<'a>(&'a [u8]);

impl Reader for SliceReader<'_> {
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

    fn assert_round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(rows: &[T]) {
        assert_eq!(decode_rows::<T>(&encode(rows), rows.len()).unwrap(), rows);
    }

    /// Returns true if the error says that the type is asymmetric.
    fn is_asymmetric<T>(outcome: Result<T>) -> bool {
        outcome.is_err_and(|error| {
            error.is_final() && error.to_string().contains("`Serialize` and `Deserialize` disagree")
        })
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
    fn rows_of_many_types_round_trip() {
        assert_round_trip(&[u64::MAX, 0, 251]);
        assert_round_trip(&[(String::from("a"), -1_i64), (String::new(), i64::MIN)]);
        assert_round_trip(&[BTreeMap::from([('x', vec![1.5_f32])])]);
        assert_round_trip(&[HashMap::from([(1_u8, true)])]);
        assert_round_trip::<Box<str>>(&["boxed".into()]);
        assert_round_trip(&[std::net::IpAddr::from([127, 0, 0, 1])]);
        assert_round_trip::<String>(&[]);
    }

    #[test]
    fn rows_that_encode_to_no_bytes_round_trip() {
        assert_round_trip(&[(); 1000]);
        assert!(is_asymmetric(decode_rows::<()>(&[0], 3)));
    }

    #[test]
    fn rows_that_encode_to_few_bytes_round_trip() {
        for len in [5_000, 70_000, 1_100_000] {
            assert_round_trip(&[vec![1_u128; len]]);
            assert_round_trip(&[vec![Shape::Dot; len]]);
        }
    }

    #[test]
    fn large_rows_round_trip_at_every_decode_limit() {
        for len in [1 << 12, 1 << 16, 1 << 20, 17 << 20] {
            assert_round_trip(&["x".repeat(len)]);
        }
    }

    #[test]
    fn rows_truncated_at_any_byte_do_not_decode() {
        let text = Shape::Text { at: (-3, 1 << 90), words: vec![Some("word".into()), None] };
        let rows = [Shape::Circle(1.5), text];
        let bytes = encode(&rows);
        for cut in 0..bytes.len() {
            assert!(is_asymmetric(decode_rows::<Shape>(&bytes[..cut], rows.len())), "cut at {cut}");
        }
    }

    #[test]
    fn a_wrong_count_does_not_decode() {
        let bytes = encode(&[1_u32, 2, 3]);
        for count in [0, 2, 4, usize::MAX] {
            assert!(is_asymmetric(decode_rows::<u32>(&bytes, count)), "{count}");
        }
    }

    #[test]
    fn a_wrong_length_never_reserves_its_memory() {
        for length in [1 << 33, 1 << 62, u64::MAX] {
            let bytes = encode(&[length]);
            assert!(is_asymmetric(decode_rows::<String>(&bytes, 1)));
            assert!(is_asymmetric(decode_rows::<Vec<u8>>(&bytes, 1)));
            assert!(is_asymmetric(decode_rows::<Vec<[u64; 4]>>(&bytes, 1)));
            assert!(is_asymmetric(decode_rows::<HashMap<u64, String>>(&bytes, 1)));
        }
    }

    // Longer inputs account for larger lengths. Only an input that could hold a row beyond the
    // limit may be reported as too large.
    #[test]
    fn a_wrong_length_does_not_decode_at_any_limit() {
        for filler in [0, 1 << 10, 1 << 16, (1 << 20) - 9, 1 << 20, 2 << 20, 20 << 20] {
            for length in [1 << 25, 1 << 30, 1 << 33, u64::MAX] {
                let bytes = [encode(&[length]), vec![1; filler]].concat();
                assert!(is_asymmetric(decode_rows::<String>(&bytes, 1)), "{filler}, {length}");
                assert!(is_asymmetric(decode_rows::<Vec<u8>>(&bytes, 1)), "{filler}, {length}");
                assert!(is_asymmetric(decode_rows::<Vec<f64>>(&bytes, 1)), "{filler}, {length}");
            }
        }
    }

    #[test]
    fn rows_that_are_large_in_memory_and_small_in_bytes_round_trip_and_reserve_little() {
        type Wide = Option<[[u64; 32]; 32]>;
        assert_round_trip::<Wide>(&[None; 500]);
        let bytes = encode::<Wide>(&[None; 500]);
        assert!(is_asymmetric(decode_rows::<Wide>(&bytes, usize::MAX)));
        assert!(is_asymmetric(decode_rows::<Wide>(&[1; 500], 500)));
    }

    #[test]
    fn a_row_that_fails_to_encode_leaves_the_output_unchanged() {
        struct Fails;
        impl Serialize for Fails {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::{Error, SerializeTuple};
                let mut tuple = serializer.serialize_tuple(2)?;
                tuple.serialize_element(&7_u64)?;
                Err(S::Error::custom("no"))
            }
        }
        let mut bytes = vec![1, 2];
        assert!(is_not_encodable(encode_into(&Fails, &mut bytes)));
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

    #[test]
    fn a_type_is_named_as_the_user_wrote_it() {
        let pair = "emberline_engine::Hashed<u64, program::Sale<u8>>";
        assert_eq!(row_type_name(pair), "(u64, program::Sale<u8>)");
        for name in [
            "program::Sale",
            "emberline_demo::Sale<u8>",
            "alloc::vec::Vec<u64>",
            "(u64, alloc::string::String)",
        ] {
            assert_eq!(row_type_name(name), name);
        }
    }

    proptest! {
        #[test]
        fn random_rows_round_trip(rows in shapes()) {
            assert_round_trip(&rows);
        }

        #[test]
        fn decoding_garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), count in 0..9_usize) {
            let _ = decode_rows::<Shape>(&bytes, count);
            let _ = decode_rows::<(String, BTreeMap<char, Vec<u8>>)>(&bytes, count);
            let _ = decode_rows::<Option<Vec<f64>>>(&bytes, count);
        }

        #[test]
        fn decoding_a_flipped_bit_never_panics(rows in shapes(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = encode(&rows);
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= 1_u8 << bit;
                let _ = decode_rows::<Shape>(&bytes, rows.len());
            }
        }
    }
}

//! A short string that is stored inline: the type for millions of words, since a word costs no
//! allocation.

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};
use std::fmt;
use std::hash::{Hash, Hasher};

const ROOM: usize = 15;

/// Up to 15 bytes inline, padded with zeros; longer text, and text that contains a zero byte, is boxed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(Letters);

#[derive(Clone, Debug, Eq)]
enum Letters {
    Short([u8; ROOM]),
    /// Two boxes, since a thin pointer leaves the word at 16 bytes.
    Long(Box<Box<str>>),
}

impl Word {
    pub fn new(text: &str) -> Word {
        Word::cut(text, 0, text.len())
    }

    /// Returns the word `line[start..end]`. If the line is long enough after it, 16 bytes are loaded at once and
    /// those after the word are masked.
    #[inline(always)]
    pub fn cut(line: &str, start: usize, end: usize) -> Word {
        let bytes = line.as_bytes();
        let length = end - start;
        if length > ROOM {
            return Word::long(&line[start..end]);
        }
        let letters = match bytes.get(start..start + ROOM + 1) {
            Some(sixteen) => u128::from_le_bytes(sixteen.try_into().expect("16 bytes")),
            None => {
                let mut padded = [0; ROOM + 1];
                padded[..length].copy_from_slice(&bytes[start..end]);
                u128::from_le_bytes(padded)
            }
        };
        let masked = letters & ((1 << (8 * length)) - 1);
        // The last letter must not be the padding.
        if length > 0 && (masked >> (8 * length - 8)) == 0 {
            return Word::long(&line[start..end]);
        }
        let padded = masked.to_le_bytes();
        Word(Letters::Short(std::array::from_fn(|at| padded[at])))
    }

    #[cold]
    fn long(text: &str) -> Word {
        Word(Letters::Long(Box::new(text.into())))
    }

    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Letters::Short(bytes) => {
                let last = (halves(bytes).1).leading_zeros() as usize / 8; // zeros at the end
                let first = (halves(bytes).0).leading_zeros() as usize / 8;
                &bytes[..if last < 8 { ROOM - last } else { 8 - first }]
            }
            Letters::Long(text) => text.as_bytes(),
        }
    }
}

impl PartialEq for Letters {
    /// Compares with two loads a side; a derived implementation calls a function that compares bytes.
    #[inline(always)]
    fn eq(&self, other: &Letters) -> bool {
        match (self, other) {
            (Letters::Short(a), Letters::Short(b)) => halves(a) == halves(b),
            (Letters::Long(a), Letters::Long(b)) => a == b,
            _ => false,
        }
    }
}

/// Returns the first and the last eight bytes, which overlap.
#[inline(always)]
fn halves(bytes: &[u8; ROOM]) -> (u64, u64) {
    let half = |at: usize| -> [u8; 8] { std::array::from_fn(|i| bytes[at + i]) };
    (u64::from_le_bytes(half(0)), u64::from_le_bytes(half(ROOM - 8)))
}

impl Hash for Word {
    #[inline(always)]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Letters::Short(bytes) => {
                let (first, last) = halves(bytes);
                state.write_u64(first);
                state.write_u64(last);
            }
            Letters::Long(text) => text.hash(state),
        }
    }
}

/// As bytes: a string would be validated as UTF-8 each time a row is measured or written.
impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
        deserializer.deserialize_bytes(Bytes)
    }
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Word;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a word")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Word, E> {
        str::from_utf8(bytes).map(Word::new).map_err(E::custom)
    }
}

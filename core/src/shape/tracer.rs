//! A deserializer that returns sample values, and records what a type asks for.

use super::drafts::{Drafts, Key, Opened, UNIT};
use crate::quiet::drop_quietly;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use std::any::type_name;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The maximum number of levels of a sample value.
const MAX_LEVELS: u32 = 256;
/// The samples of a number. Zero comes later, since some types are never zero.
const NUMBERS: [u8; 6] = [1, 0, 2, 3, 10, 100];
const CHARS: [char; 4] = ['a', '0', 'A', ' '];
const STRINGS: [&str; 10] = [
    "",
    "a",
    "0",
    "1970-01-01T00:00:00Z",
    "1970-01-01",
    "00:00:00",
    "127.0.0.1",
    "00000000-0000-0000-0000-000000000000",
    "http://localhost/",
    "A",
];
/// The lengths of byte strings.
const BYTES: [usize; 8] = [0, 1, 4, 8, 12, 16, 20, 32];
/// The lengths of lists and maps.
const LENGTHS: [usize; 7] = [1, 0, 2, 3, 4, 8, 16];

/// Deserializes one sample value of `T`. Returns true if another one may show more.
pub(super) fn trace<T: DeserializeOwned>(drafts: &mut Drafts) -> bool {
    drafts.begin();
    let value =
        guarded(Tracer { drafts: &mut *drafts, levels_left: MAX_LEVELS }, |it| T::deserialize(it));
    let is_accepted = value.is_ok();
    drop_quietly(value);
    drafts.end(is_accepted)
}

/// Reads a value. A panic of the type refuses the value; no other sample is tried in its place,
/// since each panic is reported to the user by the panic hook.
fn guarded<R>(
    tracer: Tracer<'_>,
    read: impl FnOnce(Tracer<'_>) -> Result<R, Refused>,
) -> Result<R, Refused> {
    let Tracer { drafts, levels_left } = tracer;
    let read = || read(Tracer { drafts: &mut *drafts, levels_left });
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(outcome) => outcome,
        Err(payload) => {
            drop_quietly(payload);
            drafts.no_other_sample();
            Err(Refused)
        }
    }
}

/// A sample value was refused, or has too many levels.
#[derive(Debug)]
pub(super) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sample value was refused")
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Refused
    }
}

/// A deserializer of one sample value.
struct Tracer<'a> {
    drafts: &'a mut Drafts,
    levels_left: u32,
}

impl Tracer<'_> {
    fn nested(self) -> Result<Self, Refused> {
        let levels_left = self.levels_left.checked_sub(1).ok_or(Refused)?;
        if !self.drafts.count_value() {
            return Err(Refused);
        }
        Ok(Tracer { levels_left, ..self })
    }

    /// Reads a type with parts: `len` of them, or as many as a sample has.
    fn parts<'de, V: Visitor<'de>>(
        self,
        key: Key,
        len: Option<usize>,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let is_map = key.asks_for == "map";
        let opened = self.drafts.open(key);
        let mut parts = match self.nested() {
            Ok(tracer) => Parts::new(tracer, opened, len),
            Err(refused) => return Err(refused),
        };
        let outcome = match is_map {
            true => visitor.visit_map(&mut parts),
            false => visitor.visit_seq(&mut parts),
        };
        let has_content = len.is_none() && parts.next > 0;
        let drafts = parts.tracer.drafts;
        if outcome.is_err() && has_content {
            drafts.content_refused();
        }
        drafts.close(opened, outcome.is_ok());
        outcome
    }
}

/// Returns the identity of a type.
fn key<V>(asks_for: &'static str, names: &'static [&'static str], len: usize) -> Key {
    Key { visitor: type_name::<V>(), asks_for, names, len }
}

/// Implements the methods of numbers.
macro_rules! numbers {
    ($($method:ident: $type:ident, $visit:ident;)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
                let sample = self.drafts.plain(stringify!($type), NUMBERS.len());
                visitor.$visit(NUMBERS[sample] as $type)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Refused;

    numbers! {
        deserialize_i8: i8, visit_i8;
        deserialize_i16: i16, visit_i16;
        deserialize_i32: i32, visit_i32;
        deserialize_i64: i64, visit_i64;
        deserialize_i128: i128, visit_i128;
        deserialize_u8: u8, visit_u8;
        deserialize_u16: u16, visit_u16;
        deserialize_u32: u32, visit_u32;
        deserialize_u64: u64, visit_u64;
        deserialize_u128: u128, visit_u128;
        deserialize_f32: f32, visit_f32;
        deserialize_f64: f64, visit_f64;
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let sample = self.drafts.plain("bool", 2);
        visitor.visit_bool(sample == 0)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let sample = self.drafts.plain("char", CHARS.len());
        visitor.visit_char(CHARS[sample])
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let sample = self.drafts.plain("string", STRINGS.len());
        visitor.visit_string(STRINGS[sample].into())
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_string(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let sample = self.drafts.plain("bytes", BYTES.len());
        visitor.visit_byte_buf(vec![0; BYTES[sample]])
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.drafts.plain("()", 1);
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_unit(visitor)
    }

    /// Reads the content in place of the newtype, since both have the same bytes.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self.nested()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let Tracer { drafts, levels_left } = self;
        let opened = drafts.open(key::<V>("option", &[], 0));
        let outcome = if drafts.has_content(opened) {
            drafts.enter(0);
            let inner = Tracer { drafts: &mut *drafts, levels_left }.nested();
            let outcome = inner.and_then(|inner| guarded(inner, |inner| visitor.visit_some(inner)));
            let node = drafts.leave(outcome.is_ok());
            drafts.set_part(opened.id, 0, node);
            if outcome.is_err() {
                drafts.content_refused();
            }
            outcome
        } else {
            visitor.visit_none()
        };
        drafts.close(opened, outcome.is_ok());
        outcome
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.parts(key::<V>("sequence", &[], 0), None, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.parts(key::<V>("map", &[], 0), None, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.parts(key::<V>("tuple", &[], len), Some(len), visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.parts(key::<V>("struct", fields, 0), Some(fields.len()), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let Tracer { drafts, levels_left } = self;
        let opened = drafts.open(key::<V>("enum", variants, 0));
        let outcome = match drafts.open_variant(opened) {
            Some(index) => {
                let inner = Tracer { drafts: &mut *drafts, levels_left }.nested();
                let inner = inner.map(|tracer| Variant { tracer, opened, index });
                let outcome = inner.and_then(|inner| visitor.visit_enum(inner));
                drafts.close_variant(opened, outcome.is_ok());
                outcome
            }
            None => Err(Refused),
        };
        drafts.close(opened, outcome.is_ok());
        outcome
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        self.drafts.unknown();
        Err(Refused)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The parts of a sample value.
struct Parts<'a> {
    tracer: Tracer<'a>,
    opened: Opened,
    /// The number of parts; unknown for lists and maps.
    len: Option<usize>,
    /// The number of parts of the list or map, once it was chosen.
    chosen: Option<usize>,
    next: usize,
}

impl<'a> Parts<'a> {
    fn new(tracer: Tracer<'a>, opened: Opened, len: Option<usize>) -> Self {
        Parts { tracer, opened, len, chosen: None, next: 0 }
    }

    /// Returns true if there is another part or entry. `per_entry` is the number of its parts.
    fn has_next(&mut self, per_entry: usize) -> bool {
        let drafts = &mut *self.tracer.drafts;
        let len = match (self.len, self.chosen) {
            (Some(len), _) | (None, Some(len)) => len,
            (None, None) => match drafts.has_content(self.opened) {
                true => LENGTHS[drafts.sample(LENGTHS.len())] * per_entry,
                // A list that may not be empty has one of the other lengths.
                false => LENGTHS[(drafts.sample(LENGTHS.len()) + 1) % LENGTHS.len()] * per_entry,
            },
        };
        if self.len.is_none() {
            self.chosen = Some(len);
            if self.next >= len {
                // The length is what a visitor refuses after the last element.
                drafts.sample(LENGTHS.len());
            }
        }
        self.next < len
    }

    fn part<'de, S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        let drafts = &mut *self.tracer.drafts;
        if !drafts.count_value() {
            return Err(Refused);
        }
        drafts.enter(self.next as u32);
        let tracer = Tracer { drafts: &mut *drafts, levels_left: self.tracer.levels_left };
        let outcome = guarded(tracer, |tracer| seed.deserialize(tracer));
        let node = drafts.leave(outcome.is_ok());
        if self.opened.is_recorded {
            drafts.set_part(self.opened.id, self.next, node);
        }
        self.next += 1;
        outcome
    }
}

impl<'de> de::SeqAccess<'de> for Parts<'_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        if self.has_next(1) { self.part(seed).map(Some) } else { Ok(None) }
    }
}

impl<'de> de::MapAccess<'de> for Parts<'_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        if self.has_next(2) { self.part(seed).map(Some) } else { Ok(None) }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        self.part(seed)
    }
}

/// The chosen variant of a sample value.
struct Variant<'a> {
    tracer: Tracer<'a>,
    opened: Opened,
    index: usize,
}

impl Variant<'_> {
    /// Reads the content of the variant.
    fn content<R>(self, read: impl FnOnce(Tracer<'_>) -> Result<R, Refused>) -> Result<R, Refused> {
        let Variant { tracer: Tracer { drafts, levels_left }, opened, index } = self;
        drafts.enter(index as u32);
        let outcome = guarded(Tracer { drafts: &mut *drafts, levels_left }, read);
        let node = drafts.leave(outcome.is_ok());
        drafts.set_content(opened, index, node);
        outcome
    }
}

impl<'de> de::EnumAccess<'de> for Variant<'_> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Refused> {
        match seed.deserialize((self.index as u32).into_deserializer()) {
            Ok(variant) => Ok((variant, self)),
            Err(refused) => {
                self.tracer.drafts.no_variant(self.opened, self.index);
                Err(refused)
            }
        }
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        self.tracer.drafts.set_content(self.opened, self.index, UNIT);
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Refused> {
        self.content(|tracer| seed.deserialize(tracer))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.content(|tracer| tracer.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.content(|tracer| tracer.deserialize_struct("", fields, visitor))
    }
}

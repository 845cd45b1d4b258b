//! The decoder of a row: a deserializer that reads what `bincode::serde` reads, and counts nesting
//! as the encoder does.

use super::TOO_DEEP;
use bincode::de::{Decode, Decoder};
use bincode::error::{AllowedEnumVariants, DecodeError};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

/// A deserializer of one value. It is passed by value, so that counting levels needs no cleanup.
pub(super) struct RowDecoder<'a, D> {
    decoder: &'a mut D,
    levels_left: u32,
}

impl<'a, D: Decoder> RowDecoder<'a, D> {
    /// Returns a deserializer of a value of at most `max_levels` levels.
    pub fn new(decoder: &'a mut D, max_levels: u32) -> Self {
        RowDecoder { decoder, levels_left: max_levels }
    }

    /// Opens a level.
    #[inline]
    fn nested(self) -> Result<Self, DecodeError> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(RowDecoder { levels_left, ..self }),
            None => Err(DecodeError::Other(TOO_DEEP)),
        }
    }

    /// Opens a level of `len` parts.
    #[inline]
    fn parts(self, len: usize) -> Result<Parts<'a, D>, DecodeError> {
        Ok(Parts { level: self.nested()?, len })
    }
}

/// Implements the methods of values without parts.
macro_rules! plain_values {
    ($($method:ident: $visit:ident;)*) => {
        $(
            #[inline]
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
                visitor.$visit(Decode::decode(self.decoder)?)
            }
        )*
    };
}

/// Implements the methods that need a self-describing format.
macro_rules! unsupported {
    ($($method:ident: $problem:ident;)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DecodeError> {
                Err(DecodeError::Serde(bincode::serde::DecodeError::$problem))
            }
        )*
    };
}

impl<'de, D: Decoder<Context = ()>> Deserializer<'de> for RowDecoder<'_, D> {
    type Error = DecodeError;

    plain_values! {
        deserialize_bool: visit_bool;
        deserialize_i8: visit_i8;
        deserialize_i16: visit_i16;
        deserialize_i32: visit_i32;
        deserialize_i64: visit_i64;
        deserialize_i128: visit_i128;
        deserialize_u8: visit_u8;
        deserialize_u16: visit_u16;
        deserialize_u32: visit_u32;
        deserialize_u64: visit_u64;
        deserialize_u128: visit_u128;
        deserialize_f32: visit_f32;
        deserialize_f64: visit_f64;
        deserialize_char: visit_char;
        deserialize_str: visit_string;
        deserialize_string: visit_string;
        deserialize_bytes: visit_byte_buf;
        deserialize_byte_buf: visit_byte_buf;
    }

    unsupported! {
        deserialize_any: AnyNotSupported;
        deserialize_identifier: IdentifierNotSupported;
        deserialize_ignored_any: IgnoredAnyNotSupported;
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match u8::decode(self.decoder)? {
            0 => visitor.visit_none(),
            1 => visitor.visit_some(self.nested()?),
            found => Err(DecodeError::UnexpectedVariant {
                type_name: "Option<T>",
                allowed: &AllowedEnumVariants::Range { min: 0, max: 1 },
                found: u32::from(found),
            }),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self.nested()?)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let len = usize::decode(self.decoder)?;
        visitor.visit_seq(self.parts(len)?)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let len = usize::decode(self.decoder)?;
        visitor.visit_map(self.parts(len)?)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(self.parts(len)?)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(self.parts(len)?)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(self.parts(fields.len())?)
    }

    /// Opens no level: the encoder opens one for variants with parts only, which are read next.
    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_enum(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl<'de, D: Decoder<Context = ()>> de::EnumAccess<'de> for RowDecoder<'_, D> {
    type Error = DecodeError;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self), DecodeError> {
        let index = u32::decode(self.decoder)?;
        let variant = seed.deserialize(index.into_deserializer())?;
        Ok((variant, self))
    }
}

impl<'de, D: Decoder<Context = ()>> de::VariantAccess<'de> for RowDecoder<'_, D> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<S::Value, DecodeError> {
        seed.deserialize(self.nested()?)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(self.parts(len)?)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(self.parts(fields.len())?)
    }
}

/// The parts of a sequence, a map, a tuple or a struct that have not been read.
struct Parts<'a, D> {
    level: RowDecoder<'a, D>,
    len: usize,
}

impl<D: Decoder<Context = ()>> Parts<'_, D> {
    #[inline]
    fn next<'de, S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        let RowDecoder { decoder, levels_left } = &mut self.level;
        seed.deserialize(RowDecoder { decoder: &mut **decoder, levels_left: *levels_left })
    }

    #[inline]
    fn next_if_any<'de, S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some(len) = self.len.checked_sub(1) else { return Ok(None) };
        self.len = len;
        self.next(seed).map(Some)
    }
}

impl<'de, D: Decoder<Context = ()>> de::SeqAccess<'de> for Parts<'_, D> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        self.next_if_any(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.len)
    }
}

impl<'de, D: Decoder<Context = ()>> de::MapAccess<'de> for Parts<'_, D> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        self.next_if_any(seed)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, DecodeError> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.len)
    }
}

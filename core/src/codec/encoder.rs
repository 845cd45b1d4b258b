//! The encoder of a row: a serializer that writes what `bincode::serde` writes, and counts nesting.

use super::TOO_DEEP;
use bincode::enc::{Encode, Encoder};
use bincode::error::EncodeError;
use serde::ser::{self, Serialize, Serializer};

/// A serializer of one value. It is passed by value, so that counting levels needs no cleanup.
pub(super) struct RowEncoder<'a, E> {
    encoder: &'a mut E,
    levels_left: u32,
}

impl<'a, E: Encoder> RowEncoder<'a, E> {
    /// Returns a serializer of a value of at most `max_levels` levels.
    pub fn new(encoder: &'a mut E, max_levels: u32) -> Self {
        RowEncoder { encoder, levels_left: max_levels }
    }

    /// Opens a level.
    #[inline]
    fn nested(self) -> Result<Self, EncodeError> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(RowEncoder { levels_left, ..self }),
            None => Err(EncodeError::Other(TOO_DEEP)),
        }
    }

    #[inline]
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(RowEncoder { encoder: self.encoder, levels_left: self.levels_left })
    }
}

/// The name of a type, variant or field in the methods of a serializer.
type Name = &'static str;

/// Implements the methods of values without parts.
macro_rules! plain_values {
    ($($method:ident($type:ty);)*) => {
        $(
            #[inline]
            fn $method(self, value: $type) -> Result<(), EncodeError> {
                value.encode(self.encoder)
            }
        )*
    };
}

impl<E: Encoder> Serializer for RowEncoder<'_, E> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    plain_values! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
    }

    #[inline]
    fn serialize_none(self) -> Result<(), EncodeError> {
        0_u8.encode(self.encoder)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        1_u8.encode(self.encoder)?;
        value.serialize(self.nested()?)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: Name) -> Result<(), EncodeError> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(self, _: Name, index: u32, _: Name) -> Result<(), EncodeError> {
        index.encode(self.encoder)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: Name,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self.nested()?)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: Name,
        index: u32,
        _: Name,
        value: &T,
    ) -> Result<(), EncodeError> {
        index.encode(self.encoder)?;
        value.serialize(self.nested()?)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self, EncodeError> {
        let len =
            len.ok_or(EncodeError::Serde(bincode::serde::EncodeError::SequenceMustHaveLength))?;
        len.encode(self.encoder)?;
        self.nested()
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self, EncodeError> {
        self.serialize_seq(len)
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self, EncodeError> {
        self.nested()
    }

    #[inline]
    fn serialize_tuple_struct(self, _: Name, _: usize) -> Result<Self, EncodeError> {
        self.nested()
    }

    #[inline]
    fn serialize_struct(self, _: Name, _: usize) -> Result<Self, EncodeError> {
        self.nested()
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: Name,
        index: u32,
        _: Name,
        _: usize,
    ) -> Result<Self, EncodeError> {
        index.encode(self.encoder)?;
        self.nested()
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: Name,
        index: u32,
        _: Name,
        _: usize,
    ) -> Result<Self, EncodeError> {
        index.encode(self.encoder)?;
        self.nested()
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Implements the serde traits that receive the parts of a value one by one.
macro_rules! one_by_one {
    ($($trait:ident::$method:ident($($name:ident: $type:ty)?);)*) => {
        $(
            impl<E: Encoder> ser::$trait for RowEncoder<'_, E> {
                type Ok = ();
                type Error = EncodeError;

                #[inline]
                fn $method<T: Serialize + ?Sized>(
                    &mut self,
                    $($name: $type,)?
                    value: &T,
                ) -> Result<(), EncodeError> {
                    self.part(value)
                }

                fn end(self) -> Result<(), EncodeError> {
                    Ok(())
                }
            }
        )*
    };
}

one_by_one! {
    SerializeSeq::serialize_element();
    SerializeTuple::serialize_element();
    SerializeTupleStruct::serialize_field();
    SerializeTupleVariant::serialize_field();
    SerializeStruct::serialize_field(_key: Name);
    SerializeStructVariant::serialize_field(_key: Name);
}

impl<E: Encoder> ser::SerializeMap for RowEncoder<'_, E> {
    type Ok = ();
    type Error = EncodeError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.part(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.part(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}

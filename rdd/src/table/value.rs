//! Reads a row through serde as a tree of texts, from which cells and columns are made.

use crate::display::{printable, shortened};
use serde::ser::{self, Serialize, Serializer};
use std::cell::Cell;
use std::error::Error;
use std::fmt::{self, Display};

/// Values that are read of one row.
const MAX_VALUES: usize = 4096;
/// Nesting that is read.
const MAX_DEPTH: usize = 24;
/// Columns of text that are read of a string.
const MAX_TEXT: usize = 200;

/// A value, truncated to what is shown.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A number or another value without parts.
    Plain(String),
    /// A string, in quotes where it is a part of another value.
    Text(String),
    Group(Group),
}

/// A value with parts.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub shape: Shape,
    /// The variant of an enum, or empty.
    pub variant: &'static str,
    /// The parts, named by field, index or key. Keys are not shortened.
    pub parts: Vec<(String, Value)>,
    is_truncated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    List,
    Tuple,
    Fields,
    Map,
}

/// Reads a value. If its `Serialize` fails, the text of the error is the value.
pub(super) fn read<T: Serialize + ?Sized>(value: &T) -> Value {
    Reader { remaining: &Cell::new(MAX_VALUES), depth: 0, is_key: false }.read(value)
}

impl Value {
    /// Returns the value as the text of a whole cell.
    pub fn cell(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Plain(text) => f.write_str(text),
            Value::Text(text) => write!(f, "\"{text}\""),
            Value::Group(group) => group.fmt(f),
        }
    }
}

impl Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = match self.shape {
            Shape::List => ("[", "]"),
            Shape::Tuple => ("(", ")"),
            Shape::Fields | Shape::Map => ("{", "}"),
        };
        let is_named = matches!(self.shape, Shape::Fields | Shape::Map);
        write!(f, "{}{open}", self.variant)?;
        for (at, (name, part)) in self.parts.iter().enumerate() {
            f.write_str(if at > 0 { ", " } else { "" })?;
            match is_named {
                true => write!(f, "{}: {part}", shown(name))?,
                false => part.fmt(f)?,
            }
        }
        write!(f, "{}{close}", if self.is_truncated { ", …" } else { "" })
    }
}

/// The serializer, whose output is a [`Value`].
#[derive(Clone, Copy)]
struct Reader<'a> {
    /// Number of values that may still be read.
    remaining: &'a Cell<usize>,
    depth: usize,
    /// Strings in a key are not shortened, so that different keys stay different.
    is_key: bool,
}

/// The text of an error of `Serialize`.
#[derive(Debug)]
struct Refused(String);

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Refused {}

impl ser::Error for Refused {
    fn custom<T: Display>(message: T) -> Self {
        Refused(message.to_string())
    }
}

type Read = Result<Value, Refused>;

impl<'a> Reader<'a> {
    fn read<T: Serialize + ?Sized>(self, value: &T) -> Value {
        if self.remaining.get() == 0 || self.depth > MAX_DEPTH {
            return Value::Plain("…".into());
        }
        self.remaining.set(self.remaining.get() - 1);
        value.serialize(self).unwrap_or_else(|Refused(text)| plain(format!("error: {text}")))
    }

    /// Returns the reader of a nested value.
    fn inside(self) -> Self {
        Reader { depth: self.depth + 1, ..self }
    }

    fn group(self, shape: Shape, variant: &'static str) -> Result<Parts<'a>, Refused> {
        let group = Group { shape, variant, parts: Vec::new(), is_truncated: false };
        Ok(Parts { group, key: String::new(), reader: self.inside() })
    }
}

/// Returns a text, shortened and printable.
fn shown(text: &str) -> String {
    printable(&shortened(text, MAX_TEXT))
}

fn plain(text: impl Display) -> Value {
    Value::Plain(shown(&text.to_string()))
}

/// Defines the methods of values without parts, which are shown by their `Display`.
macro_rules! plain_values {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method(self, value: $type) -> Read {
            Ok(plain(value))
        })*
    };
}

/// Defines the methods that start a group, from arguments, shape and variant.
macro_rules! groups {
    ($($group:ident, $method:ident($($name:ident: $type:ty),*), $shape:expr, $variant:expr;)*) => {
        $(type $group = Parts<'a>;
        fn $method(self, $($name: $type),*) -> Result<Parts<'a>, Refused> {
            $(let _ = $name;)*
            self.group($shape, $variant)
        })*
    };
}

impl<'a> Serializer for Reader<'a> {
    type Ok = Value;
    type Error = Refused;

    plain_values! {
        serialize_bool: bool, serialize_char: char,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_u128: u128,
    }

    fn serialize_f32(self, value: f32) -> Read {
        Ok(plain(format!("{value:?}")))
    }

    // `Debug` writes 1e300, and `Display` would write 300 zeros.
    fn serialize_f64(self, value: f64) -> Read {
        Ok(plain(format!("{value:?}")))
    }

    groups! {
        SerializeSeq, serialize_seq(len: Option<usize>), Shape::List, "";
        SerializeTuple, serialize_tuple(len: usize), Shape::Tuple, "";
        SerializeTupleStruct, serialize_tuple_struct(name: &'static str, len: usize), Shape::Tuple, "";
        SerializeTupleVariant, serialize_tuple_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ), Shape::Tuple, variant;
        SerializeMap, serialize_map(len: Option<usize>), Shape::Map, "";
        SerializeStruct, serialize_struct(name: &'static str, len: usize), Shape::Fields, "";
        SerializeStructVariant, serialize_struct_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ), Shape::Fields, variant;
    }

    fn serialize_str(self, value: &str) -> Read {
        Ok(Value::Text(if self.is_key { value.to_string() } else { shown(value) }))
    }

    fn serialize_bytes(self, value: &[u8]) -> Read {
        let shown = value[..value.len().min(MAX_TEXT)].escape_ascii();
        Ok(plain(format!("b\"{shown}\"")))
    }

    fn serialize_none(self) -> Read {
        Ok(plain("None"))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Read {
        Ok(self.inside().read(value))
    }

    fn serialize_unit(self) -> Read {
        Ok(plain("()"))
    }

    fn serialize_unit_struct(self, name: &'static str) -> Read {
        Ok(plain(name))
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Read {
        Ok(plain(variant))
    }

    fn serialize_newtype_struct<T>(self, _: &'static str, value: &T) -> Read
    where
        T: Serialize + ?Sized,
    {
        Ok(self.inside().read(value))
    }

    fn serialize_newtype_variant<T>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Read
    where
        T: Serialize + ?Sized,
    {
        let mut parts = self.group(Shape::Tuple, variant)?;
        parts.add(None, value);
        Ok(Value::Group(parts.group))
    }
}

/// A group while it is read.
struct Parts<'a> {
    reader: Reader<'a>,
    group: Group,
    key: String,
}

impl Parts<'_> {
    /// Adds a part; without a name its index is the name.
    fn add<T: Serialize + ?Sized>(&mut self, name: Option<&str>, value: &T) {
        if self.reader.remaining.get() == 0 {
            self.group.is_truncated = true;
            return;
        }
        let name = name.map_or_else(|| self.group.parts.len().to_string(), str::to_string);
        let part = self.reader.read(value);
        self.group.parts.push((name, part));
    }
}

/// Implements the traits of groups, which differ in the names of their methods.
macro_rules! parts {
    ($($group:ident, $method:ident($($name:ident)?);)*) => {
        $(impl ser::$group for Parts<'_> {
            type Ok = Value;
            type Error = Refused;

            fn $method<T>(&mut self, $($name: &'static str,)? value: &T) -> Result<(), Refused>
            where
                T: Serialize + ?Sized,
            {
                let named: [&'static str; _] = [$($name)?];
                self.add(named.first().copied(), value);
                Ok(())
            }

            fn end(self) -> Read {
                Ok(Value::Group(self.group))
            }
        })*
    };
}

parts! {
    SerializeSeq, serialize_element();
    SerializeTuple, serialize_element();
    SerializeTupleStruct, serialize_field();
    SerializeTupleVariant, serialize_field();
    SerializeStruct, serialize_field(name);
    SerializeStructVariant, serialize_field(name);
}

impl ser::SerializeMap for Parts<'_> {
    type Ok = Value;
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        self.key = Reader { is_key: true, ..self.reader }.read(key).cell();
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        let key = std::mem::take(&mut self.key);
        self.add(Some(&key), value);
        Ok(())
    }

    fn end(self) -> Read {
        Ok(Value::Group(self.group))
    }
}

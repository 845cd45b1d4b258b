//! How much memory rows take, for any row that serde can walk.
//!
//! A serializer that writes nothing visits the row and counts each string, sequence and map as one
//! allocation. What serde does not show is estimated:
//!
//! - an allocation takes its bytes, 16 more for the allocator, and nothing for spare capacity;
//! - an element of a sequence is as wide as the widest one seen, with the padding of its fields, so
//!   that `None` beside `Some` and small variants beside large ones count in full;
//! - a string or sequence is 24 bytes wide where it is an element, a map 48; a map's entries lie in
//!   one allocation, without a hash table's control bytes and free slots;
//! - a `Box` and an `Arc` look like what they hold, so their own allocation is not seen, and
//!   something shared is counted once for each owner; a borrowed string counts as owned;
//! - where the first elements of a sequence own nothing, only some of the others are looked at;
//! - `#[serde(skip)]` hides a field, and `#[serde(with = ..)]` shows what it writes.

use serde::ser::{self, Serialize, Serializer};

/// What the allocator keeps beside each allocation, in bytes.
const ALLOCATION: u64 = 16;

/// Of a sequence whose first elements own nothing on the heap, one element in so many is looked at.
const FLAT_STEP: u64 = 16;

/// What a row owns on the heap, and what it took to find that out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weight {
    /// The bytes, without those of the row's own `size_of`.
    pub heap_bytes: u64,
    /// How many values were looked at.
    pub steps: u64,
}

/// Walks `row`. One that refuses to serialize weighs nothing.
pub fn measure<T: Serialize>(row: &T) -> Weight {
    if !owns_heap::<T>() {
        return Weight::default();
    }
    let mut counter = Counter { heap: 0, steps: 0 };
    let refused = row.serialize(&mut counter).is_err();
    Weight { heap_bytes: if refused { 0 } else { counter.heap }, steps: counter.steps }
}

/// Whether a row can own anything on the heap. What needs no drop owns nothing, which the compiler
/// knows: then counting a row is adding a constant.
pub const fn owns_heap<T>() -> bool {
    std::mem::needs_drop::<T>()
}

/// The bytes that `row` owns on the heap; not those of its own `size_of`.
#[inline]
pub fn heap_bytes<T: Serialize>(row: &T) -> u64 {
    if owns_heap::<T>() { measure(row).heap_bytes } else { 0 }
}

/// The bytes that `rows` take, on the heap and in a vector of them. Each row is looked at, since one
/// may be as large as all others together.
pub fn estimate_rows<T: Serialize>(rows: &[T]) -> u64 {
    let inline = size_of_val(rows) as u64;
    if !owns_heap::<T>() {
        return inline;
    }
    rows.iter().fold(inline, |sum, row| sum.saturating_add(heap_bytes(row)))
}

/// How a value lies in memory where it is a field or an element.
#[derive(Clone, Copy)]
struct Width {
    bytes: u64,
    align: u64,
    /// Whether a bit pattern is free, so that `Option` or an enum around it needs no tag.
    niche: bool,
}

impl Width {
    const NOTHING: Width = Width { bytes: 0, align: 1, niche: false };
    const TAG: Width = Width { bytes: 1, align: 1, niche: true };
    const CHAR: Width = Width { bytes: 4, align: 4, niche: true };
    const SEQUENCE: Width = Width { bytes: 24, align: 8, niche: true };
    const MAP: Width = Width { bytes: 48, align: 8, niche: true };

    const fn number(bytes: u64) -> Self {
        Width { bytes, align: bytes, niche: false }
    }

    /// The next field of a struct that so far is `self`; see [`Width::padded`].
    fn and(self, field: Width) -> Self {
        Width {
            bytes: self.bytes.saturating_add(field.bytes),
            align: self.align.max(field.align),
            niche: self.niche || field.niche,
        }
    }

    /// A whole struct: rustc sorts the fields, so only its end has padding.
    fn padded(self) -> Self {
        Width { bytes: self.bytes.next_multiple_of(self.align), ..self }
    }

    /// The same with the tag of an `Option` or an enum.
    fn tagged(self) -> Self {
        if self.niche { self } else { self.and(Width::TAG).padded() }
    }

    /// What holds either of the two, as variants of one enum do.
    fn or(self, other: Width) -> Self {
        let wider = if other.bytes > self.bytes { other } else { self };
        Width { align: self.align.max(other.align), ..wider }
    }
}

/// The serializer: each value answers with its width, and adds what it owns to `heap`.
struct Counter {
    heap: u64,
    steps: u64,
}

impl Counter {
    fn allocate(&mut self, bytes: u64) {
        if bytes > 0 {
            self.heap = self.heap.saturating_add(bytes).saturating_add(ALLOCATION);
        }
    }

    fn elements(&mut self, own: Width) -> Elements<'_> {
        let heap_before = self.heap;
        let (widest, key) = (Width::NOTHING, Width::NOTHING);
        Elements { counter: self, own, heap_before, count: 0, widest, key }
    }

    fn fields(&mut self, is_variant: bool) -> Fields<'_> {
        Fields { counter: self, sum: Width::NOTHING, is_variant }
    }
}

/// The elements of a sequence or the entries of a map.
struct Elements<'a> {
    counter: &'a mut Counter,
    own: Width,
    /// What had been counted before the first element.
    heap_before: u64,
    count: u64,
    widest: Width,
    key: Width,
}

impl Elements<'_> {
    #[inline]
    fn add<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), Refused> {
        if self.is_skipped() {
            self.count += 1;
            return Ok(());
        }
        let width = element.serialize(&mut *self.counter)?;
        self.add_width(width);
        Ok(())
    }

    /// Whether the next element is as those before: without anything on the heap.
    #[inline]
    fn is_skipped(&self) -> bool {
        self.count >= FLAT_STEP
            && !self.count.is_multiple_of(FLAT_STEP)
            && self.counter.heap == self.heap_before
    }

    fn add_width(&mut self, width: Width) {
        self.counter.steps += 1;
        self.count += 1;
        self.widest = self.widest.or(width);
    }

    fn finish(self) -> Width {
        self.counter.allocate(self.count.saturating_mul(self.widest.padded().bytes));
        self.own
    }
}

/// The fields of a struct, a tuple or a variant.
struct Fields<'a> {
    counter: &'a mut Counter,
    sum: Width,
    is_variant: bool,
}

impl Fields<'_> {
    #[inline]
    fn add<T: Serialize + ?Sized>(&mut self, field: &T) -> Result<(), Refused> {
        self.counter.steps += 1;
        self.sum = self.sum.and(field.serialize(&mut *self.counter)?);
        Ok(())
    }

    fn finish(self) -> Width {
        let width = self.sum.padded();
        if self.is_variant { width.tagged() } else { width }
    }
}

/// A row refused to serialize. Why is of no interest here: encoding it will say.
type Refused = std::fmt::Error;

/// What a serializer's method calls the name of a type, variant or field.
type Name = &'static str;

macro_rules! widths {
    ($($method:ident($($value:ident: $type:ty),*) $width:expr;)*) => {
        $(
            #[inline]
            fn $method(self, $($value: $type),*) -> Result<Width, Refused> {
                Ok($width)
            }
        )*
    };
}

impl<'a> Serializer for &'a mut Counter {
    type Ok = Width;
    type Error = Refused;
    type SerializeSeq = Elements<'a>;
    type SerializeMap = Elements<'a>;
    type SerializeTuple = Fields<'a>;
    type SerializeTupleStruct = Fields<'a>;
    type SerializeTupleVariant = Fields<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    widths! {
        serialize_bool(_value: bool) Width::TAG;
        serialize_i8(_value: i8) Width::number(1);
        serialize_i16(_value: i16) Width::number(2);
        serialize_i32(_value: i32) Width::number(4);
        serialize_i64(_value: i64) Width::number(8);
        serialize_i128(_value: i128) Width::number(16);
        serialize_u8(_value: u8) Width::number(1);
        serialize_u16(_value: u16) Width::number(2);
        serialize_u32(_value: u32) Width::number(4);
        serialize_u64(_value: u64) Width::number(8);
        serialize_u128(_value: u128) Width::number(16);
        serialize_f32(_value: f32) Width::number(4);
        serialize_f64(_value: f64) Width::number(8);
        serialize_char(_value: char) Width::CHAR;
        serialize_unit_struct(_name: Name) Width::NOTHING;
        serialize_unit_variant(_name: Name, _index: u32, _variant: Name) Width::TAG;
        serialize_unit() Width::NOTHING;
        serialize_none() Width::NOTHING;
    }

    fn serialize_str(self, text: &str) -> Result<Width, Refused> {
        self.serialize_bytes(text.as_bytes())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Width, Refused> {
        self.allocate(bytes.len() as u64);
        Ok(Width::SEQUENCE)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Width, Refused> {
        Ok(value.serialize(self)?.tagged())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: Name,
        value: &T,
    ) -> Result<Width, Refused> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: Name,
        _: u32,
        _: Name,
        value: &T,
    ) -> Result<Width, Refused> {
        self.serialize_some(value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a>, Refused> {
        Ok(self.elements(Width::SEQUENCE))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Elements<'a>, Refused> {
        Ok(self.elements(Width::MAP))
    }

    fn serialize_tuple(self, _: usize) -> Result<Fields<'a>, Refused> {
        Ok(self.fields(false))
    }

    fn serialize_tuple_struct(self, _: Name, _: usize) -> Result<Fields<'a>, Refused> {
        Ok(self.fields(false))
    }

    fn serialize_struct(self, _: Name, _: usize) -> Result<Fields<'a>, Refused> {
        Ok(self.fields(false))
    }

    fn serialize_tuple_variant(
        self,
        _: Name,
        _: u32,
        _: Name,
        _: usize,
    ) -> Result<Fields<'a>, Refused> {
        Ok(self.fields(true))
    }

    fn serialize_struct_variant(
        self,
        _: Name,
        _: u32,
        _: Name,
        _: usize,
    ) -> Result<Fields<'a>, Refused> {
        Ok(self.fields(true))
    }

    /// The codec's format is binary too; types such as `IpAddr` are then seen as the bytes they are.
    fn is_human_readable(&self) -> bool {
        false
    }
}

impl ser::SerializeMap for Elements<'_> {
    type Ok = Width;
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        if !self.is_skipped() {
            self.key = key.serialize(&mut *self.counter)?;
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        if self.is_skipped() {
            self.count += 1;
            return Ok(());
        }
        let value = value.serialize(&mut *self.counter)?;
        self.add_width(self.key.and(value).padded());
        Ok(())
    }

    fn end(self) -> Result<Width, Refused> {
        Ok(self.finish())
    }
}

/// What takes one value after the other with `add`.
macro_rules! one_by_one {
    ($($of:ident: $trait:ident::$method:ident($($name:ident: $type:ty)?);)*) => {
        $(
            impl ser::$trait for $of<'_> {
                type Ok = Width;
                type Error = Refused;
                #[inline]
                fn $method<T: Serialize + ?Sized>(
                    &mut self,
                    $($name: $type,)?
                    value: &T,
                ) -> Result<(), Refused> {
                    self.add(value)
                }

                fn end(self) -> Result<Width, Refused> {
                    Ok(self.finish())
                }
            }
        )*
    };
}

one_by_one! {
    Elements: SerializeSeq::serialize_element();
    Fields: SerializeTuple::serialize_element();
    Fields: SerializeTupleStruct::serialize_field();
    Fields: SerializeTupleVariant::serialize_field();
    Fields: SerializeStruct::serialize_field(_key: Name);
    Fields: SerializeStructVariant::serialize_field(_key: Name);
}

#[cfg(test)]
#[path = "size_tests.rs"]
mod tests;

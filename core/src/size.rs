//! Estimates the memory size of rows of any type that implements `Serialize`.
//!
//! A serializer without output visits the row and counts each string, sequence and map as one
//! allocation. Details that serde does not show are estimated:
//!
//! - an allocation takes its bytes, 16 more for the allocator, and nothing for spare capacity;
//! - an element of a sequence is as wide as the widest one seen, with the padding of its fields, so
//!   that `None` next to `Some` and small variants next to large ones count in full;
//! - a string or sequence is 24 bytes wide where it is an element, a map 48; the entries of a map
//!   are one allocation, without the control bytes and free slots of a hash table;
//! - a `Box` and an `Arc` look like their content, so their own allocation is not seen, and shared
//!   content is counted once for each owner; a borrowed string counts as owned;
//! - where the first elements of a sequence own no heap memory, only a sample of the others is
//!   visited;
//! - `#[serde(skip)]` hides a field, and `#[serde(with = ..)]` shows what it serializes.
//!
//! It counts the levels of nested values, since it recurses with them (see [`nesting`](crate::nesting)).
//!
//! Every row is measured, because one row may be as large as all others together and samples miss
//! oversized rows. A row that needs no drop owns no heap memory, so measuring it adds a constant; a
//! string costs one or two nanoseconds.

use crate::codec::row_type_name;
use crate::nesting::{MAX_LEVELS, SHALLOW_LEVELS, on_deep_stack, too_deep};
use crate::unwind::raise;
use serde::ser::{self, Serialize, Serializer};
use std::any::type_name;

/// The overhead of the allocator for each allocation, in bytes.
const ALLOCATION_OVERHEAD_BYTES: u64 = 16;

/// The sampling interval in a sequence whose first elements own no heap memory.
const FLAT_SAMPLE_INTERVAL: u64 = 16;

/// The measured size of a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowSize {
    /// The bytes on the heap, without the row's own `size_of`.
    pub heap_bytes: u64,
    /// The number of values visited, as a measure of the cost.
    pub values_visited: u64,
}

/// Measures `row`. The size of a row that fails to serialize is zero. A row that is too deep for
/// the codec raises `NotEncodable`.
pub fn measure<T: Serialize>(row: &T) -> RowSize {
    if const { !owns_heap::<T>() } {
        return RowSize::default();
    }
    measure_levels(row, SHALLOW_LEVELS).unwrap_or_else(|| measure_deep(row))
}

/// Measures a row of at most `max_levels` levels.
#[inline]
fn measure_levels<T: Serialize>(row: &T, max_levels: u32) -> Option<RowSize> {
    let mut counter =
        SizeCounter { heap: 0, values_visited: 0, levels_left: max_levels, is_too_deep: false };
    let has_failed = row.serialize(&mut counter).is_err();
    if has_failed && counter.is_too_deep {
        return None;
    }
    let heap_bytes = if has_failed { 0 } else { counter.heap };
    Some(RowSize { heap_bytes, values_visited: counter.values_visited })
}

#[cold]
fn measure_deep<T: Serialize>(row: &T) -> RowSize {
    on_deep_stack(|| measure_levels(row, MAX_LEVELS))
        .unwrap_or_else(|| raise(too_deep(row_type_name(type_name::<T>()))))
}

/// Returns true if a row of this type may own heap memory, which is the case if it needs drop.
/// Otherwise its size is a constant.
pub const fn owns_heap<T>() -> bool {
    std::mem::needs_drop::<T>()
}

/// Returns the bytes that `row` owns on the heap, without its own `size_of`.
#[inline]
pub fn heap_bytes<T: Serialize>(row: &T) -> u64 {
    if const { owns_heap::<T>() } { measure(row).heap_bytes } else { 0 }
}

/// Returns the bytes of `rows` in a vector, with the heap memory they own.
pub fn estimate_rows<T: Serialize>(rows: &[T]) -> u64 {
    let inline = size_of_val(rows) as u64;
    if const { !owns_heap::<T>() } {
        return inline;
    }
    rows.iter().fold(inline, |sum, row| sum.saturating_add(heap_bytes(row)))
}

/// The layout of a value as a field or an element.
#[derive(Clone, Copy)]
struct Width {
    bytes: u64,
    align: u64,
    /// True if a bit pattern is unused, so that `Option` or an enum around the value needs no tag.
    niche: bool,
}

impl Width {
    const ZERO: Width = Width { bytes: 0, align: 1, niche: false };
    const TAG: Width = Width { bytes: 1, align: 1, niche: true };
    const CHAR: Width = Width { bytes: 4, align: 4, niche: true };
    const SEQUENCE: Width = Width { bytes: 24, align: 8, niche: true };
    const MAP: Width = Width { bytes: 48, align: 8, niche: true };

    const fn number(bytes: u64) -> Self {
        Width { bytes, align: bytes, niche: false }
    }

    /// Adds the next field of a struct; see [`Width::padded`].
    fn and(self, field: Width) -> Self {
        Width {
            bytes: self.bytes.saturating_add(field.bytes),
            align: self.align.max(field.align),
            niche: self.niche || field.niche,
        }
    }

    /// Pads a whole struct at its end. The compiler sorts the fields, so there is no other padding.
    fn padded(self) -> Self {
        Width { bytes: self.bytes.next_multiple_of(self.align), ..self }
    }

    /// Adds the tag of an `Option` or an enum.
    fn tagged(self) -> Self {
        if self.niche { self } else { self.and(Width::TAG).padded() }
    }

    /// Returns the layout of an enum with both variants.
    fn or(self, other: Width) -> Self {
        let wider = if other.bytes > self.bytes { other } else { self };
        Width { align: self.align.max(other.align), ..wider }
    }
}

/// The serializer: it returns the width of each value and adds the heap memory that the value owns.
struct SizeCounter {
    heap: u64,
    values_visited: u64,
    levels_left: u32,
    is_too_deep: bool,
}

impl SizeCounter {
    fn allocate(&mut self, bytes: u64) {
        if bytes > 0 {
            self.heap = self.heap.saturating_add(bytes).saturating_add(ALLOCATION_OVERHEAD_BYTES);
        }
    }

    /// Opens a level, which the caller closes.
    #[inline]
    fn open(&mut self) -> Result<(), SerializationFailed> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => {
                self.levels_left = levels_left;
                Ok(())
            }
            None => {
                self.is_too_deep = true;
                Err(std::fmt::Error)
            }
        }
    }

    #[inline]
    fn close(&mut self) {
        self.levels_left += 1;
    }

    /// Visits the only value of a level.
    #[inline]
    fn single<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<Width, SerializationFailed> {
        self.open()?;
        let width = value.serialize(&mut *self)?;
        self.close();
        Ok(width)
    }

    fn elements(&mut self, own: Width) -> Result<Elements<'_>, SerializationFailed> {
        self.open()?;
        let heap_before = self.heap;
        Ok(Elements {
            counter: self,
            own,
            heap_before,
            count: 0,
            widest: Width::ZERO,
            key: Width::ZERO,
        })
    }

    fn fields(&mut self, is_variant: bool) -> Result<Fields<'_>, SerializationFailed> {
        self.open()?;
        Ok(Fields { counter: self, sum: Width::ZERO, is_variant })
    }
}

/// The elements of a sequence or the entries of a map.
struct Elements<'a> {
    counter: &'a mut SizeCounter,
    own: Width,
    /// The heap bytes counted before the first element.
    heap_before: u64,
    count: u64,
    widest: Width,
    key: Width,
}

impl Elements<'_> {
    #[inline]
    fn add<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), SerializationFailed> {
        if self.is_skipped() {
            self.count += 1;
            return Ok(());
        }
        let width = element.serialize(&mut *self.counter)?;
        self.add_width(width);
        Ok(())
    }

    /// Returns true if the next element is not visited, because those before it own no heap memory.
    #[inline]
    fn is_skipped(&self) -> bool {
        self.count >= FLAT_SAMPLE_INTERVAL
            && !self.count.is_multiple_of(FLAT_SAMPLE_INTERVAL)
            && self.counter.heap == self.heap_before
    }

    fn add_width(&mut self, width: Width) {
        self.counter.values_visited += 1;
        self.count += 1;
        self.widest = self.widest.or(width);
    }

    fn finish(self) -> Width {
        self.counter.close();
        self.counter.allocate(self.count.saturating_mul(self.widest.padded().bytes));
        self.own
    }
}

/// The fields of a struct, a tuple or a variant.
struct Fields<'a> {
    counter: &'a mut SizeCounter,
    sum: Width,
    is_variant: bool,
}

impl Fields<'_> {
    #[inline]
    fn add<T: Serialize + ?Sized>(&mut self, field: &T) -> Result<(), SerializationFailed> {
        self.counter.values_visited += 1;
        self.sum = self.sum.and(field.serialize(&mut *self.counter)?);
        Ok(())
    }

    fn finish(self) -> Width {
        self.counter.close();
        let width = self.sum.padded();
        if self.is_variant { width.tagged() } else { width }
    }
}

/// Serialization failed. The encoder reports the reason.
type SerializationFailed = std::fmt::Error;

/// The name of a type, variant or field in the methods of a serializer.
type Name = &'static str;

macro_rules! widths {
    ($($method:ident($($value:ident: $type:ty),*) $width:expr;)*) => {
        $(
            #[inline]
            fn $method(self, $($value: $type),*) -> Result<Width, SerializationFailed> {
                Ok($width)
            }
        )*
    };
}

impl<'a> Serializer for &'a mut SizeCounter {
    type Ok = Width;
    type Error = SerializationFailed;
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
        serialize_unit_struct(_name: Name) Width::ZERO;
        serialize_unit_variant(_name: Name, _index: u32, _variant: Name) Width::TAG;
        serialize_unit() Width::ZERO;
        serialize_none() Width::ZERO;
    }

    fn serialize_str(self, text: &str) -> Result<Width, SerializationFailed> {
        self.serialize_bytes(text.as_bytes())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Width, SerializationFailed> {
        self.allocate(bytes.len() as u64);
        Ok(Width::SEQUENCE)
    }

    fn serialize_some<T: Serialize + ?Sized>(
        self,
        value: &T,
    ) -> Result<Width, SerializationFailed> {
        Ok(self.single(value)?.tagged())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: Name,
        value: &T,
    ) -> Result<Width, SerializationFailed> {
        self.single(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: Name,
        _: u32,
        _: Name,
        value: &T,
    ) -> Result<Width, SerializationFailed> {
        self.serialize_some(value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a>, SerializationFailed> {
        self.elements(Width::SEQUENCE)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Elements<'a>, SerializationFailed> {
        self.elements(Width::MAP)
    }

    fn serialize_tuple(self, _: usize) -> Result<Fields<'a>, SerializationFailed> {
        self.fields(false)
    }

    fn serialize_tuple_struct(self, _: Name, _: usize) -> Result<Fields<'a>, SerializationFailed> {
        self.fields(false)
    }

    fn serialize_struct(self, _: Name, _: usize) -> Result<Fields<'a>, SerializationFailed> {
        self.fields(false)
    }

    fn serialize_tuple_variant(
        self,
        _: Name,
        _: u32,
        _: Name,
        _: usize,
    ) -> Result<Fields<'a>, SerializationFailed> {
        self.fields(true)
    }

    fn serialize_struct_variant(
        self,
        _: Name,
        _: u32,
        _: Name,
        _: usize,
    ) -> Result<Fields<'a>, SerializationFailed> {
        self.fields(true)
    }

    /// Returns false, as the binary codec does, so that types such as `IpAddr` are seen as their
    /// bytes.
    fn is_human_readable(&self) -> bool {
        false
    }
}

impl ser::SerializeMap for Elements<'_> {
    type Ok = Width;
    type Error = SerializationFailed;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SerializationFailed> {
        if !self.is_skipped() {
            self.key = key.serialize(&mut *self.counter)?;
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
    ) -> Result<(), SerializationFailed> {
        if self.is_skipped() {
            self.count += 1;
            return Ok(());
        }
        let value = value.serialize(&mut *self.counter)?;
        self.add_width(self.key.and(value).padded());
        Ok(())
    }

    fn end(self) -> Result<Width, SerializationFailed> {
        Ok(self.finish())
    }
}

/// Implements the serde traits that receive one value at a time.
macro_rules! one_by_one {
    ($($of:ident: $trait:ident::$method:ident($($name:ident: $type:ty)?);)*) => {
        $(
            impl ser::$trait for $of<'_> {
                type Ok = Width;
                type Error = SerializationFailed;
                #[inline]
                fn $method<T: Serialize + ?Sized>(
                    &mut self,
                    $($name: $type,)?
                    value: &T,
                ) -> Result<(), SerializationFailed> {
                    self.add(value)
                }

                fn end(self) -> Result<Width, SerializationFailed> {
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

//! Tests of size estimates.

use super::*;
use std::collections::BTreeMap;

#[test]
fn plain_values_own_no_heap_memory() {
    assert_eq!(heap_bytes(&7_u64), 0);
    assert_eq!(heap_bytes(&(1_u8, 2.5_f64, 'x', [0_u32; 9], Some(true), ())), 0);
}

#[test]
fn a_string_is_one_allocation_and_an_empty_one_is_none() {
    assert_eq!(heap_bytes(&"abc".to_string()), 3 + 16);
    assert_eq!(heap_bytes(&String::new()), 0);
    assert_eq!(heap_bytes(&(1_u64, "abc".to_string())), 3 + 16);
    assert_eq!(heap_bytes(&Some("abc".to_string())), 3 + 16);
    assert_eq!(heap_bytes(&None::<String>), 0);
}

#[test]
fn a_vector_counts_its_elements_by_their_width() {
    assert_eq!(heap_bytes(&vec![1_u64; 4]), 32 + 16);
    assert_eq!(heap_bytes(&vec![1_u8; 4]), 4 + 16);
    assert_eq!(heap_bytes(&vec![(1_u64, 2_u32); 3]), 3 * 16 + 16);
    assert_eq!(heap_bytes(&vec![[1_u16; 3]; 2]), 12 + 16);
    assert_eq!(heap_bytes(&vec![(); 9]), 0);
}

#[test]
fn inner_strings_count_in_the_outer_allocation_and_on_their_own() {
    let words = vec!["ab".to_string(), "c".to_string()];
    assert_eq!(heap_bytes(&words), (2 * 24 + 16) + (2 + 16) + (1 + 16));
    assert_eq!(heap_bytes(&vec![vec![1_u32, 2], vec![]]), (2 * 24 + 16) + (8 + 16));
}

#[test]
fn options_and_variants_have_the_width_of_their_rust_layout() {
    assert_eq!(heap_bytes(&vec![Some(1_u64), None]), 2 * 16 + 16);
    assert_eq!(heap_bytes(&vec![Some("a".to_string()), None]), 2 * 24 + 16 + 1 + 16);
    #[derive(serde::Serialize)]
    enum Shape {
        Dot,
        Circle(f64),
        Line { from: (i32, i32), to: (i32, i32) },
    }
    let shapes = vec![Shape::Dot, Shape::Circle(1.0), Shape::Line { from: (0, 0), to: (1, 1) }];
    assert_eq!(heap_bytes(&shapes), 3 * size_of::<Shape>() as u64 + 16);
}

#[test]
fn a_map_counts_as_one_allocation_of_its_entries() {
    let map = BTreeMap::from([("ab".to_string(), 1_u32), ("c".to_string(), 2)]);
    assert_eq!(heap_bytes(&map), (2 * 32 + 16) + (2 + 16) + (1 + 16));
}

#[test]
fn rows_count_themselves_and_their_heap() {
    let rows = vec!["abc".to_string(); 10];
    assert_eq!(estimate_rows(&rows), 10 * (24 + 3 + 16));
    assert_eq!(estimate_rows(&[1_u64; 1000]), 8000);
    assert_eq!(estimate_rows::<String>(&[]), 0);
}

#[test]
fn one_oversized_row_between_small_ones_is_counted() {
    let mut rows = vec!["x".to_string(); 5000];
    rows[3217] = "x".repeat(1 << 20);
    assert_eq!(estimate_rows(&rows), 5000 * 24 + 4999 * 17 + (1 << 20) + 16);
}

#[test]
fn elements_without_heap_memory_are_sampled() {
    let size = measure(&vec![7_u8; 160_000]);
    assert_eq!(size.heap_bytes, 160_000 + 16);
    assert!(size.values_visited < 11_000, "{} visits", size.values_visited);
    let map: BTreeMap<u64, u64> = (0..1000).map(|n| (n, n)).collect();
    assert_eq!(heap_bytes(&map), 1000 * 16 + 16);
    let mut late = vec![String::new(); 100];
    late.extend(vec!["x".repeat(1000); 100]);
    let strings = heap_bytes(&late) - (200 * 24 + 16);
    assert!((85 * 1016..=100 * 1016).contains(&strings), "{strings}");
}

#[test]
fn a_row_that_fails_to_serialize_counts_as_zero() {
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(ser::Error::custom("no"))
        }
    }
    assert_eq!(heap_bytes(&vec![("abc".to_string(), Fails)]), 0);
}

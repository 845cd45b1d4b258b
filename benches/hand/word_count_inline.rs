//! Counts words of up to 15 bytes that are stored in the table entry, so that most look-ups touch one
//! cache line and never the text.

use super::scatter::PARTS;
use super::text::{each_word, pieces, read};
use super::word_count::{Words, plus};
use crate::support::generate::fnv;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rayon::prelude::*;
use std::hash::BuildHasher;
use std::path::Path;

/// The letters, with their number in the highest byte; or `LONG` there, and the range of the word in the text.
type Key = u128;

const LONG: u128 = 0xff << 120;

#[derive(Clone, Copy)]
struct Slot {
    key: Key,
    count: u32,
    hash: u32,
}

pub fn word_count_inline(path: &Path) -> Words {
    let text = read(path);
    let by_thread: Vec<_> = pieces(&text, rayon::current_num_threads())
        .into_par_iter()
        .map(|(start, piece)| by_part(counted(&text, start, piece)))
        .collect();
    let merge_part = |part: usize| merge(&text, by_thread.iter().map(|parts| &parts[part]));
    (0..PARTS).into_par_iter().map(merge_part).reduce(Words::default, plus)
}

fn counted(text: &[u8], piece_start: usize, piece: &[u8]) -> HashTable<Slot> {
    let hasher = FixedState::with_seed(1);
    let mut table = HashTable::with_capacity(700_000);
    each_word(piece, |start, end| {
        let start = piece_start + start;
        let end = piece_start + end;
        let (key, hash) = match end - start {
            0..=15 => short(text, start, end),
            length => {
                let hash = hasher.hash_one(&text[start..end]);
                (LONG | (length as u128) << 64 | start as u128, (hash >> 32) as u32)
            }
        };
        add(text, &mut table, Slot { key, count: 1, hash });
    });
    table
}

/// Loads 16 bytes and masks those after the word; only the last word of a text is too close to its end
/// for that.
#[inline(always)]
fn short(text: &[u8], start: usize, end: usize) -> (Key, u32) {
    let length = end - start;
    let letters = match text.get(start..start + 16) {
        Some(sixteen) => u128::from_le_bytes(sixteen.try_into().expect("16 bytes")),
        None => {
            let mut padded = [0; 16];
            padded[..length].copy_from_slice(&text[start..end]);
            u128::from_le_bytes(padded)
        }
    };
    let key = (letters & ((1 << (8 * length)) - 1)) | (length as u128) << 120;
    let low = key as u64 ^ 0x243F_6A88_85A3_08D3;
    let high = (key >> 64) as u64;
    let product = u128::from(low) * u128::from(high ^ 0x1319_8A2E_0370_7344);
    let folded = product as u64 ^ (product >> 64) as u64;
    (key, (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32)
}

fn letters(text: &[u8], key: Key) -> &[u8] {
    let start = key as u64 as usize;
    &text[start..start + (key >> 64) as u32 as usize]
}

#[inline(always)]
fn add(text: &[u8], table: &mut HashTable<Slot>, new: Slot) {
    let wide = |hash: u32| u64::from(hash) << 32 | u64::from(hash);
    let long = |key: Key| key >= LONG;
    let same = |old: &Slot| {
        old.hash == new.hash
            && (old.key == new.key
                || long(old.key)
                    && long(new.key)
                    && letters(text, old.key) == letters(text, new.key))
    };
    match table.entry(wide(new.hash), same, |old| wide(old.hash)) {
        Entry::Occupied(mut old) => old.get_mut().count += new.count,
        Entry::Vacant(vacant) => {
            vacant.insert(new);
        }
    }
}

fn by_part(table: HashTable<Slot>) -> Vec<Vec<Slot>> {
    let mut parts = vec![Vec::new(); PARTS];
    table.into_iter().for_each(|slot| parts[(slot.hash >> 19) as usize % PARTS].push(slot));
    parts
}

fn merge<'a>(text: &[u8], parts: impl Iterator<Item = &'a Vec<Slot>> + Clone) -> Words {
    let most = parts.clone().map(Vec::len).max().unwrap_or(0);
    let mut table = HashTable::with_capacity(most * 2);
    parts.flatten().for_each(|slot| add(text, &mut table, *slot));
    let words = table.iter().map(|Slot { key, count, .. }| {
        let bytes = key.to_le_bytes();
        let count = u64::from(*count);
        let word = if *key >= LONG { letters(text, *key) } else { &bytes[..bytes[15] as usize] };
        (1, count, fnv(word).wrapping_mul(count))
    });
    words.fold(Words::default(), plus)
}

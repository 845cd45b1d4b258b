//! Counts words as slices of the text in one table per thread; the tables are merged by hash range.

use super::scatter::PARTS;
use super::text::{each_word, pieces, read};
use crate::support::generate::fnv;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rayon::prelude::*;
use std::hash::BuildHasher;
use std::path::Path;

/// Distinct words, all words, and the wrapping sum of each word's FNV-1a hash times its count.
pub type Words = (u64, u64, u64);

pub fn plus(a: Words, b: Words) -> Words {
    (a.0 + b.0, a.1 + b.1, a.2.wrapping_add(b.2))
}

struct Counted<'a> {
    hash: u64,
    word: &'a [u8],
    count: u64,
}

pub fn word_count(path: &Path) -> Words {
    let text = read(path);
    let by_thread: Vec<_> = pieces(&text, rayon::current_num_threads())
        .into_par_iter()
        .map(|(_, piece)| by_part(counted(piece)))
        .collect();
    let merge_part = |part: usize| merge(by_thread.iter().map(|parts| &parts[part]));
    (0..PARTS).into_par_iter().map(merge_part).reduce(Words::default, plus)
}

fn counted(piece: &[u8]) -> HashTable<Counted<'_>> {
    let hasher = FixedState::with_seed(1);
    let mut table = HashTable::with_capacity(1 << 20);
    each_word(piece, |start, end| {
        let word = &piece[start..end];
        add(&mut table, Counted { hash: hasher.hash_one(word), word, count: 1 });
    });
    table
}

#[inline(always)]
fn add<'a>(table: &mut HashTable<Counted<'a>>, new: Counted<'a>) {
    let same = |old: &Counted<'_>| old.hash == new.hash && old.word == new.word;
    match table.entry(new.hash, same, |old| old.hash) {
        Entry::Occupied(mut old) => old.get_mut().count += new.count,
        Entry::Vacant(vacant) => {
            vacant.insert(new);
        }
    }
}

/// Returns the part of a hash by its middle bits: a table reads the lowest and the highest.
fn by_part(table: HashTable<Counted<'_>>) -> Vec<Vec<Counted<'_>>> {
    let mut parts: Vec<_> = (0..PARTS).map(|_| Vec::new()).collect();
    table.into_iter().for_each(|word| parts[(word.hash >> 32) as usize % PARTS].push(word));
    parts
}

fn merge<'a>(parts: impl Iterator<Item = &'a Vec<Counted<'a>>> + Clone) -> Words {
    let most = parts.clone().map(Vec::len).max().unwrap_or(0);
    let mut table = HashTable::with_capacity(most * 2);
    for &Counted { hash, word, count } in parts.flatten() {
        add(&mut table, Counted { hash, word, count });
    }
    let words = table.iter().map(|it| (1, it.count, fnv(it.word).wrapping_mul(it.count)));
    words.fold(Words::default(), plus)
}

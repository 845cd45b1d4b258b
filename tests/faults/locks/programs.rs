//! Every source, operation and action of the programs.

use super::*;

/// A row with a large payload, so that a few rows fill the memory.
type Large = (Row, Vec<u8>);

pub(super) type Source = fn(&Context, &Arc<Hook>, usize) -> Rdd<Row>;
pub(super) type Operation = fn(&Rdd<Row>) -> Rdd<Row>;
pub(super) type Action = fn(&Rdd<Row>, &Path) -> Result<u64>;

pub(super) fn plain(ctx: &Context, hook: &Arc<Hook>, rows: usize) -> Rdd<Row> {
    let rows: Vec<Row> = (0..rows as u64).map(|n| hook.row(n % 5)).collect();
    ctx.parallelize_with(3, rows).boxed()
}

pub(super) fn large(ctx: &Context, hook: &Arc<Hook>, rows: usize) -> Rdd<Large> {
    plain(ctx, hook, rows).map(|row| (row, vec![0_u8; 20_000])).boxed()
}

pub(super) fn stored(
    ctx: &Context,
    hook: &Arc<Hook>,
    rows: usize,
    level: StorageLevel,
) -> Rdd<Row> {
    let stored = plain(ctx, hook, rows).persist(level);
    let _ = stored.count();
    stored
}

/// Returns stored rows, of which another stored RDD has evicted some.
pub(super) fn evicted(
    ctx: &Context,
    hook: &Arc<Hook>,
    rows: usize,
    level: StorageLevel,
) -> Rdd<Row> {
    let stored = large(ctx, hook, rows.max(60)).persist(level);
    let _ = stored.count();
    let other = large(ctx, hook, rows.max(60)).persist(level);
    let _ = other.count();
    stored.map(|(row, _)| row).boxed()
}

pub(super) const SOURCES: [(&str, Source); 14] = [
    ("plain", plain),
    ("made in tasks", |ctx, hook, rows| {
        let hook = Arc::clone(hook);
        ctx.range_with(3, 0..rows as u64).map(move |n| hook.row(n % 5)).boxed()
    }),
    ("memory", |ctx, hook, rows| stored(ctx, hook, rows, StorageLevel::Memory)),
    ("memory and disk", |ctx, hook, rows| stored(ctx, hook, rows, StorageLevel::MemoryAndDisk)),
    ("disk", |ctx, hook, rows| stored(ctx, hook, rows, StorageLevel::Disk)),
    ("serialized", |ctx, hook, rows| stored(ctx, hook, rows, StorageLevel::SerializedMemory)),
    ("serialized and disk", |ctx, hook, rows| {
        stored(ctx, hook, rows, StorageLevel::SerializedMemoryAndDisk)
    }),
    ("stored by the action", |ctx, hook, rows| plain(ctx, hook, rows).cache()),
    ("unpersisted", |ctx, hook, rows| {
        let stored = stored(ctx, hook, rows, StorageLevel::Memory);
        stored.unpersist();
        stored
    }),
    ("evicted", |ctx, hook, rows| evicted(ctx, hook, rows, StorageLevel::Memory)),
    ("evicted to disk", |ctx, hook, rows| evicted(ctx, hook, rows, StorageLevel::MemoryAndDisk)),
    ("evicted serialized", |ctx, hook, rows| {
        evicted(ctx, hook, rows, StorageLevel::SerializedMemoryAndDisk)
    }),
    ("a local checkpoint", |ctx, hook, rows| {
        let rows = plain(ctx, hook, rows);
        rows.local_checkpoint().unwrap_or(rows)
    }),
    ("a shuffle that was read", |ctx, hook, rows| {
        let shuffled = plain(ctx, hook, rows).repartition(3);
        let _ = shuffled.count();
        shuffled
    }),
];

pub(super) fn pairs(rows: &Rdd<Row>) -> Rdd<(Row, Row)> {
    rows.map(|row| (row.clone(), row)).boxed()
}

pub(super) fn larger(a: Row, b: Row) -> Row {
    if a < b { b } else { a }
}

pub(super) fn append(mut rows: Vec<Row>, row: Row) -> Vec<Row> {
    rows.push(row);
    rows
}

pub(super) fn join(mut rows: Vec<Row>, more: Vec<Row>) -> Vec<Row> {
    rows.extend(more);
    rows
}

/// A partitioner with a row, whose methods are called.
struct ByRow(Row);

impl Partitioner<Row> for ByRow {
    fn partitions(&self) -> usize {
        3
    }

    fn partition_of(&self, key: &Row) -> usize {
        usize::from(*key > self.0)
    }

    fn same_as(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<ByRow>().is_some_and(|other| other.0 == self.0)
    }
}

/// An error with a row, which is displayed.
#[derive(Debug)]
struct Refused(Row);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Refused {}

pub(super) const OPERATIONS: [(&str, Operation); 40] = [
    ("nothing", Rdd::clone),
    ("map", |rows| rows.map(|row| row.clone()).boxed()),
    ("filter", |rows| rows.filter(|row| row.value != 1).boxed()),
    ("flat_map", |rows| rows.flat_map(|row| [row.clone(), row]).boxed()),
    ("map_partitions", |rows| rows.map_partitions(|rows| rows.collect::<Vec<_>>()).boxed()),
    ("glom", |rows| rows.glom().flat_map(|rows| rows).boxed()),
    ("zip", |rows| rows.zip(rows).map(|(a, b)| larger(a, b)).boxed()),
    ("union", |rows| rows.union(rows).boxed()),
    ("sample", |rows| rows.sample(0.5, 7).boxed()),
    ("sample_with_replacement", |rows| rows.sample_with_replacement(1.5, 7).boxed()),
    ("coalesce", |rows| rows.coalesce(2).boxed()),
    ("refs", |rows| rows.refs().map(|row| row.clone()).boxed()),
    ("cache", |rows| rows.cache()),
    ("distinct", |rows| rows.distinct()),
    ("intersection", |rows| rows.intersection(rows)),
    ("subtract", |rows| rows.subtract(&rows.filter(|row| row.value == 1))),
    ("group_by", |rows| rows.group_by(Row::clone).flat_map(|(_, rows)| rows).boxed()),
    ("repartition", |rows| rows.repartition(4)),
    ("sort_by_key", |rows| rows.sort_by_key(Row::clone)),
    ("sort_by", |rows| rows.sort_by(|a, b| b.cmp(a))),
    ("sort_pairs", |rows| pairs(rows).sort_pairs().values().boxed()),
    ("reduce_by_key", |rows| pairs(rows).reduce_by_key(larger).keys().boxed()),
    ("aggregate_by_key", |rows| {
        pairs(rows).aggregate_by_key(Vec::new(), append, join).flat_map(|(_, rows)| rows).boxed()
    }),
    ("combine_by_key", |rows| {
        let combined = pairs(rows).combine_by_key(|row| vec![row], append, join);
        combined.flat_map(|(_, rows)| rows).boxed()
    }),
    ("group_by_key", |rows| pairs(rows).group_by_key().flat_map(|(_, rows)| rows).boxed()),
    ("group_by_key_iter", |rows| {
        pairs(rows).group_by_key_iter().flat_map(|(_, rows)| rows.into_iter()).boxed()
    }),
    ("group_sorted_by_key", |rows| {
        pairs(rows).group_sorted_by_key(Row::clone).flat_map(|(_, rows)| rows).boxed()
    }),
    ("join", |rows| pairs(rows).join(&pairs(rows)).map(|(_, (a, _))| a).boxed()),
    ("full_outer_join", |rows| {
        let joined = pairs(rows).full_outer_join(&pairs(&rows.filter(|row| row.value > 1).boxed()));
        joined.keys().boxed()
    }),
    ("cogroup", |rows| {
        pairs(rows).cogroup(&pairs(rows)).flat_map(|(_, (a, b))| join(a, b)).boxed()
    }),
    ("cogroup_iter", |rows| {
        let groups = pairs(rows).cogroup_iter(&pairs(rows));
        groups.flat_map(|(_, (a, b))| a.into_iter().chain(b).collect::<Vec<_>>()).boxed()
    }),
    ("broadcast_join", |rows| pairs(rows).broadcast_join(&pairs(rows)).keys().boxed()),
    ("broadcast_left_outer_join", |rows| {
        pairs(rows).broadcast_left_outer_join(&pairs(rows)).keys().boxed()
    }),
    ("subtract_by_key", |rows| {
        let few = pairs(&rows.filter(|row| row.value > 2).boxed());
        pairs(rows).subtract_by_key(&few).values().boxed()
    }),
    ("try_map", |rows| {
        let refuse = |row: Row| if row.value == 4 { Err(Refused(row).into()) } else { Ok(row) };
        rows.try_map(refuse).boxed()
    }),
    ("captured rows", |rows| {
        let Ok(Some(bound)) = rows.first() else { return rows.clone() };
        let other = bound.clone();
        rows.filter(move |row| *row >= bound).with(other).filter(|other, row| row >= other).boxed()
    }),
    ("partition_by a partitioner", |rows| {
        let Ok(Some(bound)) = rows.first() else { return rows.clone() };
        let by = || Arc::new(ByRow(bound.clone()));
        pairs(rows).partition_by(by()).join(&pairs(rows).partition_by(by())).keys().boxed()
    }),
    ("a panic", |rows| {
        let panics = rows.map(|row| {
            if row.value == 3 {
                resume_unwind(Box::new(row.clone()));
            }
            row
        });
        panics.boxed()
    }),
    ("partition_by", |rows| pairs(rows).partition_by(3).values().boxed()),
    ("repartition_and_sort", |rows| {
        pairs(rows).repartition_and_sort_within_partitions(3).values().boxed()
    }),
];

/// A row that is displayed by its `Debug`.
struct Shown(Row);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn some(row: Option<Row>) -> u64 {
    row.map_or(0, |row| row.value)
}

fn len<T>(rows: Vec<T>) -> u64 {
    rows.len() as u64
}

pub(super) const ACTIONS: [(&str, Action); 24] = [
    ("collect", |rows, _| rows.collect().map(len)),
    ("count", |rows, _| rows.count()),
    ("take", |rows, _| rows.take(7).map(len)),
    ("first", |rows, _| rows.first().map(some)),
    ("reduce", |rows, _| rows.reduce(larger).map(some)),
    ("aggregate", |rows, _| rows.aggregate(Vec::new(), append, join).map(len)),
    ("min", |rows, _| rows.min().map(some)),
    ("max_by_key", |rows, _| rows.max_by_key(Row::clone).map(some)),
    ("top", |rows, _| rows.top(3).map(len)),
    ("take_ordered", |rows, _| rows.take_ordered(3).map(len)),
    ("top_by_key", |rows, _| rows.top_by_key(3, Row::clone).map(len)),
    ("for_each", |rows, _| rows.for_each(drop).map(|()| 0)),
    ("count_by_value", |rows, _| rows.count_by_value().map(|counts| counts.len() as u64)),
    ("count_by_key", |rows, _| pairs(rows).count_by_key().map(|counts| counts.len() as u64)),
    ("collect_as_map", |rows, _| pairs(rows).collect_as_map().map(|map| map.len() as u64)),
    ("lookup", |rows, _| {
        let Some(key) = rows.first()? else { return Ok(0) };
        pairs(rows).lookup(&key).map(len)
    }),
    ("lookup of a sorted key", |rows, _| {
        let Some(key) = rows.first()? else { return Ok(0) };
        pairs(rows).sort_pairs().lookup(&key).map(len)
    }),
    ("to_local_iterator", |rows, _| rows.to_local_iterator().collect::<Result<Vec<_>>>().map(len)),
    ("save_as_text_file", |rows, folder| {
        rows.map(Shown).save_as_text_file(folder.join("text")).map(|()| 0)
    }),
    ("checkpoint", |rows, folder| rows.checkpoint(folder.join("rows"))?.count()),
    ("local_checkpoint", |rows, _| rows.local_checkpoint()?.collect().map(len)),
    ("twice", |rows, _| {
        rows.count()?;
        rows.count()
    }),
    ("an accumulator", |rows, _| {
        let list = rows.context().accumulator(Vec::new());
        let adder = list.clone();
        rows.for_each(move |row| adder.add(row))?;
        let _ = format!("{list:?}");
        Ok(len(list.value()) + len(list.take()))
    }),
    ("a spawned action", |rows, _| {
        let rows = rows.clone();
        let handle = rows.context().clone().spawn(move || rows.collect());
        handle.wait().map(len)
    }),
];

//! All sources, transformations and actions in one table per family.
//!
//! A dash is the default of a transformation: **partitions** unchanged, **partitioner** dropped, no
//! **shuffle**, constant **memory**, **order** unchanged. Memory is per task, in addition to what
//! closures hold; "spills" means that a task writes runs to disk beyond the task memory limit.
//!
//! # Sources
//!
//! Sources are methods of [`Context`](crate::Context). They have no partitioner and list their
//! input once, when they are called.
//!
//! | operation | shape | partitions | partitioner | shuffle | memory | order |
//! |---|---|---|---|---|---|---|
//! | [`parallelize`](crate::Context::parallelize) | rows to `Rdd<T>` | `default_partitions`, at most one per row | — | — | all rows, not counted | as given |
//! | [`parallelize_with`](crate::Context::parallelize_with) | rows to `Rdd<T>` | given | — | — | all rows, not counted | as given |
//! | [`range`](crate::Context::range) | `Range<N>` to `Rdd<N>` | `default_partitions`, at most one per number | — | — | — | ascending |
//! | [`range_with`](crate::Context::range_with) | `Range<N>` to `Rdd<N>` | given | — | — | — | ascending |
//! | [`generate`](crate::Context::generate) | `Fn(usize) -> rows` to `Rdd<T>` | given | — | — | what the closure holds | as generated |
//! | [`text_file`](crate::Context::text_file) | paths to `Rdd<String>` | by size, 64 KiB to 32 MiB each | — | — | 256 KiB or the longest line | of files, then lines |
//! | [`text_file_with`](crate::Context::text_file_with) | paths to `Rdd<String>` | by size, or given | — | — | 256 KiB or the longest line | of files, then lines |
//! | [`read_checkpoint`](crate::Context::read_checkpoint) | directory to `Rdd<T>` | as written | — | — | one frame | as written |
//! | [`union`](crate::Context::union) | `Rdd<T>`s to `Rdd<T>` | the sum; unchanged if all have one partitioner | unchanged if all have the same | — | — | as given |
//!
//! # Rows
//!
//! | operation | shape | partitions | partitioner | shuffle | memory | order |
//! |---|---|---|---|---|---|---|
//! | [`map`](crate::Rdd::map) | `T` to `U` | — | — | — | — | — |
//! | [`filter`](crate::Rdd::filter) | `T` to `T` | unchanged, some may be empty | unchanged | — | — | — |
//! | [`filter_map`](crate::Rdd::filter_map) | `T` to `U` | — | — | — | — | — |
//! | [`flat_map`](crate::Rdd::flat_map) | `T` to `U`s | — | — | — | the result of one call | — |
//! | [`flat_map_into`](crate::Rdd::flat_map_into) | `T` to `U`s | — | — | — | constant in a scan, else the rows of one call | — |
//! | [`try_map`](crate::Rdd::try_map) | `T` to `U`, or an error | — | — | — | — | — |
//! | [`try_filter`](crate::Rdd::try_filter) | `T` to `T`, or an error | unchanged, some may be empty | unchanged | — | — | — |
//! | [`try_flat_map`](crate::Rdd::try_flat_map) | `T` to `U`s, or an error | — | — | — | the result of one call | — |
//! | [`inspect`](crate::Rdd::inspect) | `T` to `T` | — | unchanged | — | — | — |
//! | [`key_by`](crate::Rdd::key_by) | `T` to `(K, T)` | — | — | — | — | — |
//! | [`sample`](crate::Rdd::sample) | `T` to `T` | unchanged, some may be empty | unchanged | — | — | — |
//! | [`sample_with_replacement`](crate::Rdd::sample_with_replacement) | `T` to `T`s | unchanged, some may be empty | unchanged | — | — | copies are adjacent |
//! | [`boxed`](crate::Rdd::boxed) | `Rdd<T, P>` to `Rdd<T>` | — | unchanged | — | a chunk of up to 1,024 rows and 64 KiB | — |
//!
//! # Partitions
//!
//! | operation | shape | partitions | partitioner | shuffle | memory | order |
//! |---|---|---|---|---|---|---|
//! | [`map_partitions`](crate::Rdd::map_partitions) | `Iterator<T>` to `Iterator<U>` | — | — | — | what the closure holds | as returned |
//! | [`map_partitions_with_index`](crate::Rdd::map_partitions_with_index) | `Iterator<T>` to `Iterator<U>` | — | — | — | what the closure holds | as returned |
//! | [`glom`](crate::Rdd::glom) | `T`s to `Vec<T>` | unchanged, one row each | — | — | the rows of a partition | — |
//! | [`zip`](crate::Rdd::zip) | `T`, `U` to `(T, U)` | unchanged; both need the same number | — | — | — | — |
//! | [`zip_partitions`](crate::Rdd::zip_partitions) | `Iterator<T>`, `Iterator<U>` to `Iterator<V>` | unchanged; both need the same number | — | — | what the closure holds | as returned |
//! | [`union`](crate::Rdd::union) | `T`, `T` to `T` | the sum; unchanged if both have one partitioner | unchanged if both have the same | — | — | this RDD first |
//! | [`coalesce`](crate::Rdd::coalesce) | `T` to `T` | given, at most as before | — | — | — | — |
//! | [`repartition`](crate::Rdd::repartition) | `T` to `T` | given | — | yes | — | previous order, in each partition |
//!
//! # Pairs
//!
//! | operation | shape | partitions | partitioner | shuffle | memory | order |
//! |---|---|---|---|---|---|---|
//! | [`keys`](crate::Rdd::keys) | `(K, V)` to `K` | — | — | — | — | — |
//! | [`values`](crate::Rdd::values) | `(K, V)` to `V` | — | — | — | — | — |
//! | [`map_values`](crate::Rdd::map_values) | `(K, V)` to `(K, U)` | — | unchanged | — | — | — |
//! | [`flat_map_values`](crate::Rdd::flat_map_values) | `(K, V)` to `(K, U)`s | — | unchanged | — | the result of one call | — |
//!
//! # Aggregation by key
//!
//! No shuffle if the input already has the partitioner.
//!
//! | operation | shape | partitions | partitioner | shuffle | memory | order |
//! |---|---|---|---|---|---|---|
//! | [`reduce_by_key`](crate::Rdd::reduce_by_key) | `(K, V)` to `(K, V)` | of its partitioner, else unchanged | its own, else by hash | map-side combine | distinct keys; spills | key hash |
//! | [`fold_by_key`](crate::Rdd::fold_by_key) | `(K, V)` to `(K, V)` | of its partitioner, else unchanged | its own, else by hash | map-side combine | distinct keys; spills | key hash |
//! | [`aggregate_by_key`](crate::Rdd::aggregate_by_key) | `(K, V)` to `(K, A)` | of its partitioner, else unchanged | its own, else by hash | map-side combine | distinct keys; spills | key hash |
//! | [`combine_by_key`](crate::Rdd::combine_by_key) | `(K, V)` to `(K, C)` | of its partitioner, else unchanged | its own, else by hash | map-side combine | distinct keys; spills | key hash |
//! | [`distinct`](crate::Rdd::distinct) | `T` to `T` | — | unchanged | map-side combine; none if partitioned | distinct rows; spills | row hash |
//!
//! # Grouping
//!
//! No shuffle if the input already has the partitioner. Values of a group are in the order of
//! partitions and rows.
//!
//! | operation | shape | partitions | partitioner | shuffle | memory | order |
//! |---|---|---|---|---|---|---|
//! | [`group_by_key`](crate::Rdd::group_by_key) | `(K, V)` to `(K, Vec<V>)` | of its partitioner, else unchanged | its own, else by hash | without map-side combine | task memory limit; spills; `GroupTooLarge` | key hash |
//! | [`group_by_key_iter`](crate::Rdd::group_by_key_iter) | `(K, V)` to `(K, Group<V>)` | of its partitioner, else unchanged | its own, else by hash | without map-side combine | task memory limit; spills | key hash |
//! | [`group_sorted_by_key`](crate::Rdd::group_sorted_by_key) | `(K, V)` to `(K, Vec<V>)` | of its partitioner, else unchanged | its own, else by hash | without map-side combine | task memory limit; spills; `GroupTooLarge` | key hash; values ascending, stable |
//! | [`group_by`](crate::Rdd::group_by) | `T` to `(K, Vec<T>)` | — | by hash | without map-side combine | task memory limit; spills; `GroupTooLarge` | key hash |
//!
//! # Joins
//!
//! A partitioner counts unless it has at most a tenth of the other side's partitions.
//!
//! | operation | shape | partitions | partitioner | shuffle | memory | order |
//! |---|---|---|---|---|---|---|
//! | [`join`](crate::Rdd::join) | `(K, V)`, `(K, W)` to `(K, (V, W))` | of the larger partitioner, else the larger count | that one, else by hash | each side not co-partitioned | task memory limit; spills | key hash |
//! | [`left_outer_join`](crate::Rdd::left_outer_join) | `(K, V)`, `(K, W)` to `(K, (V, Option<W>))` | of the larger partitioner, else the larger count | that one, else by hash | each side not co-partitioned | task memory limit; spills | key hash |
//! | [`right_outer_join`](crate::Rdd::right_outer_join) | `(K, V)`, `(K, W)` to `(K, (Option<V>, W))` | of the larger partitioner, else the larger count | that one, else by hash | each side not co-partitioned | task memory limit; spills | key hash |
//! | [`full_outer_join`](crate::Rdd::full_outer_join) | `(K, V)`, `(K, W)` to `(K, (Option<V>, Option<W>))` | of the larger partitioner, else the larger count | that one, else by hash | each side not co-partitioned | task memory limit; spills | key hash |
//! | [`cogroup`](crate::Rdd::cogroup) | `(K, V)`, `(K, W)` to `(K, (Vec<V>, Vec<W>))` | of the larger partitioner, else the larger count | that one, else by hash | each side not co-partitioned | task memory limit; spills; `GroupTooLarge` | key hash |
//! | [`cogroup_iter`](crate::Rdd::cogroup_iter) | `(K, V)`, `(K, W)` to `(K, (Group<V>, Group<W>))` | of the larger partitioner, else the larger count | that one, else by hash | each side not co-partitioned | task memory limit; spills | key hash |
//! | [`cogroup3`](crate::Rdd::cogroup3) | three RDDs to `(K, (Vec<V>, Vec<W>, Vec<X>))` | of the larger partitioner, else the larger count | that one, else by hash | each side not co-partitioned | task memory limit; spills; `GroupTooLarge` | key hash |
//! | [`broadcast_join`](crate::Rdd::broadcast_join) | `(K, V)`, `(K, W)` to `(K, (V, W))` | — | unchanged | the small side only | a table of the small side; `BroadcastTooLarge` | — |
//! | [`broadcast_left_outer_join`](crate::Rdd::broadcast_left_outer_join) | `(K, V)`, `(K, W)` to `(K, (V, Option<W>))` | — | unchanged | the small side only | a table of the small side; `BroadcastTooLarge` | — |
//!
//! # Sets
//!
//! | operation | shape | partitions | partitioner | shuffle | memory | order |
//! |---|---|---|---|---|---|---|
//! | [`subtract`](crate::Rdd::subtract) | `T`, `T` to `T` | — | — | both sides | task memory limit; spills | row hash |
//! | [`intersection`](crate::Rdd::intersection) | `T`, `T` to `T` | the larger count | — | both sides | task memory limit; spills | row hash |
//! | [`subtract_by_key`](crate::Rdd::subtract_by_key) | `(K, V)`, `(K, W)` to `(K, V)` | of its partitioner, else unchanged | its own, else by hash | each side not co-partitioned | task memory limit; spills | key hash |
//!
//! # Sorting and partitioning
//!
//! | operation | shape | partitions | partitioner | shuffle | memory | order |
//! |---|---|---|---|---|---|---|
//! | [`sort_by_key`](crate::Rdd::sort_by_key) | `T` to `T` | unchanged, some may be empty | — | yes, and a job that samples | task memory limit; spills | ascending by key, stable |
//! | [`sort_by`](crate::Rdd::sort_by) | `T` to `T` | unchanged, some may be empty | — | yes, and a job that samples | task memory limit; spills | ascending, stable |
//! | [`sort_pairs`](crate::Rdd::sort_pairs) | `(K, V)` to `(K, V)` | unchanged, some may be empty | the ranges of the sort | yes, and a job that samples | task memory limit; spills | ascending by key, stable |
//! | [`partition_by`](crate::Rdd::partition_by) | `(K, V)` to `(K, V)` | given | given | yes; none if co-partitioned | — | previous order, in each partition |
//! | [`repartition_and_sort_within_partitions`](crate::Rdd::repartition_and_sort_within_partitions) | `(K, V)` to `(K, V)` | given | given | yes; none if co-partitioned | task memory limit; spills | ascending by key in each partition, stable |
//! | [`with_partitions`](crate::Rdd::with_partitions) | a view with the same operations | given | given | — | — | — |
//!
//! # Persistence
//!
//! | operation | shape | partitions | partitioner | shuffle | memory | order |
//! |---|---|---|---|---|---|---|
//! | [`cache`](crate::Rdd::cache) | `T` to `T` | — | unchanged | — | stored partitions, within the memory limit | — |
//! | [`persist`](crate::Rdd::persist) | `T` to `T` | — | unchanged | — | stored partitions, as the level says | — |
//! | [`unpersist`](crate::Rdd::unpersist) | frees stored partitions | — | unchanged | — | — | — |
//! | [`checkpoint`](crate::Rdd::checkpoint) | `T` to `T` without lineage; runs a job | unchanged, one file each | unchanged | — | a fraction of the task memory limit | — |
//! | [`local_checkpoint`](crate::Rdd::local_checkpoint) | `T` to `T` without lineage; runs a job | — | unchanged | — | stored partitions, within the memory limit, else on disk | — |
//!
//! # Views
//!
//! A view takes the next operation: `refs` passes stored rows by reference, `with` passes a shared
//! value, and the view of `with_partitions` has the operations by key, joins, sets and sorts with
//! explicit partitions.
//!
//! | operation | shape | partitions | partitioner | shuffle | memory | order |
//! |---|---|---|---|---|---|---|
//! | [`refs`](crate::Rdd::refs) | `Rdd<T>` to a view with `Fn(&T)` | — | as the operation | — | — | — |
//! | [`with`](crate::Rdd::with) | `Rdd<T>`, `V` to a view with `Fn(&V, T)` | — | as the operation | — | one value, not counted | — |
//!
//! # Actions
//!
//! Actions run a job, with one task per partition that they read, and have no partitioner.
//!
//! | operation | shape | partitions | partitioner | shuffle | memory | order |
//! |---|---|---|---|---|---|---|
//! | [`collect`](crate::Rdd::collect) | `Vec<T>` | all | — | — | all rows, up to `max_result_bytes` | of partitions, then rows |
//! | [`collect_as_map`](crate::Rdd::collect_as_map) | `HashMap<K, V>` | all | — | — | all pairs, up to `max_result_bytes` | none; the last value of a key |
//! | [`to_local_iterator`](crate::Rdd::to_local_iterator) | iterator of `Result<T>` | one after another, on demand | — | — | the rows of one partition | of partitions, then rows |
//! | [`count`](crate::Rdd::count) | `u64` | all | — | — | — | irrelevant |
//! | [`count_by_key`](crate::Rdd::count_by_key) | `HashMap<K, u64>` | all | — | map-side combine; none if partitioned | all distinct keys | none |
//! | [`count_by_value`](crate::Rdd::count_by_value) | `HashMap<T, u64>` | all | — | map-side combine | all distinct rows | none |
//! | [`reduce`](crate::Rdd::reduce) | `Option<T>` | all | — | — | one row per partition | merged in order |
//! | [`fold`](crate::Rdd::fold) | `T` | all | — | — | one row per partition | merged in order |
//! | [`aggregate`](crate::Rdd::aggregate) | `A` | all | — | — | one accumulator per partition | merged in order |
//! | [`sum`](crate::Rdd::sum) | number | all | — | — | one sum per partition | added in order |
//! | [`stats`](crate::Rdd::stats) | [`Stats`](crate::Stats) | all | — | — | about 1 KiB per partition | irrelevant |
//! | [`min`](crate::Rdd::min) | `Option<T>` | all | — | — | one row per partition | the first of equal rows |
//! | [`max`](crate::Rdd::max) | `Option<T>` | all | — | — | one row per partition | the last of equal rows |
//! | [`min_by_key`](crate::Rdd::min_by_key) | `Option<T>` | all | — | — | one row per partition | the first of equal keys |
//! | [`max_by_key`](crate::Rdd::max_by_key) | `Option<T>` | all | — | — | one row per partition | the last of equal keys |
//! | [`take`](crate::Rdd::take) | `Vec<T>` | as many as needed | — | — | `n` rows per partition | of partitions, then rows |
//! | [`first`](crate::Rdd::first) | `Option<T>` | as many as needed | — | — | one row per partition | of partitions, then rows |
//! | [`is_empty`](crate::Rdd::is_empty) | `bool` | as many as needed | — | — | one row per partition | irrelevant |
//! | [`top`](crate::Rdd::top) | `Vec<T>` | all | — | — | about `2 * n` rows per partition | descending, stable |
//! | [`top_by_key`](crate::Rdd::top_by_key) | `Vec<T>` | all | — | — | about `2 * n` rows per partition | descending by key, stable |
//! | [`bottom_by_key`](crate::Rdd::bottom_by_key) | `Vec<T>` | all | — | — | about `2 * n` rows per partition | ascending by key, stable |
//! | [`take_ordered`](crate::Rdd::take_ordered) | `Vec<T>` | all | — | — | about `2 * n` rows per partition | ascending, stable |
//! | [`lookup`](crate::Rdd::lookup) | `Vec<V>` | one if partitioned, else all | — | — | the values of the key | of partitions, then rows |
//! | [`for_each`](crate::Rdd::for_each) | nothing | all | — | — | — | of rows in each partition |
//! | [`for_each_partition`](crate::Rdd::for_each_partition) | nothing | all | — | — | what the closure holds | of rows in each partition |
//! | [`save_as_text_file`](crate::Rdd::save_as_text_file) | a directory of files | all, one file each | — | — | 1 MiB per task | of rows in each file |
//!
//! # Inspection
//!
//! These run nothing and change nothing.
//!
//! | operation | shape | partitions | partitioner | shuffle | memory | order |
//! |---|---|---|---|---|---|---|
//! | [`explain`](crate::Rdd::explain) | [`Explain`](crate::explain::Explain) | — | — | — | a line per operation | — |
//! | [`evcxr_display`](crate::Rdd::evcxr_display) | prints `explain` in a notebook | — | — | — | a line per operation | — |
//! | [`num_partitions`](crate::Rdd::num_partitions) | `usize` | — | — | — | — | — |
//! | [`id`](crate::Rdd::id) | [`RddId`](crate::id::RddId) | — | — | — | — | — |
//! | [`name`](crate::Rdd::name) | `Option<String>` | — | — | — | — | — |
//! | [`set_name`](crate::Rdd::set_name) | the same RDD | — | unchanged | — | — | — |
//! | [`context`](crate::Rdd::context) | `&Context` | — | — | — | — | — |

#!/usr/bin/env python3
"""inputs.py WORKLOAD ROWS: writes the generated pairs of `benches/support/generate.rs` as Parquet.

Prints the paths, one per line. Existing files are not written again."""
import os
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../target/bench-data")
PIECE = 1 << 20
U = np.uint64


def random(seed, index):
    """Returns the outputs of splitmix64 from a seed for an array of indexes."""
    z = U(seed) + (index + U(1)) * U(0x9E3779B97F4A7C15)
    z = (z ^ (z >> U(30))) * U(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> U(27))) * U(0x94D049BB133111EB)
    return z ^ (z >> U(31))


def below(seed, keys):
    return lambda index: (random(seed, index) >> U(1)) % U(keys)


def same(index):
    return index


SUMMANDS = ("aggregate", pa.int32(), below(2, 1_000_000), lambda index: random(3, index) >> U(44))
TABLES = {
    "aggregate": [SUMMANDS],
    "distinct": [SUMMANDS],
    "join": [("left", pa.int64(), below(4, 10_000_000), same), ("right", pa.int64(), below(5, 10_000_000), same)],
    "sort": [("sort", pa.int64(), lambda index: random(1, index) >> U(1), same)],
}


def write(path, rows, key_type, key, value):
    schema = pa.schema([("k", key_type), ("v", pa.int64())])
    with pq.ParquetWriter(path + ".unfinished", schema, compression="snappy", use_dictionary=False) as file:
        for start in range(0, rows, PIECE):
            index = np.arange(start, min(start + PIECE, rows), dtype=np.uint64)
            columns = [key(index).astype(key_type.to_pandas_dtype()), value(index).astype(np.int64)]
            file.write_table(pa.table(columns, schema=schema))
    os.rename(path + ".unfinished", path)


def main(workload, rows):
    os.makedirs(FOLDER, exist_ok=True)
    for name, key_type, key, value in TABLES[workload]:
        path = os.path.normpath(os.path.join(FOLDER, f"{name}-{rows}.parquet"))
        if not os.path.exists(path):
            write(path, rows, key_type, key, value)
        print(path)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

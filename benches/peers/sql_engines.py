#!/usr/bin/env python3
"""sql_engines.py ENGINE WORKLOAD RUNS THREADS FILE...: DuckDB, Polars or DataFusion.

The files are those that `run.py` made for the workload. Prints one line as emberline's benches do; the
numbers of the answer are in the same order."""
import os
import resource
import statistics
import sys
import time

ENGINE, WORKLOAD, RUNS, THREADS, *FILES = sys.argv[1:]
os.environ["POLARS_MAX_THREADS"] = THREADS
HOUR = ["origin", "year", "month", "day", "hour"]

# Queries that DuckDB and DataFusion share.
SQL = {
    "aggregate": "select count(*), sum(s), sum(cast(k as bigint) * cast(s as bigint)) from (select k, sum(v) s from one group by k) t",
    "distinct": "select count(*), sum(cast(k as bigint)) from (select distinct k from one) t",
    "join": "select count(*), sum(l.v + 3 * r.v) from one l join two r on l.k = r.k",
    "sort": "select k, v from one order by k",
    "flights": f"""
        select manufacturer, count(*), sum(arr_delay), sum(case when wind_speed >= 15.0 then 1 else 0 end)
        from (select {", ".join(HOUR)}, tailnum, arr_delay from flights where arr_delay is not null) f
        join (select tailnum, manufacturer from planes) p on f.tailnum = p.tailnum
        join (select {", ".join(HOUR)}, wind_speed from weather where wind_speed is not null) w
          on {" and ".join(f"f.{column} = w.{column}" for column in HOUR)}
        group by manufacturer order by manufacturer""",
}


def of_sorted(table):
    """Returns rows, smallest and largest key, and the wrapping sum of key * (value + 1)."""
    import numpy as np

    keys, values = (table.column(name).to_numpy() for name in "kv")
    assert (keys[1:] >= keys[:-1]).all(), "not sorted"
    checksum = (keys.astype("u8") * (values.astype("u8") + np.uint64(1))).sum(dtype="u8")
    return [len(keys), keys[0], keys[-1], checksum]


def of_batches(batches):
    """Returns the same for consecutive batches, of which no more than one is held."""
    import pyarrow as pa

    rows, first, last, checksum = 0, None, None, 0
    for batch in batches:
        count, least, largest, part = of_sorted(pa.Table.from_batches([batch]))
        assert last is None or last <= least, "not sorted"
        rows, first, last = rows + count, least if first is None else first, largest
        checksum = (checksum + int(part)) % 2**64
    return [rows, first, last, checksum]


def flat(rows):
    """Returns the numbers of rows, without the names."""
    return [value for row in rows for value in row if not isinstance(value, str)]


def duckdb():
    import duckdb

    connection = duckdb.connect(config={"threads": int(THREADS)})
    ask = lambda sql: connection.execute(sql)
    if WORKLOAD == "word_count":
        lines = f"read_csv('{FILES[0]}', columns={{'line': 'VARCHAR'}}, delim='\x01', quote='', escape='', header=false, auto_detect=false)"
        words = f"select unnest(string_split(line, ' ')) w from {lines}"
        return lambda: flat(ask(f"select count(*), sum(c) from (select w, count(*) c from ({words}) where w <> '' group by w)").fetchall())
    for name, path in zip(["flights", "planes", "weather"] if WORKLOAD == "flights" else ["one", "two"], FILES):
        source = f"read_csv('{path}', header=true, nullstr='NA')" if WORKLOAD == "flights" else f"'{path}'"
        ask(f"create view {name} as select * from {source}")
    if WORKLOAD == "sort":
        return lambda: ask(SQL["sort"]).to_arrow_table()
    if WORKLOAD == "sort_spill":
        ask(f"set memory_limit = '{os.environ['PEER_MEMORY_LIMIT_MB']}MB'")
        return lambda: of_batches(ask(SQL["sort"]).to_arrow_reader(1 << 16))
    return lambda: flat(ask(SQL[WORKLOAD]).fetchall())


def polars():
    import polars as pl

    column = pl.col
    run = lambda frame: frame.collect(engine="streaming")
    whole = lambda name: column(name).cast(pl.Int64)
    if WORKLOAD == "word_count":
        words = pl.scan_lines(FILES[0], name="line").select(column("line").str.split(" ").alias("w")).explode("w")
        counts = words.filter(column("w") != "").group_by("w").agg(pl.len().alias("n"))
        return lambda: flat(run(counts.select(pl.len().alias("words"), whole("n").sum())).rows())
    if WORKLOAD == "flights":
        read = lambda path: pl.scan_csv(path, null_values="NA", infer_schema_length=10_000)
        flights, planes, weather = map(read, FILES)
        flights = flights.filter(column("arr_delay").is_not_null()).select(*HOUR, "tailnum", "arr_delay")
        weather = weather.filter(column("wind_speed").is_not_null()).select(*HOUR, "wind_speed")
        both = flights.join(planes.select("tailnum", "manufacturer"), on="tailnum").join(weather, on=HOUR)
        windy = (column("wind_speed") >= 15.0).sum().cast(pl.Int64).alias("windy")
        sums = both.group_by("manufacturer").agg(pl.len().cast(pl.Int64).alias("n"), column("arr_delay").sum(), windy)
        return lambda: flat(run(sums.sort("manufacturer")).rows())
    one, *two = map(pl.scan_parquet, FILES)
    if WORKLOAD in ("sort", "sort_spill"):
        return lambda: run(one.sort("k"))
    if WORKLOAD == "aggregate":
        sums = one.group_by("k").agg(column("v").sum())
        frame = sums.select(pl.len().alias("n"), column("v").sum(), (whole("k") * column("v")).sum().alias("checksum"))
    elif WORKLOAD == "distinct":
        frame = one.select("k").unique().select(pl.len().alias("n"), whole("k").sum())
    else:
        pairs = one.join(two[0].rename({"v": "right"}), on="k")
        frame = pairs.select(pl.len().alias("n"), (column("v") + column("right") * 3).sum().alias("checksum"))
    return lambda: flat(run(frame).rows())


def datafusion():
    import datafusion as df
    import pyarrow as pa

    context = df.SessionContext(df.SessionConfig().with_target_partitions(int(THREADS)))
    table = lambda sql: pa.Table.from_batches(context.sql(sql).collect())
    rows = lambda sql: [tuple(row.values()) for row in table(sql).to_pylist()]
    if WORKLOAD == "word_count":
        schema = pa.schema([("line", pa.string())])
        options = df.CsvReadOptions(has_header=False, delimiter="\x01", quote="\x02", schema=schema, file_extension=".txt")
        context.register_csv("lines", FILES[0], options=options)
        words = "select unnest(string_to_array(line, ' ')) w from lines"
        return lambda: flat(rows(f"select count(*), sum(c) from (select w, count(*) c from ({words}) where w <> '' group by w)"))
    if WORKLOAD == "flights":
        # Columns are read as text and cast: NA cannot be declared as null.
        casts = {name: "int" for name in [*HOUR[1:], "arr_delay"]} | {"wind_speed": "double"}
        for name, path in zip(["flights", "planes", "weather"], FILES):
            with open(path) as file:
                columns = file.readline().strip().split(",")
            context.register_csv(name + "_text", path, schema=pa.schema([(column, pa.string()) for column in columns]))
            cast = [f"try_cast({c} as {casts[c]}) {c}" if c in casts else c for c in columns]
            context.sql(f"create view {name} as select {', '.join(cast)} from {name}_text")
    else:
        for name, path in zip(["one", "two"], FILES):
            context.register_parquet(name, path)
    if WORKLOAD == "sort":
        return lambda: table(SQL["sort"])
    return lambda: flat(rows(SQL[WORKLOAD]))


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main():
    job = {"duckdb": duckdb, "polars": polars, "datafusion": datafusion}[ENGINE]()
    answer = job()
    if WORKLOAD == "sort" or WORKLOAD == "sort_spill" and ENGINE == "polars":
        answer = of_sorted(answer.to_arrow() if ENGINE == "polars" else answer)
    times = []
    for _ in range(int(RUNS)):
        before, start = cpu(), time.perf_counter()
        job()
        times.append((time.perf_counter() - start, cpu() - before))
    seconds, cpu_seconds = (statistics.median(part) for part in zip(*times))
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"s={seconds:.4f} cpu_s={cpu_seconds:.3f} rss_mb={rss} answer={','.join(map(str, answer))}")


main()

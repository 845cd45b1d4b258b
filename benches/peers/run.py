#!/usr/bin/env python3
"""Runs the workloads of benches/ on emberline, its hand-written baselines and other engines, and prints one table.

    run.py [--full] [--runs N] [--threads N] [--only WORKLOAD,...] [--systems SYSTEM,...]

See README.md in this folder. Progress goes to stderr, the table to stdout."""
import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "../.."))
MADE = os.path.join(ROOT, "target/bench-peers")
DATA = os.path.join(ROOT, "target/bench-data")
PYTHON = os.path.join(MADE, "venv/bin/python")

SQL = ["duckdb", "polars", "datafusion"]
SPARK = ["spark-rdd", "spark-rdd-default"]
DATAFLOW = ["timely", "renoir"]
# The systems of each workload, in addition to emberline and the baseline. The bench of that name has the sizes.
WORKLOADS = {
    "narrow_chain": SPARK + ["spark-df"],
    "word_count": SPARK + ["spark-df"] + SQL + DATAFLOW,
    "word_count_inline": [],
    "aggregate": SPARK + ["spark-df"] + SQL + DATAFLOW,
    "aggregate_scatter": [],
    "join": SPARK + ["spark-df"] + SQL + DATAFLOW,
    "sort": SPARK + ["spark-df"] + SQL,
    "sort_unstable": [],
    "sort_spill": ["spark-rdd", "duckdb", "polars"],
    "group": SPARK,
    "distinct": SPARK + ["spark-df"] + SQL + DATAFLOW,
    "page_rank": SPARK,
    "page_rank_arrays": [],
    "k_means": SPARK,
    "k_means_by_key": [],
    "flights": SPARK + ["spark-df"] + SQL,
    "flights_broadcast": [],
}
BENCH = {
    "word_count_inline": "word_count",
    "aggregate_scatter": "aggregate",
    "sort_unstable": "sort",
    "sort_spill": "sort",
    "page_rank_arrays": "page_rank",
    "k_means_by_key": "k_means",
    "flights_broadcast": "flights",
}
SYSTEMS = ["emberline", "hand", "spark-rdd", "spark-rdd-default", "spark-df", *SQL, *DATAFLOW]
# About the smallest heap with which Spark starts.
SPILL_HEAP = "512m"
TUNED = "-XX:+UseParallelGC -XX:+UseTransparentHugePages"


class Missing(Exception):
    """The reason for which a system is skipped."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(command, environment=None):
    """Returns the stdout of a command; raises Missing with the end of its stderr if it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=1800)
    except (OSError, subprocess.TimeoutExpired) as why:
        raise Missing(f"it does not run: {why}")
    if done.returncode != 0:
        raise Missing(f"it failed: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}")
    return done.stdout


def fields(line):
    head, _, answer = line.partition(" answer=")
    named = dict(word.split("=", 1) for word in head.split() if "=" in word)
    return {**named, "answer": answer}


def numbers(answer):
    """Returns the numbers in an answer; integers as unsigned 64 bits."""
    found = re.findall(r"-?\d+(?:\.\d+)?(?:[eE]-?\d+)?", answer)
    return [float(text) if re.search(r"[.eE]", text) else int(text) % 2**64 for text in found]


def same(one, other):
    """Returns true if two answers agree, floats within a billionth. A shorter answer must be a prefix; an empty one agrees with none."""
    is_float = lambda a, b: isinstance(a, float) or isinstance(b, float)
    close = lambda a, b: a == b or is_float(a, b) and abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    pairs = list(zip(numbers(one), numbers(other)))
    return bool(pairs) and all(close(a, b) for a, b in pairs)


def bench(workload, side, options):
    """Runs one side of a bench: emberline or the baseline."""
    name = BENCH.get(workload, workload)
    arguments = ["--only", side, "--pairs", options.runs + 1, "--threads", options.threads, *["--full"] * options.full]
    out = run(["cargo", "bench", "--quiet", "--bench", name, "--", *map(str, arguments)])
    lines = [line for line in out.splitlines() if line.startswith(f"bench={workload} ")]
    if not lines:
        raise Missing("the bench printed no line")
    return fields(lines[0])


def input_files(workload, rows, system):
    """Returns the input files of a system for a workload; emberline's bench has generated text and flights."""
    if workload == "word_count":
        return [os.path.join(DATA, f"text-{rows}.txt")]
    if workload == "flights":
        planes = os.path.join(ROOT, "examples/data/flights/planes.csv")
        return [os.path.join(DATA, f"flights-{rows}.csv"), planes, os.path.join(DATA, "weather.csv")]
    if workload == "sort_spill":
        workload = "sort"
    generates = system in SPARK + DATAFLOW or workload == "narrow_chain"
    return [] if generates else run([PYTHON, os.path.join(HERE, "inputs.py"), workload, rows]).split()


def peer(workload, system, rows, options):
    files, runs, threads = input_files(workload, rows, system), str(options.runs), str(options.threads)
    if system in DATAFLOW:
        program = os.path.join(MADE, f"cargo/release/peer-{system}")
        return fields(run([need(program), workload, threads, runs, *(files or [str(rows)])]))
    if system in SQL:
        # The same memory limit as emberline's bench: a quarter of the rows.
        limit = {"PEER_MEMORY_LIMIT_MB": str(int(rows) * 16 // 4 >> 20)} if workload == "sort_spill" else {}
        return fields(run([need(PYTHON), os.path.join(HERE, "sql_engines.py"), system, workload, runs, threads, *files], limit))
    jar = need(os.path.join(MADE, "spark.jar"))
    home = run([PYTHON, "-c", "import os, pyspark; print(os.path.dirname(pyspark.__file__))"]).strip()
    settings = ["spark.serializer=org.apache.spark.serializer.KryoSerializer", f"spark.local.dir={MADE}/spark"]
    confs = [part for setting in settings for part in ("--conf", setting)]
    heap, job = options.heap, "df_" + workload if system == "spark-df" else workload
    if workload == "sort_spill":
        heap, job = SPILL_HEAP, "sort"
    tuned = {"SPARK_HOME": home} | ({} if system == "spark-rdd-default" else {"JAVA_TOOL_OPTIONS": TUNED})
    out = run([f"{home}/bin/spark-submit", "--driver-memory", heap, *confs, "--class", "Peer", jar, job, runs, threads, rows, *files], tuned)
    lines = [line for line in out.splitlines() if line.startswith("PEER ")]
    if not lines:
        raise Missing("Spark printed no answer")
    return fields(lines[0])


def need(path):
    if not os.path.exists(path):
        raise Missing("not installed: benches/peers/install.sh makes it")
    return path


def measure(workload, options):
    """Returns the result of each system, emberline first: its result has the number of rows and the answer."""
    ours = bench(workload, "emberline", options)
    results = {"emberline": ours}
    for system in options.systems:
        if system == "emberline" or system not in ["hand", *WORKLOADS[workload]]:
            continue
        say(f"  {system}")
        try:
            result = bench(workload, "hand", options) if system == "hand" else peer(workload, system, ours["rows"], options)
        except Missing as why:
            say(f"  {workload}: {system} is skipped: {why}")
            continue
        if not same(ours["answer"], result["answer"]):
            say(f"  {workload}: {system} is skipped: its answer is {result['answer']}, not {ours['answer']}")
            continue
        results[system] = result
    return results


def print_table(all_results, options):
    shown = [system for system in options.systems if any(system in results for results in all_results.values())]
    print("Seconds (processor seconds, peak MB), and the ratio to emberline's time:\n")
    print("| workload | rows | " + " | ".join(shown) + " |")
    print("|---" * (len(shown) + 2) + "|")
    for workload, results in all_results.items():
        ours = float(results["emberline"]["s"])
        cells = []
        for system in shown:
            result = results.get(system)
            if not result:
                cells.append("")
                continue
            costs = ", ".join(result[key] for key in ("cpu_s", "rss_mb") if key in result)
            times = "" if system == "emberline" else f" {float(result['s']) / ours:.2f}x"
            cells.append(f"{float(result['s']):.3f}{f' ({costs})' if costs else ''}{times}")
        print(f"| {workload} | {results['emberline']['rows']} | " + " | ".join(cells) + " |")


def main():
    names = lambda known: lambda text: [check(name, known) for name in text.split(",")]

    def check(name, known):
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return name

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the sizes of the published table, not a laptop's")
    parser.add_argument("--runs", type=int, default=3, help="runs that count, after one that does not")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--heap", default="8g", help="of Spark")
    parser.add_argument("--only", type=names(WORKLOADS), default=list(WORKLOADS))
    usual = [system for system in SYSTEMS if system != "spark-rdd-default"]
    parser.add_argument("--systems", type=names(SYSTEMS), default=usual)
    options = parser.parse_args()
    results = {}
    for workload in options.only:
        say(workload)
        try:
            results[workload] = measure(workload, options)
        except Missing as why:
            say(f"  {workload} is left out: {why}")
    print_table(results, options)


main()

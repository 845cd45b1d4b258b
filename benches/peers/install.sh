#!/usr/bin/env bash
# Installs the systems of run.py in target/bench-peers: a venv of pinned packages, the Spark jobs, and two
# dataflow programs. Run it again after a change; an existing venv is reused. A part that fails is reported
# and skipped, and run.py skips it too.
set -uo pipefail
cd "$(dirname "$0")/../.."
peers=benches/peers
made=$PWD/target/bench-peers
mkdir -p "$made"

failed() { echo "install.sh: $1, so run.py will skip it" >&2; }

venv() {
    [ -x "$made/venv/bin/python" ] || python3 -m venv "$made/venv" || return 1
    "$made/venv/bin/pip" install --quiet --requirement $peers/requirements.txt
}

spark() {
    local jars
    jars=$(echo "$made"/venv/lib/python3*/site-packages/pyspark/jars)
    rm -rf "$made/classes" && mkdir "$made/classes" || return 1
    java -Xss8m -cp "$jars/*" scala.tools.nsc.Main -usejavacp -opt:l:inline '-opt-inline-from:<sources>' \
        -d "$made/classes" $peers/Spark.scala || return 1
    "$made/venv/bin/python" -m zipfile -c "$made/spark.jar" "$made"/classes/*
}

venv || failed "the Python packages are not installed"
if command -v java > /dev/null; then spark || failed "the Spark jobs do not compile"; else failed "java is not installed"; fi
for engine in timely renoir; do
    cargo build --release --manifest-path $peers/$engine/Cargo.toml --target-dir "$made/cargo" || failed "$engine does not build"
done

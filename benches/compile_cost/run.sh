#!/usr/bin/env bash
# Compile cost of users' programs: lines of LLVM IR, and CPU seconds of a release build of the last crate.
# Fails if a program has more lines than the limit. The README of this folder explains the programs.
#
#     benches/compile_cost/run.sh                # all programs
#     benches/compile_cost/run.sh word_count     # some of them
set -euo pipefail
cd "$(dirname "$0")"

if ! cargo llvm-lines --version > /dev/null 2>&1; then
    echo "skipped: cargo-llvm-lines is not installed (cargo install cargo-llvm-lines)"
    exit 0
fi

# The versions of the workspace.
cp ../../Cargo.lock .

# lines BINARY: of LLVM IR, before optimization, in the dev profile
lines() {
    cargo llvm-lines --quiet --bin "$1" | awk '$3 == "(TOTAL)" { print $1 }'
}

# release_cpu_s BINARY: user and system time of compiling and linking it, with its dependencies built
release_cpu_s() {
    cargo build --quiet --release --bin "$1"
    touch "src/bin/$1.rs"
    local TIMEFORMAT='%U %S'
    { time cargo build --quiet --release --bin "$1" 2> /dev/null; } 2>&1 |
        awk '{ printf "%.1f", $1 + $2 }'
}

max_lines() {
    case "$1" in
        word_count) echo 75000 ;;
        second_row_type) echo 40000 ;;
        twenty_operations) echo 220000 ;;
    esac
}

programs=("$@")
[ "${#programs[@]}" -gt 0 ] || programs=(word_count second_row_type twenty_operations)
failed=0
for program in "${programs[@]}"; do
    lines=$(lines "$program")
    cpu=$(release_cpu_s "$program")
    if [ "$program" = second_row_type ]; then
        # The cost of the row type alone: without the program that has everything else.
        lines=$((lines - $(lines one_row_type)))
        cpu=$(awk "BEGIN { printf \"%.1f\", $cpu - $(release_cpu_s one_row_type) }")
    fi
    max=$(max_lines "$program")
    echo "bench=compile_cost program=$program llvm_lines=$lines max_llvm_lines=$max release_cpu_s=$cpu"
    if [ "$lines" -gt "$max" ]; then
        echo "$program has more lines than its limit"
        failed=1
    fi
done
exit "$failed"

#!/usr/bin/env bash
# Instructions that a row of narrow_chain takes, in emberline and by hand, counted by callgrind: a number
# that no other load changes. Fails if emberline takes more than a tenth more.
#
#     benches/instructions.sh
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v valgrind > /dev/null; then
    echo "skipped: there is no valgrind on this machine"
    exit 0
fi
rows=1000000
bench=$(cargo bench --bench narrow_chain --no-run 2>&1 | sed -n 's/.*(\(.*narrow_chain.*\))/\1/p')

# instructions SIDE ROWS: of a whole process
instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$bench" --only "$1" --rows "$2" --threads 1 --pairs 1 2>&1 > /dev/null | sed -n 's/.*Collected : //p'
}

# What a million rows more cost, so that starting up does not count.
of_row() {
    local less more
    less=$(instructions "$1" $rows)
    more=$(instructions "$1" $((2 * rows)))
    awk "BEGIN { printf \"%.3f\", ($more - $less) / $rows }"
}

emberline=$(of_row emberline)
hand=$(of_row hand)
awk "BEGIN {
    ratio = $emberline / $hand
    printf \"bench=instructions chain=narrow_chain emberline_of_row=$emberline hand_of_row=$hand ratio=%.3f allowed=1.1\n\", ratio
    exit ratio > 1.1
}"

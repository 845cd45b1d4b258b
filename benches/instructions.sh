#!/usr/bin/env bash
# Instructions per row of five jobs on one thread, in emberline and by hand, counted by callgrind:
# figures that no other load on the machine changes. Fails if the narrow chain takes more than a
# tenth more than the loop written by hand.
#
#     benches/instructions.sh                 # all five
#     benches/instructions.sh aggregate join  # some of them
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v valgrind > /dev/null; then
    echo "skipped: valgrind is not installed"
    exit 0
fi

# Rows of the smaller of two runs: the difference of both is what that many rows more cost, so that
# starting up does not count.
rows_of() {
    case "$1" in
        narrow_chain | text) echo 500000 ;;
        word_count) echo 50000 ;;
        *) echo 1000000 ;;
    esac
}

# instructions EXECUTABLE SIDE ROWS: of a whole process
instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$1" --only "$2" --rows "$3" --threads 1 --pairs 1 2>&1 > /dev/null | sed -n 's/.*Collected : //p'
}

# per_row EXECUTABLE SIDE ROWS
per_row() {
    local less more
    less=$(instructions "$1" "$2" "$3")
    more=$(instructions "$1" "$2" $((2 * $3)))
    awk "BEGIN { printf \"%.3f\", ($more - $less) / $3 }"
}

benches=("$@")
[ "${#benches[@]}" -gt 0 ] || benches=(narrow_chain aggregate join text word_count)
failed=0
for name in "${benches[@]}"; do
    executable=$(cargo bench --bench "$name" --no-run 2>&1 | sed -n 's/.*(\(.*release.*\))/\1/p')
    rows=$(rows_of "$name")
    # Makes the input files.
    "$executable" --rows $((2 * rows)) --threads 1 --pairs 1 > /dev/null
    "$executable" --rows "$rows" --threads 1 --pairs 1 > /dev/null
    emberline=$(per_row "$executable" emberline "$rows")
    hand=$(per_row "$executable" hand "$rows")
    awk "BEGIN {
        printf \"bench=instructions job=$name rows=$rows emberline_per_row=$emberline hand_per_row=$hand ratio=%.3f\n\", $emberline / $hand
        exit (\"$name\" == \"narrow_chain\" && $emberline / $hand > 1.1)
    }" || failed=1
done
exit "$failed"

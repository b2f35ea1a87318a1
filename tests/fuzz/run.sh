#!/bin/sh
# run.sh BUILD SECONDS NAME: one fuzz target. Seeds from tests/fuzz/seeds/NAME; what is found new goes to BUILD/corpus/NAME, and
# is used again. Prints one line, or what the target said when it found something. FUZZ_SEED=n in the environment: the same
# inputs each time, as far as the seconds reach.
set -eu
build=$1 seconds=$2 name=$3
corpus=$build/corpus/$name
log=$build/$name.log
mkdir -p "$corpus"
set -- -seed="${FUZZ_SEED:-0}" "$corpus"
[ ! -d "tests/fuzz/seeds/$name" ] || set -- "$@" "tests/fuzz/seeds/$name"
[ ! -f "tests/fuzz/$name.dict" ] || set -- "-dict=tests/fuzz/$name.dict" "$@"
"$build/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="$build/corpus/$name-" "$@" >"$log" 2>&1 || true
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
if [ -z "$runs" ] || grep -qE 'ERROR|SUMMARY' "$log"; then
    grep -a 'assertion failed' "$log" || true
    tail -n 40 "$log"
    echo "fuzz $name: FAILED" >&2
    exit 1
fi
echo "fuzz $name: $runs runs"

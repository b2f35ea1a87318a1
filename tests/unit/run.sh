#!/bin/sh
# run.sh PROGRAM: one unit test, its output in PROGRAM.log and then on standard output in one piece, so that several can run side
# by side.
set -eu
status=0
"$1" >"$1.log" 2>&1 || status=$?
{
    flock 9
    echo "== $1"
    cat "$1.log"
    [ "$status" = 0 ] || echo "failed: $1 ($status)"
} 9>"$(dirname "$1")/.printing"
[ "$status" = 0 ]

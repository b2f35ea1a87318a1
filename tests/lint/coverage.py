"""Lines reached per folder, from the counters of a build with --coverage: coverage.py BUILD [-v] FILE.c...

-v names the lines that were not reached.
"""

import collections
import json
import os
import subprocess
import sys


def lines_of(build, source):
    """Line number to how often it ran, or None where the file was not built."""
    notes = os.path.join(build, source[:-2] + ".gcno")
    if not os.path.exists(notes):
        return None
    out = subprocess.run(["gcov", "--json-format", "--stdout", notes], capture_output=True, text=True, check=True).stdout
    runs = collections.Counter()
    for file in json.loads(out)["files"]:
        if os.path.normpath(file["file"]) == source:
            for line in file["lines"]:
                runs[line["line_number"]] += line["count"]
    return runs


def percent(reached, lines):
    return f"{reached:6d} of {lines:6d} lines  {100 * reached / max(lines, 1):5.1f} %"


def main(build, args):
    verbose = "-v" in args
    folders = collections.defaultdict(lambda: [0, 0])
    for source in sorted(a for a in args if a.endswith(".c")):
        runs = lines_of(build, source)
        if runs is None:
            continue
        reached = sum(1 for n in runs.values() if n)
        for name in (os.path.dirname(source), "all"):
            folders[name][0] += reached
            folders[name][1] += len(runs)
        if verbose:
            print(f"{percent(reached, len(runs))}  {source}: not", *sorted(n for n in runs if not runs[n]))
        else:
            folders[source] = [reached, len(runs)]
    for name in sorted(folders):
        print(f"{percent(*folders[name])}  {name}")
    return 0


sys.exit(main(sys.argv[1], sys.argv[2:]))

"""Takes each rule of rules.py and rules_delivery.py out, one at a time, and asks the tests: run.py BUILD [WORD]

In a copy of the tree below BUILD/mutants. Prints a row for each rule: what failed without it. WORD: only rules that hold it.
"""

import os
import re
import shutil
import subprocess
import sys

import rules
import rules_delivery

RULES = rules.RULES + rules_delivery.RULES

LIMIT_S = 240
# What the make that started this was given is not meant for the one in the copy.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "BUILD")}


def copy_tree(to):
    names = subprocess.run(["git", "ls-files", "-z", "Makefile", "agent", "conf", "parsers", "outputs", "tests/unit", "tests/support"],
                           capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        there = os.path.join(to, name)
        os.makedirs(os.path.dirname(there) or to, exist_ok=True)
        with open(name, "rb") as f:
            text = f.read()
        if not os.path.exists(there) or open(there, "rb").read() != text:
            shutil.copyfile(name, there)


def first_failure(tree, tests):
    """What failed first, or None. A test (FILE, or one case of it, FILE:CASE) is built when it is its turn."""
    for named in tests:
        t, _, case = named.partition(":")
        env = {**ENVIRONMENT, "TEST_FILTER": case} if case else ENVIRONMENT
        made = subprocess.run(["make", "-s", "-j2", "OPT=-O1", "CFLAGS=-O1", "build/unit/test_" + t], cwd=tree, capture_output=True,
                              text=True, env=ENVIRONMENT)
        if made.returncode:
            return "**it does not compile** " + made.stderr[-300:].replace("\n", " ")
        try:
            done = subprocess.run([os.path.join(tree, "build/unit/test_" + t)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=LIMIT_S, cwd=tree, env=env)
            said, ended = done.stdout.decode(errors="replace"), done.returncode == 0
        except subprocess.TimeoutExpired as e:
            said, ended = (e.stdout or b"").decode(errors="replace"), False
        if not ended:
            failed = re.search(r"\[  FAILED  \] (\w+)", said)
            begun = re.findall(r"\[ RUN      \] (\w+)", said)
            return f"test_{t}: " + (failed.group(1) if failed else (begun or ["?"])[-1])
        if case and "[       OK ]" not in said:
            return f"**test_{t} has no case {case}**"
    return None


def main(where, word):
    tree = os.path.abspath(os.path.join(where, "mutants"))
    copy_tree(tree)
    rules = [r for r in RULES if word in r[0]]
    every = sorted({t for r in rules for t in r[4]})
    failed = first_failure(tree, every)
    if failed:
        print("as they are, the tests do not pass: " + failed, file=sys.stderr)
        return 1
    survived = 0
    print("| rule | kept in | without it fails |\n| --- | --- | --- |", flush=True)
    for says, path, text, without, tests in rules:
        there = os.path.join(tree, path)
        with open(there, encoding="utf-8") as f:
            whole = f.read()
        if whole.count(text) != 1:
            found = f"**the text stands there {whole.count(text)} times**"
            survived += 1
        else:
            with open(there, "w", encoding="utf-8") as f:
                f.write(whole.replace(text, without))
            found = first_failure(tree, tests)
            survived += found is None or found.startswith("**")
            with open(there, "w", encoding="utf-8") as f:
                f.write(whole)
        print(f"| {says} | `{os.path.basename(path)}` | {found or '**nothing**'} |", flush=True)
    return 1 if survived else 0


sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))

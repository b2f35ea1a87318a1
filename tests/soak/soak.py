"""`make soak`: a thousand random kills, five hundred power cuts and the crash points, in episodes (episode.py).

    soak.py --folder F [--seed N] [--minutes M] [--jobs J] [--share S]    runs what is not done yet, then shows the table
    soak.py --folder F --only 17                                          one episode again, all it says kept and shown

What is done stands in F/done-SEED.jsonl, so an interrupted run goes on where it was.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "support")]

import barge  # noqa: E402
from episode import FAULTS, Episode, Verdict  # noqa: E402

LIVES = 20
# Repetitions of each fault and output.
PLAN = [
    ("kill", "elasticsearch", 500), ("kill", "file", 200), ("kill-start", "elasticsearch", 200), ("kill-start", "file", 100),
    ("stop", "elasticsearch", 200), ("stop", "file", 200), ("stop-start", "elasticsearch", 100), ("stop-start", "file", 100),
    ("cut-nothing", "elasticsearch", 100), ("cut-nothing", "file", 60), ("cut-some", "elasticsearch", 160), ("cut-some", "file", 100),
    ("cut-all", "elasticsearch", 40), ("cut-all", "file", 40),
]


def episodes(share):
    """[(fault, output)], the kinds mixed so that a part of it is a sample of all."""
    rows = []
    for fault, output, repetitions in PLAN:
        count = max(1, round(repetitions * share / LIVES))
        rows += [((i + 0.5) / count, fault, output) for i in range(count)]
    return [(fault, output) for _, fault, output in sorted(rows)]


def own_ports(counter):
    """Each process hands out ports of a stretch of its own."""
    with counter.get_lock():
        counter.value += 1
        barge.WORKER = counter.value + 3
    barge._next_port = barge._ports()


def run_one(folder, seed, number, fault, output):
    episode = Episode(os.path.join(folder, f"episode-{number}"), f"{seed}/{number}", fault, output, LIVES)
    try:
        verdict = episode.run()
    except Exception:  # noqa: BLE001 - all of them are wanted
        verdict = Verdict(episode.faults, 0, 0, 0, 0, 0.0, [traceback.format_exc()[-3000:]])
    if not verdict.problems:
        episode.remove()
    return {"number": number, "fault": fault, "output": output, **verdict._asdict()}


def table(done):
    lines = ["| fault | output | faults | records | of them must | lost | twice | slowest start |", "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for fault, text in FAULTS.items():
        for output in ("elasticsearch", "file"):
            rows = [d for d in done if d["fault"] == fault and d["output"] == output]
            if rows:
                sums = [sum(r[k] for r in rows) for k in ("faults", "records", "must", "lost", "twice")]
                lines.append(f"| {text} | {output} | " + " | ".join(f"{s:,}" for s in sums) + f" | {max(r['slowest_start_s'] for r in rows):.2f} s |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    options.folder = os.path.realpath(options.folder)
    os.makedirs(options.folder, exist_ok=True)
    plan = list(enumerate(episodes(options.share)))
    if options.only is not None:
        result = run_one(options.folder, options.seed, options.only, *plan[options.only][1])
        print(json.dumps(result, indent=1).replace("\\n", "\n"))
        return bool(result["problems"])
    path = os.path.join(options.folder, f"done-{options.seed}-{options.share:g}.jsonl")
    done = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            done = [json.loads(line) for line in f]
    left = [(n, kind) for n, kind in plan if n not in {d["number"] for d in done}]
    end = time.monotonic() + options.minutes * 60
    pool = concurrent.futures.ProcessPoolExecutor(options.jobs, initializer=own_ports, initargs=(multiprocessing.Value("i", 0),))
    with pool, open(path, "a", encoding="utf-8") as log:
        running = set()
        while left or running:
            while left and len(running) < options.jobs and time.monotonic() < end:
                n, kind = left.pop(0)
                running.add(pool.submit(run_one, options.folder, options.seed, n, *kind))
            if not running:
                break
            ready, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in ready:
                result = future.result()
                log.write(json.dumps(result) + "\n")
                log.flush()
                done.append(result)
                print(f"{len(done)}/{len(plan)} episode {result['number']}: {result['fault']}, {result['output']}: {result['faults']} faults, "
                      f"{result['records']} records, {result['lost']} lost, {result['twice']} twice" + (" PROBLEMS" if result["problems"] else ""), flush=True)
                for problem in result["problems"]:
                    print("    " + problem, flush=True)
    print(table(done))
    if len(done) < len(plan):
        print(f"{len(plan) - len(done)} episodes are left: run it again")
    bad = sorted(d["number"] for d in done if d["problems"])
    if bad:
        print(f"episodes with problems (--only N, SEED={options.seed}): {bad}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())

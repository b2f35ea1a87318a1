"""Rotation at full speed on a busy machine, and two thousand containers in a minute."""

import collections
import json
import os
import subprocess

import pytest

from barge import BINARY
from load import check_exactly_once, line
from waiting import wait_until

ROTATOR = os.path.join(os.path.dirname(BINARY), "bench", "rotator")


def descriptors(barge):
    return len(os.listdir(f"/proc/{barge.process.pid}/fd"))


# MB/s (0: as fast as it goes), max-size, lines
SPEEDS = {"50 MB/s, 1m": (50, 1_000_000, 200_000), "full speed, 1m": (0, 1_000_000, 200_000), "full speed, 200k": (0, 200_000, 100_000)}


@pytest.mark.limit(300)
@pytest.mark.parametrize("how", ["plain", "gz"])
@pytest.mark.parametrize("speed", SPEEDS)
def test_no_file_is_missed(lab, speed, how):
    """One that computes beside it. Where barge has no right to real-time priority a file in a hundred may be missed, and is counted."""
    rate, size, lines = SPEEDS[speed]
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1", max_size=size, max_file=3, compress=how == "gz")
    barge = lab.barge(lab.config(elastic, docker))
    busy = subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"])
    try:
        done = subprocess.run([ROTATOR, docker.path, container.id, "0", str(lines), str(rate), str(size), "3", how], capture_output=True, check=True)
    finally:
        busy.kill()
        busy.wait()
    files = json.loads(done.stdout)["firsts"] + [lines]
    last = {"n": -1}

    def stands_still():
        before, last["n"] = last["n"], len(elastic.store)
        return last["n"] == lines or (before == last["n"] and barge.status()["inputs"]["docker"]["lag_bytes"] == 0 and barge.ledger()["buffered"] == 0)

    wait_until(stands_still, 120, lambda: f"{len(elastic.store)} documents; {barge.status()}", every_s=1)
    seen = collections.Counter(d["seq"] for d in elastic.documents())
    assert set(seen.values()) == {1}
    missing = [b - a for a, b in zip(files, files[1:]) if not all(i in seen for i in range(a, b))]
    assert len(seen) + sum(missing) == lines, "lines are missing from files that were read"
    assert barge.status()["inputs"]["docker"]["missed_files"] == len(missing)
    allowed = len(files) // 100 if "no right to real-time priority" in barge.log() else 0
    assert len(missing) <= allowed, f"{len(missing)} of {len(files) - 1} files, {done.stdout[:200]}"


@pytest.mark.limit(240)
def test_two_thousand_containers_in_a_minute(lab):
    """docker run --rm, each there for as long as it takes to make five others: all that they say, and nothing stays open."""
    elastic, docker = lab.elastic(), lab.docker()
    barge = lab.barge(lab.config(elastic, docker))
    before = descriptors(barge)
    names, alive = [], []
    for i in range(2000):
        container = docker.container(f"job{i}", max_size=1_000_000, max_file=3)
        container.write(line(container.name, 0) + line(container.name, 1))
        names.append(container.name)
        alive.append(container)
        if len(alive) > 5:
            gone = alive.pop(0)
            gone.write(line(gone.name, 2))
            gone.exit()
            # As the engine takes its time between the end of a process and the end of its folder.
            wait_until(lambda: len(elastic.store) >= 3 * (i - 40), 20, every_s=0.001)
            gone.remove()
            docker.containers.remove(gone)
    for gone in alive:
        gone.write(line(gone.name, 2))
        gone.exit()
    elastic.wait_for(6000, 60)
    for gone in alive:
        gone.remove()
    barge.wait_drained()
    check_exactly_once(elastic.documents(), dict.fromkeys(names, 3))
    assert {d["container"]["name"] for d in elastic.documents()} == set(names)
    wait_until(lambda: barge.status()["inputs"]["docker"]["files"] == 0, 20, barge.status)
    wait_until(lambda: barge.status()["inputs"]["docker"]["containers"] == 0, 20, barge.status)
    wait_until(lambda: descriptors(barge) <= before + 2, 20, lambda: f"{descriptors(barge)} descriptors, {before} before")

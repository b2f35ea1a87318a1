"""Pods' logs of a live containerd: what its containers print arrives exactly once."""

import calendar
import collections
import os
import time

import pytest

import containerd
from engine import Unavailable
from expect import value_at
from pods_folder import pack_file
from waiting import PATIENCE, wait_until

# Numbered lines on both streams, some of them longer than a piece; the last one has no end.
SCRIPT = """
long=$(printf '%020000d' 0)
for i in $(seq {n}); do
    echo "out $i"
    [ $((i % 50)) -ne 0 ] || echo "long $i $long"
    echo "err $i" >&2
    [ $((i % 100)) -ne 0 ] || usleep 20000
done
printf 'a last word'
"""


@pytest.fixture(scope="module")
def runtime():
    try:
        made = containerd.Containerd()
    except Unavailable as e:
        pytest.skip(str(e))
    yield made
    made.close()


def written(n):
    """What one run prints, but for its last word."""
    return ([f"out {i}" for i in range(1, n + 1)] + [f"err {i}" for i in range(1, n + 1)] + [f"long {i} " + "0" * 20000 for i in range(50, n + 1, 50)])


def rotate(runtime, container, log, number):
    """As the kubelet does it; returns the rotated file."""
    to = f"{log}.20261123-{number:06}"
    os.rename(log, to)
    runtime.reopen(container)
    return to


@pytest.mark.limit(180)
def test_runs_of_a_pod(lab, runtime):
    pods = lab.pods()
    pod = pods.pod("orders-7d9f8b6c5d-x2x9k")
    elastic = lab.elastic()
    barge = lab.barge(lab.config(elastic, pods=pods.path), env={"NODE_NAME": "node-7"})
    sandbox = runtime.pod(pod)
    wanted = collections.Counter()
    rotations = 0
    for count in range(2):
        container = runtime.run(sandbox, "orders", count, SCRIPT.format(n=2000))
        log = os.path.join(pod.path, "orders", f"{count}.log")
        old = None
        while not runtime.has_exited(container):
            before = os.path.getsize(log)
            wait_until(lambda at=before, of=container: os.path.getsize(log) > at + 50_000 or runtime.has_exited(of), 60, "the container writes")
            if runtime.has_exited(container):
                break
            rotations += 1
            fresh = rotate(runtime, container, log, rotations)
            if old:
                pack_file(old)
            old = fresh
            if rotations == 2:
                barge.kill9()
                barge.start()
        wanted.update(written(2000))
        wanted["a last word"] += count  # the first one's, once the second one runs
    assert rotations > 2
    elastic.wait_for(sum(wanted.values()), 60)
    barge.wait_drained()
    assert collections.Counter(d["message"] for d in elastic.documents()) == wanted
    pod.remove()
    elastic.wait_for(sum(wanted.values()) + 1, 30)
    now = time.time()
    for document in elastic.documents():
        stamp = calendar.timegm(time.strptime(document["@timestamp"][:19], "%Y-%m-%dT%H:%M:%S"))
        assert now - 180 * PATIENCE < stamp <= now + 1
        assert value_at(document, "kubernetes.pod.name") == pod.name and value_at(document, "kubernetes.container.name") == "orders"
        assert value_at(document, "service.name") == "orders" and document["stream"] == ("stderr" if document["message"].startswith("err") else "stdout")
    assert barge.status()["inputs"]["kubernetes"]["missed_files"] == 0

"""Rotation in every way that Docker has, under load, and while nobody looks."""

import os
import random

import pytest

from load import Writer, check_exactly_once, check_order, line
from waiting import holds_for, wait_until

WAYS = {
    "chain": {"max_size": 100_000, "max_file": 3},
    "chain-gz": {"max_size": 100_000, "max_file": 3, "compress": True},
    "max-file-1-unlink": {"max_size": 100_000, "max_file": 1, "rotation": "unlink"},
    "max-file-1-rename": {"max_size": 100_000, "max_file": 1, "rotation": "rename"},
}


def holds_open(barge, container):
    """Whether barge has the container's current log open: it cannot lose that any more."""
    wanted = os.stat(container.path)
    folder = f"/proc/{barge.process.pid}/fd"
    for fd in os.listdir(folder):
        try:
            found = os.stat(f"{folder}/{fd}")
        except OSError:
            continue
        if (found.st_ino, found.st_dev) == (wanted.st_ino, wanted.st_dev):
            return True
    return False


def not_before_it_is_held(barge):
    return lambda container: wait_until(lambda: barge.process is None or holds_open(barge, container), 20, "log held open", every_s=0.001)


@pytest.mark.parametrize("way", WAYS)
def test_rotation_at_speed(lab, way):
    elastic, docker = lab.elastic(), lab.docker()
    containers = [docker.container(f"app{i}-1", **WAYS[way]) for i in range(2)]
    barge = lab.barge(lab.config(elastic, docker))
    writers = [Writer(c, 10000, before_rotation=not_before_it_is_held(barge)) for c in containers]
    for w in writers:
        w.start()
    for w in writers:
        w.finish()
    assert min(c.rotations for c in containers) > 20
    elastic.wait_for(20000, 40)
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {c.name: 10000 for c in containers})
    check_order(elastic.documents())
    docker_figures = barge.status()["inputs"]["docker"]
    assert docker_figures["held_bytes"] == 0 and docker_figures.get("missed_files", 0) == 0
    # What was rotated away is let go in the end.
    wait_until(lambda: barge.status()["inputs"]["docker"]["files"] <= 2 * 3, 15, barge.status)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gz"])
def test_restarts_between_rotations(lab, compress, seed):
    """Files are rotated while the agent runs and while it is down; none goes before it was read."""
    dice = random.Random(seed)
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1", max_file=100, compress=compress)
    barge = lab.barge(lab.config(elastic, docker))
    written = 0

    def write(n):
        nonlocal written
        container.write(b"".join(line("app-1", written + i, 60) for i in range(n)))
        written += n

    for _ in range(8):
        write(dice.randrange(1, 400))
        if dice.random() < 0.5:
            wait_until(lambda: len(elastic.store) >= written // 2, 10)
        if dice.random() < 0.5:
            barge.kill9()
        else:
            barge.stop()
        for _ in range(dice.randrange(0, 4)):
            write(dice.randrange(0, 300))
            container.rotate()
            write(dice.randrange(0, 300))
        barge.start()
        if dice.random() < 0.5:
            container.rotate()
    write(10)
    elastic.wait_for(written)
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": written})


def test_a_line_across_a_rotation_is_one_message(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1", max_file=5)
    barge = lab.barge(lab.config(elastic, docker))
    container.write(b"first\n" + b"a" * 20000)
    container.rotate()
    container.write(b"b" * 20000, at_ns=None)
    container.write(b"err\n", stream="stderr")
    container.rotate()
    container.write(b"c\nlast\n")
    elastic.wait_for(4)
    assert sorted((d["stream"], len(d["message"])) for d in elastic.documents()) == [("stderr", 3), ("stdout", 4), ("stdout", 5), ("stdout", 40001)]
    barge.wait_drained()


def test_a_line_across_a_rotation_and_a_sudden_end(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1", max_file=5, compress=True)
    barge = lab.barge(lab.config(elastic, docker))
    container.write(b"first\n" + b"a" * 20000)
    elastic.wait_for(1)
    barge.kill9()
    container.rotate()
    container.write(b"b" * 20000 + b"\nlast\n")
    barge.start()
    elastic.wait_for(3)
    assert sorted(len(d["message"]) for d in elastic.documents()) == [4, 5, 40000]


def test_truncation_begins_the_file_anew(lab):
    """Docker before 19.03 with max-file=1, or an operator's `: > x-json.log`."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1", rotation="truncate")
    barge = lab.barge(lab.config(elastic, docker))
    written = 0
    for _ in range(5):
        container.write(b"".join(line("app-1", written + i) for i in range(200)))
        written += 200
        elastic.wait_for(written)
        barge.wait_drained()
        container.rotate()
        wait_until(lambda: container.size() == 0, 5)
    # More than before stands in it when the agent looks again.
    barge.stop()
    container.write(b"".join(line("app-1", written + i) for i in range(300)))
    written += 300
    barge.start()
    elastic.wait_for(written)
    check_exactly_once(elastic.documents(), {"app-1": written})


def test_an_inode_used_again_is_another_file(lab):
    """unlink and create at once: most file systems hand out the same inode, and this file is longer than the position."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1", rotation="unlink")
    barge = lab.barge(lab.config(elastic, docker))
    container.write(b"".join(line("app-1", i) for i in range(100)))
    elastic.wait_for(100)
    barge.wait_drained()
    barge.stop()
    container.rotate()
    container.write(b"".join(line("app-1", 100 + i) for i in range(300)))
    barge.start()
    elastic.wait_for(400)
    check_exactly_once(elastic.documents(), {"app-1": 400})


def test_a_removed_container_is_read_to_its_end(lab):
    elastic, docker = lab.elastic(), lab.docker()
    elastic.stop()
    containers = [docker.container(f"app{i}-1", labels={"barge.service": f"svc{i}"}) for i in range(20)]
    barge = lab.barge(lab.config(elastic, docker, buffer={"max_size": "8MiB"}))
    for c in containers:
        c.write(b"".join(line(c.name, i, 500) for i in range(1500)))
    wait_until(lambda: all(holds_open(barge, c) for c in containers), 10, "all held")
    for c in containers:
        c.remove()
    elastic.start()
    elastic.wait_for(20 * 1500, 40)
    barge.wait_drained()
    documents = elastic.documents()
    check_exactly_once(documents, {c.name: 1500 for c in containers})
    assert all(d["container"]["name"] == d.get("src", d["container"]["name"]) and d["service"]["name"].startswith("svc") for d in documents)
    wait_until(lambda: barge.status()["inputs"]["docker"]["files"] == 0, 15, barge.status)


def test_short_lived_containers(lab):
    """docker run --rm, three hundred times: folders that stand for milliseconds."""
    elastic, docker = lab.elastic(), lab.docker()
    barge = lab.barge(lab.config(elastic, docker))
    names = []
    for i in range(300):
        container = docker.container(f"job{i}")
        container.write(line(container.name, 0) + line(container.name, 1))
        wait_until(lambda c=container: holds_open(barge, c), 10, "log held open", every_s=0.001)
        container.exit()
        container.remove()
        names.append(container.name)
    elastic.wait_for(600)
    barge.wait_drained()
    check_exactly_once(elastic.documents(), dict.fromkeys(names, 2))
    assert all(d["container"]["name"].startswith("job") for d in elastic.documents())


def test_papers_that_come_late(lab):
    """config.v2.json written after the first line: the record waits for its name, or has none; later ones have it."""
    elastic, docker = lab.elastic(), lab.docker()
    barge = lab.barge(lab.config(elastic, docker))
    container = docker.container("late-1", write_config=False)
    container.write(line("late-1", 0))
    container.write_config()
    container.write(line("late-1", 1))
    elastic.wait_for(2)
    container.rename("renamed-1")

    def renamed():
        container.write(line("late-1", 2 + renamed.n))
        renamed.n += 1
        wait_until(lambda: len(elastic.store) == 2 + renamed.n, 10)
        return elastic.documents()[-1]["container"]["name"] == "renamed-1"

    renamed.n = 0
    wait_until(renamed, 10, "the new name", every_s=0.1)
    barge.wait_drained()
    assert {d["container"]["id"] for d in elastic.documents()} == {container.id}


@pytest.mark.parametrize("again", [False, True], ids=["first run", "second run"])
def test_first_words_before_the_papers_say_that_it_runs(lab, again):
    """config.v2.json says "not running" until some time after the start: pieces that come before are no last words."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1", running=False)
    barge = lab.barge(lab.config(elastic, docker))
    if again:
        container.start()
        container.write(b"first run\n" + b"z" * 20000)
        container.exit()
        elastic.wait_for(2)
    before = len(elastic.store)
    container.write(b"begun\n" + b"a" * 20000)
    elastic.wait_for(before + 1)
    holds_for(lambda: len(elastic.store) == before + 1, 0.3)
    container.start()
    container.write(b"b" * 20000 + b"\n")
    elastic.wait_for(before + 2)
    assert elastic.documents()[-1]["message"] == "a" * 20000 + "b" * 20000


def test_last_words_that_the_engine_read_late(lab):
    """A piece that was stamped after the end of the process, as it happens on a busy machine: told by the clock."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker))
    container.finished_at = "2018-11-23T09:00:00.5Z"
    container.write(b"y" * 16384, at_ns=1542963600_600000000)
    container.running = False
    container.write_config()
    elastic.wait_for(1, 20)
    assert elastic.documents()[0]["message"] == "y" * 16384
    barge.wait_drained()


def test_only_the_log_of_the_json_file_driver_is_read(lab):
    elastic, docker = lab.elastic(), lab.docker()
    other = docker.container("binary-1", driver="local")
    container = docker.container("app-1")
    for name in ("container-cached.log", "x-json.log", container.id + "-json.log.tmp", "hostname"):
        with open(os.path.join(container.folder, name), "wb") as f:
            f.write(b'{"log":"no\\n","stream":"stdout","time":"2026-11-23T03:56:03.9Z"}\n')
    os.makedirs(os.path.join(docker.path, "not-a-container"))
    barge = lab.barge(lab.config(elastic, docker))
    container.write(line("app-1", 0))
    elastic.wait_for(1)
    barge.wait_drained()
    assert len(elastic.store) == 1
    status = barge.status()["inputs"]["docker"]
    assert "binary-1" in barge.log() or other.id[:12] in barge.log()
    assert status["unreadable"]


def test_excluded_containers(lab):
    elastic, docker = lab.elastic(), lab.docker()
    docker.container("noisy-debug").write(line("noisy-debug", 0))
    docker.container("quiet-1", labels={"com.example.logs": "off"}).write(line("quiet-1", 0))
    docker.container("app-1").write(line("app-1", 0))
    barge = lab.barge(lab.config(elastic, docker, inputs={"docker": {"exclude": ["*-debug", "com.example.logs=off"]}}))
    elastic.wait_for(1)
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": 1})


def test_start_at_the_end(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    container.write(b"old line\n" * 100)
    barge = lab.barge(lab.config(elastic, docker, inputs={"docker": {"start": "end"}}))
    wait_until(lambda: barge.status()["inputs"]["docker"]["skipped_bytes"] == container.size(), 10, barge.status)
    container.write(line("app-1", 0))
    elastic.wait_for(1)
    newcomer = docker.container("new-1")
    newcomer.write(line("new-1", 0))
    barge.restart()
    container.write(line("app-1", 1))
    elastic.wait_for(3)
    check_exactly_once(elastic.documents(), {"app-1": 2, "new-1": 1})

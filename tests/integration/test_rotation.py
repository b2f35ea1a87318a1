"""Rotation in every way that Docker has, under load, and while nobody looks."""

import json
import os
import random
import shutil
import subprocess

import pytest

from barge import BINARY
from load import Writer, check_exactly_once, check_order, line, number_of
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


ROTATOR = os.path.join(os.path.dirname(BINARY), "bench", "rotator")


@pytest.mark.parametrize("how", ["plain", "gz"])
def test_rotation_that_waits_for_nobody(lab, how):
    """50 MB/s with max-size=1m, max-file=3: a file stands for 60 ms. On a machine that stands still for as long, files are missed: then it is
    whole files that are, and each is counted. How few they are, `make soak` measures."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1", max_size=1_000_000, max_file=3, compress=how == "gz")
    barge = lab.barge(lab.config(elastic, docker))
    lines = 60000
    done = subprocess.run([ROTATOR, docker.path, container.id, "0", str(lines), "50", "1000000", "3", how], capture_output=True, check=True)
    files = json.loads(done.stdout)["firsts"] + [lines]

    def missing():
        seen = {d["seq"] for d in elastic.documents()}
        return [b - a for a, b in zip(files, files[1:]) if not seen.issuperset(range(a, b))]

    def all_is_told():
        counted = barge.status()["inputs"]["docker"]["missed_files"]
        return len(elastic.store) + sum(missing()) == lines and len(missing()) == counted

    wait_until(all_is_told, 30, lambda: f"{len(elastic.store)} documents; {barge.status()['inputs']['docker']}", every_s=0.3)
    assert len(missing()) < len(files) // 2
    barge.wait_drained()
    check_order_of_seq(elastic.documents())


def check_order_of_seq(documents):
    """Each once, and their times rise with their numbers."""
    rows = sorted((d["seq"], d["@timestamp"]) for d in documents)
    assert len({seq for seq, _ in rows}) == len(rows)
    assert [at for _, at in rows] == sorted(at for _, at in rows)


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
    documents = elastic.documents()
    check_exactly_once(documents, dict.fromkeys(names, 2))
    # A folder that is gone a millisecond after its log was opened may take its papers along; the id is left.
    assert all(d["container"].get("name", "job").startswith("job") and d["container"]["id"] for d in documents)
    assert sum("name" in d["container"] for d in documents) >= 0.9 * len(documents)


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


@pytest.mark.parametrize("end", ["stands", "removed"])
def test_the_buffer_is_full_while_files_rotate(lab, end):
    """The node is away: reading stops, files are held as they are rotated away, memory stays as it is."""
    elastic, docker = lab.elastic(), lab.docker()
    elastic.stop()
    container = docker.container("app-1", max_size=200_000, max_file=3)
    barge = lab.barge(lab.config(elastic, docker, buffer={"max_size": "8MiB"}))
    writer = Writer(container, 24000, size=600, before_rotation=not_before_it_is_held(barge))
    container.write(line("app-1", 24000))
    wait_until(lambda: barge.ledger()["buffered"] == 1, 10)
    before = barge.rss_kib()
    writer.start()
    writer.finish()
    wait_until(lambda: barge.status()["buffer"]["full"] == 1 and barge.status()["inputs"]["docker"]["held_bytes"] > 5_000_000, 10, barge.status)
    if end == "removed":
        wait_until(lambda: holds_open(barge, container), 10, "all held")
        container.remove()
    # The buffer's own pages of memory and one turn's are in it; twelve megabytes of log are not.
    assert barge.rss_kib() - before < 10_000
    elastic.start()
    elastic.wait_for(24001, 40)
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": 24001})
    figures = barge.status()["inputs"]["docker"]
    assert figures["missed_files"] == figures["let_go_bytes"] == 0
    wait_until(lambda: barge.status()["inputs"]["docker"]["files"] <= (3 if end == "stands" else 0), 20, barge.status)


def test_what_is_beyond_max_held_is_let_go(lab):
    elastic, docker = lab.elastic(), lab.docker()
    elastic.stop()
    container = docker.container("app-1", max_size=200_000, max_file=2)
    barge = lab.barge(lab.config(elastic, docker, buffer={"max_size": "8MiB"}, inputs={"docker": {"max_held": "1MiB"}}))
    writer = Writer(container, 24000, size=600, before_rotation=not_before_it_is_held(barge))
    writer.start()
    writer.finish()
    wait_until(lambda: barge.status()["inputs"]["docker"]["let_go_bytes"] > 0, 20, barge.status)
    wait_until(lambda: barge.status()["inputs"]["docker"]["held_bytes"] <= (1 << 20) + 400_000, 10, barge.status)
    assert "inputs.docker.max_held" in barge.log()
    elastic.start()
    wait_until(lambda: barge.status()["inputs"]["docker"]["lag_bytes"] == 0, 30, barge.status)
    barge.wait_drained()
    seen = [number_of(d)[1] for d in elastic.documents()]
    assert len(seen) == len(set(seen)) and max(seen) == 23999
    # What is missing is what was let go: lines of 600 bytes and some more each.
    let_go = barge.status()["inputs"]["docker"]["let_go_bytes"]
    assert let_go / 900 <= 24000 - len(seen) <= let_go / 600


def test_watches_used_up(lab):
    """A namespace of its own with three watches: the others are polled, which is said once, with the knob."""
    if not shutil.which("unshare"):
        pytest.skip("unshare is missing")
    few = ("unshare", "--user", "--map-root-user", "sh", "-c", 'echo 3 > /proc/sys/user/max_inotify_watches && exec "$@"', "sh")
    if subprocess.run([*few, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("user namespaces are not to be had here")
    elastic, docker = lab.elastic(), lab.docker()
    containers = [docker.container(f"app{i}-1", max_size=20_000, max_file=3) for i in range(6)]
    barge = lab.barge(lab.config(elastic, docker), wrapper=few)
    for n in range(3):
        for c in containers:
            c.write(b"".join(line(c.name, 100 * n + i) for i in range(100)))
        elastic.wait_for(600 * (n + 1), 20)
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {c.name: 300 for c in containers})
    assert min(c.rotations for c in containers) > 1
    said = [row for row in barge.log().splitlines() if "no inotify watches left" in row]
    assert len(said) == 1 and "fs.inotify.max_user_watches" in said[0]


def test_the_right_to_read_is_taken_away_and_given_back(lab):
    """Reading goes on where it stopped."""
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("setpriv is missing")
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1", max_file=3)
    without_rights = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    barge = lab.barge(lab.config(elastic, docker), wrapper=without_rights)
    container.write(b"".join(line("app-1", i) for i in range(100)))
    elastic.wait_for(100)
    barge.wait_drained()
    barge.stop()
    os.chmod(container.path, 0)
    container.write(line("app-1", 100))
    barge.start()
    wait_until(lambda: barge.status()["inputs"]["docker"]["unreadable"] == 1, 10, barge.status)
    container.write(line("app-1", 101))
    os.chmod(container.path, 0o640)
    elastic.wait_for(102)
    wait_until(lambda: barge.status()["inputs"]["docker"]["unreadable"] == 0, 10, barge.status)
    assert barge.wait_drained()["duplicate"] == 0
    check_exactly_once(elastic.documents(), {"app-1": 102})


@pytest.mark.parametrize("grown", [0, 30, 80], ids=["shorter", "shorter with other lines", "longer with other lines"])
def test_a_file_that_a_power_cut_has_shortened(lab, grown):
    """Its second half never reached the disk, and other lines of the same length came in its place: none is taken for the one before."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker))
    start = 1_795_406_400_000_000_001
    for i in range(100):
        container.write(b"first run, line %03d\n" % i, at_ns=start + i)
    elastic.wait_for(100)
    barge.wait_drained()
    barge.stop()  # its own positions are on disk: the file is behind them
    os.truncate(container.path, container.size() // 2)
    for i in range(grown):
        container.write(b"later run, line %03d\n" % i, at_ns=start + 10**9 + i)
    barge.start()
    elastic.wait_for(100 + grown)
    container.write(b"the last one\n")
    elastic.wait_for(101 + grown)
    ledger = barge.wait_drained()
    said = sorted(d["message"] for d in elastic.documents())
    assert said == sorted([f"first run, line {i:03d}" for i in range(100)] + [f"later run, line {i:03d}" for i in range(grown)] + ["the last one"])
    assert ledger["duplicate"] == 50  # what stands there still is read again, and known

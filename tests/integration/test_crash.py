"""Sudden ends at chosen points, and what a loss of power takes: on a disk that forgets (crash_io.c). Random ones are in test_soak.py."""

import glob
import json
import os
import random
import re
import resource
import shutil
import signal

import pytest

import segments
from barge import CRASHING
from disk import KEPT, Disk
from gelf_sender import message
from load import check_exactly_once, line
from scripted_elastic import Refuse, Silence
from waiting import PATIENCE, holds_for, wait_until


def on_disk(lab, disk, elastic, docker=None, **sections):
    """A barge whose data_dir lies on a disk that forgets; not started."""
    config = lab.config(elastic, docker, data_dir=os.path.join(disk.root, "data"), **sections)
    return lab.barge(config, start=False, binary=CRASHING, env=disk.environment)


def start_with(barge, disk, faults):
    barge.env = {**disk.environment, "BARGE_FAULTS": faults}
    return barge.start(ready=False)


def is_synced(barge, disk, text):
    """Whether a committed record with this text was fsynced into the buffer."""
    found = {p: data for p, data in disk.synced().items() if p.startswith(barge.data_dir)}
    return any(text in document for document in segments.committed(found))


def dead_letters(barge):
    found = []
    for path in glob.glob(os.path.join(barge.data_dir, "dead-letters", "*.ndjson")):
        with open(path, "rb") as f:
            found += [json.loads(text) for text in f.read().split(b"\n")[:-1]]
    return found


def dies(barge):
    """Waits for the SIGKILL that a fault brings."""
    assert barge.wait() == -signal.SIGKILL


# ---- the folders and their names ----

FIRST_STARTS = ["", "stop mkdir@data 1 after", "stop mkdir@buffer 1 after", "stop create@state 1 after", "stop sync@state 1 after",
                "stop dirsync 2 before", "stop rename@*.seg 1 after", "stop mkdir 4 after"]


@pytest.mark.parametrize("first", FIRST_STARTS)
@pytest.mark.parametrize("kept", ["nothing", "some"])
def test_what_the_first_life_accepted_survives_the_power_cut(lab, first, kept):
    """A start that was killed half-way made folders; the next one found them, and must see to it that they last."""
    elastic, disk = lab.elastic(), Disk(lab.folder)
    elastic.stop()
    address = lab.gelf_address("tcp")
    barge = on_disk(lab, disk, elastic, gelf_tcp="%s:%d" % address, buffer={"sync": "20ms"})
    if first:
        start_with(barge, disk, first)
        dies(barge)
    start_with(barge, disk, "").wait_ready()
    lab.gelf_stream(address).send(message("accepted"))
    wait_until(lambda: is_synced(barge, disk, b"accepted"), 10, "a record on disk")
    barge.kill9()
    disk.cut(random.Random(first), kept)
    elastic.start()
    start_with(barge, disk, "").wait_ready()
    elastic.wait_for(1)
    assert elastic.documents()[0]["message"] == "accepted"


# ---- events of several lines ----

SLOW = [b"# User@Host: shop[shop] @ localhost []", b"# Query_time: 1.500000  Lock_time: 0.000100  Rows_sent: 1  Rows_examined: 7",
        b"SET timestamp=1700000000;"]


@pytest.mark.parametrize("of", ["container", "text file"])
def test_what_silence_ended_and_was_sent_survives_the_power_cut(lab, of):
    """An end that the lines do not tell is on the disk before it is sent: else what follows would be sent with what was sent already."""
    elastic, docker, disk = lab.elastic(), lab.docker(), Disk(lab.folder)
    if of == "container":
        write = docker.container("api-1").write
        barge = on_disk(lab, disk, elastic, docker, parsers=[{"container": "api-*", "parser": "multiline"}])
        lines = [b"first", b"second", b"\tat a.B.c(D.java:1)"], [b"\tat a.B.d(D.java:2)"]
        messages = ["first", "second", "\tat a.B.d(D.java:2)"]
    else:
        path = os.path.join(lab.folder, "slow.log")

        def write(text):
            with open(path, "ab") as f:
                f.write(text)

        barge = on_disk(lab, disk, elastic, inputs={"files": [{"paths": [path], "parser": "mysql"}]})
        lines = [*SLOW, b"SELECT 1;", *SLOW, b"SELECT 2"], [b"  FROM orders;"]
        messages = ["SELECT 1;", "SELECT 2", "  FROM orders;"]
    start_with(barge, disk, "").wait_ready()
    write(b"".join(line + b"\n" for line in lines[0]))
    elastic.wait_for(2)
    barge.kill9()
    disk.cut(random.Random(1), "nothing")
    write(b"".join(line + b"\n" for line in lines[1]))
    start_with(barge, disk, "").wait_ready()
    elastic.wait_for(3)
    barge.wait_drained()
    assert sorted(d["message"] for d in elastic.documents()) == sorted(messages)


# ---- dead letters ----

def refuse(item):
    return Refuse(400, "document_parsing_exception", "no place for this") if b"poison" in item.document else None


@pytest.mark.parametrize("kept", KEPT)
def test_a_dead_letter_that_was_counted_survives_the_power_cut(lab, kept):
    elastic, docker, disk = lab.elastic(), lab.docker(), Disk(lab.folder)
    elastic.on_item = refuse
    container = docker.container("app-1")
    barge = on_disk(lab, disk, elastic, docker)
    barge.start()
    container.write(b"poison\n")
    wait_until(lambda: barge.ledger()["dead_lettered"] == 1, 10, barge.ledger)
    barge.kill9()
    disk.cut(random.Random(1), kept)
    assert [d["document"]["message"] for d in dead_letters(barge)] == ["poison"]


DEAD_LETTER_POINTS = [f"stop {call}@{name} 1 {when}" for call, name in
                      (("create", "*.ndjson"), ("write", "*.ndjson"), ("sync", "*.ndjson"), ("dirsync", "dead-letters"))
                      for when in ("before", "half", "after") if when != "half" or call == "write"]


@pytest.mark.parametrize("power", [False, True], ids=["kill-9", "power cut"])
@pytest.mark.parametrize("point", DEAD_LETTER_POINTS)
def test_killed_while_it_writes_a_dead_letter(lab, point, power):
    """The record is sent again or is a dead letter: never neither."""
    elastic, docker, disk = lab.elastic(), lab.docker(), Disk(lab.folder)
    elastic.on_item = refuse
    container = docker.container("app-1")
    barge = on_disk(lab, disk, elastic, docker)
    container.write(b"good\npoison\n")
    start_with(barge, disk, point)
    if "dirsync@dead-letters" in point:  # that of the start comes first
        barge.env["BARGE_FAULTS"] = point
    dies(barge)
    if power:
        disk.cut(random.Random(point), "nothing")
    start_with(barge, disk, "").wait_ready()
    wait_until(lambda: {d["document"]["message"] for d in dead_letters(barge)} == {"poison"}, 10, lambda: dead_letters(barge))
    barge.wait_drained()
    assert [d["message"] for d in elastic.documents()] == ["good"]


# ---- between the node's answer and the frontier ----

def test_killed_between_the_answer_and_the_frontier(lab):
    """The node has stored a batch, the agent never hears of it: sent again, each is a 409, and counted so."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker))
    elastic.answer_next(Silence(index=True))
    container.write(b"".join(line("app-1", i) for i in range(100)))
    wait_until(lambda: elastic.requests and 0 < len(elastic.requests[0].items) == len(elastic.store), 10)
    stored = len(elastic.store)
    barge.kill9()
    barge.start()
    elastic.wait_for(100)
    books = barge.wait_drained()
    assert (books["read"], books["duplicate"]) == (100, stored)
    check_exactly_once(elastic.documents(), {"app-1": 100})


def test_killed_when_later_batches_were_done_before_an_earlier_one(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {"batch_size": "16KiB"}}))
    # Enough answers first that it sends several at once.
    container.write(b"".join(line("app-1", i, 100) for i in range(1000)))
    elastic.wait_for(1000)
    barge.wait_drained()
    elastic.answer_next(Silence())
    container.write(b"".join(line("app-1", i, 100) for i in range(1000, 1400)))
    wait_until(lambda: len(elastic.store) > 1000, 10, "a later batch")
    holds_for(lambda: barge.ledger()["buffered"] > 0, 0.1)
    later = len(elastic.store) - 1000
    barge.kill9()
    barge.start()
    elastic.wait_for(1400)
    books = barge.wait_drained()
    assert books["read"] == 1400 and books["duplicate"] >= later
    check_exactly_once(elastic.documents(), {"app-1": 1400})


# ---- the folder as it should not be ----

def first_life(lab):
    """(elastic, container, barge), 600 records in several segments delivered."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, buffer={"max_size": "8MiB"}))
    container.write(b"".join(line("app-1", i, 1500) for i in range(600)))
    elastic.wait_for(600)
    barge.wait_drained()
    return elastic, container, barge


@pytest.mark.parametrize("state", ["missing", "empty", "of yesterday"])
def test_a_state_that_is_gone_or_old(lab, state):
    """What it leaves out is sent again, and is there already; nothing is written over, nothing lost."""
    elastic, container, barge = first_life(lab)
    path = os.path.join(barge.data_dir, "buffer", "state")
    shutil.copyfile(path, lab.folder + "/state")
    elastic.stop()
    container.write(b"".join(line("app-1", i, 1500) for i in range(600, 1500)))
    wait_until(lambda: barge.ledger()["read"] == 1500, 10, barge.ledger)
    barge.kill9()
    if state == "missing":
        os.unlink(path)
    elif state == "empty":
        os.truncate(path, 0)
    else:
        shutil.copyfile(lab.folder + "/state", path)
    elastic.start()
    barge.start()
    elastic.wait_for(1500, 30)
    barge.wait_drained()
    assert barge.ledger()["dropped"]["damaged"] == 0
    check_exactly_once(elastic.documents(), {"app-1": 1500})
    if state != "of yesterday":
        assert "state file is missing or damaged" in barge.log()


def test_a_state_that_is_ahead_of_the_segments(lab):
    """The buffer restored from a copy, but for the state: what was delivered since is not there to be read, and not read as something else."""
    elastic, container, barge = first_life(lab)
    buffer = os.path.join(barge.data_dir, "buffer")
    elastic.stop()
    container.write(b"".join(line("app-1", i, 1500) for i in range(600, 900)))
    wait_until(lambda: barge.ledger()["read"] == 900, 10, barge.ledger)
    barge.kill9()
    shutil.copytree(buffer, lab.folder + "/copy")
    elastic.start()
    barge.start()
    elastic.wait_for(900, 30)
    barge.wait_drained()
    container.write(b"".join(line("app-1", i, 1500) for i in range(900, 1200)))
    elastic.wait_for(1200, 30)
    barge.wait_drained()
    barge.kill9()
    shutil.copyfile(buffer + "/state", lab.folder + "/copy/state")
    shutil.rmtree(buffer)
    os.rename(lab.folder + "/copy", buffer)
    barge.start()
    container.write(b"".join(line("app-1", i, 1500) for i in range(1200, 1500)))
    elastic.wait_for(1500, 30)
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": 1500})


def test_segments_of_another_buffer_are_set_aside(lab):
    """A folder copied from another host into this one: nothing of it is sent, nothing of ours is lost."""
    elastic, other_elastic, docker = lab.elastic(), lab.elastic(), lab.docker()
    other_docker = lab.docker("others")
    other_elastic.stop()
    ours, others = docker.container("app-1"), other_docker.container("other-1")
    other = lab.barge(lab.config(other_elastic, other_docker))
    others.write(b"".join(line("other-1", i) for i in range(100)))
    wait_until(lambda: other.ledger()["buffered"] == 100, 10)
    other.kill9()
    barge = lab.barge(lab.config(elastic, docker))
    ours.write(b"".join(line("app-1", i) for i in range(100)))
    elastic.wait_for(100)
    barge.wait_drained()
    barge.kill9()
    for i, path in enumerate(sorted(glob.glob(other.data_dir + "/buffer/*.seg"))):
        shutil.copyfile(path, os.path.join(barge.data_dir, "buffer", f"{0xff00 + i:016x}.seg"))
    barge.start()
    ours.write(b"".join(line("app-1", i) for i in range(100, 200)))
    elastic.wait_for(200)
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": 200})
    assert glob.glob(barge.data_dir + "/buffer/*.foreign")


# ---- the host ----

def test_stopped_and_continued(lab):
    """SIGSTOP for longer than the node waits: a machine that sleeps, a debugger."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {"timeout": "1s"}}))
    elastic.answer_next(Silence(index=True))
    container.write(b"".join(line("app-1", i) for i in range(100)))
    wait_until(lambda: elastic.store, 10)
    barge.terminate(signal.SIGSTOP)
    container.write(b"".join(line("app-1", i) for i in range(100, 200)))
    holds_for(lambda: len(elastic.store) <= 100, 1.5)
    barge.terminate(signal.SIGCONT)
    elastic.wait_for(200)
    assert barge.wait_drained()["read"] == 200
    check_exactly_once(elastic.documents(), {"app-1": 200})


def test_a_second_agent_leaves_the_first_alone_and_follows_it(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker))
    second = lab.barge({**barge.config, "status": {"listen": ""}}, start=False)
    written = 0
    for _ in range(3):
        second.start(ready=False)
        assert second.wait() == 1 and "used by another process" in second.log()
        container.write(b"".join(line("app-1", written + i) for i in range(100)))
        written += 100
        elastic.wait_for(written)
    barge.wait_drained()
    barge.kill9()
    second.config["status"] = barge.config["status"]
    second.write_config()
    second.start()
    container.write(line("app-1", written))
    elastic.wait_for(written + 1)
    assert second.wait_drained()["read"] == written + 1


def test_other_inodes_under_the_same_bytes_are_the_same_files(lab):
    """The host restored from a copy, a file system moved: nothing is read again."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1", max_file=5)
    barge = lab.barge(lab.config(elastic, docker))
    container.write(b"".join(line("app-1", i) for i in range(100)))
    container.rotate()
    container.write(b"".join(line("app-1", i) for i in range(100, 200)))
    elastic.wait_for(200)
    barge.wait_drained()
    barge.kill9()
    shutil.copytree(docker.path, lab.folder + "/restored")
    shutil.rmtree(docker.path)
    os.rename(lab.folder + "/restored", docker.path)
    barge.start()
    with open(container.path, "ab") as f:
        f.write(container.record_bytes(line("app-1", 200).decode(), when_ns=container.clock()))
    elastic.wait_for(201)
    assert barge.wait_drained()["read"] == 201


@pytest.mark.skipif(PATIENCE > 1, reason="a sanitizer's allocator says it in its own way")
def test_out_of_memory_is_as_kill_9(lab):
    """It ends with one line, and the next life has everything."""
    elastic, docker = lab.elastic(), lab.docker()
    elastic.stop()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker))
    container.write(b"".join(line("app-1", i) for i in range(50)))
    wait_until(lambda: barge.ledger()["read"] == 50, 10)
    with open(f"/proc/{barge.process.pid}/status", encoding="ascii") as f:
        taken = int(re.search(r"VmData:\s+(\d+)", f.read()).group(1)) << 10
    resource.prlimit(barge.process.pid, resource.RLIMIT_DATA, (taken + (1 << 20), taken + (1 << 20)))
    container.write(b"x" * (8 << 20) + b"\n" + line("app-1", 50))
    assert barge.wait() == 1
    assert "out of memory" in barge.log(), barge.log()
    elastic.start()
    barge.start()
    elastic.wait_for(52, 30)
    barge.wait_drained()

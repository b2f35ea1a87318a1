"""Plain text files: rotated in every way that logrotate has, beginning alike, while barge runs and while it does not."""

import collections
import os
import shutil

import pytest

from text_logs import TextLogs
from waiting import wait_until


@pytest.fixture
def logs(tmp_path):
    return TextLogs(tmp_path / "logs")


@pytest.fixture
def start(lab, logs):
    """Starts barge on the folder, with one rule of these keys."""

    def make(pattern="*.log", **keys):
        elastic = lab.elastic()
        rule = {"paths": [logs.at(pattern)], "service": "db", **keys}
        barge = lab.barge(lab.config(elastic, inputs={"files": [rule]}))
        barge.node = elastic
        return barge

    return make


def arrives(barge, logs, killed=False):
    """All that was written is there, nothing twice, and but for what a killed life had not noted no document was sent that was there already."""
    barge.node.wait_for(len(logs.written))
    barge.wait_drained()
    assert sorted(d["message"] for d in barge.node.documents()) == sorted(logs.written)
    assert killed or barge.ledger()["duplicate"] == 0


def seen(barge, logs):
    wait_until(lambda: len(barge.node.store) >= len(logs.written), 20, lambda: sorted(set(logs.written) - {d["message"] for d in barge.node.documents()}))
    got = collections.Counter(d["message"] for d in barge.node.documents())
    assert got == collections.Counter(logs.written)


def test_a_line_becomes_a_document(logs, start):
    logs.write("a.log", b"one", b'{"level":"warn","msg":"two","n":3}')
    os.utime(logs.at("a.log"), (1700000000, 1700000000))
    barge = start()
    barge.node.wait_for(2)
    one, two = sorted(barge.node.documents(), key=lambda d: d["message"])
    assert one == {"@timestamp": "2023-11-14T22:13:20Z", "message": "one", "log": {"file": {"path": logs.at("a.log")}},
                   "service": {"name": "db"}, "host": {"name": "test-host"}, "event": {"sequence": 0}}
    assert two == dict(one, message="two", n=3, event={"sequence": 4}, log={"level": "warn", "file": {"path": logs.at("a.log")}})
    figures = barge.status()["inputs"]["files"]
    assert figures["lines"] == 2 and figures["bytes"] == 39 and figures["unreadable"] == 0
    wait_until(lambda: barge.status()["inputs"]["files"]["lag_bytes"] == 0)


def test_odd_lines(logs, start):
    long = b"x" * (1 << 20)
    with open(logs.at("a.log"), "wb") as f:
        f.write(b"crlf\r\n\n" + b"\0" * 7 + b"nul\0inside\n" + b"broken \xff\n" + long + b"beyond\nlast without its end")
    barge = start()
    barge.node.wait_for(4)
    by = {d["message"][:6]: d for d in barge.node.documents()}
    assert by["crlf"]["message"] == "crlf" and "tags" not in by["crlf"]
    assert by["nul\0in"]["message"] == "nul\0inside"
    assert by["broken"]["message"] == "broken \ufffd" and by["broken"]["tags"] == ["utf8_repaired"]
    assert by["xxxxxx"]["message"] == long.decode() and by["xxxxxx"]["tags"] == ["truncated"]
    assert barge.status()["inputs"]["files"]["skipped_bytes"] == 7 + len("beyond")
    logs.rename("a.log", "a.log.1")  # nothing can follow any more
    logs.write("a.log", b"next")
    barge.node.wait_for(6)
    assert {"last without its end", "next"} <= {d["message"] for d in barge.node.documents()}


@pytest.mark.parametrize("pattern", ["*.log", "*"])  # the second fits the rotated names as well
@pytest.mark.parametrize("down", [False, True])
def test_renamed_and_compressed_later(logs, start, pattern, down):
    """delaycompress: .1 is still written to, .2.gz is made of the one before."""
    logs.banner("a.log")
    barge = start(pattern)
    seen(barge, logs)
    for i in range(3):
        if down:
            barge.stop()
        logs.write("a.log", b"before %d" % i)
        if os.path.exists(logs.at("a.log.1")):
            logs.gzip("a.log.1")
        logs.rename("a.log", "a.log.1")
        if os.path.exists(logs.at("a.log.1.gz")):
            os.rename(logs.at("a.log.1.gz"), logs.at("a.log.2.gz"))
        logs.write("a.log.1", b"late %d" % i)
        logs.banner("a.log")
        if down:
            barge.start()
        seen(barge, logs)
    arrives(barge, logs)
    barge.restart(kill=True)
    logs.write("a.log", b"in the end")
    arrives(barge, logs, killed=True)


@pytest.mark.parametrize("down", [False, True])
def test_copied_and_truncated(logs, start, down):
    logs.banner("a.log")
    barge = start()
    seen(barge, logs)
    for i in range(2):
        logs.write("a.log", *(b"round %d line %d" % (i, k) for k in range(100)))
        seen(barge, logs)
        if down:
            barge.kill9()
            logs.write("a.log", b"unread %d" % i)
        logs.rename("a.log.1", "a.log.2")
        logs.copytruncate("a.log", "a.log.1")
        if not down:
            wait_until(lambda: "was truncated" in barge.log() or i, 10)
        logs.banner("a.log")  # the same bytes at the same place of the same inode
        logs.write("a.log", *(b"again %d" % k for k in range(3)))
        if down:
            barge.start()
        seen(barge, logs)
    arrives(barge, logs, killed=down)


def test_files_that_begin_alike(logs, start):
    for name in ("a.log", "b.log"):
        logs.banner(name)
    logs.banner("a.log.1")
    logs.banner("a.log-20240131")
    barge = start()
    arrives(barge, logs)
    barge.kill9()
    logs.write("b.log", b"more")
    logs.banner("a.log")
    barge.start()
    arrives(barge, logs, killed=True)


def test_an_inode_that_is_used_again(logs, start):
    logs.banner("a.log")
    logs.write("a.log", b"old")
    barge = start()
    seen(barge, logs)
    barge.stop()
    os.unlink(logs.at("a.log"))
    logs.banner("a.log")
    logs.write("a.log", b"new")
    barge.start()
    arrives(barge, logs)


def test_a_name_that_no_rotation_gives(logs, start):
    """Renamed to what is a log of its own by its name: it is the one that was read."""
    logs.write("a.log", b"one")
    barge = start()
    seen(barge, logs)
    os.rename(logs.at("a.log"), logs.at("archive-of-a.log"))
    logs.write("a.log", b"two")
    logs.write("archive-of-a.log", b"three")
    seen(barge, logs)
    barge.stop()
    os.rename(logs.at("archive-of-a.log"), logs.at("elsewhere.log"))
    logs.write("elsewhere.log", b"four")
    barge.start()
    arrives(barge, logs)


def test_removed_at_once(logs, start):
    barge = start()
    logs.write("b.log", b"first")
    seen(barge, logs)
    for i in range(20):
        logs.write("a.log", *(b"round %d line %d" % (i, k) for k in range(100)))
        seen(barge, logs)
        os.unlink(logs.at("a.log"))
    logs.write("a.log", b"last")
    arrives(barge, logs)
    wait_until(lambda: barge.status()["inputs"]["files"]["files"] == 2, 20)
    figures = barge.status()["inputs"]["files"]
    assert figures["missed_files"] == 0 and figures["at_risk_bytes"] == 0


def test_folders_that_come_and_go(logs, start, tmp_path):
    barge = start("*/app/[ab]?.log", exclude=["ax.log"])
    for name in ("one/app", "two/app", "three/other"):
        os.makedirs(logs.at(name))
    logs.write("one/app/a1.log", b"1")
    logs.write("two/app/b1.log", b"2")
    for name in ("one/app/ax.log", "one/app/c1.log", "three/other/a1.log"):
        logs.write(name, b"left out")
        logs.written.pop()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a9.log").write_bytes(b"out of the way\n")
    os.makedirs(logs.at("four"))
    os.symlink(outside, logs.at("four/app"))
    os.symlink(outside / "a9.log", logs.at("one/app/a9.log"))
    os.mkfifo(logs.at("one/app/b9.log"))
    seen(barge, logs)
    shutil.rmtree(logs.at("one"))
    os.makedirs(logs.at("one/app"))
    logs.write("one/app/a1.log", b"3")
    arrives(barge, logs)


def test_two_paths_to_one_folder(logs, start):
    """Its lines come once, by whichever path, also when one of them leads elsewhere."""
    for name in ("one", "two"):
        os.makedirs(logs.at(name))
    os.symlink(logs.at("one"), logs.at("current"))
    barge = start(paths=[logs.at("one/*.log"), logs.at("current/*.log")])
    logs.write("one/a.log", b"1")
    seen(barge, logs)
    os.unlink(logs.at("current"))
    os.symlink(logs.at("two"), logs.at("current"))
    logs.write("two/a.log", b"2")
    seen(barge, logs)
    logs.write("one/a.log", b"3")
    logs.write("one/b.log", b"4")
    arrives(barge, logs)


@pytest.mark.parametrize("begin, expected", [("end", ["new"]), ("24h", ["b", "new"])])
def test_where_to_begin(logs, start, begin, expected):
    logs.write("a.log", b"a")
    os.utime(logs.at("a.log"), (1700000000, 1700000000))
    logs.write("b.log", b"b")
    barge = start(begin=begin)
    logs.written[:] = [e for e in expected if e != "new"]
    wait_until(lambda: barge.status()["inputs"]["files"]["skipped_bytes"] == 4 - 2 * len(logs.written))
    logs.write("a.log", b"new")
    arrives(barge, logs)


def test_the_right_to_read(logs, start):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    logs.write("a.log", b"one")
    os.chmod(logs.at("a.log"), 0)
    barge = start()
    wait_until(lambda: barge.status()["inputs"]["files"]["unreadable"] == 1)
    assert logs.at("a.log") in barge.status()["inputs"]["files"]["unreadable_files"]
    os.chmod(logs.at("a.log"), 0o600)
    arrives(barge, logs)
    wait_until(lambda: barge.status()["inputs"]["files"]["unreadable"] == 0)

"""Lines of one event in plain text files: joined, whatever happens to agent and file in the middle of them."""

import os
import random
import shutil
import threading
import time

import pytest

from barge import run
from expect import value_at
from text_logs import TextLogs
from waiting import wait_until

HEAD = b"12:00:00 ERROR order failed"
TRACE = [b"com.shop.OrderException: no stock", b"\tat com.shop.Orders.take(Orders.java:17)", b"Caused by: java.io.IOException: disk",
         b"\t... 1 more"]
SLOW = [b"# User@Host: shop[shop] @ localhost []", b"# Thread_id: 8  Schema: shop  QC_hit: No",
        b"# Query_time: 1.500000  Lock_time: 0.000100  Rows_sent: 1  Rows_examined: 7"]


@pytest.fixture
def logs(tmp_path):
    return TextLogs(tmp_path / "logs")


@pytest.fixture
def start(lab, logs):
    """Starts barge on the folder, with one rule of these keys behind the others."""

    def make(*others, **keys):
        elastic = lab.elastic()
        rule = {"paths": [logs.at("*.log")], "service": "shop", "parser": "multiline", **keys}
        barge = lab.barge(lab.config(elastic, inputs={"files": [*others, rule]}, buffer={"sync": "50ms"}))
        barge.node = elastic
        return barge

    return make


def text(document):
    """What was written: the message and its trace, of which the message may be the first line."""
    message, trace = value_at(document, "message"), value_at(document, "error.stack_trace")
    return message if trace is None else trace if trace.startswith(message) else f"{message}\n{trace}"


def texts(barge):
    return sorted(text(d) for d in barge.node.documents())


def holds(barge, *events):
    """These, each once."""
    expected = sorted(b"\n".join(e).decode() for e in events)
    wait_until(lambda: texts(barge) == expected, 30, lambda: str(texts(barge)))


def test_a_trace_is_one_document(logs, start):
    logs.write("a.log", b"before", HEAD, *TRACE, b'{"msg":"an object","sku":"A"}', b"", b"after", b"", b"\tindented")
    logs.write("b.log", b"Traceback (most recent call last):", b'  File "a.py", line 1', b"ValueError: bad sku", b"", b"")
    logs.write("own.log", b"1 first", b"more", b"", b"of it", b"2 second")
    os.utime(logs.at("a.log"), (1700000000, 1700000000))
    barge = start({"paths": [logs.at("own.log")], "parser": "multiline", "start": r"^\d+ "})
    barge.node.wait_for(8)
    found = {d["message"]: d for d in barge.node.documents()}
    assert sorted(found) == sorted(["before", HEAD.decode(), "an object", "after", "\tindented", "ValueError: bad sku", "1 first\nmore\n\nof it", "2 second"])
    assert found[HEAD.decode()] == {
        "@timestamp": "2023-11-14T22:13:20Z", "message": HEAD.decode(), "service": {"name": "shop"}, "host": {"name": "test-host"},
        "error": {"type": "com.shop.OrderException", "message": "no stock", "stack_trace": b"\n".join(TRACE).decode()},
        "log": {"file": {"path": logs.at("a.log")}}, "event": {"sequence": 7}}
    assert found["ValueError: bad sku"]["error"]["stack_trace"].count("\n") == 2
    assert found["an object"]["sku"] == "A"


class Program(threading.Thread):
    """Writes events of one to five lines, line by line, without a pause as long as silence, and rotates between two of them."""

    def __init__(self, logs, events, rotate):
        super().__init__()
        self.logs, self.rotate, self.dice = logs, rotate, random.Random(events)
        self.events = [[b"%s %d" % (HEAD, n)] + TRACE[:self.dice.randrange(5)] for n in range(events)]

    def run(self):
        for n, event in enumerate(self.events):
            with open(self.logs.at("a.log"), "ab", buffering=0) as f:
                for line in event:
                    f.write(line[:7])
                    f.write(line[7:] + b"\n")
                    time.sleep(0.001)
            if n % 40 == 39:
                self.rotate(self.logs)


def rename(logs):
    logs.rename(*(f"a.log{end}" for end in ("", ".1", ".2", ".3", ".4", ".5", ".6", ".7")))


def rename_and_compress(logs):
    for i in range(8, 1, -1):
        if os.path.exists(logs.at(f"a.log.{i - 1}.gz")):
            os.rename(logs.at(f"a.log.{i - 1}.gz"), logs.at(f"a.log.{i}.gz"))
    os.rename(logs.at("a.log"), logs.at("a.log.1"))
    logs.gzip("a.log.1")


@pytest.mark.parametrize("rotate", [rename, rename_and_compress])
def test_killed_and_rotated_in_the_middle(logs, start, rotate):
    """Each event is one document, whole and once, wherever the agent was ended and the file was rotated."""
    program = Program(logs, 240, rotate)
    barge = start()
    program.start()
    for life in range(4):
        goal = 45 * (life + 1)
        wait_until(lambda: len(barge.node.store) >= goal, 30, lambda: f"{len(barge.node.store)} of {goal}")
        barge.restart(kill=life != 2)
    program.join()
    holds(barge, *program.events)
    barge.wait_drained()


def test_copied_and_truncated(logs, start):
    """An event that is being written when its file is truncated becomes two records at most; no line is lost, none is there twice."""
    barge = start()

    def rotate(logs):
        logs.copytruncate("a.log", f"a.log.{rotate.n}")
        rotate.n -= 1

    rotate.n = 9
    program = Program(logs, 160, rotate)
    program.start()
    for life in range(2):
        wait_until(lambda: len(barge.node.store) >= 50 * (life + 1), 30)
        barge.restart(kill=True)
    program.join()
    expected = sorted(line.decode() for event in program.events for line in event)
    wait_until(lambda: sorted("\n".join(texts(barge)).split("\n")) == expected, 30, lambda: str(texts(barge)))
    barge.wait_drained()


def test_what_silence_ended_stays_ended(logs, start):
    """Killed right after the last trace was delivered: what comes then is an event of its own, now and after every restart."""
    barge = start()
    logs.write("a.log", HEAD, *TRACE[:2])
    holds(barge, [HEAD, *TRACE[:2]])
    barge.kill9()
    logs.write("a.log", *TRACE[2:])
    barge.start()
    holds(barge, [HEAD, *TRACE[:2]], TRACE[2:])
    barge.restart(kill=True)
    logs.write("a.log", b"end")
    holds(barge, [HEAD, *TRACE[:2]], TRACE[2:], [b"end"])
    barge.wait_drained()


def test_removed_and_rotated_while_an_event_waits(logs, start):
    barge = start()
    logs.write("a.log", b"first", HEAD, *TRACE[:2])
    wait_until(lambda: len(barge.node.store) >= 1, 20)
    os.unlink(logs.at("a.log"))
    logs.write("a.log", TRACE[1], b"next")  # no event goes from one file into another
    logs.rename("a.log", "a.log.1")
    logs.write("a.log", b"live", TRACE[1])
    holds(barge, [b"first"], [HEAD, *TRACE[:2]], [TRACE[1]], [b"next"], [b"live", TRACE[1]])
    os.rename(logs.at("a.log"), logs.at("archive.log"))  # a log of its own
    logs.write("archive.log", b"more")
    holds(barge, [b"first"], [HEAD, *TRACE[:2]], [TRACE[1]], [b"next"], [b"live", TRACE[1]], [b"more"])
    barge.wait_drained()


def test_a_rule_that_changes_loses_nothing(logs, start):
    barge = start()
    logs.write("a.log", b"first", HEAD, TRACE[0])
    wait_until(lambda: len(barge.node.store) >= 1, 20)
    barge.kill9()  # before silence, or not: nothing is lost either way
    barge.config["inputs"]["files"][0]["parser"] = "auto"
    barge.write_config()
    barge.start()
    logs.write("a.log", b"", b"last")
    wait_until(lambda: "last" in texts(barge), 20, lambda: str(texts(barge)))
    barge.wait_drained()
    assert sorted("\n".join(texts(barge)).split("\n")) == sorted(["first", HEAD.decode(), TRACE[0].decode(), "last"])


def test_a_slow_log(logs, start):
    """An entry without a time of its own has that of the one before it in its file, wherever the agent was ended."""
    logs.banner("slow.log")
    logs.write("slow.log", b"# Time: 231114 22:13:20", *SLOW, b"SELECT 1", b"/* request_id=req-1 */;")
    logs.write("slow.log", *SLOW, b"SELECT 2;")
    shutil.copyfile(logs.at("slow.log"), logs.at("again.log"))
    barge = start(parser="mysql")
    barge.node.wait_for(6)
    lines = barge.status()["inputs"]["files"]["lines"]
    logs.write("slow.log", *SLOW, b"SELECT 3;")
    wait_until(lambda: barge.status()["inputs"]["files"]["lines"] == lines + 4)
    barge.restart(kill=True)  # while the entry waits
    logs.write("slow.log", *SLOW, b"SELECT 4;")
    barge.node.wait_for(8)
    barge.wait_drained()
    found = {(d["message"], os.path.basename(d["log"]["file"]["path"])): d for d in barge.node.documents()}
    assert len(found) == 8 and not [d for d in found.values() if "tags" in d]
    first = found["SELECT 1\n/* request_id=req-1 */;", "slow.log"]
    assert value_at(first, "http.request.id") == "req-1" and value_at(first, "event.duration") == 1500000000
    assert value_at(first, "mysql.slowlog.schema") == "shop" and value_at(first, "mysql.slowlog.rows_examined") == 7
    assert len({d["@timestamp"] for (message, _), d in found.items() if message.startswith("SELECT")}) == 1


@pytest.mark.parametrize("keys, wrong", [
    ({"language": "cobol"}, "cobol"),
    ({"start": "("}, "inputs.files[0].start"),
    ({"language": "go", "start": "^x"}, "remove one of them"),
    ({"parser": "mysql", "language": "go"}, "only parser: multiline"),
])
def test_wrong_settings(lab, logs, keys, wrong):
    rule = {"paths": [logs.at("*.log")], "parser": "multiline", **keys}
    barge = lab.barge(lab.config(inputs={"files": [rule]}), start=False)
    done = run("check", "-c", barge.config_path)
    assert done.returncode == 2 and wrong in done.stdout + done.stderr

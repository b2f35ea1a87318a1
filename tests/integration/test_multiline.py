"""Lines of one event: joined per stream, whatever happens in the middle of them."""

import random
import threading
import time

import pytest

from barge import run
from expect import value_at
from waiting import wait_until

RULES = [{"container": "api-*", "parser": "multiline"},
         {"container": "own-*", "parser": "multiline", "start": r"^\d+ "},
         {"container": "read-*", "parser": "regex", "pattern": r"^(?<n>\d+) (?<level>\w+) (?s:(?<message>.*))$", "start": r"^\d+ "}]
HEAD = "12:00:00 ERROR order failed"
TRACE = ["com.shop.OrderException: no stock", "\tat com.shop.Orders.take(Orders.java:17)", "Caused by: java.io.IOException: disk",
         "\t... 1 more"]


def write(container, lines, stream="stdout", at_ns=None):
    for i, line in enumerate(lines):
        container.write(line.encode() + b"\n", stream=stream, **({} if at_ns is None else {"at_ns": at_ns + i * 1000}))


def messages(elastic):
    return [value_at(d, "message") for d in elastic.documents()]


def test_a_trace_is_one_document(lab):
    elastic, docker = lab.elastic(), lab.docker()
    api, own, read = docker.container("api-1"), docker.container("own-1"), docker.container("read-1")
    barge = lab.barge(lab.config(elastic, docker, parsers=RULES))
    for i in range(len(TRACE)):  # both streams at once, line by line
        if i == 0:
            write(api, ["before", HEAD])
            write(api, ["Traceback (most recent call last):"], "stderr")
        write(api, [TRACE[i]])
        write(api, ['  File "a.py", line 1'] if i < 3 else ["ValueError: bad sku"], "stderr")
    write(api, ['{"msg":"an object","sku":"A"}'])
    write(own, ["1 first", "more of it", "2 second"])
    write(read, ["3 WARN third", " more", "4 INFO fourth"])
    elastic.wait_for(8)
    barge.wait_drained()
    found = {value_at(d, "message"): d for d in elastic.documents()}
    assert sorted(found) == sorted(["before", HEAD, "ValueError: bad sku", "an object", "1 first\nmore of it", "2 second", "third\n more", "fourth"])
    assert [(d["n"], d["log"]["level"], d.get("tags")) for d in (found["third\n more"], found["fourth"])] == [("3", "warn", None), ("4", "info", None)]
    java = found[HEAD]
    assert value_at(java, "error.stack_trace") == "\n".join(TRACE)
    assert value_at(java, "error.type") == "com.shop.OrderException" and value_at(java, "error.message") == "no stock"
    assert value_at(java, "stream") == "stdout" and value_at(java, "tags") is None
    python = found["ValueError: bad sku"]
    assert value_at(python, "error.stack_trace").count("\n") == 4 and value_at(python, "error.type") == "ValueError"
    assert value_at(python, "stream") == "stderr"
    assert value_at(found["an object"], "sku") == "A"


class Service(threading.Thread):
    """Writes events of one to five lines to both streams, line by line, without a pause as long as silence."""

    def __init__(self, container, events):
        super().__init__()
        self.container, self.dice = container, random.Random(events)
        self.streams = {s: [[f"{HEAD} {s} {n}"] + TRACE[:self.dice.randrange(5)] for n in range(events)] for s in ("stdout", "stderr")}
        self.expected = sorted((e[0], "\n".join(e[1:])) for events in self.streams.values() for e in events)

    def run(self):
        left = {s: [line for event in events for line in event] for s, events in self.streams.items()}
        while any(left.values()):
            stream = self.dice.choice([s for s in left if left[s]])
            write(self.container, [left[stream].pop(0)], stream)
            time.sleep(0.001)


def events(elastic, name):
    return sorted((value_at(d, "message"), value_at(d, "error.stack_trace") or "") for d in elastic.documents()
                  if value_at(d, "container.name") == name)


def test_restarts_and_rotations_in_the_middle(lab):
    """Each event is one document, whole and once, wherever the agent was ended and the files were rotated."""
    elastic, docker = lab.elastic(), lab.docker()
    services = [Service(docker.container(f"api-{i}", max_size=20_000, max_file=50), 150) for i in range(2)]
    barge = lab.barge(lab.config(elastic, docker, parsers=RULES, buffer={"sync": "50ms"}))
    for s in services:
        s.start()
    for life in range(5):
        goal = 80 * (life + 1)
        wait_until(lambda: len(elastic.store) >= goal, 20, lambda: f"{len(elastic.store)} of {goal}")
        barge.restart(kill=life != 2)
    for s in services:
        s.join()
    elastic.wait_for(sum(len(s.expected) for s in services), 30)
    barge.wait_drained()
    for s in services:
        assert events(elastic, s.container.name) == s.expected
        assert s.container.rotations > 2


def test_what_silence_ended_stays_ended(lab):
    """Killed right after the last trace was delivered: what comes then is an event of its own, now and after every restart."""
    elastic, docker = lab.elastic(), lab.docker()
    api = docker.container("api-1")
    barge = lab.barge(lab.config(elastic, docker, parsers=RULES))
    write(api, [HEAD] + TRACE[:2])
    write(api, ["pending"], "stderr")
    elastic.wait_for(2)
    barge.kill9()
    write(api, TRACE[2:])
    write(api, ["\tat a.B.c(D.java:1)"], "stderr")
    barge.start()
    elastic.wait_for(4)
    barge.restart(kill=True)
    write(api, ["end"])
    elastic.wait_for(5)
    barge.wait_drained()
    assert events(elastic, "api-1") == sorted([(HEAD, "\n".join(TRACE[:2])), ("pending", ""), (TRACE[2], "\n".join(TRACE[2:])),
                                               ("\tat a.B.c(D.java:1)", ""), ("end", "")])


def test_a_rule_that_changes_loses_nothing(lab):
    """Lines that waited under one rule are read under the next one, or under none."""
    elastic, docker = lab.elastic(), lab.docker()
    api = docker.container("api-1")
    config = lab.config(elastic, docker, parsers=RULES)
    barge = lab.barge(config)
    write(api, ["first", HEAD] + TRACE[:1])
    elastic.wait_for(1)
    barge.kill9()  # before silence, or not: nothing is lost either way
    config["parsers"] = []
    barge.write_config()
    barge.start()
    write(api, ["last"])
    wait_until(lambda: "last" in messages(elastic), 20, lambda: str(messages(elastic)))
    barge.wait_drained()
    text = "\n".join("\n".join(filter(None, [value_at(d, "message"), value_at(d, "error.stack_trace")])) for d in elastic.documents())
    assert sorted(text.split("\n")) == sorted(["first", HEAD, TRACE[0], "last"])


@pytest.mark.parametrize("rule, wrong", [
    ({"parser": "multiline", "language": "cobol"}, "cobol"),
    ({"parser": "multiline", "start": "("}, "start"),
    ({"parser": "multiline", "language": "go", "start": "^x"}, "remove one of them"),
    ({"parser": "json", "language": "go"}, "only parser: multiline"),
])
def test_wrong_settings(lab, rule, wrong):
    barge = lab.barge(lab.config(parsers=[{"container": "api-*", **rule}]), start=False)
    done = run("check", "-c", barge.config_path)
    assert done.returncode == 2 and wrong in done.stdout + done.stderr

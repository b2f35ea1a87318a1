"""A live Docker engine: its json-file and gelf drivers, rotation under load, --rm, rename. Every line exactly once."""

import collections
import os
import re
import subprocess

import pytest

import engine as real_engine
from docker_folder import messages_of
from expect import value_at
from waiting import wait_until

pytestmark = pytest.mark.limit(180)


@pytest.fixture(scope="module")
def engine():
    try:
        made = real_engine.Engine()
    except real_engine.Unavailable as e:
        pytest.skip(f"no Docker engine can run here: {e}")
    yield made
    made.close()


@pytest.fixture
def agent(lab, engine):
    """(elastic, barge) on the engine's containers folder, GELF on both kinds; containers are removed at the end."""
    address = lab.gelf_address("tcp")
    where = f"127.0.0.1:{address[1]}"
    elastic = lab.elastic()
    config = lab.config(elastic, gelf_udp=where, gelf_tcp=where, inputs={"docker": {"containers": engine.containers, "start": "beginning"}})
    barge = lab.barge(config)
    barge.gelf = where
    yield elastic, barge
    names = engine.docker("ps", "-aq").split()
    if names:
        engine.docker("rm", "-f", *names)


def numbered(n, text="line"):
    """A shell loop that writes n numbered lines as fast as it can."""
    return f'i=0; while [ $i -lt {n} ]; do echo "{text} $i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"; i=$((i+1)); done'


def check_numbers(documents, n, text="line"):
    seen = collections.Counter(int(re.match(text + r" (\d+) x", d["message"]).group(1)) for d in documents)
    assert sorted(seen) == list(range(n)), f"{n - len(seen)} missing"
    assert set(seen.values()) == {1}


def test_what_containers_write(agent, engine):
    elastic, barge = agent
    script = 'echo out; echo err >&2; printf "no line feed"; head -c 40000 /dev/zero | tr "\\0" "x"; echo; printf "a\\tb \\033[31m\\303\\245\\n\\n"'
    container = engine.run("sh", "-c", script.replace("tr ", "busybox tr "), name="shop-orders-1", options=["--label", "com.docker.compose.service=orders"])
    engine.wait("shop-orders-1")
    wanted = messages_of(b"out\nno line feed" + b"x" * 40000 + b"\na\tb \033[31m\303\245\n\n")
    elastic.wait_for(len(wanted) + 1, 30)
    barge.wait_drained()
    documents = elastic.documents()
    in_order = sorted((d for d in documents if d["stream"] == "stdout"), key=lambda d: d["event"]["sequence"])
    assert [d["message"] for d in in_order] == wanted
    assert [d["message"] for d in documents if d["stream"] == "stderr"] == ["err"]
    for d in documents:
        assert d["container"]["id"] == container and d["container"]["name"] == "shop-orders-1" and d["service"]["name"] == "orders"
        assert d["container"]["image"]["name"] == real_engine.IMAGE


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gz"])
def test_rotation_under_load(agent, engine, compress):
    elastic, barge = agent
    options = {"max-size": "1m", "max-file": "3", "compress": str(compress).lower()}
    names = [f"load-{i}" for i in range(2)]
    for name in names:
        engine.run("sh", "-c", numbered(60000), name=name, log_options=options)
    engine.wait(*names)
    wait_until(lambda: len(elastic.store) >= 120000, 60, lambda: f"{len(elastic.store)} documents; {barge.status()['inputs']['docker']}")
    barge.wait_drained()
    for name in names:
        check_numbers([d for d in elastic.documents() if d["container"]["name"] == name], 60000)
    assert barge.status()["inputs"]["docker"]["missed_files"] == 0


def test_rotation_at_full_speed_on_a_busy_machine(agent, engine):
    """A file of 200 kB stands for milliseconds at this speed, and somebody computes all the while. What the holder could not open in time is
    counted: whole files, none in silence."""
    elastic, barge = agent
    options = {"max-size": "200k", "max-file": "3"}
    program = 'BEGIN{for(i=0;i<%d;i++)printf "line %%d xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\\n",i}'
    lines, names = 60000, ["full-0", "full-1"]
    busy = subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"])
    try:
        for name in names:
            engine.run("busybox", "awk", program % lines, name=name, log_options=options)
        engine.wait(*names)
    finally:
        busy.kill()
        busy.wait()
    figures = barge.status()["inputs"]["docker"]
    per_file = 200_000 // 170 + 2  # a line of the log has some 170 bytes

    def all_is_told():
        figures.update(barge.status()["inputs"]["docker"])
        missing = lines * len(names) - len(elastic.store)
        return figures["lag_bytes"] == 0 and 0 <= missing <= figures["missed_files"] * per_file

    wait_until(all_is_told, 40, lambda: f"{len(elastic.store)} documents; {figures}", every_s=0.2)
    barge.wait_drained()
    for name in names:
        seen = collections.Counter(int(d["message"].split()[1]) for d in elastic.documents() if d["container"]["name"] == name)
        assert set(seen.values()) == {1}
    assert figures["missed_files"] <= 2


def test_kill_9_and_rotation_under_load(agent, engine):
    elastic, barge = agent
    engine.run("sh", "-c", numbered(40000) + "; sleep 1; " + numbered(2000, "more"), name="load", log_options={"max-size": "1m", "max-file": "20"})
    for goal in (3000, 10000, 20000):
        wait_until(lambda: len(elastic.store) >= goal, 30)
        barge.restart(kill=True)
    engine.wait("load")
    elastic.wait_for(42000, 60)
    barge.wait_drained()
    documents = elastic.documents()
    check_numbers([d for d in documents if d["message"].startswith("line")], 40000)
    check_numbers([d for d in documents if d["message"].startswith("more")], 2000, "more")


def test_containers_that_are_removed_at_once(agent, engine):
    elastic, barge = agent
    for i in range(10):
        engine.run("sh", "-c", numbered(200), name=f"job-{i}", options=["--rm"], detach=False)
    elastic.wait_for(2000, 40)
    barge.wait_drained()
    for i in range(10):
        check_numbers([d for d in elastic.documents() if d["container"]["name"] == f"job-{i}"], 200)
    assert not [f for f in os.listdir(engine.containers) if len(f) == 64]
    wait_until(lambda: barge.status()["inputs"]["docker"]["files"] == 0, 20, barge.status)


def test_a_renamed_container(agent, engine):
    elastic, barge = agent
    container = engine.run("sh", "-c", "echo one; while [ ! -e /go ]; do usleep 20000; done; echo two", name="oldname")
    elastic.wait_for(1, 20)
    engine.docker("rename", "oldname", "newname")
    engine.docker("exec", "newname", "sh", "-c", "echo > /go")
    engine.wait("newname")
    elastic.wait_for(2, 20)
    names = {d["message"]: d["container"]["name"] for d in elastic.documents()}
    assert names == {"one": "oldname", "two": "newname"}
    assert {d["container"]["id"] for d in elastic.documents()} == {container}


def test_a_container_that_is_started_again(agent, engine):
    elastic, barge = agent
    engine.run("sh", "-c", 'printf "begin\\nlast word"', name="again")
    engine.wait("again")
    for life in (2, 3):
        engine.docker("start", "again")
        engine.wait("again")
    elastic.wait_for(6, 20)
    barge.wait_drained()
    assert sorted(d["message"] for d in elastic.documents()) == ["begin"] * 3 + ["last word"] * 3


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_the_gelf_driver(agent, engine, scheme):
    elastic, barge = agent
    long_line = "head -c 50000 /dev/zero | busybox tr '\\0' y; echo"
    container = engine.run("sh", "-c", f'echo out; echo err >&2; echo "{{\\"level\\":\\"warn\\",\\"msg\\":\\"inner\\",\\"request_id\\":\\"r-1\\"}}"; {long_line}; '
                           'i=0; while [ $i -lt 300 ]; do echo "line $i x"; usleep 200; i=$((i+1)); done',
                           name="shop-pay-1", driver="gelf", log_options={"gelf-address": f"{scheme}://{barge.gelf}", "labels": "team"},
                           options=["--label", "team=blue", "--label", "com.docker.compose.service=pay"])
    engine.wait("shop-pay-1")
    elastic.wait_for(304, 30)
    barge.wait_drained()
    documents = elastic.documents()
    for d in documents:
        assert d["container"]["id"] == container and d["container"]["name"] == "shop-pay-1" and d["service"]["name"] == "pay"
        assert d["container"]["labels"]["team"] == "blue" and d["container"]["image"]["name"] == real_engine.IMAGE
    by_text = {d["message"]: d for d in documents}
    assert by_text["out"]["stream"] == "stdout" and by_text["err"]["stream"] == "stderr" and "log" not in by_text["err"]
    assert by_text["inner"]["log"]["level"] == "warn" and value_at(by_text["inner"], "http.request.id") == "r-1"
    assert by_text["y" * 50000]["tags"] == ["gelf_joined"]
    check_numbers([d for d in documents if d["message"].startswith("line")], 300)
    # Its folder holds Docker's own cache of it, which is not ours to read.
    assert barge.status()["inputs"]["docker"]["lines"] == 0


def test_other_drivers_are_named_once(agent, engine):
    elastic, barge = agent
    engine.run("sh", "-c", "echo unseen", name="kept-local", driver="local")
    engine.wait("kept-local")
    wait_until(lambda: barge.status()["inputs"]["docker"]["unreadable"], 10, barge.status)
    assert barge.log().count("kept-local") >= 1 and not elastic.store

"""barge trace against real nodes: with a template, and with the mapping that the node makes up by itself."""

import json
import os
import time

import pytest

import barge as program
from docker_folder import rfc3339_nano
from waiting import wait_until

pytestmark = pytest.mark.limit(300)
BASE = 1542963600 * 10**9
SINCE = "2018-11-01"
NAMES = {"with-a-template": "microservices-%{+YYYY.MM.dd}", "without": "plain-%{+YYYY.MM.dd}"}


def trace(config, *arguments):
    return program.run("trace", "-c", config, *arguments, "--since", SINCE)


def found(config, request_id):
    done = trace(config, request_id, "--json")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def config_for(lab, node, index):
    config = lab.config(lab.elastic())
    config["output"]["elasticsearch"].update(hosts=[node.url], index=index)
    return lab.barge(config, start=False).config_path


def fill(node, index, documents):
    """Indexes [(id, document)] and makes them searchable."""
    body = b"".join(b'{"create":{"_index":"%s","_id":"%s"}}\n%s\n' % (index.encode(), i.encode(), json.dumps(d).encode()) for i, d in documents)
    assert not node.request("POST", "/_bulk?refresh=true", body)["errors"]


def document(ns, request_id, n, **more):
    return {"@timestamp": rfc3339_nano(ns), "http": {"request": {"id": request_id}}, "service": {"name": "orders"}, "n": n, **more}


@pytest.mark.parametrize("index", NAMES.values(), ids=NAMES)
def test_a_request_of_an_agent(clean, lab, index):
    """What the agent delivers is found: by request id, with capitals and dashes, and by trace id; in the order of all nine digits."""
    node, docker = clean, lab.docker()
    request_id, trace_id = "8B81-84645-bac/029e", "4bf92f3577b34da6a3ce929d0e0e4736"
    containers = [docker.container(f"shop-{name}-1", labels={"barge.service": name}) for name in ("gateway", "orders")]
    for i in range(40):
        containers[i % 2].write(json.dumps({"msg": f"number {i}", "level": "info", "requestId": request_id, "trace_id": trace_id}).encode() + b"\n",
                                at_ns=BASE + i * 7)
        containers[i % 2].write(json.dumps({"msg": "other", "requestId": request_id.lower()}).encode() + b"\n", at_ns=BASE + i * 7)
    config = lab.config(lab.elastic(), docker)
    config["output"]["elasticsearch"].update(hosts=[node.url], index=index)
    barge = lab.barge(config)
    pattern = index.split("%")[0] + "*"
    wait_until(lambda: node.count(pattern) == 80, 60, lambda: node.count(pattern), every_s=0.2)
    for wanted in (request_id, trace_id):
        documents = found(barge.config_path, wanted)
        assert [d["message"] for d in documents] == [f"number {i}" for i in range(40)]
        assert {d["service"]["name"] for d in documents} == {"gateway", "orders"}
    begun = time.monotonic()
    said = trace(barge.config_path, request_id)
    assert time.monotonic() - begun < 10 and "2 services: gateway, orders" in said.stdout and "· 40 records" in said.stdout
    missing = trace(barge.config_path, "nowhere")
    assert missing.returncode == 1 and "no record of nowhere" in missing.stderr


@pytest.mark.parametrize("index", NAMES.values(), ids=NAMES)
def test_pages(clean, lab, index):
    """2,500 records of one millisecond, over two indices, half of them without a sequence."""
    node, name = clean, index.split("%")[0]
    documents = [(f"a-{i}", document(BASE + i * 300, "r-1", i, **({"event": {"sequence": i}} if i % 2 else {}))) for i in range(2500)]
    fill(node, name + "2018.11.23", documents[::3])
    fill(node, name + "2018.11.24", documents[1::3] + documents[2::3])
    assert [d["n"] for d in found(config_for(lab, node, index), "r-1")] == list(range(2500))


def test_an_id_among_numbers(clean, lab):
    """Where the first id was a number, the node maps them as numbers, and a word is no error."""
    node = clean
    fill(node, "plain-2018.11.23", [("a", document(BASE, 4711, 0))])
    fill(node, "plain-2018.11.24", [("b", document(BASE + 86400 * 10**9, "r-1", 1))])
    config = config_for(lab, node, NAMES["without"])
    assert [d["n"] for d in found(config, "r-1")] == [1]
    assert [d["n"] for d in found(config, "4711")] == [0]


def test_a_user_who_may_not_read(secured, lab):
    """The agent's own user may only write: the right that is missing is named, and another user is asked as."""
    secret = f"{lab.folder}/password"
    with open(secret, "w", encoding="utf-8") as f:
        f.write(secured.PASSWORD + "\n")
    os.chmod(secret, 0o600)
    fill(secured, "microservices-2018.11.23", [("trace", document(BASE, "r-1", 0))])
    config = lab.config(lab.elastic())
    config["output"]["elasticsearch"].update(hosts=[secured.url], username="barge", password_file=secret, tls={"ca_file": secured.security.ca_file})
    path = lab.barge(config, start=False).config_path
    done = trace(path, "r-1")
    assert done.returncode == 1 and "user barge may not read: the role needs the privilege `read` on the indices microservices-*" in done.stderr, done.stderr
    config["trace"] = {"username": secured.user[0], "password_file": secret}
    assert len(found(lab.barge(config, start=False).config_path, "r-1")) == 1

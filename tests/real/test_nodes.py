"""Real Elasticsearch and OpenSearch nodes: NODES names them, `all` is every version. Nodes of different tests run beside each other."""

import datetime
import os
import signal

import pytest

import corpus
import nodes
from expect import index_of
from framing import files_of, frame
from gelf_sender import message
from load import Writer, check_exactly_once, line, number_of
from waiting import wait_until

pytestmark = pytest.mark.limit(300)
DAY = 86400 * 10**9
BASE = 1542963600 * 10**9

def agent(lab, node, docker=None, gelf=None, **sections):
    """barge on a node."""
    config = lab.config(lab.elastic(), docker, gelf_udp=gelf, **sections)
    config["output"]["elasticsearch"].update(hosts=[node.url], compression="gzip")
    return lab.barge(config)


def wait_count(node, n, deadline_s=60, pattern="microservices-*"):
    wait_until(lambda: node.count(pattern) >= n, deadline_s, lambda: f"{node.count(pattern)} of {n} documents", every_s=0.2)
    assert node.count(pattern) == n


def every_document(node, pattern="microservices-*"):
    """{(index, id): document}"""
    found, after = {}, None
    while True:
        asked = {"size": 5000, "query": {"match_all": {}}, "sort": [{"@timestamp": "asc"}, {"event.sequence": "asc"}]}
        if after:
            asked["search_after"] = after
        hits = node.request("POST", f"/{pattern}/_search", asked)["hits"]["hits"]
        if not hits:
            return found
        for hit in hits:
            found[hit["_index"], hit["_id"]] = hit["_source"]
        after = hits[-1]["sort"]


def test_every_document_once_in_its_daily_index(clean, lab):
    """And each `_id`, fetched, is the document that the file output has under that `_id`: the two outputs say the same."""
    node, docker = clean, lab.docker()
    containers = [docker.container(f"shop-app{i}-1", labels={"com.docker.compose.service": f"app{i}"}) for i in range(3)]
    for k, container in enumerate(containers):
        for i in range(2000):
            container.write(line(container.name, i, 40), at_ns=BASE + (i % 3) * DAY + i * 1000 + k)
    folders = [corpus.container_folder("docker26", "json-file", case) for case, _ in corpus.json_file_cases()]
    folders += [corpus.container_folder("nginx", name) for name in ("gateway", "orders", "users")]
    n_corpus = sum(len(frame(files_of(docker_folder))) for docker_folder in folders)
    for folder in folders:
        docker.adopt(folder)
    barge = agent(lab, node, docker)
    wait_count(node, 6000 + n_corpus)
    ledger = barge.wait_drained()
    assert ledger["delivered"] == 6000 + n_corpus and ledger["dead_lettered"] == 0
    other = lab.barge(lab.config(None, docker))
    wait_until(lambda: len(other.output_lines()) == 6000 + n_corpus, 30)
    written = {}
    for document in other.output_documents():
        document_id = document.pop("_id")
        written[index_of(document["@timestamp"]), document_id] = document
    fetched = node.fetch_all(list(written))
    assert set(fetched) == set(written)
    differing = [k for k in written if written[k] != fetched[k] and "barge" not in fetched[k]]
    assert not differing, (written[differing[0]], fetched[differing[0]])
    ours = [d for d in fetched.values() if d["service"]["name"].startswith("app") and d["container"]["name"].startswith("shop-app")]
    check_exactly_once(ours, {c.name: 2000 for c in containers})


def test_a_request_is_found(clean, lab):
    node, docker = clean, lab.docker()
    n = 0
    for name in ("gateway", "orders", "users"):
        folder = corpus.container_folder("nginx", name)
        docker.adopt(folder)
        n += len(frame(files_of(folder)))
    agent(lab, node, docker)
    wait_count(node, n)
    with open(corpus.path("nginx", "client.txt"), encoding="utf-8") as f:
        request_id = next(row.split()[1] for row in f if "/orders/1" in row)
    found = node.search({"term": {"http.request.id": request_id}})
    assert {d["service"]["name"] for d in found} == {"gateway", "orders"}
    assert {d["container"]["name"] for d in node.search({"term": {"service.name": "users"}})} == {"users"}


def test_gelf(clean, lab):
    node = clean
    address = lab.gelf_address()
    barge = agent(lab, node, gelf=f"127.0.0.1:{address[1]}")
    sender = lab.gelf_sender(address)
    for i in range(300):
        sender.send(message(f"number {i}", timestamp=1542963600.5 + i, _request_id=f"r-{i % 10}", level=4), "gzip")
        wait_until(lambda: barge.status()["inputs"]["gelf"]["datagrams"] == i + 1, 10)
    wait_count(node, 300)
    assert len(node.search({"term": {"http.request.id": "r-3"}})) == 30
    assert len(node.search({"term": {"log.level": "warn"}})) == 300


# ---- nodes that misbehave ----

def daily(day):
    """The index of events at BASE + day days."""
    return f"microservices-{datetime.datetime.fromtimestamp(BASE // 10**9 + day * 86400, datetime.timezone.utc):%Y.%m.%d}"


def put_settings(node, index, **settings):
    node.request("PUT", f"/{index}/_settings", {f"index.{k.replace('__', '.')}": v for k, v in settings.items()})


def limit_shards(node, limit):
    node.request("PUT", "/_cluster/settings", {"persistent": {"cluster.max_shards_per_node": limit}})


def open_shards(node):
    rows = node.request("GET", "/_cat/indices?format=json&expand_wildcards=all&h=status,pri,rep")
    return sum(int(row["pri"]) * (1 + int(row["rep"])) for row in rows if row["status"] == "open")


def write_days(container, days, start, count):
    """count lines, one a day in turn: (name, numbers) all the same as without days."""
    for i in range(start, start + count):
        container.write(line(container.name, i, 40), at_ns=BASE + days[i % len(days)] * DAY + i * 1000)


def finish(node, barge, counts, deadline_s=60):
    """Everything arrives, once, and the books say so."""
    wait_count(node, sum(counts.values()), deadline_s)
    ledger = barge.wait_drained(deadline_s)
    assert ledger["delivered"] + ledger["duplicate"] == ledger["read"] - ledger["dead_lettered"] and sum(ledger["dropped"].values()) == 0
    check_exactly_once(every_document(node).values(), counts)
    return ledger


def test_a_full_queue(clean, lab):
    """One request may wait at the node: 429 for some items of a bulk that goes to several indices."""
    node, docker = clean, lab.docker()
    container, other = docker.container("app-1"), docker.container("app-2")
    write_days(container, range(4), 0, 1000)
    other.write(b"".join(line("app-2", i, 2000) for i in range(1000)), at_ns=BASE)
    barge = agent(lab, node, docker, output={"elasticsearch": {"timeout": "10s"}})
    finish(node, barge, {"app-1": 1000, "app-2": 1000})
    assert "rejected_execution_exception" in barge.log()


def test_requests_that_are_too_large(clean, lab):
    """None may have more than half a MiB: 413 for whole requests, and a record that is too large even alone becomes a dead letter. One
    request at a time to one index, so that the node is never too busy, which would keep them small."""
    node, docker = clean, lab.docker()
    container = docker.container("app-1")
    container.write(b"".join(line("app-1", i, 2000) for i in range(2000)), at_ns=BASE)
    barge = agent(lab, node, docker, output={"elasticsearch": {"compression": "none", "timeout": "10s", "max_in_flight": 1}})
    wait_count(node, 2000)
    container.write(b"z" * (nodes.MAX_REQUEST + 1000) + b"\n" + line("app-1", 2000), at_ns=BASE)
    wait_until(lambda: barge.ledger()["dead_lettered"] == 1, 30, barge.status)
    ledger = finish(node, barge, {"app-1": 2001})
    assert ledger["dead_lettered"] == 1
    log = barge.log()
    assert "requests are too large" in log and "reason=\"too_large" in log


def test_indices_that_accept_nothing_hold_up_no_other(clean, lab):
    """One day is closed, one blocked by an operator, one by a full disk, one not made for want of shards. The fifth goes on. All of it
    arrives when they accept again."""
    node, docker = clean, lab.docker()
    container = docker.container("app-1")
    barge = agent(lab, node, docker)
    days = range(5)
    write_days(container, days[:4], 0, 4)
    wait_count(node, 4)
    node.request("POST", f"/{daily(1)}/_close")
    put_settings(node, daily(2), blocks__write=True)
    put_settings(node, daily(3), blocks__read_only_allow_delete=True)
    limit_shards(node, open_shards(node))
    try:
        write_days(container, days, 4, 1000)
        wait_until(lambda: node.count(daily(0)) == 201, 60, lambda: node.count(daily(0)), every_s=0.2)
        wait_until(lambda: "an index accepts nothing" in barge.log(), 30, barge.status)
        assert barge.balanced()["dead_lettered"] == 0 and barge.status()["output"]["breaker"] == "closed"
        assert node.count(f"{daily(2)},{daily(3)}") == 2
    finally:
        limit_shards(node, None)
        node.request("POST", f"/{daily(1)}/_open")
        put_settings(node, daily(2), blocks__write=None)
        put_settings(node, daily(3), blocks__read_only_allow_delete=None)
    ledger = finish(node, barge, {"app-1": 1004})
    assert ledger["dead_lettered"] == 0


def test_a_closed_index_is_parked_and_replayed(clean, lab):
    node, docker = clean, lab.docker()
    container = docker.container("app-1")
    barge = agent(lab, node, docker, output={"elasticsearch": {"park_after": "1s"}})
    write_days(container, [0, 1], 0, 2)
    wait_count(node, 2)
    node.request("POST", f"/{daily(1)}/_close")
    write_days(container, [0, 1], 2, 400)
    wait_until(lambda: barge.status()["output"]["parked"] == 200, 30, barge.status)
    barge.wait_drained()
    assert node.count(daily(0)) == 201
    node.request("POST", f"/{daily(1)}/_open")
    ledger = finish(node, barge, {"app-1": 402})
    assert ledger["dead_lettered"] == 200 and ledger["read"] == 602
    wait_until(lambda: barge.status()["output"]["parked"] == 0, 10, barge.status)


def test_an_index_deleted_while_its_answer_is_on_its_way(clean, lab):
    """What a node has confirmed and then lost is its own; the rest is there once, in an index made anew."""
    node, docker = clean, lab.docker()
    container = docker.container("app-1")
    barge = agent(lab, node, docker)
    write_days(container, [0], 0, 500)
    wait_count(node, 500)
    node.request("DELETE", "/" + daily(0))
    write_days(container, [0], 500, 500)
    wait_count(node, 500)
    assert barge.wait_drained()["delivered"] == 1000
    assert {number for _, number in map(number_of, every_document(node).values())} == set(range(500, 1000))


def test_the_node_stands_still_and_goes_on(clean, lab):
    """SIGSTOP: requests that it has taken are answered to nobody, and done all the same when it goes on."""
    node, docker = clean, lab.docker()
    container = docker.container("app-1", max_size=500_000, max_file=50)
    barge = agent(lab, node, docker, output={"elasticsearch": {"timeout": "1s"}})
    writer = Writer(container, 6000, pace=0.005)
    writer.start()
    wait_until(lambda: node.count() >= 500, 60, every_s=0.1)
    node.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: barge.status()["output"]["breaker"] == "open", 30, barge.status)
    finally:
        node.signal(signal.SIGCONT)
    writer.finish()
    finish(node, barge, {"app-1": 6000})


def test_the_node_killed_during_a_bulk_and_started_on_its_data(clean, lab):
    node, docker = clean, lab.docker()
    containers = [docker.container(f"app{i}-1", max_size=500_000, max_file=50) for i in range(2)]
    barge = agent(lab, node, docker)
    writers = [Writer(c, 6000, pace=0.005) for c in containers]
    for w in writers:
        w.start()
    wait_until(lambda: node.count() >= 2000, 60, every_s=0.1)
    wait_until(lambda: barge.status()["output"]["in_flight"] > 0, 30, every_s=0.001)
    node.kill()
    wait_until(lambda: barge.status()["output"]["breaker"] == "open", 30, barge.status)
    node.start()
    for w in writers:
        w.finish(120)
    finish(node, barge, {c.name: 6000 for c in containers}, 120)


def test_restarts_of_the_agent_make_no_duplicates(clean, lab):
    node, docker = clean, lab.docker()
    container = docker.container("app-1")
    barge = agent(lab, node, docker)
    for i in range(5):
        container.write(b"".join(line("app-1", i * 1000 + k) for k in range(1000)))
        wait_until(lambda: barge.ledger()["read"] > i * 1000 + 100, 20)
        barge.restart(kill=True)
    wait_count(node, 5000)
    barge.wait_drained()
    check_exactly_once(every_document(node).values(), {"app-1": 5000})


def test_a_conflict_of_types_costs_one_field(clean, lab):
    """A number where another sends a string, an object where another sends a scalar: the normal case in a shared index."""
    node, docker = clean, lab.docker()
    container = docker.container("app-1")
    barge = agent(lab, node, docker)
    container.write(b'{"msg":"first","took":17,"shape":{"a":1}}\n')
    wait_count(node, 1)
    container.write(b'{"msg":"second","took":"fast","kept":1}\n{"msg":"third","shape":"round","kept":2}\n{"msg":"fourth","took":18,"kept":3}\n')
    wait_count(node, 4)
    ledger = barge.wait_drained()
    assert ledger["delivered"] == 4 and ledger["dead_lettered"] == 0
    documents = {d["message"]: d for d in node.search({"match_all": {}})}
    assert [documents[m]["kept"] for m in ("second", "third", "fourth")] == [1, 2, 3]
    assert "fast" in documents["second"]["event"]["original"] and documents["second"]["barge"]["refused"]
    assert "round" in documents["third"]["event"]["original"] and "barge" not in documents["fourth"]


def test_what_the_node_would_refuse_is_made_acceptable(clean, lab):
    """Odd but legal JSON: every one of them is indexed, folded at worst."""
    node, docker = clean, lab.docker()
    container = docker.container("app-1")
    odd = ['{"msg":"m","a":1,"a":2}', '{"msg":"m","":1}', '{"msg":"m",".a":1}', '{"msg":"m","a..b":1}', '{"msg":"m","a.":1}',
           '{"msg":"m","n":1e400}', '{"msg":"m","n":18446744073709551616}', '{"msg":"m","_id":"x","_source":1}', '{"msg":"m","s":"\\ud800"}',
           '{"msg":"m","long":"%s"}' % ("x" * 40000), '{"msg":"m","deep":%s1%s}' % ('{"d":' * 30, "}" * 30), '{"msg":"m","o":{"x":1},"o.x":2}',
           '{"msg":"m","@timestamp":{"a":1}}', '{"msg":"m","tags":{"a":1}}', '{"msg":{"a":1}}', '{"msg":"m","log":{"level":{"x":1}}}',
           '{"msg":"m","service":7,"host":7,"event":7,"error":{"message":{"a":1}}}', '{"a":NaN}', "[1]"]
    for text in odd:
        container.write(text.encode() + b"\n", at_ns=BASE)
    barge = agent(lab, node, docker)
    wait_count(node, len(odd))
    assert barge.wait_drained()["dead_lettered"] == 0


# ---- over TLS, with users ----

def secured_agent(lab, node, docker, user, password, **elasticsearch):
    path = f"{lab.folder}/password"
    with open(path, "w", encoding="utf-8") as f:
        f.write(password + "\n")
    os.chmod(path, 0o600)
    config = lab.config(lab.elastic(), docker)
    config["output"]["elasticsearch"].update({"hosts": [node.url], "username": user, "password_file": path,
                                              "tls": {"ca_file": node.security.ca_file}, **elasticsearch})
    return lab.barge(config)


def test_tls_and_basic(secured, lab):
    docker = lab.docker()
    container = docker.container("app-1")
    container.write(b"".join(line("app-1", i) for i in range(2000)))
    barge = secured_agent(lab, secured, docker, "barge", secured.PASSWORD)
    wait_count(secured, 2000)
    barge.wait_drained()
    check_exactly_once(every_document(secured).values(), {"app-1": 2000})


def test_a_wrong_password_keeps_everything(secured, lab):
    docker = lab.docker()
    docker.container("app-1").write(b"kept\n")
    barge = secured_agent(lab, secured, docker, "barge", "wrong")
    wait_until(lambda: "401" in str(barge.status()["output"]["last_error"]), 30, barge.status)
    ledger = barge.balanced()
    assert ledger["buffered"] == 1 and ledger["delivered"] == ledger["dead_lettered"] == 0
    with open(f"{lab.folder}/password", "w", encoding="utf-8") as f:
        f.write(secured.PASSWORD + "\n")
    barge.wait_drained(60)


def test_an_index_that_the_role_may_not_write_waits(secured, lab):
    """HTTP 200 with item status 403: nothing is given up, and it goes when the role may."""
    docker = lab.docker()
    docker.container("app-1").write(b"".join(line("app-1", i) for i in range(100)))
    barge = secured_agent(lab, secured, docker, "barge", secured.PASSWORD, index="private-%{+YYYY.MM.dd}")
    wait_until(lambda: "security_exception" in barge.log() + str(barge.status()["output"]["last_error"]), 30, barge.status)
    ledger = barge.balanced()
    assert ledger["buffered"] == 100 and ledger["delivered"] == ledger["dead_lettered"] == 0
    secured.allow("private-*")
    wait_count(secured, 100, 90, "private-*")
    barge.wait_drained()
    check_exactly_once(every_document(secured, "private-*").values(), {"app-1": 100})

"""`barge setup` on real nodes: twice, and documents of each kind under its template, mapped as it says."""

import json
import os
import urllib.error

import pytest

from barge import run
from waiting import wait_until

pytestmark = pytest.mark.limit(300)
NAME = "barge-microservices"
BASE = 1542963600 * 10**9
INDEX = "microservices-2018.11.23"


def put(lab, node, *options, status=0, **sections):
    config = lab.config(lab.elastic(), **{"status": {"listen": ""}, **sections})
    config["output"]["elasticsearch"]["hosts"] = [node.url]
    path = os.path.join(lab.folder, "setup.yaml")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f)
    done = run("setup", "-c", path, *options)
    assert done.returncode == status, done.stdout + done.stderr
    return (done.stdout + done.stderr).splitlines()


@pytest.fixture
def bare(clean):
    """The node without barge's templates, before and after."""
    def take_away():
        for name in (NAME, "barge-figures"):
            try:
                clean.request("DELETE", "/_index_template/" + name)
            except urllib.error.HTTPError as e:
                assert e.code == 404
    take_away()
    yield clean
    take_away()


def stored(node):
    return node.request("GET", "/_index_template/" + NAME)["index_templates"][0]["index_template"]


def test_twice_and_changed(bare, lab):
    assert "was made" in put(lab, bare)[0]
    first = stored(bare)
    assert "unchanged" in put(lab, bare)[0] and stored(bare) == first
    changed = json.loads(json.dumps(first))
    changed["template"]["settings"]["index"]["refresh_interval"] = "1s"
    bare.request("PUT", "/_index_template/" + NAME, changed)
    assert "changed by hand" in put(lab, bare)[0]
    assert stored(bare)["template"]["settings"]["index"]["refresh_interval"] == "1s"
    bare.request("DELETE", "/_index_template/" + NAME)
    bare.request("PUT", "/_index_template/theirs", {"index_patterns": ["micro*"], "priority": 400})
    try:
        assert "theirs" in put(lab, bare)[0]
    finally:
        bare.request("DELETE", "/_index_template/theirs")


def test_no_lifecycle_here_and_prune(bare, lab):
    """None of these builds has ILM or ISM: it says so, and deletes by name."""
    lines = put(lab, bare, status=1, retention="30d")
    assert "barge setup --prune" in lines[0] and "was made" in lines[1]
    for index in (INDEX, "microservices-2018.11", "microservices-2999.01.01"):
        bare.request("PUT", "/" + index)
    assert put(lab, bare, "--prune", retention="30d") == [f"deleted index {INDEX}"]
    assert sorted(bare.request("GET", "/microservices-*/_settings")) == ["microservices-2018.11", "microservices-2999.01.01"]


def field_caps(node, index=INDEX):
    caps = node.request("GET", f"/{index}/_field_caps?fields=*")["fields"]
    return {name: next(iter(kinds.values())) for name, kinds in caps.items()}


def field_types(node, index=INDEX):
    return {name: caps["type"] for name, caps in field_caps(node, index).items()}


def test_documents_of_each_kind(bare, lab):
    """Put in place by the agent itself."""
    node, docker = bare, lab.docker()
    container = docker.container("shop-orders-1", image="shop/orders:1.4", labels={"com.docker.compose.service": "orders", "team": "blue"})
    container.attrs = {"team": "blue"}
    lines = ['{"level":"warn","msg":"stock low","requestId":"r-1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","sku":"A-9","qty":3,"ts":1542963602.4353502}',
             '{"level":"error","msg":"boom","error":{"message":"no stock at all","type":"E","stack":"at a\\nat b"},"created":"2018-11-23T09:00:00Z"}',
             "plain words", '{"msg":"as a text","qty":"many"}', '{"msg":"long","sku":"%s"}' % ("x" * 2000), '{"msg":"clash","container_name":"theirs","kept":1}']
    for i, text in enumerate(lines):
        container.write(text.encode() + b"\n", at_ns=BASE + 140891 + i)
    config = lab.config(lab.elastic(), docker, setup=True, self_index=True)
    config["output"]["elasticsearch"]["hosts"] = [node.url]
    barge = lab.barge(config)
    wait_until(lambda: node.count() == len(lines), 60, lambda: f"{node.count()} documents; {barge.log()[-3000:]}", every_s=0.2)
    ledger = barge.wait_drained()
    assert ledger["delivered"] == len(lines) and ledger["dead_lettered"] == 0
    types = field_types(node)
    assert types["@timestamp"] == "date_nanos" and types["event.sequence"] == "long"
    assert types["message"] in ("text", "match_only_text") and types["error.stack_trace"] == types["error.message"] == types["message"]
    for field in ("service.name", "http.request.id", "trace.id", "log.level", "container.name", "container.id", "container.image.name", "host.name", "stream",
                  "sku", "created", "error.type", "container.labels.team", "container_name", "image_name", "container_id"):
        assert types[field] == "keyword", field
    assert types["ts"] == "double" and types["qty"] == "long"
    caps = field_caps(node)
    # Ids are found, not counted; all else is both.
    assert {(caps[f]["searchable"], caps[f]["aggregatable"]) for f in ("http.request.id", "trace.id", "span.id")} == {(True, False)}
    assert {(caps[f]["searchable"], caps[f]["aggregatable"]) for f in ("service.name", "sku", "qty", "@timestamp")} == {(True, True)}
    assert caps["ts"]["aggregatable"]

    def found(query):
        return sorted(d["message"] for d in node.search(query))

    assert found({"term": {"http.request.id": "r-1"}}) == found({"exists": {"field": "http.request.id"}}) == ["stock low"]
    assert found({"prefix": {"trace.id": "4bf92f"}}) == ["stock low"]
    # A decimal, indexed or not.
    assert found({"range": {"ts": {"gt": 1542963602, "lt": 1542963602.5}}}) == found({"exists": {"field": "ts"}}) == ["stock low"]
    assert found({"match_phrase": {"message": "stock low"}}) == ["stock low"]
    assert found({"match_phrase": {"error.message": "no stock"}}) == ["boom"]
    # The names that Logstash's gelf input gave.
    assert len(found({"term": {"container_name": "shop-orders-1"}})) == len(found({"term": {"image_name": "shop/orders:1.4"}})) == len(lines)
    # All nine digits count, not the milliseconds.
    assert found({"range": {"@timestamp": {"gt": "2018-11-23T09:00:00.000140891Z", "lte": "2018-11-23T09:00:00.000140892Z"}}}) == ["boom"]
    documents = {d["message"]: d for d in node.search({"match_all": {}})}
    assert documents["stock low"]["ts"] == 1542963602.4353502
    # A word where others have a number is kept, and costs its document nothing.
    assert documents["as a text"]["qty"] == "many" and "barge" not in documents["as a text"]
    assert documents["long"]["sku"] == "x" * 2000 and "barge" not in documents["long"]
    # A member of an alias's name cannot be indexed: it is folded.
    assert documents["clash"]["kept"] == 1 and "theirs" in documents["clash"]["event"]["original"]
    settings = node.request("GET", f"/{INDEX}/_settings")[INDEX]["settings"]["index"]
    assert settings["codec"] == "best_compression"
    # A busy node may refuse the first, and the next come a minute later.
    wait_until(lambda: node.count("barge-figures-*") == 1, 90, every_s=0.2)
    figures = node.search({"match_all": {}}, "barge-figures-*")[0]
    assert figures["host.name"] == "test-host"
    types = field_types(node, "barge-figures-*")
    assert types["barge.ledger.read"] == types["barge.inputs.docker.lag_bytes"] == "long" and types["@timestamp"] == "date"
    for index in node.request("GET", "/barge-figures-*/_settings"):
        node.request("DELETE", "/" + index)


def test_more_fields_than_the_limit(bare, lab):
    """Where the version can it indexes what there is room for, and keeps the document whole; elsewhere the record is folded. Nothing is lost."""
    node, docker = bare, lab.docker()
    put(lab, node)
    container = docker.container("app-1")
    for k in range(5):
        container.write(json.dumps({"msg": f"m{k}", **{f"f{k}_{i}": i for i in range(600)}}).encode() + b"\n", at_ns=BASE)
    config = lab.config(lab.elastic(), docker)
    config["output"]["elasticsearch"]["hosts"] = [node.url]
    barge = lab.barge(config)
    wait_until(lambda: node.count() == 5, 60, lambda: barge.log()[-3000:], every_s=0.2)
    assert barge.wait_drained()["dead_lettered"] == 0
    beyond = stored(node)["template"]["settings"]["index"]["mapping"]["total_fields"].get("ignore_dynamic_beyond_limit")
    assert any("barge" in d for d in node.search({"match_all": {}})) == (beyond is None)

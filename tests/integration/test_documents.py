"""What becomes of a line: the document of the contract, member by member."""

import json
import time

import pytest

from expect import value_at
from waiting import PATIENCE, wait_until

AT = 1542963600_000140891  # 2018-11-23T09:00:00.000140891Z
ID32 = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def one(lab):
    """Ships lines of one container: [documents in the order of the lines]."""

    def ship(lines, raw=False, name="shop-orders-1", labels=None, image="shop/orders:1.4", **sections):
        elastic, docker = lab.elastic(), lab.docker(f"containers-{len(lab.barges)}")
        container = docker.container(name, image=image, labels=labels)
        if raw:
            container.append_raw(lines)
            n = raw
        else:
            for i, text in enumerate(lines):
                container.write(text if isinstance(text, bytes) else text.encode() + b"\n", at_ns=AT + i * 1000)
            n = len(lines)
        barge = lab.barge(lab.config(elastic, docker, **sections))
        elastic.wait_for(n)
        barge.wait_drained()
        ship.elastic, ship.container = elastic, container
        return sorted(elastic.documents(), key=lambda d: d["event"]["sequence"])

    return ship


def test_the_example_of_the_contract(one):
    """The whole document, nothing more and nothing less."""
    first = '{"level":"info","msg":"started"}'
    example = '{"level":"warn","msg":"stock low","requestId":"%s","sku":"A-9","qty":3}' % ID32
    documents = one([first, example], labels={"com.docker.compose.service": "orders"}, enrich={"host": "srv-04"})
    container = one.container
    with open(container.path, "rb") as f:
        position = len(f.readline())
    assert documents[1] == {
        "@timestamp": "2018-11-23T09:00:00.000141891Z", "message": "stock low", "log": {"level": "warn"}, "service": {"name": "orders"},
        "http": {"request": {"id": ID32}},
        "container": {"id": container.id, "name": "shop-orders-1", "image": {"name": "shop/orders:1.4"}},
        "host": {"name": "srv-04"}, "stream": "stdout", "event": {"sequence": position}, "sku": "A-9", "qty": 3}
    (index, document_id), = [k for k, v in one.elastic.store.items() if b"stock low" in v]
    assert index == "microservices-2018.11.23" and len(document_id) == 24
    assert set(document_id) <= set("-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")


# message text, what the document must have (dotted name: value; None: not there)
MEMBERS = [
    # libraries' own names
    ('{"level":30,"time":1732000000000,"pid":7,"hostname":"h","msg":"pino","reqId":"r-1"}', {"message": "pino", "log.level": "info", "http.request.id": "r-1", "pid": 7}),
    ('{"level":50,"time":"2024-11-19T07:06:00.1Z","pid":7,"hostname":"h","msg":"bunyan","req_id":"r-2"}', {"message": "bunyan", "log.level": "error", "http.request.id": "r-2"}),
    ('{"level":60,"time":1,"pid":7,"hostname":"h","msg":"m"}', {"log.level": "fatal"}),
    ('{"level":"error","ts":1732000000.5,"caller":"a.go:1","msg":"zap","error":"boom","stacktrace":"main.f\\n\\ta.go:1"}',
     {"message": "zap", "log.level": "error", "error.message": "boom", "error.stack_trace": "main.f\n\ta.go:1", "caller": "a.go:1"}),
    ('{"level":"warning","msg":"logrus","time":"2024-11-19T07:06:00Z","request_id":"r-3"}', {"message": "logrus", "log.level": "warn", "http.request.id": "r-3"}),
    ('{"event":"structlog","level":"info","timestamp":1732000000.5}', {"message": "structlog", "log.level": "info"}),
    ('{"time":"2024-11-19T07:06:00.1+01:00","level":"INFO","msg":"slog"}', {"message": "slog", "log.level": "info"}),
    ('{"@timestamp":"2024-11-19T07:06:00.123Z","log.level":"WARN","message":"ecs","trace":{"id":"%s"}}' % ID32, {"message": "ecs", "log.level": "warn", "trace.id": ID32}),
    ('{"@timestamp":"2024-11-19T07:06:00.123+01:00","@version":"1","message":"logback","logger_name":"no.a.B","level":"ERROR","level_value":40000,"stack_trace":"java.lang.X: y","traceId":"%s"}' % ID32,
     {"message": "logback", "log.level": "error", "error.stack_trace": "java.lang.X: y", "trace.id": ID32}),
    ('{"severity":"CRITICAL","message":"gcp"}', {"message": "gcp", "log.level": "fatal"}),
    # request ids
    ('{"msg":"m","X-Request-ID":"r-4"}', {"http.request.id": "r-4"}),
    ('{"msg":"m","x_request_id":"r-5"}', {"http.request.id": "r-5"}),
    ('{"msg":"m","correlation_id":"r-6"}', {"http.request.id": "r-6"}),
    ('{"msg":"m","requestid":"r-7"}', {"http.request.id": "r-7"}),
    ('{"msg":"m","http":{"request":{"id":"r-8","method":"GET"}}}', {"http.request.id": "r-8", "http.request.method": "GET"}),
    ('{"msg":"m","http.request.id":"r-9"}', {"http.request.id": "r-9"}),
    ('{"msg":"m","req":{"id":"r-10","method":"GET"}}', {"http.request.id": "r-10"}),
    ('{"msg":"m","traceparent":"00-%s-00f067aa0ba902b7-01"}' % ID32, {"trace.id": ID32, "span.id": "00f067aa0ba902b7"}),
    ("2018-11-23 INFO request_id=%s done" % ID32, {"http.request.id": ID32}),
    ("GET / X-Request-ID: abc-123 200", {"http.request.id": "abc-123"}),
    # ours win
    ('{"msg":"m","host":"theirs","container":"c","stream":"s","@timestamp":"t","kubernetes":{"a":1},"_id":"x"}',
     {"host.name": "test-host", "stream": "stdout", "app.host": "theirs", "app.container": "c", "app.stream": "s", "app.@timestamp": "t",
      "app.kubernetes.a": 1, "app._id": "x", "_id": None}),
    # a scalar where ECS has an object
    ('{"msg":"m","error":"boom","user":"ola"}', {"error.message": "boom", "user.name": "ola"}),
    ('{"msg":"m","process":"nginx"}', {"process.name": "nginx"}),
    # keys: twice, dotted
    ('{"msg":"m","a":1,"a":2}', {"a": 2}),
    ('{"msg":"m","a":{"b":1,"b":2}}', {"a.b": 2}),
    # values as they were
    ('{"msg":"m","n":12.50,"big":9007199254740993,"t":true,"z":[1,"a",{"k":"v"}]}', {"n": 12.5, "big": 9007199254740993, "t": True, "z": [1, "a", {"k": "v"}]}),
    ('{"msg":"m","huge":1e400,"long":%d}' % (1 << 70), {"huge": "1e400", "long": str(1 << 70)}),
    ('{"msg":"m","s":"a\\u0000b\\ud83d\\ude80"}', {"s": "a\0b🚀"}),
    # no merge
    ('[1,2]', {"message": "[1,2]", "tags": None}),
    ('"text"', {"message": '"text"'}),
    ("plain text", {"message": "plain text", "log.level": None, "tags": None}),
    ('{"a":', {"message": '{"a":', "tags": ["json_invalid"]}),
    ('{"a":NaN}', {"message": '{"a":NaN}', "tags": ["json_invalid"]}),
    ('{"a":1} trailing', {"message": '{"a":1} trailing', "tags": ["json_invalid"]}),
    ("", {"message": ""}),
]


def test_members_get_their_names(one):
    documents = one([text for text, _ in MEMBERS])
    wrong = []
    for (text, wanted), document in zip(MEMBERS, documents):
        for name, value in wanted.items():
            found = value_at(document, name) if name != "app.@timestamp" else document.get("app", {}).get("@timestamp")
            if found != value or isinstance(found, bool) != isinstance(value, bool):
                wrong.append(f"{text}\n   {name} is {found!r}, not {value!r}: {json.dumps(document)}")
    assert not wrong, f"{len(wrong)} wrong\n" + "\n".join(wrong)


def test_odd_lines_are_shipped_with_a_tag(one):
    good = b'{"log":"good %d\\n","stream":"stdout","time":"2018-11-23T09:00:0%d.5Z"}\n'
    lines = [good % (1, 1), b"garbage\n", b"\0" * 50 + good % (2, 2), b'{"log":"torn away","stre' + good % (3, 3),
             b'{"log":"no time\\n","stream":"stdout"}\n', b'{"log":"bad time\\n","stream":"stdout","time":"2018-11-23T09:00:60Z"}\n',
             b'{"log":"raw \xff byte\\n","stream":"stdout","time":"2018-11-23T09:00:07Z"}\n', good % (8, 8)]
    documents = one(b"".join(lines), raw=9)
    messages = {d["message"]: d for d in documents}
    assert len(messages) == 9
    assert "docker_line_invalid" in messages["garbage"]["tags"]
    assert "docker_line_invalid" in messages['{"log":"torn away","stre']["tags"]
    assert {"good 1", "good 2", "good 3", "good 8"} <= set(messages)
    assert all("tags" not in messages[f"good {i}"] for i in (1, 2, 3, 8))
    # A senseless time is that of the good record before it.
    assert messages["no time"]["@timestamp"] == messages["bad time"]["@timestamp"] == "2018-11-23T09:00:03.5Z"
    assert messages["raw \ufffd byte"]["tags"] == ["utf8_repaired"]


def test_lines_of_any_length(one):
    """Longer than any document may be: shipped in part with a tag, and the lines around it whole."""
    documents = one([b"before\n", b"x" * (1 << 20) + b"\n", b"after\n"])
    assert [len(d["message"]) for d in documents] == [6, 1 << 20, 5]


@pytest.mark.limit(120)
def test_a_line_that_does_not_end(lab):
    """100 MB in one line of the file, and 40 MB in one of the container's: memory stays, the lines around are whole."""
    elastic, docker = lab.elastic(), lab.docker()
    torn, long = docker.container("torn-1"), docker.container("long-1")
    for container in (torn, long):
        container.write(b"before\n", at_ns=AT)
    barge = lab.barge(lab.config(elastic, docker, log={"level": "warn"}))
    elastic.wait_for(2)
    before, peak = barge.rss_kib(), 0
    torn.append_raw(b'{"log":"')
    for _ in range(100):
        torn.append_raw(b"y" * 1000000)
        peak = max(peak, barge.rss_kib())
    torn.append_raw(b"\n")
    torn.write(b"after\n", at_ns=AT + 1)
    long.write(b"x" * 40_000_000 + b"\n", at_ns=AT + 1)
    long.write(b"after\n", at_ns=AT + 2)

    def all_there():
        nonlocal peak
        peak = max(peak, barge.rss_kib())
        return len(elastic.store) >= 6

    wait_until(all_there, 60, barge.status)
    barge.wait_drained()
    by_name = {name: sorted((d for d in elastic.documents() if d["container"]["name"] == name), key=lambda d: d["event"]["sequence"])
               for name in ("torn-1", "long-1")}
    for name, tags in (("torn-1", {"truncated", "docker_line_invalid", "json_invalid"}), ("long-1", {"truncated"})):
        first, middle, last = by_name[name]
        assert first["message"] == "before" and last["message"] == "after" and set(middle["tags"]) == tags, middle["tags"]
    assert by_name["long-1"][1]["message"] == "x" * (8 << 20)
    assert by_name["torn-1"][1]["message"].startswith('{"log":"yyy') and len(by_name["torn-1"][1]["message"]) <= 1 << 20
    if PATIENCE == 1:  # a sanitizer has memory of its own
        assert peak - before < 48 << 10, (before, peak)
    print(f"{before} KiB before, {peak} at most")


def test_every_document_is_one_line(lab):
    """Whatever stands for a line end, or looks like one, in texts, names and labels: one line each, and the agent's own log
    stays one line an event without anything that acts on a terminal."""
    nasty = 'a"b\\c%s%n\r\u2028\u2029\ufeff../\x1b[31m\x07\U0001f680'
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("n" + nasty, image=nasty, labels={"com.docker.compose.service": nasty, "l." + nasty: nasty * 100})
    container.attrs = {nasty: nasty}
    texts = ["crlf\r", "lone\rreturn", "line\u2028separator\u2029s", "\ufeffmark", '\ufeff{"msg":"marked"}', "\x1b[2Jansi\x07", "nul\0nul",
             json.dumps({"msg": nasty, nasty: nasty}), json.dumps({"msg": "m", "k\n\r": "v\n\r", "service": nasty})]
    for i, text in enumerate(texts):
        container.write(text.encode() + b"\n", at_ns=AT + i)
    address = lab.gelf_address()
    barge = lab.barge(lab.config(elastic, docker, gelf_udp=f"{address[0]}:{address[1]}"))
    lab.gelf_sender(address).send({"host": nasty, "short_message": "gelf", "_container_name": nasty, "_tag": nasty, "_" + nasty: nasty})
    lab.gelf_sender(address).send(b"\x1b]0;title\x07\nnot gelf")
    elastic.wait_for(len(texts) + 1)
    barge.wait_drained()
    for stored in elastic.store.values():
        assert b"\n" not in stored and b"\r" not in stored and b"\x1b" not in stored
    documents = [d for d in elastic.documents() if d["message"] != "gelf"]
    found = [d["message"] for d in sorted(documents, key=lambda d: d["event"]["sequence"])]
    assert found[1:4] == texts[1:4] and found[0] == "crlf" and found[4:7] == ["marked", texts[5], texts[6]] and found[7] == nasty
    assert all(d["container"]["name"] == "n" + nasty for d in documents)
    log = barge.log()
    assert not any(c in log for c in "\x1b\x07\r\0") and all(line.startswith("time=") for line in log.splitlines() if line), log


def test_hostile_json_is_shipped(one):
    deep = '{"a":' * 5000 + "1" + "}" * 5000
    wide = "{" + ",".join(f'"k{i}":{i}' for i in range(5000)) + "}"
    documents = one([deep, wide, '{"msg":"m","":1,"a.":2,".b":3,"c..d":4," ":5}', '{"msg":"m","a":1,"a.b":2,"a":{"c":3}}', "end"])
    assert len(documents) == 5 and documents[0]["message"] == deep and documents[4]["message"] == "end"


def test_service_names(one):
    for labels, name, image, text, wanted in [
        ({"barge.service": "labelled", "com.docker.compose.service": "no"}, "a-1", "i", '{"msg":"m","service":"own"}', "labelled"),
        ({"com.docker.compose.service": "composed"}, "a-1", "i", '{"msg":"m","service":"own"}', "own"),
        ({"com.docker.compose.service": "composed", "com.docker.swarm.service.name": "swarmed"}, "a-1", "i", "m", "swarmed"),
        ({"com.docker.compose.service": "composed"}, "a-1", "i", "m", "composed"),
        ({}, "shop-billing-2", "i", "m", "shop-billing"),
        ({}, "shop_billing_2", "i", "m", "shop_billing"),
    ]:
        documents = one([text], labels=labels, name=name, image=image)
        assert documents[0]["service"]["name"] == wanted, (labels, name, documents[0])


def test_fields_of_the_configuration(one):
    documents = one(['{"msg":"m","password":"x","old":"o","n":"12","nested":{"secret":1,"kept":2}}', "text"],
                    enrich={"fields": {"environment": "prod", "team": {"name": "a"}}, "service": "fixed"},
                    fields={"add": {"extra": 1}, "rename": {"old": "new"}, "remove": ["password"], "convert": {"n": "long"}})
    first, second = documents
    assert first["environment"] == "prod" and first["team"] == {"name": "a"} and first["service"]["name"] == "fixed"
    assert first["extra"] == 1 and first["new"] == "o" and "old" not in first and "password" not in first and first["n"] == 12
    assert second["environment"] == "prod" and second["service"]["name"] == "fixed"


def test_request_id_keys_of_the_configuration(one):
    documents = one(['{"msg":"m","kallenavn":"k-1","request_id":"r-1"}'], enrich={"request_id_keys": ["kallenavn"]})
    assert documents[0]["http"]["request"]["id"] == "k-1"


def test_the_index_follows_event_time_within_the_window(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    container.write(b"old\n", at_ns=AT)
    container.write(b"new\n", at_ns=time.time_ns())
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {"index_window": "7d"}}))
    elastic.wait_for(2)
    barge.wait_drained()
    # The old one is in the index of the day on which it arrived, with its own time kept.
    indices = {index for index, _ in elastic.store}
    assert len(indices) == 1 and "microservices-2018.11.23" not in indices
    assert "2018-11-23T09:00:00.000140891Z" in {d["@timestamp"] for d in elastic.documents()}


def test_index_patterns_with_names(lab):
    elastic, docker = lab.elastic(), lab.docker()
    docker.container("app-1", labels={"barge.service": "Pay Ments/1"}).write(b'{"msg":"m","service":"theirs"}\n', at_ns=AT)
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {"index": "logs-%{service.name}-%{+YYYY.MM}"}}))
    elastic.wait_for(1)
    barge.wait_drained()
    (index, _), = elastic.store
    assert index.startswith("logs-pay") and index.endswith("-2018.11") and "theirs" not in index


def test_a_log_cannot_act(lab):
    """Text of a log is never an action line, an index or a path."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container('../../etc/x"\\n%s%n', image='a"b')
    lines = ['{"delete":{"_index":"microservices-2018.11.23","_id":"x"}}', '{"_index":"evil","_id":"evil","msg":"m"}',
             '"}}\\n{\\"create\\":{}}', "%s%n%{+YYYY}", '{"service":{"name":"../../x"},"msg":"m"}']
    for text in lines:
        container.write(text.encode() + b"\n", at_ns=AT)
    barge = lab.barge(lab.config(elastic, docker))
    elastic.wait_for(len(lines))
    barge.wait_drained()
    assert {index for index, _ in elastic.store} == {"microservices-2018.11.23"}
    wait_until(lambda: elastic.counts == {201: len(lines)}, 5)

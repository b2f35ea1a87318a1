"""Parsers of the operator's choice: by label, name and image, for files and GELF, and anew on SIGHUP."""

import signal

from expect import value_at
from waiting import wait_until

AT = 1542963600_000000000
NGINX = '10.0.0.7 - - [23/Nov/2018:08:59:59 +0000] "GET /orders/17?x=1 HTTP/1.1" 200 3 "-" "curl/8" "r-nginx"'
RULES = [
    {"container": "gate-*", "parser": "nginx"},
    {"image": "mysql:*", "parser": "mysql"},
    {"label": "team=pay*", "parser": "regex", "pattern": r"^(?<level>\w+) (?<took_ms>\d+) (?<message>.*)$", "types": {"took_ms": "long"}},
    {"container": "*", "image": "raw/*", "parser": "text"},
]
# name, image, labels, line, what the document must have (None: not there)
CONTAINERS = [
    ("gate-1", "nginx:1", {}, NGINX,
     {"message": "GET /orders/17?x=1 200", "http.request.id": "r-nginx", "http.response.status_code": 200, "url.path": "/orders/17",
      "source.ip": "10.0.0.7", "@timestamp": "2018-11-23T09:00:00Z", "tags": None}),
    ("db-1", "mysql:8", {}, "2018-11-23T08:00:00.5Z 8 [Warning] [MY-010068] [Server] self signed",
     {"message": "self signed", "log.level": "warn", "event.code": "MY-010068", "mysql.thread_id": 8}),
    ("pay-1", "pay:1", {"team": "payments"}, "ERROR 17 request_id=r-pay refused",
     {"message": "request_id=r-pay refused", "log.level": "error", "took_ms": 17, "http.request.id": "r-pay"}),
    ("raw-1", "raw/x:1", {}, '{"msg":"not looked into"}', {"message": '{"msg":"not looked into"}', "tags": None}),
    ("gate-2", "nginx:1", {"barge.parser": "logfmt"}, 'level=warn msg="stock low" request_id=r-logfmt qty=3',
     {"message": "stock low", "log.level": "warn", "qty": 3, "http.request.id": "r-logfmt"}),
    ("gate-3", "nginx:1", {}, "nothing that nginx writes", {"message": "nothing that nginx writes", "tags": ["parse_failed"]}),
    ("other-1", "other:1", {"barge.parser": "xml"}, '{"msg":"as it comes"}', {"message": "as it comes", "tags": None}),
]


def check(document, wanted):
    for name, value in wanted.items():
        assert value_at(document, name) == value, (name, document)


def named(elastic, name):
    found = [d for d in elastic.documents() if value_at(d, "container.name") == name]
    assert len(found) == 1, found
    return found[0]


def test_each_container_is_read_as_it_says(lab):
    elastic, docker = lab.elastic(), lab.docker()
    for name, image, labels, text, _ in CONTAINERS:
        docker.container(name, image=image, labels=labels).write(text.encode() + b"\n", at_ns=AT)
    barge = lab.barge(lab.config(elastic, docker, parsers=RULES))
    elastic.wait_for(len(CONTAINERS))
    barge.wait_drained()
    for name, _, _, _, wanted in CONTAINERS:
        check(named(elastic, name), wanted)
    assert barge.status()["parsers"]["failed"] == 1
    assert barge.log().count("names a parser that is not there") == 1
    assert "value=xml container=other-1" in barge.log()


def test_gelf_of_a_container_has_its_parser(lab):
    elastic, docker, address = lab.elastic(), lab.docker(), lab.gelf_address()
    known = docker.container("gate-1", image="nginx:1")
    known.write(NGINX.encode() + b"\n", at_ns=AT)
    barge = lab.barge(lab.config(elastic, docker, gelf_udp=f"{address[0]}:{address[1]}", parsers=RULES))
    elastic.wait_for(1)
    sender = lab.gelf_sender(address)
    sender.send({"version": "1.1", "host": "h", "short_message": NGINX, "_container_id": known.id, "_container_name": "gate-1"})
    sender.send({"version": "1.1", "host": "h", "short_message": NGINX, "_container_id": "0" * 64, "_container_name": "gate-9"})
    sender.send({"version": "1.1", "host": "h", "short_message": NGINX})
    elastic.wait_for(4)
    barge.wait_drained()
    read = [d for d in elastic.documents() if value_at(d, "http.response.status_code") == 200]
    assert sorted(value_at(d, "container.name") for d in read) == ["gate-1", "gate-1", "gate-9"]
    assert [d["message"] for d in elastic.documents() if d not in read] == [NGINX]


def test_rules_are_taken_over_on_sighup(lab):
    elastic, docker, address = lab.elastic(), lab.docker(), lab.gelf_address()
    container = docker.container("app-1")
    config = lab.config(elastic, docker, gelf_udp=f"{address[0]}:{address[1]}")
    barge, sender = lab.barge(config), lab.gelf_sender(address)
    gelf = {"version": "1.1", "host": "h", "_container_id": "0" * 64, "_container_name": "app-2"}

    def send(n, text):
        container.write(text.encode() + b"\n")
        sender.send({**gelf, "short_message": text})
        elastic.wait_for(n)
        barge.wait_drained()
        return [d for d in elastic.documents() if text in d["message"] or d.get("n") == n]

    assert [d["message"] for d in send(2, "level=info n=2")] == ["level=info n=2"] * 2
    for n, parser in ((4, "logfmt"), (6, "text")):
        barge.config["parsers"] = [{"container": "app-*", "parser": parser}]
        barge.write_config()
        begin = len(barge.log())
        barge.terminate(signal.SIGHUP)
        wait_until(lambda: "configuration reloaded" in barge.log()[begin:], 10, barge.log)
        documents = send(n, f"level=info msg=m n={n}")
        assert [d["message"] for d in documents] == (["m"] if parser == "logfmt" else [f"level=info msg=m n={n}"]) * 2, documents
    assert "take effect at the next start" not in barge.log()

"""conf/nginx/gateway.conf in Debian's nginx before two services: one id from the client to every log and back, and its story."""

import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

import barge as program
from expect import value_at
from waiting import PATIENCE, wait_until

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
GATEWAY = os.path.join(program.TOP, "conf", "nginx", "gateway.conf")
GENERATED = re.compile(r"[0-9a-f]{32}")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (make deps-servers)")

# Stands for the image's nginx.conf, whose own access log the server's has to replace.
AROUND = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log {folder}/stock.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/gateway.conf;
}}
"""


class Service:
    """A small service that logs JSON with its request's id, to its container, and may ask another one with the same id."""

    def __init__(self, docker, name, key, says, asks=None):
        self.container = docker.container(f"shop-{name}-1", labels={"com.docker.compose.service": name})
        self.key, self.says, self.asks, self.ids = key, says, asks, []
        self._lock = threading.Lock()
        self._thread = None
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                service.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", program.free_port()), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def log(self, request_id, message):
        line = json.dumps({"level": "info", "msg": message, self.key: request_id}).encode() + b"\n"
        with self._lock:
            self.container.write(line, at_ns=time.time_ns())

    def answer(self, request):
        ids = request.headers.get_all("X-Request-ID") or []
        self.ids.append(ids)
        self.log(ids[0] if ids else None, self.says[0])
        if self.asks:
            asked = urllib.request.Request(f"http://127.0.0.1:{self.asks.port}/", headers={"X-Request-ID": ids[0]})
            with urllib.request.urlopen(asked, timeout=10 * PATIENCE) as answer:
                answer.read()
            self.log(ids[0], self.says[1])
        request.send_response(200)
        request.send_header("X-Request-ID", ids[0] if ids else "none")  # as many frameworks do: the client is to have it once
        request.send_header("Content-Length", "3")
        request.end_headers()
        request.wfile.write(b"ok\n")

    def close(self):
        """From now on connections to it are refused."""
        if self._thread is not None:
            self.server.shutdown()
            self._thread.join()
            self._thread = None
            self.server.server_close()


class Gateway:
    """Debian's nginx with conf/nginx/gateway.conf; what it writes goes to a container's log as the engine's copier does it."""

    def __init__(self, docker, folder, orders, payment):
        self.container = docker.container("shop-gateway-1", image="nginx:1.27",
                                          labels={"com.docker.compose.service": "gateway", "barge.parser": "nginx"})
        self.port, self.folder = program.free_port(), folder
        os.makedirs(folder)
        with open(GATEWAY, encoding="utf-8") as f:
            text = f.read()
        for found, put in (("listen 80 default_server;", f"listen 127.0.0.1:{self.port} default_server;"),
                           ("server orders:8080;", f"server 127.0.0.1:{orders.port};"),
                           ("server payment:8080;", f"server 127.0.0.1:{payment.port};")):
            assert text.count(found) == 1, found
            text = text.replace(found, put)
        with open(os.path.join(folder, "gateway.conf"), "w", encoding="utf-8") as f:
            f.write(text)
        with open(os.path.join(folder, "nginx.conf"), "w", encoding="utf-8") as f:
            f.write(AROUND.format(folder=folder, user="user root;" if os.geteuid() == 0 else ""))
        self.process = subprocess.Popen([NGINX, "-p", folder, "-c", os.path.join(folder, "nginx.conf"), "-e", os.path.join(folder, "error.log")],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._lock = threading.Lock()
        self._copiers = [threading.Thread(target=self._copy, args=a)
                         for a in ((self.process.stdout, "stdout"), (self.process.stderr, "stderr"))]
        for copier in self._copiers:
            copier.start()

    def _copy(self, pipe, stream):
        for line in pipe:
            with self._lock:
                self.container.write(line, stream=stream, at_ns=time.time_ns())

    def wait_ready(self):
        wait_until(lambda: self.process.poll() is not None or self._listens(), 10, self._said)
        assert self.process.poll() is None, self._said()

    def _listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def _said(self):
        said = ""
        for path in (os.path.join(self.folder, "error.log"), self.container.path):
            if os.path.exists(path):
                with open(path, encoding="utf-8") as f:
                    said += f.read()
        return said

    def ask(self, path, *lines):
        """One request of these header lines, as bytes: (status, the X-Request-IDs of the answer)."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20 * PATIENCE) as s:
            s.sendall(b"\r\n".join([f"GET {path} HTTP/1.1".encode(), b"Host: shop.example", *lines, b"Connection: close", b"", b""]))
            answer = b"".join(iter(lambda: s.recv(65536), b"")).split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        names = (line.split(": ", 1) for line in answer[1:])
        return int(answer[0].split()[1]), [n[1] for n in names if n[0].lower() == "x-request-id"]

    def close(self):
        self.process.terminate()
        assert self.process.wait(timeout=20 * PATIENCE) == 0
        for copier in self._copiers:
            copier.join()
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def shop(lab):
    docker, made = lab.docker(), []

    def keep(one):
        made.append(one)
        return one

    try:
        lab.payment = keep(Service(docker, "payment", "correlation_id", ["card authorised"]))
        lab.orders = keep(Service(docker, "orders", "requestId", ["order read", "order paid"], asks=lab.payment))
        lab.gateway = keep(Gateway(docker, os.path.join(lab.folder, "nginx"), lab.orders, lab.payment))
        lab.gateway.wait_ready()
        lab.agent = lab.barge(lab.config(None, docker))
        yield lab
    finally:
        for one in reversed(made):
            one.close()


def story(lab, request_id):
    """(service, level, message) of each line of the timeline, and its last line, once the gateway's record is there."""
    def asked():
        done = program.run("trace", "-c", lab.agent.config_path, request_id)
        return done.stdout if re.search(r"^ +[0-9.]+ +gateway ", done.stdout, re.M) else None

    said = wait_until(asked, 15, lab.agent.output_documents)
    rows = [m.groups() for m in re.finditer(r"^ +\d+\.\d{3} +(\S+) +(\S+) +(.*)$", said, re.M)]
    return rows, said.rstrip("\n").split("\n")[-1]


WHOLE = [("orders", "info", "order read"), ("payment", "info", "card authorised"), ("orders", "info", "order paid")]
HOSTILE = {
    "blanks": b"two words of it", "quotes": b'r-1","level":"fatal","x":"', "angle brackets": b"<script>alert(1)</script>",
    "300 bytes": b"a" * 300, "129 bytes": b"a" * 129, "too short": b"r-1", "empty": b"", "no ASCII": "ærlig-tid".encode(), "no UTF-8": b"\xff\xfe-12345678",
    "a tab": b"r-1234567\t8", "a comment's end": b"r-1234567*/", "a variable": b"$request_uri_12345"}


def test_one_request_through_the_gateway(shop):
    client_id = "Order_4bf9-2f3c:7@a.b+c/d~e|f"
    assert shop.gateway.ask("/orders/17?x=1", b"X-Request-ID: " + client_id.encode(), b'User-Agent: say "hi"\\',
                            b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                            b"X-Forwarded-For: 192.0.2.7") == (200, [client_id])
    assert shop.orders.ids == shop.payment.ids == [[client_id]]
    rows, last = story(shop, client_id)
    assert rows == [*WHOLE, ("gateway", "info", "GET /orders/17?x=1 200")]
    assert last.startswith("3 services: orders, payment, gateway · ") and last.endswith(" · 0 errors · 4 records")
    record, = (d for d in shop.agent.output_documents() if value_at(d, "service.name") == "gateway")
    wanted = {"http.request.id": client_id, "http.request.method": "GET", "http.version": "1.1", "http.response.status_code": 200,
              "http.response.body.bytes": 3, "url.path": "/orders/17", "url.query": "x=1", "url.domain": "shop.example", "url.scheme": "http",
              "source.ip": "127.0.0.1", "user_agent.original": 'say "hi"\\', "trace.id": "0af7651916cd43dd8448eb211c80319c",
              "nginx.access.remote_ip_list": ["192.0.2.7"], "msec": None, "log.level": "info", "stream": "stdout", "tags": None, "http.request.referrer": None,
              "user.name": None, "upstream_addr": f"127.0.0.1:{shop.orders.port}", "upstream_status": "200"}
    assert {name: value_at(record, name) for name in wanted} == wanted
    assert 0 <= value_at(record, "event.duration") < 60 * PATIENCE * 10**9 and value_at(record, "event.duration") % 10**6 == 0
    with open(os.path.join(shop.gateway.folder, "stock.log"), "rb") as f:
        assert f.read() == b""


def test_without_an_id_and_with_hostile_ones(shop):
    """Each has an id that nginx made, of which all three logs tell, and nothing of the client's is left."""
    made = []
    for lines in [[], *([b"X-Request-ID: " + text] for text in HOSTILE.values())]:
        status, ids = shop.gateway.ask("/orders/1", *lines)
        assert status == 200 and len(ids) == 1 and GENERATED.fullmatch(ids[0]), (lines, ids)
        made += ids
    assert len(set(made)) == 1 + len(HOSTILE)
    assert shop.orders.ids == shop.payment.ids == [[one] for one in made]
    for one in (made[0], made[-1]):
        assert story(shop, one)[0] == [*WHOLE, ("gateway", "info", "GET /orders/1 200")]
    wait_until(lambda: len(shop.agent.output_lines()) == 4 * len(made), 15)
    documents = shop.agent.output_documents()
    assert sorted(value_at(d, "http.request.id") for d in documents) == sorted(4 * made)
    assert not any("tags" in d for d in documents)
    assert not [text for text in HOSTILE.values() if len(text) > 8 and any(text in line for line in shop.agent.output_lines())]


def test_line_ends_in_an_id(shop):
    """However nginx takes them, there is one id, the same for everybody, and it is no client's made-up line."""
    for lines in ([b"X-Request-ID: r-12345678\n folded"], [b"X-Request-ID: r-12345678\nX-Request-ID: r-second-one"]):
        status, ids = shop.gateway.ask("/orders/1", *lines)
        assert status in (200, 400) and len(ids) == 1 and (ids == ["r-12345678"] or GENERATED.fullmatch(ids[0])), (lines, ids)
        if status == 200:
            assert shop.orders.ids[-1] == shop.payment.ids[-1] == ids
    before = len(shop.orders.ids)
    status, ids = shop.gateway.ask("/orders/1", b"X-Request-ID: r-12345678\r{}")
    assert status == 400 and len(ids) == 1 and GENERATED.fullmatch(ids[0]) and len(shop.orders.ids) == before
    assert story(shop, ids[0])[0] == [("gateway", "warn", "GET /orders/1 400")]


def test_what_no_service_answers_has_an_id_too(shop):
    shop.payment.close()
    status, ids = shop.gateway.ask("/payments/9", b"X-Request-ID: r-no-service")
    assert (status, ids) == (502, ["r-no-service"])
    assert story(shop, "r-no-service")[0] == [("gateway", "error", "GET /payments/9 502")]
    assert shop.gateway.ask("/nowhere", b"X-Request-ID: r-nowhere") == (404, ["r-nowhere"])
    assert story(shop, "r-nowhere")[0] == [("gateway", "warn", "GET /nowhere 404")]
    nowhere, = (d for d in shop.agent.output_documents() if value_at(d, "http.request.id") == "r-nowhere")
    assert not {"traceparent", "upstream_addr", "upstream_status", "upstream_response_time"} & set(nowhere)
    errors = [d for d in shop.agent.output_documents() if d["stream"] == "stderr"]
    assert [(value_at(d, "log.level"), value_at(d, "url.domain")) for d in errors] == [("error", "shop.example")], errors
    assert "Connection refused" in errors[0]["message"]

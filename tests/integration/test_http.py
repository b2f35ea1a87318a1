"""What a server, a proxy, a name or a certificate may do to a request: nothing lost, nothing twice, memory flat, no secret to others."""

import gzip
import os
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

from load import check_exactly_once, line
from scripted_elastic import Raw, Silence, TestAuthority, Whole
from waiting import PATIENCE, wait_until


def elasticsearch(**more):
    return {"elasticsearch": {"timeout": f"{round(1 * PATIENCE)}s", **more}}


@pytest.fixture
def setup(lab):
    def make(elastic=None, **sections):
        elastic, docker = elastic or lab.elastic(), lab.docker()
        container = docker.container("app-1")
        sections.setdefault("output", elasticsearch())
        return elastic, container, lab.barge(lab.config(elastic, docker, **sections))

    return make


def write(container, start, count):
    container.write(b"".join(line("app-1", i, 50) for i in range(start, start + count)))


def finish(elastic, barge, count, deadline_s=40.0):
    elastic.wait_for(count, deadline_s)
    ledger = barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": count})
    assert ledger["dead_lettered"] == 0 and ledger["delivered"] + ledger["duplicate"] == count
    return ledger


# ---- answers that go on and on ----

def drip(part):
    """A byte at a time, much slower than the time-out allows."""

    def write_slowly(connection, right):
        head, body = right.split(b"\r\n\r\n", 1)
        begin = b"" if part == "head" else head + b"\r\n\r\n"
        connection.sendall(begin)
        for byte in (right if part == "head" else body):
            connection.sendall(bytes([byte]))
            time.sleep(0.1)

    return write_slowly


def endless(head, chunk, times):
    def write_on(connection, right):
        connection.sendall(head)
        for _ in range(times):
            connection.sendall(chunk)

    return write_on


CHUNK = b"%x\r\n%s\r\n" % (1 << 16, b"x" * (1 << 16))
BOMB = gzip.compress(b'{"errors":false,"items":[' + b" " * (64 << 20))
LONG = {
    "drips its head": drip("head"),
    "drips its body": drip("body"),
    "a gigabyte": endless(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n", b'{"x":"' + b"y" * (1 << 16), 1 << 14),
    "a gigabyte of blanks": endless(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n", b" " * (1 << 16), 1 << 14),
    "endless chunks": endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", CHUNK, 1 << 14),
    "endless error": endless(b"HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n", CHUNK, 1 << 14),
    "endless head": endless(b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"y" * 8000 + b"\r\n", 1 << 14),
    "one head of a megabyte": endless(b"HTTP/1.1 200 OK\r\nx-long: ", b"y" * (1 << 20) + b"\r\n\r\n", 1),
    "endless 100 Continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 2000),
    "a gzip bomb": endless(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(BOMB), BOMB, 1),
}


@pytest.mark.parametrize("fn", LONG.values(), ids=LONG)
def test_long_answers(setup, fn):
    elastic, container, barge = setup()
    write(container, 0, 10)
    elastic.wait_for(10)
    before = barge.rss_kib()
    elastic.answer_next(Raw(fn), times=2)
    write(container, 10, 200)
    finish(elastic, barge, 210)
    assert elastic.script_done() and barge.status()["output"]["failed_requests"] >= 2
    if PATIENCE == 1:
        assert barge.rss_kib() - before < 8192


# ---- answers in odd form ----

def raw(text, body=b""):
    return lambda connection, right: connection.sendall(text + body)


def items(n, status=201):
    return b'{"errors":false,"items":[' + b",".join([b'{"create":{"status":%d}}' % status] * n) + b"]}"


VOID = {
    "nonsense": raw(b"\x00\x01\x02 what\r\n\r\n"),
    "two lengths": raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 7\r\n\r\n", items(100)),
    "a negative length": raw(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", items(100)),
    "a chunk size beyond all numbers": raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n", items(100)),
    "a chunk size that is none": raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", items(100)),
    "closed before the last chunk": raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(items(100)), items(100))),
    "shorter than its length": raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", items(100)),
    "status 000": raw(b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n"),
    "101": raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
    "205": raw(b"HTTP/1.1 205 Reset\r\ncontent-length: 0\r\n\r\n"),
    "206": raw(b"HTTP/1.1 206 Partial\r\ncontent-length: %d\r\n\r\n" % len(items(100)), items(100)),
    "304": raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "407": raw(b"HTTP/1.1 407 Proxy\r\nproxy-authenticate: Basic realm=x\r\ncontent-length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("fn", VOID.values(), ids=VOID)
def test_answers_that_are_void(setup, fn):
    """Nothing of it was stored, so whoever believed the answer lost a hundred records."""
    elastic, container, barge = setup(output=elasticsearch(batch_delay="200ms"))
    elastic.answer_next(Raw(fn), times=2)
    write(container, 0, 100)
    assert finish(elastic, barge, 100)["delivered"] == 100
    assert elastic.script_done()


ODD_BUT_RIGHT = {
    "HTTP/1.0": lambda c, right: c.sendall(right.replace(b"HTTP/1.1", b"HTTP/1.0", 1)),
    "HTTP/1.0 without a length": lambda c, right: c.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + right.split(b"\r\n\r\n", 1)[1]),
    "a length beyond all numbers": lambda c, right: c.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n" + right.split(b"\r\n\r\n", 1)[1]),
    "1xx before it": lambda c, right: c.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + right),
    "chunks of one byte": lambda c, right: c.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"".join(
        b"1\r\n%c\r\n" % b for b in right.split(b"\r\n\r\n", 1)[1]) + b"0\r\n\r\n"),
}


@pytest.mark.parametrize("fn", ODD_BUT_RIGHT.values(), ids=ODD_BUT_RIGHT)
def test_answers_in_odd_form_count(setup, fn):
    elastic, container, barge = setup()
    elastic.answer_next(Raw(fn, index=True))
    write(container, 0, 100)
    ledger = finish(elastic, barge, 100)
    assert ledger["duplicate"] == 0 and elastic.script_done()


def test_an_answer_behind_an_answer_is_not_taken_for_the_next_ones(setup):
    """A second, glowing answer on the same connection: what is sent next must not be believed to be stored by it."""
    elastic, container, barge = setup()

    def twice(connection, right):
        connection.sendall(right + b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(items(1)) + items(1))

    elastic.answer_next(Raw(twice, index=True, keep=True))
    write(container, 0, 1)
    elastic.wait_for(1)
    barge.wait_drained()
    elastic.answer_next(Silence())
    write(container, 1, 1)
    finish(elastic, barge, 2)


def test_a_late_answer_finds_nobody(setup):
    """Request 1 timed out; its answer comes when request 2 is under way. They do not share a connection."""
    elastic, container, barge = setup()
    told = threading.Event()

    def late(connection, right):
        told.wait(20 * PATIENCE)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(items(1)) + items(1))

    elastic.answer_next(Raw(late))
    elastic.answer_next(Silence())
    write(container, 0, 1)
    wait_until(lambda: len(elastic.requests) == 2, 20)
    told.set()
    finish(elastic, barge, 1)
    assert elastic.requests[0].connection != elastic.requests[1].connection != elastic.requests[2].connection


def test_a_connection_that_the_server_closes_when_idle(setup):
    """Between two requests: no failure is counted, nothing is sent twice."""
    elastic, container, barge = setup()
    for i in range(5):
        elastic.answer_next(Raw(lambda connection, right: connection.sendall(right), index=True))
        write(container, i * 10, 10)
        elastic.wait_for((i + 1) * 10)
    ledger = finish(elastic, barge, 50)
    assert ledger["duplicate"] == 0 and barge.status()["output"]["failed_requests"] == 0


def test_reset_in_the_middle_of_an_upload(lab, setup):
    """RST while the body is being sent, and right behind the request."""
    elastic = lab.elastic()
    resets = []

    def proxy(client):
        n = len(resets)
        resets.append(n)
        client.settimeout(5 * PATIENCE)
        if n < 3:
            client.recv(2000 if n < 2 else 1 << 20)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            client.close()
            return
        pipe(client, elastic.port)

    with Listener(proxy) as listener:
        docker = lab.docker()
        container = docker.container("app-1")
        config = lab.config(elastic, docker, output=elasticsearch())
        config["output"]["elasticsearch"]["hosts"] = [f"http://127.0.0.1:{listener.port}"]
        barge = lab.barge(config)
        write(container, 0, 3000)
        finish(elastic, barge, 3000)
        assert len(resets) >= 4
        barge.close()


class Listener:
    """Takes connections, each in a thread of its own."""

    def __init__(self, fn):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.fn = fn
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client):
        try:
            self.fn(client)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def pipe(client, port):
    """Both ways to a port, until one side ends."""
    client.settimeout(None)
    server = socket.create_connection(("127.0.0.1", port))

    def one_way(a, b):
        try:
            while data := a.recv(1 << 16):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    back = threading.Thread(target=one_way, args=(server, client), daemon=True)
    back.start()
    one_way(client, server)
    back.join(5)
    server.close()
    client.close()


# ---- other places ----

@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(lab, setup, status):
    """Neither with nor without the password."""
    elastic, evil = lab.elastic(basic=("barge", "secret-1")), lab.elastic()
    secret = os.path.join(lab.folder, "password")
    with open(secret, "w", encoding="utf-8") as f:
        f.write("secret-1\n")
    os.chmod(secret, 0o600)
    elastic.answer_next(Whole(status, b"", headers=[("Location", evil.url + "/_bulk")]), times=2)
    _, container, barge = setup(elastic, output=elasticsearch(username="barge", password_file=secret))
    write(container, 0, 100)
    finish(elastic, barge, 100)
    assert not evil.requests and not evil.other_requests


def black_hole():
    """A port that swallows connection attempts: its queue is full, and nobody takes from it."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(0)
    callers = []
    for _ in range(4):
        caller = socket.socket()
        caller.setblocking(False)
        caller.connect_ex(s.getsockname())
        callers.append(caller)
    return s, callers


@pytest.mark.limit(90)
def test_three_hosts_black_hole_busy_and_good(lab):
    hole, callers = black_hole()
    busy, good = lab.elastic(), lab.elastic()
    busy.on_request = lambda request: Whole(503)
    docker = lab.docker()
    container = docker.container("app-1")
    config = lab.config([good, busy], docker, output=elasticsearch(timeout="20s", batch_size="64KiB"))
    config["output"]["elasticsearch"]["hosts"].insert(0, f"http://127.0.0.1:{hole.getsockname()[1]}")
    barge = lab.barge(config)
    # Ten seconds is what a connection attempt may take: most of it is there long before.
    write(container, 0, 20000)
    wait_until(lambda: len(good.store) >= 15000, 8, lambda: f"{len(good.store)} {barge.status()}")
    finish(good, barge, 20000, 25)
    assert len(busy.requests) < 20 and not busy.store
    for s in (hole, *callers):
        s.close()


# ---- names ----

def private_names(folder, names):
    """A command line that runs its arguments with a hosts file of their own; skips where that cannot be."""
    hosts, order = os.path.join(folder, "hosts"), os.path.join(folder, "nsswitch.conf")
    with open(hosts, "w", encoding="ascii") as f:
        f.write(names)
    with open(order, "w", encoding="ascii") as f:
        f.write("hosts: files\npasswd: files\ngroup: files\n")
    wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
               f'mount --bind {hosts} /etc/hosts && mount --bind {order} /etc/nsswitch.conf && exec "$@"', "sh"]
    if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount namespace can be made here")
    return wrapper, hosts


@pytest.mark.limit(150)
def test_a_name_that_is_unknown_and_then_moves(lab):
    """NXDOMAIN, then an address, then another one: the name is asked again."""
    docker = lab.docker()
    container = docker.container("app-1")
    elastic = lab.elastic()
    wrapper, hosts = private_names(lab.folder, "127.0.0.1 localhost\n")
    config = lab.config(elastic, docker, output=elasticsearch())
    config["output"]["elasticsearch"]["hosts"] = [f"http://elastic.test:{elastic.port}"]
    barge = lab.barge(config, wrapper=wrapper)
    write(container, 0, 10)
    wait_until(lambda: "resolve" in str(barge.status()["output"]["last_error"]), 20, barge.status)
    with open(hosts, "a", encoding="ascii") as f:
        f.write("127.0.0.1 elastic.test\n")
    finish(elastic, barge, 10, 60)
    # It moves: nobody is at the old address any more.
    elastic.stop()
    elastic.address = "127.0.0.2"
    elastic.start()
    with open(hosts, "w", encoding="ascii") as f:
        f.write("127.0.0.2 elastic.test\n")
    write(container, 10, 10)
    # A name may be remembered for a minute.
    finish(elastic, barge, 20, 100)


# ---- certificates ----

def tls_case(lab, context_of, **tls):
    authority = lab.authority()
    elastic, docker = lab.elastic(tls=context_of(authority)), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, output=elasticsearch(tls={"ca_file": authority.ca_file, **tls})))
    write(container, 0, 10)
    return authority, elastic, container, barge


class With:
    """An authority with another certificate, or other limits, for the server."""

    def __init__(self, authority, files, minimum=None, maximum=None):
        self.authority, self.files, self.minimum, self.maximum = authority, files, minimum, maximum

    def server_context(self):
        kept = self.authority.cert_file, self.authority.key_file
        self.authority.cert_file, self.authority.key_file = self.files
        context = self.authority.server_context()
        self.authority.cert_file, self.authority.key_file = kept
        if self.maximum:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version, context.maximum_version = self.minimum, self.maximum
        return context


def other_authority(authority):
    return TestAuthority(authority.folder + "-other")


REFUSED = {
    "expired": (lambda a: With(a, a.issue_expired("old", "IP:127.0.0.1")), "expired"),
    "wrong host": (lambda a: With(a, a.issue("elsewhere", "DNS:elsewhere.test,IP:127.0.0.9")), "127.0.0.1|subject|match"),
    "signed by nobody we know": (other_authority, "certificate|issuer"),
    "TLS 1.1 at most": (lambda a: With(a, (a.cert_file, a.key_file), 0x0301, 0x0302), "protocol|version|alert|handshake"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_tls_that_is_refused(lab, case):
    """A message that says why; the data is kept; and it goes when the certificate is mended."""
    context_of, why = case
    authority, elastic, _, barge = tls_case(lab, context_of)
    wait_until(lambda: re.search(why, str(barge.status()["output"]["last_error"])), 20, barge.status)
    assert not elastic.requests and barge.balanced()["buffered"] == 10
    elastic.tls = authority
    finish(elastic, barge, 10, 60)


def test_a_certificate_that_is_rotated(lab):
    """The server's changes while connections are open; the agent's view of authorities changes with the file."""
    authority, elastic, container, barge = tls_case(lab, lambda a: a)
    elastic.wait_for(10)
    ca_file = authority.ca_file
    other = other_authority(authority)
    elastic.stop()
    elastic.tls = other
    elastic.start()
    write(container, 10, 10)
    wait_until(lambda: re.search("certificate|issuer", str(barge.status()["output"]["last_error"])), 20, barge.status)
    shutil.copy(other.ca_file, ca_file)
    finish(elastic, barge, 20, 60)

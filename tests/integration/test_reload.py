"""SIGHUP, SIGTERM and the service manager: what a reload takes over, what an end keeps, what is told to systemd."""

import fcntl
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import barge as program
from activation import activated, high, large
from gelf_sender import GelfSender, chunks, message
from load import check_exactly_once, line
from scripted_elastic import Refuse, Silence
from waiting import PATIENCE, wait_until

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do that")


def replace(path, text, mode=0o600):
    """As careful people rotate files: a new one, renamed over the old one."""
    with open(path + ".new", "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, mode)) as f:
        f.write(text)
    os.rename(path + ".new", path)
    return path


def send_one(barge, elastic, container, n):
    """Line n, and the request that brought it."""
    container.write(line("app-1", n))
    elastic.wait_for(n + 1)
    barge.wait_drained()
    return elastic.requests[-1]


# ---- SIGHUP ----

def test_new_passwords(lab, tmp_path_factory):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    # In a folder of its own: what may be read again is that folder, not the file as it was.
    secret = replace(str(tmp_path_factory.mktemp("secrets") / "secret"), "first\n")
    elastic.basic = ("barge", "first")
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {"username": "barge", "password_file": secret}}))
    first = send_one(barge, elastic, container, 0)
    replace(secret, "second\n")
    barge.reload()
    elastic.basic = ("barge", "second")
    asked = len(elastic.requests)
    assert send_one(barge, elastic, container, 1).headers["authorization"] != first.headers["authorization"]
    assert len(elastic.requests) == asked + 1, "the old password was tried again"
    # What cannot be a password leaves the old one in force.
    for broken, why in (("", "is empty"), ("a\nb\n", "more than one line"), ("x" * 5000, "more than 4096 bytes")):
        replace(secret, broken)
        assert why in barge.reload("the old ones stay")
    os.remove(secret)
    assert "No such file" in barge.reload("the old ones stay")
    send_one(barge, elastic, container, 2)


class ClientsAsked(ssl.SSLContext):
    """A node's side that demands certificates of its own authority and remembers whose they were."""

    def __new__(cls):
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made.names = []
        return made

    def wrap_socket(self, *args, **options):
        made = super().wrap_socket(*args, **options)
        if made.getpeercert():
            self.names.append(dict(x[0] for x in made.getpeercert()["subject"])["commonName"])
        return made


def test_new_certificates_reach_kept_connections(lab, tmp_path_factory):
    authority = lab.authority()
    context = ClientsAsked()
    context.load_cert_chain(authority.cert_file, authority.key_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)
    authority.server_context = lambda: context
    elastic, docker = lab.elastic(tls=authority), lab.docker()
    container = docker.container("app-1")
    own = {name: str(tmp_path_factory.mktemp("secrets") / name) for name in ("cert", "key")}

    def give(name):
        certificate, key = authority.issue(name, "DNS:client")
        for path, target in ((certificate, own["cert"]), (key, own["key"])):
            with open(path, encoding="ascii") as f:
                replace(target, f.read())

    give("client-one")
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {"tls": {
        "ca_file": authority.ca_file, "cert_file": own["cert"], "key_file": own["key"]}}}))
    send_one(barge, elastic, container, 0)
    send_one(barge, elastic, container, 1)
    assert set(context.names) == {"client-one"}
    give("client-two")
    barge.reload()
    del context.names[:]
    send_one(barge, elastic, container, 2)
    assert set(context.names) == {"client-two"}, "the connection made with the old certificate was used again"
    # Half a file: nothing changes.
    with open(own["cert"], encoding="ascii") as f:
        half = f.read()[:300]
    replace(own["cert"], half)
    said = barge.reload("the old ones stay")
    assert "tls.cert_file" in said and "holds no PEM" in said
    send_one(barge, elastic, container, 3)


def test_a_new_authority(lab):
    old, new = lab.authority(), type(lab.authority())(os.path.join(lab.folder, "tls2"))
    elastic, docker = lab.elastic(tls=old), lab.docker()
    container = docker.container("app-1")
    trusted = os.path.join(lab.folder, "ca.pem")
    shutil.copy(old.ca_file, trusted)
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {"tls": {"ca_file": trusted}}}))
    send_one(barge, elastic, container, 0)
    elastic.stop()
    elastic.tls = new
    elastic.start()
    container.write(line("app-1", 1))
    wait_until(lambda: "certificate" in str(barge.status()["output"]["last_error"]), 20, barge.status)
    assert len(elastic.store) == 1
    with open(new.ca_file, encoding="ascii") as f:
        replace(trusted, f.read())
    barge.reload()
    elastic.wait_for(2)
    barge.wait_drained()


def test_log_level_and_format(lab):
    barge = lab.barge(lab.config(None, lab.docker(), log={"level": "error"}))
    assert "level=info" not in barge.log()
    barge.config["log"] = {"level": "info", "format": "json"}
    barge.write_config()
    said = barge.reload()
    assert json.loads(said.splitlines()[-1])["log.level"] == "info"
    assert "next start" not in said


def test_what_needs_a_restart_is_named(lab):
    elastic, docker = lab.elastic(), lab.docker()
    barge = lab.barge(lab.config(elastic, docker))
    barge.config["data_dir"] += "-elsewhere"
    barge.config["buffer"]["max_size"] = "64MiB"
    barge.config["output"]["elasticsearch"]["hosts"] = [elastic.url.replace("//", "//user:word@")]
    barge.config["log"] = {"level": "info"}
    barge.write_config()
    said = barge.reload("next start")
    assert 'settings="data_dir, buffer.max_size, output.elasticsearch.hosts"' in said, said
    assert "word" not in said
    barge.config["data_dir"] = barge.config["data_dir"].removesuffix("-elsewhere")


def test_a_broken_file_leaves_the_old_one_in_force(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker))
    good = dict(barge.config)
    for broken, why in (('{"log": {"level": "loud"}}', "loud"), ("data_dirr: /x\n", "data_dirr"), ("a: [1\n", ":"), ("\0", ":")):
        with open(barge.config_path, "w", encoding="utf-8") as f:
            f.write(broken)
        begin = len(barge.log())
        barge.terminate(signal.SIGHUP)
        wait_until(lambda: f"{barge.config_path}:" in barge.log()[begin:] and why in barge.log()[begin:], 10, barge.log)
    assert barge.log().count("the old one stays in force") == 4
    os.remove(barge.config_path)
    barge.terminate(signal.SIGHUP)
    wait_until(lambda: "cannot be opened: No such file" in barge.log(), 10, barge.log)
    send_one(barge, elastic, container, 0)
    barge.config = good
    barge.write_config()
    barge.reload()
    send_one(barge, elastic, container, 1)


# ---- ends ----

@pytest.mark.parametrize("seed", range(3))
def test_sigterm_while_starting(lab, seed):
    """At any moment of a start over a full buffer: status 0, soon, nothing lost."""
    dice = random.Random(seed)
    elastic, docker = lab.elastic(), lab.docker()
    elastic.on_request = lambda request: Silence()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, shutdown_timeout="0s"))
    container.write(b"".join(line("app-1", i, size=200) for i in range(20000)))
    wait_until(lambda: barge.ledger()["buffered"] == 20000, 30, barge.ledger)
    barge.kill9()
    early = tries = 0
    while tries < 6 or (early == 0 and tries < 40):
        barge.start(ready=False)
        wait_until(lambda: "confined" in barge.log(), 10, barge.log, every_s=0.001)
        until = time.monotonic() + dice.choice([0, dice.random() * 0.03])
        while time.monotonic() < until:
            pass
        barge.terminate()
        assert barge.wait(5) == 0
        barge.check_log()
        early += "ended while starting" in barge.log()
        tries += 1
    assert early > 0, "no end came while it was starting: the test tests nothing"
    elastic.on_request = None
    barge.start()
    elastic.wait_for(20000, 40)
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": 20000})


@pytest.mark.skipif(program.is_sanitized(), reason="a sanitizer's runtime ends with a look at standard error")
def test_a_second_sigterm_ends_what_is_stuck(lab):
    """Nobody reads its standard error any more: even the loop hangs in a write."""
    barge = lab.barge(lab.config(None, lab.docker()), start=False)
    with subprocess.Popen([program.BINARY, "run", "-c", barge.config_path], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        os.set_blocking(process.stderr.fileno(), False)
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        got = b""

        def ready():
            nonlocal got
            got += process.stderr.read() or b""
            return b"barge is running" in got

        wait_until(ready, 15)
        with open(barge.config_path, "w", encoding="utf-8") as f:
            f.write("".join(f"unknown_{i:04}: 1\n" for i in range(2000)))
        process.send_signal(signal.SIGHUP)

        # The main thread does not come back from write(2).
        wait_until(lambda: program.syscall_of(process.pid) == "1 0x2", 15, lambda: program.syscall_of(process.pid))
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not program.proc_status(process.pid)["ShdPnd"].strip("0"), 5)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(5 * PATIENCE) == 0
    barge.write_config()
    barge.start()


@root_only
@pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is missing")
def test_sigterm_while_a_name_look_up_hangs(lab):
    """A name server that never answers, in a mount namespace of the test's own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.83.66.82", 53))
        resolv = os.path.join(lab.folder, "resolv.conf")
        with open(resolv, "w", encoding="ascii") as f:
            f.write("nameserver 127.83.66.82\noptions timeout:30 attempts:1\n")
        wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'mount --bind {resolv} "$(readlink -f /etc/resolv.conf)" && exec "$@"', "sh"]
        if subprocess.run([*wrapper, "true"], check=False, capture_output=True).returncode:
            pytest.skip("no mount namespace here")
        docker = lab.docker()
        docker.container("app-1").write(line("app-1", 0))
        config = lab.config(lab.elastic(), docker, shutdown_timeout="300ms", output={"elasticsearch": {"hosts": ["http://elastic.example:9200"]}})
        barge = lab.barge(config, wrapper=wrapper)
        server.settimeout(15 * PATIENCE)
        assert b"elastic" in server.recv(4096)
        begun = time.monotonic()
        barge.stop()
        assert time.monotonic() - begun < 0.3 + 3 * PATIENCE


# ---- systemd ----

class Manager:
    """The notify socket of a service manager."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(15 * PATIENCE)
        self.name = address.replace("\0", "@") if address.startswith("\0") else address

    def next(self, skip=("WATCHDOG=1",)):
        while True:
            said = dict(x.split("=", 1) for x in self.socket.recv(4096).decode().splitlines())
            if not any(f"{k}={v}" in skip for k, v in said.items()):
                return said

    def close(self):
        self.socket.close()


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_what_the_service_manager_is_told(lab, kind):
    address = os.path.join(lab.folder, "notify") if kind == "path" else f"\0barge-test-{os.getpid()}-{random.random()}"
    manager = Manager(address)
    lab._others.append(manager)
    barge = lab.barge(lab.config(None, lab.docker(), shutdown_timeout="3s"), env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "200000"})
    assert manager.next() == {"READY": "1"}
    for _ in range(3):  # for as long as it lives
        assert manager.next(skip=()) == {"WATCHDOG": "1"}
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    barge.terminate(signal.SIGHUP)
    said = manager.next()
    assert said["RELOADING"] == "1" and before <= int(said["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert manager.next() == {"READY": "1"}
    barge.stop()
    said = manager.next()
    assert said["STOPPING"] == "1" and int(said["EXTEND_TIMEOUT_USEC"]) > 3_000_000


def test_no_watchdog_for_another_process(lab):
    manager = Manager(os.path.join(lab.folder, "notify"))
    lab._others.append(manager)
    lab.barge(lab.config(None, lab.docker()), env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"})
    assert manager.next() == {"READY": "1"}
    manager.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        manager.socket.recv(100)


class Flood(threading.Thread):
    """Numbered datagrams, some of them chunked, without a pause until it is told."""

    def __init__(self, address, pace_s):
        super().__init__(daemon=True)
        self.address, self.pace_s, self.sent, self.on = address, pace_s, 0, True

    def run(self):
        sender = GelfSender(self.address)
        while self.on:
            data = json.dumps(message(f"number {self.sent}", _n=self.sent, _src="flood", _pad="x" * 2000)).encode()
            for part in chunks(data, size=500) if self.sent % 2 else [data]:
                time.sleep(self.pace_s)  # most moments lie between two chunks of a message
                sender.datagram(part)
            self.sent += 1
        sender.close()


def test_socket_activation_drops_no_datagram_over_restarts(lab):
    elastic = lab.elastic()
    udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    for s in (udp, tcp):
        s.bind(("127.0.0.1", 0))
    tcp.listen(16)
    large(udp)
    udp, tcp = high(udp), high(tcp)
    # The addresses of the configuration are not bound: those of the sockets are what counts.
    barge = lab.barge(lab.config(elastic, gelf_udp="127.0.0.1:9", gelf_tcp="127.0.0.1:9"), start=False, **activated(tcp, udp))
    flood = Flood(udp.getsockname(), 0.001)
    flood.start()
    wait_until(lambda: flood.sent > 5, 10)  # before the first start
    barge.start()
    for life in range(4):
        goal = flood.sent + 150
        wait_until(lambda: flood.sent > goal and barge.ledger()["read"] > 100, 20)
        barge.stop(books=False)
        goal = flood.sent + 50
        wait_until(lambda: flood.sent > goal, 10)
        barge.start()
    flood.on = False
    flood.join()

    def given_up():
        """A stop waits 250 ms for the rest of a message: longer may pass on a machine that stands still, and then it says so."""
        return sum(int(n) for n in re.findall(r"given up: chunks are missing.* messages=(\d+)", barge.log()))

    wait_until(lambda: len(elastic.store) + given_up() >= flood.sent, 20, lambda: f"{len(elastic.store)} of {flood.sent}; {barge.status()}")
    ledger = barge.wait_drained()
    seen = sorted(d["n"] for d in elastic.documents())
    missing = set(range(flood.sent)) - set(seen)
    assert len(seen) + len(missing) == flood.sent
    assert len(missing) <= given_up() and all(n % 2 for n in missing)
    assert not any(ledger["dropped"].values()) and barge.status()["inputs"]["gelf"]["kernel_dropped"] == 0
    with socket.create_connection(tcp.getsockname()) as stream:
        stream.sendall(json.dumps(message("by stream")).encode() + b"\0")
    elastic.wait_for(len(seen) + 1)
    barge.stop()
    udp.close()
    tcp.close()


def test_a_passed_socket_that_nothing_uses_is_told(lab):
    with high(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as udp, high(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as tcp:
        udp.bind(("127.0.0.1", 0))
        tcp.bind(("127.0.0.1", 0))
        tcp.listen(1)
        barge = lab.barge(lab.config(None, gelf_udp="127.0.0.1:9"), **activated(udp, tcp))
        assert "sockets that nobody reads" in barge.log() and "sockets=1 " in barge.log()
        barge.config["inputs"]["gelf"]["tcp"] = "127.0.0.1:9"
        barge.write_config()
        barge.restart()
        assert "sockets that nobody reads" not in barge.log()

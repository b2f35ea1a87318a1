"""conf/mysql/ with Debian's MariaDB, a private one: slow queries that carry a request's id are part of its story."""

import calendar
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

import pytest

import barge as program
from expect import value_at
from waiting import PATIENCE, wait_until

PATH = os.environ.get("PATH", "") + ":/usr/sbin"
SERVER, CLIENT = shutil.which("mariadbd", path=PATH), shutil.which("mariadb", path=PATH)
CONF = os.path.join(program.TOP, "conf", "mysql")

pytestmark = pytest.mark.skipif(SERVER is None or CLIENT is None, reason="MariaDB is not installed (make deps-servers)")

# Stands for Debian's own configuration: no network, no accounts, as small as it can be.
AROUND = """
[mysqld]
{user}
datadir = {folder}/data
socket = {socket}
pid-file = {folder}/pid
skip-networking
skip-grant-tables
innodb = OFF
default-storage-engine = Aria
aria-log-file-size = 8M
aria-pagecache-buffer-size = 1M
key-buffer-size = 1M
max-connections = 10
table-open-cache = 50
!include {folder}/slow-queries.cnf
"""


class MariaDB:
    def __init__(self, folder):
        self.folder, self._short = folder, tempfile.mkdtemp(prefix="barge-")  # a socket's path has at most 107 bytes
        self.socket = os.path.join(self._short, "s")
        self.logs = os.path.join(folder, "logs")
        for name in ("data", "logs"):
            os.makedirs(os.path.join(folder, name))
        with open(os.path.join(CONF, "slow-queries.cnf"), encoding="utf-8") as f:
            text = f.read()
        assert text.count("/var/log/mysql/") == 2
        self._write("slow-queries.cnf", text.replace("/var/log/mysql/", self.logs + "/"))
        self._write("my.cnf", AROUND.format(folder=folder, socket=self.socket, user="user = root" if os.geteuid() == 0 else ""))
        with open(os.path.join(folder, "said"), "wb") as said:
            self.process = subprocess.Popen([SERVER, f"--defaults-file={folder}/my.cnf"], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            wait_until(lambda: self.process.poll() is not None or "ready for connections" in self.said(), 20, self.said)
            assert self.process.poll() is None, self.said()
        except BaseException:
            self.close()
            raise

    def _write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as f:
            f.write(text)

    def at(self, name):
        return os.path.join(self.logs, name)

    def said(self):
        for path in (self.at("error.log"), os.path.join(self.folder, "said")):
            if os.path.exists(path) and os.path.getsize(path):
                with open(path, encoding="utf-8") as f:
                    return f.read()
        return ""

    def query(self, statement):
        """As a service sends it: with its comments."""
        done = subprocess.run([CLIENT, "--no-defaults", f"--socket={self.socket}", "--comments", "--batch", "-e", statement],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30 * PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self):
        self.process.terminate()
        try:
            ended = self.process.wait(timeout=20 * PATIENCE)
        finally:
            self.process.kill()
            shutil.rmtree(self._short)
        assert ended == 0, self.said()


@pytest.fixture
def database(lab):
    made = MariaDB(os.path.join(lab.folder, "mariadb"))
    try:
        made.query("CREATE DATABASE shop; USE shop; CREATE TABLE orders (id INT PRIMARY KEY, note VARCHAR(20)); "
                   "INSERT INTO orders VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        yield made
    finally:
        made.close()


def sample(database):
    """inputs.files of conf/mysql/barge.yaml."""
    with open(os.path.join(CONF, "barge.yaml"), encoding="utf-8") as f:
        rule = re.search(r"^    - \{paths: \[(.*), (.*)\], service: (\w+), parser: (\w+)\}$", f.read(), re.M)
    paths = [path.replace("/var/log/mysql/", database.logs + "/") for path in rule.groups()[:2]]
    return [{"paths": paths, "service": rule.group(3), "parser": rule.group(4)}]


def asked(agent, request_id, services):
    """The records of an id, once these services have told theirs."""
    def found():
        done = program.run("trace", "-c", agent.config_path, "--json", request_id)
        records = [json.loads(line) for line in done.stdout.splitlines()]
        return records if sorted(value_at(r, "service.name") for r in records) == sorted(services) else None

    return wait_until(found, 20, agent.output_documents)


def test_a_slow_query_is_part_of_the_story(lab, database):
    docker = lab.docker()
    orders = docker.container("shop-orders-1", labels={"com.docker.compose.service": "orders"})
    agent = lab.barge(lab.config(None, docker, inputs={"files": sample(database)}))
    began = time.time()
    for request_id, row in (("req-4711-a", 1), ("req-4711-b", 2)):
        orders.write(json.dumps({"level": "info", "msg": "order read", "request_id": request_id}).encode() + b"\n", at_ns=time.time_ns())
        database.query(f"USE shop; SELECT /* request_id={request_id} */ note, SLEEP(0.6)\n  FROM orders\n WHERE id >= {row}  -- rows of an order\n LIMIT 1")
        if row == 1:  # as logrotate does it
            os.rename(database.at("slow.log"), database.at("slow.log.1"))
            database.query("FLUSH SLOW LOGS")
            agent.restart(kill=True)
    for request_id, row in (("req-4711-a", 1), ("req-4711-b", 2)):
        record = next(r for r in asked(agent, request_id, ["orders", "db"]) if value_at(r, "service.name") == "db")
        assert record["message"] == (f"SELECT /* request_id={request_id} */ note, SLEEP(0.6)\n  FROM orders\n WHERE id >= {row}  -- rows of an order\n"
                                     " LIMIT 1;")
        wanted = {"http.request.id": request_id, "mysql.slowlog.schema": "shop", "mysql.slowlog.rows_sent": 1,
                  "log.file.path": database.at("slow.log"), "source.domain": "localhost", "tags": None}
        assert {name: value_at(record, name) for name in wanted} == wanted
        assert 1 <= value_at(record, "mysql.slowlog.rows_examined") <= 3 and "orders" in value_at(record, "mysql.slowlog.explain")
        assert 600_000_000 <= value_at(record, "event.duration") < 60 * PATIENCE * 10**9
        assert began - 2 < calendar.timegm(time.strptime(record["@timestamp"][:19], "%Y-%m-%dT%H:%M:%S")) < time.time() + 2
    said = program.run("trace", "-c", agent.config_path, "req-4711-b").stdout
    assert "2 services: " in said and "SELECT /* request_id=req-4711-b */" in said
    ready, = (d for d in agent.output_documents() if "ready for connections" in d["message"])
    assert ready["message"].count("\nVersion: ") == 1 and value_at(ready, "log.level") == "info" and "tags" not in ready
    agent.wait_drained()
    assert not [d for d in agent.output_documents() if "tags" in d]
    assert len([d for d in agent.output_documents() if value_at(d, "service.name") == "db" and value_at(d, "http.request.id")]) == 2

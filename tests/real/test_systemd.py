"""A live systemd: the unit and the sockets of conf/systemd as their comments say, in a container of a live Docker engine.

The container is a Debian that debootstrap makes (a minute; BARGE_DEBIAN=FOLDER takes one that is there and keeps it).
"""

import os
import re
import shutil
import subprocess

import pytest

import engine as real_engine
from waiting import wait_until

pytestmark = pytest.mark.limit(900)

INCLUDED = "systemd,systemd-sysv,dbus,python3-minimal,libcurl4,libyajl2,libyaml-0-2,libmicrohttpd12,libseccomp2,libpcre2-8-0"
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNITS = "/etc/systemd/system"
CONTAINER = "a" * 64
SENDER = """
import socket, subprocess, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
restarts = []
for i in range(3000):
    s.sendto(b'{"version":"1.1","host":"h","short_message":"datagram %d"}' % i, ("127.0.0.1", 12201))
    if i in (500, 1500):
        restarts.append(subprocess.Popen(["systemctl", "restart", "barge"]))
    time.sleep(0.001)
sys.exit(max(r.wait() for r in restarts))
"""


class Machine:
    """A container that runs systemd, with barge installed as the unit's comment says."""

    def __init__(self, engine, debian, barge):
        self.engine = engine
        packed = subprocess.Popen(["tar", "-C", debian, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run([real_engine.DOCKER, "-H", "unix://" + engine.socket, "import", "-", "debian:1"], stdin=packed.stdout, check=True,
                       capture_output=True)
        assert packed.wait() == 0
        self.name = "machine"
        engine.docker("run", "-d", "--name", self.name, "--cap-add=SYS_ADMIN", "--cap-add=DAC_READ_SEARCH", "--security-opt=seccomp=unconfined",
                      "--network=none", "--tmpfs=/run", "--tmpfs=/run/lock", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--cgroupns=host",
                      "-e", "container=docker", "debian:1", "/sbin/init")
        wait_until(lambda: self.said("systemctl is-system-running || true") in ("running", "degraded"), 60, "systemd", every_s=0.5)
        assert self.said("systemctl is-system-running || true") == "running", self.said("systemctl --failed --no-pager")
        self.copy(barge, "/usr/local/bin/barge")
        for unit in ("barge.service", "barge-gelf.socket"):
            self.copy(os.path.join(TOP, "conf/systemd", unit), f"{UNITS}/{unit}")
        self.said("useradd --system --home-dir /var/lib/barge --shell /usr/sbin/nologin barge && mkdir -p /etc/barge /srv/out && chown barge /srv/out")
        self.write(f"{UNITS}/barge.service.d/out.conf", "[Service]\nReadWritePaths=/srv/out\n")
        self.write("/etc/barge/barge.yaml", 'output: {file: {path: "/srv/out/m-%{+YYYY.MM.dd}.ndjson"}}\n')
        logs = f"/var/lib/docker/containers/{CONTAINER}"
        self.write(f"{logs}/config.v2.json", f'{{"ID":"{CONTAINER}","Name":"/web","Config":{{"Image":"x","Labels":{{}}}}}}')
        self.write(f"{logs}/{CONTAINER}-json.log", "".join(
            f'{{"log":"line {i}\\n","stream":"stdout","time":"2026-11-28T10:00:00.{i:09}Z"}}\n' for i in range(5)))
        self.said(f"chmod 700 /var/lib/docker/containers {logs} && chmod 640 {logs}/*")

    def copy(self, source, target):
        self.engine.docker("cp", source, f"{self.name}:{target}")

    def write(self, path, text):
        self.engine._docker("exec", "-i", self.name, "sh", "-c", f"mkdir -p {os.path.dirname(path)} && cat > {path}", input=text)

    def said(self, script):
        return self.engine.docker("exec", self.name, "sh", "-c", script)

    def messages(self, like):
        text = self.said("cat /srv/out/* 2>/dev/null || true")
        return [m for m in re.findall(r'"message":"([^"]*)"', text) if m.startswith(like)]

    def pid(self):
        return int(self.said("systemctl show -p MainPID --value barge"))


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    if not shutil.which("debootstrap", path="/usr/sbin:/usr/bin"):
        pytest.skip("debootstrap is not installed: make deps-systemd")
    try:
        engine = real_engine.Engine()
    except real_engine.Unavailable as e:
        pytest.skip(f"no Docker engine can run here: {e}")
    try:
        debian = os.environ.get("BARGE_DEBIAN", str(tmp_path_factory.mktemp("debian") / "root"))
        if not os.path.exists(os.path.join(debian, "sbin/init")):
            made = subprocess.run(["debootstrap", "--variant=minbase", "--include=" + INCLUDED, "bookworm", debian], capture_output=True, text=True,
                                  check=False)
            if made.returncode != 0:
                pytest.skip(f"debootstrap makes no Debian here: {made.stdout[-300:]}")
        yield Machine(engine, debian, os.environ["BARGE"])
    finally:
        engine.close()


def test_the_unit_as_installed(machine):
    machine.said("systemctl daemon-reload && systemctl enable --now barge-gelf.socket barge.service")
    wait_until(lambda: len(machine.messages("line ")) == 5, 20, "the log's lines")
    status = machine.said(f"cat /proc/{machine.pid()}/status")
    # CAP_DAC_READ_SEARCH is capability 2: the log is root's, 0640, in folders of 0700.
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert re.search(rf"^{name}:\t(\w+)$", status, re.M).group(1) == f"{1 << 2:016x}"
    assert re.search(r"^Uid:\t(\d+)", status, re.M).group(1) != "0"
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    score = machine.said("systemd-analyze security barge --no-pager | tail -1")
    assert float(re.search(r"([0-9.]+) \w+ ", score).group(1)) <= 2.0, score


def test_no_datagram_is_dropped_over_restarts(machine):
    machine.write("/tmp/sender.py", SENDER)
    machine.said("python3 /tmp/sender.py")
    wait_until(lambda: len(set(machine.messages("datagram "))) == 3000, 30, "all datagrams")
    assert len(machine.messages("datagram ")) == 3000


def test_reload_and_a_broken_configuration(machine):
    before = machine.pid()
    machine.said("systemctl reload barge")
    wait_until(lambda: "configuration reloaded" in machine.said("journalctl -u barge --no-pager"), 20, "the reload")
    assert machine.pid() == before
    machine.said("kill -9 " + str(before))
    wait_until(lambda: machine.pid() not in (0, before), 30, "systemd to start it again")
    machine.said("cp /etc/barge/barge.yaml /tmp/good.yaml && echo 'outputs: {}' >> /etc/barge/barge.yaml")
    machine.engine._docker("exec", machine.name, "systemctl", "restart", "barge", check=False)
    # Nothing is won by starting it again every second: it stays down and says why.
    wait_until(lambda: machine.said("systemctl is-failed barge || true") == "failed", 20, "the unit to have failed")
    assert "/etc/barge/barge.yaml:2:1: " in machine.said("journalctl -u barge --no-pager | tail -5")
    machine.said("cp /tmp/good.yaml /etc/barge/barge.yaml && systemctl restart barge")
    assert machine.said("systemctl is-active barge") == "active"

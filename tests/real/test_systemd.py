"""A live systemd: the unit and the sockets of conf/systemd, installed as its README says, in a container of a live Docker engine."""

import os
import re

import pytest

from machine import Machine
from waiting import wait_until

pytestmark = [pytest.mark.limit(900), pytest.mark.usefixtures("image_meanwhile")]

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNITS = "/etc/systemd/system"
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

ONE = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b'{{"version":"1.1","host":"h","short_message":"{text}"}}', ("127.0.0.1", 12201))
"""


@pytest.fixture(scope="module")
def machine(debian_engine):
    """barge installed as conf/systemd/README.md says."""
    made = Machine(debian_engine)
    made.copy(os.environ["BARGE"], "/usr/local/bin/barge")
    for unit in ("barge.service", "barge-gelf.socket"):
        made.copy(os.path.join(TOP, "conf/systemd", unit), f"{UNITS}/{unit}")
    made.said("useradd --system --home-dir /var/lib/barge --shell /usr/sbin/nologin barge && mkdir -p /etc/barge /srv/out && chown barge /srv/out")
    made.write(f"{UNITS}/barge.service.d/out.conf", "[Service]\nReadWritePaths=/srv/out\n")
    made.write("/etc/barge/barge.yaml", 'output: {file: {path: "/srv/out/m-%{+YYYY.MM.dd}.ndjson"}}\n')
    made.container_logs(f"line {i}" for i in range(5))
    yield made
    made.engine.docker("rm", "-f", made.name)


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
    machine.python(SENDER)
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
    machine.engine.try_docker("exec", machine.name, "systemctl", "restart", "barge")
    # Nothing is won by starting it again every second: it stays down and says why.
    wait_until(lambda: machine.said("systemctl is-failed barge || true") == "failed", 20, "the unit to have failed")
    assert "/etc/barge/barge.yaml:2:1: " in machine.said("journalctl -u barge --no-pager | tail -5")
    # A datagram wakes a service whose socket is systemd's, in vain: mended, both are there again, given up meanwhile or not.
    machine.python(ONE.format(text="in vain"))
    wait_until(lambda: int(machine.said("journalctl -u barge --no-pager | grep -c /etc/barge/barge.yaml:2:1:")) > 1, 60, "the datagram to wake it")
    machine.said("cp /tmp/good.yaml /etc/barge/barge.yaml")
    machine.restart()
    assert machine.said("systemctl is-active barge barge-gelf.socket") == "active\nactive"
    machine.python(ONE.format(text="heard again"))
    wait_until(lambda: machine.messages("heard again"), 20, "a datagram")


def test_killed_again_and_again(machine):
    for _ in range(8):
        before = machine.pid()
        machine.said(f"kill -9 {before}")
        wait_until(lambda gone=before: machine.pid() not in (0, gone), 30, "systemd to start it again", every_s=0.2)

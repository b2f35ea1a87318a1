"""The Debian package as its user meets it: installed, upgraded while it runs, removed, purged, under a live systemd."""

import os
import re
import subprocess

import pytest

from machine import Machine
from waiting import wait_until

pytestmark = [pytest.mark.limit(900), pytest.mark.usefixtures("image_meanwhile")]

LINES = 30_000  # more than a buffer of 4 MiB holds
DATAGRAMS = """
import socket, subprocess, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
upgrade = None
for i in range({count}):
    s.sendto(b'{{"version":"1.1","host":"h","short_message":"{text} %d"}}' % i, ("127.0.0.1", 12201))
    if i == {count} // 4 and {command!r}:
        upgrade = subprocess.Popen({command!r}, shell=True)
    time.sleep(0.001)
assert upgrade is None or upgrade.wait() == 0
"""
TO_FILES = 'output: {file: {path: "/srv/out/m-%{+YYYY.MM.dd}.ndjson"}}\n'


def next_version(package, folder):
    """The same package under a later version."""
    subprocess.run(["dpkg-deb", "-R", package, f"{folder}/tree"], check=True, capture_output=True)
    with open(f"{folder}/tree/DEBIAN/control", "r+", encoding="utf-8") as f:
        text = re.sub(r"^Version: (.*)$", r"Version: \1+next", f.read(), flags=re.M)
        f.seek(0)
        f.write(text)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", f"{folder}/tree", f"{folder}/next.deb"], check=True, capture_output=True)
    return f"{folder}/next.deb"


@pytest.fixture(scope="module")
def machine(debian_engine, tmp_path_factory):
    package = os.environ.get("BARGE_DEB")
    if not package:
        pytest.skip("BARGE_DEB names no package: make test-hosts builds one")
    made = Machine(debian_engine, name="packaged")
    made.copy(package, "/root/barge.deb")
    made.copy(next_version(package, tmp_path_factory.mktemp("next")), "/root/next.deb")
    made.said("mkdir /srv/out")
    yield made
    made.engine.docker("rm", "-f", made.name)


def books(machine):
    return machine.status()["ledger"]


def test_it_is_installed_and_runs(machine):
    machine.container_logs(["line 0"])
    machine.said("DEBIAN_FRONTEND=noninteractive dpkg -i /root/barge.deb")
    assert machine.said("systemctl is-active barge barge-gelf.socket") == "active\nactive"
    assert machine.said("systemctl is-enabled barge barge-gelf.socket") == "enabled\nenabled"
    uid = re.search(r"^Uid:\t(\d+)", machine.said(f"cat /proc/{machine.pid()}/status"), re.M).group(1)
    assert uid == machine.said("id -u barge")
    assert machine.said("barge check") == ""
    assert machine.said("dpkg-query -W -f='${Conffiles}' barge").split()[0] == "/etc/barge/barge.yaml"
    # Nobody answers at localhost:9200 yet: what only root may read waits in the buffer.
    wait_until(lambda: books(machine)["buffered"] == 1, 30, "the line")
    machine.python(DATAGRAMS.format(count=200, text="early", command=""))
    wait_until(lambda: books(machine)["buffered"] == 201, 30, "the datagrams")


def test_it_is_upgraded_over_a_full_buffer(machine):
    machine.write("/etc/barge/barge.yaml", "buffer: {max_size: 4MiB}\n")
    machine.said("systemctl restart barge")
    machine.container_logs(f"line {i} {'x' * 250}" for i in range(1, LINES))
    wait_until(lambda: machine.status()["buffer"]["full"], 60, "the buffer to be full", every_s=0.2)
    before, pid = books(machine), machine.pid()
    socket_since = machine.said("systemctl show -p ActiveEnterTimestampMonotonic barge-gelf.socket")
    assert 0 < before["buffered"] < LINES
    machine.said("DEBIAN_FRONTEND=noninteractive dpkg -i /root/next.deb")
    assert machine.said("dpkg-query -W -f='${Version}' barge").endswith("+next")
    assert machine.pid() not in (0, pid)
    assert machine.said("systemctl show -p ActiveEnterTimestampMonotonic barge-gelf.socket") == socket_since
    assert machine.said("cat /etc/barge/barge.yaml") == "buffer: {max_size: 4MiB}"
    assert books(machine)["buffered"] >= before["buffered"]
    # Somewhere to go with it.
    machine.said("chown barge /srv/out")
    machine.write("/etc/systemd/system/barge.service.d/out.conf", "[Service]\nReadWritePaths=/srv/out\n")
    machine.write("/etc/barge/barge.yaml", TO_FILES)
    machine.said("systemctl daemon-reload && systemctl restart barge")
    wait_until(lambda: books(machine)["delivered"] >= LINES + 200, 120, lambda: str(books(machine)), every_s=0.5)
    lines = [m.split()[1] for m in machine.messages("line ")]
    assert len(lines) == LINES and set(lines) == {str(i) for i in range(LINES)}
    assert sorted(machine.messages("early ")) == sorted(f"early {i}" for i in range(200))
    after = books(machine)
    assert not after["dropped"] or not any(after["dropped"].values())
    assert after["read"] == after["delivered"] == LINES + 200


def test_it_is_upgraded_under_fire(machine):
    machine.python(DATAGRAMS.format(count=3000, text="shot", command="dpkg -i /root/next.deb"))
    wait_until(lambda: len(set(machine.messages("shot "))) == 3000, 60, "all datagrams", every_s=0.2)
    assert len(machine.messages("shot ")) == 3000


def test_it_goes_on_after_a_removal(machine):
    machine.said("dpkg -r barge")
    assert machine.said("systemctl is-active barge barge-gelf.socket || true") == "inactive\ninactive"
    assert machine.said("ls /var/lib/barge /etc/barge")
    machine.container_logs(["line added"])
    machine.said("dpkg -i /root/barge.deb")
    wait_until(lambda: "line added" in machine.messages("line "), 30, "the added line", every_s=0.5)
    assert len(machine.messages("line ")) == LINES + 1


def test_a_purge_leaves_nothing(machine):
    machine.said("dpkg -P barge")
    assert machine.said("systemctl is-active barge barge-gelf.socket || true") == "inactive\ninactive"
    left = machine.said("find / -xdev -iname '*barge*' ! -path '/proc/*' ! -path '/sys/*' ! -path '/root/*' ! -path '/var/log/*' "
                        "! -path '/etc/systemd/system/barge.service.d*'")
    assert left == "", left

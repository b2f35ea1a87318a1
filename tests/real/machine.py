"""A Debian with a live systemd: a container of a live Docker engine."""

import json
import os
import re

from waiting import wait_until

# systemd, what barge wants, and what the tests run in there.
DOCKERFILE = """
FROM debian:bookworm-slim
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \\
        systemd systemd-sysv dbus python3-minimal \\
        zlib1g libcurl4 libyajl2 libyaml-0-2 libmicrohttpd12 libseccomp2 libpcre2-8-0 libnettle8 \\
    && rm -rf /var/lib/apt/lists/*
"""
IMAGE = "machine:1"
CONTAINER = "a" * 64
LOGS = f"/var/lib/docker/containers/{CONTAINER}"
STATUS = """
import socket
s = socket.create_connection(("127.0.0.1", 9280))
s.sendall(b"GET /status HTTP/1.0\\r\\n\\r\\n")
answer = b""
while part := s.recv(65536):
    answer += part
print(answer.split(b"\\r\\n\\r\\n", 1)[1].decode())
"""


class Machine:
    """A container that runs systemd."""

    def __init__(self, engine, name="machine"):
        self.engine = engine
        self.name = name
        if engine.try_docker("image", "inspect", IMAGE).returncode != 0:
            engine.try_docker("build", "-q", "--network=host", "-t", IMAGE, "-", input=DOCKERFILE, timeout=600, check=True)
        engine.docker("run", "-dt", "--name", self.name, "--cap-add=SYS_ADMIN", "--cap-add=DAC_READ_SEARCH", "--security-opt=seccomp=unconfined",
                      "--network=none", "--tmpfs=/run", "--tmpfs=/run/lock", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--cgroupns=host",
                      "-e", "container=docker", IMAGE, "/sbin/init")
        wait_until(lambda: self._state() in ("running", "degraded"), 180, lambda: "systemd: " + engine.try_docker("logs", name).stdout[-2000:], every_s=0.5)
        assert self.said("systemctl is-system-running || true") == "running", self.said("systemctl --failed --no-pager")

    def _state(self):
        # Short of inotify instances, of which a busy host's root has few, systemd ends at once.
        if not self.engine.inspect(self.name)["State"]["Running"]:
            self.engine.docker("start", self.name)
        return self.engine.try_docker("exec", self.name, "systemctl", "is-system-running").stdout.strip()

    def copy(self, source, target):
        self.engine.docker("cp", source, f"{self.name}:{target}")

    def write(self, path, text, how=">"):
        self.engine.try_docker("exec", "-i", self.name, "sh", "-c", f"mkdir -p {os.path.dirname(path)} && cat {how} {path}", input=text, check=True)

    def said(self, script):
        """Standard output of a script that must succeed."""
        return self.engine.docker("exec", self.name, "sh", "-c", script)

    def python(self, script):
        self.write("/tmp/script.py", script)
        return self.said("python3 /tmp/script.py")

    def container_logs(self, lines):
        """A container of Docker logs these lines, behind those that it has; only root may look into its folder."""
        self.write(f"{LOGS}/config.v2.json", f'{{"ID":"{CONTAINER}","Name":"/web","Config":{{"Image":"x","Labels":{{}}}}}}')
        self.write(f"{LOGS}/{CONTAINER}-json.log", "".join(
            f'{{"log":"{line}\\n","stream":"stdout","time":"2026-11-28T10:00:00.{i:09}Z"}}\n' for i, line in enumerate(lines)), how=">>")
        self.said(f"chmod 700 /var/lib/docker/containers {LOGS} && chmod 640 {LOGS}/*")

    def messages(self, like):
        """Those of the daily files in /srv/out that begin so."""
        text = self.said("cat /srv/out/* 2>/dev/null || true")
        return [m for m in re.findall(r'"message":"([^"]*)"', text) if m.startswith(like)]

    def pid(self):
        return int(self.said("systemctl show -p MainPID --value barge"))

    def status(self):
        return json.loads(self.python(STATUS))

    def restart(self):
        """Restarts the service, as soon as systemd lets somebody who has just failed."""
        wait_until(lambda: self.engine.try_docker("exec", self.name, "systemctl", "restart", "barge").returncode == 0, 30,
                   lambda: self.said("journalctl -u barge --no-pager | tail -20"), every_s=0.5)

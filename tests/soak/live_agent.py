"""The agent of `make soak-live`: its GELF socket is held here, as systemd would hold it, and its lives end in every way there is."""

import collections
import os
import shutil
import socket
import struct
import threading
import time

from activation import activated, high, large
from barge import BINARY, Barge, balance
from waiting import PATIENCE, wait_until

SO_MEMINFO, DROPS = 55, 8
TOO_LONG_S = 8.0  # without an agent: from here on nobody writes files, which Docker would rotate away

# What a kill -9 may take along: the datagrams of one turn (gelf_input.c), sent in the seconds before it.
Kill = collections.namedtuple("Kill", "begun ended")
KILL_DATAGRAMS = 1024


class Agent:
    """gate: whoever removes containers holds it, so that the agent is there and has all of them; whoever ends the agent, too."""

    def __init__(self, folder, node, engine, writers, other=None, **sections):
        self.folder, self.writers = folder, writers
        self.gate = threading.Lock()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        large(udp)
        self.udp = high(udp)
        self.gelf = "127.0.0.1:{}".format(self.udp.getsockname()[1])
        config = {
            "inputs": {"docker": {"containers": engine.containers}, "gelf": {"udp": self.gelf}},
            "enrich": {"host": "soak"},
            "output": {"elasticsearch": {"hosts": [node.url]}},
            **sections,
        }
        self.binaries = []
        for number, binary in enumerate((BINARY, other or BINARY)):
            self.binaries.append(os.path.join(folder, f"barge-{number + 1}"))
            shutil.copy(binary, self.binaries[-1])
        self.barge = Barge(os.path.join(folder, "agent"), config, binary=self.binaries[0], **activated(self.udp))
        self.kills = []
        self.problems = []
        self.cpu_before_s = 0.0  # of lives that are over
        self.up = False
        self.last = {}  # what the newest page said
        self._reloads = 0

    def datagrams_dropped(self):
        """By the kernel, whoever was there to read: the socket is the same all the time."""
        return struct.unpack("9I", self.udp.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[DROPS]

    # -- its lives --

    def start(self):
        begun = time.monotonic()
        self.barge.start(ready=False)
        paused = False
        end = begun + 60 * PATIENCE
        while self.barge.code("/ready") != 200:
            assert self.barge.running(), f"ended with {self.barge.process.returncode}:\n{self.barge.log()[-4000:]}"
            assert time.monotonic() < end, f"not ready: {self.barge.log()[-2000:]}"
            if not paused and time.monotonic() > begun + TOO_LONG_S:
                paused = True
                self.writers.pause_files(True)
            time.sleep(0.05)
        # What was rotated while nobody looked is caught up with before anything may be removed.
        wait_until(lambda: self.status()["inputs"]["docker"]["held_bytes"] == 0, 60, lambda: f"caught up: {self.last}", every_s=0.05)
        if paused:
            self.writers.pause_files(False)
        self.up = True

    def _end(self):
        """After a signal: waits for its end and notes the CPU time, which stands in /proc until somebody waits for the process."""
        wait_until(lambda: os.waitid(os.P_PID, self.barge.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), 60,
                   lambda: f"end of barge; {self.barge.log()[-2000:]}", every_s=0.02)
        self.cpu_before_s += self.barge.cpu_seconds()
        status = self.barge.wait()
        self.barge.check_log()
        return status

    def consumed(self, there):
        """Waits until all is read of containers that are removed; there(): how many with log files are not."""
        def look():
            docker = self.status()["inputs"]["docker"]
            return docker["held_bytes"] == 0 and docker["containers"] <= there()

        wait_until(look, 60, lambda: f"removed containers read to their end; {there()} are there: {self.last['inputs']}", every_s=0.05)

    def kill(self, away_s=0.0):
        self.up = False
        begun = self.writers.clock()
        self.barge.process.kill()
        self._end()
        self.kills.append(Kill(begun, self.writers.clock()))
        time.sleep(away_s)
        self.start()

    def stop(self):
        """Gracefully, with all that must hold of such an end."""
        self.up = False
        self.barge.balanced()
        self.barge.terminate()
        status = self._end()
        assert status == 0, f"exit status {status}:\n{self.barge.log()[-4000:]}"

    def upgrade(self, away_s=0.0):
        self.stop()
        time.sleep(away_s)
        self.barge.binary = self.binaries[self.barge.binary == self.binaries[0]]
        self.start()

    def reload(self, broken=False):
        self._reloads += 1
        self.barge.config["parsers"] = [{"container": f"nobody-{self._reloads}", "parser": "logfmt"}]
        self.barge.write_config()
        if broken:
            with open(self.barge.config_path, "a", encoding="utf-8") as f:
                f.write("]\n")
        self.barge.reload("the old one stays in force" if broken else "configuration reloaded")
        self.barge.write_config()

    # -- its figures --

    def status(self):
        self.last = self.barge.status()
        if balance(self.last["ledger"]) != 0:
            self.problems.append(f"books do not balance: {self.last['ledger']}")
        return self.last

    def process_figures(self):
        """(RSS in KiB, open files, CPU seconds of all lives); None when it is away."""
        process = self.barge.process
        if not self.up or process is None:
            return None
        try:
            return (self.barge.rss_kib(), len(os.listdir(f"/proc/{process.pid}/fd")), self.cpu_before_s + self.barge.cpu_seconds())
        except (OSError, AttributeError):  # it ended meanwhile
            return None

    def close(self):
        if self.barge.process is not None:
            self.barge.process.kill()
            self.barge.process.wait()
        self.udp.close()

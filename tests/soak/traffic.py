"""Everything that is logged during an episode: containers whose lines are numbered and whose files rotate, GELF messages over UDP and
TCP that are numbered, too. Each carries a token that is never used again, and its text follows from the token."""

import glob
import json
import os
import re
import socket
import threading

from gelf_sender import chunks

TOKEN = re.compile(rb"tk-([a-z][0-9]*)-(\d{7});")
LONG = 20_000  # beyond Docker's pieces of 16 KiB


def token(source, n):
    return f"tk-{source}-{n:07d};"


def text_of(source, n, long_lines):
    """The message under a token. Three shapes by number: text, an object, and now and then a long line."""
    filler = "abcdefghijklmnopqrstuvwxyz"[n % 26]
    if long_lines and n % 97 == 0:
        return token(source, n) + filler * LONG
    return token(source, n) + filler * 60


class Traffic:
    def __init__(self, docker, seed_dice, containers=3, long_lines=True, compress=False, gelf_udp=None, gelf_tcp=None):
        self.dice = seed_dice
        self.long_lines = long_lines
        self.containers = [docker.container(f"app{i}-1", max_size=150_000, max_file=1000, compress=compress and i == 0)
                           for i in range(containers)]
        self.udp, self.tcp = gelf_udp, gelf_tcp
        self.excused = set()  # tokens of lines that the power cut in two
        self._next = {}
        self._lock = threading.Lock()  # files: the power fails between two lines
        self._halt = threading.Event()
        self._threads = [threading.Thread(target=self._write, daemon=True)]
        if gelf_udp:
            self._threads.append(threading.Thread(target=self._send_udp, daemon=True))
        if gelf_tcp:
            self._threads.append(threading.Thread(target=self._send_tcp, daemon=True))
        self.failure = None

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._halt.set()
        for thread in self._threads:
            thread.join(20)
        assert not any(t.is_alive() for t in self._threads) and self.failure is None, self.failure
        for i in range(len(self.containers)):
            self.write(i, 1)  # ends what a power cut left of a line

    def _number(self, source):
        n = self._next[source] = self._next.get(source, -1) + 1
        return n

    def written(self):
        return sum(n + 1 for n in self._next.values())

    # -- files --

    def _line(self, i):
        source = f"c{i}"
        n = self._number(source)
        text = text_of(source, n, self.long_lines)
        if n % 3 == 1 and len(text) < 1000:
            return json.dumps({"level": "info", "msg": text, "n": n}).encode() + b"\n"
        return text.encode() + b"\n"

    def write(self, i, lines):
        container = self.containers[i]
        container.write(b"".join(self._line(i) for _ in range(lines)))

    def _write(self):
        try:
            while not self._halt.wait(0.01):
                with self._lock:
                    burst = self.dice.random() < 0.01
                    for i in range(len(self.containers)):
                        self.write(i, self.dice.randrange(0, 600 if burst else 14))
        except Exception as e:  # noqa: BLE001 - told by stop()
            self.failure = e

    # -- GELF --

    def _message(self, source):
        n = self._number(source)
        return json.dumps({"version": "1.1", "host": "soak", "short_message": text_of(source, n, False), "_n": n}).encode()

    def _send_udp(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(self.udp)
            while not self._halt.wait(0.005):
                message = self._message("u")
                for data in chunks(message, size=100) if self._next["u"] % 10 == 0 else [message]:
                    try:
                        s.send(data)
                    except OSError:
                        pass  # nobody listens just now

    def _send_tcp(self):
        s = None
        while not self._halt.wait(0.005):
            try:
                if s is None:
                    s = socket.create_connection(self.tcp, timeout=1)
                s.sendall(self._message("t") + b"\0")
            except OSError:
                if s:
                    s.close()
                s = None
        if s:
            s.close()

    # -- the loss of power --

    def cut(self):
        """What a power cut may do to log files, which nobody fsyncs: each may end earlier, at a line's end or inside of one, or end in
        NULs; then others grow on in the same place, lines of the same length among them, before anybody looks."""
        with self._lock:
            for i, container in enumerate(self.containers):
                if self.dice.random() < 0.5:
                    self._cut_file(container)
                if self.dice.random() < 0.5:
                    self.write(i, self.dice.randrange(1, 200))

    def _cut_file(self, container):
        with open(container.path, "rb") as f:
            data = f.read()
        if not data:
            return
        back = self.dice.choice((300, 3000, 30_000, len(data)))
        at = max(0, len(data) - self.dice.randrange(1, back + 1))
        line = data.rfind(b"\n", 0, at) + 1
        how = self.dice.choice(("line", "line", "inside", "nuls"))
        if how == "inside":
            end = data.find(b"\n", at) + 1
            self.excused |= {m.group() for m in TOKEN.finditer(data[line:end])}
        else:
            at = line
        os.truncate(container.path, at)
        if how == "nuls":
            os.truncate(container.path, len(data))

    # -- what must come of it --

    def standing(self):
        """Tokens of all lines that stand whole in the containers' files."""
        found = set()
        for container in self.containers:
            for path in glob.glob(container.path + "*"):
                with open(path, "rb") as f:
                    data = f.read()
                if path.endswith(".gz"):
                    import gzip
                    data = gzip.decompress(data)
                for line in data.split(b"\n")[:-1]:
                    here = {m.group() for m in TOKEN.finditer(line)}
                    try:
                        json.loads(line.lstrip(b"\0"))
                        found |= here
                    except ValueError:  # the rest of a torn line, and the one that went on behind it
                        self.excused |= here
        return found - self.excused
